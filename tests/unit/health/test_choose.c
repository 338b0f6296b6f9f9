/* SPDX-License-Identifier: BSD-2-Clause */
/* Choice and probe plan of doc/health.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "health/health.h"
#include "health/health_impl.h"
#include "unit/health/health_help.h"

#include "base/banned.h"

#define MINUTE	60000
#define HOUR	3600000

static void
assert_choice(struct fixture *f, int endpoint, enum choice_reason reason, bool changed)
{
	struct health_choice c = choose(f);

	assert_int_equal(c.endpoint, endpoint);
	assert_string_equal(choice_reason_word(c.reason), choice_reason_word(reason));
	assert_int_equal(c.changed, changed);
}

/* Deliveries that succeed at i, one a minute, choosing before each. */
static void
pass_minutes(struct fixture *f, size_t i, int minutes)
{
	for (int k = 0; k < minutes; k++) {
		(void)choose(f);
		delivery(f, i, HEALTH_OK);
		f->now += MINUTE;
	}
}

/* --- start and race ------------------------------------------------------ */

static void
test_untried_ports_are_raced_in_order(void **state)
{
	size_t order[HEALTH_ENDPOINTS_MAX];
	struct fixture f;
	struct health_choice c;

	start(&f, 3);
	c = choose(&f);
	assert_int_equal(c.endpoint, 0);
	assert_true(c.race);
	assert_false(c.changed);
	assert_int_equal(c.sessions, 1);
	assert_int_equal(health_race_order(f.h, f.now, order), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(order[i], i);
	delivery(&f, 0, HEALTH_FILTERED);
	probe(&f, 1, HEALTH_OK);
	c = choose(&f);
	assert_int_equal(c.endpoint, 1);
	assert_int_equal(c.reason, CHOICE_FIRST);
	assert_true(c.changed);
	assert_int_equal(c.from, -1);
	assert_false(c.race);
	assert_int_equal(c.sessions, 8);
	stop(&f);
}

static void
assert_way(struct fixture *f, int from, int to, enum choice_reason reason)
{
	struct health_event ev;

	do {
		if (!health_next_event(f->h, &ev))
			fail_msg("no change of way");
	} while (ev.kind != HEALTH_ROUTE_CHANGED);
	assert_int_equal(ev.from, from);
	assert_int_equal(ev.endpoint, to);
	assert_string_equal(choice_reason_word(ev.reason), choice_reason_word(reason));
	assert_true(view(f, (size_t)to).current);
}

/* Its session is kept, so the next choice may be hours away. */
static void
test_the_winner_of_a_race_is_current_at_once(void **state)
{
	struct fixture f;

	start(&f, 3);
	assert_true(choose(&f).race);
	health_took_over(f.h, 1, CHOICE_RACE, f.now);
	assert_false(view(&f, 1).current);		/* nothing proves it */
	assert_int_equal(view(&f, 1).last_probe_ms, -1);
	report(&f, 1, SAMPLE_PROBE, HEALTH_OK);		/* that no probe was planned for */
	assert_int_equal(view(&f, 1).last_probe_ms, f.now);
	health_took_over(f.h, 1, CHOICE_RACE, f.now);
	assert_way(&f, -1, 1, CHOICE_RACE);
	probe(&f, 0, HEALTH_OK);
	assert_choice(&f, 1, CHOICE_STAY, false);
	/* The race of a detour is not a change of way. */
	delivery(&f, 1, HEALTH_FILTERED);
	probe(&f, 0, HEALTH_FILTERED);
	assert_choice(&f, 2, CHOICE_DETOUR, false);
	probe(&f, 2, HEALTH_OK);
	health_took_over(f.h, 2, CHOICE_RACE, f.now);
	assert_true(view(&f, 1).current);
	stop(&f);
}

/* Nor is there a choice while the session of a detour, or a canary's, takes message after message. */
static void
test_what_mail_goes_over_is_current(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_choice(&f, 0, CHOICE_FIRST, true);
	assert_way(&f, -1, 0, CHOICE_FIRST);
	delivery(&f, 0, HEALTH_FILTERED);
	assert_choice(&f, 1, CHOICE_DETOUR, false);
	delivery(&f, 1, HEALTH_OK);
	assert_true(view(&f, 0).current);
	kill_port(&f, 0);
	delivery(&f, 1, HEALTH_OK);
	assert_way(&f, 0, 1, CHOICE_DOWN);
	kill_port(&f, 1);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(choose(&f).reason, CHOICE_CANARY);
	delivery(&f, 0, HEALTH_OK);
	assert_way(&f, 1, 0, CHOICE_CANARY);
	stop(&f);
}

static void
test_tried_comes_before_untried(void **state)
{
	size_t order[HEALTH_ENDPOINTS_MAX];
	struct fixture f;

	start(&f, 3);
	probe(&f, 2, HEALTH_OK);
	assert_choice(&f, 2, CHOICE_FIRST, true);
	probe(&f, 0, HEALTH_FILTERED);
	assert_int_equal(health_race_order(f.h, f.now, order), 3);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 1);
	assert_int_equal(order[2], 0);		/* suspects last */
	kill_port(&f, 0);
	assert_int_equal(health_race_order(f.h, f.now, order), 2);
	assert_int_equal(order[0], 2);
	assert_int_equal(order[1], 1);
	stop(&f);
}

