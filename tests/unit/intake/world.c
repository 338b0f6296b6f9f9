/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "net/tls_server.h"
#include "unit/net/certs.h"

#include "base/banned.h"

static char guests[] = "guests";

#define TIME_MS 1795332623000	/* 2026-11-22T07:30:23Z */

/* --- wires -------------------------------------------------------------------- */

static struct wire *
wire_of(struct stream *s)
{
	return container_of(s, struct wire, stream);
}

static void
wire_wrote(struct stream *s)
{
	assert_false(wire_of(s)->closed);
}

static void
wire_consumed(struct stream *s)
{
}

static void
wire_start_tls(struct stream *s, struct tls_client *tls, const char *name)
{
	fail_msg("intake is no client");
}

static void
wire_serve_tls(struct stream *s, struct tls_server *tls)
{
	struct wire *w = wire_of(s);

	assert_int_equal(w->tls, WIRE_CLEAR);
	assert_non_null(tls);
	assert_int_equal(buf_len(&s->in), 0);	/* the real one ends there */
	w->tls = WIRE_HANDSHAKE;
}

static void
wire_pause(struct stream *s, bool paused)
{
	wire_of(s)->paused = paused;
}

static void
wire_close(struct stream *s, bool aborted)
{
	struct wire *w = wire_of(s);

	assert_false(w->closed);
	w->closed = true;
	w->aborted = aborted;
}

