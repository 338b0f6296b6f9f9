/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client - the SMTP client machine: greeting to QUIT, message after message.
 *
 * Feed it replies, do what it says, write what it leaves in client_output().
 * A table of states whose every cell names its successor (client.c); each state
 * that waits has a deadline, which client_deadline_ms() tells. Pipelines MAIL,
 * RCPT and DATA where offered (RFC 2920). Logs in by the strongest mechanism that is offered and
 * allowed (smtp/sasl). Credentials leave only when the caller has said that TLS is up and verified
 * (client_tls_ready); lines that carry them are marked, so that no trace can print them.
 */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "base/buf.h"
#include "smtp/caps.h"
#include "smtp/reply.h"
#include "smtp/sasl.h"

enum client_tls { CLIENT_TLS_NONE, CLIENT_TLS_STARTTLS, CLIENT_TLS_IMPLICIT };

enum client_state {
	/* the order is the order of a session */
	CL_GREETING, CL_EHLO, CL_HELO, CL_STARTTLS, CL_TLS, CL_EHLO_TLS, CL_AUTH, CL_AUTH_NEXT,
	CL_READY,		/* logged in, no transaction */
	CL_MAIL, CL_RCPT, CL_DATA, CL_BODY, CL_DOT, CL_RSET, CL_QUIT, CL_CLOSED,
	CL_COUNT
};

struct client_params {
	const char	*ehlo_name;
	enum client_tls	 tls;
	unsigned	 mechanisms;	/* that may be used to log in (smtp/mechanism.h); 0: no login */
	bool		 probe;		/* QUIT when ready; never MAIL */
	bool		 probe_login;	/* with probe: log in first */
};

/* What the text of a refusal begins with that is ours, no server's. */
#define REFUSED_HERE "not sent: "

struct client_rcpt {
	struct view	address;
	struct view	notify, orcpt;	/* RFC 3461; "": not to be said */
};

struct client_message {
	struct view		 from;		/* "" for <> */
	const struct client_rcpt *rcpt;
	size_t			 nrcpt;
	uint64_t		 size;		/* bytes, for SIZE= */
	bool			 eight_bit;
	struct view		 ret, envid;	/* RFC 3461; "": not to be said */
	bool			 utf8;		/* SMTPUTF8 is to be said, where it is offered ... */
	bool			 needs_utf8;	/* ... and without it the message can't go: its header */
};

enum client_action {
	CLIENT_WANT_INPUT,	/* all input taken; a reply is awaited */
	CLIENT_NEED_TLS,	/* write the output, start the handshake, then client_tls_ready() */
	CLIENT_NEED_LOGIN,	/* call client_login() with the credentials (not kept: each step asks for them) */
	CLIENT_IDLE,		/* ready: client_send(), client_quit(), or wait */
	CLIENT_NEED_BODY,	/* go-ahead for the message: client_body() until client_body_end() */
	CLIENT_RESULT,		/* a transaction ended: results are in client_result() */
	CLIENT_FAILED,		/* the session can't go on: client_failure(); then CLIENT_CLOSE */
	CLIENT_CLOSE		/* write the output, close the connection */
};

/* Why a session can't go on: facts, not judgement (relay/outcome.c judges). */
enum client_fault {
	FAULT_NONE,		/* the connection ended (client_eof), or no memory: see detail */
	FAULT_NOT_SMTP,		/* first bytes are no reply; detail has a hint: TLS, HTTP */
	FAULT_TLS_BYTES,	/* first bytes are a TLS record: the port expects implicit TLS */
	FAULT_GREETING,		/* 4xx or 5xx greeting */
	FAULT_EHLO,		/* EHLO and HELO refused */
	FAULT_NO_STARTTLS,	/* not offered */
	FAULT_STARTTLS_BLANKED,	/* not offered, and a row of X is: a device on the path edits EHLO */
	FAULT_STARTTLS_REFUSED,
	FAULT_INJECTED,		/* bytes behind the reply to STARTTLS */
	FAULT_NO_AUTH,		/* no mechanism that we speak, or may use; or none can be done: see detail */
	FAULT_AUTH,		/* login refused or postponed: see reply code */
	FAULT_UNPROVEN,		/* the server did not show that it knows the password (SCRAM) */
	FAULT_GARBLED,		/* a reply that is none, or too long */
	FAULT_SHUTTING_DOWN,	/* 421 */
	FAULT_UNEXPECTED	/* a code that makes no sense there, or an unasked reply */
};

