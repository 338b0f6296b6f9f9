/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/calls.h"

#include "base/banned.h"

#define FLUSH_AT	65536u

int
newfile_begin(struct newfile *f, int dir, const char *temporary, struct err *e)
{
	*f = (struct newfile){ .dir = dir, .fd = -1 };
	if (snprintf(f->name, sizeof(f->name), "%s", temporary) >= (int)sizeof(f->name))
		return err_sys(e, ENAMETOOLONG, "can't create a file");
	f->fd = openat(dir, f->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->fd < 0)
		return err_sys(e, errno, "can't create %.150s", f->name);
	buf_init(&f->out, 64u << 20);
	return 0;
}

static int
write_out(struct newfile *f, struct err *e)
{
	while (buf_len(&f->out) > 0) {
		struct view v = buf_view(&f->out);
		ssize_t n = write(f->fd, v.p, v.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_sys(e, n < 0 ? errno : EIO, "can't write %.150s", f->name);
		buf_consume(&f->out, (size_t)n);
	}
	return 0;
}

int
newfile_flush(struct newfile *f, struct err *e)
{
	return buf_len(&f->out) < FLUSH_AT ? 0 : write_out(f, e);
}

int
newfile_mark(struct newfile *f, uint64_t *mark, struct err *e)
{
	off_t at;

	if (write_out(f, e) < 0)
		return -1;
	at = lseek(f->fd, 0, SEEK_CUR);
	if (at < 0)
		return err_sys(e, errno, "can't write %.150s", f->name);
	*mark = (uint64_t)at;
	return 0;
}

int
newfile_cut(struct newfile *f, uint64_t mark, struct err *e)
{
	buf_clear(&f->out);
	if (ftruncate(f->fd, (off_t)mark) != 0 || lseek(f->fd, (off_t)mark, SEEK_SET) < 0)
		return err_sys(e, errno, "can't write %.150s", f->name);
	return 0;
}

/* Where the file system can't do that (NFS, old FUSE), a second name and then one less. */
static int
give_name(int from, const char *temporary, int to, const char *name)
{
	if (renameat2(from, temporary, to, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -1;
	if (linkat(from, temporary, to, name, 0) != 0)
		return -1;
	(void)unlinkat(from, temporary, 0);	/* a second name is no harm */
	return 0;
}

int
newfile_finish(struct newfile *f, int dir, const char *name, struct err *e)
{
	int rc = -1;

	if (write_out(f, e) < 0)
		goto out;
	if (fsync(f->fd) != 0) {
		err_sys(e, errno, "can't sync %.150s", f->name);
		goto out;
	}
	if (give_name(f->dir, f->name, dir, name) != 0) {
		if (errno == EEXIST)
			err_set(e, ERR_BUSY, "%.150s is there already", name);
		else
			err_sys(e, errno, "can't give %.150s its name", name);
		goto out;
	}
	(void)close(f->fd);	/* all of it was synced */
	f->fd = -1;
	buf_done(&f->out);
	rc = 0;
out:
	newfile_drop(f);
	return rc;
}

void
newfile_drop(struct newfile *f)
{
	if (f->fd < 0)
		return;
	(void)close(f->fd);			/* it is thrown away */
	(void)unlinkat(f->dir, f->name, 0);	/* what stays is a temporary name */
	f->fd = -1;
	buf_done(&f->out);
}

int
newfile_sync_dir(int dir, const char *name, struct err *e)
{
	return fsync(dir) == 0 ? 0 : err_sys(e, errno, "can't sync the directory %.150s", name);
}

int
newfile_dir(int parent, const char *name, struct err *e)
{
	bool made = mkdirat(parent, name, 0700) == 0;
	int fd;

	if (!made && errno != EEXIST)
		return err_sys(e, errno, "can't make the directory %.150s", name);
	/* The user's own path may lead anywhere; what is in it is ours. */
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (parent != AT_FDCWD ? O_NOFOLLOW : 0));
	if (fd < 0)
		return err_sys(e, errno, "can't open the directory %.150s", name);
	if (made) {
		/* Its own entry: ".." is right wherever the name led. */
		int up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		int rc = up < 0 ? err_sys(e, errno, "can't open the directory above %.150s", name) :
		    newfile_sync_dir(up, name, e);

		if (up >= 0)
			(void)close(up);	/* read-only */
		if (rc < 0) {
			(void)close(fd);	/* read-only */
			return -1;
		}
	}
	return fd;
}
