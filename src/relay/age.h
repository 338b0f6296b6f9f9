/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * age - how long a message has really waited, whatever the clock did meanwhile.
 *
 * A message on disk knows its arrival by the wall clock alone. What is remembered of that
 * clock is a list of spans, in the order in which they were lived: in each of them it went
 * on steadily while relay ran. A jump in either direction, a host asleep and a time without
 * relay end a span. The age of a message is the rest of the span that it arrived in and
 * all later ones; so it is young rather than old where that can't be known.
 *
 * Pure: times are arguments. loop_ms is monotonic, wall_ms is not.
 */
#ifndef RELAY_AGE_H
#define RELAY_AGE_H

#include "base/buf.h"

#define AGE_SPANS	16		/* remembered; the oldest two become one */
#define AGE_JUMP_MS	600000		/* less than this is drift, a leap second, a late loop */
#define AGE_TEXT_MAX	2048		/* of age_text() */

struct age_span {
	int64_t	from_ms, to_ms;		/* wall */
	int64_t	ran_ms;			/* time in it; at most to - from */
};

struct age {
	struct age_span	span[AGE_SPANS];	/* the last one goes on */
	size_t		n;			/* at least 1 */
	int64_t		loop_ms, wall_ms;	/* at the last age_tick() */
};

enum age_event {
	AGE_STEADY,
	AGE_SLEPT,		/* nobody looked for a long time: the host was asleep */
	AGE_FORWARD,		/* the wall clock jumped */
	AGE_BACK
};

void age_init(struct age *, int64_t loop_ms, int64_t wall_ms);
/* At least once a minute, and before age_of(). */
enum age_event age_tick(struct age *, int64_t loop_ms, int64_t wall_ms);
/* Of a message that arrived then, at the last tick. */
int64_t age_of(const struct age *, int64_t received_ms);

/* What must outlive the process, as lines. */
bool age_text(const struct age *, struct buf *out) must_use;
/* At start, with the text of the last run. Bad lines are ignored: messages are young then. */
void age_read(struct age *, struct view text);

#endif
