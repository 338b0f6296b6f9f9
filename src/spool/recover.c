/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery of the segments of earlier runs, in the background: first all records are
 * replayed in order, then the messages that are left are announced with their
 * envelopes. Each step is one bounded job on env.reader; the job owns struct recovery
 * while it runs. Nothing is written but copies of damaged ranges.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "spool/load.h"
#include "spool/quarantine.h"
#include "spool/replay.h"
#include "spool/state.h"

#include "base/banned.h"

#define STEP_BYTES	(4u << 20)	/* of log in one job */
#define STEP_MESSAGES	64u		/* announced in one job */
#define LEFTOVER_MIN	(64u << 10)	/* less is not worth giving back */

/* What the job must know of a segment; the loop owns the segment itself. */
struct source {
	uint32_t	number;
	uint64_t	nonce;
};

struct announced {
	struct spool_message *m;
	struct buf	 lines;
	struct err	 e;		/* it is damaged */
	struct err	 copy_err;	/* and not copied */
};

struct recovery {
	struct job	 job;
	struct spool	*s;
	struct replay	 replay;
	size_t		 nfound;	/* of it, as the loop may know */
	uint64_t	 first;		/* number above those of the runs before */
	int64_t		 started_ms;	/* wall */
	struct list	*at;		/* segment that is walked */
	struct segment	*walked;
	struct scan	 scan;
	bool		 scanning, last, set_aside;
	enum scan_result result;
	struct scan_record damage;
	struct err	 e;
	int		 fd;		/* opened by the job */
	struct err	 quarantine_err;
	uint64_t	 new_size;	/* of the segment; 0: as it was */
	/* second part */
	struct spool_message **message;
	size_t		 n, next;
	struct announced step[STEP_MESSAGES];
	size_t		 nstep;
	struct source	*source;
	size_t		 nsource;
	uint32_t	 open_number;	/* of fd */
	struct buf	 bytes;
};

uint64_t
recover_messages(const struct spool *s)
{
	return s->recovery != NULL ? s->recovery->nfound : 0;
}

/* --- first part: replay ------------------------------------------------------------------ */

static int
begin_scan(struct recovery *rc)
{
	struct segment *sg = rc->walked;
	char name[SEGMENT_NAME_MAX];
	struct fs *fs = rc->s->env.fs;

	if (rc->scanning)
		return 0;
	rc->fd = sg->fd;
	if (rc->fd < 0)
		rc->fd = fs_open(fs, segment_name(name, DIR_LOG, sg->number), FS_READ, &rc->e);
	if (rc->fd < 0)
		return -1;
	/* What is acted on from here must not vanish with the next power loss. */
	if (rc->last && fs_sync(fs, rc->fd, &rc->e) < 0)
		return -1;
	scan_init(&rc->scan, fs, rc->fd, sg, !rc->last && !sg->tail_unproven);
	rc->scanning = true;
	return 0;
}

static struct quarantine_note
note(const struct recovery *rc, spool_id message, const char *why)
{
	return (struct quarantine_note){ .found_ms = rc->started_ms, .message = message, .why = why };
}

/* No record of it can be read. Kept whole, out of the way: it would hold up all release. */
static bool
set_aside(struct recovery *rc)
{
	struct quarantine_note n = note(rc, 0, "the start of the segment is lost, and no later one knows its nonce");

	return quarantine_segment(rc->s->env.fs, rc->walked->number, &n, &rc->e) == 0;
}

static void
quarantine_damage(struct recovery *rc)
{
	struct quarantine_note n = note(rc, rc->damage.head.id, rc->damage.head.type != 0 ?
	    "the payload of the record fails its checksum" : "the header of a record can't be read");

	/* Failure is told by the err. */
	(void)quarantine_range(rc->s->env.fs, rc->fd, rc->walked->number, rc->damage.at, rc->damage.length,
	    &n, &rc->quarantine_err);
}

/*
 * A segment that was not closed still has the blocks that were reserved for it. They are
 * given back, so that kill after kill does not fill the disk; whatever was written, torn
 * or not, stays. Only space is at stake: a failure is of no consequence.
 */
