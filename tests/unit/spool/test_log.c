/* SPDX-License-Identifier: BSD-2-Clause */
/* Release of segments, ids, rotation, damage and torn tails. */
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

#define LIVE 24

static void
nothing(void *owner)
{
}

/* --- release ------------------------------------------------------------------- */

/* Only the oldest goes, and only when all that is in it is finished, durably. */
static void
test_release(void **state)
{
	struct commit c[10];
	struct pair p;
	size_t segments;

	setup(&p);
	accept_many(&p, c, 10, 300000);		/* three a segment */
	segments = twin_fs_count(&p.fs, "log");
	assert_int_equal(segments, 4);
	for (unsigned i = 3; i < 9; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), segments);	/* the oldest is in use */
	world_finish(&p.w, c[0].id);
	world_finish(&p.w, c[1].id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), segments);
	p.w.worker.stalled = true;
	world_finish(&p.w, c[2].id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), segments);	/* not written */
	p.w.worker.stalled = false;
	p.w.params.outcome_sync_ms = 1000;
	twin_worker_kick(&p.w.worker);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	assert_true(world_has(&p.w, c[9].id, 300000, 9));
	teardown(&p);
}

/* The record of the end is written but not synced: the message must stay. */
static void
test_release_needs_sync(void **state)
{
	struct commit c[4];
	struct pair p;
	uint64_t syncs;

	setup(&p);
	accept_many(&p, c, 4, 300000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	syncs = p.fs.count[TWIN_SYNC];
	for (unsigned i = 0; i < 3; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 500);
	assert_int_equal(p.fs.count[TWIN_SYNC], syncs);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	world_run(&p.w, 1000);
	assert_int_equal(p.fs.count[TWIN_SYNC], syncs + 1);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	teardown(&p);
}

/* An open transaction or reader that began in a segment keeps it. */
static void
test_release_pins(void **state)
{
	struct spool_reader *r;
	struct spool_txn *t;
	struct commit c[4], big;
	struct pair p;

	setup(&p);
	t = world_fill(&p.w, 200000, 77, 1);
	world_run(&p.w, 10);
	accept_many(&p, c, 4, 300000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	r = spool_reader_new(p.w.spool, spool_find(p.w.spool, c[0].id), nothing, NULL);
	for (unsigned i = 0; i < 4; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	world_commit(&p.w, t, &big);		/* its chunks are in the first segment */
	world_run(&p.w, 3000);
	assert_int_equal(big.e.kind, ERR_NONE);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	assert_true(world_has(&p.w, big.id, 200000, 77));
	world_finish(&p.w, big.id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	spool_reader_free(r);
	world_run(&p.w, 10);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	teardown(&p);
}

static void
check_release_fails(bool copy_on_write, enum twin_op op)
{
	struct commit c[4];
	struct pair p;

	setup(&p);
	p.fs.copy_on_write = copy_on_write;
	world_reopen(&p.w);
	accept_many(&p, c, 4, 300000);
	twin_fs_fail(&p.fs, op, 0, 1, EIO);
	for (unsigned i = 0; i < 3; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 3000);
	assert_int_equal(p.w.troubles, 1);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	world_run(&p.w, 70000);				/* tried again, not at once */
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	assert_int_equal(p.w.troubles, 1);
	teardown(&p);
}

static void
test_release_fails(void **state)
{
	check_release_fails(true, TWIN_UNLINK);
	check_release_fails(false, TWIN_RENAME);
}

/* --- ids and numbers --------------------------------------------------------------- */

/* Not by restart, not by a clock that goes back, not when the highest files are gone. */
static void
test_ids_never_again(void **state)
{
	struct commit c[30];
	struct pair p;
	unsigned n = 0;

	setup(&p);
	for (unsigned run = 0; run < 6; run++) {
		for (unsigned i = 0; i < 5; i++)
			world_accept(&p.w, 1000, n, &c[n]), n++;
		for (unsigned i = n - 5; i < n; i++)
			world_finish(&p.w, c[i].id);
		world_run(&p.w, 5000);
		p.w.twin.wall_ms -= 1000000000;		/* eleven days */
		world_reopen(&p.w);
		assert_int_equal(p.w.ntold, 0);
	}
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < i; k++)
			assert_true(c[i].id > c[k].id);
	teardown(&p);
}

/* A number in quarantine counts too. */
static void
test_numbers_of_quarantine(void **state)
{
	struct pair p;
	int fd;

	setup(&p);
	world_close(&p.w);
	fd = fs_open(&p.fs.fs, "quarantine/00000000e0000000-00000040.bin", FS_CREATE, NULL);
	fs_close(&p.fs.fs, fd);
	world_open(&p.w);
	assert_true(twin_fs_has(&p.fs, "log/00000000e0000001.seg"));
	teardown(&p);
}

/* --- torn and damaged ------------------------------------------------------------------ */

/* Crash now, keeping all; damage one byte of the record of this id. Then open that. */
static void
crash_and_damage(struct pair *p, struct twin_fs *image, spool_id id, uint64_t offset)
{
	const char *name = twin_fs_name(&p->fs, "log", 0);

	twin_fs_crash(image, &p->fs, TWIN_KEEP_ALL, 1);
	twin_fs_damage(image, name, world_find(&p->fs, name, 0, id, 0) + offset);
}

/* In the last epoch: it may be torn. Dropped with all behind it, and no alarm. */
static void
test_torn_tail(void **state)
{
	static const uint64_t offset[] = { 5, 30, 40, 50, 60, 64, 200 };
	struct commit a, b, c;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	world_commit(&p.w, world_fill(&p.w, 600, 2, 1), &b);
	world_commit(&p.w, world_fill(&p.w, 700, 3, 1), &c);
	world_run(&p.w, 20);
	for (unsigned i = 0; i < lengthof(offset); i++) {
		struct twin_fs image;
		struct world w;

		crash_and_damage(&p, &image, b.id, offset[i]);
		world_init(&w, &image);
		for (unsigned run = 0; run < 3; run++) {	/* later segments prove nothing about it */
			world_open(&w);
			world_run(&w, 50);
			assert_int_equal(w.ntold, 1);
			assert_true(world_has(&w, a.id, 500, 1));
			assert_int_equal(w.troubles, 0);
			world_close(&w);
		}
		assert_int_equal(twin_fs_count(&image, "quarantine"), 0);
		world_end(&w);
	}
	teardown(&p);
}

/* Before a later epoch: it was synced. Set aside, told, and the others are there. */
static void
test_damaged(void **state)
{
	static const uint64_t offset[] = { 5, 30, 40, 50, 60, 64, 200 };
	struct commit a, b, c, d;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	world_accept(&p.w, 600, 2, &b);
	world_accept(&p.w, 700, 3, &c);
	world_accept(&p.w, 800, 4, &d);
	for (unsigned i = 0; i < lengthof(offset); i++) {
		struct twin_fs image;
		struct world w;

		crash_and_damage(&p, &image, b.id, offset[i]);
		world_init(&w, &image);
		for (unsigned run = 0; run < 2; run++) {
			world_open(&w);
			world_run(&w, 50);
			assert_int_equal(w.ntold, 3);
			assert_true(world_has(&w, a.id, 500, 1));
			assert_true(world_has(&w, c.id, 700, 3));
			assert_true(world_has(&w, d.id, 800, 4));
			assert_int_equal(w.troubles, run + 1);
			assert_int_equal(twin_fs_count(&image, "quarantine"), 2);	/* and its note */
			world_close(&w);
		}
		world_end(&w);
	}
	teardown(&p);
}

/* The last record of an epoch, its header unreadable: that the next epoch begins is proof. */
static void
test_damaged_end_of_epoch(void **state)
{
	struct commit a, b, c;
	struct twin_fs image;
	struct pair p;
	struct world w;

	setup(&p);
	world_commit(&p.w, world_fill(&p.w, 500, 1, 1), &a);
	world_commit(&p.w, world_fill(&p.w, 600, 2, 1), &b);
	world_run(&p.w, 20);
	world_accept(&p.w, 700, 3, &c);
	crash_and_damage(&p, &image, b.id, 5);
	world_start(&w, &image);
	assert_int_equal(w.ntold, 2);
	assert_true(world_has(&w, c.id, 700, 3));
	assert_int_equal(w.troubles, 1);
	world_end(&w);
	teardown(&p);
}

/* A segment that a later one followed in good order was synced to its end, also where it must be walked. */
static void
test_damaged_sealed(void **state)
{
	struct commit c[5];
	struct twin_fs image;
	const char *name;
	struct pair p;
	struct world w;

	setup(&p);
	accept_many(&p, c, 5, 60000);
	world_accept(&p.w, 900000, 9, &c[0]);		/* rotates */
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	crash_and_damage(&p, &image, c[4].id, 100);
	name = twin_fs_name(&image, "log", 0);
	twin_fs_damage(&image, name, world_find(&image, name, 'T', 0, 0) + 70);
	world_start(&w, &image);
	assert_int_equal(w.ntold, 5);
	assert_int_equal(w.troubles, 2);
	world_end(&w);
	teardown(&p);
}

/* Look-alikes in a message body are not taken for records, even when the walk must look ahead. */
static void
test_forged_records(void **state)
{
	struct record r = { .type = RECORD_FINISH, .epoch = 99, .id = 1 };
	uint8_t forged[64 * 20];
	struct commit a, b, c;
	struct twin_fs image;
	struct spool_txn *t;
	struct pair p;
	struct world w;
	size_t pending;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	t = world_begin(&p.w, 1, NULL);
	/* At every step, so that some stand at a multiple of 64. */
	for (unsigned shift = 0; shift < 64; shift++) {
		r.id = a.id;
		for (unsigned i = 0; i < 20; i++)
			record_put(forged + 64 * i, &r, 12345);
		assert_int_equal(spool_append(t, view_of(forged, 64 * 8 + 1), &pending, NULL), 0);
	}
	world_commit(&p.w, t, &b);
	world_run(&p.w, 20);
	crash_and_damage(&p, &image, b.id, 100);
	world_start(&w, &image);
	assert_int_equal(w.ntold, 1);
	assert_true(world_has(&w, a.id, 500, 1));
	assert_int_equal(w.troubles, 0);
	world_accept(&w, 10, 1, &c);
	world_end(&w);
	teardown(&p);
}

/* The start of a segment is damaged: the next one knows its nonce. */
static void
test_lost_start(void **state)
{
	char name[64], aside[80];
	struct commit a, b;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	(void)snprintf(name, sizeof(name), "%s", twin_fs_name(&p.fs, "log", 0));
	world_reopen(&p.w);
	world_accept(&p.w, 600, 2, &b);
	world_close(&p.w);
	twin_fs_damage(&p.fs, name, 70);
	world_open(&p.w);
	world_run(&p.w, 50);
	assert_true(p.w.troubles >= 1);
	assert_int_equal(p.w.ntold, 2);
	assert_true(world_has(&p.w, a.id, 500, 1));
	world_close(&p.w);
	/* Nobody knows it: the file is set aside and told of, the others are read. */
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 1), 70);
	world_open(&p.w);
	world_run(&p.w, 50);
	assert_null(spool_find(p.w.spool, a.id));
	assert_true(world_has(&p.w, b.id, 600, 2));
	assert_false(twin_fs_has(&p.fs, name));
	(void)snprintf(aside, sizeof(aside), "quarantine%s", strchr(name, '/'));
	assert_true(twin_fs_has(&p.fs, aside));
	world_accept(&p.w, 700, 3, &a);
	assert_int_equal(a.e.kind, ERR_NONE);
	teardown(&p);
}

/* A segment that can't be read is kept, whatever happens to the others. */
static void
test_unreadable(void **state)
{
	struct commit a, b;
	char name[64];
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	(void)snprintf(name, sizeof(name), "%s", twin_fs_name(&p.fs, "log", 0));
	world_close(&p.w);
	world_open(&p.w);
	twin_fs_fail(&p.fs, TWIN_READ, 0, 2, EIO);	/* its summary, and the walk */
	world_run(&p.w, 50);
	assert_int_equal(p.w.troubles, 1);
	assert_int_equal(p.w.ntold, 0);
	world_accept(&p.w, 600, 2, &b);
	world_finish(&p.w, b.id);
	world_run(&p.w, 5000);
	assert_true(twin_fs_has(&p.fs, name));
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 1);
	assert_true(world_has(&p.w, a.id, 500, 1));
	teardown(&p);
}

