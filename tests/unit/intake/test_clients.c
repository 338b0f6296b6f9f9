/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions and clients: limits, clients that are slow or go, and draining. */
#include "session_help.h"

#include "mail/envelope.h"

#include "base/banned.h"

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
	    "peer=127.0.0.1 uid=33\n"));
	refused = client_at(&w, "[::1]:5");
	assert_hears(refused, "421 4.3.2 Too many connections from you, try again later\r\n");
	refused = client_at(&w, "unix:/x");		/* the same user */
	assert_hears(refused, "421 4.3.2 Too many connections from you, try again later\r\n");
	w.uid = -1;
	for (int i = 10; i < 20; i++)
		c[i] = client_at(&w, i % 2 == 0 ? "127.0.0.3:5" : "unix:/x");
	refused = client_at(&w, "127.0.0.2:5");
	assert_hears(refused, "421 4.3.2 Too many connections, try again later\r\n");
	says(c[0], "QUIT\r\n");
	hang_up(c[10], STREAM_RESET);
	w.uid = 0;
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
}

static void
assert_opens(struct wire *r, uint64_t transaction, const char *process)
{
	struct frame f = relay_expects(r, FRAME_OPEN, transaction);
	struct envelope env;

	assert_int_equal(envelope_decode(&env, f.payload, NULL), 0);
	assert_true(view_eq(env.process, view_str(process)));
	envelope_done(&env);
}

static struct wire *
with_names(void)
{
	w.names = true;
	world_renew(&w);
	return relay(&w);
}

/* It is asked at once; no message is opened before the answer. */
static void
test_process(void **state)
{
	struct wire *r = with_names();
	struct wire *c = client_at(&w, "unix:/somewhere");
	struct frame f;

	assert_int_equal(w.asked, 1);
	begin_message(c);
	assert_quiet(r);
	intake_process(w.intake, w.question + 1, "another");	/* no such question */
	world_run(&w, 400);
	assert_quiet(r);
	intake_process(w.intake, w.question, "cron in cron.service");
	world_run(&w, 0);
	assert_opens(r, 1, "cron in cron.service");
	says(c, HEAD "\r\n.\r\n");
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_true(world_logged(&w, "s=1 process=\"cron in cron.service\"\n"));
	/* Once for all messages of a connection; a second answer changes nothing. */
	intake_process(w.intake, w.question, "late");
	(void)hear(c);
	while (relay_hears(r, &f))
		;			/* the rest of the first one */
	says(c, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
	assert_opens(r, 2, "cron in cron.service");
	assert_int_equal(w.asked, 1);
}

static void
test_no_answer(void **state)
{
	struct wire *r = with_names();
	struct wire *c = client_at(&w, "unix:/somewhere"), *tcp = client(&w);

	assert_int_equal(w.asked, 1);		/* of TCP there is no number to ask for */
	begin_message(tcp);
	assert_opens(r, 1, "");
	begin_message(c);
	world_run(&w, 499);
	assert_quiet(r);
	world_run(&w, 2);
	assert_opens(r, 2, "");
	intake_process(w.intake, w.question, "too late");
	hang_up(c, STREAM_RESET);
	intake_process(w.intake, w.question, "gone");
}

/* Many at once: the supervisor has more to do than that. */
static void
test_few_are_asked_for(void **state)
{
	struct wire *r = with_names();
	struct wire *c[66];

	w.conf.limits.connections = w.conf.limits.connections_per_client = 100;
	world_renew(&w);
	r = relay(&w);
	for (size_t i = 0; i < lengthof(c); i++)
		c[i] = client_at(&w, "unix:/somewhere");
	assert_int_equal(w.asked, 64);
	begin_message(c[65]);
	assert_opens(r, 1, "");
	hang_up(c[0], STREAM_RESET);		/* it gives back its place */
	(void)client_at(&w, "unix:/somewhere");
	assert_int_equal(w.asked, 65);
}

/* Whose it is can't be told: that is in the envelope and in the log, and there is no number. */
static void
test_unknown_user(void **state)
{
	struct wire *r = relay(&w);
	struct wire *c;
	struct envelope env;
	struct frame f;

	w.uid = -1;
	c = client(&w);
	begin_message(c);
	f = relay_expects(r, FRAME_OPEN, 1);
	assert_int_equal(envelope_decode(&env, f.payload, NULL), 0);
	assert_int_equal(env.uid, -1);
	assert_int_equal(env.pid, -1);
	assert_true(view_eq(env.no_uid, VIEW("closed")));
	envelope_done(&env);
	says(c, HEAD "\r\n.\r\n");
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_true(world_logged(&w, "peer=127.0.0.1:40112 no_uid=closed s=1\n"));
	assert_false(world_logged(&w, " uid="));
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_connection_limits), T(test_flood_of_refusals), T(test_unix_peer),
		T(test_process), T(test_no_answer), T(test_few_are_asked_for),
		T(test_unknown_user),
		T(test_trickled_command), T(test_commands_prolong), T(test_data_timeout),
		T(test_transaction_timeout), T(test_client_that_never_reads), T(test_slow_reader),
		T(test_client_gone), T(test_half_closed), T(test_drain),
		T(test_drain_serves_who_came_before), T(test_drain_has_an_end),
		T(test_drain_of_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
