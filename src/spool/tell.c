/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/tell.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "spool/state.h"

#include "base/banned.h"

#define TELL_MESSAGES	1024u		/* in one turn of the loop */
#define TELL_PAGES	65536u		/* given back at once; whole pages anywhere */

static int64_t
due_at(const struct spool_message *m)
{
	return m->next_ms != 0 ? m->next_ms : m->received_ms;
}

/* Backwards: the end of the array is told first. */
static int
compare_due(const void *a, const void *b)
{
	const struct spool_message *x = *(struct spool_message *const *)b;
	const struct spool_message *y = *(struct spool_message *const *)a;

	if (due_at(x) != due_at(y))
		return due_at(x) < due_at(y) ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static size_t
bytes_for(size_t n)
{
	return (n * sizeof(struct spool_message *) + TELL_PAGES - 1) / TELL_PAGES * TELL_PAGES;
}

void
tell_order(struct telling *t, struct index *found)
{
	struct spool_message *m;
	bool in_order = true;

	if (found->n == 0)
		return;
	t->n = found->n;
	t->bytes = bytes_for(t->n);
	t->message = pages_new(t->bytes);
	for (size_t pos = 0, at = t->n; (m = index_next(found, &pos)) != NULL;) {
		m->flags |= SPOOL_UNTOLD;
		t->message[--at] = m;
		if (at + 1 < t->n && in_order)
			in_order = compare_due(&t->message[at], &t->message[at + 1]) < 0;
	}
	/* Most often they are: then the memory that qsort() takes is saved. */
	if (!in_order)
		qsort(t->message, t->n, sizeof(struct spool_message *), compare_due);
}

static void
tell(struct spool *s, struct spool_message *m)
{
	m->flags &= (uint8_t)~SPOOL_UNTOLD;
	s->nuntold--;
	if (log_segment(s, m->first_segment) == NULL)	/* its chunks are lost; told on reading */
		m->first_segment = m->segment;
	message_tell(s, m);
}

static void
shrink(struct telling *t)
{
	size_t bytes = bytes_for(t->n);

	if (bytes < t->bytes)
		pages_free((uint8_t *)t->message + bytes, t->bytes - bytes);
	t->bytes = bytes;
}

bool
tell_some(struct telling *t, struct spool *s)
{
	for (size_t i = 0; i < TELL_MESSAGES && t->n > 0 && !s->closing; i++)
		tell(s, t->message[--t->n]);
	shrink(t);
	return t->n == 0 || s->closing;
}

void
tell_done(struct telling *t)
{
	t->n = 0;
	shrink(t);
}
