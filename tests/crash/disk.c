/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "crash/content.h"

#include "base/banned.h"

/* A file. Its names are entries. */
struct inode {
	unsigned	 refs;
	struct content	*now, *durable;
	bool		 locked;
	bool		 reached;	/* disk_forget() */
	struct inode	*copy;		/* disk_image(), disk_clone() */
};

static struct disk *
disk_of(struct fs *fs)
{
	return container_of(fs, struct disk, fs);
}

/* --- files, names, items -------------------------------------------------------------- */

static struct inode *
inode_new(void)
{
	struct inode *f = xzalloc(sizeof(*f));

	f->now = content_new();
	f->durable = content_new();
	return f;
}

static void
set_inode(struct inode **at, struct inode *f)
{
	struct inode *old = *at;

	if (f != NULL)
		f->refs++;
	*at = f;
	if (old == NULL || --old->refs > 0)
		return;
	content_unref(old->now);
	content_unref(old->durable);
	free(old);
}

static struct disk_entry *
find(const struct disk *d, const char *name)
{
	for (size_t i = 0; i < d->nentry; i++)
		if (strcmp(d->entry[i].name, name) == 0)
			return &d->entry[i];
	return NULL;
}

static struct disk_entry *
entry_for(struct disk *d, const char *name)
{
	struct disk_entry *n = find(d, name);

	if (n != NULL)
		return n;
	require(strlen(name) < DISK_NAME);
	d->entry = xrealloc(d->entry, (d->nentry + 1) * sizeof(*d->entry));
	n = &d->entry[d->nentry++];
	*n = (struct disk_entry){ .dir = false };
	(void)snprintf(n->name, sizeof(n->name), "%s", name);
	return n;
}

static bool
in_dir(const char *name, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 0)
		return strchr(name, '/') == NULL;
	return strncmp(name, dir, n) == 0 && name[n] == '/';
}

static bool
is_there(const struct disk *d, const char *name)
{
	const struct disk_entry *n = find(d, name);

	return n != NULL && n->now != NULL;
}

static void
add_item(struct disk *d, enum item_kind kind, struct inode *f, uint64_t at, struct page *page)
{
	if (d->nitem == d->cap) {
		d->cap = d->cap != 0 ? d->cap * 2 : 64;
		d->item = xrealloc(d->item, d->cap * sizeof(*d->item));
	}
	d->item[d->nitem] = (struct item){ .kind = kind, .at = at, .page = page, .op = d->ops };
	set_inode(&d->item[d->nitem].inode, f);
	if (page != NULL)
		page_ref(page);
	d->nitem++;
}

static void
item_done(struct item *x)
{
	set_inode(&x->inode, NULL);
	if (x->page != NULL)
		page_unref(x->page);
}

static void
set_entry(struct disk *d, struct disk_entry *n, struct inode *f)
{
	set_inode(&n->now, f);
	add_item(d, ITEM_ENTRY, f, (uint64_t)(n - d->entry), NULL);
}

static void
set_size(struct disk *d, struct inode *f, uint64_t size)
{
	content_resize(&f->now, size);
	add_item(d, ITEM_SIZE, f, size, NULL);
}

/* What the item says becomes true of the disk. */
static void
apply(struct content **c, const struct item *x)
{
	if (x->kind == ITEM_SECTOR)
		content_put(c, x->at, x->page);
	else
		content_resize(c, x->at);
}

/* Keep only the items that keep() wants. */
static void
filter(struct disk *d, bool (*keep)(const struct item *, const void *), const void *arg)
{
	size_t n = 0;

	for (size_t i = 0; i < d->nitem; i++) {
		if (keep(&d->item[i], arg))
			d->item[n++] = d->item[i];
		else
			item_done(&d->item[i]);
	}
	d->nitem = n;
}

/* --- operations --------------------------------------------------------------------------- */

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
		set_inode(&d->open[fd], f);
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

static int
op_open(struct fs *fs, const char *name, enum fs_mode mode, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, mode == FS_CREATE ? TWIN_CREATE : TWIN_OPEN, name, e))
		return -1;
	if (mode != FS_CREATE)
		return is_there(d, name) ? new_fd(d, find(d, name)->now, e) : err_sys(e, ENOENT, "%s", name);
	if (is_there(d, name))
		return err_sys(e, EEXIST, "%s", name);
	set_entry(d, entry_for(d, name), inode_new());
	return new_fd(d, find(d, name)->now, e);
}

