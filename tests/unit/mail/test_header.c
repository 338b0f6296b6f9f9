/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mail/header.h"

#include "base/banned.h"

#define TIME_MS 1795332623120

static struct header_scan
scan(struct view text, bool all)
{
	struct header_scan s;

	header_scan_init(&s);
	(void)header_scan(&s, text, all);
	return s;
}

#define BLOCK "Received: from a by b;\r\n\tyesterday\r\nFROM: a@b\r\nTo : x@y,\r\n  z@w\r\n" \
	"date: now\r\nMessage-Id: <1@2>\r\nMIME-Version: 1.0\r\nReceived: again\r\n"

static void
check_block(const struct header_scan *s)
{
	assert_true(s->ended);
	assert_true(s->blank);
	assert_int_equal(s->at, sizeof(BLOCK) - 1);
	assert_int_equal(s->count[HEADER_RECEIVED], 2);
	assert_int_equal(s->count[HEADER_FROM], 1);
	assert_int_equal(s->count[HEADER_TO], 1);
	assert_int_equal(s->count[HEADER_DATE], 1);
	assert_int_equal(s->count[HEADER_MESSAGE_ID], 1);
	assert_int_equal(s->count[HEADER_MIME_VERSION], 1);
	assert_int_equal(s->count[HEADER_CC], 0);
	assert_int_equal(s->count[HEADER_SUBJECT], 0);
}

static void
test_script(void **state)
{
	static const struct { const char *text; size_t at, n; } cases[] = {
		{ "X-PHP-Originating-Script: 33:mail.php\r\n\r\n", 25, 14 },
		{ "To: x\nx-php-originating-script :a\nX-PHP-Originating-Script: b\n\n", 32, 2 },
		{ "X-PHP-Originating-Script:", 25, 0 },
		{ "To: x\r\n\r\nX-PHP-Originating-Script: body\r\n", 0, 0 },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct header_scan s = scan(view_str(cases[i].text), true);

		assert_int_equal(s.script_at, cases[i].at);
		assert_int_equal(s.script_n, cases[i].n);
	}
}

/* Fed in two pieces at every split, and byte by byte, the scan sees the same. */
static void
test_scan_at_every_split(void **state)
{
	static const char text[] = BLOCK "\r\nSubject: in the body\r\n";
	struct view all = view_of(text, sizeof(text) - 1);
	struct header_scan s;

	for (size_t n = 0; n <= all.n; n++) {
		bool first;

		header_scan_init(&s);
		first = header_scan(&s, view_first(all, n), false);
		assert_int_equal(first, n >= sizeof(BLOCK) - 1 + 2);
		assert_true(header_scan(&s, all, false));
		check_block(&s);
	}
	header_scan_init(&s);
	for (size_t n = 0; n <= all.n && !header_scan(&s, view_first(all, n), false); n++)
		;
	check_block(&s);
}

static void
test_where_the_header_ends(void **state)
{
	static const struct {
		const char *text;
		size_t at;
		bool blank;
	} c[] = {
		{ "", 0, false },
		{ "\r\n", 0, true },
		{ "\r\nTo: x\r\n", 0, true },
		{ "hello\r\n", 0, false },
		{ " To: x\r\n", 0, false },			/* continues nothing */
		{ "To: x", 5, false },
		{ "To: x\r\n", 7, false },
		{ "To: x\n\nbody", 6, true },
		{ "To: x\r\nno field\r\nCc: y\r\n\r\n", 7, false },
		{ "To: x\r\n \t\r\nCc: y\r\n\r\nbody\r\n", 18, true },	/* an all-space line continues */
		{ "To: x\r\n: y\r\n", 7, false },
		{ "To: x\r\nj\xc3\xb6: y\r\n", 7, false },
		{ "To: x\r\nA b: y\r\n", 7, false },
	};

	for (size_t i = 0; i < lengthof(c); i++) {
		struct header_scan s = scan(view_str(c[i].text), true);

		assert_true(s.ended);
		assert_int_equal(s.at, c[i].at);
		assert_int_equal(s.blank, c[i].blank);
	}
	assert_false(scan(VIEW("To: x"), false).ended);
	assert_false(scan(VIEW("To: x\r\n"), false).ended);
}

