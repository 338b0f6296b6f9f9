/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports that greet, do TLS and log in, and fail at MAIL, RCPT, DATA or in the text: what probes
 * never find. Mail leaves by another port or relay, comes back, and does not flap.
 */
#include "sim/scenario.h"

#include <stdio.h>

#include "health/health_impl.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

static const struct fault faults[] = {
	{ AT_MAIL, CUT, NULL, ALWAYS },
	{ AT_RCPT, CUT, NULL, ALWAYS },
	{ AT_DATA, CUT, NULL, ALWAYS },
	{ AT_MAIL, SAY, "421 4.3.2 shutting down", ALWAYS },
	{ AT_RCPT, SAY, "421 4.3.2 shutting down", ALWAYS },
	{ AT_MAIL, SAY, "503 5.5.1 bad sequence of commands", ALWAYS },
	{ AT_RCPT, SAY, "hello?", ALWAYS },
	{ AT_MAIL, SAY, "hello?", ALWAYS },
	{ AT_DATA, SAY, "250 hm", ALWAYS },
	{ AT_BODY, CUT, NULL, ALWAYS },
};

/* In how many logins n messages go by, of which one is lost at most for each that fails. */
static int64_t
settled_after(struct world *w, unsigned n, int64_t limit)
{
	int64_t began = w->loop.mono_ms;

	world_burst(w, n, "mail-");
	if (!world_settle(w, limit))
		return INT64_MAX;
	return w->loop.mono_ms - began;
}

#define assert_soon(ms, limit, i) \
	do { \
		int64_t ms_ = (ms); \
		if (ms_ > (limit)) \
			fail_msg("fault %zu: %lld ms", (size_t)(i), (long long)ms_); \
	} while (0)

/* --- one port of three --------------------------------------------------------------- */

static void
a_port_that_takes_no_mail_is_left_at_once(void **state)
{
	for (size_t i = 0; i < lengthof(faults); i++) {
		for (int warm = 0; warm < 2; warm++) {
			struct world *w = scenario_new();

			if (warm)
				start_warm(w);
			smarthost_fault(&w->port[P587], faults[i]);
			if (!warm)
				world_start(w);
			assert_soon(settled_after(w, 10, SECONDS(20)), 3000, i);
			assert_int_equal(w->port[P587].ntaken, warm);
			assert_int_equal(world_logged(w, "attempt-failed", ""), 1);
			assert_int_equal(world_logged(w, "bounced", ""), 0);
			scenario_free(w);
		}
	}
}

/* A day with a message each two minutes: probes succeed all the time, and mail does not go back for it. */
static void
it_is_tried_at_growing_intervals(void **state)
{
	struct world *w = *state;
	unsigned tries[2];

	start_warm(w);
	smarthost_fault(&w->port[P587], faults[0]);
	for (int half = 0; half < 2; half++) {
		unsigned before = world_logged(w, "attempt-failed", "");

		for (int i = 0; i < 360; i++) {
			world_mail(w, ALICE, BOB, "day.");
			assert_true(world_settle(w, SECONDS(2)));
			world_run(w, MINUTES(2));
		}
		tries[half] = world_logged(w, "attempt-failed", "") - before;
	}
	assert_in_range(tries[0], 4, 10);
	assert_in_range(tries[1], 1, 3);
	assert_int_equal(world_logged(w, "flapping", ""), 0);
	assert_in_range(world_logged(w, "route-changed", "reason="), 3, 16);
	assert_int_equal(world_logged(w, "attempt-failed", ":465"), 0);
	/* It works again: mail is back there, by itself. */
	smarthost_heal(&w->port[P587]);
	for (int i = 0; i < 270; i++) {
		world_mail(w, ALICE, BOB, "back.");
		assert_true(world_settle(w, SECONDS(2)));
		world_run(w, MINUTES(2));
	}
	assert_true(w->port[P587].ntaken > 5);
}

/* A server that answers nonsense is no better for the probes that succeed. */
static void
nonsense_is_remembered(void **state)
{
	struct world *w = *state;

	start_warm(w);
	smarthost_fault(&w->port[P587], faults[5]);
	for (int i = 0; i < 4; i++) {
		world_mail(w, ALICE, BOB, "hello-1.");
		assert_true(world_settle(w, SECONDS(2)));
		world_run(w, SECONDS(20));
	}
	assert_int_equal(world_logged(w, "attempt-failed", "class=garbled"), 1);
}

