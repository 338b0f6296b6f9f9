/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/spool.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

/* --- what became of a message --------------------------------------------------- */

static void
take_results(struct spool_message *m, const struct spool_update *u)
{
	struct spool_rcpt *r = spool_rcpts(m);

	for (size_t i = 0; i < u->nresult; i++) {
		require(u->result[i].rcpt < m->nrcpt);
		r[u->result[i].rcpt].state = (uint8_t)u->result[i].state;
		r[u->result[i].rcpt].code = u->result[i].code;
	}
	m->attempts = u->attempts;
	m->flags = (uint8_t)((m->flags & ~(SPOOL_HELD | SPOOL_UNCERTAIN)) |
	    (u->flags & (SPOOL_HELD | SPOOL_UNCERTAIN)));
	m->next_ms = u->next_ms;
}

static void
put_outcome(struct spool *s, struct buf *out, struct spool_message *m, const struct spool_update *u)
{
	require(outcome_put(out, m, u, !space_short(s)));
}

void
spool_update(struct spool *s, struct spool_message *m, const struct spool_update *u,
    void (*on_written)(void *owner), void *owner)
{
	struct buf text;
	struct batch *b;
	struct entry *x;

	take_results(m, u);
	buf_init(&text, outcome_max(m->nrcpt));
	put_outcome(s, &text, m, u);
	b = commit_gather(s, buf_len(&text));
	x = batch_begin(b, RECORD_UPDATE, m->id, buf_len(&text));
	require(x != NULL);
	x->on_written = on_written;
	x->owner = owner;
	require(buf_add(&b->bytes, buf_view(&text)));
	commit_end(s, b);
	commit_outcome_gathered(s);
	buf_done(&text);
}

/*
 * Delivery goes on when the spool is degraded and there is no segment to write to: what became of messages is
 * in memory then, up to a limit, and counts as written (doc/spool-format.md, "When a write or sync fails").
 */
void
spool_tell_kept(struct spool *s)
{
	if (!s->degraded || s->current != NULL || s->gathered_bytes > KEPT_MAX)
		return;
	list_foreach(link, &s->batches) {
		struct batch *b = list_entry(link, struct batch, link);

		for (uint32_t i = 0; i < b->n; i++) {
			void (*on_written)(void *) = b->entry[i].on_written;
			void *owner = b->entry[i].owner;

			if (on_written == NULL || b->entry[i].type != RECORD_UPDATE)
				continue;
			b->entry[i].on_written = NULL;
			on_written(owner);	/* may gather more */
		}
	}
}

/* M of the bounce, as a part of a group. */
static void
put_bounce(struct buf *out, struct entry *x, const struct spool_bounce *bounce)
{
	struct envelope lines = *bounce->envelope;
	size_t part = buf_len(out), begin;

	lines.size = 0;
	lines.eight_bit = false;
	lines.bounce = true;
	require(bounce->message.n <= SPOOL_BOUNCE_MAX);
	require(buf_reserve(out, RECORD_PART) != NULL);
	buf_grew(out, RECORD_PART);
	begin = buf_len(out);
	x->envelope_at = (uint32_t)begin;
	require(envelope_encode(out, &lines) &&
	    lines_put_tail(out, bounce->message.n, bounce->envelope->eight_bit));
	x->envelope_length = (uint32_t)(buf_len(out) - begin);
	require(buf_add_byte(out, '\n') && buf_add(out, bounce->message));
	record_put_part(out->data + out->off + part, RECORD_MESSAGE, x->new_id,
	    (uint32_t)(buf_len(out) - begin));
}

static void
put_finish_part(struct buf *out, spool_id id, const struct buf *outcome)
{
	uint8_t *at = buf_reserve(out, RECORD_PART);

	require(at != NULL);
	record_put_part(at, RECORD_FINISH, id, (uint32_t)buf_len(outcome));
	buf_grew(out, RECORD_PART);
	require(buf_add(out, buf_view(outcome)));
}

