/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/rng.h"

#include "base/require.h"

#include "base/banned.h"

void
rng_init(struct rng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += 0x9e3779b97f4a7c15u;

		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		r->s[i] = z ^ z >> 31;
	}
}

static uint64_t
rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

uint64_t
rng_u64(struct rng *r)
{
	uint64_t result = rotl(r->s[1] * 5, 7) * 9;
	uint64_t t = r->s[1] << 17;

	r->s[2] ^= r->s[0];
	r->s[3] ^= r->s[1];
	r->s[1] ^= r->s[2];
	r->s[0] ^= r->s[3];
	r->s[2] ^= t;
	r->s[3] = rotl(r->s[3], 45);
	return result;
}

uint64_t
rng_below(struct rng *r, uint64_t n)
{
	require(n > 0);
	return (uint64_t)(((unsigned __int128)rng_u64(r) * n) >> 64);
}

int64_t
rng_jitter(struct rng *r, int64_t value, unsigned percent)
{
	int64_t span = value / 100 * (int64_t)percent + value % 100 * (int64_t)percent / 100;

	if (span <= 0)
		return value;
	return value - span + (int64_t)rng_below(r, (uint64_t)(2 * span + 1));
}
