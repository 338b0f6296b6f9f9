/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * summary - what all records of a segment say together, one row for each message:
 * gathered while the segment is written, put in front of its end, read at start in
 * place of the segment. Pure. doc/spool-format.md, "Summaries".
 *
 * Gathering is an append; now and then rows that say nothing any more are dropped.
 */
#ifndef SPOOL_SUMMARY_H
#define SPOOL_SUMMARY_H

#include "base/buf.h"
#include "spool/spool.h"

#define SUMMARY_MAX		(24u << 20)	/* of the text; beyond there is none */
#define SUMMARY_HEAD_MAX	32u		/* "rows: N\n" */
#define SUMMARY_MESSAGE_ROW	104u
#define SUMMARY_OUTCOME_ROW	46u		/* without its text */
#define SUMMARY_FINISH_ROW	19u

#define SUMMARY_MESSAGE	'M'
#define SUMMARY_OUTCOME	'U'
#define SUMMARY_FINISH	'X'

struct summary_row {
	uint8_t		type;
	spool_id	id;
	uint64_t	at, length;	/* of the record; M, U */
	/* M */
	int64_t		received_ms, uid;	/* as in struct commit_lines */
	uint64_t	size;
	uint32_t	nrcpt, first_segment;
	uint8_t		flags;		/* SPOOL_BOUNCE, SPOOL_EIGHT_BIT */
	/* U */
	struct view	text;
};

struct summary;

struct summary *summary_new(uint32_t segment) must_use;
void summary_free(struct summary *);		/* NULL is fine */

/* Records of the segment, in their order: m, which is there; a U with this payload; an X. */
void summary_message(struct summary *, const struct spool_message *m);
void summary_outcome(struct summary *, spool_id id, uint64_t at, uint64_t length, struct view payload);
void summary_finish(struct summary *, spool_id id, uint64_t at);

/* The most bytes that summary_put() adds now; 0: it is too large, there is none. */
uint64_t summary_bytes(const struct summary *);
bool summary_put(struct buf *out, struct summary *) must_use;

/* Is it a whole summary of a segment, which ends at this offset? */
bool summary_check(struct view text, uint64_t end) must_use;
/* The rows of a text that was checked; false at the end. Start with *io = text. */
bool summary_next(struct view *io, struct summary_row *out) must_use;

#endif
