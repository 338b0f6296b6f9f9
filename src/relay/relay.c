/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/relay.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

#define STATUS_DELAY_MS	1000
#define STATUS_MAX	1024u		/* bytes of the line for people */

static int64_t
now_of(const struct relay *r)
{
	return loop_now(r->env.loop);
}

/* --- what the spool tells ----------------------------------------------------------- */

static bool
has_queued(struct spool_message *m)
{
	const struct spool_rcpt *rc = spool_rcpts(m);

	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (rc[i].state == SPOOL_QUEUED)
			return true;
	return false;
}

static void
on_message(void *owner, struct spool_message *m)
{
	struct relay *r = owner;

	schedule_meet(&r->schedule, m);
	m->delivery = NULL;
	users_found(r, m);
	if (!has_queued(m)) {
		report_start(r, m);	/* stopped between its last result and its report */
		return;
	}
	if ((m->flags & SPOOL_HELD) != 0)	/* until it is released */
		return;
	if ((m->flags & SPOOL_UNCERTAIN) != 0) {
		life_found_uncertain(r, m);
		r->stats.uncertain++;
		if (uncertain_settle(r, m))
			return;
	}
	schedule_add(&r->schedule, m, now_of(r), loop_wall(r->env.loop));
	relay_kick(r);
}

static void
on_recovered(void *owner)
{
	struct relay *r = owner;
	struct spool_stats st;

	r->recovered = true;
	spool_stats(r->spool, &st);
	log_simple(r->life, LEVEL_INFO, "recovered", "%llu messages are in the queue",
	    (unsigned long long)st.messages);
	memory_give_back();
	relay_status_changed(r);
}

static void
on_spool_health(void *owner, enum spool_health health, const char *why)
{
	struct relay *r = owner;

	r->spool_health = health;
	snprintf(r->spool_why, sizeof(r->spool_why), "%s", why);
	log_simple(r->env.log, health == SPOOL_OK ? LEVEL_NOTICE : LEVEL_ERROR,
	    health == SPOOL_OK ? "spool-ok" : health == SPOOL_FULL ? "spool-full" : "spool-degraded",
	    "%s", why);
	reception_policy(r);
	relay_status_changed(r);
}

static void
on_trouble(void *owner, const char *what)
{
	struct relay *r = owner;

	log_simple(r->env.log, LEVEL_ERROR, "spool-trouble", "%s", what);
}

static const struct spool_events spool_events = {
	.on_message = on_message,
	.on_recovered = on_recovered,
	.on_health = on_spool_health,
	.on_trouble = on_trouble,
};

void
relay_kick(struct relay *r)
{
	for (size_t i = 0; i < r->nup; i++)
		pool_kick(&r->up[i]);
	staging_kick(r);
	routing_kick(r);
}

/* --- messages that wait ---------------------------------------------------------------- */

void
relay_wait(struct relay *r, struct spool_message *m, int64_t at_ms)
{
	if ((m->flags & SPOOL_HELD) != 0)
		return;
	schedule_at(&r->schedule, m, at_ms);
	relay_kick(r);
}

void
relay_wait_route(struct relay *r, struct spool_message *m, unsigned route, int64_t at_ms, bool uncertain)
{
	if ((m->flags & SPOOL_HELD) != 0)
		return;
	schedule_route_at(&r->schedule, m, route, at_ms, uncertain);
	relay_kick(r);
}

static void
relay_damaged(struct relay *r, struct spool_message *m, const struct err *e)
{
	struct spool_update u = {
		.attempts = m->attempts, .flags = m->flags | SPOOL_HELD, .endpoint = "",
	};

	schedule_remove(&r->schedule, m);
	spool_quarantine(r->spool, m, e);
	spool_update(r->spool, m, &u, NULL, NULL);
}

struct view
relay_unread_text(char text[SPOOL_TEXT_MAX], const struct err *e)
{
	(void)snprintf(text, SPOOL_TEXT_MAX, "the stored message can't be read now, and is tried again by itself; "
	    "see to the disk, or to the file: %s", e->text);
	return view_str(text);
}

void
relay_unread_result(struct spool_result *out, uint32_t rcpt, struct view text)
{
	*out = (struct spool_result){
		.rcpt = rcpt, .state = SPOOL_QUEUED, .status = "4.3.0", .text = text,
	};
}

