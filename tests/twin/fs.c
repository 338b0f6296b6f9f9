/* SPDX-License-Identifier: BSD-2-Clause */
#include "twin/fs.h"

#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "base/rng.h"

#include "base/banned.h"

#define SECTOR 512u

struct twin_file {
	unsigned	 refs;
	uint8_t		*data, *disk;	/* as the program sees it; as a crash leaves it */
	uint64_t	 size, disk_size;
	uint64_t	 cap;
	bool		 locked;
	uint64_t	 dirty_from, dirty_to;	/* what was written since the last sync is in there */
	struct twin_file *image;	/* while a crash is made: what it leaves of this file */
};

/* A name and the file it stands for, now and on the disk; NULL: none. */
struct twin_name {
	struct list	 link;		/* in order of name */
	char		*name;
	struct twin_file *now, *disk;
	bool		 dir;
};

/* --- names and files ------------------------------------------------------------ */

static struct twin_fs *
twin_of(struct fs *fs)
{
	return container_of(fs, struct twin_fs, fs);
}

static void
unref(struct twin_file *f)
{
	if (f == NULL || --f->refs > 0)
		return;
	free(f->data);
	free(f->disk);
	free(f);
}

static void
set_file(struct twin_file **at, struct twin_file *f)
{
	if (f != NULL)
		f->refs++;
	unref(*at);
	*at = f;
}

static struct twin_name *
find(const struct twin_fs *t, const char *name)
{
	list_foreach(link, &t->names) {
		struct twin_name *n = list_entry(link, struct twin_name, link);

		if (strcmp(n->name, name) == 0)
			return n;
	}
	return NULL;
}

static struct twin_name *
make(struct twin_fs *t, const char *name)
{
	struct twin_name *n = find(t, name);
	struct list *at = t->names.next;

	if (n != NULL)
		return n;
	n = xzalloc(sizeof(*n));
	n->name = xstrdup(name);
	while (at != &t->names && strcmp(list_entry(at, struct twin_name, link)->name, name) < 0)
		at = at->next;
	list_insert_before(at, &n->link);
	return n;
}

/* Zeros that nobody touches cost nothing when they are fresh. */
static uint8_t *
enlarge(uint8_t *p, uint64_t from, uint64_t to)
{
	uint8_t *q = xcalloc((size_t)to, 1);

	if (from != 0)
		memcpy(q, p, (size_t)from);
	free(p);
	return q;
}

static void
grow(struct twin_file *f, uint64_t size)
{
	uint64_t cap = size > 2 * f->cap ? size : 2 * f->cap;

	if (size <= f->cap)
		return;
	f->data = enlarge(f->data, f->cap, cap);
	f->disk = enlarge(f->disk, f->cap, cap);
	f->cap = cap;
}

static void
soil(struct twin_file *f, uint64_t from, uint64_t to)
{
	bool fresh = f->dirty_from == f->dirty_to;

	if (from >= to)
		return;
	f->dirty_from = fresh || from < f->dirty_from ? from : f->dirty_from;
	f->dirty_to = fresh || to > f->dirty_to ? to : f->dirty_to;
}

/* Make what was written the same in both: as it is seen, or as the disk has it. */
static void
clean(struct twin_file *f, uint8_t *to, const uint8_t *from)
{
	if (f->dirty_from < f->dirty_to)
		memcpy(to + f->dirty_from, from + f->dirty_from, (size_t)(f->dirty_to - f->dirty_from));
	f->dirty_from = f->dirty_to = 0;
}

static bool
in_dir(const char *name, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 0)
		return strchr(name, '/') == NULL;
	return strncmp(name, dir, n) == 0 && name[n] == '/' && strchr(name + n + 1, '/') == NULL;
}

/* --- operations ------------------------------------------------------------------- */

/* By count, or as the test says; 0: it is to succeed. */
static int
fault_of(struct twin_fs *t, enum twin_op op, const char *name)
{
	struct twin_fault *fault = &t->fault[op];

	if (fault->times != 0 && fault->after > 0) {
		fault->after--;
	} else if (fault->times != 0) {
		fault->times--;
		return fault->errnum;
	}
	return t->sicken != NULL ? t->sicken(t->sicken_arg, op, name) : 0;
}

/* 0, or what fault_of() said. */
static int
fails(struct twin_fs *t, enum twin_op op, const char *name, struct err *e)
{
	int errnum;
	bool changes = op != TWIN_OPEN && op != TWIN_READ && op != TWIN_LIST && op != TWIN_SPACE &&
	    op != TWIN_LOCK;

	if (changes && t->before != NULL)
		t->before(t->arg, op, name);
	t->count[op]++;
	t->ops += changes;
	errnum = fault_of(t, op, name);
	if (errnum != 0)
		(void)err_sys(e, errnum & ~TWIN_HALF, "%s", name);
	return errnum;
}

