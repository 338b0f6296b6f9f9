/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch - what sessions show goes to health; what changes there goes to the log.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/num.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

const char *
watch_endpoint(struct upstream *u, size_t i)
{
	return u->endpoint_name[i];
}

void
watch_dials(struct session *s)
{
	static const char *const words[] = {
		[SESSION_MAIL] = "mail", [SESSION_RACE] = "race",
		[SESSION_PROBE] = "probe", [SESSION_PROBE_LOGIN] = "probe-login",
	};
	struct upstream *u = s->up;
	struct log_line l;

	log_begin(&l, u->r->env.log, LEVEL_DEBUG, "connecting");
	log_word(&l, "relay", u->conf->name);
	log_word(&l, "endpoint", watch_endpoint(u, s->endpoint));
	log_word(&l, "for", words[s->kind]);
	log_end(&l);
}

static void
log_probe(struct session *s, enum health_class class, const char *detail)
{
	struct upstream *u = s->up;
	struct log_line l;

	log_begin(&l, u->r->env.log, LEVEL_DEBUG, "probe");
	log_word(&l, "relay", u->conf->name);
	log_word(&l, "endpoint", watch_endpoint(u, s->endpoint));
	log_word(&l, "class", health_class_info(class)->word);
	log_num(&l, "ready_ms", s->ready_ms);
	log_text(&l, "detail", view_str(detail));
	log_end(&l);
}

static void
log_attempt(struct session *s, enum health_class class, const char *detail)
{
	struct upstream *u = s->up;
	struct log_line l;

	log_begin(&l, u->r->life, LEVEL_NOTICE, "attempt-failed");
	log_word(&l, "relay", u->conf->name);
	log_word(&l, "endpoint", watch_endpoint(u, s->endpoint));
	log_word(&l, "class", health_class_info(class)->word);
	log_text(&l, "detail", view_str(detail));
	log_end(&l);
}

bool
watch_has_other_relay(const struct session *s, enum health_standing least)
{
	const struct relay *r = s->r;
	const struct conf_route *rt = &r->conf->route[s->d.route];

	for (size_t i = 0; i < rt->nrelay; i++)
		if (rt->relay[i] != s->up->index &&
		    health_standing(r->up[rt->relay[i]].health, loop_now(r->env.loop)) >= least)
			return true;
	return false;
}

/* Is one message all that speaks against mail here? */
static bool
is_lone(struct session *s, enum health_class class)
{
	struct watch *w = &s->up->watch;

	if (s->failed_at == MAIL_NONE)
		return false;
	if (class == HEALTH_OK || health_class_info(class)->scope == SCOPE_MESSAGE) {
		w->failed = 0;
		w->failed_many = false;
		return false;
	}
	if (w->failed == 0)
		w->failed = s->message_id;
	w->failed_many = w->failed_many || w->failed != s->message_id;
	return !w->failed_many;
}

static void
forgive_ports(struct upstream *u)
{
	uint32_t freed = blame_freed(&u->watch.blame);

	for (size_t i = 0; i < u->conf->nendpoint; i++)
		if ((freed & (UINT32_C(1) << i)) != 0)
			health_mail_forgive(u->health, i, loop_now(u->r->env.loop));
}

/* What is found now to have been messages' own fault was not that of the ports, here and at the other relays. */
static void
forgive(struct upstream *u)
{
	struct relay *r = u->r;

	forgive_ports(u);
	for (size_t i = 0; i < r->nup; i++)
		if (&r->up[i] != u && blame_share(&r->up[i].watch.blame, &u->watch.blame))
			forgive_ports(&r->up[i]);
}

/* Its message may speak against this relay. */
static bool
is_witness(const struct session *s)
{
	return s->cuts < OUTCOME_CUTS_FREE && blame_is_witness(&s->up->watch.blame, s->message_id);
}

void
watch_blame(struct session *s, enum health_class class)
{
	struct blame *b = &s->up->watch.blame;

	if (s->kind != SESSION_MAIL || s->failed_at == MAIL_NONE || s->blamed ||
	    health_class_info(class)->scope != SCOPE_ENDPOINT)
		return;
	s->blamed = true;
	blame_failed(b, s->message_id, s->endpoint);
	s->own_fault = !is_witness(s);
	forgive(s->up);
}

