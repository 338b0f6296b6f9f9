/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/seed.h"

#include <sys/random.h>
#include <sys/types.h>

#include "base/require.h"

#include "base/banned.h"

uint64_t
random_seed(void)
{
	uint64_t n;

	/* Up to 256 bytes come whole or not at all, and the pool is ready long before us. */
	require(getrandom(&n, sizeof(n), 0) == (ssize_t)sizeof(n));
	return n;
}