static int
new_fd(struct twin_fs *t, struct twin_file *f, struct err *e)
{
	for (int fd = 0; fd < TWIN_FDS; fd++) {
		if (t->open[fd] != NULL)
			continue;
		set_file(&t->open[fd], f);
		return fd;
	}
	return err_sys(e, EMFILE, "open");
}

static struct twin_file *
file_of(struct twin_fs *t, int fd)
{
	require(fd >= 0 && fd < TWIN_FDS && t->open[fd] != NULL);
	return t->open[fd];
}

static int
op_open(struct fs *fs, const char *name, enum fs_mode mode, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	struct twin_name *n = find(t, name);
	struct twin_file *f;

	if (fails(t, mode >= FS_CREATE ? TWIN_CREATE : TWIN_OPEN, name, e))
		return -1;
	if (mode < FS_CREATE)
		return n != NULL && n->now != NULL ? new_fd(t, n->now, e) : err_sys(e, ENOENT, "%s", name);
	if (n != NULL && n->now != NULL)
		return err_sys(e, EEXIST, "%s", name);
	f = xzalloc(sizeof(*f));
	set_file(&make(t, name)->now, f);
	return new_fd(t, f, e);
}

static void
op_close(struct fs *fs, int fd)
{
	struct twin_fs *t = twin_of(fs);

	file_of(t, fd)->locked = false;
	set_file(&t->open[fd], NULL);
}

static int
op_writev(struct fs *fs, int fd, const struct iovec *v, int n, uint64_t at, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	struct twin_file *f = file_of(t, fd);
	uint64_t end = at;
	int fault;

	for (int i = 0; i < n; i++)
		end += v[i].iov_len;
	fault = fails(t, TWIN_WRITE, "write", e);
	if (fault != 0 && (fault & TWIN_HALF) == 0)
		return -1;
	if (fault != 0)
		end = at + (end - at) / 2;
	if (t->space != 0 && end > f->size && twin_fs_used(t) + (end - f->size) > t->space)
		return err_sys(e, ENOSPC, "write");
	grow(f, end);
	soil(f, at, end);
	for (int i = 0; i < n && at < end; i++) {
		size_t part = v[i].iov_len < end - at ? v[i].iov_len : (size_t)(end - at);

		memcpy(f->data + at, v[i].iov_base, part);
		at += part;
	}
	if (end > f->size)
		f->size = end;
	return fault == 0 ? 0 : -1;
}

static int64_t
op_read(struct fs *fs, int fd, void *p, size_t n, uint64_t at, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	const struct twin_file *f = file_of(t, fd);

	if (fails(t, TWIN_READ, "read", e))
		return -1;
	if (at >= f->size)
		return 0;
	if (n > f->size - at)
		n = (size_t)(f->size - at);
	memcpy(p, f->data + at, n);
	t->read_bytes += n;
	return (int64_t)n;
}

static int64_t
op_read_cached(struct fs *fs, int fd, void *p, size_t n, uint64_t at, struct err *e)
{
	return twin_of(fs)->cold ? -2 : op_read(fs, fd, p, n, at, e);
}

static int
op_sync(struct fs *fs, int fd, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	struct twin_file *f = file_of(t, fd);

	if (fails(t, TWIN_SYNC, "sync", e) != 0) {
		/* As Linux does: what failed is forgotten, and the next sync succeeds. */
		if (t->forgets)
			clean(f, f->data, f->disk);
		f->dirty_from = f->dirty_to = 0;
		return -1;
	}
	clean(f, f->disk, f->data);
	f->disk_size = f->size;
	return 0;
}

static int
op_allocate(struct fs *fs, int fd, uint64_t size, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	struct twin_file *f = file_of(t, fd);

	if (fails(t, TWIN_ALLOCATE, "allocate", e))
		return -1;
	if (size <= f->size)
		return 0;
	if (t->space != 0 && twin_fs_used(t) + (size - f->size) > t->space)
		return err_sys(e, ENOSPC, "allocate");
	grow(f, size);
	f->size = size;
	return 0;
}

static int
op_truncate(struct fs *fs, int fd, uint64_t size, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	struct twin_file *f = file_of(t, fd);

	if (fails(t, TWIN_TRUNCATE, "truncate", e))
		return -1;
	grow(f, size);
	if (size < f->size) {
		memset(f->data + size, 0, (size_t)(f->size - size));
		soil(f, size, f->size);
	}
	f->size = size;
	return 0;
}

