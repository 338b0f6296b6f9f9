/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams, listeners and lookups over the kernel's loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/net.h"
#include "net/path.h"
#include "net/real.h"
#include "sys/worker.h"
#include "unit/patience.h"

#include "base/banned.h"

struct fixture {
	struct loop	*loop;
	struct net	*net;
	struct patience	 patience;
};

static int
setup(void **state)
{
	static struct fixture f;
	struct worker *resolver;

	f = (struct fixture){ 0 };
	if (loop_new(&f.loop, NULL) < 0 || worker_new(&resolver, f.loop, "resolve", NULL) < 0)
		return -1;
	f.net = net_new(f.loop, resolver);
	patience_init(&f.patience, f.loop);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	net_free(f->net);
	loop_turn(f->loop);		/* frees listeners */
	loop_free(f->loop);
	return 0;
}

static void
run(struct fixture *f)
{
	patience_run(&f->patience);
}

/* One end of a connection, and what happened to it. */
struct side {
	struct fixture	*f;
	struct stream	*s;
	int		 connected, inputs, drained, closed;
	struct stream_end end;
	size_t		 stop_at;	/* bytes of input after which the loop stops; 0: never */
	bool		 stop_on_close, stop_on_drained, keep, flood;
	const char	*reply_on_input;
};

static void
on_connected(void *owner)
{
	struct side *d = owner;

	d->connected++;
}

static void
on_input(void *owner)
{
	struct side *d = owner;

	d->inputs++;
	if (d->reply_on_input != NULL)
		assert_true(stream_write(d->s, view_str(d->reply_on_input)));
	if (d->stop_at != 0 && stream_input(d->s).n >= d->stop_at)
		loop_stop(d->f->loop);
	else if (d->stop_at == 0 && !d->keep)
		stream_consume(d->s, stream_input(d->s).n);
}

static void
on_drained(void *owner)
{
	struct side *d = owner;

	d->drained++;
	while (d->flood && stream_write(d->s, VIEW("0123456789abcdef0123456789abcdef")))
		continue;
	if (d->stop_on_drained)
		loop_stop(d->f->loop);
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	struct side *d = owner;

	d->closed++;
	d->end = *end;
	if (d->stop_on_close)
		loop_stop(d->f->loop);
}

static const struct stream_events events = {
	.on_connected = on_connected,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_closed = on_closed,
};
static const struct stream_limits small = { 4096, 65536 };

/* A loopback socket that is bound; port chosen by the kernel. */
static int
bound(struct address *out)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(address_from_host(out, VIEW("127.0.0.1"), 0));
	assert_int_equal(bind(fd, (struct sockaddr *)&out->ss, out->len), 0);
	out->len = sizeof(out->ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&out->ss, &out->len), 0);
	return fd;
}

struct server {
	struct side	 side;
	struct listener *listener;
	struct address	 address;
	int		 accepted;
	bool		 stop_on_accept;
};

static void
on_accept(void *owner, struct listener *l, struct stream *s, const struct address *peer)
{
	struct server *srv = owner;

	assert_true(address_is_loopback(peer));
	srv->accepted++;
	if (srv->side.s != NULL) {
		stream_close(s);
		return;
	}
	srv->side.s = s;
	stream_own(s, &events, &srv->side);
	if (srv->stop_on_accept)
		loop_stop(srv->side.f->loop);
}

static const struct listener_events listener_events = { .on_accept = on_accept };

static void
serve(struct server *srv, struct fixture *f)
{
	int fd;

	*srv = (struct server){ .side.f = f };
	fd = bound(&srv->address);
	assert_int_equal(listen(fd, 10), 0);
	srv->listener = listener_new(f->net, fd, &small, &listener_events, srv);
}

static void
test_refused_port(void **state)
{
	struct side d = { .f = *state, .stop_on_close = true };
	struct address a;
	int fd = bound(&a);		/* bound, but nobody listens */

	d.s = net_connect(d.f->net, &a, &small, &events, &d);
	assert_int_equal(d.closed, 0);	/* never within the call */
	run(d.f);
	assert_int_equal(d.connected, 0);
	assert_int_equal(d.end.kind, STREAM_REFUSED);
	assert_int_equal(d.end.errnum, ECONNREFUSED);
	assert_true(stream_write(d.s, VIEW("dropped")));
	assert_int_equal(stream_output_len(d.s), 0);
	stream_close(d.s);
	(void)close(fd);
}

