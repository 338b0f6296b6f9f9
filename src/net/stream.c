/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams over the kernel's sockets.
 *
 * Each stream has one task, which sends at the end of the turn, tells the owner
 * of the end, and frees the memory. So no event comes within a call of the
 * owner, and the memory outlives the event in which it was closed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/require.h"
#include "net/path.h"
#include "net/prohibited.h"
#include "net/real.h"
#include "net/tls_conn.h"
#include "sys/io.h"

#include "base/banned.h"

#define RECEIVE_AT_ONCE	32768		/* per stream and turn: nobody starves the others */
#define LINGER_MS	5000
#define LOOKS		10		/* at the path, within the time in which it is declared dead */
#define KEEPALIVE_IDLE_S 5
#define KEEPALIVE_EVERY_S 2

enum real_state {
	REAL_CONNECTING,
	REAL_OPEN,
	REAL_CLEAR,		/* TLS is to begin; what was written before goes out in clear */
	REAL_HANDSHAKE,
	REAL_ENDED,		/* on_closed came or is about to; output still goes out if it can */
	REAL_LINGER,		/* closed by the owner; output is being sent */
	REAL_DEAD		/* memory is freed by the task */
};

struct real_stream {
	struct stream	 stream;
	struct list	 link;
	struct real_net	*net;
	struct loop	*loop;
	struct io_watch	*watch;
	struct task	 task;
	struct timer	 linger;
	struct timer	 look;		/* at the path, while bytes are on the way */
	int64_t		 dead_ms;	/* so long without an acknowledgement: dead; 0: no TCP */
	int64_t		 stuck_since_ms;	/* bytes are on the way, and no more than acked got there */
	uint64_t	 acked;
	bool		 unlimited;	/* the window is shut: the kernel's own limit is lifted */
	bool		 quiet;		/* at the last look nothing was */
	bool		 stuck;		/* the owner was told */
	struct tls_conn	*tls;		/* NULL: clear */
	size_t		 clear_left;	/* REAL_CLEAR: bytes of output to send first */
	int		 fd;
	enum real_state	 state;
	uint16_t	 port;
	bool		 paused;
	bool		 blocked;	/* the socket took no more */
	bool		 write_broken;	/* output is dropped */
	int		 send_errnum;	/* why; the kernel tells it only once */
	bool		 told;		/* on_closed has been called */
	bool		 said_bye;
	bool		 tls_waits;	/* decrypted bytes did not fit */
	const char	*peer;		/* "server" or "client", of tls */
	struct stream_end end;
};

static struct real_stream *
self(const struct stream *s)
{
	return (struct real_stream *)(uintptr_t)s;
}

static bool
can_receive(const struct real_stream *r)
{
	return r->state == REAL_OPEN && !r->paused && !r->tls_waits && buf_room(&r->stream.in) > 0;
}

static void
update_want(struct real_stream *r)
{
	unsigned want = 0;

	if (r->watch == NULL)
		return;
	if (r->state == REAL_CONNECTING || r->blocked)
		want |= IO_WRITE;
	if (r->state == REAL_HANDSHAKE)
		want |= IO_READ;
	if (can_receive(r))
		want |= IO_READ;
	io_want(r->watch, want);
}

static void
post(struct real_stream *r)
{
	task_post(r->loop, &r->task);
}

/* The first end counts. */
static bool
is_over(const struct real_stream *r)
{
	return r->state == REAL_LINGER || r->state == REAL_ENDED || r->state == REAL_DEAD;
}

/* The end is known; the task tells it. r->end is filled. */
static void
finish(struct real_stream *r)
{
	if (is_over(r))
		return;
	r->write_broken = r->end.kind != STREAM_EOF || r->state != REAL_OPEN;
	r->state = REAL_ENDED;
	if (r->write_broken) {
		buf_clear(&r->stream.out);
		r->blocked = false;
	}
	update_want(r);
	post(r);
}

