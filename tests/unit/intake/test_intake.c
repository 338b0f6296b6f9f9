/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions: what clients hear, what relay hears, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "mail/envelope.h"
#include "world.h"

#include "base/banned.h"

#define ID VIEW("0123456789abcdef")
#define QUEUED "250 2.0.0 Ok: queued as 0123456789abcdef\r\n"
#define HEAD "Date: x\r\nMessage-ID: <y>\r\n"	/* nothing is missing */
#define DATA_OK "354 End with CRLF.CRLF\r\n"

static struct world w;
static struct buf text;

static int
setup(void **state)
{
	world_init(&w);
	buf_init(&text, 64u << 20);
	return 0;
}

static int
teardown(void **state)
{
	world_done(&w);
	buf_done(&text);
	return 0;
}

static bool
begins(struct view v, const char *want)
{
	return view_starts(v, view_str(want));
}

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
	assert_int_equal(env.uid, -1);
	assert_true(env.eight_bit);
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
	assert_true(world_logged(&w, " peer=127.0.0.1:40112 s=1\n"));
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
	    "from=\"alice@example.com\" peer=127.0.0.1:40112 s=1\n"));
	says(c, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
	assert_true(view_ends(hear(c), VIEW(DATA_OK)));
	(void)relay_expects(r, FRAME_OPEN, 2);
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

/* --- window -------------------------------------------------------------------------------- */

static void
fill(struct wire *c, size_t n)
{
	uint8_t *p = xzalloc(n);

	memset(p, 'x', n);
	(void)say(c, view_of(p, n));
	free(p);
}

static size_t
chunk_bytes(struct wire *r, uint64_t transaction)
{
	return relay_text(r, transaction, &text).n;
}

static void
test_window(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);
	struct wire *other = client(&w);
	size_t head = sizeof(HEAD "\r\n") - 1;

	begin_message(c);
	(void)relay_expects(r, FRAME_OPEN, 1);
	says(c, HEAD "\r\n");
	fill(c, 1000000);
	assert_int_equal(chunk_bytes(r, 1), HANDOVER_WINDOW);
	assert_true(c->paused);
	assert_true(buf_len(&c->stream.in) <= intake_stream_limits.input_max);
	/* Another client is not held up. */
	begin_message(other);
	says(other, HEAD "\r\n.\r\n");
	(void)relay_expects(r, FRAME_OPEN, 2);
	assert_int_equal(chunk_bytes(r, 2), head);
	(void)relay_expects(r, FRAME_COMMIT, 2);
	relay_says(r, FRAME_DURABLE, 2, ID);
	assert_hears(other, QUEUED);
	/* As much as the credit. */
	relay_credit(r, 1, 1000);
	fill(c, 100000);
	assert_int_equal(chunk_bytes(r, 1), 1000);
	assert_true(c->paused);
	relay_credit(r, 1, HANDOVER_WINDOW);
	assert_true(chunk_bytes(r, 1) > 0);
	assert_false(c->paused);
	relay_credit(r, 1, 1);
	says(c, "\r\n.\r\n");
	(void)chunk_bytes(r, 1);
	(void)relay_expects(r, FRAME_COMMIT, 1);
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(c, QUEUED);
}

/* The end of the text waits for credit like the rest of it; COMMIT comes behind it. */
static void
test_commit_waits_for_credit(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);
	size_t head = sizeof(HEAD "\r\n") - 1;

	begin_message(c);
	(void)relay_expects(r, FRAME_OPEN, 1);
	says(c, HEAD "\r\n");
	fill(c, HANDOVER_WINDOW - head);
	says(c, "tail\r\n.\r\n");
	assert_int_equal(chunk_bytes(r, 1), HANDOVER_WINDOW);
	assert_quiet(r);
	relay_credit(r, 1, 4);
	assert_int_equal(chunk_bytes(r, 1), 4);
	assert_quiet(r);
	relay_credit(r, 1, 100);
	assert_int_equal(chunk_bytes(r, 1), 2);
	(void)relay_expects(r, FRAME_COMMIT, 1);
	assert_hears(c, "");
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(c, QUEUED);
}

