/* SPDX-License-Identifier: BSD-2-Clause */
/* What relay does when ports, connections, replies and processes fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "handover/frame.h"
#include "sim/world.h"

#define ALICE	"alice@shop.example.com"
#define BOB	"bob@example.net"

static int
setup(void **state)
{
	struct world *w = xzalloc(sizeof(*w));

	world_init(w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < PORTS; i++)
		assert_int_equal(w->port[i].secrets_in_clear, 0);
	world_done(w);
	free(w);
	return 0;
}

static int64_t
now(const struct world *w)
{
	return w->loop.mono_ms;
}

static void
mail_many(struct world *w, unsigned n, const char *prefix)
{
	char text[40];

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%s%04u.", prefix, i);
		world_mail(w, ALICE, BOB, text);
	}
}

/* Each of them arrived, and how often all in all. */
static unsigned
count_many(struct world *w, unsigned n, const char *prefix)
{
	char text[40];
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned k;

		snprintf(text, sizeof(text), "%s%04u.", prefix, i);
		k = world_count(w, text);
		assert_true(k >= 1);
		sum += k;
	}
	return sum;
}

/* --- the good days ------------------------------------------------------------------ */

static void
mail_arrives_by_the_first_port(void **state)
{
	struct world *w = *state;
	const struct taken *t;

	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_int_equal(w->durable, 1);
	assert_true(world_settle(w, SECONDS(1)));
	assert_int_equal(w->port[P587].ntaken, 1);
	t = list_entry(w->port[P587].taken.next, struct taken, link);
	assert_string_equal(t->from, ALICE);
	assert_string_equal(t->rcpts, " " BOB " ");
	assert_true(view_starts(buf_view(&t->text), VIEW("Received: ")));
	assert_int_equal(world_logged(w, "delivered", "code=250"), 1);
	world_run(w, MINUTES(1));
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(1)));
	assert_int_equal(world_logged(w, "route-changed", "smtp.twin.example:587"), 1);
}

static void
sessions_are_reused(void **state)
{
	struct world *w = *state;

	world_start(w);
	mail_many(w, 200, "reuse-");
	assert_true(world_settle(w, SECONDS(60)));
	assert_int_equal(count_many(w, 200, "reuse-"), 200);
	/* 50 messages a session; the standby ports are probed, and idle sessions quit. */
	assert_true(w->port[P587].sessions <= 10);
	world_run(w, MINUTES(2));
	assert_int_equal(w->port[P587].sessions, w->port[P587].quits);
}

static void
big_messages_flow_in_bounded_memory(void **state)
{
	struct world *w = *state;
	uint64_t number;
	size_t total = 0, size = 5u << 20;
	uint8_t *chunk = xzalloc(65536);

	for (size_t i = 0; i < 65536; i += 64)
		snprintf((char *)chunk + i, 64, "%061zu\r\n", i);
	for (size_t i = 63; i < 65536; i += 64)
		chunk[i] = ' ';
	world_start(w);
	world_run(w, 100);
	number = world_open(w, ALICE, BOB);
	while (total < size) {
		/* As intake does: never more than the window. */
		while (total + 65536 > (256u << 10) + w->credit)
			world_run(w, 10);
		world_chunk(w, number, view_of(chunk, 65536));
		total += 65536;
	}
	world_commit(w, number, total);
	assert_true(world_settle(w, SECONDS(60)) || w->durable == 0);
	world_run(w, SECONDS(10));
	assert_int_equal(w->durable, 1);
	assert_int_equal(world_taken(w), 1);
	assert_true(buf_len(&list_entry(w->port[P587].taken.next, struct taken, link)->text) >= total);
	free(chunk);
}

/* --- ports that fail ------------------------------------------------------------------- */

static void
dead_first_port_costs_about_a_second(enum twin_mode mode, struct world *w)
{
	int64_t began;

	w->port[P587].ep->mode = mode;
	world_start(w);
	began = now(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(2)));
	assert_true(now(w) - began <= 1200);
	assert_int_equal(w->port[P465].ntaken, 1);
	/* And the next ones nothing at all. */
	began = now(w);
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(2)));
	assert_true(now(w) - began <= 300);
	assert_int_equal(w->port[P465].ntaken, 2);
}

static void
refused_first_port(void **state)
{
	dead_first_port_costs_about_a_second(TWIN_REFUSE, *state);
}

static void
filtered_first_port(void **state)
{
	dead_first_port_costs_about_a_second(TWIN_SILENT, *state);
}

static void
mute_first_port(void **state)
{
	dead_first_port_costs_about_a_second(TWIN_MUTE, *state);
}