static void
finish_errno(struct real_stream *r, int errnum, const char *what)
{
	if (is_over(r))
		return;
	if (r->state == REAL_HANDSHAKE) {
		char why[ERRNO_TEXT_MAX];

		stream_end_set(&r->end, STREAM_TLS_HANDSHAKE,
		    "the connection broke in the TLS handshake: %s",
		    errno_text(why, errnum));
		r->end.errnum = errnum;
	} else {
		stream_end_errno(&r->end, errnum, what);
	}
	finish(r);
}

static void
finish_eof(struct real_stream *r)
{
	if (is_over(r))
		return;
	if (r->state == REAL_HANDSHAKE)
		stream_end_set(&r->end, STREAM_TLS_HANDSHAKE,
		    "the %s closed the connection in the TLS handshake", r->peer);
	else if (r->send_errnum != 0)
		stream_end_errno(&r->end, r->send_errnum, "send");
	else
		stream_end_set(&r->end, STREAM_EOF, "the peer closed the connection");
	finish(r);
}

/* The descriptor is gone, the memory stays until the task runs. */
static void
kill_stream(struct real_stream *r)
{
	r->state = REAL_DEAD;
	timer_cancel(r->loop, &r->linger);
	timer_cancel(r->loop, &r->look);
	io_watch_free(r->watch);
	r->watch = NULL;
	if (r->fd >= 0)
		(void)close(r->fd);	/* what had to arrive was acknowledged by the protocol */
	r->fd = -1;
	post(r);
}

static void
free_stream(struct real_stream *r)
{
	task_cancel(&r->task);
	list_remove(&r->link);
	tls_conn_free(r->tls);
	stream_done(&r->stream);
	free(r);
}

/* --- receiving ------------------------------------------------------------ */

/* Decrypted bytes to the owner, as many as fit. */
static void
take_decrypted(struct real_stream *r)
{
	struct stream *s = &r->stream;
	size_t before = buf_len(&s->in);
	enum tls_progress p = tls_conn_read(r->tls, &s->in, &r->end);

	r->tls_waits = p == TLS_FULL;
	if (p == TLS_CLOSED)
		finish_eof(r);
	else if (p == TLS_FAILED)
		finish(r);
	if (buf_len(tls_conn_output(r->tls)) != 0)
		post(r);		/* the answer to a key update */
	if (buf_len(&s->in) > before && s->events != NULL && s->events->on_input != NULL)
		s->events->on_input(s->owner);
}

static void flush(struct real_stream *);

static void
handshake(struct real_stream *r)
{
	struct stream *s = &r->stream;
	struct stream_end reason;
	enum tls_progress p = tls_conn_handshake(r->tls, &reason);

	flush(r);			/* also the alert that says why we refuse */
	if (p == TLS_FAILED) {
		finish(r);
		r->end = reason;	/* better than that the alert could not be sent */
	}
	if (p != TLS_DONE || r->state != REAL_HANDSHAKE)
		return;
	r->state = REAL_OPEN;
	if (buf_len(&s->out) != 0)
		post(r);		/* written while the handshake ran */
	if (s->events->on_tls != NULL)
		s->events->on_tls(s->owner);
	/* The greeting may have come in one packet with the end of the handshake. */
	if (r->state == REAL_OPEN && !r->paused)
		take_decrypted(r);
}

static void
received(struct real_stream *r, struct view v)
{
	struct stream *s = &r->stream;
	bool kept = r->tls != NULL ? tls_conn_received(r->tls, v) : buf_add(&s->in, v);

	if (!kept) {
		finish_errno(r, ENOMEM, "receive");
		return;
	}
	if (r->state == REAL_HANDSHAKE)
		handshake(r);
	else if (r->tls != NULL)
		take_decrypted(r);
	else if (s->events != NULL && s->events->on_input != NULL)
		s->events->on_input(s->owner);
}

