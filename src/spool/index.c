/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/index.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

#define SLAB_BYTES	65536u
#define SLAB_MESSAGES	(uint32_t)((SLAB_BYTES - 64) / sizeof(struct spool_message))
#define TABLE_MIN	16u

_Static_assert(sizeof(struct spool_message) <= 96, "a message with one recipient is to fit 128 bytes "
    "with its places in index and heap");
_Static_assert(sizeof(struct spool_rcpt) == 8, "8 bytes a recipient");

struct slab {
	struct list	 link;		/* in index.room */
	uint32_t	 number;
	uint32_t	 used;		/* places that were ever used: behind them nothing is touched */
	uint32_t	 live;
	uint32_t	 free;		/* first of those that are free again, + 1; the next: its segment */
	struct spool_message m[];
};

_Static_assert(sizeof(struct slab) <= 64, "the head of a slab");

struct index *
index_new(void)
{
	struct index *ix = xzalloc(sizeof(*ix));

	list_init(&ix->room);
	return ix;
}

static void
slab_free(struct slab *sl)
{
	pages_free(sl, SLAB_BYTES);
}

void
index_free(struct index *ix)
{
	struct spool_message *m;

	if (ix == NULL)
		return;
	for (size_t pos = 0; (m = index_next(ix, &pos)) != NULL;)
		if (m->nrcpt > 1)
			free(m->rcpt.many);
	for (uint32_t i = 0; i < ix->nslabs; i++)
		slab_free(ix->slab[i]);
	free(ix->slab);
	free(ix->table);
	free(ix);
}

/* --- the table ---------------------------------------------------------------- */

static struct spool_message *
at_place(const struct index *ix, uint32_t place)
{
	return &ix->slab[place / SLAB_MESSAGES]->m[place % SLAB_MESSAGES];
}

static uint32_t
home(const struct index *ix, spool_id id)
{
	id ^= id >> 32;
	id *= 0x9e3779b97f4a7c15u;
	id ^= id >> 29;
	return (uint32_t)id & (ix->cap - 1);
}

/* Where in the table id is, or the free entry where it belongs. */
static uint32_t
find(const struct index *ix, spool_id id)
{
	uint32_t i = home(ix, id);

	while (ix->table[i] != 0 && at_place(ix, ix->table[i] - 1)->id != id)
		i = (i + 1) & (ix->cap - 1);
	return i;
}

/* The messages know their ids: the old table is not needed, only the slabs in their order. */
static void
resize(struct index *ix, uint32_t cap)
{
	free(ix->table);
	ix->table = xcalloc(cap, sizeof(*ix->table));
	ix->cap = cap;
	for (uint32_t i = 0; i < ix->nslabs; i++) {
		const struct slab *sl = ix->slab[i];

		for (uint32_t k = 0; sl != NULL && k < sl->used; k++)
			if (sl->m[k].id != 0)
				ix->table[find(ix, sl->m[k].id)] = i * SLAB_MESSAGES + k + 1;
	}
}

/* Close the hole: move back what probed past it. */
static void
take_out(struct index *ix, uint32_t hole)
{
	uint32_t mask = ix->cap - 1;

	for (uint32_t i = (hole + 1) & mask; ix->table[i] != 0; i = (i + 1) & mask) {
		uint32_t want = home(ix, at_place(ix, ix->table[i] - 1)->id);

		if (((i - want) & mask) >= ((i - hole) & mask)) {
			ix->table[hole] = ix->table[i];
			hole = i;
		}
	}
	ix->table[hole] = 0;
}

/* --- the slabs ---------------------------------------------------------------- */

/* A number for a slab, at the end or where one has gone. */
static uint32_t
free_number(struct index *ix)
{
	uint32_t i = 0;

	while (i < ix->nslabs && ix->slab[i] != NULL)
		i++;
	if (i == ix->nslabs) {
		if ((i & (i - 1)) == 0)
			ix->slab = xrealloc(ix->slab, (i != 0 ? (size_t)i * 2 : 1) * sizeof(*ix->slab));
		ix->slab[ix->nslabs++] = NULL;
	}
	return i;
}

static void
adopt(struct index *ix, struct slab *sl)
{
	sl->number = free_number(ix);
	ix->slab[sl->number] = sl;
	list_init(&sl->link);
	if (sl->used < SLAB_MESSAGES || sl->free != 0)
		list_push(&ix->room, &sl->link);
}

