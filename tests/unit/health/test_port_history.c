/* SPDX-License-Identifier: BSD-2-Clause */
/* What is kept of an endpoint for people: the day in slots, the last attempts, the changes of way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "health/port_file.h"
#include "health/port_history.h"
#include "health/switch_log.h"
#include "health/trail.h"

#include "base/banned.h"

#define SLOT	((int64_t)PORT_SLOT_MS)
#define MINUTE	INT64_C(60000)
#define START	(1000 * SLOT + 5 * MINUTE)

/* --- slots ----------------------------------------------------------------- */

/* The newest n signs. */
static const char *
line(const struct port_history *h, int64_t now, size_t n)
{
	static char text[PORT_SLOTS + 1];
	enum port_mark mark[PORT_SLOTS];

	port_history_read(h, now, mark);
	for (size_t i = 0; i < PORT_SLOTS; i++)
		text[i] = port_mark_sign(mark[i]);
	text[PORT_SLOTS] = '\0';
	return text + PORT_SLOTS - n;
}

/* A look each minute, up to that time. */
static void
look_until(struct port_history *h, enum port_mark mark, int64_t *now, int64_t until)
{
	for (; *now < until; *now += MINUTE)
		port_history_note(h, mark, *now);
}

static void
test_a_slot_keeps_the_worst(void **state)
{
	struct port_history h;
	int64_t now = START;

	port_history_init(&h);
	assert_string_equal(line(&h, now, 3), "???");
	port_history_note(&h, PORT_UNTRIED, now);
	assert_string_equal(line(&h, now, 3), "??:");
	look_until(&h, PORT_UP, &now, START + 2 * MINUTE);
	port_history_note(&h, PORT_DOWN, now);
	port_history_note(&h, PORT_SUSPECT, now);
	look_until(&h, PORT_UP, &now, START + SLOT);
	assert_string_equal(line(&h, now, 3), "?x+");
	look_until(&h, PORT_RECOVERING, &now, START + 2 * SLOT);
	assert_string_equal(line(&h, now, 4), "?x~~");
	for (int mark = 1; mark < PORT_MARK_COUNT; mark++)	/* the order of the enum is that of the worse */
		port_history_note(&h, (enum port_mark)mark, now);
	assert_string_equal(line(&h, now, 2), "~B");
}

/* Between two looks it was as at the first of them, also in a slot without a look. */
static void
test_a_state_lasts_until_the_next_look(void **state)
{
	struct port_history h;
	int64_t now = 1000 * SLOT - MINUTE;

	port_history_init(&h);
	port_history_note(&h, PORT_DOWN, now);
	port_history_note(&h, PORT_UP, now + 3 * MINUTE);
	assert_string_equal(line(&h, now + 3 * MINUTE, 3), "?xx");
	/* To the very end of a slot, and no further. */
	port_history_init(&h);
	port_history_note(&h, PORT_DOWN, now);
	port_history_note(&h, PORT_UP, now + MINUTE);
	assert_string_equal(line(&h, now + MINUTE, 3), "?x+");
	/* Read a little later, it is still so. */
	assert_string_equal(line(&h, now + 2 * MINUTE, 3), "?x+");
}

static void
test_what_nobody_looked_at_is_unknown(void **state)
{
	struct port_history h;
	int64_t now = START, woke = START + 4 * SLOT;

	port_history_init(&h);
	port_history_note(&h, PORT_UP, now);
	assert_string_equal(line(&h, woke, 6), "?+????");	/* nobody looked since */
	port_history_note(&h, PORT_UNTRIED, woke);
	assert_string_equal(line(&h, woke, 6), "?+???:");
	port_history_note(&h, PORT_UP, woke + PORT_BLIND_MS);
	assert_string_equal(line(&h, woke + PORT_BLIND_MS, 6), "?+???+");
}

