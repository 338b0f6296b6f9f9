/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * network - the way to the smarthosts may be another one: look at all of them anew.
 *
 * Changes come in bursts (an address, then its routes), so the first one is waited out for
 * a moment, and the next look comes NETWORK_GAP_MS after the last one at the earliest. None is
 * lost by that: what changes meanwhile is looked at then.
 */
#include "relay/relay_impl.h"

#include "base/banned.h"

#define SETTLE_MS	500
#define GAP_MS		10000	/* as in health_network_changed() */

static void
on_timer(void *arg)
{
	struct relay *r = arg;

	r->network.told_ms = loop_now(r->env.loop);
	if (r->spool == NULL || r->closing)
		return;
	log_simple(r->life, LEVEL_NOTICE, "network-changed",
	    "%s changed: all ports are looked at anew", r->network.why);
	for (size_t i = 0; i < r->nup; i++)
		upstream_network_changed(&r->up[i]);
	relay_kick(r);
}

void
relay_network_changed(struct relay *r, const char *why)
{
	int64_t now = loop_now(r->env.loop), at = now + SETTLE_MS;

	if (timer_is_set(&r->network.timer))
		return;
	if (r->network.told_ms >= 0 && at < r->network.told_ms + GAP_MS)
		at = r->network.told_ms + GAP_MS;
	r->network.why = why;
	timer_set(r->env.loop, &r->network.timer, at - now);
}

void
network_init(struct relay *r)
{
	timer_init(&r->network.timer, on_timer, r);
	r->network.told_ms = -1;
}

void
network_done(struct relay *r)
{
	timer_cancel(r->env.loop, &r->network.timer);
}