static spool_id
finish(struct spool *s, struct spool_message *m, const struct buf *outcome,
    const struct spool_bounce *bounce, void (*on_written)(void *), void *owner)
{
	struct entry about = { .begun_in = message_begun_in(m), .reserved = outcome_room(m->nrcpt),
		.on_written = on_written, .owner = owner };
	struct buf payload;
	struct batch *b;
	struct entry *x;

	buf_init(&payload, buf_len(outcome) + ENVELOPE_MAX + SPOOL_BOUNCE_MAX + SPOOL_CHUNK);
	if (bounce != NULL) {
		about.new_id = log_next_id(s, &about.new_begun_in);
		require(about.new_id != 0);	/* 16 million bounces within one segment */
		log_pin(s, about.new_begun_in);
		s->reserve += outcome_room(bounce->envelope->nrcpt);
		put_finish_part(&payload, m->id, outcome);
		put_bounce(&payload, &about, bounce);
	} else {
		require(buf_add(&payload, buf_view(outcome)));
	}
	b = commit_gather(s, buf_len(&payload));
	x = batch_begin(b, bounce != NULL ? RECORD_GROUP : RECORD_FINISH, m->id, buf_len(&payload));
	require(x != NULL);
	about.at = x->at;
	about.type = x->type;
	about.id = x->id;
	*x = about;
	require(buf_add(&b->bytes, buf_view(&payload)));
	commit_end(s, b);
	buf_done(&payload);
	return about.new_id;
}

spool_id
spool_finish(struct spool *s, struct spool_message *m, const struct spool_update *u,
    const struct spool_bounce *bounce, void (*on_written)(void *), void *owner)
{
	struct buf outcome;
	spool_id id;

	require(!heap_has(&m->due));
	take_results(m, u);
	buf_init(&outcome, outcome_max(m->nrcpt));
	put_outcome(s, &outcome, m, u);
	id = finish(s, m, &outcome, bounce, on_written, owner);
	buf_done(&outcome);
	commit_outcome_gathered(s);
	s->finished++;
	message_remove(s, m);
	space_update(s);
	return id;
}

/* --- statistics -------------------------------------------------------------------- */

void
spool_stats(const struct spool *s, struct spool_stats *out)
{
	*out = (struct spool_stats){
		.messages = s->index->n - s->nuntold, .recipients = s->recipients, .bytes_queued = s->bytes_queued,
		.log_bytes = log_bytes(s), .segments = s->nsegments,
		.commits = s->commits, .syncs = s->syncs, .sync_us_last = s->sync_us_last,
		.batches = s->nbatches, .batch_max = s->batch_max,
		.volatile_fs = s->space_known && s->space.volatile_fs,
		.accepted = s->accepted, .finished = s->finished, .quarantined = s->quarantined,
		.absent = s->absent, .unreadable = s->nunread,
		.spares = s->nspares, .reused = s->reused, .reuse = s->reuse, .moved = s->moved,
		.recovering = s->recovery != NULL, .found = recover_messages(s) + s->nuntold, .health = s->health,
	};
	memcpy(out->why, s->why, sizeof(out->why));
}

/* --- the end ------------------------------------------------------------------------- */

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	s->sealing = true;	/* nothing is begun any more */
	compact_free(s);
	recover_free(s);
	require(!s->busy && s->nreaders == 0);
	txn_free_all(s);
	if (s->env.loop != NULL) {
		timer_cancel(s->env.loop, &s->sync_timer);
		timer_cancel(s->env.loop, &s->upkeep_timer);
	}
	task_cancel(&s->kick);
	task_cancel(&s->health_task);
	index_free(s->index);
	log_close_all(s);
	list_foreach_safe(link, &s->batches)
		batch_free(list_entry(link, struct batch, link));
	list_foreach_safe(link, &s->unsynced)
		batch_free(list_entry(link, struct batch, link));
	list_foreach_safe(link, &s->segments) {
		struct segment *sg = list_entry(link, struct segment, link);

		sg->users = 0;
		segment_free(sg);
	}
	map_done(&s->by_number);
	if (s->lock_fd >= 0)
		fs_close(s->env.fs, s->lock_fd);
	free(s);
}

