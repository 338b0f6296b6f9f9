/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session_help - what every test of sessions begins with: a world, room for a text, and
 * what is said again and again.
 */
#ifndef UNIT_INTAKE_SESSION_HELP_H
#define UNIT_INTAKE_SESSION_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "world.h"

#define ID VIEW("0123456789abcdef")
#define QUEUED "250 2.0.0 Ok: queued as 0123456789abcdef\r\n"
#define HEAD "Date: x\r\nMessage-ID: <y>\r\n"	/* nothing is missing */
#define DATA_OK "354 End with CRLF.CRLF\r\n"

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

static struct world w;
static struct buf text;

static inline int
setup(void **state)
{
	world_init(&w);
	buf_init(&text, 64u << 20);
	return 0;
}

static inline int
teardown(void **state)
{
	world_done(&w);
	buf_done(&text);
	return 0;
}

static inline void
drained(void *owner)
{
	((struct world *)owner)->drained++;
}

static inline bool
begins(struct view v, const char *want)
{
	return view_starts(v, view_str(want));
}

static inline void
fill(struct wire *c, size_t n)
{
	uint8_t *p = xzalloc(n);

	memset(p, 'x', n);
	(void)say(c, view_of(p, n));
	free(p);
}

static inline size_t
chunk_bytes(struct wire *r, uint64_t transaction)
{
	return relay_text(r, transaction, &text).n;
}

#endif
