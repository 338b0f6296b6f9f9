/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules that hold in whatever weather, watched as the month goes by. What becomes of
 * the messages is judged at the end: judge_mail.c.
 */
#include "sim/month.h"

#include <stdarg.h>
#include <stdio.h>

#include "health/health_impl.h"

#include "base/banned.h"

#define PROBES_CALM	24
#define SESSION_MAX_MS	MINUTES(45)	/* age limit, a transaction, the final dot's patience */
#define MOVE_MS		SECONDS(20)
#define RETURN_MS	HOURS(1)
#define RETURN_EXTRA_MS	MINUTES(30)
#define TOO_EARLY_MS	HOURS(2)	/* left again so soon after a return: return_hold doubles */
#define STUCK_MS	MINUTES(5)
#define STUCK_OTHER_MS	MINUTES(15)	/* until all ports of the relay that serves count as down */
#define VOLUNTARY	6
#define SLACK_MS	20		/* journeys that are under way */
#define LOGINS_A_MINUTE	20		/* one at a time to a port, and a ramp of connections */

void
judge_broken(struct month *m, const char *rule, const char *fmt, ...)
{
	struct judge *j = &m->judge;
	va_list ap;
	int n;

	if (j->verdict[0] != '\0')
		return;
	j->verdict_ms = month_now(m);
	n = snprintf(j->verdict, sizeof(j->verdict), "%s: ", rule);
	va_start(ap, fmt);
	(void)vsnprintf(j->verdict + n, sizeof(j->verdict) - (size_t)n, fmt, ap);
	va_end(ap);
}

static const char *
name_of(struct month *m, size_t relay, size_t i)
{
	return watch_endpoint(&m->w.relay->up[relay], i);
}

/* Another port of the relay that is well, and has been since then, and that health knows to be. */
static int
other_port(struct month *m, size_t relay, size_t but, int64_t since_ms)
{
	const struct health *h = relay_health(m->w.relay, relay);

	for (size_t i = 0; i < PORTS; i++) {
		const struct judged_port *p = &m->judge.relay[relay].port[i];

		if (i != but && p->clear_ms != NEVER_MS && p->clear_ms <= since_ms &&
		    h->ep[i].state == EP_UP && !endpoint_is_doubted(&h->ep[i], month_now(m)))
			return (int)i;
	}
	return -1;
}

/* Is another port dead that health takes for good? Then leaving the first may cost a time-out there. */
static bool
other_is_dead(struct month *m, size_t relay, size_t but)
{
	const struct health *h = relay_health(m->w.relay, relay);

	for (size_t i = 0; i < PORTS; i++) {
		if (i != but && m->judge.relay[relay].port[i].clear_ms == NEVER_MS &&
		    h->ep[i].state == EP_UP && !endpoint_is_doubted(&h->ep[i], month_now(m)))
			return true;
	}
	return false;
}

/* --- probes -------------------------------------------------------------------- */

static bool
is_within(int64_t at_ms, int64_t now, int64_t ms)
{
	return at_ms != NEVER_MS && now - at_ms < ms;
}

static bool
is_calm(struct month *m, size_t relay)
{
	const struct health *h = relay_health(m->w.relay, relay);

	for (size_t i = 0; i < PORTS; i++) {
		const struct endpoint *ep = &h->ep[i];

		if (ep->suspect || ep->urgent || (ep->state != EP_UP && ep->state != EP_BLOCKED))
			return false;
	}
	return true;
}

static void
note_probe(struct month *m, size_t relay, bool race)
{
	struct judged_relay *r = &m->judge.relay[relay];
	int64_t now = month_now(m), last = r->probe_ms;
	int64_t oldest = r->probe[r->probe_at];
	int64_t calm = r->probe[(r->probe_at + PROBES_MAX - PROBES_CALM) % PROBES_MAX];

	r->probe[r->probe_at] = now;
	r->probe_at = (r->probe_at + 1) % PROBES_MAX;
	r->races += race;
	r->probes += !race;
	if (race)
		return;
	r->probe_ms = now;
	if (is_within(oldest, now, HOURS(1) - SLACK_MS))
		judge_broken(m, "budget", "more than %d probes of relay %zu in an hour", PROBES_MAX, relay);
	if (!is_calm(m, relay))
		r->trouble_ms = now;
	if (is_within(calm, now, HOURS(1) - SLACK_MS) && !is_within(r->trouble_ms, now, HOURS(1)))
		judge_broken(m, "budget", "more than %d probes of relay %zu in a calm hour", PROBES_CALM,
		    relay);
	if (is_within(last, now, SECONDS(1) - SLACK_MS) || (is_within(last, now, SECONDS(5) - SLACK_MS) &&
	    !is_within(m->judge.urgent_ms, now, MINUTES(1))))
		judge_broken(m, "budget", "two probes of relay %zu within %lld ms", relay,
		    (long long)(now - last));
}

