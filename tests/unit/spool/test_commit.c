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
	struct twin_fs fs;
	struct world w;
	struct commit c;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	world_run(&w, 100);
	assert_int_equal(w.recovered, 1);
	world_accept(&w, 5000, 1, &c);
	assert_int_equal(c.e.kind, ERR_NONE);
	assert_int_equal(w.ntold, 1);
	assert_int_equal(w.told[0], c.id);
	assert_true(world_has(&w, c.id, 5000, 1));
	world_reopen(&w);
	assert_int_equal(w.ntold, 1);
	assert_true(world_has(&w, c.id, 5000, 1));
	assert_int_equal(w.troubles, 0);
	world_done(&w);
	assert_int_equal(twin_fs_open_files(&fs), 0);
	twin_fs_done(&fs);
}

/* All that wait share one sync; a second job never runs beside the first. */
static void
test_group(void **state)
{
	struct commit c[40];
	struct twin_fs fs;
	struct world w;
	uint64_t syncs, writes;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	world_run(&w, 100);
	syncs = fs.count[TWIN_SYNC];
	writes = fs.count[TWIN_WRITE];
	w.worker.stalled = true;
	for (unsigned i = 0; i < 20; i++)
		world_commit(&w, world_fill(&w, 1000 + i, i, 1), &c[i]);
	world_run(&w, 1000);
	for (unsigned i = 20; i < 40; i++)
		world_commit(&w, world_fill(&w, 1000 + i, i, 1), &c[i]);
	world_run(&w, 1000);
	/* One job at the worker, and nobody is told anything. */
	assert_ptr_equal(w.worker.jobs.next, w.worker.jobs.prev);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(c[i].calls, 0);
	assert_int_equal(w.ntold, 0);
	w.worker.stalled = false;
	twin_worker_kick(&w.worker);
	world_run(&w, 20);
	assert_int_equal(fs.count[TWIN_SYNC] - syncs, 2);
	assert_int_equal(fs.count[TWIN_WRITE] - writes, 2);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(c[i].calls, 1);
		assert_int_equal(c[i].e.kind, ERR_NONE);
		assert_true(world_has(&w, c[i].id, 1000 + i, i));
		for (unsigned k = 0; k < i; k++)
			assert_true(c[k].id != c[i].id);
	}
	world_done(&w);
	twin_fs_done(&fs);
}

