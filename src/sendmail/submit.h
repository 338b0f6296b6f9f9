/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * submit - one message to the daemon, by SMTP; and what else is asked of it.
 *
 * The environment names other sockets: POSTHOUSE_SOCKET, POSTHOUSE_STATUS,
 * POSTHOUSE_CONTROL; POSTHOUSE_WAIT is how many seconds to wait for a daemon that
 * restarts. Each function gives an exit status of sysexits.h; what went wrong is
 * one sentence on standard error.
 */
#ifndef SENDMAIL_SUBMIT_H
#define SENDMAIL_SUBMIT_H

#include "sendmail/message.h"

/* "sendmail: text" on standard error, made safe for a terminal; returns status. */
int complain(int status, const char *text);

int submit(struct message *, const struct options *);
int relay_session(void);	/* -bs */
int show_queue(void);		/* mailq */
int ask_flush(bool verbose);	/* -q */

#endif
