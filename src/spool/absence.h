/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * absence - what is not there any more, by the word of a later segment: a whole segment, or
 * the end of one. doc/spool-format.md, "What later segments prove".
 *
 * Blocks; touches nothing but its arguments.
 */
#ifndef SPOOL_ABSENCE_H
#define SPOOL_ABSENCE_H

#include "spool/segment.h"

#define ABSENCE_TEXT_MAX 320u

struct absence {
	uint32_t	segment;
	bool		whole;		/* there is no such file */
	uint64_t	at;		/* else: where it ends now */
	uint64_t	length;		/* of what is missing; 0: not known */
};

/* A segment was read to its end; no_end: record by record, nothing was wrong, and there is no Z. */
bool absence_of_end(struct absence *out, const struct segment *, bool no_end) must_use;
/*
 * There is no segment of this number in log/, which a later one names as the one before it, and there are
 * records in earlier ones. True unless it was set aside.
 */
bool absence_of_segment(struct absence *out, struct fs *, uint32_t number) must_use;

/* One sentence. Returns text. */
const char *absence_text(char text[ABSENCE_TEXT_MAX], const struct absence *);

#endif
