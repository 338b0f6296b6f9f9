/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * trace - the Received field that we put in front of each message (RFC 5321 4.4).
 */
#ifndef MAIL_TRACE_H
#define MAIL_TRACE_H

#include "mail/envelope.h"

/*
 * user: "uid 33", or what else is to stand for it; "": nothing.
 * "Received: from helo (peer, user) by hostname with ESMTP id ID; date\r\n",
 * folded at 78 columns. What the client said is cut and made harmless.
 */
bool trace_received(struct buf *out, const struct envelope *, const char *hostname, const char *id,
    const char *user) must_use;

#endif
