/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions over TLS: when it begins, what becomes of clients that do not finish, what is recorded. */
#include "session_help.h"

#include "mail/envelope.h"

#include "base/banned.h"

#define GREETING "220 web1.example.com ESMTP posthouse\r\n"

static const enum conf_listener_tls modes[] = { CONF_LISTENER_TLS_REQUIRED, CONF_LISTENER_TLS_IMPLICIT };

/* In the handshake, and nothing more heard than that it begins. */
static struct wire *
in_handshake(enum conf_listener_tls mode)
{
	struct wire *c = guest(&w);

	if (mode == CONF_LISTENER_TLS_IMPLICIT) {
		assert_hears(c, "");
	} else {
		says(c, "EHLO c\r\n");
		(void)hear(c);
		says(c, "STARTTLS\r\n");
		assert_hears(c, "220 2.0.0 Ready for TLS\r\n");
	}
	assert_int_equal(c->tls, WIRE_HANDSHAKE);
	assert_false(c->closed);
	return c;
}

/* The record says so, whatever was said in clear. */
static void
test_messages_over_tls(void **state)
{
	for (size_t i = 0; i < lengthof(modes); i++) {
		struct envelope env;
		struct wire *c, *r;
		struct frame f;

		world_tls(&w, modes[i], true);
		r = relay(&w);
		c = in_handshake(modes[i]);
		shake_hands(c);
		assert_hears(c, modes[i] == CONF_LISTENER_TLS_IMPLICIT ? GREETING : "");
		says(c, "MAIL FROM:<a@b.example>\r\n");
		assert_hears(c, "503 5.5.1 EHLO or HELO first\r\n");
		begin_message(c);
		f = relay_expects(r, FRAME_OPEN, 1);
		assert_int_equal(envelope_decode(&env, f.payload, NULL), 0);
		assert_true(view_eq(env.tls, VIEW("TLSv1.3 TLS_AES_256_GCM_SHA384")));
		envelope_done(&env);
		says(c, "x\r\n.\r\n");
		relay_says(r, FRAME_DURABLE, 1, ID);
		assert_hears(c, QUEUED);
		assert_true(world_logged(&w, " tls=\"TLSv1.3 TLS_AES_256_GCM_SHA384\""));
		hang_up(c, STREAM_RESET);
	}
}

/* 30 s, however its bytes come: the session does not see them. */
static void
test_a_handshake_has_its_time(void **state)
{
	for (size_t i = 0; i < lengthof(modes); i++) {
		struct wire *c, *other;

		world_tls(&w, modes[i], true);
		c = in_handshake(modes[i]);
		world_run(&w, 29900);
		assert_false(c->closed);
		other = in_handshake(modes[i]);
		world_run(&w, 200);
		assert_true(c->closed);
		assert_hears(c, "");
		assert_true(world_logged(&w, "tls-failed reason=\"the client did not finish the handshake in time\" "
		    "listener=\"guests\" peer=10.0.0.7:5"));
		assert_false(other->closed);
		shake_hands(other);
		world_run(&w, 60000);
		assert_false(other->closed);
		hang_up(other, STREAM_RESET);
	}
}

/* Whatever ends it, nothing is said in clear, and its place is free again. */
static void
test_handshakes_that_fail(void **state)
{
	static const enum stream_end_kind ends[] = { STREAM_TLS_HANDSHAKE, STREAM_TLS_NOT_TLS, STREAM_RESET, STREAM_FAILED };

	w.conf.limits.connections_per_client = 1;
	for (size_t i = 0; i < lengthof(modes); i++) {
		world_tls(&w, modes[i], true);
		for (size_t k = 0; k < lengthof(ends); k++) {
			struct wire *c = in_handshake(modes[i]);

			hang_up(c, ends[k]);
			assert_true(c->closed);
			assert_hears(c, "");
			assert_true(world_logged(&w, "tls-failed "));
		}
	}
}

/* A script that pipes a session: it will not do a handshake any more. */
static void
test_half_closed_before_the_handshake(void **state)
{
	struct wire *c;

	world_tls(&w, CONF_LISTENER_TLS_STARTTLS, true);
	c = guest(&w);
	says(c, "EHLO c\r\n");
	assert_true(buf_add(&c->stream.in, VIEW("STARTTLS\r\n")));
	hang_up(c, STREAM_EOF);
	assert_int_equal(c->tls, WIRE_CLEAR);
	assert_true(c->closed);
}

static void
test_drain_does_not_wait_for_handshakes(void **state)
{
	for (size_t i = 0; i < lengthof(modes); i++) {
		struct wire *stalled, *other;

		w.drained = 0;
		world_tls(&w, modes[i], true);
		stalled = in_handshake(modes[i]);
		other = in_handshake(modes[i]);
		intake_drain(w.intake, drained, &w);
		shake_hands(other);		/* it was let in, and may send its message */
		assert_false(other->closed);
		world_run(&w, 1900);
		assert_false(stalled->closed);
		says(other, "NOOP\r\n");
		world_run(&w, 200);
		assert_true(stalled->closed);
		world_run(&w, 2000);
		assert_true(other->closed);
		assert_int_equal(w.drained, 1);
	}
}

/* Words in clear are for those who can read them. */
static void
test_turned_away(void **state)
{
	w.conf.limits.connections_per_client = 1;
	for (size_t i = 0; i < lengthof(modes); i++) {
		struct wire *c, *refused;

		world_tls(&w, modes[i], true);
		c = in_handshake(modes[i]);
		refused = guest(&w);
		assert_true(refused->closed);
		assert_hears(refused, modes[i] == CONF_LISTENER_TLS_IMPLICIT ? "" :
		    "421 4.3.2 Too many connections from you, try again later\r\n");
		hang_up(c, STREAM_RESET);
	}
}

/* No certificate: told where there is a way to, cut where not. */
static void
test_without_a_certificate(void **state)
{
	struct wire *c;

	world_tls(&w, CONF_LISTENER_TLS_STARTTLS, false);
	c = guest(&w);
	says(c, "EHLO c\r\n");
	(void)hear(c);
	says(c, "STARTTLS\r\n");
	assert_hears(c, "454 4.7.0 TLS is not available for now\r\n");
	says(c, "QUIT\r\n");
	world_tls(&w, CONF_LISTENER_TLS_IMPLICIT, false);
	c = guest(&w);
	assert_true(c->closed);
	assert_hears(c, "");
	assert_true(world_logged(&w, "tls-failed reason=\"there is no certificate\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_messages_over_tls), T(test_a_handshake_has_its_time), T(test_handshakes_that_fail),
		T(test_half_closed_before_the_handshake), T(test_drain_does_not_wait_for_handshakes),
		T(test_turned_away), T(test_without_a_certificate),
	};

	return cmocka_run_group_tests_name("intake/tls", tests, NULL, NULL);
}
