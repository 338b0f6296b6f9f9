/* SPDX-License-Identifier: BSD-2-Clause */
/* Stops and starts: in the middle of recovery, again and again, on a small or full disk. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "unit/spool/world.h"

#include "base/banned.h"

#define LIVE 24

/* Stopped before the older segments are read, at any step of that: they stay. */
static void
test_stop_in_recovery(void **state)
{
	struct commit c[LIVE];
	struct pair p;

	setup(&p);
	accept_many(&p, c, LIVE, 100000);
	world_close(&p.w);
	p.w.reader.delay_ms = 5;
	for (int ms = 0; ms < 60; ms += 3) {
		world_open(&p.w);
		world_run(&p.w, ms);
		world_close(&p.w);
	}
	p.w.reader.delay_ms = 0;
	world_open(&p.w);
	world_run(&p.w, 1000);
	assert_int_equal(p.w.ntold, LIVE);
	for (unsigned i = 0; i < LIVE; i++)
		assert_true(world_has(&p.w, c[i].id, 100000, i));
	teardown(&p);
}

/* --- space ----------------------------------------------------------------------- */

/* Whose each message is, read from records or from a summary. */
static void
test_owners(void **state)
{
	static const int64_t uid[] = { 33, -1, 4294967294 };
	static const size_t size[] = { 100, 100, 150000 };
	struct commit c[3];
	struct pair p;

	for (unsigned i = 0; i < 3; i++) {
		setup(&p);
		for (size_t k = 0; k < lengthof(c); k++) {
			p.w.uid = uid[k];
			world_accept(&p.w, size[k], k, &c[k]);
			assert_int_equal(p.w.told_uid[k], uid[k]);
		}
		if (i == 0)
			world_kill(&p.w);	/* walked */
		else
			world_close(&p.w);
		if (i == 2)	/* no summary: walked, too */
			twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0),
			    world_find(&p.fs, twin_fs_name(&p.fs, "log", 0), 'T', 0, 0) + 70);
		world_open(&p.w);
		world_run(&p.w, 100);
		assert_int_equal(p.w.ntold, 3);
		for (size_t k = 0; k < lengthof(c); k++)
			for (size_t n = 0; n < p.w.ntold; n++)
				if (p.w.told[n] == c[k].id)
					assert_int_equal(p.w.told_uid[n], uid[k]);
		teardown(&p);
	}
}

/* Start after start, most of them after a kill, behind a message that keeps the first segment. */
static void
test_many_restarts(void **state)
{
	struct commit held, c;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &held);
	world_hold(&p.w, held.id);
	for (unsigned i = 0; i < 50; i++) {
		world_accept(&p.w, 3000, i, &c);
		world_finish(&p.w, c.id);
		world_run(&p.w, 2000);
		if (i % 5 == 0)
			world_close(&p.w);
		else
			world_kill(&p.w);
		world_open(&p.w);
		world_run(&p.w, 100);
		assert_int_equal(p.w.ntold, 1);
	}
	/* Current, spare, and 50 of what was really written. */
	assert_true(twin_fs_used(&p.fs) < 3 * SEGMENT + 50 * 8192);
	assert_int_equal(p.w.troubles, 0);
	assert_true(world_has(&p.w, held.id, 500, 1));
	assert_true(spool_find(p.w.spool, held.id)->flags & SPOOL_HELD);
	world_finish(&p.w, held.id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	assert_int_equal(twin_fs_count(&p.fs, "spare"), 1);
	teardown(&p);
}

/* What is behind the torn place was written once: it stays to be looked at. */
static void
test_torn_is_kept(void **state)
{
	char name[64];
	struct commit a, b;
	uint64_t size, at = 0;
	uint8_t *bytes;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	world_commit(&p.w, world_fill(&p.w, 600, 2, 1), &b);
	world_run(&p.w, 20);
	world_kill(&p.w);
	(void)snprintf(name, sizeof(name), "%s", twin_fs_name(&p.fs, "log", 0));
	bytes = twin_fs_content(&p.fs, name, &size);
	assert_int_equal(size, SEGMENT);
	for (uint64_t i = 0; i < size; i++)
		if (bytes[i] != 0)
			at = i;
	twin_fs_damage(&p.fs, name, at - 100);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(p.w.ntold, 1);
	assert_non_null(twin_fs_content(&p.fs, name, &size));
	assert_true(size > at && size <= at + 64);
	teardown(&p);
}

