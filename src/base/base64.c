/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/base64.h"

#include "base/banned.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool
base64_encode(struct buf *out, struct view in)
{
	size_t need = (in.n + 2) / 3 * 4;
	uint8_t *at = buf_reserve(out, need);

	if (at == NULL)
		return false;
	for (; in.n > 0; in = view_from(in, 3)) {
		uint32_t w = (uint32_t)in.p[0] << 16;

		if (in.n > 1)
			w |= (uint32_t)in.p[1] << 8;
		if (in.n > 2)
			w |= in.p[2];
		*at++ = (uint8_t)alphabet[w >> 18];
		*at++ = (uint8_t)alphabet[w >> 12 & 63];
		*at++ = in.n > 1 ? (uint8_t)alphabet[w >> 6 & 63] : '=';
		*at++ = in.n > 2 ? (uint8_t)alphabet[w & 63] : '=';
	}
	buf_grew(out, need);
	return true;
}

static int
value_of(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
base64_decode(struct buf *out, struct view in)
{
	size_t before = buf_len(out);

	if (in.n % 4 != 0)
		return false;
	for (; in.n > 0; in = view_from(in, 4)) {
		size_t pad = in.n == 4 ? (size_t)(in.p[3] == '=') + (in.p[3] == '=' && in.p[2] == '=') : 0;
		uint32_t w = 0;
		uint8_t bytes[3];

		for (size_t i = 0; i < 4; i++) {
			int value = i < 4 - pad ? value_of(in.p[i]) : 0;

			if (value < 0)
				goto bad;
			w = w << 6 | (uint32_t)value;
		}
		bytes[0] = (uint8_t)(w >> 16);
		bytes[1] = (uint8_t)(w >> 8);
		bytes[2] = (uint8_t)w;
		/* Bits beyond the last byte must be zero: one spelling for one value. */
		if ((pad == 1 && bytes[2] != 0) || (pad == 2 && (bytes[1] != 0 || bytes[2] != 0)))
			goto bad;
		if (!buf_add(out, view_of(bytes, 3 - pad)))
			goto bad;
	}
	return true;
bad:
	buf_truncate(out, before);
	return false;
}
