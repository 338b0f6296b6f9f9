/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/io.h"

#include <stddef.h>
#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/alloc.h"
#include "base/require.h"
#include "sys/loop_event.h"

#include "base/banned.h"

/*
 * One libevent event per direction, so that asking for one more direction costs
 * one epoll_ctl and not two.
 */
struct io_watch {
	struct loop	*loop;
	struct event	 reading, writing;
	unsigned	 wanted;
	void		(*fn)(void *arg, unsigned ready);
	void		*arg;
};

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct io_watch *w = arg;

	loop_woke(w->loop);
	w->fn(w->arg, IO_READ);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct io_watch *w = arg;

	loop_woke(w->loop);
	w->fn(w->arg, IO_WRITE);
}

struct io_watch *
io_watch_new(struct loop *l, int fd, void (*fn)(void *arg, unsigned ready), void *arg)
{
	struct io_watch *w = xzalloc(sizeof(*w));
	struct event_base *base = loop_event_base(l);

	w->loop = l;
	w->fn = fn;
	w->arg = arg;
	require(event_assign(&w->reading, base, fd, EV_READ | EV_PERSIST, on_readable, w) == 0);
	require(event_assign(&w->writing, base, fd, EV_WRITE | EV_PERSIST, on_writable, w) == 0);
	return w;
}

static void
set_one(struct event *ev, bool was, bool wanted)
{
	if (was == wanted)
		return;
	/* Fails for descriptors that epoll can't watch, and those are never given to us. */
	require((wanted ? event_add(ev, NULL) : event_del(ev)) == 0);
}

void
io_want(struct io_watch *w, unsigned bits)
{
	set_one(&w->reading, w->wanted & IO_READ, bits & IO_READ);
	set_one(&w->writing, w->wanted & IO_WRITE, bits & IO_WRITE);
	w->wanted = bits;
}

void
io_watch_free(struct io_watch *w)
{
	if (w == NULL)
		return;
	io_want(w, 0);
	free(w);
}

struct io_signal {
	struct loop	*loop;
	struct event	 event;
	void		(*fn)(void *arg, int signo);
	void		*arg;
};

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct io_signal *s = arg;

	loop_woke(s->loop);
	s->fn(s->arg, (int)signo);
}

struct io_signal *
io_signal_new(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg)
{
	struct io_signal *s = xzalloc(sizeof(*s));

	s->loop = l;
	s->fn = fn;
	s->arg = arg;
	require(evsignal_assign(&s->event, loop_event_base(l), signo, on_signal, s) == 0);
	require(evsignal_add(&s->event, NULL) == 0);
	return s;
}

void
io_signal_free(struct io_signal *s)
{
	if (s == NULL)
		return;
	(void)evsignal_del(&s->event);		/* it was added above */
	free(s);
}
