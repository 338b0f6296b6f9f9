/* SPDX-License-Identifier: BSD-2-Clause */
#include "twin/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

#define ON_THE_WAY_MAX	65536u		/* bytes sent and not yet received */
#define PACKET_MAX	16384u
#define NO_ANSWER_MS	15000		/* TCP_USER_TIMEOUT */
#define KEEPALIVE_MS	15000
#define STUCK_MS	4500
#define ASKED_MS	7500		/* keepalive */
#define LINGER_MS	5000

enum twin_state {
	TWIN_CONNECTING,
	TWIN_OPEN,
	TWIN_HANDSHAKE,
	TWIN_ENDED,
	TWIN_LINGER,
	TWIN_DEAD
};

enum packet_kind {
	PACKET_BYTES,
	PACKET_FIN,
	PACKET_RESET,
	PACKET_HELLO,		/* client: begins TLS */
	PACKET_TLS		/* server: the handshake is over, in whichever way */
};

struct packet {
	struct list	 link;
	enum packet_kind kind;
	int64_t		 at_ms;
	size_t		 off, n;	/* what is left of the bytes */
	uint8_t		 bytes[];
};

struct twin_stream {
	struct stream	 stream;
	struct list	 link;
	struct twin_net	*net;
	struct twin_endpoint *endpoint;	/* NULL: a pair */
	struct twin_stream *peer;	/* NULL: it is gone */
	struct list	 arriving;	/* struct packet, in order of time */
	size_t		 on_the_way;	/* bytes in arriving */
	struct timer	 arrival, connect, dying, stuck;
	struct task	 task;
	enum twin_state	 state;
	bool		 server, paused, cut, told, tls, mute;
	bool		 hello_waits;	/* HELLO is to be sent behind the output there is */
	bool		 fin_sent, told_stuck;
	struct stream_end end;
};

struct twin_host {
	struct list	 link;
	char		*name, *address;
};

struct resolve {
	struct list	 link;
	struct twin_net	*net;
	char		*host;
	uint16_t	 port;
	struct timer	 timer;
	struct task	 task;
	resolve_fn	*fn;
	void		*owner;
};

static struct twin_stream *
self(const struct stream *s)
{
	return (struct twin_stream *)(uintptr_t)s;
}

static void
post(struct twin_stream *t)
{
	task_post(t->net->net.loop, &t->task);
}

/* --- packets --------------------------------------------------------------- */

static void
packet_free(struct packet *p)
{
	list_remove(&p->link);
	free(p);
}

static void
wait_for_arrival(struct twin_stream *t)
{
	struct loop *l = t->net->net.loop;

	if (list_is_empty(&t->arriving) || t->state == TWIN_DEAD)
		timer_cancel(l, &t->arrival);
	else
		timer_set(l, &t->arrival,
		    list_entry(t->arriving.next, struct packet, link)->at_ms - loop_now(l));
}

static void
send_packet(struct twin_stream *from, enum packet_kind kind, struct view bytes)
{
	struct twin_stream *to = from->peer;
	struct packet *p;

	if (to == NULL || from->cut || to->mute || to->state == TWIN_DEAD)
		return;
	p = xrealloc(NULL, sizeof(*p) + bytes.n);
	*p = (struct packet){ .kind = kind, .n = bytes.n };
	if (bytes.n != 0)
		memcpy(p->bytes, bytes.p, bytes.n);
	p->at_ms = loop_now(from->net->net.loop) + (from->endpoint != NULL ? from->endpoint->delay_ms : 1);
	list_init(&p->link);
	list_push(&to->arriving, &p->link);
	to->on_the_way += bytes.n;
	if (!timer_is_set(&to->arrival) && !to->paused)
		wait_for_arrival(to);
}

/* --- the end --------------------------------------------------------------- */

static bool
is_over(const struct twin_stream *t)
{
	return t->state == TWIN_ENDED || t->state == TWIN_LINGER || t->state == TWIN_DEAD;
}

static void
finish(struct twin_stream *t, enum stream_end_kind kind, const char *text)
{
	if (is_over(t))
		return;
	stream_end_set(&t->end, kind, "%s", text);
	t->state = TWIN_ENDED;
	if (kind != STREAM_EOF)
		buf_clear(&t->stream.out);
	post(t);
}

