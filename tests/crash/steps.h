/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steps - what several workloads do.
 */
#ifndef CRASH_STEPS_H
#define CRASH_STEPS_H

#include "crash/play.h"

void settle(struct play *);		/* until outcomes are synced */
struct sent *accept_small(struct play *, uint32_t nrcpt);
void finish_and_settle(struct sent *);
/* Its write or sync is going to fail. */
struct sent *refuse(struct play *, size_t most);
/* Nothing fails any more, and what was refused before the next message counts no more. */
void well_again(struct play *);
/* Messages of a fifth of a segment that are finished at once; the second: without crashes there. */
void fill(struct play *, unsigned n);
void fill_unwatched(struct play *, unsigned n);
/* What this does is done without crashes. */
void unwatched(struct play *, void (*fn)(struct play *, void *arg), void *arg);

#endif