static uint32_t
take_place(struct index *ix)
{
	struct slab *sl;
	uint32_t k;

	if (list_is_empty(&ix->room))
		adopt(ix, pages_new(SLAB_BYTES));
	sl = list_entry(ix->room.next, struct slab, link);
	if (sl == ix->empty)
		ix->empty = NULL;
	if (sl->free != 0) {
		k = sl->free - 1;
		sl->free = sl->m[k].segment;
	} else {
		k = sl->used++;
	}
	sl->live++;
	if (sl->free == 0 && sl->used == SLAB_MESSAGES)
		list_remove(&sl->link);
	return sl->number * SLAB_MESSAGES + k;
}

static void
give_back(struct index *ix, uint32_t place)
{
	struct slab *sl = ix->slab[place / SLAB_MESSAGES];
	struct spool_message *m = at_place(ix, place);

	*m = (struct spool_message){ .segment = sl->free };
	sl->free = place % SLAB_MESSAGES + 1;
	if (list_is_empty(&sl->link))
		list_push(&ix->room, &sl->link);
	if (--sl->live > 0)
		return;
	if (ix->empty == NULL) {	/* kept, so that one message that comes and goes costs no pages */
		ix->empty = sl;
		return;
	}
	list_remove(&sl->link);
	ix->slab[sl->number] = NULL;
	slab_free(sl);
}

/* --- messages ----------------------------------------------------------------- */

struct spool_message *
index_get(const struct index *ix, spool_id id)
{
	uint32_t place = ix->cap != 0 ? ix->table[find(ix, id)] : 0;

	return place != 0 ? at_place(ix, place - 1) : NULL;
}

struct spool_message *
index_add(struct index *ix, spool_id id, uint32_t nrcpt)
{
	struct spool_message *m = index_get(ix, id);
	uint32_t place;

	require(id != 0 && nrcpt > 0 && nrcpt <= UINT16_MAX);
	if (m != NULL)
		index_remove(ix, m);
	if (4 * ((uint64_t)ix->n + 1) > 3 * (uint64_t)ix->cap)
		resize(ix, ix->cap != 0 ? 2 * ix->cap : TABLE_MIN);
	place = take_place(ix);
	ix->table[find(ix, id)] = place + 1;
	ix->n++;
	m = at_place(ix, place);
	*m = (struct spool_message){ .id = id, .nrcpt = (uint16_t)nrcpt };
	if (nrcpt > 1)
		m->rcpt.many = xcalloc(nrcpt, sizeof(*m->rcpt.many));
	return m;
}

void
index_remove(struct index *ix, struct spool_message *m)
{
	uint32_t i = find(ix, m->id), place = ix->table[i];

	require(place != 0 && at_place(ix, place - 1) == m);
	take_out(ix, i);
	ix->n--;
	if (m->nrcpt > 1)
		free(m->rcpt.many);
	give_back(ix, place - 1);
	if (ix->cap > 4 * TABLE_MIN && ix->n < ix->cap / 8)
		resize(ix, ix->cap / 2);
}

struct spool_message *
index_next(const struct index *ix, size_t *pos)
{
	while (*pos / SLAB_MESSAGES < ix->nslabs) {
		struct slab *sl = ix->slab[*pos / SLAB_MESSAGES];
		size_t k = *pos % SLAB_MESSAGES;

		if (sl == NULL || k >= sl->used) {
			*pos += SLAB_MESSAGES - k;
			continue;
		}
		++*pos;
		if (sl->m[k].id != 0)
			return &sl->m[k];
	}
	return NULL;
}

struct index *
index_join(struct index *a, struct index *b)
{
	struct index *ix = a->n >= b->n ? a : b, *from = ix == a ? b : a;

	while (4 * ((uint64_t)ix->n + from->n) > 3 * (uint64_t)ix->cap)
		resize(ix, ix->cap != 0 ? 2 * ix->cap : TABLE_MIN);
	for (uint32_t i = 0; i < from->nslabs; i++) {
		struct slab *sl = from->slab[i];

		if (sl == NULL)
			continue;
		from->slab[i] = NULL;
		list_remove(&sl->link);
		if (sl->live == 0) {
			slab_free(sl);
			continue;
		}
		adopt(ix, sl);
		for (uint32_t k = 0; k < sl->used; k++)
			if (sl->m[k].id != 0)
				ix->table[find(ix, sl->m[k].id)] = sl->number * SLAB_MESSAGES + k + 1;
	}
	ix->n += from->n;
	index_free(from);
	return ix;
}
