/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dsn - the parameters of RFC 3461: what a sender wants to hear of a message.
 *
 * They are kept as they were said, and checked wherever they come in.
 */
#ifndef SMTP_DSN_H
#define SMTP_DSN_H

#include "base/buf.h"
#include "base/view.h"

#define DSN_ENVID_MAX	100	/* RFC 3461 4.4 */
#define DSN_ORCPT_MAX	500	/* 4.2 */

bool dsn_ret_is_good(struct view);	/* "FULL" or "HDRS" */
bool dsn_envid_is_good(struct view);	/* xtext of printable ASCII */
bool dsn_notify_is_good(struct view);	/* "NEVER", or some of "SUCCESS,FAILURE,DELAY" */
/*
 * "type;xtext"; behind the type "utf-8" stands what RFC 6533 3 says: letters beyond ASCII as \x{FC},
 * or, with utf8, as they are.
 */
bool dsn_orcpt_is_good(struct view, bool utf8);

/* Any text as xtext; false when out is full. */
bool dsn_add_xtext(struct buf *out, struct view text) must_use;

/* Is word, "FAILURE" say, asked for? What nobody has asked is: failures are told, the rest is not. */
bool dsn_notifies(struct view notify, struct view word);

#endif
