/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/crc32c.h"

#include <stdatomic.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "base/banned.h"

#define POLY 0x82f63b78u	/* 0x1edc6f41 reflected */

/* Four bits at a time: 64 bytes of table, computed by the compiler. */
#define N1(c) (((c) >> 1) ^ (((c) & 1) ? POLY : 0))
#define N4(c) N1(N1(N1(N1((uint32_t)(c)))))

static const uint32_t nibble[16] = {
	N4(0), N4(1), N4(2), N4(3), N4(4), N4(5), N4(6), N4(7),
	N4(8), N4(9), N4(10), N4(11), N4(12), N4(13), N4(14), N4(15)
};

static uint32_t
soft(uint32_t crc, const uint8_t *p, size_t n)
{
	while (n-- > 0) {
		crc ^= *p++;
		crc = (crc >> 4) ^ nibble[crc & 15];
		crc = (crc >> 4) ^ nibble[crc & 15];
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
hard(uint32_t crc, const uint8_t *p, size_t n)
{
	uint64_t c = crc;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		c = _mm_crc32_u64(c, word);
	}
	crc = (uint32_t)c;
	while (n-- > 0)
		crc = _mm_crc32_u8(crc, *p++);
	return crc;
}
#endif

uint32_t
crc32c(uint32_t crc, struct view v)
{
	crc = ~crc;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~hard(crc, v.p, v.n);
#endif
	return ~soft(crc, v.p, v.n);
}
