/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/request.h"

#include "base/num.h"

#include "base/banned.h"

enum argument {
	ARGUMENT_NONE, ARGUMENT_ID, ARGUMENT_ID_OR_LAST, ARGUMENT_ID_OR_ALL, ARGUMENT_ID_OR_NONE,
	ARGUMENT_RELAY_OR_NONE, ARGUMENT_USER
};

#define NO_USER (-2)

static const struct {
	const char	*word;
	enum argument	 argument;
	bool		 read_only;	/* changes nothing, shows no text of mail */
} commands[REQUEST_COUNT] = {
	[REQUEST_STATUS] = { "status", ARGUMENT_NONE, true },
	[REQUEST_PORTS] = { "ports", ARGUMENT_NONE, true },
	[REQUEST_FAILOVER] = { "failover", ARGUMENT_NONE, true },
	[REQUEST_QUEUE] = { "queue", ARGUMENT_NONE, true },
	[REQUEST_EXPLAIN] = { "explain", ARGUMENT_ID_OR_LAST, false },
	[REQUEST_FLUSH] = { "flush", ARGUMENT_ID_OR_NONE, false },
	[REQUEST_HOLD] = { "hold", ARGUMENT_ID_OR_ALL, false },
	[REQUEST_RELEASE] = { "release", ARGUMENT_ID_OR_ALL, false },
	[REQUEST_REMOVE] = { "remove", ARGUMENT_ID_OR_ALL, false },
	[REQUEST_PROBE] = { "probe", ARGUMENT_RELAY_OR_NONE, false },
	[REQUEST_UNBLOCK] = { "unblock", ARGUMENT_RELAY_OR_NONE, false },
	[REQUEST_RELOAD] = { "reload", ARGUMENT_NONE, false },
	[REQUEST_CAT] = { "cat", ARGUMENT_ID, false },
	[REQUEST_USERS] = { "users", ARGUMENT_NONE, false },
	[REQUEST_FREEZE] = { "freeze", ARGUMENT_USER, false },
	[REQUEST_THAW] = { "thaw", ARGUMENT_USER, false },
	[REQUEST_PURGE] = { "purge", ARGUMENT_USER, false },
};

const char *
request_word(enum request_command c)
{
	return commands[c].word;
}

static int
find_command(struct view word, struct request *r, struct err *e)
{
	for (size_t i = 0; i < lengthof(commands); i++) {
		if (view_eq(word, view_str(commands[i].word))) {
			r->command = (enum request_command)i;
			return 0;
		}
	}
	return err_set(e, ERR_INPUT, "unknown command \"%.*s\"; see posthousectl(8)",
	    VIEW_ARG(view_first(word, 40)));
}

static int
parse_id(struct view word, struct request *r, struct err *e)
{
	if (view_eq(word, VIEW("all"))) {
		r->all = true;
		return 0;
	}
	if (view_eq(word, VIEW("last"))) {
		r->last = true;
		return 0;
	}
	if (word.n == 16 && num_parse_hex(word, &r->id) && r->id != 0)
		return 0;
	r->id = 0;
	return err_set(e, ERR_INPUT, "\"%.*s\" is no message id; one has 16 hex digits and is shown by "
	    "posthousectl queue", VIEW_ARG(view_first(word, 40)));
}

/* posthousectl turns a name into its number. */
static int
parse_user(struct view word, struct request *r, struct err *e)
{
	uint64_t n;

	if (r->user != NO_USER)
		return err_set(e, ERR_INPUT, "one user at a time");
	if (view_eq(word, VIEW("unknown")))
		r->user = -1;
	else if (num_parse_u64(word, 0, UINT32_MAX - 1, &n))
		r->user = (int64_t)n;
	else
		return err_set(e, ERR_INPUT, "\"%.*s\" is no user; give a name, a number or \"unknown\"",
		    VIEW_ARG(view_first(word, 40)));
	return 0;
}

