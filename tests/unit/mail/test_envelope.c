/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mail/envelope.h"

#include "base/banned.h"

#define TIME_MS 1795332623120	/* 2026-11-22T07:30:23.120Z */

static void
test_round_trip(void **state)
{
	struct envelope in, out;
	struct buf text;
	struct err e;

	envelope_init(&in);
	assert_int_equal(in.uid, -1);
	in.from = VIEW("alice@example.com");
	envelope_add_rcpt(&in, VIEW("bob@example.net"));
	envelope_add_rcpt(&in, VIEW("\"two: words \"@example.net"));
	envelope_set_dsn(&in, &(struct envelope_dsn){ VIEW("NEVER"), VIEW("rfc822;two") });
	envelope_add_rcpt(&in, VIEW("j\xc3\xb6rg@example.net"));
	in.ret = VIEW("HDRS");
	in.envid = VIEW("QQ+20");
	in.smtputf8 = true;
	in.received_ms = TIME_MS;
	in.peer = VIEW("127.0.0.1:40112");
	in.uid = 33;
	in.pid = 4711;
	in.no_uid = VIEW("closed");
	in.process = VIEW("php in php.service");
	in.helo = VIEW("web1");
	in.protocol = PROTOCOL_ESMTP;
	in.tls = VIEW("TLSv1.3 TLS_AES_256_GCM_SHA384");
	in.eight_bit = true;
	in.bounce = true;
	in.size = UINT64_C(1) << 40;
	buf_init(&text, ENVELOPE_MAX);
	assert_true(envelope_encode(&text, &in));
	assert_int_equal(envelope_decode(&out, buf_view(&text), &e), 0);
	assert_true(view_eq(out.from, in.from));
	assert_int_equal(out.nrcpt, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(view_eq(out.rcpt[i], in.rcpt[i]));
	assert_int_equal(envelope_dsn(&out, 0).notify.n + envelope_dsn(&out, 2).orcpt.n, 0);
	assert_true(view_eq(envelope_dsn(&out, 1).notify, VIEW("NEVER")));
	assert_true(view_eq(envelope_dsn(&out, 1).orcpt, VIEW("rfc822;two")));
	assert_true(view_eq(out.ret, in.ret));
	assert_true(view_eq(out.envid, in.envid));
	assert_true(out.smtputf8);
	assert_int_equal(out.received_ms, in.received_ms);
	assert_true(view_eq(out.peer, in.peer));
	assert_int_equal(out.uid, 33);
	assert_int_equal(out.pid, 4711);
	assert_true(view_eq(out.no_uid, VIEW("closed")));
	assert_true(view_eq(out.process, VIEW("php in php.service")));
	assert_true(view_eq(out.helo, in.helo));
	assert_int_equal(out.protocol, PROTOCOL_ESMTP);
	assert_true(view_eq(out.tls, in.tls));
	assert_true(out.eight_bit);
	assert_true(out.bounce);
	assert_int_equal(out.size, in.size);
	envelope_done(&out);
	envelope_done(&in);
	buf_done(&text);
}

static void
test_text_form(void **state)
{
	struct envelope in, out;
	struct buf text;

	envelope_init(&in);
	envelope_add_rcpt(&in, VIEW("bob@example.net"));
	in.received_ms = TIME_MS;
	buf_init(&text, ENVELOPE_MAX);
	assert_true(envelope_encode(&text, &in));
	assert_true(view_eq(buf_view(&text), VIEW("from: \nrcpt: bob@example.net\n"
	    "received: 2026-11-22T07:30:23.120Z\nprotocol: SMTP\n")));
	assert_int_equal(envelope_decode(&out, buf_view(&text), NULL), 0);
	assert_int_equal(out.from.n, 0);
	assert_int_equal(out.uid, -1);
	assert_int_equal(out.pid, -1);
	assert_false(out.eight_bit);
	envelope_done(&out);
	envelope_done(&in);
	buf_done(&text);
}

static void
test_encode_refuses_forged_lines(void **state)
{
	static const struct view bad[] = {
		{ (const uint8_t *)"a@b\nuid: 0", 10 }, { (const uint8_t *)"a@b\r", 4 },
		{ (const uint8_t *)"a\0b", 3 },
	};
	struct envelope in;
	struct buf text;

	buf_init(&text, ENVELOPE_MAX);
	assert_true(buf_add_str(&text, "before"));
	for (size_t i = 0; i < lengthof(bad) * 4; i++) {
		struct view v = bad[i / 4];

		envelope_init(&in);
		in.from = i % 4 == 0 ? v : VIEW("x@y");
		envelope_add_rcpt(&in, i % 4 == 1 ? v : VIEW("x@y"));
		in.helo = i % 4 == 2 ? v : VIEW("h");
		in.peer = i % 4 == 3 ? v : VIEW("p");
		assert_false(envelope_encode(&text, &in));
		assert_true(view_eq(buf_view(&text), VIEW("before")));
		envelope_done(&in);
	}
	envelope_init(&in);
	assert_false(envelope_encode(&text, &in));		/* no recipient */
	envelope_add_rcpt(&in, VIEW(""));
	assert_false(envelope_encode(&text, &in));		/* an empty one */
	envelope_done(&in);
	buf_done(&text);
}

#define GOOD "from: a@b\nrcpt: c@d\nreceived: 2026-11-22T07:30:23Z\n"

static void
test_decode_refuses(void **state)
{
	static const char *const bad[] = {
		"", "\n", "from: a@b\n", GOOD "size: 5", GOOD "\n", GOOD "no colon\n", GOOD ": x\n",
		GOOD "from: again@b\n", GOOD "uid: -1\n", GOOD "uid: 1 \n",
		GOOD "uid: 99999999999999999999\n", GOOD "received: 2026-11-22T07:30:23Z\n",
		GOOD "protocol: QMTP\n", GOOD "body: binary\n", GOOD "bounce: maybe\n",
		GOOD "ret: FULL\nret: FULL\n", GOOD "smtputf8: x\n", GOOD "orcpt: a;b\norcpt: a;b\n",
		GOOD "notify: NEVER\nnotify: NEVER\n", "from: a@b\nnotify: NEVER\nrcpt: c@d\nreceived: 2026-11-22T07:30:23Z\n",
		GOOD "size: x\n", GOOD "rcpt: \n", GOOD "helo: a\rb\n",
		"from: a@b\nrcpt: c@d\n", "from: a@b\nreceived: 2026-11-22T07:30:23Z\n",
		"rcpt: c@d\nreceived: 2026-11-22T07:30:23Z\n",
		"from: a@b\nrcpt: c@d\nreceived: yesterday\n",
	};
	struct envelope out;
	struct err e;

	for (size_t i = 0; i < lengthof(bad); i++) {
		if (envelope_decode(&out, view_str(bad[i]), &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_int_equal(out.nrcpt, 0);
		assert_null(out.rcpt);
	}
	assert_int_equal(envelope_decode(&out, VIEW(GOOD "helo: a\0b\n"), &e), -1);
	assert_int_equal(envelope_decode(&out, VIEW(GOOD "later: anything\nlater: twice\n"), &e), 0);
	envelope_done(&out);
}

/* Of each recipient its own, however many there are and in which order they begin to have any. */
static void
test_dsn_of_many(void **state)
{
	static char text[100][8];

	for (uint32_t first = 0; first < 20; first++) {
		struct envelope env;

		envelope_init(&env);
		for (uint32_t i = 0; i < 100; i++) {
			(void)snprintf(text[i], sizeof(text[i]), "%u", i);
			envelope_add_rcpt(&env, view_str(text[i]));
			if (i >= first && i % 3 == 0)
				envelope_set_dsn(&env, &(struct envelope_dsn){ view_str(text[i]), VIEW("x") });
		}
		for (uint32_t i = 0; i < 100; i++)
			assert_true(view_eq(envelope_dsn(&env, i).notify,
			    i >= first && i % 3 == 0 ? view_str(text[i]) : VIEW("")));
		envelope_done(&env);
	}
}

static void
test_limits(void **state)
{
	struct envelope out;
	struct buf text;
	struct err e;

	buf_init(&text, ENVELOPE_MAX + 100);
	assert_true(buf_add_str(&text, GOOD));		/* has one already */
	for (int i = 1; i < ENVELOPE_RCPT_MAX; i++)
		assert_true(buf_addf(&text, "rcpt: %d@example.net\n", i));
	assert_int_equal(envelope_decode(&out, buf_view(&text), &e), 0);
	assert_int_equal(out.nrcpt, ENVELOPE_RCPT_MAX);
	assert_true(view_eq(out.rcpt[19999], VIEW("19999@example.net")));
	envelope_done(&out);
	assert_true(buf_add_str(&text, "rcpt: one@too.many\n"));
	assert_int_equal(envelope_decode(&out, buf_view(&text), &e), -1);

	buf_clear(&text);
	assert_true(buf_add_str(&text, GOOD "x: "));
	while (buf_len(&text) < ENVELOPE_MAX - 1)
		assert_true(buf_add_byte(&text, 'x'));
	assert_true(buf_add_byte(&text, '\n'));
	assert_int_equal(envelope_decode(&out, buf_view(&text), &e), 0);
	envelope_done(&out);
	buf_truncate(&text, ENVELOPE_MAX - 1);
	assert_true(buf_add_str(&text, "x\n"));
	assert_int_equal(envelope_decode(&out, buf_view(&text), &e), -1);
	buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_text_form),
		cmocka_unit_test(test_encode_refuses_forged_lines),
		cmocka_unit_test(test_decode_refuses),
		cmocka_unit_test(test_dsn_of_many),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
