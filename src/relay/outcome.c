/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/outcome.h"

#include <assert.h>

#include "health/quota.h"
#include "health/words.h"

#include "base/banned.h"

static const char *const fate_words[] = {
	[FATE_DELIVERED] = "delivered", [FATE_FAILED] = "failed", [FATE_DEFERRED] = "deferred",
	[FATE_AGAIN] = "again", [FATE_WAIT] = "wait", [FATE_CUT] = "cut",
	[FATE_UNCERTAIN] = "uncertain",
};
static_assert(lengthof(fate_words) == FATE_COUNT, "every fate has a word");

const char *
fate_word(enum fate f)
{
	return fate_words[f];
}

bool
outcome_is_throttle(int code, const char *status, const char *text)
{
	static const char *const words[] = {
		"too many", "throttl", "rate limit", "rate exceeded", "sending rate", "quota",
		"limit exceeded", "slow down", "too fast", "concurren", NULL,
	};
	char plain[WORDS_PLAIN_MAX];

	if (code == 432)
		return true;	/* 432 4.3.2: concurrent connections limit */
	if (code / 100 != 4)
		return false;
	/* One recipient's full mailbox, or too many recipients, is no word about our rate. */
	if (strncmp(status, "4.2.2", 6) == 0 || strncmp(status, "4.5.3", 6) == 0 ||
	    words_say(text, "recipients") || words_say(text, "mailbox") || words_say(text, "over quota"))
		return false;
	return words_say_any(words_plain(plain, text), words);
}

/* 4xx of the one recipient, and so no word about what the account may send. */
static bool
is_about_mailbox(int code, const char *status, const char *text, enum client_state at)
{
	char plain[WORDS_PLAIN_MAX];

	if (at != CL_RCPT || code / 100 != 4)
		return false;
	(void)words_plain(plain, text);
	return strncmp(status, "4.2.", 4) == 0 || words_say(plain, "mailbox") || words_say(plain, "recipient");
}

/* HEALTH_QUOTA, HEALTH_QUOTA_USED_UP, or HEALTH_OK: the reply speaks of neither. */
static enum health_class
limit_of_account(int code, const char *status, const char *text, enum client_state at)
{
	if (is_about_mailbox(code, status, text, at))
		return HEALTH_OK;
	if (quota_is_used_up(code, status, text))
		return HEALTH_QUOTA_USED_UP;
	return outcome_is_throttle(code, status, text) ? HEALTH_QUOTA : HEALTH_OK;
}

enum health_class
outcome_of_lookup(enum resolve_result r)
{
	return r == RESOLVE_NO_NAME ? HEALTH_DNS_NXDOMAIN : HEALTH_DNS_FAIL;
}

/* The peer went away, or keeps silent, at this point of the session. */
static enum health_class
lost_at(enum client_state at)
{
	switch (at) {
	case CL_GREETING:
	case CL_EHLO:
	case CL_HELO:
	case CL_STARTTLS:
	case CL_EHLO_TLS:
		/* It never got as far as to talk with us: as bad as no greeting. */
		return HEALTH_NO_BANNER;
	case CL_TLS:
		return HEALTH_TLS_HANDSHAKE;
	case CL_AUTH:
	case CL_AUTH_NEXT:
		return HEALTH_AUTH_UNANSWERED;
	case CL_DOT:
		return HEALTH_CUT_AFTER_DOT;
	case CL_READY:
	case CL_RSET:
	case CL_QUIT:
		/* Servers may end an idle session (RFC 5321 3.8). */
		return HEALTH_OK;
	default:
		return HEALTH_CUT_BEFORE_DOT;
	}
}

enum health_class
outcome_of_timeout(enum client_state at)
{
	return at == CL_CLOSED ? HEALTH_FILTERED : lost_at(at);
}

static enum health_class
connect_failed(const struct stream_end *end)
{
	switch (end->kind) {
	case STREAM_REFUSED:
	case STREAM_RESET:
	case STREAM_EOF:
		return HEALTH_REFUSED;
	case STREAM_NO_ROUTE:
		return HEALTH_NO_ROUTE;
	case STREAM_DENIED:
		return HEALTH_LOCAL_DENIED;
	case STREAM_PROHIBITED:
		return HEALTH_PROHIBITED;
	default:
		return HEALTH_FILTERED;
	}
}

enum health_class
outcome_of_end(const struct stream_end *end, enum client_state at)
{
	switch (end->kind) {
	case STREAM_TLS_NOT_TLS:
		return HEALTH_WANTS_STARTTLS;
	case STREAM_TLS_NAME:
		return HEALTH_TLS_NAME;
	case STREAM_TLS_EXPIRED:
		return HEALTH_TLS_EXPIRED;
	case STREAM_TLS_UNTRUSTED:
		return HEALTH_TLS_UNTRUSTED;
	default:
		/* A broken TLS record later in the session is a cut like any other. */
		return at == CL_CLOSED ? connect_failed(end) : lost_at(at);
	}
}

