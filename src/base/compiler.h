/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * compiler - the few attributes we use, under readable names.
 */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#define must_use	__attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define noreturn_fn	__attribute__((noreturn))
/* For a failure that is truly uninteresting; say why beside it. gcc warns in spite of (void). */
#define ignore_result(expr) do { if (expr) { } } while (0)
#define lengthof(a)	(sizeof(a) / sizeof((a)[0]))

/* The structure that embeds this member. */
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
