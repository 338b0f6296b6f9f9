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
	{ AT_DATA, SAY, "503 5.5.1 bad sequence of commands", ALWAYS },
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
			assert_in_range(world_logins(w) - before, 5, 100);
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
		T(one_cut_costs_a_detour_of_minutes),
		cmocka_unit_test(the_next_relay_gets_the_mail),
		T(the_first_relay_is_tried_at_growing_intervals),
		cmocka_unit_test(without_another_way_mail_is_tried_again),
		T(one_bad_message_moves_nobody_else),
	};

	return scenario_run(tests);
}
