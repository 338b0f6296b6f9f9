/* SPDX-License-Identifier: BSD-2-Clause */
/* "Logins that nobody judged" of doc/health.md: what they do to a port and to the account. */
#include <stdlib.h>

#include "unit/health/health_help.h"

#include "base/banned.h"

/* The n-th login in a row that nobody judges, at endpoint i. */
static void
unjudged(struct fixture *f, size_t i, enum health_class class, unsigned n)
{
	struct health_sample s = { .class = class, .source = SAMPLE_PROBE, .ready_ms = -1, .unjudged = n,
		.detail = "gone" };

	health_note(f->h, i, &s, f->now);
}

static void
logged_in(struct fixture *f, size_t i)
{
	struct health_sample s = { .class = HEALTH_OK, .source = SAMPLE_PROBE, .ready_ms = 100, .logged_in = true };

	health_note(f->h, i, &s, f->now);
}

static int64_t
pause_left(const struct fixture *f)
{
	struct account_view v;

	health_account(f->h, f->now, &v);
	return v.state == ACCOUNT_PAUSED ? v.until_ms - f->now : 0;
}

/* When the endpoint is next to be probed with a login, and so many probes without one before. */
static int64_t
login_after(struct fixture *f, size_t i, unsigned *without)
{
	int64_t from = f->now;

	*without = 0;
	for (unsigned n = 0; n < 2000; n++) {
		struct health_probe p;

		health_next_probe(f->h, f->now, &p);
		assert_true(p.endpoint >= 0);
		f->now = p.at_ms > f->now ? p.at_ms : f->now;
		health_probe_started(f->h, (size_t)p.endpoint, f->now);
		if ((size_t)p.endpoint == i && p.login)
			return f->now - from;
		*without += (size_t)p.endpoint == i;
		if (p.login)
			logged_in(f, (size_t)p.endpoint);
		else
			report(f, (size_t)p.endpoint, SAMPLE_PROBE, HEALTH_OK);
	}
	fail_msg("no login is planned");
	return -1;
}

static void
assert_about(int64_t ms, int64_t wanted_ms, int percent)
{
	assert_in_range(ms, wanted_ms * (100 - percent) / 100, wanted_ms * (100 + percent) / 100 + SECONDS(10));
}

static void
test_the_account_rests_longer_each_time(void **state)
{
	static const int64_t seconds[] = { 60, 120, 240, 480, 900, 900 };
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	unjudged(&f, 0, HEALTH_AUTH_UNANSWERED, 1);
	assert_int_equal(pause_left(&f), 0);		/* the other port may show more */
	unjudged(&f, 1, HEALTH_AUTH_UNANSWERED, 2);
	for (unsigned i = 0; i < lengthof(seconds); i++) {
		assert_about(pause_left(&f), SECONDS(seconds[i]), 10);
		f.now += pause_left(&f);
		assert_true(health_is_open(f.h, f.now));
		unjudged(&f, i % 2, HEALTH_AUTH_UNANSWERED, 3 + i);
	}
	stop(&f);
}

static void
test_with_one_port_it_rests_at_once(void **state)
{
	struct fixture f;

	start(&f, 1);
	all_up(&f);
	unjudged(&f, 0, HEALTH_AUTH_UNANSWERED, 1);
	assert_about(pause_left(&f), SECONDS(30), 10);
	stop(&f);
}

static void
test_only_a_login_clears_the_port(void **state)
{
	struct fixture f;
	unsigned without;

	start(&f, 2);
	all_up(&f);
	unjudged(&f, 0, HEALTH_AUTH_UNANSWERED, 1);
	assert_true(view(&f, 0).suspect);
	assert_true(health_is_login_avoided(f.h, 0, f.now));
	health_probe_now(f.h);
	assert_about(login_after(&f, 0, &without), MINUTES(10), 20);
	assert_in_range(without, 1, 3);			/* the one at once, and what it led to */
	assert_true(view(&f, 0).suspect);
	logged_in(&f, 0);
	assert_false(view(&f, 0).suspect);
	assert_false(health_is_login_avoided(f.h, 0, f.now));
	stop(&f);
}

