/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crypto - the seam to hashing and to randomness fit for secrets.
 *
 * Pure layers are handed one; net/crypto.h has OpenSSL's, tests have one whose random numbers
 * they choose. Each function gives false, and leaves out as it was, where the library can't do it.
 */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include "base/compiler.h"
#include "base/view.h"

#define CRYPTO_HASH_MAX 32	/* bytes of the longest hash */

enum crypto_hash { CRYPTO_MD5, CRYPTO_SHA1, CRYPTO_SHA256 };

struct crypto {
	bool (*random)(uint8_t *out, size_t n) must_use;
	bool (*digest)(enum crypto_hash, struct view text, uint8_t *out) must_use;
	bool (*hmac)(enum crypto_hash, struct view key, struct view text, uint8_t *out) must_use;
	/* PBKDF2 (RFC 8018 5.2) to as many bytes as the hash has. */
	bool (*stretch)(enum crypto_hash, struct view password, struct view salt, unsigned iterations,
	    uint8_t *out) must_use;
};

static inline size_t
crypto_size(enum crypto_hash hash)
{
	return hash == CRYPTO_MD5 ? 16 : hash == CRYPTO_SHA1 ? 20 : 32;
}

#endif