static void
give_back(struct recovery *rc)
{
	char name[SEGMENT_NAME_MAX];
	struct fs *fs = rc->s->env.fs;
	uint64_t end;
	int fd;

	if (rc->walked->size - rc->scan.at < LEFTOVER_MIN || scan_last_byte(&rc->scan, &end) < 0 ||
	    rc->walked->size - end < LEFTOVER_MIN)
		return;
	fd = fs_open(fs, segment_name(name, DIR_LOG, rc->walked->number), FS_WRITE, NULL);
	if (fd < 0)
		return;
	if (fs_truncate(fs, fd, end, NULL) == 0)
		rc->new_size = end;
	fs_close(fs, fd);
}

static void
replay_run(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);
	uint64_t begin;

	rc->result = SCAN_FAIL;
	err_clear(&rc->e);
	err_clear(&rc->quarantine_err);
	rc->new_size = 0;
	if (rc->walked->nonce == 0) {
		rc->set_aside = rc->walked->lost_start && set_aside(rc);
		return;
	}
	if (begin_scan(rc) < 0)
		return;
	begin = rc->scan.at;
	do {
		struct scan_record x;

		rc->result = scan_next(&rc->scan, &x, &rc->e);
		if (rc->result == SCAN_RECORD)
			replay_record(&rc->replay, rc->walked->number, &x);
		else if (rc->result == SCAN_DAMAGE)
			rc->damage = x;
	} while (rc->result == SCAN_RECORD && rc->scan.at - begin < STEP_BYTES);
	if (rc->result == SCAN_DAMAGE)
		quarantine_damage(rc);
	else if (rc->result == SCAN_END)
		give_back(rc);
}

static void announce_begin(struct recovery *rc);
static void replay_step(struct recovery *rc);

static void
tell_damage(struct recovery *rc)
{
	struct spool *s = rc->s;
	const struct scan_record *x = &rc->damage;

	if (rc->quarantine_err.kind != ERR_NONE) {
		trouble(s, "segment %016x is damaged at %llu, %llu bytes; they can't be copied to "
		    "quarantine, the segment is kept: %s", rc->walked->number, (unsigned long long)x->at,
		    (unsigned long long)x->length, rc->quarantine_err.text);
		rc->walked->kept = true;
		return;
	}
	s->quarantined++;
	trouble(s, "segment %016x is damaged at %llu, %llu bytes: copied to quarantine, message %016llx",
	    rc->walked->number, (unsigned long long)x->at, (unsigned long long)x->length,
	    (unsigned long long)x->head.id);
}

static void
segment_walked(struct recovery *rc)
{
	struct segment *sg = rc->walked;

	sg->users--;
	if (rc->set_aside) {
		rc->set_aside = false;
		rc->s->quarantined++;
		trouble(rc->s, "segment %016x can't be read, its start is lost: moved to quarantine",
		    sg->number);
		log_drop_segment(rc->s, sg);
		return;
	}
	if (rc->result == SCAN_FAIL) {
		sg->kept = true;
		trouble(rc->s, "segment %016x can't be read and is kept: %s", sg->number,
		    rc->e.kind == ERR_NONE ? "its start can't be read" : rc->e.text);
	} else {
		sg->written = rc->scan.at;
		if (rc->new_size != 0)
			sg->size = rc->new_size;
	}
	if (rc->fd >= 0 && sg->fd < 0)
		log_opened(rc->s, sg, rc->fd);
	if (rc->scanning)
		scan_done(&rc->scan);
	rc->scanning = false;
	rc->fd = -1;
}

static void
recovery_free(struct recovery *rc)
{
	replay_done(&rc->replay);
	free(rc->message);
	free(rc->source);
	buf_done(&rc->bytes);
	for (size_t i = 0; i < STEP_MESSAGES; i++)
		buf_done(&rc->step[i].lines);
	free(rc);
}

static void
finish(struct recovery *rc)
{
	struct spool *s = rc->s;
	bool complete = !s->closing;

	if (rc->replay.unclear != 0)
		trouble(s, "%llu records make no sense and are ignored", (unsigned long long)rc->replay.unclear);
	recovery_free(rc);
	s->recovery = NULL;
	s->recovered = complete;
	if (complete)
		s->events.on_recovered(s->owner);
	space_update(s);
	log_release(s);
	commit_kick(s);
}

static void
replay_done_step(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);

	rc->nfound = rc->replay.found.n;
	if (rc->result == SCAN_DAMAGE)
		tell_damage(rc);
	if (rc->result == SCAN_END || rc->result == SCAN_FAIL) {
		rc->at = rc->at->next;
		segment_walked(rc);
		rc->walked = NULL;
	}
	if (rc->s->closing) {
		if (rc->walked != NULL)
			segment_walked(rc);
		finish(rc);
		return;
	}
	replay_step(rc);
}

