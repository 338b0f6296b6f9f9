/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/dial.h"

#include "base/banned.h"

static void dial_next(struct dial *);

/* Which of two failures says more: silence, then refusal, then what is local. */
static int
telling(enum stream_end_kind k)
{
	switch (k) {
	case STREAM_TIMEOUT:
		return 4;
	case STREAM_REFUSED:
	case STREAM_RESET:
	case STREAM_EOF:
	case STREAM_PROHIBITED:
		return 3;
	case STREAM_DENIED:
		return 2;
	case STREAM_NO_ROUTE:
		return 0;
	default:
		return 1;
	}
}

/*
 * t has won: those that began before it and have not connected are bad, for they had the
 * stagger's time more; so is a family all of whose tries are among them.
 */
static void
note_winner(struct dial *d, const struct dial_try *t)
{
	int64_t now = loop_now(d->net->loop);
	const struct dial_try *other = NULL;

	for (const struct dial_try *o = d->try; o < t; o++) {
		address_book_failed(d->book, &o->address, now);
		if (o->address.ss.ss_family != t->address.ss.ss_family)
			other = o;
	}
	if (other != NULL)
		address_book_family_failed(d->book, &other->address, now);
	address_book_connected(d->book, &t->address);
}

static void
on_connected(void *owner)
{
	struct dial_try *t = owner;
	struct dial *d = t->dial;
	struct stream *s = t->stream;

	t->stream = NULL;
	note_winner(d, t);
	dial_stop(d);
	d->fn(d->owner, s, &t->address, NULL);
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	struct dial_try *t = owner;
	struct dial *d = t->dial;

	stream_abort(t->stream);
	t->stream = NULL;
	d->running--;
	if (!d->failed || telling(end->kind) > telling(d->end.kind)) {
		d->end = *end;
		d->failed = true;
	}
	if (d->next < d->n) {
		dial_next(d);
	} else if (d->running == 0) {
		dial_stop(d);
		d->fn(d->owner, NULL, &t->address, &d->end);
	}
}

static void
on_nothing(void *owner)
{
}

static const struct stream_events try_events = {
	.on_connected = on_connected,
	.on_input = on_nothing,
	.on_drained = on_nothing,
	.on_tls = on_nothing,
	.on_closed = on_closed,
};

static void
dial_next(struct dial *d)
{
	struct dial_try *t = &d->try[d->next++];

	d->running++;
	t->stream = net_connect(d->net, &t->address, d->limits, &try_events, t);
	if (d->next < d->n)
		timer_set(d->net->loop, &d->stagger, DIAL_STAGGER_MS);
	else
		timer_cancel(d->net->loop, &d->stagger);
}

static void
on_stagger(void *arg)
{
	dial_next(arg);
}

void
dial_init(struct dial *d, struct net *net, struct address_book *book, const struct stream_limits *limits,
    dial_fn *fn, void *owner)
{
	*d = (struct dial){ .net = net, .book = book, .limits = limits, .fn = fn, .owner = owner };
	timer_init(&d->stagger, on_stagger, d);
}

void
dial_start(struct dial *d, const struct address *a, size_t n, uint16_t port, bool probe)
{
	struct address order[RESOLVE_MAX];

	d->n = address_book_order(d->book, a, n, port, probe, loop_now(d->net->loop), order);
	for (size_t i = 0; i < d->n; i++)
		d->try[i] = (struct dial_try){ .dial = d, .address = order[i] };
	dial_next(d);		/* n is at least 1: lookup sees to that */
}

void
dial_stop(struct dial *d)
{
	timer_cancel(d->net->loop, &d->stagger);
	for (size_t i = 0; i < d->n; i++) {
		stream_abort(d->try[i].stream);
		d->try[i].stream = NULL;
	}
	d->running = 0;
	d->next = d->n;
}
