/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * overdue - a reply before the final dot takes long (patience.h), or, at any step, nothing of what was sent
 * is acknowledged.
 *
 * The endpoint is avoided from then on, and people are told what is awaited. The session gives up
 * when its mail has another way, never behind the final dot; until there is one it has the time that the step allows.
 */
#include <stdio.h>

#include "base/num.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

static int64_t
now_of(const struct session *s)
{
	return loop_now(s->r->env.loop);
}

/* What a step takes for its recipients beside. */
static int64_t
extra_ms(const struct session *s, enum client_state at)
{
	return at == CL_MAIL || at == CL_RCPT ? (int64_t)s->d.n * RCPT_EXTRA_MS : 0;
}

/* --- whether to give up -------------------------------------------------------------- */

static unsigned
route_of(const struct session *s)
{
	return s->d.m != NULL ? s->d.route : 0;
}

static bool
has_other_way(const struct session *s)
{
	const struct upstream *u = s->up;
	struct endpoint_view v;

	if (health_is_avoided(u->health, s->endpoint, now_of(s)))
		return true;
	if (!watch_has_other_relay(s, STANDING_IN))
		return false;
	health_endpoint(u->health, s->endpoint, &v);
	return s->stuck || v.mail_failed ||
	    now_of(s) - s->awaits_ms >= PATIENCE_RELAY_MS + extra_ms(s, s->at);
}

/* It has a message, and not sent its end. Of a login nobody would know whether it was refused. */
static bool
may_give_up(const struct session *s)
{
	return !s->stuck || (s->d.m != NULL && s->at <= CL_BODY);
}

/* --- telling ------------------------------------------------------------------------- */

/* What the endpoint is known for is the first of its sessions that waits. */
static void
tell(struct upstream *u, size_t endpoint)
{
	const char *step = NULL;

	list_foreach(link, &u->sessions) {
		const struct session *s = list_entry(link, struct session, link);

		if (s->overdue && s->endpoint == endpoint && step == NULL)
			step = client_state_word(s->at);
	}
	health_set_overdue(u->health, endpoint, step, loop_now(u->r->env.loop));
	watch_changed(u);
}

static void
give_up(struct session *s, const char *reason)
{
	char why[120];

	(void)snprintf(why, sizeof(why), "no %s for %lld s, and %s: %s", s->stuck ? "acknowledgement" : "answer",
	    (long long)(now_of(s) - s->awaits_ms) / 1000, reason, client_state_word(s->at));
	session_abort(s, outcome_of_timeout(s->at), why);
}

static void
on_overdue(void *arg)
{
	struct session *s = arg;

	if (!s->overdue) {
		s->overdue = true;
		tell(s->up, s->endpoint);
	}
	if (!may_give_up(s) || !has_other_way(s)) {
		timer_set(s->r->env.loop, &s->late_reply, PATIENCE_LOOK_MS);
		return;
	}
	/* If it is the other relay, the mail is not to try its luck here for another few seconds. */
	if (!health_is_avoided(s->up->health, s->endpoint, now_of(s)))
		failover_has_waited(s->r, route_of(s));
	give_up(s, "mail has another way");
}

bool
overdue_waits(const struct session *s, int64_t ms)
{
	return s->d.m != NULL && s->ready && patience_ends(s->at) && now_of(s) - s->awaits_ms >= ms;
}

void
overdue_make_room(struct upstream *u, size_t endpoint)
{
	unsigned n = 0, keep = u->conf->connections / 2;
	struct session *last = NULL;

	list_foreach(link, &u->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (!s->overdue || s->endpoint != endpoint || !overdue_waits(s, 0))
			continue;
		n++;
		if (last == NULL || s->awaits_ms >= last->awaits_ms)
			last = s;
	}
	/* The only place is given up late: the server may be slow, and that is learned by waiting. */
	if (n > keep && (keep != 0 || overdue_waits(last, PATIENCE_LAST_MS)))
		give_up(last, "other mail waits for its place");
}

/* --- from one step to the next ------------------------------------------------------- */

void
overdue_init(struct session *s)
{
	timer_init(&s->late_reply, on_overdue, s);
}

void
overdue_done(struct session *s)
{
	timer_cancel(s->r->env.loop, &s->late_reply);
	if (!s->overdue)
		return;
	s->overdue = false;
	tell(s->up, s->endpoint);
}

void
overdue_heard(struct session *s)
{
	if (patience_ends(s->at))
		patience_heard(&s->up->patience, now_of(s) - s->awaits_ms, now_of(s));
	overdue_done(s);
}

void
overdue_await(struct session *s)
{
	s->awaits_ms = now_of(s);
	if (s->kind == SESSION_MAIL && patience_ends(s->at))
		timer_set(s->r->env.loop, &s->late_reply,
		    patience_ms(&s->up->patience, now_of(s)) + extra_ms(s, s->at));
}

void
overdue_stuck(struct session *s, bool stuck)
{
	if (s->kind != SESSION_MAIL || s->quitting || s->phase != SESSION_TALK)
		return;
	s->stuck = stuck;
	if (stuck && s->idle) {
		session_abort(s, HEALTH_CUT_BEFORE_DOT, "no answer to keepalive");
	} else if (stuck) {
		on_overdue(s);
	} else if (s->overdue) {
		overdue_done(s);
		overdue_await(s);	/* the reply has its time, from now */
	}
}

/* Mail keeps away from all that are usable, as far as it can. */
static bool
are_all_suspect(const struct upstream *u)
{
	bool any = false;

	for (size_t i = 0; i < u->conf->nendpoint; i++) {
		struct endpoint_view v;

		health_endpoint(u->health, i, &v);
		if (v.state == EP_UP || v.state == EP_DEGRADED || v.state == EP_RECOVERING) {
			if (!v.suspect)
				return false;
			any = true;
		}
	}
	return any;
}

bool
relay_why_waiting(const struct relay *r, size_t i, struct buf *out)
{
	const struct upstream *u = &r->up[i];
	char text[32];

	list_foreach(link, &u->sessions) {
		const struct session *s = list_entry(link, struct session, link);

		if (s->overdue)
			return buf_addf(out, "%s has not answered %s for %s", u->endpoint_name[s->endpoint],
			    client_state_word(s->at), num_duration_text(text, sizeof(text),
			    (now_of(s) - s->awaits_ms) / 1000 * 1000));
	}
	return !are_all_suspect(u) || relay_why_closed(r, i, out);
}
