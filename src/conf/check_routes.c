/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The routes as a whole: every message must find one, and every one a message.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/num.h"
#include "conf/loader.h"
#include "conf/pattern.h"
#include "sys/privilege.h"

#include "base/banned.h"

static unsigned
line_of(const config_setting_t *s, const char *name)
{
	const config_setting_t *m = config_setting_get_member(s, name);

	return config_setting_source_line(m != NULL ? m : s);
}

/* --- relays by name ------------------------------------------------------- */

static int
relay_by_name(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->nrelay; i++)
		if (c->relay[i].name != NULL && strcmp(c->relay[i].name, name) == 0)
			return (int)i;
	return -1;
}

static void
no_such_relay(struct loader *ld, unsigned line, const char *name)
{
	const char *meant = NULL;
	struct nearest n;

	nearest_begin(&n, name);
	for (size_t i = 0; i < ld->conf->nrelay; i++)
		if (ld->conf->relay[i].name != NULL && nearest_offer(&n, ld->conf->relay[i].name))
			meant = ld->conf->relay[i].name;
	complain(ld, line, "routes[].relays: there is no relay \"%.64s\"%s%s%s", name,
	    meant != NULL ? "; did you mean \"" : "", meant != NULL ? meant : "",
	    meant != NULL ? "\"?" : "");
}

static void
find_relays(struct loader *ld, const config_setting_t *s, struct conf_route *rt)
{
	const config_setting_t *list = config_setting_get_member(s, "relays");

	if (list == NULL) {
		complain(ld, config_setting_source_line(s), "routes[].relays is missing: the names of the "
		    "relays for this mail, the preferred one first");
		return;
	}
	for (int i = 0; i < config_setting_length(list) && rt->nrelay < CONF_RELAYS_MAX; i++) {
		const char *name = config_setting_get_string_elem(list, i);
		int which = name != NULL ? relay_by_name(ld->conf, name) : -1;

		if (name == NULL)
			continue;		/* complained of already */
		if (which < 0) {
			no_such_relay(ld, config_setting_source_line(list), name);
			continue;
		}
		for (size_t k = 0; k < rt->nrelay; k++)
			if (rt->relay[k] == which)
				complain(ld, config_setting_source_line(list), "routes[].relays: \"%s\" is "
				    "listed twice", name);
		rt->relay[rt->nrelay++] = (uint8_t)which;
	}
}

static void
check_unused(struct loader *ld, const config_setting_t *root)
{
	const config_setting_t *list = config_setting_get_member(root, "relays");
	const struct conf *c = ld->conf;
	bool used[CONF_RELAYS_MAX] = { false };

	for (size_t i = 0; i < c->nroute; i++)
		for (size_t k = 0; k < c->route[i].nrelay; k++)
			used[c->route[i].relay[k]] = true;
	for (size_t i = 0; i < c->nrelay; i++)
		if (!used[i] && c->relay[i].name != NULL)
			caution(ld, line_of(config_setting_get_elem(list, (unsigned)i), "name"),
			    "no route uses the relay \"%s\": it gets no mail", c->relay[i].name);
}

/* --- one route ------------------------------------------------------------ */

static void
find_user(struct loader *ld, const config_setting_t *s, struct conf_route *rt)
{
	struct identity id;
	struct err e;
	uint64_t n;

	if (rt->user == NULL)
		return;
	rt->uid = CONF_NO_UID;
	if (num_parse_u64(view_str(rt->user), 0, UINT32_MAX - 1, &n))
		rt->uid = (int64_t)n;
	else if (privilege_find(&id, rt->user, &e) == 0)
		rt->uid = (int64_t)id.uid;
	else
		caution(ld, line_of(s, "user"), "routes[].user: %s here; no mail takes this route before "
		    "there is one and a reload", e.text);
}

static void
name_route(struct loader *ld, const config_setting_t *s, size_t i)
{
	struct conf_route *rt = ld->conf->route;
	char number[24];

	(void)snprintf(number, sizeof(number), "%zu", i + 1);
	if (rt[i].name == NULL)
		rt[i].name = xstrdup(number);
	for (size_t k = 0; k < i; k++)
		if (strcmp(rt[i].name, rt[k].name) == 0)
			complain(ld, line_of(s, "name"), "routes[].name: \"%s\" is the name of two routes (one "
			    "without a name is called by its number)", rt[i].name);
}

/* What was complained of is not there: the route takes less than it seems to. */
static bool
is_whole(const config_setting_t *s, const struct conf_route *rt)
{
	return config_setting_is_group(s) &&
	    (rt->from != NULL) == (config_setting_get_member(s, "from") != NULL) &&
	    (rt->to != NULL) == (config_setting_get_member(s, "to") != NULL) &&
	    (rt->user != NULL) == (config_setting_get_member(s, "user") != NULL);
}

static bool
takes_all(const struct conf_route *rt)
{
	return rt->from == NULL && rt->to == NULL && rt->user == NULL;
}

static bool
covers(const char *a, const char *b)
{
	return a == NULL || (b != NULL && pattern_covers(view_str(a), view_str(b)));
}

static bool
covers_user(const struct conf_route *a, const struct conf_route *b)
{
	return a->user == NULL || (b->user != NULL && a->uid == b->uid && a->uid != CONF_NO_UID);
}

/* The first whose conditions all hold gets the mail: is anything left for route i? */
static void
check_reached(struct loader *ld, const config_setting_t *list, size_t i)
{
	const struct conf_route *rt = ld->conf->route;

	for (size_t k = 0; k < i; k++) {
		if (!is_whole(config_setting_get_elem(list, (unsigned)k), &rt[k]) || !covers(rt[k].from, rt[i].from) ||
		    !covers(rt[k].to, rt[i].to) || !covers_user(&rt[k], &rt[i]))
			continue;
		complain(ld, config_setting_source_line(config_setting_get_elem(list, (unsigned)i)),
		    "routes: no mail gets to this one: the route in line %u takes all of it",
		    (unsigned)config_setting_source_line(config_setting_get_elem(list, (unsigned)k)));
		return;
	}
}

/* --- all ------------------------------------------------------------------ */

/* None are written: all mail takes the relays in their order. */
static void
make_default(struct conf *c)
{
	struct conf_route *rt = &c->route[c->nroute++];

	rt->name = xstrdup("1");
	for (size_t i = 0; i < c->nrelay; i++)
		rt->relay[rt->nrelay++] = (uint8_t)i;
}

void
check_routes(struct loader *ld, const config_setting_t *root)
{
	const config_setting_t *list = config_setting_get_member(root, "routes");
	struct conf *c = ld->conf;

	if (list == NULL) {
		make_default(c);
		return;
	}
	if (!config_setting_is_list(list))
		return;		/* complained of already */
	if (c->nroute == 0)
		complain(ld, config_setting_source_line(list), "routes is empty: leave it out, or say "
		    "routes = ( { relays = [ ... ]; } );");
	for (size_t i = 0; i < c->nroute; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);

		name_route(ld, s, i);
		if (!config_setting_is_group(s))
			continue;
		find_relays(ld, s, &c->route[i]);
		find_user(ld, s, &c->route[i]);
		check_reached(ld, list, i);
	}
	if (c->nroute > 0 && !takes_all(&c->route[c->nroute - 1]))
		complain(ld, config_setting_source_line(config_setting_get_elem(list,
		    (unsigned)c->nroute - 1)), "routes: the last one must take whatever no other takes: add "
		    "{ relays = [ ... ]; } without from, to and user");
	check_unused(ld, root);
}
