/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/require.h"
#include "handover/frame.h"
#include "mail/envelope.h"
#include "smtp/client.h"

#include "base/banned.h"

#define WALL_START	INT64_C(1795332623000)
#define LINES_MAX	(256u << 20)

/* --- log ------------------------------------------------------------------------- */

static void
emit(struct log *log, enum log_level level, const char *line)
{
	struct world *w = container_of(log, struct world, log);

	if (getenv("WORLD_LOG") != NULL)
		fprintf(stderr, "%10lld %s\n", (long long)(w->loop.mono_ms - 1000000), line);
	if (w->on_line != NULL)
		w->on_line(w, line);
	require(buf_add_str(&w->lines, line) && buf_add_byte(&w->lines, '\n'));
}

unsigned
world_logged(struct world *w, const char *event, const char *text)
{
	struct view all = buf_view(&w->lines), line;
	unsigned n = 0;

	while (view_split(&all, '\n', &line)) {
		size_t at = view_find(line, ' ');

		n += view_eq(view_first(line, at), view_str(event)) &&
		    (text[0] == '\0' || view_search(line, view_str(text)) < line.n);
	}
	return n;
}

/* --- relay ------------------------------------------------------------------------- */

static void
on_ready(void *owner)
{
	((struct world *)owner)->ready = true;
}

static void
on_status(void *owner, const char *text)
{
	struct world *w = owner;

	require(text[0] != '\0');
	w->statuses++;
	(void)snprintf(w->status, sizeof(w->status), "%s", text);
}

static void
on_alarm(void *owner, const struct relay_alarm *a, bool raised)
{
	struct world *w = owner;

	require(!raised || a->text[0] != '\0');
	if (raised)
		w->alarms_raised++;
	else
		w->alarms_over++;
}

static const struct relay_events relay_events = {
	.on_ready = on_ready,
	.on_status = on_status,
	.on_alarm = on_alarm,
};

static const struct relay_events without_status = { .on_ready = on_ready };

static void
conf_init(struct conf *c)
{
	static char hostname[] = "web1.example.com", admin[] = "admin@example.com";
	static char name[] = "main", host[] = "smtp.twin.example", user[] = "web1";
	static char empty[] = "", route[] = "1";

	*c = (struct conf){ .hostname = hostname, .admin = admin, .default_domain = hostname,
		.socket = empty, .drain_ms = SECONDS(30), .alarm_hold_ms = MINUTES(5) };
	c->limits.message_size = 50u << 20;
	c->limits.returned_message = 1u << 20;
	c->limits.recipients = 1000;
	c->limits.connections = 200;
	c->limits.connections_per_client = 100;
	c->limits.errors = 20;
	c->limits.command_ms = c->limits.data_ms = MINUTES(5);
	c->limits.transaction_ms = HOURS(1);
	c->queue.bytes_max = UINT64_C(4) << 30;
	c->queue.segment_size = 4u << 20;
	c->queue.messages_max = 100000;
	c->queue.user_share = 100;
	c->queue.outcome_sync_ms = 1000;
	c->queue.retry_first_ms = MINUTES(1);
	c->queue.retry_max_ms = HOURS(1);
	c->queue.expire_ms = DAYS(5);
	c->queue.uncertain_ms = MINUTES(15);
	c->history = 30;
	c->history_size = 64u << 20;
	c->nrelay = 1;
	c->relay[0] = (struct conf_relay){ .name = name, .host = host, .user = user,
		.mechanisms = MECHANISMS_PASSWORD, .secret = CONF_SECRET_FILE, .connections = 4, .messages_per_connection = 50,
		.connection_age_ms = MINUTES(10), .idle_ms = SECONDS(30),
		.recipients_per_message = 50, .nendpoint = PORTS };
	c->nroute = 1;
	c->route[0] = (struct conf_route){ .name = route, .nrelay = 1 };
	c->relay[0].endpoint[P587] = (struct conf_endpoint){ 587, CONF_TLS_STARTTLS };
	c->relay[0].endpoint[P465] = (struct conf_endpoint){ 465, CONF_TLS_IMPLICIT };
	c->relay[0].endpoint[P2525] = (struct conf_endpoint){ 2525, CONF_TLS_STARTTLS };
}

/* --- the pretended intake --------------------------------------------------------------- */

static void
keep_text(char *to, size_t cap, struct view v)
{
	snprintf(to, cap, "%.*s", (int)v.n, v.n != 0 ? (const char *)v.p : "");
}

