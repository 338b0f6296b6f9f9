/* SPDX-License-Identifier: BSD-2-Clause */
/* The history on twins: files, bounds, faults, and what is found in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "relay/history.h"
#include "twin/fs.h"
#include "twin/loop.h"

#include "base/banned.h"

#define START	INT64_C(1795332623000)		/* 2026-11-22T07:30:23Z */
#define HOUR	INT64_C(3600000)
#define DAY	(24 * HOUR)
#define JOB	10			/* a job of the twin takes a millisecond */
#define WRITTEN	(HISTORY_WRITE_MS + JOB)
#define MiB	(1u << 20)
#define ID(n)	(UINT64_C(0x6900000000000000) + (n))

struct world {
	struct twin_loop	 loop;
	struct twin_worker	 worker;
	struct twin_fs		 fs;
	struct log		 log;		/* beneath */
	struct buf		 said;
	struct history_limits	 limits;
	struct history		*h;
	bool			 found;
};

static void
emit(struct log *log, enum log_level level, const char *line)
{
	struct world *w = container_of(log, struct world, log);

	assert_true(buf_add_str(&w->said, line) && buf_add_byte(&w->said, '\n'));
}

static void
begin(struct world *w)
{
	struct history_env env = { .loop = &w->loop.loop, .fs = &w->fs.fs, .worker = &w->worker.worker,
		.log = &w->log };

	w->h = history_new(&env, &w->limits);
	twin_loop_run(&w->loop, JOB);
}

static void
end(struct world *w)
{
	history_free(w->h);
	w->h = NULL;
	twin_loop_run(&w->loop, JOB);	/* those under way */
}

static void
setup(struct world *w)
{
	memset(w, 0, sizeof(*w));
	twin_loop_init(&w->loop, START - JOB);
	twin_worker_init(&w->worker, &w->loop.loop);
	twin_fs_init(&w->fs);
	buf_init(&w->said, 8 * MiB);
	w->log = (struct log){ .emit = emit, .level = LEVEL_INFO, .role = "relay" };
	w->limits = (struct history_limits){ .days = 30, .bytes_max = MiB };
	begin(w);
}

static void
teardown(struct world *w)
{
	end(w);
	assert_int_equal(twin_fs_open_files(&w->fs), 0);
	twin_fs_done(&w->fs);
	twin_loop_done(&w->loop);
	buf_done(&w->said);
}

static void
say(struct world *w, const char *event, uint64_t id, const char *reply)
{
	struct log_line l;

	log_begin(&l, history_log(w->h), LEVEL_DEBUG, "said");
	l.n = 0;			/* the event is ours to choose */
	l.n = (size_t)snprintf(l.text, sizeof(l.text), "relay: %s", event);
	if (id != 0)
		log_id(&l, id);
	if (reply != NULL)
		log_text(&l, "reply", view_str(reply));
	log_end(&l);
}

/* 200 bytes and more. */
static void
say_long(struct world *w, const char *event, uint64_t id)
{
	char text[161];

	memset(text, 'x', 160);
	text[160] = '\0';
	say(w, event, id, text);
}

static const char *
content(struct world *w, const char *name)
{
	static char text[HISTORY_GATHER_MAX + 1];
	uint64_t size;
	const uint8_t *p = twin_fs_content(&w->fs, name, &size);

	assert_non_null(p);
	assert_true(size < sizeof(text));
	memcpy(text, p, (size_t)size);
	text[size] = '\0';
	return text;
}

static unsigned
count(const char *text, const char *word)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		n++;
	return n;
}

static unsigned
count_said(struct world *w, const char *word)
{
	return count(buf_cstr(&w->said) != NULL ? buf_cstr(&w->said) : "", word);
}

/* --- writing ------------------------------------------------------------------------- */