/* The disk may be mended: the pause grows, as after an answer that says "later". */
static void
relay_rest_unread(struct relay *r, struct spool_message *m, const struct err *e, bool say)
{
	struct spool_result *result = xcalloc(m->nrcpt, sizeof(*result));
	struct spool_update u = { .result = result, .flags = m->flags, .endpoint = "",
		.attempts = (uint16_t)(m->attempts + (m->attempts < UINT16_MAX)) };
	const struct spool_rcpt *rc = spool_rcpts(m);
	int64_t rest = schedule_backoff(&r->schedule.params, u.attempts, r->env.rng);
	char buf[SPOOL_TEXT_MAX];
	struct view text = relay_unread_text(buf, e);

	for (uint32_t i = 0; say && i < m->nrcpt; i++)
		if (rc[i].state == SPOOL_QUEUED)
			relay_unread_result(&result[u.nresult++], i, text);
	u.next_ms = loop_wall(r->env.loop) + rest;
	spool_update(r->spool, m, &u, NULL, NULL);
	free(result);
	relay_wait(r, m, now_of(r) + rest);
}

void
relay_unreadable(struct relay *r, struct spool_message *m, const struct err *e, bool say)
{
	life_unreadable(r, m, e);
	if (e->kind == ERR_DAMAGED)
		relay_damaged(r, m, e);
	else
		relay_rest_unread(r, m, e, say);
}

/* --- one line for people --------------------------------------------------------------------- */

static void printf_like(4, 5)
put_text(char *text, size_t cap, size_t *at, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text + *at, cap - *at, fmt, ap);
	va_end(ap);
	*at += n > 0 ? (size_t)n : 0;
	if (*at >= cap)
		*at = cap - 1;
}

/* "mail goes over main:587" */
static void
put_way(struct relay *r, char *text, size_t cap, size_t *at)
{
	bool any = false;

	for (size_t i = 0; i < r->nup; i++) {
		const struct conf_relay *conf = r->up[i].conf;
		struct relay_way way;

		if (!relay_in_use(r, i))
			continue;
		put_text(text, cap, at, "%s%s", any ? ", " : "; mail goes over ", conf->name);
		any = true;
		relay_way(r, i, &way);
		if (way.endpoint >= 0)
			put_text(text, cap, at, ":%u", (unsigned)conf->endpoint[way.endpoint].port);
		if (way.avoided >= 0)
			put_text(text, cap, at, " (detour from %u)", (unsigned)conf->endpoint[way.avoided].port);
	}
	if (!any)
		put_text(text, cap, at, "; no relay is usable");
}

static void
put_alarms(struct relay *r, char *text, size_t cap, size_t *at)
{
	const struct relay_alarm *a;
	bool any = false;
	size_t pos = 0;

	while ((a = relay_alarm_next(r, &pos)) != NULL) {
		put_text(text, cap, at, "%s%s%s%s", any ? ", " : "; alarm: ", alarm_info(a->kind)->word,
		    a->relay != NULL ? " " : "", a->relay != NULL ? a->relay : "");
		any = true;
	}
}

static void
put_upstream(struct upstream *u, char *text, size_t cap, size_t *at)
{
	struct account_view account;

	put_text(text, cap, at, "; %s: ", u->conf->name);
	for (size_t i = 0; i < u->conf->nendpoint; i++) {
		struct endpoint_view v;

		health_endpoint(u->health, i, &v);
		put_text(text, cap, at, "%s%u %s", i != 0 ? ", " : "", (unsigned)u->conf->endpoint[i].port,
		    endpoint_state_word(v.state));
	}
	health_account(u->health, now_of(u->r), &account);
	if (account.state != ACCOUNT_AVAILABLE)
		put_text(text, cap, at, ", account %s", account_state_word(account.state));
}

/* What matters most comes first: the line may be cut on its way. */
static void
tell_status(struct relay *r)
{
	struct spool_stats st;
	char text[STATUS_MAX];
	size_t at = 0;

	spool_stats(r->spool, &st);
	put_text(text, sizeof(text), &at, "%s%s%llu messages %s",
	    staging_is_on(r) ? "STAGING, no mail leaves; " : "",
	    r->spool_health != SPOOL_OK ? "new mail refused; " : "",
	    (unsigned long long)(st.messages + st.found), st.recovering ? "found so far" : "queued");
	put_way(r, text, sizeof(text), &at);
	put_alarms(r, text, sizeof(text), &at);
	for (size_t i = 0; i < r->nup; i++)
		put_upstream(&r->up[i], text, sizeof(text), &at);
	if (r->status_text != NULL && strcmp(r->status_text, text) == 0)
		return;
	free(r->status_text);
	r->status_text = xstrdup(text);
	r->events->on_status(r->owner, text);
}

