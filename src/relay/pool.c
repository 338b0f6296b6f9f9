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
#define REST_MAIL_MS	15000	/* the same, after what only mail finds: the next message may pass */
#define APART_MS	60000	/* due for so long, one that is set apart goes before others, and one in that time */
#define CANARY_CUTS	2	/* a message with so many losses is none; with one it may be a victim */
#define HANGS_MS	5000	/* awaited for so long: others may begin beside it */
#define PAUSE_FIRST_MS	5000
#define PAUSE_MAX_MS	300000
#define LOGIN_PROVEN_MS	60000	/* so long, a login that succeeded speaks for the next ones */

static void pool_run(void *arg);

static int64_t
now_of(const struct upstream *u)
{
	return loop_now(u->r->env.loop);
}

void
pool_kick(struct upstream *u)
{
	task_post(u->r->env.loop, &u->pool.task);
}

bool
pool_has_choice(struct upstream *u)
{
	size_t order[HEALTH_ENDPOINTS_MAX];

	return health_race_order(u->health, now_of(u), order) > 1;
}

static void
wake_at(struct upstream *u, int64_t at_ms)
{
	struct pool *p = &u->pool;

	if (!timer_is_set(&p->timer) || p->timer.node.key > at_ms)
		timer_set(u->r->env.loop, &p->timer, at_ms - now_of(u));
}

/* --- the race -------------------------------------------------------------------- */

static bool
is_racing(const struct session *s)
{
	return s->kind == SESSION_RACE && !s->late && s->phase != SESSION_OVER;
}

static struct session *
racer_at(struct upstream *u, size_t endpoint)
{
	list_foreach(link, &u->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (is_racing(s) && s->endpoint == endpoint)
			return s;
	}
	return NULL;
}

static void
race_stop(struct upstream *u)
{
	u->pool.racing = false;
	timer_cancel(u->r->env.loop, &u->pool.head_start);
	timer_cancel(u->r->env.loop, &u->pool.tie);
}

static void
race_next(struct upstream *u)
{
	struct pool *p = &u->pool;

	if (p->next < p->norder)
		(void)session_new(u, p->order[p->next++], SESSION_RACE);	/* it is in u->sessions */
	if (p->next < p->norder)
		timer_set(u->r->env.loop, &p->head_start, HEALTH_RACE_MS);
}

static void
on_head_start(void *arg)
{
	race_next(arg);
}

