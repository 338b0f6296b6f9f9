/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * way: the routes as they are, and those that the recipients of a message take.
 */
#include <stdio.h>

#include "control/answer.h"
#include "relay/route.h"

#include "base/banned.h"

/* "a, b"; what does not fit is left out. */
static void
add_name(char *text, size_t cap, const char *name)
{
	size_t n = strlen(text);

	(void)snprintf(text + n, cap - n, "%s%s", n > 0 ? ", " : "", name);
}

const char *
answer_relay_of(struct relay *relay, size_t route)
{
	int at = relay_of_route(relay, route);

	return at < 0 ? NULL : relay_conf(relay)->relay[at].name;
}

void
answer_way(struct relay *relay, struct spool_message *m, const struct envelope *env, struct answer_way *out)
{
	const struct conf *conf = relay_conf(relay);
	const struct spool_rcpt *rc = spool_rcpts(m);
	uint32_t routes = 0, in_use = 0;

	*out = (struct answer_way){ .several = conf->nroute > 1 };
	if ((m->flags & SPOOL_DAMAGED) != 0)
		return;			/* nobody knows whose it is, and it goes nowhere */
	for (uint32_t i = 0; i < m->nrcpt && i < env->nrcpt; i++)
		if (rc[i].state == SPOOL_QUEUED)
			routes |= 1u << route_of(conf, env, i);
	for (size_t k = 0; k < conf->nroute; k++) {
		const struct conf_route *rt = &conf->route[k];
		int at = relay_of_route(relay, k);

		if ((routes & (1u << k)) == 0)
			continue;
		add_name(out->route, sizeof(out->route), rt->name);
		for (size_t i = 0; i < rt->nrelay; i++)
			out->relays |= 1u << rt->relay[i];
		if (at >= 0 && (in_use & (1u << at)) == 0)
			add_name(out->relay, sizeof(out->relay), conf->relay[at].name);
		in_use |= at >= 0 ? 1u << at : 0;
	}
}

/* --- status ------------------------------------------------------------------ */

static void
put_relays(struct relay *relay, const struct conf_route *rt, struct report *r)
{
	const char *name[CONF_RELAYS_MAX];
	char names[ANSWER_WAY_MAX] = "";

	for (size_t i = 0; i < rt->nrelay; i++) {
		name[i] = relay_conf(relay)->relay[rt->relay[i]].name;
		add_name(names, sizeof(names), name[i]);
	}
	report_words(r, "relays", name, rt->nrelay);
	if (!r->json)
		report_word(r, "relays", names);
}

void
answer_routes(struct relay *relay, struct report *r)
{
	const struct conf *conf = relay_conf(relay);

	if (conf->nroute == 1 && !r->json)
		return;
	report_list(r, "routes");
	for (size_t k = 0; k < conf->nroute; k++) {
		const struct conf_route *rt = &conf->route[k];

		report_row(r);
		report_word(r, "route", rt->name);
		report_word(r, "from", rt->from);
		report_word(r, "to", rt->to);
		report_word(r, "user", rt->user);
		put_relays(relay, rt, r);
		report_word(r, "in_use", answer_relay_of(relay, k));
		report_num(r, "waiting", (int64_t)relay_waiting(relay, k));
		report_end(r);
	}
	report_end(r);
}
