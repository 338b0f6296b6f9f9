/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reply - SMTP replies as values: parsed from an upstream, or ours to say.
 *
 * RFC 5321 4.2, enhanced status codes RFC 3463 and 2034.
 */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buf.h"

#define REPLY_LINE_MAX	 2048	/* longer lines are cut, their rest is skipped */
#define REPLY_TEXT_MAX	 2048	/* all lines together; more is read and dropped */
#define REPLY_LINES_MAX	 512	/* more than that ends the session (REPLY_BAD) */
#define STATUS_TEXT_MAX	 12	/* "5.7.139" and a NUL */

struct reply {
	int	code;			/* 200 .. 599 */
	char	status[STATUS_TEXT_MAX];/* enhanced code as sent, or "" */
	char	text[REPLY_TEXT_MAX];	/* printable ASCII, lines joined by " ", without the enhanced code */
	size_t	lines;
};

enum reply_progress { REPLY_MORE, REPLY_DONE, REPLY_BAD };

/* Incremental: keeps what it needs between calls; bytes may come one by one. */
struct reply_parser {
	struct reply	reply;
	uint8_t		line[REPLY_LINE_MAX];
	size_t		line_len;
	size_t		text_len;
	size_t		bytes;		/* of this reply so far; endless ones are REPLY_BAD */
	bool		cut;		/* this line was longer than REPLY_LINE_MAX */
	bool		done;		/* the last call ended a reply */
	/* EHLO: each line's text as sent, for capabilities; NULL otherwise */
	void		(*on_line)(void *arg, struct view text);
	void		*arg;
};

void reply_parser_init(struct reply_parser *);
/*
 * Takes *used bytes of in, never beyond the end of a reply. After DONE the reply
 * is valid until the next call. BAD is told as early as the bytes show it.
 */
enum reply_progress reply_parse(struct reply_parser *, struct view in, size_t *used);

/* "4.4.1" that fits code: the one sent if its class agrees, else a general X.0.0. */
void reply_status(const struct reply *, char status[STATUS_TEXT_MAX]);

static inline int
reply_class(const struct reply *r)
{
	return r->code / 100;
}

#endif
