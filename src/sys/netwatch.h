/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * netwatch - hear from the kernel (rtnetlink) that addresses, routes or links changed.
 *
 * What only says again what was said before is no change: a router's advertisement or
 * a lease that is renewed repeats addresses and routes every few minutes. So the last
 * state of each is remembered, by a hash, up to NETWATCH_SEEN_MAX; beyond it all is
 * forgotten. The loopback interface, addresses of link scope, local routes and the
 * members of bridges and bonds say nothing about the way to a smarthost.
 *
 * Messages that were lost (ENOBUFS) count as a change. What is read in one turn is bounded.
 *
 * Thread: loop thread.
 */
#ifndef SYS_NETWATCH_H
#define SYS_NETWATCH_H

#include "base/err.h"
#include "base/view.h"
#include "sys/loop.h"

#define NETWATCH_SEEN_MAX	512
#define NETWATCH_READS_MAX	16	/* in one turn; the rest in the next ones */

enum netwatch_change {
	NETWATCH_NONE,
	NETWATCH_ADDRESS, NETWATCH_ROUTE, NETWATCH_LINK,
	NETWATCH_LOST		/* something; the kernel had no room to say what */
};
const char *netwatch_word(enum netwatch_change);

struct netwatch;

/* A socket for netwatch_new(); opened before the sandbox. -1: none is to be had. */
int netwatch_open(struct err *) must_use;
/* Takes fd. fn is called once for all that was read in a turn, if any of it is a change. */
struct netwatch *netwatch_new(struct loop *, int fd, void (*fn)(void *owner, enum netwatch_change),
    void *owner);
void netwatch_free(struct netwatch *);

/* --- the judgement, pure ------------------------------------------------------ */

struct netwatch_memory {
	struct {
		uint64_t	thing, state;
	}	seen[NETWATCH_SEEN_MAX];
	size_t	n;
};

/* Of one datagram of the kernel's: the last change in it. What can't be read is skipped. */
enum netwatch_change netwatch_judge(struct netwatch_memory *, struct view messages);

#endif