enum health_class
watch_denied(struct session *s, struct view sender)
{
	struct watch *w = &s->up->watch;
	struct denied_message m = { s->message_id, crc32c(0, sender), s->cuts == 0 };

	if (!s->logged_in)
		return HEALTH_AUTH_REFUSED;
	blame_failed(&w->blame, s->message_id, s->endpoint);	/* asked when it is charged, too */
	if (blame_is_own(&w->blame, s->message_id) || !denied_failed(&w->denied, &m, loop_now(s->r->env.loop)))
		return HEALTH_SENDER_REFUSED;
	return HEALTH_MAIL_DENIED;
}

void
watch_note(struct session *s, enum health_class class, const char *detail)
{
	struct upstream *u = s->up;
	bool mail = s->kind == SESSION_MAIL;
	enum health_scope scope = health_class_info(class)->scope;
	struct watch_port *port = &u->watch.port[s->endpoint];
	struct endpoint_view before, after;
	int64_t now = loop_now(u->r->env.loop);
	struct health_sample sample = {
		.class = class,
		.source = mail ? SAMPLE_DELIVERY : SAMPLE_PROBE,
		.ready_ms = s->noted ? -1 : s->ready_ms,
		.age_ms = loop_now(u->r->env.loop) - s->started_ms,
		.logged_in = s->logged_in,
		.unjudged = u->login->open,
		.mail = s->failed_at,
		.lone = mail && !s->own_fault && is_lone(s, class),
		.only_way = s->failed_at != MAIL_NONE && !watch_has_other_relay(s, STANDING_UNSURE),
		.detail = detail,
		.wall_ms = loop_wall(u->r->env.loop),
	};

	s->noted = s->noted || s->ready;
	if (s->kind != SESSION_MAIL && (s->kind != SESSION_RACE || class == HEALTH_OK))
		log_probe(s, class, detail);
	else if (class != HEALTH_OK && scope != SCOPE_MESSAGE)
		log_attempt(s, class, detail);
	if (mail && (class == HEALTH_OK || scope == SCOPE_MESSAGE))
		pool_worked(s);
	if (s->own_fault && class != HEALTH_OK)
		return;			/* it is known of this message, and no news of the port */
	if (mail && class == HEALTH_OK && s->failed_at != MAIL_NONE) {
		denied_passed(&u->watch.denied, crc32c(0, s->d.envelope->from), now);
		blame_passed(&u->watch.blame, s->message_id, s->endpoint);
		forgive(u);
	}
	if (class == HEALTH_QUOTA)
		pool_slow_down(u);
	health_endpoint(u->health, s->endpoint, &before);
	health_note(u->health, s->endpoint, &sample, now);
	guard_share(u, class);
	if (mail && (class == HEALTH_OK || scope == SCOPE_MESSAGE))
		detour_carried(s);
	health_endpoint(u->health, s->endpoint, &after);
	remark_class(s, class);
	trail_add(&port->trail, &sample, &before, &after, now);
	port_history_note(&port->history, port_mark_of(&after), now);
	watch_changed(u);
}

void
watch_tls(struct session *s)
{
	struct watch_port *port = &s->up->watch.port[s->endpoint];
	struct tls_info info;

	if (s->up->conf->insecure)
		return;		/* it was not verified, so it says nothing */
	if (!stream_tls_info(s->stream, &info) || info.not_after_ms <= 0)
		return;		/* not told: what was seen before stands */
	remark_issuer(s, info.issuer);
	if (port->not_after_ms == info.not_after_ms)
		return;
	port->not_after_ms = info.not_after_ms;
	relay_status_changed(s->r);
}

void
watch_route(struct upstream *u, const struct health_choice *c)
{
	if (!c->changed)
		return;
	if (c->from >= 0 && c->endpoint >= 0)
		pool_retire(u, c->from);
	watch_changed(u);
}

/* --- what health has to tell -------------------------------------------------------- */

