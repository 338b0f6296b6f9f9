/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions: what clients hear, what relay hears, and in which order. */
#include "session_help.h"

#include "mail/envelope.h"

#include "base/banned.h"

/* --- the way of a message ------------------------------------------------------------- */

static void
test_one_message(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);
	struct envelope env;
	struct frame f;

	assert_hears(c, "220 web1.example.com ESMTP posthouse\r\n");
	says(c, "EHLO php\r\n");
	assert_true(begins(hear(c), "250-web1.example.com\r\n"));
	says(c, "MAIL FROM:<alice@example.com> BODY=8BITMIME\r\nRCPT TO:<bob@example.net>\r\nRCPT TO:<root>\r\n");
	(void)hear(c);
	assert_quiet(r);
	says(c, "DATA\r\n");
	assert_hears(c, DATA_OK);
	f = relay_expects(r, FRAME_OPEN, 1);
	assert_int_equal(envelope_decode(&env, f.payload, NULL), 0);
	assert_true(view_eq(env.from, VIEW("alice@example.com")));
	assert_int_equal(env.nrcpt, 2);
	assert_true(view_eq(env.rcpt[0], VIEW("bob@example.net")));
	assert_true(view_eq(env.rcpt[1], VIEW("root@web1.example.com")));
	assert_true(view_eq(env.peer, VIEW("127.0.0.1:40112")));
	assert_true(view_eq(env.helo, VIEW("php")));
	assert_int_equal(env.protocol, PROTOCOL_ESMTP);
	assert_int_equal(env.uid, 33);
	assert_int_equal(env.no_uid.n, 0);
	assert_int_equal(env.pid, -1);
	assert_false(env.eight_bit);		/* whatever the client said: COMMIT tells */
	assert_int_equal(env.received_ms, 1795332623000);
	envelope_done(&env);

	says(c, "Subject: caf\xc3\xa9\r\n\r\n..dot\r\nlast");
	says(c, "\r\n.\r\n");
	assert_hears(c, "");
	assert_true(begins(relay_text(r, 1, &text), "Date: Sun, 22 Nov 2026 07:30:23 +0000\r\n"
	    "Message-ID: <20261122073023."));
	assert_true(view_ends(buf_view(&text), VIEW("@web1.example.com>\r\n"
	    "Subject: caf\xc3\xa9\r\n\r\n.dot\r\nlast\r\n")));
	f = relay_expects(r, FRAME_COMMIT, 1);
	assert_true(view_starts(f.payload, VIEW("eight-bit: yes\nsize: ")));
	{
		struct frame_commit commit;

		assert_true(frame_commit_parse(f.payload, &commit));
		assert_int_equal(commit.size, buf_len(&text));
	}
	/* However long it takes: no 250 before relay's word. */
	world_run(&w, 200000);
	assert_hears(c, "");
	assert_false(world_logged(&w, "accepted"));
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(c, QUEUED);
	assert_true(world_logged(&w, "accepted id=0123456789abcdef from=\"alice@example.com\" rcpts=2 size="));
	assert_true(world_logged(&w, " peer=127.0.0.1:40112 uid=33 s=1\n"));
	says(c, "QUIT\r\n");
	assert_hears(c, "221 2.0.0 Bye\r\n");
	assert_true(c->closed);
	assert_false(c->aborted);
}

/* A client may pipeline the next transaction behind the dot: its replies wait for the 250. */
static void
test_replies_in_order(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);

	begin_message(c);
	assert_true(says(c, HEAD "\r\none\r\n.\r\nNOOP\r\nMAIL FROM:<>\r\nRCPT TO:<x@y>\r\nDATA\r\n") > 0);
	assert_hears(c, "");
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_COMMIT, 1);
	assert_quiet(r);
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(c, QUEUED "250 2.0.0 Ok\r\n250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n" DATA_OK);
	(void)relay_expects(r, FRAME_OPEN, 2);
	says(c, HEAD "\r\ntwo\r\n.\r\nQUIT\r\n");
	assert_hears(c, "");
	assert_true(view_eq(relay_text(r, 2, &text), VIEW(HEAD "\r\ntwo\r\n")));
	(void)relay_expects(r, FRAME_COMMIT, 2);
	relay_says(r, FRAME_DURABLE, 2, ID);
	assert_hears(c, QUEUED "221 2.0.0 Bye\r\n");
	assert_true(c->closed);
}

