/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * refusals - how many of them are logged.
 *
 * Whoever may connect can be refused as often as it likes, and each refusal is a
 * line of the log: without a limit that fills the disk, or the quota of the
 * system's log, which then drops the lines that matter. Beyond so many at a
 * time they are only counted, and one line says how many.
 *
 * Thread: loop thread.
 */
#ifndef INTAKE_REFUSALS_H
#define INTAKE_REFUSALS_H

#include "sys/log.h"
#include "sys/loop.h"

#define REFUSALS_MAX	200		/* lines ... */
#define REFUSALS_MS	10000		/* ... in this time */
#define STRANGERS_MAX	1		/* of whom nobody knows: the Internet knocks all day */
#define STRANGERS_MS	60000

struct refusals {
	struct loop	*loop;
	struct log	*log;
	unsigned	 max;		/* lines ... */
	int64_t		 span_ms;	/* ... in this time */
	struct timer	 timer;		/* runs while the present lot is counted */
	unsigned	 logged;
	uint64_t	 dropped;
};

void refusals_init(struct refusals *, struct loop *, struct log *, unsigned max, int64_t span_ms);
void refusals_done(struct refusals *);
/* One more. True if it is to be logged. */
bool refusals_count(struct refusals *) must_use;

#endif
