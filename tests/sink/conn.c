/* SPDX-License-Identifier: BSD-2-Clause */
#include "sink/sink.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

#define READ_SIZE	16384
#define DRAIN_MS	5000

void
conn_violation(struct conn *c, const char *what)
{
	c->port->count.violations++;
	sink_say(c->port->sink, "violation %s %lu %s", c->port->name, c->id, what);
}

void
conn_close(struct conn *c)
{
	sink_say(c->port->sink, "closed %s %lu", c->port->name, c->id);
	event_del(&c->readable);
	event_del(&c->writable);
	event_del(&c->timer);
	list_remove(&c->link);
	smtp_done(c);
	if (c->ssl != NULL)
		SSL_free(c->ssl);
	close(c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}

static void
arm(struct conn *c, unsigned ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000L };

	c->waiting = true;
	event_add(&c->timer, &tv);
}

/* Bytes moved; 0: not now; -1: the connection is over. */
static ssize_t
raw_result(struct conn *c, int n)
{
	if (n > 0)
		return n;
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		event_add(&c->writable, NULL);
		return 0;
	default:
		ERR_clear_error();
		return -1;
	}
}

static ssize_t
raw_write(struct conn *c, struct view v)
{
	ssize_t n;

	if (c->ssl != NULL)
		return raw_result(c, SSL_write(c->ssl, v.p, (int)v.n));
	n = send(c->fd, v.p, v.n, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	return n;
}

static ssize_t
raw_read(struct conn *c, uint8_t *p, size_t cap)
{
	ssize_t n;

	if (c->ssl != NULL)
		return raw_result(c, SSL_read(c->ssl, p, (int)cap));
	n = recv(c->fd, p, cap, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	if (c->port->sink->clear != NULL && c->port->mode != MODE_PLAIN) {
		(void)fwrite(p, 1, (size_t)n, c->port->sink->clear);
		(void)fflush(c->port->sink->clear);
	}
	return n;
}

static void
handshake(struct conn *c)
{
	ssize_t n = raw_result(c, SSL_accept(c->ssl));

	if (n < 0) {
		sink_say(c->port->sink, "tls-failed %s %lu", c->port->name, c->id);
		c->dead = true;
		return;
	}
	if (n == 0)
		return;
	c->handshaking = false;
	c->port->count.tls++;
	if (SSL_session_reused(c->ssl))
		c->port->count.resumed++;
	sink_say(c->port->sink, "tls %s %lu %s %s", c->port->name, c->id, SSL_get_version(c->ssl),
	    SSL_session_reused(c->ssl) ? "resumed" : "full");
}

static void
tls_begin(struct conn *c)
{
	SSL_CTX *ctx = c->port->sink->tls[c->port->cert];

	c->start_tls = false;
	if (ctx == NULL || (c->ssl = SSL_new(ctx)) == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
		c->dead = true;
		return;
	}
	c->handshaking = true;
	handshake(c);
}

/* The last reply is out: say so, and let the peer close, so that no reset overtakes it. */
static void
drain(struct conn *c)
{
	c->closing = false;
	c->draining = true;
	if (c->ssl != NULL)
		ignore_result(SSL_shutdown(c->ssl));	/* a courtesy */
	if (shutdown(c->fd, SHUT_WR) != 0)
		c->dead = true;
	arm(c, DRAIN_MS);
}

/* Send what there is; with trickle one byte, and the timer goes on with the rest. */
static void
flush(struct conn *c)
{
	while (buf_len(&c->out) > 0 && !c->dead) {
		struct view v = buf_view(&c->out);
		ssize_t n = raw_write(c, c->port->trickle_ms > 0 ? view_first(v, 1) : v);

		if (n < 0) {
			c->dead = true;
			return;
		}
		if (n == 0) {
			event_add(&c->writable, NULL);
			return;
		}
		buf_consume(&c->out, (size_t)n);
		if (c->port->trickle_ms > 0 && buf_len(&c->out) > 0) {
			arm(c, c->port->trickle_ms);
			return;
		}
	}
	if (c->dead)
		return;
	if (c->closing)
		drain(c);
	else if (c->start_tls)
		tls_begin(c);
}

/* Does something else have to happen before the next command is answered? */
static bool
is_stopped(const struct conn *c)
{
	return c->dead || c->hung || c->waiting || c->handshaking || c->closing || c->start_tls ||
	    buf_len(&c->out) >= SINK_OUTPUT_MAX / 2;
}

static void
answer(struct conn *c)
{
	bool more = true;

	while (more && !is_stopped(c)) {
		size_t before = buf_len(&c->out);

		more = c->greeted ? smtp_step(c) : smtp_greet(c);
		if (buf_len(&c->out) == before)
			continue;
		if (c->port->delay_ms > 0)
			arm(c, c->port->delay_ms);
		else if (c->port->trickle_ms > 0)
			arm(c, c->port->trickle_ms);
	}
	if (!c->waiting && !c->handshaking && !c->dead)
		flush(c);
}

/* Read until there is nothing or no room. True: something came. */
static bool
fill(struct conn *c)
{
	bool some = false;

	while (!c->handshaking && !c->dead && !c->ended && buf_room(&c->in) > 0) {
		size_t room = buf_room(&c->in) < READ_SIZE ? buf_room(&c->in) : READ_SIZE;
		uint8_t *p = buf_reserve(&c->in, room);
		ssize_t n = p != NULL ? raw_read(c, p, room) : -1;

		if (n == 0)
			break;
		if (n < 0) {
			c->ended = true;
			break;
		}
		buf_grew(&c->in, (size_t)n);
		some = true;
		if (c->draining)
			buf_clear(&c->in);
	}
	return some;
}

/* Read and answer, as far as faults, delays and the peer's reading allow. */
static void
conn_run(struct conn *c)
{
	bool some = true;

	if (c->handshaking)
		handshake(c);
	while (some && !is_stopped(c)) {
		some = fill(c);
		answer(c);
	}
	if (c->draining)
		(void)fill(c);
	if (c->dead || (c->ended && !c->hung && !c->waiting) || (c->ended && c->draining)) {
		conn_close(c);
		return;
	}
	/* Level-triggered: what can't be taken now must not wake us. */
	if (is_stopped(c) && !c->handshaking && !c->draining)
		event_del(&c->readable);
	else
		event_add(&c->readable, NULL);
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	if (!c->handshaking && !c->waiting)
		flush(c);
	conn_run(c);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	c->waiting = false;
	if (c->draining)
		c->dead = true;
	else
		flush(c);
	conn_run(c);
}

void
conn_start(struct sink_port *p, int fd)
{
	struct conn *c = xzalloc(sizeof(*c));
	int one = 1;

	c->port = p;
	c->fd = fd;
	c->id = ++p->sink->next_conn;
	c->began_us = sink_now_us();
	p->count.sessions++;
	list_push(&p->conns, &c->link);
	ignore_result(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	buf_init(&c->in, SINK_INPUT_MAX);
	buf_init(&c->out, SINK_OUTPUT_MAX);
	smtp_init(c);
	event_assign(&c->readable, p->sink->base, fd, EV_READ | EV_PERSIST, on_ready, c);
	event_assign(&c->writable, p->sink->base, fd, EV_WRITE, on_ready, c);
	event_assign(&c->timer, p->sink->base, -1, 0, on_timer, c);
	sink_say(p->sink, "connected %s %lu", p->name, c->id);
	if (p->mode != MODE_PLAIN && (p->mode == MODE_IMPLICIT) != p->swapped)
		c->start_tls = true;	/* before the first byte */
	if (c->start_tls)
		flush(c);
	conn_run(c);	/* may free c */
}
