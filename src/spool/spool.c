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

/* The most that outcome_put() writes. */
static size_t
outcome_max(const struct spool_message *m)
{
	return 1024 + (size_t)m->nrcpt * 40 + OUTCOME_TEXTS_MAX + SPOOL_TEXT_MAX + 64;
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
	buf_init(&text, outcome_max(m));
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

/* M of the bounce, as a part of a group. */
static void
put_bounce(struct buf *out, struct entry *x, const struct spool_bounce *bounce)
{
	struct envelope lines = *bounce->envelope;
	size_t part = buf_len(out), begin;

	lines.size = 0;
	lines.eight_bit = false;
	lines.bounce = true;
	require(bounce->message.n <= SPOOL_CHUNK);
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

static void
finish(struct spool *s, struct spool_message *m, const struct buf *outcome,
    const struct spool_bounce *bounce)
{
	struct entry about = { .begun_in = message_begun_in(m), .reserved = outcome_room(m->nrcpt) };
	struct buf payload;
	struct batch *b;
	struct entry *x;

	buf_init(&payload, buf_len(outcome) + ENVELOPE_MAX + 2 * SPOOL_CHUNK);
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
}

void
spool_finish(struct spool *s, struct spool_message *m, const struct spool_update *u,
    const struct spool_bounce *bounce)
{
	struct buf outcome;

	require(!heap_has(&m->due));
	take_results(m, u);
	buf_init(&outcome, outcome_max(m));
	put_outcome(s, &outcome, m, u);
	finish(s, m, &outcome, bounce);
	buf_done(&outcome);
	commit_outcome_gathered(s);
	s->finished++;
	message_remove(s, m);
	message_free(m);
	space_update(s);
}

/* --- statistics -------------------------------------------------------------------- */

void
spool_stats(const struct spool *s, struct spool_stats *out)
{
	*out = (struct spool_stats){
		.messages = s->index.n, .recipients = s->recipients, .bytes_queued = s->bytes_queued,
		.log_bytes = log_bytes(s), .segments = s->nsegments,
		.commits = s->commits, .syncs = s->syncs, .sync_us_last = s->sync_us_last,
		.accepted = s->accepted, .finished = s->finished,
		.recovering = s->recovery != NULL, .health = s->health,
	};
	memcpy(out->why, s->why, sizeof(out->why));
}

/* --- the end ------------------------------------------------------------------------- */

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	require(!s->busy && s->nreaders == 0 && s->recovery == NULL);
	txn_free_all(s);
	if (s->env.loop != NULL) {
		timer_cancel(s->env.loop, &s->sync_timer);
		timer_cancel(s->env.loop, &s->upkeep_timer);
	}
	task_cancel(&s->kick);
	task_cancel(&s->health_task);
	for (size_t pos = 0;;) {
		struct spool_message *m = map_next(&s->index, &pos);

		if (m == NULL)
			break;
		message_free(m);
	}
	map_done(&s->index);
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

	/* Two syncs: Z, in an epoch of its own, proves that all before it was synced. */
	if (fs_sync(j->fs, sg->fd, &j->e) < 0)
		return;
	sg->epoch++;
	sg->index = 0;
	if (segment_seal(j->fs, sg->fd, sg, &j->e) == 0)
		(void)fs_truncate(j->fs, sg->fd, sg->written + SEGMENT_SEAL_ROOM, NULL);	/* only space */
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

/* Nothing is under way and nothing can be written any more. */
static bool
is_quiet(const struct spool *s)
{
	bool stuck = s->hold_until > loop_now(s->env.loop);

	return !s->busy && s->releasing == NULL && s->recovery == NULL && s->nreaders == 0 &&
	    s->ntxns == 0 && ((list_is_empty(&s->batches) && s->current != NULL) || stuck);
}

void
spool_check_closed(struct spool *s)
{
	if (!s->closing || s->sealing || !is_quiet(s))
		return;
	s->sealing = true;
	if (s->current == NULL) {
		task_init(&s->kick, closed, s);
		task_post(s->env.loop, &s->kick);
		return;
	}
	s->job = (struct commit_job){ .job = { .run = seal_run, .done = seal_done }, .s = s,
		.fs = s->env.fs, .old = s->current };
	worker_submit(s->env.worker, &s->job.job);
}

void
spool_close(struct spool *s, void (*on_closed)(void *owner), void *owner)
{
	require(!s->closing);
	s->closing = true;
	s->on_closed = on_closed;
	s->closed_owner = owner;
	commit_kick(s);
}

/* --- the beginning ---------------------------------------------------------------------- */

struct opening {
	struct spool	*s;
	bool		 log;		/* names in log/ */
	uint64_t	*number;	/* of the segments found */
	size_t		 n;
};

static bool
see_name(void *arg, const char *name)
{
	struct opening *o = arg;
	uint64_t number;
	bool ours = segment_number(name, o->log, &number);

	if (o->log && (!ours || number == 0 || number > UINT32_MAX)) {
		trouble(o->s, "a file in log/ that is no segment is left alone");
		return true;
	}
	if (!ours)
		return true;
	if (number > o->s->highest)
		o->s->highest = number;
	if ((o->n & (o->n - 1)) == 0)
		o->number = xrealloc(o->number, (o->n != 0 ? o->n * 2 : 1) * sizeof(*o->number));
	o->number[o->n++] = number;
	return true;
}

static int
list_numbers(struct opening *o, const char *dir, struct err *e)
{
	o->log = strcmp(dir, DIR_LOG) == 0;
	o->n = 0;
	return fs_list(o->s->env.fs, dir, see_name, o, e);
}

/* Spare files of an earlier run are used again, unless they have another size. */
static void
take_spares(struct opening *o)
{
	struct spool *s = o->s;
	char name[SEGMENT_NAME_MAX];

	for (size_t i = 0; i < o->n; i++) {
		int fd = fs_open(s->env.fs, segment_name(name, DIR_SPARE, o->number[i]), FS_READ, NULL);
		int64_t size = -1;

		if (fd >= 0) {
			size = fs_size(s->env.fs, fd, NULL);
			fs_close(s->env.fs, fd);
		}
		if (size == (int64_t)s->params.segment_size && s->nspares < SPARES_MAX)
			s->spare[s->nspares++] = o->number[i];
		else
			(void)fs_unlink(s->env.fs, name, NULL);	/* it holds nothing */
	}
}

/* One segment of an earlier run: read its start. */
static int
find_segment(struct spool *s, uint32_t number, struct err *e)
{
	struct segment *sg = segment_new(number, 0);
	struct segment_start start = { 0 };
	char name[SEGMENT_NAME_MAX];
	struct err why = { 0 };
	uint64_t room = 0;
	int64_t size;

	sg->sealed = true;
	sg->fd = fs_open(s->env.fs, segment_name(name, DIR_LOG, number), FS_READ, e);
	if (sg->fd < 0 || (size = fs_size(s->env.fs, sg->fd, e)) < 0) {
		if (sg->fd >= 0)
			fs_close(s->env.fs, sg->fd);
		sg->fd = -1;
		segment_free(sg);
		return -1;
	}
	sg->size = sg->written = (uint64_t)size;
	if (segment_read_start(s->env.fs, sg->fd, &start, &room, &why) < 0 || start.number != number) {
		fs_close(s->env.fs, sg->fd);
		sg->fd = -1;
		if (why.kind == ERR_CONFIG) {
			segment_free(sg);
			*e = why;
			return -1;
		}
		/* Without its nonce no record is readable; a later segment may know it. */
		trouble(s, "segment %016x: %s", number, why.kind != ERR_NONE ? why.text :
		    "its start has another number");
		start = (struct segment_start){ 0 };
		sg->lost_start = why.kind == ERR_NONE || why.kind == ERR_DAMAGED;
	}
	sg->nonce = start.nonce;
	log_add_segment(s, sg);
	if (sg->fd >= 0)
		log_opened(s, sg, -1);
	if (start.abandons != 0) {
		struct segment *other = log_segment(s, (uint32_t)start.abandons);

		if (other != NULL && start.abandons_tail)
			other->tail_unproven = true;
		else if (other != NULL && start.abandons_from < other->abandon_from)
			other->abandon_from = start.abandons_from;
	}
	if (start.previous != 0) {
		struct segment *other = log_segment(s, (uint32_t)start.previous);

		if (other != NULL && other->nonce == 0)
			other->nonce = start.previous_nonce;
	}
	return 0;
}

static int
compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
find_segments(struct opening *o, struct err *e)
{
	if (o->n > 1)
		qsort(o->number, o->n, sizeof(*o->number), compare_numbers);
	for (size_t i = 0; i < o->n; i++)
		if (find_segment(o->s, (uint32_t)o->number[i], e) < 0)
			return -1;
	return 0;
}

/* The segment of this run. What stands at the end of the last one may be torn. */
static int
begin_first(struct spool *s, struct err *e)
{
	struct segment *last = list_is_empty(&s->segments) ? NULL :
	    list_entry(s->segments.prev, struct segment, link);
	struct segment_start start = { .number = log_next_number(s), .nonce = rng_u64(s->env.rng),
		.created_ms = loop_wall(s->env.loop) };
	struct segment *sg;

	if (start.number > UINT32_MAX)
		return err_set(e, ERR_FULL, "the segment numbers are used up");
	if (last != NULL) {
		start.previous = start.abandons = last->number;
		start.previous_nonce = last->nonce;
		start.abandons_tail = true;
		last->tail_unproven = true;
	}
	sg = segment_new((uint32_t)start.number, start.nonce);
	if (segment_begin(s->env.fs, &start, s->nspares > 0 ? s->spare[s->nspares - 1] : 0,
	    s->params.segment_size, &sg->fd, e) < 0) {
		segment_free(sg);
		return -1;
	}
	if (s->nspares > 0)
		s->nspares--;
	sg->size = s->params.segment_size;
	sg->written = sg->synced = segment_start_room(&start);
	s->last_nonce = sg->nonce;
	s->current = sg;
	log_add_segment(s, sg);
	return 0;
}

static int
open_dirs(struct spool *s, struct err *e)
{
	struct fs *fs = s->env.fs;

	s->lock_fd = fs_lock(fs, "LOCK", e);
	if (s->lock_fd < 0)
		return err_prefix(e, "the spool");
	if (fs_mkdir(fs, DIR_LOG, e) < 0 || fs_mkdir(fs, DIR_SPARE, e) < 0 ||
	    fs_mkdir(fs, DIR_QUARANTINE, e) < 0 || fs_sync_dir(fs, "", e) < 0)
		return err_prefix(e, "the spool");
	return 0;
}

static struct spool *
spool_new(const struct spool_params *params, const struct spool_env *env,
    const struct spool_events *events, void *owner)
{
	struct spool *s = xzalloc(sizeof(*s));

	s->params = *params;
	s->env = *env;
	s->events = *events;
	s->owner = owner;
	s->lock_fd = -1;
	list_init(&s->segments);
	list_init(&s->open);
	list_init(&s->txns);
	list_init(&s->failed);
	map_init(&s->by_number);
	map_init(&s->index);
	commit_init(s);
	space_init(s);
	return s;
}

static int
spool_load(struct spool *s, struct err *e)
{
	struct opening o = { .s = s };
	int rc = -1;

	if (open_dirs(s, e) < 0)
		goto out;
	if (list_numbers(&o, DIR_QUARANTINE, e) < 0 || list_numbers(&o, DIR_SPARE, e) < 0)
		goto out;
	take_spares(&o);
	if (list_numbers(&o, DIR_LOG, e) < 0 || find_segments(&o, e) < 0 || begin_first(s, e) < 0)
		goto out;
	s->space_known = fs_space(s->env.fs, &s->space, NULL) == 0;
	while (space_spare_to_make(s, false) != 0 && !s->spare_failed) {
		struct commit_job j = { .new_spare = s->highest };

		j.spare_made = segment_make_spare(s->env.fs, j.new_spare, s->params.segment_size,
		    &j.spare_err) == 0;
		space_learn(s, &j);
	}
	rc = 0;
out:
	free(o.number);
	return rc;
}

int
spool_open(struct spool **out, const struct spool_params *params, const struct spool_env *env,
    const struct spool_events *events, void *owner, struct err *e)
{
	struct spool *s = spool_new(params, env, events, owner);
	struct err why = { 0 };

	if (params->segment_size < SEGMENT_SIZE_MIN || params->segment_size % RECORD_UNIT != 0 ||
	    params->segment_size > (uint64_t)1 << 30) {
		spool_free(s);
		return err_set(e, ERR_CONFIG, "a segment has 1 MiB to 1 GiB, and whole 64 bytes");
	}
	if (spool_load(s, &why) < 0) {
		spool_free(s);
		if (e != NULL)
			*e = why;
		return -1;
	}
	recover_start(s);
	space_update(s);
	commit_kick(s);
	*out = s;
	return 0;
}
