/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * newfile - a file that is there as a whole, on the disk, or not at all.
 *
 * It is written under a temporary name, synced, and then given its name if
 * nothing has that name. Nothing is ever overwritten. The caller syncs the
 * directory (newfile_sync_dir) before it says that the file is safe.
 */
#ifndef CTL_NEWFILE_H
#define CTL_NEWFILE_H

#include "base/buf.h"
#include "base/err.h"

struct newfile {
	int		 dir;		/* of the temporary name; not owned */
	int		 fd;		/* -1: none */
	char		 name[256];	/* the temporary one */
	struct buf	 out;		/* still to be written */
};

int newfile_begin(struct newfile *, int dir, const char *temporary, struct err *) must_use;
/* The buffer to add to; call newfile_flush() now and then. */
int newfile_flush(struct newfile *, struct err *) must_use;
/* A place to go back to: what was added behind it is taken off the file. */
int newfile_mark(struct newfile *, uint64_t *mark, struct err *) must_use;
int newfile_cut(struct newfile *, uint64_t mark, struct err *) must_use;
/* ERR_BUSY: the name is taken. In any case f has ended, and the temporary name is gone. */
int newfile_finish(struct newfile *, int dir, const char *name, struct err *) must_use;
void newfile_drop(struct newfile *);	/* nothing remains; fine after the end */

/*
 * The directory, made if it is not there (mode 0700, its entry synced): a descriptor or -1. Below
 * a parent it must not be a symbolic link.
 */
int newfile_dir(int parent, const char *name, struct err *) must_use;
int newfile_sync_dir(int dir, const char *name, struct err *) must_use;

#endif