/* Bare line feeds come out of the decoder one by one: they must not become a frame each. */
static void
test_short_pieces_gather(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);
	struct frame f;
	unsigned frames = 0;
	size_t bytes = 0;
	uint8_t lf[10000];

	begin_message(c);
	says(c, HEAD "\r\n");
	memset(lf, '\n', sizeof(lf));
	say(c, view_of(lf, sizeof(lf)));
	says(c, "\r\n.\r\n");
	(void)relay_expects(r, FRAME_OPEN, 1);
	while (relay_hears(r, &f) && f.type == FRAME_CHUNK) {
		frames++;
		bytes += f.payload.n;
	}
	assert_true(bytes >= 2 * sizeof(lf));
	assert_in_range(frames, 1, 10);
}

/*
 * A relay that reads nothing: what is written for it is bounded, and the end of every
 * open transaction still has room.
 */
static void
test_relay_that_never_reads(void **state)
{
	static struct wire *c[90];
	struct wire *r;
	struct frame f;
	unsigned opens = 0, aborts = 0;

	w.conf.limits.connections_per_client = lengthof(c);
	world_renew(&w);
	r = relay(&w);
	for (size_t i = 0; i < lengthof(c); i++) {
		c[i] = client(&w);
		begin_message(c[i]);
		says(c[i], HEAD "\r\n");
		fill(c[i], HANDOVER_WINDOW);
	}
	assert_true(stream_output_len(&r->stream) < intake_relay_limits.output_max - (1u << 20));
	assert_true(stream_output_len(&r->stream) > 8u << 20);
	for (size_t i = 0; i < lengthof(c) / 2; i++)
		hang_up(c[i], STREAM_RESET);
	assert_true(intake_has_relay(w.intake));
	while (relay_hears(r, &f)) {
		opens += f.type == FRAME_OPEN;
		aborts += f.type == FRAME_ABORT;
	}
	assert_int_equal(opens, lengthof(c));		/* those that had to wait were let in later */
	assert_int_equal(aborts, lengthof(c) / 2);
}

/* --- relay says no, or goes ----------------------------------------------------------------- */

static void
test_refused(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);

	/* at the end */
	begin_message(c);
	says(c, HEAD "\r\n.\r\n");
	relay_says(r, FRAME_REFUSED, 1, VIEW("452 4.3.1 The queue is full"));
	assert_hears(c, "452 4.3.1 The queue is full\r\n");
	assert_true(world_logged(&w, "refused code=452 reason=\"4.3.1 The queue is full\" from=\"alice@"));
	/* in the middle: heard at the dot, and the rest of the text goes nowhere */
	begin_message(c);
	says(c, HEAD "\r\nfirst\r\n");
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_COMMIT, 1);
	(void)relay_expects(r, FRAME_OPEN, 2);
	assert_true(view_ends(relay_text(r, 2, &text), VIEW("first\r\n")));
	relay_says(r, FRAME_REFUSED, 2, VIEW("550 5.7.1 Frozen"));
	says(c, "second\r\nMAIL FROM:<x@y>\r\n");
	assert_hears(c, "");
	assert_quiet(r);
	says(c, ".\r\n");
	assert_hears(c, "550 5.7.1 Frozen\r\n");
	assert_quiet(r);
	begin_message(c);
	(void)relay_expects(r, FRAME_OPEN, 3);
}

/* The next transaction is pipelined behind the dot of a refused one: whose refusal it is stays clear. */
static void
test_refused_and_pipelined(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);

	begin_message(c);
	says(c, HEAD "\r\n");
	relay_says(r, FRAME_REFUSED, 1, VIEW("452 4.3.1 Full"));
	says(c, ".\r\nMAIL FROM:<eve@example.com>\r\nRCPT TO:<x@y>\r\nDATA\r\n");
	assert_hears(c, "452 4.3.1 Full\r\n250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n" DATA_OK);
	assert_true(world_logged(&w, "refused code=452 reason=\"4.3.1 Full\" peer="));
	assert_false(world_logged(&w, "eve@"));
	says(c, HEAD "\r\n.\r\n");
	relay_says(r, FRAME_DURABLE, 2, ID);
	assert_hears(c, QUEUED);
	assert_true(world_logged(&w, "accepted id=0123456789abcdef from=\"eve@example.com\""));
}

