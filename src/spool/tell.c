/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/tell.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "spool/state.h"

#include "base/banned.h"

#define TELL_MESSAGES	1024u		/* in one turn of the loop */

static int64_t
due_at(const struct spool_message *m)
{
	return m->next_ms != 0 ? m->next_ms : m->received_ms;
}

static int
compare_due(const void *a, const void *b)
{
	const struct spool_message *x = *(struct spool_message *const *)a;
	const struct spool_message *y = *(struct spool_message *const *)b;

	if (due_at(x) != due_at(y))
		return due_at(x) < due_at(y) ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

void
tell_order(struct telling *t, struct index *found)
{
	struct spool_message *m;
	bool in_order = true;

	t->message = xcalloc(found->n, sizeof(struct spool_message *));
	for (size_t pos = 0; (m = index_next(found, &pos)) != NULL;) {
		m->flags |= SPOOL_UNTOLD;
		t->message[t->n++] = m;
		if (t->n > 1 && in_order)
			in_order = compare_due(&t->message[t->n - 2], &t->message[t->n - 1]) < 0;
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
	message_count(s, m);
	s->events.on_message(s->owner, m);
}

bool
tell_some(struct telling *t, struct spool *s)
{
	for (size_t i = 0; i < TELL_MESSAGES && t->next < t->n && !s->closing; i++)
		tell(s, t->message[t->next++]);
	return t->next == t->n || s->closing;
}

void
tell_done(struct telling *t)
{
	free(t->message);
	*t = (struct telling){ .message = NULL };
}