/* One message shows whether the port takes mail again; the others do not wait for it. */
static void
a_try_holds_up_nobody(void **state)
{
	struct world *w = *state;

	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(2)));
	world_run(w, MINUTES(3));
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, MUTE, NULL, ALWAYS });
	world_burst(w, 5, "mail-");
	world_run(w, SECONDS(4));
	assert_int_equal(world_queued(w), 1);
	assert_true(world_settle(w, SECONDS(20)));
}

/* There is no other relay, and one message fails at each port: others go on. */
static void
a_message_that_is_cut_everywhere_stops_no_other(void **state)
{
	static const struct fault of_one[] = {
		{ AT_RCPT, CUT, NULL, ALWAYS, BOB },
		{ AT_RCPT, SAY, "hello?", ALWAYS, BOB },
		{ AT_RCPT, SAY, "421 4.3.2 shutting down", ALWAYS, BOB },
	};

	for (size_t i = 0; i < lengthof(of_one); i++) {
		struct world *w = scenario_new();

		start_warm(w);
		fault_everywhere(w, of_one[i]);
		world_mail(w, ALICE, BOB, "poison.");
		world_run(w, SECONDS(4));
		for (unsigned k = 1; k <= 30; k++) {
			world_mail(w, ALICE, "carol@example.net", "good.");
			world_run(w, SECONDS(15));
			assert_int_equal(world_count(w, "good."), k);
		}
		assert_int_equal(world_queued(w), 1);
		assert_int_equal(world_logged(w, "relay-down", ""), 0);
		scenario_free(w);
	}
}

/* A server that was restarted under a message: the detour ends with the first try. */
static void
one_cut_costs_a_detour_of_minutes(void **state)
{
	struct world *w = *state;
	unsigned before;

	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(2)));
	assert_int_equal(w->port[P465].ntaken, 1);
	world_run(w, MINUTES(3));
	before = w->port[P587].ntaken;
	for (int i = 0; i < 3; i++) {
		world_mail(w, ALICE, BOB, "hello-2.");
		assert_true(world_settle(w, SECONDS(2)));
		world_run(w, MINUTES(1));
	}
	assert_int_equal(w->port[P587].ntaken, before + 3);
	assert_int_equal(world_logged(w, "route-changed", ""), 1);
}

/* --- replies that do not come ------------------------------------------------------------ */

static const struct fault hangs[] = {
	{ AT_MAIL, MUTE, NULL, ALWAYS }, { AT_RCPT, MUTE, NULL, ALWAYS }, { AT_DATA, MUTE, NULL, ALWAYS },
	{ AT_AUTH, MUTE, NULL, ALWAYS }, { AT_MAIL, DRIP, NULL, ALWAYS },
};

static const char *
why_of(struct world *w, size_t i)
{
	static char text[400];
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	assert_true(health_why(relay_health(w->relay, 0), i, &b));
	(void)snprintf(text, sizeof(text), "%.*s", VIEW_ARG(buf_view(&b)));
	buf_done(&b);
	return text;
}

/* Messages that wait for nothing but this reply go elsewhere, and new ones at once. */
static void
a_hung_port_is_left_soon(void **state)
{
	for (size_t i = 0; i < lengthof(hangs); i++) {
		struct world *w = scenario_new();

		start_warm(w);
		if (hangs[i].at == AT_AUTH)
			world_run(w, MINUTES(2));	/* its session has ended */
		smarthost_fault(&w->port[P587], hangs[i]);
		assert_soon(settled_after(w, 5, SECONDS(30)), 18500, i);
		assert_int_equal(w->port[P587].ntaken, 1);
		assert_soon(settled_after(w, 5, SECONDS(30)), 1000, i);
		assert_int_equal(world_logged(w, "bounced", ""), 0);
		assert_int_equal(world_logged(w, "uncertain", ""), 0);
		scenario_free(w);
	}
}

/* A session that is kept after a refusal waits for nothing, so nobody learns from it that the server is slow. */
static void
an_idle_session_teaches_no_patience(void **state)
{
	struct world *w = *state;

	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, SAY, "550 5.7.1 not you", 1 });
	world_mail(w, ALICE, BOB, "refused.");
	world_run(w, MINUTES(2));
	smarthost_fault(&w->port[P587], hangs[0]);
	assert_soon(settled_after(w, 5, SECONDS(30)), 18500, 0);
}

