/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/address.h"

#include <arpa/inet.h>

#include "base/quote.h"

#include "base/banned.h"

#define LABEL_MAX	63
#define LITERAL_MAX	64	/* between the brackets; the longest good one has 50 */

/* Text being parsed and how far we are. */
struct cursor {
	struct view	in;
	size_t		at;
	bool		eight_bit;
};

/* The next byte, or -1 at the end. */
static int
peek(const struct cursor *c)
{
	return c->at < c->in.n ? c->in.p[c->at] : -1;
}

static bool
take(struct cursor *c, int byte)
{
	if (peek(c) != byte)
		return false;
	c->at++;
	return true;
}

static struct view
taken(const struct cursor *c, size_t begin)
{
	return view_of(c->in.p + begin, c->at - begin);
}

/* RFC 5322 3.2.3 atext, the dot, and what SMTPUTF8 adds. */
static bool
is_atom_byte(struct cursor *c, int byte)
{
	static const char marks[] = "!#$%&'*+-/=?^_`{|}~.";

	if (byte >= 0x80) {
		c->eight_bit = true;
		return true;
	}
	if (byte <= 0)
		return false;
	return is_alnum((uint8_t)byte) || memchr(marks, byte, sizeof(marks) - 1) != NULL;
}

/* RFC 5321 4.1.2 Quoted-string: behind the opening quote to behind the closing one. */
static int
parse_quoted(struct cursor *c, struct err *e)
{
	for (;;) {
		int byte = peek(c);

		if (byte < 0)
			return err_set(e, ERR_INPUT, "quoted local part has no closing quote");
		c->at++;
		if (byte == '"')
			return 0;
		if (byte == '\\')
			byte = peek(c), c->at += byte >= 0;
		if (byte >= 0x80)
			c->eight_bit = true;
		else if (byte < 0 || !is_print((uint8_t)byte))
			return err_set(e, ERR_INPUT, "control character in a quoted local part");
	}
}

/*
 * Local-part = Dot-string / Quoted-string. Dots are not counted: addresses such
 * as "a..b" and "a." exist, and their server alone can judge them.
 */
static int
parse_local(struct cursor *c, struct view *out, struct err *e)
{
	size_t begin = c->at;

	if (take(c, '"')) {
		if (parse_quoted(c, e) < 0)
			return -1;
		if (c->at - begin == 2)
			return err_set(e, ERR_INPUT, "local part is empty");
	} else {
		while (is_atom_byte(c, peek(c)))
			c->at++;
	}
	*out = taken(c, begin);
	if (out->n == 0)
		return err_set(e, ERR_INPUT, "local part is empty");
	if (out->n > ADDR_LOCAL_MAX)
		return err_set(e, ERR_INPUT, "local part is longer than %d bytes", ADDR_LOCAL_MAX);
	return 0;
}

/* RFC 5321 4.1.3: of the tags in front of a colon only one was ever registered. */
static bool
is_literal(struct view v)
{
	static const struct view tag = VIEW("IPv6:");
	bool six = view_istarts(v, tag);
	uint8_t address[sizeof(struct in6_addr)];
	char text[LITERAL_MAX + 1];

	if (six)
		v = view_from(v, tag.n);
	memcpy(text, v.p, v.n);
	text[v.n] = '\0';
	return inet_pton(six ? AF_INET6 : AF_INET, text, address) == 1;
}

/* "[192.0.2.1]", "[IPv6:...]": behind the opening bracket to behind the closing one. */
static int
parse_literal(struct cursor *c, struct err *e)
{
	size_t begin = c->at;
	struct view text;

	while (peek(c) > ' ' && peek(c) != ']' && c->at - begin <= LITERAL_MAX)
		c->at++;
	text = taken(c, begin);
	if (!take(c, ']'))
		return err_set(e, ERR_INPUT, "address literal is not closed");
	if (text.n > LITERAL_MAX || !is_literal(text))
		return err_set(e, ERR_INPUT, "address literal is no address");
	return 0;
}

static bool
is_label_byte(struct cursor *c, int byte)
{
	if (byte >= 0x80)
		c->eight_bit = true;
	return byte >= 0x80 || byte == '-' || byte == '_' || (byte > 0 && is_alnum((uint8_t)byte));
}

