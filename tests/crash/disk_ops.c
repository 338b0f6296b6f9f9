/* SPDX-License-Identifier: BSD-2-Clause */
/* What the spool asks of the disk. The hook is called before and after whatever changes something. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "crash/item.h"

#include "base/banned.h"

static struct disk *
disk_of(struct fs *fs)
{
	return container_of(fs, struct disk, fs);
}

static bool
changes(enum twin_op op)
{
	return op != TWIN_OPEN && op != TWIN_READ && op != TWIN_LIST && op != TWIN_SPACE && op != TWIN_LOCK;
}

/* The operation begins. True if it is to fail. */
static bool
begin(struct disk *d, enum twin_op op, const char *name, struct err *e)
{
	struct twin_fault *fault = &d->fault[op];

	if (changes(op)) {
		if (d->hook != NULL)
			d->hook(d->arg);
		d->ops++;
		d->op = op;
		(void)snprintf(d->op_name, sizeof(d->op_name), "%s", name);
	}
	if (fault->times == 0)
		return false;
	if (fault->after > 0) {
		fault->after--;
		return false;
	}
	fault->times--;
	(void)err_sys(e, fault->errnum, "%s", name);
	return true;
}

static int
end(struct disk *d, int rc)
{
	if (d->hook != NULL)
		d->hook(d->arg);
	return rc;
}

static int
new_fd(struct disk *d, struct inode *f, struct err *e)
{
	for (int fd = 0; fd < DISK_FDS; fd++) {
		if (d->open[fd] != NULL)
			continue;
		inode_set(&d->open[fd], f);
		return fd;
	}
	return err_sys(e, EMFILE, "open");
}

static struct inode *
inode_of(struct disk *d, int fd)
{
	require(fd >= 0 && fd < DISK_FDS && d->open[fd] != NULL);
	return d->open[fd];
}

static const char *
name_of(const struct disk *d, int fd)
{
	for (size_t i = 0; i < d->nentry; i++)
		if (d->entry[i].now == d->open[fd])
			return d->entry[i].name;
	return "no name";
}

/* A crash in a rename may leave a file two names. Who writes to one changes the other, and knows it not. */
static void
note_shared(struct disk *d, const struct inode *f)
{
	const char *first = NULL;

	for (size_t i = 0; i < d->nentry; i++) {
		if (d->entry[i].now != f)
			continue;
		if (first != NULL)
			(void)snprintf(d->shared, sizeof(d->shared), "%s", first);
		first = d->entry[i].name;
	}
}

static int
op_open(struct fs *fs, const char *name, enum fs_mode mode, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, mode == FS_CREATE ? TWIN_CREATE : TWIN_OPEN, name, e))
		return -1;
	if (mode != FS_CREATE)
		return disk_has(d, name) ? new_fd(d, disk_find(d, name)->now, e) : err_sys(e, ENOENT, "%s", name);
	if (disk_has(d, name))
		return err_sys(e, EEXIST, "%s", name);
	disk_set_entry(d, disk_entry_for(d, name), inode_new());
	return new_fd(d, disk_find(d, name)->now, e);
}

static void
op_close(struct fs *fs, int fd)
{
	struct disk *d = disk_of(fs);

	inode_of(d, fd)->locked = false;
	inode_set(&d->open[fd], NULL);
}

static uint64_t
used(const struct disk *d)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < d->nentry; i++)
		if (d->entry[i].now != NULL)
			sum += content_size(d->entry[i].now->now);
	return sum;
}

static bool
has_room(const struct disk *d, const struct inode *f, uint64_t size)
{
	uint64_t now = content_size(f->now);

	return d->space == 0 || size <= now || used(d) + (size - now) <= d->space;
}

static void
put_bytes(struct disk *d, struct inode *f, const uint8_t *p, size_t n, uint64_t at)
{
	while (n > 0) {
		uint64_t sector = at / DISK_SECTOR;
		size_t off = (size_t)(at % DISK_SECTOR);
		size_t some = DISK_SECTOR - off < n ? DISK_SECTOR - off : n;
		struct page *page = page_with(content_get(f->now, sector), off, p, some);

		content_put(&f->now, sector, page);
		item_add(d, ITEM_SECTOR, f, sector, page);
		d->item[d->nitem - 1].from = (uint16_t)off;
		d->item[d->nitem - 1].n = (uint16_t)some;
		page_unref(page);
		p += some;
		n -= some;
		at += some;
	}
}

