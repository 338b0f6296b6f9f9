/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_help - a client, a message with three recipients, and the server's part played by
 * the test.
 */
#ifndef UNIT_SMTP_CLIENT_HELP_H
#define UNIT_SMTP_CLIENT_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/client.h"

static const struct client_params plain = { .ehlo_name = "h.example" };
static const struct client_params starttls_login = {
	.ehlo_name = "h.example", .tls = CLIENT_TLS_STARTTLS, .mechanisms = MECHANISMS_PASSWORD,
};
static const struct client_params implicit_login = {
	.ehlo_name = "h.example", .tls = CLIENT_TLS_IMPLICIT, .mechanisms = MECHANISMS_PASSWORD,
};
static const struct client_rcpt three[] = {
	{ VIEW("a@x.example") }, { VIEW("b@x.example") }, { VIEW("c@x.example") },
};
static const struct client_message message = {
	.from = { (const uint8_t *)"s@h.example", 11 }, .rcpt = three, .nrcpt = 3, .size = 7,
};

/* What the client says, checked and taken. */
static inline void
assert_says(struct client *c, const char *want)
{
	struct buf *out = client_output(c);

	if (!view_eq(buf_view(out), view_str(want)))
		print_message("said: %.*s\nwanted: %s\n", VIEW_ARG(buf_view(out)), want);
	assert_true(view_eq(buf_view(out), view_str(want)));
	buf_clear(out);
}

static inline void
login_as(struct client *c, struct view user, struct view password)
{
	client_login(c, &(struct sasl_login){ .user = user, .secret = password });
}

static inline enum client_action
hear(struct client *c, const char *text)
{
	struct view in = view_str(text);
	enum client_action action;
	size_t used;

	action = client_step(c, in, &used);
	assert_true(used <= in.n);
	/* an action that leaves input is the end of a transaction or of the session */
	if (used < in.n)
		assert_true(action == CLIENT_RESULT || action == CLIENT_FAILED);
	return action;
}

/* Up to CLIENT_IDLE, without TLS and login. */
static inline struct client *
ready(const char *offers)
{
	struct client *c = client_new(&plain);

	assert_int_equal(hear(c, "220 mx.example ESMTP\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "EHLO h.example\r\n");
	assert_int_equal(hear(c, offers), CLIENT_IDLE);
	assert_says(c, "");
	return c;
}

#define ALL "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 8BITMIME\r\n"
#define NOTHING "250 mx.example\r\n"
#define PIPELINED "MAIL FROM:<s@h.example> SIZE=7\r\nRCPT TO:<a@x.example>\r\n" \
	"RCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n"

static inline void
assert_failed(struct client *c, enum client_fault fault, enum client_state where)
{
	assert_int_equal(client_failure(c)->fault, fault);
	assert_int_equal(client_failure(c)->state, where);
	assert_int_equal(hear(c, ""), CLIENT_CLOSE);
	assert_int_equal(hear(c, "250 too late\r\n"), CLIENT_CLOSE);
	assert_int_equal(client_state(c), CL_CLOSED);
}

static inline void
send_body(struct client *c, const char *text)
{
	struct view v = view_str(text);

	assert_int_equal(client_body(c, v), v.n);
	client_body_end(c);
}

#endif