/* Nothing else is there: the reply has the time that its step allows, and people see what is awaited. */
static void
a_lone_hung_port_has_its_time(void **state)
{
	struct world *w = *state;
	struct endpoint_view v;
	struct buf b;

	w->conf.relay[0].nendpoint = 1;
	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, MUTE, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(14));
	assert_null(strstr(why_of(w, P587), "waits"));
	world_run(w, SECONDS(6));
	assert_non_null(strstr(why_of(w, P587), "a session waits for the reply to mail"));
	health_endpoint(relay_health(w->relay, 0), P587, &v);
	assert_true(v.suspect);
	buf_init(&b, 200);
	assert_true(relay_why_waiting(w->relay, 0, &b));
	assert_true(view_starts(buf_view(&b), VIEW("smtp.twin.example:587 has not answered mail for ")));
	buf_done(&b);
	world_run(w, SECONDS(90));
	assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_logged(w, "attempt-failed", "no answer in time: mail"), 1);
	assert_null(strstr(why_of(w, P587), "waits"));
}

/* The other port comes back while the reply is overdue: the message need not wait any more. */
static void
a_way_that_opens_is_taken(void **state)
{
	struct world *w = *state;

	w->conf.relay[0].nendpoint = 2;
	w->port[P465].ep->mode = TWIN_REFUSE;
	start_warm(w);
	world_run(w, MINUTES(3));
	smarthost_fault(&w->port[P587], hangs[0]);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(30));
	assert_int_equal(world_queued(w), 1);
	w->port[P465].ep->mode = TWIN_ACCEPT;
	assert_int_equal(relay_probe(w->relay, VIEW(""), NULL), 0);
	relay_network_changed(w->relay, "test");
	assert_true(world_settle(w, SECONDS(12)));
	assert_int_equal(w->port[P465].ntaken, 1);
}

static void
a_relay_that_hangs_is_left(void **state)
{
	/* one port, two, three: what the last one that is tried gets is 25 s */
	static const int64_t limit_s[] = { 0, 32, 54, 72 };

	for (size_t i = 0; i < 3; i++) {
		for (unsigned n = 1; n <= PORTS; n++) {
			struct world *w = scenario_new();

			world_use_backup(w);
			w->conf.relay[0].nendpoint = n;
			start_warm(w);
			fault_everywhere(w, hangs[i]);
			world_run(w, SECONDS(5));
			assert_soon(settled_after(w, 1, MINUTES(5)), SECONDS(limit_s[n]), i);
			assert_int_equal(w->backup.ntaken, 1);
			scenario_free(w);
		}
	}
}

/* After the final dot nobody is impatient: the message may have arrived. */
static void
the_final_dot_has_ten_minutes(void **state)
{
	struct world *w = *state;

	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_SILENTLY, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(9));
	assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
}

/* A tarpit: each reply comes after so long. It is learned once, and then nobody moves any more. */
static void
slow_servers_do_not_make_mail_flap(void **state)
{
	static const struct {
		int64_t	 think_s;
		bool	 backup;
		unsigned moves;		/* at most, all day */
	} cases[] = { { 10, true, 0 }, { 20, false, 2 }, { 20, true, 2 }, { 40, false, 2 }, { 100, false, 2 } };

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct world *w = scenario_new();
		unsigned given = 1, moved;

		if (cases[i].backup)
			world_use_backup(w);
		start_warm(w);
		for (size_t k = 0; k < PORTS; k++) {
			w->port[k].think_ms = SECONDS(cases[i].think_s);
			w->port[k].think_of = "MAIL FROM";
		}
		for (int k = 0; k < 100; k++, given++) {
			world_mail(w, ALICE, BOB, "slow.");
			world_run(w, MINUTES(k % 4 == 0 ? 40 : 8));
			assert_int_equal(world_queued(w), 0);
		}
		moved = world_logged(w, "attempt-failed", "");
		if (moved > cases[i].moves)
			fail_msg("case %zu: %u attempts given up", i, moved);
		assert_int_equal(w->backup.ntaken, 0);
		assert_int_equal(world_taken(w), given);
		assert_int_equal(world_logged(w, "failover", ""), 0);
		assert_in_range(world_logged(w, "route-changed", ""), 1, 1);
		scenario_free(w);
	}
}

/* --- all ports of the first relay ------------------------------------------------------- */

static void
the_next_relay_gets_the_mail(void **state)
{
	for (size_t i = 0; i < lengthof(faults); i++) {
		for (int warm = 0; warm < 4; warm++) {
			struct world *w = scenario_new();

			world_use_backup(w);
			if (warm > 1)
				w->conf.relay[0].nendpoint = 1;
			if (warm % 2 != 0)
				start_warm(w);
			fault_everywhere(w, faults[i]);
			if (warm % 2 == 0)
				world_start(w);
			world_run(w, SECONDS(5));
			/* In the text it may be the message: six failures instead of three. */
			assert_soon(settled_after(w, faults[i].at == AT_BODY ? 3 : 1, MINUTES(10)),
			    SECONDS(20), i);
			assert_int_equal(world_logged(w, "failover", "from=main to=backup"), 1);
			scenario_free(w);
		}
	}
}

