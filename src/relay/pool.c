/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool - how many sessions are open, where, and which message goes into which.
 *
 * health says where; here it is carried out: the ramp, the race while nothing is
 * known to be up, a rest after each failure of an endpoint (so that whatever
 * health says, no endpoint is hammered), one login at a time unless one has just
 * succeeded (so that a wrong password is tried once).
 */
#include <stdio.h>

#include "relay/relay_impl.h"

#include "base/banned.h"

#define REST_FIRST_MS	500
#define REST_MAX_MS	60000
#define PAUSE_FIRST_MS	5000
#define PAUSE_MAX_MS	300000
#define LOGIN_PROVEN_MS	60000	/* so long, a login that succeeded speaks for the next ones */

static void pool_run(void *arg);

static int64_t
now_of(const struct relay *r)
{
	return loop_now(r->env.loop);
}

void
pool_kick(struct relay *r)
{
	task_post(r->env.loop, &r->pool.task);
}

bool
pool_has_choice(struct relay *r)
{
	size_t order[HEALTH_ENDPOINTS_MAX];

	return health_race_order(r->health, now_of(r), order) > 1;
}

static void
wake_at(struct relay *r, int64_t at_ms)
{
	struct pool *p = &r->pool;

	if (!timer_is_set(&p->timer) || p->timer.node.key > at_ms)
		timer_set(r->env.loop, &p->timer, at_ms - now_of(r));
}

/* --- the race -------------------------------------------------------------------- */

static bool
is_racing(const struct session *s)
{
	return s->kind == SESSION_RACE && !s->late && s->phase != SESSION_OVER;
}

static struct session *
racer_at(struct relay *r, size_t endpoint)
{
	list_foreach(link, &r->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (is_racing(s) && s->endpoint == endpoint)
			return s;
	}
	return NULL;
}

static void
race_stop(struct relay *r)
{
	r->pool.racing = false;
	timer_cancel(r->env.loop, &r->pool.head_start);
	timer_cancel(r->env.loop, &r->pool.tie);
}

static void
race_next(struct relay *r)
{
	struct pool *p = &r->pool;

	if (p->next < p->norder)
		(void)session_new(r, p->order[p->next++], SESSION_RACE);	/* it is in r->sessions */
	if (p->next < p->norder)
		timer_set(r->env.loop, &p->head_start, HEALTH_RACE_MS);
}

static void
on_head_start(void *arg)
{
	race_next(arg);
}

static void
race_begin(struct relay *r)
{
	struct pool *p = &r->pool;
	int64_t now = now_of(r), soonest = INT64_MAX;
	size_t order[HEALTH_ENDPOINTS_MAX], n;

	n = health_race_order(r->health, now, order);
	p->norder = p->next = 0;
	for (size_t i = 0; i < n; i++) {
		if (p->not_before_ms[order[i]] <= now)
			p->order[p->norder++] = order[i];
		else if (p->not_before_ms[order[i]] < soonest)
			soonest = p->not_before_ms[order[i]];
	}
	if (p->norder == 0) {
		wake_at(r, n != 0 ? soonest : now + WAIT_POLL_MS);
		return;
	}
	p->racing = true;
	race_next(r);
}

/* What a loser that got so far has shown counts like a probe. */
static void
race_lost(struct session *s)
{
	s->late = true;
	if (!s->proven)
		return;		/* it goes on, as a probe */
	watch_note(s, HEALTH_OK, "");
	session_quit(s);
}

static void
race_decide(struct relay *r)
{
	struct pool *p = &r->pool;
	struct session *winner = NULL;

	for (size_t i = 0; i < p->norder && winner == NULL; i++) {
		winner = racer_at(r, p->order[i]);
		if (winner != NULL && !winner->proven)
			winner = NULL;
	}
	if (winner == NULL)
		return;
	race_stop(r);
	watch_note(winner, HEALTH_OK, "");
	winner->kind = SESSION_MAIL;
	list_foreach_safe(link, &r->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (is_racing(s))
			race_lost(s);
	}
	session_unpark(winner);
}

static void
on_tie(void *arg)
{
	race_decide(arg);
}

/* The list's order breaks ties: those before s get a little more time. */
bool
pool_proven(struct session *s)
{
	struct relay *r = s->r;
	struct pool *p = &r->pool;
	bool others = false;

	if (s->kind != SESSION_RACE)
		return true;
	if (s->late || !p->racing) {
		race_lost(s);
		return false;
	}
	for (size_t i = 0; i < p->norder && p->order[i] != s->endpoint; i++)
		others = others || racer_at(r, p->order[i]) != NULL;
	session_park(s, LOGIN_GATE_MS);
	if (!timer_is_set(&p->tie))
		timer_set(r->env.loop, &p->tie, others ? RACE_TIE_MS : 0);
	return false;
}

