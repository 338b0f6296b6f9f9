/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dial - connect to one of a host's addresses: RFC 8305 without the frills.
 *
 * IPv6 and IPv4 take turns in the order of the resolver's answer; the next
 * address is tried when the one before has failed, or beside it after DIAL_STAGGER_MS.
 * The first connection wins, the others are dropped. Who waits has a timer.
 */
#ifndef RELAY_DIAL_H
#define RELAY_DIAL_H

#include "net/net.h"

#define DIAL_STAGGER_MS	250

struct dial;
struct dial_try {
	struct dial	*dial;
	struct stream	*stream;	/* NULL: not begun, or failed */
	struct address	 address;
};

/* s is connected and has to be owned anew; or NULL, and end tells most about why. */
typedef void dial_fn(void *owner, struct stream *s, const struct address *,
    const struct stream_end *end);

struct dial {
	struct net		*net;
	const struct stream_limits *limits;
	dial_fn			*fn;
	void			*owner;
	struct dial_try		 try[RESOLVE_MAX];
	size_t			 n, next, running;
	struct timer		 stagger;
	bool			 failed;	/* end is valid */
	struct stream_end	 end;
};

void dial_init(struct dial *, struct net *, const struct stream_limits *, dial_fn *, void *owner);
void dial_start(struct dial *, const struct address *, size_t n, uint16_t port);
void dial_stop(struct dial *);		/* also when it was never started */

#endif
