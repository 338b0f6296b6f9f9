/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/rng.h"
#include "smtp/dot.h"

#include "base/banned.h"

#define OUT_MAX (1u << 20)

struct decoded {
	struct buf	out;
	bool		ended, nul, eight_bit;
	size_t		taken;		/* through the end of the data */
};

/* Decode with the input cut before byte split (and every step bytes if step is not 0). */
static void
decode(struct decoded *r, struct view in, size_t split, size_t step)
{
	struct dot_decoder d;
	size_t at = 0, idle = 0;

	dot_decoder_init(&d);
	buf_init(&r->out, OUT_MAX);
	r->ended = false;
	while (at < in.n && !r->ended) {
		size_t end = at < split ? split : in.n;
		size_t used;
		struct view slice;
		enum dot_state before = d.state;

		if (step != 0 && end - at > step)
			end = at + step;
		r->ended = dot_decode(&d, view_of(in.p + at, end - at), &used, &slice);
		assert_true(used <= end - at);
		assert_true(used > 0 || slice.n > 0 || d.state != before);
		idle = used > 0 ? 0 : idle + 1;
		assert_true(idle < 3);
		assert_true(buf_add(&r->out, slice));
		at += used;
	}
	r->taken = at;
	r->nul = d.nul;
	r->eight_bit = d.eight_bit;
}

/* The same by the book, byte by byte on the whole input. */
static void
model(struct decoded *r, struct view in)
{
	bool line_start = true;

	*r = (struct decoded){ .taken = in.n };
	buf_init(&r->out, OUT_MAX);
	for (size_t i = 0; i < in.n; i++) {
		uint8_t c = in.p[i];
		bool crlf = c == '\r' && i + 1 < in.n && in.p[i + 1] == '\n';

		if (line_start && c == '.') {
			if (view_starts(view_from(in, i), VIEW(".\r\n"))) {
				r->ended = true;
				r->taken = i + 3;
				return;
			}
			line_start = false;
			continue;
		}
		line_start = crlf;
		r->nul = r->nul || c == 0;
		r->eight_bit = r->eight_bit || c > 127;
		if (c == '\r' || c == '\n')
			assert_true(buf_add(&r->out, VIEW("\r\n")));
		else
			assert_true(buf_add_byte(&r->out, c));
		i += crlf;
	}
}

static void
assert_same(const struct decoded *got, const struct decoded *want)
{
	assert_int_equal(got->ended, want->ended);
	assert_int_equal(got->taken, want->taken);
	assert_int_equal(buf_len(&got->out), buf_len(&want->out));
	assert_true(view_eq(buf_view(&got->out), buf_view(&want->out)));
	assert_int_equal(got->nul, want->nul);
	assert_int_equal(got->eight_bit, want->eight_bit);
}

struct end_case {
	struct view	in, out;
	bool		ends;
};

/* Only CRLF.CRLF ends; all else is text, with CRLF as its only line end. */
static const struct end_case end_cases[] = {
	{ VIEW("a\r\n.\r\n"), VIEW("a\r\n"), true },
	{ VIEW(".\r\n"), VIEW(""), true },
	{ VIEW("\r\n.\r\n"), VIEW("\r\n"), true },
	{ VIEW("a\r\r\n.\r\n"), VIEW("a\r\n\r\n"), true },
	{ VIEW("a\n.\nb\r\n.\r\n"), VIEW("a\r\n.\r\nb\r\n"), true },
	{ VIEW("a\n.\r\nb\r\n.\r\n"), VIEW("a\r\n.\r\nb\r\n"), true },
	{ VIEW("a\r\n.\nb\r\n.\r\n"), VIEW("a\r\n\r\nb\r\n"), true },
	{ VIEW("a\r.\rb\r\n.\r\n"), VIEW("a\r\n.\r\nb\r\n"), true },
	{ VIEW("a\r.\r\nb\r\n.\r\n"), VIEW("a\r\n.\r\nb\r\n"), true },
	{ VIEW("a\r\n.\rb\r\n.\r\n"), VIEW("a\r\n\r\nb\r\n"), true },
	{ VIEW("a\r\n.\r.\r\nb\r\n.\r\n"), VIEW("a\r\n\r\n.\r\nb\r\n"), true },
	{ VIEW("a\r\n.\r\r\nb\r\n.\r\n"), VIEW("a\r\n\r\n\r\nb\r\n"), true },
	{ VIEW("a\n\r.\n\rb\r\n.\r\n"), VIEW("a\r\n\r\n.\r\n\r\nb\r\n"), true },
	{ VIEW("a\r\n.\0\r\nb\r\n.\r\n"), VIEW("a\r\n\0\r\nb\r\n"), true },
	{ VIEW("a\r\n\0.\r\nb\r\n.\r\n"), VIEW("a\r\n\0.\r\nb\r\n"), true },
	{ VIEW("a\r\0\n.\r\0\nb\r\n.\r\n"), VIEW("a\r\n\0\r\n.\r\n\0\r\nb\r\n"), true },
	{ VIEW("a\r\n..\r\n.x\r\n...\r\n.\r\n"), VIEW("a\r\n.\r\nx\r\n..\r\n"), true },
	{ VIEW("a\n..b\r\n.\r\n"), VIEW("a\r\n..b\r\n"), true },
	{ VIEW("\n.\r\n"), VIEW("\r\n.\r\n"), false },
	{ VIEW("\n.\n"), VIEW("\r\n.\r\n"), false },
	{ VIEW("\r\n.\n"), VIEW("\r\n\r\n"), false },
	{ VIEW("\r\n.\r"), VIEW("\r\n"), false },
	{ VIEW("a\r\n"), VIEW("a\r\n"), false },
	{ VIEW("\xff\x80 8 bit\r\n.\r\n"), VIEW("\xff\x80 8 bit\r\n"), true },
};

