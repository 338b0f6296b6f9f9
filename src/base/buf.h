/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buf - growing bytes with a maximum.
 *
 * The maximum is given at init, so that every author thinks of one. An add
 * that would pass it, or finds no memory, returns false and leaves the buffer
 * as it was. data is never NULL after the first add; it is not terminated by
 * NUL except by buf_cstr().
 *
 * Bytes are consumed at the front without moving the rest: data + off .. len.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>

#include "base/compiler.h"
#include "base/view.h"

struct buf {
	uint8_t	*data;
	size_t	 off;		/* consumed at the front */
	size_t	 len;		/* end of the bytes, counted from data */
	size_t	 cap;
	size_t	 max;		/* of the unconsumed bytes */
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);			/* frees; b is as after init */
void buf_wipe(struct buf *b);			/* secrets: zero, then free */
void buf_clear(struct buf *b);			/* empty; keeps the memory */
/* Free the memory of an empty buffer that grew beyond keep bytes. */
void buf_shrink(struct buf *b, size_t keep);

static inline size_t
buf_len(const struct buf *b)
{
	return b->len - b->off;
}

static inline struct view
buf_view(const struct buf *b)
{
	return view_of(b->data != NULL ? b->data + b->off : NULL, b->len - b->off);
}

/* How many more bytes the maximum allows. */
static inline size_t
buf_room(const struct buf *b)
{
	return b->max - (b->len - b->off);
}

bool buf_add(struct buf *b, struct view v) must_use;
bool buf_add_byte(struct buf *b, uint8_t c) must_use;
bool buf_add_str(struct buf *b, const char *s) must_use;
bool buf_addf(struct buf *b, const char *fmt, ...) printf_like(2, 3) must_use;
bool buf_addv(struct buf *b, const char *fmt, va_list ap) printf_like(2, 0) must_use;

/* Space for n more bytes to write into, or NULL; then buf_grew() says how many came. */
uint8_t *buf_reserve(struct buf *b, size_t n) must_use;
void buf_grew(struct buf *b, size_t n);
/* Drop n bytes at the front. */
void buf_consume(struct buf *b, size_t n);
/* Cut to the first n unconsumed bytes. */
void buf_truncate(struct buf *b, size_t n);
/* The bytes with a NUL behind them; NULL when there is no memory for it. */
const char *buf_cstr(struct buf *b);

#endif
