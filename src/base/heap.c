/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/heap.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

void
heap_init(struct heap *h)
{
	*h = (struct heap){ .n = 0 };
}

void
heap_done(struct heap *h)
{
	free(h->node);
	heap_init(h);
}

static void
resize(struct heap *h, uint32_t cap)
{
	h->node = xrealloc(h->node, cap * sizeof(h->node[0]));
	h->cap = cap;
}

static bool
before(const struct heap_node *a, const struct heap_node *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	return (int32_t)(a->seq - b->seq) < 0;
}

static void
put(struct heap *h, uint32_t i, struct heap_node *n)
{
	h->node[i] = n;
	n->at = i + 1;
}

static void
sift_up(struct heap *h, uint32_t i, struct heap_node *n)
{
	while (i > 0 && before(n, h->node[(i - 1) / 2])) {
		put(h, i, h->node[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(h, i, n);
}

static void
sift_down(struct heap *h, uint32_t i, struct heap_node *n)
{
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= h->n)
			break;
		if (child + 1 < h->n && before(h->node[child + 1], h->node[child]))
			child++;
		if (!before(h->node[child], n))
			break;
		put(h, i, h->node[child]);
		i = child;
	}
	put(h, i, n);
}

/* n, from place i to where its key belongs. */
static void
settle(struct heap *h, uint32_t i, struct heap_node *n)
{
	if (i > 0 && before(n, h->node[(i - 1) / 2]))
		sift_up(h, i, n);
	else
		sift_down(h, i, n);
}

void
heap_insert(struct heap *h, struct heap_node *n, int64_t key)
{
	require(n->at == 0);
	if (h->n == h->cap)
		resize(h, h->cap != 0 ? h->cap * 2 : 16);
	n->key = key;
	n->seq = h->seq++;
	h->n++;
	sift_up(h, h->n - 1, n);
}

void
heap_remove(struct heap *h, struct heap_node *n)
{
	uint32_t i = n->at - 1;
	struct heap_node *last;

	if (n->at == 0)
		return;
	require(i < h->n && h->node[i] == n);
	n->at = 0;
	last = h->node[--h->n];
	if (h->cap > 64 && h->n < h->cap / 8)
		resize(h, h->cap / 2);
	if (last != n)
		settle(h, i, last);
}

void
heap_update(struct heap *h, struct heap_node *n, int64_t key)
{
	uint32_t i = n->at - 1;

	if (n->at == 0) {
		heap_insert(h, n, key);
		return;
	}
	require(i < h->n && h->node[i] == n);
	n->key = key;
	n->seq = h->seq++;
	settle(h, i, n);
}