static void
test_mbox_line(void **state)
{
	struct header_scan s = scan(VIEW("From alice Mon Nov 22\r\nDate: x\r\n\r\n"), true);

	assert_true(s.mbox_line);
	assert_int_equal(s.count[HEADER_DATE], 1);
	assert_int_equal(s.count[HEADER_FROM], 0);
	assert_true(scan(VIEW(">From alice Mon\r\nDate: x\r\n\r\n"), true).mbox_line);
	s = scan(VIEW("Date: x\r\nFrom alice\r\nTo: x\r\n"), true);
	assert_false(s.mbox_line);
	assert_int_equal(s.at, 9);
	assert_false(scan(VIEW("From: alice\r\n"), true).mbox_line);
}

static void
test_next(void **state)
{
	struct view io = VIEW("To: a@b,\r\n\tc@d\r\nX-Odd\t : v\nEmpty:\r\nbcc: last");
	struct header_field f;

	assert_true(header_next(&io, &f));
	assert_int_equal(f.name, HEADER_TO);
	assert_true(view_eq(f.label, VIEW("To")));
	assert_true(view_eq(f.value, VIEW(" a@b,\r\n\tc@d\r\n")));
	assert_true(view_eq(f.whole, VIEW("To: a@b,\r\n\tc@d\r\n")));
	assert_true(header_next(&io, &f));
	assert_int_equal(f.name, HEADER_OTHER);
	assert_true(view_eq(f.label, VIEW("X-Odd")));
	assert_true(view_eq(f.value, VIEW(" v\n")));
	assert_true(header_next(&io, &f));
	assert_true(view_eq(f.value, VIEW("\r\n")));
	assert_true(header_next(&io, &f));
	assert_int_equal(f.name, HEADER_BCC);
	assert_true(view_eq(f.value, VIEW(" last")));
	assert_int_equal(io.n, 0);
	assert_false(header_next(&io, &f));
	io = VIEW("\r\nTo: body\r\n");
	assert_false(header_next(&io, &f));
	assert_int_equal(io.n, 12);
}

static void
test_all_names(void **state)
{
	static const char *const known[] = {
		"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID",
		"MIME-Version", "Received", "Return-Path", "Resent-From", "Resent-To", "Resent-Cc",
		"Resent-Bcc", "Resent-Date", "Resent-Message-ID",
	};

	for (size_t i = 0; i < lengthof(known); i++) {
		struct header_field f;
		struct view io;
		char text[64];

		(void)snprintf(text, sizeof(text), "%s: x\r\n", known[i]);
		io = view_str(text);
		assert_true(header_next(&io, &f));
		assert_int_equal(f.name, i + 1);
	}
}

static void
test_missing_fields(void **state)
{
	static const struct {
		const char *header, *want;
	} c[] = {
		{ "Subject: x\r\n\r\n", "Date: Sun, 22 Nov 2026 07:30:23 +0000\r\n"
		    "Message-ID: <20261122073023.00000000000000ff@web1>\r\n" },
		{ "Date: x\r\n\r\n", "Message-ID: <20261122073023.00000000000000ff@web1>\r\n" },
		{ "message-id: x\r\n\r\n", "Date: Sun, 22 Nov 2026 07:30:23 +0000\r\n" },
		{ "Message-ID: x\r\nDate: y\r\n\r\n", "" },
		{ "Resent-Date: y\r\nDate: x\r\nResent-Message-ID: x\r\n\r\n",
		    "Message-ID: <20261122073023.00000000000000ff@web1>\r\n" },
	};

	for (size_t i = 0; i < lengthof(c); i++) {
		struct header_scan s = scan(view_str(c[i].header), true);
		struct buf b;

		buf_init(&b, 500);
		assert_true(header_put_missing(&b, &s, "web1", TIME_MS, 255));
		assert_string_equal(buf_cstr(&b), c[i].want);
		buf_done(&b);
	}
	for (size_t max = 0; max < 90; max++) {
		struct header_scan s = scan(VIEW("\r\n"), true);
		struct buf b;

		buf_init(&b, max);
		assert_false(header_put_missing(&b, &s, "web1", TIME_MS, 255));
		assert_int_equal(buf_len(&b), 0);
		buf_done(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_script),
		cmocka_unit_test(test_scan_at_every_split),
		cmocka_unit_test(test_where_the_header_ends),
		cmocka_unit_test(test_mbox_line),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_all_names),
		cmocka_unit_test(test_missing_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