/* The disk has no byte left, and there is no spare: what is queued is seen, and goes on when there is room. */
static void
test_start_without_room(void **state)
{
	struct spool_stats st;
	struct commit c, d;
	struct pair p;
	struct err e;

	setup(&p);
	world_accept(&p.w, 1000, 1, &c);
	world_kill(&p.w);
	assert_int_equal(fs_unlink(&p.fs.fs, twin_fs_name(&p.fs, "spare", 0), NULL), 0);
	p.fs.space = 1;
	world_open(&p.w);
	world_run(&p.w, 10);
	assert_int_equal(p.w.ntold, 1);
	assert_true(world_has(&p.w, c.id, 1000, 1));
	assert_int_equal(p.w.health, SPOOL_FULL);
	assert_null(world_begin(&p.w, 1, &e));
	assert_int_equal(e.kind, ERR_FULL);
	world_finish(&p.w, c.id);
	world_run(&p.w, 10);
	p.fs.space = 0;
	world_run(&p.w, 20000);
	assert_int_equal(p.w.health, SPOOL_OK);
	world_accept(&p.w, 1000, 2, &d);
	assert_int_equal(d.e.kind, ERR_NONE);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 1);
	assert_int_equal(p.w.told[0], d.id);

	/* And it can be stopped. */
	world_kill(&p.w);
	assert_int_equal(fs_unlink(&p.fs.fs, twin_fs_name(&p.fs, "spare", 0), NULL), 0);
	p.fs.space = 1;
	world_open(&p.w);
	world_run(&p.w, 10);
	world_close(&p.w);
	p.fs.space = 0;
	world_open(&p.w);
	world_run(&p.w, 100);
	spool_stats(p.w.spool, &st);
	assert_int_equal(st.messages, 1);
	teardown(&p);
}

/*
 * A full disk, and the last spare is used up: what was reserved survives stop after stop and kill after
 * kill, so that outcomes are written.
 */
static void
check_full(bool kill)
{
	struct commit c[8];
	const char *newest;
	uint64_t size;
	struct pair p;
	struct err e;

	setup(&p);
	accept_many(&p, c, lengthof(c), 1000);
	for (unsigned i = 0; i < lengthof(c); i++) {
		if (i == 1)
			p.fs.space = twin_fs_used(&p.fs);
		if (kill)
			world_kill(&p.w);
		else
			world_close(&p.w);
		/* Others take what is free meanwhile. */
		if (i > 0)
			p.fs.space = twin_fs_used(&p.fs);
		world_open(&p.w);
		world_run(&p.w, 10);
		assert_int_equal(p.w.ntold, lengthof(c) - i);
		if (i > 0)
			assert_null(world_begin(&p.w, 1, &e));
		world_finish(&p.w, c[i].id);
		world_run(&p.w, 2000);
	}
	/* It does not shrink by much from one to the next. */
	newest = twin_fs_name(&p.fs, "log", twin_fs_count(&p.fs, "log") - 1);
	assert_non_null(twin_fs_content(&p.fs, newest, &size));
	assert_true(size > SEGMENT / 2);
	p.fs.space = 0;
	world_run(&p.w, 20000);
	assert_int_equal(p.w.health, SPOOL_OK);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 0);
	assert_int_equal(p.w.troubles, 0);
	teardown(&p);
}

static void
test_restarts_on_full_disk(void **state)
{
	check_full(false);
	check_full(true);
}

