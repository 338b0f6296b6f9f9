/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "smtp/client.h"
#include "smtp/sasl.h"

#include "base/banned.h"

static const struct client_params plain = { .ehlo_name = "h.example" };
static const struct client_params starttls_login = {
	.ehlo_name = "h.example", .tls = CLIENT_TLS_STARTTLS, .login = true,
};
static const struct client_params implicit_login = {
	.ehlo_name = "h.example", .tls = CLIENT_TLS_IMPLICIT, .login = true,
};
static const struct client_rcpt three[] = {
	{ VIEW("a@x.example") }, { VIEW("b@x.example") }, { VIEW("c@x.example") },
};
static const struct client_message message = {
	.from = { (const uint8_t *)"s@h.example", 11 }, .rcpt = three, .nrcpt = 3, .size = 7,
};

/* What the client says, checked and taken. */
static void
assert_says(struct client *c, const char *want)
{
	struct buf *out = client_output(c);

	if (!view_eq(buf_view(out), view_str(want)))
		print_message("said: %.*s\nwanted: %s\n", VIEW_ARG(buf_view(out)), want);
	assert_true(view_eq(buf_view(out), view_str(want)));
	buf_clear(out);
}

static enum client_action
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
static struct client *
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

static void
assert_failed(struct client *c, enum client_fault fault, enum client_state where)
{
	assert_int_equal(client_failure(c)->fault, fault);
	assert_int_equal(client_failure(c)->state, where);
	assert_int_equal(hear(c, ""), CLIENT_CLOSE);
	assert_int_equal(hear(c, "250 too late\r\n"), CLIENT_CLOSE);
	assert_int_equal(client_state(c), CL_CLOSED);
}

static void
send_body(struct client *c, const char *text)
{
	struct view v = view_str(text);

	assert_int_equal(client_body(c, v), v.n);
	client_body_end(c);
}

static void
test_pipelined_message(void **state)
{
	struct client *c = ready(ALL);
	const struct client_result *r;

	assert_int_equal(client_size_limit(c), 1000);
	assert_string_equal(client_greeting(c), "mx.example ESMTP");
	client_send(c, &message);
	assert_says(c, PIPELINED);
	assert_int_equal(hear(c, "250 2.1.0 ok\r\n250 2.1.5 ok\r\n550 5.1.1 no such user\r\n"), CLIENT_WANT_INPUT);
	assert_int_equal(hear(c, "452 4.5.3 too many\r\n354 go\r\n"), CLIENT_NEED_BODY);
	assert_int_equal(client_state(c), CL_BODY);
	send_body(c, ".a\r\n");
	assert_says(c, "..a\r\n.\r\n");
	assert_int_equal(hear(c, "250 2.0.0 queued as 17\r\n"), CLIENT_RESULT);
	r = client_result(c);
	assert_true(r->complete);
	assert_int_equal(r->decided_in, CL_DOT);
	assert_int_equal(r->nrcpt, 3);
	assert_true(r->rcpt[0].accepted);
	assert_int_equal(r->rcpt[0].code, 250);
	assert_string_equal(client_rcpt_text(c, 0), "queued as 17");
	assert_false(r->rcpt[1].accepted);
	assert_int_equal(r->rcpt[1].code, 550);
	assert_string_equal(r->rcpt[1].status, "5.1.1");
	assert_string_equal(client_rcpt_text(c, 1), "no such user");
	assert_int_equal(r->rcpt[2].code, 452);
	assert_string_equal(client_rcpt_text(c, 2), "too many");
	assert_int_equal(hear(c, ""), CLIENT_IDLE);

	/* the next one needs no RSET; and the body's last line end is added */
	client_send(c, &message);
	assert_says(c, PIPELINED);
	assert_int_equal(hear(c, "250 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n"), CLIENT_NEED_BODY);
	send_body(c, "a\n.\nb");
	assert_says(c, "a\r\n..\r\nb\r\n.\r\n");
	assert_int_equal(hear(c, "451 4.3.0 later\r\n"), CLIENT_RESULT);
	assert_int_equal(client_result(c)->rcpt[2].code, 451);
	assert_int_equal(hear(c, ""), CLIENT_IDLE);
	client_quit(c);
	assert_says(c, "QUIT\r\n");
	assert_int_equal(hear(c, ""), CLIENT_WANT_INPUT);
	assert_int_equal(hear(c, "221 bye\r\n"), CLIENT_CLOSE);
	client_free(c);
}