static void
op_close(struct fs *fs, int fd)
{
	struct disk *d = disk_of(fs);

	inode_of(d, fd)->locked = false;
	set_inode(&d->open[fd], NULL);
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
		add_item(d, ITEM_SECTOR, f, sector, page);
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
	bytes = xzalloc(all + 1);
	all = 0;
	for (int i = 0; i < n; i++) {
		memcpy(bytes + all, v[i].iov_base, v[i].iov_len);
		all += v[i].iov_len;
	}
	if (fails)
		all /= 2;		/* a part of it may be there all the same */
	if (at + all > content_size(f->now))
		set_size(d, f, at + all);
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
		apply(&f->durable, x);
		for (size_t k = 0; k < i; k++)
			if (same_place(&d->item[k], x))
				d->item[k].lost = false;
	}
	filter(d, is_of_other, f);
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
		set_size(d, f, size);
	return end(d, 0);
}

static int
op_truncate(struct fs *fs, int fd, uint64_t size, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, TWIN_TRUNCATE, name_of(d, fd), e))
		return end(d, -1);
	set_size(d, inode_of(d, fd), size);
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
	if (!is_there(d, from))
		return end(d, err_sys(e, ENOENT, "%s", from));
	target = entry_for(d, to);
	if (target->now == find(d, from)->now)
		return end(d, 0);	/* two names of one file: POSIX leaves both */
	set_entry(d, target, find(d, from)->now);
	set_entry(d, find(d, from), NULL);
	return end(d, 0);
}

static int
op_unlink(struct fs *fs, const char *name, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, TWIN_UNLINK, name, e))
		return end(d, -1);
	if (!is_there(d, name))
		return end(d, err_sys(e, ENOENT, "%s", name));
	set_entry(d, find(d, name), NULL);
	return end(d, 0);
}

