/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one writer. What is to be written comes from gather.c, what it means once it is written is in written.c, and
 * what becomes of it when that fails in failed.c. One job at a time runs on env.worker: rotation if the batch does not
 * fit, one write, one sync if anybody waits for it. What gathers meanwhile is the next
 * batch. doc/spool-format.md, "Writing" and "When a write or sync fails".
 */
#include "base/require.h"
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

/* --- on the worker ------------------------------------------------------------- */

/*
 * Nobody is to find what could not be synced, for its clients are told that it was refused. The
 * next segment says so for good; this is for a process that ends before there is one.
 */
static void
cut_off(struct commit_job *j, const struct segment *sg)
{
	j->cut = fs_truncate(j->fs, sg->fd, sg->synced, NULL) == 0;
}

static bool
job_rotate(struct commit_job *j)
{
	if (j->old != NULL && segment_seal(j->fs, j->old->fd, j->old, &j->closed, &j->e) < 0) {
		cut_off(j, j->old);
		j->fault = FAULT_SEAL;
		return false;
	}
	if (j->old != NULL) {
		j->start.summary = j->closed.summary;
		j->start.end = j->closed.end;
	}
	if (j->fresh != NULL && segment_begin(j->fs, &j->start, j->spare, j->segment_size,
	    &j->fresh->fd, &j->e) < 0) {
		j->fault = FAULT_BEGIN;
		return false;
	}
	return true;
}

static bool
job_write(struct commit_job *j)
{
	struct segment *sg = j->target;
	struct batch *b = j->batch;

	if (b != NULL) {
		struct iovec iov = { b->bytes.data + b->bytes.off, buf_len(&b->bytes) };

		batch_stamp(b, sg->nonce, sg->epoch, sg->index);
		if (fs_writev(j->fs, sg->fd, &iov, 1, sg->written, &j->e) < 0)
			return false;
	}
	return !j->sync || fs_sync(j->fs, sg->fd, &j->e) == 0;
}

static void
job_run(struct job *job)
{
	struct commit_job *j = container_of(job, struct commit_job, job);

	if (!job_rotate(j))
		return;
	/* Before new mail is written: its outcome must find room. */
	if (j->new_spare != 0)
		j->spare_made = segment_make_spare(j->fs, j->new_spare, j->segment_size, &j->spare_err) == 0;
	if (j->new_spare != 0 && !j->spare_made && j->fresh != NULL && j->batch != NULL &&
	    j->batch->accepts) {
		j->fault = FAULT_SPARE;
		j->e = j->spare_err;
		return;
	}
	if (j->target != NULL && !job_write(j)) {
		char name[SEGMENT_NAME_MAX];

		(void)err_prefix(&j->e, "%s", segment_name(name, DIR_LOG, j->target->number));
		cut_off(j, j->target);
		j->fault = FAULT_WRITE;
		return;
	}
	j->space_known = fs_space(j->fs, &j->space, NULL) == 0;
}

/* --- after a success --------------------------------------------------------------- */

/* All of b is durable: messages that it finishes no longer hold their segments. */
static void
batch_synced(struct spool *s, struct batch *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		const struct entry *x = &b->entry[i];

		if (x->type == RECORD_FINISH || x->type == RECORD_GROUP)
			log_live(s, x->begun_in, -1);
	}
	batch_free(b);
}

static void
all_synced(struct spool *s)
{
	struct list *link;

	while ((link = list_pop(&s->unsynced)) != NULL)
		batch_synced(s, list_entry(link, struct batch, link));
	s->unsynced_bytes = 0;
	s->sync_due = false;
	timer_cancel(s->env.loop, &s->sync_timer);
}

static void
segment_wrote(struct segment *sg, const struct batch *b, bool synced)
{
	if (b != NULL) {
		sg->written += buf_len(&b->bytes);
		sg->index += b->n;
		sg->records += b->n;
	}
	if (synced) {
		sg->synced = sg->written;
		sg->epoch++;
		sg->index = 0;
	}
}

