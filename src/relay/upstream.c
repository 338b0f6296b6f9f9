/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upstream - one relay of the configuration, from its start to its end.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

/* --- its name --------------------------------------------------------------------- */

static void
look_anew(struct upstream *u)
{
	pool_network_changed(u);
	health_network_changed(u->health, loop_now(u->r->env.loop));
	watch_changed(u);
}

/* A known address that is back in the answer is worth a look only while nothing works. */
static void
on_name_changed(void *owner, bool novel)
{
	struct upstream *u = owner;
	struct log_line l;

	if (!novel && !health_is_out(u->health, loop_now(u->r->env.loop)))
		return;
	log_begin(&l, u->r->life, LEVEL_NOTICE, "name-changed");
	log_word(&l, "relay", u->conf->name);
	log_text(&l, "host", view_str(u->conf->host));
	log_end(&l);
	look_anew(u);
}

static void
on_name_kept(void *owner, int64_t age_ms, const char *why)
{
	struct upstream *u = owner;
	struct log_line l;

	log_begin(&l, u->r->life, LEVEL_WARNING, "name-kept");
	log_word(&l, "relay", u->conf->name);
	log_text(&l, "host", view_str(u->conf->host));
	log_num(&l, "age_ms", age_ms);
	log_text(&l, "detail", view_str(why));
	log_end(&l);
}

static const struct lookup_events lookup_events = { on_name_changed, on_name_kept };

static void
log_trust(struct upstream *u, bool bad, const char *reason)
{
	struct log_line l;

	log_begin(&l, u->r->life, bad ? LEVEL_ERROR : LEVEL_NOTICE, bad ? "trust-not-read" : "trust-changed");
	log_word(&l, "relay", u->conf->name);
	log_text(&l, "reason", view_str(reason));
	log_end(&l);
}

/* A certificate that was not accepted may be now, and the reverse. */
void
upstream_check_trust(struct upstream *u)
{
	struct err e;
	bool changed;
	int rc;

	if (u->tls == NULL)
		return;
	rc = tls_client_refresh(u->tls, &changed, &e);
	if (rc == 0 && !changed)
		return;
	log_trust(u, rc < 0, rc < 0 ? e.text : "the trusted certificates were replaced and read anew");
	if (rc < 0)
		return;
	health_trust_changed(u->health, loop_now(u->r->env.loop));
	watch_changed(u);
}

void
upstream_refresh(struct upstream *u)
{
	upstream_check_trust(u);
	if (health_is_out(u->health, loop_now(u->r->env.loop)))
		lookup_refresh(&u->lookup);
}

/* --- from start to end ------------------------------------------------------------------ */

void
upstream_init(struct upstream *u, struct relay *r, size_t index, struct view secret)
{
	const struct conf_relay *conf = &r->conf->relay[index];
	struct health_params p = { .host = conf->host, .user = conf->user, .n = conf->nendpoint,
		.quiet = conf->quiet, .sessions_max = conf->connections };

	for (size_t i = 0; i < conf->nendpoint; i++)
		p.port[i] = conf->endpoint[i].port;
	u->r = r;
	u->index = index;
	u->conf = conf;
	u->tls = r->env.tls != NULL ? r->env.tls[index] : NULL;
	u->nsecret = secret.n;
	if (secret.n != 0) {
		u->secret = xzalloc(secret.n);
		memcpy(u->secret, secret.p, secret.n);
	}
	list_init(&u->sessions);
	u->health = health_new(&p, loop_now(r->env.loop), r->env.rng);
	lookup_init(&u->lookup, r->env.net, conf->host, &lookup_events, u);
	address_book_init(&u->addresses);
	watch_init(u);
	guard_adopt(u);
	pool_init(u);
	prober_init(u);
}

void
upstream_stop(struct upstream *u)
{
	pool_done(u);
	timer_cancel(u->r->env.loop, &u->prober.timer);
	task_cancel(&u->watch.task);
}

void
upstream_done(struct upstream *u)
{
	while (!list_is_empty(&u->sessions))
		session_free(list_entry(u->sessions.next, struct session, link));
	lookup_done(&u->lookup);
	watch_done(u);
	health_free(u->health);
	for (size_t i = 0; i < HEALTH_ENDPOINTS_MAX; i++)
		free(u->endpoint_name[i]);
	secret_free(u->secret, u->nsecret);
}

bool
upstream_is_busy(const struct upstream *u)
{
	list_foreach(link, &u->sessions) {
		const struct session *s = list_entry(link, struct session, link);

		if (s->d.m != NULL || s->logging_in)
			return true;
	}
	return false;
}

void
upstream_end_sessions(struct upstream *u)
{
	while (!list_is_empty(&u->sessions)) {
		struct session *s = list_entry(u->sessions.next, struct session, link);

		session_abort(s, HEALTH_OK, "posthouse is stopping");
	}
}

unsigned
upstream_count_sessions(const struct upstream *u)
{
	unsigned n = 0;

	list_foreach(link, &u->sessions) {
		const struct session *s = list_entry(link, struct session, link);

		n += s->ready;
	}
	return n;
}

void
upstream_network_changed(struct upstream *u)
{
	lookup_restart(&u->lookup);
	address_book_init(&u->addresses);
	look_anew(u);
}
