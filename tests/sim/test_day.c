/* SPDX-License-Identifier: BSD-2-Clause */
/* Intake and relay together: whole days with what goes wrong on them. */
#include "sim/scenario.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

#include "base/banned.h"

static int
setup(void **state)
{
	(void)scenario_setup(state);
	world_use_intake(*state);
	return 0;
}

static void
send_one(struct world *w, unsigned i)
{
	char text[40];

	snprintf(text, sizeof(text), "day-%06u.", i);
	world_send(w, ALICE, BOB, text);
}

/* Each one arrived; returns how many arrived in all. */
static unsigned
arrivals(struct world *w, unsigned n)
{
	uint8_t *seen = xzalloc(n);
	unsigned sum = 0;

	for (size_t p = 0; p < PORTS; p++)
		list_foreach(link, &w->port[p].taken) {
			unsigned i = taken_number(list_entry(link, struct taken, link), VIEW("day-"));

			assert_true(i < n);
			seen[i] = 1;
			sum++;
		}
	for (unsigned i = 0; i < n; i++)
		if (!seen[i])
			fail_msg("message %u never arrived", i);
	free(seen);
	return sum;
}

/* --- how long messages took ---------------------------------------------------------- */

static int
compare_ms(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* The 99th percentile, for days with one message a minute from began_ms on. */
static int64_t
delay_p99(struct world *w, int64_t began_ms, unsigned n)
{
	int64_t *delay = xcalloc(2 * n, sizeof(*delay)), p99;
	size_t k = 0;

	for (size_t p = 0; p < PORTS; p++)
		list_foreach(link, &w->port[p].taken) {
			const struct taken *t = list_entry(link, struct taken, link);

			assert_true(k < 2 * n);
			delay[k++] = t->at_ms - began_ms - MINUTES(taken_number(t, VIEW("day-")));
		}
	qsort(delay, k, sizeof(*delay), compare_ms);
	p99 = delay[k * 99 / 100];
	free(delay);
	return p99;
}

/* What happens at this minute of the day. */
typedef void incident_fn(struct world *, unsigned minute);

static unsigned
run_day(struct world *w, incident_fn *incident)
{
	unsigned n = 0;

	world_start(w);
	for (unsigned minute = 0; minute < 24 * 60; minute++) {
		incident(w, minute);
		send_one(w, n++);
		world_run(w, MINUTES(1));
	}
	assert_true(world_settle(w, HOURS(3)));
	assert_int_equal(w->acknowledged, n);
	assert_int_equal(world_logged(w, "bounced", "") + world_logged(w, "expired", ""), 0);
	return n;
}

static void
nothing(struct world *w, unsigned minute)
{
}

static void
a_calm_day(void **state)
{
	struct world *w = *state;
	unsigned n = run_day(w, nothing);

	assert_int_equal(arrivals(w, n), n);
	assert_int_equal(w->port[P587].ntaken, n);
	assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
	assert_true(world_logged(w, "probe", "") <= 24 * 12);
}

static void
bad_luck(struct world *w, unsigned minute)
{
	switch (minute) {
	case 60:		/* blocked by a firewall for three hours */
		w->port[P587].ep->mode = TWIN_SILENT;
		twin_endpoint_cut(w->port[P587].ep);
		break;
	case 240:
		smarthost_heal(&w->port[P587]);
		break;
	case 400:		/* all of the network is gone for two hours */
		world_all(w, TWIN_NO_ROUTE);
		for (int i = 0; i < PORTS; i++)
			twin_endpoint_cut(w->port[i].ep);
		break;
	case 520:
		world_all(w, TWIN_ACCEPT);
		break;
	case 600:
		w->port[P587].ep->tls = STREAM_TLS_EXPIRED;
		break;
	case 660:
		w->port[P465].ep->mode = TWIN_MUTE;
		break;
	case 720:
		smarthost_heal(&w->port[P465]);
		break;
	case 800:
		smarthost_heal(&w->port[P587]);
		break;
	case 1000:
		smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.0 greylisted", 50 });
		break;
	default:
		break;
	}
}

static void
a_bad_day(void **state)
{
	struct world *w = *state;
	unsigned n = run_day(w, bad_luck);

	assert_int_equal(arrivals(w, n), n);
	assert_true(w->port[P465].ntaken > 150);
	assert_true(w->port[P587].ntaken > 500);
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
	/* A wasted attempt or two for each incident, not one for each message. */
	assert_true(world_logged(w, "attempt-failed", "") < 30);
}

/* The situations of the table in doc/health.md that a day of real relay can show. */
static void
a_lossy_first_port(void **state)
{
	struct world *w = *state;
	int64_t began = w->loop.mono_ms;
	unsigned n;

	smarthost_fault(&w->port[P587], (struct fault){ AT_GREETING, CUT, NULL, ALWAYS, NULL, 30 });
	n = run_day(w, nothing);
	assert_int_equal(arrivals(w, n), n);
	assert_true(world_logged(w, "attempt-failed", "") <= 40);
	assert_true(delay_p99(w, began, n) <= SECONDS(10));
}

static void
every_port_loses_some(void **state)
{
	struct world *w = *state;
	int64_t began = w->loop.mono_ms;
	unsigned n;

	fault_everywhere(w, (struct fault){ AT_GREETING, CUT, NULL, ALWAYS, NULL, 20 });
	n = run_day(w, nothing);
	assert_int_equal(arrivals(w, n), n);
	assert_true(delay_p99(w, began, n) <= SECONDS(30));
	assert_true(world_logged(w, "route-changed", "") <= 150);
}

static void
on_and_off(struct world *w, unsigned minute)
{
	if (minute % 20 == 10) {
		w->port[P587].ep->mode = TWIN_SILENT;
		twin_endpoint_cut(w->port[P587].ep);
	} else if (minute % 20 == 0) {
		w->port[P587].ep->mode = TWIN_ACCEPT;
	}
}

static void
a_first_port_that_comes_and_goes(void **state)
{
	struct world *w = *state;
	int64_t began = w->loop.mono_ms;
	unsigned n = run_day(w, on_and_off);

	assert_int_equal(arrivals(w, n), n);
	assert_true(delay_p99(w, began, n) <= SECONDS(20));
	assert_true(world_logged(w, "route-changed", "") <= 8);
}

static void
kills(struct world *w, unsigned minute)
{
	if (minute % 37 == 36) {
		send_one(w, 1440 + minute / 37);
		world_run(w, 10 + (int64_t)rng_below(&w->rng, 250));
		world_crash(w, minute % 2 == 0 ? TWIN_KEEP_ALL : TWIN_KEEP_SOME);
	}
}

static void
a_day_with_kills(void **state)
{
	struct world *w = *state;
	unsigned sum, extra = 24 * 60 / 37;

	world_start(w);
	for (unsigned minute = 0; minute < 24 * 60; minute++) {
		kills(w, minute);
		send_one(w, minute);
		world_run(w, MINUTES(1));
	}
	assert_true(world_settle(w, HOURS(3)));
	assert_int_equal(w->acknowledged, 1440 + extra);
	sum = arrivals(w, 1440 + extra);
	/* Repeats: what was on its way at a kill, and what a client sent again. */
	assert_true(sum <= 1440 + 3 * extra);
}

static void
relay_gone_for_a_while(void **state)
{
	struct world *w = *state;

	world_start(w);
	send_one(w, 0);
	world_run(w, SECONDS(2));
	world_stop(w);
	send_one(w, 1);
	send_one(w, 2);
	world_run(w, SECONDS(10));
	world_start(w);
	world_run(w, SECONDS(5));
	assert_int_equal(w->acknowledged, 3);
	assert_int_equal(world_logged(w, "refused", ""), 0);	/* they only waited */
	world_stop(w);
	send_one(w, 3);
	world_run(w, MINUTES(2));
	assert_true(world_logged(w, "refused", "451") > 0);
	world_start(w);
	world_run(w, MINUTES(1));
	assert_int_equal(arrivals(w, 4), 4);
}

static void
twenty_programs_at_a_time(void **state)
{
	struct world *w = *state;

	world_start(w);
	for (unsigned i = 0; i < 1000; i++) {
		send_one(w, i);
		if (i % 20 == 19)
			world_run(w, 20);
	}
	assert_true(world_settle(w, MINUTES(2)));
	assert_int_equal(w->acknowledged, 1000);
	assert_int_equal(arrivals(w, 1000), 1000);
}

#define DAY(fn)	cmocka_unit_test_setup_teardown(fn, setup, scenario_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DAY(a_calm_day),
		DAY(a_bad_day),
		DAY(a_lossy_first_port),
		DAY(every_port_loses_some),
		DAY(a_first_port_that_comes_and_goes),
		DAY(a_day_with_kills),
		DAY(relay_gone_for_a_while),
		DAY(twenty_programs_at_a_time),
	};

	return scenario_run(tests);
}
