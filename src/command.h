/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command - run a configured command: no shell, a clean environment, no descriptor of ours
 * but the three it is given, a process group of its own, and a keeper that ends what it
 * leaves behind (keeper.h). The pid is the keeper's; the command's status is the keeper's.
 *
 * How long it may take and how much it may say is the caller's.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <sys/types.h>

#include "base/err.h"

struct command {
	char *const	*argv;		/* argv[0]: an absolute path; NULL-terminated */
	char *const	*env;		/* beside PATH; NULL-terminated, or NULL: none */
	int		 in, out, err;	/* -1: /dev/null; err -1: our own standard error */
};

int command_start(pid_t *out, const struct command *, struct err *) must_use;
/* It and what it started. The keeper is still to be waited for. */
void command_kill(pid_t);
/* -1 unless it ended with status 0; what is "password_command" or the like. */
int command_check(int status, const char *what, const char *name, struct err *) must_use;

/* -1: execve() of it would fail, for us and now. */
int command_is_usable(const char *path, const char *what, struct err *) must_use;

#endif
