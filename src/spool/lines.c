/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/lines.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/date.h"
#include "base/num.h"
#include "spool/spool.h"

#include "base/banned.h"

/* Takes "key: value" off *io; false at the end and for a line without a key. */
static bool
next_line(struct view *io, struct view *key, struct view *value)
{
	struct view line;

	if (!view_split(io, '\n', &line))
		return false;
	*value = line;
	if (view_find(line, ':') == line.n || !view_split(value, ':', key))
		return false;
	*value = view_trim(*value);
	return true;
}

/* Takes one word; true if it is 1 to 16 hex digits. */
static bool
next_hex(struct view *io, uint64_t *out)
{
	struct view word;

	return view_split(io, ' ', &word) && num_parse_hex(word, out);
}

/* --- S --------------------------------------------------------------------- */

bool
lines_put_start(struct buf *out, const struct segment_start *s)
{
	char date[DATE_MAX];

	if (!buf_addf(out, "format: %u\nnumber: %016llx\nnonce: %016llx\ncreated: %s\n", SPOOL_FORMAT,
	    (unsigned long long)s->number, (unsigned long long)s->nonce, date_rfc3339(date, s->created_ms)))
		return false;
	if (s->previous != 0 && !buf_addf(out, "previous: %016llx %016llx\n",
	    (unsigned long long)s->previous, (unsigned long long)s->previous_nonce))
		return false;
	if (s->closed && !buf_addf(out, "summary: %016llx\nend: %016llx\n",
	    (unsigned long long)s->summary, (unsigned long long)s->end))
		return false;
	if (s->abandons == 0)
		return true;
	if (s->abandons_tail)
		return buf_addf(out, "abandons: %016llx tail\n", (unsigned long long)s->abandons);
	return buf_addf(out, "abandons: %016llx from=%016llx\n", (unsigned long long)s->abandons,
	    (unsigned long long)s->abandons_from);
}

static bool
get_abandons(struct segment_start *s, struct view v)
{
	if (!next_hex(&v, &s->abandons))
		return false;
	if (view_eq(v, VIEW("tail"))) {
		s->abandons_tail = true;
		return true;
	}
	return view_starts(v, VIEW("from=")) && num_parse_hex(view_from(v, 5), &s->abandons_from);
}

int
lines_get_start(struct segment_start *out, struct view v, struct err *e)
{
	struct segment_start s = { 0 };
	struct view key, value;
	bool ok = true;

	while (ok && v.n > 0) {
		if (!next_line(&v, &key, &value)) {
			ok = false;
			break;
		}
		if (view_eq(key, VIEW("format")))
			ok = num_parse_u64(value, 1, UINT32_MAX, &s.format);
		else if (view_eq(key, VIEW("number")))
			ok = num_parse_hex(value, &s.number);
		else if (view_eq(key, VIEW("nonce")))
			ok = num_parse_hex(value, &s.nonce);
		else if (view_eq(key, VIEW("created")))
			ok = date_parse_rfc3339(value, &s.created_ms);
		else if (view_eq(key, VIEW("previous")))
			ok = next_hex(&value, &s.previous) && next_hex(&value, &s.previous_nonce);
		else if (view_eq(key, VIEW("summary")))
			ok = s.closed = num_parse_hex(value, &s.summary);
		else if (view_eq(key, VIEW("end")))
			ok = num_parse_hex(value, &s.end);
		else if (view_eq(key, VIEW("abandons")))
			ok = get_abandons(&s, value);
		/* A later format may change the other lines: its number is all that counts. */
		if (ok && s.format > SPOOL_FORMAT)
			break;
	}
	if (!ok || s.format == 0 || (s.format == SPOOL_FORMAT && s.number == 0))
		return err_set(e, ERR_DAMAGED, "the start of the segment is malformed");
	*out = s;
	return 0;
}

/* --- Z --------------------------------------------------------------------- */

bool
lines_put_end(struct buf *out, const struct segment_end *end)
{
	return buf_addf(out, "records: %llu\nbytes: %llu\nsummary: %016llx\n",
	    (unsigned long long)end->records, (unsigned long long)end->bytes,
	    (unsigned long long)end->summary);
}

int
lines_get_end(struct segment_end *out, struct view v, struct err *e)
{
	struct segment_end end = { 0 };
	struct view key, value;
	bool ok = true;

	while (ok && v.n > 0) {
		if (!next_line(&v, &key, &value))
			ok = false;
		else if (view_eq(key, VIEW("records")))
			ok = num_parse_u64(value, 0, UINT64_MAX, &end.records);
		else if (view_eq(key, VIEW("bytes")))
			ok = num_parse_u64(value, 0, UINT64_MAX, &end.bytes);
		else if (view_eq(key, VIEW("summary")))
			ok = num_parse_hex(value, &end.summary);
	}
	if (!ok)
		return err_set(e, ERR_DAMAGED, "the end of the segment is malformed");
	*out = end;
	return 0;
}

