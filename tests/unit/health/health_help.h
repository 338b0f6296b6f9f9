/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * health_help - a health object with a clock, for its tests.
 */
#ifndef UNIT_RELAY_HEALTH_HELP_H
#define UNIT_RELAY_HEALTH_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "health/health_impl.h"

struct fixture {
	struct rng	 rng;
	struct health	*h;
	int64_t		 now;
};

static inline void
start_with(struct fixture *f, const struct health_params *p)
{
	rng_init(&f->rng, 7);
	f->now = 1000000;
	f->h = health_new(p, f->now, &f->rng);
}

/* The first n of 587, 465, 2525; 8 sessions. */
static inline void
start(struct fixture *f, size_t n)
{
	struct health_params p = { .port = { 587, 465, 2525 }, .n = n, .sessions_max = 8 };

	start_with(f, &p);
}

static inline void
stop(struct fixture *f)
{
	health_free(f->h);
	f->h = NULL;
}

static inline void
report(struct fixture *f, size_t i, enum sample_source source, enum health_class class)
{
	struct health_sample s = { .class = class, .source = source,
		.ready_ms = class == HEALTH_OK ? 300 : -1 };

	health_note(f->h, i, &s, f->now);
}

static inline void
probe(struct fixture *f, size_t i, enum health_class class)
{
	health_probe_started(f->h, i, f->now);
	report(f, i, SAMPLE_PROBE, class);
}

static inline void
delivery(struct fixture *f, size_t i, enum health_class class)
{
	report(f, i, SAMPLE_DELIVERY, class);
}

static inline struct endpoint_view
view(const struct fixture *f, size_t i)
{
	struct endpoint_view v;

	health_endpoint(f->h, i, &v);
	return v;
}

static inline struct endpoint_points
points(const struct fixture *f, size_t i)
{
	struct endpoint_points p;

	health_points(f->h, i, f->now, &p);
	return p;
}

static inline enum endpoint_state
state_of(const struct fixture *f, size_t i)
{
	return view(f, i).state;
}

/* Every port works; the events of that are read. */
static inline void
all_up(struct fixture *f)
{
	struct health_event ev;

	for (size_t i = 0; i < HEALTH_ENDPOINTS_MAX && i < 3; i++) {
		if (i >= f->h->n)
			break;
		probe(f, i, HEALTH_OK);
	}
	while (health_next_event(f->h, &ev))
		continue;
}

static inline struct health_choice
choose(struct fixture *f)
{
	struct health_choice c;

	health_choose(f->h, f->now, &c);
	return c;
}

static inline void
kill_port(struct fixture *f, size_t i)
{
	for (int k = 0; k < 3; k++)
		probe(f, i, HEALTH_FILTERED);
	assert_int_equal(state_of(f, i), EP_DOWN);
}

/* From down to up. */
static inline void
recover(struct fixture *f, size_t i)
{
	for (int k = 0; k < 4 && state_of(f, i) != EP_UP; k++) {
		probe(f, i, HEALTH_OK);
		f->now += 10000;
	}
	assert_int_equal(state_of(f, i), EP_UP);
}

/* The next probe of i comes after that many seconds, give or take 20 %. */
static inline void
assert_interval(const struct fixture *f, size_t i, int64_t seconds)
{
	int64_t wait_ms = view(f, i).next_probe_ms - f->now;

	assert_in_range(wait_ms, seconds * 800, seconds * 1200);
}

#endif
