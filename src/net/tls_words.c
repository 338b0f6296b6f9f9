/* SPDX-License-Identifier: BSD-2-Clause */
/* Failures of TLS in words that say what to do, and with the facts of the certificate. */
#include "net/tls_private.h"

#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/quote.h"

#include "base/banned.h"

void
tls_words_name(char *out, size_t cap, const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ) >= 0)
		n = BIO_read(bio, out, (int)cap - 1);
	out[n > 0 ? n : 0] = '\0';
	quote_flatten((uint8_t *)out, strlen(out));
	BIO_free(bio);
}

int64_t
tls_words_time_ms(const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return 0;
	return (int64_t)timegm(&tm) * 1000;
}

static void
day_of(char out[32], const ASN1_TIME *t)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		(void)snprintf(out, 32, "an unknown day");
	else
		(void)snprintf(out, 32, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

/* The first names of the certificate: "mail.example.net, *.example.org, ..." */
static void
names_of(char *out, size_t cap, X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	size_t n = 0;

	out[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		const ASN1_STRING *s;
		int room = (int)(cap - n), k;

		if (g->type != GEN_DNS)
			continue;
		s = g->d.dNSName;
		k = snprintf(out + n, (size_t)room, "%s%.*s", n != 0 ? ", " : "",
		    ASN1_STRING_length(s), (const char *)ASN1_STRING_get0_data(s));
		if (k < 0 || k >= room)
			break;
		n += (size_t)k;
	}
	GENERAL_NAMES_free(names);
	if (n == 0)
		(void)snprintf(out, cap, "no host name at all");
	quote_flatten((uint8_t *)out, strlen(out));
}

static void
put_objection(struct stream_end *end, int error, X509 *cert, const char *name)
{
	char text[100], day[32];

	switch (error) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		names_of(text, sizeof(text), cert);
		stream_end_set(end, STREAM_TLS_NAME, "the certificate is for %s, not for %.70s",
		    text, name);
		return;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		tls_words_name(text, sizeof(text), X509_get_subject_name(cert));
		day_of(day, X509_get0_notAfter(cert));
		stream_end_set(end, STREAM_TLS_EXPIRED, "the certificate of %s expired on %s", text, day);
		return;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		tls_words_name(text, sizeof(text), X509_get_subject_name(cert));
		day_of(day, X509_get0_notBefore(cert));
		stream_end_set(end, STREAM_TLS_EXPIRED,
		    "the certificate of %s is valid only from %s: is the clock right?", text, day);
		return;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		tls_words_name(text, sizeof(text), X509_get_subject_name(cert));
		stream_end_set(end, STREAM_TLS_UNTRUSTED, "the certificate is self-signed: %s", text);
		return;
	case X509_V_ERR_INVALID_PURPOSE:
		tls_words_name(text, sizeof(text), X509_get_subject_name(cert));
		stream_end_set(end, STREAM_TLS_UNTRUSTED, "the certificate is not for servers: %s", text);
		return;
	default:
		tls_words_name(text, sizeof(text), X509_get_issuer_name(cert));
		stream_end_set(end, STREAM_TLS_UNTRUSTED,
		    "the certificate's issuer is not trusted here: %s (%.60s)", text,
		    X509_verify_cert_error_string(error));
	}
}

void
tls_words_certificate(struct stream_end *end, int error, X509 *cert, const char *name)
{
	put_objection(end, error, cert, name);
	tls_words_name(end->issuer, sizeof(end->issuer), X509_get_issuer_name(cert));
}

static bool
is_about_version(int reason)
{
	return reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_VERSION_TOO_LOW ||
	    reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION || reason == SSL_R_WRONG_SSL_VERSION;
}

void
tls_words_error(struct stream_end *end, bool handshake, const char *peer)
{
	enum stream_end_kind kind = handshake ? STREAM_TLS_HANDSHAKE : STREAM_FAILED;
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_REASON(code);
	const char *text = ERR_reason_error_string(code);

	if (is_about_version(reason))
		stream_end_set(end, kind, "the %s offers no TLS version from 1.2 on", peer);
	else if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET)
		stream_end_set(end, kind, "the %s ended TLS with the alert \"%s\"", peer,
		    SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
	else
		stream_end_set(end, kind, "TLS failed: %s", text != NULL ? text : "unknown reason");
	ERR_clear_error();
}
