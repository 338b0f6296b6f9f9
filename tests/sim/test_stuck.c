/* SPDX-License-Identifier: BSD-2-Clause */
/* A path that dies in mid-session, at one port or at all of a relay: how soon mail has moved, and at what price. */
#include <stdio.h>

#include "sim/scenario.h"

#include "relay/relay_impl.h"

#include "base/banned.h"

/* Nothing gets through to the first n ports, in sessions or to new ones. */
static void
cut_paths(struct world *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		w->port[i].ep->mode = TWIN_SILENT;
		twin_endpoint_cut(w->port[i].ep);
	}
}

static int64_t
settled_after(struct world *w, int64_t since_ms, int64_t limit)
{
	assert_true(world_settle(w, limit));
	return w->loop.mono_ms - since_ms;
}

/* Connections for mail, to each port. */
static void
count_tries(struct world *w, unsigned out[PORTS])
{
	static const char *const port[] = { "587", "465", "2525" };

	for (size_t i = 0; i < PORTS; i++) {
		char mail[80], race[80];

		snprintf(mail, sizeof(mail), "smtp.twin.example:%s for=mail", port[i]);
		snprintf(race, sizeof(race), "smtp.twin.example:%s for=race", port[i]);
		out[i] = world_logged(w, "connecting", mail) + world_logged(w, "connecting", race);
	}
}

/* At most one each, since they were counted. */
static void
assert_tries(struct world *w, const unsigned before[PORTS])
{
	unsigned now[PORTS];

	count_tries(w, now);
	for (size_t i = 0; i < PORTS; i++)
		assert_in_range(now[i], before[i], before[i] + 1);
}

static void
assert_none_at(struct world *w, size_t port, const unsigned before[PORTS])
{
	unsigned now[PORTS];

	count_tries(w, now);
	assert_int_equal(now[port], before[port]);
}

/* Each step before the dot in which a session may be when its path dies. */
static const struct fault hangs[] = {
	{ AT_MAIL, MUTE, NULL, ALWAYS }, { AT_RCPT, MUTE, NULL, ALWAYS }, { AT_DATA, MUTE, NULL, ALWAYS },
	{ AT_BODY, DEAF, NULL, ALWAYS },
};
/* What was sent was acknowledged, and keepalive shows it; of the text, some is not. */
static const int64_t seen_ms[] = { 7500, 7500, 7500, 4500 };

/* The path of a session in this step dies, with a message in it and so many behind it. */
static struct world *
die_at(size_t step, size_t ports, unsigned behind, bool backup, unsigned tries[PORTS], int64_t *at_ms)
{
	struct world *w = scenario_new();

	if (backup)
		world_use_backup(w);
	if (ports == 1 && backup)
		w->conf.relay[0].nendpoint = 1;
	w->conf.relay[0].connections = 1;
	w->conf.relay[0].idle_ms = w->conf.relay[0].connection_age_ms = HOURS(1);
	w->port[P587].ep->limits.input_max = 4096;
	start_warm(w);
	world_run(w, MINUTES(2));		/* what is known of the other ports is old */
	smarthost_fault(&w->port[P587], hangs[step]);
	mail_big(w, 300000);
	world_run(w, 100);
	count_tries(w, tries);
	*at_ms = w->loop.mono_ms;
	cut_paths(w, ports);
	if (behind != 0)
		world_burst(w, behind, "behind-");
	return w;
}

static void
one_dead_port_costs_a_few_seconds(void **state)
{
	for (size_t i = 0; i < lengthof(hangs); i++) {
		unsigned tries[PORTS];
		int64_t at;
		struct world *w = die_at(i, 1, 5, false, tries, &at);

		assert_in_range(settled_after(w, at, SECONDS(20)), 0, seen_ms[i] + 1500);
		assert_int_equal(w->port[P465].ntaken, 6);
		assert_int_equal(world_logged(w, "uncertain", ""), 0);
		assert_tries(w, tries);
		scenario_free(w);
	}
}

/* Two at once: the others race, so the second dead one costs half a second. */
static void
two_dead_ports_cost_no_more(void **state)
{
	unsigned tries[PORTS];
	int64_t at;
	struct world *w = die_at(0, 2, 5, false, tries, &at);

	assert_in_range(settled_after(w, at, SECONDS(30)), 0, seen_ms[0] + 2000);
	assert_int_equal(w->port[P2525].ntaken, 6);
	scenario_free(w);
}

/* All of a relay at once, three or one, whether mail waits behind the session or not. */
static void
a_dead_relay_is_left_soon(void **state)
{
	for (size_t i = 0; i < 2 * lengthof(hangs); i++) {
		for (unsigned behind = 0; behind < 10; behind += 9) {
			unsigned tries[PORTS];
			int64_t at;
			struct world *w = die_at(i / 2, i % 2 ? 1 : PORTS, behind, true, tries, &at);

			assert_in_range(settled_after(w, at, SECONDS(30)), 0, seen_ms[i / 2] + (i % 2 ? 1000 : 5500));
			assert_int_equal(w->backup.ntaken, 1 + behind);
			assert_tries(w, tries);
			if (i % 2 == 0)
				assert_none_at(w, P587, tries);	/* the others race, without it */
			assert_int_equal(world_logged(w, "failover",
			    "from=main to=backup reason=no-port-ready"), 1);
			scenario_free(w);
		}
	}
}

