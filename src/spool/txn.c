/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message on its way in. Its envelope lines and text run through stream; while
 * they fit one record they stay there, else they leave in chunks of SPOOL_CHUNK.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

#define STREAM_KEEP	(4u * SPOOL_CHUNK)	/* of text, a chunk and what comes behind it */

static void
txn_free(struct spool_txn *t)
{
	struct spool *s = t->s;

	list_remove(&t->link);
	s->ntxns--;
	s->ncopies -= t->copy;
	buf_done(&t->stream);
	free(t->extent);
	log_unpin(s, t->begun_in);
	free(t);
}

static void
txn_fail(struct spool_txn *t, const struct err *why)
{
	if (t->failed)
		return;
	t->failed = true;
	t->why = *why;
	if (t->state == TXN_WAITING || t->state == TXN_COMMITTING) {
		list_remove(&t->link);
		list_push(&t->s->failed, &t->link);
		commit_kick(t->s);
	}
}

/* NULL: the envelope is malformed or too long. */
static struct spool_txn *
txn_new(struct spool *s, spool_id id, uint32_t begun_in, const struct envelope *env)
{
	struct envelope lines = *env;
	struct spool_txn *t = xzalloc(sizeof(*t));

	/* Both are known only at the end, and are added there. */
	lines.size = 0;
	lines.eight_bit = false;
	*t = (struct spool_txn){ .s = s, .id = id, .begun_in = begun_in, .nrcpt = env->nrcpt,
		.received_ms = env->received_ms, .user = env->uid, .bounce = env->bounce,
		.eight_bit = env->eight_bit };
	list_init(&t->link);
	list_push(&s->txns, &t->link);
	s->ntxns++;
	log_pin(s, begun_in);
	buf_init(&t->stream, ENVELOPE_MAX + SPOOL_CHUNK);
	if (!envelope_encode(&t->stream, &lines) || buf_len(&t->stream) > ENVELOPE_MAX - LINES_TAIL_MAX) {
		txn_free(t);
		return NULL;
	}
	t->envelope_length = (uint32_t)buf_len(&t->stream);
	return t;
}

int
spool_begin(struct spool_txn **out, struct spool *s, const struct envelope *env, spool_id *id, struct err *e)
{
	struct spool_txn *t;
	uint32_t begun_in;
	spool_id new_id;

	if (space_check(s, env->nrcpt, env->size, e) < 0)
		return -1;
	/* Also of messages that he gave up: their chunks are still on their way. */
	if (commit_waiting(s, env->uid) > WAITING_MAX)
		return err_set(e, ERR_FULL, "the disk does not keep up");
	new_id = log_next_id(s, &begun_in);
	if (new_id == 0)
		return err_set(e, ERR_FULL, "the message numbers of this segment are used up");
	t = txn_new(s, new_id, begun_in, env);
	if (t == NULL)
		return err_set(e, ERR_INPUT, "the envelope is malformed or too long");
	s->reserve += outcome_room(t->nrcpt);
	*out = t;
	*id = new_id;
	return 0;
}

/* --- copies of stored messages ---------------------------------------------------- */

/* Its room for outcomes is kept already, and no limit of new mail counts. */
struct spool_txn *
txn_begin_copy(struct spool *s, const struct spool_message *m, const struct envelope *env,
    struct copy *of)
{
	const struct segment *last = list_entry(s->segments.prev, struct segment, link);
	struct spool_txn *t = txn_new(s, m->id, last->number, env);

	if (t == NULL)
		return NULL;
	t->copy = true;
	t->of = of;
	s->ncopies++;
	return t;
}

static int
check_room(struct spool_txn *t, struct err *e)
{
	return t->copy ? space_check_copy(t->s, SPOOL_CHUNK, e) : space_check(t->s, 0, 0, e);
}

static void
give_reserve_back(struct spool_txn *t)
{
	if (!t->copy)
		t->s->reserve -= outcome_room(t->nrcpt);
}

/* --- chunks -------------------------------------------------------------------- */

/* A copy is not new mail: nobody sends it. */
static struct batch *
batch_for(struct spool_txn *t, size_t payload)
{
	return t->copy ? commit_gather(t->s, payload) : commit_gather_mail(t->s, t->user, payload);
}

static void
end_record(struct spool_txn *t, struct batch *b)
{
	if (t->copy)
		commit_end(t->s, b);
	else
		commit_end_mail(t->s, b, t->user);
}

