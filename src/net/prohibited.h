/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * prohibited - did a firewall say no to a connection, and where does it stand?
 *
 * connect(2) calls it "no route to host", or blames our own host: only the ICMP
 * message itself tells. It is kept for sockets that ask for it before they connect.
 */
#ifndef NET_PROHIBITED_H
#define NET_PROHIBITED_H

#include "net/net.h"

void prohibited_watch(int fd);		/* before connect(2) */
/* The connection is there: from now on such messages are no reason to end it (RFC 1122 4.2.3.9). */
void prohibited_forget(int fd);
/* The connection failed. If a firewall did it, end says so and which one. */
void prohibited_explain(int fd, struct stream_end *end);

#endif
