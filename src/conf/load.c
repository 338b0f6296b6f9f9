/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text to struct conf: libconfig makes a tree, the tree is walked against the
 * table of keys. libconfig itself accepts any name and any type.
 */
#include "conf/conf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "base/require.h"
#include "conf/loader.h"
#include "conf/value.h"

#include "base/banned.h"

#define COMMAND_WORDS_MAX 64

static void printf_like(4, 0)
add_line(struct loader *ld, unsigned line, const char *kind, const char *fmt, va_list ap)
{
	char text[512];
	bool ok;

	(void)vsnprintf(text, sizeof(text), fmt, ap);
	if (line != 0)
		ok = buf_addf(ld->report, "%s:%u: %s%s\n", ld->name, line, kind, text);
	else
		ok = buf_addf(ld->report, "%s: %s%s\n", ld->name, kind, text);
	(void)ok;	/* a report that is full is long enough */
}

void
complain(struct loader *ld, unsigned line, const char *fmt, ...)
{
	va_list ap;

	ld->failed = true;
	va_start(ap, fmt);
	add_line(ld, line, "", fmt, ap);
	va_end(ap);
}

void
caution(struct loader *ld, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_line(ld, line, "warning: ", fmt, ap);
	va_end(ap);
}

static unsigned
line_of(const config_setting_t *s)
{
	return config_setting_source_line(s);
}

/* --- one value ------------------------------------------------------------ */

static void
wrong_type(struct loader *ld, const struct key *k, const config_setting_t *s)
{
	char expected[160];

	value_expected(k, expected);
	complain(ld, line_of(s), "%s%s must be %s", group_prefix(k->group), k->name, expected);
}

/* The text of a scalar of a type that suits k; false after a complaint. */
static bool
scalar_text(struct loader *ld, const struct key *k, const config_setting_t *s, char number[24],
    struct view *out)
{
	int type = config_setting_type(s);
	bool whole = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
	bool ok;

	switch (k->type) {
	case KEY_BOOL:
		ok = type == CONFIG_TYPE_BOOL;
		break;
	case KEY_COUNT:
	case KEY_PORT:
		ok = whole;
		break;
	case KEY_SIZE:
		ok = whole || type == CONFIG_TYPE_STRING;
		break;
	default:
		ok = type == CONFIG_TYPE_STRING;
		break;
	}
	if (!ok) {
		wrong_type(ld, k, s);
		return false;
	}
	if (type == CONFIG_TYPE_STRING) {
		*out = view_str(config_setting_get_string(s));
	} else if (type == CONFIG_TYPE_BOOL) {
		*out = view_str(config_setting_get_bool(s) ? "true" : "false");
	} else {
		(void)snprintf(number, 24, "%lld", config_setting_get_int64(s));
		*out = view_str(number);
	}
	return true;
}

static void
take_scalar(struct loader *ld, const struct key *k, const config_setting_t *s, void *base)
{
	struct err e;
	struct view text;
	char number[24];

	if (!scalar_text(ld, k, s, number, &text))
		return;
	if (value_parse(k, base, text, &e) != 0) {
		complain(ld, line_of(s), "%s%s", group_prefix(k->group), e.text);
		return;
	}
	if (k->type == KEY_SECRET)
		((struct conf_relay *)base)->secret = (enum conf_secret)k->min;
}

static void
free_words(char **words)
{
	for (size_t i = 0; words != NULL && words[i] != NULL; i++)
		free(words[i]);
	free(words);
}

static void
take_command(struct loader *ld, const struct key *k, const config_setting_t *s, void *base)
{
	char ***at = (char ***)(void *)((char *)base + k->at);
	int n = config_setting_is_array(s) || config_setting_is_list(s) ?
	    config_setting_length(s) : 0;
	char **words;

	if (n == 0 || n > COMMAND_WORDS_MAX) {
		wrong_type(ld, k, s);
		return;
	}
	words = xcalloc((size_t)n + 1, sizeof(*words));
	for (int i = 0; i < n; i++) {
		const char *word = config_setting_get_string_elem(s, i);

		if (word == NULL || (i == 0 && word[0] != '/')) {
			complain(ld, line_of(s), "%s%s: %s", group_prefix(k->group), k->name, word == NULL ?
			    "every word must be text in double quotes" :
			    "the first word must be an absolute path");
			free_words(words);
			return;
		}
		words[i] = xstrdup(word);
	}
	free_words(*at);
	*at = words;
	if (k->group == GROUP_RELAY)
		((struct conf_relay *)base)->secret = (enum conf_secret)k->min;
}

