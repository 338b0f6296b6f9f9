/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/dsn.h"

#include "base/quote.h"

#include "base/banned.h"

bool
dsn_ret_is_good(struct view v)
{
	return view_ieq(v, VIEW("FULL")) || view_ieq(v, VIEW("HDRS"));
}

static int
hex_digit(uint8_t c)
{
	return is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * RFC 3461 4: xtext = *( xchar / hexchar ), hexchar = "+" and two capital hex digits. What it
 * stands for has to be printable ASCII (4.2, 4.4): it becomes a line of a report.
 */
static bool
is_xtext(struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		int high, low;

		if (v.p[i] <= ' ' || v.p[i] >= 0x7f || v.p[i] == '=')
			return false;
		if (v.p[i] != '+')
			continue;
		if (v.n - i < 3)
			return false;
		high = hex_digit(v.p[i + 1]);
		low = hex_digit(v.p[i + 2]);
		if (high < 0 || low < 0 || !is_print((uint8_t)(high * 16 + low)))
			return false;
		i += 2;
	}
	return v.n > 0;
}

bool
dsn_envid_is_good(struct view v)
{
	return v.n <= DSN_ENVID_MAX && is_xtext(v);
}

bool
dsn_add_xtext(struct buf *out, struct view text)
{
	size_t before = buf_len(out);
	bool ok = true;

	for (size_t i = 0; ok && i < text.n; i++) {
		uint8_t c = text.p[i];

		if (c <= ' ' || c >= 0x7f || c == '+' || c == '=')
			ok = buf_addf(out, "+%02X", c);
		else
			ok = buf_add_byte(out, c);
	}
	if (!ok)
		buf_truncate(out, before);
	return ok;
}

bool
dsn_notify_is_good(struct view v)
{
	static const struct view words[] = { VIEW("SUCCESS"), VIEW("FAILURE"), VIEW("DELAY") };
	unsigned seen = 0;
	struct view word;

	if (view_ieq(v, VIEW("NEVER")))
		return true;
	if (v.n == 0 || view_ends(v, VIEW(",")))
		return false;
	while (view_split(&v, ',', &word)) {
		size_t i = 0;

		while (i < lengthof(words) && !view_ieq(word, words[i]))
			i++;
		if (i == lengthof(words) || (seen & (1u << i)) != 0)
			return false;
		seen |= 1u << i;
	}
	return true;
}

/* Length of the \x{FC} that v begins with, if it stands for something printable; or 0. */
static size_t
embedded(struct view v)
{
	uint32_t point = 0;
	size_t n = 3;

	if (!view_starts(v, VIEW("\\x{")))
		return 0;
	for (; n < v.n && n < 9 && hex_digit(v.p[n]) >= 0; n++)
		point = point * 16 + (uint32_t)hex_digit(v.p[n]);
	if (n < 5 || n == v.n || v.p[n] != '}' || (n > 5 && v.p[3] == '0'))
		return 0;
	if (point < ' ' || (point >= 0x7f && point < 0xa0) || (point >= 0xd800 && point < 0xe000) || point > 0x10ffff)
		return 0;
	return n + 1;
}

/* RFC 6533 3: utf-8-addr-xtext; with utf8 utf-8-addr-unitext. */
static bool
is_utf8_text(struct view v, bool utf8)
{
	uint32_t point;

	for (size_t n = 0; v.n > 0; v = view_from(v, n)) {
		n = v.p[0] == '\\' ? embedded(v) : quote_utf8(v, &point);
		if (n == 0)
			return false;
		if (v.p[0] == '\\')
			continue;
		if (point <= ' ' || point == '+' || point == '=' || (point >= 0x7f && (!utf8 || point < 0xa0)))
			return false;
	}
	return true;
}

bool
dsn_orcpt_is_good(struct view v, bool utf8)
{
	struct view type = view_first(v, view_find(v, ';'));
	struct view text = view_from(v, type.n + 1);

	if (v.n > DSN_ORCPT_MAX || type.n == 0 || text.n == 0)
		return false;
	for (size_t i = 0; i < type.n; i++)
		if (!is_alnum(type.p[i]) && type.p[i] != '-')
			return false;
	if (view_ieq(type, VIEW("utf-8")))
		return is_utf8_text(text, utf8);
	return is_xtext(text);
}

bool
dsn_notifies(struct view notify, struct view word)
{
	struct view one;

	if (notify.n == 0)
		return view_ieq(word, VIEW("FAILURE"));
	while (view_split(&notify, ',', &one))
		if (view_ieq(one, word))
			return true;
	return false;
}
