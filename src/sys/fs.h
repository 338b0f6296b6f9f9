/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fs - the file operations of the spool, relative to one directory.
 *
 * Every operation that the durability argument counts on is a function here,
 * so that a test can fail it, reorder it or lose what was not synced. Names
 * are relative ("log/0000.seg"). Operations return 0 or -1 with *e set.
 * Descriptors are small integers that only this fs understands.
 *
 * Thread: any; the spool uses it from its worker and, for reads, the loop.
 */
#ifndef SYS_FS_H
#define SYS_FS_H

#include <sys/uio.h>

#include "base/err.h"
#include "base/view.h"

enum fs_mode {
	FS_READ,
	FS_WRITE,		/* existing; read and write */
	FS_CREATE,		/* must not exist; read and write; mode 0600 */
	FS_CREATE_SHARED	/* the same, mode 0640 whatever the umask */
};

struct fs_space {
	uint64_t	free_bytes;	/* for us */
	uint64_t	total_bytes;
	bool		volatile_fs;	/* tmpfs, ramfs, overlay: lost at reboot or with the container */
	bool		copy_on_write;	/* btrfs, zfs, ...: overwriting allocates */
};

struct fs;
struct fs_ops {
	/* fd or -1; a regular file, or it is refused */
	int	(*open)(struct fs *, const char *name, enum fs_mode, struct err *);
	void	(*close)(struct fs *, int fd);
	/* All of it or -1: short writes are continued inside. */
	int	(*writev)(struct fs *, int fd, const struct iovec *, int n, uint64_t at, struct err *);
	/* Bytes read (less than n only at the end of the file), or -1. */
	int64_t	(*read)(struct fs *, int fd, void *p, size_t n, uint64_t at, struct err *);
	/* The same if it need not wait for the disk; -2: it would have to (preadv2 RWF_NOWAIT). */
	int64_t	(*read_cached)(struct fs *, int fd, void *p, size_t n, uint64_t at, struct err *);
	int	(*sync)(struct fs *, int fd, struct err *);				/* fdatasync */
	/* Reserve blocks and set the size; on file systems without it: only the size. */
	int	(*allocate)(struct fs *, int fd, uint64_t size, struct err *);
	int	(*truncate)(struct fs *, int fd, uint64_t size, struct err *);
	int64_t	(*size)(struct fs *, int fd, struct err *);
	int	(*rename)(struct fs *, const char *from, const char *to, struct err *);
	int	(*unlink)(struct fs *, const char *name, struct err *);
	int	(*mkdir)(struct fs *, const char *name, struct err *);		/* fine if there */
	int	(*sync_dir)(struct fs *, const char *dir, struct err *);	/* "" is the top */
	/* visit gets each name but . and ..; stops when it returns false. */
	int	(*list)(struct fs *, const char *dir, bool (*visit)(void *, const char *name), void *,
		    struct err *);
	int	(*space)(struct fs *, struct fs_space *out, struct err *);
	/* Exclusive lock on a file, kept until close; ERR_BUSY with the holder's pid if taken. Returns fd. */
	int	(*lock)(struct fs *, const char *name, struct err *);
	void	(*free)(struct fs *);
};

struct fs {
	const struct fs_ops *ops;
};

/* The real one. Keeps dirfd, and closes it at the end. */
struct fs *fs_new(int dirfd);
/* Small files (state, counters): temporary, fsync, rename, directory sync. */
int fs_replace(struct fs *, const char *dir, const char *name, struct view content, struct err *) must_use;
/* So many bytes of one file into another, or fewer at the end of the first. Those written, or -1. */
int64_t fs_copy(struct fs *, int from, uint64_t at, uint64_t length, int to, uint64_t to_at, struct err *) must_use;

static inline int fs_open(struct fs *f, const char *name, enum fs_mode m, struct err *e) { return f->ops->open(f, name, m, e); }
static inline void fs_close(struct fs *f, int fd) { f->ops->close(f, fd); }
static inline int fs_writev(struct fs *f, int fd, const struct iovec *v, int n, uint64_t at, struct err *e) { return f->ops->writev(f, fd, v, n, at, e); }
static inline int64_t fs_read(struct fs *f, int fd, void *p, size_t n, uint64_t at, struct err *e) { return f->ops->read(f, fd, p, n, at, e); }
static inline int64_t fs_read_cached(struct fs *f, int fd, void *p, size_t n, uint64_t at, struct err *e) { return f->ops->read_cached(f, fd, p, n, at, e); }
static inline int fs_sync(struct fs *f, int fd, struct err *e) { return f->ops->sync(f, fd, e); }
static inline int fs_allocate(struct fs *f, int fd, uint64_t size, struct err *e) { return f->ops->allocate(f, fd, size, e); }
static inline int fs_truncate(struct fs *f, int fd, uint64_t size, struct err *e) { return f->ops->truncate(f, fd, size, e); }
static inline int64_t fs_size(struct fs *f, int fd, struct err *e) { return f->ops->size(f, fd, e); }
static inline int fs_rename(struct fs *f, const char *a, const char *b, struct err *e) { return f->ops->rename(f, a, b, e); }
static inline int fs_unlink(struct fs *f, const char *name, struct err *e) { return f->ops->unlink(f, name, e); }
static inline int fs_mkdir(struct fs *f, const char *name, struct err *e) { return f->ops->mkdir(f, name, e); }
static inline int fs_sync_dir(struct fs *f, const char *dir, struct err *e) { return f->ops->sync_dir(f, dir, e); }
static inline int fs_list(struct fs *f, const char *dir, bool (*visit)(void *, const char *), void *arg, struct err *e) { return f->ops->list(f, dir, visit, arg, e); }
static inline int fs_space(struct fs *f, struct fs_space *out, struct err *e) { return f->ops->space(f, out, e); }
static inline int fs_lock(struct fs *f, const char *name, struct err *e) { return f->ops->lock(f, name, e); }
static inline void fs_free(struct fs *f) { if (f != NULL) f->ops->free(f); }

#endif
