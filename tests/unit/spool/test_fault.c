/* SPDX-License-Identifier: BSD-2-Clause */
/* Failing writes and syncs, full disks, limits: who is told what, and that it ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "spool/record.h"
#include "unit/spool/world.h"

#include "base/banned.h"

/* --- write and sync ---------------------------------------------------------- */

static void
check_fault(enum twin_op op, int errnum, enum err_kind kind)
{
	struct commit a, b, c, d;
	char name[64];
	struct pair p;

	setup(&p);
	world_accept(&p.w, 100, 1, &a);
	world_finish(&p.w, a.id);		/* written with b, and again after the failure */
	(void)snprintf(name, sizeof(name), "%s", twin_fs_name(&p.fs, "log", 0));
	twin_fs_fail(&p.fs, op, 0, 1, errnum);
	world_accept(&p.w, 200, 2, &b);
	assert_int_equal(b.e.kind, kind);
	assert_int_equal(b.e.errnum, errnum);
	assert_int_equal(p.w.troubles, 1);
	assert_null(spool_find(p.w.spool, b.id));
	world_accept(&p.w, 300, 3, &c);
	assert_int_equal(c.e.kind, ERR_NONE);
	assert_int_equal(p.w.health, SPOOL_OK);
	world_run(&p.w, 2000);
	/* Never the same file again; and it is released. */
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	assert_string_not_equal(twin_fs_name(&p.fs, "log", 0), name);
	world_accept(&p.w, 400, 4, &d);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 2);
	assert_true(world_has(&p.w, c.id, 300, 3));
	assert_true(world_has(&p.w, d.id, 400, 4));
	assert_int_equal(p.w.troubles, 1);
	teardown(&p);
}

static void
test_write_fails(void **state)
{
	check_fault(TWIN_WRITE, EIO, ERR_SYSTEM);
}

static void
test_sync_fails(void **state)
{
	check_fault(TWIN_SYNC, EIO, ERR_SYSTEM);
}

static void
test_write_full(void **state)
{
	check_fault(TWIN_WRITE, ENOSPC, ERR_FULL);
}

/*
 * The next segment is begun with nothing to write. An epoch without a record would make the
 * one behind it prove what was never synced.
 */
static void
test_no_epoch_is_empty(void **state)
{
	struct commit a, b;
	struct record r;
	const uint8_t *bytes;
	uint64_t size;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 100, 1, &a);
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, 1, EIO);
	world_accept(&p.w, 200, 2, &b);
	assert_int_equal(b.e.kind, ERR_SYSTEM);
	world_run(&p.w, 20);
	world_finish(&p.w, a.id);
	world_run(&p.w, 20);
	bytes = twin_fs_content(&p.fs, twin_fs_name(&p.fs, "log", 1), &size);
	assert_true(record_get_any(&r, bytes));
	assert_int_equal(r.type, RECORD_START);
	assert_true(record_get_any(&r, bytes + record_room(r.length)));
	assert_int_equal(r.type, RECORD_FINISH);
	assert_int_equal(r.epoch, 1);
	teardown(&p);
}

/* The refused message reached the disk all the same: it must not come back, cut off or not. */
static void
test_refused_is_not_resurrected(void **state)
{
	struct commit b, c;
	struct twin_fs image;
	struct pair p;
	struct world w;

	for (unsigned uncut = 0; uncut < 2; uncut++) {
		setup(&p);
		twin_fs_fail(&p.fs, TWIN_SYNC, 0, 1, EIO);
		twin_fs_fail(&p.fs, TWIN_TRUNCATE, 0, uncut, EIO);
		world_accept(&p.w, 200, 2, &b);
		assert_int_equal(b.e.kind, ERR_SYSTEM);
		world_accept(&p.w, 300, 3, &c);
		twin_fs_crash(&image, &p.fs, TWIN_KEEP_ALL, 1);
		world_start(&w, &image);
		assert_int_equal(w.ntold, 1);
		assert_true(w.told[0] == c.id);
		world_end(&w);
		teardown(&p);
	}
}

