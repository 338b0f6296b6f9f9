/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tls_pair.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "net/tls_private.h"

#include "base/banned.h"

static const char *
reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text != NULL ? text : "unknown reason";
}

/* There is nobody to ask for a passphrase. */
static int
no_passphrase(char *out, int cap, int writing, void *asked)
{
	*(bool *)asked = true;
	return -1;
}

static BIO *
open_text(struct view v)
{
	return BIO_new_mem_buf(v.p, (int)v.n);	/* TLS_PEM_MAX fits; no copy is made */
}

/* Those behind the first one go out with it. */
static int
add_issuers(SSL_CTX *ctx, BIO *text, const char *file, struct err *e)
{
	X509 *cert;

	while ((cert = PEM_read_bio_X509(text, NULL, NULL, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(ctx, cert) != 1) {
			X509_free(cert);
			return err_set(e, ERR_TLS, "the certificate %s can't be used: %s", file, reason());
		}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return err_set(e, ERR_TLS, "an issuer's certificate in %s is damaged: %s", file, reason());
	return 0;
}

static int
use_certificate(SSL_CTX *ctx, const struct tls_pair *p, struct err *e)
{
	BIO *text = open_text(p->certificate);
	X509 *cert = text != NULL ? PEM_read_bio_X509(text, NULL, NULL, NULL) : NULL;
	int rc;

	if (cert == NULL)
		rc = err_set(e, ERR_TLS, "no certificate in PEM form is in %s: %s", p->certificate_file, reason());
	else if (SSL_CTX_use_certificate(ctx, cert) != 1)
		rc = err_set(e, ERR_TLS, "the certificate %s can't be used: %s", p->certificate_file, reason());
	else
		rc = add_issuers(ctx, text, p->certificate_file, e);
	X509_free(cert);
	BIO_free(text);
	return rc;
}

static int
use_key(SSL_CTX *ctx, const struct tls_pair *p, struct err *e)
{
	bool asked = false;
	BIO *text = open_text(p->key);
	EVP_PKEY *key = text != NULL ? PEM_read_bio_PrivateKey(text, NULL, no_passphrase, &asked) : NULL;
	int rc = 0;

	if (key == NULL && asked)
		rc = err_set(e, ERR_TLS, "the key %s has a passphrase, and nobody is there to type it: \"openssl "
		    "pkey -in %s\" writes it without", p->key_file, p->key_file);
	else if (key == NULL)
		rc = err_set(e, ERR_TLS, "no private key in PEM form is in %s: %s", p->key_file, reason());
	else if (X509_check_private_key(SSL_CTX_get0_certificate(ctx), key) != 1)
		rc = err_set(e, ERR_TLS, "the key %s does not belong to the first certificate in %s: renew both, "
		    "and have our own certificate before those of its issuers", p->key_file,
		    p->certificate_file);
	else if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		rc = err_set(e, ERR_TLS, "the key %s can't be used: %s", p->key_file, reason());
	EVP_PKEY_free(key);
	BIO_free(text);
	return rc;
}

int
tls_use_pair(SSL_CTX *ctx, const struct tls_pair *p, struct err *e)
{
	ERR_clear_error();
	return use_certificate(ctx, p, e) != 0 ? -1 : use_key(ctx, p, e);
}