static void
kill_stream(struct twin_stream *t)
{
	struct loop *l = t->net->net.loop;

	t->state = TWIN_DEAD;
	timer_cancel(l, &t->arrival);
	timer_cancel(l, &t->connect);
	timer_cancel(l, &t->dying);
	timer_cancel(l, &t->stuck);
	if (t->peer != NULL)
		t->peer->peer = NULL;
	t->peer = NULL;
	post(t);
}

static void
free_stream(struct twin_stream *t)
{
	while (!list_is_empty(&t->arriving))
		packet_free(list_entry(t->arriving.next, struct packet, link));
	task_cancel(&t->task);
	list_remove(&t->link);
	stream_done(&t->stream);
	free(t);
}

/* --- receiving ------------------------------------------------------------- */

static void
receive_hello(struct twin_stream *t)
{
	enum stream_end_kind how = t->endpoint != NULL ? t->endpoint->tls : STREAM_EOF;

	if (how == STREAM_TLS_NOT_TLS)
		return;			/* the script answers what it likes, in clear */
	send_packet(t, PACKET_TLS, VIEW(""));
	if (how != STREAM_EOF) {
		finish(t, STREAM_TLS_HANDSHAKE, "the client refused the handshake");
		return;
	}
	t->tls = true;
	if (t->stream.events != NULL && t->stream.events->on_tls != NULL)
		t->stream.events->on_tls(t->stream.owner);
}

static const char *
tls_text(enum stream_end_kind kind)
{
	switch (kind) {
	case STREAM_TLS_NAME:
		return "the certificate is for other.example, not for this host";
	case STREAM_TLS_EXPIRED:
		return "the certificate of CN=twin expired on 2001-01-01";
	case STREAM_TLS_UNTRUSTED:
		return "the certificate is self-signed: CN=twin";
	default:
		return "the server ended TLS with the alert \"handshake failure\"";
	}
}

static void
receive_tls(struct twin_stream *t)
{
	enum stream_end_kind how = t->endpoint != NULL ? t->endpoint->tls : STREAM_EOF;

	if (t->state != TWIN_HANDSHAKE)
		return;
	if (how != STREAM_EOF) {
		finish(t, how, tls_text(how));
		return;
	}
	t->tls = true;
	t->state = TWIN_OPEN;
	post(t);
	if (t->stream.events != NULL && t->stream.events->on_tls != NULL)
		t->stream.events->on_tls(t->stream.owner);
}

/* False: it has to stay where it is, for want of room. */
static bool
receive_bytes(struct twin_stream *t, struct packet *p)
{
	struct view all = view_of(p->bytes + p->off, p->n);
	struct view v = view_first(all, buf_room(&t->stream.in));

	if (t->state == TWIN_HANDSHAKE) {
		finish(t, STREAM_TLS_NOT_TLS, "the server answered in plain text where TLS was expected");
		return true;
	}
	require(buf_add(&t->stream.in, v));
	p->off += v.n;
	p->n -= v.n;
	t->on_the_way -= v.n;
	if (t->peer != NULL && buf_len(&t->peer->stream.out) != 0)
		post(t->peer);		/* there is room on the way again */
	if (v.n != 0 && t->stream.events != NULL && t->stream.events->on_input != NULL)
		t->stream.events->on_input(t->stream.owner);
	return v.n == all.n;
}

/* False: wait. The packet is out of the list if true. */
static bool
receive(struct twin_stream *t, struct packet *p)
{
	switch (p->kind) {
	case PACKET_BYTES:
		if (t->state != TWIN_LINGER && t->state != TWIN_ENDED)
			return receive_bytes(t, p);
		t->on_the_way -= p->n;
		break;
	case PACKET_FIN:
		finish(t, t->state == TWIN_HANDSHAKE ? STREAM_TLS_HANDSHAKE : STREAM_EOF,
		    "the peer closed the connection");
		break;
	case PACKET_RESET:
		if (t->state == TWIN_LINGER)
			kill_stream(t);
		else
			finish(t, STREAM_RESET, "receive: Connection reset by peer");
		break;
	case PACKET_HELLO:
		receive_hello(t);
		break;
	case PACKET_TLS:
		receive_tls(t);
		break;
	}
	return true;
}

static void
on_arrival(void *arg)
{
	struct twin_stream *t = arg;
	int64_t now = loop_now(t->net->net.loop);

	while (!list_is_empty(&t->arriving) && t->state != TWIN_DEAD && !t->paused) {
		struct packet *p = list_entry(t->arriving.next, struct packet, link);

		if (p->at_ms > now)
			break;
		if (!receive(t, p))
			return;		/* op_consumed() goes on */
		packet_free(p);
	}
	if (!t->paused)
		wait_for_arrival(t);
}