/* What is found is made durable before it is acted on: where a sync has failed, by a copy, once there is room for it. */
static void
test_recovery_syncs_first(void **state)
{
	struct commit a;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	world_kill(&p.w);
	world_open(&p.w);
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, 1, EIO);
	twin_fs_fail(&p.fs, TWIN_CREATE, 0, 2, ENOSPC);
	world_run(&p.w, 1500);
	assert_int_equal(p.w.ntold, 0);
	assert_int_equal(p.w.troubles, 1);
	world_run(&p.w, 1000);
	assert_int_equal(p.w.ntold, 1);
	assert_true(world_has(&p.w, a.id, 500, 1));
	teardown(&p);
}

struct snapshot {
	const struct twin_fs *fs;
	struct twin_fs	 left;
	bool		 taken;
};

/* What power loss would leave in front of the first byte that is written. */
static void
take_snapshot(void *arg, enum twin_op op, const char *name)
{
	struct snapshot *x = arg;

	if (op != TWIN_WRITE || x->taken)
		return;
	x->taken = true;
	twin_fs_crash(&x->left, x->fs, TWIN_KEEP_SYNCED, 1);
}

/* A name in log/ that is acted on is made durable first: kill -9 may have come in front of its sync. */
static void
test_recovery_syncs_names(void **state)
{
	struct snapshot x = { .taken = false };
	struct commit a;
	struct pair p;
	const char *name;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	world_close(&p.w);
	name = twin_fs_name(&p.fs, "log", 0);
	assert_int_equal(fs_rename(&p.fs.fs, name, "elsewhere", NULL), 0);
	assert_int_equal(fs_sync_dir(&p.fs.fs, "log", NULL), 0);
	assert_int_equal(fs_rename(&p.fs.fs, "elsewhere", name, NULL), 0);
	x.fs = &p.fs;
	p.fs.before = take_snapshot;
	p.fs.arg = &x;
	world_open(&p.w);
	p.fs.before = NULL;
	assert_true(x.taken);
	assert_true(twin_fs_has(&x.left, name));
	twin_fs_done(&x.left);
	teardown(&p);
}

