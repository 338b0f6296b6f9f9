/* SPDX-License-Identifier: BSD-2-Clause */
#include "handover/frame.h"

#include "base/num.h"

#include "base/banned.h"

#define INTAKE 1u
#define RELAY 2u

/* The table of doc/handover.md: what each type may look like, known from the header alone. */
struct frame_rule {
	unsigned	from;
	bool		in_transaction;	/* else transaction is 0 */
	uint32_t	least, most;	/* payload */
};

static const struct frame_rule rules[] = {
	[FRAME_HELLO] =   { INTAKE | RELAY, false, 1, FRAME_SMALL_MAX },
	[FRAME_OPEN] =    { INTAKE, true, 1, FRAME_OPEN_MAX },
	[FRAME_CHUNK] =   { INTAKE, true, 1, FRAME_CHUNK_MAX },
	[FRAME_COMMIT] =  { INTAKE, true, 1, FRAME_SMALL_MAX },
	[FRAME_ABORT] =   { INTAKE, true, 0, 0 },
	[FRAME_STATS] =   { INTAKE, false, 1, FRAME_SMALL_MAX },
	[FRAME_CREDIT] =  { RELAY, true, 4, 4 },
	[FRAME_DURABLE] = { RELAY, true, 16, 16 },
	[FRAME_REFUSED] = { RELAY, true, 1, FRAME_SMALL_MAX },
	[FRAME_POLICY] =  { RELAY, false, 0, FRAME_SMALL_MAX },
	[FRAME_PAUSE] =   { INTAKE | RELAY, false, 0, 0 },
};