static int
parse_label(struct cursor *c, struct err *e)
{
	size_t begin = c->at;
	struct view label;

	while (is_label_byte(c, peek(c)))
		c->at++;
	label = taken(c, begin);
	if (label.n == 0)
		return err_set(e, ERR_INPUT, "domain has an empty label or a bad character");
	if (label.n > LABEL_MAX)
		return err_set(e, ERR_INPUT, "domain has a label longer than %d bytes", LABEL_MAX);
	if (label.p[0] == '-' || label.p[label.n - 1] == '-')
		return err_set(e, ERR_INPUT, "domain has a label with a hyphen at its edge");
	return 0;
}

static int
parse_domain(struct cursor *c, struct view *out, struct err *e)
{
	size_t begin = c->at;

	if (take(c, '[')) {
		if (parse_literal(c, e) < 0)
			return -1;
	} else {
		do {
			if (parse_label(c, e) < 0)
				return -1;
		} while (take(c, '.'));
	}
	*out = taken(c, begin);
	if (out->n > ADDR_DOMAIN_MAX)
		return err_set(e, ERR_INPUT, "domain is longer than %d bytes", ADDR_DOMAIN_MAX);
	return 0;
}

/* RFC 5321 4.1.2 A-d-l: "@one,@two:", obsolete, parsed and dropped. */
static int
skip_source_route(struct cursor *c, struct err *e)
{
	struct view domain;

	if (peek(c) != '@')
		return 0;
	do {
		if (!take(c, '@'))
			return err_set(e, ERR_INPUT, "malformed source route");
		if (parse_domain(c, &domain, e) < 0)
			return -1;
	} while (take(c, ','));
	if (!take(c, ':'))
		return err_set(e, ERR_INPUT, "malformed source route");
	return 0;
}

/* RFC 3629, and no control characters of Unicode (RFC 6530 has Net-Unicode, RFC 5198 2). */
static bool
is_clean_utf8(struct view v)
{
	uint32_t point;

	while (v.n > 0) {
		size_t n = quote_utf8(v, &point);

		if (n == 0 || (point >= 0x80 && point < 0xa0))
			return false;
		v = view_from(v, n);
	}
	return true;
}

static int
parse_mailbox(struct cursor *c, struct mailbox *out, struct err *e)
{
	struct mailbox m = { .domain = VIEW("") };
	size_t begin = c->at;

	if (parse_local(c, &m.local, e) < 0)
		return -1;
	if (take(c, '@') && parse_domain(c, &m.domain, e) < 0)
		return -1;
	m.whole = taken(c, begin);
	if (m.whole.n > ADDR_MAX)
		return err_set(e, ERR_INPUT, "address is longer than %d bytes", ADDR_MAX);
	m.eight_bit = c->eight_bit;
	if (m.eight_bit && !is_clean_utf8(m.whole))
		return err_set(e, ERR_INPUT, "address is not UTF-8");
	*out = m;
	return 0;
}

int
mailbox_parse_path(struct mailbox *out, struct view in, size_t *used, bool allow_null, struct err *e)
{
	struct cursor c = { .in = in };
	struct mailbox m = { .whole = VIEW("") };

	if (!take(&c, '<'))
		return err_set(e, ERR_INPUT, "address is not in angle brackets");
	if (allow_null && peek(&c) == '>') {
		c.at++;
	} else {
		if (skip_source_route(&c, e) < 0 || parse_mailbox(&c, &m, e) < 0)
			return -1;
		if (!take(&c, '>'))
			return err_set(e, ERR_INPUT, "bad character in the address, or no closing bracket");
	}
	*out = m;
	*used = c.at;
	return 0;
}

int
mailbox_parse(struct mailbox *out, struct view in, struct err *e)
{
	struct cursor c = { .in = in };
	struct mailbox m;

	if (parse_mailbox(&c, &m, e) < 0)
		return -1;
	if (c.at != in.n)
		return err_set(e, ERR_INPUT, "bad character in the address");
	*out = m;
	return 0;
}

bool
domain_is_valid(struct view v)
{
	struct cursor c = { .in = v };
	struct view domain;

	return parse_domain(&c, &domain, NULL) == 0 && c.at == v.n && !c.eight_bit;
}
