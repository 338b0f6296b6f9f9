/* SPDX-License-Identifier: BSD-2-Clause */
/* What providers say when a day's or a month's mail is used up, and for how long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "relay/outcome.h"
#include "health/quota.h"
#include "health/words.h"

#include "base/banned.h"

#define HOUR	INT64_C(3600000)
#define MINUTE	INT64_C(60000)
#define NOON	INT64_C(1795348800000)		/* 2026-11-22T12:00:00Z */

static void
test_words(void **state)
{
	static const char *const some[] = { "quota", "limit", NULL };
	char out[WORDS_PLAIN_MAX], long_text[3 * WORDS_PLAIN_MAX];

	assert_true(words_say("Daily QUOTA exceeded", "quota"));
	assert_false(words_say("quot", "quota"));
	assert_true(words_say_any("over the Limit", some));
	assert_false(words_say_any("", some));

	assert_string_equal(words_plain(out, "<daily-quota@x.example>: daily a@b limit"), ": daily limit");
	assert_string_equal(words_plain(out, "a <b <c> d> e"), "a  e");
	assert_string_equal(words_plain(out, "open <daily quota"), "open");
	assert_string_equal(words_plain(out, "a@b"), "");
	assert_string_equal(words_plain(out, ""), "");
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(strlen(words_plain(out, long_text)), WORDS_PLAIN_MAX - 1);
}

static void
test_used_up(void **state)
{
	static const struct { int code; const char *status, *text; bool is; } cases[] = {
		{ 454, "", "Throttling failure: Daily message quota exceeded.", true },
		{ 454, "", "Throttling failure: Maximum sending rate exceeded.", false },
		{ 451, "4.7.1", "Authentication failed: Maximum credits exceeded", true },
		{ 450, "4.7.1", "you may send 300 mails per day, limit reached", true },
		{ 421, "4.7.0", "monthly limit of your plan was exceeded", true },
		{ 452, "4.5.3", "too many recipients", false },
		{ 450, "", "Mail send limit exceeded", false },
		{ 452, "4.2.2", "daily quota of the mailbox exceeded", false },
		{ 450, "4.2.1", "The user you are trying to contact is receiving mail over the daily limit", false },
		{ 550, "5.4.5", "Daily user sending quota exceeded.", true },
		{ 550, "5.4.5", "no such network", false },
		{ 550, "5.1.90", "you've reached your daily limit for message recipients", true },
		{ 550, "5.7.1", "Daily SMTP relay limit exceeded for customer.", true },
		{ 550, "5.7.1", "daily digest refused: its limit exceeded", false },
		{ 550, "5.1.1", "daily quota exceeded", false },
		{ 554, "", "daily quota exceeded", false },
		{ 250, "2.0.0", "daily quota exceeded", false },
		/* Whoever submits mail chooses addresses, and servers echo them. */
		{ 450, "4.1.1", "<daily-quota-exceeded@example.net>: user unknown", false },
		{ 450, "4.1.1", "daily-quota-exceeded@example.net: user unknown", false },
		{ 550, "5.4.5", "<daily.quota.exceeded@example.net>: no route", false },
		{ 250, "5.4.5", "Daily sending quota exceeded", false },	/* it was taken */
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		if (quota_is_used_up(cases[i].code, cases[i].status, cases[i].text) != cases[i].is)
			fail_msg("%d %s %s", cases[i].code, cases[i].status, cases[i].text);
}

/* The same for "slow down": an address must not pause the account. */
static void
test_an_address_throttles_nothing(void **state)
{
	assert_true(outcome_is_throttle(450, "4.7.1", "too many messages, slow down"));
	assert_false(outcome_is_throttle(450, "4.1.1", "<slow-down@example.net>: unknown"));
	assert_false(outcome_is_throttle(450, "4.1.1", "too-many@example.net: <rate limit@x>"));
}

static void
assert_rest(const char *text, int64_t wall_ms, unsigned again, int64_t want_ms)
{
	int64_t got = quota_rest_ms(text, wall_ms, again);

	if (got != want_ms)
		fail_msg("%s: %lld ms, not %lld", text, (long long)got, (long long)want_ms);
}

static void
test_rest(void **state)
{
	const char *none = "Daily message quota exceeded";

	/* What the reply says. */
	assert_rest("try again in 3600 seconds", NOON, 0, HOUR);
	assert_rest("Retry after 2 hours.", NOON, 3, 2 * HOUR);
	assert_rest("again in 5 minutes, please", NOON, 0, 5 * MINUTE);
	assert_rest("it resets at 2026-11-22T15:30:00Z.", NOON, 0, 3 * HOUR + 30 * MINUTE);
	assert_rest("in 1 day", NOON, 0, 24 * HOUR);
	assert_rest("in 5 seconds", NOON, 0, MINUTE);
	/* What nobody believes or understands: midnight UTC. */
	assert_rest(none, NOON, 0, 12 * HOUR);
	assert_rest("", NOON, 0, 12 * HOUR);
	assert_rest("in 30 days", NOON, 0, 12 * HOUR);
	assert_rest("in 99999999999999999999 hours", NOON, 0, 12 * HOUR);
	assert_rest("it was reset at 2026-11-21T00:00:00Z", NOON, 0, 12 * HOUR);
	assert_rest("until 2036-01-01T00:00:00Z", NOON, 0, 12 * HOUR);
	assert_rest("4 hours is all", NOON, 0, 12 * HOUR);
	assert_rest("in hours in 3", NOON, 0, 12 * HOUR);
	assert_rest(none, NOON + 12 * HOUR - 5, 0, MINUTE);
	/* Midnight did not help. */
	assert_rest(none, NOON, 1, HOUR);
	assert_rest(none, NOON, 2, 2 * HOUR);
	assert_rest(none, NOON, 3, 4 * HOUR);
	assert_rest(none, NOON, 4, 6 * HOUR);
	assert_rest(none, NOON, 1000, 6 * HOUR);
}

/* Whatever the clock says, mail rests between a minute and 25 h. */
static void
test_rest_is_bounded(void **state)
{
	static const int64_t years[] = { -100, -10, 0, 10, 100, 8000 };
	static const char *const texts[] = { "", "in 25 hours", "in 100000 days", "1970-01-01T00:00:05Z",
		"2026-11-23T00:00:00.000Z", "9999-12-31T23:59:59Z" };

	for (size_t y = 0; y < lengthof(years); y++)
		for (size_t t = 0; t < lengthof(texts); t++)
			for (unsigned again = 0; again < 6; again++) {
				int64_t wall = NOON + years[y] * 365 * 24 * HOUR;

				assert_in_range(quota_rest_ms(texts[t], wall, again), QUOTA_REST_MIN_MS,
				    QUOTA_REST_MAX_MS);
				assert_in_range(quota_rest_ms(texts[t], 0, again), QUOTA_REST_MIN_MS,
				    QUOTA_REST_MAX_MS);
			}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_used_up),
		cmocka_unit_test(test_an_address_throttles_nothing),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_rest_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