/* Of what is not known yet the administrator knows more than a port's number tells. */
static void
test_a_port_that_was_never_down_has_no_slow_start(void **state)
{
	struct health_params p = { .port = { 587 }, .n = 1, .sessions_max = 8 };
	struct fixture f;

	rng_init(&f.rng, 7);
	f.now = 0;				/* the host has just booted */
	f.h = health_new(&p, f.now, &f.rng);
	delivery(&f, 0, HEALTH_OK);
	assert_int_equal(choose(&f).sessions, 8);
	stop(&f);
}

static void
test_untried_ports_keep_their_order(void **state)
{
	struct health_params p = { .port = { 25, 587 }, .n = 2, .sessions_max = 8 };
	size_t order[HEALTH_ENDPOINTS_MAX];
	struct fixture f;

	start_with(&f, &p);
	assert_int_equal(health_race_order(f.h, f.now, order), 2);
	assert_int_equal(order[0], 0);
	assert_int_equal(choose(&f).endpoint, 0);
	stop(&f);
}

/* A session that ends meanwhile does not put off what is to be looked at now. */
static void
test_a_probe_at_once_stays_at_once(void **state)
{
	struct fixture f;

	start(&f, 2);
	delivery(&f, 1, HEALTH_OK);
	assert_int_equal(view(&f, 1).next_probe_ms, f.now);
	probe(&f, 1, HEALTH_OK);
	assert_true(view(&f, 1).next_probe_ms > f.now);
	stop(&f);
}

static void
test_no_endpoints(void **state)
{
	struct fixture f;
	struct health_probe p;

	start(&f, 0);
	assert_choice(&f, -1, CHOICE_NONE, false);
	assert_false(health_is_open(f.h, f.now));
	health_next_probe(f.h, f.now, &p);
	assert_int_equal(p.endpoint, -1);
	stop(&f);
}

/* --- switches ------------------------------------------------------------ */

static void
test_one_failure_is_a_detour(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	assert_choice(&f, 0, CHOICE_FIRST, true);
	delivery(&f, 0, HEALTH_FILTERED);
	assert_choice(&f, 1, CHOICE_DETOUR, false);
	assert_true(view(&f, 0).current);
	delivery(&f, 1, HEALTH_CUT_BEFORE_DOT);		/* soft ones as well */
	assert_choice(&f, 2, CHOICE_DETOUR, false);
	delivery(&f, 2, HEALTH_REFUSED);
	assert_choice(&f, 0, CHOICE_STAY, false);	/* all suspect: no better place */
	probe(&f, 0, HEALTH_OK);
	assert_choice(&f, 0, CHOICE_STAY, false);
	stop(&f);
}

static void
test_down_moves_at_once(void **state)
{
	struct health_event ev;
	struct fixture f;
	bool told = false;

	start(&f, 3);
	all_up(&f);
	assert_choice(&f, 0, CHOICE_FIRST, true);
	kill_port(&f, 0);
	assert_choice(&f, 1, CHOICE_DOWN, true);
	while (health_next_event(f.h, &ev)) {
		if (ev.kind != HEALTH_ROUTE_CHANGED || ev.from != 0)
			continue;
		told = true;
		assert_int_equal(ev.endpoint, 1);
		assert_int_equal(ev.reason, CHOICE_DOWN);
		assert_int_equal(ev.class, HEALTH_FILTERED);
	}
	assert_true(told);
	stop(&f);
}

