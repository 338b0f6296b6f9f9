/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash/disk.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "crash/item.h"

#include "base/banned.h"

void
disk_init(struct disk *d)
{
	*d = (struct disk){ .fs = { .ops = &disk_ops } };
}

void
disk_done(struct disk *d)
{
	for (int fd = 0; fd < DISK_FDS; fd++)
		inode_set(&d->open[fd], NULL);
	for (size_t i = 0; i < d->nitem; i++)
		item_done(&d->item[i]);
	for (size_t i = 0; i < d->nentry; i++) {
		inode_set(&d->entry[i].now, NULL);
		inode_set(&d->entry[i].durable, NULL);
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
	item_filter(d, may_matter, NULL);
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
	return disk_has(d, dir);
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
		to = disk_entry_for(out, n->name);
		to->dir = n->dir;
		inode_set(&to->durable, copy_of(name[i], false));
		inode_set(&to->now, to->durable);
	}
}

void
disk_image(struct disk *out, const struct disk *d, enum left (*left)(void *arg, size_t i), void *arg)
{
	struct inode **name = xcalloc(d->nentry + 1, sizeof(struct inode *));
	enum left *kept = xcalloc(d->nitem + 1, sizeof(*kept));

	disk_init(out);
	out->space = d->space;
	uncopy(d);
	for (size_t i = 0; i < d->nentry; i++)
		name[i] = d->entry[i].durable;
	for (size_t i = 0; i < d->nitem; i++) {
		kept[i] = left(arg, i);
		if (kept[i] != LEFT_OUT && d->item[i].kind == ITEM_ENTRY)
			name[d->item[i].at] = d->item[i].inode;
	}
	take_names(out, d, name, true);
	take_names(out, d, name, false);
	for (size_t i = 0; i < d->nitem; i++)
		if (kept[i] != LEFT_OUT && d->item[i].kind != ITEM_ENTRY && d->item[i].inode->copy != NULL)
			item_leave(&d->item[i].inode->copy->durable, &d->item[i], kept[i]);
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
		struct disk_entry *to = disk_entry_for(out, d->entry[i].name);

		to->dir = d->entry[i].dir;
		inode_set(&to->now, copy_of(d->entry[i].now, true));
		inode_set(&to->durable, copy_of(d->entry[i].durable, true));
	}
	for (size_t i = 0; i < d->nitem; i++) {
		const struct item *x = &d->item[i];

		item_add(out, x->kind, copy_of(x->inode, true), x->at, x->page);
		out->item[i].from = x->from;
		out->item[i].n = x->n;
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

const char *
disk_name(const struct disk *d, const char *dir, size_t i)
{
	for (size_t k = 0; k < d->nentry; k++)
		if (d->entry[k].now != NULL && disk_in_dir(d->entry[k].name, dir) && i-- == 0)
			return d->entry[k].name;
	return NULL;
}

void
disk_damage(struct disk *d, const char *name, uint64_t at, uint8_t bits)
{
	struct inode *f = disk_find(d, name)->now;
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
	return disk_has(d, name) ? content_read(disk_find(d, name)->now->now, p, n, at) : 0;
}

uint64_t
disk_size(const struct disk *d, const char *name)
{
	return disk_has(d, name) ? content_size(disk_find(d, name)->now->now) : 0;
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
