/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client_private - what client.c (the machine) and client_mail.c (one
 * transaction) share. Nobody else includes it.
 */
#ifndef SMTP_CLIENT_PRIVATE_H
#define SMTP_CLIENT_PRIVATE_H

#include "smtp/client.h"
#include "smtp/dot.h"
#include "smtp/redact.h"

#define OUTPUT_MAX	(128u << 10)
#define TEXTS_MAX	(64u << 10)	/* reply texts of refused recipients, of one message */
#define COMMAND_MAX	2048		/* room for one of our commands */
#define SENT_ADDRESS_MAX 1024

/* Where a recipient's text is: an offset in texts, or one of these. */
#define TEXT_NONE	UINT32_MAX	/* it had no reply of its own */
#define TEXT_CUT	(UINT32_MAX - 1) /* no room was left */

/* The transaction under way, or the last one. */
struct mail {
	struct client_message	 message;
	size_t			 sent;		/* recipients before this one were said ... */
	size_t			 answered;	/* ... and these were answered, or not worth saying */
	size_t			 accepted;
	bool			 open;		/* from client_send() until its result is due */
	bool			 begun;		/* the server took MAIL: RSET is needed unless a dot ends it */
	bool			 data_sent;
	bool			 lone_dot;	/* the dot ends a transaction that has no recipient */
	struct client_result	 result;
	struct client_rcpt_result *rcpt;
	uint32_t		*text;
	struct buf		 texts;
	struct dot_encoder	 encoder;
};

struct client {
	struct client_params	 params;
	char			*ehlo_name;
	enum client_state	 state;
	unsigned		 outstanding;	/* commands said and not answered */
	bool			 unasked;	/* the reply that is coming in answers nothing */
	bool			 tls_ready;
	bool			 login_due;	/* CLIENT_NEED_LOGIN */
	struct sasl		 sasl;		/* of the login that was begun */
	bool			 secret;	/* credentials were put into out */
	struct redact		 redact;	/* ... and no reply shows them */
	bool			 eof;
	bool			 no_memory;
	bool			 result_due, failure_due;
	struct caps		 caps;
	struct reply_parser	 parser;
	struct buf		 out;
	char			 greeting[256];
	struct mail		 mail;
	struct client_failure	 failure;
};

/* Successors: the states, then the choices that one function each resolves, then the faults. */
enum {
	TO_EHLO_DONE = CL_COUNT, TO_TRY_HELO, TO_LOGIN, TO_AUTHENTICATED, TO_LOGGED_IN, TO_PROMPT,
	TO_NEXT_RCPT, TO_MAIL_REFUSED, TO_DATA_REFUSED, TO_GO_AHEAD, TO_DECIDED, TO_FINISH,
	TO_FAULT
};
#define FAIL(fault) (TO_FAULT + (unsigned)(fault))

/* One command into the output; counts it as outstanding. */
void client_say(struct client *, const char *fmt, ...) printf_like(2, 3);
void client_say_line(struct client *, struct view line);	/* ends in CRLF */

void mail_init(struct mail *);
void mail_done(struct mail *);
/* Begin; false when the message is refused here already (then its result is due). */
bool mail_begin(struct client *, const struct client_message *);
/* Commands that may leave now: the one that is due, or, pipelined, all that fit. */
void mail_pump(struct client *);
void mail_say_from(struct client *);
void mail_note_rcpt(struct client *);
/* The session ends: a transaction under way gets its result. */
void mail_cut_off(struct client *);

unsigned mail_next_rcpt(struct client *);
unsigned mail_refused(struct client *);
unsigned mail_data_refused(struct client *);
unsigned mail_go_ahead(struct client *);
unsigned mail_decided(struct client *);
unsigned mail_finish(struct client *);

#endif
