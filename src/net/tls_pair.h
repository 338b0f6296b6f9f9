/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_pair - a certificate of our own and its key, as text.
 */
#ifndef NET_TLS_PAIR_H
#define NET_TLS_PAIR_H

#include "base/err.h"
#include "base/view.h"

/* A file of at most so many bytes. */
#define TLS_PEM_MAX 65536

/* PEM, with the names of their files for messages. The caller wipes the key. */
struct tls_pair {
	struct view	 certificate;		/* our own first, its issuers behind it */
	struct view	 key;
	const char	*certificate_file, *key_file;
};

#endif