static void
two_dead_ports(void **state)
{
	struct world *w = *state;

	w->port[P587].ep->mode = TWIN_SILENT;
	w->port[P465].ep->tls = STREAM_TLS_EXPIRED;
	world_start(w);
	mail_many(w, 20, "two-");
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(count_many(w, 20, "two-"), 20);
	assert_int_equal(w->port[P2525].ntaken, 20);
	assert_int_equal(w->port[P465].logins, 0);
}

static void
every_fault_at_the_first_port(void **state)
{
	static const struct {
		struct fault		fault;
		enum stream_end_kind	tls;
		bool			no_starttls, no_auth;
		const char		*class;
	} cases[] = {
		{ .fault = { AT_GREETING, SAY, "421 4.3.2 later", ALWAYS }, .class = "banner_4xx" },
		{ .fault = { AT_GREETING, SAY, "554 go away", ALWAYS }, .class = "banner_5xx" },
		{ .fault = { AT_GREETING, SAY, "HTTP/1.1 400 Bad Request", ALWAYS }, .class = "not_smtp" },
		{ .fault = { AT_GREETING, CUT, NULL, ALWAYS }, .class = "no_banner" },
		{ .fault = { AT_EHLO, SAY, "550 no", ALWAYS }, .class = "ehlo_refused" },
		{ .fault = { AT_STARTTLS, SAY, "454 4.7.0 not now", ALWAYS }, .class = "starttls_refused" },
		{ .no_starttls = true, .class = "starttls_missing" },
		{ .no_auth = true, .class = "auth_missing" },
		{ .tls = STREAM_TLS_NAME, .class = "tls_name" },
		{ .tls = STREAM_TLS_EXPIRED, .class = "tls_expired" },
		{ .tls = STREAM_TLS_UNTRUSTED, .class = "tls_untrusted" },
		{ .tls = STREAM_TLS_HANDSHAKE, .class = "tls_handshake" },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct world *w = xzalloc(sizeof(*w));
		void *again = w;

		world_init(w);
		if (cases[i].fault.times != 0)
			smarthost_fault(&w->port[P587], cases[i].fault);
		w->port[P587].no_starttls = cases[i].no_starttls;
		w->port[P587].no_auth = cases[i].no_auth;
		w->port[P587].ep->tls = cases[i].tls != 0 ? cases[i].tls : STREAM_EOF;
		world_start(w);
		world_mail(w, ALICE, BOB, "hello-1.");
		if (!world_settle(w, SECONDS(20)))
			fail_msg("%s: the message is still there", cases[i].class);
		assert_int_equal(w->port[P587].ntaken, 0);
		assert_int_equal(world_taken(w), 1);
		if (world_logged(w, "probe", cases[i].class) + world_logged(w, "attempt-failed",
		    cases[i].class) == 0)
			fail_msg("%s is not in the log", cases[i].class);
		(void)teardown(&again);
	}
}

static void
a_port_that_falls_silent_is_left_soon(void **state)
{
	struct world *w = *state;
	int64_t began;

	world_start(w);
	world_mail(w, ALICE, BOB, "warm.");
	world_run(w, MINUTES(2));
	w->port[P587].ep->mode = TWIN_MUTE;	/* accepts, and never greets */
	began = now(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(30)));
	assert_true(now(w) - began <= SECONDS(20));
	assert_int_equal(world_logged(w, "attempt-failed", "no_banner"), 1);
}

static void
a_lone_slow_port_gets_its_time(void **state)
{
	struct world *w = *state;

	w->conf.relay.nendpoint = 1;
	world_start(w);
	world_mail(w, ALICE, BOB, "warm.");
	world_run(w, MINUTES(2));
	w->port[P587].ep->delay_ms = SECONDS(14);	/* 28 s for each answer */
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, MINUTES(10)));
	assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
}

static void
port_that_dies_under_traffic(void **state)
{
	struct world *w = *state;

	world_start(w);
	mail_many(w, 20, "before-");
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(w->port[P587].ntaken, 20);
	/* Nothing gets through any more: the sessions there are do not hear of it. */
	w->port[P587].ep->mode = TWIN_SILENT;
	twin_endpoint_cut(w->port[P587].ep);
	mail_many(w, 20, "after-");
	assert_true(world_settle(w, SECONDS(40)));
	assert_int_equal(count_many(w, 20, "after-"), 20);
	assert_int_equal(w->port[P587].ntaken, 20);
	assert_int_equal(world_logged(w, "bounced", ""), 0);
}

static void
all_dead_for_two_hours(void **state)
{
	struct world *w = *state;
	struct spool_message *m;
	size_t pos = 0;

	world_start(w);
	world_mail(w, ALICE, BOB, "first.");
	assert_true(world_settle(w, SECONDS(5)));
	world_all(w, TWIN_SILENT);
	for (int i = 0; i < PORTS; i++)
		twin_endpoint_cut(w->port[i].ep);
	mail_many(w, 50, "wait-");
	world_run(w, HOURS(2));
	assert_int_equal(world_queued(w), 50);
	while ((m = spool_next(relay_spool(w->relay), &pos)) != NULL)
		assert_int_equal(m->attempts, 0);
	assert_true(w->net.connects < 2 * 90 + 40);
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(count_many(w, 50, "wait-"), 50);
	assert_int_equal(world_logged(w, "deferred", "why=deferred"), 0);
}