static void
seal_run(struct job *job)
{
	struct commit_job *j = container_of(job, struct commit_job, job);
	struct segment *sg = j->old;

	/* All records are synced, so Z, in an epoch of its own, proves that they were. */
	if (segment_seal(j->fs, sg->fd, sg, &j->closed, &j->e) == 0) {
		/* To give back space, and so that the next start finds Z; it can do without. */
		if (!j->keep_room)
			(void)fs_truncate(j->fs, sg->fd, j->closed.end, NULL);
		return;
	}
	/* What its sync left in the cache is not to be found there: a later sync would prove nothing. */
	(void)fs_truncate(j->fs, sg->fd, sg->synced, NULL);
}

static void
closed(void *arg)
{
	struct spool *s = arg;
	void (*fn)(void *) = s->on_closed;
	void *owner = s->closed_owner;

	spool_free(s);
	fn(owner);
}

static void
seal_done(struct job *job)
{
	struct commit_job *j = container_of(job, struct commit_job, job);
	struct spool *s = j->s;

	if (j->e.kind != ERR_NONE)
		trouble(s, "closing the spool: %s", j->e.text);
	closed(s);
}

/* No segment could be begun that says what does not count; so that the next start does not find it. */
static void
cut_run(struct job *job)
{
	struct commit_job *j = container_of(job, struct commit_job, job);
	char name[SEGMENT_NAME_MAX];
	int fd = fs_open(j->fs, segment_name(name, DIR_LOG, j->s->abandons), FS_WRITE, &j->e);

	if (fd < 0)
		return;
	/* The sync is of the size: all in front of it was synced before. */
	if (fs_truncate(j->fs, fd, j->s->abandons_from, &j->e) == 0)
		(void)fs_sync(j->fs, fd, &j->e);	/* told by the err */
	fs_close(j->fs, fd);
}

static void
cut_done(struct job *job)
{
	struct commit_job *j = container_of(job, struct commit_job, job);

	if (j->e.kind != ERR_NONE)
		trouble(j->s, "what was refused last may be sent after the next start: %s", j->e.text);
	closed(j->s);
}

/* Nothing is under way and nothing can be written any more. */
static bool
is_quiet(const struct spool *s)
{
	bool stuck = s->hold_until > loop_now(s->env.loop);

	return !s->busy && s->releasing == NULL && s->recovery == NULL && s->nreaders == 0 && s->ntxns == 0 &&
	    ((list_is_empty(&s->batches) && list_is_empty(&s->unsynced) && s->current != NULL) || stuck);
}

void
spool_check_closed(struct spool *s)
{
	if (!s->closing || s->sealing || !is_quiet(s))
		return;
	s->sealing = true;
	s->job = (struct commit_job){ .s = s, .fs = s->env.fs, .old = s->current,
		.keep_room = s->nspares == 0 };
	if (s->current != NULL) {
		s->job.job = (struct job){ .run = seal_run, .done = seal_done };
		worker_submit(s->env.worker, &s->job.job);
	} else if (s->abandons != 0 && !s->abandons_tail) {
		s->job.job = (struct job){ .run = cut_run, .done = cut_done };
		worker_submit(s->env.worker, &s->job.job);
	} else {
		task_cancel(&s->kick);
		task_init(&s->kick, closed, s);
		task_post(s->env.loop, &s->kick);
	}
}

void
spool_close(struct spool *s, void (*on_closed)(void *owner), void *owner)
{
	require(!s->closing);
	s->closing = true;
	s->on_closed = on_closed;
	s->closed_owner = owner;
	s->hold_until = 0;		/* one last attempt to write what could not be written */
	compact_stop(s);
	commit_kick(s);
}
