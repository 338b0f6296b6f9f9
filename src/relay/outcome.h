/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outcome - what a reply, an end or a silence means: for the endpoint, for the
 * account, and for each recipient of the message.
 *
 * Pure: facts in, judgement out. Rules (doc/health.md has the classes):
 *
 * - Only 5xx to MAIL, RCPT, DATA or the final dot is final for a recipient, and
 *   it is not tried on another port.
 * - Of these, "log in first", "say STARTTLS first", "bad sequence" and "I take no
 *   mail" at MAIL speak of the operator or the server: the message is kept. Once MAIL was
 *   accepted, 5xx speaks of the recipient or the text, whatever its number.
 * - A used up quota of the account keeps the message, also where the server says so with
 *   a 5xx that is known for it (health/quota.h). A 4xx about a mailbox is none.
 * - 552 and 452 with 4.5.3 or 5.5.3 at RCPT mean: too many at a time.
 * - Whatever goes wrong with endpoint, network or account leaves the message
 *   uncharged; but a message in whose transaction the connection is lost again
 *   and again is charged, for it may be the cause.
 */
#ifndef RELAY_OUTCOME_H
#define RELAY_OUTCOME_H

#include "net/net.h"
#include "health/health.h"
#include "smtp/client.h"

/* Losses in a transaction that a message is forgiven before they are charged. */
#define OUTCOME_CUTS_FREE 3

enum fate {
	FATE_DELIVERED,		/* final */
	FATE_FAILED,		/* final: reported to the sender */
	FATE_DEFERRED,		/* later, charged */
	FATE_AGAIN,		/* the server takes only so many at a time: at once */
	FATE_WAIT,		/* endpoint, account or server at fault: uncharged */
	FATE_CUT,		/* connection lost before the dot, or MAIL refused for another reason: uncharged at first */
	FATE_UNCERTAIN,		/* the dot went out, no reply came */
	FATE_COUNT
};
const char *fate_word(enum fate);

/* --- what an attempt showed ---------------------------------------------- */

enum health_class outcome_of_lookup(enum resolve_result);
/* A stream ended. at is where the machine was; CL_CLOSED: it was not connected yet. */
enum health_class outcome_of_end(const struct stream_end *, enum client_state at);
/* No greeting came, so a handshake was begun, and ended so. */
enum health_class outcome_of_tls_question(const struct stream_end *);
/* We lost patience. CL_CLOSED: with the connect. */
enum health_class outcome_of_timeout(enum client_state at);
/* The machine gave up. */
enum health_class outcome_of_failure(const struct client_failure *);
/* How far into a message that was. */
enum mail_step outcome_mail_step(enum client_state);
/* A transaction that was decided by replies. */
enum health_class outcome_of_result(const struct client_result *);
/* "Slow down", in one of the ways that providers say it. */
bool outcome_is_throttle(int code, const char *status, const char *text);

/* --- what becomes of the message ----------------------------------------- */

/* text: the reply for this recipient (client_rcpt_text). */
enum fate outcome_of_recipient(const struct client_result *, size_t i, const char *text);
/* The class of that reply; of the loss, if none decided. */
enum health_class outcome_class_of_recipient(const struct client_result *, size_t i, const char *text);
/* The step whose reply decided for recipient i, or in which the session was lost. */
enum client_state outcome_decided_at(const struct client_result *, size_t i);

enum outcome_when {
	WHEN_NEVER,		/* nothing is left to send */
	WHEN_NOW,		/* keeps its place in the queue */
	WHEN_BACKOFF,
	WHEN_UNCERTAIN		/* after the rest for uncertain ones */
};

struct outcome_plan {
	enum outcome_when	when;
	bool			charged;
	bool			cut;	/* count one more loss */
};

/*
 * fates: how many recipients met which one, in all transactions of this attempt; cuts: earlier losses, or
 * OUTCOME_CUTS_FREE if they are known to be the message's own fault.
 */
void outcome_plan(const uint32_t fates[FATE_COUNT], unsigned cuts, struct outcome_plan *out);

#endif