static void
test_one_by_one(void **state)
{
	struct client *c = ready(NOTHING);
	struct client_message m = message;

	m.eight_bit = true;
	client_send(c, &m);
	assert_says(c, "MAIL FROM:<s@h.example>\r\n");
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "RCPT TO:<a@x.example>\r\n");
	assert_int_equal(hear(c, "550 no\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "RCPT TO:<b@x.example>\r\n");
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "RCPT TO:<c@x.example>\r\n");
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "DATA\r\n");
	assert_int_equal(hear(c, "354 go\r\n"), CLIENT_NEED_BODY);
	client_body_end(c);
	assert_says(c, ".\r\n");
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_RESULT);
	assert_int_equal(client_result(c)->rcpt[0].code, 550);
	assert_string_equal(client_result(c)->rcpt[0].status, "5.0.0");
	assert_int_equal(client_result(c)->rcpt[2].code, 250);
	client_free(c);
}

static void
test_eight_bit_is_declared_where_offered(void **state)
{
	struct client *c = ready("250-mx\r\n250 8BITMIME\r\n");
	struct client_message m = message;

	m.eight_bit = true;
	m.from = VIEW("");
	client_send(c, &m);
	assert_says(c, "MAIL FROM:<> BODY=8BITMIME\r\n");
	client_free(c);
}

/* All recipients refused: a pipelined DATA may be refused too ... */
static void
test_all_refused_and_data_refused(void **state)
{
	struct client *c = ready(ALL);

	client_send(c, &message);
	assert_says(c, PIPELINED);
	assert_int_equal(hear(c, "250 ok\r\n550 a\r\n450 b\r\n551 c\r\n"), CLIENT_WANT_INPUT);
	assert_int_equal(hear(c, "554 no valid recipients\r\n"), CLIENT_RESULT);
	assert_int_equal(client_result(c)->decided_in, CL_RCPT);
	assert_int_equal(client_result(c)->rcpt[1].code, 450);
	assert_string_equal(client_rcpt_text(c, 0), "a");
	/* MAIL was taken and no dot ended it */
	assert_says(c, "RSET\r\n");
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_IDLE);
	client_free(c);
}