/* A torn tail before a start without room is no damage after it. */
static void
test_torn_then_no_room(void **state)
{
	struct commit a, b;
	struct pair p;
	uint64_t size;
	uint8_t *bytes;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	world_commit(&p.w, world_fill(&p.w, 600, 2, 1), &b);
	world_run(&p.w, 20);
	world_kill(&p.w);
	bytes = twin_fs_content(&p.fs, twin_fs_name(&p.fs, "log", 0), &size);
	while (size > 0 && bytes[size - 1] == 0)
		size--;
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0), size - 100);
	assert_int_equal(fs_unlink(&p.fs.fs, twin_fs_name(&p.fs, "spare", 0), NULL), 0);
	p.fs.space = 1;
	world_open(&p.w);
	world_run(&p.w, 10);
	p.fs.space = 0;
	world_run(&p.w, 20000);
	for (unsigned run = 0; run < 2; run++) {
		assert_int_equal(p.w.ntold, 1);
		assert_true(world_has(&p.w, a.id, 500, 1));
		assert_int_equal(twin_fs_count(&p.fs, "quarantine"), 0);
		world_reopen(&p.w);
	}
	teardown(&p);
}

/* Segments fit the disk, whatever is configured. */
static void
test_small_disk(void **state)
{
	struct spool_stats st;
	struct commit c[8];
	struct pair p;

	twin_fs_init(&p.fs);
	p.fs.space = 16u << 20;
	world_init(&p.w, &p.fs);
	p.w.params.segment_size = 64u << 20;
	p.w.params.free_min = 256u << 20;
	world_open(&p.w);
	world_run(&p.w, 50);
	assert_int_equal(p.w.health, SPOOL_OK);
	assert_int_equal(p.w.troubles, 2);		/* both are told */
	accept_many(&p, c, 8, 300000);
	world_reopen(&p.w);
	for (unsigned i = 0; i < 8; i++) {
		assert_true(world_has(&p.w, c[i].id, 300000, i));
		world_finish(&p.w, c[i].id);
	}
	world_run(&p.w, 3000);
	spool_stats(p.w.spool, &st);
	assert_int_equal(st.segments, 1);
	assert_true(twin_fs_used(&p.fs) <= 4u << 20);
	teardown(&p);
}

/* Segments that can't be begun leave nothing behind, however often it is tried. */
static void
test_no_strays(void **state)
{
	static const enum twin_op ops[] = { TWIN_RENAME, TWIN_SYNC_DIR, TWIN_SYNC };
	struct commit c;

	for (unsigned i = 0; i < lengthof(ops); i++) {
		struct pair p;

		setup(&p);
		world_accept(&p.w, 100, 1, &c);
		twin_fs_fail(&p.fs, TWIN_WRITE, 0, 1, EIO);	/* a new segment is needed */
		twin_fs_fail(&p.fs, ops[i], 0, 20, EIO);
		world_commit(&p.w, world_fill(&p.w, 100, 2, 1), &c);
		world_run(&p.w, 80000);
		assert_true(twin_fs_count(&p.fs, "spare") <= 2);
		twin_fs_fail(&p.fs, ops[i], 0, 0, 0);
		world_run(&p.w, 80000);
		world_reopen(&p.w);
		world_run(&p.w, 2000);
		assert_int_equal(twin_fs_count(&p.fs, "quarantine"), 0);
		assert_int_equal(twin_fs_count(&p.fs, "log"), 3);	/* of before, after, and now */
		assert_int_equal(p.w.ntold, 1);
		teardown(&p);
	}
}

