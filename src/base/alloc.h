/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alloc - memory for small, program-sized objects.
 *
 * These end the program when memory is exhausted: it is crash-only and its
 * state is on disk. Memory whose size a peer or the disk decides goes through
 * buf (fallible, with a maximum) instead.
 */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H

#include <stddef.h>

#include "base/compiler.h"

void *xzalloc(size_t n) must_use;			/* zeroed */
void *xcalloc(size_t n, size_t size) must_use;		/* zeroed */
void *xrealloc(void *p, size_t n) must_use;
char *xstrdup(const char *s) must_use;
char *xstrndup(const void *p, size_t n) must_use;	/* copy of n bytes, NUL added */

/* Whole pages, zeroed, which the system has back at once when they are freed. */
void *pages_new(size_t n) must_use;
void pages_free(void *p, size_t n);			/* NULL is fine */

/* After much was freed among what stays: the system has it back where malloc() can do that. */
void memory_give_back(void);

/* Wipe, then free. NULL is fine. */
void secret_free(void *p, size_t n);
/* Wipe in a way the compiler keeps. */
void secret_wipe(void *p, size_t n);

#endif