/* The first n bytes of the stream become a B record. */
static int
flush_chunk(struct spool_txn *t, size_t n, struct err *e)
{
	struct batch *b;
	struct entry *x;

	if (!t->copy && space_check_bytes(t->s, n, e) < 0) {
		space_update(t->s);
		return -1;
	}
	if (t->nqueued == EXTENTS_MAX ||
	    (uint64_t)(t->nqueued + 1) * EXTENT_LINE > t->s->params.segment_size / 4)
		return err_set(e, ERR_INPUT, "the message is longer than the spool can hold");
	b = batch_for(t, n);
	x = batch_begin(b, RECORD_CHUNK, t->id, n);
	if (x == NULL)
		return err_set(e, ERR_FULL, "out of memory");
	x->txn = t;
	if (!buf_add(&b->bytes, view_first(buf_view(&t->stream), n))) {
		batch_cancel(b);
		return err_set(e, ERR_FULL, "out of memory");
	}
	end_record(t, b);
	buf_consume(&t->stream, n);
	t->nqueued++;
	t->inflight++;
	t->pending += n;
	return 0;
}

/* The room of a long envelope that is out is not kept for the text. */
static void
trim_stream(struct spool_txn *t)
{
	struct buf rest;

	if (t->stream.cap <= STREAM_KEEP || buf_len(&t->stream) >= SPOOL_CHUNK)
		return;
	buf_init(&rest, t->stream.max);
	if (!buf_add(&rest, buf_view(&t->stream)))
		return;
	buf_done(&t->stream);
	t->stream = rest;
}

/* Too long for one record: out with all full chunks. */
static int
flush_full(struct spool_txn *t, struct err *e)
{
	if (t->nqueued == 0 && buf_len(&t->stream) + LINES_TAIL_MAX <= SPOOL_CHUNK)
		return 0;
	t->chunked = true;
	while (buf_len(&t->stream) >= SPOOL_CHUNK)
		/* Not into the room that is kept for outcomes. */
		if (check_room(t, e) < 0 || flush_chunk(t, SPOOL_CHUNK, e) < 0)
			return -1;
	trim_stream(t);
	return 0;
}

int
spool_append(struct spool_txn *t, struct view v, size_t *pending, struct err *e)
{
	require(t->state == TXN_OPEN);
	while (!t->failed && v.n > 0) {
		struct view some = view_first(v, SPOOL_CHUNK);

		if (t->pending > TXN_PENDING_MAX) {
			err_set(&t->why, ERR_FULL, "the disk does not keep up");
			t->failed = true;
		} else if (!buf_add(&t->stream, some)) {
			err_set(&t->why, ERR_FULL, "out of memory");
			t->failed = true;
		} else if (flush_full(t, &t->why) < 0) {
			t->failed = true;
		}
		t->size += some.n;
		v = view_from(v, some.n);
	}
	*pending = t->pending;
	if (t->failed) {
		if (e != NULL)
			*e = t->why;
		return -1;
	}
	return 0;
}

void
spool_txn_on_written(struct spool_txn *t, void (*fn)(void *, size_t), void *owner)
{
	t->on_written = fn;
	t->written_owner = owner;
}

/* --- commit ---------------------------------------------------------------------- */

/* The batch for a record of this size, and for how a copied message stands behind it. */
static struct batch *
gather(struct spool_txn *t, size_t payload, struct buf *outcome)
{
	buf_init(outcome, outcome_max(t->nrcpt));
	if (t->of != NULL)
		copy_put_outcome(t->of, outcome);
	if (buf_len(outcome) > 0)
		payload += RECORD_HEADER + RECORD_UNIT + buf_len(outcome);
	return batch_for(t, payload);
}

/*
 * In the same batch, so both are synced when the old place is given up. Were only the copy
 * there, the message would stand as it stood before.
 */
static void
put_outcome(struct spool_txn *t, struct batch *b, struct buf *outcome)
{
	if (buf_len(outcome) > 0) {
		require(batch_begin(b, RECORD_UPDATE, t->id, buf_len(outcome)) != NULL);
		require(buf_add(&b->bytes, buf_view(outcome)));
		commit_end(t->s, b);
	}
	buf_done(outcome);
}