static void
on_frame(struct world *w, const struct frame *f)
{
	switch (f->type) {
	case FRAME_DURABLE:
		w->durable++;
		if (w->on_durable != NULL)
			w->on_durable(w, f->transaction, f->payload);
		break;
	case FRAME_REFUSED:
		w->refused++;
		keep_text(w->refusal, sizeof(w->refusal), f->payload);
		break;
	case FRAME_POLICY:
		keep_text(w->policy, sizeof(w->policy), f->payload);
		break;
	case FRAME_PAUSE:
		w->paused = true;
		if (!w->ignores_pause)
			world_frame(w, FRAME_PAUSE, 0, VIEW(""));
		break;
	case FRAME_CREDIT:
		w->credit += f->payload.p[0] + 256u * f->payload.p[1] + 65536u * f->payload.p[2];
		break;
	default:
		break;
	}
}

static void
on_intake_input(void *owner)
{
	struct world *w = owner;
	struct frame f;
	size_t used, need;

	while (frame_parse(stream_input(w->intake), false, &f, &used, &need, NULL) == FRAME_DONE) {
		on_frame(w, &f);
		stream_consume(w->intake, used);
	}
}

static void
on_intake_closed(void *owner, const struct stream_end *end)
{
	struct world *w = owner;

	stream_abort(w->intake);
	w->intake = NULL;
}

static const struct stream_events intake_events = {
	.on_input = on_intake_input,
	.on_closed = on_intake_closed,
};

void
world_frame(struct world *w, int type, uint64_t number, struct view payload)
{
	uint8_t head[FRAME_HEADER];

	frame_header(head, (enum frame_type)type, number, payload.n);
	require(w->intake != NULL);
	require(stream_write(w->intake, view_of(head, sizeof(head))) &&
	    stream_write(w->intake, payload));
}

static void
connect_intake(struct world *w)
{
	struct stream *pair[2];

	if (w->real != NULL) {
		twin_net_pair(&w->net, pair, &relay_handover_limits);
		intake_set_relay(w->real, pair[0]);
		relay_set_intake(w->relay, pair[1]);
		return;
	}
	twin_net_pair(&w->net, pair, &relay_handover_limits);
	w->intake = pair[0];
	w->number = 0;
	stream_own(w->intake, &intake_events, w);
	world_frame(w, FRAME_HELLO, 0, VIEW("posthouse-handover 1\nsandbox: twin\n"));
	relay_set_intake(w->relay, pair[1]);
}

uint64_t
world_open(struct world *w, const char *from, const char *rcpts)
{
	struct envelope env;
	struct view rest = view_str(rcpts), one;
	struct buf text;

	envelope_init(&env);
	buf_init(&text, ENVELOPE_MAX);
	env.from = view_str(from);
	while (view_split(&rest, ' ', &one))
		envelope_add_rcpt(&env, one);
	env.received_ms = loop_wall(&w->loop.loop);
	env.peer = VIEW("127.0.0.1:40112");
	env.uid = w->uid;
	env.pid = -1;
	env.helo = VIEW("localhost");
	env.protocol = PROTOCOL_ESMTP;
	env.bounce = w->as_report;
	require(envelope_encode(&text, &env));
	world_frame(w, FRAME_OPEN, ++w->number, buf_view(&text));
	envelope_done(&env);
	buf_done(&text);
	return w->number;
}

void
world_chunk(struct world *w, uint64_t number, struct view v)
{
	world_frame(w, FRAME_CHUNK, number, v);
}

void
world_commit(struct world *w, uint64_t number, uint64_t size)
{
	char text[80];

	snprintf(text, sizeof(text), "eight-bit: no\nsize: %llu\n", (unsigned long long)size);
	world_frame(w, FRAME_COMMIT, number, view_str(text));
}

static bool
has_answer(void *arg)
{
	struct world *w = arg;

	return w->durable + w->refused == w->number || w->intake == NULL;
}

uint64_t
world_give(struct world *w, const char *from, const char *rcpts, const char *text)
{
	uint64_t number;
	struct buf body;

	buf_init(&body, 1u << 20);
	require(buf_addf(&body, "Subject: test\r\nFrom: <%s>\r\n\r\n%s\r\n", from, text));
	number = world_open(w, from, rcpts);
	world_chunk(w, number, buf_view(&body));
	world_commit(w, number, buf_len(&body));
	buf_done(&body);
	return number;
}