static void
test_a_day_and_no_more(void **state)
{
	struct port_history h;
	int64_t now = START;
	enum port_mark mark[PORT_SLOTS];

	port_history_init(&h);
	port_history_note(&h, PORT_BLOCKED, now);
	look_until(&h, PORT_UP, &now, START + 96 * SLOT - 6 * MINUTE);
	port_history_read(&h, now, mark);
	assert_int_equal(mark[0], PORT_BLOCKED);
	for (size_t i = 1; i < PORT_SLOTS; i++)
		assert_int_equal(mark[i], PORT_UP);
	look_until(&h, PORT_UP, &now, START + 96 * SLOT + MINUTE);
	port_history_read(&h, now, mark);
	assert_int_equal(mark[0], PORT_UP);
	/* A sleep of ages is as one of a day, and takes no longer. */
	now = INT64_MAX / 4;
	port_history_note(&h, PORT_DOWN, now);
	port_history_read(&h, now, mark);
	assert_int_equal(mark[PORT_SLOTS - 1], PORT_DOWN);
	for (size_t i = 0; i < PORT_SLOTS - 1; i++)
		assert_int_equal(mark[i], PORT_UNSEEN);
}

static void
test_marks_of_states(void **state)
{
	struct endpoint_view v = { .state = EP_UP };
	bool seen[128] = { false };

	assert_int_equal(port_mark_of(&v), PORT_UP);
	v.suspect = true;
	assert_int_equal(port_mark_of(&v), PORT_SUSPECT);
	v = (struct endpoint_view){ .state = EP_DOWN };
	assert_int_equal(port_mark_of(&v), PORT_DOWN);
	v.state = EP_OFF;
	assert_int_equal(port_mark_of(&v), PORT_OFF);
	v.state = EP_UNKNOWN;
	assert_int_equal(port_mark_of(&v), PORT_UNTRIED);
	for (int i = 0; i < PORT_MARK_COUNT; i++) {
		char sign = port_mark_sign((enum port_mark)i);

		assert_true(sign > ' ' && sign <= '~' && !seen[(int)sign]);
		seen[(int)sign] = true;
		assert_true(port_mark_word((enum port_mark)i)[0] != '\0');
	}
}

/* As if the process had been another: what it saw stands where it was. */
static void
test_restored_after_a_restart(void **state)
{
	struct port_history before, after;
	enum port_mark mark[PORT_SLOTS];
	int64_t now = START;

	port_history_init(&before);
	look_until(&before, PORT_DOWN, &now, START + SLOT);
	look_until(&before, PORT_UP, &now, START + 2 * SLOT);
	assert_string_equal(line(&before, now, 4), "?xx+");
	port_history_read(&before, now, mark);
	/* A reload: in the same quarter. */
	port_history_init(&after);
	port_history_restore(&after, mark, 1000, now + 1000);
	port_history_note(&after, PORT_UNTRIED, now + 1000);
	assert_string_equal(line(&after, now + 1000, 4), "?xx+");
	/* Half an hour later, and the host was booted: its time begins with 0. */
	port_history_init(&after);
	port_history_restore(&after, mark, 2 * SLOT, MINUTE);
	assert_string_equal(line(&after, MINUTE, 6), "?xx+??");
	port_history_note(&after, PORT_DOWN, MINUTE);
	assert_string_equal(line(&after, MINUTE, 6), "?xx+?x");
	port_history_note(&after, PORT_UP, MINUTE + SLOT);
	assert_string_equal(line(&after, MINUTE + SLOT, 6), "xx+?x+");
	/* Too old, of the future, or too late: nothing. */
	for (int i = 0; i < 3; i++) {
		port_history_init(&after);
		if (i == 2)
			port_history_note(&after, PORT_UP, now);
		port_history_restore(&after, mark, i == 0 ? PORT_SLOTS * SLOT : i == 1 ? -1 : 0, now);
		assert_string_equal(line(&after, now, 4), i == 2 ? "???+" : "????");
	}
}

