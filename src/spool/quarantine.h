/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quarantine - copies of what is damaged, each with a note of why (.why).
 *
 * The functions block and touch nothing but their arguments: they run on a worker.
 * Each copies once: what an earlier run has copied stays as it is.
 */
#ifndef SPOOL_QUARANTINE_H
#define SPOOL_QUARANTINE_H

#include "spool/segment.h"
#include "spool/spool.h"

/* What the note says. */
struct quarantine_note {
	int64_t		 found_ms;	/* wall */
	spool_id	 message;	/* 0: not known */
	const char	*why;
};

/* How many notes there are; 0 also if that can't be read. */
uint64_t quarantine_notes(struct fs *) must_use;
/* Bytes of a segment, which is open as from. */
int quarantine_range(struct fs *, int from, uint32_t number, uint64_t at, uint64_t length,
    const struct quarantine_note *, struct err *);
/* A whole segment leaves log/. */
int quarantine_segment(struct fs *, uint32_t number, const struct quarantine_note *, struct err *) must_use;
/* Did one? false: also if that can't be said. */
bool quarantine_has_segment(struct fs *, uint32_t number) must_use;
/*
 * A note alone, for there is nothing to copy: what stood in a segment from there on is not there any
 * more. length 0: nobody knows how much; at 0: the segment itself.
 */
int quarantine_absence(struct fs *, uint32_t number, uint64_t at, uint64_t length,
    const struct quarantine_note *, struct err *);
/* Take back the notes of what was missing of segments and is in log/ again. Failure only leaves a note. */
void quarantine_found_again(struct fs *);

/*
 * The chunks of a message whose C is lost, wherever they are up to this segment. From the loop's
 * view they are dead: nothing else keeps them.
 */
int quarantine_chunks(struct fs *, uint32_t last, const struct quarantine_note *, struct err *) must_use;

/* Where a message is. */
struct quarantine_source {
	uint32_t	segment;
	uint64_t	nonce, at, length;
};
/* Its record and its chunks, as they are. */
int quarantine_message(struct fs *, const struct quarantine_source *, const struct quarantine_note *,
    struct err *);

#endif
