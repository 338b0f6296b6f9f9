/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * path - is the way to a TCP peer dead, or does the peer only not read?
 *
 * TCP_USER_TIMEOUT ends a connection whose peer acknowledges nothing; but the kernel also
 * ends one whose peer keeps its window shut so long and acknowledges each question for
 * more room (RFC 9293, 3.8.6.1: such a connection stays open). So whoever has bytes
 * on the way asks from time to time: while the window is shut the kernel's limit is
 * lifted, and this module's own judgement stands in for it.
 *
 * And where a router answers "unreachable" the kernel is too patient: each such message makes it
 * wait less between two attempts, and with that its limit comes up to half as late again.
 *
 * Where a path has a smaller MTU than its ends and the router's word about that is filtered, large packets
 * vanish and small ones do not (RFC 2923): the greeting comes, a certificate or a message never does. So
 * segments are small from the start.
 *
 * path_judge() is pure.
 */
#ifndef NET_PATH_H
#define NET_PATH_H

#include <stdbool.h>
#include <stdint.h>

enum path_state {
	PATH_QUIET,		/* all that was written is acknowledged */
	PATH_BUSY,		/* bytes are on the way; the kernel's limit is in force too */
	PATH_SHUT,		/* what was sent is acknowledged, the peer takes no more, and says so */
	PATH_DEAD		/* nothing is acknowledged, or no question for room answered any more */
};

struct path_facts {
	uint32_t	unacked;	/* segments sent and not acknowledged */
	uint32_t	notsent;	/* bytes that wait in the kernel */
	uint32_t	questions;	/* for room, since the last answer */
	uint32_t	since_ack_ms;
	uint64_t	acked;		/* bytes, in all */
	/* So long there were bytes on the way at each look, and acked did not grow; by who looks. */
	int64_t		stuck_ms;
};

enum path_state path_judge(const struct path_facts *, int64_t patience_ms);
/* Not dead, but who has another way may take it: a good path rarely looks like that. */
bool path_is_stuck(const struct path_facts *, int64_t patience_ms);

/* False: no TCP, or the kernel does not tell. */
bool path_facts(int fd, struct path_facts *out);
/* The kernel's limit; 0: none. */
void path_limit(int fd, int64_t ms);
/* Before connecting: in both directions no packet is so large that a path swallows it for its size. */
void path_small_segments(int fd);

#endif
