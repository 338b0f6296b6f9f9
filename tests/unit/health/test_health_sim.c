/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A day of one relay with three ports in simple worlds (doc/health.md, "Check by
 * simulation"): 60 messages an hour, steps of 5 s, an attempt takes no time, a
 * failed message is tried again in the next step. Prints a table and asserts bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "health/health.h"

#include "base/banned.h"

#define SEEDS		6
#define STEP_MS		5000
#define DAY_MS		(24 * 3600 * 1000ll)
#define HOUR_MS		(3600 * 1000ll)
#define MESSAGES	1440
#define PORTS		3

struct world {
	const char	*name;
	/* Does an attempt at this port work now? */
	bool		(*works)(size_t port, int64_t now_ms, struct rng *);
	int64_t		 outage_end_ms;		/* 0: none */

	/* bounds: means over the seeds */
	double		 failed, switches, probes_hour, p99_s;
};

struct day {
	unsigned	failed, switches, probes;
	double		p99_s;
	int64_t		first_ms;	/* first delivery after the outage */
	int64_t		back_ms;	/* when the first port was in use again after it; -1: never */
	bool		flapping;
};

static bool
percent(struct rng *r, unsigned p)
{
	return rng_below(r, 100) < p;
}

static bool
all_healthy(size_t port, int64_t now_ms, struct rng *r)
{
	return true;
}

static bool
first_filtered(size_t port, int64_t now_ms, struct rng *r)
{
	return port != 0;
}

static bool
two_filtered(size_t port, int64_t now_ms, struct rng *r)
{
	return port == 2;
}

/* From 6:00 to 9:00. */
static bool
first_dead_3h(size_t port, int64_t now_ms, struct rng *r)
{
	return port != 0 || now_ms < 6 * HOUR_MS || now_ms >= 9 * HOUR_MS;
}

static bool
first_loses_10(size_t port, int64_t now_ms, struct rng *r)
{
	return port != 0 || !percent(r, 10);
}

static bool
first_loses_30(size_t port, int64_t now_ms, struct rng *r)
{
	return port != 0 || !percent(r, 30);
}

static bool
first_loses_60(size_t port, int64_t now_ms, struct rng *r)
{
	return port != 0 || !percent(r, 60);
}

static bool
first_flaps(size_t port, int64_t now_ms, struct rng *r)
{
	return port != 0 || now_ms / (10 * 60 * 1000) % 2 == 0;
}

static bool
all_lose_20(size_t port, int64_t now_ms, struct rng *r)
{
	return !percent(r, 20);
}

static bool
all_dead_2h(size_t port, int64_t now_ms, struct rng *r)
{
	return now_ms < 6 * HOUR_MS || now_ms >= 8 * HOUR_MS;
}

/* --- one day ------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
note(struct health *h, size_t port, enum sample_source source, bool ok, int64_t now_ms)
{
	struct health_sample s = {
		.class = ok ? HEALTH_OK : HEALTH_FILTERED, .source = source,
		.ready_ms = ok ? 300 : -1, .logged_in = ok,
	};

	health_note(h, port, &s, now_ms);
}

/* Run every probe that is due before the next step. */
static void
probe(struct health *h, const struct world *w, struct rng *r, int64_t now_ms, struct day *d)
{
	struct health_probe p;

	for (;;) {
		health_next_probe(h, now_ms, &p);
		if (p.endpoint < 0 || p.at_ms >= now_ms + STEP_MS)
			return;
		if (p.at_ms > now_ms)
			now_ms = p.at_ms;
		health_probe_started(h, (size_t)p.endpoint, now_ms);
		note(h, (size_t)p.endpoint, SAMPLE_PROBE, w->works((size_t)p.endpoint, now_ms, r),
		    now_ms);
		d->probes++;
	}
}

/* One message: true when it left. */
static bool
try_message(struct health *h, const struct world *w, struct rng *r, int64_t now_ms, struct day *d)
{
	struct health_choice c;
	size_t order[HEALTH_ENDPOINTS_MAX], n = 1;
	int64_t bit_later_ms = now_ms + 1000;

	health_choose(h, bit_later_ms, &c);
	if (c.changed && c.from >= 0)
		d->switches++;
	if (c.endpoint < 0)
		return false;
	assert_true(c.sessions >= 1);
	order[0] = (size_t)c.endpoint;
	if (c.race)
		n = health_race_order(h, bit_later_ms, order);
	for (size_t k = 0; k < n; k++) {
		bool ok = w->works(order[k], now_ms, r);

		note(h, order[k], SAMPLE_DELIVERY, ok, bit_later_ms);
		if (ok)
			return true;
	}
	d->failed++;		/* a race that one wins has cost no attempt */
	return false;
}

static bool
first_in_use(const struct health *h)
{
	struct endpoint_view v;

	health_endpoint(h, 0, &v);
	return v.current;
}

static struct day
run_day(const struct world *w, uint64_t seed)
{
	struct health_params p = { .port = { 587, 465, 2525 }, .n = PORTS, .sessions_max = 8 };
	struct day d = { .first_ms = -1, .back_ms = -1 };
	int64_t arrived[MESSAGES], delay[MESSAGES];
	bool waits[MESSAGES] = { false };
	size_t n = 0, first = 0, done = 0;
	struct rng r, world;
	struct health_event ev;
	struct health *h;

	rng_init(&r, seed);
	rng_init(&world, seed ^ 0x5eed);
	h = health_new(&p, 0, &r);
	for (int64_t now = 0; now < DAY_MS + 2 * HOUR_MS; now += STEP_MS) {
		if (now < DAY_MS && (now / STEP_MS) % 12 == 3) {
			arrived[n] = now;
			waits[n++] = true;
		}
		probe(h, w, &world, now, &d);
		for (size_t i = first; i < n; i++) {
			if (!waits[i])
				continue;
			if (!try_message(h, w, &world, now, &d))
				break;		/* the others wait behind it */
			delay[done++] = now - arrived[i];
			waits[i] = false;
			if (w->outage_end_ms != 0 && now >= w->outage_end_ms && d.first_ms < 0)
				d.first_ms = now - w->outage_end_ms;
		}
		while (first < n && !waits[first])
			first++;
		health_mail_waits(h, first < n);
		if (w->outage_end_ms != 0 && now >= w->outage_end_ms && d.back_ms < 0 &&
		    first_in_use(h))
			d.back_ms = now - w->outage_end_ms;
		while (health_next_event(h, &ev))
			d.flapping |= ev.kind == HEALTH_FLAPPING;
	}
	assert_int_equal(done, MESSAGES);	/* nothing waits for ever */
	qsort(delay, done, sizeof(delay[0]), compare);
	d.p99_s = (double)delay[done * 99 / 100] / 1000;
	health_free(h);
	return d;
}

/* --- worlds -------------------------------------------------------------- */

static const struct world worlds[] = {
	{ "all healthy", all_healthy, 0, 0, 0, 12, 0 },
	{ "587 filtered", first_filtered, 0, 0, 1.5, 12, 0 },
	{ "587 and 465 filtered", two_filtered, 0, 1.5, 1.5, 13.5, 7.5 },
	{ "587 dead for 3 h", first_dead_3h, 9 * HOUR_MS, 1.5, 3, 13.5, 7.5 },
	{ "587 loses 10 %", first_loses_10, 0, 9, 9, 25.5, 7.5 },
	{ "587 loses 30 %", first_loses_30, 0, 6.5, 4.5, 31.5, 7.5 },
	{ "587 loses 60 %", first_loses_60, 0, 1.5, 1.5, 18, 15 },
	{ "587 works 10 min, dead 10 min", first_flaps, 0, 1.5, 1.5, 58.5, 7.5 },
	{ "every port loses 20 %", all_lose_20, 0, 495, 93, 57, 16.5 },
	{ "all dead for 2 h", all_dead_2h, 8 * HOUR_MS, 9, 4.5, 18, 2 * 3600 + 180 },
};

static void
test_days(void **state)
{
	bool good = true;

	printf("%-32s %8s %9s %9s %8s %10s %9s\n", "situation", "failed", "switches", "probes/h",
	    "p99 s", "first s", "back min");
	for (size_t i = 0; i < sizeof(worlds) / sizeof(worlds[0]); i++) {
		const struct world *w = &worlds[i];
		struct day sum = { 0 };

		for (uint64_t seed = 1; seed <= SEEDS; seed++) {
			struct day d = run_day(w, seed);

			sum.failed += d.failed;
			sum.switches += d.switches;
			sum.probes += d.probes;
			if (d.p99_s > sum.p99_s)
				sum.p99_s = d.p99_s;
			if (d.first_ms > sum.first_ms)
				sum.first_ms = d.first_ms;
			if (w->outage_end_ms != 0 && d.back_ms < 0)
				sum.back_ms = DAY_MS;
			if (d.back_ms > sum.back_ms)
				sum.back_ms = d.back_ms;
		}
		double failed = (double)sum.failed / SEEDS, switches = (double)sum.switches / SEEDS;
		double probes = (double)sum.probes / SEEDS / 26;
		bool ok = failed <= w->failed && switches <= w->switches &&
		    probes <= w->probes_hour && sum.p99_s <= w->p99_s &&
		    sum.first_ms <= 4 * 60 * 1000 && sum.back_ms <= HOUR_MS;

		printf("%-32s %8.1f %9.1f %9.1f %8.0f %10.0f %9.0f%s\n", w->name, failed, switches,
		    probes, sum.p99_s, (double)sum.first_ms / 1000, (double)sum.back_ms / 60000,
		    ok ? "" : "  <-- out of bounds");
		good &= ok;
	}
	(void)fflush(stdout);
	assert_true(good);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_days) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
