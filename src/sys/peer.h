/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peer - which user a local connection comes from.
 *
 * Of a unix socket the kernel says it. Of TCP it is asked by netlink (sock_diag) for the
 * one socket at the other end; who only guessed, or took what is left of a socket that was
 * closed, would name root. The user is the one who made the socket, whoever has it now.
 *
 * Thread: loop thread. The socket is opened, and asked once, before the sandbox: the kernel
 * may have to load a module.
 */
#ifndef SYS_PEER_H
#define SYS_PEER_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/view.h"

enum peer_found {
	PEER_FOUND,
	PEER_CLOSED,		/* it has closed its end, at least for sending */
	PEER_OTHER_NETWORK,	/* in another network namespace: nothing is known of its sockets */
	PEER_OTHER_USERS,	/* a user whom our user namespace does not have */
	PEER_NOT_ASKED		/* the kernel can't be asked */
};

struct peer_finder {
	int		fd;		/* -1: TCP can't be asked for */
	uint32_t	sequence;
	int64_t		nobody;		/* uid that stands for all those of other user namespaces; -1: none */
};

/* Always usable; -1: of TCP peers nothing will be known, for e. */
int peer_finder_init(struct peer_finder *, struct err *e) must_use;
void peer_finder_done(struct peer_finder *);
/* fd: a socket that accept() returned, and the address beside it. *pid -1: not known. */
enum peer_found peer_find(struct peer_finder *, int fd, const struct sockaddr *peer, int64_t *uid,
    int64_t *pid);
/* "closed", "other-network", "other-users", "not-asked"; NULL for PEER_FOUND. */
const char *peer_found_word(enum peer_found);

/* What the kernel's answer says to the question with this number, for the socket with these ports. */
enum peer_answer { PEER_ANSWER_FOUND, PEER_ANSWER_NONE, PEER_ANSWER_CLOSED, PEER_ANSWER_STRANGE };
struct peer_question {
	uint32_t	sequence;
	uint16_t	own_port, peer_port;
};
enum peer_answer peer_answer_judge(const struct peer_question *, struct view answer, int64_t *uid);
/* The uid that hides others, by the text of /proc/self/uid_map; -1: none, all users are ours. */
int64_t peer_nobody(struct view uid_map, struct view overflowuid);

#endif