/* --- sessions for mail ------------------------------------------------------------ */

/* A port that died costs one new attempt, if another works. */
static void
watch_waste(struct month *m, struct session *s, size_t relay)
{
	struct judged_port *p = &m->judge.relay[relay].port[s->endpoint];

	if (p->dead_ms == NEVER_MS)
		return;
	m->judge.wasted++;
	if (++p->wasted > 1 && other_port(m, relay, s->endpoint, p->dead_ms) >= 0)
		judge_broken(m, "waste", "attempt %u at %s, dead for %lld ms; %s works", p->wasted,
		    name_of(m, relay, s->endpoint), (long long)(month_now(m) - p->dead_ms),
		    name_of(m, relay, (size_t)other_port(m, relay, s->endpoint, p->dead_ms)));
}

static unsigned
voluntary_count(const struct judged_relay *r, int64_t now)
{
	unsigned n = 0;

	for (size_t i = 0; i < VOLUNTARY; i++)
		n += is_within(r->voluntary[i], now, HOURS(1));
	return n;
}

/* A message is on its way to it: where only mail shows whether mail passes, the next ones wait for that elsewhere. */
static bool
is_asked_by_mail(struct month *m, size_t relay, size_t port)
{
	list_foreach(link, &m->w.relay->up[relay].sessions) {
		const struct session *s = list_entry(link, struct session, link);

		if (s->kind == SESSION_MAIL && s->endpoint == port)
			return true;
	}
	return false;
}

/* Mail goes elsewhere though the preferred port is well: how long may that be? */
static void
watch_return(struct month *m, struct session *s, size_t relay)
{
	const struct judged_relay *r = &m->judge.relay[relay];
	int64_t now = month_now(m), since = r->port[0].clear_ms, limit = RETURN_MS;

	if (s->endpoint == 0 || since == NEVER_MS || voluntary_count(r, now) == VOLUNTARY ||
	    is_asked_by_mail(m, relay, 0))
		return;
	if (r->left_ms != NEVER_MS && (is_within(r->left_before_ms, r->left_ms, DAYS(1)) ||
	    is_within(r->returned_ms, r->left_ms, TOO_EARLY_MS)))
		limit = relay_health(m->w.relay, relay)->return_hold_ms + RETURN_EXTRA_MS;
	if (now - since > limit)
		judge_broken(m, "return", "%s is well for %lld s and not used, limit %lld s",
		    name_of(m, relay, 0), (long long)(now - since) / 1000, (long long)limit / 1000);
}

static void
on_connect(void *arg, struct twin_endpoint *ep, void *owner)
{
	struct month *m = arg;
	const struct dial_try *try = m->tls_used ? twin_tls_owner(owner) : owner;
	struct session *s = try->dial->owner;
	size_t relay = s->up->index;

	if (try != &try->dial->try[0])
		return;			/* a further address, of the same attempt */
	month_trace(m, &s->endpoint, sizeof(s->endpoint));
	m->judge.sessions++;
	switch (s->kind) {
	case SESSION_PROBE:
	case SESSION_PROBE_LOGIN:
		note_probe(m, relay, false);
		break;
	case SESSION_RACE:
		if (s->up->pool.next == 1)
			note_probe(m, relay, true);
		break;
	case SESSION_MAIL:
		watch_waste(m, s, relay);
		watch_return(m, s, relay);
		break;
	}
}

/* --- what leaves in clear ------------------------------------------------------------ */

/* TLS: alert, handshake, data; nothing that we know is readable in it. */
static bool
is_record(struct view v)
{
	static const char *const secrets[] = { "AUTH PLAIN", "MAIL FROM:", "RCPT TO:", "AHdlYjEAc2VjcmV0",
	    "dark and stormy" };	/* none so short that chance writes it in what is encrypted */

	for (size_t i = 0; i < lengthof(secrets); i++)
		if (view_search(v, view_str(secrets[i])) < v.n)
			return false;
	return v.n > 5 && v.p[0] >= 20 && v.p[0] <= 23 && v.p[1] == 3;
}