static enum log_level
level_of(enum health_event_kind kind)
{
	switch (kind) {
	case HEALTH_ACCOUNT_BLOCKED:
	case HEALTH_RELAY_DOWN:
		return LEVEL_ERROR;
	case HEALTH_ENDPOINT_DEGRADED:
	case HEALTH_ENDPOINT_DOWN:
	case HEALTH_ENDPOINT_BLOCKED:
	case HEALTH_FLAPPING:
	case HEALTH_ACCOUNT_PAUSED:
	case HEALTH_ACCOUNT_EXHAUSTED:
		return LEVEL_WARNING;
	default:
		return LEVEL_NOTICE;
	}
}

static const char *
endpoint_or_none(struct upstream *u, int i)
{
	return i >= 0 ? watch_endpoint(u, (size_t)i) : "none";
}

static bool
is_about_way(enum health_event_kind kind)
{
	return kind == HEALTH_ROUTE_CHANGED || kind == HEALTH_DETOUR || kind == HEALTH_DETOUR_OVER;
}

/* What the score is made of, in percent: "71: availability 51, quickness 87, stability 100, preference 100". */
static void
log_points(struct log_line *l, struct upstream *u, const char *key, int i)
{
	struct endpoint_points p;
	char text[120];

	if (i < 0)
		return;
	health_points(u->health, (size_t)i, loop_now(u->r->env.loop), &p);
	snprintf(text, sizeof(text), "%.0f: availability %.0f, quickness %.0f, stability %.0f, preference %.0f", p.score,
	    100 * p.availability, 100 * p.quickness, 100 * p.stability, 100 * p.preference);
	log_text(l, key, view_str(text));
}

static void
log_event(struct upstream *u, const struct health_event *ev)
{
	const struct health_class_info *why = health_class_info(ev->class);
	struct log_line l;

	log_begin(&l, u->r->life, level_of(ev->kind), health_event_word(ev->kind));
	log_word(&l, "relay", u->conf->name);
	if (is_about_way(ev->kind)) {
		log_word(&l, "from", endpoint_or_none(u, ev->from));
		log_word(&l, "to", endpoint_or_none(u, ev->endpoint));
		log_word(&l, "reason", choice_reason_word(ev->reason));
	} else if (ev->endpoint >= 0) {
		log_word(&l, "endpoint", watch_endpoint(u, (size_t)ev->endpoint));
	}
	if (ev->class != HEALTH_OK && ev->kind != HEALTH_RELAY_UP) {
		log_word(&l, "class", why->word);
		log_text(&l, "meaning", view_str(why->sentence));
		log_text(&l, "advice", view_str(ev->advice));
		log_text(&l, "detail", view_str(ev->detail));
	}
	if (ev->kind == HEALTH_ROUTE_CHANGED) {
		log_points(&l, u, "points_from", ev->from);
		log_points(&l, u, "points_to", ev->endpoint);
	}
	if (ev->until_ms >= 0)
		log_num(&l, "for_ms", ev->until_ms - ev->at_ms);
	log_end(&l);
}

/* --- what is kept of it for people ---------------------------------------------------- */

void
watch_look(struct upstream *u)
{
	int64_t now = loop_now(u->r->env.loop);

	for (size_t i = 0; i < u->conf->nendpoint; i++) {
		struct endpoint_view v;

		health_endpoint(u->health, i, &v);
		port_history_note(&u->watch.port[i].history, port_mark_of(&v), now);
	}
}

static void
put_port(char name[SWITCH_NAME], struct upstream *u, int i)
{
	if (i >= 0)
		snprintf(name, SWITCH_NAME, "%u", (unsigned)u->conf->endpoint[i].port);
	else
		snprintf(name, SWITCH_NAME, "none");
}

/* "587 down, 71 points", as it is now. */
static int
put_side(char *text, size_t cap, struct upstream *u, int i)
{
	struct endpoint_view v;
	struct endpoint_points p;

	if (i < 0)
		return snprintf(text, cap, "none before");
	health_points(u->health, (size_t)i, loop_now(u->r->env.loop), &p);
	health_endpoint(u->health, (size_t)i, &v);
	return snprintf(text, cap, "%u %s%s, %.0f points", (unsigned)u->conf->endpoint[i].port,
	    endpoint_state_word(v.state), v.suspect ? " and suspect" : "", p.score);
}

