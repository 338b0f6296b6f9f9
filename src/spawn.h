/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spawn - start a role: fork, then exec of the descriptor of our own binary.
 *
 * The role gets /dev/null as standard input and output, our standard error,
 * its channel as descriptor 3, nothing else, and a fixed environment.
 *
 * Started as root, the supervisor gives root up, and could not give intake
 * another uid later. So it forks a spawner before: a process that has become
 * intake's user already, holds the binary and one channel, knows neither
 * configuration nor password, and starts intake when told. Its messages: to it
 * "spawn" + channel, "kill SIGNAL"; from it "pid N", "exit STATUS".
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <sys/types.h>

#include "sys/privilege.h"
#include "sys/sandbox.h"

/* name is what ps shows, "posthoused: relay". */
int spawn_exec(pid_t *out, int binary, const char *name, int channel, struct err *) must_use;

/* Forks the spawner; *channel is our end. Call while there is one thread, and before any secret is read. */
int spawner_start(int *channel, int binary, const char *name, const struct identity *,
    const struct sandbox_params *, struct err *) must_use;

#endif
