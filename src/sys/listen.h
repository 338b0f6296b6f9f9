/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listen - listening sockets, and who is at the other end of a unix socket.
 *
 * Thread: any; socket_listen() of a unix socket changes the umask for a moment,
 * so before the first thread.
 */
#ifndef SYS_LISTEN_H
#define SYS_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Bound, listening (SOMAXCONN), non-blocking, close-on-exec. IPv6 sockets take
 * IPv6 only. mode: of a unix socket, which replaces what is left of an old one.
 */
int socket_listen(int *out, const struct sockaddr *, socklen_t, mode_t mode, struct err *) must_use;
/* Of a connected unix socket; false for any other kind. */
bool socket_peer_cred(int fd, int64_t *uid, int64_t *pid);
/* A connected stream pair, non-blocking, close-on-exec. */
int socket_pair(int fd[2], struct err *) must_use;

#endif
