/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/record.h"

#include "base/crc32c.h"
#include "base/num.h"

#include "base/banned.h"

#define AT_EPOCH	3
#define AT_INDEX	15
#define AT_ID		20
#define AT_LENGTH	37
#define AT_CRC		46
#define AT_TAG		55
#define TAGGED		54	/* columns that the tag covers */

static uint32_t
tag_of(const uint8_t *at, uint64_t nonce)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(nonce >> (8 * i));
	return crc32c(crc32c(0, view_of(bytes, sizeof(bytes))), view_of(at, TAGGED));
}

void
record_put(uint8_t at[RECORD_HEADER], const struct record *r, uint64_t nonce)
{
	memset(at, ' ', RECORD_HEADER);
	at[0] = '@';
	at[1] = r->type;
	num_hex(at + AT_EPOCH, 12, r->epoch);
	num_hex(at + AT_INDEX, 4, r->index);
	num_hex(at + AT_ID, 16, r->id);
	num_hex(at + AT_LENGTH, 8, r->length);
	num_hex(at + AT_CRC, 8, r->crc);
	num_hex(at + AT_TAG, 8, tag_of(at, nonce));
	at[RECORD_HEADER - 1] = '\n';
}

static bool
get_hex(const uint8_t *at, unsigned digits, uint64_t *out)
{
	for (unsigned i = 0; i < digits; i++)
		if (at[i] >= 'A' && at[i] <= 'F')	/* one form only */
			return false;
	return num_parse_hex(view_of(at, digits), out);
}

bool
record_get_any(struct record *out, const uint8_t at[RECORD_HEADER])
{
	uint64_t epoch, index, id, length, crc;

	if (at[0] != '@' || at[1] < 'A' || at[1] > 'Z' || at[RECORD_HEADER - 1] != '\n')
		return false;
	if (at[2] != ' ' || at[19] != ' ' || at[36] != ' ' || at[45] != ' ' || at[54] != ' ')
		return false;
	if (!get_hex(at + AT_EPOCH, 12, &epoch) || !get_hex(at + AT_INDEX, 4, &index) ||
	    !get_hex(at + AT_ID, 16, &id) || !get_hex(at + AT_LENGTH, 8, &length) ||
	    !get_hex(at + AT_CRC, 8, &crc))
		return false;
	*out = (struct record){ .type = at[1], .index = (uint16_t)index, .length = (uint32_t)length,
		.crc = (uint32_t)crc, .epoch = epoch, .id = id };
	return true;
}

bool
record_get(struct record *out, const uint8_t at[RECORD_HEADER], uint64_t nonce)
{
	struct record r;
	uint64_t tag;

	if (!record_get_any(&r, at) || !get_hex(at + AT_TAG, 8, &tag) || tag != tag_of(at, nonce))
		return false;
	*out = r;
	return true;
}

void
record_put_part(uint8_t at[RECORD_PART], uint8_t type, uint64_t id, uint32_t length)
{
	memset(at, ' ', RECORD_PART);
	at[0] = type;
	num_hex(at + 2, 16, id);
	num_hex(at + 19, 8, length);
	at[RECORD_PART - 1] = '\n';
}

bool
record_next_part(struct view *io, struct record_part *out)
{
	const uint8_t *at = io->p;
	uint64_t id, length;

	if (io->n < RECORD_PART || at[RECORD_PART - 1] != '\n' || at[1] != ' ' || at[18] != ' ')
		return false;
	if (!get_hex(at + 2, 16, &id) || !get_hex(at + 19, 8, &length))
		return false;
	if (length > io->n - RECORD_PART)
		return false;
	*out = (struct record_part){ at[0], id, view_of(at + RECORD_PART, length) };
	*io = view_from(*io, RECORD_PART + (size_t)length);
	return true;
}
