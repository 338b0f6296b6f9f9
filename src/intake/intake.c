/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake/intake.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "intake/session.h"
#include "net/tls_server.h"

#include "base/banned.h"

#define STATS_MS 5000

/* Grown as needed; an idle connection holds none of it. */
const struct stream_limits intake_stream_limits = {
	.input_max = 65536,
	.output_max = 16384,
};

struct intake {
	struct session_host	 host;
	enum peer_found		 (*find_peer)(void *arg, int fd, const struct address *peer, int64_t *uid,
				     int64_t *pid);
	void			*find_arg;
	struct refusals		 strangers;	/* clients that are not to be here */
	char			*sandbox;
	/* What relay wants said to MAIL; host.policy points here, or is NULL. */
	struct server_answer	 policy;
	char			 policy_status[16];
	char			 policy_text[FRAME_REPLY_MAX + 1];
	struct timer		 stats_timer;
	struct timer		 drain_timer;
	struct task		 drained_task;
	void			 (*on_drained)(void *owner);
	void			*drain_owner;
	bool			 freeing;
};

static struct intake *
intake_of(struct session_host *host)
{
	return container_of(host, struct intake, host);
}

/* --- counts --------------------------------------------------------------------- */

static void
send_stats(void *arg)
{
	struct intake *in = arg;
	struct buf text;

	buf_init(&text, FRAME_SMALL_MAX);
	if (in->host.channel != NULL &&
	    buf_addf(&text, "sessions: %u\naccepted: %llu\nrefused: %llu\n", in->host.admission.connections,
	    (unsigned long long)in->host.accepted, (unsigned long long)in->host.refused))
		channel_put_stats(in->host.channel, buf_view(&text));
	buf_done(&text);
}

static void
on_change(struct session_host *host)
{
	struct intake *in = intake_of(host);

	if (in->freeing)
		return;
	if (!timer_is_set(&in->stats_timer))
		timer_set(host->loop, &in->stats_timer, STATS_MS);
	if (host->draining && list_is_empty(&host->sessions))
		task_post(host->loop, &in->drained_task);
}

/* --- relay ------------------------------------------------------------------------ */

static void
retry_waiting(struct session_host *host)
{
	struct list all;
	struct list *link;

	list_init(&all);
	list_move_all(&all, &host->waiting);
	while ((link = list_pop(&all)) != NULL) {
		list_push(&host->waiting, link);	/* where it stays, if it has to wait on */
		session_retry(session_of_wait(link));
	}
}

static void
on_ready(void *owner)
{
	struct intake *in = owner;

	log_simple(in->host.log, LEVEL_INFO, "relay-connected", "messages are taken");
	send_stats(in);
	retry_waiting(&in->host);
}

static void
set_policy(struct intake *in, const struct server_answer *policy)
{
	in->host.policy = policy;
	list_foreach(link, &in->host.sessions)
		session_policy_changed(session_of_link(link));
}

static void
on_policy(void *owner, const struct frame_reply *reply)
{
	struct intake *in = owner;
	struct log_line line;

	if (reply == NULL) {
		if (in->host.policy != NULL)
			log_simple(in->host.log, LEVEL_NOTICE, "mail-taken-again", "relay has room");
		set_policy(in, NULL);
		return;
	}
	(void)snprintf(in->policy_status, sizeof(in->policy_status), "%.*s", VIEW_ARG(reply->status));
	(void)snprintf(in->policy_text, sizeof(in->policy_text), "%.*s", VIEW_ARG(reply->text));
	in->policy = (struct server_answer){ reply->code, in->policy_status, in->policy_text };
	log_begin(&line, in->host.log, LEVEL_WARNING, "mail-not-taken");
	log_num(&line, "code", reply->code);
	log_text(&line, "reason", reply->text);
	log_end(&line);
	set_policy(in, &in->policy);
}

static void
on_room(void *owner)
{
	struct intake *in = owner;

	retry_waiting(&in->host);
}

static void
on_closed(void *owner, const char *why)
{
	struct intake *in = owner;
	struct log_line line;

	log_begin(&line, in->host.log, channel_is_paused(in->host.channel) ? LEVEL_INFO : LEVEL_WARNING,
	    "relay-lost");
	log_text(&line, "reason", view_str(why));
	log_end(&line);
	channel_free(in->host.channel);
	in->host.channel = NULL;
	set_policy(in, NULL);		/* the next relay has its own */
}

static const struct channel_events channel_events = {
	.on_ready = on_ready,
	.on_policy = on_policy,
	.on_room = on_room,
	.on_closed = on_closed,
	.on_credit = session_on_credit,
	.on_durable = session_on_durable,
	.on_refused = session_on_refused,
	.on_lost = session_on_lost,
};

void
intake_set_relay(struct intake *in, struct stream *s)
{
	if (in->host.channel != NULL)
		channel_end(in->host.channel, "another relay takes its place");
	if (s != NULL)
		in->host.channel = channel_new(in->host.loop, s, in->sandbox, &channel_events, in);
}

bool
intake_has_relay(const struct intake *in)
{
	return channel_is_ready(in->host.channel);
}

/* --- connections --------------------------------------------------------------------- */

