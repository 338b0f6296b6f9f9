/* SPDX-License-Identifier: BSD-2-Clause */
/* Group commit: what is reported when, and by how many syncs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/spool/world.h"

#include "base/banned.h"

static void
test_one_message(void **state)
{
	struct pair p;
	struct commit c;

	setup(&p);
	assert_int_equal(p.w.recovered, 1);
	world_accept(&p.w, 5000, 1, &c);
	assert_int_equal(c.e.kind, ERR_NONE);
	assert_int_equal(p.w.ntold, 1);
	assert_int_equal(p.w.told[0], c.id);
	assert_true(world_has(&p.w, c.id, 5000, 1));
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 1);
	assert_true(world_has(&p.w, c.id, 5000, 1));
	assert_int_equal(p.w.troubles, 0);
	teardown(&p);
}

/* All that wait share one sync; a second job never runs beside the first. */
static void
test_group(void **state)
{
	struct commit c[40];
	struct pair p;
	uint64_t syncs, writes;

	setup(&p);
	syncs = p.fs.count[TWIN_SYNC];
	writes = p.fs.count[TWIN_WRITE];
	p.w.worker.stalled = true;
	for (unsigned i = 0; i < 20; i++)
		world_commit(&p.w, world_fill(&p.w, 1000 + i, i, 1), &c[i]);
	world_run(&p.w, 1000);
	for (unsigned i = 20; i < 40; i++)
		world_commit(&p.w, world_fill(&p.w, 1000 + i, i, 1), &c[i]);
	world_run(&p.w, 1000);
	/* One job at the worker, and nobody is told anything. */
	assert_ptr_equal(p.w.worker.jobs.next, p.w.worker.jobs.prev);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(c[i].calls, 0);
	assert_int_equal(p.w.ntold, 0);
	p.w.worker.stalled = false;
	twin_worker_kick(&p.w.worker);
	world_run(&p.w, 20);
	assert_int_equal(p.fs.count[TWIN_SYNC] - syncs, 2);
	assert_int_equal(p.fs.count[TWIN_WRITE] - writes, 2);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(c[i].calls, 1);
		assert_int_equal(c[i].e.kind, ERR_NONE);
		assert_true(world_has(&p.w, c[i].id, 1000 + i, i));
		for (unsigned k = 0; k < i; k++)
			assert_true(c[k].id != c[i].id);
	}
	teardown(&p);
}

/* Never told before the sync, at whatever size; chunks go out without one. */
static void
test_not_before_sync(void **state)
{
	static const size_t size[] = { 0, 1000, 65000, 65536, 70000, 300000 };
	struct pair p;

	setup(&p);
	for (unsigned i = 0; i < lengthof(size); i++) {
		uint64_t syncs = p.fs.count[TWIN_SYNC];
		struct spool_txn *t = world_fill(&p.w, size[i], i, 1);
		struct commit c;

		world_run(&p.w, 500);
		assert_int_equal(p.fs.count[TWIN_SYNC], syncs);
		p.w.worker.delay_ms = 10;
		world_commit(&p.w, t, &c);
		while (c.calls == 0)
			world_run(&p.w, 1);
		assert_int_equal(c.e.kind, ERR_NONE);
		assert_int_equal(p.fs.count[TWIN_SYNC], syncs + 1);
		p.w.worker.delay_ms = 0;
	}
	teardown(&p);
}

/* The twin worker runs and tells at once; here it is between writing and telling. */
static void
note_sync(void *arg, enum twin_op op, const char *name)
{
	const struct commit *c = arg;

	if (op == TWIN_SYNC)
		assert_int_equal(c->calls, 0);
}

static void
test_told_after_sync(void **state)
{
	struct pair p;
	struct commit c;

	setup(&p);
	p.fs.before = note_sync;
	p.fs.arg = &c;
	world_accept(&p.w, 100, 1, &c);
	p.fs.before = NULL;
	teardown(&p);
}

