/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * compiler - the few attributes we use, under readable names.
 */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#define must_use	__attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
#define noreturn_fn	__attribute__((noreturn))
#define lengthof(a)	(sizeof(a) / sizeof((a)[0]))

/* The structure that embeds this member. */
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