static int64_t
op_size(struct fs *fs, int fd, struct err *e)
{
	return (int64_t)file_of(twin_of(fs), fd)->size;
}

static int
op_rename(struct fs *fs, const char *from, const char *to, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	struct twin_name *n = find(t, from);

	if (fails(t, TWIN_RENAME, from, e))
		return -1;
	if (n == NULL || n->now == NULL)
		return err_sys(e, ENOENT, "%s", from);
	set_file(&make(t, to)->now, n->now);
	set_file(&n->now, NULL);
	return 0;
}

static int
op_unlink(struct fs *fs, const char *name, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	struct twin_name *n = find(t, name);

	if (fails(t, TWIN_UNLINK, name, e))
		return -1;
	if (n == NULL || n->now == NULL)
		return err_sys(e, ENOENT, "%s", name);
	set_file(&n->now, NULL);
	return 0;
}

static int
op_mkdir(struct fs *fs, const char *name, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	struct twin_file *f;

	if (fails(t, TWIN_MKDIR, name, e))
		return -1;
	if (find(t, name) != NULL && find(t, name)->now != NULL)
		return 0;
	f = xzalloc(sizeof(*f));
	make(t, name)->dir = true;
	set_file(&find(t, name)->now, f);
	return 0;
}

static int
op_sync_dir(struct fs *fs, const char *dir, struct err *e)
{
	struct twin_fs *t = twin_of(fs);

	if (fails(t, TWIN_SYNC_DIR, dir[0] != '\0' ? dir : ".", e))
		return -1;
	list_foreach(link, &t->names) {
		struct twin_name *n = list_entry(link, struct twin_name, link);

		if (in_dir(n->name, dir))
			set_file(&n->disk, n->now);
	}
	return 0;
}

static int
op_list(struct fs *fs, const char *dir, bool (*visit)(void *, const char *), void *arg, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	size_t skip = dir[0] != '\0' ? strlen(dir) + 1 : 0;

	if (fails(t, TWIN_LIST, dir, e))
		return -1;
	if (skip != 0 && (find(t, dir) == NULL || find(t, dir)->now == NULL))
		return err_sys(e, ENOENT, "%s", dir);
	list_foreach(link, &t->names) {
		const struct twin_name *n = list_entry(link, struct twin_name, link);

		if (n->now != NULL && in_dir(n->name, dir) && !visit(arg, n->name + skip))
			break;
	}
	return 0;
}

static int
op_space(struct fs *fs, struct fs_space *out, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	uint64_t total = t->space != 0 ? t->space : UINT64_MAX / 2, used = twin_fs_used(t);

	if (fails(t, TWIN_SPACE, "space", e))
		return -1;
	*out = (struct fs_space){ .free_bytes = total > used ? total - used : 0, .total_bytes = total,
		.copy_on_write = t->copy_on_write, .volatile_fs = t->volatile_fs };
	return 0;
}

static int
op_lock(struct fs *fs, const char *name, struct err *e)
{
	struct twin_fs *t = twin_of(fs);
	struct twin_name *n = make(t, name);
	struct twin_file *f = n->now;

	if (fails(t, TWIN_LOCK, name, e))
		return -1;
	if (t->locked_elsewhere || (f != NULL && f->locked))
		return err_set(e, ERR_BUSY, "%s is locked by process 1", name);
	if (f == NULL) {
		f = xzalloc(sizeof(*f));
		set_file(&n->now, f);
	}
	f->locked = true;
	return new_fd(t, f, e);
}

static void
op_free(struct fs *fs)
{
	twin_fs_done(twin_of(fs));
}

static const struct fs_ops twin_ops = {
	op_open, op_close, op_writev, op_read, op_read_cached, op_sync, op_allocate, op_truncate, op_size,
	op_rename, op_unlink, op_mkdir, op_sync_dir, op_list, op_space, op_lock, op_free,
};

void
twin_fs_init(struct twin_fs *t)
{
	*t = (struct twin_fs){ .fs = { .ops = &twin_ops } };
	list_init(&t->names);
}

void
twin_fs_done(struct twin_fs *t)
{
	struct list *link;

	for (int fd = 0; fd < TWIN_FDS; fd++)
		set_file(&t->open[fd], NULL);
	while ((link = list_pop(&t->names)) != NULL) {
		struct twin_name *n = list_entry(link, struct twin_name, link);

		set_file(&n->now, NULL);
		set_file(&n->disk, NULL);
		free(n->name);
		free(n);
	}
}

