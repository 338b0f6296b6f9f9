/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/control.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "control/answer.h"
#include "control/toll.h"

#include "base/banned.h"

#define REQUEST_MS	10000
#define ANSWER_MS	60000
#define OUTPUT_MAX	(64u << 20)	/* a listing of REQUEST_LIMIT_MAX messages */
#define NOBODY		INT64_MAX	/* a uid that nobody has */

struct control {
	struct relay		*relay;
	struct control_env	 env;
	struct listener		*listener[2];	/* control, status */
	struct list		 conns;
	unsigned		 nconn[2];	/* the same: who may ask little can't keep out who may all */
	struct toll		 toll;
};

struct conn {
	struct list		 link;
	struct control		*control;
	struct stream		*stream;
	struct timer		 deadline, turn;	/* the latter: its user has asked much */
	struct task		 resume;	/* the disk or the peer is ready again */
	struct listing		*listing;
	struct explain		*explain;
	struct sweep		*sweep;
	struct relay_ack	*ack;		/* of what was asked for */
	struct buf		 body;		/* answer on its way into the stream */
	int64_t			 uid;		/* whose: -1: of one who may all */
	bool			 read_only, answering, paid;
};

static const struct stream_limits limits = { .input_max = REQUEST_MAX, .output_max = 256u << 10 };

static void
conn_free(struct conn *c)
{
	struct loop *loop = relay_env(c->control->relay)->loop;

	timer_cancel(loop, &c->deadline);
	timer_cancel(loop, &c->turn);
	task_cancel(&c->resume);
	listing_free(c->listing);
	explain_free(c->explain);
	sweep_free(c->sweep);
	relay_ack_drop(c->ack);
	stream_close(c->stream);
	buf_done(&c->body);
	list_remove(&c->link);
	c->control->nconn[c->read_only]--;
	free(c);
}

/* What was asked for is not written yet: it is not done before. */
static bool
awaits_disk(const struct conn *c)
{
	return c->ack != NULL && !relay_ack_is_written(c->ack);
}

static void
on_deadline(void *arg)
{
	struct conn *c = arg;

	if (awaits_disk(c)) {
		ignore_result(stream_write(c->stream, VIEW("error done, but the disk has not taken the record "
		    "of it yet: a restart may undo it; see posthousectl status\n")));	/* has room */
		conn_free(c);
		return;
	}
	stream_abort(c->stream);
	c->stream = NULL;
	conn_free(c);
}

/* Move the answer into the stream as far as it goes. True when all of it is there. */
static bool
push(struct conn *c)
{
	struct view rest = view_first(buf_view(&c->body), stream_output_room(c->stream));

	if (rest.n > 0 && stream_write(c->stream, rest))
		buf_consume(&c->body, rest.n);
	return buf_len(&c->body) == 0;
}

static void
refuse(struct conn *c, const struct err *e)
{
	buf_clear(&c->body);
	ignore_result(buf_addf(&c->body, "error %s\n", e->text));	/* far below OUTPUT_MAX */
}

/* More of the answer. False: it is awaited. */
static bool
step(struct conn *c)
{
	enum listing_result got;
	struct err e;

	got = c->listing != NULL ? listing_step(c->listing, &c->body) :
	    c->sweep != NULL ? sweep_step(c->sweep, &c->body) : explain_step(c->explain, &c->body, &e);
	if (got == LISTING_WAIT)
		return false;		/* on_ready */
	if (got == LISTING_FAILED)
		refuse(c, &e);
	if (got != LISTING_MORE) {
		listing_free(c->listing);
		explain_free(c->explain);
		c->listing = NULL;
		c->explain = NULL;
		sweep_free(c->sweep);
		c->sweep = NULL;
	}
	return true;
}

/* Go on with the answer; ends the connection when it is complete. */
static void
go_on(void *arg)
{
	struct conn *c = arg;

	while (!awaits_disk(c)) {	/* on_ready */
		if (!push(c))
			return;		/* on_drained */
		if (c->listing == NULL && c->explain == NULL && c->sweep == NULL) {
			conn_free(c);
			return;
		}
		if (!step(c))
			return;
	}
}

static void
on_ready(void *owner)
{
	struct conn *c = owner;

	task_post(relay_env(c->control->relay)->loop, &c->resume);
}

/* Whose mail the peer may see in listings, and whose work it is: -1 is everybody's. */
static int64_t
uid_of(const struct control *ctl, const struct stream *s, bool read_only)
{
	const struct control_env *env = &ctl->env;
	int64_t uid = NOBODY, pid;

	if (!read_only)
		return -1;	/* the socket's mode let him in */
	if (env->peer_cred == NULL || !env->peer_cred(s->ops->fd(s), &uid, &pid))
		return NOBODY;
	return uid == 0 || uid == env->own_uid ? -1 : uid;
}