/* No segment can be begun that would say so: neither after kill -9 nor after a stop does it come back. */
static void
test_refused_before_the_end(void **state)
{
	static const struct {
		bool kill;
		uint64_t syncs, cuts;	/* that fail */
		unsigned troubles;
	} cases[] = {
		{ true, 1000, 0, 1 },
		{ false, 1000, 0, 2 },		/* the size could not be synced */
		{ false, 1000, 1, 2 },
		{ false, 3, 1, 1 },		/* the last attempt to begin a segment is the third */
		{ false, 2, 1, 1 },		/* it succeeds */
	};
	struct commit a, b;
	struct pair p;

	for (size_t i = 0; i < lengthof(cases); i++) {
		setup(&p);
		world_accept(&p.w, 100, 1, &a);
		twin_fs_fail(&p.fs, TWIN_SYNC, 0, cases[i].syncs, EIO);
		twin_fs_fail(&p.fs, TWIN_TRUNCATE, 0, cases[i].cuts, EIO);
		p.w.troubles = 0;
		world_accept(&p.w, 200, 2, &b);
		assert_int_equal(b.e.kind, ERR_SYSTEM);
		if (cases[i].kill)
			world_kill(&p.w);
		else
			world_close(&p.w);
		if (p.w.troubles < cases[i].troubles)
			fail_msg("case %zu", i);
		twin_fs_fail(&p.fs, TWIN_SYNC, 0, 0, 0);
		world_open(&p.w);
		world_run(&p.w, 100);
		assert_int_equal(p.w.ntold, 1);
		assert_true(world_has(&p.w, a.id, 100, 1));
		teardown(&p);
	}
}

/* What could not be written for want of a segment is, if one can be begun at the end. */
static void
test_last_attempt(void **state)
{
	struct commit a, b;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 100, 1, &a);
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, 2, EIO);
	world_accept(&p.w, 200, 2, &b);
	assert_int_equal(b.e.kind, ERR_SYSTEM);
	world_finish(&p.w, a.id);
	world_run(&p.w, 10);
	world_begin_close(&p.w);
	world_run(&p.w, 100);
	assert_true(p.w.closed);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(p.w.ntold, 0);
	teardown(&p);
}

/* Chunks that were written but not synced are lost with the failed sync: so is their message. */
static void
test_chunks_in_lost_range(void **state)
{
	struct spool_txn *big;
	struct commit a, b;
	struct pair p;

	setup(&p);
	big = world_fill(&p.w, 150000, 1, 1);
	world_run(&p.w, 10);			/* chunks are written, not synced */
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, 1, EIO);
	world_accept(&p.w, 100, 2, &b);
	assert_int_equal(b.e.kind, ERR_SYSTEM);
	world_commit(&p.w, big, &a);
	world_run(&p.w, 20);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.e.kind, ERR_SYSTEM);
	world_accept(&p.w, 150000, 3, &a);
	assert_int_equal(a.e.kind, ERR_NONE);
	teardown(&p);
}

/* The same while the commit record itself waits, behind a batch that is full. */
static void
test_commit_withdrawn(void **state)
{
	struct commit a, b[8], c;
	struct spool_txn *big;
	struct pair p;

	setup(&p);
	big = world_fill(&p.w, 100000, 1, 1);
	world_run(&p.w, 10);
	p.w.worker.delay_ms = 10;
	world_commit(&p.w, big, &a);		/* the last chunk is under way */
	world_run(&p.w, 5);
	for (unsigned i = 0; i < 8; i++)	/* a batch has 256 KiB */
		world_commit(&p.w, world_fill(&p.w, 60000, i, 1), &b[i]);
	world_run(&p.w, 7);			/* it is written; some of b is under way, C waits */
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, 1, EIO);
	world_run(&p.w, 100);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.e.kind, ERR_SYSTEM);
	assert_int_equal(b[0].e.kind, ERR_SYSTEM);
	assert_int_equal(b[7].calls, 1);
	assert_int_equal(b[7].e.kind, ERR_NONE);
	world_accept(&p.w, 100, 1, &c);
	world_reopen(&p.w);
	assert_null(spool_find(p.w.spool, a.id));
	assert_non_null(spool_find(p.w.spool, b[7].id));
	assert_int_equal(p.w.troubles, 1);
	teardown(&p);
}

/* A second failure within a minute: new mail is refused, outcomes go on, then it heals. */
static void
test_degraded(void **state)
{
	struct commit a, b, c;
	struct err e;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 100, 1, &a);
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, 1, EIO);
	world_accept(&p.w, 200, 2, &b);
	world_run(&p.w, 30000);
	assert_int_equal(p.w.health, SPOOL_OK);
	twin_fs_fail(&p.fs, TWIN_WRITE, 0, 1, EIO);
	world_accept(&p.w, 200, 3, &b);
	assert_int_equal(b.e.kind, ERR_SYSTEM);
	world_run(&p.w, 100);
	assert_int_equal(p.w.health, SPOOL_DEGRADED);
	assert_null(world_begin(&p.w, 1, &e));
	assert_int_equal(e.kind, ERR_SYSTEM);
	assert_non_null(strstr(e.text, "Input/output error"));
	world_finish(&p.w, a.id);		/* delivery goes on */
	world_run(&p.w, 10000);
	assert_null(world_begin(&p.w, 1, &e));
	world_run(&p.w, 60000);
	assert_int_equal(p.w.health, SPOOL_OK);
	world_accept(&p.w, 300, 4, &c);
	assert_int_equal(c.e.kind, ERR_NONE);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 1);
	assert_true(p.w.told[0] == c.id);
	teardown(&p);
}

