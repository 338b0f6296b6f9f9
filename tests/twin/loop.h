/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twin/loop - a loop whose time stands still until the test moves it.
 */
#ifndef TWIN_LOOP_H
#define TWIN_LOOP_H

#include "sys/loop.h"
#include "sys/worker.h"

struct twin_loop {
	struct loop	loop;
	int64_t		mono_ms, wall_ms;
};

void twin_loop_init(struct twin_loop *, int64_t wall_ms);
void twin_loop_done(struct twin_loop *);
/* Run everything that is due in the next ms of virtual time; time then stands there. */
void twin_loop_run(struct twin_loop *, int64_t ms);
/* Run until cond(arg) or the time is over; true if cond came true. */
bool twin_loop_until(struct twin_loop *, bool (*cond)(void *), void *arg, int64_t ms);

/*
 * Runs the jobs one after another, each delay_ms after its submission or after the one
 * before it: run() and done() in the same instant of virtual time.
 */
struct twin_worker {
	struct worker	 worker;
	struct loop	*loop;
	struct list	 jobs;
	struct timer	 timer;
	int64_t		 delay_ms;	/* 0: as soon as the loop turns */
	bool		 stalled;	/* test: runs nothing while set; then call twin_worker_kick() */
};
void twin_worker_init(struct twin_worker *, struct loop *);
void twin_worker_kick(struct twin_worker *);

#endif
