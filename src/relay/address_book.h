/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address_book - in which order a relay's addresses are tried, by what became of them.
 *
 * RFC 8305, 4: IPv6 and IPv4 take turns, in the order of the resolver, which has sorted by
 * RFC 6724. But what is good goes first: a family that answered nothing while the other one
 * did is tried last for ADDRESS_BAD_MS. An address that answered nothing while another one
 * did, or that accepted and then did not serve, is tried last by mail until it has
 * served a probe; probes try it again after ADDRESS_BAD_MS, then twice that, and so on up to
 * 32 times. Nothing is ever left out.
 *
 * An address counts with its port: another port of it may be fine. Pure.
 */
#ifndef RELAY_ADDRESS_BOOK_H
#define RELAY_ADDRESS_BOOK_H

#include "net/net.h"

#define ADDRESS_BAD_MS	600000
#define ADDRESS_BAD_MAX	32	/* remembered; the oldest goes */

struct address_book {
	struct {
		struct address	address;
		int64_t		until_ms;	/* before, probes try others first, too */
		unsigned	times;		/* that it failed since it served */
	}	bad[ADDRESS_BAD_MAX];
	size_t	n;
	int64_t	bad_family_ms[2];	/* IPv4, IPv6: until then */
};

void address_book_init(struct address_book *);
void address_book_failed(struct address_book *, const struct address *, int64_t now_ms);
void address_book_family_failed(struct address_book *, const struct address *, int64_t now_ms);
void address_book_connected(struct address_book *, const struct address *);	/* its family is good */
void address_book_served(struct address_book *, const struct address *);
bool address_book_is_bad(const struct address_book *, const struct address *);	/* it has not served since */
/* The same addresses with this port, the first to try first; returns how many. */
size_t address_book_order(const struct address_book *, const struct address *in, size_t n, uint16_t port,
    bool probe, int64_t now_ms, struct address out[RESOLVE_MAX]);

#endif
