/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * failover - mail goes to the first relay of the configuration that is not out
 * (health_is_out()); as soon as an earlier one is back, to that. Sessions that are busy
 * elsewhere finish their message. When all are out all of them wait, and the first that
 * comes back gets it.
 */
#include "relay/relay_impl.h"

#include "base/banned.h"

static const char *
reason_of(struct relay *r, size_t from, size_t to)
{
	struct account_view account;

	if (to < from)
		return "usable-again";
	health_account(r->up[from].health, loop_now(r->env.loop), &account);
	return account.state == ACCOUNT_AVAILABLE ? "no-port-usable" :
	    account.state == ACCOUNT_BLOCKED ? "account-blocked" :
	    account.state == ACCOUNT_EXHAUSTED ? "account-exhausted" : "account-paused";
}

static void
log_change(struct relay *r, size_t from, size_t to)
{
	struct log_line l;

	log_begin(&l, r->life, to == 0 ? LEVEL_NOTICE : LEVEL_WARNING, "failover");
	log_word(&l, "from", r->up[from].conf->name);
	log_word(&l, "to", r->up[to].conf->name);
	log_word(&l, "reason", reason_of(r, from, to));
	log_end(&l);
	watch_failover(r, from, to, reason_of(r, from, to));
}

void
failover_check(struct relay *r)
{
	int to = -1;

	for (size_t i = 0; i < r->nup && to < 0; i++)
		if (!health_is_out(r->up[i].health, loop_now(r->env.loop)))
			to = (int)i;
	if (to == r->serving)
		return;
	r->serving = to;
	/* That all are out is told by the events of each. */
	if (to >= 0 && (size_t)to != r->served) {
		log_change(r, r->served, (size_t)to);
		r->served = (size_t)to;
	}
	relay_kick(r);
	relay_status_changed(r);
}

bool
failover_serves(const struct upstream *u)
{
	return u->r->serving < 0 || (size_t)u->r->serving == u->index;
}