static void
test_no_route_is_told_later(void **state)
{
	struct side d = { .f = *state, .stop_on_close = true };
	struct address a = { .len = sizeof(struct sockaddr_in) };

	a.ss.ss_family = AF_INET6;	/* too short for its family: EINVAL */
	d.s = net_connect(d.f->net, &a, &small, &events, &d);
	assert_int_equal(d.closed, 0);
	run(d.f);
	assert_int_equal(d.end.kind, STREAM_NO_ROUTE);
	stream_close(d.s);
}

static void
test_talk(void **state)
{
	struct server srv;
	struct side d = { .f = *state, .stop_at = 5 };
	struct stream_end *end = &srv.side.end;

	serve(&srv, d.f);
	srv.side.reply_on_input = "world";
	d.s = net_connect(d.f->net, &srv.address, &small, &events, &d);
	assert_true(stream_write(d.s, VIEW("hello")));	/* before the connection is there */
	run(d.f);
	assert_int_equal(d.connected, 1);
	assert_memory_equal(stream_input(d.s).p, "world", 5);
	assert_true(d.drained > 0);

	/* The last words of a closed stream arrive, then the end. */
	srv.side.stop_on_close = true;
	srv.side.reply_on_input = NULL;
	srv.side.keep = true;
	assert_true(stream_write(d.s, VIEW("bye")));
	stream_close(d.s);
	run(d.f);
	assert_int_equal(end->kind, STREAM_EOF);
	assert_memory_equal(stream_input(srv.side.s).p, "bye", 3);
	stream_close(srv.side.s);
	listener_free(srv.listener);
}

static void
test_sockets_are_tuned(void **state)
{
	struct server srv;
	struct side d = { .f = *state, .stop_at = 1 };
	int value = 0;
	socklen_t n = sizeof(value);

	serve(&srv, d.f);
	srv.stop_on_accept = true;
	d.s = net_connect(d.f->net, &srv.address, &small, &events, &d);
	run(d.f);
	assert_int_equal(getsockopt(d.s->ops->fd(d.s), IPPROTO_TCP, TCP_NODELAY, &value, &n), 0);
	assert_int_equal(value, 1);
	assert_int_equal(getsockopt(d.s->ops->fd(d.s), IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &n), 0);
	assert_int_equal(value, 15000);
	assert_int_equal(getsockopt(srv.side.s->ops->fd(srv.side.s), IPPROTO_TCP, TCP_NODELAY,
	    &value, &n), 0);
	assert_int_equal(value, 1);
	/* In both directions: what the peer sends is as small. */
	assert_int_equal(getsockopt(d.s->ops->fd(d.s), IPPROTO_TCP, TCP_MAXSEG, &value, &n), 0);
	assert_in_range(value, 1000, 1220);
	assert_int_equal(getsockopt(srv.side.s->ops->fd(srv.side.s), IPPROTO_TCP, TCP_MAXSEG, &value, &n), 0);
	assert_in_range(value, 1000, 1220);
	stream_close(d.s);
	stream_close(srv.side.s);
	listener_free(srv.listener);
}

static int
limit_of(const struct side *d)
{
	int value = -1;
	socklen_t n = sizeof(value);

	assert_int_equal(getsockopt(d->s->ops->fd(d->s), IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &n), 0);
	return value;
}

static void
on_enough(void *arg)
{
	loop_stop(arg);
}

/*
 * A peer that does not read for longer than a dead path is given, and says so each time the
 * kernel asks. That can't be had without the time passing: the kernel's clock is the one that counts.
 */
