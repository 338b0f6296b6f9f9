/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "intake/allowed.h"
#include "intake/session_impl.h"

#include "base/banned.h"

#define DRAIN_COMMAND_MS 2000	/* for who has sent no message yet */
#define NAME_WAIT_MS	500		/* for the name of the client's process */
#define ASKED_MAX	64		/* such names awaited at one time; others are sent without */
#define RELAY_WAIT_MS	30000		/* for a relay to begin a message with */
#define RELAY_ANSWER_MS	300000		/* for a relay that is there, but says nothing */

static const struct server_answer too_slow = { 421, "4.4.2", "Timeout, closing the connection" };
static const struct server_answer going_down = { 421, "4.3.2", "Shutting down, try again later" };
static const struct server_answer no_relay = { 451, "4.3.2", "The queue is not available, try again later" };
static const struct server_answer lost_relay = { 451, "4.3.0", "The message could not be stored, try again later" };
static const struct server_answer no_memory = { 451, "4.3.0", "Out of memory, try again later" };
static const struct server_answer too_many = { 452, "4.5.3", "Too many recipients for one message" };

static void expired_text(struct session *);
static void expired_open(struct session *);
static void expired_stall(struct session *);
static void expired_answer(struct session *);

/* Each state: who has how long, and what follows when that is over. */
static const struct state_rule {
	bool	reads;			/* the machine may be fed */
	int64_t	limit_ms;		/* 0: of the configuration */
	void	(*expired)(struct session *);
} rules[STATE_COUNT] = {
	[STATE_COMMAND] = { true, 0, expired_text },
	[STATE_OPEN] = { false, RELAY_WAIT_MS, expired_open },
	[STATE_TEXT] = { true, 0, expired_text },
	[STATE_STALL] = { false, RELAY_ANSWER_MS, expired_stall },
	[STATE_DROP] = { true, 0, expired_text },
	[STATE_FLUSH] = { false, RELAY_ANSWER_MS, expired_answer },
	[STATE_ANSWER] = { false, RELAY_ANSWER_MS, expired_answer },
	[STATE_SECURE] = { false, 0, expired_text },
	[STATE_TLS] = { false, SESSION_TLS_MS, session_tls_expired },
	[STATE_LEAVE] = { false, 0, session_kill },
};

struct session *
session_of_link(struct list *link)
{
	return session_own(list_entry(link, struct session, link));
}

struct session *
session_of_wait(struct list *link)
{
	return session_own(list_entry(link, struct session, wait));
}

static struct session *
session_of_txn(struct channel_txn *t)
{
	return session_own(container_of(container_of(t, struct message, txn), struct session, message));
}

/* --- states, time, end --------------------------------------------------------- */

static void
arm(struct session *s)
{
	bool waits = s->state == STATE_COMMAND || s->state == STATE_TLS;	/* for the client to begin */
	int64_t limit = rules[s->state].limit_ms;

	if (limit == 0)
		limit = s->state == STATE_TEXT || s->state == STATE_DROP ? s->host->conf->limits.data_ms :
		    s->host->conf->limits.command_ms;
	if (s->host->draining && waits && limit > DRAIN_COMMAND_MS)
		limit = DRAIN_COMMAND_MS;
	timer_set(s->host->loop, &s->timer, limit);
}

static void
arm_total(struct session *s)
{
	timer_set(s->host->loop, &s->total, s->host->conf->limits.transaction_ms);
}

void
session_move(struct session *s, enum session_state state)
{
	bool waits = state == STATE_OPEN || state == STATE_STALL || state == STATE_FLUSH;

	s->state = state;
	list_remove(&s->wait);
	if (waits)
		list_push(&s->host->waiting, &s->wait);
	/* While the answer is awaited the client is not the slow one. */
	if (state == STATE_FLUSH || state == STATE_ANSWER || state == STATE_LEAVE)
		timer_cancel(s->host->loop, &s->total);
	else if (state == STATE_COMMAND || !timer_is_set(&s->total))
		arm_total(s);
	if (s->stream != NULL)
		stream_pause(s->stream, state == STATE_STALL);
	arm(s);
}

static bool
keeps(void *owner, size_t bytes)
{
	struct session *s = session_own(owner);

	return admission_keep(&s->host->admission, s->peer.client, &s->kept, bytes);
}

