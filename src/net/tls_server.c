/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tls_server.h"

#include <stdlib.h>

#include <openssl/err.h>

#include "base/alloc.h"
#include "net/tls_private.h"

#include "base/banned.h"

int
tls_server_new(struct tls_server **out, const struct tls_pair *p, struct err *e)
{
	struct tls_server *s = xzalloc(sizeof(*s));
	int rc = -1;

	ERR_clear_error();
	s->ctx = tls_context(TLS_server_method(), e);
	if (s->ctx == NULL || tls_use_pair(s->ctx, p, e) != 0)
		goto out;
	(void)SSL_CTX_set_options(s->ctx, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
	(void)SSL_CTX_set_num_tickets(s->ctx, 0);
	(void)SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_OFF);
	*out = s;
	s = NULL;
	rc = 0;
out:
	ERR_clear_error();
	tls_server_free(s);
	return rc;
}

void
tls_server_free(struct tls_server *s)
{
	if (s == NULL)
		return;
	SSL_CTX_free(s->ctx);
	free(s);
}

int64_t
tls_server_not_after_ms(const struct tls_server *s)
{
	return tls_words_time_ms(X509_get0_notAfter(SSL_CTX_get0_certificate(s->ctx)));
}

int64_t
tls_server_not_before_ms(const struct tls_server *s)
{
	return tls_words_time_ms(X509_get0_notBefore(SSL_CTX_get0_certificate(s->ctx)));
}