/* The room of the last segment is for outcomes: a message half in gets none of it. */
static void
test_room_for_outcomes(void **state)
{
	static uint8_t text[100000];
	struct spool_txn *t;
	struct commit c[12];
	size_t pending;
	struct pair p;
	struct err e = { 0 };
	unsigned n = 0;

	setup(&p);
	accept_many(&p, c, 3, 250000);
	t = world_begin(&p.w, 1, &e);
	assert_non_null(t);
	p.fs.space = twin_fs_used(&p.fs);
	/* Fill the current segment with outcomes, so that the spare is taken. */
	while (twin_fs_count(&p.fs, "spare") == 1 && n++ < 4000) {
		struct spool_update u = { .attempts = 1, .endpoint = "h:587" };

		spool_update(p.w.spool, spool_find(p.w.spool, c[0].id), &u, NULL, NULL);
		world_run(&p.w, 5);
	}
	assert_int_equal(twin_fs_count(&p.fs, "spare"), 0);
	assert_int_equal(spool_append(t, view_of(text, sizeof(text)), &pending, &e), -1);
	assert_int_equal(e.kind, ERR_FULL);
	spool_abort(t);
	p.fs.space = 0;
	world_run(&p.w, 3000);
	assert_int_equal(p.w.health, SPOOL_OK);
	teardown(&p);
}

/* Names that are no numbers of segments. */
static void
test_foreign_names(void **state)
{
	struct pair p;
	struct commit c;

	setup(&p);
	world_close(&p.w);
	fs_close(&p.fs.fs, fs_open(&p.fs.fs, "quarantine/690f1a2b00000001.eml", FS_CREATE, NULL));
	world_open(&p.w);
	world_accept(&p.w, 10, 1, &c);
	assert_int_equal(c.e.kind, ERR_NONE);
	teardown(&p);
}

/* A strange file's name does not use up the numbers; one that does is named. */
static void
test_high_numbers(void **state)
{
	static const char *const strange[] = { "log/00000000ffffffff.seg", "log/00000000f0000000.seg",
		"spare/00000000ffffffff.seg", "quarantine/00000000ffffffff.seg" };
	struct commit c;
	struct pair p;
	struct err e;

	setup(&p);
	world_accept(&p.w, 100, 1, &c);
	world_close(&p.w);
	for (unsigned i = 0; i < lengthof(strange); i++) {
		fs_close(&p.fs.fs, fs_open(&p.fs.fs, strange[i], FS_CREATE, NULL));
		world_open(&p.w);
		world_run(&p.w, 100);
		assert_true(world_has(&p.w, c.id, 100, 1));
		assert_true(i > 1 || twin_fs_has(&p.fs, strange[i]));
		assert_int_equal(strstr(p.w.trouble, "is left alone") != NULL, true);
		world_close(&p.w);
	}
	fs_close(&p.fs.fs, fs_open(&p.fs.fs, "log/00000000efffffff.seg", FS_CREATE, NULL));
	assert_int_equal(world_try_open(&p.w, &e), -1);
	assert_int_equal(e.kind, ERR_CONFIG);
	assert_non_null(strstr(e.text, "efffffff"));
	teardown(&p);
}

/*
 * A segment that can't be opened or read is tried again, before what stands behind it. If that
 * is of no use it holds up nobody; it is kept, with all in front of it, and there at the next start.
 */
struct sick {
	enum twin_op	op;
	uint64_t	after, times;
	char		only[64];	/* this file; empty: all in log/ */
};

static int
sicken(void *arg, enum twin_op op, const char *name)
{
	struct sick *s = arg;

	if (op != s->op || s->times == 0 || (op == TWIN_OPEN && strncmp(name, "log/", 4) != 0) ||
	    (s->only[0] != '\0' && strcmp(name, s->only) != 0))
		return 0;
	if (s->after > 0) {
		s->after--;
		return 0;
	}
	s->times--;
	return EACCES;
}

#define FOR_EVER 100000

/* of: number of the segment; -1: all. */
static void
sick_from(struct sick *s, struct pair *p, enum twin_op op, uint64_t after, uint64_t times, int of)
{
	*s = (struct sick){ .op = op, .after = after, .times = times };
	if (of >= 0)
		(void)snprintf(s->only, sizeof(s->only), "%s", twin_fs_name(&p->fs, "log", (size_t)of));
}