static void
on_sent(void *arg, struct twin_endpoint *ep, bool tls, struct view bytes)
{
	struct month *m = arg;
	struct view line;

	if (tls || (m->tls_used && is_record(bytes)))
		return;
	while (view_split(&bytes, '\n', &line)) {
		if (!view_starts(line, VIEW("EHLO ")) && !view_starts(line, VIEW("HELO ")) &&
		    !view_starts(line, VIEW("STARTTLS\r")) && !view_starts(line, VIEW("QUIT\r")))
			judge_broken(m, "clear", "this went out in clear: \"%.*s\"", VIEW_ARG(line));
	}
}

/* Sessions that log in and leave again at once look like an attack, whoever is right. */
static void
judge_login_rate(struct month *m, size_t relay)
{
	struct judged_relay *r = &m->judge.relay[relay];
	int64_t now = month_now(m);

	if (now - r->logins_ms >= MINUTES(1)) {
		r->logins_ms = now;
		r->logins = 0;
	}
	if (++r->logins > LOGINS_A_MINUTE)
		judge_broken(m, "rate", "login %u at relay %zu within a minute", r->logins, relay);
}

/* A refused login is not repeated before its timer, and none goes to a wrong certificate. */
void
judge_login(struct month *m, const struct port *p, bool refused)
{
	static const int64_t rest[] = { HOURS(1), HOURS(6), HOURS(24) };
	struct judged_relay *r = &m->judge.relay[p->relay];
	int64_t now = month_now(m), delay_ms = p->host->ep->delay_ms;
	int64_t age = r->refused_ms == NEVER_MS ? INT64_MAX : now - r->refused_ms;
	unsigned step = r->refusals < lengthof(rest) ? r->refusals : (unsigned)lengthof(rest);
	bool on_its_way = r->refused_ms != NEVER_MS && age <= SLACK_MS + 2 * delay_ms;

	judge_login_rate(m, p->relay);
	if (r->refused_ms != NEVER_MS && !on_its_way && age < rest[step - 1] / 10 * 9)
		judge_broken(m, "login", "login %u at relay %zu, %lld s after one that was refused",
		    r->refusals + 1, p->relay, (long long)age / 1000);
	/* A session from before may have waited for its turn to log in. */
	if (p->host->ep->tls != STREAM_EOF && now - p->changed_ms > MINUTES(2))
		judge_broken(m, "clear", "a login at %s, whose certificate is wrong",
		    name_of(m, p->relay, p->index));
	if (!refused) {
		r->refused_ms = NEVER_MS;
		r->refusals = 0;
	} else if (!on_its_way) {
		r->refused_ms = now;
		r->refusals++;
	}
}

/* --- the path dies under a message ------------------------------------------------------ */

static bool
has_moved(struct month *m, const struct moving *v, spool_id id)
{
	struct spool_message *msg = spool_find(relay_spool(m->w.relay), id);
	const struct session *s = msg != NULL ? msg->delivery : NULL;

	if (msg == NULL || (msg->flags & SPOOL_UNCERTAIN) != 0)
		return true;
	return s != NULL && (s->up->index != v->relay || s->endpoint != v->port || s->client == NULL ||
	    client_state(s->client) >= CL_DOT);
}

static void
on_moved(void *arg)
{
	struct moving *v = arg;
	struct month *m = v->m;
	const struct judged_relay *r = &m->judge.relay[v->relay];
	char text[17];

	if (r->account_ms == NEVER_MS || r->account_ms > v->since_ms ||
	    other_port(m, v->relay, v->port, v->since_ms) < 0 || other_is_dead(m, v->relay, v->port))
		return;
	for (size_t i = 0; i < v->n; i++) {
		m->judge.moved++;
		if (!has_moved(m, v, v->id[i]))
			judge_broken(m, "move", "%s is still at %s, whose path died %lld ms ago",
			    spool_id_text(text, v->id[i]), name_of(m, v->relay, v->port),
			    (long long)(month_now(m) - v->since_ms));
	}
}

static void
watch_messages(struct month *m, size_t relay, size_t port)
{
	struct moving *v = &m->judge.relay[relay].moving;
	struct upstream *u = &m->w.relay->up[relay];

	if (timer_is_set(&v->timer) || other_port(m, relay, port, month_now(m)) < 0)
		return;
	v->port = port;
	v->since_ms = month_now(m);
	v->n = 0;
	list_foreach(link, &u->sessions) {
		const struct session *s = list_entry(link, struct session, link);

		/* Not one that the loss of earlier connections may be charged to. */
		if (s->endpoint == port && s->d.m != NULL && v->n < MOVING_MAX &&
		    client_state(s->client) < CL_DOT && (s->d.m->lane & LANE_CUTS) == 0)
			v->id[v->n++] = s->d.m->id;
	}
	if (v->n != 0)
		timer_set(&m->w.loop.loop, &v->timer, MOVE_MS);
}

