/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/lookup.h"

#include "base/banned.h"

void
lookup_init(struct lookup *l, struct net *net, const char *host)
{
	*l = (struct lookup){ .net = net, .host = host };
	list_init(&l->waiting);
}

void
lookup_done(struct lookup *l)
{
	if (l->running != NULL)
		net_resolve_cancel(l->net, l->running);
	l->running = NULL;
}

static void
on_resolved(void *owner, enum resolve_result result, const struct address *a, size_t n,
    const char *why)
{
	struct lookup *l = owner;
	struct list waiting, *link;

	l->running = NULL;
	if (result == RESOLVE_OK && n == 0)
		result = RESOLVE_NO_NAME;
	if (result == RESOLVE_OK) {
		l->n = n < RESOLVE_MAX ? n : RESOLVE_MAX;
		memcpy(l->address, a, l->n * sizeof(*a));
		l->until_ms = loop_now(l->net->loop) + LOOKUP_KEEP_MS;
	}
	list_init(&waiting);
	list_move_all(&waiting, &l->waiting);
	while ((link = list_pop(&waiting)) != NULL) {
		struct lookup_wait *w = list_entry(link, struct lookup_wait, link);

		w->fn(w->owner, result, why);
	}
}

bool
lookup_ask(struct lookup *l, struct lookup_wait *w)
{
	if (l->n != 0 && loop_now(l->net->loop) < l->until_ms)
		return true;
	list_push(&l->waiting, &w->link);
	if (l->running == NULL)
		l->running = net_resolve(l->net, l->host, 0, on_resolved, l);
	return false;
}

void
lookup_wait_init(struct lookup_wait *w, void (*fn)(void *, enum resolve_result, const char *),
    void *owner)
{
	list_init(&w->link);
	w->fn = fn;
	w->owner = owner;
}

void
lookup_cancel(struct lookup_wait *w)
{
	list_remove(&w->link);
}

void
lookup_forget(struct lookup *l)
{
	l->n = 0;
}
