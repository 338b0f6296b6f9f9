/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * privilege - users by name, and giving up root for good.
 */
#ifndef SYS_PRIVILEGE_H
#define SYS_PRIVILEGE_H

#include <sys/types.h>

#include "base/err.h"

struct identity {
	uid_t	uid;
	gid_t	gid;
};

int privilege_find(struct identity *out, const char *user, struct err *) must_use;
/* For messages: the name, or the number where there is none. */
void privilege_name(char text[40], uid_t);
/* All ids, no further groups, no capabilities; proves that there is no way back. */
int privilege_drop(const struct identity *, struct err *) must_use;

#endif
