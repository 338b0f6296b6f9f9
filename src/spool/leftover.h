/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leftover - the end of a segment that was not closed: the blocks that were reserved for it, or
 * what an earlier use left in them. They are given back, so that kill after kill does not fill the disk;
 * whatever was written, torn or not, stays. Only space is at stake: a failure is of no consequence.
 *
 * Blocks; touches nothing but its arguments.
 */
#ifndef SPOOL_LEFTOVER_H
#define SPOOL_LEFTOVER_H

#include "spool/scan.h"

/* After SCAN_END. The new size of the file, or 0: it is as it was. */
uint64_t leftover_cut(struct fs *, const struct segment *, struct scan *);
/*
 * The same of the last segment, before anything of it was read and while nothing of it is proven. If it
 * has its Z all behind that goes: an orderly stop left it, for want of a spare.
 */
uint64_t leftover_cut_last(struct fs *, const struct segment *);

#endif