static void
test_lines_go_to_file_and_log(void **state)
{
	struct world w;
	struct log_line l;

	setup(&w);
	log_begin(&l, history_log(w.h), LEVEL_INFO, "delivered");
	log_id(&l, ID(1));
	log_text(&l, "to", VIEW("bob@example.net"));
	log_end(&l);
	log_begin(&l, history_log(w.h), LEVEL_DEBUG, "attempt");
	log_id(&l, ID(1));
	log_end(&l);
	twin_loop_run(&w.loop, HISTORY_WRITE_MS - 1);
	assert_int_equal(twin_fs_count(&w.fs, ""), 0);
	twin_loop_run(&w.loop, JOB);
	assert_string_equal(content(&w, "00000001-20261122.log"),
	    "2026-11-22T07:30:23.000Z delivered id=6900000000000001 to=\"bob@example.net\"\n"
	    "2026-11-22T07:30:23.000Z attempt id=6900000000000001\n");
	assert_string_equal(buf_cstr(&w.said),
	    "relay: delivered id=6900000000000001 to=\"bob@example.net\"\n");
	teardown(&w);
}

static void
test_no_write_without_lines_and_one_for_many(void **state)
{
	struct world w;
	uint64_t before;

	setup(&w);
	twin_loop_run(&w.loop, 10 * HOUR);
	assert_int_equal(w.fs.count[TWIN_WRITE], 0);
	before = w.fs.count[TWIN_WRITE];
	for (unsigned i = 0; i < 100; i++)
		say(&w, "delivered", ID(i + 1), "250 ok");
	twin_loop_run(&w.loop, WRITTEN);
	assert_int_equal(w.fs.count[TWIN_WRITE] - before, 1);
	assert_int_equal(w.fs.count[TWIN_SYNC], 0);
	teardown(&w);
}

static void
test_flush_writes_what_is_there_also_at_the_end(void **state)
{
	struct world w;

	setup(&w);
	say(&w, "delivered", ID(1), NULL);
	history_flush(w.h);
	say(&w, "delivered", ID(2), NULL);
	end(&w);
	assert_int_equal(count(content(&w, "00000001-20261122.log"), "delivered"), 2);
	begin(&w);
	say(&w, "delivered", ID(3), NULL);	/* as after a crash */
	end(&w);
	assert_int_equal(count(content(&w, "00000001-20261122.log"), "delivered"), 2);
	begin(&w);
	teardown(&w);
}

static void
test_a_text_from_outside_makes_no_line(void **state)
{
	static const char hostile[] = "ok\"\n2026-11-22T07:30:23.000Z finished id=6900000000000001\r\n\x1b[2J\\";
	struct view lines;
	struct world w;

	setup(&w);
	say(&w, "queued", ID(1), hostile);
	say(&w, "failed", ID(1), hostile);
	twin_loop_run(&w.loop, WRITTEN);
	lines = view_str(content(&w, "00000001-20261122.log"));
	for (size_t i = 0; i < lines.n; i++)
		assert_true(is_print(lines.p[i]) || lines.p[i] == '\n');
	assert_int_equal(count((const char *)lines.p, "\n"), 2);
	assert_non_null(strstr((const char *)lines.p, "reply=\"ok\\\"\\n2026-"));
	teardown(&w);
}

/* --- files --------------------------------------------------------------------------- */

static void
write_line(struct world *w)
{
	say(w, "delivered", ID(1), NULL);
	twin_loop_run(&w->loop, WRITTEN);
}

static void
test_a_file_a_day(void **state)
{
	struct world w;

	setup(&w);
	write_line(&w);
	write_line(&w);
	twin_loop_run(&w.loop, DAY);
	write_line(&w);
	assert_int_equal(twin_fs_count(&w.fs, ""), 2);
	assert_string_equal(twin_fs_name(&w.fs, "", 1), "00000002-20261123.log");
	/* Back by a day: names keep the order of writing. */
	w.loop.wall_ms -= DAY;
	write_line(&w);
	assert_int_equal(twin_fs_count(&w.fs, ""), 2);
	assert_int_equal(count(content(&w, "00000002-20261123.log"), "delivered"), 2);
	teardown(&w);
}

