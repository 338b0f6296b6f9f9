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

static void
damage(uint8_t *p, const struct item *x, enum left left)
{
	uint64_t h = hash_mix(x->op, x->at);

	if (left >= LEFT_BIT) {
		/* One of the lower bits: of a digit it makes another one, most often. */
		p[(left - LEFT_BIT) / 4 % x->n] ^= (uint8_t)(1u << (left - LEFT_BIT) % 4);
		return;
	}
	for (size_t i = 0; i < x->n; i++)
		p[i] = left == LEFT_NOISE ? (uint8_t)hash_mix(h, i) : 0;
}

void
item_leave(struct content **c, const struct item *x, enum left left)
{
	uint8_t bytes[DISK_SECTOR];
	struct page *page;

	if (left == LEFT_WHOLE || x->kind != ITEM_SECTOR) {
		item_apply(c, x);
		return;
	}
	page_read(x->page, x->from, bytes, x->n);
	damage(bytes, x, left);
	page = page_with(x->page, x->from, bytes, x->n);
	content_put(c, x->at, page);
	page_unref(page);
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