/* --- sending --------------------------------------------------------------- */

static void
tell_sent(const struct twin_stream *t, struct view v)
{
	const struct twin_net *n = t->net;

	if (n->tap.on_sent != NULL && !t->server && t->endpoint != NULL && v.n != 0)
		n->tap.on_sent(n->tap_arg, t->endpoint, t->tls, v);
}

/* A peer that never reads: its kernel still takes some. */
static void
fill_kernel(struct twin_stream *t)
{
	struct view v = view_first(buf_view(&t->stream.out), ON_THE_WAY_MAX - t->on_the_way);

	tell_sent(t, v);
	t->on_the_way += v.n;
	buf_consume(&t->stream.out, v.n);
}

static void
on_stuck(void *arg)
{
	struct twin_stream *t = arg;

	t->told_stuck = true;
	if (!is_over(t) && t->stream.events != NULL && t->stream.events->on_stuck != NULL)
		t->stream.events->on_stuck(t->stream.owner, true);
}

/* Cut: it is seen after so long at the latest. */
static void
get_stuck(struct twin_stream *t, int64_t ms)
{
	struct loop *l = t->net->net.loop;

	if (!timer_is_set(&t->stuck) || t->stuck.node.key > loop_now(l) + ms)
		timer_set(l, &t->stuck, ms);
}

/* Put on the way what there is room for. */
static void
flush(struct twin_stream *t)
{
	struct stream *s = &t->stream;

	if (t->mute)
		fill_kernel(t);
	else if (t->peer == NULL && !t->cut)
		buf_clear(&s->out);
	while (buf_len(&s->out) > 0 && !t->cut && t->peer != NULL && !t->peer->mute &&
	    t->peer->on_the_way < ON_THE_WAY_MAX) {
		struct view v = view_first(buf_view(&s->out), PACKET_MAX);

		tell_sent(t, v);
		send_packet(t, PACKET_BYTES, v);
		buf_consume(&s->out, v.n);
	}
	if (t->cut && buf_len(&s->out) > 0) {
		if (t->dying.node.key > loop_now(t->net->net.loop) + NO_ANSWER_MS)
			timer_set(t->net->net.loop, &t->dying, NO_ANSWER_MS);
		if (!t->told_stuck)
			get_stuck(t, STUCK_MS);
	}
	if (t->hello_waits && buf_len(&s->out) == 0) {
		t->hello_waits = false;
		send_packet(t, PACKET_HELLO, VIEW(""));
	}
}

static void
send_output(struct twin_stream *t)
{
	struct stream *s = &t->stream;
	size_t before = buf_len(&s->out);

	flush(t);
	if ((t->state == TWIN_OPEN || (t->told && t->end.kind == STREAM_EOF)) &&
	    stream_has_drained(s, before) && s->events != NULL &&
	    s->events->on_drained != NULL)
		s->events->on_drained(s->owner);
}

static void
say_fin(struct twin_stream *t)
{
	if (!t->fin_sent)
		send_packet(t, PACKET_FIN, VIEW(""));
	t->fin_sent = true;
}

static void
tell_end(struct twin_stream *t)
{
	struct stream *s = &t->stream;

	if (t->told)
		return;
	t->told = true;
	if (s->events != NULL && s->events->on_closed != NULL)
		s->events->on_closed(s->owner, &t->end);
}

static void
on_task(void *arg)
{
	struct twin_stream *t = arg;

	switch (t->state) {
	case TWIN_DEAD:
		free_stream(t);
		break;
	case TWIN_LINGER:
		flush(t);
		if (buf_len(&t->stream.out) == 0) {
			say_fin(t);
			kill_stream(t);
		}
		break;
	case TWIN_ENDED:
		send_output(t);
		if (t->state == TWIN_ENDED)
			tell_end(t);
		break;
	case TWIN_OPEN:
		send_output(t);
		break;
	case TWIN_HANDSHAKE:
		if (t->hello_waits)
			flush(t);
		break;
	case TWIN_CONNECTING:
		break;
	}
}

static void
on_dying(void *arg)
{
	struct twin_stream *t = arg;

	if (t->state == TWIN_LINGER)
		kill_stream(t);
	else
		finish(t, STREAM_TIMEOUT, t->state == TWIN_CONNECTING ? "connect: Connection timed out" :
		    "receive: Connection timed out");
}

