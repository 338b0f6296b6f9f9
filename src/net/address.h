/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address - where a peer is: IPv4, IPv6 or a unix socket.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <sys/socket.h>

#include "base/err.h"
#include "base/view.h"

#define ADDRESS_TEXT_MAX 120

struct address {
	struct sockaddr_storage	 ss;
	socklen_t		 len;		/* 0: none */
};

/* "127.0.0.1:25", "[::1]:25", "unix:/run/x.sock" or "/run/x.sock". Numeric only. */
int address_parse(struct address *out, struct view text, struct err *) must_use;
/* host is a numeric IPv4 or IPv6 address, brackets optional. */
bool address_from_host(struct address *out, struct view host, uint16_t port);
/* The forms of address_parse. Returns text. */
const char *address_text(char text[ADDRESS_TEXT_MAX], const struct address *);
/* Without port and brackets: "127.0.0.1", "::1", "unix". Returns text. */
const char *address_host_text(char text[ADDRESS_TEXT_MAX], const struct address *);
bool address_is_loopback(const struct address *);	/* 127/8, ::1, ::ffff:127/104; unix too */
bool address_is_unix(const struct address *);
bool address_eq(const struct address *, const struct address *);
uint16_t address_port(const struct address *);		/* 0 for unix */

#endif
