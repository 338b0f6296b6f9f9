/* SPDX-License-Identifier: BSD-2-Clause */
/* How a relay is logged in to: what goes with what, and by which mechanisms. */
#include "base/alloc.h"
#include "conf/loader.h"
#include "smtp/mechanism.h"

#include "base/banned.h"

/* The words were checked. Only with ! in front: all that a password is for, but these. */
static unsigned
set_of(char *const *words)
{
	unsigned named = 0, not = 0;

	for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
		struct view word = view_str(words[i]);
		bool negated = view_starts(word, VIEW("!"));
		enum sasl_mechanism m = mechanism_find(view_from(word, negated));

		if (m == SASL_COUNT)
			continue;
		if (negated)
			not |= MECHANISM(m);
		else
			named |= MECHANISM(m);
	}
	return (named != 0 ? named : MECHANISMS_PASSWORD) & ~not;
}

static void
check_mechanisms(struct loader *ld, const config_setting_t *s, struct conf_relay *r)
{
	unsigned line = line_at(s, "mechanisms"), set = set_of(r->mechanism_words);
	unsigned secret = set & ~MECHANISM(SASL_EXTERNAL);

	if ((set & MECHANISMS_TOKEN) != 0 && (secret & ~MECHANISMS_TOKEN) != 0)
		complain(ld, line, "relays[].mechanisms: oauthbearer and xoauth2 send a token, the others a "
		    "password: one relay has one of them");
	if (set == 0)
		complain(ld, line, "relays[].mechanisms leaves no way to log in");
	if (r->mechanism_words != NULL && r->user == NULL && secret != 0)
		complain(ld, line, "relays[].mechanisms says how to log in, and there is no user");
	if (set != secret && r->certificate == NULL)
		complain(ld, line, "relays[].mechanisms: external needs a certificate of our own: add certificate "
		    "= \"/etc/posthouse/relay.pem\" and key");
	r->mechanisms = r->user != NULL || secret == 0 ? set : 0;
}

/* The certificate alone logs in, and user, if there is one, says only as whom. */
static bool
needs_secret(const struct conf_relay *r)
{
	return set_of(r->mechanism_words) != MECHANISM(SASL_EXTERNAL);
}

static void
check_secret(struct loader *ld, const config_setting_t *s, const struct conf_relay *r, const char *source)
{
	if (!needs_secret(r)) {
		if (source != NULL)
			complain(ld, line_at(s, source), "relays[].%s: nothing is to be said with it; mechanisms has "
			    "external alone", source);
		return;
	}
	if (r->user != NULL && source == NULL)
		complain(ld, line_at(s, "user"), "relays[].user has no password: add password_file = "
		    "\"/etc/posthouse/relay.password\", or password_credential, password_command, "
		    "password_env");
	if (!has(s, "user") && source != NULL)
		complain(ld, line_at(s, source), "relays[].%s has no user to go with it: add user = "
		    "\"...\"", source);
}

static void
check_pair(struct loader *ld, const config_setting_t *s, struct conf_relay *r)
{
	if (r->key != NULL && r->certificate == NULL)
		complain(ld, line_at(s, "key"), "relays[].key has no certificate to go with it: add certificate = "
		    "\"/etc/posthouse/relay.pem\"");
	if (r->certificate != NULL && r->key == NULL)
		r->key = xstrdup(r->certificate);
}

void
check_login(struct loader *ld, const config_setting_t *s, struct conf_relay *r)
{
	static const char *const sources[] = {
		"password_file", "password_credential", "password_command", "password_env"
	};
	const char *first = NULL;

	for (size_t i = 0; i < lengthof(sources); i++) {
		if (!has(s, sources[i]))
			continue;
		if (first != NULL)
			complain(ld, line_at(s, sources[i]), "relays[]: %s and %s: keep one of them",
			    first, sources[i]);
		first = sources[i];
	}
	check_secret(ld, s, r, first);
	check_pair(ld, s, r);
	check_mechanisms(ld, s, r);
}