/* --- what the owner calls --------------------------------------------------- */

static void
op_wrote(struct stream *s)
{
	struct twin_stream *t = self(s);

	if (t->state == TWIN_LINGER || t->state == TWIN_DEAD ||
	    (t->state == TWIN_ENDED && t->end.kind != STREAM_EOF))
		buf_clear(&s->out);
	else if (t->state != TWIN_CONNECTING)
		post(t);
}

static void
op_consumed(struct stream *s)
{
	struct twin_stream *t = self(s);

	if (!t->paused && !timer_is_set(&t->arrival) && !is_over(t))
		wait_for_arrival(t);
}

static void
op_pause(struct stream *s, bool pause)
{
	struct twin_stream *t = self(s);

	t->paused = pause;
	if (pause)
		timer_cancel(t->net->net.loop, &t->arrival);
	else if (t->state != TWIN_DEAD)
		wait_for_arrival(t);
}

static void
op_start_tls(struct stream *s, struct tls_client *tls, const char *name)
{
	struct twin_stream *t = self(s);

	if (t->state == TWIN_ENDED)
		return;
	require(t->state == TWIN_OPEN && !t->tls && !t->server);
	if (buf_len(&s->in) != 0) {
		finish(t, STREAM_FAILED, "bytes came in clear before the TLS handshake: injected on the way?");
		return;
	}
	t->state = TWIN_HANDSHAKE;
	t->hello_waits = true;
	post(t);
}

static void
op_close(struct stream *s, bool abort)
{
	struct twin_stream *t = self(s);

	require(t->state != TWIN_LINGER && t->state != TWIN_DEAD);
	s->events = NULL;
	if (abort || t->state == TWIN_CONNECTING || t->state == TWIN_HANDSHAKE) {
		send_packet(t, abort ? PACKET_RESET : PACKET_FIN, VIEW(""));
		kill_stream(t);
		return;
	}
	if (t->state == TWIN_ENDED && t->end.kind != STREAM_EOF) {
		kill_stream(t);
		return;
	}
	t->state = TWIN_LINGER;
	timer_set(t->net->net.loop, &t->dying, LINGER_MS);
	post(t);
}

static bool
op_tls_info(const struct stream *s, struct tls_info *out)
{
	if (!self(s)->tls)
		return false;
	*out = (struct tls_info){ .version = "TLSv1.3", .cipher = "TWIN", .subject = "CN=twin",
	    .not_after_ms = INT64_C(4102444800000) };
	(void)snprintf(out->issuer, sizeof(out->issuer), "%s",
	    self(s)->endpoint != NULL ? self(s)->endpoint->issuer : TWIN_ISSUER);
	return true;
}

static int
op_fd(const struct stream *s)
{
	return -1;
}

static const struct stream_ops twin_stream_ops = {
	.wrote = op_wrote,
	.consumed = op_consumed,
	.start_tls = op_start_tls,
	.pause = op_pause,
	.close = op_close,
	.tls_info = op_tls_info,
	.fd = op_fd,
};

bool
twin_stream_is_tls(const struct stream *s)
{
	return self(s)->tls;
}

/* --- connections ------------------------------------------------------------ */

static struct twin_endpoint *
find_endpoint(struct twin_net *n, const struct address *a)
{
	list_foreach(it, &n->endpoints) {
		struct twin_endpoint *ep = list_entry(it, struct twin_endpoint, link);

		if (address_eq(&ep->address, a))
			return ep;
	}
	return NULL;
}

static void on_connect(void *);

static struct twin_stream *
make(struct twin_net *n, struct twin_endpoint *ep, const struct stream_limits *l,
    const struct stream_events *ev, void *owner)
{
	struct twin_stream *t = xzalloc(sizeof(*t));

	stream_init(&t->stream, &twin_stream_ops, l, ev, owner);
	t->net = n;
	t->endpoint = ep;
	t->state = TWIN_OPEN;
	list_init(&t->link);
	list_push(&n->streams, &t->link);
	list_init(&t->arriving);
	timer_init(&t->arrival, on_arrival, t);
	timer_init(&t->connect, on_connect, t);
	timer_init(&t->dying, on_dying, t);
	timer_init(&t->stuck, on_stuck, t);
	task_init(&t->task, on_task, t);
	return t;
}

static void
join(struct twin_stream *a, struct twin_stream *b)
{
	a->peer = b;
	b->peer = a;
}