static void
test_size_of_a_file_and_of_all(void **state)
{
	const char *name;
	struct world w;

	setup(&w);
	/* 2 MiB into a history of 1 MiB: files of 64 KiB and a batch at most. */
	for (unsigned i = 0; i < 10000; i++) {
		say_long(&w, "delivered", ID(i + 1));
		if (i % 100 == 0)
			twin_loop_run(&w.loop, WRITTEN);
	}
	twin_loop_run(&w.loop, WRITTEN);
	assert_true(twin_fs_used(&w.fs) <= MiB && twin_fs_used(&w.fs) > MiB / 2);
	for (size_t i = 0; (name = twin_fs_name(&w.fs, "", i)) != NULL; i++)
		assert_true(strlen(content(&w, name)) < 2 * HISTORY_BATCH + HISTORY_LINE_MAX);
	name = twin_fs_name(&w.fs, "", twin_fs_count(&w.fs, "") - 1);
	assert_non_null(strstr(content(&w, name), "id=690000000000270f"));
	teardown(&w);
}

/* One file for each of n days; the last day is today. */
static void
fill_days(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (i > 0)
			twin_loop_run(&w->loop, DAY - WRITTEN);
		write_line(w);
	}
}

static void
test_old_files_go_also_without_mail(void **state)
{
	struct world w;

	setup(&w);
	w.limits.days = 3;
	end(&w);
	begin(&w);
	fill_days(&w, 8);
	assert_int_equal(twin_fs_count(&w.fs, ""), 4);		/* today and three days */
	assert_string_equal(twin_fs_name(&w.fs, "", 0), "00000005-20261126.log");
	twin_loop_run(&w.loop, 5 * DAY);
	assert_int_equal(twin_fs_count(&w.fs, ""), 0);
	write_line(&w);
	assert_int_equal(twin_fs_count(&w.fs, ""), 1);
	teardown(&w);
}

/* A clock that is wrong for a while costs no more than a file an hour. */
static void
test_a_jump_of_the_clock_does_not_empty_it(void **state)
{
	struct world w;

	setup(&w);
	fill_days(&w, 10);
	assert_int_equal(twin_fs_count(&w.fs, ""), 10);
	w.loop.wall_ms += 3650 * DAY;
	twin_loop_run(&w.loop, HOUR - 1);
	write_line(&w);
	w.loop.wall_ms -= 3650 * DAY;
	assert_true(twin_fs_count(&w.fs, "") >= 10);	/* one more, named by the wrong clock */
	/* Also not at once after a start with such a clock. */
	end(&w);
	w.loop.wall_ms += 3650 * DAY;
	begin(&w);
	twin_loop_run(&w.loop, HOUR / 2);
	write_line(&w);
	assert_true(twin_fs_count(&w.fs, "") >= 10);
	w.loop.wall_ms -= 3650 * DAY;
	/* In 1970 nothing is old. */
	w.loop.wall_ms = 0;
	twin_loop_run(&w.loop, 5 * HOUR);
	write_line(&w);
	assert_true(twin_fs_count(&w.fs, "") >= 10);
	teardown(&w);
}

static void
put_file(struct world *w, const char *name, const char *text)
{
	struct iovec v = { (void *)(uintptr_t)text, strlen(text) };
	int fd = fs_open(&w->fs.fs, name, FS_CREATE, NULL);

	assert_true(fd >= 0);
	assert_int_equal(fs_writev(&w->fs.fs, fd, &v, 1, 0, NULL), 0);
	fs_close(&w->fs.fs, fd);
}