static void
take_list(struct loader *ld, const struct key *k, const config_setting_t *s, void *base)
{
	char ***at = (char ***)(void *)((char *)base + k->at);
	int n = config_setting_is_array(s) || config_setting_is_list(s) ?
	    config_setting_length(s) : 0;
	char **words;
	int taken = 0;

	if (n == 0 || n > (int)k->max) {
		wrong_type(ld, k, s);
		return;
	}
	words = xcalloc((size_t)n + 1, sizeof(*words));
	for (int i = 0; i < n; i++) {
		const config_setting_t *m = config_setting_get_elem(s, (unsigned)i);
		const char *word = config_setting_get_string(m);
		const char *fault = word == NULL ? "is not text in double quotes" :
		    value_form_fault(k->form, view_str(word));

		if (fault != NULL)
			complain(ld, line_of(m), "%s%s: number %d %s", group_prefix(k->group), k->name, i + 1,
			    fault);
		else
			words[taken++] = xstrdup(word);
	}
	free_words(*at);
	*at = words;
}

/* Which relays they are is found when all are known: conf/check_routes.c. */
static void
take_names(struct loader *ld, const struct key *k, const config_setting_t *s)
{
	int n = config_setting_is_array(s) || config_setting_is_list(s) ?
	    config_setting_length(s) : 0;

	if (n == 0 || n > (int)k->max) {
		wrong_type(ld, k, s);
		return;
	}
	for (int i = 0; i < n; i++)
		if (config_setting_get_string_elem(s, i) == NULL)
			complain(ld, line_of(s), "%s%s: every name must be text in double quotes",
			    group_prefix(k->group), k->name);
}

/* --- listen --------------------------------------------------------------- */

static void
take_address(struct loader *ld, unsigned line, const char *text)
{
	struct conf *c = ld->conf;
	struct address a;
	struct err e;
	struct buf shown;
	const char *why = NULL;

	buf_init(&shown, 512);
	if (text == NULL || !quote_log(&shown, view_str(text), 80) || !buf_add_byte(&shown, 0)) {
		complain(ld, line, "listen: every address must be text in double quotes");
		goto out;
	}
	if (strncmp(text, "localhost", 9) == 0) {
		why = "write the address: \"127.0.0.1:25\" or \"[::1]:25\"";
	} else if (address_parse(&a, view_str(text), &e) != 0) {
		why = "it is not an address like \"127.0.0.1:25\" or \"[::1]:25\"";
	} else if (address_is_unix(&a)) {
		why = "a unix socket goes into the option \"socket\"";
	} else if (!address_is_loopback(&a)) {
		why = "this is for programs of this host: use a loopback address (127.0.0.1, [::1]); for "
		    "containers there is the option \"listeners\"";
	} else if (c->nlisten == CONF_LISTEN_MAX) {
		why = "there are too many addresses";
	}
	for (size_t i = 0; why == NULL && i < c->nlisten; i++)
		if (address_eq(&c->listen[i], &a) && address_port(&a) != 0)
			why = "it is listed twice";
	if (why != NULL)
		complain(ld, line, "listen: %s: %s", (const char *)shown.data, why);
	else
		c->listen[c->nlisten++] = a;
out:
	buf_done(&shown);
}

static void
take_addresses(struct loader *ld, const struct key *k, const config_setting_t *s)
{
	if (!config_setting_is_array(s) && !config_setting_is_list(s)) {
		wrong_type(ld, k, s);
		return;
	}
	ld->conf->nlisten = 0;
	for (int i = 0; i < config_setting_length(s); i++)
		take_address(ld, line_of(config_setting_get_elem(s, (unsigned)i)),
		    config_setting_get_string_elem(s, i));
}

/* --- groups --------------------------------------------------------------- */

static void walk_group(struct loader *, enum key_group, const config_setting_t *, void *base);

static void
apply_defaults(struct loader *ld, enum key_group group, void *base)
{
	for (size_t i = 0; i < nkeys; i++) {
		const struct key *k = &keys[i];
		struct view rest = view_str(k->def), word;

		if (k->group != group || k->def == NULL)
			continue;
		if (k->type == KEY_ADDRESSES) {
			while (view_split(&rest, ' ', &word))
				require(address_parse(&ld->conf->listen[ld->conf->nlisten++], word,
				    NULL) == 0);
		} else {
			require(value_parse(k, base, rest, NULL) == 0);
		}
	}
}

/* Nothing said: by port. An explicit word wins. */
static enum conf_tls
usual_tls(uint16_t port)
{
	return port == 465 || port == 2465 ? CONF_TLS_IMPLICIT : CONF_TLS_STARTTLS;
}

