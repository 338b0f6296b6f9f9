/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/dial.h"

#include <netinet/in.h>

#include "base/banned.h"

static void dial_next(struct dial *);

static void
set_port(struct address *a, uint16_t port)
{
	if (a->ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&a->ss)->sin6_port = htons(port);
	else if (a->ss.ss_family == AF_INET)
		((struct sockaddr_in *)&a->ss)->sin_port = htons(port);
}

/* Families take turns, the first address's family first. */
static void
interleave(struct dial *d, const struct address *a, size_t n, uint16_t port)
{
	size_t i = 0, k = 0;
	sa_family_t first;

	d->n = 0;
	if (n == 0)
		return;
	first = a[0].ss.ss_family;
	while (d->n < n && d->n < RESOLVE_MAX) {
		while (i < n && a[i].ss.ss_family != first)
			i++;
		while (k < n && a[k].ss.ss_family == first)
			k++;
		if (i < n) {
			d->try[d->n++].address = a[i++];
			if (d->n == RESOLVE_MAX)
				break;
		}
		if (k < n)
			d->try[d->n++].address = a[k++];
	}
	for (i = 0; i < d->n; i++) {
		d->try[i].dial = d;
		d->try[i].stream = NULL;
		set_port(&d->try[i].address, port);
	}
}

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
		return 3;
	case STREAM_DENIED:
		return 2;
	case STREAM_NO_ROUTE:
		return 0;
	default:
		return 1;
	}
}

static void
on_connected(void *owner)
{
	struct dial_try *t = owner;
	struct dial *d = t->dial;
	struct stream *s = t->stream;

	t->stream = NULL;
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
dial_init(struct dial *d, struct net *net, const struct stream_limits *limits, dial_fn *fn,
    void *owner)
{
	*d = (struct dial){ .net = net, .limits = limits, .fn = fn, .owner = owner };
	timer_init(&d->stagger, on_stagger, d);
}

void
dial_start(struct dial *d, const struct address *a, size_t n, uint16_t port)
{
	interleave(d, a, n, port);
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
