/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/reply.h"

#include "base/banned.h"

/* Parse, cut before byte split; bytes taken in *taken. */
static enum reply_progress
parse(struct reply_parser *p, struct view in, size_t split, size_t *taken)
{
	enum reply_progress rc;
	size_t used;

	reply_parser_init(p);
	rc = reply_parse(p, view_first(in, split), taken);
	if (rc == REPLY_MORE) {
		assert_int_equal(*taken, split);
		rc = reply_parse(p, view_from(in, split), &used);
		*taken += used;
	}
	return rc;
}

struct reply_case {
	struct view	in;
	size_t		behind;		/* bytes behind the reply */
	int		code;		/* 0: bad */
	const char	*status, *text;
	size_t		lines;
};

static const struct reply_case cases[] = {
	{ VIEW("250 2.1.5 Ok\r\n"), 0, 250, "2.1.5", "Ok", 1 },
	{ VIEW("250 Ok\r\n"), 0, 250, "", "Ok", 1 },
	{ VIEW("250\r\n"), 0, 250, "", "", 1 },
	{ VIEW("250 \r\n"), 0, 250, "", "", 1 },
	{ VIEW("354 go\n"), 0, 354, "", "go", 1 },
	{ VIEW("250 a\r\n220 b\r\n"), 7, 250, "", "a", 1 },
	{ VIEW("550-5.7.139 one\r\n550-5.7.139 two\r\n550 5.7.139 three\r\n"), 0, 550, "5.7.139",
	    "one two three", 3 },
	{ VIEW("550-\r\n550 x\r\n"), 0, 550, "", "x", 2 },
	{ VIEW("421 4.7.0\r\n"), 0, 421, "4.7.0", "", 1 },
	{ VIEW("550 5.1 no\r\n"), 0, 550, "", "5.1 no", 1 },
	{ VIEW("550 5.1.1no\r\n"), 0, 550, "", "5.1.1no", 1 },
	{ VIEW("550 5.1.1000 no\r\n"), 0, 550, "", "5.1.1000 no", 1 },
	{ VIEW("550 3.1.1 no\r\n"), 0, 550, "", "3.1.1 no", 1 },
	{ VIEW("550 a\tb\x1b[2J\xc3\xa9\0c\r\n"), 0, 550, "", "a b?[2J???c", 1 },
	{ VIEW("250-a\r\n251 b\r\n"), 0, 0, "", "", 0 },
	{ VIEW("HTTP/1.1 400 Bad\r\n"), 18, 0, "", "", 0 },
	{ VIEW("25\r\n"), 0, 0, "", "", 0 },
	{ VIEW("\r\n"), 0, 0, "", "", 0 },
	{ VIEW("150 x\r\n"), 0, 0, "", "", 0 },
	{ VIEW("650 x\r\n"), 0, 0, "", "", 0 },
	{ VIEW("2500 x\r\n"), 0, 0, "", "", 0 },
	{ VIEW("250_x\r\n"), 0, 0, "", "", 0 },
	{ VIEW("250\rx\r\n"), 0, 0, "", "", 0 },
	{ VIEW("\x16\x03\x01\r\n"), 0, 0, "", "", 0 },
};

static void
test_replies_at_every_split(void **state)
{
	for (size_t i = 0; i < lengthof(cases); i++) {
		const struct reply_case *k = &cases[i];

		for (size_t split = 0; split <= k->in.n; split++) {
			static struct reply_parser p;
			size_t taken;
			enum reply_progress rc = parse(&p, k->in, split, &taken);

			if (k->code == 0) {
				assert_int_equal(rc, REPLY_BAD);
				continue;
			}
			assert_int_equal(rc, REPLY_DONE);
			assert_int_equal(taken, k->in.n - k->behind);
			assert_int_equal(p.reply.code, k->code);
			assert_string_equal(p.reply.status, k->status);
			assert_string_equal(p.reply.text, k->text);
			assert_int_equal(p.reply.lines, k->lines);
		}
	}
}

/* What is no reply is told from its first bytes; no line end is waited for. */
static void
test_garbage_is_told_early(void **state)
{
	static struct reply_parser p;
	size_t used;

	reply_parser_init(&p);
	assert_int_equal(reply_parse(&p, VIEW("S"), &used), REPLY_BAD);
	reply_parser_init(&p);
	assert_int_equal(reply_parse(&p, VIEW("22"), &used), REPLY_MORE);
	assert_int_equal(reply_parse(&p, VIEW("0x"), &used), REPLY_BAD);
}