static void
take_endpoints(struct loader *ld, const config_setting_t *list, struct conf_relay *r)
{
	int n = config_setting_length(list);

	r->nendpoint = 0;
	if (n == 0 || n > CONF_ENDPOINTS_MAX) {
		complain(ld, line_of(list), "relays[].endpoints: give 1 to %d of them",
		    CONF_ENDPOINTS_MAX);
		return;
	}
	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);
		struct conf_endpoint ep = { 0 };

		if (!config_setting_is_group(s)) {
			complain(ld, line_of(s), "relays[].endpoints: each must be a group like "
			    "{ port = 587; tls = \"starttls\"; }");
			continue;
		}
		walk_group(ld, GROUP_ENDPOINT, s, &ep);
		if (config_setting_get_member(s, "port") == NULL)
			complain(ld, line_of(s), "relays[].endpoints[].port is missing");
		if (config_setting_get_member(s, "tls") == NULL)
			ep.tls = usual_tls(ep.port);
		for (size_t j = 0; j < r->nendpoint; j++)
			if (r->endpoint[j].port == ep.port && ep.port != 0)
				complain(ld, line_of(s), "relays[].endpoints: port %u is listed twice",
				    (unsigned)ep.port);
		r->endpoint[r->nendpoint++] = ep;
	}
}

static void
take_relay(struct loader *ld, const config_setting_t *s, struct conf_relay *r)
{
	apply_defaults(ld, GROUP_RELAY, r);
	memcpy(r->endpoint, default_endpoints, ndefault_endpoints * sizeof(default_endpoints[0]));
	r->nendpoint = ndefault_endpoints;
	if (!config_setting_is_group(s))
		complain(ld, line_of(s), "relays: each must be a group: { host = \"...\"; ... }");
	else
		walk_group(ld, GROUP_RELAY, s, r);
}

static void
take_relays(struct loader *ld, const config_setting_t *list)
{
	struct conf *c = ld->conf;
	int n = config_setting_length(list);

	if (n > CONF_RELAYS_MAX) {
		complain(ld, line_of(list), "relays: at most %d", CONF_RELAYS_MAX);
		n = CONF_RELAYS_MAX;
	}
	for (int i = 0; i < n; i++)
		take_relay(ld, config_setting_get_elem(list, (unsigned)i), &c->relay[c->nrelay++]);
}

static void
take_listeners(struct loader *ld, const config_setting_t *list)
{
	struct conf *c = ld->conf;
	int n = config_setting_length(list);

	if (n > CONF_LISTENERS_MAX) {
		complain(ld, line_of(list), "listeners: at most %d", CONF_LISTENERS_MAX);
		n = CONF_LISTENERS_MAX;
	}
	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);
		struct conf_listener *l = &c->listener[c->nlistener++];

		apply_defaults(ld, GROUP_LISTENER, l);
		if (!config_setting_is_group(s))
			complain(ld, line_of(s), "listeners: each must be a group: { address = \"...\"; networks = "
			    "[ \"...\" ]; }");
		else
			walk_group(ld, GROUP_LISTENER, s, l);
	}
}

static void
take_routes(struct loader *ld, const config_setting_t *list)
{
	struct conf *c = ld->conf;
	int n = config_setting_length(list);

	if (n > CONF_ROUTES_MAX) {
		complain(ld, line_of(list), "routes: at most %d", CONF_ROUTES_MAX);
		n = CONF_ROUTES_MAX;
	}
	for (int i = 0; i < n; i++) {
		const config_setting_t *s = config_setting_get_elem(list, (unsigned)i);
		struct conf_route *rt = &c->route[c->nroute++];

		if (!config_setting_is_group(s))
			complain(ld, line_of(s), "routes: each must be a group: { from = \"...\"; relays = "
			    "[ \"...\" ]; }");
		else
			walk_group(ld, GROUP_ROUTE, s, rt);
	}
}

static void
take_subgroup(struct loader *ld, const struct key *k, const config_setting_t *s, void *base)
{
	if (key_is_list(k) ? !config_setting_is_list(s) : !config_setting_is_group(s))
		wrong_type(ld, k, s);
	else if (k->min == GROUP_LISTENER)
		take_listeners(ld, s);
	else if (k->min == GROUP_RELAY)
		take_relays(ld, s);
	else if (k->min == GROUP_ROUTE)
		take_routes(ld, s);
	else if (k->min == GROUP_ENDPOINT)
		take_endpoints(ld, s, base);
	else
		walk_group(ld, (enum key_group)k->min, s, base);
}