static void
name_server_down_keeps_mail(void **state)
{
	struct world *w = *state;

	w->net.dns_down = true;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(1));
	assert_int_equal(world_queued(w), 1);
	w->net.dns_down = false;
	assert_true(world_settle(w, MINUTES(6)));
	assert_int_equal(world_logged(w, "bounced", ""), 0);
}

static void
a_hiccup_does_not_take_a_lone_port_down(void **state)
{
	struct world *w = *state;

	w->conf.relay.nendpoint = 1;
	world_start(w);
	world_mail(w, ALICE, BOB, "warm.");
	world_run(w, MINUTES(2));
	smarthost_fault(&w->port[P587], (struct fault){ AT_GREETING, SAY, "421 4.3.2 not now", ALWAYS });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(3));
	assert_in_range(world_logged(w, "attempt-failed", "banner_4xx"), 2, 4);
	smarthost_heal(&w->port[P587]);
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(world_logged(w, "endpoint-down", ""), 0);
}

static void
both_families_are_tried(void **state)
{
	struct world *w = *state;

	twin_net_forget_host(&w->net, "smtp.twin.example");
	twin_net_host(&w->net, "smtp.twin.example", "2001:db8::1");
	twin_net_host(&w->net, "smtp.twin.example", "192.0.2.9");
	twin_net_host(&w->net, "smtp.twin.example", "192.0.2.1");
	twin_net_endpoint(&w->net, "[2001:db8::1]:587")->mode = TWIN_SILENT;
	twin_net_endpoint(&w->net, "[2001:db8::1]:465")->mode = TWIN_NO_ROUTE;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(2)));
	assert_int_equal(w->port[P587].ntaken, 1);
}

/* --- the account ------------------------------------------------------------------------ */

static void
refused_login_is_tried_once(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], (struct fault){ AT_AUTH, SAY,
		    "535 5.7.8 Authentication credentials invalid", ALWAYS });
	world_start(w);
	mail_many(w, 10, "login-");
	world_run(w, MINUTES(50));
	assert_int_equal(world_logins(w), 1);
	assert_int_equal(world_queued(w), 10);
	assert_int_equal(world_logged(w, "bounced", ""), 0);
	/* The operator mends it. */
	for (int i = 0; i < PORTS; i++)
		smarthost_heal(&w->port[i]);
	relay_unblock(w->relay);
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 10, "login-"), 10);
}

static void
a_password_that_went_bad_is_tried_once(void **state)
{
	struct world *w = *state;
	unsigned before;

	world_start(w);
	world_burst(w, 20, "good-");
	assert_true(world_settle(w, SECONDS(20)));
	world_run(w, MINUTES(12));		/* all sessions are closed by now */
	before = world_logins(w);
	assert_true(before >= 2);
	for (int i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], (struct fault){ AT_AUTH, SAY, "535 5.7.8 expired", ALWAYS });
	world_burst(w, 20, "bad-");
	world_run(w, MINUTES(50));
	assert_int_equal(world_logins(w), before + 1);
	assert_int_equal(world_queued(w), 20);
}

static void
login_demanded_in_the_transaction_keeps_mail(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], (struct fault){ AT_MAIL, SAY,
		    "530 5.7.0 Authentication required", ALWAYS });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(3));
	assert_int_equal(world_queued(w), 1);
	assert_int_equal(world_logged(w, "bounced", ""), 0);
}

static void
throttle_slows_down(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, SAY,
	    "454 Throttling failure: Maximum sending rate exceeded.", 6 });
	world_start(w);
	mail_many(w, 20, "slow-");
	world_run(w, MINUTES(10));
	assert_int_equal(world_queued(w), 0);
	assert_int_equal(count_many(w, 20, "slow-"), 20);
	assert_int_equal(w->port[P587].ntaken, 20);	/* no other port */
	assert_int_equal(world_logged(w, "bounced", ""), 0);
}

static void
a_throttled_account_is_not_hammered(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], (struct fault){ AT_MAIL, SAY,
		    "454 4.7.0 Throttling failure: Daily message quota exceeded.", ALWAYS });
	world_start(w);
	world_burst(w, 50, "quota-");
	world_run(w, MINUTES(30));
	assert_true(world_logged(w, "deferred", "") <= 40);
	assert_int_equal(world_queued(w), 50);
}