static bool
wire_tls_info(const struct stream *s, struct tls_info *out)
{
	*out = (struct tls_info){ .version = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384" };
	return wire_of((struct stream *)(uintptr_t)s)->tls == WIRE_TLS;
}

static int
wire_fd(const struct stream *s)
{
	return 7;		/* find_peer() below knows it */
}

static const struct stream_ops wire_ops = {
	.wrote = wire_wrote,
	.consumed = wire_consumed,
	.start_tls = wire_start_tls,
	.serve_tls = wire_serve_tls,
	.pause = wire_pause,
	.close = wire_close,
	.tls_info = wire_tls_info,
	.fd = wire_fd,
};

static struct wire *
wire_new(struct world *world, const struct stream_limits *limits)
{
	struct wire *w = xzalloc(sizeof(*w));

	assert_true(world->nwires < WORLD_WIRES);
	world->wire[world->nwires++] = w;
	w->world = world;
	stream_init(&w->stream, &wire_ops, limits, NULL, NULL);
	buf_init(&w->got, 64u << 20);
	return w;
}

size_t
say(struct wire *w, struct view v)
{
	while (v.n > 0 && !w->closed && !w->paused) {
		size_t n = buf_room(&w->stream.in);

		if (n > v.n)
			n = v.n;
		if (n == 0)
			break;
		assert_true(buf_add(&w->stream.in, view_first(v, n)));
		v = view_from(v, n);
		w->stream.events->on_input(w->stream.owner);
	}
	world_run(w->world, 0);
	return v.n + (w->closed ? 0 : buf_len(&w->stream.in));
}

size_t
says(struct wire *w, const char *text)
{
	return say(w, view_str(text));
}

void
shake_hands(struct wire *w)
{
	(void)hear(w);
	assert_int_equal(w->tls, WIRE_HANDSHAKE);
	w->tls = WIRE_TLS;
	w->stream.events->on_tls(w->stream.owner);
	world_run(w->world, 0);
}

struct view
hear(struct wire *w)
{
	size_t before = buf_len(&w->stream.out);
	size_t from = buf_len(&w->got);

	if (!w->aborted)
		assert_true(buf_add(&w->got, buf_view(&w->stream.out)));
	buf_clear(&w->stream.out);
	if (before > 0 && !w->closed)
		w->stream.events->on_drained(w->stream.owner);
	world_run(w->world, 0);
	return view_from(buf_view(&w->got), from);
}

void
assert_hears(struct wire *w, const char *want)
{
	struct view v = hear(w);

	if (!view_eq(v, view_str(want)))
		fail_msg("heard \"%.*s\", not \"%s\"", VIEW_ARG(v), want);
}

void
hang_up(struct wire *w, enum stream_end_kind kind)
{
	struct stream_end end = { .kind = kind };

	w->stream.events->on_closed(w->stream.owner, &end);
	world_run(w->world, 0);
}

void
begin_message(struct wire *w)
{
	says(w, "EHLO web1\r\nMAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n");
	(void)hear(w);
}

/* --- relay ---------------------------------------------------------------------- */

void
relay_says(struct wire *w, enum frame_type type, uint64_t transaction, struct view payload)
{
	struct buf b;

	buf_init(&b, 65536);
	assert_true(frame_put(&b, type, transaction, payload));
	(void)say(w, buf_view(&b));
	buf_done(&b);
}

void
relay_credit(struct wire *w, uint64_t transaction, uint32_t bytes)
{
	uint8_t payload[4];

	frame_credit(payload, bytes);
	relay_says(w, FRAME_CREDIT, transaction, view_of(payload, 4));
}

bool
relay_hears(struct wire *w, struct frame *f)
{
	struct err e;
	size_t used, need;

	(void)hear(w);
	switch (frame_parse(view_from(buf_view(&w->got), w->read), true, f, &used, &need, &e)) {
	case FRAME_DONE:
		w->read += used;
		return true;
	case FRAME_MORE:
		return false;
	case FRAME_BAD:
		break;
	}
	fail_msg("intake broke the handover: %s", e.text);
	return false;
}

struct frame
relay_expects(struct wire *w, enum frame_type type, uint64_t transaction)
{
	struct frame f = { .payload = VIEW("") };

	do {
		if (!relay_hears(w, &f))
			fail_msg("no frame, expected type %d", (int)type);
	} while (f.type == FRAME_STATS && type != FRAME_STATS);	/* they come when they come */
	assert_int_equal(f.type, type);
	assert_int_equal(f.transaction, transaction);
	return f;
}

struct view
relay_text(struct wire *w, uint64_t transaction, struct buf *out)
{
	struct frame f;
	size_t before;

	buf_clear(out);
	for (before = w->read; relay_hears(w, &f); before = w->read) {
		if (f.type == FRAME_STATS)
			continue;
		if (f.type != FRAME_CHUNK)
			break;
		assert_int_equal(f.transaction, transaction);
		assert_true(buf_add(out, f.payload));
	}
	w->read = before;
	return buf_view(out);
}

void
assert_quiet(struct wire *w)
{
	struct frame f;

	if (relay_hears(w, &f))
		fail_msg("a frame of type %d that was not expected", (int)f.type);
}

struct wire *
relay(struct world *world)
{
	struct wire *w = wire_new(world, &intake_relay_limits);
	struct frame f;

	intake_set_relay(world->intake, &w->stream);
	relay_says(w, FRAME_HELLO, 0, VIEW(FRAME_HELLO_LINE));
	f = relay_expects(w, FRAME_HELLO, 0);
	assert_true(view_eq(f.payload, VIEW(FRAME_HELLO_LINE "sandbox: full\n")));
	f = relay_expects(w, FRAME_STATS, 0);
	return w;
}

/* --- world ------------------------------------------------------------------------ */

static void
emit(struct log *log, enum log_level level, const char *line)
{
	struct world *w = container_of(log, struct world, log);

	assert_true(buf_addf(&w->logged, "%s\n", line));
}

bool
world_logged(struct world *w, const char *text)
{
	struct view all = buf_view(&w->logged);

	return view_search(all, view_str(text)) < all.n;
}

static enum peer_found
find_peer(void *arg, int fd, const struct address *peer, int64_t *uid, int64_t *pid)
{
	struct world *w = arg;

	assert_int_equal(fd, 7);
	assert_true(address_is_loopback(peer));		/* of others it is not asked */
	*uid = w->uid;
	*pid = address_is_unix(peer) ? 4711 : -1;
	return w->uid >= 0 ? PEER_FOUND : PEER_CLOSED;
}

static void
ask_process(void *arg, uint64_t number, int64_t pid, int64_t uid)
{
	struct world *w = arg;

	assert_int_equal(pid, 4711);
	assert_int_equal(uid, w->uid);
	w->asked++;
	w->question = number;
}

void
world_run(struct world *w, int64_t ms)
{
	twin_loop_run(&w->loop, ms);
}

struct wire *
guest(struct world *world)
{
	struct wire *w = wire_new(world, &intake_stream_limits);
	struct address a;

	assert_int_equal(address_parse(&a, VIEW("10.0.0.7:5"), NULL), 0);
	intake_accept(world->intake, &w->stream, &a, &world->conf.listener[0]);
	world_run(world, 0);
	return w;
}

void
world_tls(struct world *w, enum conf_listener_tls mode, bool works)
{
	static const struct cert_wish wish = { "h", "DNS:h.example", NULL, -1, 30, false };
	struct conf_listener *l = &w->conf.listener[0];
	struct tls_server *tls = NULL;
	struct cert cert;

	l->tls = mode;
	l->name = guests;
	l->nnetwork = 1;
	assert_int_equal(subnet_parse(&l->network[0], VIEW("10.0.0.0/8"), NULL), 0);
	w->conf.nlistener = 1;
	world_renew(w);
	if (!works)
		return;
	cert_make(&cert, &wish, NULL);
	assert_int_equal(cert_server(&tls, &cert), 0);
	cert_done(&cert);
	intake_set_tls(w->intake, 0, tls);
}

struct wire *
client_at(struct world *world, const char *text)
{
	struct wire *w = wire_new(world, &intake_stream_limits);
	struct address a;

	assert_int_equal(address_parse(&a, view_str(text), NULL), 0);
	intake_accept(world->intake, &w->stream, &a, NULL);
	world_run(world, 0);
	return w;
}

void
world_renew(struct world *w)
{
	struct intake_env env = {
		.loop = &w->loop.loop, .rng = &w->rng, .log = &w->log, .sandbox = "full",
		.find_peer = find_peer, .find_arg = w,
		.ask_process = w->names ? ask_process : NULL, .ask_arg = w,
	};

	intake_free(w->intake);
	w->intake = intake_new(&env, &w->conf);
}

void
world_init(struct world *w)
{
	*w = (struct world){ .uid = 33 };
	twin_loop_init(&w->loop, TIME_MS);
	rng_init(&w->rng, 1);
	buf_init(&w->logged, 1u << 20);
	w->log.emit = emit;
	w->log.level = LEVEL_DEBUG;
	w->conf.hostname = xstrdup("web1.example.com");
	w->conf.default_domain = xstrdup("web1.example.com");
	w->conf.drain_ms = 30000;
	w->conf.limits.message_size = 25u << 20;
	w->conf.limits.recipients = 1000;
	w->conf.limits.connections = 100;
	w->conf.limits.connections_per_client = 10;
	w->conf.limits.errors = 20;
	w->conf.limits.command_ms = 300000;
	w->conf.limits.data_ms = 180000;
	w->conf.limits.transaction_ms = 3600000;
	world_renew(w);
}

void
world_done(struct world *w)
{
	intake_free(w->intake);
	for (size_t i = 0; i < w->nwires; i++) {
		assert_true(w->wire[i]->closed);	/* nobody is forgotten */
		stream_done(&w->wire[i]->stream);
		buf_done(&w->wire[i]->got);
		free(w->wire[i]);
	}
	twin_loop_done(&w->loop);
	buf_done(&w->logged);
	free(w->conf.hostname);
	free(w->conf.default_domain);
}
