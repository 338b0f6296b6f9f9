/* SPDX-License-Identifier: BSD-2-Clause */
/* What each fact means for the endpoint, the account and the message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "relay/outcome.h"

static void
reply_set(struct reply *r, int code, const char *status, const char *text)
{
	*r = (struct reply){ .code = code, .lines = 1 };
	snprintf(r->status, sizeof(r->status), "%s", status);
	snprintf(r->text, sizeof(r->text), "%s", text);
}

static void
ends_of_a_stream(void **state)
{
	static const struct {
		enum stream_end_kind	kind;
		enum client_state	at;
		enum health_class	want;
	} cases[] = {
		{ STREAM_REFUSED, CL_CLOSED, HEALTH_REFUSED },
		{ STREAM_RESET, CL_CLOSED, HEALTH_REFUSED },
		{ STREAM_EOF, CL_CLOSED, HEALTH_REFUSED },
		{ STREAM_TIMEOUT, CL_CLOSED, HEALTH_FILTERED },
		{ STREAM_FAILED, CL_CLOSED, HEALTH_FILTERED },
		{ STREAM_NO_ROUTE, CL_CLOSED, HEALTH_NO_ROUTE },
		{ STREAM_DENIED, CL_CLOSED, HEALTH_LOCAL_DENIED },
		{ STREAM_PROHIBITED, CL_CLOSED, HEALTH_PROHIBITED },
		{ STREAM_EOF, CL_GREETING, HEALTH_NO_BANNER },
		{ STREAM_RESET, CL_EHLO, HEALTH_NO_BANNER },
		{ STREAM_RESET, CL_TLS, HEALTH_TLS_HANDSHAKE },
		{ STREAM_EOF, CL_TLS, HEALTH_TLS_HANDSHAKE },
		{ STREAM_TLS_HANDSHAKE, CL_TLS, HEALTH_TLS_HANDSHAKE },
		{ STREAM_TLS_HANDSHAKE, CL_DOT, HEALTH_CUT_AFTER_DOT },
		{ STREAM_TLS_NOT_TLS, CL_TLS, HEALTH_WANTS_STARTTLS },
		{ STREAM_TLS_NAME, CL_TLS, HEALTH_TLS_NAME },
		{ STREAM_TLS_EXPIRED, CL_TLS, HEALTH_TLS_EXPIRED },
		{ STREAM_TLS_UNTRUSTED, CL_TLS, HEALTH_TLS_UNTRUSTED },
		{ STREAM_EOF, CL_AUTH, HEALTH_AUTH_UNANSWERED },
		{ STREAM_TLS_HANDSHAKE, CL_AUTH_NEXT, HEALTH_AUTH_UNANSWERED },
		{ STREAM_EOF, CL_MAIL, HEALTH_CUT_BEFORE_DOT },
		{ STREAM_RESET, CL_BODY, HEALTH_CUT_BEFORE_DOT },
		{ STREAM_EOF, CL_DOT, HEALTH_CUT_AFTER_DOT },
		{ STREAM_TIMEOUT, CL_DOT, HEALTH_CUT_AFTER_DOT },
		{ STREAM_EOF, CL_READY, HEALTH_OK },
		{ STREAM_EOF, CL_QUIT, HEALTH_OK },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct stream_end end = { .kind = cases[i].kind };

		assert_int_equal(outcome_of_end(&end, cases[i].at), cases[i].want);
	}
	for (int k = STREAM_EOF; k <= STREAM_FAILED; k++) {
		struct stream_end end = { .kind = (enum stream_end_kind)k };

		assert_int_equal(outcome_of_tls_question(&end), k == STREAM_TLS_NAME ||
		    k == STREAM_TLS_EXPIRED || k == STREAM_TLS_UNTRUSTED ? HEALTH_WANTS_IMPLICIT : HEALTH_NO_BANNER);
	}
	assert_int_equal(outcome_of_timeout(CL_CLOSED), HEALTH_FILTERED);
	assert_int_equal(outcome_of_timeout(CL_GREETING), HEALTH_NO_BANNER);
	assert_int_equal(outcome_of_timeout(CL_TLS), HEALTH_TLS_HANDSHAKE);
	assert_int_equal(outcome_of_timeout(CL_AUTH), HEALTH_AUTH_UNANSWERED);
	assert_int_equal(outcome_of_timeout(CL_RCPT), HEALTH_CUT_BEFORE_DOT);
	assert_int_equal(outcome_of_timeout(CL_DOT), HEALTH_CUT_AFTER_DOT);
	assert_int_equal(outcome_of_lookup(RESOLVE_NO_NAME), HEALTH_DNS_NXDOMAIN);
	assert_int_equal(outcome_of_lookup(RESOLVE_TEMPORARY), HEALTH_DNS_FAIL);
}

/* Wherever the peer goes away or falls silent. */
static void
each_step_that_is_lost(void **state)
{
	static const enum health_class lost[CL_COUNT] = {
		[CL_GREETING] = HEALTH_NO_BANNER, [CL_EHLO] = HEALTH_NO_BANNER, [CL_HELO] = HEALTH_NO_BANNER,
		[CL_STARTTLS] = HEALTH_NO_BANNER, [CL_TLS] = HEALTH_TLS_HANDSHAKE,
		[CL_EHLO_TLS] = HEALTH_NO_BANNER, [CL_AUTH] = HEALTH_AUTH_UNANSWERED,
		[CL_AUTH_NEXT] = HEALTH_AUTH_UNANSWERED, [CL_READY] = HEALTH_OK, [CL_MAIL] = HEALTH_CUT_BEFORE_DOT,
		[CL_RCPT] = HEALTH_CUT_BEFORE_DOT, [CL_DATA] = HEALTH_CUT_BEFORE_DOT,
		[CL_BODY] = HEALTH_CUT_BEFORE_DOT, [CL_DOT] = HEALTH_CUT_AFTER_DOT, [CL_RSET] = HEALTH_OK,
		[CL_QUIT] = HEALTH_OK,
	};

	for (int at = CL_GREETING; at < CL_CLOSED; at++) {
		const struct stream_end end = { .kind = STREAM_EOF };
		const struct client_failure f = { .fault = FAULT_NONE, .state = (enum client_state)at };

		assert_int_equal(outcome_of_timeout((enum client_state)at), lost[at]);
		assert_int_equal(outcome_of_end(&end, (enum client_state)at), lost[at]);
		assert_int_equal(outcome_of_failure(&f), lost[at]);
	}
}