static void
count_call(void *owner)
{
	++*(unsigned *)owner;
}

/* Nothing can be written for a while: the mark in front of a final dot counts all the same, up to a limit. */
static void
test_kept_in_memory(void **state)
{
	struct spool_update u = { .attempts = 1, .flags = SPOOL_UNCERTAIN, .endpoint = "" };
	struct spool_message *m;
	struct spool_stats st;
	unsigned told = 0, gathered = 0;
	struct commit a, b;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 100, 1, &a);
	m = spool_find(p.w.spool, a.id);
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, UINT64_MAX, EIO);
	world_accept(&p.w, 200, 2, &b);
	world_run(&p.w, 100);
	assert_int_equal(p.w.health, SPOOL_DEGRADED);
	spool_update(p.w.spool, m, &u, count_call, &told);
	assert_int_equal(told, 0);		/* never from within the call */
	world_run(&p.w, 10);
	assert_int_equal(told, 1);
	while (told == gathered + 1) {
		spool_update(p.w.spool, m, &u, count_call, &told);
		gathered++;
		world_run(&p.w, 1);
		assert_true(gathered < 200000);
	}
	assert_true(gathered > 10000);
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, 0, 0);
	world_finish(&p.w, a.id);
	world_run(&p.w, 90000);
	assert_int_equal(p.w.health, SPOOL_OK);
	assert_int_equal(told, gathered + 1);	/* each once, also those that were kept */
	spool_stats(p.w.spool, &st);
	assert_int_equal(st.messages, 0);
	world_kill(&p.w);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(p.w.ntold, 0);
	teardown(&p);
}

/* Rotation fails at each of its steps: nothing is lost, and it goes on by itself. */
static void
check_rotation_fault(enum twin_op op, uint64_t after)
{
	struct commit c[12], x;
	struct pair p;
	unsigned good = 0;

	setup(&p);
	for (unsigned i = 0; i < 5; i++) {
		world_accept(&p.w, 180000, i, &c[i]);
		assert_int_equal(c[i].e.kind, ERR_NONE);
	}
	twin_fs_fail(&p.fs, op, after, 1, EIO);
	for (unsigned i = 5; i < 12; i++) {
		if (p.w.health != SPOOL_OK)
			world_run(&p.w, 70000);
		world_commit(&p.w, world_fill(&p.w, 180000, i, 1), &c[i]);
		world_run(&p.w, 8000);
		assert_int_equal(c[i].calls, 1);
		good += c[i].e.kind == ERR_NONE;
	}
	assert_true(good >= 6);
	world_accept(&p.w, 100, 99, &x);
	assert_int_equal(x.e.kind, ERR_NONE);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 5 + good + 1);
	for (unsigned i = 0; i < 12; i++)
		assert_true(world_has(&p.w, c[i].id, 180000, i) == (c[i].e.kind == ERR_NONE));
	teardown(&p);
}

static void
test_rotation_faults(void **state)
{
	check_rotation_fault(TWIN_RENAME, 0);
	check_rotation_fault(TWIN_SYNC_DIR, 0);
	check_rotation_fault(TWIN_SYNC_DIR, 1);
	check_rotation_fault(TWIN_CREATE, 0);
	check_rotation_fault(TWIN_ALLOCATE, 0);
	for (uint64_t i = 0; i < 8; i++) {
		check_rotation_fault(TWIN_WRITE, i);
		check_rotation_fault(TWIN_SYNC, i);
	}
}

/* --- full ---------------------------------------------------------------------- */