/* Many wait at once; each hears of its own message, in the order of relay's answers. */
static void
test_many_sessions(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c[8];
	char id[17] = "00000000000000a0";

	for (size_t i = 0; i < 8; i++) {
		c[i] = client(&w);
		begin_message(c[i]);
		says(c[i], HEAD "\r\n.\r\n");
	}
	for (size_t i = 8; i-- > 0;) {
		struct view heard;

		id[15] = (char)('0' + i);
		relay_says(r, FRAME_DURABLE, i + 1, view_str(id));
		heard = hear(c[i]);
		assert_true(begins(heard, "250 2.0.0 Ok: queued as "));
		assert_true(view_search(heard, view_str(id)) < heard.n);
		if (i > 0)
			assert_hears(c[i - 1], "");
	}
}

static void
test_too_big(void **state)
{
	struct wire *r, *c;
	struct view chunk = VIEW("0123456789012345678901234567890123456789012345678901234567890123456789\r\n");

	w.conf.limits.message_size = 1000;
	r = relay(&w);
	c = client(&w);
	begin_message(c);
	(void)relay_expects(r, FRAME_OPEN, 1);
	says(c, HEAD "\r\n");
	for (int i = 0; i < 100; i++)
		say(c, chunk);
	(void)relay_text(r, 1, &text);
	assert_true(buf_len(&text) <= 1000);
	(void)relay_expects(r, FRAME_ABORT, 1);
	assert_hears(c, "");
	says(c, ".\r\n");
	assert_hears(c, "552 5.3.4 Message is larger than the limit\r\n");
	assert_true(world_logged(&w, "refused code=552 reason=\"5.3.4 Message is larger than the limit\" "
	    "from=\"alice@example.com\" peer=127.0.0.1:40112 uid=33 s=1\n"));
	says(c, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
	assert_true(view_ends(hear(c), VIEW(DATA_OK)));
	(void)relay_expects(r, FRAME_OPEN, 2);
}

/* --- BDAT ------------------------------------------------------------------------------ */

#define TO_BOB "MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.net>\r\n"
#define TO_BOB_OK "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n"

static void
test_chunks(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);

	begin_message(c);
	says(c, ".\r\n");
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_COMMIT, 1);
	relay_says(r, FRAME_DURABLE, 1, ID);
	(void)hear(c);

	/* three chunks are one message, and only the last waits for relay */
	says(c, TO_BOB "BDAT 28\r\n" HEAD "\r\nBDAT 2\r\na\n");
	assert_hears(c, TO_BOB_OK "250 2.0.0 28 bytes taken\r\n250 2.0.0 2 bytes taken\r\n");
	(void)relay_expects(r, FRAME_OPEN, 2);
	says(c, "BDAT 3 LAST\r\n.\r\nNOOP\r\n");
	assert_hears(c, "");
	assert_true(view_eq(relay_text(r, 2, &text), VIEW(HEAD "\r\na\r\n.\r\n")));
	(void)relay_expects(r, FRAME_COMMIT, 2);
	relay_says(r, FRAME_DURABLE, 2, ID);
	assert_hears(c, QUEUED "250 2.0.0 Ok\r\n");

	/* taken back: relay hears of it, and the next message goes */
	says(c, TO_BOB "BDAT 28\r\n" HEAD "\r\nRSET\r\n" TO_BOB "BDAT 28 LAST\r\n" HEAD "\r\n");
	assert_hears(c, TO_BOB_OK "250 2.0.0 28 bytes taken\r\n250 2.0.0 Forgotten\r\n" TO_BOB_OK);
	(void)relay_expects(r, FRAME_OPEN, 3);
	(void)relay_text(r, 3, &text);
	(void)relay_expects(r, FRAME_ABORT, 3);
	(void)relay_expects(r, FRAME_OPEN, 4);
	assert_true(view_eq(relay_text(r, 4, &text), VIEW(HEAD "\r\n")));
	(void)relay_expects(r, FRAME_COMMIT, 4);
	relay_says(r, FRAME_DURABLE, 4, ID);
	assert_hears(c, QUEUED);

	/* relay refuses between two chunks: the next one is told, and what is pipelined behind is none */
	says(c, TO_BOB "BDAT 28\r\n" HEAD "\r\n");
	(void)relay_expects(r, FRAME_OPEN, 5);
	(void)relay_text(r, 5, &text);
	relay_says(r, FRAME_REFUSED, 5, VIEW("452 4.3.1 The queue is full"));
	assert_hears(c, TO_BOB_OK "250 2.0.0 28 bytes taken\r\n");
	says(c, "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
	assert_hears(c, "452 4.3.1 The queue is full\r\n503 5.5.1 MAIL first\r\n250 2.0.0 Ok\r\n");

	/* one that is refused there ends its message: the log has its sender, and none for what follows */
	says(c, TO_BOB "BDAT 28\r\n" HEAD "\r\nBDAT 6 x\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n");
	(void)relay_expects(r, FRAME_OPEN, 6);
	(void)relay_expects(r, FRAME_ABORT, 6);
	assert_hears(c, TO_BOB_OK "250 2.0.0 28 bytes taken\r\n501 5.5.4 Syntax: BDAT size [LAST]\r\n503 5.5.1 MAIL first\r\n");
	assert_true(world_logged(&w, "5.5.4 Syntax: BDAT size [LAST]\" from=\"alice@example.com\" "));
	assert_false(world_logged(&w, "from=\"\""));

	/* the client goes between two chunks */
	says(c, TO_BOB "BDAT 28\r\n" HEAD "\r\n");
	(void)relay_expects(r, FRAME_OPEN, 7);
	(void)relay_text(r, 7, &text);
	hang_up(c, STREAM_EOF);
	(void)relay_expects(r, FRAME_ABORT, 7);
}

