/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * landlock - which files this thread, and what it starts, can still reach.
 */
#ifndef SYS_LANDLOCK_H
#define SYS_LANDLOCK_H

#include <stdbool.h>

#include "base/err.h"

struct landlock_wish {
	const char *const *read_dirs;	/* NULL-terminated, or NULL */
	const char *const *write_dirs;
	bool		 may_connect;	/* TCP; binding it never may */
};

/* *abi gets the version that was applied. */
int landlock_apply(const struct landlock_wish *, int *abi, struct err *) must_use;

#endif
