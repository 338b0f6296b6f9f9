/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdio.h>
#include <string.h>

#include "conf/loader.h"

#include "base/banned.h"

#define WORD_MAX 40

/* Names that people will try, with what to do instead. */
static const struct {
	const char	*name;
	const char	*hint;
} hints[] = {
	{ "password", "a password is never written here; use password_file, password_credential, "
	    "password_command or password_env" },
	{ "provider", "presets are not in this version; give host, and endpoints if the defaults "
	    "do not fit" },
	{ "routes", "there is one relay for now, so there is nothing to route" },
	{ "relayhost", "write relays = ( { host = \"...\"; } );" },
	{ "allow_networks", "only this host is served, on loopback and the unix socket" },
};

/* Edit distance, a swap of neighbours counted as one. Words longer than WORD_MAX are far. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[3][WORD_MAX + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > WORD_MAX || nb > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= nb; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);

			best = up[j] + 1 < best ? up[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[na % 3][nb];
}

static const struct key *
nearest(enum key_group group, const char *name)
{
	const struct key *best = NULL;
	unsigned least = (unsigned)strlen(name) / 3 + 1;

	for (size_t i = 0; i < nkeys; i++) {
		unsigned d = keys[i].group == group ? distance(name, keys[i].name) : WORD_MAX;

		if (d <= least && d < WORD_MAX) {
			best = &keys[i];
			least = d > 0 ? d - 1 : 0;
		}
	}
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
	k = nearest(group, name);
	if (k != NULL)
		(void)snprintf(out, 200, "; did you mean \"%s\"?", k->name);
	else
		out[0] = '\0';
}
