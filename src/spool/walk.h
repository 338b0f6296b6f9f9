/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk - look at a spool without the daemon: read-only, no lock.
 *
 * Blocks; for posthousectl. While a daemon writes to the same spool, what is found may
 * be a moment old, and the last records may be missing.
 */
#ifndef SPOOL_WALK_H
#define SPOOL_WALK_H

#include "spool/spool.h"

struct walk;

struct walk_totals {
	uint64_t	segments, records, messages, bytes;
	uint64_t	damaged, damaged_bytes;		/* ranges of synced data */
	uint64_t	unreadable;			/* segments */
	uint64_t	torn;				/* segments that end in records nobody was told of */
};

/* Reads all of the log and checks every record. trouble gets one line for each fault. */
int walk_new(struct walk **out, struct fs *, void (*trouble)(void *owner, const char *what), void *owner,
    struct err *) must_use;
void walk_free(struct walk *);
void walk_totals(const struct walk *, struct walk_totals *out);

/* Queued messages in the order of the log; i counts from 0. NULL at the end. */
const struct spool_message *walk_message(const struct walk *, size_t i);
const struct spool_message *walk_find(const struct walk *, spool_id);
/* The envelope is valid until the next call on w. */
int walk_envelope(struct walk *w, const struct spool_message *, const struct envelope **out,
    struct err *) must_use;
/* The text, piece by piece, each checked before it is given; put returns false to stop. */
int walk_text(struct walk *w, const struct spool_message *, bool (*put)(void *owner, struct view),
    void *owner, struct err *) must_use;

#endif
