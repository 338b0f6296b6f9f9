/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_private - what the parts of TLS share: the contexts of clients, with a session cache
 * (tls.c), and of servers (tls_server.c), the connection (tls_conn.c), failures in words
 * (tls_words.c).
 */
#ifndef NET_TLS_PRIVATE_H
#define NET_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "base/list.h"
#include "net/net.h"
#include "net/tls_pair.h"

#define TLS_KEY_MAX	270		/* "name:port" */
#define TLS_SESSIONS_MAX 64		/* remembered; the oldest goes */

/* A file or directory as it was; all 0: it was not there. */
struct tls_stamp {
	uint64_t	dev, ino, size;
	int64_t		s, ns;		/* of the last change */
};

struct tls_client {
	SSL_CTX		*ctx;
	bool		 verify;
	char		*ca_file;	/* NULL: the system's store */
	struct tls_stamp stamp[2];	/* of what the trusted certificates are read from */
	unsigned	 users;		/* the owner and each connection */
	struct list	 sessions;	/* struct remembered, oldest first */
	unsigned	 nsessions;
};

struct tls_server {
	SSL_CTX		*ctx;		/* its connections hold it too */
};

/* TLS 1.2 at least, no renegotiation, and buffers only while they are needed. NULL: no memory. */
SSL_CTX *tls_context(const SSL_METHOD *, struct err *);
/* What it shows of itself. */
int tls_use_pair(SSL_CTX *, const struct tls_pair *, struct err *) must_use;
void tls_client_release(struct tls_client *);
/* Takes the reference. */
void tls_client_remember(struct tls_client *, const char *key, SSL_SESSION *);
/* Borrowed; NULL: none. */
SSL_SESSION *tls_client_recall(struct tls_client *, const char *key);
void tls_client_forget(struct tls_client *, const char *key);

/* The key of a connection's session, for the new-session callback. */
const char *tls_conn_key(const SSL *);

/* A certificate that was not accepted. */
void tls_words_certificate(struct stream_end *end, int error, X509 *cert, const char *name);
/* The top of OpenSSL's error queue during a handshake, or later. peer: "server" or "client". */
void tls_words_error(struct stream_end *end, bool handshake, const char *peer);
/* "CN=smtp.example.com, O=Example", cut to cap, safe to print. */
void tls_words_name(char *out, size_t cap, const X509_NAME *);
int64_t tls_words_time_ms(const ASN1_TIME *);

#endif
