/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * open - find the daemon's mail socket, waiting a little while it restarts.
 */
#ifndef SENDMAIL_OPEN_H
#define SENDMAIL_OPEN_H

#include "sendmail/link.h"

/*
 * The unix socket, else 127.0.0.1:25; only $POSTHOUSE_SOCKET if that is set. With
 * greet the link is behind greeting and EHLO. Exit status; complains itself.
 */
int open_mail(struct link *l, bool greet);
/* $POSTHOUSE_WAIT: for how long a daemon that is away is waited for. */
int64_t patience_ms(void);

#endif
