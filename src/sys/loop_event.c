/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loop's driver over libevent.
 *
 * libevent waits and reports readiness; our timers live in the loop's own heap
 * and need one libevent timer, for the earliest of them. That timer is left
 * alone when it would fire too early: a needless turn is cheaper than moving
 * it whenever a session's deadline moves on.
 */
#include "sys/loop_event.h"

#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

/*
 * libevent's clock stands still while the machine sleeps and ours does not, so
 * after a resume a deadline may be this late, and no more.
 */
#define LONGEST_WAIT_MS 60000

struct event_loop {
	struct loop	 loop;
	struct event_base *base;
	struct event	 alarm;
	int64_t		 alarm_at_ms;	/* INT64_MAX: not set */
	bool		 fresh;		/* the time was taken since the last sleep */
};

static struct event_loop *
self(struct loop *l)
{
	return container_of(l, struct event_loop, loop);
}

static int64_t
clock_ms(clockid_t id)
{
	struct timespec ts;

	require(clock_gettime(id, &ts) == 0);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t
monotonic_ms(struct loop *l)
{
	return clock_ms(CLOCK_BOOTTIME);
}

static int64_t
wall_ms(struct loop *l)
{
	return clock_ms(CLOCK_REALTIME);
}

static void
on_alarm(evutil_socket_t fd, short what, void *arg)
{
	((struct event_loop *)arg)->alarm_at_ms = INT64_MAX;
}

/* An alarm at or before the wanted time, but not so early that we would spin. */
static void
set_alarm(struct event_loop *el, int64_t at_ms, int64_t now_ms)
{
	int64_t delay_ms;
	struct timeval tv;

	if (at_ms - now_ms > LONGEST_WAIT_MS)
		at_ms = now_ms + LONGEST_WAIT_MS;
	if (el->alarm_at_ms <= at_ms)
		return;
	delay_ms = at_ms - now_ms;
	tv = (struct timeval){ .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
	require(evtimer_add(&el->alarm, &tv) == 0);
	el->alarm_at_ms = at_ms;
}

static void
wait_for_events(struct loop *l, int64_t wake_at_ms)
{
	struct event_loop *el = self(l);
	int64_t now_ms = monotonic_ms(l);
	int flags = EVLOOP_ONCE;

	if (wake_at_ms <= now_ms)
		flags |= EVLOOP_NONBLOCK;
	else
		set_alarm(el, wake_at_ms, now_ms);
	el->fresh = false;
	require(event_base_loop(el->base, flags) >= 0);
}

/*
 * The first event after a sleep takes the time: otherwise the timers that event
 * handlers set would count from before the sleep.
 */
void
loop_woke(struct loop *l)
{
	struct event_loop *el = self(l);

	if (el->fresh)
		return;
	el->fresh = true;
	l->now_ms = monotonic_ms(l);
}

static void
free_loop(struct loop *l)
{
	struct event_loop *el = self(l);

	(void)event_del(&el->alarm);	/* fails only if it was never set up */
	event_base_free(el->base);
	loop_done(l);
	free(el);
}

static const struct loop_driver driver = {
	.wait = wait_for_events,
	.monotonic_ms = monotonic_ms,
	.wall_ms = wall_ms,
	.free = free_loop,
};

int
loop_new(struct loop **out, struct err *e)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;
	struct event_loop *el;

	/* One thread; our own time. */
	if (config != NULL &&
	    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_NO_CACHE_TIME) == 0)
		base = event_base_new_with_config(config);
	if (config != NULL)
		event_config_free(config);
	if (base == NULL)
		return err_set(e, ERR_SYSTEM, "can't start the event loop of libevent");
	el = xzalloc(sizeof(*el));
	el->base = base;
	el->alarm_at_ms = INT64_MAX;
	require(evtimer_assign(&el->alarm, base, on_alarm, el) == 0);
	loop_init(&el->loop, &driver);
	*out = &el->loop;
	return 0;
}

struct event_base *
loop_event_base(struct loop *l)
{
	require(l->driver == &driver);
	return self(l)->base;
}