static void
walk_group(struct loader *ld, enum key_group group, const config_setting_t *s, void *base)
{
	for (int i = 0; i < config_setting_length(s); i++) {
		const config_setting_t *m = config_setting_get_elem(s, (unsigned)i);
		const char *name = config_setting_name(m);
		const struct key *k = key_find(group, name);
		char hint[200];

		if (k == NULL) {
			suggest(hint, group, name);
			complain(ld, line_of(m), "unknown option \"%s%.60s\"%s", group_prefix(group),
			    name, hint);
		} else if (k->type == KEY_SUBGROUP) {
			take_subgroup(ld, k, m, base);
		} else if (k->type == KEY_COMMAND) {
			take_command(ld, k, m, base);
		} else if (k->type == KEY_RELAYS) {
			take_names(ld, k, m);
		} else if (k->type == KEY_LIST) {
			take_list(ld, k, m, base);
		} else if (k->type == KEY_ADDRESSES) {
			take_addresses(ld, k, m);
		} else {
			take_scalar(ld, k, m, base);
		}
	}
}

/* --- the whole ------------------------------------------------------------ */

/*
 * libconfig opens what @include names, whoever reads the text. The roles read
 * it too, and have no files; so there is one file. libconfig knows the word
 * only at the start of a line.
 */
static void
refuse_includes(struct loader *ld, struct view text)
{
	struct view line;

	for (unsigned n = 1; view_split(&text, '\n', &line); n++)
		if (view_starts(view_trim(line), VIEW("@include")))
			complain(ld, n, "@include is not supported: write everything into this file");
}

bool
tree_parse(config_t *tree, struct view text)
{
	struct buf copy;
	const char *s;
	bool ok;

	buf_init(&copy, text.n + 1);
	s = buf_add(&copy, text) ? buf_cstr(&copy) : NULL;
	ok = s != NULL && config_read_string(tree, s) == CONFIG_TRUE;
	buf_done(&copy);
	return ok;
}

static int
read_tree(struct loader *ld, config_t *tree, struct view text)
{
	const char *why;

	if (text.n > CONF_TEXT_MAX || view_find(text, 0) < text.n) {
		complain(ld, 0, text.n > CONF_TEXT_MAX ? "the file is too large" :
		    "there is a NUL byte in the file");
		return -1;
	}
	refuse_includes(ld, text);
	if (ld->failed)
		return -1;
	if (tree_parse(tree, text))
		return 0;
	why = config_error_text(tree);
	complain(ld, (unsigned)config_error_line(tree), "%s%s", why != NULL ? why : "no memory",
	    why != NULL && strcmp(why, "syntax error") == 0 ?
	    "; look at this line and the end of the one before it" : "");
	return -1;
}

int
conf_load(struct conf **out, struct view text, const char *name, struct buf *report)
{
	struct loader ld = { .name = name, .report = report };
	config_t tree;

	ld.conf = xzalloc(sizeof(*ld.conf));
	apply_defaults(&ld, GROUP_TOP, ld.conf);
	apply_defaults(&ld, GROUP_LIMITS, ld.conf);
	apply_defaults(&ld, GROUP_QUEUE, ld.conf);

	config_init(&tree);
	if (read_tree(&ld, &tree, text) == 0) {
		walk_group(&ld, GROUP_TOP, config_root_setting(&tree), ld.conf);
		check_conf(&ld, config_root_setting(&tree));
	}
	config_destroy(&tree);
	if (ld.failed) {
		conf_free(ld.conf);
		return -1;
	}
	*out = ld.conf;
	return 0;
}

static void
listener_done(struct conf_listener *l)
{
	free(l->name);
	free(l->where);
	free(l->certificate);
	free(l->key);
	free_words(l->networks);
	free_words(l->allow_senders);
	free_words(l->allow_recipients);
}

static void
relay_done(struct conf_relay *r)
{
	free(r->name);
	free(r->host);
	free(r->user);
	free(r->secret_from);
	free(r->ca_file);
	free(r->certificate);
	free(r->key);
	free_words(r->command);
	free_words(r->mechanism_words);
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	free(c->hostname);
	free(c->admin);
	free(c->default_domain);
	free(c->socket);
	free(c->state_dir);
	free(c->runtime_dir);
	free(c->sink);
	free(c->user);
	free(c->intake_user);
	free_words(c->hook);
	free_words(c->allow_senders);
	free_words(c->allow_recipients);
	for (size_t i = 0; i < c->nlistener; i++)
		listener_done(&c->listener[i]);
	for (size_t i = 0; i < c->nrelay; i++)
		relay_done(&c->relay[i]);
	for (size_t i = 0; i < c->nroute; i++) {
		free(c->route[i].name);
		free(c->route[i].from);
		free(c->route[i].to);
		free(c->route[i].user);
	}
	free(c);
}
