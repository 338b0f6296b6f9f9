/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rng - seeded generator for jitter and nonces: the seam that makes tests repeatable.
 *
 * Not for secrets. The seed comes from sys/random in the daemon and from the
 * test's seed in the simulator. xoshiro256** (Blackman, Vigna), seeded by splitmix64.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
/* 0 .. n - 1; n > 0 */
uint64_t rng_below(struct rng *r, uint64_t n);
/* value within +-percent of it */
int64_t rng_jitter(struct rng *r, int64_t value, unsigned percent);

#endif
