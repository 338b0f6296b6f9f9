/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route - which of the configured routes the mail for a recipient takes.
 *
 * The first whose conditions all hold. A report of ours has the null sender and no
 * user, so it matches from = "<>", to, or the last route, like any other mail.
 *
 * Pure.
 */
#ifndef RELAY_ROUTE_H
#define RELAY_ROUTE_H

#include "conf/conf.h"
#include "mail/envelope.h"

struct route_facts {
	struct view	from;		/* "" is the null sender */
	struct view	to;
	int64_t		uid;		/* of who handed it in; -1: not known */
};

/* n >= 1; the last one has no conditions. */
size_t route_find(const struct conf_route *, size_t n, const struct route_facts *);
/* The same for recipient i of an envelope. */
size_t route_of(const struct conf *, const struct envelope *, uint32_t i);

#endif
