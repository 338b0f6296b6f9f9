/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch - records on their way to the disk, in one run of bytes.
 *
 * Headers are filled in at the last moment (batch_stamp), when segment, place
 * and epoch are known; so a batch can be written again elsewhere.
 */
#ifndef SPOOL_BATCH_H
#define SPOOL_BATCH_H

#include "base/list.h"
#include "spool/record.h"

#define BATCH_MAX		(4u << 20)
#define BATCH_RECORDS_MAX	30000u		/* the index has 16 bits, and a batch may share an epoch */

struct spool_txn;

/* What is to be told or done when the record is written or synced. */
struct entry {
	uint32_t	 at;		/* of the header in bytes */
	uint32_t	 length, crc;	/* of the payload */
	uint8_t		 type;
	uint64_t	 id;
	struct spool_txn *txn;		/* M, B, C */
	uint64_t	 new_id;	/* G: of the bounce */
	uint32_t	 envelope_at, envelope_length;	/* G: the bounce's lines, from the start of the payload */
	uint32_t	 begun_in;	/* X, G: segment where the finished message begins; G: pins a second */
	uint64_t	 reserved;	/* X, G: room that was kept for this record */
	uint32_t	 new_begun_in;	/* G: segment that is pinned for the bounce's id */
	void		(*on_written)(void *owner);	/* U, X, G */
	void		*owner;
};

/* What one user has in a batch. */
struct batch_part {
	int64_t		 user;
	uint64_t	 bytes;
};

struct batch {
	struct list	 link;
	struct buf	 bytes;
	struct entry	*entry;
	uint32_t	 n, cap;
	struct batch_part *part;	/* of users whose new mail is in it; not what becomes of mail */
	uint32_t	 nparts, parts_cap;
	bool		 sync;		/* somebody waits for the sync */
	bool		 accepts;	/* has M, B or C: new mail */
};

struct batch *batch_new(void) must_use;
void batch_free(struct batch *);
/* Begin a record; at most payload_max bytes are added to b->bytes. NULL: no memory. */
struct entry *batch_begin(struct batch *b, uint8_t type, uint64_t id, size_t payload_max) must_use;
/* The record is complete: length, checksum, padding. */
void batch_end(struct batch *b);
/* Bytes of this user's new mail in it; 0: he has none. */
uint64_t batch_part(const struct batch *b, int64_t user);
void batch_part_add(struct batch *b, int64_t user, uint64_t bytes);
/* Undo batch_begin. */
void batch_cancel(struct batch *b);
uint8_t *batch_payload(struct batch *b, const struct entry *x);
/* Checksum again, after a change of the payload. */
void batch_sum(struct batch *b, struct entry *x);
/* A copy of this record, at the end of to. */
void batch_copy(struct batch *to, struct batch *from, const struct entry *x);
/* Fill in all headers. */
void batch_stamp(struct batch *b, uint64_t nonce, uint64_t epoch, uint32_t index);

#endif