/* No room for a spare: new mail is refused, all that is queued can be finished, then it heals. */
static void
test_full_disk(void **state)
{
	struct commit c[40];
	unsigned n = 0;
	struct pair p;
	struct err e;

	setup(&p);
	p.fs.space = 5u << 20;
	while (n < 40 && p.w.health == SPOOL_OK) {
		world_commit(&p.w, world_fill(&p.w, 200000, n, 1), &c[n]);
		world_run(&p.w, 20);
		assert_int_equal(c[n].calls, 1);
		if (c[n].e.kind != ERR_NONE)
			break;
		n++;
	}
	assert_true(n > 10 && n < 40);
	assert_int_equal(c[n].e.kind, ERR_FULL);
	world_run(&p.w, 5000);
	assert_int_equal(p.w.health, SPOOL_FULL);
	assert_null(world_begin(&p.w, 1, &e));
	assert_int_equal(e.kind, ERR_FULL);
	p.fs.space = twin_fs_used(&p.fs);	/* not a byte more */
	for (unsigned i = n; i-- > 0;) {
		world_finish(&p.w, c[i].id);
		world_run(&p.w, 1500);
	}
	world_run(&p.w, 10000);
	assert_int_equal(p.w.health, SPOOL_OK);		/* the freed segments */
	world_accept(&p.w, 1000, 1, &c[0]);
	assert_int_equal(c[0].e.kind, ERR_NONE);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 1);
	teardown(&p);
}

/* A restart on a full disk takes the spare file. */
static void
test_restart_on_full_disk(void **state)
{
	struct commit c;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 1000, 1, &c);
	world_close(&p.w);
	p.fs.space = twin_fs_used(&p.fs);
	world_open(&p.w);
	world_run(&p.w, 1000);
	assert_int_equal(p.w.ntold, 1);
	assert_int_equal(p.w.health, SPOOL_FULL);
	world_finish(&p.w, c.id);
	world_run(&p.w, 5000);
	assert_int_equal(p.w.health, SPOOL_FULL);	/* one spare, but no room to make the next */
	p.fs.space = 0;
	world_run(&p.w, 3000);
	assert_int_equal(p.w.health, SPOOL_OK);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 0);
	teardown(&p);
}

static void
test_limits(void **state)
{
	struct commit c[8];
	struct pair p;
	struct err e = { 0 };

	setup(&p);
	p.w.params.messages_max = 3;
	world_reopen(&p.w);
	for (unsigned i = 0; i < 3; i++)
		world_accept(&p.w, 10, i, &c[i]);
	assert_null(world_begin(&p.w, 1, &e));
	assert_int_equal(e.kind, ERR_FULL);
	world_run(&p.w, 10);
	assert_int_equal(p.w.health, SPOOL_FULL);
	world_reopen(&p.w);			/* also of those that are found */
	assert_null(world_begin(&p.w, 1, &e));
	world_finish(&p.w, c[0].id);
	world_run(&p.w, 10);
	assert_int_equal(p.w.health, SPOOL_OK);
	world_accept(&p.w, 10, 3, &c[3]);
	assert_int_equal(c[3].e.kind, ERR_NONE);

	p.w.params.messages_max = 1000;
	p.w.params.bytes_max = 2500000;
	world_reopen(&p.w);
	for (unsigned i = 0; i < 8 && p.w.health == SPOOL_OK; i++)
		world_accept(&p.w, 400000, i, &c[i]);
	world_run(&p.w, 100);
	assert_int_equal(p.w.health, SPOOL_FULL);
	assert_null(world_begin(&p.w, 1, &e));
	assert_int_equal(e.kind, ERR_FULL);

	p.w.params.bytes_max = 64u << 20;
	p.w.params.free_min = 3u << 20;
	world_reopen(&p.w);
	p.fs.space = twin_fs_used(&p.fs) + (4u << 20);
	world_accept(&p.w, 10, 1, &c[0]);
	assert_int_equal(c[0].e.kind, ERR_NONE);
	p.fs.space -= 2u << 20;
	world_accept(&p.w, 10, 1, &c[0]);
	world_run(&p.w, 10);
	assert_int_equal(p.w.health, SPOOL_FULL);
	assert_null(world_begin(&p.w, 1, &e));
	p.fs.space += 2u << 20;
	world_run(&p.w, 3000);
	assert_int_equal(p.w.health, SPOOL_OK);
	teardown(&p);
}

/* Messages that were let in side by side do not pass the limit together. */
static void
test_limit_while_messages_come_in(void **state)
{
	static const uint8_t block[100000];
	struct spool_txn *t[20] = { NULL };
	struct spool_stats stats;
	unsigned refused = 0;
	struct pair p;
	struct err e = { 0 };
	size_t pending;

	setup(&p);
	p.w.params.bytes_max = 2500000;
	world_reopen(&p.w);
	for (size_t i = 0; i < lengthof(t); i++) {
		t[i] = world_begin(&p.w, 1, &e);
		assert_non_null(t[i]);
	}
	for (unsigned round = 0; round < 10; round++) {
		for (size_t i = 0; i < lengthof(t); i++) {
			if (t[i] == NULL || spool_append(t[i], view_of(block, sizeof(block)), &pending, &e) == 0)
				continue;
			assert_int_equal(e.kind, ERR_FULL);
			spool_abort(t[i]);
			t[i] = NULL;
			refused++;
		}
		world_run(&p.w, 10);
	}
	assert_int_equal(refused, lengthof(t));
	spool_stats(p.w.spool, &stats);
	assert_in_range(stats.log_bytes, 1, 2500000 + SEGMENT);
	world_run(&p.w, 5000);
	assert_int_equal(p.w.health, SPOOL_OK);		/* nothing of them is kept */
	teardown(&p);
}

