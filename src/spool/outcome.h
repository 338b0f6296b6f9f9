/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outcome - the text of U and X records: how a message stands. Pure.
 *
 * Cumulative for states (every record tells of every recipient that is not
 * simply queued), not for reply texts: those of earlier records are found by
 * following prev.
 */
#ifndef SPOOL_OUTCOME_H
#define SPOOL_OUTCOME_H

#include "base/buf.h"
#include "base/err.h"
#include "spool/spool.h"

#define OUTCOME_TEXTS_MAX	(256u << 10)	/* of all texts in one record */
#define OUTCOME_PREV_LINE	40u		/* "prev: 16 16\n" is always the first line */

/* "queued", "delivered" ... */
const char *outcome_word(enum spool_rcpt_state);

/* What a final outcome without texts takes at most, header included. */
static inline uint64_t
outcome_room(uint32_t nrcpt)
{
	return 64 + 192 + (uint64_t)nrcpt * 40;
}

/* The most that outcome_put() writes. */
static inline size_t
outcome_max(uint32_t nrcpt)
{
	return 1024 + (size_t)nrcpt * 40 + OUTCOME_TEXTS_MAX + SPOOL_TEXT_MAX + 64;
}

/*
 * Put the record's text for m, whose recipients already have the results of u.
 * with_texts: false when space is short. prev is left zero: outcome_set_prev().
 */
bool outcome_put(struct buf *out, struct spool_message *m, const struct spool_update *u,
    bool with_texts) must_use;
void outcome_set_prev(uint8_t line[OUTCOME_PREV_LINE], uint32_t segment, uint32_t offset64);

struct outcome {
	uint32_t	prev_segment, prev_offset64;
	uint16_t	attempts;
	uint8_t		flags;
	int64_t		next_ms;
	struct view	endpoint;
	struct view	lines;		/* all of them, for the two below */
};
int outcome_get(struct outcome *out, struct view, struct err *) must_use;

struct outcome_state {
	uint32_t		first, last;
	enum spool_rcpt_state	state;
	uint16_t		code;
};
/* Both take lines off *io until one of their kind is found; false at the end. */
bool outcome_next_state(struct view *io, struct outcome_state *out) must_use;

struct outcome_text {
	uint32_t	first, last;
	struct view	status, text;
};
bool outcome_next_text(struct view *io, struct outcome_text *out) must_use;

/* Replay: give m what the record says. Recipients not told of are queued. */
void outcome_apply(struct spool_message *m, const struct outcome *);

#endif
