/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake/channel.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/require.h"
#include "intake/intake.h"

#include "base/banned.h"

/* Kept free for the end of each open transaction: COMMIT is the longer one. */
#define END_MAX		(80 + FRAME_SCRIPT_MAX)
#define RESERVE		((size_t)HANDOVER_TRANSACTIONS * END_MAX)

const struct stream_limits intake_relay_limits = {
	.input_max = 65536,		/* many answers; each is small */
	.output_max = FRAME_OPEN_MAX + 2 * RESERVE + (8u << 20),
};

struct channel {
	struct stream		*stream;
	const struct channel_events *events;
	void			*owner;
	struct map		 by_number;	/* open transactions */
	struct list		 open;
	uint64_t		 last;		/* number given last */
	bool			 ready;
	bool			 paused;	/* relay is about to be replaced */
	bool			 closed;
	bool			 broken;	/* no memory for a frame: nothing more may be written */
	struct loop		*loop;
	struct task		 end_task;
};

/* --- to relay ---------------------------------------------------------------- */

static void
put(struct channel *c, enum frame_type type, uint64_t transaction, struct view payload)
{
	uint8_t header[FRAME_HEADER];

	if (c->broken)
		return;
	/* The callers have looked for room, so only memory can be missing. */
	frame_header(header, type, transaction, payload.n);
	if (!stream_write(c->stream, view_of(header, sizeof(header))) ||
	    (payload.n != 0 && !stream_write(c->stream, payload))) {
		c->broken = true;
		task_post(c->loop, &c->end_task);
	}
}

static void
end_broken(void *arg)
{
	channel_end(arg, "no memory");
}

/* Room for a payload, less what the ends of open transactions may need. */
static size_t
room(const struct channel *c)
{
	size_t free_bytes = stream_output_room(c->stream);

	return free_bytes > RESERVE + FRAME_HEADER ? free_bytes - RESERVE - FRAME_HEADER : 0;
}

void
channel_txn_init(struct channel_txn *t)
{
	*t = (struct channel_txn){ 0 };
	list_init(&t->link);
}

/* From here on no event comes for it. */
static void
forget(struct channel *c, struct channel_txn *t)
{
	(void)map_take(&c->by_number, t->number);
	list_remove(&t->link);
	t->number = 0;
}

bool
channel_open_txn(struct channel *c, struct channel_txn *t, const struct envelope *env, bool *too_big)
{
	struct buf text;
	bool ok = false;

	require(channel_is_ready(c) && t->number == 0);
	*too_big = false;
	buf_init(&text, FRAME_OPEN_MAX);
	if (c->by_number.n >= HANDOVER_TRANSACTIONS)
		goto out;
	if (!envelope_encode(&text, env)) {
		*too_big = true;
		goto out;
	}
	if (buf_len(&text) > room(c))
		goto out;
	t->number = ++c->last;
	t->credit = HANDOVER_WINDOW;
	t->committed = false;
	t->size = 0;
	map_put(&c->by_number, t->number, t);
	list_push(&c->open, &t->link);
	put(c, FRAME_OPEN, t->number, buf_view(&text));
	ok = true;
out:
	buf_done(&text);
	return ok;
}

size_t
channel_write(struct channel *c, struct channel_txn *t, struct view bytes)
{
	size_t taken = 0;

	require(t->number != 0 && !t->committed);
	while (taken < bytes.n) {
		size_t n = bytes.n - taken;

		if (n > FRAME_CHUNK_MAX)
			n = FRAME_CHUNK_MAX;
		if (n > t->credit)
			n = t->credit;
		if (n > room(c))
			n = room(c);
		if (n == 0)
			break;
		put(c, FRAME_CHUNK, t->number, view_first(view_from(bytes, taken), n));
		t->credit -= (uint32_t)n;
		t->size += n;
		taken += n;
	}
	return taken;
}

void
channel_commit(struct channel *c, struct channel_txn *t, bool eight_bit, const char *script)
{
	struct frame_commit commit = { eight_bit, t->size, view_str(script) };
	struct buf text;

	require(t->number != 0 && !t->committed);
	buf_init(&text, END_MAX - FRAME_HEADER);
	t->committed = true;
	if (frame_commit_put(&text, &commit))
		put(c, FRAME_COMMIT, t->number, buf_view(&text));
	else
		task_post(c->loop, &c->end_task);	/* no memory; it fits its reserve */
	buf_done(&text);
}

void
channel_abort(struct channel *c, struct channel_txn *t)
{
	if (t->number == 0)
		return;
	if (!t->committed)
		put(c, FRAME_ABORT, t->number, VIEW(""));
	forget(c, t);
}

void
channel_put_stats(struct channel *c, struct view lines)
{
	if (c->ready && lines.n <= room(c))
		put(c, FRAME_STATS, 0, lines);
}

/* --- from relay --------------------------------------------------------------- */

/* The open transaction of a frame; NULL if it is over. *ok is false if it never was. */
static struct channel_txn *
find(struct channel *c, uint64_t number, bool *ok)
{
	*ok = number <= c->last;
	return map_get(&c->by_number, number);
}

static const char *
take_credit(struct channel *c, const struct frame *f)
{
	bool known;
	struct channel_txn *t = find(c, f->transaction, &known);
	uint32_t n;

	if (!known)
		return "credit for a transaction that was never opened";
	if (!frame_credit_parse(f->payload, &n))
		return "a malformed credit";
	if (t == NULL || t->committed)
		return NULL;
	if (n > HANDOVER_WINDOW - t->credit)
		return "more credit than the window";
	t->credit += n;
	c->events->on_credit(t);
	return NULL;
}