static int
op_writev(struct fs *fs, int fd, const struct iovec *v, int n, uint64_t at, struct err *e)
{
	struct disk *d = disk_of(fs);
	struct inode *f = inode_of(d, fd);
	bool fails = begin(d, TWIN_WRITE, name_of(d, fd), e);
	uint8_t *bytes;
	size_t all = 0;

	for (int i = 0; i < n; i++)
		all += v[i].iov_len;
	if (!fails && !has_room(d, f, at + all))
		return end(d, err_sys(e, ENOSPC, "write"));
	note_shared(d, f);
	bytes = xzalloc(all + 1);
	all = 0;
	for (int i = 0; i < n; i++) {
		memcpy(bytes + all, v[i].iov_base, v[i].iov_len);
		all += v[i].iov_len;
	}
	if (fails)
		all /= 2;		/* a part of it may be there all the same */
	if (at + all > content_size(f->now))
		inode_resize(d, f, at + all);
	put_bytes(d, f, bytes, all, at);
	free(bytes);
	return end(d, fails ? -1 : 0);
}

static int64_t
op_read(struct fs *fs, int fd, void *p, size_t n, uint64_t at, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, TWIN_READ, "read", e))
		return -1;
	return (int64_t)content_read(inode_of(d, fd)->now, p, n, at);
}

static bool
is_of_other(const struct item *x, const void *arg)
{
	return x->kind == ITEM_ENTRY || x->inode != arg || x->lost;
}

static bool
same_place(const struct item *a, const struct item *b)
{
	return a->kind == b->kind && a->inode == b->inode && (a->kind == ITEM_SIZE || a->at == b->at);
}

/* What the sync makes durable replaces what an earlier, failed one left in doubt. */
static void
apply_synced(struct disk *d, struct inode *f)
{
	for (size_t i = 0; i < d->nitem; i++) {
		const struct item *x = &d->item[i];

		if (is_of_other(x, f))
			continue;
		item_apply(&f->durable, x);
		for (size_t k = 0; k < i; k++)
			if (same_place(&d->item[k], x))
				d->item[k].lost = false;
	}
	item_filter(d, is_of_other, f);
}

static int
op_sync(struct fs *fs, int fd, struct err *e)
{
	struct disk *d = disk_of(fs);
	struct inode *f = inode_of(d, fd);

	if (!begin(d, TWIN_SYNC, name_of(d, fd), e)) {
		apply_synced(d, f);
		return end(d, 0);
	}
	for (size_t i = 0; i < d->nitem; i++)
		if (d->item[i].kind != ITEM_ENTRY && d->item[i].inode == f)
			d->item[i].lost = true;
	return end(d, -1);
}

static int
op_allocate(struct fs *fs, int fd, uint64_t size, struct err *e)
{
	struct disk *d = disk_of(fs);
	struct inode *f = inode_of(d, fd);

	if (begin(d, TWIN_ALLOCATE, name_of(d, fd), e))
		return end(d, -1);
	if (!has_room(d, f, size))
		return end(d, err_sys(e, ENOSPC, "allocate"));
	if (size > content_size(f->now))
		inode_resize(d, f, size);
	return end(d, 0);
}

static int
op_truncate(struct fs *fs, int fd, uint64_t size, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, TWIN_TRUNCATE, name_of(d, fd), e))
		return end(d, -1);
	inode_resize(d, inode_of(d, fd), size);
	return end(d, 0);
}

static int64_t
op_size(struct fs *fs, int fd, struct err *e)
{
	return (int64_t)content_size(inode_of(disk_of(fs), fd)->now);
}

