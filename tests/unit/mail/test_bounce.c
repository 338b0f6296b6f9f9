/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mail/bounce.h"

#include "base/banned.h"

#define TIME_MS 1795332623120

static struct envelope original;
static struct bounce_facts facts;

static int
setup(void **state)
{
	envelope_init(&original);
	original.from = VIEW("alice@example.com");
	original.received_ms = TIME_MS;
	facts = (struct bounce_facts){
		.hostname = "web1.example.com", .original = &original, .id = "0123456789abcdef",
		.to = original.from, .message = VIEW("Subject: hello\r\nDate: x\r\n\r\nbody\r\n"),
		.now_ms = TIME_MS + 3600000, .nonce = 0xabcdef,
		.returned_max = 20000,
	};
	return 0;
}

/*
 * What holds for every report to an address in ASCII: CRLF, lines that mail may have, three parts, a bounded size;
 * and, unless it says that it is 8-bit, ASCII.
 */
static void
check_shape(struct view text)
{
	bool any = view_search(text, VIEW("\r\nContent-Transfer-Encoding: 8bit\r\n\r\nThis is a report")) < text.n;
	struct view rest = text, line;
	unsigned boundaries = 0;

	assert_in_range(text.n, 1, BOUNCE_MAX);
	assert_true(view_ends(text, VIEW("\r\n--=_0000000000abcdef--\r\n")));
	while (view_split(&rest, '\n', &line)) {
		assert_true(view_ends(line, VIEW("\r")));
		line.n--;
		assert_in_range(line.n, 0, 998);
		for (size_t i = 0; i < line.n; i++)
			assert_true(any || is_print(line.p[i]) || line.p[i] == '\t');
		boundaries += view_starts(line, VIEW("--=_0000000000abcdef"));
	}
	assert_int_equal(boundaries, 4);
}

static struct buf
build(void)
{
	struct buf b;

	if (facts.size == 0)
		facts.size = facts.message.n;
	buf_init(&b, BOUNCE_MAX);
	assert_true(bounce_build(&b, &facts));
	check_shape(buf_view(&b));
	return b;
}

static bool
has(const struct buf *b, const char *text)
{
	struct view all = buf_view(b);

	return view_search(all, view_str(text)) < all.n;
}

static void
test_whole(void **state)
{
	static const struct bounce_rcpt rcpt[] = {
		{ .address = { (const uint8_t *)"bob@example.net", 15 }, .why = BOUNCE_REFUSED, .code = 550,
		  .status = { (const uint8_t *)"5.1.1", 5 }, .text = { (const uint8_t *)"No such user", 12 },
		  .remote = { (const uint8_t *)"smtp.example.net", 16 }, .last_ms = TIME_MS },
	};
	struct buf b;

	facts.rcpt = rcpt;
	facts.nrcpt = 1;
	b = build();
	assert_string_equal(buf_cstr(&b),
	    "From: \"Mail Delivery System\" <mailer-daemon@web1.example.com>\r\n"
	    "To: <alice@example.com>\r\n"
	    "Subject: Your message could not be delivered\r\n"
	    "Date: Sun, 22 Nov 2026 08:30:23 +0000\r\n"
	    "Message-ID: <20261122083023.0000000000abcdef@web1.example.com>\r\n"
	    "Auto-Submitted: auto-replied\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"=_0000000000abcdef\"\r\n"
	    "\r\n"
	    "This is a report in MIME format.\r\n"
	    "\r\n--=_0000000000abcdef\r\n"
	    "Content-Type: text/plain; charset=us-ascii\r\n"
	    "\r\n"
	    "This is the mail system of web1.example.com.\r\n"
	    "\r\n"
	    "A message could not be delivered to the recipients below. It will not be\r\n"
	    "tried again. The header of the message is attached.\r\n"
	    "\r\n"
	    "  Accepted: Sun, 22 Nov 2026 07:30:23 +0000\r\n"
	    "  Queue id: 0123456789abcdef\r\n"
	    "  From:     <alice@example.com>\r\n"
	    "\r\n"
	    "<bob@example.net>\r\n"
	    "    smtp.example.net refused it:\r\n"
	    "    550 5.1.1 No such user\r\n"
	    "\r\n"
	    "\r\n--=_0000000000abcdef\r\n"
	    "Content-Type: message/delivery-status\r\n"
	    "\r\n"
	    "Reporting-MTA: dns; web1.example.com\r\n"
	    "X-Posthouse-Queue-Id: 0123456789abcdef\r\n"
	    "Arrival-Date: Sun, 22 Nov 2026 07:30:23 +0000\r\n"
	    "\r\n"
	    "Final-Recipient: rfc822; bob@example.net\r\n"
	    "Action: failed\r\n"
	    "Status: 5.1.1\r\n"
	    "Remote-MTA: dns; smtp.example.net\r\n"
	    "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"
	    "Last-Attempt-Date: Sun, 22 Nov 2026 07:30:23 +0000\r\n"
	    "\r\n--=_0000000000abcdef\r\n"
	    "Content-Type: text/rfc822-headers\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n"
	    "\r\n"
	    "Subject: hello\r\n"
	    "Date: x\r\n"
	    "\r\n--=_0000000000abcdef--\r\n");
	buf_done(&b);
}

