/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_conn - one TLS connection as an engine: bytes in, bytes out, no socket.
 *
 * The stream feeds what it received and sends what is in tls_conn_output().
 * Functions that fail fill *end in words.
 *
 * Thread: loop thread.
 */
#ifndef NET_TLS_CONN_H
#define NET_TLS_CONN_H

#include "net/net.h"
#include "net/tls.h"
#include "net/tls_server.h"

enum tls_progress {
	TLS_MORE,		/* needs bytes from the peer */
	TLS_DONE,		/* handshake complete, peer verified */
	TLS_FULL,		/* no room in the buffer given; there is more */
	TLS_CLOSED,		/* close_notify */
	TLS_FAILED
};

struct tls_conn;

/* name and port are also the key of the session cache. NULL: no memory. */
struct tls_conn *tls_conn_new(struct tls_client *, const char *name, uint16_t port);
/* The server's side; the certificate may be another one afterwards. NULL: no memory. */
struct tls_conn *tls_conn_new_server(struct tls_server *);
void tls_conn_free(struct tls_conn *);
bool tls_conn_received(struct tls_conn *, struct view) must_use;	/* false: no memory */
enum tls_progress tls_conn_handshake(struct tls_conn *, struct stream_end *end) must_use;
/* Decrypt into in. */
enum tls_progress tls_conn_read(struct tls_conn *, struct buf *in, struct stream_end *end) must_use;
/* Encrypt the front of out, at most 64 KiB, and take it off. TLS_MORE or TLS_FAILED. */
enum tls_progress tls_conn_write(struct tls_conn *, struct buf *out, struct stream_end *end) must_use;
/* Say close_notify. */
void tls_conn_bye(struct tls_conn *);
/* For the peer; the stream takes off what it has sent. */
struct buf *tls_conn_output(struct tls_conn *);
void tls_conn_info(const struct tls_conn *, struct tls_info *out);

#endif