static int
op_mkdir(struct fs *fs, const char *name, struct err *e)
{
	struct disk *d = disk_of(fs);

	if (begin(d, TWIN_MKDIR, name, e))
		return end(d, -1);
	if (!is_there(d, name)) {
		entry_for(d, name)->dir = true;
		set_entry(d, find(d, name), inode_new());
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

	return x->kind != ITEM_ENTRY || !in_dir(a->d->entry[x->at].name, a->dir);
}

static int
op_sync_dir(struct fs *fs, const char *dir, struct err *e)
{
	struct disk *d = disk_of(fs);

	/* If it fails, nothing is known; the next one may succeed. */
	if (begin(d, TWIN_SYNC_DIR, dir, e))
		return end(d, -1);
	for (size_t i = 0; i < d->nentry; i++)
		if (in_dir(d->entry[i].name, dir))
			set_inode(&d->entry[i].durable, d->entry[i].now);
	filter(d, is_elsewhere, &(struct in_directory){ d, dir });
	return end(d, 0);
}

static int
op_list(struct fs *fs, const char *dir, bool (*visit)(void *, const char *), void *arg, struct err *e)
{
	struct disk *d = disk_of(fs);
	size_t skip = dir[0] != '\0' ? strlen(dir) + 1 : 0;

	if (begin(d, TWIN_LIST, dir, e))
		return -1;
	if (skip != 0 && !is_there(d, dir))
		return err_sys(e, ENOENT, "%s", dir);
	for (size_t i = 0; i < d->nentry; i++)
		if (d->entry[i].now != NULL && in_dir(d->entry[i].name, dir) &&
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
	if (!is_there(d, name))
		set_entry(d, entry_for(d, name), inode_new());
	if (find(d, name)->now->locked)
		return err_set(e, ERR_BUSY, "%s is locked by process 1", name);
	find(d, name)->now->locked = true;
	return new_fd(d, find(d, name)->now, e);
}

static void
op_free(struct fs *fs)
{
	disk_done(disk_of(fs));
}

static const struct fs_ops disk_ops = {
	.open = op_open, .close = op_close, .writev = op_writev, .read = op_read, .read_cached = op_read,
	.sync = op_sync, .allocate = op_allocate, .truncate = op_truncate, .size = op_size,
	.rename = op_rename, .unlink = op_unlink, .mkdir = op_mkdir, .sync_dir = op_sync_dir,
	.list = op_list, .space = op_space, .lock = op_lock, .free = op_free,
};

void
disk_init(struct disk *d)
{
	*d = (struct disk){ .fs = { .ops = &disk_ops } };
}

void
disk_done(struct disk *d)
{
	for (int fd = 0; fd < DISK_FDS; fd++)
		set_inode(&d->open[fd], NULL);
	for (size_t i = 0; i < d->nitem; i++)
		item_done(&d->item[i]);
	for (size_t i = 0; i < d->nentry; i++) {
		set_inode(&d->entry[i].now, NULL);
		set_inode(&d->entry[i].durable, NULL);
	}
	free(d->item);
	free(d->entry);
	d->item = NULL;
	d->entry = NULL;
	d->nitem = d->nentry = 0;
}

void
disk_fail(struct disk *d, enum twin_op op, uint64_t after, uint64_t times, int errnum)
{
	d->fault[op] = (struct twin_fault){ after, times, errnum };
}

/* --- crashes ------------------------------------------------------------------------------ */

static bool
may_matter(const struct item *x, const void *arg)
{
	return x->kind == ITEM_ENTRY || x->inode->reached;
}

static void
reach(struct disk *d, bool reached)
{
	for (size_t i = 0; i < d->nitem; i++)
		if (d->item[i].inode != NULL)
			d->item[i].inode->reached = reached && (d->item[i].kind == ITEM_ENTRY ||
			    d->item[i].inode->reached);
	for (size_t i = 0; i < d->nentry; i++) {
		if (d->entry[i].durable != NULL)
			d->entry[i].durable->reached = reached;
		if (d->entry[i].now != NULL)
			d->entry[i].now->reached = reached;
	}
}

void
disk_forget(struct disk *d)
{
	reach(d, false);
	reach(d, true);
	filter(d, may_matter, NULL);
}

static void
uncopy(const struct disk *d)
{
	for (size_t i = 0; i < d->nentry; i++) {
		if (d->entry[i].now != NULL)
			d->entry[i].now->copy = NULL;
		if (d->entry[i].durable != NULL)
			d->entry[i].durable->copy = NULL;
	}
	for (size_t i = 0; i < d->nitem; i++)
		if (d->item[i].inode != NULL)
			d->item[i].inode->copy = NULL;
}

/* The image's inode for this one; its names keep it. */
static struct inode *
copy_of(struct inode *f, bool with_cache)
{
	if (f == NULL)
		return NULL;
	if (f->copy == NULL) {
		f->copy = xzalloc(sizeof(*f->copy));
		f->copy->durable = content_ref(f->durable);
		f->copy->now = content_ref(with_cache ? f->now : f->durable);
	}
	return f->copy;
}

static bool
dir_is_there(const struct disk *d, const char *name)
{
	char dir[DISK_NAME];
	const char *slash = strchr(name, '/');

	if (slash == NULL)
		return true;
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - name), name);
	return is_there(d, dir);
}

/* Directories that were lost take their names along. */
static void
take_names(struct disk *out, const struct disk *d, struct inode *const *name, bool dirs)
{
	for (size_t i = 0; i < d->nentry; i++) {
		const struct disk_entry *n = &d->entry[i];
		struct disk_entry *to;

		if (name[i] == NULL || n->dir != dirs || !dir_is_there(out, n->name))
			continue;
		to = entry_for(out, n->name);
		to->dir = n->dir;
		set_inode(&to->durable, copy_of(name[i], false));
		set_inode(&to->now, to->durable);
	}
}

void
disk_image(struct disk *out, const struct disk *d, bool (*keep)(void *arg, size_t i), void *arg)
{
	struct inode **name = xcalloc(d->nentry + 1, sizeof(struct inode *));
	bool *kept = xcalloc(d->nitem + 1, sizeof(*kept));

	disk_init(out);
	out->space = d->space;
	uncopy(d);
	for (size_t i = 0; i < d->nentry; i++)
		name[i] = d->entry[i].durable;
	for (size_t i = 0; i < d->nitem; i++) {
		kept[i] = keep(arg, i);
		if (kept[i] && d->item[i].kind == ITEM_ENTRY)
			name[d->item[i].at] = d->item[i].inode;
	}
	take_names(out, d, name, true);
	take_names(out, d, name, false);
	for (size_t i = 0; i < d->nitem; i++)
		if (kept[i] && d->item[i].kind != ITEM_ENTRY && d->item[i].inode->copy != NULL)
			apply(&d->item[i].inode->copy->durable, &d->item[i]);
	for (size_t i = 0; i < out->nentry; i++) {
		struct inode *f = out->entry[i].now;

		content_trim(&f->durable);
		content_unref(f->now);
		f->now = content_ref(f->durable);
	}
	free(kept);
	free(name);
}

