/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * io - readiness of descriptors, and signals, on a libevent loop.
 *
 * Thread: loop thread.
 */
#ifndef SYS_IO_H
#define SYS_IO_H

#include "sys/loop.h"

#define IO_READ 1u
#define IO_WRITE 2u

struct io_watch;

/* fn is called with the bits that are ready. Watches nothing until io_want(). */
struct io_watch *io_watch_new(struct loop *, int fd, void (*fn)(void *arg, unsigned ready), void *arg);
void io_want(struct io_watch *, unsigned bits);		/* IO_READ | IO_WRITE | 0 */
void io_watch_free(struct io_watch *);			/* does not close the descriptor */

/* Calls fn on the loop when signo arrives. */
struct io_signal;
struct io_signal *io_signal_new(struct loop *, int signo, void (*fn)(void *arg, int signo), void *arg);
void io_signal_free(struct io_signal *);

#endif