/* No relay: the chunk is read all the same, and is no list of commands; then the session goes on. */
static void
test_chunk_without_relay(void **state)
{
	struct wire *c = client(&w);

	(void)hear(c);
	says(c, "EHLO x\r\n" TO_BOB "BDAT 12\r\nQUIT\r\n");
	(void)hear(c);
	world_run(&w, 31000);
	assert_hears(c, "");
	says(c, "QUIT\r\nNOOP\r\n");
	assert_hears(c, "451 4.3.2 The queue is not available, try again later\r\n250 2.0.0 Ok\r\n");
	assert_true(world_logged(&w, "refused code=451 reason=\"4.3.2 The queue is not available, "
	    "try again later\" from=\"alice@example.com\""));
}

/* --- header --------------------------------------------------------------------------- */

/* What relay gets for a text, given in pieces of n bytes; Date and Message-ID cut to their names. */
static const char *
through(struct wire *r, uint64_t transaction, const char *in, size_t n)
{
	struct wire *c = client(&w);
	static char out[4096];
	struct view v = view_str(in), line;
	size_t at = 0;

	begin_message(c);
	(void)relay_expects(r, FRAME_OPEN, transaction);
	for (; v.n > 0; v = view_from(v, n))
		say(c, view_first(v, n));
	says(c, ".\r\n");
	v = relay_text(r, transaction, &text);
	(void)relay_expects(r, FRAME_COMMIT, transaction);
	hang_up(c, STREAM_RESET);
	relay_says(r, FRAME_DURABLE, transaction, ID);
	while (view_split(&v, '\n', &line)) {
		bool ours = view_starts(line, VIEW("Date: Sun, 22 Nov 2026")) ||
		    view_starts(line, VIEW("Message-ID: <20261122073023."));

		line.n = ours ? view_find(line, ':') : line.n - 1;
		assert_true(at + line.n + 2 < sizeof(out));
		memcpy(out + at, line.p, line.n);
		out[at + line.n] = '|';
		at += line.n + 1;
	}
	out[at] = '\0';
	return out;
}

static void
test_missing_fields(void **state)
{
	static const struct {
		const char *in, *want;
	} t[] = {
		{ "Subject: s\r\n\r\nbody\r\n", "Date|Message-ID|Subject: s||body|" },
		{ "Date: d\r\n\r\nbody\r\n", "Message-ID|Date: d||body|" },
		{ "MESSAGE-ID: m\r\n\r\nbody\r\n", "Date|MESSAGE-ID: m||body|" },
		{ "Message-Id: m\r\nX: y\r\n z\r\nDate: d\r\n\r\nbody\r\n",
		    "Message-Id: m|X: y| z|Date: d||body|" },
		{ "Subject: s\r\n\r\nDate: in the body\r\nMessage-ID: too\r\n",
		    "Date|Message-ID|Subject: s||Date: in the body|Message-ID: too|" },
		{ "", "Date|Message-ID|" },
		{ "\r\n", "Date|Message-ID||" },
		{ "Subject: s\r\n", "Date|Message-ID|Subject: s|" },
		{ "no header at all\r\n", "Date|Message-ID||no header at all|" },
		{ "Date: d\r\nMessage-ID: m\r\nforgot the line\r\n", "Date: d|Message-ID: m||forgot the line|" },
		{ "From alice Mon\r\nDate: d\r\n\r\nx\r\n", "Message-ID|X-Mailbox-Line: From alice Mon|Date: d||x|" },
	};
	struct wire *r;
	uint64_t n = 0;

	r = relay(&w);
	for (size_t i = 0; i < lengthof(t); i++) {
		static const size_t pieces[] = { 1, 7, 4096 };

		for (size_t k = 0; k < lengthof(pieces); k++) {
			const char *got = through(r, ++n, t[i].in, pieces[k]);

			if (strcmp(got, t[i].want) != 0)
				fail_msg("\"%s\" became \"%s\"", t[i].in, got);
		}
	}
}

