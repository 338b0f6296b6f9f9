/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/blame.h"

#include "base/banned.h"

#define TWICE 2
#define HEARD 3		/* times that a message is a witness */

static uint32_t
bit_of(size_t endpoint)
{
	return UINT32_C(1) << endpoint;
}

static bool
is_own(const struct blame_entry *e)
{
	return !e->arrived && (e->elsewhere || (e->times >= TWICE && (e->failed & e->passed) != 0));
}

static const struct blame_entry *
find(const struct blame *b, spool_id id)
{
	for (size_t i = 0; i < BLAME_MAX; i++)
		if (b->entry[i].id == id)
			return &b->entry[i];
	return NULL;
}

bool
blame_is_own(const struct blame *b, spool_id id)
{
	const struct blame_entry *e = find(b, id);

	return e != NULL && is_own(e);
}

bool
blame_is_witness(const struct blame *b, spool_id id)
{
	const struct blame_entry *e = find(b, id);

	return e == NULL || (!is_own(e) && e->times <= HEARD);
}

void
blame_failed(struct blame *b, spool_id id, size_t endpoint)
{
	const struct blame_entry *known = find(b, id);
	struct blame_entry *e = &b->entry[b->next];

	if (known != NULL) {
		e = &b->entry[known - b->entry];
	} else {
		*e = (struct blame_entry){ .id = id };
		b->next = (b->next + 1) % BLAME_MAX;
	}
	e->failed |= bit_of(endpoint);
	e->times++;
}

void
blame_passed(struct blame *b, spool_id id, size_t endpoint)
{
	for (size_t i = 0; i < BLAME_MAX; i++) {
		struct blame_entry *e = &b->entry[i];

		e->passed |= bit_of(endpoint);
		e->arrived = e->arrived || e->id == id;
	}
}

bool
blame_share(struct blame *b, const struct blame *other)
{
	bool news = false;

	for (size_t i = 0; i < BLAME_MAX; i++) {
		struct blame_entry *e = &b->entry[i];

		if (e->id == 0 || e->elsewhere || !blame_is_own(other, e->id))
			continue;
		e->elsewhere = news = true;
	}
	return news;
}

uint32_t
blame_freed(const struct blame *b)
{
	uint32_t freed = 0, stand = 0;

	for (size_t i = 0; i < BLAME_MAX; i++) {
		const struct blame_entry *e = &b->entry[i];

		if (is_own(e))
			freed |= e->failed;
		else
			stand |= e->failed & ~e->passed;
	}
	return freed & ~stand;
}
