/* SPDX-License-Identifier: BSD-2-Clause */
/* Segments that are cut off or gone, by another hand than ours: it is told, and the rest goes on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spool/record.h"
#include "spool/walk.h"
#include "unit/spool/world.h"

#include "base/banned.h"

#define MAIL	40u
#define SIZE	60000u		/* one record; 17 to a segment */
#define WHOLE	UINT64_MAX	/* the file is gone */

static void
cut(struct pair *p, const char *name, uint64_t at)
{
	struct err e = { 0 };
	int fd;

	if (at == WHOLE) {
		assert_int_equal(fs_unlink(&p->fs.fs, name, &e), 0);
		return;
	}
	fd = fs_open(&p->fs.fs, name, FS_WRITE, &e);
	assert_true(fd >= 0);
	assert_int_equal(fs_truncate(&p->fs.fs, fd, at, &e), 0);
	assert_int_equal(fs_sync(&p->fs.fs, fd, &e), 0);
	fs_close(&p->fs.fs, fd);
}

/* What posthousectl check says: absences and their bytes. Other faults are not counted. */
static uint64_t
walk_missing(struct pair *p, uint64_t *bytes)
{
	struct walk_totals totals;
	struct walk *walk;
	struct err e;

	assert_int_equal(walk_new(&walk, &p->fs.fs, &e), 0);
	walk_totals(walk, &totals);
	assert_true(totals.missing == 0 || walk_fault(walk, 0) != NULL);
	walk_free(walk);
	*bytes = totals.missing_bytes;
	return totals.missing;
}

static uint64_t
told_absent(struct pair *p)
{
	struct spool_stats st;

	spool_stats(p->w.spool, &st);
	return st.absent;
}

/* MAIL messages in closed segments, the last of them by an orderly stop. */
static void
fill(struct pair *p, struct commit *c)
{
	setup(p);
	accept_many(p, c, MAIL, SIZE);
	world_close(&p->w);
	assert_true(twin_fs_count(&p->fs, "log") >= 3);
}

/* All but those in the lost part are there, whole. */
static void
check_rest(struct pair *p, const struct commit *c, const bool *lost)
{
	for (unsigned i = 0; i < MAIL; i++)
		if (!lost[i])
			assert_true(world_has(&p->w, c[i].id, SIZE, i));
}

struct absence_case {
	const char	*what;
	unsigned	 segment;	/* counted from 0 */
	unsigned	 record;	/* cut in front of the n-th M or C; 0: at the place below */
	uint64_t	 at;
	uint64_t	 beyond;	/* added */
	bool		 told;
};

static const struct absence_case cases[] = {
	{ "at a record", 1, 2, 0, 0, true },
	{ "within a record", 1, 2, 0, 100, true },
	{ "to nothing", 1, 0, 0, 0, true },
	{ "to its start", 1, 0, 512, 0, true },
	{ "the file in the middle", 1, 0, WHOLE, 0, true },
	{ "the oldest file: may have been released", 0, 0, WHOLE, 0, false },
	{ "the oldest at a record", 0, 2, 0, 0, true },
	{ "the newest file: may never have been begun", 2, 0, WHOLE, 0, false },
};

/* Where it is cut, and what stands behind that. */
static uint64_t
place(struct pair *p, const struct absence_case *x, const struct commit *c, const char *name, bool *lost)
{
	uint64_t at[MAIL], where = x->at;
	unsigned n = 0;

	for (unsigned i = 0; i < MAIL; i++) {
		lost[i] = world_seek(&p->fs, name, 'M', c[i].id, 0, &at[i]);
		if (lost[i] && ++n == x->record)
			where = at[i] + x->beyond;
	}
	for (unsigned i = 0; i < MAIL; i++)
		lost[i] = lost[i] && (where == WHOLE || at[i] + SIZE > where);
	return where;
}