struct client_failure {
	enum client_fault	 fault;
	enum client_state	 state;		/* where */
	struct reply		 reply;		/* code 0 if there was none */
	char			 detail[160];
};

/* One per recipient, in the order of client_message.rcpt. */
struct client_rcpt_result {
	bool		accepted;	/* RCPT got 2xx */
	int		code;		/* final: of RCPT, or of MAIL, DATA or the dot that decided for it; 0: undecided */
	char		status[STATUS_TEXT_MAX];
};

struct client_result {
	/* decided by a reply; false: session lost before (then see dot_sent) */
	bool			 complete;
	bool			 dot_sent;	/* the final dot was written: uncertain if not complete */
	enum client_state	 decided_in;	/* CL_MAIL, CL_RCPT (all refused), CL_DATA, CL_DOT */
	struct reply		 reply;		/* the one that decided */
	const struct client_rcpt_result *rcpt;
	/* text of the reply to the i-th recipient: reply of RCPT if refused there, else .reply */
	size_t			 nrcpt;
};

struct client;

struct client *client_new(const struct client_params *);
void client_free(struct client *);

/* Call once connected (with CLIENT_TLS_IMPLICIT the first action is NEED_TLS). */
enum client_action client_step(struct client *, struct view in, size_t *used);

void client_tls_ready(struct client *);
/*
 * One step of the login. What is said is wiped from the output by its owner. The secret stays borrowed
 * until client_free(): no text of a reply, and no detail, shows it or what was said of it (smtp/redact).
 */
void client_login(struct client *, const struct sasl_login *);
/* In CLIENT_IDLE only. The views and the array of recipients must live until CLIENT_RESULT. */
void client_send(struct client *, const struct client_message *);
/* Message bytes, lines in CRLF; dot-stuffed here. Takes what fits the output; returns how much. */
size_t client_body(struct client *, struct view bytes);
/* Final dot; if the body did not end in CRLF one is added. */
void client_body_end(struct client *);
/* The message can't be read to its end: RESULT (not complete), then CLOSE, without a dot. */
void client_body_abort(struct client *);
/* Ready: QUIT and wait for the 221. Anywhere else: like client_body_abort(). */
void client_quit(struct client *);
/* The connection ended. Step then gives RESULT (if a transaction was under way), FAILED, CLOSE. */
void client_eof(struct client *);

const struct client_result *client_result(const struct client *);
/* Reply text for one recipient of the result. */
const char *client_rcpt_text(const struct client *, size_t i);
const struct client_failure *client_failure(const struct client *);
enum client_state client_state(const struct client *);
const char *client_state_word(enum client_state);
unsigned client_caps(const struct client *);	/* CAP_... of the last EHLO */
/* Of the login that was begun; SASL_COUNT: none was. */
enum sasl_mechanism client_mechanism(const struct client *);
uint64_t client_size_limit(const struct client *);	/* of EHLO SIZE; 0: none told */
const char *client_greeting(const struct client *);	/* text of the 220 */
/*
 * Time the peer has for what is awaited now, ms; the caller restarts its timer at
 * every change of state, and in CL_BODY when the peer takes bytes. 0: none (ready, closed).
 */
uint32_t client_deadline_ms(const struct client *);
/* True if the output holds credentials: never trace it; wipe it after the write. */
bool client_output_is_secret(const struct client *);
struct buf *client_output(struct client *);

#endif