static void
keep_switch(struct upstream *u, const struct health_event *ev)
{
	struct switch_entry *e = switch_log_add(&u->r->switches);
	int n;

	e->wall_ms = loop_wall(u->r->env.loop);
	e->class = ev->class;
	snprintf(e->relay, sizeof(e->relay), "%s", u->conf->name);
	snprintf(e->reason, sizeof(e->reason), "%s", ev->kind == HEALTH_ROUTE_CHANGED ?
	    choice_reason_word(ev->reason) : health_event_word(ev->kind));
	snprintf(e->detail, sizeof(e->detail), "%s", ev->detail);
	put_port(e->from, u, ev->from);
	put_port(e->to, u, ev->endpoint);
	n = put_side(e->evidence, sizeof(e->evidence), u, ev->from);
	n += snprintf(e->evidence + n, sizeof(e->evidence) - (size_t)n, "; ");
	(void)put_side(e->evidence + n, sizeof(e->evidence) - (size_t)n, u, ev->endpoint);
}

/* What was found at the relay that mail leaves: at its account, else at the first port that has failed. */
static enum health_class
cause_at(struct relay *r, size_t i)
{
	const struct upstream *u = &r->up[i];
	struct account_view account;
	struct endpoint_view v;

	health_account(u->health, loop_now(r->env.loop), &account);
	if (account.why_class != HEALTH_OK)
		return account.why_class;
	for (size_t k = 0; k < u->conf->nendpoint; k++) {
		health_endpoint(u->health, k, &v);
		if (v.why_class != HEALTH_OK)
			return v.why_class;
	}
	return HEALTH_OK;
}

void
watch_failover(struct relay *r, const char *route, size_t from, size_t to, bool back, const char *reason)
{
	struct switch_entry *e = switch_log_add(&r->switches);
	struct buf why;

	e->wall_ms = loop_wall(r->env.loop);
	e->failover = true;
	snprintf(e->route, sizeof(e->route), "%s", route);
	snprintf(e->from, sizeof(e->from), "%s", r->up[from].conf->name);
	snprintf(e->to, sizeof(e->to), "%s", r->up[to].conf->name);
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	e->class = back ? HEALTH_OK : cause_at(r, from);
	buf_init(&why, sizeof(e->evidence) - 1);
	ignore_result(back ? relay_why_open(r, to, &why) : relay_why_closed(r, from, &why));	/* what fits is enough */
	memcpy(e->evidence, buf_view(&why).p, buf_len(&why));
	buf_done(&why);
}

void
watch_event(struct upstream *u, const struct health_event *ev)
{
	log_event(u, ev);
	if (is_about_way(ev->kind))
		keep_switch(u, ev);
}

static void
watch_run(void *arg)
{
	struct upstream *u = arg;
	struct health_event ev;

	remark_look(u->r);
	while (health_next_event(u->health, &ev))
		watch_event(u, &ev);
	detour_look(u);
	watch_look(u);
	guard_look(u->r);
	failover_check(u->r);
	prober_plan(u);
	pool_kick(u);
	relay_status_changed(u->r);
}

void
watch_changed(struct upstream *u)
{
	task_post(u->r->env.loop, &u->watch.task);
}

void
watch_init(struct upstream *u)
{
	task_init(&u->watch.task, watch_run, u);
	detour_init(&u->watch.detour);
	u->watch.port = xcalloc(u->conf->nendpoint, sizeof(*u->watch.port));
	for (size_t i = 0; i < u->conf->nendpoint; i++) {
		size_t n = strlen(u->conf->host) + 8;

		port_history_init(&u->watch.port[i].history);
		u->endpoint_name[i] = xzalloc(n);
		snprintf(u->endpoint_name[i], n, "%s:%u", u->conf->host,
		    (unsigned)u->conf->endpoint[i].port);
	}
}

void
watch_done(struct upstream *u)
{
	free(u->watch.port);
}
