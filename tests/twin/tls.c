/* SPDX-License-Identifier: BSD-2-Clause */
#include "twin/tls.h"

#include <netinet/in.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "base/alloc.h"
#include "base/require.h"
#include "net/tls_conn.h"

#include "base/banned.h"

#define INNER_MAX	(1u << 20)
#define RECORD_MAX	16384u

enum shell_state { SHELL_CLEAR, SHELL_HANDSHAKE, SHELL_TLS, SHELL_ENDED, SHELL_DEAD };

/* A stream around another one. */
struct shell {
	struct stream	 stream;	/* what the owner has */
	struct list	 link;
	struct twin_tls	*t;
	struct twin_endpoint *ep;	/* of a server; NULL: a client */
	struct stream	*inner;
	uint16_t	 port;
	enum shell_state state;
	struct task	 task;
	struct tls_conn	*client;
	SSL		*server;
	BIO		*from_peer, *to_peer;	/* owned by server */
	bool		 told;
	struct stream_end end;
};

static struct shell *
shell_of(const struct stream *s)
{
	return (struct shell *)(uintptr_t)s;
}

static void
post(struct shell *x)
{
	task_post(x->t->net.loop, &x->task);
}

static void
finish(struct shell *x, const struct stream_end *end)
{
	if (x->state == SHELL_ENDED || x->state == SHELL_DEAD)
		return;
	x->end = *end;
	x->state = SHELL_ENDED;
	post(x);
}

/* --- bytes for the peer ------------------------------------------------------- */

static void
send_records(struct shell *x)
{
	uint8_t bytes[RECORD_MAX];
	size_t n;

	if (x->client != NULL) {
		struct buf *out = tls_conn_output(x->client);

		require(stream_write(x->inner, buf_view(out)));
		buf_clear(out);
	}
	while (x->server != NULL && BIO_read_ex(x->to_peer, bytes, sizeof(bytes), &n) == 1)
		require(stream_write(x->inner, view_of(bytes, n)));
}

static void
encrypt(struct shell *x)
{
	struct buf *out = &x->stream.out;
	struct stream_end end;

	while (buf_len(out) != 0) {
		size_t n = buf_len(out);

		/* Room for what it becomes. */
		if (stream_output_room(x->inner) < 2 * n + 4096)
			return;
		if (x->client != NULL) {
			require(tls_conn_write(x->client, out, &end) == TLS_MORE);
		} else {
			require(SSL_write_ex(x->server, buf_view(out).p, n, &n) == 1);
			buf_consume(out, n);
		}
		send_records(x);
	}
}

static void
flush(struct shell *x)
{
	struct buf *out = &x->stream.out;
	size_t before = buf_len(out);

	if (x->state == SHELL_TLS) {
		encrypt(x);
	} else if (x->state == SHELL_CLEAR) {
		struct view v = view_first(buf_view(out), stream_output_room(x->inner));

		require(stream_write(x->inner, v));
		buf_consume(out, v.n);
	}
	if (x->state != SHELL_ENDED && stream_has_drained(&x->stream, before) &&
	    x->stream.events->on_drained != NULL)
		x->stream.events->on_drained(x->stream.owner);
}

/* --- bytes from the peer --------------------------------------------------------- */

static void
tell_input(struct shell *x)
{
	if (x->stream.events->on_input != NULL)
		x->stream.events->on_input(x->stream.owner);
}

/* Plain text into the owner's buffer, as much as there is room for. */
static void
decrypt(struct shell *x)
{
	struct buf *in = &x->stream.in;
	size_t before = buf_len(in), n;
	struct stream_end end;

	if (x->client != NULL) {
		enum tls_progress p = tls_conn_read(x->client, in, &end);

		if (p == TLS_FAILED)
			finish(x, &end);
	} else {
		while (buf_room(in) >= RECORD_MAX &&
		    SSL_read_ex(x->server, buf_reserve(in, RECORD_MAX), RECORD_MAX, &n) == 1)
			buf_grew(in, n);
		ERR_clear_error();
	}
	if (buf_len(in) != before)
		tell_input(x);
}

static void
handshake(struct shell *x)
{
	struct stream_end end;
	enum tls_progress p;

	if (x->client != NULL) {
		p = tls_conn_handshake(x->client, &end);
	} else {
		int rc = SSL_accept(x->server);

		p = rc == 1 ? TLS_DONE : SSL_get_error(x->server, rc) == SSL_ERROR_WANT_READ ? TLS_MORE :
		    TLS_FAILED;
		stream_end_set(&end, STREAM_TLS_HANDSHAKE, "the client refused the handshake");
		ERR_clear_error();
		x->t->handshakes += p == TLS_DONE;
	}
	send_records(x);
	if (p == TLS_FAILED) {
		finish(x, &end);
	} else if (p == TLS_DONE) {
		x->state = SHELL_TLS;
		post(x);
		if (x->stream.events->on_tls != NULL)
			x->stream.events->on_tls(x->stream.owner);
		if (x->state == SHELL_TLS)
			decrypt(x);
	}
}

