/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap - binary heap of int64_t keys, least first; members know their place.
 *
 * The member embeds a struct heap_node, so removal is O(log n) and needs no
 * search. Equal keys leave in the order of insertion. Limit: 2^32 - 1 members.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct heap_node {
	int64_t		 key;
	uint32_t	 seq;		/* order of insertion among equal keys */
	uint32_t	 at;		/* place + 1; 0 when in no heap */
};

struct heap {
	struct heap_node **node;
	uint32_t	 n, cap;
	uint32_t	 seq;
};

void heap_init(struct heap *h);
void heap_done(struct heap *h);			/* members are not touched */
/* The node must be in no heap. Aborts without memory (8 bytes a member). */
void heap_insert(struct heap *h, struct heap_node *n, int64_t key);
void heap_remove(struct heap *h, struct heap_node *n);	/* no-op if in no heap */
/* Insert or move. */
void heap_update(struct heap *h, struct heap_node *n, int64_t key);

static inline struct heap_node *
heap_first(const struct heap *h)
{
	return h->n != 0 ? h->node[0] : NULL;
}

static inline bool
heap_has(const struct heap_node *n)
{
	return n->at != 0;
}

#endif
