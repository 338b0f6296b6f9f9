/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reception - frames from intake become spool transactions (doc/handover.md).
 *
 * intake parses what local users send, so it is believed nothing: every number,
 * order, length and address is checked, and what breaks the protocol ends the
 * channel. Transactions outlive the channel only while their commit is under way.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/quote.h"
#include "base/require.h"
#include "mail/trace.h"
#include "relay/relay_impl.h"
#include "smtp/address.h"
#include "smtp/dsn.h"

#include "base/banned.h"

#define CREDIT_MIN	65536		/* given in portions of at least this */
#define REPLY_ROOM	8192		/* no frame is taken while less is free for answers */
#define TRACE_MAX	4096
#define REPLY_MAX	256

const struct stream_limits relay_handover_limits = {
	.input_max = FRAME_HEADER + FRAME_OPEN_MAX,
	.output_max = 4u << 20,
};

struct txn {
	struct list	 link;		/* reception.all */
	struct relay	*r;
	bool		 channel;	/* its intake is still there */
	bool		 committing;
	uint64_t	 number;
	struct spool_txn *spool;	/* NULL while committing */
	spool_id	 id;
	uint64_t	 size;		/* of all chunks */
	size_t		 unacknowledged;/* bytes for which no credit was given back */
	size_t		 pending;	/* on its way to the disk */
	size_t		 held;		/* as counted in reception.bytes */
	struct life_origin origin;
	uint8_t		*route;		/* of each recipient; NULL: there is one only */
	struct users_part part;
	const char	*hold;		/* why it is held when it is in the queue; NULL: it is not */
};

static void channel_close(struct relay *);

static void
channel_fault(struct relay *r, const char *what)
{
	log_simple(r->env.log, LEVEL_ERROR, "handover-fault", "intake broke the protocol: %s", what);
	channel_close(r);
}

/* --- answers -------------------------------------------------------------------- */

static void
answer(struct relay *r, enum frame_type type, uint64_t number, struct view payload)
{
	struct reception *c = &r->reception;
	uint8_t head[FRAME_HEADER];

	if (c->stream == NULL)
		return;
	frame_header(head, type, number, payload.n);
	/* Callers hold transactions: the channel is closed later in the turn. */
	if (stream_output_room(c->stream) < FRAME_HEADER + payload.n ||
	    !stream_write(c->stream, view_of(head, sizeof(head))) ||
	    (payload.n != 0 && !stream_write(c->stream, payload)))
		task_post(r->env.loop, &c->deaf);
}

static void
refuse(struct relay *r, uint64_t number, const char *reply)
{
	answer(r, FRAME_REFUSED, number, view_str(reply));
}

static bool
is_path(struct view word)
{
	bool slash = view_find(word, '/') < word.n, digit = false;

	for (size_t i = 0; i < word.n; i++)
		digit = digit || is_digit(word.p[i]);
	/* "Input/output error" is what the system says. */
	return word.n > 3 && slash && (digit || word.p[0] == '/');
}

/*
 * A reason is ours, and a local user's to know: which limit, or what the disk says; but not what
 * our files are called.
 */
static void
hide_names(char *text)
{
	struct view rest = view_str(text), word;
	char *to = text;

	while (view_split(&rest, ' ', &word)) {
		bool last = rest.n == 0;

		if (is_path(word) && view_ends(word, VIEW(":")))
			continue;	/* "FILE: what is wrong" */
		if (is_path(word))	/* which is not shorter */
			word = VIEW("it");
		memmove(to, word.p, word.n);
		to += word.n;
		if (!last)
			*to++ = ' ';
	}
	*to = '\0';
	quote_flatten((uint8_t *)text, strlen(text));
}

static const char *
reply_for(char text[REPLY_MAX], const struct err *e)
{
	switch (e->kind) {
	case ERR_FULL:
		(void)snprintf(text, REPLY_MAX, "452 4.3.1 The queue is full: %.200s", e->text);
		break;
	case ERR_BUSY:
		(void)snprintf(text, REPLY_MAX, "451 4.3.2 Restarting; try again");
		break;
	default:
		(void)snprintf(text, REPLY_MAX, "451 4.3.0 The message could not be stored: %.200s", e->text);
		break;
	}
	hide_names(text);
	return text;
}