/* ... or taken: then a lone dot goes out, and its reply means nothing. */
static void
test_all_refused_and_data_taken(void **state)
{
	struct client *c = ready(ALL);

	client_send(c, &message);
	assert_says(c, PIPELINED);
	assert_int_equal(hear(c, "250 ok\r\n550 a\r\n550 b\r\n550 c\r\n354 go\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, ".\r\n");
	assert_int_equal(hear(c, "250 2.0.0 queued\r\n"), CLIENT_RESULT);
	assert_true(client_result(c)->complete);
	assert_int_equal(client_result(c)->decided_in, CL_RCPT);
	assert_int_equal(client_result(c)->rcpt[0].code, 550);
	assert_int_equal(client_result(c)->rcpt[2].code, 550);
	assert_false(client_result(c)->dot_sent);
	assert_says(c, "");
	assert_int_equal(hear(c, ""), CLIENT_IDLE);
	client_free(c);
}

static void
test_mail_refused_reads_the_other_answers(void **state)
{
	struct client *c = ready(ALL);

	client_send(c, &message);
	assert_says(c, PIPELINED);
	assert_int_equal(hear(c, "550 5.7.1 not you\r\n503 a\r\n503 b\r\n250 c\r\n"), CLIENT_WANT_INPUT);
	assert_int_equal(client_state(c), CL_DATA);
	assert_int_equal(hear(c, "503 d\r\n"), CLIENT_RESULT);
	assert_int_equal(client_result(c)->decided_in, CL_MAIL);
	assert_int_equal(client_result(c)->rcpt[2].code, 550);
	assert_string_equal(client_result(c)->rcpt[2].status, "5.7.1");
	assert_string_equal(client_rcpt_text(c, 2), "not you");
	assert_int_equal(hear(c, ""), CLIENT_IDLE);
	client_free(c);
}

static void
test_data_refused(void **state)
{
	struct client *c = ready(ALL);

	client_send(c, &message);
	assert_says(c, PIPELINED);
	assert_int_equal(hear(c, "250 ok\r\n250 a\r\n550 b\r\n250 c\r\n451 4.3.0 not now\r\n"), CLIENT_RESULT);
	assert_int_equal(client_result(c)->decided_in, CL_DATA);
	assert_int_equal(client_result(c)->rcpt[0].code, 451);
	assert_int_equal(client_result(c)->rcpt[1].code, 550);
	assert_says(c, "RSET\r\n");
	client_free(c);
}

static void
test_size_is_checked_here(void **state)
{
	struct client *c = ready(ALL);
	struct client_message m = message;

	m.size = 1001;
	client_send(c, &m);
	assert_says(c, "");
	assert_int_equal(hear(c, ""), CLIENT_RESULT);
	assert_true(client_result(c)->complete);
	assert_int_equal(client_result(c)->decided_in, CL_MAIL);
	assert_int_equal(client_result(c)->rcpt[0].code, 552);
	assert_string_equal(client_result(c)->rcpt[0].status, "5.3.4");
	assert_int_equal(hear(c, ""), CLIENT_IDLE);
	m.size = 1000;
	client_send(c, &m);
	assert_int_equal(client_state(c), CL_MAIL);
	client_free(c);
}

/* An address that would be another command is never said. */
static void
test_addresses_cant_inject(void **state)
{
	static const struct client_rcpt odd[] = {
		{ VIEW("a@b>\r\nRSET") }, { VIEW("ok@b") }, { VIEW("\xc3\xbc@b") }, { VIEW("") },
	};
	struct client *c = ready(NOTHING);
	struct client_message m = { .from = VIEW("a\nb"), .rcpt = odd, .nrcpt = 4 };

	client_send(c, &m);
	assert_says(c, "");
	assert_int_equal(hear(c, ""), CLIENT_RESULT);
	assert_int_equal(client_result(c)->rcpt[1].code, 553);
	assert_int_equal(hear(c, ""), CLIENT_IDLE);
	m.from = VIEW("");
	client_send(c, &m);
	assert_says(c, "MAIL FROM:<>\r\n");
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "RCPT TO:<ok@b>\r\n");
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "DATA\r\n");
	assert_int_equal(hear(c, "550 no\r\n"), CLIENT_RESULT);
	assert_int_equal(client_result(c)->rcpt[0].code, 553);
	assert_int_equal(client_result(c)->rcpt[1].code, 550);
	assert_int_equal(client_result(c)->rcpt[3].code, 553);
	client_free(c);
}

/* More recipients than the output holds: the rest follows as replies come. */
static void
test_many_recipients_in_a_bounded_output(void **state)
{
	static struct client_rcpt rcpt[20000];
	struct client *c = ready(ALL);
	struct client_message m = { .from = VIEW("s@x"), .rcpt = rcpt, .nrcpt = lengthof(rcpt) };
	size_t heard = 0;
	enum client_action action = CLIENT_WANT_INPUT;

	for (size_t i = 0; i < lengthof(rcpt); i++)
		rcpt[i].address = VIEW("somebody.with.a.long.name@some.where.example");
	client_send(c, &m);
	while (action == CLIENT_WANT_INPUT) {
		struct buf *out = client_output(c);

		assert_true(buf_len(out) <= 128 << 10);
		buf_clear(out);
		if (heard == lengthof(rcpt) + 1)
			action = hear(c, "354 go\r\n");
		else
			action = hear(c, heard++ % 2 == 0 ? "250 ok\r\n" : "550 5.1.1 nobody of that name is here\r\n");
	}
	assert_int_equal(action, CLIENT_NEED_BODY);
	client_body_end(c);
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_RESULT);
	assert_int_equal(client_result(c)->rcpt[1].code, 250);
	assert_int_equal(client_result(c)->rcpt[lengthof(rcpt) - 2].code, 550);
	/* the first texts are kept whole, the others have their status */
	assert_string_equal(client_rcpt_text(c, 0), "nobody of that name is here");
	assert_string_equal(client_rcpt_text(c, lengthof(rcpt) - 2), "5.1.1");
	client_free(c);
}