static void
ports_that_greet_badly_are_not_hammered(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], (struct fault){ AT_GREETING, SAY, "421 4.3.2 not now", ALWAYS });
	world_start(w);
	world_burst(w, 50, "greet-");
	world_run(w, HOURS(1));
	assert_true(w->net.connects <= 200);
	for (int i = 0; i < PORTS; i++)
		smarthost_heal(&w->port[i]);
	assert_true(world_settle(w, MINUTES(10)));
	assert_int_equal(count_many(w, 50, "greet-"), 50);
}

/* --- replies at each step ------------------------------------------------------------------ */

static void
temporary_replies_are_retried(void **state)
{
	static const enum step steps[] = { AT_MAIL, AT_RCPT, AT_DATA, AT_DOT };

	for (size_t i = 0; i < lengthof(steps); i++) {
		struct world *w = xzalloc(sizeof(*w));
		void *again = w;

		world_init(w);
		smarthost_fault(&w->port[P587], (struct fault){ steps[i], SAY, "451 4.3.0 greylisted", 2 });
		world_start(w);
		world_mail(w, ALICE, BOB, "hello-1.");
		world_run(w, SECONDS(40));
		assert_int_equal(world_queued(w), 1);
		assert_true(world_settle(w, MINUTES(5)));
		assert_int_equal(w->port[P587].ntaken, 1);
		assert_int_equal(world_logged(w, "deferred", "code=451"), 2);
		assert_int_equal(w->port[P465].ntaken + w->port[P2525].ntaken, 0);
		(void)teardown(&again);
	}
}

static void
permanent_replies_are_reported(void **state)
{
	static const enum step steps[] = { AT_MAIL, AT_RCPT, AT_DATA, AT_DOT };

	for (size_t i = 0; i < lengthof(steps); i++) {
		struct world *w = xzalloc(sizeof(*w));
		const struct taken *t;
		void *again = w;

		world_init(w);
		smarthost_fault(&w->port[P587], (struct fault){ steps[i], SAY, "550 5.7.1 no such luck", 1 });
		world_start(w);
		world_mail(w, ALICE, BOB, "hello-1.");
		assert_true(world_settle(w, SECONDS(20)));
		/* One report, to the sender, and the message went nowhere else. */
		assert_int_equal(world_taken(w), 1);
		t = list_entry(w->port[P587].taken.next, struct taken, link);
		assert_string_equal(t->from, "");
		assert_string_equal(t->rcpts, " " ALICE " ");
		assert_true(view_search(buf_view(&t->text), VIEW("no such luck")) < buf_len(&t->text));
		assert_int_equal(world_logged(w, "bounced", "code=550"), 1);
		(void)teardown(&again);
	}
}

static void
reports_of_local_senders_go_to_admin(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 unknown", ALWAYS, BOB });
	world_start(w);
	world_mail(w, "www-data@web1.example.com", BOB, "hello-1.");
	world_mail(w, "www-data@web1", BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(w->port[P587].ntaken, 2);
	list_foreach(link, &w->port[P587].taken)
		assert_string_equal(list_entry(link, struct taken, link)->rcpts, " admin@example.com ");
}

static void
intake_makes_no_reports(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 unknown", ALWAYS, BOB });
	w->as_report = true;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_logged(w, "reported", "report_to=\"" ALICE "\""), 1);
}

static void
a_report_is_never_reported(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 unknown", ALWAYS });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_mail(w, "", BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_taken(w), 0);
	assert_int_equal(world_logged(w, "report-dropped", ""), 2);
}

static void
each_recipient_has_its_own_fate(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 unknown", ALWAYS, "bad@" });
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 2, "later@" });
	world_start(w);
	world_mail(w, ALICE, "good@example.net bad@example.net later@example.net", "hello-1.");
	world_run(w, SECONDS(30));
	assert_int_equal(world_queued(w), 1);
	assert_true(world_settle(w, MINUTES(10)));
	/* good once, later once, and one report for bad */
	assert_int_equal(world_count(w, "hello-1."), 2);
	assert_int_equal(world_taken(w), 3);
	assert_int_equal(world_logged(w, "delivered", "good@"), 1);
	assert_int_equal(world_logged(w, "delivered", "later@"), 1);
	assert_int_equal(world_logged(w, "bounced", ""), 1);
}

static void
many_recipients_go_in_portions(void **state)
{
	struct world *w = *state;
	char *rcpts = xzalloc(20000);
	size_t at = 0;

	w->conf.relay.recipients_per_message = 10;
	for (int i = 0; i < 95; i++)
		at += (size_t)snprintf(rcpts + at, 20000 - at, "%sr%03d@example.net", i != 0 ? " " : "", i);
	/* The server's own limit is lower still, some of the time. */
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "452 4.5.3 too many recipients", 7,
	    "9@" });
	world_start(w);
	world_mail(w, ALICE, rcpts, "hello-1.");
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_logged(w, "delivered", ""), 95);
	assert_true(w->port[P587].ntaken >= 10);
	free(rcpts);
}

