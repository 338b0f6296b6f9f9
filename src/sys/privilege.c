/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/privilege.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/banned.h"

int
privilege_find(struct identity *out, const char *user, struct err *e)
{
	char room[16384];
	struct passwd pw, *found = NULL;
	int rc = getpwnam_r(user, &pw, room, sizeof(room), &found);

	if (rc != 0)
		return err_sys(e, rc, "can't look up the user \"%s\"", user);
	if (found == NULL)
		return err_set(e, ERR_GONE, "there is no user \"%s\"", user);
	out->uid = pw.pw_uid;
	out->gid = pw.pw_gid;
	return 0;
}

void
privilege_name(char text[40], uid_t uid)
{
	char room[16384];
	struct passwd pw, *found = NULL;

	if (getpwuid_r(uid, &pw, room, sizeof(room), &found) == 0 && found != NULL)
		(void)snprintf(text, 40, "%.32s", pw.pw_name);
	else
		(void)snprintf(text, 40, "%u", (unsigned)uid);
}

/*
 * What a program with file capabilities could get. no_new_privs forbids the same,
 * so where a container's root may not do this, nothing is lost.
 */
static void
drop_bounds(void)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

int
privilege_drop(const struct identity *id, struct err *e)
{
	uid_t r, f, s;

	if (id->uid == 0 || id->gid == 0)
		return err_set(e, ERR_DENIED, "this user or its group is root itself");
	drop_bounds();
	if (setgroups(0, NULL) != 0)
		return err_sys(e, errno, "can't give up groups");
	/* Root's capabilities go with its uid. */
	if (setresgid(id->gid, id->gid, id->gid) != 0 || setresuid(id->uid, id->uid, id->uid) != 0)
		return err_sys(e, errno, "can't become user %u", (unsigned)id->uid);
	if (getresuid(&r, &f, &s) != 0 || r != id->uid || f != id->uid || s != id->uid ||
	    setuid(0) == 0 || setgid(0) == 0)
		return err_set(e, ERR_DENIED, "root was not given up");
	return 0;
}