static void
test_policy(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w), *later;

	(void)hear(c);
	relay_says(r, FRAME_POLICY, 0, VIEW("452 4.3.1 The queue is full"));
	assert_true(world_logged(&w, "mail-not-taken code=452 reason=\"The queue is full\"\n"));
	later = client(&w);
	(void)hear(later);
	for (int i = 0; i < 2; i++) {
		struct wire *it = i == 0 ? c : later;

		says(it, "HELO x\r\nMAIL FROM:<a@b>\r\n");
		assert_hears(it, "250 web1.example.com\r\n452 4.3.1 The queue is full\r\n");
	}
	relay_says(r, FRAME_POLICY, 0, VIEW(""));
	assert_true(world_logged(&w, "mail-taken-again"));
	says(c, "MAIL FROM:<a@b>\r\n");
	assert_hears(c, "250 2.1.0 Sender ok\r\n");
	/* The policy of a relay goes with it. */
	relay_says(r, FRAME_POLICY, 0, VIEW("452 4.3.1 The queue is full"));
	hang_up(r, STREAM_EOF);
	says(later, "MAIL FROM:<a@b>\r\n");
	assert_hears(later, "250 2.1.0 Sender ok\r\n");
}

/* Relay is to be replaced: what is open goes on, what would begin waits for the next one. */
static void
test_pause(void **state)
{
	struct wire *r = relay(&w), *next;
	struct wire *under_way = client(&w), *begins = client(&w);
	struct frame f;

	begin_message(under_way);
	says(under_way, HEAD "\r\n");
	while (relay_hears(r, &f))
		;
	relay_says(r, FRAME_PAUSE, 0, VIEW(""));
	assert_true(relay_hears(r, &f));
	assert_int_equal(f.type, FRAME_PAUSE);
	(void)hear(begins);
	says(begins, "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
	(void)hear(begins);
	says(begins, "DATA\r\n");
	assert_hears(begins, "");
	says(under_way, ".\r\n");
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(under_way, QUEUED);
	while (relay_hears(r, &f))
		assert_int_not_equal(f.type, FRAME_OPEN);
	hang_up(r, STREAM_EOF);
	assert_hears(begins, "");
	next = relay(&w);
	assert_hears(begins, DATA_OK);
	relay_says(next, FRAME_PAUSE, 0, VIEW(""));
	relay_says(next, FRAME_PAUSE, 0, VIEW(""));
	assert_true(next->closed);
	assert_true(world_logged(&w, "a second pause"));
}

static void
test_relay_lost(void **state)
{
	struct wire *r = relay(&w);
	struct wire *text_under_way = client(&w), *answer_awaited = client(&w), *idle = client(&w);

	(void)hear(idle);
	begin_message(text_under_way);
	says(text_under_way, HEAD "\r\nfirst\r\n");
	begin_message(answer_awaited);
	says(answer_awaited, HEAD "\r\n.\r\n");
	hang_up(r, STREAM_RESET);
	assert_false(intake_has_relay(w.intake));
	assert_true(world_logged(&w, "relay-lost reason="));
	/* It may be durable or not: never 250. */
	assert_hears(answer_awaited, "451 4.3.0 The message could not be stored, try again later\r\n");
	assert_hears(text_under_way, "");
	says(text_under_way, "second\r\n");
	assert_hears(text_under_way, "");
	says(text_under_way, ".\r\n");
	assert_hears(text_under_way, "451 4.3.0 The message could not be stored, try again later\r\n");
	assert_hears(idle, "");
	/* The next relay counts its own transactions, and the sessions go on. */
	r = relay(&w);
	begin_message(text_under_way);
	(void)relay_expects(r, FRAME_OPEN, 1);
	says(text_under_way, HEAD "\r\n.\r\n");
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_COMMIT, 1);
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(text_under_way, QUEUED);
}

