/* SPDX-License-Identifier: BSD-2-Clause */
/* What a server may quote of a login, and what then is left of its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/base64.h"
#include "base/compiler.h"
#include "smtp/redact.h"

#include "base/banned.h"

static void
assert_redacted(const struct redact *r, const char *text, const char *want)
{
	char shown[REDACT_TEXT_MAX];

	snprintf(shown, sizeof(shown), "%s", text);
	redact_text(r, shown, sizeof(shown));
	assert_string_equal(shown, want);
}

static struct redact
noted(struct view secret, const char *line)
{
	struct redact r;

	redact_init(&r);
	assert_true(redact_note(&r, secret, view_str(line)));
	return r;
}

/* What was said is base64 of NUL, "web1", NUL, "S3cretPassw0rd". */
static void
test_a_command_is_quoted(void **state)
{
	static const char *const cases[][2] = {
		{ "no: AUTH PLAIN AHdlYjEAUzNjcmV0UGFzc3cwcmQ=", "no: AUTH PLAIN ***" },
		{ "\"AHdlYjEAUzNjcmV0UGFzc3cwcmQ=\", \"UzNjcmV0UGFzc3cwcmQ=\"", "\"***\", \"***\"" },
		{ "AHDLYJEAUZNJCMV0UGFZC3CWCMQ=", "***" },
		{ "AHdlYjEAUzNjcmV0 UGFzc3cwcmQ=", "*** ***" },		/* folded */
		{ "web1/S3cretPassw0rd is wrong", "web1/*** is wrong" },
		{ "S3cretPassw0rdS3cretPassw0rd", "***" },
		{ "S3cretPa...", "***..." },
		{ "tPassw0rd!", "***!" },
		{ "S3cretP", "S3cretP" },
		{ "s3CRETpASSW0RD", "***" },
		{ "AUTH PLAIN is what I know, web1", "AUTH PLAIN is what I know, web1" },
		{ "", "" },
	};
	struct redact r = noted(VIEW("S3cretPassw0rd"), "AUTH PLAIN AHdlYjEAUzNjcmV0UGFzc3cwcmQ=");

	for (size_t i = 0; i < lengthof(cases); i++)
		assert_redacted(&r, cases[i][0], cases[i][1]);
	redact_done(&r);
}

/* Said in another way than it was by us: of each 8 characters of base64 there are none left. */
static void
test_base64_at_each_alignment(void **state)
{
	static const char *const before[] = { "", "x", "yz", "abc" };
	struct redact r = noted(VIEW("S3cretPassw0rd"), "AUTH SCRAM-SHA-256 biws");

	for (size_t i = 0; i < lengthof(before); i++) {
		char plain[100], text[REDACT_TEXT_MAX];
		struct buf b;

		snprintf(plain, sizeof(plain), "%sS3cretPassw0rd:q", before[i]);
		buf_init(&b, 200);
		assert_true(base64_encode(&b, view_str(plain)));
		snprintf(text, sizeof(text), "%s", buf_cstr(&b));
		redact_text(&r, text, sizeof(text));
		/* what is left holds nothing of it but two or four bits at an end */
		assert_non_null(strstr(text, REDACTED));
		assert_true(strlen(text) <= strlen(REDACTED) + 10);
		for (size_t at = 0; at + 8 <= strlen(text); at++)
			assert_null(strstr(buf_cstr(&b), (char[]){ text[at], text[at + 1], text[at + 2], text[at + 3],
			    text[at + 4], text[at + 5], text[at + 6], text[at + 7], '\0' }));
		buf_done(&b);
	}
	redact_done(&r);
}

static void
test_words_that_are_short_or_empty(void **state)
{
	struct redact r = noted(VIEW("pw7"), "AUTH LOGIN");

	assert_redacted(&r, "pw7 and pw and PW7pw7", "*** and pw and ***");
	assert_redacted(&r, "LOGIN", "LOGIN");
	assert_true(redact_note(&r, VIEW("pw7"), VIEW("d2ViMQ==")));
	assert_true(redact_note(&r, VIEW("pw7"), VIEW("cHc3")));
	assert_redacted(&r, "500 \"cHc3\" d2ViMQ== cHc", "500 \"***\" *** cHc");
	redact_done(&r);
	r = noted(VIEW(""), "AUTH EXTERNAL =");
	assert_redacted(&r, "a=b, and so on", "a=b, and so on");
	redact_done(&r);
	redact_init(&r);
	assert_redacted(&r, "nothing was said", "nothing was said");
}

/* Shown as '?' each, before it comes here. */
static void
test_bytes_beyond_ascii(void **state)
{
	struct redact r = noted(VIEW("p\xc3\xa4ssw\xc3\xb6rd\tx"), "AUTH LOGIN");

	assert_redacted(&r, "no p??ssw??rd x here", "no *** here");
	redact_done(&r);
}

/* It may get longer than it was; never than there is room for. */
static void
test_room(void **state)
{
	struct redact r = noted(VIEW("a"), "AUTH LOGIN");
	char text[9] = "babababa";

	redact_text(&r, text, sizeof(text));
	assert_string_equal(text, "b***b***");
	redact_done(&r);
}

/* All of a long one, wherever in it the piece is. */
static void
test_long_words(void **state)
{
	char token[2000], text[REDACT_TEXT_MAX];
	struct redact r;

	for (size_t i = 0; i < sizeof(token); i++)
		token[i] = "0123456789abcdefghijkmnopqrstuvwxyz"[i * i * 7 % 35];
	r = noted(view_of(token, sizeof(token)), "AUTH XOAUTH2 biws");
	for (size_t i = 0; i + 8 <= sizeof(token); i += 13) {
		snprintf(text, sizeof(text), "%*s<%.8s>", (int)(i % 9), "", token + i);
		redact_text(&r, text, sizeof(text));
		assert_string_equal(text + i % 9, "<***>");
	}
	redact_done(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_command_is_quoted),
		cmocka_unit_test(test_base64_at_each_alignment),
		cmocka_unit_test(test_words_that_are_short_or_empty),
		cmocka_unit_test(test_bytes_beyond_ascii),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_long_words),
	};

	return cmocka_run_group_tests_name("redact", tests, NULL, NULL);
}