static void
on_written(void *owner)
{
	++*(unsigned *)owner;
}

/* An outcome is written at once, and synced within outcome_sync; a commit takes it along. */
static void
test_outcome_sync(void **state)
{
	struct spool_update u = { .attempts = 2, .endpoint = "" };
	unsigned written = 0;
	struct pair p;
	struct commit c;
	uint64_t syncs;

	setup(&p);
	world_accept(&p.w, 100, 1, &c);
	syncs = p.fs.count[TWIN_SYNC];
	spool_update(p.w.spool, spool_find(p.w.spool, c.id), &u, on_written, &written);
	assert_int_equal(written, 0);
	world_run(&p.w, 5);
	assert_int_equal(written, 1);
	world_run(&p.w, 900);
	assert_int_equal(p.fs.count[TWIN_SYNC], syncs);
	world_run(&p.w, 200);
	assert_int_equal(p.fs.count[TWIN_SYNC], syncs + 1);
	world_run(&p.w, 5000);
	assert_int_equal(p.fs.count[TWIN_SYNC], syncs + 1);	/* nothing more to sync */
	spool_update(p.w.spool, spool_find(p.w.spool, c.id), &u, NULL, NULL);
	world_accept(&p.w, 100, 2, &c);
	world_run(&p.w, 5000);
	assert_int_equal(p.fs.count[TWIN_SYNC], syncs + 2);
	teardown(&p);
}

/* What a start finds after kill -9: all that was written, synced or not. */
static bool
survives_kill(struct pair *p, spool_id id)
{
	struct twin_fs image;
	struct world w;
	bool there;

	twin_fs_crash(&image, &p->fs, TWIN_KEEP_ALL, 1);
	world_start(&w, &image);
	there = spool_find(w.spool, id) != NULL;
	world_end(&w);
	return there;
}

/*
 * The end of a message is written when the turn ends, whoever else waits for nothing.
 * Only a sync in progress comes before; what is gathered behind it is written behind it.
 */
static void
test_finish_is_written_at_once(void **state)
{
	struct spool_update u = { .attempts = 0, .endpoint = "" };
	unsigned written = 0;
	struct commit a, b, c, busy;
	uint64_t syncs;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 100, 1, &a);
	world_accept(&p.w, 100, 2, &b);
	world_accept(&p.w, 100, 3, &c);
	syncs = p.fs.count[TWIN_SYNC];
	world_finish(&p.w, a.id);
	assert_true(survives_kill(&p, a.id));
	world_run(&p.w, 1);
	assert_false(survives_kill(&p, a.id));
	assert_int_equal(p.fs.count[TWIN_SYNC], syncs);

	p.w.worker.stalled = true;
	world_commit(&p.w, world_fill(&p.w, 100, 4, 1), &busy);
	world_run(&p.w, 5);
	world_finish(&p.w, b.id);
	spool_update(p.w.spool, spool_find(p.w.spool, c.id), &u, on_written, &written);
	world_run(&p.w, 5);
	assert_true(survives_kill(&p, b.id));
	assert_int_equal(written, 0);
	p.w.worker.stalled = false;
	twin_worker_kick(&p.w.worker);
	while (written == 0)
		world_run(&p.w, 1);
	assert_false(survives_kill(&p, b.id));
	teardown(&p);
}

static void
on_credit(void *owner, size_t pending)
{
	*(size_t *)owner = pending;
}