void
twin_fs_fail(struct twin_fs *t, enum twin_op op, uint64_t after, uint64_t times, int errnum)
{
	t->fault[op] = (struct twin_fault){ after, times, errnum };
}

/* --- crash ------------------------------------------------------------------------- */

static struct twin_file *
crashed_file(const struct twin_file *f, enum twin_keep keep, struct rng *rng)
{
	struct twin_file *copy = xzalloc(sizeof(*copy));
	bool new_size = keep == TWIN_KEEP_ALL || (keep == TWIN_KEEP_SOME && rng_below(rng, 2) == 0);

	grow(copy, f->cap);
	copy->size = copy->disk_size = new_size ? f->size : f->disk_size;
	for (uint64_t at = 0; at < copy->size; at += SECTOR) {
		size_t n = copy->size - at < SECTOR ? (size_t)(copy->size - at) : SECTOR;
		bool now = keep == TWIN_KEEP_ALL;

		if (keep == TWIN_KEEP_SOME && memcmp(f->data + at, f->disk + at, n) != 0)
			now = rng_below(rng, 2) == 0;
		memcpy(copy->data + at, (now ? f->data : f->disk) + at, n);
		memcpy(copy->disk + at, (now ? f->data : f->disk) + at, n);
	}
	return copy;
}

static void
forget_images(const struct twin_fs *t)
{
	list_foreach(link, &t->names) {
		const struct twin_name *n = list_entry(link, struct twin_name, link);

		if (n->now != NULL)
			n->now->image = NULL;
		if (n->disk != NULL)
			n->disk->image = NULL;
	}
}

void
twin_fs_crash(struct twin_fs *out, const struct twin_fs *t, enum twin_keep keep, uint64_t seed)
{
	struct rng rng;

	rng_init(&rng, seed);
	twin_fs_init(out);
	forget_images(t);
	out->space = t->space;
	out->copy_on_write = t->copy_on_write;
	out->volatile_fs = t->volatile_fs;
	out->ops = t->ops + seed + 1;	/* so that a test that seeds by it gets other numbers */
	list_foreach(link, &t->names) {
		const struct twin_name *n = list_entry(link, struct twin_name, link);
		bool now = keep == TWIN_KEEP_ALL || (keep == TWIN_KEEP_SOME && rng_below(&rng, 2) == 0);
		struct twin_file *f = now ? n->now : n->disk;
		struct twin_name *copy;

		if (f == NULL)
			continue;
		copy = make(out, n->name);
		copy->dir = n->dir;
		/* Both names of a rename may be left, of one file. */
		if (f->image == NULL)
			f->image = crashed_file(f, keep, &rng);
		set_file(&copy->now, f->image);
		set_file(&copy->disk, f->image);
	}
	forget_images(t);
}

/* --- for tests ------------------------------------------------------------------------ */

bool
twin_fs_has(const struct twin_fs *t, const char *name)
{
	return find(t, name) != NULL && find(t, name)->now != NULL;
}

const char *
twin_fs_name(const struct twin_fs *t, const char *dir, size_t i)
{
	list_foreach(link, &t->names) {
		const struct twin_name *n = list_entry(link, struct twin_name, link);

		if (n->now != NULL && in_dir(n->name, dir) && i-- == 0)
			return n->name;
	}
	return NULL;
}

size_t
twin_fs_count(const struct twin_fs *t, const char *dir)
{
	size_t i = 0;

	while (twin_fs_name(t, dir, i) != NULL)
		i++;
	return i;
}

uint8_t *
twin_fs_content(const struct twin_fs *t, const char *name, uint64_t *size)
{
	if (!twin_fs_has(t, name))
		return NULL;
	*size = find(t, name)->now->size;
	return find(t, name)->now->data;
}

void
twin_fs_damage(struct twin_fs *t, const char *name, uint64_t at)
{
	struct twin_file *f = find(t, name)->now;

	f->data[at] ^= 0xff;
	f->disk[at] ^= 0xff;
}

uint64_t
twin_fs_used(const struct twin_fs *t)
{
	uint64_t sum = 0;

	list_foreach(link, &t->names) {
		const struct twin_name *n = list_entry(link, struct twin_name, link);

		if (n->now != NULL)
			sum += n->now->size;
	}
	return sum;
}

size_t
twin_fs_open_files(const struct twin_fs *t)
{
	size_t n = 0;

	for (int fd = 0; fd < TWIN_FDS; fd++)
		n += t->open[fd] != NULL;
	return n;
}
