/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys - one row per option: the only list of options there is.
 *
 * Loading, checking and --dump walk it; tests hold the example file and
 * posthouse.conf(5) against it. Defaults are written as in the file and go
 * through the same parser as the user's values.
 */
#ifndef CONF_KEYS_H
#define CONF_KEYS_H

#include "conf/conf.h"

enum key_group {
	GROUP_TOP, GROUP_LISTENER, GROUP_LIMITS, GROUP_QUEUE, GROUP_RELAY, GROUP_ENDPOINT, GROUP_ROUTE,
	GROUP_COUNT
};

enum key_type {
	KEY_STRING,		/* char * */
	KEY_BOOL,		/* bool */
	KEY_COUNT,		/* unsigned */
	KEY_PORT,		/* uint16_t */
	KEY_SIZE,		/* uint64_t, bytes; "25M" */
	KEY_DURATION,		/* int64_t, ms; "30s" */
	KEY_CHOICE,		/* int-sized enum; one of words */
	KEY_SECRET,		/* char *: a place of a password, its kind in min */
	KEY_COMMAND,		/* char **: words of a command; of a relay: that prints a password */
	KEY_ADDRESSES,		/* the listen array */
	KEY_LIST,		/* char **: strings, each in the form */
	KEY_RELAYS,		/* names of relays, kept as their numbers */
	KEY_SUBGROUP		/* { } or ( { }, ... ): rows of the group in min */
};

/* What a string must look like. */
enum key_form {
	FORM_ANY, FORM_HOST, FORM_MAILBOX, FORM_PATH, FORM_NAME,
	FORM_RECIPIENT,		/* conf/pattern.h */
	FORM_SENDER,		/* the same, or <> */
	FORM_ADDRESS,		/* net/address.h, no unix socket */
	FORM_NETWORK,		/* net/subnet.h */
	FORM_MECHANISM		/* smtp/mechanism.h, or one with ! in front */
};

struct key {
	enum key_group	 group;
	const char	*name;
	enum key_type	 type;
	size_t		 at;		/* of the value, in the structure of the group */
	uint64_t	 min, max;	/* count, port, bytes, ms; of strings: length */
	const char	*def;		/* as in the file, strings without quotes; NULL: see derived */
	const char	*derived;	/* in words: where a default that is not constant comes from */
	enum key_form	 form;
	const char *const *words;	/* KEY_CHOICE: in the order of the enum; NULL-terminated */
	bool		 fixed;		/* not reloadable: takes effect at a restart only */
	const char	*help;		/* one line */
};

extern const struct key keys[];
extern const size_t nkeys;
extern const struct conf_endpoint default_endpoints[];
extern const size_t ndefault_endpoints;

const struct key *key_find(enum key_group, const char *name);	/* NULL: no such option */
/* A subgroup that there may be several of: ( { }, ... ). */
bool key_is_list(const struct key *);
/* "relays[].endpoints[]." of GROUP_ENDPOINT, "" of GROUP_TOP. */
const char *group_prefix(enum key_group);

#endif
