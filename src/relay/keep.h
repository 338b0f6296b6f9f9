/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keep - a small file whose content is replaced as a whole, by a worker.
 *
 * One write at a time; it goes on when the keeper has ended meanwhile.
 */
#ifndef RELAY_KEEP_H
#define RELAY_KEEP_H

#include "base/buf.h"
#include "sys/fs.h"
#include "sys/worker.h"

struct keep_job;
struct keep {
	struct fs	*fs;
	struct worker	*worker;
	const char	*name;
	/* It is on disk, or (e is not NULL) it is not. From the loop. */
	void		(*on_kept)(void *owner, const struct err *e);
	void		*owner;
	struct keep_job	*job;		/* being written, or NULL */
};

void keep_done(struct keep *);
/* A last line with the checksum of all before it; and whether it is there and right: then it is cut off. */
bool keep_seal(struct buf *text) must_use;
bool keep_unseal(struct view *text) must_use;
static inline bool
keep_is_busy(const struct keep *k)
{
	return k->job != NULL;
}
/* Not while it is busy. text becomes the file's, and is empty then; its bytes are wiped afterwards. */
void keep_write(struct keep *, struct buf *text);
/* The content, at most max bytes; -1 with e->errnum ENOENT: there is none. */
int keep_read(const struct keep *, struct buf *out, size_t max, struct err *) must_use;

#endif