static void
assert_same(const struct switch_entry *a, const struct switch_entry *b)
{
	assert_true(a->wall_ms == b->wall_ms && a->failover == b->failover && a->class == b->class);
	assert_string_equal(a->relay, b->relay);
	assert_string_equal(a->route, b->route);
	assert_string_equal(a->from, b->from);
	assert_string_equal(a->to, b->to);
	assert_string_equal(a->reason, b->reason);
	assert_string_equal(a->detail, b->detail);
	assert_string_equal(a->evidence, b->evidence);
}

static void
test_the_file(void **state)
{
	struct switch_log log = { .total = 7, .began_ms = 5 };
	struct switch_entry e = { .wall_ms = 1700000000000, .relay = "main", .from = "587", .to = "none",
		.reason = "down", .class = HEALTH_REFUSED, .detail = "it said \"no\"", .evidence = "587 down; none" };
	struct switch_entry f = { .wall_ms = 1700000000001, .failover = true, .from = "main", .to = "backup",
		.reason = "usable-again" }, g = f;
	enum port_mark mark[PORT_SLOTS];
	struct port_file_line got;
	struct view text;
	struct buf b;

	for (int i = 0; i < PORT_SLOTS; i++)
		mark[i] = (enum port_mark)(i % PORT_MARK_COUNT);
	snprintf(g.route, sizeof(g.route), "shop");
	buf_init(&b, PORT_FILE_MAX);
	assert_true(port_file_put_head(&b, 99, &log) && port_file_put_port(&b, "main", 587, mark) &&
	    buf_add_str(&b, "of a later version\nport main 587 ++\nport\n\nchange 5 route a b c d e\n"
	    "posthouse-ports 2 1 1 1\n") && port_file_put_change(&b, &e) && port_file_put_change(&b, &f) &&
	    port_file_put_change(&b, &g) && port_file_put_alarm(&b, 17, "relay-down", "main") &&
	    buf_add_str(&b, "alarm x relay-down main\nalarm 5 relay-down\n") &&
	    port_file_put_alarm(&b, 18, "queue-old", NULL));
	text = buf_view(&b);
	assert_true(port_file_next(&text, &got));
	assert_int_equal(got.kind, PORT_FILE_HEAD);
	assert_true(got.wall_ms == 99 && got.total == 7 && got.began_ms == 5);
	assert_true(port_file_next(&text, &got));
	assert_int_equal(got.kind, PORT_FILE_PORT);
	assert_true(got.port == 587 && view_eq(got.relay, VIEW("main")));
	assert_memory_equal(got.mark, mark, sizeof(mark));
	assert_true(port_file_next(&text, &got));
	assert_int_equal(got.kind, PORT_FILE_CHANGE);
	assert_same(&got.change, &e);
	assert_true(port_file_next(&text, &got));
	assert_same(&got.change, &f);
	assert_true(port_file_next(&text, &got));
	assert_same(&got.change, &g);
	assert_true(port_file_next(&text, &got));
	assert_int_equal(got.kind, PORT_FILE_ALARM);
	assert_true(got.wall_ms == 17 && view_eq(got.alarm, VIEW("relay-down")) && view_eq(got.relay, VIEW("main")));
	assert_true(port_file_next(&text, &got));
	assert_true(got.wall_ms == 18 && view_eq(got.relay, VIEW("-")));
	assert_false(port_file_next(&text, &got));
	/* Somebody has written into it: what is shown is printable, and fits. */
	text = VIEW("change 5 route main 587 465 better ok\tsaid \x1b[2J\tno\n"
	    "change 5 route main 587 465 a-word-that-is-no-reason-of-ours ok\tx\ty\n");
	assert_true(port_file_next(&text, &got));
	assert_string_equal(got.change.detail, "said ?[2J");
	assert_false(port_file_next(&text, &got));
	buf_done(&b);
}

/* --- the trail --------------------------------------------------------------- */

static void
add(struct trail *t, enum health_class class, enum endpoint_state before, enum endpoint_state after,
    int64_t now)
{
	struct health_sample s = { .class = class, .source = SAMPLE_PROBE, .detail = "it said \x1b[2J" };
	struct endpoint_view a = { .state = before }, b = { .state = after };

	trail_add(t, &s, &a, &b, now);
}

