/* SPDX-License-Identifier: BSD-2-Clause */
#include "unit/spool/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/require.h"
#include "spool/record.h"

#include "base/banned.h"

#define WALL_MS 1795332600000LL

static void
on_message(void *owner, struct spool_message *m)
{
	struct world *w = owner;

	require(w->ntold < WORLD_MESSAGES);
	require(spool_find(w->spool, m->id) == m);
	w->told_uid[w->ntold] = spool_owner(w->spool);
	w->told[w->ntold++] = m->id;
}

static void
on_recovered(void *owner)
{
	((struct world *)owner)->recovered++;
}

static void
on_health(void *owner, enum spool_health h, const char *why)
{
	struct world *w = owner;

	require((h == SPOOL_OK) == (why[0] == '\0'));
	w->health = h;
	w->healths++;
}

static void
on_trouble(void *owner, const char *what)
{
	struct world *w = owner;

	w->troubles++;
	(void)snprintf(w->trouble, sizeof(w->trouble), "%s", what);
}

static void
on_closed(void *owner)
{
	struct world *w = owner;

	w->closed = true;
	w->spool = NULL;
}

static const struct spool_events events = { on_message, on_recovered, on_health, on_trouble };

void
world_init_on(struct world *w, struct fs *on, uint64_t seed)
{
	*w = (struct world){ .on = on, .uid = -1 };
	twin_loop_init(&w->twin, WALL_MS);
	twin_worker_init(&w->worker, &w->twin.loop);
	twin_worker_init(&w->reader, &w->twin.loop);
	rng_init(&w->rng, 42 + seed);
	w->params = (struct spool_params){ .segment_size = SEGMENT, .bytes_max = 64u << 20,
		.messages_max = 10000, .outcome_sync_ms = 1000 };
}

void
world_init(struct world *w, struct twin_fs *fs)
{
	world_init_on(w, &fs->fs, fs->ops);
	w->fs = fs;
}

static void
set_env(struct world *w, struct spool_env *env)
{
	*env = (struct spool_env){ &w->twin.loop, w->on, &w->worker.worker, &w->reader.worker, &w->rng };
}

int
world_try_open(struct world *w, struct err *e)
{
	struct spool_env env;

	set_env(w, &env);
	w->closed = false;
	w->ntold = 0;
	w->health = SPOOL_OK;
	return spool_open(&w->spool, &w->params, &env, &events, w, e);
}

void
world_open(struct world *w)
{
	struct err e = { 0 };

	if (world_try_open(w, &e) < 0) {
		fprintf(stderr, "spool_open: %s\n", e.text);
		abort();
	}
}

void
world_begin_close(struct world *w)
{
	spool_close(w->spool, on_closed, w);
}

void
world_close(struct world *w)
{
	world_begin_close(w);
	world_run(w, 60000);
	require(w->closed);
}

void
world_kill(struct world *w)
{
	spool_free(w->spool);
	w->spool = NULL;
}

void
world_reopen(struct world *w)
{
	world_close(w);
	world_open(w);
	world_run(w, 100);
}

void
world_done(struct world *w)
{
	if (w->spool != NULL)
		world_close(w);
	twin_loop_done(&w->twin);
}

void
world_start(struct world *w, struct twin_fs *fs)
{
	world_init(w, fs);
	world_open(w);
	world_run(w, 50);
}

void
world_end(struct world *w)
{
	world_done(w);
	require(twin_fs_open_files(w->fs) == 0);
	twin_fs_done(w->fs);
}

void
setup(struct pair *p)
{
	twin_fs_init(&p->fs);
	world_start(&p->w, &p->fs);
}

void
teardown(struct pair *p)
{
	world_end(&p->w);
}

void
world_run(struct world *w, int64_t ms)
{
	twin_loop_run(&w->twin, ms);
}

/* --- messages -------------------------------------------------------------------- */

void
world_text(struct buf *out, size_t size, uint64_t seed)
{
	struct rng rng;
	uint8_t *p = buf_reserve(out, size);

	require(p != NULL);
	rng_init(&rng, seed);
	for (size_t i = 0; i < size; i++)
		p[i] = i % 64 == 0 ? '@' : (uint8_t)(' ' + rng_below(&rng, 90));
	buf_grew(out, size);
}

struct spool_txn *
world_begin(struct world *w, uint32_t nrcpt, struct err *e)
{
	struct spool_txn *t = NULL;
	struct envelope env;
	spool_id id = 0;
	int rc;

	envelope_init(&env);
	env.from = VIEW("alice@example.com");
	for (uint32_t i = 0; i < nrcpt; i++)
		envelope_add_rcpt(&env, VIEW("bob@example.net"));
	env.received_ms = WALL_MS;
	env.uid = w->uid;
	env.helo = VIEW("web1");
	env.protocol = PROTOCOL_ESMTP;
	rc = spool_begin(&t, w->spool, &env, &id, e);
	require((rc == 0) == (id != 0 && t != NULL));
	envelope_done(&env);
	if (rc == 0)
		w->last_id = id;
	return t;
}

