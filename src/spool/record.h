/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record - the 64-byte header in front of everything in the log, and the parts
 * of a group. Pure. doc/spool-format.md, "Records".
 */
#ifndef SPOOL_RECORD_H
#define SPOOL_RECORD_H

#include "base/buf.h"

#define RECORD_HEADER	64u
#define RECORD_UNIT	64u	/* every record begins at a multiple of it */
#define RECORD_INDEX_MAX 0xffffu

#define RECORD_START	'S'
#define RECORD_MESSAGE	'M'
#define RECORD_CHUNK	'B'
#define RECORD_COMMIT	'C'
#define RECORD_UPDATE	'U'
#define RECORD_FINISH	'X'
#define RECORD_GROUP	'G'
#define RECORD_SUMMARY	'T'
#define RECORD_SEAL	'Z'
#define RECORD_VOID	'V'

struct record {
	uint8_t		type;
	uint16_t	index;		/* within the epoch */
	uint32_t	length;		/* of the payload */
	uint32_t	crc;		/* of the payload */
	uint64_t	epoch;		/* 48 bits */
	uint64_t	id;
};

/* Header, payload and padding. */
static inline uint64_t
record_room(uint64_t length)
{
	return RECORD_HEADER + (length + RECORD_UNIT - 1) / RECORD_UNIT * RECORD_UNIT;
}

void record_put(uint8_t at[RECORD_HEADER], const struct record *, uint64_t nonce);
/* False unless it is a well-formed header with the tag of this nonce. */
bool record_get(struct record *out, const uint8_t at[RECORD_HEADER], uint64_t nonce) must_use;
/* The same without a look at the tag: for S, whose nonce is not known yet. */
bool record_get_any(struct record *out, const uint8_t at[RECORD_HEADER]) must_use;

/* One part of a group: "T 00000198f2a4c711 00000e3a\n" and its payload. */
#define RECORD_PART	28u
struct record_part {
	uint8_t		type;
	uint64_t	id;
	struct view	payload;
};
void record_put_part(uint8_t at[RECORD_PART], uint8_t type, uint64_t id, uint32_t length);
/* Takes the next part off *io. False at the end and when the rest is no part. */
bool record_next_part(struct view *io, struct record_part *out) must_use;

#endif
