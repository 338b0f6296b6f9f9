/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages as files: nothing but line ends and the quoting of "From " changes, at any cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "mail/archive.h"

#include "base/banned.h"

/* In pieces of this length; 0: one piece. */
static void
convert(struct buf *out, bool mbox, struct view text, size_t piece)
{
	struct archive a;

	buf_clear(out);
	assert_true(archive_begin(&a, out, mbox, VIEW("alice@example.com"), 1795332623000));
	for (; text.n > 0; text = view_from(text, piece != 0 ? piece : text.n))
		assert_true(archive_text(&a, out, piece != 0 ? view_first(text, piece) : text));
	assert_true(archive_end(&a, out));
}

static void
check(bool mbox, const char *text, const char *want)
{
	struct view head = mbox ? VIEW("From alice@example.com Sun Nov 22 07:30:23 2026\n"
	    "Return-Path: <alice@example.com>\n") : VIEW("Return-Path: <alice@example.com>\n");
	struct view got;
	struct buf out;

	buf_init(&out, 4096);
	for (size_t piece = 0; piece <= strlen(text); piece++) {
		convert(&out, mbox, view_str(text), piece);
		got = buf_view(&out);
		assert_true(view_starts(got, head));
		got = view_from(got, head.n);
		if (!view_eq(got, view_str(want)))
			fail_msg("pieces of %zu: got \"%.*s\"", piece, VIEW_ARG(got));
	}
	buf_done(&out);
}

static void
test_maildir(void **state)
{
	check(false, "Subject: x\r\n\r\nFrom here\r\n>From\r\n", "Subject: x\n\nFrom here\n>From\n");
	check(false, "no end", "no end");
	check(false, "a\rb\r\r\nc\nd\r", "a\rb\r\nc\nd\r");
	check(false, "", "");
}

static void
test_mbox(void **state)
{
	check(true, "Subject: x\r\n\r\nFrom here\r\n", "Subject: x\n\n>From here\n\n");
	check(true, ">From a\r\n>>>From b\r\nFrom\r\nFromage\r\n> From\r\n",
	    ">>From a\n>>>>From b\nFrom\nFromage\n> From\n\n");
	check(true, "FFrom a\r\nFrFrom b\r\nxFrom c\r\n", "FFrom a\nFrFrom b\nxFrom c\n\n");
	check(true, "From ", ">From \n\n");
	check(true, "a\r\nFro", "a\nFro\n\n");
	check(true, "a\r\n>", "a\n>\n\n");
	check(true, "From\r \r\n", "From\r \n\n");
	check(true, "", "\n");
}

/* The inverse: one '>' off each such line. */
static void
unquote(struct buf *out, struct view v)
{
	struct view line;

	while (view_split(&v, '\n', &line)) {
		struct view rest = line;

		while (rest.n > 0 && rest.p[0] == '>')
			rest = view_from(rest, 1);
		if (rest.n < line.n && view_starts(rest, VIEW("From ")))
			line = view_from(line, 1);
		else
			assert_false(view_starts(line, VIEW("From ")));
		assert_true(buf_add(out, line) && buf_add_str(out, "\r\n"));
	}
}

/* Whatever the message, it comes back byte for byte, and it is one part of the mbox. */
static void
test_round_trip(void **state)
{
	static const char *const word[] = { "From ", ">", "F", "r", "o", "m", " ", "\r\n", "\r\n", "x" };
	struct buf text, out, back;
	struct view got;
	struct rng rng;

	rng_init(&rng, 7);
	buf_init(&text, 4096);
	buf_init(&out, 8192);
	buf_init(&back, 8192);
	for (unsigned run = 0; run < 2000; run++) {
		buf_clear(&text);
		buf_clear(&back);
		for (uint64_t n = rng_below(&rng, 60); n > 0; n--)
			assert_true(buf_add_str(&text, word[rng_below(&rng, lengthof(word))]));
		assert_true(buf_add_str(&text, "\r\n"));
		convert(&out, true, buf_view(&text), (size_t)rng_below(&rng, 9));
		got = buf_view(&out);
		for (unsigned lines = 0; lines < 2; lines++)
			got = view_from(got, view_find(got, '\n') + 1);
		assert_true(view_ends(got, VIEW("\n\n")) || got.n == 1 || view_eq(got, VIEW("\n\n")));
		got.n--;
		unquote(&back, got);
		if (!view_eq(buf_view(&back), buf_view(&text)))
			fail_msg("\"%.*s\" came back as \"%.*s\"", VIEW_ARG(buf_view(&text)),
			    VIEW_ARG(buf_view(&back)));
	}
	buf_done(&text);
	buf_done(&out);
	buf_done(&back);
}

/* What stands in an envelope can't make a line of its own. */
static void
test_own_lines(void **state)
{
	static const char *const senders[] = { "", "a b@x", "a\nFrom b", "a\x1b[2J@x" };
	struct archive a;
	struct buf out;

	buf_init(&out, 4096);
	for (size_t i = 0; i < lengthof(senders); i++) {
		buf_clear(&out);
		assert_true(archive_begin(&a, &out, true, view_str(senders[i]), 0));
		assert_true(view_starts(buf_view(&out), VIEW("From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nReturn-Path: <")));
		assert_int_equal(view_search(buf_view(&out), VIEW("\nFrom ")), buf_len(&out));
		assert_int_equal(view_find(buf_view(&out), 0x1b), buf_len(&out));
	}
	buf_clear(&out);
	assert_true(archive_field(&out, "X-Posthouse-To", VIEW("<b\r\nBcc: x>\t\x7f\xc3\xa9")));
	assert_true(view_eq(buf_view(&out), VIEW("X-Posthouse-To: <b??Bcc: x>??\xc3\xa9\n")));
	buf_done(&out);
	/* Full: told, at whatever place. */
	for (size_t max = 0; max < 60; max++) {
		bool ok;

		buf_init(&out, max);
		ok = archive_begin(&a, &out, true, VIEW("a@b"), 0) && archive_text(&a, &out, VIEW("From\r\n")) &&
		    archive_end(&a, &out);
		assert_int_equal(ok, max >= 59);
		buf_done(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maildir),
		cmocka_unit_test(test_mbox),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_own_lines),
	};

	return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