void
world_mail(struct world *w, const char *from, const char *rcpts, const char *text)
{
	(void)world_give(w, from, rcpts, text);
	require(twin_loop_until(&w->loop, has_answer, w, SECONDS(10)));
}

void
world_burst(struct world *w, unsigned n, const char *prefix)
{
	char text[40];

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%s%04u.", prefix, i);
		(void)world_give(w, "alice@shop.example.com", "bob@example.net", text);
	}
	require(twin_loop_until(&w->loop, has_answer, w, SECONDS(10)));
}

/* --- local programs -------------------------------------------------------------------------- */

#define SENDER_ROOM	131072		/* what a client puts out at a time */

struct sender {
	struct list	 link;
	struct world	*w;
	struct stream	*stream;
	struct client	*client;
	struct timer	 again;
	char		 from[80], rcpt[80];
	struct client_rcpt rcpt_kept;
	char		 name[40];
	unsigned	 attempt;
	size_t		 size;
	struct buf	 text;
	size_t		 given;		/* of the text, to the client */
	struct reply	 answer;
	bool		 sent, acknowledged;
};

static void sender_begin(void *);

static void
sender_free(struct sender *s)
{
	timer_cancel(&s->w->loop.loop, &s->again);
	list_remove(&s->link);
	stream_abort(s->stream);
	client_free(s->client);
	buf_done(&s->text);
	free(s);
}

static void
sender_end(struct sender *s)
{
	struct world *w = s->w;

	stream_close(s->stream);
	s->stream = NULL;
	client_free(s->client);
	s->client = NULL;
	if (w->on_answer != NULL)
		w->on_answer(w, s->name, s->attempt, s->answer.code != 0 ? &s->answer : NULL);
	if (s->acknowledged)
		sender_free(s);
	else
		timer_set(&s->w->loop.loop, &s->again, SECONDS(30));
}

static void
sender_mail(struct sender *s)
{
	struct client_message m = { .from = view_str(s->from), .rcpt = &s->rcpt_kept, .nrcpt = 1 };

	s->sent = true;
	s->rcpt_kept.address = view_str(s->rcpt);
	client_send(s->client, &m);
}

static void
sender_result(struct sender *s)
{
	const struct client_result *r = client_result(s->client);

	s->answer = r->reply;
	if (r->complete && r->reply.code == 250) {
		s->acknowledged = true;
		s->w->acknowledged++;
	}
}

/* As much as there is room for; false: wait for more. */
static bool
sender_body(struct sender *s)
{
	if (stream_output_room(s->stream) < SENDER_ROOM)
		return false;
	s->given += client_body(s->client, view_from(buf_view(&s->text), s->given));
	if (s->given < buf_len(&s->text))
		return false;
	client_body_end(s->client);
	return true;
}

/* False: wait. */
static bool
sender_act(struct sender *s, enum client_action action)
{
	switch (action) {
	case CLIENT_IDLE:
		if (s->sent)
			client_quit(s->client);
		else
			sender_mail(s);
		return true;
	case CLIENT_NEED_BODY:
		return sender_body(s);
	case CLIENT_RESULT:
		sender_result(s);
		return true;
	case CLIENT_FAILED:
		return true;
	default:
		return false;
	}
}

static void
sender_run(void *owner)
{
	struct sender *s = owner;
	enum client_action action;

	do {
		size_t used;

		action = client_step(s->client, stream_input(s->stream), &used);
		stream_consume(s->stream, used);
	} while (sender_act(s, action));
	require(stream_write(s->stream, buf_view(client_output(s->client))));
	buf_clear(client_output(s->client));
	if (action == CLIENT_CLOSE)
		sender_end(s);
}

static void
on_sender_closed(void *owner, const struct stream_end *end)
{
	struct sender *s = owner;

	client_eof(s->client);
	sender_run(s);
}

static const struct stream_events sender_events = {
	.on_connected = sender_run,
	.on_input = sender_run,
	.on_drained = sender_run,
	.on_closed = on_sender_closed,
};

static void
sender_begin(void *arg)
{
	static const struct stream_limits limits = { 65536, 262144 };
	struct sender *s = arg;
	struct client_params p = { .ehlo_name = "localhost", .tls = CLIENT_TLS_NONE };
	struct address to;

	require(address_parse(&to, VIEW("127.0.0.1:25"), NULL) == 0);
	s->sent = false;
	s->answer.code = 0;
	s->given = 0;
	buf_clear(&s->text);
	require(buf_addf(&s->text, "Subject: %s try=%u.\r\n\r\nHello.\r\n", s->name, ++s->attempt));
	while (buf_len(&s->text) < s->size)
		require(buf_add_str(&s->text, "It was a dark and stormy night.\r\n"));
	s->client = client_new(&p);
	s->stream = net_connect(&s->w->net.net, &to, &limits, &sender_events, s);
}

