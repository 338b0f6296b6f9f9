/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * End of data: cut anywhere the same comes out; what leaves again has one end
 * and no CR or LF alone; and it decodes to what was stored.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "smtp/dot.h"

#include "base/banned.h"

#define OUT_MAX (16u << 20)

static bool
decode(struct buf *out, struct view in, size_t step, struct dot_decoder *d)
{
	bool end = false;
	size_t idle = 0;

	dot_decoder_init(d);
	while (in.n > 0 && !end) {
		struct view slice;
		size_t used;

		end = dot_decode(d, view_first(in, step), &used, &slice);
		require(used <= in.n && used <= step);
		idle = used > 0 ? 0 : idle + 1;
		require(idle < 3);
		require(buf_add(out, slice));
		in = view_from(in, used);
	}
	return end;
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
	size_t step = 1 + fuzz_choice(&in) % 32, limit = 2 + fuzz_choice(&in) % 32;
	struct buf whole, pieces, wire, back;
	struct dot_decoder d, d2;

	buf_init(&whole, OUT_MAX);
	buf_init(&pieces, OUT_MAX);
	buf_init(&wire, OUT_MAX);
	buf_init(&back, OUT_MAX);
	require(decode(&whole, in, in.n + 1, &d) == decode(&pieces, in, step, &d2));
	require(view_eq(buf_view(&whole), buf_view(&pieces)));
	require(d.nul == d2.nul && d.eight_bit == d2.eight_bit);
	require(d.nul == (view_find(buf_view(&whole), 0) < buf_len(&whole)));
	check_line_ends(buf_view(&whole));

	encode(&wire, buf_view(&whole), limit);
	check_line_ends(buf_view(&wire));
	require(decode(&back, buf_view(&wire), step, &d));
	require(view_starts(buf_view(&back), buf_view(&whole)));
	require(buf_len(&back) - buf_len(&whole) <= 2);

	/* raw bytes are made safe too: one end, at the end */
	buf_clear(&wire);
	encode(&wire, in, limit);
	check_line_ends(buf_view(&wire));
	buf_clear(&back);
	require(decode(&back, buf_view(&wire), buf_len(&wire), &d));
	require(!decode(&pieces, view_first(buf_view(&wire), buf_len(&wire) - 1), 4096, &d));
	buf_done(&whole);
	buf_done(&pieces);
	buf_done(&wire);
	buf_done(&back);
	return 0;
}
