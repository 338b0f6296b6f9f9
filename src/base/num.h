/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * num - numbers as text, strict: whole view, no sign, no spaces, no overflow.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include "base/compiler.h"
#include "base/view.h"

/* False, with *out untouched, unless the view is a number between min and max. */
bool num_parse_u64(struct view v, uint64_t min, uint64_t max, uint64_t *out) must_use;
bool num_parse_hex(struct view v, uint64_t *out) must_use;	/* 1 to 16 digits */
/* "90", "30s", "5m", "2h", "1d", "250ms" -> milliseconds; a bare number is seconds. */
bool num_parse_duration_ms(struct view v, int64_t *out_ms) must_use;
/* "10240", "64K", "25M", "2G" (powers of 1024) -> bytes. */
bool num_parse_size(struct view v, uint64_t *out) must_use;

/* Lower-case hex, exactly digits columns, no NUL. */
void num_hex(uint8_t *at, unsigned digits, uint64_t value);
/* Decimal likewise, with leading zeros. */
void num_dec(uint8_t *at, unsigned digits, uint64_t value);
#define NUM_TEXT_MAX 20		/* of an int64_t, with its sign, no NUL */
struct view num_text(uint8_t text[NUM_TEXT_MAX], int64_t value);
/* n bytes as 2 n digits, the first byte first, and back: the whole view. */
void num_hex_bytes(uint8_t *at, const uint8_t *byte, size_t n);
bool num_parse_hex_bytes(struct view v, uint8_t *out, size_t n) must_use;
/* "2h 5m", "40s", "250ms": at most two units; cap >= 32. Returns buf. */
const char *num_duration_text(char *text, size_t cap, int64_t ms);

#endif
