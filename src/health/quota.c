/* SPDX-License-Identifier: BSD-2-Clause */
#include "health/quota.h"

#include "base/date.h"
#include "base/num.h"
#include "health/words.h"

#include "base/banned.h"

#define HOUR_MS		INT64_C(3600000)
#define DAY_MS		(24 * HOUR_MS)

/* --- is it? ------------------------------------------------------------------------ */

/* A span of time, and that something in it is over. */
static bool
names_a_quota(const char *text)
{
	static const char *const spans[] = {
		"daily", "per day", "24 hour", "24-hour", "24h", "today", "monthly", "per month",
		"this month", "billing period", NULL,
	};
	static const char *const ends[] = { "quota", "limit", "exceed", "used up", "credit", NULL };

	if (words_say(text, "credits exceeded"))
		return true;
	return words_say_any(text, spans) && words_say_any(text, ends);
}

bool
quota_is_used_up(int code, const char *status, const char *text)
{
	char plain[WORDS_PLAIN_MAX];

	(void)words_plain(plain, text);
	/* "The user you are trying to contact is receiving mail at a rate ...", a full mailbox: not ours. */
	if (words_say(plain, "receiv") || strcmp(status, "4.2.2") == 0)
		return false;
	if (code / 100 == 4)
		return names_a_quota(plain);
	/*
	 * 5xx is final for a message unless it is certain that it speaks of the account: the
	 * codes of Google (user, customer) and Microsoft, each with its words.
	 */
	if (code / 100 != 5)
		return false;
	if (strcmp(status, "5.4.5") == 0 || strcmp(status, "5.1.90") == 0)
		return names_a_quota(plain);
	return strcmp(status, "5.7.1") == 0 && words_say(plain, "daily") &&
	    words_say(plain, "relay limit exceeded");
}

/* --- until when? ------------------------------------------------------------------- */

static int64_t
unit_ms(struct view word)
{
	static const struct { const char *begin; int64_t ms; } units[] = {
		{ "second", 1000 }, { "sec", 1000 }, { "minute", 60000 }, { "min", 60000 },
		{ "hour", HOUR_MS }, { "day", DAY_MS },
	};

	for (size_t i = 0; i < lengthof(units); i++)
		if (view_istarts(word, view_str(units[i].begin)))
			return units[i].ms;
	return 0;
}

/* Without the punctuation of a sentence at its end. */
static struct view
trim_word(struct view v)
{
	while (v.n > 0 && (v.p[v.n - 1] == '.' || v.p[v.n - 1] == ',' || v.p[v.n - 1] == ')' ||
	    v.p[v.n - 1] == ';'))
		v.n--;
	return v;
}

/* "in 3600 seconds", "after 2 hours", a date as in RFC 3339; -1: nothing of the kind. */
static int64_t
told_ms(const char *text, int64_t wall_ms)
{
	struct view rest = view_str(text), word, before = VIEW(""), number = VIEW("");
	int64_t at_ms, ms;
	uint64_t n;

	while (view_split(&rest, ' ', &word)) {
		word = trim_word(word);
		if (date_parse_rfc3339(word, &at_ms) && at_ms > wall_ms)
			return at_ms - wall_ms;
		ms = unit_ms(word);
		if (ms != 0 && (view_ieq(before, VIEW("in")) || view_ieq(before, VIEW("after"))) &&
		    num_parse_u64(number, 1, 100000, &n))
			return (int64_t)n * ms;
		before = number;
		number = word;
	}
	return -1;
}

static int64_t
until_midnight_ms(int64_t wall_ms)
{
	int64_t of_day = wall_ms % DAY_MS;

	return DAY_MS - (of_day < 0 ? of_day + DAY_MS : of_day);
}

int64_t
quota_rest_ms(const char *text, int64_t wall_ms, unsigned again)
{
	static const int64_t hours[] = { 1, 2, 4, 6 };
	int64_t ms = told_ms(text, wall_ms);

	/* A date far off is another clock's, or a month's: neither is waited for. */
	if (ms < 0 || ms > QUOTA_REST_MAX_MS)
		ms = again == 0 ? until_midnight_ms(wall_ms) :
		    hours[again < lengthof(hours) ? again - 1 : lengthof(hours) - 1] * HOUR_MS;
	return ms < QUOTA_REST_MIN_MS ? QUOTA_REST_MIN_MS : ms;
}
