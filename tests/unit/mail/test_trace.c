/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "mail/trace.h"

#include "base/banned.h"

#define TIME_MS 1795332623120	/* Sun, 22 Nov 2026 07:30:23 +0000 */

static struct buf
received(const struct envelope *env, const char *hostname)
{
	char user[32] = "";
	struct buf b;

	buf_init(&b, 4096);
	if (env->uid >= 0)
		(void)snprintf(user, sizeof(user), "uid %lld", (long long)env->uid);
	assert_true(trace_received(&b, env, hostname, "0123456789abcdef", user));
	return b;
}

static void
check(const struct envelope *env, const char *want)
{
	struct buf b = received(env, "web1.example.com");

	assert_string_equal(buf_cstr(&b), want);
	buf_done(&b);
}

static void
test_forms(void **state)
{
	struct envelope env;

	envelope_init(&env);
	env.received_ms = TIME_MS;
	env.helo = VIEW("web1");
	env.peer = VIEW("127.0.0.1:40112");
	env.uid = 33;
	env.protocol = PROTOCOL_ESMTP;
	check(&env, "Received: from web1 (127.0.0.1:40112, uid 33) by web1.example.com with ESMTP\r\n"
	    "\tid 0123456789abcdef; Sun, 22 Nov 2026 07:30:23 +0000\r\n");
	/* RFC 3848, RFC 6531 4.3, RFC 8314 7.4 */
	env.tls = VIEW("TLSv1.3 TLS_AES_256_GCM_SHA384");
	check(&env, "Received: from web1 (127.0.0.1:40112, uid 33) by web1.example.com with ESMTPS\r\n"
	    "\tid 0123456789abcdef tls TLS_AES_256_GCM_SHA384;\r\n"
	    "\tSun, 22 Nov 2026 07:30:23 +0000\r\n");
	env.smtputf8 = true;
	check(&env, "Received: from web1 (127.0.0.1:40112, uid 33) by web1.example.com\r\n"
	    "\twith UTF8SMTPS id 0123456789abcdef tls TLS_AES_256_GCM_SHA384;\r\n"
	    "\tSun, 22 Nov 2026 07:30:23 +0000\r\n");
	env.smtputf8 = false;
	env.protocol = PROTOCOL_SMTP;
	env.tls = VIEW("TLSv1.2 A;B)\r\nX");
	check(&env, "Received: from web1 (127.0.0.1:40112, uid 33) by web1.example.com with SMTP\r\n"
	    "\tid 0123456789abcdef tls A?B???X; Sun, 22 Nov 2026 07:30:23 +0000\r\n");
	env.tls = VIEW("");
	env.uid = -1;
	env.peer = VIEW("[::1]:9");
	env.protocol = PROTOCOL_SMTP;
	check(&env, "Received: from web1 ([::1]:9) by web1.example.com with SMTP\r\n"
	    "\tid 0123456789abcdef; Sun, 22 Nov 2026 07:30:23 +0000\r\n");
	env.helo = VIEW("");
	env.peer = VIEW("unix");
	env.uid = 0;
	check(&env, "Received: from unknown (unix, uid 0) by web1.example.com with SMTP\r\n"
	    "\tid 0123456789abcdef; Sun, 22 Nov 2026 07:30:23 +0000\r\n");
	env.peer = VIEW("");
	env.protocol = PROTOCOL_LOCAL;
	check(&env, "Received: by web1.example.com id 0123456789abcdef;\r\n"
	    "\tSun, 22 Nov 2026 07:30:23 +0000\r\n");
}

/* What the client called itself can't end the comment, the line or the field. */
static void
test_hostile_helo(void **state)
{
	struct envelope env;
	struct buf b;
	char helo[2000];
	struct view text, line;

	envelope_init(&env);
	env.received_ms = TIME_MS;
	env.peer = VIEW("127.0.0.1:1");
	env.helo = VIEW("a) by b;\r\nX: (y\x80\0z");
	check(&env, "Received: from a??by?b???X:??y??z (127.0.0.1:1) by web1.example.com with SMTP\r\n"
	    "\tid 0123456789abcdef; Sun, 22 Nov 2026 07:30:23 +0000\r\n");
	memset(helo, 'h', sizeof(helo));
	env.helo = view_of(helo, sizeof(helo));
	b = received(&env, "web1.example.com");
	text = buf_view(&b);
	while (view_split(&text, '\n', &line))
		assert_in_range(line.n, 1, 300);
	buf_done(&b);
}

static void
test_folding(void **state)
{
	struct envelope env;
	char host[200];

	envelope_init(&env);
	env.received_ms = TIME_MS;
	env.helo = VIEW("a-name-of-some-length.example.com");
	env.peer = VIEW("127.0.0.1:65535");
	env.uid = 4294967294;
	for (size_t n = 1; n < 70; n++) {
		struct buf b;
		struct view text, line;

		memset(host, 'x', n);
		host[n] = '\0';
		b = received(&env, host);
		text = buf_view(&b);
		assert_true(view_ends(text, VIEW("+0000\r\n")));
		while (view_split(&text, '\n', &line))
			assert_in_range(line.n, 3, 79);		/* 78 and the CR */
		buf_done(&b);
	}
}

static void
test_no_room(void **state)
{
	struct envelope env;
	struct buf b;

	envelope_init(&env);
	env.peer = VIEW("127.0.0.1:1");
	for (size_t max = 4; max < 60; max++) {
		buf_init(&b, max);
		assert_true(buf_add_str(&b, "xyz"));
		assert_false(trace_received(&b, &env, "host", "id", "uid 33"));
		assert_int_equal(buf_len(&b), 3);
		buf_done(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_hostile_helo),
		cmocka_unit_test(test_folding),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