/* False when there was nothing to read. */
static bool
receive(struct real_stream *r)
{
	uint8_t bytes[RECEIVE_AT_ONCE];
	size_t room = r->tls != NULL ? sizeof(bytes) : buf_room(&r->stream.in);
	ssize_t n;

	do
		n = recv(r->fd, bytes, room < sizeof(bytes) ? room : sizeof(bytes), 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		received(r, view_of(bytes, (size_t)n));
	else if (n == 0)
		finish_eof(r);
	else if (errno == EAGAIN)
		return false;
	else
		finish_errno(r, errno, "receive");
	return true;
}

/* --- sending -------------------------------------------------------------- */

/*
 * The peer is gone. What it said before it left ("554 go away") is read first:
 * it is the better reason.
 */
static void
send_failed(struct real_stream *r, int errnum)
{
	r->write_broken = true;
	r->send_errnum = errnum;
	r->blocked = false;
	buf_clear(&r->stream.out);
	if (can_receive(r))
		(void)receive(r);	/* its words, or an end that was told first */
	/* Whatever its owner still does not read of it: nothing is watched that would end it. */
	finish_errno(r, errnum, "send");
}

/* --- is the peer still there? (net/path.h) ---------------------------------- */

static void
look_later(struct real_stream *r)
{
	if (r->dead_ms != 0 && !timer_is_set(&r->look))
		timer_set(r->loop, &r->look, r->dead_ms / LOOKS);
}

static void
look_from_now(struct real_stream *r)
{
	if (timer_is_set(&r->look) && !r->quiet)
		return;
	r->quiet = false;
	r->stuck_since_ms = loop_now(r->loop);
	look_later(r);
}

/* Nothing is on the way, but an answer may be, and its path dead. */
static bool
wants_to_know(const struct real_stream *r)
{
	return r->stream.events != NULL && r->stream.events->on_stuck != NULL;
}

static void
tell_stuck(struct real_stream *r, bool stuck)
{
	const struct stream *s = &r->stream;

	if (stuck == r->stuck || is_over(r))
		return;
	r->stuck = stuck;
	if (s->events != NULL && s->events->on_stuck != NULL)
		s->events->on_stuck(s->owner, stuck);
}

static void
on_look(void *arg)
{
	struct real_stream *r = arg;
	struct path_facts facts;
	enum path_state state;
	bool shut;

	if (r->write_broken || r->fd < 0 || !path_facts(r->fd, &facts))
		return;
	if (facts.acked != r->acked)
		r->stuck_since_ms = loop_now(r->loop);
	r->acked = facts.acked;
	facts.stuck_ms = loop_now(r->loop) - r->stuck_since_ms;
	state = path_judge(&facts, r->dead_ms);
	shut = state == PATH_SHUT || state == PATH_DEAD;
	if (shut != r->unlimited)
		path_limit(r->fd, shut ? 0 : r->dead_ms);
	r->unlimited = shut;
	if (state == PATH_DEAD)
		send_failed(r, ETIMEDOUT);
	else if (state != PATH_QUIET || wants_to_know(r))
		look_later(r);
	r->quiet = state == PATH_QUIET;
	update_want(r);
	tell_stuck(r, path_is_stuck(&facts, r->dead_ms));
}

/* Up to n bytes of b; true if all of them went. */
static bool
send_from(struct real_stream *r, struct buf *b, size_t n)
{
	while (n > 0) {
		ssize_t done = send(r->fd, buf_view(b).p, n, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			if (errno == EAGAIN)
				r->blocked = true;
			else
				send_failed(r, errno);
			return false;
		}
		buf_consume(b, (size_t)done);
		n -= (size_t)done;
		look_from_now(r);	/* is it acknowledged? */
	}
	return true;
}

static void
flush_tls(struct real_stream *r)
{
	struct buf *records = tls_conn_output(r->tls);

	for (;;) {
		if (!send_from(r, records, buf_len(records)))
			return;
		if (r->state == REAL_HANDSHAKE || buf_len(&r->stream.out) == 0)
			break;
		if (tls_conn_write(r->tls, &r->stream.out, &r->end) == TLS_FAILED) {
			finish(r);
			return;
		}
	}
	buf_shrink(records, 0);
}

/* What was written before start_tls(), and nothing behind it. */
static void
flush_clear(struct real_stream *r)
{
	size_t before = buf_len(&r->stream.out);

	(void)send_from(r, &r->stream.out, r->clear_left);	/* blocked, or over: noted */
	r->clear_left -= before - buf_len(&r->stream.out);
}

static void
flush(struct real_stream *r)
{
	r->blocked = false;
	if (r->write_broken)
		buf_clear(&r->stream.out);
	else if (r->state == REAL_CLEAR)
		flush_clear(r);
	else if (r->tls != NULL)
		flush_tls(r);
	else
		(void)send_from(r, &r->stream.out, buf_len(&r->stream.out));	/* blocked, or over: noted */
	buf_shrink(&r->stream.out, 4096);
}

static bool
has_output(const struct real_stream *r)
{
	return buf_len(&r->stream.out) != 0 ||
	    (r->tls != NULL && buf_len(tls_conn_output(r->tls)) != 0);
}

/* --- the task and the watch ----------------------------------------------- */

static void
begin_handshake(struct real_stream *r)
{
	r->state = REAL_HANDSHAKE;
	handshake(r);
}

/* Unread input would make the kernel reset the connection and take our last words with it. */
static void
discard_input(struct real_stream *r)
{
	uint8_t bytes[RECEIVE_AT_ONCE];

	(void)recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT);	/* whatever it says */
}