static void
test_only_crlf_dot_crlf_ends(void **state)
{
	for (size_t i = 0; i < lengthof(end_cases); i++) {
		const struct end_case *k = &end_cases[i];

		for (size_t split = 0; split <= k->in.n; split++) {
			struct decoded r;

			decode(&r, k->in, split, 0);
			assert_int_equal(r.ended, k->ends);
			assert_true(view_eq(buf_view(&r.out), k->out));
			assert_int_equal(r.taken, k->in.n);
			buf_done(&r.out);
		}
	}
}

/* What stands behind the end of the data is left for the command phase. */
static void
test_bytes_behind_the_end_are_not_taken(void **state)
{
	struct decoded r;

	decode(&r, VIEW("a\r\n.\r\nQUIT\r\n"), 0, 0);
	assert_true(r.ended);
	assert_int_equal(r.taken, 6);
	buf_done(&r.out);
}

static size_t
random_text(struct rng *rng, uint8_t *text, size_t max)
{
	static const uint8_t alphabet[] = "\r\n.\r\n.\r\n.aZ\0\xff";
	size_t n = (size_t)rng_below(rng, max + 1);

	for (size_t i = 0; i < n; i++)
		text[i] = alphabet[rng_below(rng, sizeof(alphabet) - 1)];
	return n;
}

static void
test_decoder_agrees_with_the_model(void **state)
{
	struct rng rng;
	uint8_t text[64];

	rng_init(&rng, 20261122);
	for (int i = 0; i < 40000; i++) {
		struct view in = view_of(text, random_text(&rng, text, sizeof(text)));
		struct decoded got, want;

		decode(&got, in, (size_t)rng_below(&rng, in.n + 1), (size_t)rng_below(&rng, 5));
		model(&want, in);
		if (!want.ended) {
			/* what is held back at the end of the input comes out by a plain byte */
			text[in.n < sizeof(text) ? in.n : sizeof(text) - 1] = 'z';
			buf_done(&got.out);
			buf_done(&want.out);
			in.n = in.n < sizeof(text) ? in.n + 1 : in.n;
			decode(&got, in, 0, 0);
			model(&want, in);
		}
		assert_same(&got, &want);
		buf_done(&got.out);
		buf_done(&want.out);
	}
}

/* Encode in pieces of up to step bytes into an output that is full every limit bytes. */
static void
encode(struct buf *wire, struct view in, size_t step, size_t limit)
{
	struct dot_encoder e;
	struct buf out;

	dot_encoder_init(&e);
	buf_init(&out, limit + DOT_END_MAX);
	while (in.n > 0) {
		size_t n = dot_encode(&e, &out, limit, view_first(in, step));

		assert_true(buf_len(&out) <= limit);
		assert_true(n > 0 || buf_len(&out) > 0);
		in = view_from(in, n);
		if (n == 0) {
			assert_true(buf_add(wire, buf_view(&out)));
			buf_clear(&out);
		}
	}
	assert_true(dot_encode_end(&e, &out));
	assert_true(buf_add(wire, buf_view(&out)));
	buf_done(&out);
}

