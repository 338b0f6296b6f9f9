/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which batch a record goes to: what became of mail to the last one, in the order in which it is known; new mail so
 * that no user fills them for the others. doc/spool-format.md, "Writing".
 */
#include "spool/state.h"

#include "base/banned.h"

uint64_t
commit_batch_limit(const struct spool *s)
{
	uint64_t quarter = (s->current != NULL ? s->current->size : s->params.segment_size) / 4;

	return quarter < BATCH_MAX ? quarter : BATCH_MAX;
}

static bool
batch_has_room(const struct spool *s, const struct batch *b, size_t payload)
{
	return b->n == 0 || (b->n < BATCH_RECORDS_MAX &&
	    buf_len(&b->bytes) + record_room(payload) <= commit_batch_limit(s));
}

static struct batch *
last_batch(struct list *batches)
{
	return list_is_empty(batches) ? NULL : list_entry(batches->prev, struct batch, link);
}

struct batch *
commit_last(const struct spool *s, struct list *batches, size_t payload)
{
	struct batch *b = last_batch(batches);

	if (b == NULL || !batch_has_room(s, b, payload)) {
		b = batch_new();
		list_push(batches, &b->link);
	}
	return b;
}

struct batch *
commit_gather(struct spool *s, size_t payload)
{
	commit_kick(s);
	return commit_last(s, &s->batches, payload);
}

void
commit_end(struct spool *s, struct batch *b)
{
	batch_end(b);
	s->gathered_bytes += record_room(b->entry[b->n - 1].length);
}

void
commit_kick(struct spool *s)
{
	/* At the end of the turn: all that this turn brings goes into one batch. */
	task_post(s->env.loop, &s->kick);
}

void
commit_outcome_gathered(struct spool *s)
{
	if (!timer_is_set(&s->sync_timer))
		timer_set(s->env.loop, &s->sync_timer, s->params.outcome_sync_ms);
}

/* --- new mail ----------------------------------------------------------------- */

/*
 * What a user has of a batch is never more than what he leaves of it to the others. It may get
 * twice as long by that as one user alone can make it.
 */
static bool
has_room_for(const struct spool *s, const struct batch *b, int64_t user, size_t payload)
{
	uint64_t room = record_room(payload);

	return b->n == 0 || (b->n < BATCH_RECORDS_MAX &&
	    buf_len(&b->bytes) + room + batch_part(b, user) + room <= 2 * commit_batch_limit(s));
}

/*
 * The first one with room, but not before one that has records of the same user: the chunks of
 * a message are in the order in which they are written.
 */
struct batch *
commit_gather_mail(struct spool *s, int64_t user, size_t payload)
{
	struct batch *found = NULL;

	list_foreach(link, &s->batches) {
		struct batch *b = list_entry(link, struct batch, link);

		if (batch_part(b, user) > 0)
			found = NULL;
		if (found == NULL && has_room_for(s, b, user, payload))
			found = b;
	}
	if (found == NULL) {
		found = batch_new();
		list_push(&s->batches, &found->link);
	}
	commit_kick(s);
	return found;
}

uint64_t
commit_waiting(const struct spool *s, int64_t user)
{
	uint64_t sum = 0;

	list_foreach(link, &s->batches)
		sum += batch_part(list_entry(link, struct batch, link), user);
	return sum;
}

void
commit_end_mail(struct spool *s, struct batch *b, int64_t user)
{
	commit_end(s, b);
	batch_part_add(b, user, record_room(b->entry[b->n - 1].length));
}