static void
race_one_out(struct relay *r)
{
	struct pool *p = &r->pool;

	if (!p->racing)
		return;
	if (p->next < p->norder) {
		race_next(r);
		return;
	}
	for (size_t i = 0; i < p->norder; i++)
		if (racer_at(r, p->order[i]) != NULL)
			return;
	race_stop(r);
}

/* --- one login at a time, unless one has just succeeded -------------------------------------- */

bool
pool_login_gate(struct session *s)
{
	struct relay *r = s->r;
	struct pool *p = &r->pool;

	if (!health_login_allowed(r->health, now_of(r))) {
		session_quit(s);
		return false;
	}
	if (p->login_ok_ms != 0 && now_of(r) - p->login_ok_ms < LOGIN_PROVEN_MS)
		return true;
	if (p->login != NULL && p->login != s) {
		session_park(s, LOGIN_GATE_MS);
		return false;
	}
	p->login = s;
	return true;
}

void
pool_login_done(struct session *s, bool good)
{
	struct relay *r = s->r;

	r->pool.login_ok_ms = good ? now_of(r) : 0;
	if (r->pool.login == s)
		r->pool.login = NULL;
	pool_kick(r);
}

/* --- sessions and messages ----------------------------------------------------------- */

/* Health holds nothing against mail over this session's endpoint. */
static bool
is_usable(struct session *s)
{
	struct endpoint_view v;

	if (s->retire || s->quitting || s->phase != SESSION_TALK)
		return false;
	health_endpoint(s->r->health, s->endpoint, now_of(s->r), &v);
	return v.state != EP_DOWN && v.state != EP_PROBING && v.state != EP_BLOCKED && v.state != EP_OFF;
}

static bool
may_give(struct relay *r)
{
	return !r->draining && r->spool != NULL && now_of(r) >= r->pool.pause_until_ms;
}

bool
pool_idle(struct session *s)
{
	struct relay *r = s->r;
	struct spool_message *m;

	if (!is_usable(s) || r->draining) {
		session_quit(s);
		return false;
	}
	m = s->mark_pending || !may_give(r) ? NULL : schedule_take(&r->schedule, now_of(r));
	if (m != NULL) {
		delivery_give(s, m);
		session_set_age(s);
		return true;
	}
	if (!s->idle) {
		s->idle = true;
		session_set_age(s);
	}
	return false;
}

static struct session *
idle_session(struct relay *r)
{
	list_foreach(link, &r->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (s->idle && !s->mark_pending && s->phase == SESSION_TALK)
			return s;
	}
	return NULL;
}

struct census {
	unsigned	all;		/* sessions for mail */
	unsigned	opening;	/* not ready yet */
	unsigned	at[HEALTH_ENDPOINTS_MAX];
};

static void
take_census(const struct relay *r, struct census *c)
{
	*c = (struct census){ .all = 0 };
	list_foreach(link, &r->sessions) {
		const struct session *s = list_entry(link, struct session, link);

		if (s->kind != SESSION_MAIL || s->quitting)
			continue;
		c->all++;
		c->opening += !s->ready;
		c->at[s->endpoint]++;
	}
}

/* True: a session was opened; look again. */
static bool
open_one(struct relay *r, const struct census *c)
{
	struct pool *p = &r->pool;
	struct health_choice choice;
	unsigned limit = relay_upstream(r)->connections;
	int64_t now = now_of(r);

	if (!health_is_open(r->health, now)) {
		health_mail_waits(r->health, true);
		prober_plan(r);
		wake_at(r, now + WAIT_POLL_MS);
		return false;
	}
	health_choose(r->health, now, &choice);
	watch_route(r, &choice);
	health_mail_waits(r->health, choice.endpoint < 0);
	if (choice.race) {
		race_begin(r);
		return false;
	}
	if (choice.endpoint < 0) {
		wake_at(r, now + WAIT_POLL_MS);
		return false;
	}
	if (c->at[choice.endpoint] >= limit || c->at[choice.endpoint] >= choice.sessions) {
		wake_at(r, now + WAIT_POLL_MS);		/* the ramp may allow more by then */
		return false;
	}
	if (p->not_before_ms[choice.endpoint] > now) {
		wake_at(r, p->not_before_ms[choice.endpoint]);
		return false;
	}
	(void)session_new(r, (size_t)choice.endpoint, SESSION_MAIL);	/* it is in r->sessions */
	return true;
}

