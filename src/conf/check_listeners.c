/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listeners: each says who may reach it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "conf/loader.h"

#include "base/banned.h"

static unsigned
line_of(const config_setting_t *s, const char *name)
{
	const config_setting_t *m = config_setting_get_member(s, name);

	return config_setting_source_line(m != NULL ? m : s);
}

/* --- one ------------------------------------------------------------------- */

static void
take_networks(struct loader *ld, const config_setting_t *s, struct conf_listener *l)
{
	bool some = false;
	struct err e;

	for (size_t i = 0; l->networks != NULL && l->networks[i] != NULL; i++) {
		struct subnet *n = &l->network[l->nnetwork];

		if (subnet_parse(n, view_str(l->networks[i]), &e) == 0)
			l->nnetwork++;
		else
			complain(ld, line_of(s, "networks"), "listeners[].networks: \"%.60s\": %s",
			    l->networks[i], e.text);
		some |= l->networks[i][0] != '!';
	}
	if (l->networks != NULL && !some)
		complain(ld, line_of(s, "networks"), "listeners[].networks lets nobody in: \"!\" takes away from "
		    "what else the list has; name the networks that may send mail, too");
}

static void
check_address(struct loader *ld, const config_setting_t *s, size_t i)
{
	const struct conf *c = ld->conf;
	const struct address *a = &c->listener[i].address;
	bool twice = false;

	for (size_t k = 0; k < c->nlisten; k++)
		twice |= address_eq(&c->listen[k], a) && address_port(a) != 0;
	for (size_t k = 0; k < i; k++)
		twice |= address_eq(&c->listener[k].address, a) && address_port(a) != 0;
	if (twice)
		complain(ld, line_of(s, "address"), "listeners[].address: %s is listed twice",
		    c->listener[i].where);
}

static void
check_tls(struct loader *ld, const config_setting_t *s, struct conf_listener *l)
{
	static const char *const names[] = { "certificate", "key" };
	const char *said = "off";

	(void)config_setting_lookup_string(s, "tls", &said);	/* not there: the default stays */
	if (l->tls == CONF_LISTENER_TLS_OFF) {
		if (strcmp(said, "off") != 0)
			return;		/* a word that is none was complained about */
		for (size_t i = 0; i < lengthof(names); i++)
			if (config_setting_get_member(s, names[i]) != NULL)
				complain(ld, line_of(s, names[i]), "listeners[].%s: tls is \"off\" here, so nobody would "
				    "see it; add tls = \"starttls\"; or take it out", names[i]);
		return;
	}
	if (config_setting_get_member(s, "certificate") == NULL)
		complain(ld, line_of(s, "tls"), "listeners[].certificate is missing: the file with the "
		    "certificate, PEM, its issuers behind it");
	if (l->certificate != NULL && l->key == NULL)
		l->key = xstrdup(l->certificate);
}

static void
check_listener(struct loader *ld, const config_setting_t *s, size_t i)
{
	struct conf_listener *l = &ld->conf->listener[i];
	char text[CONF_DANGER_MAX];
	size_t pos = 0;

	if (l->where == NULL) {
		if (config_setting_get_member(s, "address") == NULL)
			complain(ld, config_setting_source_line(s), "listeners[].address is missing: where it "
			    "listens, like \"172.17.0.1:25\"");
		return;
	}
	if (l->name == NULL)
		l->name = xstrdup(l->where);
	require(address_parse(&l->address, view_str(l->where), NULL) == 0);	/* the form was checked */
	check_address(ld, s, i);
	take_networks(ld, s, l);
	check_tls(ld, s, l);
	if (config_setting_get_member(s, "networks") == NULL && !address_is_loopback(&l->address))
		complain(ld, config_setting_source_line(s), "listeners[].networks is missing: say who may send "
		    "mail through %s, like networks = [ \"172.17.0.0/16\", \"!172.17.0.1\" ];", l->where);
	if (l->auth == CONF_AUTH_ACCEPT_ANY && !address_is_loopback(&l->address))
		complain(ld, line_of(s, "auth"), "listeners[].auth: \"accept_any\" is for loopback addresses: "
		    "elsewhere it would look like a protection, and send passwords over the network in clear");
	while (conf_listener_danger(l, &pos, text))
		caution(ld, line_of(s, "networks"), "%s", text);
}

void
check_listeners(struct loader *ld, const config_setting_t *root)
{
	const config_setting_t *list = config_setting_get_member(root, "listeners");

	for (size_t i = 0; i < ld->conf->nlistener; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		if (config_setting_is_group(s))
			check_listener(ld, s, i);
	}
}