static void
test_a_shut_window_is_no_dead_path(void **state)
{
	struct server srv;
	struct side d = { .f = *state, .flood = true };
	struct timer enough;

	real_net(d.f->net)->dead_ms = 1500;	/* left alone, the kernel would end it after 3 s */
	serve(&srv, d.f);
	srv.stop_on_accept = true;
	d.s = net_connect(d.f->net, &srv.address, &small, &events, &d);
	run(d.f);
	stream_pause(srv.side.s, true);
	assert_true(stream_write(d.s, VIEW("x")));
	timer_init(&enough, on_enough, d.f->loop);
	timer_set(d.f->loop, &enough, 4000);
	run(d.f);
	assert_true(stream_output_len(d.s) > 0);
	assert_int_equal(d.closed, 0);
	assert_int_equal(limit_of(&d), 0);
	/* It reads again: all arrives, and the limit is back in force. */
	d.flood = false;
	d.stop_on_drained = true;
	stream_pause(srv.side.s, false);
	run(d.f);
	assert_int_equal(stream_output_len(d.s), 0);
	while (limit_of(&d) != 1500) {
		timer_set(d.f->loop, &enough, 100);
		run(d.f);
	}
	assert_int_equal(d.closed, 0);
	stream_close(d.s);
	stream_close(srv.side.s);
	listener_free(srv.listener);
}