/* --- connections that are cut --------------------------------------------------------------- */

static void
cut_before_the_dot_moves_on(void **state)
{
	static const enum step steps[] = { AT_MAIL, AT_RCPT, AT_DATA, AT_BODY };

	for (size_t i = 0; i < lengthof(steps); i++) {
		struct world *w = xzalloc(sizeof(*w));
		void *again = w;

		world_init(w);
		world_start(w);
		world_mail(w, ALICE, BOB, "warm.");
		assert_true(world_settle(w, SECONDS(5)));
		smarthost_fault(&w->port[P587], (struct fault){ steps[i], CUT, NULL, ALWAYS });
		world_mail(w, ALICE, BOB, "hello-1.");
		assert_true(world_settle(w, SECONDS(20)));
		assert_int_equal(world_count(w, "hello-1."), 1);
		assert_int_equal(world_logged(w, "deferred", "why=cut"), 1);
		(void)teardown(&again);
	}
}

static void
a_long_text_is_out_before_its_dot(void **state)
{
	struct world *w = *state;
	uint8_t *big = xzalloc(60000);
	uint64_t n;

	for (size_t i = 0; i < 60000; i++)
		big[i] = i % 60 == 58 ? '\r' : i % 60 == 59 ? '\n' : 'x';
	world_start(w);
	world_mail(w, ALICE, BOB, "warm.");
	assert_true(world_settle(w, SECONDS(5)));
	/* The server stops reading in the middle of the text. */
	smarthost_fault(&w->port[P587], (struct fault){ AT_BODY, DEAF, NULL, 1 });
	n = world_open(w, ALICE, BOB);
	for (int i = 0; i < 3; i++)
		world_chunk(w, n, view_of(big, 60000));
	world_commit(w, n, 180000);
	world_run(w, SECONDS(60));
	twin_endpoint_reset(w->port[P587].ep);
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
	assert_int_equal(world_logged(w, "deferred", "why=cut"), 1);
	free(big);
}

static void
cut_after_the_dot_is_uncertain(void **state)
{
	struct world *w = *state;

	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_AND_CUT, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(14));
	assert_int_equal(world_queued(w), 1);
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "uncertain", ""), 1);
	assert_true(world_settle(w, MINUTES(3)));
	assert_int_equal(world_count(w, "hello-1."), 2);	/* the one repeat that SMTP makes unavoidable */
}

static void
the_dot_waits_for_the_mark(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	w->commit.stalled = true;		/* the disk is slow */
	world_run(w, SECONDS(20));
	assert_int_equal(w->port[P587].transactions, 1);
	assert_int_equal(world_taken(w), 0);
	w->commit.stalled = false;
	twin_worker_kick(&w->commit);
	assert_true(world_settle(w, SECONDS(1)));
	assert_int_equal(world_taken(w), 1);
}

static void
a_421_is_an_answer(void **state)
{
	static const enum step steps[] = { AT_MAIL, AT_RCPT, AT_DATA, AT_DOT };

	for (size_t i = 0; i < lengthof(steps); i++) {
		struct world *w = xzalloc(sizeof(*w));
		void *again = w;

		world_init(w);
		world_start(w);
		world_mail(w, ALICE, BOB, "warm.");
		assert_true(world_settle(w, SECONDS(5)));
		smarthost_fault(&w->port[P587], (struct fault){ steps[i], SAY, "421 4.3.2 closing", 1 });
		world_mail(w, ALICE, BOB, "hello-1.");
		assert_true(world_settle(w, MINUTES(2)));
		assert_int_equal(world_logged(w, "uncertain", ""), 0);
		assert_int_equal(world_logged(w, "deferred", "code=421"), 1);
		assert_int_equal(world_count(w, "hello-1."), 1);
		(void)teardown(&again);
	}
}

static void
a_slow_answer_to_the_dot_is_awaited(void **state)
{
	struct world *w = *state;

	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_SILENTLY, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(9));
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
	world_run(w, MINUTES(2));
	assert_int_equal(world_logged(w, "uncertain", ""), 1);
}

static void
one_stuck_message_holds_up_nobody(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_mail(w, ALICE, BOB, "warm.");
	assert_true(world_settle(w, SECONDS(5)));
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, MUTE, NULL, 1 });
	mail_many(w, 20, "free-");
	world_run(w, SECONDS(5));
	assert_true(world_queued(w) <= 1);
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(count_many(w, 20, "free-"), 20);
}

static void
a_message_that_ends_every_connection_is_charged(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], (struct fault){ AT_RCPT, CUT, NULL, ALWAYS, "poison@" });
	world_start(w);
	world_mail(w, ALICE, "poison@example.net", "poison.");
	mail_many(w, 5, "good-");
	world_run(w, MINUTES(30));
	assert_int_equal(count_many(w, 5, "good-"), 5);
	assert_int_equal(world_queued(w), 1);
	assert_true(world_logged(w, "deferred", "poison@") <= 15);
}

