/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * staging - nothing leaves this host. With staging = "hold" the mail stays in the queue; with
 * "sink" each message becomes a file of a Maildir, one after another.
 *
 * The order: the file is written and synced as tmp/NAME, renamed to new/NAME, the directory is
 * synced, and only then the outcome is recorded. NAME is made of the message alone, so that one
 * that was written but not recorded before a crash is written over, and not twice there; unless
 * a mail program has moved it to cur/ by then.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

#define GATHER		(128u << 10)	/* bytes for one write */
#define OUT_MAX		(1u << 23)	/* and the head, with all its recipients */

/* The file that is being written. A job of the worker has it to itself while it is busy. */
struct sink_file {
	struct job	 job;
	struct relay	*r;		/* NULL: relay has ended, what is there goes */
	struct fs	*fs;
	char		 tmp[64], end[64];
	int		 fd;		/* -1: not open */
	uint64_t	 at;
	struct buf	 out;
	bool		 busy, last, ok;
	struct err	 e;
};

static void step(void *owner);

static int64_t
now_of(const struct relay *r)
{
	return loop_now(r->env.loop);
}

bool
staging_is_on(const struct relay *r)
{
	return r->conf->staging != CONF_STAGING_OFF;
}

bool
staging_is_busy(const struct relay *r)
{
	return r->staging.m != NULL;
}

/* --- the file, on the worker --------------------------------------------------------------- */

static int
write_out(struct sink_file *f, struct err *e)
{
	struct view v = buf_view(&f->out);
	struct iovec io = { (void *)(uintptr_t)v.p, v.n };

	if (f->fd < 0) {
		(void)fs_unlink(f->fs, f->tmp, NULL);	/* of a run that was killed; as a rule there is none */
		f->fd = fs_open(f->fs, f->tmp, FS_CREATE, e);
	}
	if (f->fd < 0 || fs_writev(f->fs, f->fd, &io, 1, f->at, e) != 0)
		return -1;
	f->at += v.n;
	if (!f->last)
		return 0;
	if (fs_sync(f->fs, f->fd, e) != 0 || fs_rename(f->fs, f->tmp, f->end, e) != 0)
		return -1;
	return fs_sync_dir(f->fs, "new", e);
}

static void
job_run(struct job *job)
{
	struct sink_file *f = container_of(job, struct sink_file, job);

	f->ok = write_out(f, &f->e) == 0;
	buf_clear(&f->out);
}

/* What is not complete does not stay. */
static void
file_free(struct sink_file *f)
{
	if (f == NULL)
		return;
	if (f->fd >= 0) {
		fs_close(f->fs, f->fd);
		if (!f->last || !f->ok)
			(void)fs_unlink(f->fs, f->tmp, NULL);
	}
	buf_done(&f->out);
	free(f);
}

static void
job_done(struct job *job)
{
	struct sink_file *f = container_of(job, struct sink_file, job);

	f->busy = false;
	if (f->r != NULL)
		step(f->r);
	else
		file_free(f);
}

static void
submit(struct relay *r, struct sink_file *f)
{
	f->busy = true;
	worker_submit(r->env.reader, &f->job);
}

/* --- one message --------------------------------------------------------------------------- */

static void
begin(struct relay *r, struct spool_message *m)
{
	struct staging *s = &r->staging;
	struct sink_file *f = xzalloc(sizeof(*f));

	f->job.run = job_run;
	f->job.done = job_done;
	f->r = r;
	f->fs = r->env.sink_fs;
	f->fd = -1;
	f->ok = true;
	buf_init(&f->out, OUT_MAX);
	(void)snprintf(f->tmp, sizeof(f->tmp), "tmp/%lld.%016llx.posthouse", (long long)(m->received_ms / 1000),
	    (unsigned long long)m->id);
	(void)snprintf(f->end, sizeof(f->end), "new/%s", f->tmp + 4);
	*s = (struct staging){ .task = s->task, .timer = s->timer, .failing = s->failing, .m = m, .file = f };
	m->delivery = s;
	s->reader = spool_reader_new(r->spool, m, step, r);
}

/* The message is no longer ours; its fate is settled by the caller. A job that runs ends by itself. */
static struct spool_message *
let_go(struct staging *s)
{
	struct spool_message *m = s->m;

	spool_reader_free(s->reader);
	if (s->file != NULL && s->file->busy)
		s->file->r = NULL;
	else
		file_free(s->file);
	m->delivery = NULL;
	s->m = NULL;
	s->reader = NULL;
	s->file = NULL;
	return m;
}

static bool
put_head(const struct relay *r, struct staging *s, const struct envelope *env)
{
	const struct spool_rcpt *rc = spool_rcpts(s->m);
	struct buf *out = &s->file->out;
	char text[17];
	bool ok = archive_begin(&s->archive, out, false, env->from, s->m->received_ms);

	for (uint32_t i = 0; ok && i < env->nrcpt; i++)
		if (rc[i].state == SPOOL_QUEUED)
			ok = archive_field(out, "Delivered-To", env->rcpt[i]);
	return ok && archive_field(out, "X-Posthouse-Id", view_str(spool_id_text(text, s->m->id)));
}