static void
test_the_trail_tells_what_changed_and_what_failed(void **state)
{
	struct trail t = { .n = 0 };

	add(&t, HEALTH_OK, EP_UNKNOWN, EP_UP, 10);
	add(&t, HEALTH_OK, EP_UP, EP_UP, 20);
	add(&t, HEALTH_OK, EP_UP, EP_UP, 30);
	assert_int_equal(t.n, 1);
	assert_int_equal(trail_get(&t, 0)->times, 1);
	assert_int_equal(trail_get(&t, 0)->last_ms, 10);
	assert_int_equal(t.count[HEALTH_OK][SAMPLE_PROBE], 3);
	assert_int_equal(t.count[HEALTH_OK][SAMPLE_DELIVERY], 0);
	add(&t, HEALTH_REFUSED, EP_UP, EP_DOWN, 40);
	add(&t, HEALTH_REFUSED, EP_DOWN, EP_DOWN, 50);
	add(&t, HEALTH_REFUSED, EP_DOWN, EP_DOWN, 60);
	add(&t, HEALTH_FILTERED, EP_DOWN, EP_DOWN, 70);
	assert_int_equal(t.n, 3);
	assert_int_equal(trail_get(&t, 0)->class, HEALTH_FILTERED);
	assert_int_equal(trail_get(&t, 1)->times, 3);
	assert_int_equal(trail_get(&t, 1)->first_ms, 40);
	assert_int_equal(trail_get(&t, 1)->last_ms, 60);
	assert_int_equal(trail_get(&t, 2)->state, EP_UP);
	assert_null(trail_get(&t, 3));
	assert_string_equal(trail_get(&t, 0)->detail, "it said ?[2J");
}

static void
test_the_trail_is_bounded(void **state)
{
	struct trail t = { .n = 0 };

	for (int i = 0; i < 1000; i++)
		add(&t, i % 2 == 0 ? HEALTH_REFUSED : HEALTH_FILTERED, EP_DOWN, EP_DOWN, i);
	assert_int_equal(t.n, TRAIL_MAX);
	assert_int_equal(trail_get(&t, 0)->last_ms, 999);
	assert_int_equal(trail_get(&t, TRAIL_MAX - 1)->last_ms, 1000 - TRAIL_MAX);
	assert_null(trail_get(&t, TRAIL_MAX));
	assert_int_equal(t.count[HEALTH_REFUSED][SAMPLE_PROBE], 500);
}

/* --- changes of the way -------------------------------------------------------- */

static void
test_the_switch_log_is_bounded(void **state)
{
	struct switch_log l;

	switch_log_init(&l, 0);
	assert_null(switch_log_get(&l, 0));
	for (int i = 0; i < SWITCH_MAX + 30; i++) {
		struct switch_entry *e = switch_log_add(&l);

		assert_int_equal(e->wall_ms, 0);	/* nothing is left of the one that went */
		e->wall_ms = i + 1;
	}
	assert_int_equal(l.total, SWITCH_MAX + 30);
	assert_int_equal(switch_log_get(&l, 0)->wall_ms, SWITCH_MAX + 30);
	assert_int_equal(switch_log_get(&l, SWITCH_MAX - 1)->wall_ms, 31);
	assert_null(switch_log_get(&l, SWITCH_MAX));
	switch_log_done(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_slot_keeps_the_worst),
		cmocka_unit_test(test_a_state_lasts_until_the_next_look),
		cmocka_unit_test(test_what_nobody_looked_at_is_unknown),
		cmocka_unit_test(test_a_day_and_no_more),
		cmocka_unit_test(test_marks_of_states),
		cmocka_unit_test(test_restored_after_a_restart),
		cmocka_unit_test(test_the_file),
		cmocka_unit_test(test_the_trail_tells_what_changed_and_what_failed),
		cmocka_unit_test(test_the_trail_is_bounded),
		cmocka_unit_test(test_the_switch_log_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
