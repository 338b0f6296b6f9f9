/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twin/tls - OpenSSL over the network in memory: streams around streams.
 *
 * The client's end is net/tls_conn, the server's a plain OpenSSL server, which begins
 * TLS when a ClientHello arrives. What a certificate is like is asked at each accept,
 * in the words of struct twin_endpoint: STREAM_EOF is a good one, STREAM_TLS_HANDSHAKE an
 * alert instead of a handshake, STREAM_TLS_NOT_TLS a server that knows nothing of TLS.
 */
#ifndef TWIN_TLS_H
#define TWIN_TLS_H

#include <openssl/ssl.h>

#include "net/tls.h"
#include "twin/net.h"

enum twin_cert {
	TWIN_CERT_GOOD, TWIN_CERT_NAME, TWIN_CERT_EXPIRED, TWIN_CERT_UNTRUSTED, TWIN_CERT_COUNT
};

struct twin_tls {
	struct net	 net;		/* for relay, in place of that of under */
	struct net_ops	 ops;
	struct twin_net	*under;
	SSL_CTX		*ctx[TWIN_CERT_COUNT];	/* of the servers; not owned */
	struct list	 streams;
	unsigned	 handshakes;	/* that servers finished, ever */
};

void twin_tls_init(struct twin_tls *, struct twin_net *under);
void twin_tls_done(struct twin_tls *);
/* Around the server's end of a connection to this endpoint; give it an owner. */
struct stream *twin_tls_serve(struct twin_tls *, struct twin_endpoint *, struct stream *);
/* Of a stream that is being connected: who owns the one around it. */
void *twin_tls_owner(void *owner);

#endif