static void
test_better_needs_margin_time_and_stay(void **state)
{
	struct fixture f;
	int64_t start_ms;

	start(&f, 2);
	all_up(&f);
	start_ms = f.now;
	assert_choice(&f, 0, CHOICE_FIRST, true);
	for (int k = 0; k < 20; k++)
		probe(&f, 1, HEALTH_OK);
	delivery(&f, 0, HEALTH_REFUSED);
	delivery(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_DEGRADED);
	assert_true(points(&f, 1).score > points(&f, 0).score + 10);
	assert_choice(&f, 0, CHOICE_STAY, false);
	f.now = start_ms + 5 * MINUTE;
	assert_choice(&f, 0, CHOICE_STAY, false);	/* led long enough, but min_stay */
	f.now = start_ms + 10 * MINUTE;
	assert_choice(&f, 1, CHOICE_BETTER, true);
	stop(&f);
}

static void
test_better_must_last_a_minute(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_choice(&f, 0, CHOICE_FIRST, true);
	for (int k = 0; k < 20; k++)
		probe(&f, 1, HEALTH_OK);
	pass_minutes(&f, 0, 30);
	delivery(&f, 0, HEALTH_REFUSED);
	delivery(&f, 0, HEALTH_REFUSED);
	delivery(&f, 0, HEALTH_OK);
	assert_choice(&f, 0, CHOICE_STAY, false);
	f.now += 59000;
	assert_choice(&f, 0, CHOICE_STAY, false);
	f.now += 1000;
	assert_choice(&f, 1, CHOICE_BETTER, true);
	stop(&f);
}

/* Away at once, back by "return"; the minutes it took. */
static int
minutes_until_return(struct fixture *f)
{
	int minutes = 0;

	kill_port(f, 0);
	assert_choice(f, 1, CHOICE_DOWN, true);
	recover(f, 0);
	for (;;) {
		struct health_choice c = choose(f);

		if (c.endpoint == 0) {
			assert_int_equal(c.reason, CHOICE_RETURN);
			return minutes;
		}
		delivery(f, 1, HEALTH_OK);
		if (minutes % 5 == 0)
			probe(f, 0, HEALTH_OK);
		f->now += MINUTE;
		minutes++;
		assert_true(minutes < 10 * 60);
	}
}

static void
test_return_and_its_hold(void **state)
{
	static const int expected[] = { 30, 60, 120, 240, 480, 480 };
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_choice(&f, 0, CHOICE_FIRST, true);
	for (size_t i = 0; i < lengthof(expected); i++)	/* left at once after each return */
		assert_in_range(minutes_until_return(&f), expected[i] - 1, expected[i] + 1);
	pass_minutes(&f, 0, 3 * 60);			/* left later than 2 h after: not doubled */
	assert_in_range(minutes_until_return(&f), 479, 481);
	pass_minutes(&f, 0, 17 * 60);			/* with the 8 h: a day since it was left */
	assert_in_range(minutes_until_return(&f), 29, 31);
	stop(&f);
}

/* One failed attempt soon after a return is enough; later, or at another port, it is a detour. */
static void
test_a_return_that_fails_is_undone(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	assert_choice(&f, 0, CHOICE_FIRST, true);
	delivery(&f, 0, HEALTH_FILTERED);
	assert_choice(&f, 1, CHOICE_DETOUR, false);	/* nothing was returned to */
	delivery(&f, 0, HEALTH_OK);
	(void)minutes_until_return(&f);
	delivery(&f, 0, HEALTH_FILTERED);
	f.h->ep[1].state = EP_DEGRADED;
	f.h->ep[2].state = EP_RECOVERING;
	assert_int_equal(choose(&f).reason, CHOICE_DETOUR);	/* none of them is better for certain */
	f.h->ep[1].state = f.h->ep[2].state = EP_UP;
	for (int i = 0; i < VOLUNTARY_MAX; i++)
		f.h->voluntary[i] = f.now;
	assert_choice(&f, 1, CHOICE_DETOUR, false);
	for (int i = 0; i < VOLUNTARY_MAX; i++)
		f.h->voluntary[i] = NEVER;
	assert_choice(&f, 1, CHOICE_BETTER, true);
	delivery(&f, 0, HEALTH_OK);
	delivery(&f, 1, HEALTH_FILTERED);
	assert_int_equal(choose(&f).reason, CHOICE_DETOUR);	/* it is not the one that was returned to */
	delivery(&f, 1, HEALTH_OK);
	assert_int_equal(f.h->return_hold_ms, HOURS(1));
	f.h->current = 0;
	f.h->returned_ms = f.now - HOURS(2);
	delivery(&f, 0, HEALTH_FILTERED);
	assert_int_equal(choose(&f).reason, CHOICE_DETOUR);	/* it has been good for long enough */
	stop(&f);
}