static void
on_status_timer(void *arg)
{
	struct relay *r = arg;

	alarms_look(r);
	for (size_t i = 0; i < r->nup; i++)
		detour_look(&r->up[i]);
	if (r->spool != NULL && r->events->on_status != NULL)
		tell_status(r);
}

void
relay_status_changed(struct relay *r)
{
	if (!timer_is_set(&r->status))
		timer_set(r->env.loop, &r->status, STATUS_DELAY_MS);
}

/* --- draining ---------------------------------------------------- */

/* A login that was not begun after all would look to the next run like one without an answer. */
void
relay_end_check(struct relay *r)
{
	void (*on_drained)(void *owner) = r->on_drained;

	if (!r->closing || r->spool != NULL || on_drained == NULL || !guard_is_idle(r))
		return;
	r->on_drained = NULL;
	on_drained(r->drained_owner);
}

static void
on_spool_closed(void *owner)
{
	struct relay *r = owner;

	r->spool = NULL;
	if (r->history != NULL)
		history_flush(r->history);
	relay_end_check(r);
}

static void
close_spool(struct relay *r)
{
	if (r->closing)
		return;
	r->closing = true;
	timer_cancel(r->env.loop, &r->drain);
	for (size_t i = 0; i < r->nup; i++)
		upstream_end_sessions(&r->up[i]);
	staging_done(r);
	report_done(r);		/* what is not written yet is written by the next run */
	routing_done(r);
	reception_stop(r);
	sweep_keep_clock(r);
	guard_refresh(r);
	watch_keep(r);
	users_keep(r);
	spool_close(r->spool, on_spool_closed, r);
}

void
relay_drain_check(struct relay *r)
{
	if (!r->draining || r->closing)
		return;
	for (size_t i = 0; i < r->nup; i++)
		if (upstream_is_busy(&r->up[i]))
			return;
	if (!staging_is_busy(r) && report_is_idle(r) && reception_has_ended(r))
		close_spool(r);
}

static void
on_drain_timer(void *arg)
{
	close_spool(arg);
}

void
relay_drain(struct relay *r, void (*on_drained)(void *owner), void *owner)
{
	if (r->draining)
		return;
	r->draining = true;
	r->on_drained = on_drained;
	r->drained_owner = owner;
	timer_set(r->env.loop, &r->drain, r->conf->drain_ms);
	for (size_t i = 0; i < r->nup; i++)
		pool_retire(&r->up[i], -1);
	relay_kick(r);
}

/* --- control ----------------------------------------------------- */

struct spool *
relay_spool(struct relay *r)
{
	return r->spool;
}

struct health *
relay_health(struct relay *r, size_t i)
{
	return r->up[i].health;
}

bool
relay_in_use(const struct relay *r, size_t i)
{
	for (size_t k = 0; k < r->conf->nroute; k++)
		if (relay_of_route(r, k) == (int)i)
			return true;
	return false;
}

uint64_t
relay_waiting(const struct relay *r, size_t k)
{
	return r->schedule.due[k].n;
}

int
relay_of_route(const struct relay *r, size_t k)
{
	int at = r->route[k].serving;

	return at < 0 ? -1 : r->conf->route[k].relay[at];
}

unsigned
relay_sessions(const struct relay *r, size_t i)
{
	return upstream_count_sessions(&r->up[i]);
}

const struct port_history *
relay_port_history(const struct relay *r, size_t i, size_t k)
{
	return &r->up[i].watch.port[k].history;
}

const struct trail *
relay_trail(const struct relay *r, size_t i, size_t k)
{
	return &r->up[i].watch.port[k].trail;
}

const struct switch_log *
relay_switches(const struct relay *r)
{
	return &r->switches;
}

struct history *
relay_history(struct relay *r)
{
	return r->history;
}

const struct conf *
relay_conf(const struct relay *r)
{
	return r->conf;
}

const struct relay_env *
relay_env(const struct relay *r)
{
	return &r->env;
}

void
relay_stats(const struct relay *r, struct relay_stats *out)
{
	*out = r->stats;
}

void
relay_set_intake(struct relay *r, struct stream *s)
{
	reception_set(r, s);
}

/* --- life -------------------------------------------------------- */

static void
on_reap(void *arg)
{
	session_reap(arg);
}

static void
on_ready_task(void *arg)
{
	struct relay *r = arg;

	if (r->events->on_ready != NULL)
		r->events->on_ready(r->owner);
	relay_status_changed(r);
	for (size_t i = 0; i < r->nup; i++)
		watch_changed(&r->up[i]);
}

