/* SPDX-License-Identifier: BSD-2-Clause */
/* The client: what goes wrong, in every state and at every byte. */
#include "client_help.h"

#include "base/banned.h"

struct greeting_case {
	const char		*text;
	enum client_fault	 fault;
	const char		*detail;	/* a part of it */
};

static const struct greeting_case greetings[] = {
	{ "554 5.7.1 go away\r\n", FAULT_GREETING, "" },
	{ "450 busy\r\n", FAULT_GREETING, "" },
	{ "421 4.3.2 later\r\n", FAULT_SHUTTING_DOWN, "" },
	{ "354 what\r\n", FAULT_UNEXPECTED, "" },
	{ "HTTP/1.1 400 Bad Request\r\n", FAULT_NOT_SMTP, "HTTP" },
	{ "SSH-2.0-x\r\n", FAULT_NOT_SMTP, "SSH" },
	{ "* OK IMAP\r\n", FAULT_NOT_SMTP, "IMAP" },
	{ "+OK POP\r\n", FAULT_NOT_SMTP, "POP3" },
	{ "hello\x1b[2J\r\n", FAULT_NOT_SMTP, "hello?[2J" },
	{ "\x15\x03\x01\x02\x02\x46", FAULT_TLS_BYTES, "TLS" },
	{ "\x16", FAULT_TLS_BYTES, "TLS" },
	{ "220 hi\r\n250 ahead of time\r\n", FAULT_UNEXPECTED, "answers nothing" },
};

static void
test_greetings(void **state)
{
	for (size_t i = 0; i < lengthof(greetings); i++) {
		struct client *c = client_new(&plain);

		assert_int_equal(hear(c, greetings[i].text), CLIENT_FAILED);
		assert_int_equal(client_failure(c)->fault, greetings[i].fault);
		assert_non_null(strstr(client_failure(c)->detail, greetings[i].detail));
		client_free(c);
	}
}