static void
failures_of_a_session(void **state)
{
	static const struct {
		enum client_fault	fault;
		enum client_state	at;
		int			code;
		const char		*status, *text;
		enum health_class	want;
	} cases[] = {
		{ FAULT_NOT_SMTP, CL_GREETING, 0, "", "", HEALTH_NOT_SMTP },
		{ FAULT_TLS_BYTES, CL_GREETING, 0, "", "", HEALTH_WANTS_IMPLICIT },
		{ FAULT_GREETING, CL_GREETING, 421, "4.3.2", "come back later", HEALTH_BANNER_4XX },
		{ FAULT_GREETING, CL_GREETING, 421, "4.4.5", "Too many connections", HEALTH_QUOTA },
		{ FAULT_GREETING, CL_GREETING, 554, "", "go away", HEALTH_BANNER_5XX },
		{ FAULT_EHLO, CL_HELO, 550, "", "bad name", HEALTH_EHLO_REFUSED },
		{ FAULT_EHLO, CL_HELO, 451, "", "busy", HEALTH_BANNER_4XX },
		{ FAULT_NO_STARTTLS, CL_EHLO, 0, "", "", HEALTH_STARTTLS_MISSING },
		{ FAULT_STARTTLS_BLANKED, CL_EHLO, 0, "", "", HEALTH_STARTTLS_BLANKED },
		{ FAULT_STARTTLS_REFUSED, CL_STARTTLS, 454, "", "", HEALTH_STARTTLS_REFUSED },
		{ FAULT_INJECTED, CL_STARTTLS, 0, "", "", HEALTH_INJECTED },
		{ FAULT_NO_AUTH, CL_EHLO_TLS, 0, "", "", HEALTH_AUTH_MISSING },
		{ FAULT_AUTH, CL_AUTH, 535, "5.7.8", "bad credentials", HEALTH_AUTH_REFUSED },
		{ FAULT_AUTH, CL_AUTH_NEXT, 550, "5.7.30", "basic login is over", HEALTH_AUTH_REFUSED },
		{ FAULT_AUTH, CL_AUTH, 454, "4.7.0", "try later", HEALTH_AUTH_TEMP },
		{ FAULT_AUTH, CL_AUTH, 432, "4.7.12", "a password transition is needed", HEALTH_AUTH_TEMP },
		{ FAULT_AUTH, CL_AUTH, 500, "5.5.1", "what?", HEALTH_AUTH_NOT_TAKEN },
		{ FAULT_AUTH, CL_AUTH, 502, "5.5.1", "not implemented", HEALTH_AUTH_NOT_TAKEN },
		{ FAULT_AUTH, CL_AUTH, 503, "5.5.1", "not now", HEALTH_AUTH_NOT_TAKEN },
		{ FAULT_AUTH, CL_AUTH_NEXT, 504, "5.5.4", "unknown mechanism", HEALTH_AUTH_NOT_TAKEN },
		{ FAULT_UNPROVEN, CL_AUTH_NEXT, 0, "", "", HEALTH_AUTH_UNPROVEN },
		{ FAULT_AUTH, CL_AUTH, 501, "5.5.2", "cannot decode", HEALTH_AUTH_REFUSED },
		{ FAULT_AUTH, CL_AUTH, 530, "5.7.0", "log in first", HEALTH_AUTH_REFUSED },
		{ FAULT_AUTH, CL_AUTH, 534, "5.7.9", "mechanism is too weak", HEALTH_AUTH_REFUSED },
		{ FAULT_AUTH, CL_AUTH, 538, "5.7.11", "encryption required", HEALTH_AUTH_REFUSED },
		{ FAULT_AUTH, CL_AUTH, 554, "5.7.8", "failed", HEALTH_AUTH_REFUSED },
		{ FAULT_UNEXPECTED, CL_AUTH_NEXT, 334, "", "again", HEALTH_AUTH_UNANSWERED },
		{ FAULT_GARBLED, CL_AUTH, 0, "", "", HEALTH_AUTH_UNANSWERED },
		{ FAULT_NOT_SMTP, CL_AUTH, 0, "", "", HEALTH_AUTH_UNANSWERED },
		{ FAULT_NONE, CL_AUTH, 0, "", "", HEALTH_AUTH_UNANSWERED },
		{ FAULT_AUTH, CL_AUTH, 354, "", "what", HEALTH_AUTH_UNANSWERED },
		{ FAULT_AUTH, CL_AUTH, 454, "4.7.0", "daily quota exceeded", HEALTH_QUOTA_USED_UP },
		{ FAULT_GREETING, CL_GREETING, 421, "4.7.0", "daily quota exceeded", HEALTH_QUOTA_USED_UP },
		{ FAULT_SHUTTING_DOWN, CL_AUTH_NEXT, 421, "", "", HEALTH_AUTH_TEMP },
		{ FAULT_SHUTTING_DOWN, CL_QUIT, 421, "", "", HEALTH_OK },
		{ FAULT_SHUTTING_DOWN, CL_AUTH, 421, "", "", HEALTH_AUTH_TEMP },
		{ FAULT_SHUTTING_DOWN, CL_READY, 421, "4.4.2", "idle", HEALTH_OK },
		{ FAULT_SHUTTING_DOWN, CL_MAIL, 421, "4.3.2", "shutting down", HEALTH_BANNER_4XX },
		{ FAULT_SHUTTING_DOWN, CL_MAIL, 421, "4.7.0", "too many messages", HEALTH_QUOTA },
		{ FAULT_GARBLED, CL_EHLO, 0, "", "", HEALTH_GARBLED },
		{ FAULT_UNEXPECTED, CL_MAIL, 354, "", "", HEALTH_GARBLED },
		{ FAULT_NONE, CL_BODY, 0, "", "", HEALTH_CUT_BEFORE_DOT },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct client_failure f = { .fault = cases[i].fault, .state = cases[i].at };

		reply_set(&f.reply, cases[i].code, cases[i].status, cases[i].text);
		assert_int_equal(outcome_of_failure(&f), cases[i].want);
	}
}