static void
test_body_takes_what_fits(void **state)
{
	static uint8_t text[1 << 20];
	struct client *c = ready(ALL);
	size_t taken;

	client_send(c, &message);
	assert_int_equal(hear(c, "250 a\r\n250 a\r\n250 a\r\n250 a\r\n354 a\r\n"), CLIENT_NEED_BODY);
	buf_clear(client_output(c));
	memset(text, 'x', sizeof(text));
	taken = client_body(c, view_of(text, sizeof(text)));
	assert_true(taken > 100000 && taken <= 128 << 10);
	assert_int_equal(client_body(c, view_of(text, 10)), 0);
	client_body_end(c);
	assert_true(view_ends(buf_view(client_output(c)), VIEW("x\r\n.\r\n")));
	client_free(c);
}

/* --- TLS and login ---------------------------------------------------------- */

static struct client *
up_to_starttls(const struct client_params *p)
{
	struct client *c = client_new(p);

	assert_int_equal(hear(c, "220 mx\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "EHLO h.example\r\n");
	assert_int_equal(hear(c, "250-mx\r\n250-AUTH PLAIN\r\n250-SIZE 9\r\n250 STARTTLS\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "STARTTLS\r\n");
	return c;
}

/* In TLS, EHLO said again. */
static struct client *
in_tls(void)
{
	struct client *c = up_to_starttls(&starttls_login);

	assert_int_equal(hear(c, "220 go\r\n"), CLIENT_NEED_TLS);
	client_tls_ready(c);
	assert_int_equal(client_caps(c), 0);	/* RFC 3207 4.2: what was said in clear is forgotten */
	assert_says(c, "EHLO h.example\r\n");
	assert_int_equal(client_state(c), CL_EHLO_TLS);
	return c;
}

static void
test_plain_login_in_tls(void **state)
{
	struct client *c = in_tls();

	assert_int_equal(hear(c, "250-mx\r\n250 AUTH LOGIN PLAIN\r\n"), CLIENT_NEED_LOGIN);
	assert_int_equal(hear(c, ""), CLIENT_NEED_LOGIN);
	assert_says(c, "");
	assert_false(client_output_is_secret(c));
	client_login(c, VIEW("user"), VIEW("secret"));
	assert_true(client_output_is_secret(c));
	assert_says(c, "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n");
	assert_int_equal(hear(c, ""), CLIENT_WANT_INPUT);
	assert_false(client_output_is_secret(c));
	assert_int_equal(hear(c, "235 2.7.0 welcome\r\n"), CLIENT_IDLE);
	client_send(c, &message);
	assert_false(client_output_is_secret(c));
	client_free(c);
}

static void
test_plain_asked_twice(void **state)
{
	struct client *c = in_tls();

	assert_int_equal(hear(c, "250-mx\r\n250 AUTH PLAIN\r\n"), CLIENT_NEED_LOGIN);
	client_login(c, VIEW("user"), VIEW("secret"));
	assert_says(c, "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n");
	assert_int_equal(hear(c, "334 \r\n"), CLIENT_NEED_LOGIN);
	client_login(c, VIEW("user"), VIEW("secret"));
	assert_true(client_output_is_secret(c));
	assert_says(c, "AHVzZXIAc2VjcmV0\r\n");
	assert_int_equal(hear(c, "334 \r\n"), CLIENT_FAILED);
	assert_failed(c, FAULT_UNEXPECTED, CL_AUTH_NEXT);
	client_free(c);
}

static void
test_login_login(void **state)
{
	struct client *c = in_tls();

	assert_int_equal(hear(c, "250-mx\r\n250 AUTH=LOGIN CRAM-MD5\r\n"), CLIENT_NEED_LOGIN);
	client_login(c, VIEW("user"), VIEW("secret"));
	assert_says(c, "AUTH LOGIN\r\n");
	assert_int_equal(hear(c, "334 VXNlcm5hbWU6\r\n"), CLIENT_NEED_LOGIN);
	client_login(c, VIEW("user"), VIEW("secret"));
	assert_says(c, "dXNlcg==\r\n");
	assert_int_equal(hear(c, "334 UGFzc3dvcmQ6\r\n"), CLIENT_NEED_LOGIN);
	client_login(c, VIEW("user"), VIEW("secret"));
	assert_true(client_output_is_secret(c));
	assert_says(c, "c2VjcmV0\r\n");
	assert_int_equal(hear(c, "535 5.7.8 no\r\n"), CLIENT_FAILED);
	assert_int_equal(client_failure(c)->reply.code, 535);
	assert_string_equal(client_failure(c)->reply.status, "5.7.8");
	assert_says(c, "QUIT\r\n");
	assert_failed(c, FAULT_AUTH, CL_AUTH_NEXT);
	client_free(c);
}

/* Nothing is sent, TLS or not, when the words would say something else. */
static void
test_login_words_with_nul_are_refused(void **state)
{
	struct client *c = in_tls();

	assert_int_equal(hear(c, "250-mx\r\n250 AUTH PLAIN\r\n"), CLIENT_NEED_LOGIN);
	client_login(c, VIEW("us\0er"), VIEW("secret"));
	assert_says(c, "QUIT\r\n");
	assert_int_equal(hear(c, ""), CLIENT_FAILED);
	assert_failed(c, FAULT_NO_AUTH, CL_AUTH);
	client_free(c);
}

static void
test_no_login_in_clear(void **state)
{
	struct client_params p = { .ehlo_name = "h.example", .login = true };
	struct client *c = client_new(&p);

	(void)hear(c, "220 mx\r\n");
	assert_int_equal(hear(c, "250-mx\r\n250 AUTH PLAIN\r\n"), CLIENT_FAILED);
	assert_failed(c, FAULT_NO_AUTH, CL_EHLO);
	client_free(c);
}

static void
test_unknown_mechanisms(void **state)
{
	struct client *c = in_tls();

	assert_int_equal(hear(c, "250-mx\r\n250 AUTH GSSAPI XOAUTH2\r\n"), CLIENT_FAILED);
	assert_true((client_caps(c) & CAP_AUTH_OTHER) != 0);
	assert_failed(c, FAULT_NO_AUTH, CL_EHLO_TLS);
	client_free(c);
}

static void
test_bytes_behind_starttls_end_the_session(void **state)
{
	static const char *const injected[] = {
		"220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n", "220 go\r\nx", "220 go\r\n\x16\x03\x01",
	};

	for (size_t i = 0; i < lengthof(injected); i++) {
		struct client *c = up_to_starttls(&starttls_login);

		assert_int_equal(hear(c, injected[i]), CLIENT_FAILED);
		assert_failed(c, FAULT_INJECTED, CL_TLS);
		assert_says(c, "");
		client_free(c);

		/* the same when they come a moment later */
		c = up_to_starttls(&starttls_login);
		assert_int_equal(hear(c, "220 go\r\n"), CLIENT_NEED_TLS);
		assert_int_equal(hear(c, injected[i] + 8), CLIENT_FAILED);
		assert_failed(c, FAULT_INJECTED, CL_TLS);
		client_free(c);
	}
}

static void
test_starttls_missing_or_refused(void **state)
{
	struct client *c = client_new(&starttls_login);

	(void)hear(c, "220 mx\r\n");
	(void)client_output(c);
	buf_clear(client_output(c));
	assert_int_equal(hear(c, "250-mx\r\n250-XXXXXXXA\r\n250 AUTH PLAIN\r\n"), CLIENT_FAILED);
	assert_true((client_caps(c) & CAP_BLANKED) != 0);
	assert_says(c, "QUIT\r\n");	/* and no AUTH, ever */
	assert_failed(c, FAULT_NO_STARTTLS, CL_EHLO);
	client_free(c);

	c = up_to_starttls(&starttls_login);
	assert_int_equal(hear(c, "454 4.7.0 no\r\n"), CLIENT_FAILED);
	assert_int_equal(client_failure(c)->reply.code, 454);
	assert_says(c, "QUIT\r\n");
	assert_failed(c, FAULT_STARTTLS_REFUSED, CL_STARTTLS);
	client_free(c);
}

static void
test_implicit_tls_comes_first(void **state)
{
	struct client *c = client_new(&implicit_login);

	assert_int_equal(hear(c, ""), CLIENT_NEED_TLS);
	assert_says(c, "");
	client_tls_ready(c);
	assert_int_equal(hear(c, "220 mx\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "EHLO h.example\r\n");
	assert_int_equal(hear(c, "250-mx\r\n250 AUTH PLAIN\r\n"), CLIENT_NEED_LOGIN);
	client_free(c);

	c = client_new(&implicit_login);
	assert_int_equal(hear(c, "220 in clear\r\n"), CLIENT_FAILED);
	assert_failed(c, FAULT_INJECTED, CL_TLS);
	client_free(c);
}

static void
test_probe_leaves_when_ready(void **state)
{
	struct client_params p = starttls_login;
	struct client *c;

	p.probe = true;
	c = up_to_starttls(&p);
	assert_int_equal(client_deadline_ms(c), 10000);
	(void)hear(c, "220 go\r\n");
	client_tls_ready(c);
	buf_clear(client_output(c));
	assert_int_equal(hear(c, "250-mx\r\n250 AUTH PLAIN\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "QUIT\r\n");
	assert_int_equal(hear(c, "221 bye\r\n"), CLIENT_CLOSE);
	client_free(c);

	/* A port where no session could log in does not work. */
	c = up_to_starttls(&p);
	(void)hear(c, "220 go\r\n");
	client_tls_ready(c);
	assert_int_equal(hear(c, "250 mx\r\n"), CLIENT_FAILED);
	assert_int_equal(client_failure(c)->fault, FAULT_NO_AUTH);
	client_free(c);

	p.probe_login = true;
	c = up_to_starttls(&p);
	(void)hear(c, "220 go\r\n");
	client_tls_ready(c);
	buf_clear(client_output(c));
	assert_int_equal(hear(c, "250-mx\r\n250 AUTH PLAIN\r\n"), CLIENT_NEED_LOGIN);
	client_login(c, VIEW("u"), VIEW("p"));
	buf_clear(client_output(c));
	assert_int_equal(hear(c, "235 ok\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "QUIT\r\n");
	client_free(c);
}

/* --- what goes wrong ---------------------------------------------------------- */

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
	struct client_params p = { .ehlo_name = "h", .login = true, .tls = CLIENT_TLS_IMPLICIT };
	struct client *c;

	if (want == CL_STARTTLS || want == CL_TLS || want == CL_EHLO_TLS)
		p.tls = CLIENT_TLS_STARTTLS;
	if (want == CL_HELO)
		p.login = false;
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
		client_login(c, VIEW("u"), VIEW("p"));
		if (want == CL_AUTH)
			return c;
		(void)hear(c, "334 \r\n");
		client_login(c, VIEW("u"), VIEW("p"));
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
	assert_int_equal(k.flags, CAP_PIPELINING | CAP_SIZE | CAP_DSN | CAP_AUTH_OTHER);
	assert_int_equal(k.size, 0);
	caps_add_line(&k, VIEW("AUTH=login"));
	assert_int_equal(k.flags, CAP_PIPELINING | CAP_SIZE | CAP_DSN | CAP_AUTH_LOGIN);
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
		cmocka_unit_test(test_pipelined_message),
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_eight_bit_is_declared_where_offered),
		cmocka_unit_test(test_all_refused_and_data_refused),
		cmocka_unit_test(test_all_refused_and_data_taken),
		cmocka_unit_test(test_mail_refused_reads_the_other_answers),
		cmocka_unit_test(test_data_refused),
		cmocka_unit_test(test_size_is_checked_here),
		cmocka_unit_test(test_addresses_cant_inject),
		cmocka_unit_test(test_many_recipients_in_a_bounded_output),
		cmocka_unit_test(test_body_takes_what_fits),
		cmocka_unit_test(test_plain_login_in_tls),
		cmocka_unit_test(test_plain_asked_twice),
		cmocka_unit_test(test_login_login),
		cmocka_unit_test(test_login_words_with_nul_are_refused),
		cmocka_unit_test(test_no_login_in_clear),
		cmocka_unit_test(test_unknown_mechanisms),
		cmocka_unit_test(test_bytes_behind_starttls_end_the_session),
		cmocka_unit_test(test_starttls_missing_or_refused),
		cmocka_unit_test(test_implicit_tls_comes_first),
		cmocka_unit_test(test_probe_leaves_when_ready),
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

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