/* --- C --------------------------------------------------------------------- */

bool
lines_put_tail(struct buf *out, uint64_t size, bool eight_bit)
{
	return buf_addf(out, "size: %llu\n%s", (unsigned long long)size,
	    eight_bit ? "body: 8bitmime\n" : "");
}

static bool
put_uid(struct buf *out, int64_t uid)
{
	if (uid == SPOOL_UID_UNSAID)
		return true;
	return uid < 0 ? buf_add_str(out, "uid: unknown\n") : buf_addf(out, "uid: %lld\n", (long long)uid);
}

static bool
get_uid(struct view v, int64_t *out)
{
	uint64_t n = 0;
	bool known = !view_eq(v, VIEW("unknown"));

	if (known && !num_parse_u64(v, 0, UINT32_MAX, &n))
		return false;
	*out = known ? (int64_t)n : -1;
	return true;
}

bool
lines_put_commit(struct buf *out, const struct commit_lines *c)
{
	char date[DATE_MAX];

	if (!lines_put_tail(out, c->size, c->eight_bit) || !buf_addf(out,
	    "received: %s\nrecipients: %u\nenvelope: %u\n%s", date_rfc3339(date, c->received_ms),
	    c->nrcpt, c->envelope, c->bounce ? "bounce: yes\n" : "") || !put_uid(out, c->uid))
		return false;
	for (uint32_t i = 0; i < c->nextent; i++) {
		const struct extent *x = &c->extent[i];

		if (!buf_addf(out, "chunk: %x %llx %x %08x\n", x->segment,
		    (unsigned long long)x->offset64 * 64, x->length, x->crc))
			return false;
	}
	return true;
}

static bool
get_chunk(struct commit_lines *c, struct view v)
{
	uint64_t segment, offset, length, crc;

	if (c->nextent == EXTENTS_MAX || !next_hex(&v, &segment) || !next_hex(&v, &offset) ||
	    !next_hex(&v, &length) || !next_hex(&v, &crc))
		return false;
	if (segment == 0 || segment > UINT32_MAX || offset % 64 != 0 || offset / 64 > UINT32_MAX ||
	    length == 0 || length > 65536 || crc > UINT32_MAX)
		return false;
	if ((c->nextent & (c->nextent - 1)) == 0)	/* full, or empty: double */
		c->extent = xrealloc(c->extent, (c->nextent != 0 ? c->nextent * 2 : 1) * sizeof(*c->extent));
	c->extent[c->nextent++] = (struct extent){ (uint32_t)segment, (uint32_t)(offset / 64),
		(uint32_t)length, (uint32_t)crc };
	return true;
}

static bool
get_commit_line(struct commit_lines *c, struct view key, struct view value)
{
	uint64_t n;
	bool ok = true;

	if (view_eq(key, VIEW("chunk"))) {
		ok = get_chunk(c, value);
	} else if (view_eq(key, VIEW("size"))) {
		ok = num_parse_u64(value, 0, INT64_MAX, &c->size);
	} else if (view_eq(key, VIEW("received"))) {
		ok = date_parse_rfc3339(value, &c->received_ms);
	} else if (view_eq(key, VIEW("body"))) {
		c->eight_bit = view_eq(value, VIEW("8bitmime"));
	} else if (view_eq(key, VIEW("bounce"))) {
		c->bounce = view_eq(value, VIEW("yes"));
	} else if (view_eq(key, VIEW("uid"))) {
		ok = get_uid(value, &c->uid);
	} else if (view_eq(key, VIEW("recipients"))) {
		ok = num_parse_u64(value, 1, ENVELOPE_RCPT_MAX, &n);
		c->nrcpt = ok ? (uint32_t)n : 0;
	} else if (view_eq(key, VIEW("envelope"))) {
		ok = num_parse_u64(value, 1, ENVELOPE_MAX, &n);
		c->envelope = ok ? (uint32_t)n : 0;
	}
	return ok;
}

int
lines_get_commit(struct commit_lines *out, struct view v, struct err *e)
{
	struct commit_lines c = { .uid = SPOOL_UID_UNSAID };
	struct view key, value;
	uint64_t total = 0;
	int rc = -1;

	while (v.n > 0) {
		if (!next_line(&v, &key, &value) || !get_commit_line(&c, key, value)) {
			(void)err_set(e, ERR_DAMAGED, "a commit record has a malformed line");
			goto out;
		}
	}
	for (uint32_t i = 0; i < c.nextent; i++)
		total += c.extent[i].length;
	if (c.nrcpt == 0 || c.envelope == 0 || total != c.envelope + c.size) {
		(void)err_set(e, ERR_DAMAGED, "a commit record does not add up");
		goto out;
	}
	*out = c;
	c.extent = NULL;
	rc = 0;
out:
	lines_commit_done(&c);
	return rc;
}

void
lines_commit_done(struct commit_lines *c)
{
	free(c->extent);
	*c = (struct commit_lines){ 0 };
}
