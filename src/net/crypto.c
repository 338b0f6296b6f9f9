/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/crypto.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "base/banned.h"

static const EVP_MD *
hash_of(enum crypto_hash hash)
{
	return hash == CRYPTO_MD5 ? EVP_md5() : hash == CRYPTO_SHA1 ? EVP_sha1() : EVP_sha256();
}

/* What is left in the queue of errors would be taken for one of TLS. */
static bool
done(bool ok)
{
	ERR_clear_error();
	return ok;
}

static bool
draw(uint8_t *out, size_t n)
{
	return done(n <= INT_MAX && RAND_bytes(out, (int)n) == 1);
}

static bool
digest(enum crypto_hash hash, struct view text, uint8_t *out)
{
	return done(EVP_Digest(text.p, text.n, out, NULL, hash_of(hash), NULL) == 1);
}

static bool
hmac(enum crypto_hash hash, struct view key, struct view text, uint8_t *out)
{
	return done(key.n <= INT_MAX &&
	    HMAC(hash_of(hash), key.p, (int)key.n, text.p, text.n, out, NULL) != NULL);
}

static bool
stretch(enum crypto_hash hash, struct view password, struct view salt, unsigned iterations, uint8_t *out)
{
	return done(password.n <= INT_MAX && salt.n <= INT_MAX && iterations <= INT_MAX &&
	    PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, salt.p, (int)salt.n,
	    (int)iterations, hash_of(hash), (int)crypto_size(hash), out) == 1);
}

const struct crypto crypto_openssl = {
	.random = draw, .digest = digest, .hmac = hmac, .stretch = stretch,
};