static void
test_helo_where_nothing_needs_ehlo(void **state)
{
	struct client *c = client_new(&plain);

	(void)hear(c, "220 old\r\n");
	assert_says(c, "EHLO h.example\r\n");
	assert_int_equal(hear(c, "500 what?\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "HELO h.example\r\n");
	assert_int_equal(hear(c, "250 old\r\n"), CLIENT_IDLE);
	assert_int_equal(client_caps(c), 0);
	client_free(c);

	c = client_new(&starttls_login);
	(void)hear(c, "220 old\r\n");
	assert_int_equal(hear(c, "500 what?\r\n"), CLIENT_FAILED);
	assert_failed(c, FAULT_EHLO, CL_EHLO);
	client_free(c);
}

/* Bring a client into any state, pipelining or not. */
static struct client *
client_in(enum client_state want, bool pipelined)
{
	struct client_params p = { .ehlo_name = "h", .mechanisms = MECHANISMS_PASSWORD, .tls = CLIENT_TLS_IMPLICIT };
	struct client *c;

	if (want == CL_STARTTLS || want == CL_TLS || want == CL_EHLO_TLS)
		p.tls = CLIENT_TLS_STARTTLS;
	if (want == CL_HELO)
		p.mechanisms = 0;
	c = client_new(&p);
	if (p.tls == CLIENT_TLS_IMPLICIT)
		client_tls_ready(c);
	if (client_state(c) != want)
		(void)hear(c, "220 mx\r\n");
	if (client_state(c) != want)
		(void)hear(c, want == CL_HELO ? "500 no\r\n" : p.tls == CLIENT_TLS_STARTTLS ?
		    "250-mx\r\n250 STARTTLS\r\n" : pipelined ?
		    "250-mx\r\n250-PIPELINING\r\n250 AUTH LOGIN\r\n" : "250-mx\r\n250 AUTH LOGIN\r\n");
	if (client_state(c) == CL_STARTTLS && want != CL_STARTTLS)
		(void)hear(c, "220 go\r\n");
	if (want == CL_EHLO_TLS)
		client_tls_ready(c);
	if (client_state(c) == CL_AUTH) {
		login_as(c, VIEW("u"), VIEW("p"));
		if (want == CL_AUTH)
			return c;
		(void)hear(c, "334 \r\n");
		login_as(c, VIEW("u"), VIEW("p"));
		if (want == CL_AUTH_NEXT)
			return c;
		(void)hear(c, "235 in\r\n");
		if (want == CL_QUIT)
			client_quit(c);
		else if (want != CL_READY)
			client_send(c, &message);
	}
	if (want == CL_RSET) {
		(void)hear(c, "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n");
		if (!pipelined)
			(void)hear(c, "");
	}
	if (want > CL_MAIL && want < CL_RSET)
		(void)hear(c, "250 ok\r\n");
	for (int i = 0; i < 3 && want > CL_RCPT && want < CL_RSET; i++)
		(void)hear(c, "250 ok\r\n");
	if (want == CL_BODY || want == CL_DOT)
		(void)hear(c, "354 go\r\n");
	if (want == CL_DOT)
		client_body_end(c);
	return c;
}

/* Run until something is awaited; it must be after few actions, and with a deadline. */
static void
assert_waits_or_closed(struct client *c)
{
	enum client_action action = CLIENT_RESULT;
	int results = 0, failures = 0;

	for (int i = 0; i < 6 && (action == CLIENT_RESULT || action == CLIENT_FAILED); i++) {
		action = hear(c, "");
		results += action == CLIENT_RESULT;
		failures += action == CLIENT_FAILED;
	}
	assert_true(results <= 1 && failures <= 1);
	switch (action) {
	case CLIENT_WANT_INPUT:
	case CLIENT_NEED_TLS:
	case CLIENT_NEED_BODY:
	case CLIENT_NEED_LOGIN:
		assert_true(client_deadline_ms(c) > 0);
		break;
	case CLIENT_IDLE:
		assert_int_equal(client_state(c), CL_READY);
		break;
	case CLIENT_CLOSE:
		assert_int_equal(client_state(c), CL_CLOSED);
		break;
	default:
		fail_msg("no end of actions");
	}
	if (action == CLIENT_WANT_INPUT || action == CLIENT_NEED_BODY) {
		/* what is awaited may never come: the end of the connection ends it */
		client_eof(c);
		for (int i = 0; i < 4 && action != CLIENT_CLOSE; i++)
			action = hear(c, "");
		assert_int_equal(action, CLIENT_CLOSE);
	}
}

/* Every state times every class of reply, and what is no reply. */
static void
test_every_cell(void **state)
{
	static const char *const replies[] = {
		"250 ok\r\n", "354 go\r\n", "421 bye\r\n", "451 later\r\n", "550 no\r\n", "garbage\r\n",
		"250-half\r\n", "250-a\r\n550 b\r\n", "\r\n", "250 ok\r\n250 ok\r\n", "",
	};

	for (unsigned s = CL_GREETING; s < CL_CLOSED; s++) {
		if (s == CL_RSET)
			continue;	/* below */
		for (size_t i = 0; i < lengthof(replies) * 2; i++) {
			struct client *c = client_in((enum client_state)s, i % 2 == 0);
			enum client_action action;

			assert_int_equal(client_state(c), s);
			assert_non_null(client_state_word((enum client_state)s));
			action = hear(c, replies[i / 2]);
			if (action == CLIENT_FAILED || action == CLIENT_RESULT)
				assert_true(s >= CL_MAIL || action == CLIENT_FAILED);
			assert_waits_or_closed(c);
			client_free(c);
		}
	}
}

static void
test_every_cell_of_rset(void **state)
{
	static const struct {
		const char *reply;
		enum client_action action;
	} k[] = {
		{ "250 ok\r\n", CLIENT_IDLE }, { "354 go\r\n", CLIENT_FAILED }, { "421 x\r\n", CLIENT_FAILED },
		{ "451 x\r\n", CLIENT_FAILED }, { "550 x\r\n", CLIENT_FAILED }, { "garbage\r\n", CLIENT_FAILED },
	};

	for (size_t i = 0; i < lengthof(k); i++) {
		struct client *c = ready(ALL);

		client_send(c, &message);
		assert_int_equal(hear(c, "250 ok\r\n550 a\r\n550 b\r\n550 c\r\n554 d\r\n"), CLIENT_RESULT);
		assert_int_equal(client_state(c), CL_RSET);
		assert_int_equal(hear(c, k[i].reply), k[i].action);
		assert_waits_or_closed(c);
		client_free(c);
	}
}

/* 421 at each step: no result is invented, and no recipient's answer is lost. */
static void
test_421_in_a_transaction(void **state)
{
	struct client *c = ready(ALL);

	client_send(c, &message);
	assert_int_equal(hear(c, "250 ok\r\n550 5.1.1 a\r\n421 4.3.2 going\r\n"), CLIENT_RESULT);
	assert_false(client_result(c)->complete);
	assert_false(client_result(c)->dot_sent);
	assert_int_equal(client_result(c)->rcpt[0].code, 550);
	assert_int_equal(client_result(c)->rcpt[1].code, 0);
	assert_int_equal(hear(c, ""), CLIENT_FAILED);
	assert_int_equal(client_failure(c)->reply.code, 421);
	assert_failed(c, FAULT_SHUTTING_DOWN, CL_RCPT);
	client_free(c);

	/* 250 to the dot stands, whatever follows it */
	c = client_in(CL_DOT, true);
	assert_int_equal(hear(c, "250 queued\r\n421 and bye\r\n"), CLIENT_RESULT);
	assert_true(client_result(c)->complete);
	assert_int_equal(client_result(c)->rcpt[0].code, 250);
	assert_int_equal(hear(c, "421 and bye\r\n"), CLIENT_FAILED);
	client_free(c);
}

static void
test_lost_connections(void **state)
{
	static const enum client_state where[] = { CL_MAIL, CL_RCPT, CL_DATA, CL_BODY, CL_DOT };

	for (size_t i = 0; i < lengthof(where); i++) {
		struct client *c = client_in(where[i], true);

		client_eof(c);
		assert_int_equal(hear(c, ""), CLIENT_RESULT);
		assert_false(client_result(c)->complete);
		assert_int_equal(client_result(c)->dot_sent, where[i] == CL_DOT);
		assert_int_equal(hear(c, ""), CLIENT_FAILED);
		assert_failed(c, FAULT_NONE, where[i]);
		client_free(c);
	}
}

/* The reply and the end of the connection arrive together: the reply counts. */
static void
test_reply_before_the_end_counts(void **state)
{
	struct client *c = client_in(CL_DOT, true);

	client_eof(c);
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_RESULT);
	assert_true(client_result(c)->complete);
	assert_int_equal(hear(c, ""), CLIENT_FAILED);
	assert_int_equal(client_failure(c)->state, CL_READY);
	client_free(c);
}

static void
test_abort_sends_no_dot(void **state)
{
	struct client *c = client_in(CL_BODY, true);

	buf_clear(client_output(c));
	assert_int_equal(client_body(c, VIEW("half a line")), 11);
	client_body_abort(c);
	assert_int_equal(hear(c, ""), CLIENT_RESULT);
	assert_false(client_result(c)->complete);
	assert_false(client_result(c)->dot_sent);
	assert_int_equal(hear(c, ""), CLIENT_CLOSE);
	assert_says(c, "half a line");
	client_free(c);
}

/* A reply half of which came before the command it would answer. */
static void
test_early_half_of_a_reply_is_unasked(void **state)
{
	struct client *c = ready(ALL);

	assert_int_equal(hear(c, "25"), CLIENT_IDLE);
	client_send(c, &message);
	assert_int_equal(hear(c, "0 ok\r\n"), CLIENT_RESULT);
	assert_false(client_result(c)->complete);
	assert_int_equal(hear(c, ""), CLIENT_FAILED);
	assert_failed(c, FAULT_UNEXPECTED, CL_MAIL);
	client_free(c);
}

/* The whole session heard byte by byte gives the same as in one piece. */
static void
test_byte_by_byte(void **state)
{
	static const char heard[] = "220 mx\r\n" ALL "250 ok\r\n250 a\r\n450 b\r\n250-c\r\n250 c\r\n354 go\r\n250 done\r\n";
	struct client *c = client_new(&plain);
	bool sent = false;
	enum client_action action = CLIENT_WANT_INPUT;

	for (size_t i = 0; heard[i] != '\0'; i++) {
		size_t used;

		assert_int_not_equal(action, CLIENT_FAILED);
		action = client_step(c, view_of(heard + i, 1), &used);
		assert_int_equal(used, 1);
		if (action == CLIENT_IDLE && !sent) {
			client_send(c, &message);
			sent = true;
		}
		if (action == CLIENT_NEED_BODY)
			send_body(c, "x\r\n");
	}
	assert_int_equal(action, CLIENT_RESULT);
	assert_true(client_result(c)->complete);
	assert_int_equal(client_result(c)->rcpt[1].code, 450);
	assert_int_equal(client_result(c)->rcpt[2].code, 250);
	client_free(c);
}

static void
test_capabilities(void **state)
{
	struct caps k;

	caps_init(&k);
	caps_add_line(&k, VIEW("PIPELINING is my name"));
	assert_int_equal(k.flags, 0);
	caps_add_line(&k, VIEW("pipelining"));
	caps_add_line(&k, VIEW("SIZE 99999999999999999999999"));
	caps_add_line(&k, VIEW("SIZES"));
	caps_add_line(&k, VIEW(""));
	caps_add_line(&k, VIEW("DSN "));
	caps_add_line(&k, VIEW("AUTH  CRAM-MD5  "));
	assert_int_equal(k.flags, CAP_PIPELINING | CAP_SIZE | CAP_DSN);
	assert_int_equal(k.size, 0);
	caps_add_line(&k, VIEW("AUTH=login"));
	assert_int_equal(k.flags, CAP_PIPELINING | CAP_SIZE | CAP_DSN);
	assert_string_equal(k.auth_words, "CRAM-MD5 login");
	caps_add_line(&k, VIEW("SIZE 52428800"));
	assert_int_equal(k.size, 52428800);
	caps_add_line(&k, VIEW("XCLIENT NAME"));
	assert_true((k.flags & CAP_BLANKED) == 0);
	caps_add_line(&k, VIEW("XXXXXXXX"));
	assert_true((k.flags & CAP_BLANKED) != 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_greetings),
		cmocka_unit_test(test_helo_where_nothing_needs_ehlo),
		cmocka_unit_test(test_every_cell),
		cmocka_unit_test(test_every_cell_of_rset),
		cmocka_unit_test(test_421_in_a_transaction),
		cmocka_unit_test(test_lost_connections),
		cmocka_unit_test(test_reply_before_the_end_counts),
		cmocka_unit_test(test_abort_sends_no_dot),
		cmocka_unit_test(test_early_half_of_a_reply_is_unasked),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_capabilities),
	};

	return cmocka_run_group_tests_name("client faults", tests, NULL, NULL);
}