static int
check_argument(const struct request *r, struct err *e)
{
	const char *word = commands[r->command].word;
	bool given = r->all || r->last || r->id != 0;
	enum argument wants = commands[r->command].argument;

	if (r->last && wants != ARGUMENT_ID_OR_LAST)
		return err_set(e, ERR_INPUT, "\"last\" is for explain only; give a message id");

	switch (wants) {
	case ARGUMENT_ID:
		return r->id == 0 ? err_set(e, ERR_INPUT, "%s needs a message id", word) : 0;
	case ARGUMENT_ID_OR_LAST:
		return r->id == 0 && !r->last ? err_set(e, ERR_INPUT, "%s needs a message id, or \"last\"",
		    word) : 0;
	case ARGUMENT_ID_OR_ALL:
		return !given ? err_set(e, ERR_INPUT, "%s needs a message id or \"all\"", word) : 0;
	case ARGUMENT_USER:
		return r->user == NO_USER ? err_set(e, ERR_INPUT, "%s needs a user", word) : 0;
	case ARGUMENT_NONE:
	case ARGUMENT_ID_OR_NONE:
	case ARGUMENT_RELAY_OR_NONE:
		return 0;
	}
	return 0;
}

int
request_parse(struct request *out, struct view line, bool read_only, struct err *e)
{
	struct request r = { .limit = REQUEST_LIMIT, .user = NO_USER };
	struct view word;
	bool have_command = false, want_limit = false, want_why = false;

	for (size_t i = 0; i < line.n; i++)
		if (!is_print(line.p[i]))
			return err_set(e, ERR_INPUT, "the request holds a byte that is not printable ASCII");
	while (view_split(&line, ' ', &word)) {
		if (want_limit) {
			if (!num_parse_u64(word, 1, REQUEST_LIMIT_MAX, &r.limit))
				return err_set(e, ERR_INPUT, "--limit needs a number from 1 to %d",
				    REQUEST_LIMIT_MAX);
			want_limit = false;
		} else if (want_why) {
			r.why = word;
			want_why = word.n == 0;
		} else if (view_eq(word, VIEW("--json"))) {
			r.json = true;
		} else if (view_eq(word, VIEW("--text"))) {
			r.json = false;
		} else if (view_eq(word, VIEW("--limit"))) {
			want_limit = true;
		} else if (view_eq(word, VIEW("--why"))) {
			want_why = true;
		} else if (view_starts(word, VIEW("--"))) {
			return err_set(e, ERR_INPUT, "unknown option \"%.*s\"", VIEW_ARG(view_first(word, 40)));
		} else if (!have_command) {
			if (find_command(word, &r, e) < 0)
				return -1;
			have_command = true;
		} else if (commands[r.command].argument == ARGUMENT_RELAY_OR_NONE) {
			if (r.relay.n != 0)
				return err_set(e, ERR_INPUT, "one relay at a time");
			r.relay = word;
		} else if (commands[r.command].argument == ARGUMENT_USER) {
			if (parse_user(word, &r, e) < 0)
				return -1;
		} else if (commands[r.command].argument == ARGUMENT_NONE) {
			return err_set(e, ERR_INPUT, "%s takes no message id or other word: \"%.*s\"",
			    commands[r.command].word, VIEW_ARG(view_first(word, 40)));
		} else if (r.id != 0 || r.all || r.last) {
			return err_set(e, ERR_INPUT, "one message id at a time");
		} else if (parse_id(word, &r, e) < 0) {
			return -1;
		}
	}
	if (!have_command)
		return err_set(e, ERR_INPUT, "no command given; see posthousectl(8)");
	if (want_limit)
		return err_set(e, ERR_INPUT, "--limit needs a number");
	if (want_why || (r.why.n != 0 && r.command != REQUEST_PORTS))
		return err_set(e, ERR_INPUT, "--why is for ports, and needs one: --why 587");
	if (read_only && !commands[r.command].read_only)
		return err_set(e, ERR_DENIED, "%s needs the control socket, which is for root and the "
		    "daemon's user", commands[r.command].word);
	if (check_argument(&r, e) < 0)
		return -1;
	*out = r;
	return 0;
}
