/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/require.h"
#include "net/net.h"
#include "sys/io.h"

#include "base/banned.h"

#define ACCEPT_AT_ONCE	64
#define REST_MS		100	/* no descriptor or memory: give others time to release some */

struct listener {
	struct net	*net;
	int		 fd;
	struct stream_limits limits;
	const struct listener_events *events;
	void		*owner;
	struct io_watch	*watch;
	struct timer	 rest;
	struct task	 destroy;
	bool		 paused, dead;
};

static void
update_want(struct listener *l)
{
	if (l->watch != NULL)
		io_want(l->watch, l->paused || timer_is_set(&l->rest) ? 0 : IO_READ);
}

static void
on_rested(void *arg)
{
	update_want(arg);
}

/* False: nothing more to accept now. */
static bool
accept_one(struct listener *l)
{
	struct address peer = { .len = sizeof(peer.ss) };
	struct stream *s;
	int fd = accept4(l->fd, (struct sockaddr *)&peer.ss, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			timer_set(l->net->loop, &l->rest, REST_MS);
			update_want(l);
		}
		/* The others belong to a connection that is gone already, or nobody waits. */
		return errno == ECONNABORTED || errno == EINTR;
	}
	s = net_adopt(l->net, fd, &l->limits, NULL, NULL);
	l->events->on_accept(l->owner, l, s, &peer);
	return true;
}

static void
on_ready(void *arg, unsigned ready)
{
	struct listener *l = arg;

	for (int i = 0; i < ACCEPT_AT_ONCE && !l->dead && !l->paused; i++)
		if (!accept_one(l))
			break;
}

static void
destroy(void *arg)
{
	free(arg);
}

struct listener *
listener_new(struct net *n, int fd, const struct stream_limits *limits,
    const struct listener_events *events, void *owner)
{
	struct listener *l = xzalloc(sizeof(*l));

	l->net = n;
	l->fd = fd;
	l->limits = *limits;
	l->events = events;
	l->owner = owner;
	timer_init(&l->rest, on_rested, l);
	task_init(&l->destroy, destroy, l);
	l->watch = io_watch_new(n->loop, fd, on_ready, l);
	update_want(l);
	return l;
}

void
listener_pause(struct listener *l, bool pause)
{
	l->paused = pause;
	update_want(l);
}

int
listener_detach(struct listener *l)
{
	int fd = l->fd;

	require(!l->dead);
	l->dead = true;
	io_watch_free(l->watch);
	l->watch = NULL;
	timer_cancel(l->net->loop, &l->rest);
	task_post(l->net->loop, &l->destroy);	/* it may be on_accept that calls us */
	return fd;
}

void
listener_free(struct listener *l)
{
	if (l != NULL)
		(void)close(listener_detach(l));
}

int
listener_fd(const struct listener *l)
{
	return l->fd;
}
