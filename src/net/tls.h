/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls - the client side of TLS: one context per relay, with what it verifies.
 *
 * TLS 1.2 at least. The chain, the purpose (server), the dates and the name
 * (subjectAltName only, RFC 6125) are verified; SNI is sent. Sessions are
 * remembered per endpoint for resumption.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "net/tls_pair.h"

struct tls_client;

struct tls_params {
	const char	*ca_file;	/* PEM; NULL: the system's store */
	bool		 verify;	/* false only with insecure = true */
	const struct tls_pair *pair;	/* shown to servers that ask for a certificate; NULL: none */
};

int tls_client_new(struct tls_client **out, const struct tls_params *, struct err *) must_use;
void tls_client_free(struct tls_client *);		/* streams that use it keep it alive */

/* SHA-256 of the certificate of our own; false: there is none. */
bool tls_client_certificate(const struct tls_client *, uint8_t out[32]);

/*
 * Read the trusted certificates anew if their file or directory is another one than before, or was
 * written to (*changed). Sessions are not resumed across that: whom they were agreed with may be
 * trusted no more. -1: they can't be read, and the old ones stay; said once for each change.
 */
int tls_client_refresh(struct tls_client *, bool *changed, struct err *) must_use;

/*
 * Where the system keeps its certificates, links followed: the sandbox must let
 * these be read, because the store is read piece by piece, when one is needed.
 * NULL-terminated.
 */
extern const char *const tls_read_dirs[];

#endif
