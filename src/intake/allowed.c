/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake/allowed.h"

#include <stdio.h>

#include "conf/pattern.h"

#include "base/banned.h"

/* No list: no rule. */
static bool
has(char *const *patterns, struct view address)
{
	if (patterns == NULL)
		return true;
	for (; *patterns != NULL; patterns++)
		if (pattern_covers(view_str(*patterns), address))
			return true;
	return false;
}

bool
allowed_address(const struct conf *c, const struct conf_listener *by, bool is_sender,
    struct view address, char text[ALLOWED_TEXT_MAX])
{
	const char *what = is_sender ? "Sender" : "Recipient";
	const char *rule = is_sender ? "allow_senders" : "allow_recipients";

	if (!has(is_sender ? c->allow_senders : c->allow_recipients, address)) {
		(void)snprintf(text, ALLOWED_TEXT_MAX, "%s not in the list %s", what, rule);
		return false;
	}
	if (by != NULL && !has(is_sender ? by->allow_senders : by->allow_recipients, address)) {
		(void)snprintf(text, ALLOWED_TEXT_MAX, "%s not in the list %s of the listener %s", what, rule,
		    by->name);
		return false;
	}
	return true;
}
