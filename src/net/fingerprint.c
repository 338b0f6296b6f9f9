/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/fingerprint.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"

#include "base/banned.h"

#define TEXT_MAX	(1u << 20)

static bool
put_parts(struct buf *out, const struct view *part, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!buf_addf(out, "%zu:", part[i].n) || !buf_add(out, part[i]))
			return false;
	return true;
}

int
fingerprint_make(uint8_t out[FINGERPRINT_SIZE], const uint8_t key[FINGERPRINT_KEY_SIZE],
    const struct view *part, size_t n, struct err *e)
{
	uint8_t whole[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	struct buf text;
	bool ok;

	buf_init(&text, TEXT_MAX);
	ok = put_parts(&text, part, n) && HMAC(EVP_sha256(), key, FINGERPRINT_KEY_SIZE,
	    buf_view(&text).p, buf_len(&text), whole, &size) != NULL && size >= FINGERPRINT_SIZE;
	buf_wipe(&text);
	if (!ok)
		return err_set(e, ERR_SYSTEM, "the login can't be hashed");
	memcpy(out, whole, FINGERPRINT_SIZE);
	return 0;
}