/* One port works again before the first counts as down: mail is back there at once, and stays. */
static void
it_is_returned_to_when_a_port_works(void **state)
{
	unsigned tries[PORTS];
	int64_t at;
	struct world *w = die_at(0, PORTS, 0, true, tries, &at);

	assert_true(world_settle(w, SECONDS(30)));
	smarthost_heal(&w->port[P587]);
	world_all(w, TWIN_ACCEPT);
	world_run(w, MINUTES(2));
	assert_int_equal(world_logged(w, "failover", "from=backup to=main reason=usable-again"), 1);
	mail_many(w, 5, "back-");
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(count_many(w, 5, "back-"), 5);
	assert_int_equal(w->backup.ntaken, 1);
	scenario_free(w);
}

/* One port refuses, and the others, of which nothing was heard for long, are silent. */
static void
what_was_known_of_the_others_is_old(void **state)
{
	struct world *w = *state;
	int64_t at;

	world_use_backup(w);
	start_warm(w);
	world_run(w, MINUTES(2));
	world_all(w, TWIN_SILENT);
	w->port[P587].ep->mode = TWIN_REFUSE;
	twin_endpoint_reset(w->port[P587].ep);
	at = w->loop.mono_ms;
	world_mail(w, ALICE, BOB, "first.");
	assert_in_range(settled_after(w, at, SECONDS(20)), 0, 5500);
	assert_int_equal(w->backup.ntaken, 1);
}

/* Nothing was under way: keepalive shows it, and the next message does not try that port. */
static void
an_idle_session_shows_it_too(void **state)
{
	struct world *w = *state;
	int64_t at;

	w->conf.relay[0].idle_ms = HOURS(1);
	start_warm(w);
	world_run(w, MINUTES(2));
	cut_paths(w, 1);
	world_run(w, SECONDS(8));
	at = w->loop.mono_ms;
	world_mail(w, ALICE, BOB, "first.");
	assert_in_range(settled_after(w, at, SECONDS(20)), 0, 500);
	assert_int_equal(world_count(w, "first."), 1);
}

/* Behind the dot the message stays: it may have arrived. The others do not wait for it. */
static void
behind_the_dot_nobody_gives_up(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	w->conf.relay[0].connections = 1;
	w->conf.relay[0].idle_ms = HOURS(1);
	start_warm(w);
	world_run(w, MINUTES(2));
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, MUTE, NULL, ALWAYS });
	world_mail(w, ALICE, BOB, "first.");
	world_run(w, 100);
	cut_paths(w, 1);
	world_mail(w, ALICE, BOB, "second.");
	world_run(w, SECONDS(10));
	assert_int_equal(world_count(w, "second."), 1);
	assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
	assert_int_equal(world_queued(w), 1);
	world_run(w, SECONDS(10));
	assert_int_equal(world_logged(w, "uncertain", ""), 1);
	assert_int_equal(world_count(w, "first."), 0);
}

/* So it is when the whole relay is dead: the next one gets them long before the session has died. */
static void
mail_behind_such_a_session_moves_too(void **state)
{
	struct world *w = *state;
	int64_t at;

	world_use_backup(w);
	w->conf.relay[0].idle_ms = HOURS(1);
	start_warm(w);
	world_run(w, MINUTES(2));
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, MUTE, NULL, ALWAYS });
	world_mail(w, ALICE, BOB, "first.");
	world_run(w, 100);
	cut_paths(w, PORTS);
	world_mail(w, ALICE, BOB, "second.");
	at = w->loop.mono_ms;
	while (w->backup.ntaken == 0 && w->loop.mono_ms - at < SECONDS(30))
		world_run(w, 100);
	assert_in_range(w->loop.mono_ms - at, 0, 12500);
}

/* A login that was sent may have been refused: it is not given up before the connection is dead. */
static void
a_login_is_not_given_up(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_run(w, MINUTES(2));
	smarthost_fault(&w->port[P587], (struct fault){ AT_AUTH, MUTE, NULL, ALWAYS });
	world_mail(w, ALICE, BOB, "first.");
	world_run(w, 500);
	cut_paths(w, 1);
	world_run(w, SECONDS(8));
	assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
	assert_true(world_settle(w, MINUTES(2)));
	assert_int_equal(world_logged(w, "attempt-failed", ""), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_dead_port_costs_a_few_seconds),
		cmocka_unit_test(two_dead_ports_cost_no_more),
		cmocka_unit_test(a_dead_relay_is_left_soon),
		cmocka_unit_test(it_is_returned_to_when_a_port_works),
		T(what_was_known_of_the_others_is_old),
		T(an_idle_session_shows_it_too),
		T(behind_the_dot_nobody_gives_up),
		T(mail_behind_such_a_session_moves_too),
		T(a_login_is_not_given_up),
	};

	return scenario_run(tests);
}
