/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * whole - all of a file at once.
 */
#ifndef SYS_WHOLE_H
#define SYS_WHOLE_H

#include "base/buf.h"
#include "base/err.h"

/* All of a regular or memory file; -1 if it is longer than the buffer allows. */
int read_whole(int fd, struct buf *out, struct err *) must_use;

#endif
