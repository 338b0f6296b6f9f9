/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dial - connect to one of a host's addresses: Happy Eyeballs (RFC 8305).
 *
 * The order is address_book's. The next address is tried when one before it has failed, or
 * beside them after DIAL_STAGGER_MS (5: the Connection Attempt Delay). The first
 * connection wins, the others are dropped, and the book hears who won over whom. Who waits
 * has a timer. Unlike 3, both families are asked for in one lookup, through the
 * system's resolver: there is no answer of one family to begin with.
 */
#ifndef RELAY_DIAL_H
#define RELAY_DIAL_H

#include "net/net.h"
#include "relay/address_book.h"

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
	struct address_book	*book;
	const struct stream_limits *limits;
	dial_fn			*fn;
	void			*owner;
	struct dial_try		 try[RESOLVE_MAX];
	size_t			 n, next, running;
	struct timer		 stagger;
	bool			 failed;	/* end is valid */
	struct stream_end	 end;
};

void dial_init(struct dial *, struct net *, struct address_book *, const struct stream_limits *, dial_fn *,
    void *owner);
/* probe: addresses that have failed may have their turn again. */
void dial_start(struct dial *, const struct address *, size_t n, uint16_t port, bool probe);
void dial_stop(struct dial *);		/* also when it was never started */

#endif
