/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/story.h"

#include "base/banned.h"

#define T "2026-11-22T07:30:23.120Z "
#define ID "id=0069030a4c000001 "

static void
tells(const char *line, const char *want)
{
	struct view lines = view_str(line);
	struct story_fact f;
	struct buf b;

	buf_init(&b, STORY_SENTENCE_MAX);
	if (!story_next(&lines, &f) || !story_tell(&f, &b))
		fail_msg("nothing is told of %s", line);
	assert_string_equal(buf_cstr(&b), want);
	assert_false(story_next(&lines, &f));
	buf_done(&b);
}

static void
test_sentences(void **state)
{
	static const struct { const char *line, *want; } all[] = {
		{ T "queued " ID "size=4711 from=\"alice@example.com\" peer=\"unix\" uid=33 rcpts=2 "
		  "to=\"bob@example.net\" to=\"carol@example.net\"",
		  "accepted and on disk: 4711 bytes, handed in by unix (uid 33), from <alice@example.com> to "
		  "<bob@example.net>, <carol@example.net>" },
		{ T "queued " ID "size=1 from=\"\" rcpts=900 to=\"a@b\" ...",
		  "accepted and on disk: 1 bytes, from <> to <a@b> and 899 more" },
		{ T "queued " ID "report_of=0069030a4c000000 size=9 from=\"\" rcpts=1 to=\"alice@example.com\"",
		  "made here, to report the failures of message 0069030a4c000000: 9 bytes, from <> to "
		  "<alice@example.com>" },
		{ T "attempt " ID "relay=main endpoint=smtp.example.net:465 chosen=detour "
		  "others=\"587 down no_banner, 2525 up\" message=1 lookup_ms=1 connect_ms=2 greeting_ms=3 tls_ms=4 "
		  "login_ms=5 envelope_ms=6 text_ms=7 reply_ms=8",
		  "sent over smtp.example.net:465, the one in use is suspect; the other ports: 587 down (no_banner: "
		  "connected, but no greeting came: a transparent proxy, a tarpit, or an overloaded server), "
		  "2525 up; lookup 1 ms, connect 2 ms, greeting 3 ms, tls 4 ms, login 5 ms, envelope 6 ms, text 7 ms, "
		  "reply 8 ms" },
		{ T "attempt " ID "endpoint=h:25 chosen=stay message=3 envelope_ms=6",
		  "sent over h:25, in use and good, as message 3 of a connection; envelope 6 ms" },
		{ T "delivered " ID "to=\"b@c\" relay=main endpoint=h:25 code=250 status=2.0.0 reply=\"ok\" delay_ms=3",
		  "delivered to <b@c> over h:25: 250 2.0.0 ok" },
		{ T "deferred " ID "to=\"b@c\" endpoint=h:25 why=deferred class=msg_temp at=mail code=451 status=- "
		  "reply=\"later\"",
		  "not yet for <b@c>: put off by h:25 at step mail: 451 later (msg_temp: the server asks to try this "
		  "message later)" },
		{ T "deferred " ID "to=\"b@c\" endpoint=h:25 why=cut class=cut_before_dot at=body code=0 status=4.4.2 "
		  "reply=\"reset\"",
		  "not yet for <b@c>: lost to h:25 at step body: reset (cut_before_dot: the connection broke before "
		  "the message was complete)" },
		{ T "failed " ID "to=\"b@c\" endpoint=h:25 class=content_refused at=dot code=554 status=5.7.1 "
		  "reply=\"spam\"",
		  "refused for <b@c> by h:25 after the text: 554 5.7.1 spam (content_refused: the message was "
		  "refused)" },
		{ T "uncertain " ID "to=\"b@c\" endpoint=h:25 class=cut_after_dot at=dot code=0 status=4.4.2 reply=\"\"",
		  "uncertain for <b@c> over h:25: (no text) (cut_after_dot: the connection broke before the message "
		  "was confirmed: it may have arrived)" },
		{ T "uncertain " ID "why=stopped-before-the-reply-to-the-final-dot",
		  "uncertain: posthouse was stopped between the end of the text and the reply to it; it may have "
		  "arrived" },
		{ T "waits " ID "why=backoff attempts=2 for_ms=90000 until=2026-11-22T07:31:53.120Z",
		  "next attempt in 1m 30s, after 2 that failed" },
		{ T "waits " ID "why=turn attempts=0",
		  "keeps its place and goes out as soon as a port is usable; this does not count as an attempt" },
		{ T "waits " ID "why=uncertain attempts=1 for_ms=900000",
		  "rests for 15m 0s, is sent again then, and may arrive twice" },
		{ T "bounced " ID "to=\"b@c\" from=\"a@b\" code=550 status=5.1.1 reply=\"no\"",
		  "given up for <b@c>: 550 5.1.1 no" },
		{ T "expired " ID "to=\"b@c\" from=\"a@b\" code=0 status=4.4.7 reply=\"no port\"",
		  "too old, given up for <b@c>: last was: no port" },
		{ T "reported " ID "from=\"a@b\" report_to=\"admin@b\"", "the failure is reported to admin@b" },
		{ T "report-dropped " ID "from=\"\" why=null-sender", "nobody is told of the failure: null-sender" },
		{ T "held 1", "held by the administrator" },
		{ T "released 1", "released by the administrator" },
		{ T "removed " ID "rcpts=1", "removed by the administrator, without a bounce" },
		{ T "removed " ID "rcpts=3 to=\"b@c\" to=\"d@e\"", "removed by the administrator, without a "
		  "bounce, before it went to <b@c>, <d@e> and 1 more" },
		{ T "damaged " ID "reason=\"crc\"", "the stored message is damaged: crc" },
		{ T "unreadable " ID "reason=\"io\"", "the stored message can't be read now: io" },
		{ T "finished " ID "delivered=2 failed=1 report=0069030a4c000009",
		  "left the queue: 2 delivered, 1 failed; the report is message 0069030a4c000009" },
		{ T "attempt-failed relay=main endpoint=h:587 class=refused detail=\"Connection refused\"",
		  "h:587: no session: refused: nothing listens on the port, or the connection is actively refused "
		  "(Connection refused)" },
		{ T "endpoint-up relay=main endpoint=h:587", "h:587 is up" },
		{ T "endpoint-blocked relay=main endpoint=h:587 class=tls_name meaning=\"m\" advice=\"a\" detail=\"d\"",
		  "h:587 is blocked: tls_name: the certificate is for another name (d)" },
		{ T "endpoint-down relay=main endpoint=h:587 class=of_tomorrow", "h:587 is down: of_tomorrow" },
		{ T "endpoint-degraded relay=main endpoint=h:587", "h:587 is degraded" },
		{ T "route-changed relay=main from=h:587 to=h:465 reason=down class=filtered detail=\"x\"",
		  "new connections use h:465, not h:587: the one used before is not usable any more; filtered: no "
		  "answer: the port is filtered on the way, or the host is away (x)" },
		{ T "relay-down relay=main", "no port is usable of relay main" },
		{ T "relay-up relay=main endpoint=h:465", "mail can go out again over h:465" },
		{ T "account-blocked relay=main class=auth_refused detail=\"535 no\"",
		  "the account is blocked: auth_refused: the login was refused, so no further login is tried on any "
		  "port (535 no)" },
		{ T "account-paused relay=main", "the account is paused" },
		{ T "account-available relay=main", "the account is available" },
		{ T "failover from=main to=backup reason=account-blocked",
		  "mail goes to relay backup, not to main: account-blocked" },
		{ T "flapping relay=main endpoint=h:465", "the ports change often: h:465" },
		{ T "held " ID "why=uncertain", "held, because it may have arrived already: posthousectl release sends it "
		  "again, remove ends it" },
		{ T "clock-jumped reason=\"the clock\"", "the clock" },
		{ T "name-changed relay=main host=\"h\"", "new addresses for h" },
		{ T "name-kept relay=main host=\"h\" age_ms=1 detail=\"x\"", "the name server does not answer; the "
		  "last addresses stand in for h" },
		{ T "diagnosis relay=main endpoint=h:587 meaning=\"interception\" advice=\"\"", "h:587: interception" },
		{ T "trust-changed relay=main reason=\"read anew\"", "read anew" },
		{ T "trust-not-read relay=main reason=\"no file\"", "no file" },
		{ T "network-changed reason=\"a route changed\"", "a route changed" },
		{ T "recovered reason=\"0 messages\"", "posthouse was started: 0 messages" },
		{ T "history-dropped count=3", "lines of the history are missing here: 3" },
	};

	for (size_t i = 0; i < lengthof(all); i++)
		tells(all[i].line, all[i].want);
}

