/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/batch.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/require.h"

#include "base/banned.h"

#define BYTES_MAX	(64u << 20)	/* far above BATCH_MAX and any record */

struct batch *
batch_new(void)
{
	struct batch *b = xzalloc(sizeof(*b));

	list_init(&b->link);
	buf_init(&b->bytes, BYTES_MAX);
	return b;
}

void
batch_free(struct batch *b)
{
	if (b == NULL)
		return;
	list_remove(&b->link);
	buf_done(&b->bytes);
	free(b->entry);
	free(b->part);
	free(b);
}

struct entry *
batch_begin(struct batch *b, uint8_t type, uint64_t id, size_t payload_max)
{
	size_t at = buf_len(&b->bytes);

	if (buf_reserve(&b->bytes, (size_t)record_room(payload_max)) == NULL)
		return NULL;
	buf_grew(&b->bytes, RECORD_HEADER);
	if (b->n == b->cap) {
		b->cap = b->cap != 0 ? b->cap * 2 : 16;
		b->entry = xrealloc(b->entry, b->cap * sizeof(*b->entry));
	}
	b->entry[b->n] = (struct entry){ .at = (uint32_t)at, .type = type, .id = id };
	return &b->entry[b->n++];
}

uint8_t *
batch_payload(struct batch *b, const struct entry *x)
{
	return b->bytes.data + b->bytes.off + x->at + RECORD_HEADER;
}

void
batch_sum(struct batch *b, struct entry *x)
{
	x->crc = crc32c(0, view_of(batch_payload(b, x), x->length));
}

void
batch_end(struct batch *b)
{
	struct entry *x = &b->entry[b->n - 1];
	size_t pad;
	uint8_t *p;

	x->length = (uint32_t)(buf_len(&b->bytes) - x->at - RECORD_HEADER);
	pad = (size_t)(record_room(x->length) - RECORD_HEADER - x->length);
	p = buf_reserve(&b->bytes, pad);
	require(p != NULL);		/* reserved by batch_begin */
	memset(p, '\n', pad);
	buf_grew(&b->bytes, pad);
	batch_sum(b, x);
	if (x->type == RECORD_MESSAGE || x->type == RECORD_COMMIT || x->type == RECORD_GROUP)
		b->sync = true;
	if (x->type == RECORD_MESSAGE || x->type == RECORD_COMMIT || x->type == RECORD_CHUNK)
		b->accepts = true;
}

static struct batch_part *
find_part(const struct batch *b, int64_t user)
{
	for (uint32_t i = 0; i < b->nparts; i++)
		if (b->part[i].user == user)
			return &b->part[i];
	return NULL;
}

uint64_t
batch_part(const struct batch *b, int64_t user)
{
	const struct batch_part *p = find_part(b, user);

	return p != NULL ? p->bytes : 0;
}

void
batch_part_add(struct batch *b, int64_t user, uint64_t bytes)
{
	struct batch_part *p = find_part(b, user);

	if (p == NULL) {
		if (b->nparts == b->parts_cap) {
			b->parts_cap = b->parts_cap != 0 ? b->parts_cap * 2 : 4;
			b->part = xrealloc(b->part, b->parts_cap * sizeof(*b->part));
		}
		p = &b->part[b->nparts++];
		*p = (struct batch_part){ .user = user };
	}
	p->bytes += bytes;
}

void
batch_cancel(struct batch *b)
{
	buf_truncate(&b->bytes, b->entry[--b->n].at);
}

void
batch_copy(struct batch *to, struct batch *from, const struct entry *x)
{
	struct entry *copy = batch_begin(to, x->type, x->id, x->length);
	uint32_t at;

	require(copy != NULL);		/* what became of a message is never given up */
	at = copy->at;
	*copy = *x;
	copy->at = at;
	require(buf_add(&to->bytes, view_of(batch_payload(from, x), x->length)));
	batch_end(to);
}

void
batch_stamp(struct batch *b, uint64_t nonce, uint64_t epoch, uint32_t index)
{
	for (uint32_t i = 0; i < b->n; i++) {
		const struct entry *x = &b->entry[i];
		struct record r = { .type = x->type, .index = (uint16_t)(index + i), .length = x->length,
			.crc = x->crc, .epoch = epoch, .id = x->id };

		record_put(b->bytes.data + b->bytes.off + x->at, &r, nonce);
	}
}