/* A client that ignores its credit costs bounded memory. */
static void
test_no_credit(void **state)
{
	static uint8_t block[1 << 20];
	struct spool_txn *t;
	struct pair p;
	struct err e = { 0 };
	size_t pending = 0, most = 0;
	unsigned i = 0;

	setup(&p);
	p.w.worker.stalled = true;
	t = world_begin(&p.w, 1, &e);
	while (i < 100 && spool_append(t, view_of(block, sizeof(block)), &pending, &e) == 0) {
		most = pending;
		i++;
	}
	assert_true(i < 100 && most < 26u << 20);
	assert_int_equal(e.kind, ERR_FULL);
	spool_abort(t);
	p.w.worker.stalled = false;
	twin_worker_kick(&p.w.worker);
	teardown(&p);
}

/* --- refusals at the start ---------------------------------------------------------- */

static int
try_open(struct pair *p, struct err *e)
{
	struct spool_env env = { &p->w.twin.loop, &p->fs.fs, &p->w.worker.worker, &p->w.reader.worker,
		&p->w.rng };
	struct spool_events none = { 0 };
	struct spool *s;

	return spool_open(&s, &p->w.params, &env, &none, NULL, e);
}

static void
test_refusals(void **state)
{
	struct pair p;
	struct err e;
	uint8_t *text;
	uint64_t size;
	size_t spares;

	setup(&p);
	assert_int_equal(try_open(&p, &e), -1);		/* in use */
	assert_int_equal(e.kind, ERR_BUSY);
	assert_non_null(strstr(e.text, "the spool is in use: LOCK is locked by process 1"));
	world_close(&p.w);
	p.w.params.segment_size = 4096;
	assert_int_equal(try_open(&p, &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	p.w.params.segment_size = SEGMENT;
	/* A later format: payload and its checksum as that program would write them. */
	text = twin_fs_content(&p.fs, twin_fs_name(&p.fs, "log", 0), &size);
	assert_non_null(text);
	world_write_start(text, "format: 2\n");
	p.w.params.segment_size = SEGMENT * 2;		/* our spares would not do */
	spares = twin_fs_count(&p.fs, "spare");
	assert_true(spares > 0);
	assert_int_equal(try_open(&p, &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_non_null(strstr(e.text, "newer"));
	assert_int_equal(twin_fs_count(&p.fs, "spare"), spares);	/* nothing was changed */
	assert_int_equal(twin_fs_open_files(&p.fs), 0);
	twin_loop_done(&p.w.twin);
	twin_fs_done(&p.fs);
}

/* A disk in memory is told of, and no reason to refuse mail. */
static void
test_volatile_disk(void **state)
{
	struct spool_stats stats;
	struct commit c;
	struct pair p;

	for (unsigned in_memory = 0; in_memory < 2; in_memory++) {
		twin_fs_init(&p.fs);
		p.fs.volatile_fs = in_memory != 0;
		world_start(&p.w, &p.fs);
		world_accept(&p.w, 1000, 1, &c);
		assert_int_equal(c.e.kind, ERR_NONE);
		spool_stats(p.w.spool, &stats);
		assert_int_equal(stats.volatile_fs, in_memory);
		assert_int_equal(stats.health, SPOOL_OK);
		teardown(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_fails),
		cmocka_unit_test(test_sync_fails),
		cmocka_unit_test(test_write_full),
		cmocka_unit_test(test_no_epoch_is_empty),
		cmocka_unit_test(test_refused_is_not_resurrected),
		cmocka_unit_test(test_refused_before_the_end),
		cmocka_unit_test(test_last_attempt),
		cmocka_unit_test(test_chunks_in_lost_range),
		cmocka_unit_test(test_commit_withdrawn),
		cmocka_unit_test(test_degraded),
		cmocka_unit_test(test_kept_in_memory),
		cmocka_unit_test(test_rotation_faults),
		cmocka_unit_test(test_full_disk),
		cmocka_unit_test(test_restart_on_full_disk),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_limit_while_messages_come_in),
		cmocka_unit_test(test_no_credit),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_volatile_disk),
	};

	return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
