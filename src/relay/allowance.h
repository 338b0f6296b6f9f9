/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * allowance - how much mail each local user may hand in, and may have in the queue
 * (doc/users.md). Pure.
 *
 * For each limit a user has a bucket: what he hands in fills it, and it drains so
 * that it is empty after the limit's time. What would not fit is over the limit. Those
 * whose uid is not known are one user, and so are all beyond ALLOWANCE_USERS_MAX.
 */
#ifndef RELAY_ALLOWANCE_H
#define RELAY_ALLOWANCE_H

#include "base/buf.h"
#include "base/err.h"

#define ALLOWANCE_USERS_MAX	4096
#define ALLOWANCE_TEXT_MAX	(64u + ALLOWANCE_USERS_MAX * 260u)
#define ALLOWANCE_MOST_MAX	(UINT64_C(64) << 30)	/* of a limit: a bucket fits 64 bits */
#define ALLOWANCE_UNKNOWN	(-1)			/* as uid */

enum allowance_what { ALLOWANCE_MESSAGES, ALLOWANCE_RECIPIENTS, ALLOWANCE_BYTES, ALLOWANCE_WHATS };
enum allowance_span { ALLOWANCE_MINUTE, ALLOWANCE_HOUR, ALLOWANCE_DAY, ALLOWANCE_SPANS };

struct allowance_limits {
	uint64_t	most[ALLOWANCE_WHATS][ALLOWANCE_SPANS];	/* 0: any number */
	uint64_t	queue_messages, queue_bytes;		/* of one user at one time */
};

struct allowance_user {
	int64_t		uid;		/* ALLOWANCE_UNKNOWN: all of those */
	bool		frozen;
	/* In the buckets, times the milliseconds of their span; as of at_ms (monotonic). */
	uint64_t	level[ALLOWANCE_WHATS][ALLOWANCE_SPANS];
	int64_t		at_ms;
	/* The caller's counts. */
	uint64_t	messages, bytes;	/* in the queue and coming in, as far as it is known whose */
	uint64_t	taken, over;		/* since start: within the limits, and not */
	int64_t		told_ms;		/* when the log had it last that he is over; 0: never */
	int64_t		over_ms;		/* when he was last; 0: never */
};

struct allowance {
	struct allowance_limits limits;
	struct allowance_user	*user[ALLOWANCE_USERS_MAX];
	size_t			 n;
};

void allowance_init(struct allowance *, const struct allowance_limits *);
void allowance_done(struct allowance *);
/*
 * The user's number, from 1; it stays his while he has messages, is frozen or has anything in a
 * bucket. That of the unknown, which is 1, if there is no room.
 */
unsigned allowance_find(struct allowance *, int64_t uid, int64_t now_ms);
struct allowance_user *allowance_user(struct allowance *, unsigned number);

enum allowance_verdict {
	ALLOWANCE_FITS,
	ALLOWANCE_OVER,		/* a limit */
	ALLOWANCE_FROZEN,
	ALLOWANCE_CROWDED	/* his share of the queue is used up */
};
struct allowance_asked {
	uint64_t	n[ALLOWANCE_WHATS];
	/* Of the messages and bytes, those that the user's counts do not have yet. */
	uint64_t	new_messages, new_bytes;
};
/* Nothing is filled in. *what and *span are set by ALLOWANCE_OVER. */
enum allowance_verdict allowance_ask(struct allowance *, unsigned number, int64_t now_ms,
    const struct allowance_asked *, enum allowance_what *what, enum allowance_span *span);
/* It was taken. */
void allowance_fill(struct allowance *, unsigned number, int64_t now_ms, const struct allowance_asked *);
/* What is in the bucket now, rounded up. */
uint64_t allowance_used(struct allowance *, unsigned number, int64_t now_ms, enum allowance_what,
    enum allowance_span);
const char *allowance_what_word(enum allowance_what);	/* "messages" */
const char *allowance_span_word(enum allowance_span);	/* "minute" */

/* The file without its last line: doc/users.md. */
bool allowance_text(struct allowance *, struct buf *out, int64_t now_ms, int64_t wall_ms) must_use;
/* Into an allowance just initialised. -1: the text is not one, and all begins anew. */
int allowance_load(struct allowance *, struct view text, int64_t now_ms, int64_t wall_ms, struct err *) must_use;

#endif
