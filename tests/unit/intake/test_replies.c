/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions that end while more replies are due than there is room for: who reads hears all of them. */
#include "session_help.h"

#include "base/banned.h"

#define MESSAGE "HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 28 LAST\r\n" HEAD "\r\n"
#define NOOPS	3000		/* some 40 KiB of replies */

static bool
heard(const struct wire *c, const char *want)
{
	struct view all = buf_view(&c->got);

	return view_search(all, view_str(want)) < all.n;
}

static void
hear_all(struct wire *c)
{
	while (hear(c).n > 0)
		;
}

static void
say_noops(struct wire *c, const char *first, int n, const char *last)
{
	struct buf in;

	buf_init(&in, 65536);
	assert_true(buf_add_str(&in, first));
	for (int i = 0; i < n; i++)
		assert_true(buf_add_str(&in, "NOOP\r\n"));
	assert_true(buf_add_str(&in, last));
	(void)say(c, buf_view(&in));
	buf_done(&in);
}

/* A message that is stored, and behind it in the same piece of input so many commands. */
static struct wire *
stored_and_more(struct wire *c, struct wire *r, const char *last)
{
	say_noops(c, MESSAGE, NOOPS, last);
	relay_says(r, FRAME_DURABLE, 1, ID);
	assert_true(world_logged(&w, "accepted"));
	assert_false(c->closed);
	return c;
}

static void
assert_all_heard(struct wire *c, const char *last)
{
	hear_all(c);
	assert_true(heard(c, QUEUED));
	assert_true(heard(c, last));
	assert_true(buf_len(&c->got) > NOOPS * strlen("250 2.0.0 Ok\r\n"));
	assert_true(c->closed);
	assert_false(c->aborted);
}

static void
test_quit(void **state)
{
	struct wire *r = relay(&w), *c = stored_and_more(client(&w), r, "QUIT\r\n");

	assert_all_heard(c, "221 2.0.0 Bye\r\n");
}

static void
test_end_of_input(void **state)
{
	struct wire *r = relay(&w), *c = stored_and_more(client(&w), r, "");

	hang_up(c, STREAM_EOF);
	assert_false(c->closed);
	assert_all_heard(c, QUEUED);
}

/* The daemon stops while the client has not had its replies. */
static void
test_draining(void **state)
{
	struct wire *r = relay(&w), *c = stored_and_more(client(&w), r, "");

	w.drained = 0;
	intake_drain(w.intake, drained, &w);
	world_run(&w, 0);
	assert_false(c->closed);
	hear_all(c);
	assert_true(heard(c, QUEUED));
	assert_true(heard(c, "421 4.3.2 Shutting down, try again later\r\n"));
	assert_false(c->aborted);
	assert_int_equal(w.drained, 1);
}

static void
test_starttls(void **state)
{
	struct wire *r, *c;

	world_tls(&w, CONF_LISTENER_TLS_STARTTLS, true);
	r = relay(&w);
	c = stored_and_more(guest(&w), r, "EHLO x\r\nSTARTTLS\r\n");
	assert_int_equal(c->tls, WIRE_CLEAR);
	hear_all(c);
	assert_true(heard(c, QUEUED));
	assert_int_equal(c->tls, WIRE_HANDSHAKE);
	c->tls = WIRE_TLS;
	c->stream.events->on_tls(c->stream.owner);
	says(c, "QUIT\r\n");
	assert_hears(c, "221 2.0.0 Bye\r\n");
	assert_true(c->closed);
}

/* STARTTLS, and the end: there will be no handshake, but the replies before it are heard. */
static void
test_starttls_and_end(void **state)
{
	struct wire *r, *c;

	world_tls(&w, CONF_LISTENER_TLS_STARTTLS, true);
	r = relay(&w);
	c = stored_and_more(guest(&w), r, "EHLO x\r\nSTARTTLS\r\n");
	hang_up(c, STREAM_EOF);
	assert_false(c->closed);
	assert_all_heard(c, "220 2.0.0 ");
	assert_true(world_logged(&w, "tls-failed"));
}

/* The last command was taken, and its reply waits for room. */
static struct wire *
leaves(void)
{
	struct wire *c = client(&w);

	say_noops(c, "", NOOPS / 4, "");
	say_noops(c, "", NOOPS / 4, "QUIT\r\n");
	assert_int_equal(buf_len(&c->stream.in), 0);
	assert_int_equal(stream_output_room(&c->stream), 0);
	assert_false(c->closed);
	return c;
}

/* What is said behind QUIT is dropped, so that it does not have the connection reset. */
static void
test_words_behind_the_end(void **state)
{
	struct wire *c = leaves();

	assert_int_equal(says(c, "NOOP\r\nNOOP\r\n"), 0);
	assert_false(c->closed);
	hear_all(c);
	assert_true(view_ends(buf_view(&c->got), VIEW("221 2.0.0 Bye\r\n")));
	assert_true(c->closed);
	assert_false(c->aborted);
}

/* Only who does not read in all his time is cut off. */
static void
test_deaf(void **state)
{
	struct wire *c = leaves();

	world_run(&w, w.conf.limits.command_ms - 1);
	assert_false(c->closed);
	world_run(&w, 1);
	assert_true(c->closed);
	assert_true(c->aborted);
}

/* A stream that is broken for writing drops all of it. */
static void
test_reset(void **state)
{
	struct wire *c = leaves();

	hang_up(c, STREAM_RESET);
	assert_true(c->closed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_quit), T(test_end_of_input), T(test_draining), T(test_starttls),
		T(test_starttls_and_end), T(test_words_behind_the_end), T(test_deaf), T(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
