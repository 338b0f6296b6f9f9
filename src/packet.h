/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packet - one message of the channel between supervisor and role (role.h): a
 * word, a space and text, and at most one descriptor beside it.
 */
#ifndef PACKET_H
#define PACKET_H

#include "base/err.h"
#include "base/view.h"

#define PACKET_MAX 4096

struct packet {
	struct view	word, rest;	/* borrowed from text; rest is what follows the space */
	int		fd;		/* -1: none; whoever receives it closes it */
	uint8_t		text[PACKET_MAX];
};

/* Both ends, SOCK_SEQPACKET, close-on-exec, non-blocking. */
int packet_pair(int fd[2], struct err *) must_use;
/* fd -1: none. -1 with errno EAGAIN in e: the other side does not read. */
int packet_send(int channel, const char *word, struct view rest, int fd, struct err *) must_use;

enum packet_got { PACKET_GOT, PACKET_NONE, PACKET_CLOSED };
/* NONE: nothing there now. A packet that is too long or garbled is CLOSED: we only talk to ourselves. */
enum packet_got packet_receive(int channel, struct packet *);

#endif
