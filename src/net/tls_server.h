/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_server - the server's side of TLS: the certificate and the key of a listener.
 *
 * TLS 1.2 at least; no renegotiation, and nothing is resumed, so that neither sessions nor keys of
 * tickets are kept. Clients are asked for no certificate.
 */
#ifndef NET_TLS_SERVER_H
#define NET_TLS_SERVER_H

#include <stdint.h>

#include "net/tls_pair.h"

struct tls_server;

int tls_server_new(struct tls_server **out, const struct tls_pair *, struct err *) must_use;
/* Connections that were begun with it go on. NULL is fine. */
void tls_server_free(struct tls_server *);
/* When the certificate ends and begins; wall clock. */
int64_t tls_server_not_after_ms(const struct tls_server *);
int64_t tls_server_not_before_ms(const struct tls_server *);

#endif