static void
session_free(struct session *s)
{
	struct session_host *host = s->host;

	message_drop(&s->message, host->channel);
	message_done(&s->message);
	timer_cancel(host->loop, &s->timer);
	timer_cancel(host->loop, &s->total);
	timer_cancel(host->loop, &s->patience);
	host->asked -= s->asks;
	list_remove(&s->link);
	list_remove(&s->wait);
	(void)keeps(s, 0);		/* less than before */
	admission_leave(&host->admission, s->peer.client);
	server_free(s->server);
	s->magic = 0;
	free(s);
	host->on_change(host);
}

static void
close_stream(struct session *s, bool abort_it)
{
	struct stream *stream = s->stream;

	s->stream = NULL;
	if (abort_it)
		stream_abort(stream);
	else
		stream_close(stream);
}

void
session_kill(struct session *s)
{
	close_stream(s, true);
	session_free(s);
}

void
session_finish(struct session *s)
{
	close_stream(s, false);
	session_free(s);
}

/* --- replies ------------------------------------------------------------------------ */

bool
session_write_output(struct session *s)
{
	struct buf *out = server_output(s->server);

	if (buf_len(out) == 0)
		return true;
	session_note_replies(s, buf_view(out));
	if (s->stream == NULL) {
		buf_clear(out);
		s->seen = 0;
		return true;
	}
	/* Where writing is broken the stream drops it, and has room again. */
	while (buf_len(out) > 0) {
		struct view v = view_first(buf_view(out), stream_output_room(s->stream));

		if (v.n == 0 || !stream_write(s->stream, v))
			return false;
		buf_consume(out, v.n);
		s->seen = s->seen > v.n ? s->seen - v.n : 0;
	}
	return true;
}

/* 421 and close; what is under way is aborted. The session is gone afterwards. */
static void
end(struct session *s, const struct server_answer *why)
{
	if (s->stream != NULL) {
		server_end(s->server, why);
		/* All its time it did not read the replies before: it won't read this one. */
		close_stream(s, !session_write_output(s));
	}
	session_free(s);
}

/*
 * The last reply is in the output, and a client that had no turn to read the ones before still
 * gets all of them: one may be the 250 of its message. False: the session is gone.
 */
static bool
leave(struct session *s)
{
	message_drop(&s->message, s->host->channel);
	if (!session_write_output(s)) {
		session_move(s, STATE_LEAVE);
		return true;
	}
	session_finish(s);
	return false;
}

static void
refuse_text(struct session *s, const struct server_answer *why)
{
	message_drop(&s->message, s->host->channel);
	server_refuse_body(s->server, why);
	session_move(s, STATE_DROP);
}

static void
answer(struct session *s, const struct server_answer *a)
{
	message_drop(&s->message, s->host->channel);
	s->served = true;
	server_commit_result(s->server, a);
	/* The state is still ANSWER while the reply is written: the log line has the sender. */
	(void)session_write_output(s);		/* what is left goes when the client reads */
	if (s->stream == NULL) {
		session_free(s);
		return;
	}
	session_move(s, STATE_COMMAND);
	session_run(s);
}

static void
expired_text(struct session *s)
{
	end(s, s->host->draining && s->state == STATE_COMMAND ? &going_down : &too_slow);
}

/* The message is refused before it began. A chunk of it is on its way all the same. */
static void
refuse_open(struct session *s, const struct server_answer *why)
{
	server_data_ready(s->server, why);
	(void)session_write_output(s);		/* still in OPEN: the log line has the sender */
	session_move(s, server_is_busy(s->server) ? STATE_DROP : STATE_COMMAND);
}

static void
expired_open(struct session *s)
{
	if (stream_input(s->stream).n > 0)
		server_data_followed(s->server);
	refuse_open(s, &no_relay);
	session_run(s);
}

static void
expired_stall(struct session *s)
{
	refuse_text(s, &lost_relay);
	session_run(s);
}

static void
expired_answer(struct session *s)
{
	answer(s, &lost_relay);
}

static void
on_timer(void *arg)
{
	struct session *s = session_own(arg);

	rules[s->state].expired(s);
}

static void
on_total(void *arg)
{
	struct session *s = session_own(arg);

	server_end(s->server, &too_slow);	/* of the message as a whole */
	(void)leave(s);
}

/* --- a message --------------------------------------------------------------------- */