static void
test_flapping_ends_voluntary_switches(void **state)
{
	struct health_event ev;
	struct fixture f;
	unsigned flapping = 0;

	start(&f, 2);
	all_up(&f);
	assert_choice(&f, 0, CHOICE_FIRST, true);
	for (int i = 0; i < VOLUNTARY_MAX; i++)
		f.h->voluntary[i] = f.now;
	for (int k = 0; k < 20; k++)
		probe(&f, 1, HEALTH_OK);
	f.now += 11 * MINUTE;
	delivery(&f, 0, HEALTH_REFUSED);
	delivery(&f, 0, HEALTH_REFUSED);
	delivery(&f, 0, HEALTH_OK);
	(void)choose(&f);
	f.now += MINUTE;
	assert_choice(&f, 0, CHOICE_STAY, false);
	for (int i = 0; i < VOLUNTARY_MAX - 1; i++)
		f.h->voluntary[i] = f.now;
	f.h->voluntary[VOLUNTARY_MAX - 1] = f.now - HOUR;
	f.h->voluntary_at = VOLUNTARY_MAX - 1;
	assert_choice(&f, 1, CHOICE_BETTER, true);
	while (health_next_event(f.h, &ev))
		flapping += ev.kind == HEALTH_FLAPPING;
	assert_int_equal(flapping, 1);
	stop(&f);
}

/* --- is mail to go to this relay? ------------------------------------------ */

static void
test_standing(void **state)
{
	struct fixture f;

	start(&f, 2);
	assert_int_equal(health_standing(f.h, f.now), STANDING_UNSURE);
	delivery(&f, 0, HEALTH_FILTERED);
	assert_int_equal(health_standing(f.h, f.now), STANDING_UNSURE);
	probe(&f, 1, HEALTH_OK);
	assert_int_equal(health_standing(f.h, f.now), STANDING_IN);
	delivery(&f, 1, HEALTH_FILTERED);		/* suspicion is not enough */
	assert_int_equal(health_standing(f.h, f.now), STANDING_IN);
	kill_port(&f, 0);
	kill_port(&f, 1);
	assert_int_equal(health_standing(f.h, f.now), STANDING_OUT);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(health_standing(f.h, f.now), STANDING_OUT);
	f.now += HOUR;
	health_network_changed(f.h, f.now);
	assert_int_equal(health_standing(f.h, f.now), STANDING_UNSURE);
	delivery(&f, 0, HEALTH_DNS_FAIL);		/* the name server says nothing of it */
	assert_int_equal(health_standing(f.h, f.now), STANDING_UNSURE);
	f.now += HOUR;
	delivery(&f, 0, HEALTH_QUOTA);			/* it lives, and asks for a short pause */
	assert_int_equal(health_standing(f.h, f.now), STANDING_IN);
	stop(&f);
}

/* --- outage, canary, ramp ------------------------------------------------ */

