/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * addrlist - the addresses in a To, Cc or Bcc field (RFC 5322 3.4 and 4.4).
 *
 * Takes display names, comments, groups, quoted strings, folded lines, source
 * routes, empty elements, and bare local parts (cron's "root"). Gives each
 * addr-spec without comments and spaces; whether SMTP takes it is for
 * smtp/address to say.
 */
#ifndef MAIL_ADDRLIST_H
#define MAIL_ADDRLIST_H

#include "base/err.h"
#include "base/view.h"

#define ADDRLIST_ADDRESS_MAX	998

/* address is valid during the call. False stops: the parse fails with what fn put into *e. */
typedef bool addrlist_fn(void *arg, struct view address, struct err *e);

/* On failure fn may have had the addresses in front of the mistake. */
int addrlist_parse(struct view value, addrlist_fn *fn, void *arg, struct err *) must_use;

#endif