/* --- weather ------------------------------------------------------------------------------ */

static void
since(int64_t *at_ms, bool holds, int64_t now)
{
	if (!holds)
		*at_ms = NEVER_MS;
	else if (*at_ms == NEVER_MS)
		*at_ms = now;
}

void
judge_weather(struct month *m)
{
	int64_t now = month_now(m);
	bool names = !m->w.net.dns_down;

	for (size_t r = 0; r < RELAYS; r++) {
		struct judged_relay *jr = &m->judge.relay[r];

		since(&jr->account_ms, m->weather.account[r] == ACCOUNT_GOOD, now);
		for (size_t i = 0; i < PORTS; i++)
			since(&jr->port[i].clear_ms, names && m->weather.port[r][i].now == SKY_CLEAR, now);
		for (size_t i = 0; i < PORTS; i++) {
			const struct port *p = &m->weather.port[r][i];
			struct judged_port *jp = &jr->port[i];
			bool was_dead = jp->dead_ms != NEVER_MS;

			since(&jp->dead_ms, weather_is_dead(p), now);
			if (was_dead || jp->dead_ms == NEVER_MS)
				continue;
			jp->wasted = 0;
			if (p->now == SKY_FILTERED || p->now == SKY_NO_ROUTE)
				watch_messages(m, r, i);
		}
	}
}

/* --- at every turn, at every minute --------------------------------------------------------- */

static bool
has_deadline(const struct session *s)
{
	if (s->idle)
		return timer_is_set(&s->age);
	return timer_is_set(&s->step) || (timer_is_set(&s->whole) &&
	    (s->mark_pending || s->d.reader != NULL));
}

bool
judge_turn(void *arg)
{
	struct month *m = arg;

	for (size_t r = 0; r < RELAYS; r++) {
		const struct list *all = &m->w.relay->up[r].sessions;

		list_foreach(link, all) {
			const struct session *s = list_entry(link, struct session, link);

			if (!has_deadline(s))
				judge_broken(m, "deadline", "a session at %s waits for ever",
				    name_of(m, r, s->endpoint));
		}
	}
	return m->judge.verdict[0] != '\0' || m->restart_now;
}

/* Sessions that wait for the reply to a final dot hold their places, for ten minutes if need be. */
static bool
waits_for_reply(struct month *m, size_t relay)
{
	list_foreach(link, &m->w.relay->up[relay].sessions) {
		const struct session *s = list_entry(link, struct session, link);

		if (s->client != NULL && client_state(s->client) == CL_DOT)
			return true;
	}
	return false;
}

/* Could mail go by this relay for so long? */
static bool
is_open(struct month *m, size_t relay, int64_t ms)
{
	const struct judged_relay *jr = &m->judge.relay[relay];
	int64_t now = month_now(m);
	struct account_view account;

	health_account(relay_health(m->w.relay, relay), now, &account);
	return account.state == ACCOUNT_AVAILABLE && !waits_for_reply(m, relay) &&
	    now - account.since_ms >= ms &&
	    jr->account_ms != NEVER_MS && now - jr->account_ms >= ms &&
	    now - m->w.relay->up[relay].pool.pause_until_ms >= ms &&	/* it was told to slow down */
	    !is_within(jr->probe[jr->probe_at], now, HOURS(1));	/* there is no budget left to look */
}

/* Some port has been well for a while, and mail of this route that is due does not go. */
static void
watch_waiting(struct month *m, size_t route)
{
	int64_t now = month_now(m);
	int64_t due = schedule_next_at(&m->w.relay->schedule, ROUTE_BIT(route) | ROUTE_BIT(ROUTE_UNKNOWN));
	int serving = relay_of_route(m->w.relay, route);

	if (due == INT64_MAX || now - due < STUCK_MS || is_within(m->judge.urgent_ms, now, STUCK_MS))
		return;
	for (size_t r = 0; r < RELAYS; r++) {
		int64_t ms = serving < 0 || serving == (int)r ? STUCK_MS : STUCK_OTHER_MS;

		if (now - due < ms || !is_open(m, r, ms))
			continue;
		for (size_t i = 0; i < PORTS; i++) {
			int64_t clear_ms = m->judge.relay[r].port[i].clear_ms;

			if (clear_ms != NEVER_MS && now - clear_ms >= ms)
				judge_broken(m, "waiting", "mail waits for %lld s; %s works",
				    (long long)(now - due) / 1000, name_of(m, r, i));
		}
	}
}

