/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * detour - tells people that mail goes over another endpoint than the current one.
 *
 * health sends sessions elsewhere as soon as the current endpoint is suspect, and calls that
 * no change of route. Once a message has gone that way it is the way that mail takes, until
 * the current one is usable again; then the sessions there end.
 */
#include <stdio.h>

#include "relay/relay_impl.h"

#include "base/banned.h"

#define TELL_MS		60000	/* so often at most, however fast a port comes and goes */

void
detour_init(struct detour *d)
{
	*d = (struct detour){ .to = -1, .from = -1, .told_ms = -TELL_MS };
}

static int
current_of(const struct upstream *u)
{
	for (size_t i = 0; i < u->conf->nendpoint; i++) {
		struct endpoint_view v;

		health_endpoint(u->health, i, &v);
		if (v.current)
			return (int)i;
	}
	return -1;
}

static void
tell(struct upstream *u, enum health_event_kind kind, int from, int to)
{
	int64_t now = loop_now(u->r->env.loop);
	struct health_event ev = { .kind = kind, .endpoint = to, .from = from, .class = HEALTH_OK,
		.reason = kind == HEALTH_DETOUR ? CHOICE_DETOUR : CHOICE_STAY, .advice = "",
		.at_ms = now, .until_ms = -1 };
	struct endpoint_view v;

	health_endpoint(u->health, (size_t)from, &v);
	if (kind == HEALTH_DETOUR) {
		ev.class = v.why_class;
		ev.advice = health_advice(u->health, (size_t)from);
		snprintf(ev.detail, sizeof(ev.detail), "%s", v.detail);
	}
	watch_event(u, &ev);
}

static bool
has_session_at(const struct upstream *u, int endpoint)
{
	list_foreach(link, &u->sessions) {
		const struct session *s = list_entry(link, struct session, link);

		if (s->kind == SESSION_MAIL && s->ready && !s->quitting && (int)s->endpoint == endpoint)
			return true;
	}
	return false;
}

void
detour_carried(struct session *s)
{
	struct upstream *u = s->up;
	struct detour *d = &u->watch.detour;
	int64_t now = loop_now(u->r->env.loop);
	int current = current_of(u);

	detour_look(u);
	if (current < 0 || current == (int)s->endpoint ||
	    !health_is_avoided(u->health, (size_t)current, now) || (d->to >= 0 && has_session_at(u, d->to)))
		return;
	d->from = current;
	d->to = (int)s->endpoint;
	if (now - d->told_ms < TELL_MS)
		return;
	d->told = true;
	d->told_ms = now;
	tell(u, HEALTH_DETOUR, d->from, d->to);
}

/* One that may not stays the current one until mail asks for another. */
static bool
may_carry(enum endpoint_state state)
{
	return state != EP_DOWN && state != EP_PROBING && state != EP_BLOCKED;
}

/* Another one may be current now: that is told as a change of route. */
void
detour_look(struct upstream *u)
{
	struct detour *d = &u->watch.detour;
	int64_t now = loop_now(u->r->env.loop);
	struct endpoint_view v;

	if (d->to < 0)
		return;
	health_endpoint(u->health, (size_t)d->from, &v);
	if (v.current && (!may_carry(v.state) || health_is_avoided(u->health, (size_t)d->from, now)))
		return;
	if (v.current) {
		pool_retire(u, d->to);
		if (has_session_at(u, d->to))
			return;		/* it finishes its message */
	}
	if (v.current && d->told)
		tell(u, HEALTH_DETOUR_OVER, d->to, d->from);
	d->to = d->from = -1;
	d->told = false;
}

void
relay_way(const struct relay *r, size_t i, struct relay_way *out)
{
	const struct upstream *u = &r->up[i];
	const struct detour *d = &u->watch.detour;

	out->endpoint = d->to >= 0 ? d->to : current_of(u);
	out->avoided = d->from;
}
