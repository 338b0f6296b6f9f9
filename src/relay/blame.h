/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * blame - whose fault it is that sessions end in the midst of a message: the port's, or the message's own?
 *
 * Pure. Remembers which messages failed at which endpoints of a relay, and where others passed since. A message that
 * failed twice, and at an endpoint where another one passed since it failed first, is the cause itself
 * (doc/health.md, "Messages that nobody takes").
 *
 * Invariant: at most BLAME_MAX messages are remembered, the latest.
 */
#ifndef RELAY_BLAME_H
#define RELAY_BLAME_H

#include "spool/spool.h"

#define BLAME_MAX 64

struct blame_entry {
	spool_id	id;		/* 0: nobody */
	uint32_t	failed, passed;	/* endpoints (bits) where it failed; where others passed since */
	unsigned	times;
	bool		arrived;	/* in the end: what it met was not its own fault */
	bool		elsewhere;	/* it is the cause at another relay */
};

struct blame {
	struct blame_entry	entry[BLAME_MAX];
	unsigned		next;	/* the oldest */
};

/* The session with this message failed there. */
void blame_failed(struct blame *, spool_id, size_t endpoint);
/* The message was delivered there. */
void blame_passed(struct blame *, spool_id, size_t endpoint);
/* What another relay has found to be the cause is so here, too, if it failed here. False: there is no news. */
bool blame_share(struct blame *, const struct blame *other);
/* It is known to be the cause itself. */
bool blame_is_own(const struct blame *, spool_id);
/*
 * It may speak against an endpoint: it is not that, and has not failed more often than three times. Were it alone in
 * the queue, it would take one after the other for ever.
 */
bool blame_is_witness(const struct blame *, spool_id);
/* Endpoints (bits) where messages failed that are the cause themselves, and no others. */
uint32_t blame_freed(const struct blame *);

#endif