/* All day: the first relay gets a message now and then to show how it is, and the second one the rest. */
static void
the_first_relay_is_tried_at_growing_intervals(void **state)
{
	struct world *w = *state;
	unsigned logins;

	world_use_backup(w);
	start_warm(w);
	fault_everywhere(w, faults[0]);
	for (int i = 0; i < 60; i++) {
		world_mail(w, ALICE, BOB, "hour.");
		assert_true(world_settle(w, SECONDS(20)));
		world_run(w, MINUTES(1));
	}
	logins = world_logins(w);
	for (int i = 0; i < 240; i++) {
		world_mail(w, ALICE, BOB, "hours.");
		assert_true(world_settle(w, SECONDS(20)));
		world_run(w, MINUTES(1));
	}
	assert_int_equal(world_logged(w, "attempt-failed", "backup"), 0);
	assert_in_range(world_logins(w) - logins, 4, 4 * 5);
	assert_in_range(world_logged(w, "failover", "to=backup"), 4, 30);
	heal_everywhere(w);
	world_run(w, MINUTES(16));
	logins = w->backup.ntaken;
	for (int i = 0; i < 5; i++) {
		world_mail(w, ALICE, BOB, "healed.");
		assert_true(world_settle(w, SECONDS(20)));
		world_run(w, MINUTES(1));
	}
	assert_int_equal(w->backup.ntaken, logins);
}

/* There is no other way: mail is tried again and again, but nobody is hammered, and one port is enough. */
static void
without_another_way_mail_is_tried_again(void **state)
{
	for (size_t i = 0; i < lengthof(faults); i++) {
		struct world *w = scenario_new();
		unsigned before;

		start_warm(w);
		fault_everywhere(w, faults[i]);
		world_burst(w, 5, "mail-");
		for (int hour = 0; hour < 3; hour++) {
			before = world_logins(w);
			world_run(w, HOURS(1));
			assert_in_range(world_logins(w) - before, 3, 100);	/* each message has its own delay by then */
		}
		assert_int_equal(world_queued(w), 5);
		smarthost_heal(&w->port[P2525]);
		/* A message that was lost so often waits for its own time. */
		for (int k = 0; k < 10; k++) {
			world_mail(w, ALICE, BOB, "late.");
			world_run(w, MINUTES(1));
		}
		assert_true(w->port[P2525].ntaken > 0);
		assert_true(world_settle(w, HOURS(5)));
		scenario_free(w);
	}
}

/* It ends each connection that it is sent by; all others go their way, over the first relay. */
static void
one_bad_message_moves_nobody_else(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	start_warm(w);
	fault_everywhere(w, (struct fault){ AT_DOT, SAY, "421 4.3.0 what was that?", ALWAYS, "poison" });
	world_mail(w, "poison@shop.example.com", BOB, "bad.");
	for (int i = 0; i < 60; i++) {
		world_mail(w, ALICE, BOB, "good.");
		world_run(w, MINUTES(1));
		assert_int_equal(world_queued(w), 1);
	}
	assert_true(world_logged(w, "attempt-failed", "") > 3);
	assert_int_equal(w->backup.ntaken, 0);
	assert_int_equal(world_logged(w, "failover", ""), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_port_that_takes_no_mail_is_left_at_once),
		T(it_is_tried_at_growing_intervals),
		T(nonsense_is_remembered),
		T(a_try_holds_up_nobody),
		T(a_message_that_is_cut_everywhere_stops_no_other),
		T(one_cut_costs_a_detour_of_minutes),
		cmocka_unit_test(a_hung_port_is_left_soon),
		T(an_idle_session_teaches_no_patience),
		T(a_lone_hung_port_has_its_time),
		T(a_way_that_opens_is_taken),
		cmocka_unit_test(a_relay_that_hangs_is_left),
		T(the_final_dot_has_ten_minutes),
		cmocka_unit_test(slow_servers_do_not_make_mail_flap),
		cmocka_unit_test(the_next_relay_gets_the_mail),
		T(the_first_relay_is_tried_at_growing_intervals),
		cmocka_unit_test(without_another_way_mail_is_tried_again),
		T(one_bad_message_moves_nobody_else),
	};

	return scenario_run(tests);
}