static void
test_outage_canary_and_ramp(void **state)
{
	static const unsigned sessions[] = { 1, 2, 4, 8, 8 };
	struct fixture f;
	struct health_choice c;

	start(&f, 2);
	all_up(&f);
	assert_choice(&f, 0, CHOICE_FIRST, true);
	kill_port(&f, 0);
	kill_port(&f, 1);
	assert_choice(&f, -1, CHOICE_NONE, false);
	assert_false(health_is_open(f.h, f.now));
	probe(&f, 0, HEALTH_OK);
	assert_true(health_is_open(f.h, f.now));
	c = choose(&f);
	assert_int_equal(c.endpoint, 0);
	assert_int_equal(c.reason, CHOICE_CANARY);
	assert_int_equal(c.sessions, 1);
	delivery(&f, 0, HEALTH_OK);		/* stands for the second probe */
	assert_int_equal(state_of(&f, 0), EP_RECOVERING);
	for (size_t i = 0; i < lengthof(sessions); i++) {
		assert_int_equal(choose(&f).sessions, sessions[i]);
		f.now += 10000;
	}
	delivery(&f, 0, HEALTH_REFUSED);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	assert_choice(&f, -1, CHOICE_NONE, false);
	stop(&f);
}

/* --- probe plan ---------------------------------------------------------- */

static struct health_probe
next_probe(struct fixture *f)
{
	struct health_probe p;

	health_next_probe(f->h, f->now, &p);
	return p;
}

static void
test_first_round_logs_in_once(void **state)
{
	struct fixture f;

	start(&f, 3);
	for (int i = 0; i < 3; i++) {
		struct health_probe p = next_probe(&f);

		assert_int_equal(p.endpoint, i);
		assert_true(p.at_ms <= f.now + 1000);	/* one after another, 1 s apart */
		assert_true(i == 0 || p.at_ms == f.now + 1000);
		assert_int_equal(p.login, i == 0);
		if (p.at_ms > f.now)
			f.now = p.at_ms;
		health_probe_started(f.h, (size_t)i, f.now);
		assert_int_equal(next_probe(&f).endpoint, -1);	/* one at a time */
		report(&f, (size_t)i, SAMPLE_PROBE, HEALTH_OK);
	}
	assert_true(next_probe(&f).at_ms > f.now + 3 * MINUTE);
	stop(&f);
}

static void
test_unreported_probe_is_forgotten(void **state)
{
	struct fixture f;

	start(&f, 2);
	health_probe_started(f.h, 0, f.now);
	f.now += 5 * MINUTE - 1;
	assert_int_equal(next_probe(&f).endpoint, -1);
	f.now += 1;
	assert_int_equal(next_probe(&f).endpoint, 1);
	stop(&f);
}

static void
test_failure_orders_fast_probes(void **state)
{
	struct fixture f;
	struct health_probe p;

	start(&f, 2);
	all_up(&f);
	(void)choose(&f);
	pass_minutes(&f, 0, 3);
	delivery(&f, 0, HEALTH_FILTERED);
	assert_interval(&f, 0, 5);
	p = next_probe(&f);		/* the standby, seen last three minutes ago, at once */
	assert_int_equal(p.endpoint, 1);
	assert_true(p.at_ms <= f.now);
	probe(&f, 1, HEALTH_OK);
	p = next_probe(&f);
	assert_int_equal(p.endpoint, 0);
	assert_true(p.at_ms >= f.now + 5000);	/* 5 s between two */
	probe(&f, 0, HEALTH_BANNER_4XX);
	assert_interval(&f, 0, 15);
	probe(&f, 0, HEALTH_BANNER_4XX);
	assert_interval(&f, 0, 30);
	probe(&f, 0, HEALTH_BANNER_4XX);
	assert_interval(&f, 0, 30);
	stop(&f);
}

