/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/story.h"

#include "base/date.h"
#include "base/num.h"
#include "health/health.h"

#include "base/banned.h"

/* --- taking lines apart ---------------------------------------------------------------- */

bool
story_next(struct view *lines, struct story_fact *out)
{
	struct view line, time;

	while (view_split(lines, '\n', &line)) {
		if (!view_split(&line, ' ', &time) || !date_parse_rfc3339(time, &out->at_ms) ||
		    !view_split(&line, ' ', &out->event) || out->event.n == 0)
			continue;
		out->pairs = line;
		return true;
	}
	return false;
}

static bool
hex_digit(uint8_t c, unsigned *out)
{
	c = to_lower(c);
	if (is_digit(c))
		*out = (unsigned)(c - '0');
	else if (c >= 'a' && c <= 'f')
		*out = (unsigned)(c - 'a') + 10;
	else
		return false;
	return true;
}

/* What follows the backslash at v.p[0]; returns how many bytes it took. */
static size_t
unescape(struct view v, struct buf *out)
{
	static const char plain[] = "nrt", meant[] = "\n\r\t";
	const char *at;
	unsigned high, low;
	uint8_t c = v.n > 1 ? v.p[1] : '\\';

	if (c == 'x' && v.n > 3 && hex_digit(v.p[2], &high) && hex_digit(v.p[3], &low)) {
		ignore_result(buf_add_byte(out, (uint8_t)(high << 4 | low)));
		return 4;
	}
	at = strchr(plain, c);
	ignore_result(buf_add_byte(out, at != NULL && c != '\0' ? (uint8_t)meant[at - plain] : c));
	return v.n > 1 ? 2 : 1;
}

/* The text in quotes at v.p[0]; returns how many bytes it took. */
static size_t
unquote(struct view v, struct buf *out)
{
	size_t i = 1;

	while (i < v.n && v.p[i] != '"') {
		if (v.p[i] == '\\') {
			i += unescape(view_from(v, i), out);
			continue;
		}
		ignore_result(buf_add_byte(out, v.p[i++]));	/* a line is shorter than the maximum */
	}
	return i + 1;
}

bool
story_pair(struct view *pairs, struct view *key, struct buf *value)
{
	size_t n;

	for (;;) {
		*pairs = view_trim(*pairs);
		n = view_find(*pairs, '=');
		if (n == pairs->n)
			return false;
		*key = view_first(*pairs, n);
		*pairs = view_from(*pairs, n + 1);
		buf_clear(value);
		if (pairs->n > 0 && pairs->p[0] == '"') {
			*pairs = view_from(*pairs, unquote(*pairs, value));
			return true;
		}
		n = view_find(*pairs, ' ');
		ignore_result(buf_add(value, view_first(*pairs, n)));
		*pairs = view_from(*pairs, n);
		return true;
	}
}

bool
story_value(const struct story_fact *f, const char *want, struct buf *value)
{
	struct view pairs = f->pairs, key;

	while (story_pair(&pairs, &key, value))
		if (view_eq(key, view_str(want)))
			return true;
	buf_clear(value);
	return false;
}

uint64_t
story_number(const struct story_fact *f, const char *key)
{
	uint64_t n = 0;
	struct buf value;

	buf_init(&value, STORY_VALUE_MAX);
	if (!story_value(f, key, &value) || !num_parse_u64(buf_view(&value), 0, INT64_MAX, &n))
		n = 0;
	buf_done(&value);
	return n;
}

bool
story_is(const struct story_fact *f, const char *event)
{
	return view_eq(f->event, view_str(event));
}

/* --- parts of sentences ------------------------------------------------------------------ */

/* What cannot be said for want of room is left out: a sentence is far below its maximum. */
static void
say(struct buf *out, const char *text)
{
	ignore_result(buf_add_str(out, text));
}

/* BEFORE value AFTER, if the key is there. */
static bool
say_value(struct buf *out, const struct story_fact *f, const char *before, const char *key,
    const char *after)
{
	struct buf value;
	bool there;

	buf_init(&value, STORY_VALUE_MAX);
	there = story_value(f, key, &value) && buf_len(&value) > 0;
	if (there) {
		say(out, before);
		ignore_result(buf_add(out, buf_view(&value)));
		say(out, after);
	}
	buf_done(&value);
	return there;
}

