/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay - what the records of the log say, in order: messages and how they
 * stand. For recovery and for the walk without the daemon.
 */
#ifndef SPOOL_REPLAY_H
#define SPOOL_REPLAY_H

#include "base/map.h"
#include "spool/index.h"
#include "spool/scan.h"

struct replay {
	struct index	*found;
	uint64_t	unclear;	/* good records whose text makes no sense */
	struct map	 holds;		/* of copies without an outcome behind them, by id */
	struct map	 open;		/* ids with chunks and no C yet, in the segments that were walked */
	struct map	 orphans;	/* ids that a U speaks of, but no M, C or X that was read; value: its segment */
	struct summary	*gather;	/* NULL; or takes what the records say, too; not owned */
};

void replay_init(struct replay *);
void replay_done(struct replay *);		/* frees the messages */
/* Records in the order of the log. Idempotent. payload must be valid during the call. */
void replay_record(struct replay *, uint32_t segment, const struct scan_record *);
/* A header could not be read: it may have been that of the C of anything that is open. */
void replay_lost_header(struct replay *);
/* Next of those that have no C even now; start with *pos = 0. 0: no more. */
spool_id replay_next_lost(struct replay *, size_t *pos);
/*
 * Messages that are lost, up to a bound: segments go from the front, and a message's not before its end is recorded, so
 * all that stands of one that is finished is its end, or records in front of it. It stood in *segment at the
 * latest. 0: no more.
 */
spool_id replay_next_orphan(const struct replay *, size_t *pos, uint32_t *segment);
/* The same of a whole segment at once, by its summary, which was checked. */
void replay_summary(struct replay *, uint32_t segment, struct view text);

#endif