/* So many messages were waiting for the sync that has just ended. */
static void
note_batch(struct spool *s, uint64_t messages)
{
	s->nbatches += messages > 0;
	if (messages > s->batch_max)
		s->batch_max = messages;
}

static void
job_succeeded(struct spool *s, struct commit_job *j)
{
	struct segment *sg = j->target;
	struct batch *b = j->batch;
	uint64_t accepted = s->accepted;
	uint64_t base = sg != NULL ? sg->written : 0;

	if (sg == NULL)
		return;
	segment_wrote(sg, b, j->sync);
	s->commits += b != NULL;
	if (j->sync) {
		s->syncs++;
		s->sync_us_last = (uint64_t)(loop_now(s->env.loop) - s->job_began_ms) * 1000;
		all_synced(s);
	}
	if (b == NULL)
		return;
	s->gathered_bytes -= buf_len(&b->bytes);
	for (uint32_t i = 0; i < b->n; i++)
		commit_written(s, b, &b->entry[i], sg, base);
	note_batch(s, s->accepted - accepted);
	if (j->sync) {
		batch_synced(s, b);
		return;
	}
	list_push(&s->unsynced, &b->link);
	s->unsynced_bytes += buf_len(&b->bytes);
	if (s->unsynced_bytes > UNSYNCED_MAX)
		s->sync_due = true;
	commit_outcome_gathered(s);
}

/* --- one turn ------------------------------------------------------------------------- */

/* The rotation, as far as it came. */
static void
note_rotation(struct spool *s, struct commit_job *j)
{
	if (j->old != NULL && j->fault != FAULT_SEAL) {
		j->old->written = j->old->synced = j->closed.end;
		segment_ended(j->old);
		s->closed = j->closed;
		s->current = NULL;
		s->syncs++;
		all_synced(s);
		log_opened(s, j->old, -1);
	}
	if (j->fresh == NULL)
		return;
	if (j->fault == FAULT_SEAL || j->fault == FAULT_BEGIN) {
		segment_free(j->fresh);
		j->target = NULL;
		return;
	}
	s->syncs++;
	s->current = j->fresh;
	s->last_nonce = j->fresh->nonce;
	s->abandons = 0;
	s->abandons_tail = false;
	log_add_segment(s, j->fresh);
}

static void
job_done(struct job *job)
{
	struct commit_job *j = container_of(job, struct commit_job, job);
	struct spool *s = j->s;
	struct commit_job done = *j;

	s->busy = false;
	if (done.target != NULL)
		done.target->users--;
	if (done.old != NULL)
		done.old->users--;
	if (done.spare != 0 && done.fault != FAULT_SEAL)
		spare_used(s, done.spare);
	note_rotation(s, &done);
	space_learn(s, &done);
	if (done.fault == FAULT_NONE)
		job_succeeded(s, &done);
	else
		commit_failed(s, &done);
	space_update(s);
	txn_tell_failed(s);
	log_release(s);
	compact_consider(s);
	commit_kick(s);
	spool_check_closed(s);
}

static void
plan_rotation(struct spool *s, struct commit_job *j)
{
	struct segment *last = list_entry(s->segments.prev, struct segment, link);

	j->old = s->current;
	j->start = (struct segment_start){ .number = log_next_number(s), .nonce = rng_u64(s->env.rng),
		.created_ms = loop_wall(s->env.loop), .previous = last->number,
		.previous_nonce = last->nonce, .closed = s->abandons == 0, .summary = s->closed.summary,
		.end = s->closed.end, .abandons = s->abandons, .abandons_from = s->abandons_from,
		.abandons_tail = s->abandons_tail };
	j->fresh = segment_new((uint32_t)j->start.number, j->start.nonce);
	j->fresh->size = s->params.segment_size;
	j->fresh->summary = summary_new(j->fresh->number);
	j->fresh->written = j->fresh->synced = segment_start_room(&j->start);
	/* It counts as a spare until the job is done: the job itself makes the next one. */
	j->spare = s->nspares > 0 ? s->spare[s->nspares - 1] : 0;
	j->target = j->fresh;
}