static void
test_intervals_by_role(void **state)
{
	struct health_params p = { .port = { 587, 465, 2525 }, .n = 3, .quiet = true };
	struct fixture f;
	int64_t planned;

	start(&f, 3);
	all_up(&f);
	(void)choose(&f);
	assert_interval(&f, 0, 600);
	probe(&f, 1, HEALTH_OK);
	assert_interval(&f, 1, 900);
	f.now += 5 * MINUTE;
	delivery(&f, 0, HEALTH_OK);		/* traffic is the probe */
	assert_interval(&f, 0, 600);
	kill_port(&f, 0);
	(void)choose(&f);
	recover(&f, 0);
	assert_interval(&f, 0, 290);		/* preferred, not in use; recover() took 10 s more */
	stop(&f);

	start(&f, 3);
	all_up(&f);
	(void)choose(&f);
	planned = view(&f, 2).next_probe_ms;
	f.now += 5 * MINUTE;
	kill_port(&f, 0);
	assert_choice(&f, 1, CHOICE_DOWN, true);
	assert_int_equal(view(&f, 2).next_probe_ms, planned);	/* no change of roles puts it off */
	stop(&f);

	start_with(&f, &p);
	all_up(&f);
	(void)choose(&f);
	probe(&f, 1, HEALTH_OK);
	assert_interval(&f, 1, 3600);
	f.now += 24 * HOUR;
	probe(&f, 0, HEALTH_OK);
	probe(&f, 1, HEALTH_OK);
	assert_interval(&f, 0, 3600);
	assert_true(view(&f, 1).next_probe_ms < 0);
	delivery(&f, 0, HEALTH_OK);		/* an open session took one, without a choice */
	probe(&f, 1, HEALTH_OK);
	assert_interval(&f, 1, 3600);
	f.now += 24 * HOUR;
	probe(&f, 1, HEALTH_OK);
	assert_true(view(&f, 1).next_probe_ms < 0);
	(void)choose(&f);			/* mail again: so are the probes */
	assert_interval(&f, 1, 3600);
	stop(&f);
}

static void
test_waiting_mail_shortens_the_backoff(void **state)
{
	struct fixture f;

	start(&f, 1);
	all_up(&f);
	kill_port(&f, 0);
	for (int k = 0; k < 8; k++)
		probe(&f, 0, HEALTH_FILTERED);
	assert_true(next_probe(&f).at_ms > f.now + 10 * MINUTE);
	health_mail_waits(f.h, true);
	assert_int_equal(next_probe(&f).at_ms, f.now + 3 * MINUTE);
	health_mail_waits(f.h, false);
	assert_true(next_probe(&f).at_ms > f.now + 10 * MINUTE);
	health_network_changed(f.h, f.now);
	assert_true(next_probe(&f).at_ms <= f.now + 5000);
	stop(&f);
}

static void
test_waiting_mail_asks_blocked_ports_too(void **state)
{
	struct fixture f;

	start(&f, 1);
	all_up(&f);
	probe(&f, 0, HEALTH_TLS_UNTRUSTED);
	probe(&f, 0, HEALTH_TLS_UNTRUSTED);
	assert_true(next_probe(&f).at_ms > f.now + 10 * MINUTE);
	health_mail_waits(f.h, true);
	assert_int_equal(next_probe(&f).at_ms, f.now + 3 * MINUTE);
	stop(&f);
}

/* Count the probes that the plan allows in an hour when somebody asks for them all the time. */
static int
probes_in_an_hour(struct fixture *f, bool trouble)
{
	int64_t end = f->now + HOUR;
	int n = 0;

	for (;;) {
		struct health_probe p;

		for (size_t i = 0; i < f->h->n; i++)
			f->h->ep[i].next_ms = 0;
		p = next_probe(f);
		assert_true(p.endpoint >= 0);
		if (p.at_ms >= end)
			return n;
		assert_true(n == 0 || p.at_ms >= f->now + 5000);
		f->now = p.at_ms > f->now ? p.at_ms : f->now;
		probe(f, (size_t)p.endpoint, trouble ? HEALTH_FILTERED : HEALTH_OK);
		n++;
	}
}

static void
test_budget(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	f.now += 2 * HOUR;
	assert_int_equal(probes_in_an_hour(&f, false), BUDGET_CALM);
	f.now += 2 * HOUR;
	for (int i = 0; i < 4; i++)
		health_race_started(f.h, f.now);
	assert_int_equal(probes_in_an_hour(&f, false), BUDGET_CALM - 4);
	f.now += 2 * HOUR;
	probe(&f, 0, HEALTH_FILTERED);
	assert_int_equal(probes_in_an_hour(&f, true), BUDGET_TROUBLE - 1);
	stop(&f);
}

/* A port that is blocked for good is no trouble that goes on, though suspicion came before. */
static void
test_budget_beside_a_blocked_port(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	probe(&f, 2, HEALTH_TLS_NAME);
	probe(&f, 2, HEALTH_TLS_NAME);
	assert_int_equal(state_of(&f, 2), EP_BLOCKED);
	f.now += 2 * HOUR;
	assert_int_equal(probes_in_an_hour(&f, false), BUDGET_CALM);
	stop(&f);
}