static const struct health_class_info *
find_class(struct view word)
{
	for (int c = HEALTH_OK + 1; c < HEALTH_CLASS_COUNT; c++)
		if (view_eq(word, view_str(health_class_info((enum health_class)c)->word)))
			return health_class_info((enum health_class)c);
	return NULL;
}

/* "no_banner: connected, but no greeting came" */
static void
say_class_word(struct buf *out, struct view word)
{
	const struct health_class_info *info = find_class(word);

	ignore_result(buf_add(out, word));
	if (info != NULL)
		ignore_result(buf_addf(out, ": %s", info->sentence));
}

static void
say_class(struct buf *out, const struct story_fact *f, const char *before, const char *after)
{
	struct buf word;

	buf_init(&word, STORY_VALUE_MAX);
	if (story_value(f, "class", &word)) {
		say(out, before);
		say_class_word(out, buf_view(&word));
		say(out, after);
	}
	buf_done(&word);
}

/* "451 4.3.0 try later" */
static void
say_reply(struct buf *out, const struct story_fact *f, const char *before)
{
	struct buf status;
	uint64_t code = story_number(f, "code");

	say(out, before);
	if (code != 0)
		ignore_result(buf_addf(out, "%llu ", (unsigned long long)code));
	buf_init(&status, STORY_VALUE_MAX);
	if (code != 0 && story_value(f, "status", &status) && !view_eq(buf_view(&status), VIEW("-")))
		ignore_result(buf_addf(out, "%.*s ", VIEW_ARG(buf_view(&status))));
	buf_done(&status);
	if (!say_value(out, f, "", "reply", ""))
		say(out, "(no text)");
}

/* --- sentences ---------------------------------------------------------------------------- */

static void
say_recipients(struct buf *out, const struct story_fact *f)
{
	uint64_t all = story_number(f, "rcpts"), n = 0;
	struct view pairs = f->pairs, key;
	struct buf value;

	buf_init(&value, STORY_VALUE_MAX);
	while (story_pair(&pairs, &key, &value))
		if (view_eq(key, VIEW("to")) && n++ < 5)
			ignore_result(buf_addf(out, "%s<%.*s>", n == 1 ? " to " : ", ", VIEW_ARG(buf_view(&value))));
	if (n > 5)
		n = 5;
	if (all > n)
		ignore_result(buf_addf(out, " and %llu more", (unsigned long long)(all - n)));
	buf_done(&value);
}

static void
tell_queued(struct buf *out, const struct story_fact *f)
{
	bool sender;

	if (say_value(out, f, "made here, to report the failures of message ", "report_of", ""))
		say(out, ":");
	else
		say(out, "accepted and on disk:");
	ignore_result(buf_addf(out, " %llu bytes", (unsigned long long)story_number(f, "size")));
	if (say_value(out, f, ", handed in by ", "peer", "") && !say_value(out, f, " (uid ", "uid", ")"))
		(void)say_value(out, f, " (user unknown: ", "no_uid", ")");
	(void)say_value(out, f, ", by the process ", "process", "");
	(void)say_value(out, f, ", by the script ", "script", "");
	sender = say_value(out, f, ", from <", "from", ">");
	if (!sender)
		say(out, ", from <>");
	say_recipients(out, f);
}

static const char *
why_chosen(struct view word)
{
	static const struct { const char *word, *why; } words[] = {
		{ "stay", "in use and good" },
		{ "first", "the best that is known to work; none was in use before" },
		{ "down", "the one used before is not usable any more" },
		{ "detour", "the one in use is suspect" },
		{ "better", "rated better than the one used before" },
		{ "return", "preferred, and good again" },
		{ "canary", "the one to try after an outage" },
		{ "race", "the first to answer of those tried at one time" },
		{ "restart", "known to work, unlike the one used before the restart" },
	};

	for (size_t i = 0; i < lengthof(words); i++)
		if (view_eq(word, view_str(words[i].word)))
			return words[i].why;
	return NULL;
}

