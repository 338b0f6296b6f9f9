/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox - what a role may no longer do once it is set up.
 *
 * Applied after set-up and before the first thread: no_new_privs, non-dumpable,
 * Landlock (file system; TCP bind and connect where the kernel has ABI 4), then
 * seccomp. seccomp kills the process on calls that no code of ours makes, and
 * answers EPERM to the rest that libraries may try.
 */
#ifndef SYS_SANDBOX_H
#define SYS_SANDBOX_H

#include "base/buf.h"
#include "base/err.h"

enum sandbox_role { SANDBOX_SUPERVISOR, SANDBOX_INTAKE, SANDBOX_RELAY };
enum sandbox_policy { SANDBOX_REQUIRED, SANDBOX_BEST_EFFORT, SANDBOX_OFF };

struct sandbox_params {
	enum sandbox_role	 role;
	enum sandbox_policy	 policy;
	const char *const	*read_dirs;	/* NULL-terminated, or NULL; absent ones are skipped */
	const char *const	*write_dirs;	/* also for reading */
	bool			 offline;	/* no TCP connection */
};

/* What name lookup through the C library reads: hosts, resolv.conf, modules. NULL-terminated. */
extern const char *const sandbox_resolver_dirs[];

/*
 * The supervisor gets Landlock only if it names directories, because what it
 * executes inherits it; its system calls are limited by a list of what is denied.
 *
 * Fatal errors under SANDBOX_REQUIRED give -1. *level gets what was reached in
 * words: "seccomp landlock-5", "landlock-5 (built without seccomp)", "none (off)".
 * A sanitizer build, whose run-time needs more, says "seccomp-partial".
 */
int sandbox_apply(const struct sandbox_params *, char level[64], struct err *) must_use;

/* Non-dumpable, no core files, no_new_privs; every role, first thing. */
int sandbox_early(struct err *) must_use;

#endif
