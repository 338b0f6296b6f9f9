/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * holder - who has a file locked, without touching the lock: to try it, even for a
 * moment, could make a daemon fail that starts in that moment.
 */
#ifndef CTL_HOLDER_H
#define CTL_HOLDER_H

#include <stdint.h>

#include "base/view.h"

/* Process id from /proc/locks; 0: nobody, or it can't be known. */
int64_t holder_of(int dir, const char *name);
/* From a text like /proc/locks, for the file of this device and inode. */
int64_t holder_in(struct view locks, unsigned major, unsigned minor, uint64_t inode);

#endif