/* BEFORE the reason for which an endpoint was chosen. */
static void
say_choice(struct buf *out, const struct story_fact *f, const char *before, const char *key)
{
	struct buf word;
	const char *why;

	buf_init(&word, STORY_VALUE_MAX);
	story_value(f, key, &word);
	why = why_chosen(buf_view(&word));
	if (why != NULL)
		ignore_result(buf_addf(out, "%s%s", before, why));
	buf_done(&word);
}

static void
say_others(struct buf *out, const struct story_fact *f)
{
	struct view rest, one, word, class;
	struct buf value;
	const char *before = "; the other ports: ";

	buf_init(&value, STORY_VALUE_MAX);
	story_value(f, "others", &value);
	rest = buf_view(&value);
	while (view_split(&rest, ',', &one)) {
		class = one = view_trim(one);
		(void)view_split(&class, ' ', &word);		/* the port */
		(void)view_split(&class, ' ', &word);		/* its state */
		ignore_result(buf_addf(out, "%s%.*s", before,
		    VIEW_ARG(view_first(one, class.n > 0 ? one.n - class.n - 1 : one.n))));
		before = ", ";
		if (class.n > 0) {
			say(out, " (");
			say_class_word(out, class);
			say(out, ")");
		}
	}
	buf_done(&value);
}

static void
say_times(struct buf *out, const struct story_fact *f)
{
	static const char *const keys[] = { "lookup_ms", "connect_ms", "greeting_ms", "tls_ms", "login_ms",
		"envelope_ms", "text_ms", "reply_ms" };
	const char *before = "; ";
	struct buf value;

	buf_init(&value, STORY_VALUE_MAX);
	for (size_t i = 0; i < lengthof(keys); i++) {
		if (!story_value(f, keys[i], &value))
			continue;
		ignore_result(buf_addf(out, "%s%.*s %.*s ms", before, (int)strlen(keys[i]) - 3, keys[i],
		    VIEW_ARG(buf_view(&value))));
		before = ", ";
	}
	buf_done(&value);
}

static void
tell_attempt(struct buf *out, const struct story_fact *f)
{
	uint64_t n = story_number(f, "message");

	(void)say_value(out, f, "sent over ", "endpoint", "");
	say_choice(out, f, ", ", "chosen");
	if (n > 1)
		ignore_result(buf_addf(out, ", as message %llu of a connection", (unsigned long long)n));
	say_others(out, f);
	say_times(out, f);
}

static void
tell_delivered(struct buf *out, const struct story_fact *f)
{
	(void)say_value(out, f, "delivered to <", "to", ">");
	(void)say_value(out, f, " over ", "endpoint", "");
	say_reply(out, f, ": ");
}

static void
say_step(struct buf *out, const struct story_fact *f)
{
	struct buf step;

	buf_init(&step, STORY_VALUE_MAX);
	if (story_value(f, "at", &step)) {
		if (view_eq(buf_view(&step), VIEW("dot")))
			say(out, " after the text");
		else
			ignore_result(buf_addf(out, " at step %.*s", VIEW_ARG(buf_view(&step))));
	}
	buf_done(&step);
}

static void
tell_deferred(struct buf *out, const struct story_fact *f)
{
	struct buf why;
	bool cut;

	buf_init(&why, STORY_VALUE_MAX);
	cut = story_value(f, "why", &why) && view_eq(buf_view(&why), VIEW("cut"));
	buf_done(&why);
	(void)say_value(out, f, "not yet for <", "to", ">");
	(void)say_value(out, f, cut ? ": lost to " : ": put off by ", "endpoint", "");
	say_step(out, f);
	say_reply(out, f, ": ");
	say_class(out, f, " (", ")");
}

static void
tell_failed(struct buf *out, const struct story_fact *f)
{
	(void)say_value(out, f, "refused for <", "to", ">");
	(void)say_value(out, f, " by ", "endpoint", "");
	say_step(out, f);
	say_reply(out, f, ": ");
	say_class(out, f, " (", ")");
}

