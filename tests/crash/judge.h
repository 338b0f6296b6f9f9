/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * judge - recover what a crash left, with the real code, and say whether it is right.
 */
#ifndef CRASH_JUDGE_H
#define CRASH_JUDGE_H

#include "crash/play.h"

enum crash_kind {
	CRASH_POWER,		/* some of what was not synced is gone */
	CRASH_KILL		/* the process alone: nothing is gone */
};

struct verdict {
	bool		 bad;
	char		 why[400];
	uint64_t	 found;		/* what recovery found, as one number */
};

/*
 * Recovers on this disk, to the end, and dies. What is found must be what the play has
 * promised, and, unless expected is NULL, what an earlier recovery found.
 */
void judge(struct verdict *, const struct play *, struct disk *, enum crash_kind,
    const uint64_t *expected);

#endif
