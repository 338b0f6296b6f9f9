/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * End of data: the decoder, fed in pieces that the input chooses, against reference(), which has all of
 * it at once and shares no code; what leaves again has one end and no CR or LF alone; and it decodes
 * to what was stored.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "smtp/dot.h"

#include "base/banned.h"

#define OUT_MAX (16u << 20)

/* Where the next piece ends: one byte for each says so, again and again. */
struct splits {
	struct view	sizes, rest;
};

static size_t
next_split(struct splits *s)
{
	if (s->rest.n == 0)
		s->rest = s->sizes;
	return 1 + fuzz_choice(&s->rest);
}

static bool
decode(struct buf *out, struct view in, struct splits splits, struct dot_decoder *d, size_t *taken)
{
	size_t idle = 0, all = in.n;
	bool end = false;

	dot_decoder_init(d);
	while (in.n > 0 && !end) {
		struct view piece = view_first(in, next_split(&splits)), slice;
		size_t used;

		/* As the server does: what it leaves of the piece comes again, alone or with more. */
		end = dot_decode(d, piece, &used, &slice);
		require(used <= piece.n);
		idle = used > 0 ? 0 : idle + 1;
		require(idle < 3);
		require(buf_add(out, slice));
		in = view_from(in, used);
	}
	*taken = all - in.n;
	return end;
}

/*
 * One-shot, by doc/smtp.md, "End of data", word for word: data ends with a line that is a lone dot between two
 * CRLF (or at the start); another dot behind a CRLF is dropped; each CR or LF that stands alone is a line end, but
 * no line start for a dot.
 */
static bool
reference(struct buf *out, struct view in, size_t *taken)
{
	bool start = true;

	for (size_t i = 0; i < in.n;) {
		struct view rest = view_from(in, i);

		if (start && view_starts(rest, VIEW(".\r\n"))) {
			*taken = i + 3;
			return true;
		}
		if (start && rest.p[0] == '.') {
			start = false;
			i++;
			continue;
		}
		start = view_starts(rest, VIEW("\r\n"));
		if (rest.n == 1 && rest.p[0] == '\r')
			break;		/* what it is the next byte would say */
		if (start || rest.p[0] == '\r' || rest.p[0] == '\n')
			require(buf_add(out, VIEW("\r\n")));
		else
			require(buf_add(out, view_first(rest, 1)));
		i += start ? 2 : 1;
	}
	*taken = in.n;
	return false;
}

static bool
has_eight_bit(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] > 127)
			return true;
	return false;
}

/* The same comes out, and the same of the input is left for the next command. */
static void
check_decoder(struct buf *whole, struct view in, struct splits splits)
{
	struct buf pieces;
	struct dot_decoder d;
	size_t taken, streamed;
	bool end;

	buf_init(&pieces, OUT_MAX);
	end = reference(whole, in, &taken);
	require(decode(&pieces, in, splits, &d, &streamed) == end && streamed == taken);
	require(view_eq(buf_view(whole), buf_view(&pieces)));
	require(d.nul == (view_find(buf_view(whole), 0) < buf_len(whole)));
	require(d.eight_bit == has_eight_bit(buf_view(whole)));
	buf_done(&pieces);
}

static void
check_line_ends(struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '\n')
			require(i > 0 && v.p[i - 1] == '\r');
		if (v.p[i] == '\r')
			require(i + 1 < v.n && v.p[i + 1] == '\n');
	}
}

/* The encoder with a small output, in pieces. */
static void
encode(struct buf *wire, struct view in, size_t limit)
{
	struct dot_encoder e;
	struct buf out;

	dot_encoder_init(&e);
	buf_init(&out, limit + DOT_END_MAX);
	while (in.n > 0) {
		size_t n = dot_encode(&e, &out, limit, in);

		require(n <= in.n && buf_len(&out) <= limit && (n > 0 || buf_len(&out) > 0));
		in = view_from(in, n);
		require(buf_add(wire, buf_view(&out)));
		buf_clear(&out);
	}
	require(dot_encode_end(&e, &out));
	require(buf_add(wire, buf_view(&out)));
	buf_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	struct splits splits = { .sizes = fuzz_piece(&in) };
	size_t limit = 2 + fuzz_choice(&in) % 32, taken;
	struct buf whole, wire, back;
	struct dot_decoder d;

	buf_init(&whole, OUT_MAX);
	buf_init(&wire, OUT_MAX);
	buf_init(&back, OUT_MAX);
	check_decoder(&whole, in, splits);
	check_line_ends(buf_view(&whole));

	encode(&wire, buf_view(&whole), limit);
	check_line_ends(buf_view(&wire));
	require(decode(&back, buf_view(&wire), splits, &d, &taken) && taken == buf_len(&wire));
	require(view_starts(buf_view(&back), buf_view(&whole)));
	require(buf_len(&back) - buf_len(&whole) <= 2);

	/* raw bytes are made safe too: one end, at the end */
	buf_clear(&wire);
	encode(&wire, in, limit);
	check_line_ends(buf_view(&wire));
	buf_clear(&back);
	require(decode(&back, buf_view(&wire), splits, &d, &taken) && taken == buf_len(&wire));
	buf_done(&whole);
	buf_done(&wire);
	buf_done(&back);
	return 0;
}
