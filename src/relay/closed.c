/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * closed - one sentence on what keeps mail from a relay of the configuration.
 */
#include "relay/relay_impl.h"

#include "base/banned.h"

static bool
add_account(const struct conf_relay *conf, const struct account_view *a, struct buf *out)
{
	return buf_addf(out, "the account of %s at %s is %s: %s%s%s", conf->name, conf->host,
	    account_state_word(a->state),
	    health_class_info(a->why_class)->sentence, a->detail[0] != '\0' ? ": " : "", a->detail);
}

/* " 587 down (refused), 465 up, suspect, 2525 unknown" */
static bool
add_ports(const struct conf_relay *conf, const struct health *health, int64_t now, struct buf *out)
{
	for (size_t k = 0; k < conf->nendpoint; k++) {
		struct endpoint_view v;
		const char *word;

		health_endpoint(health, k, &v);
		word = v.why_class != HEALTH_OK ? health_class_info(v.why_class)->word : "";
		if (!buf_addf(out, "%s %u %s%s%s%s%s", k > 0 ? "," : "", (unsigned)conf->endpoint[k].port,
		    endpoint_state_word(v.state), v.suspect ? ", suspect" : "",
		    *word != '\0' ? " (" : "", word, *word != '\0' ? ")" : ""))
			return false;
	}
	return true;
}

bool
relay_why_closed(const struct relay *r, size_t i, struct buf *out)
{
	const struct conf_relay *conf = r->up[i].conf;
	const struct health *health = r->up[i].health;
	int64_t now = loop_now(r->env.loop);
	struct account_view account;

	health_account(health, now, &account);
	if (account.state != ACCOUNT_AVAILABLE)
		return add_account(conf, &account, out);
	return buf_addf(out, "no port of %s is %s:", conf->host,
	    health_has_usable(health) ? "known to work" : "usable") && add_ports(conf, health, now, out);
}

bool
relay_why_open(const struct relay *r, size_t i, struct buf *out)
{
	const struct conf_relay *conf = r->up[i].conf;

	return buf_addf(out, "the ports of %s:", conf->host) &&
	    add_ports(conf, r->up[i].health, loop_now(r->env.loop), out);
}
