/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which batch new mail goes to, so that no user fills them for the others: doc/spool-format.md,
 * "Writing". What became of mail goes to the last one, in the order in which it is known.
 */
#include "spool/state.h"

#include "base/banned.h"

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