void
world_send(struct world *w, const char *from, const char *rcpt, const char *text)
{
	world_send_sized(w, from, rcpt, text, 0);
}

void
world_send_sized(struct world *w, const char *from, const char *rcpt, const char *text, size_t size)
{
	struct sender *s = xzalloc(sizeof(*s));

	s->w = w;
	snprintf(s->from, sizeof(s->from), "%s", from);
	snprintf(s->rcpt, sizeof(s->rcpt), "%s", rcpt);
	snprintf(s->name, sizeof(s->name), "%s", text);
	s->size = size;
	buf_init(&s->text, 1u << 20);
	timer_init(&s->again, sender_begin, s);
	list_init(&s->link);
	list_push(&w->senders, &s->link);
	sender_begin(s);
}

static void
senders_done(struct world *w)
{
	list_foreach_safe(link, &w->senders)
		sender_free(list_entry(link, struct sender, link));
}

static void
on_client(void *arg, struct twin_endpoint *ep, struct stream *stream)
{
	struct world *w = arg;
	struct address peer;

	require(address_parse(&peer, VIEW("127.0.0.1:40112"), NULL) == 0);
	intake_accept(w->real, stream, &peer, NULL);
}

/* --- the real intake, and who uses it ------------------------------------------------------- */

void
world_use_intake(struct world *w)
{
	struct intake_env env = { .loop = &w->loop.loop, .net = &w->net.net, .rng = &w->rng,
		.log = &w->log, .sandbox = "twin" };
	struct twin_endpoint *ep = twin_net_endpoint(&w->net, "127.0.0.1:25");

	w->real = intake_new(&env, &w->conf);
	ep->on_accept = on_client;
	ep->arg = w;
	ep->limits = intake_stream_limits;
}

/* --- life ---------------------------------------------------------------------------------- */

void
world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	buf_init(&w->lines, LINES_MAX);
	w->log.emit = emit;
	w->log.level = LEVEL_DEBUG;
	rng_init(&w->rng, 20261122);
	list_init(&w->senders);
	twin_loop_init(&w->loop, WALL_START);
	twin_net_init(&w->net, &w->loop.loop);
	w->fs = &w->disk[0];
	twin_fs_init(w->fs);
	twin_fs_init(&w->history_disk);
	w->uid = 33;
	conf_init(&w->conf);
	w->secrets = "secret\n";
	twin_net_host(&w->net, "smtp.twin.example", "192.0.2.1");
	smarthost_init(&w->port[P587], &w->net, "192.0.2.1:587", false);
	smarthost_init(&w->port[P465], &w->net, "192.0.2.1:465", true);
	smarthost_init(&w->port[P2525], &w->net, "192.0.2.1:2525", false);
	twin_net_host(&w->net, "backup.twin.example", "192.0.2.2");
	smarthost_init(&w->backup, &w->net, "192.0.2.2:587", false);
}

/* Jobs hold memory: their threads come to rest before it is freed. */
static void
finish_jobs(struct twin_worker *tw)
{
	struct list *link;

	while ((link = list_pop(&tw->jobs)) != NULL) {
		struct job *j = list_entry(link, struct job, link);

		j->run(j);
		j->done(j);
	}
	timer_cancel(tw->loop, &tw->timer);
}

int
world_try_start(struct world *w, struct err *e)
{
	struct relay_env env = {
		.loop = &w->loop.loop, .fs = &w->fs->fs, .tls = w->tls,
		.net = w->around != NULL ? w->around : &w->net.net,
		.commit = &w->commit.worker, .reader = &w->reader.worker,
		.history_fs = &w->history_disk.fs, .history = &w->history.worker,
		.rng = &w->rng, .log = &w->log, .sandbox = "twin", .again = w->again,
	};

	twin_worker_init(&w->commit, &w->loop.loop);
	twin_worker_init(&w->reader, &w->loop.loop);
	twin_worker_init(&w->history, &w->loop.loop);
	w->ready = w->drained = w->paused = false;
	w->durable = w->refused = 0;
	w->credit = 0;
	if (relay_new(&w->relay, &env, &w->conf, view_str(w->secrets),
	    w->no_status ? &without_status : &relay_events, w, e) < 0) {
		finish_jobs(&w->history);	/* it outlives its relay while it writes */
		return -1;
	}
	connect_intake(w);
	return 0;
}

