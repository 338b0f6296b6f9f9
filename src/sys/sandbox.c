/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "sys/landlock.h"
#include "sys/seccomp.h"

#include "base/banned.h"

const char *const sandbox_resolver_dirs[] = {
	"/etc",
	"/lib",
	"/lib64",
	"/usr/lib",
	"/usr/lib64",
	"/usr/etc",
	"/run/systemd/resolve",
	"/run/resolvconf",
	"/run/NetworkManager",
	"/run/connman",
	NULL
};

int
sandbox_early(struct err *e)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "can't forbid core files");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "can't give up new privileges");
#ifndef WITH_SANITIZERS
	/* The leak check at exit traces its own process. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, errno, "can't forbid others to read our memory");
#endif
	return 0;
}

/* 1: applied, 0: not and that is accepted, -1: fatal. */
static int
weigh(const struct sandbox_params *p, int rc)
{
	if (rc == 0)
		return 1;
	return p->policy == SANDBOX_REQUIRED ? -1 : 0;
}

static int
restrict_files(const struct sandbox_params *p, int *abi, struct err *e)
{
	struct landlock_wish w = { p->read_dirs, p->write_dirs, p->role != SANDBOX_INTAKE && !p->offline };

	if (p->role == SANDBOX_SUPERVISOR && p->read_dirs == NULL && p->write_dirs == NULL)
		return 0;
	return weigh(p, landlock_apply(&w, abi, e));
}

static int
restrict_calls(const struct sandbox_params *p, bool *partial, struct err *e)
{
#ifdef HAVE_SECCOMP
	return weigh(p, seccomp_apply(p->role, partial, e));
#else
	return 0;		/* who builds without it has chosen; the level says so */
#endif
}

static void
say_level(char level[64], int calls, bool partial, int files, int abi)
{
	char landlock[24] = "";
	const char *seccomp = !calls ? "" : partial ? "seccomp-partial" : "seccomp";

	if (files)
		(void)snprintf(landlock, sizeof(landlock), "landlock-%d", abi);
	(void)snprintf(level, 64, "%s%s%s", seccomp, calls && files ? " " : "", landlock);
	if (!calls && !files)
		(void)snprintf(level, 64, "none");
#ifndef HAVE_SECCOMP
	(void)snprintf(level + strlen(level), 64 - strlen(level), " (built without seccomp)");
#endif
}

int
sandbox_apply(const struct sandbox_params *p, char level[64], struct err *e)
{
	int files, calls, abi = 0;
	bool partial = false;

	if (p->policy == SANDBOX_OFF) {
		(void)snprintf(level, 64, "none (off)");
		return 0;
	}
	/* Files first: afterwards the calls that do it are gone. */
	files = restrict_files(p, &abi, e);
	if (files < 0)
		return -1;
	calls = restrict_calls(p, &partial, e);
	if (calls < 0)
		return -1;
	say_level(level, calls, partial, files, abi);
	return 0;
}
