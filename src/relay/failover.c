/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover - the mail of each route goes to the first relay in its list that is not out
 * (health_is_out()); as soon as an earlier one is back, to that. Sessions that are busy
 * elsewhere finish their message. When all of a route are out all of them wait, and the first
 * that comes back gets it; recipients of the same message on other routes do not wait for it.
 */
#include "relay/relay_impl.h"

#include "base/banned.h"

_Static_assert(CONF_ROUTES_MAX <= SCHEDULE_ROUTES_MAX, "each route has its place in the schedule");

static const char *
reason_of(struct relay *r, size_t from, bool earlier)
{
	struct account_view account;

	if (earlier)
		return "usable-again";
	health_account(r->up[from].health, loop_now(r->env.loop), &account);
	return account.state == ACCOUNT_AVAILABLE ? "no-port-usable" :
	    account.state == ACCOUNT_BLOCKED ? "account-blocked" :
	    account.state == ACCOUNT_EXHAUSTED ? "account-exhausted" : "account-paused";
}

/* from and to are places in the route's list. */
static void
log_change(struct relay *r, size_t route, size_t from, size_t to)
{
	const struct conf_route *rt = &r->conf->route[route];
	const char *reason = reason_of(r, rt->relay[from], to < from);
	const char *name = r->conf->nroute > 1 ? rt->name : "";
	struct log_line l;

	log_begin(&l, r->life, to == 0 ? LEVEL_NOTICE : LEVEL_WARNING, "failover");
	if (name[0] != '\0')
		log_word(&l, "route", name);
	log_word(&l, "from", r->up[rt->relay[from]].conf->name);
	log_word(&l, "to", r->up[rt->relay[to]].conf->name);
	log_word(&l, "reason", reason);
	log_end(&l);
	watch_failover(r, name, rt->relay[from], rt->relay[to], to < from, reason);
}

/* True: its mail goes elsewhere now. */
static bool
check_route(struct relay *r, size_t route)
{
	const struct conf_route *rt = &r->conf->route[route];
	struct route_use *use = &r->route[route];
	int to = -1;

	for (size_t i = 0; i < rt->nrelay && to < 0; i++)
		if (!health_is_out(r->up[rt->relay[i]].health, loop_now(r->env.loop)))
			to = (int)i;
	if (to == use->serving)
		return false;
	use->serving = to;
	/* That all are out is told by the events of each. */
	if (to >= 0 && (size_t)to != use->served) {
		log_change(r, route, use->served, (size_t)to);
		use->served = (size_t)to;
	}
	return true;
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
			if (rt->relay[k] == u->index && (serving < 0 || serving == (int)k))
				routes |= ROUTE_BIT(i);
	}
	return routes;
}
