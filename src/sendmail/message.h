/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message - the envelope from options and header, and the header as it is sent.
 */
#ifndef SENDMAIL_MESSAGE_H
#define SENDMAIL_MESSAGE_H

#include "base/buf.h"
#include "base/err.h"
#include "sendmail/input.h"
#include "sendmail/options.h"

#define MESSAGE_HEADER_MAX	(16u << 20)
#define MESSAGE_RCPT_MAX	20000

struct message {
	struct input	in;
	struct buf	text;		/* read and not yet sent; first all of the header */
	size_t		header_n;	/* of text: the header as read */
	struct buf	header;		/* as it is sent, with the empty line */
	struct buf	sender;		/* "" is the null sender */
	struct buf	recipients;	/* each ends in NUL */
	size_t		nrecipients;
};

void message_init(struct message *);
void message_done(struct message *);
/* Reads the header (all of a small message). kind ERR_GONE: there are no recipients. */
int message_prepare(struct message *, const struct options *, int fd, const char *user,
    const char *gecos, struct err *) must_use;

#endif
