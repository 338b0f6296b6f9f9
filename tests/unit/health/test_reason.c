/* SPDX-License-Identifier: BSD-2-Clause */
/* Why an endpoint is chosen or not: the words say what health_choose() then does. */
#include <stdio.h>
#include <string.h>

#include "unit/health/health_help.h"

#include "base/banned.h"

static const char *
why(struct fixture *f, size_t i)
{
	static char text[512];
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	assert_true(health_why_chosen(f->h, i, f->now, &b));
	(void)snprintf(text, sizeof(text), "%.*s", VIEW_ARG(buf_view(&b)));
	buf_done(&b);
	return text;
}

static void
check(const char *file, int line, const char *text, const char *part)
{
	if (strstr(text, part) == NULL) {
		print_error("\"%s\" is not in \"%s\"\n", part, text);
		_fail(file, line);
	}
}
#define assert_why(f, i, part) check(__FILE__, __LINE__, why(f, i), part)

static void
deliver(struct fixture *f, size_t i, int times)
{
	for (int k = 0; k < times; k++)
		delivery(f, i, HEALTH_OK);
}

static void
test_at_start_all_race(void **state)
{
	struct fixture f;

	start(&f, 3);
	assert_why(&f, 0, "nothing is known to be up: sessions race, this is number 1 of 3");
	assert_why(&f, 2, "number 3 of 3");
	probe(&f, 1, HEALTH_OK);
	assert_why(&f, 1, "is chosen by the next session");
	assert_why(&f, 0, "not chosen: 465 is taken by the next session");
	assert_int_equal(choose(&f).endpoint, 1);
	stop(&f);
}

static void
test_the_chosen_one_says_why_it_stays(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_int_equal(choose(&f).endpoint, 0);
	assert_why(&f, 0, "is the chosen one; stays: it leads 465 by ");
	assert_null(strstr(why(&f, 0), "return to"));	/* it is the first listed itself */
	assert_why(&f, 1, "stands by: 587 is the chosen one and leads by ");
	f.h->ep[0].availability = 0.80;		/* 465 leads by less than what a change takes */
	f.h->ep[1].availability = 1;
	assert_why(&f, 0, "is the chosen one; stays: 465 leads by 6 of the 10 points that a change takes");
	assert_why(&f, 1, "stands by: 587 is the chosen one; this one leads by 6, and a change takes more than "
	    "10 points");
	kill_port(&f, 1);
	assert_why(&f, 0, "is the chosen one; stays: no other is usable without a doubt");
	assert_why(&f, 1, "not chosen: down");
	stop(&f);
}

/* "takes over in" is the time after which health_choose() does it. */
static void
test_a_better_one_takes_over_when_it_was_said(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_int_equal(choose(&f).endpoint, 0);
	deliver(&f, 1, 20);
	f.h->ep[0].availability = 0.5;
	assert_int_equal(choose(&f).endpoint, 0);
	assert_why(&f, 0, "and takes over in 10m if that lasts");
	f.now += MINUTES(10) - 1000;
	f.h->ep[0].sampled_ms = f.now;
	assert_why(&f, 0, "and takes over in 1s if that lasts");
	assert_why(&f, 1, "stands by: 587 is the chosen one; this one leads by ");
	assert_why(&f, 1, " points and takes over in 1s if that lasts");
	assert_int_equal(choose(&f).endpoint, 0);
	f.h->ep[1].state = EP_RECOVERING;	/* 10 points behind, and leads all the same */
	assert_why(&f, 0, ", but is recovering");
	f.h->ep[1].state = EP_UP;
	f.now += 1000;
	assert_int_equal(choose(&f).endpoint, 1);
	stop(&f);
}

static void
test_the_way_back_is_told(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_int_equal(choose(&f).endpoint, 0);
	kill_port(&f, 0);
	assert_int_equal(choose(&f).endpoint, 1);
	assert_why(&f, 1, "; return to 587 when it has been up without a failure for 30m");
	assert_why(&f, 0, "not chosen: down; return to 587 when");
	assert_string_not_equal(health_advice(f.h, 0), "");
	probe(&f, 0, HEALTH_OK);
	assert_why(&f, 0, "not chosen: probing; it may carry one message");
	f.now += SECONDS(10);
	recover(&f, 0);
	assert_string_equal(health_advice(f.h, 0), "");		/* of what is over */
	f.now += MINUTES(18);
	deliver(&f, 0, 10);
	deliver(&f, 1, 10);
	assert_why(&f, 1, "; return to 587 in 12m if it stays clean");
	assert_why(&f, 0, "stands by: 465 is the chosen one");
	assert_why(&f, 0, "; return to 587 in 12m if it stays clean");
	f.now += MINUTES(11);
	deliver(&f, 0, 1);
	assert_int_equal(choose(&f).endpoint, 1);
	f.now += MINUTES(1);
	deliver(&f, 0, 1);
	f.h->ep[0].availability = 0.89;
	assert_why(&f, 1, "; return to 587 when its availability is 0.90; it is 0.89");
	assert_int_equal(choose(&f).endpoint, 1);
	f.h->ep[0].availability = 0.95;
	for (size_t i = 0; i < VOLUNTARY_MAX; i++)
		f.h->voluntary[i] = f.now;
	assert_why(&f, 1, "; return to 587 when fewer than 6 changes were made within an hour");
	assert_int_equal(choose(&f).endpoint, 1);
	for (size_t i = 0; i < VOLUNTARY_MAX; i++)
		f.h->voluntary[i] = NEVER;
	assert_why(&f, 1, "; return to 587 with the next session");
	assert_int_equal(choose(&f).endpoint, 0);
	delivery(&f, 0, HEALTH_CUT_BEFORE_DOT);
	assert_why(&f, 0, "; it failed soon after the return to it, so 465 is chosen by the next session");
	assert_int_equal(choose(&f).endpoint, 1);
	assert_why(&f, 1, "is the chosen one");
	stop(&f);
}

