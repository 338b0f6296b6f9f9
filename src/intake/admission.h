/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * admission - may this connection be served? How many are there, whose are they?
 *
 * A client is a uid, on TCP as on the unix socket. All of this host whose uid is not known are
 * one client: which of the many loopback addresses a program calls from is its own
 * choice. From elsewhere a client is an address; all those together get half of the
 * connections and half of the room for recipients, so that they never keep this host's
 * programs out.
 *
 * Pure; holds one entry per client with a connection, so at most one per connection.
 */
#ifndef INTAKE_ADMISSION_H
#define INTAKE_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "conf/conf.h"

struct client;

/*
 * Recipients of messages that have not been handed over yet. Those of one session up to KEPT_FREE
 * bytes do not count, so that who sends ordinary mail never finds the room taken.
 */
#define ADMISSION_KEPT_FREE	8192u
#define ADMISSION_KEPT_MAX	(64u << 20)
#define ADMISSION_KEPT_CLIENT_MAX (16u << 20)

struct admission {
	unsigned	connections_max, per_client_max;
	unsigned	connections;
	unsigned	far;		/* of them, from elsewhere */
	size_t		kept;		/* bytes of recipients, of all of them */
	size_t		far_kept;	/* of them, for clients from elsewhere */
	struct list	bucket[64];
};

enum admission_verdict {
	ADMISSION_GRANTED,
	ADMISSION_FOREIGN,	/* not from this host */
	ADMISSION_OUTSIDE,	/* not in the networks of the listener */
	ADMISSION_FULL,		/* too many connections altogether */
	ADMISSION_CLIENT_FULL	/* too many of this client */
};

void admission_init(struct admission *, unsigned connections_max, unsigned per_client_max);
/* All connections have left. */
void admission_done(struct admission *);
/*
 * by: the listener it came through; NULL: one for this host alone. uid -1: unknown. *out is set when
 * granted, and is given to admission_leave().
 */
enum admission_verdict admission_enter(struct admission *, const struct conf_listener *by,
    const struct address *peer, int64_t uid, struct client **out) must_use;
void admission_leave(struct admission *, struct client *);
/*
 * A session of the client keeps *io bytes of recipients, and wants to keep so many. False: more than
 * before, and there is no room; *io is as before.
 */
bool admission_keep(struct admission *, struct client *, size_t *io, size_t bytes) must_use;

/* What a connection hears that is not granted. */
struct admission_reply {
	int		 code;
	const char	*status, *text;
};
const struct admission_reply *admission_reply(enum admission_verdict);

#endif
