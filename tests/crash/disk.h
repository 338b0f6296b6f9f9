/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk - a file system that remembers every change a crash could still lose.
 *
 * Each change that is not durable yet is an item: a sector of 512 bytes, the size of a
 * file, or one directory entry. A crash keeps any subset of the items, in their order; and
 * of a sector that was on its way the bytes that were written may be anything. disk_image()
 * makes that image. A sync of a file makes its sectors and size durable and
 * no name; a sync of a directory its entries and nothing else; a rename is two entries.
 * When a sync fails its items stay uncertain for ever: no later sync helps them. Content
 * is shared between images until one of them writes.
 */
#ifndef CRASH_DISK_H
#define CRASH_DISK_H

#include "twin/fs.h"

#define DISK_SECTOR	512u
#define DISK_NAME	64u
#define DISK_FDS	64
#define DISK_ITEM_TEXT	160u

struct page;
struct content;
struct inode;

struct disk_entry {
	char		 name[DISK_NAME];
	struct inode	*now, *durable;		/* NULL: none */
	bool		 dir;
};

/* What a crash makes of an item. Of a sector the bytes that were written may be wrong ... */
enum left {
	LEFT_OUT,		/* it is lost */
	LEFT_WHOLE,
	LEFT_ZEROS,		/* ... zeros */
	LEFT_NOISE,		/* ... all of them */
	LEFT_BIT		/* ... one bit of one of them: which, is added to this */
};

enum item_kind { ITEM_SECTOR, ITEM_SIZE, ITEM_ENTRY };

struct item {
	enum item_kind	 kind;
	struct inode	*inode;		/* ITEM_ENTRY: what the name stands for, or NULL */
	uint64_t	 at;		/* sector, size, or index of the entry */
	struct page	*page;
	uint16_t	 from, n;	/* ITEM_SECTOR: its bytes that were written */
	uint64_t	 op;		/* the operation that made it */
	bool		 lost;		/* a sync of it failed */
};

struct disk {
	struct fs	 fs;
	struct disk_entry *entry;
	size_t		 nentry;
	struct item	*item;
	size_t		 nitem, cap;
	struct inode	*open[DISK_FDS];
	struct twin_fault fault[TWIN_OPS];
	uint64_t	 space;		/* bytes; 0: no limit */
	uint64_t	 ops;		/* that change something */
	enum twin_op	 op;		/* the last of them */
	char		 op_name[DISK_NAME];
	char		 shared[DISK_NAME];	/* that was written to while it had another name; "": none */
	/* Before and after each operation that changes something. */
	void		(*hook)(void *arg);
	void		*arg;
};

void disk_init(struct disk *);
void disk_done(struct disk *);
void disk_fail(struct disk *, enum twin_op op, uint64_t after, uint64_t times, int errnum);
/* Drop items that no crash can show any more: their file has no name and gets none. */
void disk_forget(struct disk *);
/* What a crash leaves of the items. Item i is damaged in the same way every time. */
void disk_image(struct disk *out, const struct disk *d, enum left (*left)(void *arg, size_t i), void *arg);
/* A killed process: cache and items are as they are, descriptors and locks are gone. */
void disk_clone(struct disk *out, const struct disk *d);
/* Of what is durable: names, sizes, bytes. */
uint64_t disk_hash(const struct disk *);
size_t disk_open_files(const struct disk *);
bool disk_has(const struct disk *, const char *name);
/* The i-th name of the directory, or NULL. */
const char *disk_name(const struct disk *, const char *dir, size_t i);
/* Change bits of a byte, in the cache and on the disk. */
void disk_damage(struct disk *, const char *name, uint64_t at, uint8_t bits);
/* Of the cache; less than n only at the end; 0: no such file. */
size_t disk_read(const struct disk *, const char *name, void *p, size_t n, uint64_t at);
uint64_t disk_size(const struct disk *, const char *name);
/* "sector 3 of log/00..." */
const char *disk_item_text(const struct disk *, size_t i, char text[DISK_ITEM_TEXT]);
uint64_t hash_mix(uint64_t a, uint64_t b);

#endif