static void
on_deaf(void *arg)
{
	channel_fault(arg, "it does not read the answers");
}

/* --- transactions ---------------------------------------------------------------- */

/* The spool holds what is pending, and up to a chunk that is not yet full. */
static void
set_pending(struct txn *t, size_t pending)
{
	size_t held = pending + (t->size < SPOOL_CHUNK ? (size_t)t->size : SPOOL_CHUNK);

	t->r->reception.bytes += held;
	t->r->reception.bytes -= t->held;
	t->pending = pending;
	t->held = held;
}

static void
txn_free(struct txn *t)
{
	t->r->reception.bytes -= t->held;
	users_give_back(t->r, &t->part);
	if (t->channel)
		(void)map_take(&t->r->reception.txns, t->number);
	list_remove(&t->link);
	life_origin_done(&t->origin);
	free(t->route);
	if (t->r->draining)
		task_post(t->r->env.loop, &t->r->reception.check);
	free(t);
}

/* Ends the transaction with a refusal. */
static void
txn_refuse(struct txn *t, const char *reply)
{
	if (t->spool != NULL)
		spool_abort(t->spool);
	if (t->channel)
		refuse(t->r, t->number, reply);
	txn_free(t);
}

static void
give_credit(struct txn *t)
{
	uint8_t bytes[4];
	size_t n;

	if (t->unacknowledged <= t->pending)
		return;
	n = t->unacknowledged - t->pending;
	if (n < CREDIT_MIN)
		return;
	t->unacknowledged -= n;
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(n >> (8 * i));
	answer(t->r, FRAME_CREDIT, t->number, view_of(bytes, sizeof(bytes)));
}

static void
on_written(void *owner, size_t pending)
{
	struct txn *t = owner;

	set_pending(t, pending);
	if (t->channel && !t->committing)
		give_credit(t);
}

/* An address that may be given to the smarthost. */
static bool
address_is_good(const struct envelope *env, struct view a)
{
	struct mailbox m;

	return mailbox_parse(&m, a, NULL) == 0 && (env->smtputf8 || !m.eight_bit);
}

static bool
dsn_is_good(const struct envelope *env)
{
	if ((env->ret.n > 0 && !dsn_ret_is_good(env->ret)) ||
	    (env->envid.n > 0 && !dsn_envid_is_good(env->envid)))
		return false;
	for (uint32_t i = 0; env->dsn != NULL && i < env->nrcpt; i++) {
		const struct envelope_dsn *d = &env->dsn[i];

		if ((d->notify.n > 0 && !dsn_notify_is_good(d->notify)) ||
		    (d->orcpt.n > 0 && !dsn_orcpt_is_good(d->orcpt, env->smtputf8)))
			return false;
	}
	return true;
}

static bool
envelope_is_good(const struct relay *r, const struct envelope *env)
{
	if (env->nrcpt == 0 || env->nrcpt > r->conf->limits.recipients ||
	    env->nrcpt > ENVELOPE_RCPT_MAX)
		return false;
	if (env->from.n != 0 && !address_is_good(env, env->from))
		return false;
	for (uint32_t i = 0; i < env->nrcpt; i++)
		if (!address_is_good(env, env->rcpt[i]))
			return false;
	return dsn_is_good(env);
}

static bool
put_trace(struct txn *t, const struct envelope *env, struct err *e)
{
	struct buf trace;
	char id[17], user[USERS_TAG_MAX];
	size_t pending = 0;
	int rc = -1;

	buf_init(&trace, TRACE_MAX);
	if (trace_received(&trace, env, t->r->conf->hostname, spool_id_text(id, t->id),
	    users_tag(t->r, env->uid, user)))
		rc = spool_append(t->spool, buf_view(&trace), &pending, e);
	else
		(void)err_set(e, ERR_FULL, "the Received field is too long");
	buf_done(&trace);
	set_pending(t, pending);
	return rc == 0;
}