/* An epoch without a record would prove that the one before it was synced. */
static void
test_no_empty_epoch_at_stop(void **state)
{
	struct commit a;
	struct record r = { 0 };
	const uint8_t *bytes;
	uint64_t size, epoch = 0;
	struct pair p;

	for (unsigned unsynced = 0; unsynced < 2; unsynced++) {
		setup(&p);
		world_accept(&p.w, 500, 1, &a);
		if (unsynced)
			world_finish(&p.w, a.id);
		world_run(&p.w, 20);
		world_close(&p.w);
		bytes = twin_fs_content(&p.fs, twin_fs_name(&p.fs, "log", 0), &size);
		epoch = 0;
		for (uint64_t at = 0; at < size; at += record_room(r.length)) {
			assert_true(record_get_any(&r, bytes + at));
			assert_true(r.epoch == epoch || r.epoch == epoch + 1);
			epoch = r.epoch;
		}
		assert_int_equal(r.type, RECORD_SEAL);
		assert_int_equal(epoch, 2 + unsynced);
		teardown(&p);
	}
}

static int
deny_log(void *arg, enum twin_op op, const char *name)
{
	return op == TWIN_OPEN && strncmp(name, "log/", 4) == 0 ? EACCES : 0;
}

/* Also what the start before this one, killed as well, had not yet made durable. */
static void
test_recovery_syncs_every_tail(void **state)
{
	struct twin_fs left;
	struct commit a, b;
	struct world after;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &a);
	world_accept(&p.w, 500, 2, &b);	/* keeps the segment */
	world_finish(&p.w, a.id);
	world_run(&p.w, 20);		/* written, not synced */
	world_kill(&p.w);
	p.fs.sicken = deny_log;		/* it comes as far as that */
	world_open(&p.w);
	world_run(&p.w, 20);
	assert_int_equal(p.w.recovered, 1);
	world_kill(&p.w);
	p.fs.sicken = NULL;
	world_open(&p.w);
	world_run(&p.w, 50);
	assert_int_equal(p.w.ntold, 1);
	twin_fs_crash(&left, &p.fs, TWIN_KEEP_SYNCED, 1);
	world_start(&after, &left);
	assert_int_equal(after.ntold, 1);
	assert_true(after.told[0] == b.id);
	world_end(&after);
	teardown(&p);
}

