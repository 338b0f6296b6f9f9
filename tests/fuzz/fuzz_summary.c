/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A segment of arbitrary records, behind one of other records: replayed record by record, and
 * by the summary that was gathered meanwhile. Both must know the same. And arbitrary bytes as a
 * summary.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "spool/replay.h"
#include "spool/summary.h"
#include "unit/spool/same.h"

#define EARLIER	0x68u
#define HERE	0x69u
#define END	(1u << 30)

/* Ids carry the number of a segment; nothing of a message stands in an earlier one than that. */
static uint64_t
some_id(unsigned c, uint32_t segment)
{
	return ((c & 8) != 0 && segment == HERE ? (uint64_t)HERE : (uint64_t)EARLIER) << 24 | (1 + c % 8);
}

/* Copies of a message have the same recipients. */
static uint32_t
count_rcpts(uint64_t id)
{
	return 1 + (uint32_t)(id & 0xffffff) % 4;
}

static bool
put_envelope(struct buf *out, uint64_t id, unsigned c)
{
	bool ok = buf_addf(out, "from: a@example.com\nreceived: 2026-11-22T07:30:23.%03uZ\nprotocol: SMTP\n", c);

	for (unsigned i = 0; i < count_rcpts(id); i++)
		ok = ok && buf_addf(out, "rcpt: b%u@example.net\n", i);
	return ok && buf_addf(out, "size: %u\n%s", c, c % 2 != 0 ? "body: 8bitmime\n" : "");
}

static bool
put_outcome(struct buf *out, unsigned c, struct view more)
{
	return buf_addf(out, "prev: %016x %016x\nattempts: %u\nflags: held\nendpoint: h:25\nstate: %u-%u delivered 250\n",
	    1, 64, c, c % 3, c % 5) && buf_add(out, more);
}

static bool
put_payload(struct buf *out, uint8_t type, uint64_t id, unsigned c, struct view more)
{
	struct extent x[2] = { { EARLIER, 4, 100, 1 }, { HERE, 4, 100, 1 } };
	struct commit_lines commit = { .size = c, .received_ms = c, .nrcpt = count_rcpts(id), .envelope = 10,
		.nextent = 1 + c % 2, .extent = &x[1 - c % 2] };

	switch (type) {
	case RECORD_MESSAGE:
		return put_envelope(out, id, c) && buf_add_byte(out, '\n') && buf_add(out, more);
	case RECORD_COMMIT:
		return lines_put_commit(out, &commit);
	case RECORD_UPDATE:
		return c % 7 == 0 ? buf_add(out, more) : put_outcome(out, c, more);
	default:
		return buf_add(out, more);
	}
}

static bool
put_part(struct buf *out, uint8_t type, uint64_t id, struct view payload)
{
	uint8_t head[RECORD_PART];

	record_put_part(head, type, id, (uint32_t)payload.n);
	return buf_add(out, view_of(head, sizeof(head))) && buf_add(out, payload);
}

static bool
put_group(struct buf *out, uint32_t segment, unsigned c, struct view more)
{
	struct buf message;
	bool ok;

	buf_init(&message, 1u << 20);
	ok = put_payload(&message, RECORD_MESSAGE, some_id(c + 3, segment), c, more) &&
	    put_part(out, RECORD_FINISH, some_id(c, segment), more) &&
	    put_part(out, RECORD_MESSAGE, some_id(c + 3, segment), buf_view(&message));
	buf_done(&message);
	return ok;
}

/* Records by the next bytes of *io, until they end or an end is chosen. */
static void
replay_some(struct replay *rp, uint32_t segment, struct view *io, struct replay *also)
{
	static const uint8_t types[] = { RECORD_MESSAGE, RECORD_UPDATE, RECORD_FINISH, RECORD_GROUP,
		RECORD_COMMIT, RECORD_CHUNK, 'Q' };
	uint64_t at = 256;

	while (io->n > 0) {
		unsigned what = fuzz_choice(io), c = fuzz_choice(io);
		struct view more = fuzz_piece(io);
		struct scan_record x = { .head = { .type = types[what % sizeof(types)] }, .at = at };
		struct buf payload;

		if (what == 255)
			return;
		buf_init(&payload, 1u << 20);
		x.head.id = c % 16 == 15 ? 0 : some_id(c, segment);
		require(x.head.type == RECORD_GROUP ? put_group(&payload, segment, c, more) :
		    put_payload(&payload, x.head.type, x.head.id, c, more));
		x.head.length = (uint32_t)buf_len(&payload);
		x.length = record_room(x.head.length);
		x.payload = buf_view(&payload);
		replay_record(rp, segment, &x);
		if (also != NULL)
			replay_record(also, segment, &x);
		at += x.length;
		buf_done(&payload);
	}
}

static void
require_same(const struct index *a, const struct index *b)
{
	struct spool_message *m;

	require(a->n == b->n);
	for (size_t pos = 0; (m = index_next(a, &pos)) != NULL;) {
		require(index_get(b, m->id) != NULL);
		require(same_message(m, index_get(b, m->id)));
	}
}

static void
compare(struct view io)
{
	struct replay walked, summed;
	struct buf text, again;
	struct summary *both;

	replay_init(&walked);
	replay_init(&summed);
	replay_some(&walked, EARLIER, &io, &summed);
	walked.gather = both = summary_new(HERE);
	replay_some(&walked, HERE, &io, NULL);
	buf_init(&text, SUMMARY_MAX);
	buf_init(&again, SUMMARY_MAX);
	require(summary_put(&text, both) && summary_check(buf_view(&text), END));
	require(summary_put(&again, both) && view_eq(buf_view(&text), buf_view(&again)));
	replay_summary(&summed, HERE, buf_view(&text));
	require_same(walked.found, summed.found);
	buf_done(&text);
	buf_done(&again);
	summary_free(both);
	replay_done(&walked);
	replay_done(&summed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view io = view_of(data, size);
	struct replay rp;

	if (summary_check(io, END)) {
		replay_init(&rp);
		replay_summary(&rp, HERE, io);
		replay_done(&rp);
	}
	compare(io);
	return 0;
}