static void
open_sessions(struct relay *r)
{
	struct census c;
	/* Sessions that hang at a dead endpoint must not keep new ones from being opened elsewhere. */
	unsigned limit = 2 * relay_upstream(r)->connections;

	for (;;) {
		take_census(r, &c);
		if (r->pool.racing || c.all >= limit ||
		    schedule_count_due(&r->schedule, now_of(r), c.opening + 1) <= c.opening)
			return;
		if (!open_one(r, &c))
			return;
	}
}

/* Those that wait for a login that is decided by now. */
static void
let_logins_go_on(struct relay *r)
{
	struct pool *p = &r->pool;

	list_foreach_safe(link, &r->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (p->login != NULL)
			return;
		if (s->parked && !is_racing(s))
			session_unpark(s);
	}
}

static void
pool_run(void *arg)
{
	struct relay *r = arg;
	struct session *s;
	int64_t now = now_of(r), next;

	if (r->spool == NULL || r->closing)
		return;
	timer_cancel(r->env.loop, &r->pool.timer);
	let_logins_go_on(r);
	if (r->draining) {
		relay_drain_check(r);
		return;
	}
	next = schedule_next_at(&r->schedule);
	if (next > now) {
		health_mail_waits(r->health, false);
		if (next != INT64_MAX)
			wake_at(r, next);
		return;
	}
	if (!may_give(r)) {
		wake_at(r, r->pool.pause_until_ms);
		return;
	}
	while (schedule_first(&r->schedule, now) != NULL && (s = idle_session(r)) != NULL) {
		session_resume(s);	/* it takes a message, or quits */
	}
	if (schedule_first(&r->schedule, now) != NULL) {
		open_sessions(r);
	} else if ((next = schedule_next_at(&r->schedule)) != INT64_MAX) {
		wake_at(r, next);
	}
}

/* --- what a session's end teaches ------------------------------------------------------ */

void
pool_ended(struct session *s, enum health_class class)
{
	struct relay *r = s->r;
	struct pool *p = &r->pool;
	unsigned *failures = &p->failures[s->endpoint];
	int64_t rest;

	if (class != HEALTH_OK) {
		rest = REST_FIRST_MS << (*failures < 8 ? *failures : 8);
		p->not_before_ms[s->endpoint] = now_of(r) + (rest < REST_MAX_MS ? rest : REST_MAX_MS);
		(*failures)++;
	}
	if (p->login == s)
		p->login = NULL;
	if (s->kind == SESSION_RACE && !s->late)
		race_one_out(r);
	relay_status_changed(r);
	pool_kick(r);
}

void
pool_worked(struct session *s)
{
	struct pool *p = &s->r->pool;

	p->failures[s->endpoint] = 0;
	p->not_before_ms[s->endpoint] = 0;
	p->pause_ms = 0;
}

void
pool_slow_down(struct relay *r)
{
	struct pool *p = &r->pool;

	if (now_of(r) < p->pause_until_ms)
		return;
	p->pause_ms = p->pause_ms == 0 ? PAUSE_FIRST_MS : p->pause_ms * 2;
	if (p->pause_ms > PAUSE_MAX_MS)
		p->pause_ms = PAUSE_MAX_MS;
	p->pause_until_ms = now_of(r) + p->pause_ms;
	pool_kick(r);
}

void
pool_retire(struct relay *r, int endpoint)
{
	if (endpoint < 0)
		race_stop(r);
	list_foreach_safe(link, &r->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (s->kind == SESSION_PROBE || s->kind == SESSION_PROBE_LOGIN ||
		    (endpoint >= 0 && s->endpoint != (size_t)endpoint))
			continue;
		s->retire = true;
		if (s->idle || (endpoint < 0 && s->d.m == NULL))
			session_quit(s);
	}
}

void
pool_init(struct relay *r)
{
	struct pool *p = &r->pool;

	timer_init(&p->timer, pool_run, r);
	task_init(&p->task, pool_run, r);
	timer_init(&p->head_start, on_head_start, r);
	timer_init(&p->tie, on_tie, r);
}

void
pool_done(struct relay *r)
{
	timer_cancel(r->env.loop, &r->pool.timer);
	task_cancel(&r->pool.task);
	race_stop(r);
}
