/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What no single value shows: values that need or exclude one another, and
 * defaults that come from other values.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "conf/loader.h"

#include "base/banned.h"

unsigned
line_at(const config_setting_t *s, const char *name)
{
	const config_setting_t *m = config_setting_get_member(s, name);

	return config_setting_source_line(m != NULL ? m : s);
}

bool
has(const config_setting_t *s, const char *name)
{
	return config_setting_get_member(s, name) != NULL;
}

static void
empty_is_none(char **s)
{
	if (*s != NULL && **s == '\0') {
		free(*s);
		*s = NULL;
	}
}

/* --- names of this host --------------------------------------------------- */

/* This host's name, made fit for an EHLO command. */
static char *
own_name(void)
{
	char name[256] = "";

	if (gethostname(name, sizeof(name) - 1) != 0 || !is_alnum((uint8_t)name[0]))
		return xstrdup("localhost");
	for (char *p = name; *p != '\0'; p++)
		if (!is_alnum((uint8_t)*p) && *p != '.' && *p != '-')
			*p = '-';
	return xstrdup(name);
}

static void
check_names(struct loader *ld, const config_setting_t *root)
{
	struct conf *c = ld->conf;
	char path[256];

	if (c->hostname == NULL)
		c->hostname = own_name();
	if (strchr(c->hostname, '.') == NULL && strchr(c->hostname, ':') == NULL)
		caution(ld, has(root, "hostname") ? line_at(root, "hostname") : 0,
		    "the host name \"%s\" has no domain; some smarthosts refuse that: set hostname = "
		    "\"name.example.com\"", c->hostname);
	empty_is_none(&c->default_domain);
	if (c->default_domain == NULL)
		c->default_domain = xstrdup(c->hostname);
	if (c->socket == NULL) {
		(void)snprintf(path, sizeof(path), "%s/smtp.sock", c->runtime_dir);
		c->socket = xstrdup(path);
	}
	if (c->nlisten == 0 && c->nlistener == 0 && c->socket[0] == '\0')
		complain(ld, 0, "nothing to listen on: listen and socket are both empty, and there are no "
		    "listeners");
	if (c->admin[0] == '\0')
		caution(ld, 0, "admin is not set: bounces of senders like root@%s that nobody can "
		    "reach will only be in the log", c->hostname);
}

/* --- relays ------------------------------------------------------------ */

static bool
is_loopback_host(const char *host)
{
	struct address a;

	return strcmp(host, "localhost") == 0 || strcmp(host, "ip6-localhost") == 0 ||
	    (address_from_host(&a, view_str(host), 1) && address_is_loopback(&a));
}

/* Credentials go to a verified TLS peer only; a combination that could do else is refused. */
static void
check_secrecy(struct loader *ld, const config_setting_t *s, const struct conf_relay *r)
{
	bool login = r->user != NULL || r->secret != CONF_SECRET_NONE || r->mechanisms != 0;
	bool clear = false;

	for (size_t i = 0; i < r->nendpoint; i++)
		clear |= r->endpoint[i].tls == CONF_TLS_NONE;
	if (clear && !r->insecure && r->host != NULL && !is_loopback_host(r->host))
		complain(ld, line_at(s, "endpoints"), "relays[].endpoints: tls = \"none\" is for loopback "
		    "hosts; \"%s\" would get the mail in clear. Use \"starttls\" or \"implicit\" (or, "
		    "knowing what you do, insecure = true)", r->host);
	if (clear && login)
		complain(ld, line_at(s, "endpoints"), "relays[]: a password is never sent in clear: "
		    "remove the endpoint with tls = \"none\", or the login");
	if (r->insecure && login)
		complain(ld, line_at(s, "insecure"), "relays[]: a password is only sent to a verified "
		    "server: remove insecure = true and, if the server has a certificate of your own, "
		    "set ca_file");
	if (r->insecure)
		caution(ld, line_at(s, "insecure"), "insecure = true: whoever is on the way can read "
		    "and change the mail");
}

