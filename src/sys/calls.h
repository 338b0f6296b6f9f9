/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * calls - system calls of Linux that not every C library has yet: musl got
 * preadv2() with 1.2.5, and renameat2() later still.
 */
#ifndef SYS_CALLS_H
#define SYS_CALLS_H

#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef HAVE_PREADV2
static inline ssize_t
preadv2(int fd, const struct iovec *v, int n, off_t at, int flags)
{
	/* The kernel takes the offset in two halves; of the upper one it needs nothing where
	 * a long holds all. */
	return syscall(SYS_preadv2, fd, v, n, (long)at, (long)((uint64_t)at >> 32), flags);
}
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

#ifndef HAVE_RENAMEAT2
static inline int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#endif

#endif