struct spool_txn *
world_fill(struct world *w, size_t size, uint64_t seed, uint32_t nrcpt)
{
	struct err e = { 0 };
	struct spool_txn *t = world_begin(w, nrcpt, &e);
	size_t pending;
	struct buf text;

	if (t == NULL) {
		fprintf(stderr, "spool_begin: %s\n", e.text);
		abort();
	}
	buf_init(&text, 64u << 20);
	world_text(&text, size, seed);
	/* In uneven pieces; a failure shows in the commit. */
	for (struct view v = buf_view(&text); v.n > 0; v = view_from(v, 7777))
		if (spool_append(t, view_first(v, 7777), &pending, NULL) < 0)
			break;
	buf_done(&text);
	return t;
}

static void
on_committed(void *owner, spool_id id, const struct err *e)
{
	struct commit *c = owner;

	c->calls++;
	c->id = id;
	if (e != NULL)
		c->e = *e;
}

void
world_commit(struct world *w, struct spool_txn *t, struct commit *c)
{
	*c = (struct commit){ 0 };
	spool_commit(t, false, on_committed, c);
	require(c->calls == 0);		/* never from within the call */
}

void
world_accept(struct world *w, size_t size, uint64_t seed, struct commit *c)
{
	world_commit(w, world_fill(w, size, seed, 1), c);
	world_run(w, 20);
	require(c->calls == 1);
}

void
accept_many(struct pair *p, struct commit *c, unsigned n, size_t size)
{
	for (unsigned i = 0; i < n; i++) {
		world_accept(&p->w, size, i, &c[i]);
		require(c[i].e.kind == ERR_NONE);
	}
}

void
world_finish(struct world *w, spool_id id)
{
	struct spool_result r = { .state = SPOOL_DELIVERED, .code = 250, .status = "2.0.0",
		.text = VIEW("ok") };
	struct spool_update u = { .result = &r, .nresult = 1, .attempts = 1, .endpoint = "h:587" };
	struct spool_message *m = spool_find(w->spool, id);

	require(m != NULL);
	spool_finish(w->spool, m, &u, NULL, NULL, NULL);
	require(spool_find(w->spool, id) == NULL);
}

void
world_hold(struct world *w, spool_id id)
{
	struct spool_update u = { .flags = SPOOL_HELD, .endpoint = "" };

	spool_update(w->spool, spool_find(w->spool, id), &u, NULL, NULL);
	world_run(w, 2000);
}

static void
on_ready(void *owner)
{
	(*(unsigned *)owner)++;
}

enum reader_result
world_read(struct world *w, spool_id id, struct buf *out, uint32_t *nrcpt, struct err *e)
{
	unsigned ready = 0, seen = 0;
	struct spool_reader *r = spool_reader_new(w->spool, spool_find(w->spool, id), on_ready, &ready);
	const struct envelope *env = NULL;
	enum reader_result rr;
	struct view v;

	while ((rr = spool_reader_envelope(r, &env, e)) == READER_WAIT) {
		world_run(w, 5);
		require(ready == ++seen);
	}
	if (rr == READER_DATA) {
		*nrcpt = env->nrcpt;
		while ((rr = spool_reader_next(r, &v, e)) == READER_DATA || rr == READER_WAIT) {
			if (rr == READER_WAIT) {
				world_run(w, 5);
				require(ready == ++seen);
			} else {
				require(v.n > 0 && buf_add(out, v));
			}
		}
	}
	spool_reader_free(r);
	return rr;
}

bool
world_has(struct world *w, spool_id id, size_t size, uint64_t seed)
{
	struct buf text, stored;
	uint32_t nrcpt = 0;
	bool same;

	if (spool_find(w->spool, id) == NULL)
		return false;
	buf_init(&text, 64u << 20);
	buf_init(&stored, 64u << 20);
	world_text(&text, size, seed);
	same = world_read(w, id, &stored, &nrcpt, NULL) == READER_END &&
	    view_eq(buf_view(&text), buf_view(&stored)) && nrcpt >= 1;
	buf_done(&text);
	buf_done(&stored);
	return same;
}

bool
world_seek(const struct twin_fs *fs, const char *name, uint8_t type, spool_id id, unsigned which, uint64_t *out)
{
	char text[17];
	uint64_t size, i;
	const uint8_t *at = twin_fs_content(fs, name, &size);

	(void)spool_id_text(text, id);
	for (i = 0; i + 64 <= size; i += 64)
		if (at[i] == '@' && at[i + 2] == ' ' && (type == 0 || at[i + 1] == type) &&
		    memcmp(at + i + 20, text, 16) == 0 && which-- == 0)
			break;
	*out = i;
	return i + 64 <= size;
}

uint64_t
world_find(const struct twin_fs *fs, const char *name, uint8_t type, spool_id id, unsigned which)
{
	uint64_t at;
	bool there = world_seek(fs, name, type, id, which, &at);

	require(there);		/* it was written */
	return at;
}

void
world_write_start(uint8_t *segment, const char *text)
{
	struct view v = view_str(text);
	struct record r = { .type = RECORD_START, .length = (uint32_t)v.n, .crc = crc32c(0, v) };

	record_put(segment, &r, 1);
	memcpy(segment + RECORD_HEADER, v.p, v.n);
}