static void
test_other_reasons(void **state)
{
	struct bounce_rcpt rcpt[] = {
		{ .address = VIEW("a@b"), .why = BOUNCE_EXPIRED, .text = VIEW("connection refused") },
		{ .address = VIEW("c@d"), .why = BOUNCE_EXPIRED },
		{ .address = VIEW("e@f"), .why = BOUNCE_LOCAL, .text = VIEW("the stored message is damaged") },
		{ .address = VIEW("g@h"), .why = BOUNCE_REFUSED, .code = 554, .status = VIEW("nonsense") },
	};
	struct buf b;

	facts.rcpt = rcpt;
	facts.nrcpt = 4;
	b = build();
	assert_true(has(&b, "<a@b>\r\n    It could not be delivered for 1h 0m. What was heard last:\r\n"
	    "    connection refused\r\n"));
	assert_true(has(&b, "rfc822; a@b\r\nAction: failed\r\nStatus: 4.4.7\r\n"
	    "Diagnostic-Code: x-posthouse; connection refused\r\n"));
	assert_true(has(&b, "<c@d>\r\n    It could not be delivered for 1h 0m.\r\n\r\n"));
	assert_true(has(&b, "rfc822; c@d\r\nAction: failed\r\nStatus: 4.4.7\r\n\r\n"));
	assert_true(has(&b, "<e@f>\r\n    This mail system could not go on with it:\r\n"
	    "    the stored message is damaged\r\n"));
	assert_true(has(&b, "rfc822; g@h\r\nAction: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 554\r\n"));
	assert_true(has(&b, "<g@h>\r\n    It was refused:\r\n    554\r\n"));
	buf_done(&b);
}

/* RFC 3461 6.3, RFC 3464 2.2.1, 2.3.1: what the sender called the message and the recipient. */
static void
test_original_names(void **state)
{
	struct bounce_rcpt rcpt[] = {
		{ .address = VIEW("b@c"), .original = VIEW("rfc822;Bob+20B+2Bx@c"), .why = BOUNCE_REFUSED, .code = 550 },
		{ .address = VIEW("d@e"), .original = VIEW("utf-8;\xc3\xbc\\x{2B}@e"), .why = BOUNCE_REFUSED, .code = 550 },
		{ .address = VIEW("f@g"), .original = VIEW("x;+0D+0A+ff"), .why = BOUNCE_REFUSED, .code = 550 },
	};
	struct buf b;

	facts.rcpt = rcpt;
	facts.nrcpt = 3;
	original.envid = VIEW("QQ+3D+201");
	b = build();
	assert_true(has(&b, "delivery-status\r\n\r\nOriginal-Envelope-Id: QQ= 1\r\nReporting-MTA: "));
	assert_true(has(&b, "\r\n\r\nOriginal-Recipient: rfc822; Bob B+x@c\r\nFinal-Recipient: rfc822; b@c\r\n"));
	assert_true(has(&b, "\r\n\r\nOriginal-Recipient: utf-8; \\x{FC}\\x{2B}@e\r\nFinal-Recipient: rfc822; d@e\r\n"));
	assert_true(has(&b, "\r\n\r\nOriginal-Recipient: x; "));
	buf_done(&b);
}

