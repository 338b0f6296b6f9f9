/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/lookup.h"

#include "base/banned.h"

static int64_t
now_of(const struct lookup *l)
{
	return loop_now(l->net->loop);
}

static bool
may_stand_in(const struct lookup *l)
{
	return l->n != 0 && now_of(l) - l->good_ms < LOOKUP_KEEP_MS;
}

static void
tell(struct lookup *l, enum resolve_result result, const char *why)
{
	struct list waiting, *link;

	list_init(&waiting);
	list_move_all(&waiting, &l->waiting);
	while ((link = list_pop(&waiting)) != NULL) {
		struct lookup_wait *w = list_entry(link, struct lookup_wait, link);

		w->fn(w->owner, result, why);
	}
}

static void
stand_in(struct lookup *l, const char *why)
{
	l->failing_ms = now_of(l) + LOOKUP_FRESH_MS;
	if (!l->kept)
		l->events->on_kept(l->owner, now_of(l) - l->good_ms, why);
	l->kept = true;
	tell(l, RESOLVE_OK, NULL);
}

static void
on_impatient(void *arg)
{
	stand_in(arg, "the name server does not answer");
}

/* --- a good answer -------------------------------------------------------------- */

static size_t
find(const struct address *in, size_t n, const struct address *a)
{
	size_t i = 0;

	while (i < n && !address_eq(&in[i], a))
		i++;
	return i;
}

/* True: it was in no answer for long. */
static bool
see(struct lookup *l, const struct address *a)
{
	int64_t now = now_of(l);
	size_t oldest = 0, i;
	bool novel;

	for (i = 0; i < l->nseen && !address_eq(&l->seen[i].address, a); i++)
		if (l->seen[i].at_ms < l->seen[oldest].at_ms)
			oldest = i;
	if (i == l->nseen && l->nseen < LOOKUP_SEEN_MAX)
		l->seen[l->nseen++].at_ms = -LOOKUP_SEEN_MS;
	else if (i == l->nseen)
		l->seen[i = oldest].at_ms = -LOOKUP_SEEN_MS;
	novel = now - l->seen[i].at_ms >= LOOKUP_SEEN_MS;
	l->seen[i].address = *a;
	l->seen[i].at_ms = now;
	return novel;
}

static void
take_answer(struct lookup *l, const struct address *a, size_t n)
{
	bool first = l->n == 0, novel = false, other;

	n = n < RESOLVE_MAX ? n : RESOLVE_MAX;
	other = n != l->n;
	for (size_t i = 0; i < n; i++) {
		other = find(l->address, l->n, &a[i]) == l->n || other;
		novel = see(l, &a[i]) || novel;
	}
	memcpy(l->address, a, n * sizeof(*a));
	l->n = n;
	l->good_ms = now_of(l);
	l->fresh_ms = l->good_ms + LOOKUP_FRESH_MS;
	l->failing_ms = 0;
	l->kept = false;
	tell(l, RESOLVE_OK, NULL);
	if (other && !first)
		l->events->on_changed(l->owner, novel);
}

static void
on_resolved(void *owner, enum resolve_result result, const struct address *a, size_t n,
    const char *why)
{
	struct lookup *l = owner;

	l->running = NULL;
	timer_cancel(l->net->loop, &l->impatient);
	if (result == RESOLVE_OK && n == 0)
		result = RESOLVE_NO_NAME;
	if (result == RESOLVE_OK) {
		take_answer(l, a, n);
		return;
	}
	if (result == RESOLVE_TEMPORARY && may_stand_in(l)) {
		stand_in(l, why);
		return;
	}
	if (result == RESOLVE_NO_NAME)
		l->n = 0;
	tell(l, result, why);
}

/* --- asking ------------------------------------------------------------------------ */

static void
ask(struct lookup *l)
{
	if (l->running == NULL)
		l->running = net_resolve(l->net, l->host, 0, on_resolved, l);
}

bool
lookup_ask(struct lookup *l, struct lookup_wait *w)
{
	if (l->n != 0 && now_of(l) < l->fresh_ms)
		return true;
	if (may_stand_in(l) && now_of(l) < l->failing_ms)
		return true;
	list_push(&l->waiting, &w->link);
	ask(l);
	if (may_stand_in(l) && !timer_is_set(&l->impatient))
		timer_set(l->net->loop, &l->impatient, LOOKUP_WAIT_MS);
	return false;
}

void
lookup_refresh(struct lookup *l)
{
	if (now_of(l) >= l->fresh_ms)
		ask(l);
}

void
lookup_doubt(struct lookup *l)
{
	l->fresh_ms = 0;
}

void
lookup_restart(struct lookup *l)
{
	l->fresh_ms = l->failing_ms = 0;
}

/* --- life ------------------------------------------------------------------------------ */

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
lookup_init(struct lookup *l, struct net *net, const char *host, const struct lookup_events *events,
    void *owner)
{
	*l = (struct lookup){ .net = net, .host = host, .events = events, .owner = owner };
	list_init(&l->waiting);
	timer_init(&l->impatient, on_impatient, l);
}

void
lookup_done(struct lookup *l)
{
	timer_cancel(l->net->loop, &l->impatient);
	if (l->running != NULL)
		net_resolve_cancel(l->net, l->running);
	l->running = NULL;
}