/* Never told before the sync, at whatever size; chunks go out without one. */
static void
test_not_before_sync(void **state)
{
	static const size_t size[] = { 0, 1000, 65000, 65536, 70000, 300000 };
	struct twin_fs fs;
	struct world w;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	world_run(&w, 100);
	for (unsigned i = 0; i < lengthof(size); i++) {
		uint64_t syncs = fs.count[TWIN_SYNC];
		struct spool_txn *t = world_fill(&w, size[i], i, 1);
		struct commit c;

		world_run(&w, 500);
		assert_int_equal(fs.count[TWIN_SYNC], syncs);
		w.worker.delay_ms = 10;
		world_commit(&w, t, &c);
		while (c.calls == 0)
			world_run(&w, 1);
		assert_int_equal(c.e.kind, ERR_NONE);
		assert_int_equal(fs.count[TWIN_SYNC], syncs + 1);
		w.worker.delay_ms = 0;
	}
	world_done(&w);
	twin_fs_done(&fs);
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
	struct twin_fs fs;
	struct world w;
	struct commit c;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	world_run(&w, 100);
	fs.before = note_sync;
	fs.arg = &c;
	world_accept(&w, 100, 1, &c);
	fs.before = NULL;
	world_done(&w);
	twin_fs_done(&fs);
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
	struct twin_fs fs;
	struct world w;
	struct commit c;
	uint64_t syncs;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	world_accept(&w, 100, 1, &c);
	syncs = fs.count[TWIN_SYNC];
	spool_update(w.spool, spool_find(w.spool, c.id), &u, on_written, &written);
	assert_int_equal(written, 0);
	world_run(&w, 5);
	assert_int_equal(written, 1);
	world_run(&w, 900);
	assert_int_equal(fs.count[TWIN_SYNC], syncs);
	world_run(&w, 200);
	assert_int_equal(fs.count[TWIN_SYNC], syncs + 1);
	world_run(&w, 5000);
	assert_int_equal(fs.count[TWIN_SYNC], syncs + 1);	/* nothing more to sync */
	spool_update(w.spool, spool_find(w.spool, c.id), &u, NULL, NULL);
	world_accept(&w, 100, 2, &c);
	world_run(&w, 5000);
	assert_int_equal(fs.count[TWIN_SYNC], syncs + 2);
	world_done(&w);
	twin_fs_done(&fs);
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
	struct twin_fs fs;
	struct world w;
	struct commit c;
	spool_id dead;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	world_run(&w, 100);
	memset(block, 'x', sizeof(block));
	t = world_begin(&w, 1, NULL);
	dead = w.last_id;
	spool_txn_on_written(t, on_credit, &told);
	assert_int_equal(spool_append(t, view_of(block, sizeof(block)), &pending, NULL), 0);
	assert_int_equal(pending, 3 * SPOOL_CHUNK);
	world_run(&w, 5);
	assert_int_equal(told, 0);
	assert_int_equal(spool_append(t, view_of(block, sizeof(block)), &pending, NULL), 0);
	spool_abort(t);			/* while chunks are on their way */
	world_run(&w, 5);
	world_accept(&w, 100, 1, &c);
	world_reopen(&w);
	assert_null(spool_find(w.spool, dead));
	assert_int_equal(w.ntold, 1);
	world_done(&w);
	twin_fs_done(&fs);
}

/* Closing: no new message, those under way are finished, and told before. */
static void
test_close(void **state)
{
	struct spool_txn *t;
	struct twin_fs fs;
	struct world w;
	struct commit c;
	struct err e;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	world_run(&w, 100);
	t = world_fill(&w, 100000, 1, 1);
	world_begin_close(&w);
	assert_null(world_begin(&w, 1, &e));
	assert_int_equal(e.kind, ERR_BUSY);
	world_run(&w, 5000);
	assert_false(w.closed);
	world_commit(&w, t, &c);
	world_run(&w, 100);
	assert_true(w.closed);
	assert_int_equal(c.calls, 1);
	assert_int_equal(c.e.kind, ERR_NONE);
	world_open(&w);
	world_run(&w, 100);
	assert_true(world_has(&w, c.id, 100000, 1));
	world_done(&w);
	twin_fs_done(&fs);
}

/* Many small ones across rotations, with a slow disk. */
static void
test_many(void **state)
{
	static struct commit c[WORLD_MESSAGES];
	struct twin_fs fs;
	struct world w;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	w.worker.delay_ms = 3;
	for (unsigned i = 0; i < 400; i++) {
		world_commit(&w, world_fill(&w, i * 31, i, 1 + i % 3), &c[i]);
		if (i % 7 == 0)
			world_run(&w, 1);
	}
	world_run(&w, 1000);
	assert_int_equal(w.ntold, 400);
	assert_true(twin_fs_count(&fs, "log") > 2);
	for (unsigned i = 0; i < 400; i++)
		assert_true(world_has(&w, c[i].id, i * 31, i));
	world_reopen(&w);
	assert_int_equal(w.ntold, 400);
	for (unsigned i = 0; i < 400; i++)
		assert_true(world_has(&w, c[i].id, i * 31, i));
	world_done(&w);
	twin_fs_done(&fs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_not_before_sync),
		cmocka_unit_test(test_told_after_sync),
		cmocka_unit_test(test_outcome_sync),
		cmocka_unit_test(test_credit_and_abort),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_one_message),
		cmocka_unit_test(test_group),
	};

	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
