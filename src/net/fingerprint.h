/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fingerprint - a keyed hash by which a login is known again without being kept.
 *
 * HMAC-SHA-256, cut in half. Without the key nothing can be guessed from it; with key and
 * fingerprint passwords can be tried offline, so both are for their owner's eyes alone.
 */
#ifndef NET_FINGERPRINT_H
#define NET_FINGERPRINT_H

#include "base/err.h"
#include "base/view.h"

#define FINGERPRINT_SIZE	16
#define FINGERPRINT_KEY_SIZE	32

/* Of n parts; where one ends and the next begins counts. */
int fingerprint_make(uint8_t out[FINGERPRINT_SIZE], const uint8_t key[FINGERPRINT_KEY_SIZE],
    const struct view *part, size_t n, struct err *) must_use;

#endif
