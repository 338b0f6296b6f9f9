/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker - what blocks runs on another thread; the answer comes back to the loop.
 *
 * A worker is one thread with a queue: its jobs run one after another in the
 * order of submission. run() must touch only what the job owns. The caller
 * bounds the number of jobs. The simulator's worker runs the job at once and
 * delivers done() after a virtual delay.
 *
 * Thread: worker_submit and done() on the loop thread, run() on the worker's.
 */
#ifndef SYS_WORKER_H
#define SYS_WORKER_H

#include "sys/loop.h"

struct job {
	struct list	 link;
	void		(*run)(struct job *);
	void		(*done)(struct job *);
};

struct worker;
struct worker {
	void		(*submit)(struct worker *, struct job *);
	/*
	 * Runs what was submitted, calls done() for all of it (and for what done()
	 * submits), then joins.
	 */
	void		(*free)(struct worker *);
};

int worker_new(struct worker **out, struct loop *, const char *name, struct err *) must_use;

static inline void
worker_submit(struct worker *w, struct job *j)
{
	w->submit(w, j);
}

static inline void
worker_free(struct worker *w)
{
	if (w != NULL)
		w->free(w);
}

#endif