static void
fill_envelope(struct session *s, struct envelope *env)
{
	const struct server_envelope *from = server_envelope(s->server);

	envelope_init(env);		/* whether it is 8-bit the text itself says, at its end */
	env->from = from->from;
	for (size_t i = 0; i < from->nrcpt; i++) {
		const struct server_rcpt *r = &from->rcpt[i];

		envelope_add_rcpt(env, r->address);
		if (r->notify.n + r->orcpt.n > 0)
			envelope_set_dsn(env, &(struct envelope_dsn){ r->notify, r->orcpt });
	}
	env->ret = from->ret;
	env->envid = from->envid;
	env->smtputf8 = from->utf8;
	env->received_ms = loop_wall(s->host->loop);
	env->peer = view_str(s->peer_text);
	env->uid = s->peer.uid;
	env->pid = s->peer.pid;
	env->no_uid = view_str(s->peer.no_uid != NULL ? s->peer.no_uid : "");
	env->process = view_str(s->process);
	env->helo = from->helo;
	env->tls = view_str(s->tls);
	env->protocol = from->esmtp ? PROTOCOL_ESMTP : PROTOCOL_SMTP;
}

/* Open the transaction if relay is there and has room; otherwise wait in OPEN. */
static void
try_open(struct session *s)
{
	struct session_host *host = s->host;
	struct message_stamp stamp;
	struct envelope env;
	bool opened, too_big;

	if (s->asks || !channel_is_ready(host->channel))
		return;
	fill_envelope(s, &env);
	opened = channel_open_txn(host->channel, &s->message.txn, &env, &too_big);
	stamp = (struct message_stamp){ host->conf->hostname, env.received_ms, rng_u64(host->rng) };
	envelope_done(&env);
	if (opened) {
		message_begin(&s->message, &stamp);
		server_data_ready(s->server, NULL);
		session_move(s, STATE_TEXT);
		arm_total(s);
	} else if (too_big) {
		refuse_open(s, &too_many);
	}
}

/* The text is complete: send what is left of it, then COMMIT. */
static void
try_commit(struct session *s)
{
	if (!message_flush(&s->message, s->host->channel)) {
		if (s->state != STATE_FLUSH)
			session_move(s, STATE_FLUSH);
		return;
	}
	channel_commit(s->host->channel, &s->message.txn, s->eight_bit, s->message.script);
	session_move(s, STATE_ANSWER);
}

static void
take_body(struct session *s, struct view body)
{
	if (s->state != STATE_TEXT)
		return;
	if (!message_take(&s->message, s->host->channel, body))
		refuse_text(s, &no_memory);
	else if (!s->message.in_header && buf_len(&s->message.pending) >= MESSAGE_GATHER)
		session_move(s, STATE_STALL);
}

static void
take_commit(struct session *s, bool eight_bit)
{
	if (weird(s->state != STATE_TEXT)) {	/* the machine answers a refused text by itself */
		answer(s, &lost_relay);
		return;
	}
	s->eight_bit = eight_bit;
	if (message_end(&s->message, s->host->channel))
		try_commit(s);
	else
		answer(s, &no_memory);
}

/* --- the machine --------------------------------------------------------------------- */

/*
 * Between two messages. One that has sent none yet was let in, and may do so:
 * many programs take a 421 for a failure of their only message.
 */
static bool
has_done(const struct session *s)
{
	return s->served && s->state == STATE_COMMAND && !server_is_busy(s->server);
}

/* Nothing of the dropped message is to come any more: what is refused from now on is not its part. */
static void
leave_drop(struct session *s)
{
	if (s->state != STATE_DROP || server_is_busy(s->server))
		return;
	session_note_replies(s, buf_view(server_output(s->server)));	/* while it is known whose */
	session_move(s, STATE_COMMAND);
}

/* All input is taken: what has gathered goes out. False: the session is gone. */
static bool
take_rest(struct session *s)
{
	leave_drop(s);
	if (s->state == STATE_TEXT && !message_flush(&s->message, s->host->channel))
		session_move(s, STATE_STALL);
	if (s->at_end && s->state != STATE_STALL)
		return leave(s);
	if (s->host->draining && has_done(s)) {
		server_end(s->server, &going_down);
		return leave(s);
	}
	return true;
}

