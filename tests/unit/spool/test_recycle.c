/* SPDX-License-Identifier: BSD-2-Clause */
/* Finished segments used again: in which order, which not, and what is stale in them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "spool/record.h"
#include "unit/spool/world.h"

#include "base/banned.h"

#define NAME 64

static void
copy_name(char out[NAME], const struct pair *p, const char *dir, size_t i)
{
	(void)snprintf(out, NAME, "%s", twin_fs_name(&p->fs, dir, i));
}

/* The file of this name under spare/. */
static void
as_spare(char out[NAME], const char *name)
{
	(void)snprintf(out, NAME, "spare%s", strchr(name, '/'));
}

/* Three messages fill most of the first segment, the fourth begins the next one. name gets the first. */
static void
fill_first(struct pair *p, struct commit c[4], char name[NAME])
{
	copy_name(name, p, "log", 0);
	accept_many(p, c, 4, 300000);
	assert_int_equal(twin_fs_count(&p->fs, "log"), 2);
}

static void
finish_first(struct pair *p, const struct commit c[3])
{
	for (unsigned i = 0; i < 3; i++)
		world_finish(&p->w, c[i].id);
	world_run(&p->w, 3000);
}

/* --- the way of a file ----------------------------------------------------------- */

static void
test_used_again(void **state)
{
	char first[NAME], spare[NAME], last[NAME];
	struct commit c[4], d[4];
	const uint8_t *bytes;
	struct spool_stats st;
	uint64_t size;
	struct pair p;

	setup(&p);
	fill_first(&p, c, first);
	finish_first(&p, c);
	as_spare(spare, first);
	assert_true(twin_fs_has(&p.fs, spare));
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	accept_many(&p, d, 4, 300000);
	/* The newest number of all, and the old bytes behind the new ones. */
	assert_false(twin_fs_has(&p.fs, spare));
	copy_name(last, &p, "log", twin_fs_count(&p.fs, "log") - 1);
	assert_true(strcmp(strchr(last, '/'), strchr(spare, '/')) > 0);
	bytes = twin_fs_content(&p.fs, last, &size);
	assert_int_equal(size, SEGMENT);
	assert_int_not_equal(bytes[900000], 0);
	spool_stats(p.w.spool, &st);
	assert_int_equal(st.reused, 1);
	assert_true(st.reuse);
	world_reopen(&p.w);
	for (unsigned i = 0; i < 4; i++)
		assert_true(world_has(&p.w, d[i].id, 300000, i));
	assert_true(world_has(&p.w, c[3].id, 300000, 3));
	assert_int_equal(p.w.ntold, 5);
	assert_int_equal(p.w.troubles, 0);
	teardown(&p);
}

