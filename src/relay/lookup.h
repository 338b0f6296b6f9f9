/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lookup - the addresses of the relay host, asked for once for all who wait.
 *
 * A good answer is kept for LOOKUP_KEEP_MS; a bad one is not kept.
 */
#ifndef RELAY_LOOKUP_H
#define RELAY_LOOKUP_H

#include "base/list.h"
#include "net/net.h"

#define LOOKUP_KEEP_MS	30000

struct lookup_wait {
	struct list	link;
	/* result is RESOLVE_OK when lookup.address has the answer. */
	void		(*fn)(void *owner, enum resolve_result, const char *why);
	void		*owner;
};

struct lookup {
	struct net	*net;
	const char	*host;
	struct resolve	*running;
	struct list	 waiting;
	struct address	 address[RESOLVE_MAX];
	size_t		 n;
	int64_t		 until_ms;
};

void lookup_init(struct lookup *, struct net *, const char *host);
void lookup_done(struct lookup *);
/* True: lookup.address is good now, and fn is not called. False: fn comes later. */
bool lookup_ask(struct lookup *, struct lookup_wait *) must_use;
void lookup_wait_init(struct lookup_wait *, void (*fn)(void *, enum resolve_result, const char *),
    void *owner);
void lookup_cancel(struct lookup_wait *);
void lookup_forget(struct lookup *);		/* none of the addresses answered */

#endif