static void
log_turned_away(struct intake *in, const struct session_peer *peer, const struct admission_reply *why)
{
	bool stranger = why == admission_reply(ADMISSION_FOREIGN) || why == admission_reply(ADMISSION_OUTSIDE);
	char text[ADDRESS_TEXT_MAX];
	struct log_line line;

	if (!refusals_count(stranger ? &in->strangers : &in->host.refusals))
		return;
	log_begin(&line, in->host.log, LEVEL_INFO, "refused");
	log_num(&line, "code", why->code);
	log_text(&line, "reason", view_str(why->text));
	log_word(&line, "peer", address_host_text(text, &peer->address));
	if (peer->by != NULL)
		log_text(&line, "listener", view_str(peer->by->name));
	session_peer_log(peer, &line);
	log_end(&line);
}

static void
turn_away(struct intake *in, struct stream *s, const struct session_peer *peer,
    const struct admission_reply *why)
{
	struct buf reply;
	bool told;

	log_turned_away(in, peer, why);
	in->host.refused++;
	on_change(&in->host);
	if (peer->by != NULL && peer->by->tls == CONF_LISTENER_TLS_IMPLICIT) {
		stream_close(s);	/* words in clear would be garbage to it */
		return;
	}
	buf_init(&reply, 512);
	told = buf_addf(&reply, "%d %s %s\r\n", why->code, why->status, why->text) &&
	    stream_write(s, buf_view(&reply));
	buf_done(&reply);
	if (told)
		stream_close(s);
	else
		stream_abort(s);
}

void
intake_accept(struct intake *in, struct stream *s, const struct address *peer,
    const struct conf_listener *by)
{
	static const struct admission_reply draining = { 421, "4.3.2", "Shutting down, try again later" };
	struct session_peer who = { .address = *peer, .by = by, .uid = -1, .pid = -1 };
	enum admission_verdict verdict;
	enum peer_found found = PEER_NOT_ASKED;

	if (in->find_peer != NULL && address_is_loopback(peer))
		found = in->find_peer(in->find_arg, s->ops->fd(s), peer, &who.uid, &who.pid);
	who.no_uid = peer_found_word(found);
	if (in->host.draining) {
		turn_away(in, s, &who, &draining);
		return;
	}
	verdict = admission_enter(&in->host.admission, by, peer, who.uid, &who.client);
	if (verdict != ADMISSION_GRANTED) {
		turn_away(in, s, &who, admission_reply(verdict));
		return;
	}
	session_start(&in->host, s, &who);
	on_change(&in->host);
}

void
intake_set_tls(struct intake *in, size_t listener, struct tls_server *tls)
{
	require(listener < lengthof(in->host.tls));
	tls_server_free(in->host.tls[listener]);
	in->host.tls[listener] = tls;
}

void
intake_process(struct intake *in, uint64_t number, const char *name)
{
	list_foreach_safe(link, &in->host.sessions)
		if (session_number(session_of_link(link)) == number) {
			session_named(session_of_link(link), name);
			return;
		}
}

/* --- life -------------------------------------------------------------------------------- */

static void
say_drained(void *arg)
{
	struct intake *in = arg;

	timer_cancel(in->host.loop, &in->drain_timer);
	in->on_drained(in->drain_owner);
}

static void
end_all(void *arg)
{
	struct intake *in = arg;
	struct list *first;

	while ((first = in->host.sessions.next) != &in->host.sessions)
		session_end(session_of_link(first));
}

void
intake_drain(struct intake *in, void (*on_drained)(void *owner), void *owner)
{
	in->on_drained = on_drained;
	in->drain_owner = owner;
	in->host.draining = true;
	timer_set(in->host.loop, &in->drain_timer, in->host.conf->drain_ms);
	list_foreach_safe(link, &in->host.sessions)
		session_drain(session_of_link(link));
	on_change(&in->host);		/* there may be none at all */
}

struct intake *
intake_new(const struct intake_env *env, const struct conf *conf)
{
	struct intake *in = xzalloc(sizeof(*in));

	in->host = (struct session_host){
		.loop = env->loop, .rng = env->rng, .log = env->log, .conf = conf, .on_change = on_change,
	};
	in->find_peer = env->find_peer;
	in->find_arg = env->find_arg;
	in->host.ask_process = env->ask_process;
	in->host.ask_arg = env->ask_arg;
	in->sandbox = xstrdup(env->sandbox != NULL ? env->sandbox : "none");
	list_init(&in->host.sessions);
	list_init(&in->host.waiting);
	admission_init(&in->host.admission, conf->limits.connections, conf->limits.connections_per_client);
	refusals_init(&in->host.refusals, env->loop, env->log, REFUSALS_MAX, REFUSALS_MS);
	refusals_init(&in->strangers, env->loop, env->log, STRANGERS_MAX, STRANGERS_MS);
	timer_init(&in->stats_timer, send_stats, in);
	timer_init(&in->drain_timer, end_all, in);
	task_init(&in->drained_task, say_drained, in);
	return in;
}

void
intake_free(struct intake *in)
{
	struct list *first;

	if (in == NULL)
		return;
	in->freeing = true;
	while ((first = in->host.sessions.next) != &in->host.sessions)
		session_kill(session_of_link(first));
	channel_free(in->host.channel);
	timer_cancel(in->host.loop, &in->stats_timer);
	timer_cancel(in->host.loop, &in->drain_timer);
	task_cancel(&in->drained_task);
	for (size_t i = 0; i < lengthof(in->host.tls); i++)
		tls_server_free(in->host.tls[i]);
	admission_done(&in->host.admission);
	refusals_done(&in->host.refusals);
	refusals_done(&in->strangers);
	free(in->sandbox);
	free(in);
}