/* What needs no disk. */
static int
answer_at_once(struct relay *relay, const struct request *q, struct relay_ack *ack, struct report *r,
    struct err *e)
{
	switch (q->command) {
	case REQUEST_STATUS:
		answer_status(relay, r);
		return 0;
	case REQUEST_PORTS:
		if (q->why.n != 0)
			return answer_ports_why(relay, q, r, e);
		answer_ports(relay, r);
		return 0;
	case REQUEST_FAILOVER:
		answer_failover(relay, q, r);
		return 0;
	case REQUEST_USERS:
		answer_users(relay, r);
		return 0;
	default:
		return answer_action(relay, q, ack, r, e);
	}
}

static int
begin_answer(struct conn *c, struct view line, struct err *e)
{
	struct relay *relay = c->control->relay;
	const struct spool_message *m;
	struct request q;
	struct report r;

	if (request_parse(&q, line, c->read_only, e) < 0)
		return -1;
	if (q.command == REQUEST_EXPLAIN)
		return explain_new(&c->explain, relay, &q, on_ready, c, e);
	/* The size, so that a message that can't be read to its end is noticed. */
	m = q.command == REQUEST_CAT ? spool_find(relay_spool(relay), q.id) : NULL;
	if (!(m != NULL ? buf_addf(&c->body, "ok %llu\n", (unsigned long long)m->size) :
	    buf_add_str(&c->body, "ok\n")))
		return err_set(e, ERR_FULL, "out of memory");
	if (q.command == REQUEST_QUEUE || q.command == REQUEST_CAT)
		return listing_new(&c->listing, relay, &q, c->uid, on_ready, c, e);
	c->ack = relay_ack_new(relay, on_ready, c);
	if (q.command == REQUEST_FREEZE || q.command == REQUEST_THAW || q.command == REQUEST_PURGE) {
		c->sweep = sweep_new(relay, &q, c->ack, on_ready, c);
		return 0;
	}
	report_begin(&r, &c->body, q.json);
	if (answer_at_once(relay, &q, c->ack, &r, e) < 0) {
		ignore_result(report_finish(&r));	/* the body is replaced by the error */
		return -1;
	}
	if (!report_finish(&r))
		return err_set(e, ERR_FULL, "out of memory");
	return 0;
}

/* In messages that are read; a walk over those in memory is a hundredth of it. */
static uint64_t
cost_of(struct relay *relay, struct view line)
{
	struct spool_stats stats;
	struct request q;
	struct err e;

	spool_stats(relay_spool(relay), &stats);
	if (request_parse(&q, line, true, &e) == 0 && q.command == REQUEST_QUEUE)
		return 20 + stats.messages / 100 + (stats.messages < LISTING_SCAN_MAX ? stats.messages : LISTING_SCAN_MAX);
	return 20 + stats.messages / 100;
}

/* True if the question may be answered now; else on_turn, or e says why not. */
static bool
pay(struct conn *c, struct view line, struct err *e)
{
	struct control *ctl = c->control;
	struct loop *loop = relay_env(ctl->relay)->loop;
	int64_t wait;

	err_clear(e);
	if (c->paid || c->uid < 0)
		return true;
	c->paid = true;
	wait = toll_pay(&ctl->toll, c->uid, cost_of(ctl->relay, line), loop_now(loop));
	if (wait == 0)
		return true;
	if (wait < 0) {
		(void)err_set(e, ERR_BUSY, "this user asks too much in too short a time; try again in half a "
		    "minute");
		return false;
	}
	timer_set(loop, &c->turn, wait);
	timer_set(loop, &c->deadline, ANSWER_MS);
	return false;
}

static void
answer(struct conn *c, struct view line)
{
	struct err e;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (pay(c, line, &e)) {
		if (begin_answer(c, line, &e) < 0)
			refuse(c, &e);
	} else if (e.kind != ERR_NONE) {
		refuse(c, &e);
	}
}

static void
on_input(void *owner)
{
	struct conn *c = owner;
	struct view in = stream_input(c->stream);
	size_t end = view_find(in, '\n');
	struct err e;

	if (timer_is_set(&c->turn))
		return;
	if (c->answering) {
		stream_consume(c->stream, in.n);	/* one request a connection */
		return;
	}
	if (end == in.n) {
		if (in.n < REQUEST_MAX)
			return;
		(void)err_set(&e, ERR_INPUT, "the request is longer than %d bytes", REQUEST_MAX);
		refuse(c, &e);
	} else {
		answer(c, view_first(in, end));
		if (timer_is_set(&c->turn))
			return;
	}
	stream_consume(c->stream, in.n);
	c->answering = true;
	timer_set(relay_env(c->control->relay)->loop, &c->deadline, ANSWER_MS);
	go_on(c);
}

