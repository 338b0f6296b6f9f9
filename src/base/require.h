/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * require - broken invariants end the program; surprises are counted.
 *
 * require(): always compiled. For caller errors and our own invariants, never
 * for input, disk content, the environment, or memory whose size a peer sets.
 * weird(): "cannot happen, but we can go on": true when it happened, counted,
 * fatal in test and sanitizer builds (--enable-fatal-weird).
 */
#ifndef BASE_REQUIRE_H
#define BASE_REQUIRE_H

#include <stdbool.h>

#include "base/compiler.h"

#define require(cond) \
	((cond) ? (void)0 : require_failed(#cond, __FILE__, __LINE__))
#define weird(cond) \
	((cond) ? weird_happened(#cond, __FILE__, __LINE__) : false)

void require_failed(const char *what, const char *file, int line) noreturn_fn;
bool weird_happened(const char *what, const char *file, int line);

/* How often weird() was true since start; shown by status. */
unsigned long weird_count(void);

#endif
