/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * By system call numbers and our own copy of the kernel's structures: a build
 * against old headers still uses what a newer kernel has.
 */
#include "sys/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/banned.h"

/* The same on all architectures. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset	444
#define SYS_landlock_add_rule		445
#define SYS_landlock_restrict_self	446
#endif

#define NEWEST_KNOWN	6
#define ASK_VERSION	1u		/* LANDLOCK_CREATE_RULESET_VERSION */
#define PATH_BENEATH	1		/* LANDLOCK_RULE_PATH_BENEATH */

/* struct landlock_ruleset_attr as of version 6; older kernels take its beginning. */
struct ruleset {
	uint64_t	fs;
	uint64_t	net;		/* from version 4 */
	uint64_t	scope;		/* from version 6 */
};

struct path_rule {
	uint64_t	allowed;
	int32_t		dir;
} __attribute__((packed));

enum {
	FS_EXECUTE	= 1 << 0,
	FS_WRITE_FILE	= 1 << 1,
	FS_READ_FILE	= 1 << 2,
	FS_READ_DIR	= 1 << 3,
	FS_REMOVE_DIR	= 1 << 4,
	FS_REMOVE_FILE	= 1 << 5,
	FS_MAKE_CHAR	= 1 << 6,
	FS_MAKE_DIR	= 1 << 7,
	FS_MAKE_REG	= 1 << 8,
	FS_MAKE_SOCK	= 1 << 9,
	FS_MAKE_FIFO	= 1 << 10,
	FS_MAKE_BLOCK	= 1 << 11,
	FS_MAKE_SYM	= 1 << 12,
	FS_REFER	= 1 << 13,	/* version 2 */
	FS_TRUNCATE	= 1 << 14,	/* version 3 */
	FS_IOCTL_DEV	= 1 << 15,	/* version 5 */

	NET_BIND_TCP	= 1 << 0,
	NET_CONNECT_TCP	= 1 << 1,

	SCOPE_ABSTRACT_SOCKET = 1 << 0,
	SCOPE_SIGNAL	= 1 << 1
};

#define FS_READING	(FS_READ_FILE | FS_READ_DIR)
#define FS_WRITING	(FS_READING | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | \
			 FS_MAKE_REG | FS_REFER | FS_TRUNCATE)

static uint64_t
fs_rights(int abi)
{
	uint64_t all = FS_REFER - 1;		/* version 1 */

	if (abi >= 2)
		all |= FS_REFER;
	if (abi >= 3)
		all |= FS_TRUNCATE;
	if (abi >= 5)
		all |= FS_IOCTL_DEV;
	return all;
}

static size_t
ruleset_size(int abi)
{
	if (abi >= 6)
		return sizeof(struct ruleset);
	return abi >= 4 ? offsetof(struct ruleset, scope) : offsetof(struct ruleset, net);
}

static int
allow_dir(int ruleset, const char *dir, uint64_t rights, struct err *e)
{
	struct path_rule rule = { .allowed = rights };
	int rc = 0;

	rule.dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.dir < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 :
		    err_sys(e, errno, "can't open directory %s for the sandbox", dir);
	if (syscall(SYS_landlock_add_rule, ruleset, PATH_BENEATH, &rule, 0) < 0)
		rc = err_sys(e, errno, "can't allow %s in the sandbox", dir);
	(void)close(rule.dir);		/* only a name */
	return rc;
}

static int
allow_dirs(int ruleset, const char *const *dirs, uint64_t rights, struct err *e)
{
	for (; dirs != NULL && *dirs != NULL; dirs++)
		if (allow_dir(ruleset, *dirs, rights, e) < 0)
			return -1;
	return 0;
}

int
landlock_apply(const struct landlock_wish *w, int *abi, struct err *e)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
	int v = version > NEWEST_KNOWN ? NEWEST_KNOWN : (int)version;
	struct ruleset attr = { .fs = fs_rights(v), .net = NET_BIND_TCP,
	    .scope = SCOPE_ABSTRACT_SOCKET | SCOPE_SIGNAL };
	int ruleset, rc = -1;

	if (version < 1)
		return err_set(e, ERR_SYSTEM, "this kernel has no Landlock");
	if (!w->may_connect)
		attr.net |= NET_CONNECT_TCP;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, ruleset_size(v), 0);
	if (ruleset < 0)
		return err_sys(e, errno, "can't make Landlock rules");
	if (allow_dirs(ruleset, w->read_dirs, FS_READING & attr.fs, e) < 0 ||
	    allow_dirs(ruleset, w->write_dirs, FS_WRITING & attr.fs, e) < 0)
		goto out;
#ifdef WITH_SANITIZERS
	/* Their run-time reads the memory map and lists the threads. */
	if (allow_dir(ruleset, "/proc", FS_READING & attr.fs, e) < 0)
		goto out;
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
		(void)err_sys(e, errno, "can't apply Landlock");
		goto out;
	}
	*abi = v;
	rc = 0;
out:
	(void)close(ruleset);		/* applied, or of no use */
	return rc;
}
