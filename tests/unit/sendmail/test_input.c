/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sendmail/input.h"
#include "sendmail/options.h"

#include "base/banned.h"

struct clean_case {
	struct view	in, out;
	bool		dot_ends;
};

#define CASE(dot, a, b) { VIEW(a), VIEW(b), dot }

static const struct clean_case cases[] = {
	CASE(true, "", ""),
	CASE(true, "a", "a\r\n"),
	CASE(true, "a\nb\r\nc", "a\r\nb\r\nc\r\n"),
	CASE(true, "a\r\r\nb\r\r\r\nc\n", "a\r\nb\r\nc\r\n"),
	CASE(true, "a\rb\r", "a\r\nb\r\n"),
	CASE(true, "\r\n\n\n", "\r\n\r\n\r\n"),
	CASE(true, "a\0b\0\r\0\nc\n", "ab\r\nc\r\n"),
	CASE(true, "a\n.\nb\n", "a\r\n"),
	CASE(true, "a\n.\r\nb\n", "a\r\n"),
	CASE(true, "a\n.\0\nb\n", "a\r\n"),
	CASE(true, ".", ""),
	CASE(true, "a\n.", "a\r\n"),
	CASE(true, "a\n.\r", "a\r\n"),
	CASE(false, "a\n.\nb\n", "a\r\n.\r\nb\r\n"),
	CASE(false, "a\n.", "a\r\n.\r\n"),
	CASE(true, "a\n..\n.b\n. \n", "a\r\n..\r\n.b\r\n. \r\n"),
	/* a bare CR makes no line that a lone dot could end the message with */
	CASE(true, "a\r.\nb\n", "a\r\n.\r\nb\r\n"),
	CASE(true, "a\n.\rb\n", "a\r\n.\r\nb\r\n"),
	CASE(true, "a\r.\rb\r.\r", "a\r\n.\r\nb\r\n.\r\n"),
};

/* Each case, cut in two at every point. */
static void
test_clean_at_every_split(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct clean_case *c = &cases[i];

		for (size_t cut = 0; cut <= c->in.n; cut++) {
			struct input in;
			struct buf out;

			input_init(&in, -1, c->dot_ends);
			buf_init(&out, 1000);
			assert_true(input_clean(&in, view_first(c->in, cut), &out));
			assert_true(input_clean(&in, view_from(c->in, cut), &out));
			assert_true(input_finish(&in, &out));
			assert_true(in.ended);
			if (!view_eq(buf_view(&out), c->out))
				fail_msg("case %zu cut %zu: %.*s", i, cut, VIEW_ARG(buf_view(&out)));
			buf_done(&out);
		}
	}
}

static void
test_full_buffer_is_told(void **state)
{
	struct input in;
	struct buf out;

	input_init(&in, -1, true);
	buf_init(&out, 3);
	assert_false(input_clean(&in, VIEW("abcd"), &out));
	buf_done(&out);
}

static struct options
parse(const char *const *argv)
{
	struct options o;
	int n = 0;

	while (argv[n] != NULL)
		n++;
	options_parse(&o, n, argv);
	return o;
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })

static void
test_options(void **state)
{
	struct options o = PARSE("sendmail", "-ti", "-fa@b", "root");

	assert_true(o.from_header && o.dot_is_text && !o.usage);
	assert_string_equal(o.sender, "a@b");
	assert_int_equal(o.nrecipients, 1);
	o = PARSE("sendmail", "-oem", "-oi", "-r", "", "--", "-f", "x");
	assert_true(o.dot_is_text);
	assert_string_equal(o.sender, "");
	assert_int_equal(o.nrecipients, 2);
	assert_string_equal(o.recipients[0], "-f");
	o = PARSE("sendmail", "-O", "ErrorMode=m", "-C", "/x", "-X", "/y", "-h", "3", "-L", "tag", "-p",
	    "SMTP:h", "-R", "hdrs", "-N", "never", "-V", "id", "-B", "8BITMIME", "-e", "m", "-o", "7",
	    "-d0.1", "-T5", "-Ac", "-Dfile", "-GUmnsvcx", "root");
	assert_int_equal(o.nrecipients, 1);
	assert_int_equal(o.mode, MODE_SEND);
	assert_true(o.verbose && !o.dot_is_text && o.sender == NULL);
	o = PARSE("sendmail", "-Zfoo", "-J", "root", "-i");
	assert_null(o.sender);
	assert_int_equal(o.nrecipients, 2);	/* options end at the first recipient */
	o = PARSE("sendmail", "-t", "-f");
	assert_true(o.usage);
	o = PARSE("sendmail", "-q15m");
	assert_int_equal(o.mode, MODE_FLUSH);
	o = PARSE("/usr/bin/mailq");
	assert_int_equal(o.mode, MODE_QUEUE);
	o = PARSE("newaliases");
	assert_int_equal(o.mode, MODE_ALIASES);
	o = PARSE("runq", "-v");
	assert_int_equal(o.mode, MODE_FLUSH);
	o = PARSE("x", "-bs", "-i");
	assert_int_equal(o.mode, MODE_SESSION);
	o = PARSE("x", "-b", "d");
	assert_int_equal(o.mode, MODE_DAEMON);
	o = PARSE("x", "-OIgnoreDots=True", "-");
	assert_true(o.dot_is_text);
	assert_int_equal(o.nrecipients, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean_at_every_split),
		cmocka_unit_test(test_full_buffer_is_told),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