static void
tell_uncertain(struct buf *out, const struct story_fact *f)
{
	if (!say_value(out, f, "uncertain for <", "to", ">")) {
		say(out, "uncertain: posthouse was stopped between the end of the text and the reply to it; "
		    "it may have arrived");
		return;
	}
	(void)say_value(out, f, " over ", "endpoint", "");
	say_reply(out, f, ": ");
	say_class(out, f, " (", ")");
}

static void
tell_held(struct buf *out, const struct story_fact *f)
{
	struct buf why;

	buf_init(&why, STORY_VALUE_MAX);
	if (!story_value(f, "why", &why))
		say(out, "held by the administrator");
	else if (view_eq(buf_view(&why), VIEW("over-limit")))
		say(out, "held, because its user is over a limit: posthousectl users tells more, release sends it");
	else if (view_eq(buf_view(&why), VIEW("frozen")))
		say(out, "held, because its user is frozen: posthousectl thaw sends it, purge removes it");
	else
		say(out, "held, because it may have arrived already: posthousectl release sends it again, "
		    "remove ends it");
	buf_done(&why);
}

static void
tell_diagnosis(struct buf *out, const struct story_fact *f)
{
	(void)say_value(out, f, "", "endpoint", ": ");
	(void)say_value(out, f, "", "meaning", "");
}

static void
tell_waits(struct buf *out, const struct story_fact *f)
{
	struct buf why;
	char text[32];
	const char *left;

	buf_init(&why, STORY_VALUE_MAX);
	story_value(f, "why", &why);
	left = num_duration_text(text, sizeof(text), (int64_t)story_number(f, "for_ms"));
	if (view_eq(buf_view(&why), VIEW("turn")))
		say(out, "keeps its place and goes out as soon as a port is usable; this does not count as an "
		    "attempt");
	else if (view_eq(buf_view(&why), VIEW("uncertain")))
		ignore_result(buf_addf(out, "rests for %s, is sent again then, and may arrive twice", left));
	else
		ignore_result(buf_addf(out, "next attempt in %s, after %llu that failed", left,
		    (unsigned long long)story_number(f, "attempts")));
	buf_done(&why);
}

static void
tell_bounced(struct buf *out, const struct story_fact *f)
{
	(void)say_value(out, f, "given up for <", "to", ">");
	say_reply(out, f, ": ");
}

static void
tell_expired(struct buf *out, const struct story_fact *f)
{
	(void)say_value(out, f, "too old, given up for <", "to", ">");
	say_reply(out, f, ": last was: ");
}

static void
tell_removed(struct buf *out, const struct story_fact *f)
{
	struct buf to;

	buf_init(&to, STORY_VALUE_MAX);
	say(out, "removed by the administrator, without a bounce");
	if (story_value(f, "to", &to)) {
		say(out, ", before it went");
		say_recipients(out, f);
	}
	buf_done(&to);
}

static void
tell_finished(struct buf *out, const struct story_fact *f)
{
	static const char *const keys[] = { "delivered", "failed", "expired", "removed" };
	const char *before = "left the queue: ";

	for (size_t i = 0; i < lengthof(keys); i++) {
		uint64_t n = story_number(f, keys[i]);

		if (n == 0)
			continue;
		ignore_result(buf_addf(out, "%s%llu %s", before, (unsigned long long)n, keys[i]));
		before = ", ";
	}
	if (before[0] != ',')
		say(out, "left the queue");
	(void)say_value(out, f, "; the report is message ", "report", "");
}

static void
tell_endpoint(struct buf *out, const struct story_fact *f)
{
	(void)say_value(out, f, "", "endpoint", "");
	if (story_is(f, "attempt-failed")) {
		say(out, ": no session");
	} else {
		say(out, " is ");
		ignore_result(buf_add(out, view_from(f->event, strlen("endpoint-"))));
	}
	say_class(out, f, ": ", "");
	(void)say_value(out, f, " (", "detail", ")");
}

static void
tell_route(struct buf *out, const struct story_fact *f)
{
	(void)say_value(out, f, "new connections use ", "to", "");
	(void)say_value(out, f, ", not ", "from", "");
	say_choice(out, f, ": ", "reason");
	say_class(out, f, "; ", "");
	(void)say_value(out, f, " (", "detail", ")");
}