/* A header is kept back until its end, but no more than 64 KiB of it; then it goes as it is. */
static void
test_endless_header(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);
	size_t sent = 0;

	begin_message(c);
	(void)relay_expects(r, FRAME_OPEN, 1);
	while (sent < 65536 - 100) {
		says(c, "X-Field: 0123456789012345678901234567890123456789\r\n");
		sent += 51;
	}
	assert_quiet(r);
	says(c, "X-Field: 0123456789012345678901234567890123456789\r\n");
	says(c, "X-Field: 0123456789012345678901234567890123456789\r\n");
	assert_true(buf_len(&text) == 0 && relay_text(r, 1, &text).n >= 65536);
	assert_true(begins(buf_view(&text), "X-Field: 0"));
	for (int i = 0; i < 10; i++)
		says(c, "X-Field: 0123456789012345678901234567890123456789\r\n");
	says(c, "Date: d\r\n\r\nbody\r\n.\r\n");
	(void)relay_text(r, 1, &text);
	assert_true(view_ends(buf_view(&text), VIEW("Date: d\r\n\r\nbody\r\n")));
	(void)relay_expects(r, FRAME_COMMIT, 1);
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(c, QUEUED);
}

/* --- statistics ------------------------------------------------------------------------------------- */

static void
test_stats(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);
	struct frame f;

	begin_message(c);
	says(c, HEAD "\r\n.\r\n");
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_COMMIT, 1);
	relay_says(r, FRAME_DURABLE, 1, ID);
	says(c, "NONSENSE\r\n");
	assert_quiet(r);
	world_run(&w, 5000);
	f = relay_expects(r, FRAME_STATS, 0);
	assert_true(view_eq(f.payload, VIEW("sessions: 1\naccepted: 1\nrefused: 1\n")));
	world_run(&w, 60000);
	assert_quiet(r);			/* only when something has changed */
	says(c, "QUIT\r\n");
	world_run(&w, 5000);
	f = relay_expects(r, FRAME_STATS, 0);
	assert_true(view_eq(f.payload, VIEW("sessions: 0\naccepted: 1\nrefused: 1\n")));
}

/* What PHP says of the script is for the record: wherever the bytes are cut, and nothing but printable text. */
static void
test_script(void **state)
{
	static const struct { const char *header, *want; } cases[] = {
		{ "X-PHP-Originating-Script: 33:mail.php\r\nTo: x\r\n", "script: 33:mail.php\n" },
		{ "To: x\r\nX-PHP-Originating-Script:\r\n folded\r\n", NULL },
		{ "X-PHP-Originating-Script: a\tb\xc3\xa9\r\n", "script: a?b??\n" },
		{ "To: x\r\n\r\nX-PHP-Originating-Script: body\r\n", NULL },
	};
	struct wire *r = relay(&w);
	struct wire *c = client(&w);
	uint64_t number = 0;
	struct frame f;

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct view all = view_str(cases[i].header);

		for (size_t n = 0; n <= all.n; n++) {
			begin_message(c);
			(void)relay_expects(r, FRAME_OPEN, ++number);
			(void)say(c, view_first(all, n));
			(void)say(c, view_from(all, n));
			says(c, "\r\nx\r\n.\r\n");
			(void)relay_text(r, number, &text);
			f = relay_expects(r, FRAME_COMMIT, number);
			if (cases[i].want != NULL)
				assert_true(view_ends(f.payload, view_str(cases[i].want)));
			else
				assert_true(view_search(f.payload, VIEW("script")) == f.payload.n);
			relay_says(r, FRAME_DURABLE, number, ID);
			(void)hear(c);
		}
	}
	says(c, "QUIT\r\n");
	assert_true(world_logged(&w, " s=1 script=\"33:mail.php\"\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_one_message), T(test_replies_in_order), T(test_many_sessions), T(test_too_big),
		T(test_chunks), T(test_chunk_without_relay),
		T(test_missing_fields), T(test_endless_header), T(test_stats),
		T(test_script),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