/* No CR or LF alone, and one end of data, at the very end. */
static void
assert_wire_is_safe(struct view wire)
{
	assert_true(view_ends(wire, VIEW(".\r\n")));
	for (size_t i = 0; i < wire.n; i++) {
		bool end = (i == 0 || wire.p[i - 1] == '\n') &&
		    view_starts(view_from(wire, i), VIEW(".\r\n"));

		if (wire.p[i] == '\n')
			assert_true(i > 0 && wire.p[i - 1] == '\r');
		if (wire.p[i] == '\r')
			assert_true(i + 1 < wire.n && wire.p[i + 1] == '\n');
		assert_int_equal(end, i + 3 == wire.n);
	}
}

/* Whatever comes in, what leaves can be split by nobody, and decodes to what was stored. */
static void
test_what_leaves_is_safe_and_comes_back(void **state)
{
	struct rng rng;
	uint8_t text[64];

	rng_init(&rng, 7);
	for (int i = 0; i < 20000; i++) {
		struct view in = view_of(text, random_text(&rng, text, sizeof(text)));
		struct decoded stored, back;
		struct buf wire, raw;

		buf_init(&wire, OUT_MAX);
		buf_init(&raw, OUT_MAX);
		model(&stored, in);
		encode(&wire, buf_view(&stored.out), 1 + (size_t)rng_below(&rng, 9),
		    2 + (size_t)rng_below(&rng, 20));
		assert_wire_is_safe(buf_view(&wire));
		decode(&back, buf_view(&wire), 0, 0);
		assert_true(back.ended);
		if (buf_len(&stored.out) > 0 && !view_ends(buf_view(&stored.out), VIEW("\r\n")))
			assert_true(buf_add(&stored.out, VIEW("\r\n")));
		assert_true(view_eq(buf_view(&back.out), buf_view(&stored.out)));

		/* the encoder trusts nobody: raw text leaves in the same safe form */
		encode(&raw, in, 1 + (size_t)rng_below(&rng, 9), 2 + (size_t)rng_below(&rng, 20));
		assert_wire_is_safe(buf_view(&raw));
		buf_done(&raw);
		buf_done(&wire);
		buf_done(&stored.out);
		buf_done(&back.out);
	}
}

/* BDAT: a dot is a byte like others, and the last line is completed. At every split. */
static void
test_chunked_text_has_no_dots(void **state)
{
	static const struct {
		struct view in, out;
	} k[] = {
		{ VIEW(""), VIEW("") },
		{ VIEW("a\r\n.\r\nb\r\n"), VIEW("a\r\n.\r\nb\r\n") },
		{ VIEW(".\r\n"), VIEW(".\r\n") },
		{ VIEW("..a\n.b\r.c"), VIEW("..a\r\n.b\r\n.c\r\n") },
		{ VIEW("a\n"), VIEW("a\r\n") },
		{ VIEW("a\r"), VIEW("a\r\n") },
		{ VIEW("a\r\r\n\n\r"), VIEW("a\r\n\r\n\r\n\r\n") },
		{ VIEW("\r\n"), VIEW("\r\n") },
		{ VIEW("no end"), VIEW("no end\r\n") },
	};

	for (size_t i = 0; i < lengthof(k); i++) {
		for (size_t split = 0; split <= k[i].in.n; split++) {
			struct dot_decoder d;
			struct buf out;
			size_t at = 0;

			dot_decoder_init_chunked(&d);
			buf_init(&out, OUT_MAX);
			while (at < k[i].in.n) {
				size_t end = at < split ? split : k[i].in.n, used;
				struct view slice;

				assert_false(dot_decode(&d, view_of(k[i].in.p + at, end - at), &used, &slice));
				assert_true(buf_add(&out, slice));
				at += used;
			}
			assert_true(buf_add(&out, dot_decode_end(&d)));
			assert_int_equal(dot_decode_end(&d).n, 0);
			assert_true(view_eq(buf_view(&out), k[i].out));
			buf_done(&out);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_crlf_dot_crlf_ends),
		cmocka_unit_test(test_bytes_behind_the_end_are_not_taken),
		cmocka_unit_test(test_decoder_agrees_with_the_model),
		cmocka_unit_test(test_chunked_text_has_no_dots),
		cmocka_unit_test(test_what_leaves_is_safe_and_comes_back),
	};

	return cmocka_run_group_tests_name("dot", tests, NULL, NULL);
}
