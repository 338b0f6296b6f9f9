/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * subnet - ranges of addresses, and lists of them: who may connect.
 *
 *	172.17.0.0/16	fd00:1::/64	these
 *	192.0.2.7			this one
 *	!172.17.0.1			not these, whatever else the list has
 *
 * IPv4 and IPv6 are apart: ::/0 has no IPv4 address in it. An IPv4 address that comes in
 * IPv6's form (::ffff:192.0.2.7) is the IPv4 address. Pure.
 */
#ifndef NET_SUBNET_H
#define NET_SUBNET_H

#include "net/address.h"

#define SUBNET_TEXT_MAX 64

struct subnet {
	uint8_t		addr[16];	/* IPv4 as ::ffff:a.b.c.d */
	unsigned	bits;		/* of all 128 */
	bool		v4;
	bool		except;		/* "!" */
};

int subnet_parse(struct subnet *out, struct view text, struct err *) must_use;
/* As subnet_parse() takes it. Returns text. */
const char *subnet_text(char text[SUBNET_TEXT_MAX], const struct subnet *);
/* Whether it is in there; "!" makes no difference. */
bool subnet_has(const struct subnet *, const struct address *);
/* In one of the list, and in none that has "!". */
bool subnets_admit(const struct subnet *list, size_t n, const struct address *);
/* All its addresses are loopback, link-local or private (RFC 1918, 4193, 6598): none is the Internet's. */
bool subnet_is_private(const struct subnet *);
/* The host's address, IPv4 in IPv6's form; false for a unix socket. */
bool subnet_host_bytes(uint8_t out[16], const struct address *);

#endif