static const char *
take_durable(struct channel *c, const struct frame *f)
{
	bool known;
	struct channel_txn *t = find(c, f->transaction, &known);
	uint64_t id;

	if (!known)
		return "an answer to a transaction that was never opened";
	if (!num_parse_hex(f->payload, &id) || id == 0)
		return "a malformed message id";
	if (t == NULL)
		return NULL;
	if (!t->committed)
		return "a message durable that was not complete";
	forget(c, t);
	c->events->on_durable(t, id);
	return NULL;
}

static const char *
take_refused(struct channel *c, const struct frame *f)
{
	bool known;
	struct channel_txn *t = find(c, f->transaction, &known);
	struct frame_reply reply;

	if (!known)
		return "an answer to a transaction that was never opened";
	if (!frame_reply_parse(f->payload, &reply))
		return "a malformed refusal";
	if (t == NULL)
		return NULL;
	forget(c, t);
	c->events->on_refused(t, &reply);
	return NULL;
}

static const char *
take_policy(struct channel *c, const struct frame *f)
{
	struct frame_reply reply;

	if (f->payload.n == 0) {
		c->events->on_policy(c->owner, NULL);
		return NULL;
	}
	if (!frame_reply_parse(f->payload, &reply))
		return "a malformed policy";
	c->events->on_policy(c->owner, &reply);
	return NULL;
}

/* Frames keep their order: behind our answer relay knows that no OPEN is under way. */
static const char *
take_pause(struct channel *c)
{
	if (c->paused)
		return "a second pause";
	c->paused = true;
	put(c, FRAME_PAUSE, 0, VIEW(""));
	return NULL;
}

/* NULL, or what is wrong with the frame. */
static const char *
take_frame(struct channel *c, const struct frame *f)
{
	if (!c->ready) {
		if (f->type != FRAME_HELLO || !frame_hello_is_ours(f->payload))
			return "no greeting of this version";
		c->ready = true;
		c->events->on_ready(c->owner);
		return NULL;
	}
	switch (f->type) {
	case FRAME_CREDIT:
		return take_credit(c, f);
	case FRAME_DURABLE:
		return take_durable(c, f);
	case FRAME_REFUSED:
		return take_refused(c, f);
	case FRAME_POLICY:
		return take_policy(c, f);
	case FRAME_PAUSE:
		return take_pause(c);
	case FRAME_HELLO:
		return "a second greeting";
	case FRAME_OPEN:
	case FRAME_CHUNK:
	case FRAME_COMMIT:
	case FRAME_ABORT:
	case FRAME_STATS:
		break;
	}
	return "a frame that only intake sends";	/* the parser lets none through */
}

static void
on_input(void *owner)
{
	struct channel *c = owner;

	for (;;) {
		struct frame f;
		const char *wrong;
		size_t used, need;
		struct err e;

		switch (frame_parse(stream_input(c->stream), false, &f, &used, &need, &e)) {
		case FRAME_MORE:
			return;
		case FRAME_BAD:
			channel_end(c, e.text);
			return;
		case FRAME_DONE:
			break;
		}
		wrong = take_frame(c, &f);
		if (wrong != NULL) {
			channel_end(c, wrong);
			return;
		}
		stream_consume(c->stream, used);
	}
}

static void
on_drained(void *owner)
{
	struct channel *c = owner;

	if (c->ready)
		c->events->on_room(c->owner);
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	channel_end(owner, end->text[0] != '\0' ? end->text : "relay closed it");
}

/* Each transaction hears of it once, then the owner, who frees the channel. */
void
channel_end(struct channel *c, const char *why)
{
	struct list lost;
	struct list *link;

	if (c->closed)
		return;
	c->closed = true;
	c->ready = false;
	stream_abort(c->stream);
	c->stream = NULL;
	list_init(&lost);
	list_move_all(&lost, &c->open);
	while ((link = list_pop(&lost)) != NULL) {
		struct channel_txn *t = list_entry(link, struct channel_txn, link);

		(void)map_take(&c->by_number, t->number);
		t->number = 0;
		c->events->on_lost(t);
	}
	c->events->on_closed(c->owner, why);
}

static const struct stream_events stream_events = {
	.on_input = on_input,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

struct channel *
channel_new(struct loop *loop, struct stream *s, const char *sandbox,
    const struct channel_events *events, void *owner)
{
	struct channel *c = xzalloc(sizeof(*c));
	struct buf hello;

	c->loop = loop;
	task_init(&c->end_task, end_broken, c);
	c->stream = s;
	c->events = events;
	c->owner = owner;
	map_init(&c->by_number);
	list_init(&c->open);
	stream_own(s, &stream_events, c);
	buf_init(&hello, FRAME_SMALL_MAX);
	if (buf_addf(&hello, "%ssandbox: %.200s\n", FRAME_HELLO_LINE, sandbox))
		put(c, FRAME_HELLO, 0, buf_view(&hello));
	else
		task_post(c->loop, &c->end_task);
	buf_done(&hello);
	return c;
}

void
channel_free(struct channel *c)
{
	struct list *link;

	if (c == NULL)
		return;
	while ((link = list_pop(&c->open)) != NULL)
		list_entry(link, struct channel_txn, link)->number = 0;
	stream_abort(c->stream);
	task_cancel(&c->end_task);
	map_done(&c->by_number);
	free(c);
}

bool
channel_is_ready(const struct channel *c)
{
	return c != NULL && c->ready && !c->paused;
}

bool
channel_is_paused(const struct channel *c)
{
	return c->paused;
}