static void
throttle_texts(void **state)
{
	assert_true(outcome_is_throttle(432, "4.3.2", "STOREDRV; please stop"));
	assert_true(outcome_is_throttle(454, "4.7.0", "Throttling failure: Maximum sending rate exceeded."));
	assert_true(outcome_is_throttle(454, "", "Throttling failure: Daily message quota exceeded."));
	assert_true(outcome_is_throttle(450, "4.2.1", "Mail send limit exceeded"));
	assert_true(outcome_is_throttle(421, "", "Too many concurrent connections"));
	assert_false(outcome_is_throttle(550, "5.7.1", "too many complaints"));
	assert_false(outcome_is_throttle(452, "4.2.2", "mailbox over quota"));
	assert_false(outcome_is_throttle(452, "4.5.3", "too many recipients"));
	assert_false(outcome_is_throttle(451, "4.3.0", "greylisted"));
}

/* One recipient whose fate is decided in this state by this reply. */
static enum fate
fate_of(enum client_state at, int code, const char *status, const char *text)
{
	struct client_rcpt_result rc = { .accepted = at == CL_DATA || at == CL_DOT, .code = code };
	struct client_result r = {
		.complete = true, .dot_sent = at == CL_DOT, .decided_in = at, .rcpt = &rc, .nrcpt = 1,
	};

	snprintf(rc.status, sizeof(rc.status), "%s", status);
	return outcome_of_recipient(&r, 0, text);
}