/* --- restarts ------------------------------------------------------------------------------- */

static void
killed_relay_loses_nothing(void **state)
{
	struct world *w = *state;

	for (unsigned round = 0; round < 20; round++) {
		char prefix[20];
		unsigned before;

		if (w->relay == NULL)
			world_start(w);
		snprintf(prefix, sizeof(prefix), "kill%02u-", round);
		mail_many(w, 10, prefix);
		assert_int_equal(w->durable, 10);
		world_run(w, (int64_t)rng_below(&w->rng, 300));
		world_crash(w, round % 3 == 0 ? TWIN_KEEP_SYNCED : round % 3 == 1 ? TWIN_KEEP_ALL : TWIN_KEEP_SOME);
		assert_true(world_settle(w, MINUTES(40)));
		before = count_many(w, 10, prefix);
		assert_true(before <= 20);
		world_crash(w, TWIN_KEEP_ALL);
		world_run(w, SECONDS(5));
		assert_int_equal(count_many(w, 10, prefix), before);
	}
}

static void
killed_before_the_reply_is_uncertain(void **state)
{
	struct world *w = *state;

	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_SILENTLY, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(5));
	assert_int_equal(world_count(w, "hello-1."), 1);
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, MINUTES(14));
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "uncertain", "stopped-before"), 1);
	assert_true(world_settle(w, MINUTES(3)));
	assert_int_equal(world_count(w, "hello-1."), 2);
}

static void
drained_relay_leaves_the_rest_for_the_next(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_all(w, TWIN_REFUSE);
	mail_many(w, 10, "rest-");
	world_stop(w);
	world_all(w, TWIN_ACCEPT);
	world_start(w);
	world_run(w, SECONDS(1));
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 10, "rest-"), 10);
}

static void
drain_waits_for_what_is_being_sent(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_mail(w, ALICE, BOB, "warm.");
	assert_true(world_settle(w, SECONDS(5)));
	mail_many(w, 10, "run-");
	world_stop(w);
	world_start(w);
	world_run(w, SECONDS(1));
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 10, "run-"), 10);	/* none twice */
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
}

/* What is open when relay is replaced ends well; what would come behind waits for the next one. */
static void
drain_refuses_nothing(void **state)
{
	struct world *w = *state;
	uint64_t slow, crossed;

	world_start(w);
	world_run(w, 100);
	slow = world_open(w, ALICE, BOB);
	world_chunk(w, slow, VIEW("Subject: x\r\n\r\n"));
	world_run(w, 100);
	world_drain(w);
	crossed = world_open(w, ALICE, BOB);	/* before intake has read PAUSE */
	world_run(w, SECONDS(1));
	assert_true(w->paused);
	assert_false(w->drained);
	world_commit(w, crossed, 0);
	world_run(w, SECONDS(1));
	assert_int_equal(w->durable, 1);
	assert_false(w->drained);
	world_chunk(w, slow, VIEW("slow.\r\n"));
	world_commit(w, slow, 21);
	world_run(w, SECONDS(1));
	assert_int_equal(w->durable, 2);
	assert_int_equal(w->refused, 0);
	assert_true(w->drained);
}

/* Relay has nothing open, but an OPEN may be on its way: only intake's answer says that none is. */
static void
drain_waits_for_the_answer_to_its_pause(void **state)
{
	struct world *w = *state;

	w->ignores_pause = true;
	world_start(w);
	world_run(w, 100);
	world_drain(w);
	world_run(w, SECONDS(1));
	assert_true(w->paused);
	assert_false(w->drained);
	world_mail(w, ALICE, BOB, "late.");
	assert_int_equal(w->refused, 0);
	world_frame(w, FRAME_PAUSE, 0, VIEW(""));
	world_run(w, SECONDS(1));
	assert_true(w->drained);
}

static void
a_pause_has_an_end(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_run(w, 100);
	(void)world_open(w, ALICE, BOB);	/* and never a COMMIT */
	world_run(w, 100);
	world_drain(w);
	world_run(w, w->conf.drain_ms / 2 - 1000);
	assert_int_equal(w->refused, 0);
	world_run(w, 1500);
	assert_int_equal(w->refused, 1);
	assert_true(view_starts(view_str(w->refusal), VIEW("451 4.3.2 Restarting")));
	assert_true(w->drained);
}

static void
a_drain_asks_the_next_intake_too(void **state)
{
	struct world *w = *state;

	w->ignores_pause = true;
	world_start(w);
	world_run(w, 100);
	world_drain(w);
	world_run(w, 100);
	w->paused = w->ignores_pause = false;
	world_new_intake(w);
	world_run(w, SECONDS(1));
	assert_true(w->paused);
	assert_true(w->drained);
}

