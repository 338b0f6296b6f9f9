/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop - time, timers and deferred work of one thread.
 *
 * Timers and tasks are the same code in the daemon and in the simulator; only
 * the driver differs: loop_event.c waits in libevent, tests/sim steps virtual
 * time. Time is read once a turn, so that one turn sees one time.
 *
 * Thread: everything here belongs to the thread that runs the loop.
 */
#ifndef SYS_LOOP_H
#define SYS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"

struct loop;

struct timer {
	struct heap_node node;
	void		(*fn)(void *arg);
	void		*arg;
};

/* Runs once, later in the same turn or in the next one, before the loop sleeps. */
struct task {
	struct list	 link;
	void		(*fn)(void *arg);
	void		*arg;
};

struct loop_driver {
	/* Sleep until an event or until wake_at_ms (INT64_MAX: for ever); dispatch events. */
	void		(*wait)(struct loop *, int64_t wake_at_ms);
	int64_t		(*monotonic_ms)(struct loop *);
	int64_t		(*wall_ms)(struct loop *);
	void		(*free)(struct loop *);
};

struct loop {
	const struct loop_driver *driver;
	struct heap	 timers;
	struct list	 tasks;
	int64_t		 now_ms;
	bool		 stopping;
	uint64_t	 turns;		/* fed to the watchdog; never stands still */
};

/* For drivers. */
void loop_init(struct loop *, const struct loop_driver *);
void loop_done(struct loop *);
/* Take the time, run due timers, then tasks until there are none. */
void loop_turn(struct loop *);
int64_t loop_next_at(const struct loop *);	/* of timers; INT64_MAX: none */

/* The driver over libevent. */
int loop_new(struct loop **out, struct err *e) must_use;
void loop_free(struct loop *);
/* The event_base, for sys/ alone. */
struct event_base *loop_event_base(struct loop *);

void loop_run(struct loop *);			/* until loop_stop() */
void loop_stop(struct loop *);

/* Monotonic, ms, includes time asleep (CLOCK_BOOTTIME); the time of this turn. */
static inline int64_t
loop_now(const struct loop *l)
{
	return l->now_ms;
}

/* Wall clock, ms since 1970. Only for what people and records see, never for intervals. */
int64_t loop_wall(struct loop *);

void timer_init(struct timer *, void (*fn)(void *), void *arg);
void timer_set(struct loop *, struct timer *, int64_t delay_ms);	/* replaces an earlier set */
void timer_cancel(struct loop *, struct timer *);
static inline bool
timer_is_set(const struct timer *t)
{
	return heap_has(&t->node);
}

void task_init(struct task *, void (*fn)(void *), void *arg);
void task_post(struct loop *, struct task *);	/* no-op if posted already */
void task_cancel(struct task *);

#endif
