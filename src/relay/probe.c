/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - sessions without mail, when health wants to know; one at a time.
 */
#include "relay/relay_impl.h"

#include "base/banned.h"

static void
probe_begin(struct upstream *u, const struct health_probe *p)
{
	int64_t now = loop_now(u->r->env.loop);
	bool login = p->login && u->conf->mechanisms != 0 && health_login_allowed(u->health, now);

	health_probe_started(u->health, (size_t)p->endpoint, now);
	u->prober.session = session_new(u, (size_t)p->endpoint,
	    login ? SESSION_PROBE_LOGIN : SESSION_PROBE);
}

static void
probe_run(void *arg)
{
	struct upstream *u = arg;
	struct health_probe p;
	int64_t now = loop_now(u->r->env.loop);

	timer_cancel(u->r->env.loop, &u->prober.timer);
	if (u->r->draining || u->prober.session != NULL || staging_is_on(u->r))
		return;
	health_next_probe(u->health, now, &p);
	if (p.endpoint < 0)
		return;
	if (p.at_ms > now)
		timer_set(u->r->env.loop, &u->prober.timer, p.at_ms - now);
	else
		probe_begin(u, &p);
}

void
prober_plan(struct upstream *u)
{
	probe_run(u);
}

void
prober_again(struct session *s)
{
	struct upstream *u = s->up;

	if (u->prober.session != s || u->r->draining || u->r->closing)
		return;
	u->prober.session = session_new(u, s->endpoint, s->kind);
}

void
prober_ended(struct session *s, enum health_class class, const char *detail)
{
	struct upstream *u = s->up;

	if (u->prober.session == s)
		u->prober.session = NULL;
	pool_login_left(s);
	if (class == HEALTH_OK && s->proven)
		watch_note(s, HEALTH_OK, detail);	/* failures are noted by the session */
	watch_changed(u);
}

void
prober_init(struct upstream *u)
{
	timer_init(&u->prober.timer, probe_run, u);
}
