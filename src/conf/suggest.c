/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "conf/loader.h"

#include "base/banned.h"

/* Names that people will try, with what to do instead. */
static const struct {
	const char	*name;
	const char	*hint;
} hints[] = {
	{ "password", "a password is never written here; use password_file, password_credential, "
	    "password_command or password_env" },
	{ "provider", "presets are not in this version; give host, and endpoints if the defaults "
	    "do not fit" },
	{ "relayhost", "write relays = ( { host = \"...\"; } );" },
	{ "allow_networks", "only this host is served; for containers write listeners = ( { address = "
	    "\"172.17.0.1:25\"; networks = [ \"172.17.0.0/16\" ]; } );" },
};

static const struct key *
nearest_key(enum key_group group, const char *name)
{
	const struct key *best = NULL;
	struct nearest n;

	nearest_begin(&n, name);
	for (size_t i = 0; i < nkeys; i++)
		if (keys[i].group == group && nearest_offer(&n, keys[i].name))
			best = &keys[i];
	return best;
}

void
suggest(char out[200], enum key_group group, const char *name)
{
	const struct key *k;

	for (size_t i = 0; i < lengthof(hints); i++)
		if (strcmp(name, hints[i].name) == 0) {
			(void)snprintf(out, 200, "; %s", hints[i].hint);
			return;
		}
	for (size_t i = 0; i < nkeys; i++)
		if (keys[i].group != group && strcmp(name, keys[i].name) == 0) {
			(void)snprintf(out, 200, "; there is \"%s%s\"", group_prefix(keys[i].group), name);
			return;
		}
	k = nearest_key(group, name);
	if (k != NULL)
		(void)snprintf(out, 200, "; did you mean \"%s\"?", k->name);
	else
		out[0] = '\0';
}
