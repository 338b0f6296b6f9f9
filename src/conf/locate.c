/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a daemon is that runs on while its file has mistakes. As little as can be is
 * asked of the file: two options, each by itself.
 */
#include "conf/loader.h"
#include "conf/value.h"

#include "base/banned.h"

/* libconfig would open what the file includes, and stop at a NUL. */
static bool
may_parse(struct view text)
{
	struct view line;

	if (view_find(text, 0) < text.n)
		return false;
	while (view_split(&text, '\n', &line))
		if (view_starts(view_trim(line), VIEW("@include")))
			return false;
	return true;
}

/* NAME = "VALUE" as a line of a text that libconfig can't read; NULL: there is none. */
static const char *
from_lines(struct view text, const char *name, struct buf *value)
{
	struct view line;

	buf_clear(value);
	while (view_split(&text, '\n', &line)) {
		line = view_trim(line);
		if (!view_starts(line, view_str(name)))
			continue;
		line = view_trim(view_from(line, strlen(name)));
		if (!view_starts(line, VIEW("=")) && !view_starts(line, VIEW(":")))
			continue;
		line = view_trim(view_from(line, 1));
		if (!view_starts(line, VIEW("\"")))
			continue;
		line = view_from(line, 1);
		line = view_first(line, view_find(line, '"'));
		return buf_add(value, line) ? buf_cstr(value) : NULL;
	}
	return NULL;
}

/* What can't be taken leaves the default; conf_load() has complained of it. */
static void
take(struct conf *c, const char *name, const char *said)
{
	const struct key *k = key_find(GROUP_TOP, name);

	ignore_result(value_parse(k, c, view_str(k->def), NULL));
	if (said != NULL)
		ignore_result(value_parse(k, c, view_str(said), NULL));
}

bool
conf_locate(struct view text, char **runtime_dir, char **state_dir)
{
	static const char *const name[] = { "runtime_dir", "state_dir" };
	struct conf c = { .nrelay = 0 };
	struct buf value;
	config_t tree;
	bool parsed;

	buf_init(&value, 4096);
	config_init(&tree);
	parsed = may_parse(text) && tree_parse(&tree, text);
	for (size_t i = 0; i < lengthof(name); i++) {
		const char *said = NULL;

		if (!parsed)
			said = from_lines(text, name[i], &value);
		else if (config_lookup_string(&tree, name[i], &said) != CONFIG_TRUE)
			said = NULL;
		take(&c, name[i], said);
	}
	config_destroy(&tree);
	buf_done(&value);
	*runtime_dir = c.runtime_dir;
	*state_dir = c.state_dir;
	return parsed;
}