static void
check_case(const struct absence_case *x)
{
	struct commit c[MAIL];
	uint64_t bytes, notes, found;
	struct spool_stats st;
	bool lost[MAIL];
	struct pair p;
	char name[64];

	fill(&p, c);
	(void)snprintf(name, sizeof(name), "%s", twin_fs_name(&p.fs, "log", x->segment));
	cut(&p, name, place(&p, x, c, name, lost));
	assert_int_equal(walk_missing(&p, &bytes), x->told);
	assert_true(bytes > 0 || x->at == WHOLE);
	p.w.trouble[0] = '\0';
	world_open(&p.w);
	world_run(&p.w, 3000);
	assert_int_equal(told_absent(&p), x->told);
	assert_int_equal(strstr(p.w.trouble, "missing") != NULL, x->told);
	check_rest(&p, c, lost);
	notes = twin_fs_count(&p.fs, "quarantine");
	spool_stats(p.w.spool, &st);
	found = st.quarantined;
	assert_true(!x->told || notes > 0);
	/* And again: told as long as it can be known, noted once; what ended stays ended. */
	if (!lost[MAIL - 1])
		world_finish(&p.w, c[MAIL - 1].id);
	world_reopen(&p.w);
	assert_int_equal(told_absent(&p), x->told);
	assert_int_equal(twin_fs_count(&p.fs, "quarantine"), notes);
	assert_null(spool_find(p.w.spool, c[MAIL - 1].id));
	spool_stats(p.w.spool, &st);
	assert_true(st.quarantined == found && found >= x->told);
	teardown(&p);
}

static void
test_cases(void **state)
{
	for (size_t i = 0; i < lengthof(cases); i++)
		check_case(&cases[i]);
}

/* Segments that a stop or a kill ended, with a message each: the second is cut in front of it. */
static void
check_stopped(bool kill)
{
	struct commit c[3];
	uint64_t bytes;
	struct pair p;

	setup(&p);
	for (unsigned i = 0; i < lengthof(c); i++) {
		world_accept(&p.w, 1000, i, &c[i]);
		if (kill)
			world_kill(&p.w);
		else
			world_close(&p.w);
		world_open(&p.w);
		world_run(&p.w, 100);
	}
	world_close(&p.w);
	cut(&p, twin_fs_name(&p.fs, "log", 1), world_find(&p.fs, twin_fs_name(&p.fs, "log", 1), 'M', c[1].id, 0));
	/* Nothing says where a segment ended that was killed. */
	assert_int_equal(walk_missing(&p, &bytes), !kill);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(told_absent(&p), !kill);
	assert_true(world_has(&p.w, c[0].id, 1000, 0));
	assert_true(world_has(&p.w, c[2].id, 1000, 2));
	teardown(&p);
}

static void
test_stopped(void **state)
{
	check_stopped(false);
	check_stopped(true);
}

/* A start was durable before its file had a name: of one that was killed, too, less is damage. */
static void
check_no_start(uint64_t at, bool told, unsigned notes)
{
	struct walk_totals totals;
	struct commit c[3];
	struct walk *walk;
	struct pair p;

	setup(&p);
	for (unsigned i = 0; i < lengthof(c); i++) {
		world_accept(&p.w, 1000, i, &c[i]);
		world_kill(&p.w);
		world_open(&p.w);
		world_run(&p.w, 100);
	}
	world_close(&p.w);
	cut(&p, twin_fs_name(&p.fs, "log", 1), at);
	assert_int_equal(walk_new(&walk, &p.fs.fs, NULL), 0);
	walk_totals(walk, &totals);
	assert_int_equal(totals.missing, told);
	assert_int_equal(totals.missing + totals.damaged, notes);
	walk_free(walk);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(told_absent(&p), told);
	assert_true(twin_fs_count(&p.fs, "quarantine") >= notes);
	assert_true(world_has(&p.w, c[0].id, 1000, 0));
	assert_true(world_has(&p.w, c[2].id, 1000, 2));
	teardown(&p);
}

