/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intake between clients and a relay, all of them hostile: no order of events makes
 * it say 250 more often than relay said durable, or break the handover itself.
 */
#include "fuzz.h"

#include "handover/frame.h"
#include "intake/intake.h"
#include "twin/loop.h"

#include "base/banned.h"

#define CLIENTS 4
#define WIRES 64

struct wire {
	struct stream	 stream;
	bool		 used, closed, paused;
};

struct world {
	struct twin_loop loop;
	struct wire	 wire[WIRES];
	size_t		 nwires;
	struct wire	*client[CLIENTS];
	struct wire	*relay;
	struct buf	 relay_got;
	bool		 greeted;		/* intake's HELLO came on this channel */
	uint64_t	 opened;		/* transactions of this channel */
	unsigned	 durable, queued;
};

/* --- wires: as in tests/unit/intake/world.c, without a test around them --------------- */

static struct wire *
wire_of(struct stream *s)
{
	return container_of(s, struct wire, stream);
}

static void
wire_wrote(struct stream *s)
{
	require(!wire_of(s)->closed);
}

static void
wire_consumed(struct stream *s)
{
}

static void
wire_pause(struct stream *s, bool paused)
{
	wire_of(s)->paused = paused;
}

static void
wire_close(struct stream *s, bool aborted)
{
	require(!wire_of(s)->closed);
	wire_of(s)->closed = true;
}

static int
wire_fd(const struct stream *s)
{
	return -1;
}

static const struct stream_ops wire_ops = {
	.wrote = wire_wrote, .consumed = wire_consumed, .pause = wire_pause, .close = wire_close,
	.fd = wire_fd,
};

static struct wire *
wire_new(struct world *w, const struct stream_limits *limits)
{
	struct wire *it;

	if (w->nwires == WIRES)
		return NULL;
	it = &w->wire[w->nwires++];
	it->used = true;
	stream_init(&it->stream, &wire_ops, limits, NULL, NULL);
	return it;
}

static void
wire_say(struct wire *it, struct view v)
{
	if (it == NULL || it->closed || it->paused)
		return;
	v = view_first(v, buf_room(&it->stream.in));
	if (v.n > 0 && buf_add(&it->stream.in, v))
		it->stream.events->on_input(it->stream.owner);
}

static void
wire_end(struct wire *it, bool clean)
{
	struct stream_end end = { .kind = clean ? STREAM_EOF : STREAM_RESET };

	if (it != NULL && !it->closed)
		it->stream.events->on_closed(it->stream.owner, &end);
}

/* --- what intake says ------------------------------------------------------------------ */

static void
hear_client(struct world *w, struct wire *it)
{
	struct view out, line;

	if (it == NULL || buf_len(&it->stream.out) == 0)
		return;
	out = buf_view(&it->stream.out);
	while (view_split(&out, '\n', &line)) {
		if (view_starts(line, VIEW("250 2.0.0 Ok: queued as ")))
			w->queued++;
		for (size_t i = 0; i + 1 < line.n; i++)
			require(is_print(line.p[i]));
	}
	require(w->queued <= w->durable);
	buf_clear(&it->stream.out);
	if (!it->closed)
		it->stream.events->on_drained(it->stream.owner);
}

static void
check_frame(struct world *w, const struct frame *f)
{
	require(w->greeted == (f->type != FRAME_HELLO));
	w->greeted = true;
	if (f->type == FRAME_OPEN)
		require(f->transaction == ++w->opened);
	else
		require(f->transaction <= w->opened);
}

static void
hear_relay(struct world *w)
{
	struct wire *it = w->relay;

	if (it == NULL || it->closed)
		return;
	require(buf_add(&w->relay_got, buf_view(&it->stream.out)));
	buf_clear(&it->stream.out);
	for (;;) {
		struct frame f;
		size_t used, need;
		enum frame_progress p = frame_parse(buf_view(&w->relay_got), true, &f, &used, &need, NULL);

		require(p != FRAME_BAD);
		if (p == FRAME_MORE)
			break;
		check_frame(w, &f);
		buf_consume(&w->relay_got, used);
	}
	it->stream.events->on_drained(it->stream.owner);
}

/* --- what happens ------------------------------------------------------------------------- */

static void
new_relay(struct world *w, struct intake *in, bool greets)
{
	struct buf hello;
	struct wire *it = wire_new(w, &intake_relay_limits);

	if (it == NULL)
		return;
	w->relay = it;
	w->greeted = false;
	w->opened = 0;
	buf_clear(&w->relay_got);
	intake_set_relay(in, &it->stream);
	buf_init(&hello, 100);
	require(frame_put(&hello, FRAME_HELLO, 0, VIEW(FRAME_HELLO_LINE)));
	if (greets)
		wire_say(it, buf_view(&hello));
	buf_done(&hello);
}

