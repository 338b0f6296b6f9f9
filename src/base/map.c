/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/map.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

void
map_init(struct map *m)
{
	*m = (struct map){ .n = 0 };
}

void
map_done(struct map *m)
{
	free(m->slot);
	map_init(m);
}

static size_t
home(const struct map *m, uint64_t key)
{
	key ^= key >> 32;
	key *= 0x9e3779b97f4a7c15u;
	key ^= key >> 29;
	return (size_t)key & (m->cap - 1);
}

/* The slot of key, or the free slot where it belongs. */
static size_t
find(const struct map *m, uint64_t key)
{
	size_t i = home(m, key);

	while (m->slot[i].value != NULL && m->slot[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

static void
resize(struct map *m, size_t cap)
{
	struct map old = *m;

	m->slot = xcalloc(cap, sizeof(m->slot[0]));
	m->cap = cap;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slot[i].value != NULL)
			m->slot[find(m, old.slot[i].key)] = old.slot[i];
	free(old.slot);
}

void *
map_get(const struct map *m, uint64_t key)
{
	return m->cap != 0 ? m->slot[find(m, key)].value : NULL;
}

void
map_put(struct map *m, uint64_t key, void *value)
{
	size_t i;

	require(value != NULL);
	if (4 * (m->n + 1) > 3 * m->cap)
		resize(m, m->cap != 0 ? 2 * m->cap : 16);
	i = find(m, key);
	if (m->slot[i].value == NULL)
		m->n++;
	m->slot[i] = (struct map_slot){ key, value };
}

void *
map_take(struct map *m, uint64_t key)
{
	size_t hole, i;
	void *value;

	if (m->cap == 0)
		return NULL;
	hole = find(m, key);
	value = m->slot[hole].value;
	if (value == NULL)
		return NULL;
	m->n--;
	/* Close the hole: move back what probed past it (no tombstones). */
	for (i = (hole + 1) & (m->cap - 1); m->slot[i].value != NULL; i = (i + 1) & (m->cap - 1)) {
		size_t want = home(m, m->slot[i].key);

		if (((i - want) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
			m->slot[hole] = m->slot[i];
			hole = i;
		}
	}
	m->slot[hole].value = NULL;
	if (m->cap > 64 && 8 * m->n < m->cap)
		resize(m, m->cap / 2);
	return value;
}

void *
map_next(const struct map *m, size_t *pos)
{
	while (*pos < m->cap) {
		void *value = m->slot[(*pos)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}
