/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link - a blocking connection to the daemon, every wait with a deadline.
 */
#ifndef SENDMAIL_LINK_H
#define SENDMAIL_LINK_H

#include "base/err.h"
#include "smtp/caps.h"
#include "smtp/reply.h"

struct link {
	int			fd;
	struct buf		in;		/* read and not yet used */
	struct reply_parser	parser;
	struct caps		caps;		/* of the reply to EHLO */
};

int64_t now_ms(void);
/* Wait, for want of an event to wait for. */
void pause_ms(int ms);

void link_init(struct link *);
void link_close(struct link *);
/* path: of a unix socket; or "127.0.0.1:PORT". */
int link_connect(struct link *, const char *path, struct err *e) must_use;
int link_send(struct link *, struct view v, int timeout_ms, struct err *e) must_use;
/* The reply is link->parser.reply. */
int link_reply(struct link *, int timeout_ms, struct err *e) must_use;
/* Adds what came to link->in; 1: something, 0: the end. */
int link_read(struct link *, int timeout_ms, struct err *e) must_use;

#endif