/* Chunks leave memory as they are written; an aborted message leaves nothing. */
static void
test_credit_and_abort(void **state)
{
	static uint8_t block[200000];
	size_t pending = 0, told = 1;
	struct spool_txn *t;
	struct pair p;
	struct commit c;
	spool_id dead;

	setup(&p);
	memset(block, 'x', sizeof(block));
	t = world_begin(&p.w, 1, NULL);
	dead = p.w.last_id;
	spool_txn_on_written(t, on_credit, &told);
	assert_int_equal(spool_append(t, view_of(block, sizeof(block)), &pending, NULL), 0);
	assert_int_equal(pending, 3 * SPOOL_CHUNK);
	world_run(&p.w, 5);
	assert_int_equal(told, 0);
	assert_int_equal(spool_append(t, view_of(block, sizeof(block)), &pending, NULL), 0);
	spool_abort(t);			/* while chunks are on their way */
	world_run(&p.w, 5);
	world_accept(&p.w, 100, 1, &c);
	world_reopen(&p.w);
	assert_null(spool_find(p.w.spool, dead));
	assert_int_equal(p.w.ntold, 1);
	teardown(&p);
}

/* Closing: no new message, those under way are finished, and told before. */
static void
test_close(void **state)
{
	struct spool_txn *t;
	struct pair p;
	struct commit c;
	struct err e;

	setup(&p);
	t = world_fill(&p.w, 100000, 1, 1);
	world_begin_close(&p.w);
	assert_null(world_begin(&p.w, 1, &e));
	assert_int_equal(e.kind, ERR_BUSY);
	world_run(&p.w, 5000);
	assert_false(p.w.closed);
	world_commit(&p.w, t, &c);
	world_run(&p.w, 100);
	assert_true(p.w.closed);
	assert_int_equal(c.calls, 1);
	assert_int_equal(c.e.kind, ERR_NONE);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_true(world_has(&p.w, c.id, 100000, 1));
	teardown(&p);
}

/* Many small ones across rotations, with a slow disk. */
static void
test_many(void **state)
{
	static struct commit c[WORLD_MESSAGES];
	struct pair p;

	setup(&p);
	p.w.worker.delay_ms = 3;
	for (unsigned i = 0; i < 400; i++) {
		world_commit(&p.w, world_fill(&p.w, i * 31, i, 1 + i % 3), &c[i]);
		if (i % 7 == 0)
			world_run(&p.w, 1);
	}
	world_run(&p.w, 1000);
	assert_int_equal(p.w.ntold, 400);
	assert_true(twin_fs_count(&p.fs, "log") > 2);
	for (unsigned i = 0; i < 400; i++)
		assert_true(world_has(&p.w, c[i].id, i * 31, i));
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 400);
	for (unsigned i = 0; i < 400; i++)
		assert_true(world_has(&p.w, c[i].id, i * 31, i));
	teardown(&p);
}

/* --- when a sync begins ------------------------------------------------------------ */

#define CLIENTS		50
#define ROUNDS		40
#define SYNC_MS		5

/* Clients that send their next message some time after the reply to the last one. */
struct pacing {
	struct pair	 p;
	struct rng	 rng;
	struct commit	 c[CLIENTS];
	struct timer	 think[CLIENTS];
	unsigned	 sent[CLIENTS];
	unsigned	 waiting, told;
	int64_t		 waits_since;	/* the first of those that wait; -1: none does */
	int64_t		 free_since;	/* no sync runs since; -1: one does */
	void		(*submit)(struct worker *, struct job *);
	void		(*done)(struct job *);
};

static struct pacing *pacing;	/* the twin's submit has no owner of ours */

static void
on_done(struct job *j)
{
	pacing->free_since = loop_now(&pacing->p.w.twin.loop);
	pacing->done(j);
}

/* A sync begins: none runs, and it is the very moment in which it could. */
static void
on_submit(struct worker *w, struct job *j)
{
	int64_t now = loop_now(&pacing->p.w.twin.loop);

	assert_true(pacing->free_since >= 0);
	if (pacing->waits_since >= 0)
		assert_int_equal(now, pacing->waits_since > pacing->free_since ? pacing->waits_since :
		    pacing->free_since);
	pacing->free_since = pacing->waits_since = -1;
	pacing->done = j->done;
	j->done = on_done;
	pacing->submit(w, j);
}

static void paced_commit(void *arg);