static void
new_client(struct world *w, struct intake *in, size_t i)
{
	struct address a;
	struct wire *it = w->client[i];

	if (it != NULL && !it->closed)
		return;
	it = wire_new(w, &intake_stream_limits);
	if (it == NULL || address_parse(&a, VIEW("127.0.0.1:9"), NULL) < 0)
		return;
	w->client[i] = it;
	intake_accept(in, &it->stream, &a, NULL);
}

static void
relay_frame(struct world *w, enum frame_type type, uint64_t transaction, struct view payload)
{
	struct buf b;

	buf_init(&b, 4096);
	if (type == FRAME_DURABLE && payload.n == 16)
		w->durable++;
	if (frame_put(&b, type, transaction, payload))
		wire_say(w->relay, buf_view(&b));
	buf_done(&b);
}

static void
drained(void *owner)
{
}

/* The relay as it should be, so that a fuzzer need not find each step by itself. */
static void
good_relay(struct world *w, unsigned choice, unsigned transaction)
{
	uint8_t credit[4];

	frame_credit(credit, 1 + choice * 16);
	if (choice % 3 == 0)
		relay_frame(w, FRAME_DURABLE, transaction, VIEW("0123456789abcdef"));
	else if (choice % 3 == 1)
		relay_frame(w, FRAME_REFUSED, transaction, VIEW("452 4.3.1 Full"));
	else
		relay_frame(w, FRAME_CREDIT, transaction, view_of(credit, 4));
}

/* As much of a text as fits: eight of these are more than relay's first credit. Few line ends, each is a step. */
static void
say_much(struct wire *it)
{
	static uint8_t text[32768];

	memset(text, 'x', sizeof(text));
	memcpy(text, "0123456789abcdef\r\n\n\n\n\n................", 38);
	wire_say(it, view_of(text, sizeof(text)));
}

static void
step(struct world *w, struct intake *in, struct view *io)
{
	unsigned what = fuzz_choice(io);
	size_t i = what / 16 % CLIENTS;

	switch (what % 16) {
	case 0:
		new_client(w, in, i);
		break;
	case 1:
		wire_say(w->client[i], VIEW("EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"));
		break;
	case 2:
		wire_say(w->client[i], VIEW("\r\n.\r\n"));
		break;
	case 3:
	case 4:
		wire_say(w->client[i], fuzz_piece(io));
		break;
	case 5:
		say_much(w->client[i]);
		break;
	case 6:
		hear_client(w, w->client[i]);
		break;
	case 7:
		wire_end(w->client[i], what >= 64);
		break;
	case 8:
		new_relay(w, in, what < 128);
		break;
	case 9:
		good_relay(w, fuzz_choice(io), what / 16);
		break;
	case 10:
		relay_frame(w, (enum frame_type)fuzz_choice(io), what / 16, fuzz_piece(io));
		break;
	case 11:
		hear_relay(w);
		break;
	case 12:
		wire_end(w->relay, what >= 64);
		break;
	case 13:
		twin_loop_run(&w->loop, (int64_t)fuzz_choice(io) * 1000);
		break;
	case 14:
		relay_frame(w, FRAME_POLICY, 0, what >= 128 ? VIEW("") : VIEW("452 4.3.1 Full"));
		break;
	default:
		if (what == 255)
			intake_drain(in, drained, w);
		break;
	}
}

static void
emit(struct log *log, enum log_level level, const char *line)
{
	for (; *line != '\0'; line++)
		require(is_print((uint8_t)*line));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	char name[] = "host";
	struct conf conf = { .hostname = name, .default_domain = name, .drain_ms = 30000 };
	struct log log = { .emit = emit, .level = LEVEL_DEBUG };
	struct view in = view_of(data, size);
	struct intake_env env = { .loop = &w.loop.loop, .log = &log };
	struct intake *intake;
	struct rng rng;

	w = (struct world){ 0 };
	conf.limits.message_size = 300000;
	conf.limits.recipients = 3;
	conf.limits.connections = conf.limits.connections_per_client = CLIENTS;
	conf.limits.errors = 20;
	conf.limits.command_ms = conf.limits.data_ms = 100000;
	conf.limits.transaction_ms = 600000;
	twin_loop_init(&w.loop, 1795332623000);
	rng_init(&rng, 1);
	env.rng = &rng;
	buf_init(&w.relay_got, 64u << 20);
	intake = intake_new(&env, &conf);
	while (in.n > 0) {
		step(&w, intake, &in);
		twin_loop_run(&w.loop, 0);
	}
	hear_relay(&w);
	for (size_t i = 0; i < CLIENTS; i++)
		hear_client(&w, w.client[i]);
	intake_free(intake);
	for (size_t i = 0; i < w.nwires; i++) {
		require(w.wire[i].closed);
		stream_done(&w.wire[i].stream);
	}
	buf_done(&w.relay_got);
	twin_loop_done(&w.loop);
	return 0;
}
