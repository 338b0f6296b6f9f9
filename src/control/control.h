/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control - the control and status sockets of relay (doc/control.md).
 *
 * Thread: loop thread. Limits: CONTROL_CONNECTIONS at one time on each socket, of these
 * CONTROL_PER_USER by one user of the status socket, one request each, 10 s for it, 60 s for
 * the answer to be taken; and what a user may ask in a second (control/toll.h).
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include "relay/relay.h"

#define CONTROL_CONNECTIONS 32
#define CONTROL_PER_USER 4

struct control;

struct control_env {
	/* uid of a unix socket's peer; false: unknown, who then sees no mail. */
	bool	(*peer_cred)(int fd, int64_t *uid, int64_t *pid);
	int64_t	own_uid;
};

struct control *control_new(struct relay *, const struct control_env *);
/* A connection; takes over s. read_only: it came in on status.sock. */
void control_accept(struct control *, struct stream *s, bool read_only);
/* Listen on bound descriptors (either may be -1), which are closed at the end. */
void control_listen(struct control *, int control_fd, int status_fd);
void control_free(struct control *);		/* before relay_free() */

#endif