static void
only_5xx_in_the_transaction_is_final(void **state)
{
	static const enum client_state steps[] = { CL_MAIL, CL_RCPT, CL_DATA, CL_DOT };

	for (size_t i = 0; i < lengthof(steps); i++) {
		assert_int_equal(fate_of(steps[i], 550, "5.1.1", "no"), FATE_FAILED);
		assert_int_equal(fate_of(steps[i], 554, "", "no"), FATE_FAILED);
		assert_int_equal(fate_of(steps[i], 451, "4.3.0", "later"), FATE_DEFERRED);
		assert_int_equal(fate_of(steps[i], 421, "", "shutting down"), FATE_DEFERRED);
		assert_int_equal(fate_of(steps[i], 454, "", "Throttling"), FATE_WAIT);
		assert_int_equal(fate_of(steps[i], 550, "5.4.5", "Daily sending quota exceeded"), FATE_WAIT);
		/* Nonsense is no reason to bounce. */
		assert_int_equal(fate_of(steps[i], 354, "", "what"), FATE_DEFERRED);
	}
	assert_int_equal(fate_of(CL_DOT, 250, "2.0.0", "ok"), FATE_DELIVERED);
	assert_int_equal(fate_of(CL_DATA, 250, "2.0.0", "ok"), FATE_DEFERRED);
}

/* The operator's or the server's faults: at MAIL. Whoever took that means the message afterwards. */
static void
once_mail_is_accepted_5xx_judges(void **state)
{
	static const int codes[] = { 502, 503, 521, 530, 534, 535, 538 };
	static const enum client_state later[] = { CL_RCPT, CL_DATA, CL_DOT };

	for (size_t i = 0; i < lengthof(codes); i++) {
		assert_int_equal(fate_of(CL_MAIL, codes[i], "5.7.1", "no"), FATE_CUT);
		for (size_t k = 0; k < lengthof(later); k++) {
			struct client_result r = { .complete = true, .decided_in = later[k] };

			assert_int_equal(fate_of(later[k], codes[i], "5.7.1", "no"), FATE_FAILED);
			reply_set(&r.reply, codes[i], "5.7.1", "no");
			assert_int_equal(outcome_of_result(&r),
			    later[k] == CL_RCPT ? HEALTH_RCPT_REFUSED : HEALTH_CONTENT_REFUSED);
		}
	}
}