/* RFC 3461 5.2.2: passed on to a server that can't tell more. */
static void
test_relayed(void **state)
{
	struct bounce_rcpt rcpt[] = {
		{ .address = VIEW("b@c"), .why = BOUNCE_RELAYED, .code = 250, .status = VIEW("2.1.9"),
		  .text = VIEW("taken"), .remote = VIEW("smtp.example.net") },
		{ .address = VIEW("d@e"), .why = BOUNCE_REFUSED, .code = 550, .status = VIEW("5.1.1") },
	};
	struct buf b;

	facts.rcpt = rcpt;
	facts.nrcpt = 1;
	original.ret = VIEW("FULL");
	b = build();
	assert_true(has(&b, "Subject: Your message was passed on\r\n"));
	assert_true(has(&b, "<b@c>\r\n    It was passed on to smtp.example.net, which makes no reports of success:\r\n"));
	assert_true(has(&b, "rfc822; b@c\r\nAction: relayed\r\nStatus: 2.1.9\r\nRemote-MTA: dns; smtp.example.net\r\n"
	    "Diagnostic-Code: smtp; 250 taken\r\n"));	/* 2.1.9 is no word of the server */
	assert_false(has(&b, "could not be delivered"));
	assert_false(has(&b, "message/rfc822"));	/* nothing failed: the header is enough (4.3) */
	buf_done(&b);
	facts.nrcpt = 2;
	b = build();
	assert_true(has(&b, "Subject: Your message could not be delivered\r\n"));
	assert_true(has(&b, "b@c\r\nAction: relayed\r\n"));
	assert_true(has(&b, "d@e\r\nAction: failed\r\n"));
	assert_true(has(&b, "message/rfc822"));
	buf_done(&b);
}

static bool
comes_back(struct view message, uint64_t size)
{
	struct buf b;
	bool whole;

	facts.message = message;
	facts.size = size;
	b = build();
	whole = has(&b, "Content-Type: message/rfc822\r\n");
	assert_int_equal(has(&b, "tried again. The message is attached.\r\n\r\n"), whole);
	assert_int_equal(has(&b, "tried again. The header of the message is attached.\r\n"), !whole);
	assert_int_equal(has(&b, "Content-Type: text/rfc822-headers\r\n"), !whole);
	assert_int_equal(has(&b, "It was to come back whole, but "), !whole && view_ieq(original.ret, VIEW("FULL")));
	buf_done(&b);
	return whole;
}