static void
test_a_torn_line_stands_alone(void **state)
{
	struct world w;

	setup(&w);
	end(&w);
	put_file(&w, "00000007-20261122.log", "2026-11-22T07:30:22.000Z queued id=6900000000000001\n2026-11-22T0");
	put_file(&w, "notes", "not ours");
	begin(&w);
	write_line(&w);
	assert_string_equal(content(&w, "00000007-20261122.log"),
	    "2026-11-22T07:30:22.000Z queued id=6900000000000001\n2026-11-22T0\n"
	    "2026-11-22T07:30:23.020Z delivered id=6900000000000001\n");
	assert_string_equal(content(&w, "notes"), "not ours");
	teardown(&w);
}

/* --- faults -------------------------------------------------------------------------- */

static void
test_failures_are_said_once_and_counted(void **state)
{
	struct history_stats st;
	struct world w;

	setup(&w);
	write_line(&w);
	twin_fs_fail(&w.fs, TWIN_WRITE, 0, 3, 28);	/* ENOSPC */
	for (unsigned i = 0; i < 3; i++)
		write_line(&w);
	history_stats(w.h, &st);
	assert_true(st.failing && st.dropped == 3 && st.written == 1);
	assert_int_equal(count_said(&w, "history-failed"), 1);
	write_line(&w);
	twin_loop_run(&w.loop, WRITTEN);
	history_stats(w.h, &st);
	assert_true(!st.failing && st.dropped == 3);
	assert_int_equal(count_said(&w, "relay: history-dropped count=3"), 1);
	assert_int_equal(count(content(&w, "00000001-20261122.log"), "Z history-dropped count=3\n"), 1);
	assert_int_equal(count(content(&w, "00000001-20261122.log"), "delivered"), 2);
	/* The next failure is said again. */
	twin_fs_fail(&w.fs, TWIN_WRITE, 0, 1, 5);
	write_line(&w);
	assert_int_equal(count_said(&w, "history-failed"), 2);
	teardown(&w);
}

/* Others fill the disk to so many bytes. */
static void
fill_disk(struct world *w, uint64_t bytes)
{
	int fd = fs_open(&w->fs.fs, "other", FS_WRITE, NULL);

	assert_true(fd >= 0);
	assert_int_equal(fs_allocate(&w->fs.fs, fd, bytes, NULL), 0);
	fs_close(&w->fs.fs, fd);
}

static void
test_the_spool_comes_first_on_a_full_disk(void **state)
{
	struct history_stats st;
	struct world w;

	setup(&w);
	end(&w);
	w.limits.free_min = 8 * MiB;
	w.fs.space = 64 * MiB;
	begin(&w);
	put_file(&w, "other", "");
	fill_disk(&w, 55 * MiB);
	write_line(&w);
	history_stats(w.h, &st);
	assert_true(st.written == 1 && !st.failing);
	fill_disk(&w, 57 * MiB);
	write_line(&w);
	history_stats(w.h, &st);
	assert_true(st.written == 1 && st.dropped == 1 && st.failing);
	assert_int_equal(count_said(&w, "history-failed"), 1);
	teardown(&w);
}

/* There, a wish that can't be met would mean no history at all. */
static void
test_a_small_disk_has_a_history_too(void **state)
{
	struct history_stats st;
	struct world w;

	setup(&w);
	end(&w);
	w.limits.free_min = 500 * MiB;
	w.fs.space = 8 * MiB;
	begin(&w);
	for (unsigned i = 0; i < 10000; i++) {
		say_long(&w, "delivered", ID(i + 1));
		if (i % 100 == 0)
			twin_loop_run(&w.loop, WRITTEN);
	}
	twin_loop_run(&w.loop, WRITTEN);
	history_stats(w.h, &st);
	assert_true(st.written == 10000 && st.files > 5);
	assert_true(twin_fs_used(&w.fs) <= MiB / 2);
	teardown(&w);
}

