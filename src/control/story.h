/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * story - lines of the history as sentences (doc/history.md). Pure.
 *
 * A line that is torn, or whose event is not known, is stepped over. Values that
 * came from outside are as they were sent: the report escapes them.
 */
#ifndef CONTROL_STORY_H
#define CONTROL_STORY_H

#include "base/buf.h"

#define STORY_VALUE_MAX		4096	/* a decoded value: longer than any line */
#define STORY_SENTENCE_MAX	8192

struct story_fact {
	int64_t		at_ms;
	struct view	event;
	struct view	pairs;		/* " id=... key=value ..." */
};

/* Take the next line that is one off the front of *lines. */
bool story_next(struct view *lines, struct story_fact *out) must_use;
/* The next pair of *pairs; value is replaced by the decoded one. False: there is none. */
bool story_pair(struct view *pairs, struct view *key, struct buf *value) must_use;
/* The value of a key; "" if it is not there. */
bool story_value(const struct story_fact *, const char *key, struct buf *value);
uint64_t story_number(const struct story_fact *, const char *key);	/* 0: not there */
bool story_is(const struct story_fact *, const char *event);
/* What happened, without the time. False: nothing is to be told of it. */
bool story_tell(const struct story_fact *, struct buf *sentence) must_use;

#endif
