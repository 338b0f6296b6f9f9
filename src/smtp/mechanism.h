/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mechanism - the ways to log in (SASL, RFC 4422), by name, and which one is taken.
 *
 * Sets of them are bits. What is to be shown differs: a password, a token that someone else gave
 * out (OAuth 2.0), or the certificate that TLS has shown already.
 */
#ifndef SMTP_MECHANISM_H
#define SMTP_MECHANISM_H

#include "base/view.h"

enum sasl_mechanism {		/* the strongest first: so they are chosen */
	SASL_EXTERNAL,		/* RFC 4422 A */
	SASL_SCRAM_SHA_256,	/* RFC 7677 */
	SASL_SCRAM_SHA_1,	/* RFC 5802 */
	SASL_OAUTHBEARER,	/* RFC 7628 */
	SASL_XOAUTH2,		/* the same before that RFC; Google, Microsoft */
	SASL_CRAM_MD5,		/* RFC 2195 */
	SASL_PLAIN,		/* RFC 4616 */
	SASL_LOGIN,		/* no RFC */
	SASL_COUNT
};

#define MECHANISM(m)		(1u << (m))
#define MECHANISMS_ALL		(MECHANISM(SASL_COUNT) - 1)
#define MECHANISMS_TOKEN	(MECHANISM(SASL_OAUTHBEARER) | MECHANISM(SASL_XOAUTH2))
#define MECHANISMS_PASSWORD	(MECHANISMS_ALL & ~MECHANISMS_TOKEN & ~MECHANISM(SASL_EXTERNAL))

const char *mechanism_name(enum sasl_mechanism);
/* Case is ignored. SASL_COUNT: none of ours. */
enum sasl_mechanism mechanism_find(struct view name);
/* The strongest of a set; SASL_COUNT: it is empty. */
enum sasl_mechanism mechanism_best(unsigned set);

#endif