static void
txn_open(struct relay *r, uint64_t number, struct envelope *env)
{
	struct reception *c = &r->reception;
	char reply[REPLY_MAX];
	struct users_part part;
	struct spool_txn *spool;
	struct txn *t;
	spool_id id;
	struct err e;

	if (c->bytes > RECEPTION_BYTES_MAX || c->txns.n >= HANDOVER_TRANSACTIONS) {
		refuse(r, number, "452 4.3.1 Too much mail is coming in at once; try again later");
		return;
	}
	if (users_begin(r, &part, env, reply) < 0) {
		refuse(r, number, reply);
		return;
	}
	if (spool_begin(&spool, r->spool, env, &id, &e) < 0) {
		users_give_back(r, &part);
		refuse(r, number, reply_for(reply, &e));
		return;
	}
	t = xzalloc(sizeof(*t));
	t->part = part;
	t->r = r;
	t->channel = true;
	t->number = number;
	t->spool = spool;
	t->id = id;
	life_origin_init(&t->origin, env);
	t->route = routing_find(r, env);
	list_push(&c->all, &t->link);
	map_put(&c->txns, number, t);
	spool_txn_on_written(spool, on_written, t);
	if (!put_trace(t, env, &e))
		txn_refuse(t, reply_for(reply, &e));
}

static void
on_open(struct relay *r, const struct frame *f)
{
	struct envelope env;
	struct err e;

	if (f->transaction <= r->reception.last) {
		channel_fault(r, "a transaction number was used again");
		return;
	}
	r->reception.last = f->transaction;
	if (r->reception.paused) {
		channel_fault(r, "a transaction was opened behind its pause");
		return;
	}
	if (r->closing || r->spool == NULL) {
		refuse(r, f->transaction, "451 4.3.2 Restarting; try again");
		return;
	}
	if (envelope_decode(&env, f->payload, &e) < 0) {
		channel_fault(r, e.text);
		return;
	}
	env.bounce = false;		/* only we make those */
	env.received_ms = loop_wall(r->env.loop);
	if (envelope_is_good(r, &env))
		txn_open(r, f->transaction, &env);
	else
		channel_fault(r, "the envelope has too many recipients, none, or a bad address or parameter");
	envelope_done(&env);
}

/* NULL: none such, and what is to be done about it is done. */
static struct txn *
txn_find(struct relay *r, const struct frame *f)
{
	struct txn *t = map_get(&r->reception.txns, f->transaction);

	if (t == NULL && f->transaction > r->reception.last)
		channel_fault(r, "the transaction was never opened");
	if (t != NULL && t->committing) {
		channel_fault(r, "a frame came behind COMMIT");
		return NULL;
	}
	return t;		/* one that was refused is over: its frames crossed with the answer */
}

static void
on_chunk(struct relay *r, const struct frame *f)
{
	struct txn *t = txn_find(r, f);
	char reply[REPLY_MAX];
	size_t pending = 0;
	struct err e;

	if (t == NULL)
		return;
	if (f->payload.n == 0 || f->payload.n > HANDOVER_WINDOW - t->unacknowledged) {
		channel_fault(r, "more bytes than the window has");
		return;
	}
	t->size += f->payload.n;
	t->unacknowledged += f->payload.n;
	if (t->size > r->conf->limits.message_size + HANDOVER_WINDOW) {
		txn_refuse(t, "552 5.3.4 The message is too big");
		return;
	}
	if (users_grow(r, &t->part, f->payload.n, reply) < 0) {
		txn_refuse(t, reply);
		return;
	}
	if (spool_append(t->spool, f->payload, &pending, &e) < 0) {
		txn_refuse(t, reply_for(reply, &e));
		return;
	}
	set_pending(t, pending);
	give_credit(t);
}

static void
on_committed(void *owner, spool_id id, const struct err *e)
{
	struct txn *t = owner;
	struct spool_message *m = e == NULL ? spool_find(t->r->spool, id) : NULL;
	char text[17], reply[REPLY_MAX];

	if (e == NULL) {
		life_queued(t->r, id, t->size, &t->origin);
		users_queued(t->r, m, &t->part);
		routing_set(t->r, m, t->route);
	}
	if (m != NULL && t->hold != NULL)
		users_hold(t->r, m, t->hold);
	if (t->channel && e == NULL)
		answer(t->r, FRAME_DURABLE, t->number, view_str(spool_id_text(text, id)));
	else if (t->channel)
		refuse(t->r, t->number, reply_for(reply, e));
	txn_free(t);
}

