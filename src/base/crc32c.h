/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crc32c - Castagnoli checksum (RFC 3720, appendix B.4), hardware where there is some.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/view.h"

/* Continue from crc; begin with 0. crc32c(crc32c(0, a), b) is the sum of a followed by b. */
uint32_t crc32c(uint32_t crc, struct view v);

#endif
