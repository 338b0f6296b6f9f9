/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/require.h"
#include "sys/calls.h"

#include "base/banned.h"

#define IOV_AT_ONCE 256			/* at most IOV_MAX, 1024 */
#define COPY_BYTES	(64u << 10)

/* Not in linux/magic.h. */
#define ZFS_MAGIC	0x2fc12fc1u
#define BCACHEFS_MAGIC	0xca451a4eu

struct real_fs {
	struct fs	fs;
	int		dirfd;
};

static int
top(struct fs *f)
{
	return container_of(f, struct real_fs, fs)->dirfd;
}

/* Another kind of file could hang whoever reads it, or is elsewhere. */
static int
check_regular(int fd, const char *name, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "can't look at %s", name);
	return S_ISREG(st.st_mode) ? 0 : err_set(e, ERR_INPUT, "%s is not a regular file", name);
}

static const char *
kind_word(mode_t mode)
{
	return S_ISLNK(mode) ? "a symbolic link" : S_ISFIFO(mode) ? "a FIFO" : S_ISDIR(mode) ? "a directory" :
	    S_ISREG(mode) ? "a file" : "a device or a socket";
}

/* A name that we make ourselves is something else: never followed, and nothing of it is used. */
static int
check_ours(struct fs *f, const char *name, mode_t want, const char *advice, struct err *e)
{
	struct stat st;

	if (fstatat(top(f), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "can't look at %s", name);
	if ((st.st_mode & S_IFMT) == want)
		return 0;
	return err_set(e, ERR_INPUT, "%s is %s and must be %s; %s", name, kind_word(st.st_mode), kind_word(want),
	    advice);
}

static int
real_open(struct fs *f, const char *name, enum fs_mode mode, struct err *e)
{
	static const int flags[] = {
		[FS_READ] = O_RDONLY,
		[FS_WRITE] = O_RDWR,
		[FS_CREATE] = O_RDWR | O_CREAT | O_EXCL,
		[FS_CREATE_SHARED] = O_RDWR | O_CREAT | O_EXCL,
	};
	int fd;

	require(name[0] != '/');
	/* O_NONBLOCK: a FIFO is opened at once, and then refused. */
	fd = openat(top(f), name, flags[mode] | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
	if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
		return err_set(e, ERR_INPUT, "%s is not a regular file", name);
	if (fd >= 0 && check_regular(fd, name, e) < 0) {
		(void)close(fd);	/* nothing was written */
		return -1;
	}
	if (fd < 0)
		return err_sys(e, errno, "can't %s %s", mode >= FS_CREATE ? "create" : "open", name);
	if (mode == FS_CREATE_SHARED && fchmod(fd, 0640) != 0) {
		(void)err_sys(e, errno, "can't set the mode of %s", name);
		(void)close(fd);	/* nothing was written */
		return -1;
	}
	return fd;
}

static void
real_close(struct fs *f, int fd)
{
	(void)close(fd);	/* what must be on disk was synced before */
}

/* Skip done bytes. */
static void
advance(const struct iovec **v, int *n, size_t *off, size_t done)
{
	while (*n > 0 && done >= (*v)->iov_len - *off) {
		done -= (*v)->iov_len - *off;
		*off = 0;
		(*v)++;
		(*n)--;
	}
	*off += done;
}

static int
real_writev(struct fs *f, int fd, const struct iovec *v, int n, uint64_t at, struct err *e)
{
	size_t off = 0;		/* into v[0] */

	advance(&v, &n, &off, 0);
	while (n > 0) {
		struct iovec part[IOV_AT_ONCE];
		int k = n < IOV_AT_ONCE ? n : IOV_AT_ONCE;
		ssize_t done;

		memcpy(part, v, (size_t)k * sizeof(*part));
		part[0].iov_base = (uint8_t *)part[0].iov_base + off;
		part[0].iov_len -= off;
		done = pwritev(fd, part, k, (off_t)at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return err_sys(e, done < 0 ? errno : EIO, "can't write %d bytes at %" PRIu64,
			    (int)part[0].iov_len, at);
		at += (uint64_t)done;
		advance(&v, &n, &off, (size_t)done);
	}
	return 0;
}

/* -1 with errno, or -2 where it would wait for the disk. */
static int64_t
read_at(int fd, uint8_t *p, size_t n, uint64_t at, int flags)
{
	size_t got = 0;

	while (got < n) {
		struct iovec v = { p + got, n - got };
		ssize_t r = preadv2(fd, &v, 1, (off_t)(at + got), flags);

		if (r == 0)
			break;
		if (r > 0)
			got += (size_t)r;
		else if (errno == EAGAIN || (flags != 0 && errno == EOPNOTSUPP))
			return -2;
		else if (errno != EINTR)
			return -1;
	}
	return (int64_t)got;
}

static int64_t
real_read(struct fs *f, int fd, void *p, size_t n, uint64_t at, struct err *e)
{
	int64_t got = read_at(fd, p, n, at, 0);

	return got >= 0 ? got : err_sys(e, errno, "can't read at %" PRIu64, at);
}

static int64_t
real_read_cached(struct fs *f, int fd, void *p, size_t n, uint64_t at, struct err *e)
{
	int64_t got = read_at(fd, p, n, at, RWF_NOWAIT);

	return got != -1 ? got : err_sys(e, errno, "can't read at %" PRIu64, at);
}

/* Not repeated, whatever the error: the pages that failed count as clean afterwards. */
static int
real_sync(struct fs *f, int fd, struct err *e)
{
	return fdatasync(fd) == 0 ? 0 : err_sys(e, errno, "can't sync to disk");
}

static int
real_truncate(struct fs *f, int fd, uint64_t size, struct err *e)
{
	int rc;

	do
		rc = ftruncate(fd, (off_t)size);
	while (rc < 0 && errno == EINTR);
	return rc == 0 ? 0 : err_sys(e, errno, "can't set the size to %" PRIu64, size);
}

static int64_t
real_size(struct fs *f, int fd, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "can't ask for the size of a file");
	return st.st_size;
}

static int
real_allocate(struct fs *f, int fd, uint64_t size, struct err *e)
{
	int64_t now;
	int rc;

	do
		rc = fallocate(fd, 0, 0, (off_t)size);
	while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return err_sys(e, errno, "can't reserve %" PRIu64 " bytes", size);
	now = real_size(f, fd, e);
	if (now < 0)
		return -1;
	return (uint64_t)now >= size ? 0 : real_truncate(f, fd, size, e);
}

static int
real_rename(struct fs *f, const char *from, const char *to, struct err *e)
{
	if (renameat(top(f), from, top(f), to) == 0)
		return 0;
	return err_sys(e, errno, "can't rename %s to %s", from, to);
}

static int
real_unlink(struct fs *f, const char *name, struct err *e)
{
	return unlinkat(top(f), name, 0) == 0 ? 0 : err_sys(e, errno, "can't remove %s", name);
}

static int
real_mkdir(struct fs *f, const char *name, struct err *e)
{
	if (mkdirat(top(f), name, 0700) == 0)
		return 0;
	if (errno == EEXIST)
		return check_ours(f, name, S_IFDIR, "put the directory itself there, or move this away, and "
		    "an empty one is made", e);
	return err_sys(e, errno, "can't make directory %s", name);
}

static int
open_dir(struct fs *f, const char *dir, struct err *e)
{
	int fd = openat(top(f), dir[0] != '\0' ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 ? fd : err_sys(e, errno, "can't open directory %s", dir[0] != '\0' ? dir : ".");
}

static int
real_sync_dir(struct fs *f, const char *dir, struct err *e)
{
	int fd = open_dir(f, dir, e);
	int rc;

	if (fd < 0)
		return -1;
	rc = fsync(fd) == 0 ? 0 : err_sys(e, errno, "can't sync directory %s", dir[0] != '\0' ? dir : ".");
	(void)close(fd);	/* read-only */
	return rc;
}

static int
real_list(struct fs *f, const char *dir, bool (*visit)(void *, const char *), void *arg,
    struct err *e)
{
	int fd = open_dir(f, dir, e);
	struct dirent *d;
	DIR *stream;
	bool more = true;
	int rc;

	if (fd < 0)
		return -1;
	stream = fdopendir(fd);
	if (stream == NULL) {
		rc = err_sys(e, errno, "can't read directory %s", dir);
		(void)close(fd);	/* read-only */
		return rc;
	}
	while (more && (errno = 0, d = readdir(stream)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			more = visit(arg, d->d_name);
	rc = !more || errno == 0 ? 0 : err_sys(e, errno, "can't read directory %s", dir);
	(void)closedir(stream);		/* read-only */
	return rc;
}

static int
real_space(struct fs *f, struct fs_space *out, struct err *e)
{
	struct statfs s;
	uint32_t type;

	if (fstatfs(top(f), &s) < 0)
		return err_sys(e, errno, "can't ask for free space");
	type = (uint32_t)s.f_type;
	*out = (struct fs_space){
		.free_bytes = (uint64_t)s.f_bavail * (uint64_t)s.f_frsize,
		.total_bytes = (uint64_t)s.f_blocks * (uint64_t)s.f_frsize,
		.volatile_fs = type == TMPFS_MAGIC || type == RAMFS_MAGIC || type == OVERLAYFS_SUPER_MAGIC,
		.copy_on_write = type == BTRFS_SUPER_MAGIC || type == ZFS_MAGIC || type == BCACHEFS_MAGIC,
	};
	return 0;
}

static int
say_who_holds(int fd, const char *name, struct err *e)
{
	char text[16];
	int64_t n = read_at(fd, (uint8_t *)text, sizeof(text), 0, 0);
	struct view line = view_of(text, n > 0 ? (size_t)n : 0);
	uint64_t pid;

	if (num_parse_u64(view_first(line, view_find(line, '\n')), 1, INT32_MAX, &pid))
		return err_set(e, ERR_BUSY, "%s is held by process %" PRIu64, name, pid);
	return err_set(e, ERR_BUSY, "%s is held by another process", name);
}

static int
real_lock(struct fs *f, const char *name, struct err *e)
{
	int fd = openat(top(f), name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	int rc, errnum = errno;

	if ((fd >= 0 || errnum != ENOENT) &&
	    check_ours(f, name, S_IFREG, "remove it, and it is made anew", e) < 0) {
		if (fd >= 0)
			(void)close(fd);	/* nothing was written */
		return -1;
	}
	if (fd < 0)
		return err_sys(e, errnum, "can't open %s", name);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		rc = errno == EWOULDBLOCK ? say_who_holds(fd, name, e) :
		    err_sys(e, errno, "can't lock %s", name);
		(void)close(fd);	/* nothing was written */
		return rc;
	}
	/* The pid only serves the message above: on a full disk we go on without it. */
	if (ftruncate(fd, 0) == 0)
		(void)dprintf(fd, "%d\n", (int)getpid());
	return fd;
}

static void
real_free(struct fs *f)
{
	struct real_fs *r = container_of(f, struct real_fs, fs);

	(void)close(r->dirfd);	/* a directory */
	free(r);
}

static const struct fs_ops real_ops = {
	.open = real_open,
	.close = real_close,
	.writev = real_writev,
	.read = real_read,
	.read_cached = real_read_cached,
	.sync = real_sync,
	.allocate = real_allocate,
	.truncate = real_truncate,
	.size = real_size,
	.rename = real_rename,
	.unlink = real_unlink,
	.mkdir = real_mkdir,
	.sync_dir = real_sync_dir,
	.list = real_list,
	.space = real_space,
	.lock = real_lock,
	.free = real_free,
};

struct fs *
fs_new(int dirfd)
{
	struct real_fs *r = xzalloc(sizeof(*r));

	r->fs.ops = &real_ops;
	r->dirfd = dirfd;
	return &r->fs;
}

/* Write and sync what is to get the name. */
static int
write_temporary(struct fs *f, const char *temporary, struct view content, struct err *e)
{
	struct iovec v = { (void *)(uintptr_t)content.p, content.n };
	int fd, rc;

	(void)fs_unlink(f, temporary, NULL);	/* left by a crash; mostly not there */
	fd = fs_open(f, temporary, FS_CREATE, e);
	if (fd < 0)
		return -1;
	rc = fs_writev(f, fd, &v, 1, 0, e);
	if (rc == 0)
		rc = fs_sync(f, fd, e);
	fs_close(f, fd);
	return rc;
}

int
fs_replace(struct fs *f, const char *dir, const char *name, struct view content, struct err *e)
{
	char to[256], temporary[264];
	int n = snprintf(to, sizeof(to), "%s%s%s", dir, dir[0] != '\0' ? "/" : "", name);

	require(n > 0 && (size_t)n < sizeof(to));
	(void)snprintf(temporary, sizeof(temporary), "%s.new", to);	/* fits */
	if (write_temporary(f, temporary, content, e) < 0) {
		(void)fs_unlink(f, temporary, NULL);	/* the error to report is the first */
		return -1;
	}
	if (fs_rename(f, temporary, to, e) < 0)
		return -1;
	return fs_sync_dir(f, dir, e);
}

int64_t
fs_copy(struct fs *f, int from, uint64_t at, uint64_t length, int to, uint64_t to_at, struct err *e)
{
	uint8_t *bytes = xzalloc(COPY_BYTES);
	int64_t done = 0, got;

	while ((uint64_t)done < length) {
		uint64_t left = length - (uint64_t)done;
		struct iovec v = { bytes, 0 };

		got = fs_read(f, from, bytes, left < COPY_BYTES ? (size_t)left : COPY_BYTES, at + (uint64_t)done, e);
		if (got == 0)
			break;
		v.iov_len = got > 0 ? (size_t)got : 0;
		if (got < 0 || fs_writev(f, to, &v, 1, to_at + (uint64_t)done, e) < 0) {
			done = -1;
			break;
		}
		done += got;
	}
	free(bytes);
	return done;
}
