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
	};

	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