static void
on_told(void *owner, spool_id id, const struct err *e)
{
	unsigned i = (unsigned)((struct commit *)owner - pacing->c);

	assert_null(e);
	pacing->told++;
	if (pacing->sent[i] < ROUNDS)
		timer_set(&pacing->p.w.twin.loop, &pacing->think[i], (int64_t)rng_below(&pacing->rng, SYNC_MS));
}

static void
paced_commit(void *arg)
{
	struct commit *c = arg;
	unsigned i = (unsigned)(c - pacing->c);

	pacing->sent[i]++;
	if (pacing->waits_since < 0)
		pacing->waits_since = loop_now(&pacing->p.w.twin.loop);
	spool_commit(world_fill(&pacing->p.w, 1000, i, 1), false, on_told, c);
}

/*
 * Whoever finds the disk idle begins a sync in the same turn; who comes meanwhile goes with
 * the next one, which begins in the turn in which the first ends. No timer, no second sync.
 */
static void
test_pace(void **state)
{
	struct pacing pc = { .waits_since = -1 };
	struct spool_stats before, after;
	uint64_t syncs;
	double per_message;

	pacing = &pc;
	setup(&pc.p);
	rng_init(&pc.rng, 11);
	pc.p.w.params.outcome_sync_ms = 1000000;
	pc.p.w.worker.delay_ms = SYNC_MS;
	pc.submit = pc.p.w.worker.worker.submit;
	pc.p.w.worker.worker.submit = on_submit;
	pc.free_since = loop_now(&pc.p.w.twin.loop);
	spool_stats(pc.p.w.spool, &before);
	syncs = pc.p.fs.count[TWIN_SYNC];
	for (unsigned i = 0; i < CLIENTS; i++) {
		timer_init(&pc.think[i], paced_commit, &pc.c[i]);
		timer_set(&pc.p.w.twin.loop, &pc.think[i], (int64_t)rng_below(&pc.rng, 20));
	}
	/* Before the segment is full, so that each job is one sync. */
	while (pc.told < CLIENTS * 10)
		world_run(&pc.p.w, 1);
	spool_stats(pc.p.w.spool, &after);
	assert_int_equal(after.syncs - before.syncs, pc.p.fs.count[TWIN_SYNC] - syncs);
	assert_int_equal(after.batches - before.batches, after.syncs - before.syncs);
	assert_true(after.batch_max > CLIENTS / 4 && after.batch_max <= CLIENTS);
	while (pc.told < CLIENTS * ROUNDS)
		world_run(&pc.p.w, 1);
	spool_stats(pc.p.w.spool, &after);
	assert_int_equal(after.accepted - before.accepted, CLIENTS * ROUNDS);
	per_message = (double)(pc.p.fs.count[TWIN_SYNC] - syncs) / (CLIENTS * ROUNDS);
	print_message("%u clients, %u ms a sync: %.4f syncs a message\n", CLIENTS, SYNC_MS, per_message);
	assert_true(per_message <= 0.06);
	/* One alone: one sync each, begun at once (on_submit), over after SYNC_MS. */
	for (unsigned i = 0; i < 5; i++) {
		int64_t begin;

		world_run(&pc.p.w, 37);
		begin = loop_now(&pc.p.w.twin.loop);
		pc.sent[0] = ROUNDS;
		paced_commit(&pc.c[0]);
		while (pc.told == CLIENTS * ROUNDS + i)
			world_run(&pc.p.w, 1);
		assert_true(loop_now(&pc.p.w.twin.loop) - begin <= SYNC_MS + 1);
	}
	pc.p.w.worker.worker.submit = pc.submit;
	teardown(&pc.p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_before_sync),
		cmocka_unit_test(test_told_after_sync),
		cmocka_unit_test(test_outcome_sync),
		cmocka_unit_test(test_finish_is_written_at_once),
		cmocka_unit_test(test_credit_and_abort),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_one_message),
		cmocka_unit_test(test_group),
		cmocka_unit_test(test_pace),
	};

	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
