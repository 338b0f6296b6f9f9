/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/report.h"
#include "control/request.h"
#include "control/toll.h"

#include "base/banned.h"

static struct request
good(const char *line, bool read_only)
{
	struct request q;
	struct err e;

	if (request_parse(&q, view_str(line), read_only, &e) < 0)
		fail_msg("%s: %s", line, e.text);
	return q;
}

static void
bad(const char *line, bool read_only, enum err_kind kind)
{
	struct request q = { .id = 77 };
	struct err e;

	assert_int_equal(request_parse(&q, view_str(line), read_only, &e), -1);
	assert_int_equal(e.kind, kind);
	assert_true(e.text[0] != '\0');
	assert_int_equal(q.id, 77);	/* outputs are untouched on failure */
}

static void
test_requests(void **state)
{
	struct request q = good("status", true);

	assert_int_equal(q.command, REQUEST_STATUS);
	assert_false(q.json);
	q = good("queue --json --limit 7", true);
	assert_true(q.json && q.limit == 7 && q.command == REQUEST_QUEUE);
	q = good("--text explain 00000198f2a4c711", false);
	assert_true(q.command == REQUEST_EXPLAIN && q.id == 0x198f2a4c711);
	q = good("explain last", false);
	assert_true(q.command == REQUEST_EXPLAIN && q.last && q.id == 0 && !q.all);
	q = good("remove all", false);
	assert_true(q.all && q.id == 0);
	q = good("ports --why main:465/implicit --json", true);
	assert_true(q.command == REQUEST_PORTS && q.json && view_eq(q.why, VIEW("main:465/implicit")));
	assert_true(good("ports", true).why.n == 0);
	q = good("failover --limit 3", true);
	assert_true(q.command == REQUEST_FAILOVER && q.limit == 3);
	q = good("unblock main --json", false);
	assert_true(q.command == REQUEST_UNBLOCK && q.json && view_eq(q.relay, VIEW("main")));
	assert_true(good("unblock", false).relay.n == 0);
	q = good("probe backup", false);
	assert_true(q.command == REQUEST_PROBE && view_eq(q.relay, VIEW("backup")));
	assert_true(good("probe", false).relay.n == 0);
	q = good("flush", false);
	assert_true(!q.all && q.id == 0);
	assert_int_equal(good("users --json", false).command, REQUEST_USERS);
	q = good("freeze 33", false);
	assert_true(q.command == REQUEST_FREEZE && q.user == 33);
	assert_int_equal(good("thaw 0", false).user, 0);
	q = good("purge unknown --json", false);
	assert_true(q.command == REQUEST_PURGE && q.user == -1 && q.json);
	assert_int_equal(good("purge 4294967294", false).user, 4294967294);
}

static void
test_bad_requests(void **state)
{
	bad("", false, ERR_INPUT);
	bad("queue\x01", false, ERR_INPUT);
	bad("frobnicate", false, ERR_INPUT);
	bad("status 00000198f2a4c711", false, ERR_INPUT);
	bad("status all", false, ERR_INPUT);
	bad("explain", false, ERR_INPUT);
	bad("explain all", false, ERR_INPUT);
	bad("explain last last", false, ERR_INPUT);
	bad("remove last", false, ERR_INPUT);
	bad("flush last", false, ERR_INPUT);
	bad("status last", false, ERR_INPUT);
	bad("remove", false, ERR_INPUT);
	bad("remove 198f2a4c711", false, ERR_INPUT);
	bad("remove 0000000000000000", false, ERR_INPUT);
	bad("remove 00000198f2a4c711 00000198f2a4c712", false, ERR_INPUT);
	bad("queue --limit", false, ERR_INPUT);
	bad("queue --limit 0", false, ERR_INPUT);
	bad("queue --limit 100001", false, ERR_INPUT);
	bad("queue --frob", false, ERR_INPUT);
	bad("ports --why", false, ERR_INPUT);
	bad("ports --why ", false, ERR_INPUT);
	bad("queue --why 587", false, ERR_INPUT);
	bad("failover last", false, ERR_INPUT);
	bad("failover x", false, ERR_INPUT);
	bad("queue 587", true, ERR_INPUT);
	bad("unblock main backup", false, ERR_INPUT);
	bad("users 33", false, ERR_INPUT);
	bad("freeze", false, ERR_INPUT);
	bad("freeze 33 34", false, ERR_INPUT);
	bad("thaw -1", false, ERR_INPUT);
	bad("purge all", false, ERR_INPUT);
	bad("purge 4294967295", false, ERR_INPUT);
	bad("purge www-data", false, ERR_INPUT);	/* posthousectl looks names up */
	bad("probe main backup", false, ERR_INPUT);
}

#define SPEND TOLL_PER_SECOND	/* for a second */

