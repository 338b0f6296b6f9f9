/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/quote.h"

#include "base/banned.h"

static bool
log_byte(struct buf *out, uint8_t c)
{
	switch (c) {
	case '"':
		return buf_add_str(out, "\\\"");
	case '\\':
		return buf_add_str(out, "\\\\");
	case '\n':
		return buf_add_str(out, "\\n");
	case '\r':
		return buf_add_str(out, "\\r");
	case '\t':
		return buf_add_str(out, "\\t");
	default:
		return is_print(c) ? buf_add_byte(out, c) : buf_addf(out, "\\x%02x", c);
	}
}

bool
quote_log(struct buf *out, struct view v, size_t max)
{
	size_t before = buf_len(out);
	bool ok = buf_add_byte(out, '"');

	for (size_t i = 0; ok && i < v.n && i < max; i++)
		ok = log_byte(out, v.p[i]);
	if (ok && v.n > max)
		ok = buf_add_str(out, "...");
	if (ok && buf_add_byte(out, '"'))
		return true;
	buf_truncate(out, before);
	return false;
}

size_t
quote_utf8(struct view v, uint32_t *point)
{
	uint8_t a = v.p[0];
	size_t n = a < 0x80 ? 1 : a >= 0xc2 && a <= 0xdf ? 2 : (a & 0xf0) == 0xe0 ? 3 :
	    a >= 0xf0 && a <= 0xf4 ? 4 : 0;
	uint32_t value = n == 1 ? a : a & (0x7fu >> n);

	if (n == 0 || n > v.n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((v.p[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (v.p[i] & 0x3fu);
	}
	if ((a == 0xe0 && v.p[1] < 0xa0) || (a == 0xed && v.p[1] > 0x9f) ||
	    (a == 0xf0 && v.p[1] < 0x90) || (a == 0xf4 && v.p[1] > 0x8f))
		return 0;
	*point = value;
	return n;
}

bool
quote_json(struct buf *out, struct view v)
{
	size_t before = buf_len(out);
	bool ok = buf_add_byte(out, '"');
	uint32_t point;

	while (ok && v.n > 0) {
		size_t n = quote_utf8(v, &point);

		if (n == 0) {
			ok = buf_add_str(out, "\xef\xbf\xbd");
			n = 1;
		} else if (v.p[0] == '"' || v.p[0] == '\\') {
			ok = buf_add_byte(out, '\\') && buf_add_byte(out, v.p[0]);
		} else if (v.p[0] < 0x20 || v.p[0] == 0x7f) {
			ok = buf_addf(out, "\\u%04x", v.p[0]);
		} else {
			ok = buf_add(out, view_first(v, n));
		}
		v = view_from(v, n);
	}
	if (ok && buf_add_byte(out, '"'))
		return true;
	buf_truncate(out, before);
	return false;
}

bool
quote_unicode(struct buf *out, struct view v)
{
	size_t before = buf_len(out), n;
	bool ok = true;
	uint32_t point;

	for (; ok && v.n > 0; v = view_from(v, n > 0 ? n : 1)) {
		n = quote_utf8(v, &point);
		if (n > 1)
			ok = buf_addf(out, "\\x{%02X}", (unsigned)point);
		else
			ok = buf_add_byte(out, n == 1 ? v.p[0] : '?');
	}
	if (!ok)
		buf_truncate(out, before);
	return ok;
}

void
quote_flatten(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_print(p[i]))
			p[i] = '?';
}