/* Mail is taken before the older segments are read. */
static void
test_accept_while_recovering(void **state)
{
	struct spool_stats st;
	struct commit c[LIVE], d;
	struct pair p;

	setup(&p);
	accept_many(&p, c, LIVE, 100000);
	world_close(&p.w);
	p.w.reader.stalled = true;
	world_open(&p.w);
	world_run(&p.w, 100);
	spool_stats(p.w.spool, &st);
	assert_true(st.recovering);
	world_accept(&p.w, 500, 99, &d);
	assert_int_equal(d.e.kind, ERR_NONE);
	assert_int_equal(p.w.ntold, 1);
	assert_int_equal(p.w.recovered, 1);		/* of the first run */
	p.w.reader.stalled = false;
	p.w.reader.delay_ms = 5;
	twin_worker_kick(&p.w.reader);
	world_run(&p.w, 1000);
	assert_int_equal(p.w.recovered, 2);
	assert_int_equal(p.w.ntold, LIVE + 1);
	for (unsigned i = 0; i < LIVE; i++)
		assert_true(world_has(&p.w, c[i].id, 100000, i));
	assert_true(world_has(&p.w, d.id, 500, 99));
	spool_stats(p.w.spool, &st);
	assert_int_equal(st.messages, LIVE + 1);
	assert_int_equal(st.bytes_queued, LIVE * 100000 + 500);
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_release),
		cmocka_unit_test(test_release_needs_sync),
		cmocka_unit_test(test_release_pins),
		cmocka_unit_test(test_release_fails),
		cmocka_unit_test(test_ids_never_again),
		cmocka_unit_test(test_numbers_of_quarantine),
		cmocka_unit_test(test_torn_tail),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_damaged_end_of_epoch),
		cmocka_unit_test(test_damaged_sealed),
		cmocka_unit_test(test_forged_records),
		cmocka_unit_test(test_lost_start),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_recovery_syncs_first),
		cmocka_unit_test(test_recovery_syncs_names),
		cmocka_unit_test(test_no_empty_epoch_at_stop),
		cmocka_unit_test(test_recovery_syncs_every_tail),
		cmocka_unit_test(test_accept_while_recovering),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
