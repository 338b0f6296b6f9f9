/* SPDX-License-Identifier: BSD-2-Clause */
/* The client: transactions. */
#include "client_help.h"

#include "smtp/dsn.h"

#include "base/banned.h"

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

/* RFC 3461: passed on where DSN is offered, and nowhere else. */
static void
test_dsn_is_passed_on_where_offered(void **state)
{
	static const struct client_rcpt rcpt[] = {
		{ VIEW("a@x.example"), VIEW("NEVER"), VIEW("rfc822;a+40x") }, { VIEW("b@x.example") },
		{ VIEW("c@x.example"), VIEW("SUCCESS,DELAY"), VIEW("") },
	};
	struct client_message m = { .from = VIEW("s@h.example"), .rcpt = rcpt, .nrcpt = 3, .ret = VIEW("HDRS"),
	    .envid = VIEW("QQ+3D") };
	struct client *c = ready("250-mx\r\n250-DSN\r\n250 PIPELINING\r\n");

	client_send(c, &m);
	assert_says(c, "MAIL FROM:<s@h.example> RET=HDRS ENVID=QQ+3D\r\nRCPT TO:<a@x.example> NOTIFY=NEVER ORCPT=rfc822;a+40x\r\n"
	    "RCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example> NOTIFY=SUCCESS,DELAY\r\nDATA\r\n");
	client_free(c);
	/* what would end the command is not said, wherever it comes from */
	c = ready("250-mx\r\n250-DSN\r\n250 PIPELINING\r\n");
	m.envid = VIEW("a\r\nRSET");
	m.nrcpt = 1;
	client_send(c, &m);
	assert_says(c, "MAIL FROM:<s@h.example> RET=HDRS\r\nRCPT TO:<a@x.example> NOTIFY=NEVER ORCPT=rfc822;a+40x\r\nDATA\r\n");
	client_free(c);
	c = ready("250-mx\r\n250 PIPELINING\r\n");
	m.envid = VIEW("QQ");
	m.nrcpt = 3;
	client_send(c, &m);
	assert_says(c, "MAIL FROM:<s@h.example>\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<b@x.example>\r\nRCPT TO:<c@x.example>\r\nDATA\r\n");
	client_free(c);
}

/* RFC 6531 3.1, 3.2: addresses and header beyond ASCII only where SMTPUTF8 is offered. */
static void
test_smtputf8(void **state)
{
	static const struct client_rcpt mixed[] = { { VIEW("\xc3\xbc@x.example") }, { VIEW("b@x.example") } };
	char longest[DSN_ORCPT_MAX];
	const struct client_rcpt named[] = {
		{ .address = VIEW("a@x.example"), .orcpt = VIEW("utf-8;\xc3\xbc@\xf0\x9f\x93\xae") },
		{ .address = VIEW("b@x.example"), .notify = VIEW("NEVER"), .orcpt = view_of(longest, sizeof(longest)) },
	};
	struct client_message m = { .from = VIEW("s@h.example"), .rcpt = mixed, .nrcpt = 2, .utf8 = true };
	struct client *c = ready("250-mx\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n");

	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i < 6 ? "utf-8;"[i] : i % 2 == 0 ? '\xc3' : '\xbc';
	client_send(c, &m);
	assert_says(c, "MAIL FROM:<s@h.example> SMTPUTF8\r\nRCPT TO:<\xc3\xbc@x.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n");
	client_free(c);

	/* DSN without SMTPUTF8 (RFC 6533 3); what is too long then is left out */
	c = ready("250-mx\r\n250-DSN\r\n250 PIPELINING\r\n");
	m.rcpt = named;
	client_send(c, &m);
	assert_says(c, "MAIL FROM:<s@h.example>\r\nRCPT TO:<a@x.example> ORCPT=utf-8;\\x{FC}@\\x{1F4EE}\r\n"
	    "RCPT TO:<b@x.example> NOTIFY=NEVER\r\nDATA\r\n");
	client_free(c);
	m.rcpt = mixed;

	/* not offered: the one recipient fails, the other gets it as any message */
	c = ready("250-mx\r\n250 PIPELINING\r\n");
	client_send(c, &m);
	assert_says(c, "MAIL FROM:<s@h.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n");
	assert_int_equal(hear(c, "250 a\r\n250 b\r\n354 c\r\n"), CLIENT_NEED_BODY);
	send_body(c, "");
	assert_says(c, ".\r\n");
	assert_int_equal(hear(c, "250 ok\r\n"), CLIENT_RESULT);
	assert_int_equal(client_result(c)->rcpt[0].code, 553);
	assert_string_equal(client_result(c)->rcpt[0].status, "5.6.7");
	assert_int_equal(client_result(c)->rcpt[1].code, 250);
	assert_int_equal(hear(c, ""), CLIENT_IDLE);

	/* sender, header: the whole message */
	m.from = VIEW("\xc3\xa9@h.example");
	client_send(c, &m);
	assert_says(c, "");
	assert_int_equal(hear(c, ""), CLIENT_RESULT);
	assert_int_equal(client_result(c)->rcpt[1].code, 553);
	assert_string_equal(client_result(c)->rcpt[1].status, "5.6.7");
	assert_int_equal(hear(c, ""), CLIENT_IDLE);
	m.from = VIEW("");
	m.needs_utf8 = true;
	client_send(c, &m);
	assert_says(c, "");
	assert_int_equal(hear(c, ""), CLIENT_RESULT);
	assert_int_equal(client_result(c)->rcpt[1].code, 550);
	assert_string_equal(client_result(c)->rcpt[1].status, "5.6.7");
	client_free(c);

	/* offered, but the client never said it: such an address is none */
	c = ready("250-mx\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n");
	m = (struct client_message){ .from = VIEW("s@h.example"), .rcpt = mixed, .nrcpt = 2 };
	client_send(c, &m);
	assert_says(c, "MAIL FROM:<s@h.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n");
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipelined_message),
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_eight_bit_is_declared_where_offered),
		cmocka_unit_test(test_dsn_is_passed_on_where_offered),
		cmocka_unit_test(test_smtputf8),
		cmocka_unit_test(test_all_refused_and_data_refused),
		cmocka_unit_test(test_all_refused_and_data_taken),
		cmocka_unit_test(test_mail_refused_reads_the_other_answers),
		cmocka_unit_test(test_data_refused),
		cmocka_unit_test(test_size_is_checked_here),
		cmocka_unit_test(test_addresses_cant_inject),
		cmocka_unit_test(test_many_recipients_in_a_bounded_output),
		cmocka_unit_test(test_body_takes_what_fits),
	};

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