static void
test_the_next_reply_starts_afresh(void **state)
{
	static struct reply_parser p;
	size_t used;

	reply_parser_init(&p);
	assert_int_equal(reply_parse(&p, VIEW("550 5.1.1 no such user\r\n"), &used), REPLY_DONE);
	assert_int_equal(reply_parse(&p, VIEW("250 Ok\r\n"), &used), REPLY_DONE);
	assert_int_equal(p.reply.code, 250);
	assert_string_equal(p.reply.status, "");
	assert_string_equal(p.reply.text, "Ok");
	assert_int_equal(p.reply.lines, 1);
}

/* A line of any length is one line; its text is cut. */
static void
test_long_lines_are_cut(void **state)
{
	static struct reply_parser p;
	static uint8_t chunk[1000];
	size_t used;

	memset(chunk, 'x', sizeof(chunk));
	reply_parser_init(&p);
	assert_int_equal(reply_parse(&p, VIEW("550 5.0.0 "), &used), REPLY_MORE);
	for (int i = 0; i < 100; i++)
		assert_int_equal(reply_parse(&p, view_of(chunk, sizeof(chunk)), &used), REPLY_MORE);
	assert_int_equal(reply_parse(&p, VIEW("\r\n"), &used), REPLY_DONE);
	assert_int_equal(p.reply.code, 550);
	assert_int_equal(p.reply.lines, 1);
	assert_true(strlen(p.reply.text) < REPLY_TEXT_MAX);
	assert_true(strlen(p.reply.text) > REPLY_TEXT_MAX / 2);
}

static void
test_many_lines_fill_the_text_and_no_more(void **state)
{
	static struct reply_parser p;
	size_t used;

	reply_parser_init(&p);
	for (int i = 0; i < 60; i++)
		assert_int_equal(reply_parse(&p, VIEW("550-5.7.1 a line of fifty bytes or so, with nothing to say\r\n"),
		    &used), REPLY_MORE);
	assert_int_equal(reply_parse(&p, VIEW("550 5.7.1 end\r\n"), &used), REPLY_DONE);
	assert_int_equal(p.reply.lines, 61);
	assert_int_equal(strlen(p.reply.text), REPLY_TEXT_MAX - 1);
}

static void
test_endless_replies_end(void **state)
{
	static struct reply_parser p;
	static uint8_t chunk[65536];
	enum reply_progress rc = REPLY_MORE;
	size_t used;
	int n;

	reply_parser_init(&p);
	for (n = 0; n < 20000 && rc == REPLY_MORE; n++)
		rc = reply_parse(&p, VIEW("220-hello\r\n"), &used);
	assert_int_equal(rc, REPLY_BAD);
	assert_int_equal(n, REPLY_LINES_MAX + 1);

	memset(chunk, '2', sizeof(chunk));
	reply_parser_init(&p);
	rc = reply_parse(&p, VIEW("220 "), &used);
	for (n = 0; n < 100 && rc == REPLY_MORE; n++)
		rc = reply_parse(&p, view_of(chunk, sizeof(chunk)), &used);
	assert_int_equal(rc, REPLY_BAD);
}

static void
note_line(void *arg, struct view text)
{
	struct buf *b = arg;

	assert_true(buf_addf(b, "[%.*s]", VIEW_ARG(text)));
}

static void
test_lines_are_told(void **state)
{
	static struct reply_parser p;
	struct buf b;
	size_t used;

	buf_init(&b, 1000);
	reply_parser_init(&p);
	p.on_line = note_line;
	p.arg = &b;
	assert_int_equal(reply_parse(&p, VIEW("250-host\r\n250-SIZE 10\r\n250 8BITMIME\r\n"), &used), REPLY_DONE);
	assert_true(view_eq(buf_view(&b), VIEW("[host][SIZE 10][8BITMIME]")));
	buf_done(&b);
}

static void
test_status_fits_the_code(void **state)
{
	struct reply r = { .code = 550, .status = "5.1.1" };
	char status[STATUS_TEXT_MAX];

	reply_status(&r, status);
	assert_string_equal(status, "5.1.1");
	r.code = 450;
	reply_status(&r, status);
	assert_string_equal(status, "4.0.0");
	r.status[0] = '\0';
	reply_status(&r, status);
	assert_string_equal(status, "4.0.0");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies_at_every_split),
		cmocka_unit_test(test_garbage_is_told_early),
		cmocka_unit_test(test_the_next_reply_starts_afresh),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_many_lines_fill_the_text_and_no_more),
		cmocka_unit_test(test_endless_replies_end),
		cmocka_unit_test(test_lines_are_told),
		cmocka_unit_test(test_status_fits_the_code),
	};

	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
