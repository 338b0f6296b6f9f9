/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader - what the steps of conf_load() share: the structure that is being
 * filled and the report that gathers every mistake.
 */
#ifndef CONF_LOADER_H
#define CONF_LOADER_H

#include <libconfig.h>

#include "conf/keys.h"

struct loader {
	struct conf	*conf;
	const char	*name;		/* of the file, for messages */
	struct buf	*report;
	bool		 failed;
};

/* False: see config_error_text(); none: no memory. */
bool tree_parse(config_t *, struct view text) must_use;

/* One line of the report; line 0: about the file as a whole. */
void complain(struct loader *, unsigned line, const char *fmt, ...) printf_like(3, 4);
void caution(struct loader *, unsigned line, const char *fmt, ...) printf_like(3, 4);

/* Line of a member of s, of s itself if it is not there. */
unsigned line_at(const config_setting_t *s, const char *member);
bool has(const config_setting_t *s, const char *member);
/* What single values cannot show; fills in defaults that depend on other values. */
void check_conf(struct loader *, const config_setting_t *root);
/* Also fills in what the texts of a listener mean. */
void check_listeners(struct loader *, const config_setting_t *root);
/* Of one relay; also finds its set of mechanisms. */
void check_login(struct loader *, const config_setting_t *relay, struct conf_relay *);
void check_routes(struct loader *, const config_setting_t *root);

/* "; did you mean "listen"?", or a hint, or "". */
void suggest(char out[200], enum key_group, const char *name);

#endif
