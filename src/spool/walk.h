/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * walk - look at a spool without the daemon: read-only, no lock.
 *
 * Blocks; for posthousectl. While a daemon writes to the same spool, what is found is a
 * moment old: the last records may be missing, and a message may be finished by now.
 * What looks damaged is read twice, and if the daemon gave a segment back meanwhile, which it
 * may have written over by then, all is read anew, so that no fault is told that is none.
 */
#ifndef SPOOL_WALK_H
#define SPOOL_WALK_H

#include "spool/spool.h"

struct walk;

struct walk_totals {
	uint64_t	segments, records, messages, bytes;
	uint64_t	damaged, damaged_bytes;		/* ranges of synced data */
	uint64_t	unreadable;			/* segments */
	uint64_t	incomplete;			/* queued messages: walk_check() */
	uint64_t	missing, missing_bytes;		/* segments or their ends; bytes as far as known */
	uint64_t	unclosed;			/* segments that nothing says are complete */
};

enum walk_fault_kind {
	WALK_RANGE,		/* synced records are damaged */
	WALK_SEGMENT,		/* can't be read */
	WALK_ABSENCE,		/* is not there, or not all of it */
	WALK_MESSAGE		/* is queued and not whole */
};

struct walk_fault {
	enum walk_fault_kind kind;
	uint32_t	segment;
	uint64_t	at, length;	/* WALK_RANGE, WALK_ABSENCE */
	spool_id	message;	/* 0: not known */
	char		why[320];
};

/* Reads all of the log and checks every record. */
int walk_new(struct walk **out, struct fs *, struct err *) must_use;
void walk_free(struct walk *);
void walk_totals(const struct walk *, struct walk_totals *out);
/*
 * Reads every queued message, with all its chunks. False: one can't be read, but then a segment is
 * gone, too, so it says nothing; a new walk has to be checked.
 */
bool walk_check(struct walk *) must_use;
/* The first WALK_FAULTS_MAX of them; NULL at the end. */
#define WALK_FAULTS_MAX 10000u
const struct walk_fault *walk_fault(const struct walk *, size_t i);
/*
 * Is a segment gone that was read? Then a message that can't be read now may be finished,
 * or elsewhere: a new walk knows.
 */
bool walk_is_stale(struct walk *);

/* Queued messages in the order of the log; i counts from 0. NULL at the end. */
const struct spool_message *walk_message(const struct walk *, size_t i);
const struct spool_message *walk_find(const struct walk *, spool_id);
/* The envelope is valid until the next call on w. */
int walk_envelope(struct walk *w, const struct spool_message *, const struct envelope **out,
    struct err *) must_use;
/* The text, piece by piece, each checked before it is given; put returns false to stop. */
int walk_text(struct walk *w, const struct spool_message *, bool (*put)(void *owner, struct view),
    void *owner, struct err *) must_use;
/* What was said last of a recipient who still waits: "" if nothing is known. */
void walk_last_answer(struct walk *w, const struct spool_message *, char *text, size_t cap);

#endif
