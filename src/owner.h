/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * owner - which program listens on a TCP port, from /proc: for the sentence
 * that says why we can't.
 */
#ifndef OWNER_H
#define OWNER_H

#include <stdbool.h>
#include <stdint.h>

/* "master, pid 812". False if it can't be told (it takes root to see others' sockets). */
bool port_owner(char text[64], uint16_t port);

#endif
