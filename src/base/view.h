/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view - borrowed bytes: pointer and length, never NUL-terminated.
 *
 * Valid until the owner of the bytes changes them. Comparison and character
 * classes are ASCII only and independent of the locale.
 */
#ifndef BASE_VIEW_H
#define BASE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
	const uint8_t	*p;
	size_t		 n;
};

/* For literals only: the length is taken at compile time. */
#define VIEW(lit) ((struct view){ (const uint8_t *)("" lit), sizeof(lit) - 1 })
/* For "%.*s". */
#define VIEW_ARG(v) (int)(v).n, (const char *)(v).p

static inline struct view
view_of(const void *p, size_t n)
{
	return (struct view){ p, n };
}

static inline struct view
view_str(const char *s)
{
	return (struct view){ (const uint8_t *)s, s != NULL ? strlen(s) : 0 };
}

bool view_eq(struct view a, struct view b);
bool view_ieq_bytes(struct view a, struct view b);	/* of the same length; for view_ieq() */
bool view_starts(struct view v, struct view prefix);
bool view_istarts(struct view v, struct view prefix);
bool view_ends(struct view v, struct view suffix);
/* Index of the first byte c, or v.n. */
size_t view_find(struct view v, uint8_t c);
/* Index of the first occurrence of needle, or v.n. */
size_t view_search(struct view v, struct view needle);
bool view_is_ascii(struct view v);	/* no byte above 127 */
/* Both cut to what is there: never out of bounds. */
struct view view_from(struct view v, size_t at);
struct view view_first(struct view v, size_t n);
/* Without spaces and tabs at both ends. */
struct view view_trim(struct view v);
/*
 * Take everything before the first byte c off *io and step over c. False, with
 * *out empty, when *io was empty already.
 */
bool view_split(struct view *io, uint8_t c, struct view *out);

static inline bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_alpha(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
is_alnum(uint8_t c)
{
	return is_digit(c) || is_alpha(c);
}

static inline bool
is_print(uint8_t c)		/* ASCII, space included */
{
	return c >= 0x20 && c < 0x7f;
}

static inline uint8_t
to_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static inline uint8_t
to_upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? (uint8_t)(c - 32) : c;
}

/* ASCII case ignored. Most pairs differ in length already, or at once. */
static inline bool
view_ieq(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || (to_lower(a.p[0]) == to_lower(b.p[0]) && view_ieq_bytes(a, b)));
}

#endif