static void
test_a_path_is_stuck(void **state)
{
	static const struct {
		struct path_facts	facts;
		bool			stuck;
	} cases[] = {
		{ { .since_ack_ms = 60000 }, false },
		{ { .unacked = 1, .stuck_ms = 4499 }, false },
		{ { .unacked = 1, .stuck_ms = 4500 }, true },
		{ { .questions = 1, .since_ack_ms = 6000 }, false },	/* keepalive; one may be lost */
		{ { .questions = 2, .since_ack_ms = 7000 }, true },
		{ { .notsent = 1, .questions = 5, .since_ack_ms = 7000 }, false },	/* its window is shut */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(path_is_stuck(&cases[i].facts, 15000), cases[i].stuck);
}

static void
test_the_path_is_judged(void **state)
{
	static const struct {
		struct path_facts	facts;
		enum path_state		state;
	} cases[] = {
		{ { .since_ack_ms = 60000 }, PATH_QUIET },
		{ { .unacked = 1, .since_ack_ms = 60000 }, PATH_BUSY },	/* only just sent */
		{ { .unacked = 1, .since_ack_ms = 60000, .stuck_ms = 14999 }, PATH_BUSY },
		/* It may go on to send, and hear nothing of us. */
		{ { .unacked = 1, .since_ack_ms = 10, .stuck_ms = 15000 }, PATH_DEAD },
		{ { .unacked = 1, .notsent = 9, .questions = 3, .since_ack_ms = 60000 }, PATH_BUSY },
		{ { .notsent = 1, .since_ack_ms = 10 }, PATH_SHUT },
		/* The kernel asks every two minutes in the end, and the last question was answered. */
		{ { .notsent = 1, .since_ack_ms = 119000 }, PATH_SHUT },
		{ { .notsent = 1, .questions = 1, .since_ack_ms = 119000 }, PATH_SHUT },
		{ { .notsent = 1, .questions = 2, .since_ack_ms = 14999 }, PATH_SHUT },
		{ { .notsent = 1, .questions = 2, .since_ack_ms = 15000 }, PATH_DEAD },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(path_judge(&cases[i].facts, 15000), cases[i].state);
}

/* Two streams over a socketpair. */
static void
pair(struct fixture *f, struct side *a, struct side *b)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	a->f = b->f = f;
	a->s = net_adopt(f->net, fd[0], &small, &events, a);
	b->s = net_adopt(f->net, fd[1], &small, &events, b);
}

static void
test_output_limit_and_drained(void **state)
{
	struct side a = { 0 }, b = { .keep = true };
	struct view chunk;
	uint8_t bytes[1024] = { 1 };
	int refused = 0;

	pair(*state, &a, &b);
	chunk = view_of(bytes, sizeof(bytes));
	stream_pause(b.s, true);
	/* Fill the kernel and then the buffer, turn by turn. */
	for (int i = 0; i < 5000 && refused < 3; i++) {
		refused += stream_write(a.s, chunk) ? 0 : 1;
		if (stream_output_len(a.s) > small.output_max / 4)
			loop_turn(a.f->loop);
	}
	assert_int_equal(refused, 3);
	assert_true(stream_output_len(a.s) <= small.output_max);
	assert_true(stream_output_len(a.s) + sizeof(bytes) > small.output_max);
	a.drained = 0;
	a.stop_on_drained = true;
	b.keep = false;
	stream_pause(b.s, false);
	run(a.f);
	assert_int_equal(a.drained, 1);
	assert_true(stream_output_len(a.s) <= small.output_max / 2);
	stream_abort(a.s);
	stream_abort(b.s);
}

static void
test_input_stops_at_its_limit(void **state)
{
	struct side a = { 0 }, b = { .stop_at = 4096 };
	uint8_t bytes[10000] = { 1 };

	pair(*state, &a, &b);
	assert_true(stream_write(a.s, view_of(bytes, sizeof(bytes))));
	run(a.f);
	assert_int_equal(stream_input(b.s).n, 4096);
	b.inputs = 0;
	loop_turn(a.f->loop);
	a.f->loop->driver->wait(a.f->loop, 0);
	assert_int_equal(b.inputs, 0);
	stream_consume(b.s, 4096);
	run(a.f);
	assert_int_equal(b.inputs, 1);
	stream_consume(b.s, 4096);
	b.stop_at = 10000 - 2 * 4096;
	run(a.f);
	stream_close(a.s);
	stream_close(b.s);
}

static void
test_pause_holds_input_back(void **state)
{
	struct side a = { 0 }, b = { .stop_at = 2 };

	pair(*state, &a, &b);
	stream_pause(b.s, true);
	assert_true(stream_write(a.s, VIEW("hi")));
	for (int i = 0; i < 3; i++) {
		loop_turn(a.f->loop);
		a.f->loop->driver->wait(a.f->loop, 0);
	}
	assert_int_equal(b.inputs, 0);
	stream_pause(b.s, false);
	run(a.f);
	assert_int_equal(b.inputs, 1);
	stream_close(a.s);
	stream_close(b.s);
}

/* The peer closes its half; our last answer still arrives. */
static void
test_half_open_close(void **state)
{
	struct side a = { .stop_on_close = true };
	char text[8];
	int fd[2];

	a.f = *state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	a.s = net_adopt(a.f->net, fd[0], &small, &events, &a);
	a.keep = true;
	assert_int_equal(write(fd[1], "quit", 4), 4);
	assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
	run(a.f);
	assert_int_equal(a.end.kind, STREAM_EOF);
	assert_int_equal(a.closed, 1);
	assert_int_equal(stream_input(a.s).n, 4);
	assert_true(stream_write(a.s, VIEW("221")));
	stream_close(a.s);
	loop_turn(a.f->loop);
	assert_int_equal(read(fd[1], text, sizeof(text)), 3);
	assert_int_equal(read(fd[1], text, sizeof(text)), 0);
	(void)close(fd[1]);
}

/* A client that half-closed takes a long answer piece by piece. */
static void
test_drained_behind_a_half_close(void **state)
{
	struct side a = { .stop_on_close = true, .keep = true };
	static char text[65536];
	int fd[2];

	a.f = *state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
	a.s = net_adopt(a.f->net, fd[0], &small, &events, &a);
	assert_int_equal(shutdown(fd[1], SHUT_WR), 0);
	run(a.f);
	assert_int_equal(a.end.kind, STREAM_EOF);
	/* Till the kernel takes no more, and the buffer is full. */
	for (int i = 0; i < 100000 && stream_write(a.s, VIEW("0123456789abcdef")); i++)
		if (stream_output_room(a.s) < 16)
			loop_turn(a.f->loop);
	assert_true(stream_output_room(a.s) < 16);
	a.drained = 0;
	a.stop_on_drained = true;
	while (read(fd[1], text, sizeof(text)) > 0)
		;
	run(a.f);
	assert_int_equal(a.drained, 1);
	/* It goes: what was due is dropped, and that is told in the same way. */
	a.stop_on_drained = false;
	for (int i = 0; i < 100000 && stream_write(a.s, VIEW("0123456789abcdef")); i++)
		if (stream_output_room(a.s) < 16)
			loop_turn(a.f->loop);
	assert_true(stream_output_room(a.s) < 16);
	a.drained = 0;
	a.stop_on_drained = true;
	(void)close(fd[1]);
	run(a.f);
	assert_int_equal(a.drained, 1);
	assert_int_equal(stream_output_len(a.s), 0);
	assert_int_equal(a.closed, 1);
	stream_abort(a.s);
}

/* Writing breaks, and the owner has no mind to read: it hears of the end all the same. */
static void
test_a_broken_write_is_an_end(void **state)
{
	struct side a = { .stop_on_close = true, .keep = true };
	uint8_t bytes[8192] = { 1 };
	int fd[2];

	a.f = *state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
	a.s = net_adopt(a.f->net, fd[0], &small, &events, &a);
	assert_int_equal(write(fd[1], bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
	(void)close(fd[1]);
	assert_true(stream_write(a.s, VIEW("250 Ok")));
	run(a.f);
	assert_int_equal(a.closed, 1);
	assert_int_equal(a.end.kind, STREAM_RESET);
	assert_int_equal(stream_input(a.s).n, small.input_max);
	stream_abort(a.s);
}

/* "554 go away", then a reset: the words are delivered before the end. */
static void
test_last_words_before_a_reset(void **state)
{
	struct server srv;
	struct side d = { .f = *state, .stop_on_close = true, .keep = true };
	struct linger reset = { 1, 0 };

	serve(&srv, d.f);
	srv.stop_on_accept = true;
	d.s = net_connect(d.f->net, &srv.address, &small, &events, &d);
	run(d.f);
	while (d.connected == 0) {
		d.f->loop->driver->wait(d.f->loop, loop_now(d.f->loop) + 1000);
		loop_turn(d.f->loop);
	}
	assert_int_equal(send(srv.side.s->ops->fd(srv.side.s), "554 no", 6, 0), 6);
	assert_int_equal(setsockopt(srv.side.s->ops->fd(srv.side.s), SOL_SOCKET, SO_LINGER, &reset,
	    sizeof(reset)), 0);
	stream_abort(srv.side.s);
	assert_true(stream_write(d.s, VIEW("EHLO x\r\n")));
	run(d.f);
	assert_memory_equal(stream_input(d.s).p, "554 no", 6);
	assert_int_equal(d.end.kind, STREAM_RESET);
	stream_close(d.s);
	listener_free(srv.listener);
}

static void
test_close_in_an_event_ends_all_events(void **state)
{
	struct side a = { 0 }, b = { 0 };

	pair(*state, &a, &b);
	assert_true(stream_write(a.s, VIEW("x")));
	stream_close(a.s);
	stream_abort(b.s);
	for (int i = 0; i < 3; i++) {
		loop_turn(a.f->loop);
		a.f->loop->driver->wait(a.f->loop, 0);
	}
	assert_int_equal(a.closed + b.closed + a.drained + b.inputs, 0);
}

static void
test_listener_pauses_and_detaches(void **state)
{
	struct server srv;
	struct side d = { .f = *state, .stop_on_close = true };
	int fd;

	serve(&srv, d.f);
	listener_pause(srv.listener, true);
	d.s = net_connect(d.f->net, &srv.address, &small, &events, &d);
	while (d.connected == 0) {
		d.f->loop->driver->wait(d.f->loop, loop_now(d.f->loop) + 1000);
		loop_turn(d.f->loop);
	}
	assert_int_equal(srv.accepted, 0);	/* it waits in the kernel's backlog */
	fd = listener_detach(srv.listener);
	loop_turn(d.f->loop);
	srv.listener = listener_new(d.f->net, fd, &small, &listener_events, &srv);
	srv.stop_on_accept = true;
	run(d.f);
	assert_int_equal(srv.accepted, 1);
	assert_int_equal(listener_fd(srv.listener), fd);
	stream_abort(srv.side.s);
	run(d.f);
	assert_int_equal(d.closed, 1);
	stream_close(d.s);
	listener_free(srv.listener);
}

/* Without free descriptors the listener rests instead of spinning, then goes on. */
static void
test_listener_rests_without_descriptors(void **state)
{
	struct server srv;
	struct side d = { .f = *state };
	struct rlimit old, none;
	uint64_t turns;
	int top;

	/* It accepts, and takes the connection away with the descriptor that is over the limit. */
	if (getenv("POSTHOUSE_TEST_VALGRIND") != NULL) {
		print_message("not under Valgrind\n");
		skip();
	}
	serve(&srv, d.f);
	srv.stop_on_accept = true;
	d.s = net_connect(d.f->net, &srv.address, &small, &events, &d);
	top = dup(0);			/* the lowest free number */
	assert_true(top >= 0);
	(void)close(top);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ (rlim_t)top, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	turns = d.f->loop->turns;
	for (int64_t end = loop_now(d.f->loop) + 250; loop_now(d.f->loop) < end; loop_turn(d.f->loop))
		d.f->loop->driver->wait(d.f->loop, end);
	assert_int_equal(srv.accepted, 0);
	assert_true(d.f->loop->turns - turns < 20);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	run(d.f);
	assert_int_equal(srv.accepted, 1);
	stream_close(d.s);
	stream_close(srv.side.s);
	listener_free(srv.listener);
}

struct lookup {
	struct fixture	*f;
	int		 answers;
	enum resolve_result result;
	struct address	 first;
	size_t		 n;
};

static void
on_resolved(void *owner, enum resolve_result r, const struct address *a, size_t n, const char *why)
{
	struct lookup *l = owner;

	l->answers++;
	l->result = r;
	l->n = n;
	if (n > 0)
		l->first = a[0];
	if (r != RESOLVE_OK)
		assert_true(why[0] != '\0');
	loop_stop(l->f->loop);
}

static void
test_resolve(void **state)
{
	struct lookup l = { .f = *state }, dropped = { .f = *state };
	char text[ADDRESS_TEXT_MAX];
	struct resolve *r;

	(void)net_resolve(l.f->net, "192.0.2.7", 587, on_resolved, &l);
	assert_int_equal(l.answers, 0);		/* never within the call */
	run(l.f);
	assert_int_equal(l.result, RESOLVE_OK);
	assert_string_equal(address_text(text, &l.first), "192.0.2.7:587");

	r = net_resolve(l.f->net, "localhost", 25, on_resolved, &dropped);
	net_resolve_cancel(l.f->net, r);
	r = net_resolve(l.f->net, "::1", 25, on_resolved, &dropped);
	net_resolve_cancel(l.f->net, r);
	(void)net_resolve(l.f->net, "localhost", 25, on_resolved, &l);
	run(l.f);
	assert_int_equal(l.result, RESOLVE_OK);
	assert_true(address_is_loopback(&l.first));
	assert_int_equal(address_port(&l.first), 25);
	assert_int_equal(dropped.answers, 0);
	assert_int_equal(l.answers, 2);

	/* Not a name at all: the answer needs no server. */
	(void)net_resolve(l.f->net, "a..b", 25, on_resolved, &l);
	run(l.f);
	assert_int_not_equal(l.result, RESOLVE_OK);

	/* One that runs when everything ends. */
	(void)net_resolve(l.f->net, "localhost", 25, on_resolved, &dropped);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_refused_port),
		T(test_no_route_is_told_later),
		T(test_talk),
		T(test_sockets_are_tuned),
		T(test_a_shut_window_is_no_dead_path),
		T(test_a_path_is_stuck),
		T(test_the_path_is_judged),
		T(test_output_limit_and_drained),
		T(test_input_stops_at_its_limit),
		T(test_pause_holds_input_back),
		T(test_half_open_close),
		T(test_drained_behind_a_half_close),
		T(test_a_broken_write_is_an_end),
		T(test_last_words_before_a_reset),
		T(test_close_in_an_event_ends_all_events),
		T(test_listener_pauses_and_detaches),
		T(test_listener_rests_without_descriptors),
		T(test_resolve),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
