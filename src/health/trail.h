/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trail - the last of what attempts at one endpoint showed, and how often each class. Pure.
 *
 * A success that changes nothing is counted only; a failure like the one before it is told
 * once, with how many times.
 */
#ifndef HEALTH_TRAIL_H
#define HEALTH_TRAIL_H

#include "health/health.h"

#define TRAIL_MAX 16

struct trail_note {
	int64_t			first_ms, last_ms;
	uint32_t		times;
	enum health_class	class;
	enum sample_source	source;
	enum endpoint_state	state;		/* that it led to */
	bool			suspect;
	char			detail[HEALTH_DETAIL_MAX];	/* the last one's, printable */
};

struct trail {
	struct trail_note	note[TRAIL_MAX];
	unsigned		first, n;	/* ring */
	uint32_t		count[HEALTH_CLASS_COUNT][2];	/* by source */
};

/* before and after: the endpoint's view around the note to health. */
void trail_add(struct trail *, const struct health_sample *, const struct endpoint_view *before,
    const struct endpoint_view *after, int64_t now_ms);
/* i counts from the newest; NULL: there is none. */
const struct trail_note *trail_get(const struct trail *, unsigned i);

#endif