/* A mailbox has limits too, and says so in the words of an account's. */
static void
a_mailbox_is_not_the_account(void **state)
{
	static const struct {
		enum client_state	at;
		const char		*status, *text;
		enum health_class	want;
	} cases[] = {
		{ CL_RCPT, "4.2.1", "this has reached its daily limit", HEALTH_MSG_TEMP },
		{ CL_RCPT, "4.2.1", "over its rate limit", HEALTH_MSG_TEMP },
		{ CL_RCPT, "", "this mailbox has reached its daily limit", HEALTH_MSG_TEMP },
		{ CL_RCPT, "", "the recipient is over the quota of today", HEALTH_MSG_TEMP },
		{ CL_RCPT, "", "<mailbox@example.net>: daily limit reached", HEALTH_QUOTA_USED_UP },
		{ CL_RCPT, "4.7.1", "you have reached your daily limit", HEALTH_QUOTA_USED_UP },
		{ CL_MAIL, "4.2.1", "your mailbox has reached its daily limit", HEALTH_QUOTA_USED_UP },
		{ CL_MAIL, "4.2.1", "over the rate limit", HEALTH_QUOTA },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct client_result r = { .complete = true, .decided_in = cases[i].at };
		struct client_failure f = { .fault = FAULT_SHUTTING_DOWN, .state = cases[i].at };
		bool about = cases[i].want == HEALTH_MSG_TEMP;

		reply_set(&r.reply, 452, cases[i].status, cases[i].text);
		assert_int_equal(outcome_of_result(&r), cases[i].want);
		assert_int_equal(fate_of(cases[i].at, 452, cases[i].status, cases[i].text),
		    about ? FATE_DEFERRED : FATE_WAIT);
		reply_set(&f.reply, 421, cases[i].status, cases[i].text);
		assert_int_equal(outcome_of_failure(&f), about ? HEALTH_BANNER_4XX : cases[i].want);
	}
}

static void
too_many_recipients_go_again(void **state)
{
	assert_int_equal(fate_of(CL_RCPT, 452, "4.5.3", "too many"), FATE_AGAIN);
	assert_int_equal(fate_of(CL_RCPT, 552, "5.5.3", "too many"), FATE_AGAIN);
	assert_int_equal(fate_of(CL_RCPT, 452, "", "Too many recipients"), FATE_AGAIN);
	assert_int_equal(fate_of(CL_RCPT, 452, "4.2.2", "full"), FATE_DEFERRED);
	assert_int_equal(fate_of(CL_RCPT, 552, "5.2.2", "full"), FATE_FAILED);
	assert_int_equal(fate_of(CL_DOT, 552, "5.5.3", "too many"), FATE_FAILED);
}

static void
lost_sessions(void **state)
{
	struct client_rcpt_result rc[2] = { { .accepted = true }, { .code = 550, .status = "5.1.1" } };
	struct client_result r = { .rcpt = rc, .nrcpt = 2, .decided_in = CL_BODY };

	assert_int_equal(outcome_of_recipient(&r, 0, ""), FATE_CUT);
	assert_int_equal(outcome_of_recipient(&r, 1, ""), FATE_FAILED);	/* its own reply came */
	assert_int_equal(outcome_of_result(&r), HEALTH_CUT_BEFORE_DOT);
	r.dot_sent = true;
	assert_int_equal(outcome_of_recipient(&r, 0, ""), FATE_UNCERTAIN);
	assert_int_equal(outcome_of_recipient(&r, 1, ""), FATE_FAILED);
	assert_int_equal(outcome_of_result(&r), HEALTH_CUT_AFTER_DOT);
	rc[0].code = 250;	/* the RCPT's: promises nothing */
	assert_int_equal(outcome_of_recipient(&r, 0, ""), FATE_UNCERTAIN);
}