static void
test_memory_is_bounded_while_the_disk_hangs(void **state)
{
	struct history_stats st;
	struct world w;

	setup(&w);
	w.worker.stalled = true;
	for (unsigned i = 0; i < 20000; i++)		/* 4 MiB */
		say_long(&w, "delivered", ID(i + 1));
	history_stats(w.h, &st);
	assert_true(st.dropped > 5000 && st.dropped < 20000);
	w.worker.stalled = false;
	twin_worker_kick(&w.worker);
	twin_loop_run(&w.loop, 2 * WRITTEN);
	assert_int_equal(count_said(&w, "history-dropped count="), 1);
	history_stats(w.h, &st);
	assert_int_equal(st.written, 20000 - st.dropped + 1);
	teardown(&w);
}

/* --- looking up ---------------------------------------------------------------------- */

static void
on_found(void *owner)
{
	((struct world *)owner)->found = true;
}

static bool
is_found(void *arg)
{
	return ((struct world *)arg)->found;
}

/* What is found, as a string; NULL cut: nothing may be left out. */
static char *
find(struct world *w, spool_id id, bool *cut)
{
	struct history_find *f;
	struct view lines;
	struct err e;
	bool some_cut;
	char *text;

	w->found = false;
	f = history_find(w->h, id, on_found, w);
	assert_false(w->found);
	assert_true(twin_loop_until(&w->loop, is_found, w, 1000));
	assert_int_equal(history_find_result(f, &lines, &some_cut, &e), 0);
	assert_true(cut != NULL || !some_cut);
	if (cut != NULL)
		*cut = some_cut;
	text = calloc(1, lines.n + 1);
	assert_non_null(text);
	if (lines.n != 0)
		memcpy(text, lines.p, lines.n);
	history_find_free(f);
	return text;
}

static void
expect(struct world *w, spool_id id, const char *want)
{
	char *got = find(w, id, NULL);
	struct view rest = view_str(got), line;
	struct buf events;

	/* Without times and keys. */
	buf_init(&events, 4096);
	while (view_split(&rest, '\n', &line)) {
		line = view_from(line, 25);
		assert_true(buf_addf(&events, "%s%.*s", buf_len(&events) > 0 ? " " : "",
		    VIEW_ARG(view_first(line, view_find(line, ' ')))));
	}
	assert_string_equal(buf_len(&events) > 0 ? buf_cstr(&events) : "", want);
	buf_done(&events);
	free(got);
}

static void
test_the_life_of_one_message(void **state)
{
	struct world w;

	setup(&w);
	say(&w, "relay-down", 0, NULL);
	say(&w, "account-paused", 0, NULL);
	say(&w, "account-available", 0, NULL);
	say(&w, "endpoint-down", 0, NULL);
	say(&w, "queued", ID(1), NULL);
	say(&w, "queued", ID(2), "of another: id=6900000000000001");
	say(&w, "endpoint-up", 0, NULL);
	say(&w, "attempt", ID(1), NULL);
	say(&w, "attempt", ID(2), NULL);
	say(&w, "delivered", ID(1), NULL);
	say(&w, "finished", ID(1), NULL);
	say(&w, "endpoint-blocked", 0, NULL);
	/* What is not written yet counts, too. */
	expect(&w, ID(1), "relay-down queued endpoint-up attempt delivered finished");
	expect(&w, ID(2), "relay-down queued endpoint-up attempt endpoint-blocked");
	expect(&w, ID(3), "");
	teardown(&w);
}

/* What lasted when the message came in; another relay that is well does not end it. */
static void
test_what_lasted_before(void **state)
{
	struct world w;

	setup(&w);
	say(&w, "relay-down relay=main x=1", 0, NULL);
	say(&w, "relay-down relay=backup x=1", 0, NULL);
	say(&w, "relay-up relay=backup", 0, NULL);
	say(&w, "relay-down relay=main x=1", 0, NULL);
	say(&w, "relay-up relay=backup", 0, NULL);
	say(&w, "failover from=main to=backup reason=no-port-usable", 0, NULL);
	say(&w, "account-paused relay=main x=1", 0, NULL);
	say(&w, "queued", ID(1), NULL);
	expect(&w, ID(1), "relay-down account-paused failover queued");
	say(&w, "relay-up relay=main", 0, NULL);
	say(&w, "account-available relay=main x=1", 0, NULL);
	say(&w, "failover from=backup to=main reason=usable-again", 0, NULL);
	say(&w, "queued", ID(2), NULL);
	expect(&w, ID(2), "queued");
	teardown(&w);
}

