/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server_private - what server.c (bytes and answers) and server_commands.c (the
 * commands) share. Nobody else includes it.
 */
#ifndef SMTP_SERVER_PRIVATE_H
#define SMTP_SERVER_PRIVATE_H

#include "smtp/dot.h"
#include "smtp/recipients.h"
#include "smtp/server.h"

#define LINE_MAX_BYTES	2048		/* a command with its end */
#define HELO_MAX	255
#define ANSWER_TEXT_MAX	400		/* RFC 5321 4.5.3.1.5: 512 for the whole line */
#define RECIPIENTS_DEFAULT 20000
#define ERRORS_DEFAULT	20

enum server_state {
	SV_START,		/* no HELO yet */
	SV_TLS_WAIT,		/* STARTTLS was taken: the caller does the handshake */
	SV_READY,		/* no transaction */
	SV_AUTH,		/* AUTH was said: a response is awaited */
	SV_MAIL,		/* MAIL was taken */
	SV_RCPT,		/* and a recipient */
	SV_DATA_WAIT,		/* DATA or the first BDAT: the caller's answer is awaited */
	SV_BODY,
	SV_CHUNK,		/* bytes of a chunk are awaited: chunk_left of them */
	SV_CHUNKS,		/* between the chunks of a message */
	SV_COMMIT_WAIT,		/* end of data: the caller's answer is awaited */
	SV_CLOSING,
	SV_COUNT
};

enum server_auth { AUTH_NONE, AUTH_PLAIN, AUTH_USER, AUTH_PASSWORD };	/* the response that is awaited */

/* The caller's answer, kept until it is said. */
struct kept_answer {
	int		code;		/* 0: none */
	char		status[12];
	char		text[200];
};

struct server {
	struct server_params	 params;
	enum server_state	 state;
	unsigned		 errors;	/* 5xx since the last message */
	bool			 first_byte_seen;
	bool			 skip_line;	/* the rest of an over-long line */
	uint64_t		 skip;		/* bytes of a refused chunk that are still to come */
	uint64_t		 chunk_size, chunk_left;
	bool			 chunked;	/* this message comes by BDAT */
	bool			 chunk_last;
	bool			 abort_due;	/* SERVER_ABORT is to be told */
	bool			 followed;	/* bytes came in behind the command under way */
	bool			 rcpt_seen;
	bool			 over;		/* the transaction ended: the next step forgets it */
	bool			 esmtp;
	bool			 secure;	/* TLS is active */
	bool			 logged_in;	/* AUTH was taken, whatever it said */
	enum server_auth	 auth;		/* of SV_AUTH */
	char			*helo;
	struct buf		 line;		/* a command that is not whole yet */
	struct buf		 out;
	const struct server_answer *policy;
	struct dot_decoder	 dot;
	uint64_t		 received;	/* of the message, decoded */
	struct kept_answer	 refusal;	/* of the message under way */
	struct recipients	 recipients;
	struct server_envelope	 envelope;
};

/* Counts refusals; too many become a 421. */
void server_say(struct server *, int code, const char *status, const char *text);
void server_say_answer(struct server *, const struct server_answer *);
/* No transaction any more; the envelope stays readable until the next step. */
void server_forget(struct server *);
/* Of the transaction before. */
void server_drop_recipients(struct server *);
/* AUTH with its arguments; and a response to it. */
void server_auth(struct server *, struct view args);
void server_auth_line(struct server *, struct view line);
void server_auth_too_long(struct server *);
/* One command without its line end. */
void server_run(struct server *, struct view line);
/* The beginning of a line that is too long for one. */
void server_run_too_long(struct server *, struct view start);
/* The message under way is refused at its end, or at the end of its chunk; the first reason stands. */
void server_refuse(struct server *, const struct server_answer *);
extern const struct server_answer server_too_big;

#endif