static void
test_waiting_for_relay(void **state)
{
	struct wire *c = client(&w), *in_vain = client(&w);
	struct wire *r;

	begin_message(c);
	world_run(&w, 20000);
	begin_message(in_vain);
	assert_hears(c, "");
	world_run(&w, 9000);
	assert_hears(c, "");
	world_run(&w, 1000);
	assert_hears(c, "451 4.3.2 The queue is not available, try again later\r\n");
	assert_hears(in_vain, "");
	says(c, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
	assert_hears(c, "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n");
	r = relay(&w);
	assert_hears(c, DATA_OK);
	assert_hears(in_vain, DATA_OK);
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_expects(r, FRAME_OPEN, 2);
}

/* The client did not wait for the 354: what it sent is a message, none of it a command. */
static void
test_text_while_waiting_for_relay(void **state)
{
	struct wire *c = client(&w);

	begin_message(c);
	says(c, "Subject: x\r\n\r\nRSET\r\nMAIL FROM:<eve@x>\r\nRCPT TO:<bob@x>\r\n");
	assert_hears(c, "");
	world_run(&w, 30000);
	assert_hears(c, "451 4.3.2 The queue is not available, try again later\r\n");
	assert_true(c->closed);
	assert_false(c->aborted);
}

/* A relay that is there but has not said HELLO takes nothing yet. */
static void
test_silent_relay(void **state)
{
	struct wire *c = client(&w);

	begin_message(c);
	world_run(&w, 29999);
	assert_hears(c, "");
	world_run(&w, 1);
	assert_hears(c, "451 4.3.2 The queue is not available, try again later\r\n");
}

/* A relay that took the message and says nothing more does not hold its client for ever. */
static void
test_relay_never_answers(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);

	begin_message(c);
	says(c, HEAD "\r\n.\r\n");
	world_run(&w, 299000);
	assert_hears(c, "");
	world_run(&w, 1000);
	assert_hears(c, "451 4.3.0 The message could not be stored, try again later\r\n");
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_COMMIT, 1);
	/* Too late: nobody is told, and it is no fault. */
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(c, "");
	assert_true(intake_has_relay(w.intake));
	/* The same without credit. */
	begin_message(c);
	says(c, HEAD "\r\n");
	fill(c, 2 * HANDOVER_WINDOW);
	assert_true(c->paused);
	world_run(&w, 300000);
	assert_false(c->paused);
	says(c, "\r\n.\r\n");
	assert_hears(c, "451 4.3.0 The message could not be stored, try again later\r\n");
}

static void
test_another_relay_takes_over(void **state)
{
	struct wire *old = relay(&w), *new;
	struct wire *c = client(&w);

	begin_message(c);
	says(c, HEAD "\r\n.\r\n");
	new = relay(&w);
	assert_true(old->closed);
	assert_hears(c, "451 4.3.0 The message could not be stored, try again later\r\n");
	begin_message(c);
	(void)relay_expects(new, FRAME_OPEN, 1);
}