static void
on_turn(void *arg)
{
	on_input(arg);
}

static void
on_drained(void *owner)
{
	struct conn *c = owner;

	/* The client takes the answer: it has its time anew. */
	if (c->answering) {
		timer_set(relay_env(c->control->relay)->loop, &c->deadline, ANSWER_MS);
		go_on(c);
	}
}

/* A client that closes its side has given up the answer. */
static void
on_closed(void *owner, const struct stream_end *end)
{
	conn_free(owner);
}

static const struct stream_events events = {
	.on_input = on_input,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

/* The oldest on the status socket that has not asked yet, of that user or of all; NULL: none. */
static struct conn *
find_idle(struct control *ctl, int64_t uid, bool of_all)
{
	list_foreach (l, &ctl->conns) {
		struct conn *c = list_entry(l, struct conn, link);

		if (c->read_only && !c->answering && !timer_is_set(&c->turn) && (of_all || c->uid == uid))
			return c;
	}
	return NULL;
}

static unsigned
count_of(struct control *ctl, int64_t uid)
{
	unsigned n = 0;

	list_foreach (l, &ctl->conns) {
		struct conn *c = list_entry(l, struct conn, link);

		n += c->read_only && c->uid == uid;
	}
	return n;
}

/*
 * Is there room for one more of the user? Who is silent makes room; so nobody is kept out by
 * connections that ask nothing.
 */
static bool
make_room(struct control *ctl, int64_t uid, bool read_only)
{
	bool user_full = read_only && uid >= 0 && count_of(ctl, uid) >= CONTROL_PER_USER;
	bool full = ctl->nconn[read_only] >= CONTROL_CONNECTIONS;
	struct conn *idle = NULL;

	if (!user_full && !full)
		return true;
	if (read_only)
		idle = find_idle(ctl, uid, !user_full);
	if (idle != NULL)
		conn_free(idle);
	return idle != NULL;
}

void
control_accept(struct control *ctl, struct stream *s, bool read_only)
{
	struct loop *loop = relay_env(ctl->relay)->loop;
	int64_t uid = uid_of(ctl, s, read_only);
	struct conn *c;

	if (!make_room(ctl, uid, read_only)) {
		ignore_result(stream_write(s, VIEW("error too many ask at the same time; try again\n")));
		stream_close(s);
		return;
	}
	c = xzalloc(sizeof(*c));
	c->control = ctl;
	c->stream = s;
	c->uid = uid;
	c->read_only = read_only;
	buf_init(&c->body, OUTPUT_MAX);
	timer_init(&c->deadline, on_deadline, c);
	timer_init(&c->turn, on_turn, c);
	task_init(&c->resume, go_on, c);
	list_push(&ctl->conns, &c->link);
	ctl->nconn[read_only]++;
	stream_own(s, &events, c);
	timer_set(loop, &c->deadline, REQUEST_MS);
}

static void
on_accept(void *owner, struct listener *l, struct stream *s, const struct address *peer)
{
	struct control *ctl = owner;

	control_accept(ctl, s, l == ctl->listener[1]);
}

static const struct listener_events listener_events = { .on_accept = on_accept };

struct control *
control_new(struct relay *relay, const struct control_env *env)
{
	struct control *ctl = xzalloc(sizeof(*ctl));

	ctl->relay = relay;
	ctl->env = *env;
	list_init(&ctl->conns);
	return ctl;
}

void
control_listen(struct control *ctl, int control_fd, int status_fd)
{
	struct net *net = relay_env(ctl->relay)->net;

	if (control_fd >= 0)
		ctl->listener[0] = listener_new(net, control_fd, &limits, &listener_events, ctl);
	if (status_fd >= 0)
		ctl->listener[1] = listener_new(net, status_fd, &limits, &listener_events, ctl);
}

void
control_free(struct control *ctl)
{
	if (ctl == NULL)
		return;
	list_foreach_safe (l, &ctl->conns)
		conn_free(list_entry(l, struct conn, link));
	for (size_t i = 0; i < lengthof(ctl->listener); i++)
		if (ctl->listener[i] != NULL)
			listener_free(ctl->listener[i]);
	free(ctl);
}