static void
check_relay(struct loader *ld, const config_setting_t *s, struct conf_relay *r)
{
	size_t n;

	empty_is_none(&r->user);
	empty_is_none(&r->ca_file);
	if (!has(s, "host"))
		complain(ld, config_setting_source_line(s), "relays[].host is missing: the name of the "
		    "smarthost");
	check_login(ld, s, r);
	check_secrecy(ld, s, r);
	if (r->host != NULL && r->host[0] == '[') {	/* "[::1]": brackets are for people */
		n = strlen(r->host);
		memmove(r->host, r->host + 1, n);
		r->host[n - 2] = '\0';
	}
	if (r->name == NULL && r->host != NULL)
		r->name = xstrdup(r->host);
}

/* Log, status and routes speak of a relay by its name. */
static void
check_relay_name(struct loader *ld, const config_setting_t *s, size_t i)
{
	const struct conf_relay *r = ld->conf->relay;

	for (size_t k = 0; k < i; k++)
		if (r[i].name != NULL && r[k].name != NULL && strcmp(r[i].name, r[k].name) == 0)
			complain(ld, line_at(s, "name"), "relays[].name: \"%s\" is the name of two relays: "
			    "give each a name = \"...\" of its own", r[i].name);
}

static void
check_relays(struct loader *ld, const config_setting_t *root)
{
	const config_setting_t *list = config_setting_get_member(root, "relays");
	const config_setting_t *s;

	if (list == NULL) {
		complain(ld, 0, "there is no relay: say where mail goes with relays = ( { host = "
		    "\"smtp.example.net\"; } );");
		return;
	}
	if (!config_setting_is_list(list))
		return;		/* complained of already */
	if (ld->conf->nrelay == 0)
		complain(ld, config_setting_source_line(list), "relays is empty: at least one is needed");
	for (size_t i = 0; i < ld->conf->nrelay; i++) {
		s = config_setting_get_elem(list, (unsigned)i);
		if (!config_setting_is_group(s))
			continue;
		check_relay(ld, s, &ld->conf->relay[i]);
		check_relay_name(ld, s, i);
	}
}

static void
check_sizes(struct loader *ld, const config_setting_t *root)
{
	const struct conf *c = ld->conf;

	if (c->limits.message_size > c->queue.bytes_max / 2)
		complain(ld, line_at(root, "limits"), "limits.message_size is more than half of "
		    "queue.bytes_max: such a message would never fit beside others");
	if (c->queue.segment_size > c->queue.bytes_max / 4)
		complain(ld, line_at(root, "queue"), "queue.segment_size is more than a quarter of "
		    "queue.bytes_max: space could not be reclaimed");
	if (c->queue.retry_first_ms > c->queue.retry_max_ms)
		complain(ld, line_at(root, "queue"), "queue.retry_first is longer than "
		    "queue.retry_max");
	if (c->limits.connections_per_client > c->limits.connections && has(root, "limits"))
		caution(ld, line_at(root, "limits"), "limits.connections_per_client is above "
		    "limits.connections and has no effect");
}

static void
check_staging(struct loader *ld, const config_setting_t *root)
{
	struct conf *c = ld->conf;
	char text[PATH_MAX + 8];

	if (c->sink == NULL || c->sink[0] == '\0') {
		free(c->sink);
		(void)snprintf(text, sizeof(text), "%s/sink", c->state_dir);
		c->sink = xstrdup(text);
	}
	if (strcmp(c->sink, c->state_dir) == 0 || strcmp(c->sink, c->runtime_dir) == 0)
		complain(ld, line_at(root, "sink"), "sink is the same as state_dir or runtime_dir: it needs a "
		    "directory of its own");
	if (conf_staging_notice(c, text))
		caution(ld, line_at(root, "staging"), "%s", text);
}

/* Each has a lock of the same name. */
static void
check_places(struct loader *ld, const config_setting_t *root)
{
	if (strcmp(ld->conf->state_dir, ld->conf->runtime_dir) == 0)
		complain(ld, line_at(root, "runtime_dir"), "runtime_dir is the same as state_dir: the queue "
		    "needs a directory of its own");
}

void
check_conf(struct loader *ld, const config_setting_t *root)
{
	check_names(ld, root);
	check_relays(ld, root);
	check_listeners(ld, root);
	check_routes(ld, root);
	check_sizes(ld, root);
	check_places(ld, root);
	check_staging(ld, root);
}
