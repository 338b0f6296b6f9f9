/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash/item.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

struct inode *
inode_new(void)
{
	struct inode *f = xzalloc(sizeof(*f));

	f->now = content_new();
	f->durable = content_new();
	return f;
}

void
inode_set(struct inode **at, struct inode *f)
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

struct disk_entry *
disk_find(const struct disk *d, const char *name)
{
	for (size_t i = 0; i < d->nentry; i++)
		if (strcmp(d->entry[i].name, name) == 0)
			return &d->entry[i];
	return NULL;
}

struct disk_entry *
disk_entry_for(struct disk *d, const char *name)
{
	struct disk_entry *n = disk_find(d, name);

	if (n != NULL)
		return n;
	require(strlen(name) < DISK_NAME);
	d->entry = xrealloc(d->entry, (d->nentry + 1) * sizeof(*d->entry));
	n = &d->entry[d->nentry++];
	*n = (struct disk_entry){ .dir = false };
	(void)snprintf(n->name, sizeof(n->name), "%s", name);
	return n;
}

bool
disk_in_dir(const char *name, const char *dir)
{
	size_t n = strlen(dir);

	if (n == 0)
		return strchr(name, '/') == NULL;
	return strncmp(name, dir, n) == 0 && name[n] == '/';
}

bool
disk_has(const struct disk *d, const char *name)
{
	const struct disk_entry *n = disk_find(d, name);

	return n != NULL && n->now != NULL;
}

void
item_add(struct disk *d, enum item_kind kind, struct inode *f, uint64_t at, struct page *page)
{
	if (d->nitem == d->cap) {
		d->cap = d->cap != 0 ? d->cap * 2 : 64;
		d->item = xrealloc(d->item, d->cap * sizeof(*d->item));
	}
	d->item[d->nitem] = (struct item){ .kind = kind, .at = at, .page = page, .op = d->ops };
	inode_set(&d->item[d->nitem].inode, f);
	if (page != NULL)
		page_ref(page);
	d->nitem++;
}

void
item_done(struct item *x)
{
	inode_set(&x->inode, NULL);
	if (x->page != NULL)
		page_unref(x->page);
}

void
disk_set_entry(struct disk *d, struct disk_entry *n, struct inode *f)
{
	inode_set(&n->now, f);
	item_add(d, ITEM_ENTRY, f, (uint64_t)(n - d->entry), NULL);
}

void
inode_resize(struct disk *d, struct inode *f, uint64_t size)
{
	content_resize(&f->now, size);
	item_add(d, ITEM_SIZE, f, size, NULL);
}

/* What the item says becomes true of the disk. */
void
item_apply(struct content **c, const struct item *x)
{
	if (x->kind == ITEM_SECTOR)
		content_put(c, x->at, x->page);
	else
		content_resize(c, x->at);
}

/* Keep only the items that keep() wants. */
void
item_filter(struct disk *d, bool (*keep)(const struct item *, const void *), const void *arg)
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