void
world_start(struct world *w)
{
	struct err e;

	require(world_try_start(w, &e) == 0);
}

static void
on_drained(void *owner)
{
	((struct world *)owner)->drained = true;
}

static bool
is_drained(void *arg)
{
	return ((struct world *)arg)->drained;
}

static void
part(struct world *w)
{
	if (w->intake != NULL)
		stream_abort(w->intake);
	w->intake = NULL;
	while (!w->drained && (!list_is_empty(&w->commit.jobs) || !list_is_empty(&w->reader.jobs))) {
		finish_jobs(&w->commit);
		finish_jobs(&w->reader);
	}
	relay_free(w->relay);
	w->relay = NULL;
	finish_jobs(&w->reader);	/* as in the role: what relay did not wait for is done, and leads to nothing */
	finish_jobs(&w->history);	/* it outlives its relay while it writes */
}

void
world_new_intake(struct world *w)
{
	stream_abort(w->intake);
	w->intake = NULL;
	connect_intake(w);
}

void
world_drain(struct world *w)
{
	relay_drain(w->relay, on_drained, w);
}

void
world_stop(struct world *w)
{
	world_drain(w);
	require(twin_loop_until(&w->loop, is_drained, w, MINUTES(2)));
	part(w);
}

void
world_crash(struct world *w, enum twin_keep keep)
{
	struct twin_fs *left = w->fs == &w->disk[0] ? &w->disk[1] : &w->disk[0];

	twin_fs_crash(left, w->fs, keep, rng_u64(&w->rng));
	part(w);
	twin_fs_done(w->fs);
	w->fs = left;
	world_start(w);
}

void
world_use_backup(struct world *w)
{
	static char name[] = "backup", host[] = "backup.twin.example", user[] = "web2";
	struct conf_relay *r = &w->conf.relay[w->conf.nrelay++];

	*r = w->conf.relay[0];
	r->name = name;
	r->host = host;
	r->user = user;
	r->mechanisms = MECHANISMS_PASSWORD;
	r->nendpoint = 1;
	w->conf.route[0].relay[w->conf.route[0].nrelay++] = 1;
	w->secrets = "secret\nother\n";
}

void
world_done(struct world *w)
{
	if (w->relay != NULL)
		part(w);
	senders_done(w);
	intake_free(w->real);
	for (size_t i = 0; i < PORTS; i++)
		smarthost_done(&w->port[i]);
	smarthost_done(&w->backup);
	twin_net_done(&w->net);
	twin_fs_done(w->fs);
	twin_fs_done(&w->history_disk);
	twin_loop_done(&w->loop);
	buf_done(&w->lines);
}

void
world_run(struct world *w, int64_t ms)
{
	twin_loop_run(&w->loop, ms);
}

uint64_t
world_queued(struct world *w)
{
	struct spool_stats st;

	spool_stats(relay_spool(w->relay), &st);
	return st.recovering ? UINT64_MAX : st.messages;
}

static bool
is_settled(void *arg)
{
	return world_queued(arg) == 0;
}

bool
world_settle(struct world *w, int64_t ms)
{
	int64_t end = w->loop.mono_ms + ms;

	/* A report enters the queue a sync after its cause has left it. */
	while (w->loop.mono_ms < end) {
		if (!twin_loop_until(&w->loop, is_settled, w, end - w->loop.mono_ms))
			return false;
		world_run(w, 20);
		if (is_settled(w))
			return true;
	}
	return false;
}

/* --- counting ------------------------------------------------------------------------------- */

unsigned
world_taken(const struct world *w)
{
	return w->port[P587].ntaken + w->port[P465].ntaken + w->port[P2525].ntaken;
}

unsigned
world_count(const struct world *w, const char *text)
{
	return smarthost_count(&w->port[P587], text) + smarthost_count(&w->port[P465], text) +
	    smarthost_count(&w->port[P2525], text);
}

unsigned
world_logins(const struct world *w)
{
	return w->port[P587].logins + w->port[P465].logins + w->port[P2525].logins;
}

void
world_all(struct world *w, enum twin_mode mode)
{
	for (size_t i = 0; i < PORTS; i++)
		w->port[i].ep->mode = mode;
}
