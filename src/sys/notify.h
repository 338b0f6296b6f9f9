/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify - what a service and systemd tell each other, without libsystemd:
 * sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds_with_names(3).
 *
 * Thread: the supervisor's.
 */
#ifndef SYS_NOTIFY_H
#define SYS_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct notify {
	int	fd;		/* -1: nobody wants to know */
};

/* Opens $NOTIFY_SOCKET, if there is one that can be opened. */
void notify_init(struct notify *);
void notify_done(struct notify *);
/* "READY=1\nSTATUS=...". Never waits; what the receiver does not take is lost. */
void notify_send(const struct notify *, const char *fmt, ...) printf_like(2, 3);
/* RELOADING=1 with the time that systemd wants beside it. */
void notify_reloading(const struct notify *);
/* $WATCHDOG_USEC if it is meant for this process, in ms; 0: none. */
int64_t notify_watchdog_ms(void);

#define ACTIVATION_MAX 16
#define ACTIVATION_UNNAMED "unknown"	/* systemd's own word for it */

struct activated {
	int	fd;		/* made close-on-exec and non-blocking */
	char	name[64];	/* FileDescriptorName=, cut off, or ACTIVATION_UNNAMED */
};

/* The sockets that systemd passed, at most ACTIVATION_MAX; returns how many. More are closed. */
size_t notify_sockets(struct activated out[ACTIVATION_MAX]);

#endif