static void
what_health_learns(void **state)
{
	static const char *const words[FATE_COUNT] = {
		"delivered", "failed", "deferred", "again", "wait", "cut", "uncertain",
	};
	static const struct {
		enum client_state	at;
		int			code;
		const char		*text;
		enum health_class	want;
	} cases[] = {
		{ CL_DOT, 250, "ok", HEALTH_OK },
		{ CL_MAIL, 550, "no", HEALTH_SENDER_REFUSED },
		{ CL_RCPT, 550, "no", HEALTH_RCPT_REFUSED },
		{ CL_DOT, 550, "spam", HEALTH_CONTENT_REFUSED },
		{ CL_DOT, 550, "Sender address is not verified", HEALTH_SENDER_REFUSED },
		{ CL_RCPT, 450, "greylisted", HEALTH_MSG_TEMP },
		{ CL_DOT, 454, "Throttling", HEALTH_QUOTA },
		{ CL_MAIL, 452, "Daily quota exceeded", HEALTH_QUOTA_USED_UP },
		{ CL_MAIL, 534, "no", HEALTH_AUTH_REFUSED },
		{ CL_MAIL, 535, "no", HEALTH_AUTH_REFUSED },
		{ CL_MAIL, 538, "no", HEALTH_AUTH_REFUSED },
		{ CL_MAIL, 502, "unknown", HEALTH_GARBLED },
		{ CL_MAIL, 503, "sequence", HEALTH_GARBLED },
		{ CL_DOT, 503, "no", HEALTH_CONTENT_REFUSED },
		{ CL_DOT, 550, "from address is not yours", HEALTH_SENDER_REFUSED },
		{ CL_MAIL, 521, "no mail here", HEALTH_BANNER_5XX },
		{ CL_MAIL, 530, "Authentication required", HEALTH_AUTH_REFUSED },
		{ CL_MAIL, 530, "Must issue a STARTTLS command first", HEALTH_WANTS_STARTTLS },
		{ CL_DATA, 250, "what", HEALTH_GARBLED },
		{ CL_DATA, 354, "what", HEALTH_GARBLED },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct client_result r = { .complete = true, .decided_in = cases[i].at };

		reply_set(&r.reply, cases[i].code, "", cases[i].text);
		assert_int_equal(outcome_of_result(&r), cases[i].want);
	}
	for (int f = 0; f < FATE_COUNT; f++)
		assert_string_equal(fate_word((enum fate)f), words[f]);
}

/* What is said of each recipient: the class of his own reply, and the step it came at. */
static void
what_recipients_are_told(void **state)
{
	static const struct {
		bool			accepted;	/* by RCPT */
		enum client_state	decided_in, at;
		int			code;
		const char		*text;
		enum health_class	want;
	} cases[] = {
		{ true, CL_DOT, CL_DOT, 250, "ok", HEALTH_OK },
		{ true, CL_DOT, CL_DOT, 554, "spam", HEALTH_CONTENT_REFUSED },
		{ true, CL_DATA, CL_DATA, 554, "no", HEALTH_CONTENT_REFUSED },
		{ true, CL_DATA, CL_DATA, 451, "later", HEALTH_MSG_TEMP },
		{ false, CL_DOT, CL_RCPT, 550, "no", HEALTH_RCPT_REFUSED },
		{ false, CL_DOT, CL_RCPT, 450, "later", HEALTH_MSG_TEMP },
		{ false, CL_RCPT, CL_RCPT, 450, "slow down", HEALTH_QUOTA },
		{ false, CL_MAIL, CL_MAIL, 550, "no", HEALTH_SENDER_REFUSED },
		{ false, CL_MAIL, CL_MAIL, 530, "log in", HEALTH_AUTH_REFUSED },
	};
	struct client_rcpt_result rc = { .accepted = true };
	struct client_result lost = { .rcpt = &rc, .nrcpt = 1 };

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct client_result r = { .complete = true, .decided_in = cases[i].decided_in, .rcpt = &rc,
			.nrcpt = 1 };

		rc = (struct client_rcpt_result){ .accepted = cases[i].accepted, .code = cases[i].code };
		reply_set(&r.reply, 250, "2.0.0", "for the others");
		assert_int_equal(outcome_class_of_recipient(&r, 0, cases[i].text), cases[i].want);
		assert_int_equal(outcome_decided_at(&r, 0), cases[i].at);
	}
	rc = (struct client_rcpt_result){ .accepted = true, .code = 250 };
	assert_int_equal(outcome_class_of_recipient(&lost, 0, ""), HEALTH_CUT_BEFORE_DOT);
	lost.dot_sent = true;
	assert_int_equal(outcome_class_of_recipient(&lost, 0, ""), HEALTH_CUT_AFTER_DOT);
	rc = (struct client_rcpt_result){ .code = 550 };
	assert_int_equal(outcome_class_of_recipient(&lost, 0, "no"), HEALTH_RCPT_REFUSED);
}