static void
watch_sessions(struct month *m)
{
	for (size_t r = 0; r < RELAYS; r++) {
		const struct list *all = &m->w.relay->up[r].sessions;

		if (!is_calm(m, r))
			m->judge.relay[r].trouble_ms = month_now(m);
		list_foreach(link, all) {
			const struct session *s = list_entry(link, struct session, link);

			if (month_now(m) - s->started_ms > SESSION_MAX_MS)
				judge_broken(m, "deadline", "a session at %s lasts for %lld s",
				    name_of(m, r, s->endpoint),
				    (long long)(month_now(m) - s->started_ms) / 1000);
		}
	}
}

static void
on_minute(void *arg)
{
	struct month *m = arg;

	timer_set(&m->w.loop.loop, &m->judge.minute, MINUTES(1));
	for (size_t i = 0; i < m->w.conf.nroute; i++)
		watch_waiting(m, i);
	watch_sessions(m);
}

/* --- the log --------------------------------------------------------------------------------- */

static bool
has(const char *line, const char *what)
{
	return strstr(line, what) != NULL;
}

void
judge_line(struct month *m, const char *line)
{
	struct judged_relay *r = &m->judge.relay[has(line, " relay=backup ") ? 1 : 0];
	int64_t now = month_now(m);

	if (strncmp(line, "attempt-failed ", 15) == 0 || strncmp(line, "endpoint-", 9) == 0)
		r->trouble_ms = now;
	if (strncmp(line, "expired ", 8) == 0)
		judge_expired(m, line);
	if (strncmp(line, "route-changed ", 14) != 0)
		return;
	m->judge.switches++;
	if (has(line, ":587 to=")) {
		r->left_before_ms = r->left_ms;
		r->returned_ms = r->last_return_ms;
		r->left_ms = now;
	}
	if (!has(line, "reason=better") && !has(line, "reason=return"))
		return;
	if (has(line, "reason=return")) {
		m->judge.returns++;
		r->last_return_ms = now;
	}
	if (is_within(r->voluntary[r->voluntary_at], now, HOURS(1)))
		judge_broken(m, "flapping", "more than %d switches by choice in an hour", VOLUNTARY);
	r->voluntary[r->voluntary_at] = now;
	r->voluntary_at = (r->voluntary_at + 1) % VOLUNTARY;
}

/* --- from the first day to the last ------------------------------------------------------------- */

void
judge_restarted(struct month *m)
{
	struct judge *j = &m->judge;
	int64_t now = month_now(m);

	j->urgent_ms = now;
	for (size_t r = 0; r < RELAYS; r++) {
		struct judged_relay *jr = &j->relay[r];

		for (size_t i = 0; i < PROBES_MAX; i++)
			jr->probe[i] = NEVER_MS;
		for (size_t i = 0; i < VOLUNTARY; i++)
			jr->voluntary[i] = NEVER_MS;
		jr->probe_ms = jr->refused_ms = NEVER_MS;
		jr->left_ms = jr->left_before_ms = jr->returned_ms = jr->last_return_ms = NEVER_MS;
		jr->refusals = 0;
		jr->trouble_ms = now;
		for (size_t i = 0; i < PORTS; i++) {
			jr->port[i].wasted = 0;
			/* What is well counts from now on: before, nobody looked. */
			if (jr->port[i].clear_ms != NEVER_MS)
				jr->port[i].clear_ms = now;
		}
		timer_cancel(&m->w.loop.loop, &jr->moving.timer);
	}
}

void
judge_start(struct month *m)
{
	struct judge *j = &m->judge;

	for (size_t r = 0; r < RELAYS; r++) {
		struct judged_relay *jr = &j->relay[r];

		jr->account_ms = NEVER_MS;
		for (size_t i = 0; i < PORTS; i++)
			jr->port[i].clear_ms = jr->port[i].dead_ms = NEVER_MS;
		jr->moving.m = m;
		jr->moving.relay = r;
		timer_init(&jr->moving.timer, on_moved, &jr->moving);
	}
	timer_init(&j->minute, on_minute, m);
	timer_set(&m->w.loop.loop, &j->minute, MINUTES(1));
	m->w.net.tap = (struct twin_tap){ on_connect, on_sent };
	m->w.net.tap_arg = m;
	judge_restarted(m);
}

void
judge_stop(struct month *m)
{
	timer_cancel(&m->w.loop.loop, &m->judge.minute);
	for (size_t r = 0; r < RELAYS; r++)
		timer_cancel(&m->w.loop.loop, &m->judge.relay[r].moving.timer);
}