/* All in one record: envelope lines, what is known only now, empty line, text. */
static int
put_message(struct spool_txn *t, struct err *e)
{
	size_t payload = buf_len(&t->stream) + LINES_TAIL_MAX;
	struct view all = buf_view(&t->stream);
	struct buf outcome;
	struct batch *b = gather(t, payload, &outcome);
	struct entry *x = batch_begin(b, RECORD_MESSAGE, t->id, payload);

	if (x == NULL) {
		buf_done(&outcome);
		return err_set(e, ERR_FULL, "out of memory");
	}
	x->txn = t;
	if (!buf_add(&b->bytes, view_first(all, t->envelope_length)) ||
	    !lines_put_tail(&b->bytes, t->size, t->eight_bit) ||
	    !buf_add_byte(&b->bytes, '\n') || !buf_add(&b->bytes, view_from(all, t->envelope_length))) {
		buf_done(&outcome);
		batch_cancel(b);
		return err_set(e, ERR_FULL, "out of memory");
	}
	end_record(t, b);
	put_outcome(t, b, &outcome);
	buf_done(&t->stream);
	return 0;
}

/* The chunks are written: now they are a message. */
static int
put_commit(struct spool_txn *t, struct err *e)
{
	struct commit_lines c = { .size = t->size, .received_ms = t->received_ms,
		.uid = t->user, .eight_bit = t->eight_bit, .bounce = t->bounce, .nrcpt = t->nrcpt,
		.envelope = t->envelope_length, .nextent = t->nextent, .extent = t->extent };
	size_t payload = 512 + (size_t)t->nextent * EXTENT_LINE;
	struct buf outcome;
	struct batch *b = gather(t, payload, &outcome);
	struct entry *x;

	x = batch_begin(b, RECORD_COMMIT, t->id, payload);
	if (x == NULL)
		goto no_memory;
	x->txn = t;
	if (!lines_put_commit(&b->bytes, &c)) {
		batch_cancel(b);
		goto no_memory;
	}
	end_record(t, b);
	put_outcome(t, b, &outcome);
	return 0;
no_memory:
	buf_done(&outcome);
	return err_set(e, ERR_FULL, "out of memory");
}

/* Put M, or C once all chunks are written. */
static void
txn_go_on(struct spool_txn *t)
{
	struct err e = { 0 };
	int rc = 0;

	if (t->nqueued > 0 && buf_len(&t->stream) > 0)
		rc = flush_chunk(t, buf_len(&t->stream), &e);
	if (rc == 0 && t->inflight > 0)
		return;
	/* A copy behind the record of its end would bring it back. */
	if (rc == 0 && t->copy && index_get(t->s->index, t->id) == NULL)
		rc = err_set(&e, ERR_GONE, "the message has ended");
	if (rc == 0)
		rc = t->nqueued > 0 ? put_commit(t, &e) : put_message(t, &e);
	if (rc < 0) {
		txn_fail(t, &e);
		return;
	}
	t->state = TXN_COMMITTING;
	t->inflight++;
}

void
spool_hold(struct spool_txn *t)
{
	t->held = true;
}

void
spool_commit(struct spool_txn *t, bool eight_bit, void (*fn)(void *, spool_id, const struct err *),
    void *owner)
{
	struct err e = t->why;

	require(t->state == TXN_OPEN);
	t->state = TXN_WAITING;
	t->eight_bit |= eight_bit;
	t->on_committed = fn;
	t->owner = owner;
	t->on_written = NULL;
	if (!t->failed && flush_full(t, &e) < 0)
		t->failed = true;
	/* Too long for one record, too short to have left as a full chunk. */
	if (!t->failed && t->nqueued == 0 && t->chunked &&
	    flush_chunk(t, buf_len(&t->stream), &e) < 0)
		t->failed = true;
	if (!t->failed && check_room(t, &e) < 0)
		t->failed = true;
	if (t->failed) {
		t->failed = false;
		txn_fail(t, &e);
		return;
	}
	txn_go_on(t);
}

void
spool_abort(struct spool_txn *t)
{
	require(t->state == TXN_OPEN);
	give_reserve_back(t);
	t->state = TXN_DEAD;
	if (t->inflight == 0)
		txn_free(t);
}

/*
 * A C whose chunks are where the damaged message was: they are not there, so it stays
 * damaged. What there was of it is in quarantine/.
 */
