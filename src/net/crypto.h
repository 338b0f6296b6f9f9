/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crypto - base/crypto.h by OpenSSL.
 */
#ifndef NET_CRYPTO_H
#define NET_CRYPTO_H

#include "base/crypto.h"

extern const struct crypto crypto_openssl;

#endif