static void
put_le(uint8_t *at, unsigned bytes, uint64_t value)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t
get_le(const uint8_t *at, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

static int
check_header(const uint8_t *at, bool from_intake, struct err *e)
{
	uint32_t len = (uint32_t)get_le(at, 4);
	unsigned type = at[4];
	uint64_t transaction = get_le(at + 8, 8);
	const struct frame_rule *rule = type < lengthof(rules) ? &rules[type] : NULL;

	if (at[5] != 0 || at[6] != 0 || at[7] != 0)
		return err_set(e, ERR_INPUT, "handover: a frame header is damaged");
	if (rule == NULL || (rule->from & (from_intake ? INTAKE : RELAY)) == 0)
		return err_set(e, ERR_INPUT, "handover: frame type %u is not allowed here", type);
	if (len < rule->least || len > rule->most)
		return err_set(e, ERR_INPUT, "handover: frame type %u with %lu bytes", type,
		    (unsigned long)len);
	if (rule->in_transaction != (transaction != 0))
		return err_set(e, ERR_INPUT, "handover: frame type %u with transaction %llu", type,
		    (unsigned long long)transaction);
	return 0;
}

enum frame_progress
frame_parse(struct view in, bool from_intake, struct frame *out, size_t *used, size_t *need,
    struct err *e)
{
	size_t total;

	if (in.n < FRAME_HEADER) {
		*need = FRAME_HEADER;
		return FRAME_MORE;
	}
	if (check_header(in.p, from_intake, e) < 0)
		return FRAME_BAD;
	total = FRAME_HEADER + (size_t)get_le(in.p, 4);
	if (in.n < total) {
		*need = total;
		return FRAME_MORE;
	}
	out->type = (enum frame_type)in.p[4];
	out->transaction = get_le(in.p + 8, 8);
	out->payload = view_of(in.p + FRAME_HEADER, total - FRAME_HEADER);
	*used = total;
	return FRAME_DONE;
}

void
frame_header(uint8_t at[FRAME_HEADER], enum frame_type type, uint64_t transaction, size_t payload_len)
{
	put_le(at, 4, payload_len);
	put_le(at + 4, 4, (uint64_t)type);
	put_le(at + 8, 8, transaction);
}

bool
frame_put(struct buf *out, enum frame_type type, uint64_t transaction, struct view payload)
{
	uint8_t *at = buf_reserve(out, FRAME_HEADER + payload.n);

	if (at == NULL)
		return false;
	frame_header(at, type, transaction, payload.n);
	if (payload.n != 0)
		memcpy(at + FRAME_HEADER, payload.p, payload.n);
	buf_grew(out, FRAME_HEADER + payload.n);
	return true;
}

/* --- payloads -------------------------------------------------------------- */

void
frame_credit(uint8_t payload[4], uint32_t bytes)
{
	put_le(payload, 4, bytes);
}

bool
frame_credit_parse(struct view payload, uint32_t *out)
{
	uint64_t bytes;

	if (payload.n != 4)
		return false;
	bytes = get_le(payload.p, 4);
	if (bytes == 0 || bytes > HANDOVER_WINDOW)
		return false;
	*out = (uint32_t)bytes;
	return true;
}

bool
frame_commit_put(struct buf *out, const struct frame_commit *c)
{
	return buf_addf(out, "eight-bit: %s\nsize: %llu\n", c->eight_bit ? "yes" : "no",
	    (unsigned long long)c->size) &&
	    (c->script.n == 0 || buf_addf(out, "script: %.*s\n", VIEW_ARG(c->script)));
}

static bool
parse_script(struct view line, struct view *out)
{
	if (!view_starts(line, VIEW("script: ")))
		return false;
	*out = view_from(line, 8);
	for (size_t i = 0; i < out->n; i++)
		if (!is_print(out->p[i]))
			return false;
	return out->n > 0 && out->n <= FRAME_SCRIPT_MAX;
}

bool
frame_commit_parse(struct view payload, struct frame_commit *out)
{
	struct frame_commit c = { .script = VIEW("") };
	struct view first, second, third;

	if (!view_ends(payload, VIEW("\n")) || !view_split(&payload, '\n', &first) ||
	    !view_split(&payload, '\n', &second))
		return false;
	if (payload.n != 0 &&
	    (!view_split(&payload, '\n', &third) || payload.n != 0 || !parse_script(third, &c.script)))
		return false;
	c.eight_bit = view_eq(first, VIEW("eight-bit: yes"));
	if (!c.eight_bit && !view_eq(first, VIEW("eight-bit: no")))
		return false;
	if (!view_starts(second, VIEW("size: ")) ||
	    !num_parse_u64(view_from(second, 6), 0, INT64_MAX, &c.size))
		return false;
	*out = c;
	return true;
}

bool
frame_hello_is_ours(struct view payload)
{
	return view_starts(payload, VIEW(FRAME_HELLO_LINE));
}

bool
frame_lines_find(struct view payload, const char *key, struct view *out)
{
	struct view line, word;

	while (view_split(&payload, '\n', &line)) {
		if (!view_split(&line, ':', &word) || !view_eq(word, view_str(key)))
			continue;
		*out = view_trim(line);
		return true;
	}
	return false;
}

/* One to three digits, then end or dot. */
static bool
take_number(struct view *io, bool last)
{
	size_t n = 0;

	while (n < io->n && n < 3 && is_digit(io->p[n]))
		n++;
	if (n == 0 || (last ? n != io->n : n == io->n || io->p[n] != '.'))
		return false;
	*io = view_from(*io, n + 1);
	return true;
}

/* RFC 3463 section 2, and of the class of the code. */
static bool
status_fits(struct view status, uint8_t class)
{
	return status.n >= 5 && status.p[0] == class && status.p[1] == '.' &&
	    take_number(&status, false) && take_number(&status, false) && take_number(&status, true);
}

bool
frame_reply_parse(struct view payload, struct frame_reply *out)
{
	struct frame_reply r;
	struct view word;
	uint64_t code;

	if (payload.n > FRAME_REPLY_MAX)
		return false;
	for (size_t i = 0; i < payload.n; i++)
		if (!is_print(payload.p[i]))
			return false;
	if (!view_split(&payload, ' ', &word) || word.n != 3 || !num_parse_u64(word, 400, 599, &code))
		return false;
	if (!view_split(&payload, ' ', &r.status) || !status_fits(r.status, word.p[0]))
		return false;
	r.code = (int)code;
	r.text = view_trim(payload);
	if (r.text.n == 0)
		return false;
	*out = r;
	return true;
}
