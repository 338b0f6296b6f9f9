/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keeper - the process between the supervisor and a configured command.
 *
 * It adopts whatever the command leaves behind, also what has made a session of its own
 * (PR_SET_CHILD_SUBREAPER), and ends all of it when the command has ended, when it gets
 * SIGTERM, or when the supervisor is gone. Then it ends as the command did.
 *
 * Not caught: what another service was asked to start (systemd-run, at), what sleeps in
 * the kernel and can't be killed, what kills the keeper itself.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include <sys/types.h>

#include "base/compiler.h"

#define KEEPER_PATIENCE_MS 2000		/* for what it has killed to be gone */

/* Before the command is forked; parent: who started us. Signals are blocked. */
void keeper_begin(pid_t parent);
void noreturn_fn keeper_run(pid_t command);

#endif
