/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What must not be overlooked, in words: what a listener should not let in, and that nothing leaves
 * the host. It fails nothing: only the administrator knows whether it is meant.
 */
#include <stdio.h>

#include "base/require.h"
#include "conf/conf.h"

#include "base/banned.h"

/* Where Docker puts its end of the first bridge, unless it is told otherwise. */
#define DOCKER_GATEWAY "172.17.0.1"

static bool
admits(const struct conf_listener *l, const struct address *a)
{
	return !address_is_loopback(a) && subnets_admit(l->network, l->nnetwork, a);
}

static bool
is_wildcard(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

/*
 * The host's own end of a bridge is the sender of whatever the host forwards there: with
 * masquerading, or a proxy for published ports, that is anybody's mail.
 */
static bool
is_gateway_open(const struct conf_listener *l, bool docker, char host[ADDRESS_TEXT_MAX])
{
	struct address gateway;

	require(address_from_host(&gateway, VIEW(DOCKER_GATEWAY), 0));
	(void)address_host_text(host, docker ? &gateway : &l->address);
	if (is_wildcard(host))
		return false;		/* conf_listener_own_danger() */
	/* Told of already. */
	if (docker && strcmp(host, address_host_text((char[ADDRESS_TEXT_MAX]){ "" }, &l->address)) == 0)
		return false;
	return admits(l, docker ? &gateway : &l->address);
}

static void
say_open(char text[CONF_DANGER_MAX], const struct conf_listener *l, const struct subnet *n)
{
	char net[SUBNET_TEXT_MAX];
	bool all = n->bits == (n->v4 ? 96u : 0u);

	(void)snprintf(text, CONF_DANGER_MAX, "OPEN RELAY: the listener %s takes mail from %s, %s: whoever can reach it "
	    "sends in your name; list only your own networks", l->name, subnet_text(net, n), all ?
	    "which is the whole Internet" : "which has public addresses");
}

bool
conf_listener_danger(const struct conf_listener *l, size_t *pos, char text[CONF_DANGER_MAX])
{
	char host[ADDRESS_TEXT_MAX];

	while (*pos < l->nnetwork + 2) {
		size_t i = (*pos)++;

		if (i < l->nnetwork) {
			if (l->network[i].except || subnet_is_private(&l->network[i]))
				continue;
			say_open(text, l, &l->network[i]);
			return true;
		}
		if (!is_gateway_open(l, i > l->nnetwork, host))
			continue;
		(void)snprintf(text, CONF_DANGER_MAX, "GATEWAY: the networks of the listener %s have %s in them, this "
		    "host's end of a bridge: what the host forwards comes from there, whoever sent it; add "
		    "\"!%s\"", l->name, host, host);
		return true;
	}
	return false;
}

bool
conf_listener_own_danger(const struct conf_listener *l, const struct own_addresses *own, size_t *pos,
    char text[CONF_DANGER_MAX])
{
	char host[ADDRESS_TEXT_MAX];

	if (!is_wildcard(address_host_text(host, &l->address)))
		return false;
	while (*pos < own->n) {
		const struct address *a = &own->address[(*pos)++];

		if (!admits(l, a) || strcmp(address_host_text(host, a), DOCKER_GATEWAY) == 0)
			continue;	/* Docker's is told of already */
		(void)snprintf(text, CONF_DANGER_MAX, "GATEWAY: the networks of the listener %s have %s in them, an "
		    "address of this host: what the host forwards to a container comes from there, whoever sent it; "
		    "add \"!%s\"", l->name, host, host);
		return true;
	}
	return false;
}

bool
conf_staging_notice(const struct conf *c, char text[CONF_DANGER_MAX])
{
	switch (c->staging) {
	case CONF_STAGING_OFF:
		return false;
	case CONF_STAGING_HOLD:
		(void)snprintf(text, CONF_DANGER_MAX, "STAGING: NO MAIL LEAVES THIS HOST: all of it is kept in the "
		    "queue, until staging is \"off\"");
		return true;
	case CONF_STAGING_SINK:
		(void)snprintf(text, CONF_DANGER_MAX, "STAGING: NO MAIL LEAVES THIS HOST: all of it goes to the "
		    "Maildir %.250s", c->sink);
		return true;
	}
	return false;
}