/* Trouble that used up more than a calm hour's budget leaves enough to look on. */
static void
test_budget_after_trouble(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	for (int i = 0; i < 2 * BUDGET_CALM; i++)
		health_race_started(f.h, f.now);
	probe(&f, 0, HEALTH_FILTERED);
	assert_true(next_probe(&f).at_ms < f.now + MINUTE);
	probe(&f, 0, HEALTH_OK);
	assert_true(next_probe(&f).at_ms < f.now + 20 * MINUTE);
	stop(&f);
}

static void
test_probe_now_asks_all(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	f.now += 2000;
	health_probe_now(f.h);
	for (int i = 0; i < 3; i++) {
		struct health_probe p = next_probe(&f);

		assert_int_equal(p.endpoint, i);
		assert_true(p.at_ms <= f.now + 1000);
		assert_false(p.login);
		f.now += 1000;
		probe(&f, (size_t)i, HEALTH_OK);
	}
	assert_true(next_probe(&f).at_ms > f.now + MINUTE);
	stop(&f);
}

/* With 7 healthy days the login is proved once a day, by a probe that was due anyway. */
static void
test_daily_login(void **state)
{
	struct fixture f;
	int logins = 0;
	int64_t end;

	start(&f, 1);
	end = f.now + 7 * 24 * (int64_t)HOUR;
	while (f.now < end) {
		struct health_probe p = next_probe(&f);
		struct health_sample s = { .class = HEALTH_OK, .source = SAMPLE_PROBE, .ready_ms = 9 };

		if (p.at_ms > f.now)
			f.now = p.at_ms;
		health_probe_started(f.h, 0, f.now);
		logins += p.login;
		s.logged_in = p.login;
		health_note(f.h, 0, &s, f.now);
	}
	assert_in_range(logins, 7, 8);
	stop(&f);
}

/* A login of a session with mail is one, too; and none is made while the account rests. */
static void
test_no_login_by_probe_without_need(void **state)
{
	struct health_sample s = { .class = HEALTH_OK, .source = SAMPLE_DELIVERY, .ready_ms = 9, .logged_in = true };
	struct fixture f;

	start(&f, 1);
	assert_true(next_probe(&f).login);
	health_note(f.h, 0, &s, f.now);
	assert_false(next_probe(&f).login);
	stop(&f);
	start(&f, 1);
	delivery(&f, 0, HEALTH_QUOTA);
	assert_false(next_probe(&f).login);
	stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_untried_ports_are_raced_in_order),
		cmocka_unit_test(test_the_winner_of_a_race_is_current_at_once),
		cmocka_unit_test(test_what_mail_goes_over_is_current),
		cmocka_unit_test(test_tried_comes_before_untried),
		cmocka_unit_test(test_a_probe_at_once_stays_at_once),
		cmocka_unit_test(test_a_port_that_was_never_down_has_no_slow_start),
		cmocka_unit_test(test_untried_ports_keep_their_order),
		cmocka_unit_test(test_no_endpoints),
		cmocka_unit_test(test_one_failure_is_a_detour),
		cmocka_unit_test(test_down_moves_at_once),
		cmocka_unit_test(test_better_needs_margin_time_and_stay),
		cmocka_unit_test(test_better_must_last_a_minute),
		cmocka_unit_test(test_return_and_its_hold),
		cmocka_unit_test(test_a_return_that_fails_is_undone),
		cmocka_unit_test(test_flapping_ends_voluntary_switches),
		cmocka_unit_test(test_standing),
		cmocka_unit_test(test_outage_canary_and_ramp),
		cmocka_unit_test(test_first_round_logs_in_once),
		cmocka_unit_test(test_unreported_probe_is_forgotten),
		cmocka_unit_test(test_failure_orders_fast_probes),
		cmocka_unit_test(test_intervals_by_role),
		cmocka_unit_test(test_waiting_mail_shortens_the_backoff),
		cmocka_unit_test(test_waiting_mail_asks_blocked_ports_too),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_budget_after_trouble),
		cmocka_unit_test(test_budget_beside_a_blocked_port),
		cmocka_unit_test(test_probe_now_asks_all),
		cmocka_unit_test(test_daily_login),
		cmocka_unit_test(test_no_login_by_probe_without_need),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
