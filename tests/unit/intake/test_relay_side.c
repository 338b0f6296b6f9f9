/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions and relay: its window, its refusals, and what becomes of clients when it goes. */
#include "session_help.h"

#include "base/banned.h"

/* --- window -------------------------------------------------------------------------------- */

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_window), T(test_commit_waits_for_credit), T(test_short_pieces_gather),
		T(test_relay_that_never_reads), T(test_refused), T(test_refused_and_pipelined),
		T(test_policy), T(test_pause), T(test_relay_lost), T(test_waiting_for_relay),
		T(test_text_while_waiting_for_relay), T(test_silent_relay),
		T(test_relay_never_answers), T(test_another_relay_takes_over), T(test_hostile_relay),
		T(test_credit_beyond_the_window), T(test_relay_of_another_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