static void
check_unreadable(enum twin_op op, uint64_t after, uint64_t times, int of)
{
	struct sick sick = { .op = op };
	struct commit a, b, c, d;
	struct spool_stats st;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	world_accept(&p.w, 500000, 2, &b);
	world_finish(&p.w, a.id);
	world_finish(&p.w, b.id);
	world_accept(&p.w, 900000, 3, &c);	/* its commit is in another segment than its first chunk */
	world_close(&p.w);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	p.fs.sicken = sicken;
	p.fs.sicken_arg = &sick;
	sick_from(&sick, &p, op, after, 5, of);
	world_open(&p.w);
	world_run(&p.w, 500);
	assert_int_equal(p.w.ntold, 0);
	world_run(&p.w, 10000);
	assert_int_equal(p.w.ntold, 1);		/* by itself */
	assert_int_equal(p.w.recovered, 2);
	world_close(&p.w);

	sick_from(&sick, &p, op, after, times, of);
	world_open(&p.w);
	world_run(&p.w, 120000);
	assert_int_equal(p.w.recovered, 3);
	assert_true(p.w.troubles >= 2);
	world_accept(&p.w, 500, 4, &d);
	world_finish(&p.w, d.id);
	world_run(&p.w, 3000);
	spool_stats(p.w.spool, &st);
	assert_true(st.unreadable > 0);
	sick.times = 0;
	world_reopen(&p.w);
	spool_stats(p.w.spool, &st);
	assert_int_equal(st.unreadable, 0);
	assert_int_equal(p.w.ntold, 1);
	assert_true(world_has(&p.w, c.id, 900000, 3));
	teardown(&p);
}

/* Well again too late: that a later segment knows its nonce is not all that must be known. */
static void
test_unreadable_for_a_while(void **state)
{
	struct sick sick;
	struct commit a;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	world_reopen(&p.w);
	world_close(&p.w);
	sick_from(&sick, &p, TWIN_OPEN, 0, 32, 0);
	p.fs.sicken = sicken;
	p.fs.sicken_arg = &sick;
	world_open(&p.w);
	world_run(&p.w, 120000);
	assert_int_equal(sick.times, 0);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 1);
	assert_true(world_has(&p.w, a.id, 500, 1));
	teardown(&p);
}

static void
test_unreadable(void **state)
{
	check_unreadable(TWIN_OPEN, 0, FOR_EVER, -1);
	check_unreadable(TWIN_OPEN, 1, FOR_EVER, -1);
	/* The last one, with the commit of chunks that stand in the first. */
	check_unreadable(TWIN_OPEN, 0, FOR_EVER, 1);
	/* The starts, and then the records. */
	for (uint64_t after = 0; after < 4; after++)
		check_unreadable(TWIN_READ, after, FOR_EVER, -1);
}

/* Relay ends while it waits to read again. */
static void
test_closed_while_unreadable(void **state)
{
	struct commit c;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &c);
	world_close(&p.w);
	for (int kill = 0; kill < 2; kill++) {
		twin_fs_fail(&p.fs, TWIN_READ, 1, 1000, EIO);
		world_open(&p.w);
		world_run(&p.w, 1500);
		if (kill)
			world_kill(&p.w);
		else
			world_close(&p.w);
		assert_int_equal(twin_fs_open_files(&p.fs), 0);
	}
	twin_fs_fail(&p.fs, TWIN_READ, 0, 0, 0);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(p.w.ntold, 1);
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop_in_recovery),
		cmocka_unit_test(test_many_restarts),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_torn_is_kept),
		cmocka_unit_test(test_start_without_room),
		cmocka_unit_test(test_restarts_on_full_disk),
		cmocka_unit_test(test_torn_then_no_room),
		cmocka_unit_test(test_small_disk),
		cmocka_unit_test(test_no_strays),
		cmocka_unit_test(test_room_for_outcomes),
		cmocka_unit_test(test_foreign_names),
		cmocka_unit_test(test_high_numbers),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_unreadable_for_a_while),
		cmocka_unit_test(test_closed_while_unreadable),
	};

	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