/* One action of the machine. False: the session is gone. */
static bool
act(struct session *s, enum server_action action, const struct server_event *ev)
{
	switch (action) {
	case SERVER_WANT_INPUT:
		return take_rest(s);
	case SERVER_WAIT:
		(void)weird(rules[s->state].reads);	/* who would give the answer? */
		return true;
	case SERVER_DATA:
		if (s->state == STATE_DROP) {	/* the refusal is in the output, its message forgotten */
			session_move(s, STATE_COMMAND);
			session_note_replies(s, buf_view(server_output(s->server)));
		}
		session_move(s, STATE_OPEN);
		try_open(s);
		return true;
	case SERVER_BODY:
		take_body(s, ev->body);
		return true;
	case SERVER_COMMIT:
		take_commit(s, ev->eight_bit);
		return true;
	case SERVER_ABORT:
		message_drop(&s->message, s->host->channel);
		session_move(s, STATE_DROP);
		leave_drop(s);
		return true;
	case SERVER_STARTTLS:
		session_move(s, STATE_SECURE);
		return true;
	case SERVER_FLUSH:
		return true;
	case SERVER_CLOSE:
		break;
	}
	return leave(s);
}

/* All replies are written. */
static void
go_on(struct session *s)
{
	if (s->state == STATE_SECURE)
		session_begin_tls(s);
	else if (s->state == STATE_LEAVE)
		session_finish(s);
}

/*
 * Feed the machine while it takes input and the client takes replies. A client
 * that sends a line byte by byte does not get more time for it: only a reply
 * counts as progress there, and message bytes within a message.
 */
void
session_run(struct session *s)
{
	bool more = true, written;

	if (s->running || s->stream == NULL)
		return;
	s->running = true;
	while ((written = session_write_output(s)) && more && rules[s->state].reads) {
		struct server_event ev = { 0 };
		size_t used = 0;
		enum server_action action = server_step(s->server, stream_input(s->stream), &used, &ev);

		if (buf_len(server_output(s->server)) > 0 || (used > 0 && s->state != STATE_COMMAND))
			arm(s);
		if (!act(s, action, &ev))
			return;
		if (ev.secret)
			stream_consume_secret(s->stream, used);
		else
			stream_consume(s->stream, used);
		more = action != SERVER_WANT_INPUT && action != SERVER_WAIT;
	}
	s->running = false;
	if (s->state == STATE_LEAVE)	/* unread, it would have the kernel reset the connection */
		stream_consume(s->stream, stream_input(s->stream).n);
	if (written)
		go_on(s);
}

/* --- the client's process ---------------------------------------------------------------- */

static void
no_name(void *arg)
{
	session_named(session_own(arg), "");
}

/* At once, while it is there: its number may soon be another one's. */
static void
ask_name(struct session *s)
{
	struct session_host *host = s->host;

	timer_init(&s->patience, no_name, s);
	if (host->ask_process == NULL || s->peer.pid <= 0 || s->peer.uid < 0 || host->asked >= ASKED_MAX)
		return;
	s->asks = true;
	host->asked++;
	timer_set(host->loop, &s->patience, NAME_WAIT_MS);
	host->ask_process(host->ask_arg, s->number, s->peer.pid, s->peer.uid);
}

uint64_t
session_number(const struct session *s)
{
	return s->number;
}

void
session_named(struct session *s, const char *name)
{
	if (!s->asks)
		return;		/* it came too late */
	s->asks = false;
	s->host->asked--;
	timer_cancel(s->host->loop, &s->patience);
	(void)snprintf(s->process, sizeof(s->process), "%s", name);
	session_retry(s);
}

/* --- events ------------------------------------------------------------------------------ */

static void
on_input(void *owner)
{
	session_run(session_own(owner));
}

/*
 * A script that pipes a whole session and closes its end may still want the
 * replies; what it sent is worked off as if it were there. Any other end is one.
 */
static void
on_closed(void *owner, const struct stream_end *why)
{
	struct session *s = session_own(owner);

	if (s->state == STATE_TLS) {
		session_tls_failed(s, why->text);
		return;
	}
	if (why->kind == STREAM_EOF) {
		s->at_end = true;
		session_run(s);
		return;
	}
	close_stream(s, true);
	if (s->state != STATE_ANSWER)
		session_free(s);	/* what was not complete was never acknowledged */
}

static const struct stream_events stream_events = {
	.on_input = on_input,
	.on_drained = on_input,
	.on_tls = session_on_tls,
	.on_closed = on_closed,
};

static bool
refuses(void *owner, bool is_sender, struct view address, char text[SERVER_RULE_MAX])
{
	const struct session *s = session_own(owner);

	return !allowed_address(s->host->conf, s->peer.by, is_sender, address, text);
}