static void
test_no_start(void **state)
{
	check_no_start(0, true, 1);
	check_no_start(63, true, 2);
	check_no_start(64, true, 2);
	check_no_start(128, false, 1);
}

/* The segment behind it could not be begun at first; it says the same then. */
static void
test_begun_late(void **state)
{
	struct commit c[MAIL];
	char name[64];
	uint64_t bytes;
	struct pair p;

	setup(&p);
	(void)snprintf(name, sizeof(name), "%s", twin_fs_name(&p.fs, "log", 0));
	twin_fs_fail(&p.fs, TWIN_RENAME, 0, 1, EIO);
	for (unsigned i = 0; i < MAIL; i++) {
		world_accept(&p.w, SIZE, i, &c[i]);
		world_run(&p.w, 10000);
	}
	assert_true(p.w.troubles > 0);
	world_close(&p.w);
	assert_int_equal(walk_missing(&p, &bytes), 0);
	cut(&p, name, 4096);
	assert_int_equal(walk_missing(&p, &bytes), 1);
	assert_true(bytes > SEGMENT / 2);
	teardown(&p);
}

static void
copy_content(struct pair *p, const char *name, struct buf *out)
{
	uint64_t size;
	const uint8_t *content = twin_fs_content(&p->fs, name, &size);

	buf_init(out, (size_t)size);
	assert_true(buf_add(out, view_of(content, (size_t)size)));
}

static void
check_absent(struct pair *p, uint64_t n)
{
	struct spool_stats st;

	world_run(&p->w, 3000);
	spool_stats(p->w.spool, &st);
	assert_int_equal(st.absent, n);
	assert_int_equal(st.quarantined, n);
	assert_int_equal(twin_fs_count(&p->fs, "quarantine"), n);
}

/* From a backup: its mail is there, and no note says that it is missing. */
static void
check_put_back(const struct absence_case *x)
{
	struct buf saved, note, again;
	bool lost[MAIL];
	struct commit c[MAIL];
	bool none[MAIL] = { false };
	char name[64];
	struct pair p;

	fill(&p, c);
	(void)snprintf(name, sizeof(name), "%s", twin_fs_name(&p.fs, "log", x->segment));
	copy_content(&p, name, &saved);
	cut(&p, name, place(&p, x, c, name, lost));
	world_open(&p.w);
	check_absent(&p, 1);
	copy_content(&p, twin_fs_name(&p.fs, "quarantine", 0), &note);
	world_reopen(&p.w);
	check_absent(&p, 1);
	/* The same note, with the date of the first time. */
	copy_content(&p, twin_fs_name(&p.fs, "quarantine", 0), &again);
	assert_true(view_eq(buf_view(&note), buf_view(&again)));
	world_close(&p.w);
	assert_int_equal(fs_replace(&p.fs.fs, "log", name + 4, buf_view(&saved), NULL), 0);
	world_open(&p.w);
	check_absent(&p, 0);
	check_rest(&p, c, none);
	buf_done(&saved);
	buf_done(&note);
	buf_done(&again);
	teardown(&p);
}

static void
test_put_back(void **state)
{
	/* Of one that was cut within a record there is a copy of the rest of that, too: it stays. */
	for (size_t i = 0; i < lengthof(cases); i++)
		if (cases[i].told && (cases[i].record != 0 || cases[i].at == WHOLE) && cases[i].beyond == 0)
			check_put_back(&cases[i]);
}