static void
test_a_detour_is_told(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_int_equal(choose(&f).endpoint, 0);
	delivery(&f, 0, HEALTH_CUT_BEFORE_DOT);
	assert_why(&f, 0, "its last attempt failed, so sessions make a detour over 465");
	assert_why(&f, 1, "stands by: 587 is the chosen one, but its last attempt failed: sessions make a detour "
	    "over this one");
	assert_int_equal(choose(&f).endpoint, 1);
	probe(&f, 0, HEALTH_OK);
	delivery(&f, 1, HEALTH_CUT_BEFORE_DOT);
	assert_why(&f, 1, "stands by: 587 is the chosen one, and the last attempt here failed");
	stop(&f);
}

static void
test_an_account_that_is_closed_comes_first(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_int_equal(choose(&f).endpoint, 0);
	delivery(&f, 0, HEALTH_AUTH_REFUSED);
	assert_why(&f, 0, "no session now: the account is blocked; else: is the chosen one");
	assert_int_equal(choose(&f).endpoint, -1);
	stop(&f);
}

static void
test_no_more_changes_while_it_flaps(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_int_equal(choose(&f).endpoint, 0);
	for (size_t i = 0; i < VOLUNTARY_MAX; i++)
		f.h->voluntary[i] = f.now;
	assert_true(health_is_flapping(f.h, f.now));
	f.h->ep[0].availability = 0.5;
	assert_why(&f, 0, ", but there were 6 changes within an hour");
	assert_true(health_is_flapping(f.h, f.now + HOURS(1) - 1));
	assert_false(health_is_flapping(f.h, f.now + HOURS(1)));
	stop(&f);
}

static const char *
state_words(struct fixture *f, size_t i)
{
	static char text[512];
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	assert_true(health_why(f->h, i, &b));
	(void)snprintf(text, sizeof(text), "%.*s", VIEW_ARG(buf_view(&b)));
	buf_done(&b);
	return text;
}

/* A probe that ended at the name server was one: "not tried yet" would be wrong. */
static void
test_a_probe_without_an_address_is_told(void **state)
{
	struct fixture f;

	start(&f, 2);
	assert_string_equal(state_words(&f, 0), "not tried yet");
	probe(&f, 0, HEALTH_DNS_FAIL);
	assert_int_equal(state_of(&f, 0), EP_UNKNOWN);
	check(__FILE__, __LINE__, state_words(&f, 0), "tried, but nothing is known of it: ");
	check(__FILE__, __LINE__, state_words(&f, 0), health_class_info(HEALTH_DNS_FAIL)->sentence);
	assert_int_equal(view(&f, 0).why_class, HEALTH_DNS_FAIL);
	assert_string_equal(health_advice(f.h, 0), health_class_info(HEALTH_DNS_FAIL)->advice);
	assert_string_equal(state_words(&f, 1), "not tried yet");
	probe(&f, 0, HEALTH_OK);
	assert_string_equal(state_words(&f, 0), "works");
	stop(&f);
}

static void
test_a_reply_that_is_overdue_is_told(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_int_equal(choose(&f).endpoint, 0);
	health_set_overdue(f.h, 0, "RCPT", f.now);
	assert_string_equal(state_words(&f, 0), "a session waits for the reply to RCPT; works");
	assert_why(&f, 0, "is the chosen one; a reply here is overdue, so sessions make a detour over 465 until it comes");
	assert_int_equal(choose(&f).endpoint, 1);
	health_set_overdue(f.h, 0, NULL, f.now);
	assert_string_equal(state_words(&f, 0), "works");
	stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_start_all_race),
		cmocka_unit_test(test_the_chosen_one_says_why_it_stays),
		cmocka_unit_test(test_a_better_one_takes_over_when_it_was_said),
		cmocka_unit_test(test_the_way_back_is_told),
		cmocka_unit_test(test_a_detour_is_told),
		cmocka_unit_test(test_an_account_that_is_closed_comes_first),
		cmocka_unit_test(test_no_more_changes_while_it_flaps),
		cmocka_unit_test(test_a_probe_without_an_address_is_told),
		cmocka_unit_test(test_a_reply_that_is_overdue_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