static void
intake_may_not_break_its_pause(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_run(w, 100);
	world_frame(w, FRAME_PAUSE, 0, VIEW(""));	/* not asked for */
	world_run(w, 100);
	assert_null(w->intake);
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, 100);
	(void)world_open(w, ALICE, BOB);		/* keeps relay from being drained at once */
	world_run(w, 100);
	world_drain(w);
	world_run(w, 100);
	assert_true(w->paused);
	(void)world_open(w, ALICE, BOB);
	world_run(w, 100);
	assert_null(w->intake);
	assert_int_equal(world_logged(w, "handover-fault", ""), 2);
}

/* --- age --------------------------------------------------------------------------------------- */

static void
old_messages_expire_and_are_reported(void **state)
{
	struct world *w = *state;

	w->conf.queue.expire_ms = HOURS(6);
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", ALWAYS, BOB });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(5));
	assert_int_equal(world_queued(w), 1);
	assert_true(world_settle(w, HOURS(2)));
	assert_int_equal(world_logged(w, "expired", "reply=\"busy\""), 1);
	assert_int_equal(world_taken(w), 1);
	assert_string_equal(list_entry(w->port[P587].taken.next, struct taken, link)->rcpts, " " ALICE " ");
}

static void
a_jumping_clock_expires_nothing(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_mail(w, ALICE, BOB, "warm.");
	assert_true(world_settle(w, SECONDS(5)));
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 6, BOB });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(2));
	w->loop.wall_ms += DAYS(3650);
	world_run(w, MINUTES(2));
	/* And while relay is not there to see it. */
	w->loop.wall_ms += DAYS(3650);
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, MINUTES(5));
	assert_int_equal(world_queued(w), 1);
	assert_true(world_settle(w, HOURS(3)));
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "expired", ""), 0);
}

static void
an_outage_longer_than_life_is_reported_after_it(void **state)
{
	struct world *w = *state;

	w->conf.queue.expire_ms = HOURS(6);
	world_all(w, TWIN_REFUSE);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(8));
	assert_int_equal(world_logged(w, "expired", ""), 1);
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(10)));
	assert_int_equal(world_taken(w), 1);	/* the report */
	assert_int_equal(world_count(w, "hello-1."), 0);
}

/* --- the administrator ----------------------------------------------------------------------- */

static void
held_flushed_and_removed(void **state)
{
	struct world *w = *state;
	struct spool_message *m;
	size_t pos = 0;
	struct err e;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 1, BOB });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(5));
	m = spool_next(relay_spool(w->relay), &pos);
	assert_non_null(m);
	relay_hold(w->relay, m, true);
	world_run(w, HOURS(10));
	assert_int_equal(world_queued(w), 1);
	world_crash(w, TWIN_KEEP_ALL);		/* it stays held */
	world_run(w, HOURS(1));
	assert_int_equal(world_queued(w), 1);
	pos = 0;
	m = spool_next(relay_spool(w->relay), &pos);
	relay_hold(w->relay, m, false);
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(world_count(w, "hello-1."), 1);

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 2, BOB });
	world_mail(w, ALICE, BOB, "hello-2.");
	world_mail(w, ALICE, BOB, "hello-3.");
	world_run(w, SECONDS(5));
	assert_int_equal(world_queued(w), 2);
	pos = 0;
	assert_int_equal(relay_remove(w->relay, spool_next(relay_spool(w->relay), &pos), &e), 0);
	relay_flush(w->relay);
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(world_count(w, "hello-2.") + world_count(w, "hello-3."), 1);
}

/* --- a hostile intake --------------------------------------------------------------------------- */

static void
broken_frames_end_the_channel(void **state)
{
	struct world *w = *state;
	uint8_t *big = xzalloc(65536);
	uint64_t n;

	world_start(w);
	world_run(w, 100);
	world_chunk(w, 7, VIEW("x"));			/* never opened */
	world_run(w, 100);
	assert_null(w->intake);

	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, 100);
	w->commit.stalled = true;			/* so that no credit is given */
	n = world_open(w, ALICE, BOB);
	for (int i = 0; i < 5; i++)
		world_chunk(w, n, view_of(big, 65536));	/* beyond the window */
	world_run(w, 100);
	assert_null(w->intake);

	world_crash(w, TWIN_KEEP_ALL);
	(void)world_open(w, ALICE, "bob@example.net>,SIZE=1");
	world_run(w, 100);
	assert_null(w->intake);

	world_crash(w, TWIN_KEEP_ALL);
	n = world_open(w, ALICE, BOB);
	world_commit(w, n, 0);
	world_chunk(w, n, VIEW("late"));
	world_run(w, 100);
	assert_null(w->intake);

	world_crash(w, TWIN_KEEP_ALL);
	(void)world_open(w, ALICE, BOB);
	w->number--;
	(void)world_open(w, ALICE, BOB);		/* the same number again */
	world_run(w, 100);
	assert_null(w->intake);
	assert_int_equal(world_logged(w, "handover-fault", ""), 5);
	free(big);
}

