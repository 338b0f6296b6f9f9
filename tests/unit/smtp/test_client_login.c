/* SPDX-License-Identifier: BSD-2-Clause */
/* The client: TLS, login and probes. */
#include "client_help.h"

#include "base/banned.h"

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
	login_as(c, VIEW("user"), VIEW("secret"));
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
	login_as(c, VIEW("user"), VIEW("secret"));
	assert_says(c, "AUTH PLAIN AHVzZXIAc2VjcmV0\r\n");
	assert_int_equal(hear(c, "334 \r\n"), CLIENT_NEED_LOGIN);
	login_as(c, VIEW("user"), VIEW("secret"));
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

	assert_int_equal(hear(c, "250-mx\r\n250 AUTH=LOGIN\r\n"), CLIENT_NEED_LOGIN);
	login_as(c, VIEW("user"), VIEW("secret"));
	assert_says(c, "AUTH LOGIN\r\n");
	assert_int_equal(hear(c, "334 VXNlcm5hbWU6\r\n"), CLIENT_NEED_LOGIN);
	login_as(c, VIEW("user"), VIEW("secret"));
	assert_says(c, "dXNlcg==\r\n");
	assert_int_equal(hear(c, "334 UGFzc3dvcmQ6\r\n"), CLIENT_NEED_LOGIN);
	login_as(c, VIEW("user"), VIEW("secret"));
	assert_true(client_output_is_secret(c));
	assert_says(c, "c2VjcmV0\r\n");
	assert_int_equal(hear(c, "535 5.7.8 no\r\n"), CLIENT_FAILED);
	assert_int_equal(client_failure(c)->reply.code, 535);
	assert_string_equal(client_failure(c)->reply.status, "5.7.8");
	assert_says(c, "QUIT\r\n");
	assert_failed(c, FAULT_AUTH, CL_AUTH_NEXT);
	client_free(c);
}

#define QUOTED "AUTH PLAIN AHdlYjEAUzNjcmV0UGFzc3cwcmQ= UzNjcmV0UGFzc3cwcmQ web1/S3cretPassw0rd"
#define UNQUOTED "AUTH PLAIN *** *** web1/***"

/* AUTH PLAIN was said. */
static struct client *
password_said(void)
{
	struct client *c = in_tls();

	assert_int_equal(hear(c, "250-mx\r\n250 AUTH PLAIN\r\n"), CLIENT_NEED_LOGIN);
	login_as(c, VIEW("web1"), VIEW("S3cretPassw0rd"));
	assert_says(c, "AUTH PLAIN AHdlYjEAUzNjcmV0UGFzc3cwcmQ=\r\n");
	return c;
}

/* A refusal in the login, one that is no reply, and a prompt that makes no sense. */
static void
test_what_is_quoted_of_a_login_is_not_shown(void **state)
{
	static const struct {
		const char	*line, *text, *detail;
	} cases[] = {
		{ "535 5.7.8 bad: " QUOTED "\r\n", "bad: " UNQUOTED, "" },
		{ "421-closing: AHdlYjEAUzNjcmV0U\r\n421 GFzc3cwcmQ=\r\n", "closing: *** ***", "" },
		{ QUOTED "\r\n", NULL, "not a reply: \"" UNQUOTED "?\"" },
		{ "AHdlYjEA" "UzNjcmV0UGFzc3cwcmQ=" "AHdlYjEA" "UzNjcmV0UGFzc3cwcmQ=" "S3cretPassw0rd\r\n", NULL,
		    "not a reply: \"***?\"" },
	};
	struct client *c;

	for (size_t i = 0; i < lengthof(cases); i++) {
		c = password_said();
		assert_int_equal(hear(c, cases[i].line), CLIENT_FAILED);
		if (cases[i].text != NULL)
			assert_string_equal(client_failure(c)->reply.text, cases[i].text);
		else
			assert_int_equal(client_failure(c)->reply.code, 0);
		assert_string_equal(client_failure(c)->detail, cases[i].detail);
		client_free(c);
	}
	c = password_said();
	assert_int_equal(hear(c, "334 \r\n"), CLIENT_NEED_LOGIN);
	login_as(c, VIEW("web1"), VIEW("S3cretPassw0rd"));
	assert_int_equal(hear(c, "334 " QUOTED "\r\n"), CLIENT_FAILED);
	assert_string_equal(client_failure(c)->reply.text, UNQUOTED);
	client_free(c);
}

/* By then it is long ago, but some remember. */
static void
test_what_is_quoted_later_is_not_shown(void **state)
{
	struct client *c = password_said();

	assert_int_equal(hear(c, "235 welcome\r\n"), CLIENT_IDLE);
	client_send(c, &message);
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_WANT_INPUT);
	assert_int_equal(hear(c, "550 5.1.1 a " QUOTED "\r\n"), CLIENT_WANT_INPUT);
	assert_int_equal(hear(c, "550 5.1.1 b\r\n"), CLIENT_WANT_INPUT);
	assert_int_equal(hear(c, "550 5.1.1 c " QUOTED "\r\n"), CLIENT_RESULT);
	assert_string_equal(client_rcpt_text(c, 0), "a " UNQUOTED);
	assert_string_equal(client_result(c)->reply.text, "c " UNQUOTED);
	client_free(c);
}

/* Nothing is sent, TLS or not, when the words would say something else. */
static void
test_login_words_with_nul_are_refused(void **state)
{
	struct client *c = in_tls();

	assert_int_equal(hear(c, "250-mx\r\n250 AUTH PLAIN\r\n"), CLIENT_NEED_LOGIN);
	login_as(c, VIEW("us\0er"), VIEW("secret"));
	assert_says(c, "QUIT\r\n");
	assert_int_equal(hear(c, ""), CLIENT_FAILED);
	assert_failed(c, FAULT_NO_AUTH, CL_AUTH);
	client_free(c);
}

static void
test_no_login_in_clear(void **state)
{
	struct client_params p = { .ehlo_name = "h.example", .mechanisms = MECHANISMS_PASSWORD };
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
	assert_string_equal(client_failure(c)->detail, "no login method that may be used is offered, but GSSAPI XOAUTH2");
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
	assert_failed(c, FAULT_STARTTLS_BLANKED, CL_EHLO);
	client_free(c);

	c = client_new(&starttls_login);
	(void)hear(c, "220 mx\r\n");
	(void)client_output(c);
	buf_clear(client_output(c));
	assert_int_equal(hear(c, "250-mx\r\n250 AUTH PLAIN\r\n"), CLIENT_FAILED);
	assert_says(c, "QUIT\r\n");
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
	login_as(c, VIEW("u"), VIEW("p"));
	buf_clear(client_output(c));
	assert_int_equal(hear(c, "235 ok\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "QUIT\r\n");
	client_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_login_in_tls),
		cmocka_unit_test(test_plain_asked_twice),
		cmocka_unit_test(test_login_login),
		cmocka_unit_test(test_what_is_quoted_of_a_login_is_not_shown),
		cmocka_unit_test(test_what_is_quoted_later_is_not_shown),
		cmocka_unit_test(test_login_words_with_nul_are_refused),
		cmocka_unit_test(test_no_login_in_clear),
		cmocka_unit_test(test_unknown_mechanisms),
		cmocka_unit_test(test_bytes_behind_starttls_end_the_session),
		cmocka_unit_test(test_starttls_missing_or_refused),
		cmocka_unit_test(test_implicit_tls_comes_first),
		cmocka_unit_test(test_probe_leaves_when_ready),
	};

	return cmocka_run_group_tests_name("client login", tests, NULL, NULL);
}