/* RFC 3461 4.3: all of it, if it is there and not too long. */
static void
test_ret_full(void **state)
{
	struct bounce_rcpt rcpt = { .address = VIEW("a@b"), .why = BOUNCE_REFUSED, .code = 550 };
	struct view text = VIEW("Subject: hello\r\n\r\n.body\x0c\r\nwithout an end");
	static uint8_t large[20001];
	struct buf b;

	facts.rcpt = &rcpt;
	facts.nrcpt = 1;
	original.ret = VIEW("full");
	facts.message = VIEW("Subject: hello\r\n\r\n.body\r\nwithout an end");
	b = build();
	assert_true(has(&b, "Content-Type: message/rfc822\r\n\r\nSubject: hello\r\n\r\n.body\r\nwithout an end\r\n\r\n--"));
	assert_false(has(&b, "8bit") || has(&b, "come back whole"));
	buf_done(&b);
	original.ret = VIEW("HDRS");
	assert_false(comes_back(facts.message, facts.message.n));
	original.ret = VIEW("FULL");
	assert_true(comes_back(facts.message, facts.message.n));
	assert_false(comes_back(text, text.n + 1));
	memset(large, '\n', sizeof(large));
	assert_true(comes_back(view_of(large, sizeof(large) - 1), sizeof(large) - 1));
	assert_false(comes_back(view_of(large, sizeof(large)), sizeof(large)));
	/* RFC 2045 2.7: a line that no mail may have, a bare CR, a NUL. */
	memset(large, 'x', 999);
	assert_false(comes_back(view_of(large, 1001), 1001));
	assert_true(comes_back(view_of(large + 1, 1000), 1000));
	assert_false(comes_back(VIEW("a: b\r\n\r\na\rb\r\n"), 13));
	assert_false(comes_back(VIEW("a: b\r\n\r\na\0b\r\n"), 13));
}

