/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sweep - once a minute: has the wall clock jumped, was the host asleep, which
 * messages are too old; and the file that remembers the clock.
 */
#include "relay/relay_impl.h"

#include "base/banned.h"

#define CLOCK_NAME	"clock"

static int64_t
now_of(const struct relay *r)
{
	return loop_now(r->env.loop);
}

static void keep_clock(struct relay *);

/* Before ages are looked at. */
static void
look_at_clock(struct relay *r)
{
	int64_t before = r->age.wall_ms, passed = now_of(r) - r->age.loop_ms;
	enum age_event event = age_tick(&r->age, now_of(r), loop_wall(r->env.loop));
	int64_t jump = r->age.wall_ms - before - passed;

	if (event == AGE_STEADY)
		return;
	if (event != AGE_SLEPT)
		log_simple(r->life, LEVEL_WARNING, "clock-jumped",
		    "the wall clock jumped %s by %lld s; no message ages by that",
		    jump > 0 ? "forward" : "back", (long long)(jump > 0 ? jump : -jump) / 1000);
	/* Certificates are judged by it; and after a sleep the host may be on another network. */
	relay_network_changed(r, "clock");
	keep_clock(r);
	guard_refresh(r);
}

bool
sweep_is_expired(struct relay *r, const struct spool_message *m)
{
	look_at_clock(r);
	return schedule_is_expired(&r->schedule, m, age_of(&r->age, m->received_ms), now_of(r));
}

/* Messages that are too old, a bounded number at a time. */
static void
expire_some(struct relay *r)
{
	struct spool_message *m;
	size_t pos = 0;
	unsigned n = 0;

	if (staging_is_on(r))
		return;		/* nobody has tried to send it */
	while (n < SWEEP_EXPIRE_MAX && (m = spool_next(r->spool, &pos)) != NULL) {
		if (m->delivery != NULL || (m->flags & SPOOL_HELD) != 0 ||
		    !schedule_is_expired(&r->schedule, m, age_of(&r->age, m->received_ms), now_of(r)))
			continue;
		report_start(r, m);
		n++;
	}
}

/* --- the clock's file ----------------------------------------------------------------------- */

static void
on_kept(void *owner, const struct err *e)
{
	struct relay *r = owner;

	if (e != NULL)
		log_simple(r->env.log, LEVEL_WARNING, "clock-not-kept", "%s", e->text);
}

/* Only while there is mail whose age matters: an idle host's disk sleeps. */
static void
keep_clock(struct relay *r)
{
	struct spool_stats st;
	struct buf text;

	spool_stats(r->spool, &st);
	if (keep_is_busy(&r->clock) || st.messages == 0)
		return;
	buf_init(&text, AGE_TEXT_MAX);
	if (age_text(&r->age, &text))
		keep_write(&r->clock, &text);
	buf_done(&text);
}

void
sweep_keep_clock(struct relay *r)
{
	look_at_clock(r);
	keep_clock(r);
}

static void
clock_load(struct relay *r)
{
	struct buf text;

	buf_init(&text, AGE_TEXT_MAX + 1);
	if (keep_read(&r->clock, &text, AGE_TEXT_MAX, NULL) == 0)	/* or it is the first start */
		age_read(&r->age, buf_view(&text));
	buf_done(&text);
}

static void
on_sweep(void *arg)
{
	struct relay *r = arg;
	int64_t slept = now_of(r) - r->swept_ms - SWEEP_MS;

	r->swept_ms = now_of(r);
	timer_set(r->env.loop, &r->sweep, SWEEP_MS);
	for (size_t i = 0; i < r->nup; i++)
		watch_look(&r->up[i]);
	if (r->spool == NULL || r->closing)
		return;
	if (slept > SWEEP_MS) {
		/* A short sleep; a long one is the clock's matter, too. */
		relay_network_changed(r, "clock");
	}
	sweep_keep_clock(r);
	guard_look(r);
	if (r->draining)
		return;
	expire_some(r);
	failover_spread(r);
	alarms_sweep(r);
	watch_keep_sweep(r);
	for (size_t i = 0; i < r->nup; i++)
		upstream_refresh(&r->up[i]);
}

void
sweep_init(struct relay *r)
{
	timer_init(&r->sweep, on_sweep, r);
	age_init(&r->age, now_of(r), loop_wall(r->env.loop));
	r->clock = (struct keep){ .fs = r->env.fs, .worker = r->env.reader, .name = CLOCK_NAME,
		.on_kept = on_kept, .owner = r };
	clock_load(r);
	r->swept_ms = now_of(r);
}

void
sweep_start(struct relay *r)
{
	timer_set(r->env.loop, &r->sweep, SWEEP_MS);
}

void
sweep_done(struct relay *r)
{
	timer_cancel(r->env.loop, &r->sweep);
	keep_done(&r->clock);
}
