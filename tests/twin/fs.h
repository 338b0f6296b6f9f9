/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twin/fs - files in memory that know what a crash leaves of them.
 *
 * Strict: content and size are durable after a sync of the file, names after a
 * sync of the directory, neither through the other. Operations can be made to
 * fail by kind and count; there may be a limit of space.
 */
#ifndef TWIN_FS_H
#define TWIN_FS_H

#include "base/list.h"
#include "sys/fs.h"

enum twin_op {
	TWIN_OPEN, TWIN_CREATE, TWIN_WRITE, TWIN_READ, TWIN_SYNC, TWIN_ALLOCATE, TWIN_TRUNCATE,
	TWIN_RENAME, TWIN_UNLINK, TWIN_MKDIR, TWIN_SYNC_DIR, TWIN_LIST, TWIN_SPACE, TWIN_LOCK,
	TWIN_OPS
};

enum twin_keep {
	TWIN_KEEP_SYNCED,	/* all that was not synced is lost */
	TWIN_KEEP_ALL,		/* nothing is lost: the process was killed */
	TWIN_KEEP_SOME		/* each unsynced sector of 512 bytes, name and size by chance */
};

struct twin_fault {
	uint64_t	after;		/* so many succeed first */
	uint64_t	times;		/* then so many fail */
	int		errnum;
};

#define TWIN_FDS 256
#define TWIN_HALF 0x10000

struct twin_file;
struct twin_fs {
	struct fs	 fs;
	struct list	 names;			/* struct twin_name */
	struct twin_file *open[TWIN_FDS];
	struct twin_fault fault[TWIN_OPS];
	uint64_t	 count[TWIN_OPS];
	uint64_t	 ops;			/* all that change something */
	uint64_t	 read_bytes;
	uint64_t	 space;			/* bytes; 0: no limit */
	bool		 cold;			/* read_cached() says that it would have to wait */
	bool		 locked_elsewhere;
	bool		 copy_on_write, volatile_fs;	/* as told by space() */
	/* Before each operation that changes something. */
	void		(*before)(void *arg, enum twin_op, const char *name);
	void		*arg;
	bool		 forgets;		/* a failed sync: the cache goes back to what is on the disk */
	/*
	 * Before each operation: an errno to fail with, or 0. TWIN_HALF beside it: a write
	 * leaves its first half there. name is NULL where only the descriptor is known.
	 */
	int		(*sicken)(void *arg, enum twin_op, const char *name);
	void		*sicken_arg;
};

void twin_fs_init(struct twin_fs *);
void twin_fs_done(struct twin_fs *);
void twin_fs_fail(struct twin_fs *, enum twin_op, uint64_t after, uint64_t times, int errnum);
/* What a crash leaves, as a file system of its own; the first one goes on. */
void twin_fs_crash(struct twin_fs *out, const struct twin_fs *, enum twin_keep, uint64_t seed);

/* For the test's eyes and hands. */
bool twin_fs_has(const struct twin_fs *, const char *name);
size_t twin_fs_count(const struct twin_fs *, const char *dir);	/* names in it */
/* Volatile content; NULL: no such file. */
uint8_t *twin_fs_content(const struct twin_fs *, const char *name, uint64_t *size);
/* Invert a byte, on the disk and in the cache. */
void twin_fs_damage(struct twin_fs *, const char *name, uint64_t at);
/* The i-th name of the directory in order, or NULL. */
const char *twin_fs_name(const struct twin_fs *, const char *dir, size_t i);
uint64_t twin_fs_used(const struct twin_fs *);
size_t twin_fs_open_files(const struct twin_fs *);

#endif