/* One that was set aside is not missing. */
static void
test_set_aside(void **state)
{
	struct commit c;
	uint64_t bytes;
	struct pair p;

	setup(&p);
	for (unsigned i = 0; i < 3; i++) {
		world_accept(&p.w, 1000, i, &c);
		world_reopen(&p.w);
		world_run(&p.w, 100);
		if (i == 1) {
			world_close(&p.w);
			/* The newest: no later one knows its nonce. */
			cut(&p, twin_fs_name(&p.fs, "log", 2), 0);
			world_open(&p.w);
			world_run(&p.w, 100);
			assert_int_equal(twin_fs_count(&p.fs, "quarantine"), 2);
		}
	}
	assert_int_equal(told_absent(&p), 0);
	assert_int_equal(walk_missing(&p, &bytes), 0);
	teardown(&p);
}

/* The start of the next one was written by a program that did not say where the one before ended. */
static void
test_older_program(void **state)
{
	static char text[1024];
	struct commit c[MAIL];
	uint64_t bytes, size, at;
	struct view payload;
	struct record r;
	struct pair p;
	char name[64];
	uint8_t *next;

	fill(&p, c);
	next = twin_fs_content(&p.fs, twin_fs_name(&p.fs, "log", 1), &size);
	assert_true(record_get_any(&r, next));
	payload = view_of(next + RECORD_HEADER, r.length);
	(void)snprintf(text, sizeof(text), "%.*s", VIEW_ARG(payload));
	at = view_search(payload, VIEW("\nend: "));
	assert_true(at < payload.n);
	text[at + 1] = 'x';
	world_write_start(next, text);
	assert_int_equal(walk_missing(&p, &bytes), 0);
	(void)snprintf(name, sizeof(name), "%s", twin_fs_name(&p.fs, "log", 0));
	cut(&p, name, world_find(&p.fs, name, 'M', c[3].id, 0));
	assert_int_equal(walk_missing(&p, &bytes), 1);
	assert_int_equal(bytes, 0);
	world_open(&p.w);
	world_run(&p.w, 3000);
	assert_int_equal(told_absent(&p), 1);
	teardown(&p);
}

/* A sync failed: all in front of what is abandoned was synced. */
static void
test_abandoned(void **state)
{
	struct commit a, b;
	uint64_t bytes;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 1000, 1, &a);
	twin_fs_fail(&p.fs, TWIN_SYNC, 0, 1, EIO);
	world_accept(&p.w, 1000, 2, &b);
	assert_int_equal(b.e.kind, ERR_SYSTEM);
	world_run(&p.w, 1000);
	world_close(&p.w);
	assert_int_equal(walk_missing(&p, &bytes), 0);
	cut(&p, twin_fs_name(&p.fs, "log", 0), world_find(&p.fs, twin_fs_name(&p.fs, "log", 0), 'M', a.id, 0));
	assert_int_equal(walk_missing(&p, &bytes), 1);
	assert_true(bytes > 1000);
	teardown(&p);
}

/* A file that could be neither begun nor removed stays, whatever else is released: nothing is missing. */
static void
test_stray(void **state)
{
	struct commit c;
	uint64_t bytes;
	struct pair p;

	setup(&p);
	twin_fs_fail(&p.fs, TWIN_SYNC_DIR, 0, 1, EIO);
	twin_fs_fail(&p.fs, TWIN_UNLINK, 0, 1, EIO);
	for (unsigned i = 0; i < 2 * MAIL; i++) {
		world_commit(&p.w, world_fill(&p.w, SIZE, i, 1), &c);
		world_run(&p.w, 10000);
		if (c.e.kind == ERR_NONE)
			world_finish(&p.w, c.id);
		world_run(&p.w, 3000);
	}
	assert_int_equal(twin_fs_count(&p.fs, "log"), 2);
	assert_int_equal(walk_missing(&p, &bytes), 0);
	world_kill(&p.w);
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_int_equal(told_absent(&p), 0);
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_no_start),
		cmocka_unit_test(test_begun_late),
		cmocka_unit_test(test_set_aside),
		cmocka_unit_test(test_older_program),
		cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_stray),
		cmocka_unit_test(test_put_back),
	};

	return cmocka_run_group_tests_name("absence", tests, NULL, NULL);
}
