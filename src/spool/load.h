/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load - a stored message, record by record: which bytes are needed next, and what
 * they say. Pure: the caller reads.
 */
#ifndef SPOOL_LOAD_H
#define SPOOL_LOAD_H

#include "spool/lines.h"
#include "spool/record.h"
#include "spool/spool.h"

struct place {
	uint32_t	segment;
	uint64_t	at, length;
};

struct load {
	spool_id	 id;
	struct place	 record;
	bool		 begun;		/* the record was fed */
	struct commit_lines c;		/* of a long message */
	uint32_t	 next;		/* its next chunk */
	struct buf	 lines;		/* its envelope lines */
	bool		 has_envelope;
	struct view	 envelope;	/* complete, once has_envelope */
	struct view	 body;		/* from the last bytes fed */
};

void load_init(struct load *l, const struct spool_message *m);
void load_done(struct load *l);
/* What to feed next; false: the message is complete. */
bool load_wants(const struct load *l, struct place *out) must_use;
/* Views point into bytes, except the envelope of a long message. */
int load_feed(struct load *l, uint64_t nonce, struct view bytes, struct err *e) must_use;

/* Envelope lines and text of an M payload. */
bool load_split_message(struct view payload, struct view *lines, struct view *text) must_use;

#endif