static void
mail_that_comes_in_has_bounded_memory(void **state)
{
	struct world *w = *state;
	uint8_t *big = xzalloc(60000);

	w->conf.queue.segment_size = 64u << 20;
	world_start(w);
	world_run(w, 100);
	for (int i = 0; i < 1300; i++) {	/* 74 MiB of messages that have no end */
		world_chunk(w, world_open(w, ALICE, BOB), view_of(big, 60000));
		world_run(w, 2);
	}
	assert_non_null(w->intake);
	assert_in_range(w->refused, 1300 - (64u << 20) / 60000 - 2, 1300 - (64u << 20) / 60000 + 2);
	assert_true(view_starts(view_str(w->refusal), VIEW("452 4.3.1 Too much mail")));
	free(big);
}

static void
a_wrong_size_is_refused(void **state)
{
	struct world *w = *state;
	uint64_t n;

	world_start(w);
	n = world_open(w, ALICE, BOB);
	world_chunk(w, n, VIEW("Subject: x\r\n\r\nhello\r\n"));
	world_commit(w, n, 4);
	world_run(w, 100);
	assert_int_equal(w->refused, 1);
	assert_int_equal(w->durable, 0);
	assert_int_equal(world_queued(w), 0);
}

static void
a_full_queue_is_told_and_refused(void **state)
{
	struct world *w = *state;

	w->conf.queue.messages_max = 5;
	world_all(w, TWIN_REFUSE);
	world_start(w);
	mail_many(w, 5, "full-");
	world_run(w, SECONDS(2));
	assert_true(view_starts(view_str(w->policy), VIEW("452 4.3.1 The queue is full: ")));
	world_mail(w, ALICE, BOB, "one-more.");
	assert_int_equal(w->refused, 1);
	assert_true(view_starts(view_str(w->refusal), VIEW("452 4.3.1 ")));
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(5)));
	world_run(w, SECONDS(5));
	assert_string_equal(w->policy, "");
	assert_int_equal(count_many(w, 5, "full-"), 5);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(mail_arrives_by_the_first_port),
		T(sessions_are_reused),
		T(big_messages_flow_in_bounded_memory),
		T(refused_first_port),
		T(filtered_first_port),
		T(mute_first_port),
		T(two_dead_ports),
		T(every_fault_at_the_first_port),
		T(a_port_that_falls_silent_is_left_soon),
		T(a_lone_slow_port_gets_its_time),
		T(port_that_dies_under_traffic),
		T(all_dead_for_two_hours),
		T(name_server_down_keeps_mail),
		T(a_hiccup_does_not_take_a_lone_port_down),
		T(both_families_are_tried),
		T(refused_login_is_tried_once),
		T(a_password_that_went_bad_is_tried_once),
		T(login_demanded_in_the_transaction_keeps_mail),
		T(throttle_slows_down),
		T(a_throttled_account_is_not_hammered),
		T(ports_that_greet_badly_are_not_hammered),
		T(temporary_replies_are_retried),
		T(permanent_replies_are_reported),
		T(reports_of_local_senders_go_to_admin),
		T(intake_makes_no_reports),
		T(a_report_is_never_reported),
		T(each_recipient_has_its_own_fate),
		T(many_recipients_go_in_portions),
		T(cut_before_the_dot_moves_on),
		T(a_long_text_is_out_before_its_dot),
		T(cut_after_the_dot_is_uncertain),
		T(the_dot_waits_for_the_mark),
		T(a_421_is_an_answer),
		T(a_slow_answer_to_the_dot_is_awaited),
		T(one_stuck_message_holds_up_nobody),
		T(a_message_that_ends_every_connection_is_charged),
		T(killed_relay_loses_nothing),
		T(killed_before_the_reply_is_uncertain),
		T(drained_relay_leaves_the_rest_for_the_next),
		T(drain_waits_for_what_is_being_sent),
		T(drain_refuses_nothing),
		T(drain_waits_for_the_answer_to_its_pause),
		T(a_pause_has_an_end),
		T(a_drain_asks_the_next_intake_too),
		T(intake_may_not_break_its_pause),
		T(old_messages_expire_and_are_reported),
		T(a_jumping_clock_expires_nothing),
		T(an_outage_longer_than_life_is_reported_after_it),
		T(held_flushed_and_removed),
		T(broken_frames_end_the_channel),
		T(a_wrong_size_is_refused),
		T(mail_that_comes_in_has_bounded_memory),
		T(a_full_queue_is_told_and_refused),
	};

	if (getenv("WORLD_TEST") != NULL)
		cmocka_set_test_filter(getenv("WORLD_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