static struct outcome_plan
plan(enum fate a, enum fate b, unsigned cuts)
{
	uint32_t fates[FATE_COUNT] = { 0 };
	struct outcome_plan p;

	fates[a]++;
	fates[b]++;
	outcome_plan(fates, cuts, &p);
	return p;
}

static void
plans_for_the_message(void **state)
{
	struct outcome_plan p;

	p = plan(FATE_DELIVERED, FATE_FAILED, 0);
	assert_int_equal(p.when, WHEN_NEVER);
	p = plan(FATE_DELIVERED, FATE_DEFERRED, 0);
	assert_int_equal(p.when, WHEN_BACKOFF);
	assert_true(p.charged);
	p = plan(FATE_WAIT, FATE_WAIT, 0);
	assert_int_equal(p.when, WHEN_NOW);
	assert_false(p.charged);
	/* The rest goes at once if there was progress, else a loop would spin. */
	p = plan(FATE_DELIVERED, FATE_AGAIN, 0);
	assert_int_equal(p.when, WHEN_NOW);
	assert_false(p.charged);
	p = plan(FATE_AGAIN, FATE_AGAIN, 0);
	assert_int_equal(p.when, WHEN_BACKOFF);
	assert_true(p.charged);
	p = plan(FATE_UNCERTAIN, FATE_DEFERRED, 0);
	assert_int_equal(p.when, WHEN_UNCERTAIN);
	/* A message that ends every connection is charged in the end. */
	p = plan(FATE_CUT, FATE_CUT, OUTCOME_CUTS_FREE - 1);
	assert_int_equal(p.when, WHEN_NOW);
	assert_false(p.charged);
	assert_true(p.cut);
	p = plan(FATE_CUT, FATE_CUT, OUTCOME_CUTS_FREE);
	assert_int_equal(p.when, WHEN_BACKOFF);
	assert_true(p.charged);
	assert_true(p.cut);
}

/* What mail alone finds: before its text, and in it. */
static void
steps_that_only_mail_has(void **state)
{
	for (int at = 0; at < CL_COUNT; at++) {
		bool envelope = at == CL_MAIL || at == CL_RCPT || at == CL_DATA, text = at == CL_BODY || at == CL_DOT;

		assert_int_equal(outcome_mail_step((enum client_state)at),
		    envelope ? MAIL_ENVELOPE : text ? MAIL_TEXT : MAIL_NONE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_of_a_stream),
		cmocka_unit_test(each_step_that_is_lost),
		cmocka_unit_test(failures_of_a_session),
		cmocka_unit_test(throttle_texts),
		cmocka_unit_test(only_5xx_in_the_transaction_is_final),
		cmocka_unit_test(once_mail_is_accepted_5xx_judges),
		cmocka_unit_test(a_mailbox_is_not_the_account),
		cmocka_unit_test(too_many_recipients_go_again),
		cmocka_unit_test(lost_sessions),
		cmocka_unit_test(what_health_learns),
		cmocka_unit_test(what_recipients_are_told),
		cmocka_unit_test(plans_for_the_message),
		cmocka_unit_test(steps_that_only_mail_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