static void
race_begin(struct upstream *u)
{
	struct pool *p = &u->pool;
	int64_t now = now_of(u), soonest = INT64_MAX;
	size_t order[HEALTH_ENDPOINTS_MAX], n;

	n = health_race_order(u->health, now, order);
	p->norder = p->next = 0;
	for (size_t i = 0; i < n; i++) {
		if (health_is_avoided(u->health, order[i], now))
			continue;
		if (p->not_before_ms[order[i]] <= now)
			p->order[p->norder++] = order[i];
		else if (p->not_before_ms[order[i]] < soonest)
			soonest = p->not_before_ms[order[i]];
	}
	if (p->norder == 0) {
		wake_at(u, n != 0 ? soonest : now + WAIT_POLL_MS);
		return;
	}
	p->racing = true;
	health_race_started(u->health, now);
	race_next(u);
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
race_decide(struct upstream *u)
{
	struct pool *p = &u->pool;
	struct session *winner = NULL;

	for (size_t i = 0; i < p->norder && winner == NULL; i++) {
		winner = racer_at(u, p->order[i]);
		if (winner != NULL && !winner->proven)
			winner = NULL;
	}
	if (winner == NULL)
		return;
	race_stop(u);
	watch_note(winner, HEALTH_OK, "");
	health_took_over(u->health, winner->endpoint, CHOICE_RACE, now_of(u));
	winner->kind = SESSION_MAIL;
	list_foreach_safe(link, &u->sessions) {
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
	struct upstream *u = s->up;
	struct pool *p = &u->pool;
	bool others = false;

	if (s->kind != SESSION_RACE) {
		pool_kick(u);		/* the next one may be opened */
		return true;
	}
	if (s->late || !p->racing) {
		race_lost(s);
		return false;
	}
	for (size_t i = 0; i < p->norder && p->order[i] != s->endpoint; i++)
		others = others || racer_at(u, p->order[i]) != NULL;
	session_park(s, LOGIN_GATE_MS);
	if (!timer_is_set(&p->tie))
		timer_set(u->r->env.loop, &p->tie, others ? RACE_TIE_MS : 0);
	return false;
}

static void
race_one_out(struct upstream *u)
{
	struct pool *p = &u->pool;

	if (!p->racing)
		return;
	if (p->next < p->norder) {
		race_next(u);
		return;
	}
	for (size_t i = 0; i < p->norder; i++)
		if (racer_at(u, p->order[i]) != NULL)
			return;
	race_stop(u);
}

/* --- one login at a time, unless one has just succeeded -------------------------------------- */

bool
pool_login_gate(struct session *s)
{
	struct upstream *u = s->up;
	struct pool *p = &u->pool;

	if (!health_login_allowed(u->health, now_of(u)) ||
	    (s->kind == SESSION_MAIL && health_is_login_avoided(u->health, s->endpoint, now_of(u)))) {
		session_quit(s);
		return false;
	}
	if (u->login->proved && p->login_ok_ms != 0 && now_of(u) - p->login_ok_ms < LOGIN_PROVEN_MS)
		return true;
	if (p->login != NULL && p->login != s) {
		session_park(s, LOGIN_GATE_MS);
		return false;
	}
	p->login = s;
	return guard_login(s);
}

void
pool_login_done(struct session *s, enum login_end end)
{
	struct upstream *u = s->up;

	guard_answered(s, end);
	u->pool.login_ok_ms = end == LOGIN_WORKED ? now_of(u) : 0;
	if (u->pool.login == s)
		u->pool.login = NULL;
	pool_kick(u);
}

void
pool_login_left(struct session *s)
{
	struct pool *p = &s->up->pool;

	if (p->login != s)
		return;
	p->login = NULL;
	guard_unsent(s);
	pool_kick(s->up);
}

/* --- sessions and messages ----------------------------------------------------------- */

/* Health holds nothing against mail over this session's endpoint. */
static bool
is_usable(struct session *s)
{
	struct endpoint_view v;

	if (s->retire || s->quitting || s->phase != SESSION_TALK)
		return false;
	if (!s->trial && health_is_avoided(s->up->health, s->endpoint, now_of(s->up)))
		return false;
	health_endpoint(s->up->health, s->endpoint, &v);
	/* Not so EP_PROBING: the canary must carry mail. What was kept left when it was down. */
	return v.state != EP_DOWN && v.state != EP_BLOCKED && v.state != EP_OFF;
}

static bool
may_give(struct upstream *u)
{
	return !u->r->draining && u->r->spool != NULL && now_of(u) >= u->pool.pause_until_ms &&
	    !health_holds_mail(u->health, now_of(u));
}

/* Messages that are set apart have at most half of the places. */
static bool
has_room_apart(const struct upstream *u)
{
	unsigned n = 0;

	list_foreach(link, &u->sessions) {
		const struct session *s = list_entry(link, struct session, link);

		n += s->d.m != NULL && s->apart;
	}
	return n == 0 || n < u->conf->connections / 2;
}

static bool
mail_failed_at(const struct upstream *u, size_t endpoint)
{
	struct endpoint_view v;

	health_endpoint(u->health, endpoint, &v);
	return v.mail_failed;
}

/* Nothing speaks against some endpoint. */
static bool
has_clean(struct upstream *u)
{
	size_t order[HEALTH_ENDPOINTS_MAX], n = health_race_order(u->health, now_of(u), order);
	struct endpoint_view v;

	for (size_t i = 0; i < n; i++) {
		health_endpoint(u->health, order[i], &v);
		if (!v.mail_failed && !v.suspect)
			return true;
	}
	return false;
}

/* This one, which is set apart, may be tried there, if no other one is due: it is to show nothing of an endpoint. */
static bool
may_try(struct upstream *u, size_t endpoint, const struct spool_message *m)
{
	struct endpoint_view v;

	health_endpoint(u->health, endpoint, &v);
	if (v.state == EP_PROBING && (m->lane & LANE_CUTS) >= CANARY_CUTS)
		return false;
	return has_room_apart(u) && !(v.mail_failed && has_clean(u));
}

/* The message that a session there is to carry; NULL: none. One that sessions have failed under goes behind the others. */
static struct spool_message *
next_for(struct upstream *u, size_t endpoint)
{
	const struct schedule *schedule = &u->r->schedule;
	uint32_t routes = failover_serves(u);
	int64_t now = now_of(u);
	struct spool_message *first = schedule_first(schedule, routes, now), *sound;

	if (first == NULL || !schedule_is_apart(first))
		return first;
	sound = schedule_first_sound(schedule, routes, now);
	if (!may_try(u, endpoint, first))
		return sound;
	if (sound == NULL || (now - first->due.key >= APART_MS && now - u->pool.apart_ms >= APART_MS &&
	    !mail_failed_at(u, endpoint)))
		return first;
	return sound;
}

bool
pool_idle(struct session *s)
{
	struct upstream *u = s->up;
	struct spool_message *m;

	if (!is_usable(s) || u->r->draining) {
		session_quit(s);
		return false;
	}
	m = s->mark_pending || !may_give(u) ? NULL : next_for(u, s->endpoint);
	if (m != NULL) {
		schedule_remove(&u->r->schedule, m);
		s->trial = false;
		delivery_give(s, m);
		if (s->apart)
			u->pool.apart_ms = now_of(u);
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
idle_session(struct upstream *u)
{
	list_foreach(link, &u->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (s->idle && !s->mark_pending && s->phase == SESSION_TALK &&
		    (!is_usable(s) || next_for(u, s->endpoint) != NULL))
			return s;
	}
	return NULL;
}

struct census {
	unsigned	all;		/* sessions for mail */
	unsigned	opening;	/* not ready yet */
	unsigned	at[HEALTH_ENDPOINTS_MAX];
	unsigned	hang[HEALTH_ENDPOINTS_MAX];	/* of these, with a message whose reply takes long */
	bool		unproven[HEALTH_ENDPOINTS_MAX];	/* one is on its way there */
};

static void
take_census(const struct upstream *u, struct census *c)
{
	*c = (struct census){ .all = 0 };
	list_foreach(link, &u->sessions) {
		const struct session *s = list_entry(link, struct session, link);

		if (s->kind != SESSION_MAIL || s->quitting)
			continue;
		c->all++;
		c->opening += !s->ready;
		c->at[s->endpoint]++;
		c->hang[s->endpoint] += overdue_waits(s, HANGS_MS);
		if (!s->proven)
			c->unproven[s->endpoint] = true;
	}
}

static bool
is_ready_at(struct upstream *u, size_t endpoint)
{
	return u->pool.not_before_ms[endpoint] <= now_of(u) && next_for(u, endpoint) != NULL;
}

/* What speaks against it, if anything, is what messages met there. */
static bool
may_stand_in(const struct upstream *u, size_t endpoint)
{
	struct endpoint_view v;

	health_endpoint(u->health, endpoint, &v);
	return !v.suspect || v.by_mail;
}

/* Where mail failed last, another one may do for the next message: the chosen one rests, or what is due is set apart. */
static size_t
place_for(struct upstream *u, size_t chosen)
{
	size_t order[HEALTH_ENDPOINTS_MAX], n = health_race_order(u->health, now_of(u), order);

	if (!mail_failed_at(u, chosen) || is_ready_at(u, chosen))
		return chosen;
	for (size_t i = 0; i < n; i++)
		if (may_stand_in(u, order[i]) && is_ready_at(u, order[i]))
			return order[i];
	return chosen;
}

/* True: a session was opened; look again. */
static bool
open_one(struct upstream *u, const struct census *c)
{
	struct pool *p = &u->pool;
	struct health_choice choice;
	unsigned limit = u->conf->connections;
	int64_t now = now_of(u);
	struct session *s;
	size_t at;

	if (!health_is_open(u->health, now)) {
		health_mail_waits(u->health, true);
		prober_plan(u);
		wake_at(u, now + WAIT_POLL_MS);
		return false;
	}
	health_choose(u->health, now, &choice);
	watch_route(u, &choice);
	health_mail_waits(u->health, choice.endpoint < 0);
	if (choice.race) {
		race_begin(u);
		return false;
	}
	at = choice.endpoint >= 0 ? place_for(u, (size_t)choice.endpoint) : 0;
	if (choice.endpoint < 0 || next_for(u, at) == NULL) {
		wake_at(u, now + WAIT_POLL_MS);
		return false;
	}
	if (c->at[at] >= limit || c->at[at] - c->hang[at] >= choice.sessions) {
		if (c->at[at] >= limit)
			overdue_make_room(u, at);
		wake_at(u, now + WAIT_POLL_MS);		/* the ramp may allow more by then */
		return false;
	}
	/* One at a time: if the port has died meanwhile, only one attempt is wasted. */
	if (c->unproven[at])
		return false;
	if (p->not_before_ms[at] > now) {
		wake_at(u, p->not_before_ms[at]);
		return false;
	}
	s = session_new(u, at, SESSION_MAIL);
	s->chosen = choice_reason_word(choice.reason);
	s->trial = health_mail_tries(u->health, s->endpoint, now);
	return true;
}

static void
open_sessions(struct upstream *u)
{
	struct census c;
	/* Sessions that hang at a dead endpoint must not keep new ones from being opened elsewhere. */
	unsigned limit = 2 * u->conf->connections;

	for (;;) {
		take_census(u, &c);
		if (u->pool.racing || c.all >= limit || schedule_count_due(&u->r->schedule,
		    failover_serves(u), now_of(u), c.opening + 1) <= c.opening)
			return;
		if (!open_one(u, &c))
			return;
	}
}

/* Those that wait for a login that is decided by now. */
static void
let_logins_go_on(struct upstream *u)
{
	struct pool *p = &u->pool;

	list_foreach_safe(link, &u->sessions) {
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
	struct upstream *u = arg;
	const struct schedule *schedule = &u->r->schedule;
	struct session *s;
	int64_t now = now_of(u), next;
	uint32_t routes;

	if (u->r->spool == NULL || u->r->closing)
		return;
	timer_cancel(u->r->env.loop, &u->pool.timer);
	let_logins_go_on(u);
	if (u->r->draining) {
		relay_drain_check(u->r);
		return;
	}
	if (staging_is_on(u->r))
		return;
	failover_check(u->r);
	routes = failover_serves(u);
	next = schedule_next_at(schedule, routes);
	if (routes == 0) {
		/* Mail goes elsewhere, and who sends it asks again; this one is looked after by its probes. */
		health_mail_waits(u->health, false);
		return;
	}
	if (next > now) {
		health_mail_waits(u->health, false);
		if (next != INT64_MAX)
			wake_at(u, next);
		return;
	}
	if (!may_give(u)) {
		next = u->pool.pause_until_ms;
		wake_at(u, next > now ? next : now + WAIT_POLL_MS);
		return;
	}
	while (schedule_first(schedule, routes, now) != NULL && (s = idle_session(u)) != NULL) {
		session_resume(s);	/* it takes a message, or quits */
	}
	if (schedule_first(schedule, routes, now) != NULL) {
		open_sessions(u);
	} else if ((next = schedule_next_at(schedule, routes)) != INT64_MAX) {
		wake_at(u, next);
	}
}

/* --- what a session's end teaches ------------------------------------------------------ */

void
pool_ended(struct session *s, enum health_class class)
{
	struct upstream *u = s->up;
	struct pool *p = &u->pool;
	unsigned *failures = &p->failures[s->endpoint];
	int64_t rest, most = s->failed_at != MAIL_NONE ? REST_MAIL_MS : REST_MAX_MS;

	if (class != HEALTH_OK && !s->own_fault) {
		rest = REST_FIRST_MS << (*failures < 8 ? *failures : 8);
		p->not_before_ms[s->endpoint] = now_of(u) + (rest < most ? rest : most);
		/* One that is set apart has delays of its own, and who was waited for has cost time enough. */
		if (s->failed_at == MAIL_NONE || (!s->apart && now_of(u) - s->awaits_ms < HANGS_MS))
			(*failures)++;
	}
	pool_login_left(s);
	if (s->kind == SESSION_RACE && !s->late)
		race_one_out(u);
	relay_status_changed(u->r);
	pool_kick(u);
}

void
pool_worked(struct session *s)
{
	struct pool *p = &s->up->pool;

	p->failures[s->endpoint] = 0;
	p->not_before_ms[s->endpoint] = 0;
	p->pause_ms = 0;
}

void
pool_slow_down(struct upstream *u)
{
	struct pool *p = &u->pool;

	if (now_of(u) < p->pause_until_ms)
		return;
	p->pause_ms = p->pause_ms == 0 ? PAUSE_FIRST_MS : p->pause_ms * 2;
	if (p->pause_ms > PAUSE_MAX_MS)
		p->pause_ms = PAUSE_MAX_MS;
	p->pause_until_ms = now_of(u) + p->pause_ms;
	pool_kick(u);
}

/* What was idle may have no way to its peer any more, and would cost a message its time. */
void
pool_network_changed(struct upstream *u)
{
	struct pool *p = &u->pool;

	memset(p->failures, 0, sizeof(p->failures));
	memset(p->not_before_ms, 0, sizeof(p->not_before_ms));
	list_foreach_safe(link, &u->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (s->idle)
			session_quit(s);
	}
}

void
pool_retire(struct upstream *u, int endpoint)
{
	if (endpoint < 0)
		race_stop(u);
	list_foreach_safe(link, &u->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (s->kind == SESSION_PROBE || s->kind == SESSION_PROBE_LOGIN ||
		    (endpoint >= 0 && s->endpoint != (size_t)endpoint))
			continue;
		s->retire = true;
		if (s->idle || (endpoint < 0 && s->d.m == NULL && !s->logging_in))
			session_quit(s);
	}
}

void
pool_init(struct upstream *u)
{
	struct pool *p = &u->pool;

	timer_init(&p->timer, pool_run, u);
	task_init(&p->task, pool_run, u);
	timer_init(&p->head_start, on_head_start, u);
	timer_init(&p->tie, on_tie, u);
}

void
pool_done(struct upstream *u)
{
	timer_cancel(u->r->env.loop, &u->pool.timer);
	task_cancel(&u->pool.task);
	race_stop(u);
}
