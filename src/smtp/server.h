/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server - the SMTP server machine: RFC 5321, 1870 (SIZE), 2920 (PIPELINING),
 * 6152 (8BITMIME), 2034 (ENHANCEDSTATUSCODES), 3030 (CHUNKING), 3461 (DSN),
 * 3207 (STARTTLS), 6531 (SMTPUTF8).
 *
 * Feed it bytes, do what it says, write what it leaves in server_output().
 * It never blocks, reads no clock, and allocates only the bounded arena of one
 * transaction. Replies leave in order: while an answer is pending
 * (SERVER_WAIT) the caller feeds nothing, so back-pressure is the default.
 *
 * End of data is CRLF.CRLF and nothing else, or the end of the last chunk. Bare CR and bare LF in the message
 * become CRLF, NUL is refused at the end of data with 554: one policy, in
 * smtp/dot.c, for everything that comes in (doc/smtp.md).
 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "base/buf.h"
#include "smtp/address.h"

struct server;

#define SERVER_RULE_MAX	200

enum server_tls {
	SERVER_TLS_NONE,	/* STARTTLS is not known */
	SERVER_TLS_OFFERED,
	SERVER_TLS_REQUIRED	/* nothing else before it: 530 (RFC 3207 4) */
};

struct server_params {
	const char	*hostname;	/* in the greeting and the reply to HELO */
	uint64_t	 size_max;	/* bytes of a message as received */
	unsigned	 recipients_max;
	unsigned	 errors_max;	/* refused commands before 421 (default 20) */
	enum server_tls	 tls;
	bool		 tls_fails;	/* there is no certificate for it: 454 */
	bool		 any_login;	/* AUTH is offered, and whatever is said is taken */
	const char	*default_domain; /* completes bare names; "" leaves them */
	/*
	 * True: the whole address ("<>" is the null sender) is refused at MAIL or RCPT with 550 and
	 * this text. NULL: none is.
	 */
	bool		(*refuses)(void *owner, bool is_sender, struct view address,
			    char text[SERVER_RULE_MAX]);
	/*
	 * So many bytes of recipients are to be kept now, 0 behind the transaction. False, if they are
	 * more than before: there is no room, and RCPT gets 452. NULL: there always is.
	 */
	bool		(*keeps)(void *owner, size_t bytes);
	void		*owner;
};

enum server_action {
	SERVER_WANT_INPUT,	/* all input taken; feed more */
	SERVER_WAIT,		/* an answer is pending: server_data_ready(), server_commit_result() or server_secured() */
	SERVER_DATA,		/* DATA or the first BDAT came in a good transaction: answer with server_data_ready() */
	SERVER_BODY,		/* ev->body: message bytes, unstuffed, lines end in CRLF; valid until the next call */
	SERVER_COMMIT,		/* the message is complete: answer with server_commit_result() */
	/*
	 * the message under way is refused (too big, NUL), or taken back between two of its
	 * chunks: drop it; the reply follows by itself, at its end
	 */
	SERVER_ABORT,
	/*
	 * The 220 to STARTTLS is in the output, and nothing came behind the command: write it, do the
	 * handshake, then say server_secured(). No byte that comes in clear from now on may be fed.
	 */
	SERVER_STARTTLS,
	SERVER_FLUSH,		/* the room for replies is used up: write the output, then go on */
	SERVER_CLOSE		/* write the output, then close */
};

enum server_body { BODY_7BIT, BODY_8BITMIME };

struct server_rcpt {
	struct view	address;	/* completed, without brackets */
	struct view	notify, orcpt;	/* RFC 3461, as said; or "" */
};

/* The transaction, from SERVER_DATA until the first step after its last answer. Views into the arena. */
struct server_envelope {
	struct view		 from;		/* "" for <> */
	const struct server_rcpt *rcpt;
	size_t			 nrcpt;		/* duplicates removed */
	uint64_t		 size;		/* SIZE= as declared, or 0 */
	enum server_body	 body;		/* as declared */
	bool			 utf8;		/* SMTPUTF8 was said */
	struct view		 ret, envid;	/* RFC 3461, as said; or "" */
	struct view		 helo;
	bool			 esmtp;		/* EHLO rather than HELO */
};

struct server_event {
	struct view	body;		/* SERVER_BODY */
	bool		eight_bit;	/* SERVER_COMMIT: a byte above 127 was seen */
	bool		secret;		/* what was taken of in may be a password: wipe it */
};

/* What the caller answers; also what a refusal at MAIL time says. */
struct server_answer {
	int		 code;		/* 250, 451, 452, 550 ... */
	const char	*status;	/* "4.3.1" */
	const char	*text;		/* printable ASCII, one line */
};

struct server *server_new(const struct server_params *);	/* its strings must outlive the server */
void server_free(struct server *);

/* Put the greeting into the output: 220, or refusal->code (421, 554) and close. */
void server_greet(struct server *, const struct server_answer *refusal);

/*
 * TLS is active: after SERVER_STARTTLS, or before the greeting. Nothing that the client said
 * before is known any more (RFC 3207 4.2) but how often it was refused.
 */
void server_secured(struct server *);

/*
 * One action at a time. Takes *used bytes of in; call again with the rest until
 * SERVER_WANT_INPUT, SERVER_WAIT or SERVER_CLOSE, and with SERVER_FLUSH not before the output is shorter.
 */
enum server_action server_step(struct server *, struct view in, size_t *used, struct server_event *ev);

/* Answers. refusal NULL: go on with the message (354 to DATA). */
void server_data_ready(struct server *, const struct server_answer *refusal);
/* Bytes came while that answer was awaited: the client did not wait for the 354. */
void server_data_followed(struct server *);
/* 250 with the id in the text, or the refusal. */
void server_commit_result(struct server *, const struct server_answer *);
/*
 * While the message is coming in: it will be refused with this (copied); the rest
 * is read and dropped, without SERVER_ABORT. No-op at other times.
 */
void server_refuse_body(struct server *, const struct server_answer *);

/* Policy for new transactions: NULL accepts, otherwise MAIL gets this (452 4.3.1). Kept by pointer. */
void server_set_policy(struct server *, const struct server_answer *);

/* A time limit passed, or shutdown: put a 421 into the output; the next step is SERVER_CLOSE. */
void server_end(struct server *, const struct server_answer *);

const struct server_envelope *server_envelope(const struct server *);
/* In the middle of a message or of an answer: not a good moment to stop. */
bool server_is_busy(const struct server *);
/* Which time limit applies: RFC 5321 4.5.3.2.7 and ours. */
enum server_phase { PHASE_COMMAND, PHASE_BODY, PHASE_PENDING };
enum server_phase server_phase(const struct server *);

/* Bytes to write; the caller consumes what it wrote. */
struct buf *server_output(struct server *);

#endif