/* A ClientHello: answer as the endpoint is told to. False: it is taken for text. */
static bool
meet_hello(struct shell *x)
{
	static const uint8_t alert[] = { 21, 3, 3, 0, 2, 2, 40 };
	static const enum twin_cert certs[] = { [STREAM_EOF] = TWIN_CERT_GOOD,
		[STREAM_TLS_NAME] = TWIN_CERT_NAME, [STREAM_TLS_EXPIRED] = TWIN_CERT_EXPIRED,
		[STREAM_TLS_UNTRUSTED] = TWIN_CERT_UNTRUSTED };
	enum stream_end_kind how = x->ep->tls;
	struct stream_end end;

	if (how == STREAM_TLS_NOT_TLS)
		return false;
	if (how == STREAM_TLS_HANDSHAKE) {
		require(stream_write(x->inner, view_of(alert, sizeof(alert))));
		stream_end_set(&end, STREAM_TLS_HANDSHAKE, "no common cipher");
		finish(x, &end);
		return true;
	}
	x->server = SSL_new(x->t->ctx[certs[how]]);
	x->from_peer = BIO_new(BIO_s_mem());
	x->to_peer = BIO_new(BIO_s_mem());
	require(x->server != NULL && x->from_peer != NULL && x->to_peer != NULL);
	SSL_set_bio(x->server, x->from_peer, x->to_peer);
	x->state = SHELL_HANDSHAKE;
	return true;
}

static void
receive(struct shell *x)
{
	struct view v = stream_input(x->inner);
	size_t done;

	if (v.n == 0)
		return;
	if (x->state == SHELL_CLEAR && x->ep != NULL && v.p[0] == 22 && meet_hello(x) &&
	    x->state == SHELL_ENDED)
		return;
	if (x->state == SHELL_CLEAR) {
		v = view_first(v, buf_room(&x->stream.in));
		require(buf_add(&x->stream.in, v));
		stream_consume(x->inner, v.n);
		if (v.n != 0)
			tell_input(x);
		return;
	}
	if (x->state != SHELL_HANDSHAKE && x->state != SHELL_TLS)
		return;
	if (x->client != NULL)
		require(tls_conn_received(x->client, v));
	else
		require(BIO_write_ex(x->from_peer, v.p, v.n, &done) == 1 && done == v.n);
	stream_consume(x->inner, v.n);
	if (x->state == SHELL_HANDSHAKE)
		handshake(x);
	else
		decrypt(x);
}

/* --- events of the inner stream ----------------------------------------------------- */

static void
on_connected(void *owner)
{
	struct shell *x = owner;

	post(x);
	if (x->stream.events->on_connected != NULL)
		x->stream.events->on_connected(x->stream.owner);
}

static void
on_input(void *owner)
{
	receive(owner);
}

static void
on_drained(void *owner)
{
	post(owner);
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	struct shell *x = owner;
	struct stream_end other;

	if (x->state == SHELL_HANDSHAKE && end->kind == STREAM_EOF) {
		stream_end_set(&other, STREAM_TLS_HANDSHAKE, "the peer closed the connection");
		end = &other;
	}
	finish(x, end);
}

static void
on_stuck(void *owner, bool stuck)
{
	struct shell *x = owner;

	if (x->stream.events->on_stuck != NULL)
		x->stream.events->on_stuck(x->stream.owner, stuck);
}

static const struct stream_events inner_events = {
	.on_connected = on_connected, .on_input = on_input, .on_drained = on_drained, .on_closed = on_closed,
	.on_stuck = on_stuck,
};

/* --- what the owner calls ------------------------------------------------------------- */

static void
shell_free(struct shell *x)
{
	list_remove(&x->link);
	task_cancel(&x->task);
	tls_conn_free(x->client);
	SSL_free(x->server);
	stream_done(&x->stream);
	free(x);
}

static void
on_task(void *arg)
{
	struct shell *x = arg;

	switch (x->state) {
	case SHELL_DEAD:
		shell_free(x);
		return;
	case SHELL_ENDED:
		if (!x->told && x->stream.events->on_closed != NULL) {
			x->told = true;
			x->stream.events->on_closed(x->stream.owner, &x->end);
		}
		return;
	case SHELL_HANDSHAKE:
		if (x->client != NULL)
			handshake(x);		/* the first bytes */
		return;
	case SHELL_CLEAR:
	case SHELL_TLS:
		flush(x);
		if (x->state == SHELL_TLS)
			decrypt(x);
		else if (x->state == SHELL_CLEAR)
			receive(x);
		return;
	}
}

