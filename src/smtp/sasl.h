/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sasl - what PLAIN (RFC 4616) and LOGIN say, in base64.
 *
 * Intermediate copies are wiped; out holds secrets afterwards and is the
 * caller's to wipe. Room is reserved first, so that growing out leaves no copy
 * of a secret behind.
 */
#ifndef SMTP_SASL_H
#define SMTP_SASL_H

#include "base/buf.h"

#define SASL_WORD_MAX 4096	/* longest user name or password */

/* False if a word is too long or holds a NUL, or when out is full. */
bool sasl_add_plain(struct buf *out, struct view user, struct view password) must_use;
bool sasl_add_word(struct buf *out, struct view word) must_use;

#endif