static void
on_commit(struct relay *r, const struct frame *f)
{
	struct txn *t = txn_find(r, f);
	enum users_verdict verdict;
	char reply[REPLY_MAX];
	struct spool_txn *spool;
	struct frame_commit commit;

	if (t == NULL)
		return;
	if (!frame_commit_parse(f->payload, &commit)) {
		channel_fault(r, "COMMIT can't be read");
		return;
	}
	if (commit.size != t->size) {
		txn_refuse(t, "451 4.3.0 Bytes of the message are missing; try again");
		return;
	}
	memcpy(t->origin.script, commit.script.p, commit.script.n);
	t->origin.script[commit.script.n] = '\0';
	verdict = users_end(r, &t->part, reply);
	if (verdict == USERS_REFUSE) {
		txn_refuse(t, reply);
		return;
	}
	t->hold = verdict == USERS_TAKE ? NULL : verdict == USERS_HOLD_FROZEN ? "frozen" : "over-limit";
	spool = t->spool;
	if (t->hold != NULL)
		spool_hold(spool);
	t->spool = NULL;
	t->committing = true;
	spool_commit(spool, commit.eight_bit, on_committed, t);
}

static void
on_abort(struct relay *r, const struct frame *f)
{
	struct txn *t = txn_find(r, f);

	if (t == NULL)
		return;
	spool_abort(t->spool);
	txn_free(t);
}

/* --- the channel --------------------------------------------------------------------- */

static void
on_hello(struct relay *r, const struct frame *f)
{
	struct view text = f->payload, line;

	if (r->reception.greeted || !view_split(&text, '\n', &line) ||
	    !view_eq(line, VIEW("posthouse-handover 1"))) {
		channel_fault(r, "the greeting is wrong");
		return;
	}
	r->reception.greeted = true;
	while (view_split(&text, '\n', &line))
		if (view_starts(line, VIEW("sandbox: "))) {
			line = view_first(view_from(line, 9), sizeof(r->stats.intake_sandbox) - 1);
			memset(r->stats.intake_sandbox, 0, sizeof(r->stats.intake_sandbox));
			memcpy(r->stats.intake_sandbox, line.p, line.n);
			quote_flatten((uint8_t *)r->stats.intake_sandbox, line.n);
		}
	reception_policy(r);
}

static void
on_stats(struct relay *r, const struct frame *f)
{
	struct view text = f->payload, line, key;
	uint64_t n;

	while (view_split(&text, '\n', &line)) {
		if (!view_split(&line, ':', &key) ||
		    !num_parse_u64(view_trim(line), 0, UINT64_MAX, &n))
			continue;
		if (view_eq(key, VIEW("sessions")))
			r->stats.intake_sessions = n;
		else if (view_eq(key, VIEW("refused")))
			r->stats.intake_refused = n;
	}
}

static void
on_pause(struct relay *r)
{
	struct reception *c = &r->reception;

	if (!c->pausing || c->paused) {
		channel_fault(r, "a pause that was not asked for");
		return;
	}
	c->paused = true;
	task_post(r->env.loop, &c->check);
}

static void
on_frame(struct relay *r, const struct frame *f)
{
	if (!r->reception.greeted && f->type != FRAME_HELLO) {
		channel_fault(r, "it did not greet");
		return;
	}
	switch (f->type) {
	case FRAME_HELLO:
		on_hello(r, f);
		break;
	case FRAME_OPEN:
		on_open(r, f);
		break;
	case FRAME_CHUNK:
		on_chunk(r, f);
		break;
	case FRAME_COMMIT:
		on_commit(r, f);
		break;
	case FRAME_ABORT:
		on_abort(r, f);
		break;
	case FRAME_STATS:
		on_stats(r, f);
		break;
	case FRAME_PAUSE:
		on_pause(r);
		break;
	default:
		channel_fault(r, "a frame of the wrong direction");
		break;
	}
}

static void
on_input(void *owner)
{
	struct relay *r = owner;
	struct reception *c = &r->reception;
	struct stream *stream = c->stream;
	struct frame f;
	struct err e;

	while (c->stream == stream && stream_output_room(stream) >= REPLY_ROOM) {
		size_t used = 0, need = 0;

		switch (frame_parse(stream_input(stream), true, &f, &used, &need, &e)) {
		case FRAME_MORE:
			return;
		case FRAME_BAD:
			channel_fault(r, e.text);
			return;
		case FRAME_DONE:
			break;
		}
		on_frame(r, &f);
		if (c->stream == stream)
			stream_consume(stream, used);
	}
}