/* A bounded number of spares waits, however long the log was. */
static void
test_bounded(void **state)
{
	struct commit c[30];
	struct pair p;

	setup(&p);
	accept_many(&p, c, 30, 300000);
	for (unsigned i = 0; i < 30; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 5000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	assert_int_equal(twin_fs_count(&p.fs, "spare"), 3);
	teardown(&p);
}

/* Little is free: only what outcomes need is kept. */
static void
test_little_room(void **state)
{
	struct commit c[12];
	struct pair p;

	setup(&p);
	accept_many(&p, c, 12, 300000);
	world_close(&p.w);
	p.fs.space = twin_fs_used(&p.fs) + 4 * SEGMENT;
	world_open(&p.w);
	world_run(&p.w, 100);
	for (unsigned i = 0; i < 12; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 5000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	assert_int_equal(twin_fs_count(&p.fs, "spare"), 1);
	teardown(&p);
}

/* --- order ------------------------------------------------------------------------ */

#define STEPS 64

struct steps {
	enum twin_op	op[STEPS];
	char		name[STEPS][NAME];
	size_t		n;
};

static void
note(void *arg, enum twin_op op, const char *name)
{
	struct steps *st = arg;

	assert_true(st->n < STEPS);
	st->op[st->n] = op;
	(void)snprintf(st->name[st->n], NAME, "%s", name);
	st->n++;
}

/* The first such step from here on. */
static size_t
find_step(const struct steps *st, size_t from, enum twin_op op, const char *name)
{
	for (size_t i = from; i < st->n; i++)
		if (st->op[i] == op && strcmp(st->name[i], name) == 0)
			return i;
	fail_msg("operation %d on %s is missing", (int)op, name);
	return 0;
}

/* Sync of the end; the name leaves log/, durably; only then a byte is written. */
static void
test_order(void **state)
{
	char first[NAME], spare[NAME];
	struct steps st = { .n = 0 };
	struct commit c[4];
	struct pair p;
	size_t at;

	setup(&p);
	fill_first(&p, c, first);
	as_spare(spare, first);
	p.fs.before = note;
	p.fs.arg = &st;
	finish_first(&p, c);
	at = find_step(&st, 0, TWIN_SYNC, "sync");
	at = find_step(&st, at, TWIN_RENAME, first);
	assert_int_equal(find_step(&st, 0, TWIN_RENAME, first), at);
	assert_int_equal(find_step(&st, at, TWIN_SYNC_DIR, "log"), at + 1);
	assert_int_equal(st.n, at + 2);
	p.fs.before = NULL;
	teardown(&p);
}

/* The directory can't be synced: the name may still be in log/, so the file is not touched. */
static void
test_dir_sync_fails(void **state)
{
	char first[NAME], spare[NAME];
	struct commit c[4], d[4];
	struct pair p;

	setup(&p);
	fill_first(&p, c, first);
	as_spare(spare, first);
	twin_fs_fail(&p.fs, TWIN_SYNC_DIR, 0, 1, EIO);
	finish_first(&p, c);
	assert_int_equal(p.w.troubles, 1);
	assert_false(twin_fs_has(&p.fs, first));
	assert_false(twin_fs_has(&p.fs, spare));
	world_run(&p.w, 70000);
	assert_int_equal(p.w.troubles, 1);
	accept_many(&p, d, 4, 300000);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 5);
	for (unsigned i = 0; i < 4; i++)
		assert_true(world_has(&p.w, d[i].id, 300000, i));
	teardown(&p);
}

/* It left log/, not durably: as long as that is so, the next one must stay. */
static void
test_release_is_durable_first(void **state)
{
	struct commit c[7];
	uint64_t syncs;
	struct pair p;

	setup(&p);
	accept_many(&p, c, 7, 300000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 3);
	twin_fs_fail(&p.fs, TWIN_SYNC_DIR, 0, 2, EIO);
	for (unsigned i = 0; i < 6; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	world_run(&p.w, 60000);
	assert_int_equal(p.w.troubles, 2);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	syncs = p.fs.count[TWIN_SYNC_DIR];
	world_run(&p.w, 60000);
	assert_int_equal(p.w.troubles, 2);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	assert_int_equal(p.fs.count[TWIN_SYNC_DIR] - syncs, 2);
	teardown(&p);
}

/* While a job writes into a spare, another one comes: each is used once. */
static void
test_comes_while_used(void **state)
{
	struct commit c[5], d, e[3];
	struct pair p;

	setup(&p);
	accept_many(&p, c, 4, 300000);
	world_accept(&p.w, 600000, 4, &c[4]);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	p.w.reader.stalled = true;
	finish_first(&p, c);
	p.w.worker.stalled = true;
	world_commit(&p.w, world_fill(&p.w, 200000, 5, 1), &d);	/* needs a segment */
	world_run(&p.w, 10);
	p.w.reader.stalled = false;
	twin_worker_kick(&p.w.reader);
	world_run(&p.w, 10);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	assert_int_equal(twin_fs_count(&p.fs, "spare"), 2);
	p.w.worker.stalled = false;
	twin_worker_kick(&p.w.worker);
	world_run(&p.w, 10);
	assert_int_equal(d.e.kind, ERR_NONE);
	accept_many(&p, e, 3, 900000);
	world_reopen(&p.w);
	assert_true(world_has(&p.w, c[4].id, 600000, 4));
	assert_true(world_has(&p.w, d.id, 200000, 5));
	assert_true(world_has(&p.w, e[2].id, 900000, 2));
	assert_int_equal(p.w.troubles, 0);
	teardown(&p);
}

/* --- which are not used again -------------------------------------------------------- */

static void
check_unlinked(struct pair *p, const char *name)
{
	char spare[NAME];

	as_spare(spare, name);
	assert_false(twin_fs_has(&p->fs, name));
	assert_false(twin_fs_has(&p->fs, spare));
}

static void
test_copy_on_write(void **state)
{
	char first[NAME];
	struct commit c[4];
	struct spool_stats st;
	struct pair p;

	twin_fs_init(&p.fs);
	p.fs.copy_on_write = true;
	world_start(&p.w, &p.fs);
	fill_first(&p, c, first);
	finish_first(&p, c);
	check_unlinked(&p, first);
	spool_stats(p.w.spool, &st);
	assert_false(st.reuse);
	teardown(&p);
}

/* What failed once is not trusted again. */
static void
test_failed_sync(void **state)
{
	struct commit a, b;
	char first[NAME];
	struct pair p;

	setup(&p);
	copy_name(first, &p, "log", 0);
	world_accept(&p.w, 100, 1, &a);
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, 1, EIO);
	world_accept(&p.w, 100, 2, &b);
	assert_int_equal(b.e.kind, ERR_SYSTEM);
	world_finish(&p.w, a.id);
	world_run(&p.w, 3000);
	check_unlinked(&p, first);
	teardown(&p);
}

/* Found by the walk that the damage makes necessary. */
static void
test_damaged(void **state)
{
	const uint8_t *bytes;
	uint64_t size, at = 0;
	char first[NAME];
	struct commit c[4];
	struct pair p;

	setup(&p);
	fill_first(&p, c, first);
	world_close(&p.w);
	bytes = twin_fs_content(&p.fs, first, &size);
	while (at + 64 <= size && !(bytes[at] == '@' && bytes[at + 1] == 'T' && bytes[at + 2] == ' '))
		at += 64;
	twin_fs_damage(&p.fs, first, at + 70);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(p.w.ntold, 4);
	assert_true(p.w.troubles > 0);
	finish_first(&p, c);
	check_unlinked(&p, first);
	teardown(&p);
}

/* Found when a message is read. */
static void
test_damaged_message(void **state)
{
	struct err why = { .kind = ERR_DAMAGED, .text = "its record fails its check" };
	char first[NAME];
	struct commit c[4];
	struct pair p;

	setup(&p);
	fill_first(&p, c, first);
	spool_quarantine(p.w.spool, spool_find(p.w.spool, c[1].id), &why);
	finish_first(&p, c);
	check_unlinked(&p, first);
	teardown(&p);
}

static void
test_lost_start(void **state)
{
	char first[NAME];
	struct commit c[4];
	struct pair p;

	setup(&p);
	fill_first(&p, c, first);
	world_close(&p.w);
	twin_fs_damage(&p.fs, first, 70);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(p.w.ntold, 4);
	finish_first(&p, c);
	check_unlinked(&p, first);
	teardown(&p);
}

/* Cut at a stop: another size. */
static void
test_cut(void **state)
{
	struct commit a;
	char first[NAME];
	struct pair p;

	setup(&p);
	copy_name(first, &p, "log", 0);
	world_accept(&p.w, 100, 1, &a);
	world_reopen(&p.w);
	world_finish(&p.w, a.id);
	world_run(&p.w, 3000);
	check_unlinked(&p, first);
	teardown(&p);
}

/* --- names ----------------------------------------------------------------------------- */

static void
copy_file(struct pair *p, const char *from, const char *to)
{
	int fd = fs_open(&p->fs.fs, to, FS_CREATE, NULL);
	struct iovec iov;
	uint64_t size;

	iov.iov_base = twin_fs_content(&p->fs, from, &size);
	iov.iov_len = (size_t)size;
	assert_int_equal(fs_writev(&p->fs.fs, fd, &iov, 1, 0, NULL), 0);
	fs_close(&p->fs.fs, fd);
}

/* A crash left both names: known by the number of the name, and by the S. */
static void
test_two_names(void **state)
{
	static const char other[] = "spare/0000000000000fff.seg";
	char first[NAME], spare[NAME];
	struct commit c[4];
	struct pair p;

	setup(&p);
	fill_first(&p, c, first);
	world_kill(&p.w);
	as_spare(spare, first);
	copy_file(&p, first, other);
	copy_file(&p, first, spare);
	twin_fs_damage(&p.fs, spare, 70);	/* so that only its name tells */
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_false(twin_fs_has(&p.fs, spare));
	assert_false(twin_fs_has(&p.fs, other));
	assert_true(twin_fs_has(&p.fs, first));
	assert_int_equal(p.w.ntold, 4);
	teardown(&p);
}

/* It can't be read: it may be another name of a segment. */
static void
test_unreadable_spare(void **state)
{
	char spare[NAME];
	uint64_t unlinked;
	struct pair p;

	setup(&p);
	copy_name(spare, &p, "spare", 0);
	world_close(&p.w);
	twin_fs_fail(&p.fs, TWIN_READ, 1, 1, EIO);	/* after the start of the segment */
	unlinked = p.fs.count[TWIN_UNLINK];
	world_open(&p.w);
	assert_false(twin_fs_has(&p.fs, spare));
	assert_int_equal(p.fs.count[TWIN_UNLINK], unlinked + 1);
	teardown(&p);
}

/* A spare whose use was cut off by a crash is used, whatever stands in it. */
static void
test_begun_spare(void **state)
{
	char first[NAME], spare[NAME];
	struct commit c[4];
	struct pair p;

	setup(&p);
	fill_first(&p, c, first);
	finish_first(&p, c);
	as_spare(spare, first);
	twin_fs_damage(&p.fs, spare, 70);
	world_kill(&p.w);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_true(twin_fs_has(&p.fs, spare));
	assert_int_equal(p.w.ntold, 1);
	assert_int_equal(p.w.troubles, 0);
	teardown(&p);
}

/* --- what is stale ------------------------------------------------------------------------- */

/* The current segment is a used one, with records of many epochs behind what is written. */
static void
go_on_in_used(struct pair *p, char name[NAME])
{
	struct commit c[45];
	struct spool_stats st;

	setup(p);
	/* Each an epoch; 17 a segment. The first one is used again as the third. */
	for (unsigned i = 0; i < 36; i++) {
		world_accept(&p->w, 60000, i, &c[i]);
		if (i < 5)
			continue;
		world_finish(&p->w, c[i - 5].id);
		world_run(&p->w, 3000);
	}
	for (unsigned i = 31; i < 36; i++)
		world_finish(&p->w, c[i].id);
	world_run(&p->w, 3000);
	spool_stats(p->w.spool, &st);
	assert_int_equal(st.reused, 2);
	assert_int_equal(twin_fs_count(&p->fs, "log"), 1);
	copy_name(name, p, "log", 0);
}

static uint64_t
end_of_records(struct pair *p, const char *name)
{
	struct spool_stats st;
	uint64_t size;

	assert_non_null(twin_fs_content(&p->fs, name, &size));
	spool_stats(p->w.spool, &st);
	assert_int_equal(st.segments, 1);
	return st.log_bytes;
}

/* After a kill what is stale is no damage, is not read, and is cut off. */
static void
test_stale_is_nothing(void **state)
{
	struct commit a;
	char name[NAME];
	uint64_t size, end;
	struct pair p;

	go_on_in_used(&p, name);
	world_accept(&p.w, 500, 60, &a);
	end = end_of_records(&p, name);
	assert_true(end < SEGMENT - 200000);
	world_kill(&p.w);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(p.w.ntold, 1);
	assert_true(world_has(&p.w, a.id, 500, 60));
	assert_int_equal(p.w.troubles, 0);
	assert_int_equal(twin_fs_count(&p.fs, "quarantine"), 0);
	assert_non_null(twin_fs_content(&p.fs, name, &size));
	assert_true(size >= end && size <= end + record_room(SPOOL_CHUNK));
	teardown(&p);
}

/* The last record is torn: stale epochs behind it prove nothing; it stays to be looked at. */
static void
test_stale_proves_nothing(void **state)
{
	static const uint64_t offset[] = { 5, 30, 60, 64, 400 };

	for (size_t i = 0; i < lengthof(offset); i++) {
		struct commit a, b;
		uint64_t end, after, size;
		char name[NAME];
		struct pair p;

		go_on_in_used(&p, name);
		world_accept(&p.w, 500, 60, &a);
		end = end_of_records(&p, name);
		world_accept(&p.w, 700, 61, &b);
		after = end_of_records(&p, name);
		world_kill(&p.w);
		twin_fs_damage(&p.fs, name, end + offset[i]);
		world_open(&p.w);
		world_run(&p.w, 100);
		assert_int_equal(p.w.ntold, 1);
		assert_true(world_has(&p.w, a.id, 500, 60));
		assert_int_equal(p.w.troubles, 0);
		assert_non_null(twin_fs_content(&p.fs, name, &size));
		assert_true(size >= after && size < SEGMENT);
		teardown(&p);
	}
}

/* Killed while it was begun, perhaps after its sync had failed: not used, for no later sync helps it. */
static void
test_half_begun(void **state)
{
	uint64_t unlinked;
	struct commit c;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 100, 1, &c);
	world_kill(&p.w);
	world_open(&p.w);
	world_run(&p.w, 10);
	world_kill(&p.w);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	assert_int_equal(fs_rename(&p.fs.fs, twin_fs_name(&p.fs, "log", 1), "spare/00000000e0000000.seg", NULL), 0);
	unlinked = p.fs.count[TWIN_UNLINK];
	world_open(&p.w);
	assert_int_equal(p.fs.count[TWIN_UNLINK], unlinked + 1);
	assert_false(twin_fs_has(&p.fs, "spare/00000000e0000000.seg"));
	world_run(&p.w, 100);
	assert_true(world_has(&p.w, c.id, 100, 1));
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_used_again),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_little_room),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_dir_sync_fails),
		cmocka_unit_test(test_release_is_durable_first),
		cmocka_unit_test(test_comes_while_used),
		cmocka_unit_test(test_copy_on_write),
		cmocka_unit_test(test_failed_sync),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_damaged_message),
		cmocka_unit_test(test_lost_start),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_two_names),
		cmocka_unit_test(test_unreadable_spare),
		cmocka_unit_test(test_begun_spare),
		cmocka_unit_test(test_stale_is_nothing),
		cmocka_unit_test(test_stale_proves_nothing),
		cmocka_unit_test(test_half_begun),
	};

	return cmocka_run_group_tests_name("recycle", tests, NULL, NULL);
}