enum health_class
outcome_of_tls_question(const struct stream_end *end)
{
	switch (end->kind) {
	case STREAM_TLS_NAME:		/* there was a certificate, whatever is wrong with it */
	case STREAM_TLS_EXPIRED:
	case STREAM_TLS_UNTRUSTED:
		return HEALTH_WANTS_IMPLICIT;
	default:
		return HEALTH_NO_BANNER;
	}
}

static enum health_class
login_failed(const struct reply *r)
{
	switch (r->code) {
	case 500:
	case 502:
	case 503:
	case 504:
		return HEALTH_AUTH_NOT_TAKEN;	/* AUTH, or the mechanism, is not known there */
	default:
		break;
	}
	if (quota_is_used_up(r->code, r->status, r->text))
		return HEALTH_QUOTA_USED_UP;
	if (reply_class(r) == 5)
		return HEALTH_AUTH_REFUSED;
	if (reply_class(r) != 4)
		return HEALTH_AUTH_UNANSWERED;
	/* A throttled login is a matter of the account too; the pause is the same. */
	return HEALTH_AUTH_TEMP;
}

static enum health_class
class_of_fault(const struct client_failure *f)
{
	const struct reply *r = &f->reply;
	enum health_class limit;

	switch (f->fault) {
	case FAULT_NOT_SMTP:
		return HEALTH_NOT_SMTP;
	case FAULT_TLS_BYTES:
		return HEALTH_WANTS_IMPLICIT;
	case FAULT_GREETING:
	case FAULT_SHUTTING_DOWN:
		limit = limit_of_account(r->code, r->status, r->text, f->state);
		if (limit != HEALTH_OK)
			return limit;
		if (f->state == CL_AUTH || f->state == CL_AUTH_NEXT)
			return HEALTH_AUTH_TEMP;
		/* An idle session that is told to go: RFC 5321 3.8, nobody's fault. */
		if (f->state == CL_READY || f->state == CL_QUIT)
			return HEALTH_OK;
		return reply_class(r) == 5 ? HEALTH_BANNER_5XX : HEALTH_BANNER_4XX;
	case FAULT_EHLO:
		if (reply_class(r) == 4)
			return HEALTH_BANNER_4XX;
		return HEALTH_EHLO_REFUSED;
	case FAULT_NO_STARTTLS:
		return HEALTH_STARTTLS_MISSING;
	case FAULT_STARTTLS_BLANKED:
		return HEALTH_STARTTLS_BLANKED;
	case FAULT_STARTTLS_REFUSED:
		return HEALTH_STARTTLS_REFUSED;
	case FAULT_INJECTED:
		return HEALTH_INJECTED;
	case FAULT_NO_AUTH:
		return HEALTH_AUTH_MISSING;
	case FAULT_AUTH:
		return login_failed(r);
	case FAULT_UNPROVEN:
		return HEALTH_AUTH_UNPROVEN;
	case FAULT_NONE:
		return lost_at(f->state);
	default:
		return HEALTH_GARBLED;
	}
}

enum health_class
outcome_of_failure(const struct client_failure *f)
{
	enum health_class class = class_of_fault(f);

	/* What makes no sense is no answer to a password. */
	if ((f->state == CL_AUTH || f->state == CL_AUTH_NEXT) &&
	    (class == HEALTH_GARBLED || class == HEALTH_NOT_SMTP))
		return HEALTH_AUTH_UNANSWERED;
	return class;
}

enum mail_step
outcome_mail_step(enum client_state at)
{
	switch (at) {
	case CL_MAIL:
	case CL_RCPT:
	case CL_DATA:
		return MAIL_ENVELOPE;
	case CL_BODY:
	case CL_DOT:
		return MAIL_TEXT;
	default:
		return MAIL_NONE;
	}
}

enum client_state
outcome_decided_at(const struct client_result *r, size_t i)
{
	if (r->rcpt[i].accepted || r->decided_in == CL_MAIL)
		return r->decided_in;
	return CL_RCPT;
}

/* Without a decision of the whole, 2xx to RCPT promises nothing. */
static bool
is_undecided(const struct client_result *r, size_t i)
{
	return r->rcpt[i].code == 0 || (!r->complete && r->rcpt[i].accepted);
}

/*
 * 5xx that says nothing of the message: what it says then; otherwise HEALTH_OK. Only at MAIL:
 * a server that took it has no quarrel with the session, whatever number it picks later.
 */
