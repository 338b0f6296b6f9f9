/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map - uint64_t to pointer, open addressing; for ids that we hand out.
 *
 * Keys are not chosen by peers, so the hash need not be keyed. Values are not
 * NULL. Grows by doubling; 16 bytes a slot, at most 3/4 full.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct map_slot {
	uint64_t	 key;
	void		*value;		/* NULL: free */
};

struct map {
	struct map_slot	*slot;
	size_t		 cap;		/* power of two, or 0 */
	size_t		 n;
};

void map_init(struct map *m);
void map_done(struct map *m);				/* values are not touched */
void *map_get(const struct map *m, uint64_t key);	/* NULL: not there */
void map_put(struct map *m, uint64_t key, void *value);	/* replaces */
void *map_take(struct map *m, uint64_t key);		/* removes; NULL: was not there */
/* Walk: start with *pos = 0; NULL at the end. The map must not change meanwhile. */
void *map_next(const struct map *m, size_t *pos);

#endif
