/* SPDX-License-Identifier: BSD-2-Clause */
/* What a record means once it is written, and synced if anybody waits for that: messages, their places, the summary. */
#include "base/require.h"
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

static struct spool_message *
add_message(struct spool *s, spool_id id, uint32_t nrcpt, const struct segment *sg, uint64_t at,
    uint32_t length)
{
	struct spool_message *m = index_add(s->index, id, nrcpt);

	m->segment = m->first_segment = sg->number;
	m->offset64 = (uint32_t)(at / RECORD_UNIT);
	m->length64 = (uint32_t)(record_room(length) / RECORD_UNIT);
	s->reserve -= outcome_room(nrcpt);	/* from here on the message has it */
	return m;
}

/* It may have ended meanwhile: then its end is recorded behind the copy. */
static void
copy_written(struct spool *s, const struct entry *x, const struct segment *sg, uint64_t at)
{
	struct spool_message *m = index_get(s->index, x->id);
	const struct spool_txn *t = x->txn;
	bool chunks = x->type == RECORD_COMMIT && !t->stub;

	if (m != NULL)
		message_moved(s, m, sg->number, at, x->length,
		    chunks ? t->extent[0].segment : sg->number);
	txn_committed(x->txn);
}

static void
message_written(struct spool *s, const struct entry *x, const struct segment *sg, uint64_t at)
{
	struct spool_txn *t = x->txn;
	struct spool_message *m;

	if (t->copy) {
		copy_written(s, x, sg, at);
		return;
	}
	m = add_message(s, x->id, t->nrcpt, sg, at, x->length);
	m->received_ms = t->received_ms;
	m->size = t->size;
	m->uid = t->user;
	message_flags(m, t->bounce, t->eight_bit);
	if (t->held)
		m->flags |= SPOOL_HELD;
	if (x->type == RECORD_COMMIT)
		m->first_segment = t->extent[0].segment;
	s->accepted++;
	message_tell(s, m);
	txn_committed(t);
}

static void
bounce_written(struct spool *s, struct batch *b, const struct entry *x, const struct segment *sg,
    uint64_t at)
{
	struct spool_message *m;
	struct envelope env;

	require(envelope_decode(&env, view_of(batch_payload(b, x) + x->envelope_at, x->envelope_length),
	    NULL) == 0);		/* we have just written it */
	m = add_message(s, x->new_id, env.nrcpt, sg, at, x->length);
	message_from_envelope(m, &env);
	envelope_done(&env);
	summary_message(sg->summary, m);
	message_tell(s, m);
	log_unpin(s, x->new_begun_in);
}

/* What M and C say; of a message that is in memory, or not any more. */
static void
summarize_message(const struct segment *sg, const struct entry *x, uint64_t at)
{
	const struct spool_txn *t = x->txn;
	struct spool_message m = { .id = x->id, .received_ms = t->received_ms, .size = t->size,
		.segment = sg->number, .first_segment = sg->number,
		.offset64 = (uint32_t)(at / RECORD_UNIT),
		.length64 = (uint32_t)(record_room(x->length) / RECORD_UNIT), .nrcpt = (uint16_t)t->nrcpt,
		.uid = t->user };

	message_flags(&m, t->bounce, t->eight_bit);
	for (uint32_t i = 0; x->type == RECORD_COMMIT && i < t->nextent; i++)
		if (t->extent[i].segment < m.first_segment)
			m.first_segment = t->extent[i].segment;
	summary_message(sg->summary, &m);
}

/* What a record means once it is written; sync tells of M, C and G, which are never without. */
void
commit_written(struct spool *s, struct batch *b, struct entry *x, const struct segment *sg, uint64_t base)
{
	void (*on_written)(void *) = x->on_written;
	uint64_t at = base + x->at;

	s->reserve -= x->reserved;
	switch (x->type) {
	case RECORD_CHUNK:
		txn_chunk_written(x->txn, x, sg->number, at);
		break;
	case RECORD_MESSAGE:
	case RECORD_COMMIT:
		summarize_message(sg, x, at);
		message_written(s, x, sg, at);
		break;
	case RECORD_GROUP:
		summary_finish(sg->summary, x->id, at);
		bounce_written(s, b, x, sg, at);
		break;
	case RECORD_FINISH:
		summary_finish(sg->summary, x->id, at);
		break;
	case RECORD_UPDATE:
		summary_outcome(sg->summary, x->id, at, record_room(x->length),
		    view_of(batch_payload(b, x), x->length));
		break;
	default:
		break;
	}
	x->on_written = NULL;		/* it may have to be written again, and is told of once */
	if (on_written != NULL)
		on_written(x->owner);
}