static void
test_toll(void **state)
{
	struct toll t = { 0 };
	int64_t now = 1000000;

	/* One who asks now and then does not wait, whatever it costs. */
	for (int i = 0; i < 10; i++, now += 4100)
		assert_int_equal(toll_pay(&t, 1000, 4 * SPEND, now), 0);
	/* One who does not let go, and more than that. */
	assert_int_equal(toll_pay(&t, 1000, 4 * SPEND, now), 0);
	assert_int_equal(toll_pay(&t, 1001, 4 * SPEND, now), 0);
	for (int64_t wait = 4001; wait <= TOLL_WAIT_MS; wait += 4001)
		assert_int_equal(toll_pay(&t, 1000, 4 * SPEND, now), wait);
	for (int i = 0; i < 100; i++)
		assert_int_equal(toll_pay(&t, 1000, 4 * SPEND, now), -1);
	/* What was refused costs nothing, and others pay for themselves. */
	assert_int_equal(toll_pay(&t, 1000, 1, now + 4100), 15905);
	assert_int_equal(toll_pay(&t, 1001, 1, now + 4100), 0);
}

/* Many users: who spends is not forgotten for those who have done. */
static void
test_toll_of_many(void **state)
{
	struct toll t = { 0 };
	int64_t now = 1000000;

	for (int64_t uid = 1; uid < TOLL_USERS; uid++)
		assert_int_equal(toll_pay(&t, uid, 10 * SPEND, now), 0);
	for (int64_t uid = 5000; uid < 5100; uid++)
		assert_int_equal(toll_pay(&t, uid, 1, ++now), 0);
	for (int64_t uid = 1; uid < TOLL_USERS; uid++)
		assert_true(toll_pay(&t, uid, 1, now) > 9000);
}

/* The status socket is open to everybody: nothing that changes or shows mail. */
static void
test_read_only_socket_refuses_the_rest(void **state)
{
	bad("explain 00000198f2a4c711", true, ERR_DENIED);
	bad("cat 00000198f2a4c711", true, ERR_DENIED);
	bad("flush", true, ERR_DENIED);
	bad("hold all", true, ERR_DENIED);
	bad("release all", true, ERR_DENIED);
	bad("remove all", true, ERR_DENIED);
	bad("probe", true, ERR_DENIED);
	bad("unblock", true, ERR_DENIED);
	bad("unblock main", true, ERR_DENIED);
	bad("reload", true, ERR_DENIED);
	bad("users", true, ERR_DENIED);
	bad("freeze 33", true, ERR_DENIED);
	bad("thaw 33", true, ERR_DENIED);
	bad("purge 33", true, ERR_DENIED);
}

static void
say_something(struct report *r)
{
	report_word(r, "version", "1.0");
	report_num(r, "pid", 42);
	report_time(r, "started", 0);
	report_object(r, "queue");
	report_size(r, "bytes", 2560);
	report_bool(r, "ok", true);
	report_end(r);
	report_list(r, "ports");
	for (int i = 0; i < 2; i++) {
		report_row(r);
		report_num(r, "port", i == 0 ? 587 : 25);
		report_duration(r, "ready_ms", i == 0 ? 1500 : -1);
		report_hide(r);
		report_word(r, "advice", "none");
		report_show(r);
		report_text(r, "why", view_str(i == 0 ? "a \"b\"\x1b[2J" : ""));
		report_end(r);
	}
	report_end(r);
}

static void
test_report_as_json(void **state)
{
	struct report r;
	struct buf b;

	buf_init(&b, 4096);
	report_begin(&r, &b, true);
	say_something(&r);
	assert_true(report_finish(&r));
	assert_string_equal(buf_cstr(&b),
	    "{\"version\":\"1.0\",\"pid\":42,\"started\":null,\"queue\":{\"bytes\":2560,\"ok\":true},"
	    "\"ports\":[{\"port\":587,\"ready_ms\":1500,\"advice\":\"none\",\"why\":\"a \\\"b\\\"\\u001b[2J\"},"
	    "{\"port\":25,\"ready_ms\":null,\"advice\":\"none\",\"why\":\"\"}]}\n");
	buf_done(&b);
}

static void
test_report_as_text(void **state)
{
	struct report r;
	struct buf b;

	buf_init(&b, 4096);
	report_begin(&r, &b, false);
	say_something(&r);
	assert_true(report_finish(&r));
	assert_string_equal(buf_cstr(&b),
	    "version:           1.0\n"
	    "pid:               42\n"
	    "started:           -\n"
	    "queue\n"
	    "  bytes:             2.5 KiB\n"
	    "  ok:                yes\n"
	    "PORT  READY  WHY\n"
	    "587   1s     a \"b\"\\x1b[2J\n"
	    "25    -      \n");
	buf_done(&b);
}

static void
test_report_tells_when_it_is_cut(void **state)
{
	struct report r;
	struct buf b;

	buf_init(&b, 40);
	report_begin(&r, &b, true);
	say_something(&r);
	assert_false(report_finish(&r));
	buf_done(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_toll),
		cmocka_unit_test(test_toll_of_many),
		cmocka_unit_test(test_read_only_socket_refuses_the_rest),
		cmocka_unit_test(test_report_as_json),
		cmocka_unit_test(test_report_as_text),
		cmocka_unit_test(test_report_tells_when_it_is_cut),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