static void
accepted(struct twin_stream *t)
{
	struct twin_endpoint *ep = t->endpoint;
	struct twin_stream *server;

	ep->accepted++;
	if (ep->mode == TWIN_MUTE) {
		t->mute = true;
	} else {
		server = make(t->net, ep, &ep->limits, NULL, NULL);
		server->server = true;
		join(t, server);
		require(ep->on_accept != NULL);
		ep->on_accept(ep->arg, ep, &server->stream);
	}
	t->state = TWIN_OPEN;
	if (buf_len(&t->stream.out) != 0)
		post(t);
	if (t->stream.events != NULL && t->stream.events->on_connected != NULL)
		t->stream.events->on_connected(t->stream.owner);
}

static void
on_connect(void *arg)
{
	struct twin_stream *t = arg;
	enum twin_mode mode = t->endpoint != NULL ? t->endpoint->mode : TWIN_REFUSE;

	switch (mode) {
	case TWIN_ACCEPT:
	case TWIN_MUTE:
		accepted(t);
		break;
	case TWIN_REFUSE:
		finish(t, STREAM_REFUSED, "connect: Connection refused");
		t->end.errnum = ECONNREFUSED;
		break;
	case TWIN_NO_ROUTE:
		finish(t, STREAM_NO_ROUTE, "connect: No route to host");
		t->end.errnum = EHOSTUNREACH;
		break;
	case TWIN_DENIED:
		finish(t, STREAM_DENIED, "connect: Permission denied");
		t->end.errnum = EACCES;
		break;
	case TWIN_SILENT:
		timer_set(t->net->net.loop, &t->dying, NO_ANSWER_MS);
		break;
	}
}

static struct stream *
twin_connect(struct net *net, const struct address *a, const struct stream_limits *l,
    const struct stream_events *ev, void *owner)
{
	struct twin_net *n = container_of(net, struct twin_net, net);
	struct twin_endpoint *ep = find_endpoint(n, a);
	struct twin_stream *t = make(n, ep, l, ev, owner);
	bool local = ep == NULL || ep->mode == TWIN_NO_ROUTE || ep->mode == TWIN_DENIED;

	n->connects++;
	if (n->tap.on_connect != NULL && ep != NULL)
		n->tap.on_connect(n->tap_arg, ep, owner);
	t->state = TWIN_CONNECTING;
	timer_set(net->loop, &t->connect, local ? 1 : 2 * ep->delay_ms);	/* SYN and back */
	return &t->stream;
}

void
twin_net_pair(struct twin_net *n, struct stream *out[2], const struct stream_limits *l)
{
	struct twin_stream *a = make(n, NULL, l, NULL, NULL);
	struct twin_stream *b = make(n, NULL, l, NULL, NULL);

	join(a, b);
	out[0] = &a->stream;
	out[1] = &b->stream;
}

struct twin_endpoint *
twin_net_endpoint(struct twin_net *n, const char *address)
{
	struct address a;
	struct twin_endpoint *ep;

	require(address_parse(&a, view_str(address), NULL) == 0);
	ep = find_endpoint(n, &a);
	if (ep != NULL)
		return ep;
	ep = xzalloc(sizeof(*ep));
	ep->net = n;
	ep->address = a;
	ep->mode = TWIN_ACCEPT;
	ep->delay_ms = 1;
	ep->tls = STREAM_EOF;
	ep->limits = (struct stream_limits){ 1u << 20, 1u << 20 };
	ep->issuer = TWIN_ISSUER;
	list_init(&ep->link);
	list_push(&n->endpoints, &ep->link);
	return ep;
}

void
twin_endpoint_cut(struct twin_endpoint *ep)
{
	list_foreach(it, &ep->net->streams) {
		struct twin_stream *t = list_entry(it, struct twin_stream, link);

		if (t->endpoint != ep || t->state == TWIN_DEAD || t->state == TWIN_CONNECTING || t->cut)
			continue;
		t->cut = true;
		get_stuck(t, buf_len(&t->stream.out) > 0 ? STUCK_MS : ASKED_MS);
		if (t->on_the_way > 0 && t->peer != NULL)
			get_stuck(t->peer, STUCK_MS);
		while (!list_is_empty(&t->arriving))
			packet_free(list_entry(t->arriving.next, struct packet, link));
		t->on_the_way = 0;
		timer_cancel(ep->net->net.loop, &t->arrival);
		if (t->state != TWIN_LINGER)
			timer_set(ep->net->net.loop, &t->dying, KEEPALIVE_MS);
	}
}

