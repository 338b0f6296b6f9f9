/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

#define BUF_FIRST 128

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void
buf_done(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ .max = b->max };
}

void
buf_wipe(struct buf *b)
{
	if (b->data != NULL)
		secret_wipe(b->data, b->cap);
	buf_done(b);
}

void
buf_clear(struct buf *b)
{
	b->off = b->len = 0;
}

void
buf_shrink(struct buf *b, size_t keep)
{
	if (buf_len(b) == 0 && b->cap > keep)
		buf_done(b);
}

/* Make cap - len at least n, sliding consumed bytes out before growing. */
static bool
make_room(struct buf *b, size_t n)
{
	size_t used = buf_len(b);
	size_t cap;
	uint8_t *data;

	if (b->cap - b->len >= n)
		return true;
	if (b->off > 0) {
		memmove(b->data, b->data + b->off, used);
		b->off = 0;
		b->len = used;
		if (b->cap - b->len >= n)
			return true;
	}
	cap = b->cap != 0 ? b->cap : BUF_FIRST;
	while (cap - used < n) {
		if (cap > SIZE_MAX / 2)
			return false;
		cap *= 2;
	}
	data = realloc(b->data, cap);
	if (data == NULL)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	if (n > buf_room(b) || !make_room(b, n != 0 ? n : 1))
		return NULL;
	return b->data + b->len;
}

void
buf_grew(struct buf *b, size_t n)
{
	require(n <= b->cap - b->len);
	b->len += n;
}

bool
buf_add(struct buf *b, struct view v)
{
	uint8_t *at = buf_reserve(b, v.n);

	if (at == NULL)
		return false;
	if (v.n != 0)
		memcpy(at, v.p, v.n);
	b->len += v.n;
	return true;
}

bool
buf_add_byte(struct buf *b, uint8_t c)
{
	return buf_add(b, view_of(&c, 1));
}

bool
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, view_str(s));
}

bool
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ok = buf_addv(b, fmt, ap);
	va_end(ap);
	return ok;
}

bool
buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t left = b->cap - b->len;
	int n;

	/* Into what is there; only if it does not fit a second time. */
	va_copy(again, ap);
	n = vsnprintf(left != 0 ? (char *)b->data + b->len : NULL, left, fmt, again);
	va_end(again);
	if (n < 0 || (size_t)n > buf_room(b))
		return false;
	if ((size_t)n >= left) {
		if (!make_room(b, (size_t)n + 1))
			return false;
		(void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);	/* measured above */
	}
	b->len += (size_t)n;
	return true;
}

void
buf_consume(struct buf *b, size_t n)
{
	require(n <= buf_len(b));
	b->off += n;
	if (b->off == b->len)
		b->off = b->len = 0;
}

void
buf_truncate(struct buf *b, size_t n)
{
	require(n <= buf_len(b));
	b->len = b->off + n;
}

const char *
buf_cstr(struct buf *b)
{
	if (!make_room(b, 1))
		return NULL;
	b->data[b->len] = '\0';
	return (const char *)b->data + b->off;
}
