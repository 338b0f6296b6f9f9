/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/num.h"

#include <stdio.h>

#include "base/banned.h"

bool
num_parse_u64(struct view v, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (v.n == 0 || v.n > 20)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		uint64_t digit = (uint64_t)v.p[i] - '0';

		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (n < min || n > max)
		return false;
	*out = n;
	return true;
}

bool
num_parse_hex(struct view v, uint64_t *out)
{
	uint64_t n = 0;

	if (v.n == 0 || v.n > 16)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = to_lower(v.p[i]);

		if (is_digit(c))
			n = n << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = n << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*out = n;
	return true;
}

/* The number in front and the unit behind it. */
static bool
split_unit(struct view v, uint64_t *n, struct view *unit)
{
	size_t digits = 0;

	while (digits < v.n && is_digit(v.p[digits]))
		digits++;
	*unit = view_from(v, digits);
	return num_parse_u64(view_first(v, digits), 0, UINT64_MAX, n);
}

struct unit {
	const char	*word;
	uint64_t	 factor;
};

static bool
scale(struct view v, const struct unit *units, uint64_t max, uint64_t *out)
{
	struct view word;
	uint64_t n;

	if (!split_unit(v, &n, &word))
		return false;
	for (; units->word != NULL; units++) {
		if (!view_eq(word, view_str(units->word)))
			continue;
		if (n > max / units->factor)
			return false;
		*out = n * units->factor;
		return true;
	}
	return false;
}

bool
num_parse_duration_ms(struct view v, int64_t *out_ms)
{
	static const struct unit units[] = {
		{ "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "min", 60000 },
		{ "h", 3600000 }, { "d", 86400000 }, { "w", 604800000 }, { NULL, 0 }
	};
	uint64_t n;

	if (!scale(v, units, INT64_MAX, &n))
		return false;
	*out_ms = (int64_t)n;
	return true;
}

bool
num_parse_size(struct view v, uint64_t *out)
{
	static const struct unit units[] = {
		{ "", 1 }, { "K", 1u << 10 }, { "M", 1u << 20 }, { "G", 1u << 30 },
		{ "T", (uint64_t)1 << 40 }, { NULL, 0 }
	};

	return scale(v, units, INT64_MAX, out);
}

void
num_hex(uint8_t *at, unsigned digits, uint64_t value)
{
	while (digits-- > 0) {
		at[digits] = (uint8_t)"0123456789abcdef"[value & 15];
		value >>= 4;
	}
}

void
num_dec(uint8_t *at, unsigned digits, uint64_t value)
{
	while (digits-- > 0) {
		at[digits] = (uint8_t)('0' + value % 10);
		value /= 10;
	}
}

struct view
num_text(uint8_t text[NUM_TEXT_MAX], int64_t value)
{
	uint64_t left = value < 0 ? -(uint64_t)value : (uint64_t)value;
	uint8_t *at = text + NUM_TEXT_MAX;

	do {
		*--at = (uint8_t)('0' + left % 10);
		left /= 10;
	} while (left != 0);
	if (value < 0)
		*--at = '-';
	return view_of(at, (size_t)(text + NUM_TEXT_MAX - at));
}

void
num_hex_bytes(uint8_t *at, const uint8_t *byte, size_t n)
{
	for (size_t i = 0; i < n; i++)
		num_hex(at + 2 * i, 2, byte[i]);
}

bool
num_parse_hex_bytes(struct view v, uint8_t *out, size_t n)
{
	uint64_t byte;

	if (v.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!num_parse_hex(view_first(view_from(v, 2 * i), 2), &byte))
			return false;
		out[i] = (uint8_t)byte;
	}
	return true;
}

const char *
num_duration_text(char *text, size_t cap, int64_t ms)
{
	long long s = ms / 1000;

	if (ms < 0)
		(void)snprintf(text, cap, "-");
	else if (ms < 1000)
		(void)snprintf(text, cap, "%dms", (int)ms);
	else if (s < 60)
		(void)snprintf(text, cap, "%llds", s);
	else if (s < 3600)
		(void)snprintf(text, cap, "%lldm %llds", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(text, cap, "%lldh %lldm", s / 3600, s / 60 % 60);
	else
		(void)snprintf(text, cap, "%lldd %lldh", s / 86400, s / 3600 % 24);
	return text;
}