/* Another port that is not suspect is raced for; this one only if there is none. */
static void
test_it_is_not_raced(void **state)
{
	size_t order[HEALTH_ENDPOINTS_MAX];
	struct fixture f;

	start(&f, 2);
	unjudged(&f, 0, HEALTH_AUTH_UNANSWERED, 1);
	assert_int_equal(health_race_order(f.h, f.now, order), 1);
	assert_int_equal(order[0], 1);
	unjudged(&f, 1, HEALTH_AUTH_UNANSWERED, 2);
	assert_int_equal(health_race_order(f.h, f.now, order), 2);
	stop(&f);
}

/* Once is enough: blocked, and tried by a login alone, after 1 h, 6 h, 24 h, 24 h. */
static void
test_a_port_that_takes_no_login(void **state)
{
	static const int64_t hours[] = { 1, 6, 24, 24 };
	struct fixture f;
	unsigned without;

	start(&f, 2);
	all_up(&f);
	for (unsigned i = 0; i < lengthof(hours); i++) {
		unjudged(&f, 0, HEALTH_AUTH_NOT_TAKEN, 1);
		assert_int_equal(state_of(&f, 0), EP_BLOCKED);
		health_trust_changed(f.h, f.now);
		assert_int_equal(state_of(&f, 0), EP_BLOCKED);	/* it is no matter of certificates */
		assert_about(login_after(&f, 0, &without), HOURS(hours[i]), 20);
		assert_int_equal(without, 0);
	}
	logged_in(&f, 0);
	assert_int_equal(state_of(&f, 0), EP_PROBING);
	stop(&f);
}

/* Mail that waits makes probes hurry elsewhere; here they would show nothing. */
static void
test_waiting_mail_hurries_no_login(void **state)
{
	struct fixture f;
	unsigned without;

	start(&f, 1);
	all_up(&f);
	unjudged(&f, 0, HEALTH_AUTH_NOT_TAKEN, 1);
	f.now += pause_left(&f);
	health_mail_waits(f.h, true);
	assert_false(health_is_open(f.h, f.now));
	assert_about(login_after(&f, 0, &without), HOURS(1), 20);
	assert_int_equal(without, 0);
	stop(&f);
}

static void
test_unblock_forgives_the_port(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	unjudged(&f, 0, HEALTH_AUTH_UNANSWERED, 1);
	unjudged(&f, 1, HEALTH_AUTH_NOT_TAKEN, 2);
	health_unblock(f.h, f.now);
	assert_int_equal(pause_left(&f), 0);
	assert_int_equal(state_of(&f, 1), EP_UNKNOWN);
	report(&f, 0, SAMPLE_PROBE, HEALTH_OK);
	assert_false(view(&f, 0).suspect);
	stop(&f);
}

/* The port went down for another reason meanwhile: what it was before is over. */
static void
test_a_later_finding_decides(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	unjudged(&f, 0, HEALTH_AUTH_UNANSWERED, 1);
	kill_port(&f, 0);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	f.now += MINUTES(1);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_PROBING);
	stop(&f);
}

/* What the timer after a block allows and nobody judges counts as refused; what was said stays. */
static void
test_the_trial_is_as_good_as_refused(void **state)
{
	struct health_sample s = { .class = HEALTH_AUTH_REFUSED, .source = SAMPLE_DELIVERY, .ready_ms = -1,
		.detail = "535 no" };
	struct account_view v;
	struct fixture f;
	unsigned without;

	start(&f, 2);
	all_up(&f);
	health_note(f.h, 0, &s, f.now);
	(void)login_after(&f, 0, &without);
	s = (struct health_sample){ .class = HEALTH_AUTH_UNANSWERED, .source = SAMPLE_PROBE, .ready_ms = -1,
		.unjudged = 1, .detail = "cut" };
	health_note(f.h, 0, &s, f.now);
	health_account(f.h, f.now, &v);
	assert_int_equal(v.state, ACCOUNT_BLOCKED);
	assert_int_equal(v.why_class, HEALTH_AUTH_REFUSED);
	assert_string_equal(v.detail, "535 no");
	assert_about(v.until_ms - f.now, HOURS(6), 10);
	stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_account_rests_longer_each_time),
		cmocka_unit_test(test_with_one_port_it_rests_at_once),
		cmocka_unit_test(test_only_a_login_clears_the_port),
		cmocka_unit_test(test_it_is_not_raced),
		cmocka_unit_test(test_a_port_that_takes_no_login),
		cmocka_unit_test(test_waiting_mail_hurries_no_login),
		cmocka_unit_test(test_unblock_forgives_the_port),
		cmocka_unit_test(test_a_later_finding_decides),
		cmocka_unit_test(test_the_trial_is_as_good_as_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
