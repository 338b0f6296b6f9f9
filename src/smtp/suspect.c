/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/suspect.h"

#include "base/compiler.h"

#include "base/banned.h"

static bool
is_blank(uint8_t c)
{
	return c <= ' ' || c == 0x7f;
}

static struct view
skip_blanks(struct view v)
{
	while (v.n > 0 && is_blank(v.p[0]))
		v = view_from(v, 1);
	return v;
}

static struct view
first_word(struct view v)
{
	size_t n = 0;

	while (n < v.n && !is_blank(v.p[n]))
		n++;
	return view_first(v, n);
}

static struct view
last_word(struct view v)
{
	size_t n;

	while (v.n > 0 && is_blank(v.p[v.n - 1]))
		v.n--;
	for (n = v.n; n > 0 && !is_blank(v.p[n - 1]);)
		n--;
	return view_from(v, n);
}

static bool
is_method(struct view word)
{
	static const struct view methods[] = {
		VIEW("GET"), VIEW("POST"), VIEW("PUT"), VIEW("HEAD"), VIEW("DELETE"), VIEW("OPTIONS"),
		VIEW("CONNECT"), VIEW("TRACE"), VIEW("PATCH"), VIEW("PRI"),	/* RFC 9113 3.4 */
	};

	for (size_t i = 0; i < lengthof(methods); i++)
		if (view_ieq(word, methods[i]))
			return true;
	return false;
}

/* There are more methods than anybody can list: those the end of the line gives away, or its target. */
bool
suspect_is_http(struct view line, bool cut)
{
	struct view verb, target;

	line = skip_blanks(line);
	verb = first_word(line);
	target = skip_blanks(view_from(line, verb.n));
	if (is_method(verb))
		return true;
	if (cut)
		return view_starts(target, VIEW("/")) || view_istarts(target, VIEW("http"));
	return target.n > 0 && view_istarts(last_word(line), VIEW("HTTP/"));
}

/* Spaces in front and control characters are what somebody else may skip. */
bool
suspect_is_text(struct view line, bool cut)
{
	uint8_t verb[4];
	size_t n = 0;

	for (size_t i = 0; i < line.n && n < sizeof(verb); i++)
		if (!is_blank(line.p[i]) || (n > 0 && line.p[i] == ' '))
			verb[n++] = line.p[i];
	if (n < sizeof(verb))
		return cut;		/* nobody can tell */
	return view_ieq(view_of(verb, n), VIEW("BDAT")) || view_ieq(view_of(verb, n), VIEW("DATA"));
}