static void
op_post(struct stream *s)
{
	post(shell_of(s));
}

static void
op_start_tls(struct stream *s, struct tls_client *tls, const char *name)
{
	struct shell *x = shell_of(s);
	struct stream_end end;

	if (x->state != SHELL_CLEAR)
		return;
	if (buf_len(&s->in) != 0) {
		stream_end_set(&end, STREAM_FAILED, "bytes came in clear before the TLS handshake");
		finish(x, &end);
		return;
	}
	require(stream_write(x->inner, buf_view(&s->out)));
	buf_clear(&s->out);
	x->client = tls_conn_new(tls, name, x->port);
	require(x->client != NULL);
	x->state = SHELL_HANDSHAKE;
	post(x);
}

static void
op_pause(struct stream *s, bool pause)
{
	stream_pause(shell_of(s)->inner, pause);
}

static void
op_close(struct stream *s, bool abort)
{
	struct shell *x = shell_of(s);
	static const struct stream_events none;

	if (!abort && (x->state == SHELL_TLS || x->state == SHELL_CLEAR))
		flush(x);
	if (!abort && x->state == SHELL_TLS && x->client != NULL) {
		tls_conn_bye(x->client);
		send_records(x);
	}
	s->events = &none;
	x->state = SHELL_DEAD;
	if (abort)
		stream_abort(x->inner);
	else
		stream_close(x->inner);
	x->inner = NULL;
	post(x);
}

static bool
op_tls_info(const struct stream *s, struct tls_info *out)
{
	const struct shell *x = shell_of(s);

	if (x->state != SHELL_TLS || x->client == NULL)
		return false;
	tls_conn_info(x->client, out);
	return true;
}

static int
op_fd(const struct stream *s)
{
	return -1;
}

static const struct stream_ops shell_ops = {
	.wrote = op_post,
	.consumed = op_post,
	.start_tls = op_start_tls,
	.pause = op_pause,
	.close = op_close,
	.tls_info = op_tls_info,
	.fd = op_fd,
};

/* --- connections ----------------------------------------------------------------------- */

static const struct stream_limits inner_limits = { 65536, INNER_MAX };

static struct shell *
shell_new(struct twin_tls *t, const struct stream_limits *l, const struct stream_events *ev, void *owner)
{
	struct shell *x = xzalloc(sizeof(*x));

	stream_init(&x->stream, &shell_ops, l, ev, owner);
	x->t = t;
	task_init(&x->task, on_task, x);
	list_init(&x->link);
	list_push(&t->streams, &x->link);
	return x;
}

static struct stream *
tls_connect(struct net *net, const struct address *a, const struct stream_limits *l,
    const struct stream_events *ev, void *owner)
{
	struct twin_tls *t = container_of(net, struct twin_tls, net);
	struct shell *x = shell_new(t, l, ev, owner);

	x->port = ntohs(((const struct sockaddr_in *)&a->ss)->sin_port);
	x->inner = net_connect(&t->under->net, a, &inner_limits, &inner_events, x);
	return &x->stream;
}

struct stream *
twin_tls_serve(struct twin_tls *t, struct twin_endpoint *ep, struct stream *inner)
{
	static const struct stream_limits limits = { INNER_MAX, INNER_MAX / 4 };
	struct shell *x = shell_new(t, &limits, NULL, NULL);

	x->ep = ep;
	x->inner = inner;
	stream_own(inner, &inner_events, x);
	return &x->stream;
}

void *
twin_tls_owner(void *owner)
{
	return ((struct shell *)owner)->stream.owner;
}

static struct resolve *
tls_resolve(struct net *net, const char *host, uint16_t port, resolve_fn *fn, void *owner)
{
	struct twin_tls *t = container_of(net, struct twin_tls, net);

	return net_resolve(&t->under->net, host, port, fn, owner);
}

void
twin_tls_init(struct twin_tls *t, struct twin_net *under)
{
	*t = (struct twin_tls){ .under = under };
	t->ops = (struct net_ops){ tls_connect, tls_resolve, under->net.ops->resolve_cancel };
	t->net = (struct net){ &t->ops, under->net.loop };
	list_init(&t->streams);
}

void
twin_tls_done(struct twin_tls *t)
{
	list_foreach_safe(link, &t->streams) {
		struct shell *x = list_entry(link, struct shell, link);

		stream_abort(x->inner);
		shell_free(x);
	}
}
