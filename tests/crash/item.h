/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * item - files, their names, and changes that are not durable yet: for disk.c and its operations.
 */
#ifndef CRASH_ITEM_H
#define CRASH_ITEM_H

#include "crash/content.h"
#include "crash/disk.h"

/* A file. Its names are entries. */
struct inode {
	unsigned	 refs;
	struct content	*now, *durable;
	bool		 locked;
	bool		 reached;	/* disk_forget() */
	struct inode	*copy;		/* disk_image(), disk_clone() */
};

struct inode *inode_new(void) must_use;
/* Another owner of f (or of none) at *at. */
void inode_set(struct inode **at, struct inode *f);
void inode_resize(struct disk *, struct inode *, uint64_t size);

struct disk_entry *disk_find(const struct disk *, const char *name);
struct disk_entry *disk_entry_for(struct disk *, const char *name);
bool disk_in_dir(const char *name, const char *dir);
void disk_set_entry(struct disk *, struct disk_entry *, struct inode *);

void item_add(struct disk *, enum item_kind, struct inode *, uint64_t at, struct page *);
void item_done(struct item *);
/* What it says becomes true of the file. */
void item_apply(struct content **, const struct item *);
/* The same as a crash may leave it; not LEFT_OUT. */
void item_leave(struct content **, const struct item *, enum left);
/* Keep only the items that keep() wants. */
void item_filter(struct disk *, bool (*keep)(const struct item *, const void *), const void *arg);

/* The operations; disk_ops.c. */
extern const struct fs_ops disk_ops;

#endif