/* Each of these ends the channel, and the message is not acknowledged. */
static void
test_hostile_relay(void **state)
{
	static const struct {
		enum frame_type type;
		uint64_t transaction;
		const char *payload;
		const char *why;
	} bad[] = {
		{ FRAME_DURABLE, 1, "0123456789abcdef", "a message durable that was not complete" },
		{ FRAME_DURABLE, 2, "0123456789abcdef", "an answer to a transaction that was never opened" },
		{ FRAME_DURABLE, 1, "0123456789abcdeg", "a malformed message id" },
		{ FRAME_DURABLE, 1, "0000000000000000", "a malformed message id" },
		{ FRAME_REFUSED, 2, "452 4.3.1 no", "an answer to a transaction that was never opened" },
		{ FRAME_REFUSED, 1, "250 2.0.0 fine", "a malformed refusal" },
		{ FRAME_REFUSED, 1, "452 4.3.1 two\r\n250 2.0.0 lines", "a malformed refusal" },
		{ FRAME_CREDIT, 1, "\x01\x01\x01", "handover: frame type 16 with 3 bytes" },
		{ FRAME_CREDIT, 1, "\x01\x01\x01\x01", "a malformed credit" },
		{ FRAME_CREDIT, 1, "\x01\x01\x03\x0", "handover: frame type 16 with 3 bytes" },
		{ FRAME_CREDIT, 2, "\x01\x01\x01\x01", "credit for a transaction that was never opened" },
		{ FRAME_POLICY, 0, "full", "a malformed policy" },
		{ FRAME_HELLO, 0, FRAME_HELLO_LINE, "a second greeting" },
		{ FRAME_CHUNK, 1, "text", "handover: frame type 3 is not allowed here" },
	};

	for (size_t i = 0; i < lengthof(bad); i++) {
		struct wire *r = relay(&w);
		struct wire *c = client(&w);

		begin_message(c);
		says(c, HEAD "\r\n");
		relay_says(r, bad[i].type, bad[i].transaction, view_str(bad[i].payload));
		assert_true(r->closed);
		assert_false(intake_has_relay(w.intake));
		if (!world_logged(&w, bad[i].why))
			fail_msg("not logged: %s", bad[i].why);
		buf_clear(&w.logged);
		says(c, ".\r\nQUIT\r\n");
		assert_hears(c, "451 4.3.0 The message could not be stored, try again later\r\n221 2.0.0 Bye\r\n");
	}
}

static void
test_credit_beyond_the_window(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);

	begin_message(c);
	says(c, HEAD "\r\nx\r\n");
	relay_credit(r, 1, sizeof(HEAD "\r\nx\r\n") - 1);	/* as much as was sent: fine */
	assert_true(intake_has_relay(w.intake));
	relay_credit(r, 1, 1);
	assert_false(intake_has_relay(w.intake));
	assert_true(world_logged(&w, "more credit than the window"));
}

static void
test_relay_of_another_version(void **state)
{
	struct wire *r = relay(&w);
	struct buf b;

	intake_set_relay(w.intake, NULL);
	assert_true(r->closed);
	buf_init(&b, 100);
	assert_true(frame_put(&b, FRAME_HELLO, 0, VIEW("posthouse-handover 2\n")));
	r = client(&w);				/* any wire will do */
	hang_up(r, STREAM_RESET);
	r->closed = false;
	intake_set_relay(w.intake, &r->stream);
	(void)say(r, buf_view(&b));
	assert_true(r->closed);
	assert_false(intake_has_relay(w.intake));
	buf_done(&b);
}

/* --- limits ------------------------------------------------------------------------------------ */

static void
test_connection_limits(void **state)
{
	struct wire *c[20], *refused;

	w.conf.limits.connections = 20;
	world_renew(&w);
	for (int i = 0; i < 10; i++) {
		c[i] = client(&w);
		assert_false(c[i]->closed);
	}
	refused = client(&w);
	assert_hears(refused, "421 4.3.2 Too many connections from you, try again later\r\n");
	assert_true(refused->closed);
	assert_false(refused->aborted);
	assert_true(world_logged(&w, "refused code=421 reason=\"Too many connections from you, try again later\" "
	    "peer=127.0.0.1\n"));
	refused = client_at(&w, "[::1]:5");
	assert_hears(refused, "421 4.3.2 Too many connections from you, try again later\r\n");
	for (int i = 10; i < 20; i++)
		c[i] = client_at(&w, "unix:/x");
	refused = client_at(&w, "127.0.0.2:5");
	assert_hears(refused, "421 4.3.2 Too many connections, try again later\r\n");
	says(c[0], "QUIT\r\n");
	hang_up(c[10], STREAM_RESET);
	assert_false(client(&w)->closed);
	refused = client_at(&w, "192.0.2.7:5");
	assert_hears(refused, "554 5.7.1 Only programs on this host are served\r\n");
	assert_true(refused->closed);
}