static void
tell_account(struct buf *out, const struct story_fact *f)
{
	say(out, "the account is ");
	ignore_result(buf_add(out, view_from(f->event, strlen("account-"))));
	say_class(out, f, ": ", "");
	(void)say_value(out, f, " (", "detail", ")");
}

static void
tell_failover(struct buf *out, const struct story_fact *f)
{
	if (!say_value(out, f, "mail of route ", "route", ""))
		say(out, "mail");
	(void)say_value(out, f, " goes to relay ", "to", "");
	(void)say_value(out, f, ", not to ", "from", "");
	(void)say_value(out, f, ": ", "reason", "");
}

/* --- which event has which --------------------------------------------------------------- */

static const struct {
	const char	*event;
	void		(*tell)(struct buf *, const struct story_fact *);
	const char	*sentence;	/* without tell; with key: the value behind it */
	const char	*key;
} tellers[] = {
	{ "queued", tell_queued, NULL, NULL },
	{ "attempt", tell_attempt, NULL, NULL },
	{ "delivered", tell_delivered, NULL, NULL },
	{ "deferred", tell_deferred, NULL, NULL },
	{ "failed", tell_failed, NULL, NULL },
	{ "uncertain", tell_uncertain, NULL, NULL },
	{ "waits", tell_waits, NULL, NULL },
	{ "bounced", tell_bounced, NULL, NULL },
	{ "expired", tell_expired, NULL, NULL },
	{ "reported", NULL, "the failure is reported to ", "report_to" },
	{ "report-dropped", NULL, "nobody is told of the failure: ", "why" },
	{ "held", tell_held, NULL, NULL },
	{ "released", NULL, "released by the administrator", NULL },
	{ "removed", tell_removed, NULL, NULL },
	{ "sunk", NULL, "written to the sink of staging, and not sent: ", "file" },
	{ "damaged", NULL, "the stored message is damaged: ", "reason" },
	{ "unreadable", NULL, "the stored message can't be read now: ", "reason" },
	{ "finished", tell_finished, NULL, NULL },
	{ "attempt-failed", tell_endpoint, NULL, NULL },
	{ "endpoint-up", tell_endpoint, NULL, NULL },
	{ "endpoint-degraded", tell_endpoint, NULL, NULL },
	{ "endpoint-down", tell_endpoint, NULL, NULL },
	{ "endpoint-blocked", tell_endpoint, NULL, NULL },
	{ "route-changed", tell_route, NULL, NULL },
	{ "detour", tell_route, NULL, NULL },
	{ "detour-over", NULL, "the detour is over; new connections use ", "to" },
	{ "relay-down", NULL, "no port is usable of relay ", "relay" },
	{ "relay-up", NULL, "mail can go out again over ", "endpoint" },
	{ "failover", tell_failover, NULL, NULL },
	{ "account-available", tell_account, NULL, NULL },
	{ "account-paused", tell_account, NULL, NULL },
	{ "account-exhausted", tell_account, NULL, NULL },
	{ "account-blocked", tell_account, NULL, NULL },
	{ "flapping", NULL, "the ports change often: ", "endpoint" },
	{ "clock-jumped", NULL, "", "reason" },
	{ "network-changed", NULL, "", "reason" },
	{ "trust-changed", NULL, "", "reason" },
	{ "trust-not-read", NULL, "", "reason" },
	{ "diagnosis", tell_diagnosis, NULL, NULL },
	{ "name-changed", NULL, "new addresses for ", "host" },
	{ "name-kept", NULL, "the name server does not answer; the last addresses stand in for ", "host" },
	{ "recovered", NULL, "posthouse was started: ", "reason" },
	{ "history-dropped", NULL, "lines of the history are missing here: ", "count" },
};

bool
story_tell(const struct story_fact *f, struct buf *sentence)
{
	for (size_t i = 0; i < lengthof(tellers); i++) {
		if (!story_is(f, tellers[i].event))
			continue;
		if (tellers[i].tell != NULL) {
			tellers[i].tell(sentence, f);
		} else {
			say(sentence, tellers[i].sentence);
			if (tellers[i].key != NULL)
				(void)say_value(sentence, f, "", tellers[i].key, "");
		}
		return true;
	}
	return false;
}