static void
linger(struct real_stream *r)
{
	flush(r);
	if (r->tls != NULL && !r->said_bye && !r->write_broken && !has_output(r)) {
		r->said_bye = true;
		tls_conn_bye(r->tls);
		flush(r);
	}
	if (!has_output(r) || r->write_broken) {
		discard_input(r);
		kill_stream(r);
	}
}

/* The owner is to hear of room. Behind a clean end also of that for what is dropped: it goes on. */
static bool
may_write(const struct real_stream *r)
{
	return (r->state == REAL_OPEN && !r->write_broken) ||
	    (r->state == REAL_ENDED && r->told && r->end.kind == STREAM_EOF);
}

static void
send_output(struct real_stream *r)
{
	struct stream *s = &r->stream;
	size_t before = buf_len(&s->out);

	flush(r);
	if (r->state == REAL_CLEAR && !r->blocked)
		begin_handshake(r);
	else if (may_write(r) && stream_has_drained(s, before) && s->events != NULL &&
	    s->events->on_drained != NULL)
		s->events->on_drained(s->owner);
}

static void
on_task(void *arg)
{
	struct real_stream *r = arg;
	struct stream *s = &r->stream;

	switch (r->state) {
	case REAL_DEAD:
		free_stream(r);
		return;
	case REAL_LINGER:
		linger(r);
		break;
	case REAL_ENDED:
		if (has_output(r))
			send_output(r);
		if (!r->told && r->state == REAL_ENDED) {
			r->told = true;
			if (s->events != NULL && s->events->on_closed != NULL)
				s->events->on_closed(s->owner, &r->end);
		}
		break;
	case REAL_OPEN:
	case REAL_CLEAR:
		if (r->state == REAL_CLEAR || (!r->blocked && has_output(r)))
			send_output(r);
		if (r->state == REAL_OPEN && r->tls_waits && !r->paused && buf_room(&s->in) > 0)
			take_decrypted(r);
		break;
	case REAL_HANDSHAKE:
	case REAL_CONNECTING:
		break;
	}
	update_want(r);
}

