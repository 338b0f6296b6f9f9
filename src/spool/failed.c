/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A write or a sync has failed: the segment is closed to writing, new mail is refused, and what became of messages is
 * written again to the next one. doc/spool-format.md, "When a write or sync fails".
 */
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

static bool
is_new_mail(const struct entry *x)
{
	return x->type == RECORD_MESSAGE || x->type == RECORD_COMMIT || x->type == RECORD_CHUNK;
}

/* Would a record have stood there that the job could not write, or not sync? */
static bool
is_lost(const struct commit_job *j, uint32_t segment, uint64_t at)
{
	const struct segment *failed = j->fault == FAULT_SEAL ? j->old : j->target;

	return (j->fresh != NULL && segment == j->start.number) ||
	    (failed != NULL && segment == failed->number && at >= failed->synced);
}

/* The record is to be linked again, to the one before it that is not lost: texts are read there. */
static void
unplace(struct spool *s, struct batch *b, const struct entry *x, const struct commit_job *j)
{
	struct spool_message *m = index_get(s->index, x->id);
	struct outcome o;

	if (x->type != RECORD_UPDATE || m == NULL ||
	    outcome_get(&o, view_of(batch_payload(b, x), x->length), NULL) < 0 ||
	    is_lost(j, o.prev_segment, (uint64_t)o.prev_offset64 * RECORD_UNIT))
		return;
	m->outcome_segment = o.prev_segment;
	m->outcome_offset64 = o.prev_offset64;
}

/* Keep what became of messages, to be written again; refuse new mail. */
static void
salvage(struct spool *s, struct list *front, struct batch *b, const struct commit_job *j, bool written)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct entry *x = &b->entry[i];

		if (is_new_mail(x) && !written)
			txn_refused(x->txn, x, &j->e);
		if (is_new_mail(x) || x->type == RECORD_VOID)
			continue;
		unplace(s, b, x, j);
		if (written)
			s->reserve += x->reserved;
		batch_copy(commit_last(s, front, x->length), b, x);
		s->gathered_bytes += record_room(x->length);
	}
	if (!written)
		s->gathered_bytes -= buf_len(&b->bytes);
	batch_free(b);
}

/* A commit that waits, of a message whose chunks are lost, is not to be written. */
static void
withdraw_failed(struct spool *s)
{
	list_foreach(link, &s->batches) {
		struct batch *b = list_entry(link, struct batch, link);

		for (uint32_t i = 0; i < b->n; i++) {
			struct entry *x = &b->entry[i];

			if (x->type != RECORD_COMMIT || !x->txn->failed)
				continue;
			x->type = RECORD_VOID;
			txn_refused(x->txn, x, &x->txn->why);
			x->txn = NULL;
		}
	}
}

static void
salvage_all(struct spool *s, const struct commit_job *j, bool unsynced_too)
{
	struct list front, *link;

	list_init(&front);
	if (unsynced_too) {
		while ((link = list_pop(&s->unsynced)) != NULL)
			salvage(s, &front, list_entry(link, struct batch, link), j, true);
		s->unsynced_bytes = 0;
	}
	if (j->batch != NULL)
		salvage(s, &front, j->batch, j, false);
	list_move_all(&front, &s->batches);
	list_move_all(&s->batches, &front);
}

/* Nothing is written to this segment any more; what was not synced counts as never written. */
static void
abandon_current(struct spool *s, struct segment *sg, const struct commit_job *j)
{
	segment_ended(sg);
	sg->unfit = true;
	if (j->cut)
		sg->size = sg->written = sg->synced;
	sg->abandon_from = sg->synced;
	s->abandons = sg->number;
	s->abandons_from = sg->synced;
	s->abandons_tail = false;
	s->current = NULL;
	log_opened(s, sg, -1);
	txn_lost_range(s, sg->number, sg->synced, &j->e);
	withdraw_failed(s);
}

void
commit_failed(struct spool *s, const struct commit_job *j)
{
	switch (j->fault) {
	case FAULT_SEAL:
		abandon_current(s, j->old, j);
		salvage_all(s, j, true);
		space_note_failure(s, &j->e);
		break;
	case FAULT_BEGIN:
		salvage_all(s, j, false);
		s->spare_err = j->e;		/* the spare is used up all the same */
		if (j->e.kind != ERR_FULL)
			space_note_failure(s, &j->e);
		s->hold_until = loop_now(s->env.loop) + RETRY_MS;
		break;
	case FAULT_WRITE:
		abandon_current(s, j->target, j);
		salvage_all(s, j, true);
		space_note_failure(s, &j->e);
		break;
	case FAULT_SPARE:
		salvage_all(s, j, false);
		break;
	case FAULT_NONE:
		break;
	}
}