static void
init_server(struct session *s)
{
	struct session_host *host = s->host;
	const struct session_peer *peer = &s->peer;
	struct server_params params = {
		.hostname = host->conf->hostname,
		.size_max = host->conf->limits.message_size,
		.recipients_max = host->conf->limits.recipients,
		.errors_max = host->conf->limits.errors,
		.default_domain = host->conf->default_domain,
		.any_login = (peer->by != NULL ? peer->by->auth : host->conf->auth) == CONF_AUTH_ACCEPT_ANY,
		.tls = session_tls_mode(s) == CONF_LISTENER_TLS_STARTTLS ? SERVER_TLS_OFFERED :
		    session_tls_mode(s) == CONF_LISTENER_TLS_REQUIRED ? SERVER_TLS_REQUIRED : SERVER_TLS_NONE,
		.tls_fails = session_tls_server(s) == NULL,
		.refuses = refuses,
		.keeps = keeps,
		.owner = s,
	};

	if (params.recipients_max > ENVELOPE_RCPT_MAX)
		params.recipients_max = ENVELOPE_RCPT_MAX;
	s->server = server_new(&params);
	server_set_policy(s->server, host->policy);
}

void
session_start(struct session_host *host, struct stream *stream, const struct session_peer *peer)
{
	struct session *s = xzalloc(sizeof(*s));

	s->magic = SESSION_MAGIC;
	s->host = host;
	s->stream = stream;
	s->peer = *peer;
	s->number = ++host->numbers;
	if (address_is_unix(&peer->address))
		(void)snprintf(s->peer_text, sizeof(s->peer_text), "unix");	/* its path is the client's choice */
	else
		(void)address_text(s->peer_text, &peer->address);
	init_server(s);
	message_init(&s->message);
	list_init(&s->wait);
	list_push(&host->sessions, &s->link);
	timer_init(&s->timer, on_timer, s);
	timer_init(&s->total, on_total, s);
	ask_name(s);
	stream_own(stream, &stream_events, s);
	if (session_tls_mode(s) == CONF_LISTENER_TLS_IMPLICIT) {
		session_begin_tls(s);
		return;
	}
	server_greet(s->server, NULL);
	session_move(s, STATE_COMMAND);
	session_run(s);
}

void
session_policy_changed(struct session *s)
{
	server_set_policy(s->server, s->host->policy);
}

void
session_retry(struct session *s)
{
	switch (s->state) {
	case STATE_OPEN:
		try_open(s);
		break;
	case STATE_STALL:
		if (message_flush(&s->message, s->host->channel))
			session_move(s, STATE_TEXT);
		break;
	case STATE_FLUSH:
		try_commit(s);
		break;
	case STATE_COMMAND:
	case STATE_TEXT:
	case STATE_DROP:
	case STATE_ANSWER:
	case STATE_SECURE:
	case STATE_TLS:
	case STATE_LEAVE:
	case STATE_COUNT:
		return;
	}
	session_run(s);
}

void
session_drain(struct session *s)
{
	if (has_done(s)) {
		server_end(s->server, &going_down);
		(void)leave(s);
	} else if (s->state == STATE_COMMAND || s->state == STATE_TLS) {
		arm(s);
	}
}

void
session_end(struct session *s)
{
	end(s, &going_down);
}

/* Relay works on it: the time begins anew. */
void
session_on_credit(struct channel_txn *t)
{
	struct session *s = session_of_txn(t);

	if (rules[s->state].reads)
		return;
	arm(s);
	session_retry(s);
}

void
session_on_durable(struct channel_txn *t, uint64_t id)
{
	struct session *s = session_of_txn(t);
	char text[64];

	(void)snprintf(text, sizeof(text), "Ok: queued as %016" PRIx64, id);
	s->host->accepted++;
	s->host->on_change(s->host);
	session_log_accepted(s, id);
	answer(s, &(struct server_answer){ 250, "2.0.0", text });
}

static void
refused(struct session *s, const struct server_answer *why)
{
	if (s->state == STATE_FLUSH || s->state == STATE_ANSWER) {
		answer(s, why);
		return;
	}
	refuse_text(s, why);
	session_run(s);
}

void
session_on_refused(struct channel_txn *t, const struct frame_reply *reply)
{
	char status[16], text[FRAME_REPLY_MAX + 1];

	(void)snprintf(status, sizeof(status), "%.*s", VIEW_ARG(reply->status));
	(void)snprintf(text, sizeof(text), "%.*s", VIEW_ARG(reply->text));
	refused(session_of_txn(t), &(struct server_answer){ reply->code, status, text });
}

void
session_on_lost(struct channel_txn *t)
{
	refused(session_of_txn(t), &lost_relay);
}