/* One batch is being written, the next one gathers: both come before the search. */
static void
test_what_is_not_written_yet_is_awaited(void **state)
{
	struct world w;

	setup(&w);
	w.worker.stalled = true;
	say(&w, "queued", ID(1), NULL);
	twin_loop_run(&w.loop, WRITTEN);
	say(&w, "finished", ID(1), NULL);
	w.worker.stalled = false;
	twin_worker_kick(&w.worker);
	expect(&w, ID(1), "queued finished");
	teardown(&w);
}

static void
test_a_life_over_many_files_and_restarts(void **state)
{
	struct world w;

	setup(&w);
	say(&w, "queued", ID(1), NULL);
	twin_loop_run(&w.loop, DAY);
	say(&w, "queued", ID(2), NULL);
	twin_loop_run(&w.loop, DAY);
	say(&w, "deferred", ID(1), NULL);
	history_flush(w.h);
	end(&w);
	begin(&w);
	twin_loop_run(&w.loop, DAY);
	say(&w, "recovered", 0, NULL);
	for (unsigned i = 0; i < 2000; i++)		/* more than one block */
		say_long(&w, "delivered", ID(100));
	say(&w, "finished", ID(1), NULL);
	twin_loop_run(&w.loop, DAY);
	say(&w, "finished", ID(1), "a line that can't be");
	assert_true(twin_fs_count(&w.fs, "") >= 4);
	expect(&w, ID(1), "queued deferred recovered finished");
	/* Its first file is gone: what is left. */
	assert_int_equal(fs_unlink(&w.fs.fs, "00000001-20261122.log", NULL), 0);
	end(&w);
	begin(&w);
	expect(&w, ID(1), "deferred recovered finished");
	teardown(&w);
}

static void
test_first_and_last_lines_stay_of_a_long_life(void **state)
{
	struct world w;
	bool cut;
	char *got;

	setup(&w);
	w.limits.bytes_max = 8 * MiB;
	end(&w);
	begin(&w);
	say(&w, "queued", ID(1), NULL);
	for (unsigned i = 0; i < 12000; i++) {
		say_long(&w, "deferred", ID(1));
		if (i % 1000 == 0)
			twin_loop_run(&w.loop, WRITTEN);
	}
	say(&w, "finished", ID(1), NULL);
	got = find(&w, ID(1), &cut);
	assert_true(cut);
	assert_true(strlen(got) <= HISTORY_FOUND_MAX && strlen(got) > HISTORY_FOUND_MAX / 2);
	assert_non_null(strstr(got, "Z queued id="));
	assert_non_null(strstr(got, "Z finished id="));
	for (struct view rest = view_str(got), line; view_split(&rest, '\n', &line);)
		assert_true(view_starts(line, VIEW("2026-")));
	free(got);
	teardown(&w);
}

/* A text of the smarthost may hold what a line begins with; it begins none. */
static void
test_a_hostile_text_hides_nothing(void **state)
{
	struct world w;

	setup(&w);
	say(&w, "queued", ID(1), NULL);
	twin_loop_run(&w.loop, DAY);
	say(&w, "deferred", ID(1), "2026-11-22T07:30:23.000Z queued id=6900000000000001 x");
	say(&w, "queued", ID(2), "Z queued id=6900000000000001 x");
	expect(&w, ID(1), "queued deferred");
	teardown(&w);
}

