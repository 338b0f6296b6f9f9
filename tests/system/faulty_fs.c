/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * faulty_fs - the daemon's file layer with a disk that fails on order.
 *
 * Linked in place of fs_new() (-Wl,--wrap) into posthoused-faulty. While a file
 * "fault-full" is in the spool's directory, whatever needs new blocks fails with
 * ENOSPC (what was allocated can still be written, as on a real disk); with
 * "fault-sync", syncs fail with EIO, as a dying disk does it; "fault-sync-once" is
 * for one of them. With "fault-slow" each sync takes 5 ms more. The files are looked up anew for each operation, so a test
 * switches them at will.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "sys/fs.h"

struct fs *__real_fs_new(int dirfd);
struct fs *__wrap_fs_new(int dirfd);

struct faulty {
	struct fs	 fs;
	struct fs	*real;
};

static struct fs *
real_of(struct fs *f)
{
	return container_of(f, struct faulty, fs)->real;
}

static bool
is_ordered(struct fs *f, const char *fault)
{
	struct err ignored;
	int fd = fs_open(real_of(f), fault, FS_READ, &ignored);

	if (fd < 0)
		return false;
	fs_close(real_of(f), fd);
	return true;
}

static int
check_full(struct fs *f, struct err *e)
{
	return is_ordered(f, "fault-full") ? err_sys(e, ENOSPC, "disk fault") : 0;
}

static int
check_sync(struct fs *f, struct err *e)
{
	struct err ignored;

	if (is_ordered(f, "fault-slow"))
		(void)poll(NULL, 0, 5);
	if (is_ordered(f, "fault-sync-once") &&
	    fs_unlink(real_of(f), "fault-sync-once", &ignored) == 0)
		return err_sys(e, EIO, "disk fault");
	return is_ordered(f, "fault-sync") ? err_sys(e, EIO, "disk fault") : 0;
}

static int
f_open(struct fs *f, const char *name, enum fs_mode m, struct err *e)
{
	if (m >= FS_CREATE && check_full(f, e) != 0)
		return -1;
	return fs_open(real_of(f), name, m, e);
}

static void
f_close(struct fs *f, int fd)
{
	fs_close(real_of(f), fd);
}

static int
f_writev(struct fs *f, int fd, const struct iovec *v, int n, uint64_t at, struct err *e)
{
	int64_t size = fs_size(real_of(f), fd, e);
	uint64_t end = at;

	if (size < 0)
		return -1;
	for (int i = 0; i < n; i++)
		end += v[i].iov_len;
	if (end > (uint64_t)size && check_full(f, e) != 0)
		return -1;
	return fs_writev(real_of(f), fd, v, n, at, e);
}

static int64_t
f_read(struct fs *f, int fd, void *p, size_t n, uint64_t at, struct err *e)
{
	return fs_read(real_of(f), fd, p, n, at, e);
}

static int64_t
f_read_cached(struct fs *f, int fd, void *p, size_t n, uint64_t at, struct err *e)
{
	return fs_read_cached(real_of(f), fd, p, n, at, e);
}

static int
f_sync(struct fs *f, int fd, struct err *e)
{
	return check_sync(f, e) != 0 ? -1 : fs_sync(real_of(f), fd, e);
}

static int
f_allocate(struct fs *f, int fd, uint64_t size, struct err *e)
{
	return check_full(f, e) != 0 ? -1 : fs_allocate(real_of(f), fd, size, e);
}

static int
f_truncate(struct fs *f, int fd, uint64_t size, struct err *e)
{
	return fs_truncate(real_of(f), fd, size, e);
}

static int64_t
f_size(struct fs *f, int fd, struct err *e)
{
	return fs_size(real_of(f), fd, e);
}

static int
f_rename(struct fs *f, const char *from, const char *to, struct err *e)
{
	return fs_rename(real_of(f), from, to, e);
}

static int
f_unlink(struct fs *f, const char *name, struct err *e)
{
	return fs_unlink(real_of(f), name, e);
}

static int
f_mkdir(struct fs *f, const char *name, struct err *e)
{
	return fs_mkdir(real_of(f), name, e);
}

static int
f_sync_dir(struct fs *f, const char *dir, struct err *e)
{
	return check_sync(f, e) != 0 ? -1 : fs_sync_dir(real_of(f), dir, e);
}

static int
f_list(struct fs *f, const char *dir, bool (*visit)(void *, const char *), void *arg, struct err *e)
{
	return fs_list(real_of(f), dir, visit, arg, e);
}

static int
f_space(struct fs *f, struct fs_space *out, struct err *e)
{
	if (fs_space(real_of(f), out, e) != 0)
		return -1;
	if (is_ordered(f, "fault-full"))
		out->free_bytes = 0;
	return 0;
}

static int
f_lock(struct fs *f, const char *name, struct err *e)
{
	return fs_lock(real_of(f), name, e);
}

static void
f_free(struct fs *f)
{
	struct faulty *x = container_of(f, struct faulty, fs);

	fs_free(x->real);
	free(x);
}

static const struct fs_ops faulty_ops = {
	f_open, f_close, f_writev, f_read, f_read_cached, f_sync, f_allocate, f_truncate, f_size,
	f_rename, f_unlink, f_mkdir, f_sync_dir, f_list, f_space, f_lock, f_free,
};

struct fs *
__wrap_fs_new(int dirfd)
{
	struct faulty *x = xzalloc(sizeof(*x));

	x->fs.ops = &faulty_ops;
	x->real = __real_fs_new(dirfd);
	return &x->fs;
}