static bool
is_old(const struct recovery *rc, struct list *at)
{
	return at != &rc->s->segments && list_entry(at, struct segment, link)->number < rc->first;
}

static void
replay_step(struct recovery *rc)
{
	struct spool *s = rc->s;

	if (rc->walked == NULL) {
		if (!is_old(rc, rc->at)) {
			announce_begin(rc);
			return;
		}
		rc->walked = list_entry(rc->at, struct segment, link);
		rc->last = !is_old(rc, rc->at->next);
		rc->walked->users++;
	}
	rc->job.run = replay_run;
	rc->job.done = replay_done_step;
	worker_submit(s->env.reader, &rc->job);
}

/* --- second part: announce ------------------------------------------------------------------ */

static int
compare_source(const void *a, const void *b)
{
	const struct source *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int
compare_place(const void *a, const void *b)
{
	const struct spool_message *x = *(struct spool_message *const *)a;
	const struct spool_message *y = *(struct spool_message *const *)b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	if (x->offset64 != y->offset64)
		return x->offset64 < y->offset64 ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Read what a load wants into rc->bytes. *nonce gets its segment's. */
static int
fetch(struct recovery *rc, const struct place *p, uint64_t *nonce, struct err *e)
{
	struct source key = { .number = p->segment };
	const struct source *src = bsearch(&key, rc->source, rc->nsource, sizeof(key), compare_source);
	char name[SEGMENT_NAME_MAX];
	uint8_t *at;
	int64_t got;

	if (src == NULL)
		return err_set(e, ERR_GONE, "segment %016x is not there", p->segment);
	*nonce = src->nonce;
	if (rc->fd < 0 || rc->open_number != p->segment) {
		if (rc->fd >= 0)
			fs_close(rc->s->env.fs, rc->fd);
		rc->fd = fs_open(rc->s->env.fs, segment_name(name, DIR_LOG, p->segment), FS_READ, e);
		if (rc->fd < 0)
			return -1;
		rc->open_number = p->segment;
	}
	buf_clear(&rc->bytes);
	at = buf_reserve(&rc->bytes, (size_t)p->length);
	if (at == NULL)
		return err_set(e, ERR_FULL, "out of memory");
	got = fs_read(rc->s->env.fs, rc->fd, at, (size_t)p->length, p->at, e);
	if (got < 0)
		return -1;
	buf_grew(&rc->bytes, (size_t)got);
	return 0;
}

static int
load_envelope(struct recovery *rc, struct announced *a)
{
	struct load l;
	struct place p;
	uint64_t nonce = 0;
	int result = -1;

	load_init(&l, a->m);
	while (!l.has_envelope && load_wants(&l, &p)) {
		if (fetch(rc, &p, &nonce, &a->e) < 0 || load_feed(&l, nonce, buf_view(&rc->bytes), &a->e) < 0)
			goto out;
	}
	if (!l.has_envelope || !buf_add(&a->lines, l.envelope))
		(void)err_set(&a->e, ERR_DAMAGED, "its envelope is not complete");
	else
		result = 0;
out:
	load_done(&l);
	return result;
}

/* Its envelope can't be read: so nobody can deliver it. */
static void
copy_damaged(struct recovery *rc, struct announced *a)
{
	const struct source *src = bsearch(&(struct source){ .number = a->m->segment }, rc->source,
	    rc->nsource, sizeof(*src), compare_source);
	struct quarantine_source from = { .segment = a->m->segment, .nonce = src != NULL ? src->nonce : 0,
		.at = (uint64_t)a->m->offset64 * RECORD_UNIT, .length = (uint64_t)a->m->length64 * RECORD_UNIT };
	struct quarantine_note n = note(rc, a->m->id, a->e.text);

	(void)quarantine_message(rc->s->env.fs, &from, &n, &a->copy_err);	/* told by the err */
}

static void
announce_run(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);

	for (size_t i = 0; i < rc->nstep; i++) {
		struct announced *a = &rc->step[i];
		struct envelope env;

		if (load_envelope(rc, a) == 0 && envelope_decode(&env, buf_view(&a->lines), &a->e) == 0) {
			if (env.nrcpt != a->m->nrcpt)
				(void)err_set(&a->e, ERR_DAMAGED, "recipients are missing");
			envelope_done(&env);
		}
		if (a->e.kind != ERR_NONE)
			copy_damaged(rc, a);
	}
	if (rc->next == rc->n && rc->fd >= 0) {
		fs_close(rc->s->env.fs, rc->fd);
		rc->fd = -1;
	}
}

/* In the queue it is held, so that it is seen; it ends when the administrator removes it. */
static void
announce_damaged(struct recovery *rc, struct announced *a)
{
	struct spool *s = rc->s;
	struct spool_message *m = a->m;

	s->quarantined += a->copy_err.kind == ERR_NONE;
	trouble(s, "message %016llx is damaged and held: %s; %s%s", (unsigned long long)m->id, a->e.text,
	    a->copy_err.kind == ERR_NONE ? "a copy is in quarantine" : "it can't be copied to quarantine: ",
	    a->copy_err.text);
	m->flags |= SPOOL_HELD | SPOOL_DAMAGED;
	s->events.on_message(s->owner, m, NULL);
}

static void
announce_one(struct recovery *rc, struct announced *a)
{
	struct spool *s = rc->s;
	struct envelope env;

	map_take(&rc->replay.found, a->m->id);
	rc->nfound--;
	message_add(s, a->m);
	if (a->e.kind != ERR_NONE) {
		announce_damaged(rc, a);
		return;
	}
	require(envelope_decode(&env, buf_view(&a->lines), NULL) == 0);	/* the job has done it */
	s->events.on_message(s->owner, a->m, &env);
	envelope_done(&env);
}

static void announce_step(struct recovery *rc);

static void
announce_done(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);

	for (size_t i = 0; i < rc->nstep && !rc->s->closing; i++)
		announce_one(rc, &rc->step[i]);
	announce_step(rc);
}