static void
test_rubbish_is_stepped_over(void **state)
{
	static char zeros[700000];
	struct world w;

	setup(&w);
	end(&w);
	memset(zeros, 'z', sizeof(zeros) - 1);
	put_file(&w, "00000001-20261121.log", zeros);
	put_file(&w, "00000002-20261121.log", "x\n\n 2026\n2026-11-22T07:30:22.000Z\n"
	    "2026-11-22T07:30:22.000Z queued id=6900000000000001\n2026-11-22T07:30:22.000Z deliv");
	begin(&w);
	say(&w, "finished", ID(1), NULL);
	/* A torn line has a time and half an event, which readers do not know. */
	expect(&w, ID(1), "queued deliv finished");
	teardown(&w);
}

static void
test_a_find_can_be_given_up(void **state)
{
	struct history_find *f;
	struct view lines;
	struct world w;
	struct err e;
	bool cut;

	setup(&w);
	say(&w, "queued", ID(1), NULL);
	f = history_find(w.h, ID(1), on_found, &w);
	history_find_free(f);			/* waits for the line to be written */
	twin_loop_run(&w.loop, 10);
	f = history_find(w.h, ID(1), on_found, &w);
	history_find_free(f);			/* its job is under way */
	end(&w);				/* and the history goes as well */
	assert_false(w.found);
	begin(&w);
	twin_fs_fail(&w.fs, TWIN_READ, 0, 1, 5);
	f = history_find(w.h, ID(1), on_found, &w);
	assert_true(twin_loop_until(&w.loop, is_found, &w, 1000));
	assert_int_equal(history_find_result(f, &lines, &cut, &e), -1);
	assert_int_equal(e.kind, ERR_SYSTEM);
	history_find_free(f);
	teardown(&w);
}

static void
test_the_last_message_is_known_after_a_restart(void **state)
{
	struct world w;

	setup(&w);
	assert_int_equal(history_last(w.h), 0);
	say(&w, "queued", ID(1), NULL);
	say(&w, "queued", ID(2), NULL);
	say(&w, "delivered", ID(3), NULL);
	history_flush(w.h);
	end(&w);
	begin(&w);
	assert_true(history_last(w.h) == ID(2));
	history_set_last(w.h, ID(9));
	assert_true(history_last(w.h) == ID(9));
	teardown(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_go_to_file_and_log),
		cmocka_unit_test(test_no_write_without_lines_and_one_for_many),
		cmocka_unit_test(test_flush_writes_what_is_there_also_at_the_end),
		cmocka_unit_test(test_a_text_from_outside_makes_no_line),
		cmocka_unit_test(test_a_file_a_day),
		cmocka_unit_test(test_size_of_a_file_and_of_all),
		cmocka_unit_test(test_old_files_go_also_without_mail),
		cmocka_unit_test(test_a_jump_of_the_clock_does_not_empty_it),
		cmocka_unit_test(test_a_torn_line_stands_alone),
		cmocka_unit_test(test_failures_are_said_once_and_counted),
		cmocka_unit_test(test_the_spool_comes_first_on_a_full_disk),
		cmocka_unit_test(test_a_small_disk_has_a_history_too),
		cmocka_unit_test(test_memory_is_bounded_while_the_disk_hangs),
		cmocka_unit_test(test_the_life_of_one_message),
		cmocka_unit_test(test_what_lasted_before),
		cmocka_unit_test(test_what_is_not_written_yet_is_awaited),
		cmocka_unit_test(test_a_life_over_many_files_and_restarts),
		cmocka_unit_test(test_first_and_last_lines_stay_of_a_long_life),
		cmocka_unit_test(test_a_hostile_text_hides_nothing),
		cmocka_unit_test(test_rubbish_is_stepped_over),
		cmocka_unit_test(test_a_find_can_be_given_up),
		cmocka_unit_test(test_the_last_message_is_known_after_a_restart),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