void
twin_endpoint_reset(struct twin_endpoint *ep)
{
	list_foreach(it, &ep->net->streams) {
		struct twin_stream *t = list_entry(it, struct twin_stream, link);

		if (t->endpoint == ep && t->state != TWIN_CONNECTING)
			finish(t, STREAM_RESET, "receive: Connection reset by peer");
	}
}

/* --- names ------------------------------------------------------------------ */

void
twin_net_host(struct twin_net *n, const char *name, const char *address)
{
	struct twin_host *h = xzalloc(sizeof(*h));

	h->name = xstrdup(name);
	h->address = xstrdup(address);
	list_init(&h->link);
	list_push(&n->hosts, &h->link);
}

static void
host_free(struct twin_host *h)
{
	list_remove(&h->link);
	free(h->name);
	free(h->address);
	free(h);
}

void
twin_net_forget_host(struct twin_net *n, const char *name)
{
	list_foreach_safe(it, &n->hosts) {
		struct twin_host *h = list_entry(it, struct twin_host, link);

		if (view_ieq(view_str(h->name), view_str(name)))
			host_free(h);
	}
}

static void
resolve_free(struct resolve *r)
{
	timer_cancel(r->net->net.loop, &r->timer);
	task_cancel(&r->task);
	list_remove(&r->link);
	free(r->host);
	free(r);
}

static size_t
collect(struct resolve *r, struct address out[RESOLVE_MAX])
{
	size_t n = 0;

	if (address_from_host(&out[0], view_str(r->host), r->port))
		return 1;
	list_foreach(it, &r->net->hosts) {
		struct twin_host *h = list_entry(it, struct twin_host, link);

		if (n < RESOLVE_MAX && view_ieq(view_str(h->name), view_str(r->host)) &&
		    address_from_host(&out[n], view_str(h->address), r->port))
			n++;
	}
	return n;
}

static void
on_resolved(void *arg)
{
	struct resolve *r = arg;
	struct address found[RESOLVE_MAX], numeric;
	size_t n = collect(r, found);

	if (r->net->dns_down && !address_from_host(&numeric, view_str(r->host), 0))
		r->fn(r->owner, RESOLVE_TEMPORARY, NULL, 0, "Temporary failure in name resolution");
	else if (n == 0)
		r->fn(r->owner, RESOLVE_NO_NAME, NULL, 0, "Name or service not known");
	else
		r->fn(r->owner, RESOLVE_OK, found, n, "");
	resolve_free(r);
}

static struct resolve *
twin_resolve(struct net *net, const char *host, uint16_t port, resolve_fn *fn, void *owner)
{
	struct twin_net *n = container_of(net, struct twin_net, net);
	struct resolve *r = xzalloc(sizeof(*r));

	r->net = n;
	r->host = xstrdup(host);
	r->port = port;
	r->fn = fn;
	r->owner = owner;
	timer_init(&r->timer, on_resolved, r);
	task_init(&r->task, on_resolved, r);
	list_init(&r->link);
	list_push(&n->lookups, &r->link);
	if (n->resolve_ms > 0)
		timer_set(net->loop, &r->timer, n->resolve_ms);
	else
		task_post(net->loop, &r->task);
	return r;
}

static const struct net_ops twin_net_ops = {
	.connect = twin_connect,
	.resolve = twin_resolve,
	.resolve_cancel = resolve_free,
};

void
twin_net_init(struct twin_net *n, struct loop *loop)
{
	*n = (struct twin_net){ .net = { &twin_net_ops, loop } };
	list_init(&n->hosts);
	list_init(&n->endpoints);
	list_init(&n->streams);
	list_init(&n->lookups);
}

void
twin_net_done(struct twin_net *n)
{
	while (!list_is_empty(&n->lookups))
		resolve_free(list_entry(n->lookups.next, struct resolve, link));
	while (!list_is_empty(&n->streams)) {
		struct twin_stream *t = list_entry(n->streams.next, struct twin_stream, link);

		if (t->state != TWIN_DEAD)
			kill_stream(t);
		free_stream(t);
	}
	while (!list_is_empty(&n->hosts))
		host_free(list_entry(n->hosts.next, struct twin_host, link));
	while (!list_is_empty(&n->endpoints)) {
		struct twin_endpoint *ep = list_entry(n->endpoints.next, struct twin_endpoint, link);

		list_remove(&ep->link);
		free(ep);
	}
}