/* Refusals without end do not fill the log. */
static void
test_flood_of_refusals(void **state)
{
	struct wire *c;
	struct view line, v;
	unsigned lines = 0;

	w.conf.limits.recipients = 1;
	world_renew(&w);
	c = client(&w);
	says(c, "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
	(void)hear(c);
	for (unsigned i = 0; i < 500; i++) {
		says(c, "RCPT TO:<e@f>\r\n");
		assert_hears(c, "452 4.5.3 Too many recipients\r\n");
	}
	world_run(&w, 10000);
	assert_true(world_logged(&w, "refused-more count=300\n"));
	for (v = buf_view(&w.logged); view_split(&v, '\n', &line);)
		lines++;
	assert_in_range(lines, 201, 205);
	/* And from then on they are logged again. */
	buf_clear(&w.logged);
	says(c, "RCPT TO:<e@f>\r\n");
	assert_true(world_logged(&w, "refused code=452"));
	world_run(&w, 10000);
	assert_false(world_logged(&w, "refused-more"));
}

static void
test_unix_peer(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client_at(&w, "unix:/somewhere");
	struct envelope env;
	struct frame f;

	begin_message(c);
	f = relay_expects(r, FRAME_OPEN, 1);
	assert_int_equal(envelope_decode(&env, f.payload, NULL), 0);
	assert_int_equal(env.uid, 33);
	assert_int_equal(env.pid, 4711);
	assert_true(view_eq(env.peer, VIEW("unix")));
	envelope_done(&env);
	says(c, HEAD "\r\n.\r\n");
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_true(world_logged(&w, "peer=unix uid=33 s=1\n"));
	for (int i = 1; i < 10; i++)
		assert_false(client_at(&w, "unix:/elsewhere")->closed);
	assert_true(client_at(&w, "unix:/x")->closed);
}

#define TOO_SLOW "421 4.4.2 Timeout, closing the connection\r\n"

/* Bytes that make no command do not prolong the wait for one. */
static void
test_trickled_command(void **state)
{
	struct wire *c = client(&w);

	(void)hear(c);
	for (int i = 0; i < 299; i++) {
		says(c, "N");
		world_run(&w, 1000);
	}
	assert_hears(c, "");
	says(c, "N");
	world_run(&w, 1000);
	assert_hears(c, TOO_SLOW);
	assert_true(c->closed);
	assert_true(world_logged(&w, "refused code=421 reason=\"4.4.2 Timeout"));
}

static void
test_commands_prolong(void **state)
{
	struct wire *c = client(&w);

	(void)hear(c);
	for (int i = 0; i < 5; i++) {
		world_run(&w, 299000);
		says(c, "NOOP\r\n");
		assert_hears(c, "250 2.0.0 Ok\r\n");
	}
	/* ... but not without an end: an hour without a message is enough. */
	for (int i = 0; i < 8 && !c->closed; i++) {
		world_run(&w, 299000);
		if (!c->closed)
			says(c, "NOOP\r\n");
	}
	assert_true(c->closed);
	assert_true(view_ends(hear(c), VIEW(TOO_SLOW)));
}

static void
test_data_timeout(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);

	begin_message(c);
	says(c, HEAD "\r\n");
	world_run(&w, 179000);
	says(c, "x");
	world_run(&w, 179000);
	assert_hears(c, "");
	world_run(&w, 1000);
	assert_hears(c, TOO_SLOW);
	assert_true(c->closed);
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_ABORT, 1);
}

/* One byte each minute is always in time; the message as a whole is not. */
static void
test_transaction_timeout(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);

	begin_message(c);
	says(c, HEAD "\r\n");
	for (int i = 0; i < 59; i++) {
		world_run(&w, 60000);
		says(c, "x");
	}
	assert_false(c->closed);
	world_run(&w, 60000);
	assert_true(c->closed);
	assert_hears(c, TOO_SLOW);
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_ABORT, 1);
}

