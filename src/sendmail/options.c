/* SPDX-License-Identifier: BSD-2-Clause */
#include "sendmail/options.h"

#include <stdio.h>

#include "base/quote.h"
#include "smtp/dsn.h"

#include "base/banned.h"

enum arity {
	UNKNOWN,
	NO_ARGUMENT,		/* may be followed by further options in the same word */
	ARGUMENT,		/* the rest of the word, or the next one */
	ATTACHED		/* the rest of the word, maybe nothing */
};

static enum arity
arity_of(char c)
{
	switch (c) {
	case 'G': case 'I': case 'U': case 'c': case 'i': case 'm': case 'n': case 's': case 't':
	case 'v': case 'x':
		return NO_ARGUMENT;
	case 'A': case 'B': case 'C': case 'D': case 'F': case 'L': case 'M': case 'N': case 'O':
	case 'R': case 'V': case 'X': case 'b': case 'e': case 'f': case 'h': case 'o': case 'p':
	case 'r':
		return ARGUMENT;
	case 'T': case 'd': case 'q':
		return ATTACHED;
	default:
		return UNKNOWN;
	}
}

static void
warn_about(const char *word)
{
	struct buf shown;

	buf_init(&shown, 1024);
	if (quote_log(&shown, view_str(word), 60))
		(void)fprintf(stderr, "sendmail: unknown option %.*s is ignored\n",
		    VIEW_ARG(buf_view(&shown)));
	buf_done(&shown);
}

static void
set_mode(struct options *o, const char *arg)
{
	switch (arg[0]) {
	case 'm':
		o->mode = MODE_SEND;
		break;
	case 's':
		o->mode = MODE_SESSION;
		break;
	case 'p':
		o->mode = MODE_QUEUE;
		break;
	case 'v':
		o->mode = MODE_VERIFY;
		break;
	case 'i':
		o->mode = MODE_ALIASES;
		break;
	case 'd':
	case 'D':
		o->mode = MODE_DAEMON;
		break;
	case 'a': case 'h': case 'H': case 't': case 'z':
		o->mode = MODE_NOTHING;
		break;
	default:
		warn_about("-b");
		break;
	}
}

/* What has no meaning is told and left out: the message is what counts. */
static const char *
good_or_null(const char *option, const char *arg, bool good)
{
	struct buf shown;

	if (good)
		return arg;
	buf_init(&shown, 1024);
	if (quote_log(&shown, view_str(arg), 60))
		(void)fprintf(stderr, "sendmail: %s can't be %.*s; it is ignored\n", option, VIEW_ARG(buf_view(&shown)));
	buf_done(&shown);
	return NULL;
}

static void
apply(struct options *o, char c, const char *arg)
{
	switch (c) {
	case 't':
		o->from_header = true;
		break;
	case 'i':
		o->dot_is_text = true;
		break;
	case 'v':
		o->verbose = true;
		break;
	case 'I':
		o->mode = MODE_ALIASES;
		break;
	case 'b':
		set_mode(o, arg);
		break;
	case 'f':
	case 'r':
		o->sender = arg;
		break;
	case 'F':
		o->full_name = arg;
		break;
	case 'N':
		o->notify = good_or_null("-N", arg, dsn_notify_is_good(view_str(arg)));
		break;
	case 'R':
		o->ret = good_or_null("-R", arg, dsn_ret_is_good(view_str(arg)));
		break;
	case 'V':
		o->envid = arg;
		break;
	case 'o':
		if (arg[0] == 'i')
			o->dot_is_text = true;
		break;
	case 'O':
		if (view_ieq(view_str(arg), VIEW("IgnoreDots=true")))
			o->dot_is_text = true;
		break;
	case 'q':
		o->mode = MODE_FLUSH;
		break;
	default:		/* accepted, without a meaning here */
		break;
	}
}

/* One word of options; next is the word behind it, or NULL. True if that was taken as argument. */
static bool
parse_word(struct options *o, const char *word, const char *next)
{
	for (const char *p = word + 1; *p != '\0'; p++) {
		switch (arity_of(*p)) {
		case NO_ARGUMENT:
			apply(o, *p, "");
			break;
		case ATTACHED:
			apply(o, *p, p + 1);
			return false;
		case ARGUMENT:
			if (p[1] != '\0') {
				apply(o, *p, p + 1);
				return false;
			}
			if (next == NULL) {
				o->usage = true;
				return false;
			}
			apply(o, *p, next);
			return true;
		case UNKNOWN:
			/* Not its letters one by one: -Zfoo must not become -f oo. */
			warn_about(word);
			return false;
		}
	}
	return false;
}

static void
mode_from_name(struct options *o, const char *argv0)
{
	struct view name = view_str(argv0 != NULL ? argv0 : "");
	struct view part;

	while (view_split(&name, '/', &part))
		if (name.n == 0)
			break;
	if (view_eq(part, VIEW("mailq")))
		o->mode = MODE_QUEUE;
	else if (view_eq(part, VIEW("newaliases")))
		o->mode = MODE_ALIASES;
	else if (view_eq(part, VIEW("runq")))
		o->mode = MODE_FLUSH;
}

void
options_parse(struct options *out, int argc, const char *const *argv)
{
	struct options o = { .mode = MODE_SEND };
	int i = 1;

	mode_from_name(&o, argc > 0 ? argv[0] : NULL);
	while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
		const char *word = argv[i++];

		if (strcmp(word, "--") == 0)
			break;
		if (parse_word(&o, word, i < argc ? argv[i] : NULL))
			i++;
	}
	o.recipients = argv + (i < argc ? i : argc);
	o.nrecipients = argc - (i < argc ? i : argc);
	*out = o;
}
