/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lines - the text in S, C and Z records, to and from structs. Pure.
 *
 * Unknown keys are skipped, so that a later version can add some.
 */
#ifndef SPOOL_LINES_H
#define SPOOL_LINES_H

#include "base/buf.h"
#include "base/err.h"
#include "mail/envelope.h"

#define SPOOL_FORMAT	1u
#define LINES_START_MAX	512u	/* an S payload of ours is shorter */

/* S: what a segment says of itself. */
struct segment_start {
	uint64_t	format;
	uint64_t	number, nonce;
	int64_t		created_ms;
	uint64_t	previous, previous_nonce;	/* 0: none */
	bool		closed;			/* the previous one was, with all before its end synced: ... */
	uint64_t	summary;		/* ... offset of its summary; 0: it has none */
	uint64_t	end;			/* ... offset behind its Z; 0: not known (an older program) */
	uint64_t	abandons;		/* segment, 0: none */
	bool		abandons_tail;		/* all that nothing in that segment itself proves synced */
	uint64_t	abandons_from;		/* everything from this offset on */
};
bool lines_put_start(struct buf *out, const struct segment_start *) must_use;
int lines_get_start(struct segment_start *out, struct view, struct err *) must_use;

/* Z: the end of a segment. */
struct segment_end {
	uint64_t	records, bytes;
	uint64_t	summary;		/* offset; 0: none */
};
bool lines_put_end(struct buf *out, const struct segment_end *) must_use;
int lines_get_end(struct segment_end *out, struct view, struct err *) must_use;

/* C: one chunk of a message; 16 bytes in memory. */
struct extent {
	uint32_t	segment;
	uint32_t	offset64;
	uint32_t	length;		/* of the payload */
	uint32_t	crc;
};
#define EXTENT_LINE	64u	/* a line is at most this long */
#define EXTENTS_MAX	16384u	/* a message is at most 1 GiB */

struct commit_lines {
	uint64_t	 size;		/* of the text, without the envelope */
	int64_t		 received_ms;
	int64_t		 uid;		/* whose it is, -1: not known, -2: not said */
	bool		 eight_bit, bounce;
	uint32_t	 nrcpt;
	uint32_t	 envelope;	/* its bytes, at the front of the chunks */
	uint32_t	 nextent;
	struct extent	*extent;	/* owned after get; borrowed in put */
};
bool lines_put_commit(struct buf *out, const struct commit_lines *) must_use;
int lines_get_commit(struct commit_lines *out, struct view, struct err *) must_use;
void lines_commit_done(struct commit_lines *);
/* What is added to the envelope lines once the message is complete. */
bool lines_put_tail(struct buf *out, uint64_t size, bool eight_bit) must_use;
#define LINES_TAIL_MAX	64u

#endif