static void
explain_connect(struct real_stream *r, int errnum)
{
	prohibited_explain(r->fd, &r->end);
	if (errnum != EINVAL)
		return;
	stream_end_set(&r->end, STREAM_NO_ROUTE, "connect: a route of this host leads nowhere (blackhole)");
	r->end.errnum = errnum;
}

static void
on_connect_result(struct real_stream *r)
{
	struct stream *s = &r->stream;
	int errnum = 0;
	socklen_t n = sizeof(errnum);

	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &errnum, &n) < 0)
		errnum = errno;
	if (errnum != 0) {
		finish_errno(r, errnum, "connect");
		explain_connect(r, errnum);
		return;
	}
	prohibited_forget(r->fd);
	r->state = REAL_OPEN;
	if (has_output(r))
		post(r);
	if (s->events != NULL && s->events->on_connected != NULL)
		s->events->on_connected(s->owner);
}

static void
on_ready(void *arg, unsigned ready)
{
	struct real_stream *r = arg;

	if (r->state == REAL_CONNECTING)
		on_connect_result(r);
	else if (ready == IO_READ && (r->state == REAL_HANDSHAKE || can_receive(r)))
		(void)receive(r);	/* the next turn looks again */
	else if (ready == IO_WRITE && r->state == REAL_LINGER)
		linger(r);
	else if (ready == IO_WRITE && r->state == REAL_HANDSHAKE)
		flush(r);
	else if (ready == IO_WRITE && (r->state == REAL_OPEN || r->state == REAL_CLEAR || r->state == REAL_ENDED))
		send_output(r);
	update_want(r);
}

/* --- what the owner calls -------------------------------------------------- */

static void
on_linger_over(void *arg)
{
	kill_stream(arg);
}

static void
op_wrote(struct stream *s)
{
	struct real_stream *r = self(s);

	if (r->write_broken || r->state == REAL_LINGER || r->state == REAL_DEAD)
		buf_clear(&s->out);
	else if (!r->blocked && r->state != REAL_CONNECTING && r->state != REAL_HANDSHAKE)
		post(r);
}

static void
op_consumed(struct stream *s)
{
	struct real_stream *r = self(s);

	if (r->tls_waits && r->state == REAL_OPEN)
		post(r);
	update_want(r);
}

static void
op_pause(struct stream *s, bool pause)
{
	self(s)->paused = pause;
	op_consumed(s);
}

/* False: it is over. */
static bool
may_begin_tls(struct real_stream *r)
{
	size_t n = buf_len(&r->stream.in);

	if (r->state == REAL_ENDED)
		return false;
	require(r->state == REAL_OPEN && r->tls == NULL);
	if (n == 0)
		return true;
	/* RFC 3207, 4: it was not protected, and would be taken for protected text. */
	stream_end_set(&r->end, STREAM_FAILED,
	    "%zu bytes came in clear before the TLS handshake: injected on the way?", n);
	finish(r);
	return false;
}

static void
begin_tls(struct real_stream *r, struct tls_conn *tls, const char *peer)
{
	r->tls = tls;
	r->peer = peer;
	if (tls == NULL) {
		stream_end_set(&r->end, STREAM_FAILED, "no memory for TLS");
		finish(r);
		return;
	}
	r->clear_left = buf_len(&r->stream.out);
	r->state = REAL_CLEAR;
	update_want(r);
	post(r);
}

static void
op_start_tls(struct stream *s, struct tls_client *tls, const char *name)
{
	struct real_stream *r = self(s);

	if (may_begin_tls(r))
		begin_tls(r, tls_conn_new(tls, name, r->port), "server");
}

static void
op_serve_tls(struct stream *s, struct tls_server *tls)
{
	struct real_stream *r = self(s);

	if (may_begin_tls(r))
		begin_tls(r, tls_conn_new_server(tls), "client");
}