/*
 * Where records of outcomes will stand is known now: link them to the one
 * before. Texts are read from there; states don't depend on it.
 */
static void
place_outcomes(struct spool *s, struct batch *b, const struct segment *sg)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct entry *x = &b->entry[i];
		struct spool_message *m;

		if (x->type != RECORD_UPDATE || (m = index_get(s->index, x->id)) == NULL)
			continue;
		outcome_set_prev(batch_payload(b, x), m->outcome_segment, m->outcome_offset64);
		batch_sum(b, x);
		m->outcome_segment = sg->number;
		m->outcome_offset64 = (uint32_t)((sg->written + x->at) / RECORD_UNIT);
	}
}

/* What the records add to the summary of their segment, at most. */
static uint64_t
summary_of_batch(const struct batch *b)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < b->n; i++)
		sum += b->entry[i].type == RECORD_UPDATE ? SUMMARY_OUTCOME_ROW + b->entry[i].length :
		    SUMMARY_MESSAGE_ROW + SUMMARY_FINISH_ROW;
	return sum;
}

static bool
plan(struct spool *s, struct commit_job *j)
{
	struct batch *b = list_is_empty(&s->batches) ? NULL :
	    list_entry(s->batches.next, struct batch, link);
	bool held = s->hold_until > loop_now(s->env.loop);
	/* At the stop nothing is left unsynced: if that fails, it is written again, like any other time. */
	bool sync = (s->sync_due || s->closing) && !list_is_empty(&s->unsynced);

	*j = (struct commit_job){ .job = { .run = job_run, .done = job_done }, .s = s, .fs = s->env.fs,
		.segment_size = s->params.segment_size };
	if (b != NULL && !held) {
		j->target = s->current;
		if (s->current == NULL || s->current->written + buf_len(&b->bytes) +
		    segment_seal_room(s->current, summary_of_batch(b)) > s->current->size)
			plan_rotation(s, j);
		list_remove(&b->link);
		j->batch = b;
		place_outcomes(s, b, j->target);
	} else if (s->current == NULL && !held) {
		/* At once, for the next start must learn what was abandoned. */
		plan_rotation(s, j);
	} else if (sync) {
		j->target = s->current;
	}
	/*
	 * Without a batch it is a sync of what was written before, or only the rotation. That is
	 * no epoch: one without a record would make the next one prove what was never synced.
	 */
	j->sync = j->target != NULL && (b == NULL ? j->fresh == NULL : sync || b->sync ||
	    j->target->index + b->n > BATCH_RECORDS_MAX);
	j->new_spare = spare_to_make(s, j->spare != 0);
	s->upkeep_due = false;
	return j->target != NULL || j->new_spare != 0;
}

static void
kick(void *arg)
{
	struct spool *s = arg;
	bool upkeep = s->upkeep_due;

	if (s->busy || s->sealing)
		return;
	txn_tell_failed(s);
	spool_tell_kept(s);
	if (!plan(s, &s->job) && !upkeep) {
		spool_check_closed(s);
		return;
	}
	if (s->job.target != NULL)
		s->job.target->users++;
	if (s->job.old != NULL)
		s->job.old->users++;
	s->busy = true;
	s->job_began_ms = loop_now(s->env.loop);
	worker_submit(s->env.worker, &s->job.job);
}

static void
sync_timer_fired(void *arg)
{
	struct spool *s = arg;

	s->sync_due = true;
	commit_kick(s);
}

void
commit_init(struct spool *s)
{
	list_init(&s->batches);
	list_init(&s->unsynced);
	task_init(&s->kick, kick, s);
	timer_init(&s->sync_timer, sync_timer_fired, s);
}