/* A client that never reads its replies is not fed, costs a bounded amount, and is ended. */
static void
test_client_that_never_reads(void **state)
{
	struct wire *c = client(&w);
	struct wire *clean = client(&w);

	for (int i = 0; i < 20000; i++) {
		says(c, "NOOP\r\n");
		if (buf_room(&c->stream.in) == 0)
			break;
	}
	assert_int_equal(buf_room(&c->stream.in), 0);		/* not read any more */
	assert_true(buf_len(&c->stream.out) <= intake_stream_limits.output_max);
	(void)hear(clean);
	says(clean, "NOOP\r\n");
	assert_hears(clean, "250 2.0.0 Ok\r\n");
	world_run(&w, 300000);
	assert_true(c->closed);
	assert_true(c->aborted);
}

/* Once it reads, it gets every reply. */
static void
test_slow_reader(void **state)
{
	struct wire *c = client(&w);
	size_t commands = 0, replies = 0;
	struct view all, line;

	(void)hear(c);
	while (buf_room(&c->stream.in) > 6) {
		says(c, "NOOP\r\n");
		commands++;
	}
	for (int i = 0; i < 1000; i++)
		(void)hear(c);
	assert_int_equal(buf_len(&c->stream.in), 0);
	all = buf_view(&c->got);
	while (view_split(&all, '\n', &line))
		replies += view_eq(line, VIEW("250 2.0.0 Ok\r"));
	assert_int_equal(replies, commands);
}

/* --- clients that go --------------------------------------------------------------------------- */

static void
test_client_gone(void **state)
{
	struct wire *r = relay(&w);
	struct wire *in_text = client(&w), *in_answer = client(&w), *waiting;

	begin_message(in_text);
	says(in_text, HEAD "\r\n");
	begin_message(in_answer);
	says(in_answer, HEAD "\r\n.\r\n");
	hang_up(in_text, STREAM_RESET);
	hang_up(in_answer, STREAM_RESET);
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_OPEN, 2);
	(void)relay_text(r, 2, &text);
	(void)relay_expects(r, FRAME_COMMIT, 2);
	(void)relay_expects(r, FRAME_ABORT, 1);
	relay_says(r, FRAME_DURABLE, 2, ID);
	assert_true(world_logged(&w, "accepted id=0123456789abcdef"));
	assert_true(world_logged(&w, "client=gone\n"));
	/* one that leaves while it waits for a relay */
	intake_set_relay(w.intake, NULL);
	waiting = client(&w);
	begin_message(waiting);
	hang_up(waiting, STREAM_EOF);
	r = relay(&w);
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_expects(r, FRAME_ABORT, 1);
	assert_true(waiting->closed);
}

/* printf ... | nc: all of it at once, then the end of the input; the replies are still wanted. */
static void
test_half_closed(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c = client(&w);

	begin_message(c);
	says(c, HEAD "\r\n.\r\nQUIT\r\n");
	hang_up(c, STREAM_EOF);
	assert_false(c->closed);
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(c, QUEUED "221 2.0.0 Bye\r\n");
	assert_true(c->closed);
	assert_false(c->aborted);
	/* A text that is cut is no message. */
	c = client(&w);
	begin_message(c);
	says(c, HEAD "\r\nhalf of it\r\n");
	hang_up(c, STREAM_EOF);
	assert_true(c->closed);
	(void)relay_expects(r, FRAME_OPEN, 1);
	(void)relay_text(r, 1, &text);
	(void)relay_expects(r, FRAME_COMMIT, 1);
	(void)relay_expects(r, FRAME_OPEN, 2);
	(void)relay_text(r, 2, &text);
	(void)relay_expects(r, FRAME_ABORT, 2);
}

/* --- drain ---------------------------------------------------------------------------------------- */

static void
drained(void *owner)
{
	((struct world *)owner)->drained++;
}

#define GOING_DOWN "421 4.3.2 Shutting down, try again later\r\n"