/* RFC 2046 5.2.1: text within message/rfc822 is not encoded, and what holds it says 8bit, too (RFC 2045 6.4). */
static void
test_ret_full_8bit(void **state)
{
	struct bounce_rcpt rcpt = { .address = VIEW("a@b"), .why = BOUNCE_REFUSED, .code = 550 };
	struct buf b;

	facts.rcpt = &rcpt;
	facts.nrcpt = 1;
	facts.message = VIEW("Subject: caf\xc3\xa9\r\n\r\nbody \xff\r\n");
	original.ret = VIEW("FULL");
	b = build();
	assert_true(has(&b, "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"=_0000000000abcdef\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\nThis is a report"));
	assert_true(has(&b, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	    "Subject: caf\xc3\xa9\r\n\r\nbody \xff\r\n\r\n--"));
	buf_done(&b);
	original.smtputf8 = true;
	b = build();
	assert_true(has(&b, "Content-Type: message/global\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "Subject: caf=C3=A9\r\n\r\nbody =FF\r\n\r\n--"));
	assert_false(has(&b, "8bit"));
	buf_done(&b);
}

/* What a lost report told goes back, whatever it is made of. */
static void
test_report_of_a_report(void **state)
{
	struct bounce_rcpt rcpt = { .address = VIEW("\xc3\xbc@b"), .why = BOUNCE_REFUSED, .code = 553 };
	struct buf b;

	facts.rcpt = &rcpt;
	facts.nrcpt = 1;
	facts.to = VIEW("admin@example.com");
	original.bounce = true;
	original.from = VIEW("");
	facts.message = VIEW("To: <a@b>\r\n\r\nit failed\r\n");
	b = build();
	assert_true(has(&b, "Content-Type: message/rfc822\r\n\r\nTo: <a@b>\r\n\r\nit failed\r\n\r\n--"));
	buf_done(&b);
	facts.message = VIEW("To: <\xc3\xbc@b>\r\n\r\nit failed\r\n");
	facts.size = facts.message.n;
	original.smtputf8 = true;
	b = build();
	assert_true(has(&b, "Content-Type: message/global\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "To: <=C3=BC@b>\r\n\r\nit failed\r\n\r\n--"));
	buf_done(&b);
}

static void
test_to_beyond_ascii(void **state)
{
	struct bounce_rcpt rcpt = { .address = VIEW("a@b"), .why = BOUNCE_EXPIRED };
	struct buf b;

	facts.rcpt = &rcpt;
	facts.nrcpt = 1;
	buf_init(&b, BOUNCE_MAX);
	facts.to = VIEW("\xc3\xbc@example.com");
	assert_true(bounce_build(&b, &facts));
	assert_true(has(&b, "\r\nTo: <\xc3\xbc@example.com>\r\n"));
	buf_done(&b);
	facts.to = VIEW("\xc3\xbc\r\nX: y@b\xc2\x85");
	b = build();
	assert_true(has(&b, "\r\nTo: <\\x{FC}??X:?y@b\\x{85}>\r\n"));
	buf_done(&b);
}

/* 8-bit, of 60 lines, of 10 kB, without a space, with a forged boundary and NUL. */
static void
test_hostile_replies(void **state)
{
	struct bounce_rcpt rcpt = { .address = VIEW("a@b"), .why = BOUNCE_REFUSED, .code = 550 };
	struct buf text, b;

	facts.rcpt = &rcpt;
	facts.nrcpt = 1;
	buf_init(&text, 20000);
	for (int form = 0; form < 6; form++) {
		buf_clear(&text);
		for (int i = 0; i < 60; i++)
			assert_true(buf_addf(&text, form == 0 ? "line %d of the answer\r\n" :
			    form == 1 ? "caf\xc3\xa9 %d \xff\xfe" :
			    form == 2 ? "\r\n--=_0000000000abcdef--\r\n%d" :
			    form == 3 ? "%d\n.\n\n" : "no%dspacesinthisone", i));
		while (form == 4 && buf_len(&text) < 10240)
			assert_true(buf_add_byte(&text, 'x'));
		if (form == 5)
			memset(text.data, 0, buf_len(&text));
		rcpt.text = buf_view(&text);
		rcpt.remote = buf_view(&text);
		rcpt.address = buf_view(&text);
		rcpt.status = buf_view(&text);
		facts.to = buf_view(&text);
		b = build();
		assert_true(buf_len(&b) < 12000);
		buf_done(&b);
	}
	buf_done(&text);
}

/* RFC 6533: nobody can guess an address from question marks. */
static void
test_addresses_beyond_ascii(void **state)
{
	struct bounce_rcpt rcpt[] = {
		{ .address = VIEW("j\xc3\xb6rg+a@m\xe2\x82\xac.example"), .why = BOUNCE_EXPIRED },
		{ .address = VIEW("\xf0\x9f\x93\xae=\\@x.example"), .why = BOUNCE_EXPIRED },
		{ .address = VIEW("a+b=c@x.example"), .why = BOUNCE_EXPIRED },
		/* not UTF-8: cut short, too long a form, a surrogate, beyond Unicode */
		{ .address = VIEW("a\xc3@b\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82"), .why = BOUNCE_EXPIRED },
	};
	struct buf b;

	facts.rcpt = rcpt;
	facts.nrcpt = 4;
	original.from = VIEW("\xc3\xa9@example.com");
	b = build();
	assert_true(has(&b, "Final-Recipient: utf-8; j\\x{F6}rg\\x{2B}a@m\\x{20AC}.example\r\n"));
	assert_true(has(&b, "\r\n<j\\x{F6}rg\\x{2B}a@m\\x{20AC}.example>\r\n"));
	assert_true(has(&b, "Final-Recipient: utf-8; \\x{1F4EE}\\x{3D}\\x{5C}@x.example\r\n"));
	assert_true(has(&b, "Final-Recipient: rfc822; a+b=c@x.example\r\n"));
	assert_true(has(&b, "Final-Recipient: utf-8; a?@b???????????\r\n"));
	assert_true(has(&b, "From:     <\\x{E9}@example.com>\r\n"));
	buf_done(&b);
}

/* Each word of the answer arrives, in lines that are short. */
static void
test_wrapping(void **state)
{
	struct bounce_rcpt rcpt = { .address = VIEW("a@b"), .why = BOUNCE_REFUSED, .code = 550 };
	char text[400];

	facts.rcpt = &rcpt;
	facts.nrcpt = 1;
	for (size_t width = 1; width < 200; width++) {
		struct view part, line;
		struct buf b;
		size_t letters = 0;

		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = (i + 1) % (width + 1) == 0 ? ' ' : 'w';
		rcpt.text = view_of(text, sizeof(text));
		for (size_t i = 0; i < sizeof(text); i++)
			letters += text[i] == 'w';
		b = build();
		part = buf_view(&b);
		part = view_from(part, view_search(part, VIEW("Diagnostic-Code: smtp;")) + 22);
		part = view_first(part, view_search(part, VIEW("\r\n\r\n--")));
		while (view_split(&part, '\n', &line)) {
			assert_in_range(line.n, 0, 79);
			for (size_t i = 0; i < line.n; i++)
				letters -= line.p[i] == 'w';
		}
		assert_int_equal(letters, 0);
		buf_done(&b);
	}
}

#define LONGEST 254	/* RFC 5321 4.5.3.1.3, less the brackets */

/* n recipients with addresses of this many bytes; the reply has reply bytes. */
static void
make_many(struct bounce_rcpt *rcpt, char (*name)[LONGEST], size_t n, size_t address, struct view reply)
{
	for (size_t i = 0; i < n; i++) {
		memset(name[i], 'x', LONGEST);
		name[i][snprintf(name[i], LONGEST, "r%06zu.", i)] = 'x';
		rcpt[i] = (struct bounce_rcpt){ .address = view_of(name[i], address), .why = BOUNCE_REFUSED, .code = 550,
		    .status = VIEW("5.1.1"), .text = reply, .original = VIEW("rfc822;somebody@example.net") };
	}
	facts.rcpt = rcpt;
	facts.nrcpt = n;
}

/* How often each of them stands in a part: once, or none of it is true. */
static size_t
count_named(const struct buf *b, const char *before)
{
	struct view rest = buf_view(b);
	size_t n = 0, at;

	while ((at = view_search(rest, view_str(before))) < rest.n) {
		rest = view_from(rest, at + strlen(before));
		n++;
	}
	return n;
}

static void
test_many_recipients(void **state)
{
	static struct bounce_rcpt rcpt[20000];
	static char name[20000][LONGEST];
	static uint8_t large[1u << 20];
	char reply[900];
	struct buf b;

	memset(large, '\n', sizeof(large));
	memset(reply, 'w', sizeof(reply));
	/* As many as limits.recipients has by default, with the longest of everything. */
	make_many(rcpt, name, 1000, LONGEST, view_of(reply, sizeof(reply)));
	b = build();
	assert_int_equal(count_named(&b, "\r\n<r0"), 1000);
	assert_int_equal(count_named(&b, "Final-Recipient: rfc822; r0"), 1000);
	assert_in_range(count_named(&b, "It was refused"), 100, 999);	/* no more than fits of the rest */
	assert_false(has(&b, "more recipients") || has(&b, "Not-Listed"));
	buf_done(&b);
	/* Of ordinary ones as many as a message can have. */
	make_many(rcpt, name, lengthof(rcpt), 30, VIEW("unknown"));
	b = build();
	assert_int_equal(count_named(&b, "Final-Recipient: rfc822; r0"), 20000);
	assert_false(has(&b, "more recipients") || has(&b, "Not-Listed"));
	buf_done(&b);
	/* The most there can be: what is left out is said, and it is no failure. */
	make_many(rcpt, name, lengthof(rcpt), LONGEST, VIEW("unknown"));
	for (size_t i = 0; i < lengthof(rcpt) - 1000; i++)
		rcpt[i].why = BOUNCE_RELAYED;
	b = build();
	assert_int_equal(count_named(&b, "Action: failed"), 1000);
	assert_int_equal(count_named(&b, "Diagnostic-Code: smtp; 550 5.1.1 unknown"), 1000);
	assert_true(has(&b, "more recipients that it was passed on to.\r\n"));
	assert_true(has(&b, "X-Posthouse-Not-Listed: 0 failed, "));
	assert_true(view_search(buf_view(&b), VIEW("Action: failed")) < view_search(buf_view(&b), VIEW("Action: relayed")));
	assert_true(has(&b, "Subject: hello\r\n"));
	buf_done(&b);
	make_many(rcpt, name, lengthof(rcpt), LONGEST, VIEW("unknown"));
	b = build();
	assert_true(has(&b, "more recipients that it could NOT be delivered to"));
	assert_true(has(&b, " failed, 0 relayed\r\n"));
	buf_done(&b);
	/* Who failed is told rather than the text that failed. */
	original.ret = VIEW("FULL");
	facts.returned_max = sizeof(large);
	assert_true(comes_back(view_of(large, 100000), 100000));
	assert_false(comes_back(view_of(large, sizeof(large)), sizeof(large)));
}

static void
test_header_forms(void **state)
{
	struct bounce_rcpt rcpt = { .address = VIEW("a@b"), .why = BOUNCE_REFUSED, .code = 550 };
	struct buf text, b;

	facts.rcpt = &rcpt;
	facts.nrcpt = 1;
	facts.message = VIEW("Subject: caf\xc3\xa9 = good \r\nTo: x,\n\ty\n\nbody");
	b = build();
	assert_true(has(&b, "quoted-printable\r\n\r\nSubject: caf=C3=A9 =3D good=20\r\nTo: x,\r\n=09y\r\n\r\n--"));
	buf_done(&b);
	facts.message = VIEW("Subject: cut in the mid");
	b = build();
	assert_false(has(&b, "cut in"));		/* never a broken line */
	buf_done(&b);
	facts.message = VIEW("");
	b = build();
	buf_done(&b);

	/* A field of 30 kB has no room and is left out; those around it are kept. */
	buf_init(&text, 100000);
	assert_true(buf_add_str(&text, "First: 1\r\nLong: "));
	while (buf_len(&text) < 30000)
		assert_true(buf_add_str(&text, "xxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n "));
	assert_true(buf_add_str(&text, "y\r\nLast: 2\r\n\r\nLong: body"));
	facts.message = buf_view(&text);
	b = build();
	assert_true(has(&b, "First: 1\r\nLast: 2\r\n\r\n--"));
	assert_false(has(&b, "Long"));
	buf_done(&b);

	/* One line of 5000 bytes: encoded, so that no line of the report is too long. */
	buf_clear(&text);
	assert_true(buf_add_str(&text, "Long: "));
	while (buf_len(&text) < 5000)
		assert_true(buf_add_byte(&text, 'z'));
	assert_true(buf_add_str(&text, "\r\n\r\n"));
	facts.message = buf_view(&text);
	b = build();
	assert_true(has(&b, "quoted-printable\r\n\r\nLong: zzz"));
	buf_done(&b);
	buf_done(&text);
}

static void
test_no_room(void **state)
{
	struct bounce_rcpt rcpt = { .address = VIEW("a@b"), .why = BOUNCE_REFUSED, .code = 550 };
	struct buf b;

	facts.rcpt = &rcpt;
	facts.nrcpt = 1;
	for (size_t max = 3; max < 1200; max += 7) {
		buf_init(&b, max);
		assert_true(buf_add_str(&b, "abc"));
		assert_false(bounce_build(&b, &facts));
		assert_int_equal(buf_len(&b), 3);
		buf_done(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_whole, setup),
		cmocka_unit_test_setup(test_other_reasons, setup),
		cmocka_unit_test_setup(test_original_names, setup),
		cmocka_unit_test_setup(test_relayed, setup),
		cmocka_unit_test_setup(test_ret_full, setup),
		cmocka_unit_test_setup(test_ret_full_8bit, setup),
		cmocka_unit_test_setup(test_report_of_a_report, setup),
		cmocka_unit_test_setup(test_to_beyond_ascii, setup),
		cmocka_unit_test_setup(test_hostile_replies, setup),
		cmocka_unit_test_setup(test_addresses_beyond_ascii, setup),
		cmocka_unit_test_setup(test_wrapping, setup),
		cmocka_unit_test_setup(test_many_recipients, setup),
		cmocka_unit_test_setup(test_header_forms, setup),
		cmocka_unit_test_setup(test_no_room, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
