/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover - the mail of each route goes to the first relay in its list that is known to work;
 * as soon as an earlier one is, to that. Sessions that are busy elsewhere finish their message.
 * A relay that nothing is known of yet has a head start before the next one gets its mail. When
 * all of a route are out all of them wait, and the first that comes back gets it; recipients of the
 * same message on other routes do not wait for it.
 */
#include "relay/relay_impl.h"

#include "base/banned.h"

#define HEAD_START_MS	4000

_Static_assert(CONF_ROUTES_MAX <= SCHEDULE_ROUTES_MAX, "each route has its place in the schedule");

static int64_t
now_of(const struct relay *r)
{
	return loop_now(r->env.loop);
}

/* --- telling --------------------------------------------------------------------- */

static const char *
why_left(struct relay *r, size_t from)
{
	struct account_view account;

	if (health_standing(r->up[from].health, now_of(r)) == STANDING_UNSURE)
		return "no-port-ready";
	health_account(r->up[from].health, now_of(r), &account);
	return account.state == ACCOUNT_AVAILABLE ? "no-port-usable" :
	    account.state == ACCOUNT_BLOCKED ? "account-blocked" :
	    account.state == ACCOUNT_EXHAUSTED ? "account-exhausted" : "account-paused";
}

static const char *
name_of(const struct relay *r, size_t route)
{
	return r->conf->nroute > 1 ? r->conf->route[route].name : "";
}

/* from and to are places in the route's list. */
static void
log_change(struct relay *r, size_t route, size_t from, size_t to)
{
	const struct conf_route *rt = &r->conf->route[route];
	bool back = to < from && health_standing(r->up[rt->relay[to]].health, now_of(r)) == STANDING_IN;
	const char *reason = back ? "usable-again" : why_left(r, rt->relay[from]);
	const char *name = name_of(r, route);
	struct log_line l;

	log_begin(&l, r->life, to == 0 ? LEVEL_NOTICE : LEVEL_WARNING, "failover");
	if (name[0] != '\0')
		log_word(&l, "route", name);
	log_word(&l, "from", r->up[rt->relay[from]].conf->name);
	log_word(&l, "to", r->up[rt->relay[to]].conf->name);
	log_word(&l, "reason", reason);
	log_end(&l);
	watch_failover(r, name, rt->relay[from], rt->relay[to], back, reason);
}

/* --- which one -------------------------------------------------------------------- */

/* The first relays of the route that work, and that may work: places in its list, or -1. */
struct candidates {
	int	in, unsure;
};

static struct candidates
find_candidates(struct relay *r, size_t route)
{
	const struct conf_route *rt = &r->conf->route[route];
	struct candidates c = { -1, -1 };

	for (size_t i = 0; i < rt->nrelay; i++) {
		enum health_standing standing = health_standing(r->up[rt->relay[i]].health, now_of(r));

		if (standing == STANDING_IN && c.in < 0)
			c.in = (int)i;
		/* Of those that nothing is known of, the one that had the mail last. */
		if (standing == STANDING_UNSURE && (c.unsure < 0 || i == r->route[route].served))
			c.unsure = (int)i;
	}
	return c;
}

/* Its head start is over; it begins with the first message that waits. */
static bool
has_waited(struct relay *r, size_t route)
{
	struct route_use *use = &r->route[route];

	if (use->unsure_ms < 0 && schedule_first(&r->schedule, ROUTE_BIT(route), now_of(r)) != NULL) {
		use->unsure_ms = now_of(r);
		timer_set(r->env.loop, &use->head_start, HEAD_START_MS);
	}
	return use->unsure_ms >= 0 && now_of(r) - use->unsure_ms >= HEAD_START_MS;
}

void
failover_has_waited(struct relay *r, size_t route)
{
	r->route[route].unsure_ms = now_of(r) - HEAD_START_MS;
}

/* The place in the route's list, or -1. */
static int
choose_relay(struct relay *r, size_t route, bool *shared)
{
	struct route_use *use = &r->route[route];
	struct candidates c = find_candidates(r, route);

	*shared = false;
	if (c.unsure < 0 || (c.in >= 0 && (c.in < c.unsure || use->served > (size_t)c.unsure))) {
		use->unsure_ms = -1;
		return c.in;
	}
	if (r->conf->route[route].nrelay == 1 || !has_waited(r, route))
		return c.unsure;
	*shared = c.in < 0;
	return c.in >= 0 ? c.in : c.unsure;
}

/* True: its mail goes elsewhere now. */
static bool
check_route(struct relay *r, size_t route)
{
	struct route_use *use = &r->route[route];
	bool shared;
	int to = choose_relay(r, route, &shared);

	if (to == use->serving && shared == use->shared)
		return false;
	use->serving = to;
	use->shared = shared;
	/* That all are out is told by the events of each. */
	if (to >= 0 && (size_t)to != use->served) {
		log_change(r, route, use->served, (size_t)to);
		use->served = (size_t)to;
	}
	return true;
}

static void
on_head_start(void *arg)
{
	failover_check(arg);
}

void
failover_init(struct relay *r)
{
	for (size_t i = 0; i < r->conf->nroute; i++) {
		r->route[i].unsure_ms = -1;
		timer_init(&r->route[i].head_start, on_head_start, r);
	}
}

void
failover_resume(struct relay *r, const char *route, const char *to)
{
	for (size_t i = 0; i < r->conf->nroute; i++) {
		const struct conf_route *rt = &r->conf->route[i];

		if (strcmp(name_of(r, i), route) != 0)
			continue;
		for (size_t k = 0; k < rt->nrelay; k++)
			if (strcmp(r->up[rt->relay[k]].conf->name, to) == 0)
				r->route[i].serving = (int)(r->route[i].served = k);
	}
}

void
failover_done(struct relay *r)
{
	for (size_t i = 0; i < r->conf->nroute; i++)
		timer_cancel(r->env.loop, &r->route[i].head_start);
}

void
failover_spread(struct relay *r)
{
	struct spool_message *m;
	size_t pos = 0;

	if (r->conf->nroute == 1 || r->spool == NULL)
		return;
	while ((m = spool_next(r->spool, &pos)) != NULL)
		schedule_place(&r->schedule, m);
}

void
failover_check(struct relay *r)
{
	bool changed = false;
	uint32_t out = 0;

	for (size_t i = 0; i < r->conf->nroute; i++) {
		changed = check_route(r, i) || changed;
		if (r->route[i].serving < 0)
			out |= ROUTE_BIT(i);
	}
	if (!changed)
		return;
	if (out != r->schedule.out) {
		schedule_set_out(&r->schedule, out);
		failover_spread(r);
	}
	relay_kick(r);
	relay_status_changed(r);
}

int
failover_diverted(const struct relay *r, bool *unsure)
{
	*unsure = false;
	for (size_t i = 0; i < r->conf->nroute; i++) {
		if (r->route[i].serving > 0)
			return (int)i;
		if (r->route[i].serving < 0)
			*unsure = true;
	}
	return -1;
}

uint32_t
failover_serves(const struct upstream *u)
{
	const struct relay *r = u->r;
	uint32_t routes = 0;

	for (size_t i = 0; i < r->conf->nroute; i++) {
		const struct conf_route *rt = &r->conf->route[i];
		int serving = r->route[i].serving;

		for (size_t k = 0; k < rt->nrelay; k++)
			if (rt->relay[k] == u->index && (serving < 0 || r->route[i].shared || serving == (int)k))
				routes |= ROUTE_BIT(i);
	}
	return routes;
}
