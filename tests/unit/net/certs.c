/* SPDX-License-Identifier: BSD-2-Clause */
#include "certs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/require.h"
#include "net/tls_server.h"

#include "base/banned.h"

static void
extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	if (value == NULL)
		return;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	require(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

void
cert_make(struct cert *out, const struct cert_wish *w, const struct cert *issuer)
{
	X509 *x = X509_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	const unsigned char *name = (const unsigned char *)w->common_name;
	static long serial;

	require(x != NULL && key != NULL);
	require(X509_set_version(x, 2) == 1);
	require(ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial) == 1);
	require(X509_time_adj_ex(X509_getm_notBefore(x), w->from_day, 0, NULL) != NULL);
	require(X509_time_adj_ex(X509_getm_notAfter(x), w->to_day, 0, NULL) != NULL);
	require(X509_set_pubkey(x, key) == 1);
	require(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, name, -1, -1,
	    0) == 1);
	*out = (struct cert){ key, x };
	if (issuer == NULL)
		issuer = out;
	require(X509_set_issuer_name(x, X509_get_subject_name(issuer->x509)) == 1);
	extend(x, issuer->x509, NID_basic_constraints, w->ca ? "critical,CA:TRUE" : "CA:FALSE");
	extend(x, issuer->x509, NID_subject_alt_name, w->alt_names);
	extend(x, issuer->x509, NID_ext_key_usage, w->usage);
	require(X509_sign(x, issuer->key, EVP_sha256()) > 0);
}

void
cert_done(struct cert *c)
{
	X509_free(c->x509);
	EVP_PKEY_free(c->key);
}

void
cert_write(const struct cert *c, char *path)
{
	int fd = mkstemp(path);
	FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

	require(f != NULL && PEM_write_X509(f, c->x509) == 1);
	require(fclose(f) == 0);
}

static char *
take_text(BIO *bio)
{
	char *at;
	long n = BIO_get_mem_data(bio, &at);
	char *text = xstrndup((const uint8_t *)at, (size_t)n);

	BIO_free(bio);
	return text;
}

char *
cert_pem(const struct cert *c)
{
	BIO *bio = BIO_new(BIO_s_mem());

	require(bio != NULL && PEM_write_bio_X509(bio, c->x509) == 1);
	return take_text(bio);
}

char *
cert_key_pem(const struct cert *c)
{
	BIO *bio = BIO_new(BIO_s_mem());

	require(bio != NULL && PEM_write_bio_PrivateKey(bio, c->key, NULL, NULL, 0, NULL, NULL) == 1);
	return take_text(bio);
}

int
cert_server(struct tls_server **out, const struct cert *c)
{
	char *certificate = cert_pem(c), *key = cert_key_pem(c);
	int rc = tls_server_new(out, &(struct tls_pair){ view_str(certificate), view_str(key), "certificate",
	    "key" }, NULL);

	free(certificate);
	free(key);
	return rc;
}