static void
test_drain(void **state)
{
	struct wire *r = relay(&w);
	struct wire *idle = client(&w), *busy = client(&w), *awaits = client(&w), *late;

	begin_message(idle);
	says(idle, HEAD "\r\n.\r\n");
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(idle, QUEUED);
	begin_message(busy);
	begin_message(awaits);
	says(awaits, HEAD "\r\n.\r\n");
	intake_drain(w.intake, drained, &w);
	world_run(&w, 0);
	assert_hears(idle, GOING_DOWN);
	assert_true(idle->closed);
	late = client(&w);
	assert_hears(late, GOING_DOWN);
	assert_true(late->closed);
	relay_says(r, FRAME_DURABLE, 3, ID);
	assert_hears(awaits, QUEUED GOING_DOWN);
	assert_true(awaits->closed);
	says(busy, HEAD "\r\n.\r\n");
	assert_int_equal(w.drained, 0);
	relay_says(r, FRAME_DURABLE, 2, ID);
	assert_hears(busy, QUEUED GOING_DOWN);
	assert_int_equal(w.drained, 1);
	world_run(&w, 60000);
	assert_int_equal(w.drained, 1);
}

/* Who was let in and has sent nothing yet may send one message. */
static void
test_drain_serves_who_came_before(void **state)
{
	struct wire *r = relay(&w);
	struct wire *fresh = client(&w), *half = client(&w), *silent = client(&w);

	(void)hear(fresh);
	(void)hear(silent);
	says(half, "HELO x\r\nMAIL FROM:<a@b>\r\n");
	(void)hear(half);
	intake_drain(w.intake, drained, &w);
	world_run(&w, 1000);
	says(half, "RCPT TO:<c@d>\r\nDATA\r\n");
	assert_true(view_ends(hear(half), VIEW(DATA_OK)));
	begin_message(fresh);
	says(fresh, HEAD "\r\n.\r\n");
	relay_says(r, FRAME_DURABLE, 2, ID);
	assert_hears(fresh, QUEUED GOING_DOWN);
	world_run(&w, 1000);
	assert_hears(silent, GOING_DOWN);
	assert_false(half->closed);
	says(half, HEAD "\r\n.\r\n");
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_hears(half, QUEUED GOING_DOWN);
	assert_int_equal(w.drained, 1);
}

static void
test_drain_has_an_end(void **state)
{
	struct wire *c;

	(void)relay(&w);
	c = client(&w);
	begin_message(c);
	intake_drain(w.intake, drained, &w);
	world_run(&w, 29000);
	assert_false(c->closed);
	assert_int_equal(w.drained, 0);
	world_run(&w, 1000);
	assert_hears(c, GOING_DOWN);
	assert_int_equal(w.drained, 1);
}

static void
test_drain_of_nobody(void **state)
{
	intake_drain(w.intake, drained, &w);
	world_run(&w, 0);
	assert_int_equal(w.drained, 1);
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

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_one_message), T(test_replies_in_order), T(test_many_sessions), T(test_too_big),
		T(test_missing_fields), T(test_endless_header),
		T(test_window), T(test_commit_waits_for_credit), T(test_short_pieces_gather),
		T(test_relay_that_never_reads),
		T(test_refused), T(test_refused_and_pipelined), T(test_policy), T(test_pause),
		T(test_relay_lost), T(test_waiting_for_relay),
		T(test_text_while_waiting_for_relay), T(test_flood_of_refusals),
		T(test_silent_relay), T(test_relay_never_answers), T(test_another_relay_takes_over),
		T(test_hostile_relay), T(test_credit_beyond_the_window), T(test_relay_of_another_version),
		T(test_connection_limits), T(test_unix_peer), T(test_trickled_command),
		T(test_commands_prolong), T(test_data_timeout), T(test_transaction_timeout),
		T(test_client_that_never_reads), T(test_slow_reader),
		T(test_client_gone), T(test_half_closed),
		T(test_drain), T(test_drain_serves_who_came_before),
		T(test_drain_has_an_end), T(test_drain_of_nobody),
		T(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