/* All of it was written. What became of others before may have to be reported; that stays here, too. */
static void
finish(struct relay *r)
{
	struct staging *s = &r->staging;
	struct spool_result *result = xcalloc(s->m->nrcpt, sizeof(*result));
	struct spool_update u = { .result = result, .attempts = s->m->attempts, .endpoint = "" };
	const struct spool_rcpt *rc = spool_rcpts(s->m);
	struct spool_message *m;
	bool others = false;

	for (uint32_t i = 0; i < s->m->nrcpt; i++) {
		others = others || rc[i].state != SPOOL_QUEUED;
		if (rc[i].state == SPOOL_QUEUED)
			result[u.nresult++] = (struct spool_result){ .rcpt = i, .state = SPOOL_DELIVERED, .code = 250,
				.status = "2.0.0", .text = VIEW("written to the sink") };
	}
	r->stats.sunk += u.nresult;
	if (s->failing)
		log_simple(r->env.log, LEVEL_NOTICE, "sink-ok", "messages are written again");
	s->failing = false;
	life_sunk(r, s->m, s->file->end, u.nresult);
	m = let_go(s);
	if (others)
		report_result(r, m, &u, NULL, NULL);
	else
		life_finish(r, m, &u, NULL, NULL, NULL);
	free(result);
	relay_status_changed(r);
}

/* The disk fails: the message keeps its place. Said once until it works. */
static void
rest(struct relay *r, const struct err *e)
{
	struct staging *s = &r->staging;
	struct spool_message *m = let_go(s);

	if (!s->failing)
		log_simple(r->env.log, LEVEL_ERROR, "sink-failed", "%s; tried again by itself", e->text);
	s->failing = true;
	if ((m->flags & SPOOL_HELD) == 0)
		schedule_put_back(&r->schedule, m);
	timer_set(r->env.loop, &s->timer, r->conf->queue.retry_first_ms);
}

/* Fill the buffer. READER_DATA: it is full enough; END: that was all. */
static enum reader_result
gather(struct relay *r, struct err *e)
{
	struct staging *s = &r->staging;
	struct buf *out = &s->file->out;
	enum reader_result got = READER_DATA;
	const struct envelope *env;
	struct view piece;
	bool fits = true;

	if (!s->begun) {
		got = spool_reader_envelope(s->reader, &env, e);
		if (got == READER_DATA && env->nrcpt != s->m->nrcpt) {
			(void)err_set(e, ERR_DAMAGED, "the envelope has another number of recipients");
			return READER_BAD;
		}
		if (got != READER_DATA)
			return got;
		users_learn(r, s->m, env);
		fits = put_head(r, s, env);
		s->begun = true;
	}
	while (fits && buf_len(out) < GATHER && (got = spool_reader_next(s->reader, &piece, e)) == READER_DATA)
		fits = archive_text(&s->archive, out, piece);
	if (fits && got == READER_END)
		fits = archive_end(&s->archive, out);
	if (fits)
		return got;
	(void)err_set(e, ERR_FULL, "out of memory for the sink");
	return READER_BAD;
}

static void
go_on(struct relay *r)
{
	struct staging *s = &r->staging;
	struct err e;

	switch (gather(r, &e)) {
	case READER_WAIT:
		return;
	case READER_BAD:
		if (e.kind == ERR_FULL)
			rest(r, &e);
		else
			relay_unreadable(r, let_go(s), &e, true);
		task_post(r->env.loop, &s->task);
		return;
	case READER_END:
		s->file->last = true;
		break;
	case READER_DATA:
		break;
	}
	submit(r, s->file);
}

/* --- one after another ----------------------------------------------------------------------- */

static void
next(struct relay *r)
{
	uint32_t routes = ROUTE_BIT(r->conf->nroute) - 1;
	struct spool_message *m;
	int64_t at;

	if (timer_is_set(&r->staging.timer) && r->staging.failing)
		return;			/* it rests */
	m = schedule_take(&r->schedule, routes, now_of(r));
	if (m != NULL) {
		begin(r, m);
		task_post(r->env.loop, &r->staging.task);
		return;
	}
	at = schedule_next_at(&r->schedule, routes);
	if (at != INT64_MAX)
		timer_set(r->env.loop, &r->staging.timer, at - now_of(r));
}

/* Something has come: bytes of the message, the end of a write, a message that is due. */
static void
step(void *owner)
{
	struct relay *r = owner;
	struct staging *s = &r->staging;

	if (r->conf->staging != CONF_STAGING_SINK || r->spool == NULL || r->closing)
		return;
	if (s->m == NULL) {
		if (r->draining)
			relay_drain_check(r);
		else
			next(r);
		return;
	}
	if (s->file->busy)
		return;
	if (!s->file->ok) {
		struct err e = s->file->e;

		rest(r, &e);
	} else if (s->file->last) {
		finish(r);
	} else {
		go_on(r);
		return;
	}
	task_post(r->env.loop, &s->task);
}

void
staging_kick(struct relay *r)
{
	if (r->conf->staging == CONF_STAGING_SINK)
		task_post(r->env.loop, &r->staging.task);
}

void
staging_init(struct relay *r)
{
	task_init(&r->staging.task, step, r);
	timer_init(&r->staging.timer, step, r);
}

void
staging_done(struct relay *r)
{
	timer_cancel(r->env.loop, &r->staging.timer);
	task_cancel(&r->staging.task);
	if (r->staging.m != NULL)
		(void)let_go(&r->staging);	/* in the spool as before */
}