static int
op_rename(struct fs *fs, const char *from, const char *to, struct err *e)
{
	struct disk *d = disk_of(fs);
	struct disk_entry *target;

	if (begin(d, TWIN_RENAME, from, e))
		return end(d, -1);
	if (!disk_has(d, from))
		return end(d, err_sys(e, ENOENT, "%s", from));
	target = disk_entry_for(d, to);
	if (target->now == disk_find(d, from)->now)
		return end(d, 0);	/* two names of one file: POSIX leaves both */
	disk_set_entry(d, target, disk_find(d, from)->now);
	disk_set_entry(d, disk_find(d, from), NULL);
	return end(d, 0);
}

static int
op_unlink(struct fs *fs, const char *name, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, TWIN_UNLINK, name, e))
		return end(d, -1);
	if (!disk_has(d, name))
		return end(d, err_sys(e, ENOENT, "%s", name));
	disk_set_entry(d, disk_find(d, name), NULL);
	return end(d, 0);
}

static int
op_mkdir(struct fs *fs, const char *name, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, TWIN_MKDIR, name, e))
		return end(d, -1);
	if (!disk_has(d, name)) {
		disk_entry_for(d, name)->dir = true;
		disk_set_entry(d, disk_find(d, name), inode_new());
	}
	return end(d, 0);
}

struct in_directory {
	const struct disk *d;
	const char *dir;
};

static bool
is_elsewhere(const struct item *x, const void *arg)
{
	const struct in_directory *a = arg;

	return x->kind != ITEM_ENTRY || !disk_in_dir(a->d->entry[x->at].name, a->dir);
}

static int
op_sync_dir(struct fs *fs, const char *dir, struct err *e)
{
	struct disk *d = disk_of(fs);

	/* If it fails, nothing is known; the next one may succeed. */
	if (begin(d, TWIN_SYNC_DIR, dir, e))
		return end(d, -1);
	for (size_t i = 0; i < d->nentry; i++)
		if (disk_in_dir(d->entry[i].name, dir))
			inode_set(&d->entry[i].durable, d->entry[i].now);
	item_filter(d, is_elsewhere, &(struct in_directory){ d, dir });
	return end(d, 0);
}

static int
op_list(struct fs *fs, const char *dir, bool (*visit)(void *, const char *), void *arg, struct err *e)
{
	struct disk *d = disk_of(fs);
	size_t skip = dir[0] != '\0' ? strlen(dir) + 1 : 0;

	if (begin(d, TWIN_LIST, dir, e))
		return -1;
	if (skip != 0 && !disk_has(d, dir))
		return err_sys(e, ENOENT, "%s", dir);
	for (size_t i = 0; i < d->nentry; i++)
		if (d->entry[i].now != NULL && disk_in_dir(d->entry[i].name, dir) &&
		    !visit(arg, d->entry[i].name + skip))
			break;
	return 0;
}

static int
op_space(struct fs *fs, struct fs_space *out, struct err *e)
{
	struct disk *d = disk_of(fs);
	uint64_t total = d->space != 0 ? d->space : UINT64_MAX / 2, taken = used(d);

	if (begin(d, TWIN_SPACE, "space", e))
		return -1;
	*out = (struct fs_space){ .free_bytes = total > taken ? total - taken : 0, .total_bytes = total };
	return 0;
}

static int
op_lock(struct fs *fs, const char *name, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, TWIN_LOCK, name, e))
		return -1;
	if (!disk_has(d, name))
		disk_set_entry(d, disk_entry_for(d, name), inode_new());
	if (disk_find(d, name)->now->locked)
		return err_set(e, ERR_BUSY, "%s is locked by process 1", name);
	disk_find(d, name)->now->locked = true;
	return new_fd(d, disk_find(d, name)->now, e);
}

static void
op_free(struct fs *fs)
{
	disk_done(disk_of(fs));
}

const struct fs_ops disk_ops = {
	.open = op_open, .close = op_close, .writev = op_writev, .read = op_read, .read_cached = op_read,
	.sync = op_sync, .allocate = op_allocate, .truncate = op_truncate, .size = op_size,
	.rename = op_rename, .unlink = op_unlink, .mkdir = op_mkdir, .sync_dir = op_sync_dir,
	.list = op_list, .space = op_space, .lock = op_lock, .free = op_free,
};