static enum health_class
not_the_message(int code, const char *text, enum client_state at)
{
	if (at != CL_MAIL)
		return HEALTH_OK;
	switch (code) {
	case 530:
		return words_say(text, "starttls") ? HEALTH_WANTS_STARTTLS : HEALTH_AUTH_REFUSED;
	case 534:
	case 535:
	case 538:
		return HEALTH_AUTH_REFUSED;
	case 502:	/* the server knows no MAIL; bad sequence: nonsense here */
	case 503:
		return HEALTH_GARBLED;
	case 521:
		return HEALTH_BANNER_5XX;
	default:
		return HEALTH_OK;
	}
}

static bool
too_many_recipients(int code, const char *status, const char *text, enum client_state at)
{
	if (at != CL_RCPT || (code != 452 && code != 451 && code != 552 && code != 550 && code != 554))
		return false;
	return (status[0] != '\0' && strcmp(status + 1, ".5.3") == 0) ||
	    words_say(text, "too many recipients");
}

enum fate
outcome_of_recipient(const struct client_result *r, size_t i, const char *text)
{
	const struct client_rcpt_result *rc = &r->rcpt[i];
	enum client_state at = outcome_decided_at(r, i);
	int class = rc->code / 100;

	if (is_undecided(r, i))
		return r->dot_sent && rc->accepted ? FATE_UNCERTAIN : FATE_CUT;
	if (class == 2 && rc->accepted && at == CL_DOT)
		return FATE_DELIVERED;
	if (too_many_recipients(rc->code, rc->status, text, at))
		return FATE_AGAIN;
	if (limit_of_account(rc->code, rc->status, text, at) != HEALTH_OK)
		return FATE_WAIT;
	if (class == 5)
		return not_the_message(rc->code, text, at) == HEALTH_OK ? FATE_FAILED : FATE_CUT;
	/* 4xx, or a code that makes no sense here: it says nothing final. */
	return FATE_DEFERRED;
}

/* A reply in a transaction, at this step. */
static enum health_class
class_of_reply(int code, const char *status, const char *text, enum client_state at)
{
	enum health_class other = limit_of_account(code, status, text, at);

	if (other != HEALTH_OK)
		return other;
	switch (code / 100) {
	case 2:
		return at == CL_DOT ? HEALTH_OK : HEALTH_GARBLED;
	case 4:
		return HEALTH_MSG_TEMP;
	case 5:
		other = not_the_message(code, text, at);
		if (other != HEALTH_OK)
			return other;
		if (at == CL_MAIL)
			return HEALTH_SENDER_REFUSED;
		if (at == CL_RCPT)
			return HEALTH_RCPT_REFUSED;
		return words_say(text, "sender") || words_say(text, "from address") ?
		    HEALTH_SENDER_REFUSED : HEALTH_CONTENT_REFUSED;
	default:
		return HEALTH_GARBLED;
	}
}

static enum health_class
class_of_loss(const struct client_result *r)
{
	return r->dot_sent ? HEALTH_CUT_AFTER_DOT : HEALTH_CUT_BEFORE_DOT;
}

enum health_class
outcome_of_result(const struct client_result *r)
{
	if (!r->complete)
		return class_of_loss(r);
	return class_of_reply(r->reply.code, r->reply.status, r->reply.text, r->decided_in);
}

enum health_class
outcome_class_of_recipient(const struct client_result *r, size_t i, const char *text)
{
	const struct client_rcpt_result *rc = &r->rcpt[i];

	if (is_undecided(r, i))
		return class_of_loss(r);
	return class_of_reply(rc->code, rc->status, text, outcome_decided_at(r, i));
}

void
outcome_plan(const uint32_t fates[FATE_COUNT], unsigned cuts, struct outcome_plan *out)
{
	*out = (struct outcome_plan){ .when = WHEN_NEVER };
	if (fates[FATE_UNCERTAIN] != 0) {
		out->when = WHEN_UNCERTAIN;
		out->charged = true;
	} else if (fates[FATE_DEFERRED] != 0 ||
	    (fates[FATE_AGAIN] != 0 && fates[FATE_DELIVERED] + fates[FATE_FAILED] == 0)) {
		out->when = WHEN_BACKOFF;
		out->charged = true;
	} else if (fates[FATE_CUT] != 0) {
		out->charged = cuts >= OUTCOME_CUTS_FREE;
		out->when = out->charged ? WHEN_BACKOFF : WHEN_NOW;
		out->cut = true;
	} else if (fates[FATE_WAIT] + fates[FATE_AGAIN] != 0) {
		out->when = WHEN_NOW;
	}
}
