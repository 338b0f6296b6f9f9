/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * index - what is in memory of each message, found by id.
 *
 * Messages live in slabs, which go back to the system when they are empty; a table of
 * 32-bit places, at most 3/4 full, finds them. So a message takes its struct and 5 to 11
 * bytes, and no second copy of anything large exists while the table grows. Pointers stay
 * valid until the message is removed, also across index_join().
 */
#ifndef SPOOL_INDEX_H
#define SPOOL_INDEX_H

#include "base/list.h"
#include "spool/spool.h"

struct slab;

struct index {
	struct slab	**slab;		/* by number; NULL: not in use */
	uint32_t	 nslabs;
	struct list	 room;		/* slabs with a free place */
	struct slab	*empty;		/* one that is kept, or NULL */
	uint32_t	*table;		/* place + 1; 0: free */
	uint32_t	 cap;		/* power of two, or 0 */
	uint32_t	 n;
};

struct index *index_new(void) must_use;
void index_free(struct index *);		/* with all messages; NULL is fine */
/* A new message, all zero but for id and nrcpt; one of this id that is there is removed. */
struct spool_message *index_add(struct index *, spool_id id, uint32_t nrcpt) must_use;
struct spool_message *index_get(const struct index *, spool_id id);	/* NULL: not there */
void index_remove(struct index *, struct spool_message *m);
/* Walk in no order; start with *pos = 0; NULL at the end. It must not change meanwhile. */
struct spool_message *index_next(const struct index *, size_t *pos);
/* All messages of both, which have different ids, in one of the two; the other is gone. */
struct index *index_join(struct index *a, struct index *b) must_use;

#endif
