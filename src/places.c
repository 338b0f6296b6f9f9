/* SPDX-License-Identifier: BSD-2-Clause */
#include "places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"

#include "base/banned.h"

#define LOCK_NAME "posthoused.lock"

/* A directory that is there already stays as it is; only a new one gets an owner. */
static int
make_dir(const char *path, mode_t mode, const struct identity *owner, struct err *e)
{
	int fd, rc;

	if (mkdir(path, mode) != 0)
		return errno == EEXIST ? 0 : err_sys(e, errno, "can't make the directory %s", path);
	/* By descriptor: whoever may write to the parent could put a link in its place. */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "can't open the new directory %s", path);
	rc = fchmod(fd, mode);		/* whatever the umask is: sendmail's users have to enter */
	if (rc == 0 && owner != NULL)
		rc = fchown(fd, owner->uid, owner->gid);
	if (rc != 0)
		err_sys(e, errno, "can't give the directory %s to its user", path);
	(void)close(fd);
	return rc;
}

int
places_make(const struct conf *c, const struct identity *owner, struct err *e)
{
	if (make_dir(c->state_dir, 0700, owner, e) != 0)
		return -1;
	return make_dir(c->runtime_dir, 0755, owner, e);
}

static int
in_use(int fd, const char *option, const char *dir, struct err *e)
{
	uint8_t text[32];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	struct view v = view_of(text, n > 0 ? (size_t)n : 0);
	uint64_t pid = 0;

	if (!num_parse_u64(view_first(v, view_find(v, '\n')), 1, INT32_MAX, &pid))
		pid = 0;
	return err_set(e, ERR_BUSY, "another posthoused (pid %u) runs with %s = \"%.120s\": stop it first, "
	    "or give this one another", (unsigned)pid, option, dir);
}

static int
take_lock(int *out, const char *option, const char *dir, struct err *e)
{
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char pid[16];
	int fd, n;

	if (dirfd < 0)
		return err_sys(e, errno, "can't open %s %s", option, dir);
	fd = openat(dirfd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	(void)close(dirfd);
	if (fd < 0)
		return err_sys(e, errno, "can't write to %s %s (it must belong to the user who runs "
		    "posthoused)", option, dir);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			in_use(fd, option, dir, e);
		else
			err_sys(e, errno, "can't lock %s/%s", dir, LOCK_NAME);
		(void)close(fd);
		return -1;
	}
	/* For the message of the one that comes too late; the lock does not depend on it. */
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
		err_sys(e, errno, "can't write to %s/%s", dir, LOCK_NAME);
		(void)close(fd);
		return -1;
	}
	*out = fd;
	return 0;
}

/* In a state_dir that is open to others, somebody may have made it before us. */
static bool
is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/* A directory of state_dir, made if it is not there. */
static int
open_inner(int *out, const char *state_dir, const char *name, mode_t mode, struct err *e)
{
	int top = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool made;
	int fd = -1;

	if (top < 0)
		return err_sys(e, errno, "can't open state_dir %s", state_dir);
	made = mkdirat(top, name, mode) == 0;
	if (!made && errno != EEXIST) {
		err_sys(e, errno, "can't make the directory %s/%s", state_dir, name);
	} else if ((fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0) {
		err_sys(e, errno, "can't open the directory %s/%s", state_dir, name);
	} else if (made && fchmod(fd, mode) != 0) {	/* whatever the umask is */
		err_sys(e, errno, "can't set the mode of %s/%s", state_dir, name);
		(void)close(fd);
		fd = -1;
	} else if (!is_ours(fd)) {
		err_set(e, ERR_DENIED, "%s/%s has to belong to the user who runs posthoused, and nobody else "
		    "may write to it", state_dir, name);
		(void)close(fd);
		fd = -1;
	}
	(void)close(top);
	if (fd < 0)
		return -1;
	*out = fd;
	return 0;
}

int
places_open(struct places *p, const struct conf *c, struct err *e)
{
	*p = (struct places){ -1, -1, -1, -1 };
	if (take_lock(&p->state_lock, "state_dir", c->state_dir, e) == 0 &&
	    take_lock(&p->runtime_lock, "runtime_dir", c->runtime_dir, e) == 0 &&
	    open_inner(&p->spool, c->state_dir, "spool", 0700, e) == 0 &&
	    open_inner(&p->history, c->state_dir, "history", 0750, e) == 0)
		return 0;
	places_done(p);
	return -1;
}

int
places_open_sink(int *out, const struct conf *c, struct err *e)
{
	static const char *const inner[] = { "tmp", "new", "cur" };
	bool made = mkdir(c->sink, 0700) == 0;
	int fd;

	if (!made && errno != EEXIST)
		return err_sys(e, errno, "can't make the Maildir %.150s", c->sink);
	fd = open(c->sink, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "can't open the Maildir %.150s", c->sink);
	if (!is_ours(fd)) {
		(void)close(fd);
		return err_set(e, ERR_CONFIG, "the Maildir %.150s has to belong to the user who runs posthoused, and "
		    "nobody else may write to it", c->sink);
	}
	for (size_t i = 0; i < lengthof(inner); i++)
		if (mkdirat(fd, inner[i], 0700) != 0 && errno != EEXIST) {
			(void)err_sys(e, errno, "can't make %s in the Maildir %.150s", inner[i], c->sink);
			(void)close(fd);
			return -1;
		}
	*out = fd;
	return 0;
}

void
places_done(struct places *p)
{
	const int fds[] = { p->spool, p->history, p->state_lock, p->runtime_lock };

	for (size_t i = 0; i < lengthof(fds); i++)
		if (fds[i] >= 0)
			(void)close(fds[i]);
	*p = (struct places){ -1, -1, -1, -1 };
}
