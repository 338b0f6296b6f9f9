/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * certs - keys and certificates made on the spot.
 */
#ifndef UNIT_NET_CERTS_H
#define UNIT_NET_CERTS_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "base/view.h"

struct tls_server;

struct cert {
	EVP_PKEY	*key;
	X509		*x509;
};

struct cert_wish {
	const char	*common_name;
	const char	*alt_names;	/* "DNS:mail.example"; NULL: none */
	const char	*usage;		/* "serverAuth"; NULL: any */
	int		 from_day, to_day;	/* valid, counted from today */
	bool		 ca;
};

/* Signed by issuer, or by itself if that is NULL. */
void cert_make(struct cert *out, const struct cert_wish *, const struct cert *issuer);
void cert_done(struct cert *);
/* As PEM; the caller frees it. */
char *cert_pem(const struct cert *);
char *cert_key_pem(const struct cert *);
/* A server that shows it; as tls_server_new(). */
int cert_server(struct tls_server **out, const struct cert *);
/* As PEM into a new file, whose name is written to path (a mkstemp template). */
void cert_write(const struct cert *, char *path);

#endif