static void
on_nothing(void *owner)
{
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	struct relay *r = owner;

	log_simple(r->env.log, LEVEL_DEBUG, "handover-closed", "%s", end->text);
	channel_close(r);
}

static const struct stream_events channel_events = {
	.on_connected = on_nothing,
	.on_input = on_input,
	.on_drained = on_input,		/* room for answers: take frames again */
	.on_tls = on_nothing,
	.on_closed = on_closed,
};

/* Open transactions end with their channel; those whose commit is under way finish. */
static void
channel_close(struct relay *r)
{
	struct reception *c = &r->reception;

	task_cancel(&c->deaf);
	if (c->stream == NULL)
		return;
	stream_close(c->stream);
	c->stream = NULL;
	c->greeted = c->pausing = c->paused = false;
	r->stats.intake_connected = false;
	r->stats.intake_sessions = 0;
	if (r->draining)
		task_post(r->env.loop, &c->check);
	list_foreach_safe(link, &c->all) {
		struct txn *t = list_entry(link, struct txn, link);

		if (!t->channel)
			continue;
		(void)map_take(&c->txns, t->number);
		t->channel = false;
		if (t->committing)
			continue;
		spool_abort(t->spool);
		txn_free(t);
	}
}

static void
say_hello(struct relay *r)
{
	char text[160];

	snprintf(text, sizeof(text), "posthouse-handover 1\nsandbox: %s\n",
	    r->env.sandbox != NULL ? r->env.sandbox : "");
	answer(r, FRAME_HELLO, 0, view_str(text));
}

void
reception_set(struct relay *r, struct stream *stream)
{
	struct reception *c = &r->reception;

	channel_close(r);
	c->stream = stream;
	c->last = 0;
	r->stats.intake_connected = true;
	stream_own(stream, &channel_events, r);
	say_hello(r);
	if (r->draining)
		task_post(r->env.loop, &c->check);	/* it has to be asked anew */
	on_input(r);
}

void
reception_policy(struct relay *r)
{
	char text[240];

	if (!r->reception.greeted)
		return;
	if (r->spool_health == SPOOL_OK)
		text[0] = '\0';
	else if (r->spool_health == SPOOL_FULL)
		snprintf(text, sizeof(text), "452 4.3.1 The queue is full: %s", r->spool_why);
	else
		snprintf(text, sizeof(text), "452 4.3.1 The spool can't be written: %s", r->spool_why);
	hide_names(text);
	answer(r, FRAME_POLICY, 0, view_str(text));
}

void
reception_stop(struct relay *r)
{
	struct reception *c = &r->reception;

	timer_cancel(r->env.loop, &c->pause);
	list_foreach_safe(link, &c->all) {
		struct txn *t = list_entry(link, struct txn, link);

		if (!t->committing)
			txn_refuse(t, "451 4.3.2 Restarting; try again");
	}
}

static void
check_drain(void *arg)
{
	relay_drain_check(arg);
}

static void
end_pause(void *arg)
{
	reception_stop(arg);
}

bool
reception_has_ended(struct relay *r)
{
	struct reception *c = &r->reception;

	if (c->stream != NULL && !c->pausing) {
		c->pausing = true;
		answer(r, FRAME_PAUSE, 0, VIEW(""));
		timer_set(r->env.loop, &c->pause, r->conf->drain_ms / 2);
	}
	return c->txns.n == 0 && (c->stream == NULL || c->paused);
}

void
reception_init(struct relay *r)
{
	struct reception *c = &r->reception;

	task_init(&c->deaf, on_deaf, r);
	task_init(&c->check, check_drain, r);
	timer_init(&c->pause, end_pause, r);
	map_init(&c->txns);
	list_init(&c->all);
}

void
reception_done(struct relay *r)
{
	struct reception *c = &r->reception;

	task_cancel(&c->deaf);
	timer_cancel(r->env.loop, &c->pause);
	stream_close(c->stream);
	c->stream = NULL;
	list_foreach_safe(link, &c->all)
		txn_free(list_entry(link, struct txn, link));
	task_cancel(&c->check);		/* which the transactions have posted */
	map_done(&c->txns);
}
