/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * list - circular doubly-linked list, links embedded in the members.
 *
 * A head is a link that belongs to no member. A member not in a list is
 * linked to itself (list_init) so that list_remove is always safe.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct list {
	struct list *next, *prev;
};

static inline void
list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool
list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void
list_insert_before(struct list *at, struct list *l)
{
	l->prev = at->prev;
	l->next = at;
	at->prev->next = l;
	at->prev = l;
}

static inline void
list_push(struct list *head, struct list *l)		/* at the end */
{
	list_insert_before(head, l);
}

static inline void
list_push_front(struct list *head, struct list *l)
{
	list_insert_before(head->next, l);
}

static inline void
list_remove(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* The first member taken out, or NULL. */
static inline struct list *
list_pop(struct list *head)
{
	struct list *l = head->next;

	if (l == head)
		return NULL;
	list_remove(l);
	return l;
}

/* Move all members of from to the end of head. */
static inline void
list_move_all(struct list *head, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = head->prev;
	from->prev->next = head;
	head->prev->next = from->next;
	head->prev = from->prev;
	list_init(from);
}

#define list_entry(l, type, member) container_of(l, type, member)

/* it must not be removed in the loop; use the _safe form for that. */
#define list_foreach(it, head) \
	for (struct list *it = (head)->next; it != (head); it = it->next)
#define list_foreach_safe(it, head) \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
	    it = it##_next, it##_next = it->next)

#endif
