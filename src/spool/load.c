/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/load.h"

#include "base/crc32c.h"

#include "base/banned.h"

void
load_init(struct load *l, const struct spool_message *m)
{
	*l = (struct load){ .id = m->id, .record = { m->segment, (uint64_t)m->offset64 * RECORD_UNIT,
		(uint64_t)m->length64 * RECORD_UNIT } };
	buf_init(&l->lines, ENVELOPE_MAX);
}

void
load_done(struct load *l)
{
	buf_done(&l->lines);
	lines_commit_done(&l->c);
}

bool
load_wants(const struct load *l, struct place *out)
{
	if (!l->begun) {
		*out = l->record;
		return true;
	}
	if (l->next == l->c.nextent)
		return false;
	*out = (struct place){ l->c.extent[l->next].segment,
		(uint64_t)l->c.extent[l->next].offset64 * RECORD_UNIT,
		record_room(l->c.extent[l->next].length) };
	return true;
}

bool
load_split_message(struct view payload, struct view *lines, struct view *text)
{
	size_t n = view_search(payload, VIEW("\n\n"));

	if (n == payload.n)
		return false;
	*lines = view_first(payload, n + 1);
	*text = view_from(payload, n + 2);
	return true;
}

/* Header and checksum are right; the payload. */
static bool
check(struct view bytes, uint64_t nonce, struct record *r, struct view *payload)
{
	if (bytes.n < RECORD_HEADER || !record_get(r, bytes.p, nonce))
		return false;
	*payload = view_from(bytes, RECORD_HEADER);
	if (payload->n < r->length)
		return false;
	*payload = view_first(*payload, r->length);
	return crc32c(0, *payload) == r->crc;
}

static int
damaged(struct err *e, const struct load *l, const char *what)
{
	return err_set(e, ERR_DAMAGED, "message %016llx: %s", (unsigned long long)l->id, what);
}

static int
feed_message(struct load *l, struct view payload, struct err *e)
{
	if (!load_split_message(payload, &l->envelope, &l->body))
		return damaged(e, l, "it has no envelope");
	l->has_envelope = true;
	return 0;
}

static int
feed_group(struct load *l, struct view payload, struct err *e)
{
	struct record_part part;

	while (record_next_part(&payload, &part))
		if (part.type == RECORD_MESSAGE && part.id == l->id)
			return feed_message(l, part.payload, e);
	return damaged(e, l, "it is not where it was");
}

static int
feed_record(struct load *l, uint64_t nonce, struct view bytes, struct err *e)
{
	struct view payload;
	struct record r;

	if (!check(bytes, nonce, &r, &payload))
		return damaged(e, l, "its record fails its check");
	l->begun = true;
	if (r.type == RECORD_GROUP)
		return feed_group(l, payload, e);
	if (r.id != l->id)
		return damaged(e, l, "it is not where it was");
	if (r.type == RECORD_MESSAGE)
		return feed_message(l, payload, e);
	if (r.type == RECORD_COMMIT)
		return lines_get_commit(&l->c, payload, e);
	return damaged(e, l, "it is not where it was");
}

static int
feed_chunk(struct load *l, uint64_t nonce, struct view bytes, struct err *e)
{
	const struct extent *x = &l->c.extent[l->next];
	struct view payload, part;
	struct record r;

	/* The checksum that the C has of it says all: no other record has the same, unless it is the same text. */
	if (!check(bytes, nonce, &r, &payload) || r.crc != x->crc)
		return damaged(e, l, "a chunk of it fails its check");
	l->next++;
	l->body = payload;
	if (l->has_envelope)
		return 0;
	part = view_first(payload, l->c.envelope - buf_len(&l->lines));
	l->body = view_from(payload, part.n);
	if (!buf_add(&l->lines, part))
		return err_set(e, ERR_FULL, "out of memory");
	if (buf_len(&l->lines) < l->c.envelope)
		return 0;
	if (!lines_put_tail(&l->lines, l->c.size, l->c.eight_bit))
		return err_set(e, ERR_FULL, "out of memory");
	l->envelope = buf_view(&l->lines);
	l->has_envelope = true;
	return 0;
}

int
load_feed(struct load *l, uint64_t nonce, struct view bytes, struct err *e)
{
	l->body = VIEW("");
	return l->begun ? feed_chunk(l, nonce, bytes, e) : feed_record(l, nonce, bytes, e);
}