struct spool_txn *
txn_begin_stub(struct spool *s, const struct spool_message *m, struct copy *of)
{
	const struct segment *last = list_entry(s->segments.prev, struct segment, link);
	uint64_t bytes = m->size + 1;		/* an envelope of one byte */
	struct spool_txn *t = xzalloc(sizeof(*t));

	*t = (struct spool_txn){ .s = s, .id = m->id, .begun_in = last->number, .nrcpt = m->nrcpt,
		.received_ms = m->received_ms, .user = SPOOL_UID_UNSAID, .bounce = (m->flags & SPOOL_BOUNCE) != 0,
		.eight_bit = (m->flags & SPOOL_EIGHT_BIT) != 0, .copy = true, .stub = true, .of = of,
		.envelope_length = 1, .size = m->size };
	list_init(&t->link);
	list_push(&s->txns, &t->link);
	s->ntxns++;
	s->ncopies++;
	log_pin(s, t->begun_in);
	buf_init(&t->stream, 0);
	t->nextent = t->nqueued = (uint32_t)((bytes + SPOOL_CHUNK - 1) / SPOOL_CHUNK);
	t->extent = xcalloc(t->nextent, sizeof(*t->extent));
	for (uint32_t i = 0; i < t->nextent; i++, bytes -= t->extent[i - 1].length)
		t->extent[i] = (struct extent){ m->segment, m->offset64,
			bytes < SPOOL_CHUNK ? (uint32_t)bytes : SPOOL_CHUNK, 0 };
	return t;
}

/* --- from the commit job ------------------------------------------------------------ */

void
txn_chunk_written(struct spool_txn *t, const struct entry *x, uint32_t segment, uint64_t at)
{
	t->inflight--;
	t->pending -= x->length;
	if (t->state == TXN_DEAD) {
		if (t->inflight == 0)
			txn_free(t);
		return;
	}
	if (t->extent == NULL || (t->nextent & (t->nextent - 1)) == 0)
		t->extent = xrealloc(t->extent, (t->nextent != 0 ? t->nextent * 2 : 1) * sizeof(*t->extent));
	t->extent[t->nextent++] = (struct extent){ segment, (uint32_t)(at / RECORD_UNIT), x->length, x->crc };
	if (t->state == TXN_WAITING && !t->failed && t->inflight == 0)
		txn_go_on(t);
	else if (t->state == TXN_OPEN && t->on_written != NULL)
		t->on_written(t->written_owner, t->pending);
}

void
txn_committed(struct spool_txn *t)
{
	void (*fn)(void *, spool_id, const struct err *) = t->on_committed;
	void *owner = t->owner;
	spool_id id = t->id;

	txn_free(t);
	fn(owner, id, NULL);
}

void
txn_refused(struct spool_txn *t, const struct entry *x, const struct err *why)
{
	t->inflight--;
	if (x->type == RECORD_CHUNK)
		t->pending -= x->length;
	if (t->state == TXN_DEAD) {
		if (t->inflight == 0)
			txn_free(t);
		return;
	}
	txn_fail(t, why);
	/* Whoever waits for credit goes on, and learns of it at the next append. */
	if (t->state == TXN_OPEN && t->on_written != NULL)
		t->on_written(t->written_owner, t->pending);
}

void
txn_lost_range(struct spool *s, uint32_t segment, uint64_t from, const struct err *why)
{
	list_foreach_safe(link, &s->txns) {
		struct spool_txn *t = list_entry(link, struct spool_txn, link);

		for (uint32_t i = 0; i < t->nextent && !t->failed; i++)
			if (t->extent[i].segment == segment &&
			    (uint64_t)t->extent[i].offset64 * RECORD_UNIT >= from)
				txn_fail(t, why);
	}
}

/* Failures are told from the loop, when no batch points to the transaction any more. */
void
txn_tell_failed(struct spool *s)
{
	list_foreach_safe(link, &s->failed) {
		struct spool_txn *t = list_entry(link, struct spool_txn, link);
		void (*fn)(void *, spool_id, const struct err *) = t->on_committed;
		void *owner = t->owner;
		struct err why = t->why;
		spool_id id = t->id;

		if (t->inflight > 0)
			continue;
		give_reserve_back(t);
		txn_free(t);
		fn(owner, id, &why);
	}
}

void
txn_free_all(struct spool *s)
{
	list_foreach_safe(link, &s->txns)
		txn_free(list_entry(link, struct spool_txn, link));
	list_foreach_safe(link, &s->failed)
		txn_free(list_entry(link, struct spool_txn, link));
}
