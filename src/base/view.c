/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/view.h"

#include "base/banned.h"

bool
view_eq(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
view_ieq_bytes(struct view a, struct view b)
{
	for (size_t i = 0; i < a.n; i++)
		if (to_lower(a.p[i]) != to_lower(b.p[i]))
			return false;
	return true;
}

bool
view_starts(struct view v, struct view prefix)
{
	return view_eq(view_first(v, prefix.n), prefix);
}

bool
view_istarts(struct view v, struct view prefix)
{
	return view_ieq(view_first(v, prefix.n), prefix);
}

bool
view_ends(struct view v, struct view suffix)
{
	return v.n >= suffix.n && view_eq(view_from(v, v.n - suffix.n), suffix);
}

size_t
view_find(struct view v, uint8_t c)
{
	const uint8_t *at = v.n != 0 ? memchr(v.p, c, v.n) : NULL;

	return at != NULL ? (size_t)(at - v.p) : v.n;
}

size_t
view_search(struct view v, struct view needle)
{
	const uint8_t *at;

	if (needle.n == 0)
		return 0;
	if (v.n < needle.n)
		return v.n;
	at = memmem(v.p, v.n, needle.p, needle.n);
	return at != NULL ? (size_t)(at - v.p) : v.n;
}

struct view
view_from(struct view v, size_t at)
{
	if (at > v.n)
		at = v.n;
	return view_of(v.p != NULL ? v.p + at : NULL, v.n - at);
}

struct view
view_first(struct view v, size_t n)
{
	return view_of(v.p, n < v.n ? n : v.n);
}

struct view
view_trim(struct view v)
{
	while (v.n > 0 && (v.p[0] == ' ' || v.p[0] == '\t'))
		v = view_from(v, 1);
	while (v.n > 0 && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
		v.n--;
	return v;
}

bool
view_is_ascii(struct view v)
{
	size_t i = 0;
	uint64_t word, sum = 0;

	for (; i + sizeof(word) <= v.n; i += sizeof(word)) {
		memcpy(&word, v.p + i, sizeof(word));
		sum |= word;
	}
	for (; i < v.n; i++)
		sum |= v.p[i];
	return (sum & UINT64_C(0x8080808080808080)) == 0;
}

bool
view_split(struct view *io, uint8_t c, struct view *out)
{
	size_t at;

	*out = view_first(*io, 0);
	if (io->n == 0)
		return false;
	at = view_find(*io, c);
	*out = view_first(*io, at);
	*io = view_from(*io, at + 1);
	return true;
}
