/* SPDX-License-Identifier: BSD-2-Clause */
/* Months with OpenSSL at both ends. */
#include "sim/month.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/require.h"
#include "unit/net/certs.h"

#include "base/banned.h"

struct month_tls {
	SSL_CTX			*server[TWIN_CERT_COUNT];
	struct tls_client	*client;
	struct tls_client	*of_relay[RELAYS];
};

static SSL_CTX *
server_new(const struct cert_wish *wish, const struct cert *issuer)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	struct cert cert;

	cert_make(&cert, wish, issuer);
	require(ctx != NULL && SSL_CTX_use_certificate(ctx, cert.x509) == 1 &&
	    SSL_CTX_use_PrivateKey(ctx, cert.key) == 1);
	cert_done(&cert);
	return ctx;
}

struct month_tls *
month_tls_new(void)
{
	static const struct cert_wish authority = { "twin CA", NULL, NULL, -2, 30, true };
	static const struct cert_wish server[TWIN_CERT_COUNT] = {
		[TWIN_CERT_GOOD] = { "smtp", "DNS:smtp.twin.example,DNS:backup.twin.example", "serverAuth",
		    -1, 10, false },
		[TWIN_CERT_NAME] = { "other", "DNS:other.example", "serverAuth", -1, 10, false },
		[TWIN_CERT_EXPIRED] = { "smtp", "DNS:smtp.twin.example,DNS:backup.twin.example",
		    "serverAuth", -2, -1, false },
		[TWIN_CERT_UNTRUSTED] = { "smtp", "DNS:smtp.twin.example,DNS:backup.twin.example",
		    "serverAuth", -1, 10, false },
	};
	struct month_tls *t = xzalloc(sizeof(*t));
	char path[] = "/tmp/ph-month-XXXXXX";
	struct tls_params p = { .ca_file = path, .verify = true };
	struct cert ca;

	cert_make(&ca, &authority, NULL);
	cert_write(&ca, path);
	for (size_t i = 0; i < TWIN_CERT_COUNT; i++)
		t->server[i] = server_new(&server[i], i == TWIN_CERT_UNTRUSTED ? NULL : &ca);
	require(tls_client_new(&t->client, &p, NULL) == 0);
	for (size_t i = 0; i < RELAYS; i++)
		t->of_relay[i] = t->client;
	cert_done(&ca);
	(void)unlink(path);
	return t;
}

void
month_tls_free(struct month_tls *t)
{
	for (size_t i = 0; i < TWIN_CERT_COUNT; i++)
		SSL_CTX_free(t->server[i]);
	tls_client_free(t->client);
	free(t);
}

static struct stream *
wrap(void *arg, struct twin_endpoint *ep, struct stream *s)
{
	return twin_tls_serve(arg, ep, s);
}

static void
wrap_port(struct month *m, struct smarthost *h)
{
	h->wrap = wrap;
	h->wrap_arg = &m->tls;
}

void
month_use_tls(struct month *m, const struct month_tls *t)
{
	twin_tls_init(&m->tls, &m->w.net);
	for (size_t i = 0; i < TWIN_CERT_COUNT; i++)
		m->tls.ctx[i] = t->server[i];
	m->tls_used = true;
	m->w.around = &m->tls.net;
	m->w.tls = t->of_relay;
	for (size_t i = 0; i < PORTS; i++)
		wrap_port(m, &m->w.port[i]);
	wrap_port(m, &m->w.backup);
	for (size_t i = 0; i < lengthof(m->more); i++)
		wrap_port(m, &m->more[i]);
}