void
disk_clone(struct disk *out, const struct disk *d)
{
	disk_init(out);
	out->space = d->space;
	uncopy(d);
	for (size_t i = 0; i < d->nentry; i++) {
		struct disk_entry *to = entry_for(out, d->entry[i].name);

		to->dir = d->entry[i].dir;
		set_inode(&to->now, copy_of(d->entry[i].now, true));
		set_inode(&to->durable, copy_of(d->entry[i].durable, true));
	}
	for (size_t i = 0; i < d->nitem; i++) {
		const struct item *x = &d->item[i];

		add_item(out, x->kind, copy_of(x->inode, true), x->at, x->page);
		out->item[i].lost = x->lost;
	}
}

uint64_t
hash_mix(uint64_t a, uint64_t b)
{
	uint64_t h = a * 0x9e3779b97f4a7c15u ^ (b + 0x7f4a7c159e3779b9u);

	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
	return h ^ (h >> 31);
}

/* In no order, for the order of names has no meaning. */
uint64_t
disk_hash(const struct disk *d)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < d->nentry; i++) {
		const struct disk_entry *n = &d->entry[i];
		uint64_t h = 1;

		if (n->durable == NULL)
			continue;
		for (const char *c = n->name; *c != '\0'; c++)
			h = hash_mix(h, (uint8_t)*c);
		sum += hash_mix(h, content_hash(n->durable->durable));
	}
	return sum;
}

/* --- for the test's eyes and hands ----------------------------------------------------------- */

size_t
disk_open_files(const struct disk *d)
{
	size_t n = 0;

	for (int fd = 0; fd < DISK_FDS; fd++)
		n += d->open[fd] != NULL;
	return n;
}

bool
disk_has(const struct disk *d, const char *name)
{
	return is_there(d, name);
}

const char *
disk_name(const struct disk *d, const char *dir, size_t i)
{
	for (size_t k = 0; k < d->nentry; k++)
		if (d->entry[k].now != NULL && in_dir(d->entry[k].name, dir) && i-- == 0)
			return d->entry[k].name;
	return NULL;
}

void
disk_damage(struct disk *d, const char *name, uint64_t at, uint8_t bits)
{
	struct inode *f = find(d, name)->now;
	uint8_t byte;
	struct page *page;

	require(content_read(f->now, &byte, 1, at) == 1);
	byte ^= bits;
	page = page_with(content_get(f->now, at / DISK_SECTOR), (size_t)(at % DISK_SECTOR), &byte, 1);
	content_put(&f->now, at / DISK_SECTOR, page);
	content_put(&f->durable, at / DISK_SECTOR, page);
	page_unref(page);
}

size_t
disk_read(const struct disk *d, const char *name, void *p, size_t n, uint64_t at)
{
	return is_there(d, name) ? content_read(find(d, name)->now->now, p, n, at) : 0;
}

uint64_t
disk_size(const struct disk *d, const char *name)
{
	return is_there(d, name) ? content_size(find(d, name)->now->now) : 0;
}

const char *
disk_item_text(const struct disk *d, size_t i, char text[DISK_ITEM_TEXT])
{
	const struct item *x = &d->item[i];
	const char *name = "a file without a name";

	for (size_t k = 0; k < d->nentry && x->inode != NULL; k++)
		if (d->entry[k].now == x->inode)
			name = d->entry[k].name;
	if (x->kind == ITEM_ENTRY)
		(void)snprintf(text, DISK_ITEM_TEXT, "%s: %s", d->entry[x->at].name,
		    x->inode == NULL ? "no more" : name);
	else
		(void)snprintf(text, DISK_ITEM_TEXT, "%s %llu of %s%s", x->kind == ITEM_SIZE ? "size" :
		    "sector", (unsigned long long)x->at, name, x->lost ? ", its sync failed" : "");
	return text;
}
