/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe - sessions without mail, when health wants to know; one at a time.
 */
#include "relay/relay_impl.h"

#include "base/banned.h"

static void
probe_begin(struct relay *r, const struct health_probe *p)
{
	int64_t now = loop_now(r->env.loop);
	bool login = p->login && relay_upstream(r)->user != NULL && health_login_allowed(r->health, now);

	health_probe_started(r->health, (size_t)p->endpoint, now);
	r->prober.session = session_new(r, (size_t)p->endpoint,
	    login ? SESSION_PROBE_LOGIN : SESSION_PROBE);
}

static void
probe_run(void *arg)
{
	struct relay *r = arg;
	struct health_probe p;
	int64_t now = loop_now(r->env.loop);

	timer_cancel(r->env.loop, &r->prober.timer);
	if (r->draining || r->prober.session != NULL)
		return;
	health_next_probe(r->health, now, &p);
	if (p.endpoint < 0)
		return;
	if (p.at_ms > now)
		timer_set(r->env.loop, &r->prober.timer, p.at_ms - now);
	else
		probe_begin(r, &p);
}

void
prober_plan(struct relay *r)
{
	probe_run(r);
}

void
prober_ended(struct session *s, enum health_class class, const char *detail)
{
	struct relay *r = s->r;

	if (r->prober.session == s)
		r->prober.session = NULL;
	if (r->pool.login == s)
		pool_login_done(s, false);
	if (class == HEALTH_OK && s->proven)
		watch_note(s, HEALTH_OK, detail);	/* failures are noted by the session */
	watch_changed(r);
}

void
prober_init(struct relay *r)
{
	timer_init(&r->prober.timer, probe_run, r);
}