static void
test_what_is_no_line_is_stepped_over(void **state)
{
	struct view lines = VIEW("\n\nrubbish\n2026-11-22T07:30:23.1\n" T "\n" T "of-tomorrow x=1\n" T "held\n"
	    T "held");
	struct story_fact f;
	struct buf b;

	buf_init(&b, STORY_SENTENCE_MAX);
	assert_true(story_next(&lines, &f));
	assert_true(story_is(&f, "of-tomorrow"));
	assert_int_equal(f.at_ms, INT64_C(1795332623120));
	assert_false(story_tell(&f, &b));
	assert_true(story_next(&lines, &f) && story_is(&f, "held"));
	assert_true(story_next(&lines, &f) && story_is(&f, "held"));
	assert_false(story_next(&lines, &f));
	buf_done(&b);
}

static void
value(const char *line, const char *key, const char *want)
{
	struct view lines = view_str(line);
	struct story_fact f;
	struct buf b;

	buf_init(&b, STORY_VALUE_MAX);
	assert_true(story_next(&lines, &f));
	assert_int_equal(story_value(&f, key, &b), want != NULL);
	assert_string_equal(buf_len(&b) > 0 ? buf_cstr(&b) : "", want != NULL ? want : "");
	buf_done(&b);
}

/* A text from outside stays inside its quotes, however the line was torn. */
static void
test_values(void **state)
{
	value(T "x a=1 b=\"2 a=3\" c=4", "b", "2 a=3");
	value(T "x a=1 b=\"2 c=3\" c=4", "c", "4");
	value(T "x a=\"\\\"\\\\\\n\\r\\t\\x1b[\" c=4", "a", "\"\\\n\r\t\x1b[");
	value(T "x a=\"\\\"\\\\\\n\\r\\t\\x1b[\" c=4", "c", "4");
	value(T "x a=\"open c=4", "a", "open c=4");
	value(T "x a=\"open c=4", "c", NULL);
	value(T "x a=\"\\", "a", "\\");
	value(T "x a=\"\\x", "a", "x");
	value(T "x a=\"\\xzz\"", "a", "xzz");
	value(T "x a=", "a", "");
	value(T "x a", "a", NULL);
	value(T "x  a=1 ...", "a", "1");
}

/* Cut at every length: never beyond the end, never without an end. */
static void
test_every_prefix(void **state)
{
	static const char line[] = T "queued " ID "size=9 from=\"a\\x41\\\"b\" rcpts=2 to=\"x\" to=\"y\" others=\"1 a b, 2 c\"";

	for (size_t n = 0; n < sizeof(line); n++) {
		uint8_t *copy = malloc(n + 1);
		struct view lines = view_of(copy, n), pairs, key;
		struct story_fact f;
		struct buf b;

		assert_non_null(copy);
		memcpy(copy, line, n);
		buf_init(&b, STORY_SENTENCE_MAX);
		while (story_next(&lines, &f)) {
			(void)!story_tell(&f, &b);
			pairs = f.pairs;
			while (story_pair(&pairs, &key, &b))
				assert_true(key.n < n);
		}
		buf_done(&b);
		free(copy);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_what_is_no_line_is_stepped_over),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_every_prefix),
	};

	return cmocka_run_group_tests_name("story", tests, NULL, NULL);
}