static void
op_close(struct stream *s, bool abort)
{
	struct real_stream *r = self(s);
	bool open = r->state == REAL_OPEN || r->state == REAL_ENDED;

	require(r->state != REAL_LINGER && r->state != REAL_DEAD);
	s->events = NULL;
	if (abort || !open || r->write_broken || (r->tls == NULL && !has_output(r))) {
		if (open && !abort)
			discard_input(r);
		kill_stream(r);
		return;
	}
	r->state = REAL_LINGER;
	timer_set(r->loop, &r->linger, LINGER_MS);
	update_want(r);
	if (!r->blocked)
		post(r);
}

static bool
op_tls_info(const struct stream *s, struct tls_info *out)
{
	const struct real_stream *r = self(s);

	if (r->tls == NULL || r->state == REAL_CLEAR || r->state == REAL_HANDSHAKE)
		return false;
	tls_conn_info(r->tls, out);
	return true;
}

static int
op_fd(const struct stream *s)
{
	return self(s)->fd;
}

static const struct stream_ops real_stream_ops = {
	.wrote = op_wrote,
	.consumed = op_consumed,
	.start_tls = op_start_tls,
	.serve_tls = op_serve_tls,
	.pause = op_pause,
	.close = op_close,
	.tls_info = op_tls_info,
	.fd = op_fd,
};

/* --- making ---------------------------------------------------------------- */

static void
set_option(int fd, int level, int option, int value)
{
	(void)setsockopt(fd, level, option, &value, sizeof(value));	/* works without, only worse */
}

static void
tune(struct real_stream *r, int family)
{
	if (family != AF_INET && family != AF_INET6)
		return;
	set_option(r->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(r->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(r->fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(r->fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S);
	r->dead_ms = r->net->dead_ms;
	path_limit(r->fd, r->dead_ms);
}

static struct real_stream *
make(struct net *n, int fd, const struct stream_limits *l, const struct stream_events *ev,
    void *owner)
{
	struct real_stream *r = xzalloc(sizeof(*r));

	stream_init(&r->stream, &real_stream_ops, l, ev, owner);
	r->net = real_net(n);
	r->loop = n->loop;
	r->fd = fd;
	task_init(&r->task, on_task, r);
	timer_init(&r->linger, on_linger_over, r);
	timer_init(&r->look, on_look, r);
	list_init(&r->link);
	list_push(&real_net(n)->streams, &r->link);
	if (fd >= 0)
		r->watch = io_watch_new(n->loop, fd, on_ready, r);
	return r;
}

struct stream *
net_adopt(struct net *n, int fd, const struct stream_limits *l, const struct stream_events *ev,
    void *owner)
{
	struct real_stream *r = make(n, fd, l, ev, owner);
	int family = AF_UNSPEC;
	socklen_t len = sizeof(family);

	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len);	/* unknown: not tuned */
	tune(r, family);
	r->state = REAL_OPEN;
	update_want(r);
	return &r->stream;
}

struct stream *
real_connect(struct net *n, const struct address *a, const struct stream_limits *l,
    const struct stream_events *ev, void *owner)
{
	int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int errnum = fd < 0 ? errno : 0;
	struct real_stream *r = make(n, fd, l, ev, owner);

	r->port = address_port(a);
	r->state = REAL_CONNECTING;
	if (fd >= 0) {
		tune(r, a->ss.ss_family);
		path_small_segments(fd);
		prohibited_watch(fd);
		if (connect(fd, (const struct sockaddr *)&a->ss, a->len) < 0 && errno != EINPROGRESS)
			errnum = errno;
	}
	if (errnum != 0) {
		finish_errno(r, errnum, "connect");
		explain_connect(r, errnum);
	}
	update_want(r);
	return &r->stream;
}

void
real_streams_free(struct real_net *n)
{
	while (!list_is_empty(&n->streams)) {
		struct real_stream *r = list_entry(n->streams.next, struct real_stream, link);

		if (r->state != REAL_DEAD)
			kill_stream(r);
		free_stream(r);
	}
}