static void
make_schedule(struct relay *r)
{
	struct schedule_params p = {
		.retry_first_ms = r->conf->queue.retry_first_ms,
		.retry_max_ms = r->conf->queue.retry_max_ms,
		.expire_ms = r->conf->queue.expire_ms,
		.uncertain_ms = r->conf->queue.uncertain_ms,
	};

	schedule_init(&r->schedule, &p, (unsigned)r->conf->nroute, now_of(r));
}

static int
open_spool(struct relay *r, struct err *e)
{
	struct spool_params p = {
		.segment_size = r->conf->queue.segment_size & ~UINT64_C(63), /* whole records */
		.bytes_max = r->conf->queue.bytes_max,
		.messages_max = r->conf->queue.messages_max,
		.free_min = r->conf->queue.free_min,
		.outcome_sync_ms = r->conf->queue.outcome_sync_ms,
	};
	struct spool_env env = {
		.loop = r->env.loop, .fs = r->env.fs, .worker = r->env.commit,
		.reader = r->env.reader, .rng = r->env.rng,
	};

	return spool_open(&r->spool, &p, &env, &spool_events, r, e);
}

static void
make_history(struct relay *r)
{
	const struct conf *c = r->conf;
	struct history_env env = { .loop = r->env.loop, .fs = r->env.history_fs,
		.worker = r->env.history, .log = r->env.log };
	struct history_limits limits = { .days = c->history, .bytes_max = c->history_size,
		.free_min = c->queue.free_min + 2 * c->queue.segment_size };

	r->life = r->env.log;
	if (env.worker == NULL)
		return;
	r->history = history_new(&env, &limits);
	r->life = history_log(r->history);
}

static struct relay *
relay_init(const struct relay_env *env, const struct conf *conf, struct view secrets,
    const struct relay_events *events, void *owner)
{
	struct relay *r = xzalloc(sizeof(*r));

	r->env = *env;
	r->conf = conf;
	r->events = events;
	r->owner = owner;
	r->stats.started_ms = loop_wall(env->loop);
	list_init(&r->dead);
	task_init(&r->reap, on_reap, r);
	task_init(&r->ready, on_ready_task, r);
	timer_init(&r->status, on_status_timer, r);
	timer_init(&r->drain, on_drain_timer, r);
	alarms_init(r);
	make_history(r);
	switch_log_init(&r->switches, loop_wall(env->loop));
	make_schedule(r);
	sweep_init(r);
	network_init(r);
	staging_init(r);
	guard_init(r);
	users_init(r);
	report_init(r);
	routing_init(r);
	manage_init(r);
	reception_init(r);
	for (; r->nup < conf->nrelay; r->nup++) {
		struct view line = view_of(NULL, 0);

		(void)view_split(&secrets, '\n', &line);	/* none: it stays empty */
		upstream_init(&r->up[r->nup], r, r->nup, line);
	}
	guard_start(r);
	if (conf->received_user == CONF_RECEIVED_HASH)
		guard_need_key(r);
	failover_init(r);
	watch_keep_init(r);
	return r;
}

int
relay_new(struct relay **out, const struct relay_env *env, const struct conf *conf,
    struct view secrets, const struct relay_events *events, void *owner, struct err *e)
{
	struct relay *r = relay_init(env, conf, secrets, events, owner);

	if (open_spool(r, e) < 0) {
		relay_free(r);
		return -1;
	}
	sweep_start(r);
	task_post(env->loop, &r->ready);
	*out = r;
	return 0;
}

void
relay_free(struct relay *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->nup; i++)
		upstream_stop(&r->up[i]);
	sweep_done(r);
	network_done(r);
	guard_done(r);
	timer_cancel(r->env.loop, &r->status);
	timer_cancel(r->env.loop, &r->drain);
	alarms_done(r);
	failover_done(r);
	watch_keep_done(r);
	staging_done(r);
	task_cancel(&r->reap);
	task_cancel(&r->ready);
	report_done(r);
	routing_done(r);
	for (size_t i = 0; i < r->nup; i++)
		upstream_done(&r->up[i]);
	while (!list_is_empty(&r->dead))
		session_free(list_entry(r->dead.next, struct session, link));
	if (r->spool != NULL)
		spool_free(r->spool);
	report_free_all(r);
	manage_done(r);
	reception_done(r);
	users_done(r);		/* what came in had a part */
	schedule_done(&r->schedule);
	switch_log_done(&r->switches);
	history_free(r->history);
	free(r->status_text);
	free(r);
}