static void
announce_step(struct recovery *rc)
{
	rc->nstep = 0;
	if (rc->s->closing || rc->next == rc->n) {
		if (rc->fd >= 0)
			fs_close(rc->s->env.fs, rc->fd);
		finish(rc);
		return;
	}
	while (rc->nstep < STEP_MESSAGES && rc->next < rc->n) {
		struct announced *a = &rc->step[rc->nstep++];

		a->m = rc->message[rc->next++];
		err_clear(&a->e);
		err_clear(&a->copy_err);
		buf_clear(&a->lines);
	}
	rc->job.run = announce_run;
	rc->job.done = announce_done;
	worker_submit(rc->s->env.reader, &rc->job);
}

static void
announce_begin(struct recovery *rc)
{
	struct spool *s = rc->s;
	struct map *found = &rc->replay.found;

	rc->source = xcalloc(s->nsegments, sizeof(*rc->source));
	for (struct list *at = s->segments.next; is_old(rc, at); at = at->next) {
		const struct segment *sg = list_entry(at, struct segment, link);

		rc->source[rc->nsource++] = (struct source){ sg->number, sg->nonce };
	}
	rc->message = xcalloc(found->n + 1, sizeof(struct spool_message *));
	for (size_t pos = 0;;) {
		struct spool_message *m = map_next(found, &pos);

		if (m == NULL)
			break;
		if (log_segment(s, m->first_segment) == NULL)	/* its chunks are lost; told on reading */
			m->first_segment = m->segment;
		log_live(s, m->first_segment, 1);
		rc->message[rc->n++] = m;
	}
	if (rc->n > 1)
		qsort(rc->message, rc->n, sizeof(struct spool_message *), compare_place);
	announce_step(rc);
}

static void
replay_done_first(struct job *job)
{
	replay_step(container_of(job, struct recovery, job));
}

void
recover_start(struct spool *s)
{
	struct recovery *rc = xzalloc(sizeof(*rc));

	rc->s = s;
	rc->first = s->first_number;
	rc->started_ms = loop_wall(s->env.loop);
	rc->at = s->segments.next;
	rc->fd = -1;
	replay_init(&rc->replay);
	buf_init(&rc->bytes, 64u << 20);
	for (size_t i = 0; i < STEP_MESSAGES; i++)
		buf_init(&rc->step[i].lines, ENVELOPE_MAX);
	s->recovery = rc;
	/* Never from within spool_open(): the first step is a job, even of nothing. */
	rc->job.run = announce_run;
	rc->job.done = replay_done_first;
	worker_submit(s->env.reader, &rc->job);
}
