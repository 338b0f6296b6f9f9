/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "relay/allowance.h"

#include "base/banned.h"

#define MINUTE	60000
#define HOUR	(60 * MINUTE)
#define DAY	(24 * (int64_t)HOUR)

static const struct allowance_limits none = { .queue_messages = 100, .queue_bytes = 1000000 };

static struct allowance_limits
only(enum allowance_what what, enum allowance_span span, uint64_t most)
{
	struct allowance_limits l = none;

	l.most[what][span] = most;
	return l;
}

static enum allowance_verdict
ask(struct allowance *a, unsigned user, int64_t now, uint64_t messages, uint64_t rcpts, uint64_t bytes)
{
	struct allowance_asked asked = { .n = { messages, rcpts, bytes } };
	enum allowance_what what;
	enum allowance_span span;

	return allowance_ask(a, user, now, &asked, &what, &span);
}

/* Asked, and taken if it fits. */
static bool
takes(struct allowance *a, unsigned user, int64_t now, uint64_t messages, uint64_t rcpts, uint64_t bytes)
{
	struct allowance_asked asked = { .n = { messages, rcpts, bytes } };

	if (ask(a, user, now, messages, rcpts, bytes) != ALLOWANCE_FITS)
		return false;
	allowance_fill(a, user, now, &asked);
	return true;
}

static const int64_t spans[] = { MINUTE, HOUR, DAY };

/* Each of the nine limits by itself: so much at once, one more not, and all of it again after its time. */
static void
test_each_limit(void **state)
{
	for (int w = 0; w < ALLOWANCE_WHATS; w++)
		for (int s = 0; s < ALLOWANCE_SPANS; s++) {
			struct allowance_limits l = only((enum allowance_what)w, (enum allowance_span)s, 10);
			struct allowance_asked one = { .n = { 0 } };
			enum allowance_what what = ALLOWANCE_WHATS;
			enum allowance_span span = ALLOWANCE_SPANS;
			struct allowance a;
			unsigned u;

			allowance_init(&a, &l);
			u = allowance_find(&a, 33, 5);
			one.n[w] = 1;
			for (int i = 0; i < 10; i++)
				assert_true(takes(&a, u, 5, one.n[0], one.n[1], one.n[2]));
			assert_int_equal(allowance_ask(&a, u, 5, &one, &what, &span), ALLOWANCE_OVER);
			assert_int_equal(what, w);
			assert_int_equal(span, s);
			/* The others are not concerned. */
			assert_true(takes(&a, allowance_find(&a, 34, 5), 5, one.n[0], one.n[1], one.n[2]));
			assert_true(takes(&a, allowance_find(&a, -1, 5), 5, one.n[0], one.n[1], one.n[2]));
			/* One place is free after a tenth of the time, not a moment before. */
			assert_false(takes(&a, u, 5 + spans[s] / 10 - 1, one.n[0], one.n[1], one.n[2]));
			assert_true(takes(&a, u, 5 + spans[s] / 10, one.n[0], one.n[1], one.n[2]));
			assert_false(takes(&a, u, 5 + spans[s] / 10, one.n[0], one.n[1], one.n[2]));
			for (int i = 0; i < 10; i++)
				assert_true(takes(&a, u, 5 + 2 * spans[s], one.n[0], one.n[1], one.n[2]));
			assert_int_equal(allowance_used(&a, u, 5 + 2 * spans[s], (enum allowance_what)w,
			    (enum allowance_span)s), 10);
			assert_false(takes(&a, u, 5 + 2 * spans[s], one.n[0], one.n[1], one.n[2]));
			allowance_done(&a);
		}
}

/* What is refused costs nothing, and more than the limit never fits. */
static void
test_all_or_nothing(void **state)
{
	struct allowance_limits l = only(ALLOWANCE_BYTES, ALLOWANCE_DAY, ALLOWANCE_MOST_MAX);
	struct allowance a;
	unsigned u;

	l.most[ALLOWANCE_MESSAGES][ALLOWANCE_MINUTE] = 2;
	allowance_init(&a, &l);
	u = allowance_find(&a, 0, 0);
	assert_false(takes(&a, u, 0, 1, 1, ALLOWANCE_MOST_MAX + 1));
	assert_false(takes(&a, u, 0, 1, 1, UINT64_MAX));
	assert_false(takes(&a, u, 0, 1, 1, UINT64_C(213503982335)));	/* times a day's ms: just over 2^64 */
	assert_true(takes(&a, u, 0, 1, 1, ALLOWANCE_MOST_MAX));
	assert_false(takes(&a, u, 0, 1, 1, 1));
	assert_true(takes(&a, u, 0, 1, 1, 0));
	assert_false(takes(&a, u, 0, 1, 1, 0));
	/* A clock that goes back drains nothing, and harms nothing. */
	assert_false(takes(&a, u, -DAY, 1, 1, 0));
	assert_true(takes(&a, u, 0, 1, 1, 0));
	allowance_done(&a);
}

static void
test_without_limits(void **state)
{
	struct allowance a;
	unsigned u;

	allowance_init(&a, &none);
	u = allowance_find(&a, 33, 0);
	for (int i = 0; i < 1000; i++)
		assert_true(takes(&a, u, 0, 1000000, 1000000, UINT64_MAX / 1000));
	assert_int_equal(allowance_used(&a, u, 0, ALLOWANCE_BYTES, ALLOWANCE_DAY), 0);
	allowance_done(&a);
}

static void
test_frozen(void **state)
{
	struct allowance a;
	unsigned u;

	allowance_init(&a, &none);
	u = allowance_find(&a, 33, 0);
	allowance_user(&a, u)->frozen = true;
	assert_int_equal(ask(&a, u, 0, 1, 1, 1), ALLOWANCE_FROZEN);
	assert_int_equal(ask(&a, allowance_find(&a, 34, 0), 0, 1, 1, 1), ALLOWANCE_FITS);
	allowance_user(&a, u)->frozen = false;
	assert_int_equal(ask(&a, u, 0, 1, 1, 1), ALLOWANCE_FITS);
	allowance_done(&a);
}

static void
test_share_of_the_queue(void **state)
{
	struct allowance_asked one = { .new_messages = 1, .new_bytes = 10 };
	enum allowance_what what;
	enum allowance_span span;
	struct allowance_user *user;
	struct allowance a;
	unsigned u;

	allowance_init(&a, &none);
	u = allowance_find(&a, 33, 0);
	user = allowance_user(&a, u);
	user->messages = 99;
	assert_int_equal(allowance_ask(&a, u, 0, &one, &what, &span), ALLOWANCE_FITS);
	user->messages = 100;
	assert_int_equal(allowance_ask(&a, u, 0, &one, &what, &span), ALLOWANCE_CROWDED);
	user->messages = 1;
	user->bytes = 999990;
	assert_int_equal(allowance_ask(&a, u, 0, &one, &what, &span), ALLOWANCE_FITS);
	user->bytes++;
	assert_int_equal(allowance_ask(&a, u, 0, &one, &what, &span), ALLOWANCE_CROWDED);
	/* What is frozen is held, and that takes room, too. */
	user->frozen = true;
	assert_int_equal(allowance_ask(&a, u, 0, &one, &what, &span), ALLOWANCE_CROWDED);
	assert_int_equal(allowance_ask(&a, allowance_find(&a, 34, 0), 0, &one, &what, &span), ALLOWANCE_FITS);
	allowance_done(&a);
}

/* A full table: who has anything to lose stays; the others make room, or the newcomer has none. */
static void
test_many_users(void **state)
{
	struct allowance_limits l = only(ALLOWANCE_MESSAGES, ALLOWANCE_HOUR, 1);
	static struct allowance a;
	unsigned u;

	allowance_init(&a, &l);
	for (int64_t uid = 0; uid < ALLOWANCE_USERS_MAX - 1; uid++)
		assert_int_equal(allowance_find(&a, uid, 0), uid + 2);
	for (int64_t uid = 0; uid < ALLOWANCE_USERS_MAX - 1; uid++)
		assert_true(takes(&a, allowance_find(&a, uid, 0), 0, 1, 1, 1));
	assert_int_equal(allowance_find(&a, 100000, 0), 1);
	u = allowance_find(&a, 5, 0);
	allowance_user(&a, u)->frozen = true;
	allowance_user(&a, allowance_find(&a, 6, 0))->messages = 1;
	allowance_user(&a, allowance_find(&a, 7, 0))->bytes = 1;
	for (int64_t uid = 100000; uid < 100000 + ALLOWANCE_USERS_MAX - 4; uid++)
		assert_true(takes(&a, allowance_find(&a, uid, HOUR), HOUR, 1, 1, 1));
	assert_int_equal(allowance_find(&a, 5, HOUR), u);
	assert_int_equal(allowance_find(&a, 999999, HOUR), 1);
	allowance_done(&a);
}

/* --- the file ---------------------------------------------------------------------------- */

static void
test_file(void **state)
{
	struct allowance_limits l = only(ALLOWANCE_MESSAGES, ALLOWANCE_HOUR, 10);
	struct allowance a, b;
	struct buf text;
	struct err e;
	unsigned u;

	buf_init(&text, ALLOWANCE_TEXT_MAX);
	allowance_init(&a, &l);
	for (int i = 0; i < 10; i++)
		assert_true(takes(&a, allowance_find(&a, 33, 7), 7, 1, 1, 1));
	assert_true(takes(&a, 1, 7, 3, 1, 1));
	allowance_user(&a, allowance_find(&a, 34, 7))->frozen = true;
	(void)allowance_find(&a, 35, 7);
	assert_true(allowance_text(&a, &text, 7, 1000));
	assert_string_equal(buf_cstr(&text), "posthouse-users 1 1000\n"
	    "unknown - 0 10800000 0 0 0 0 0 0 0\n"
	    "33 - 0 36000000 0 0 0 0 0 0 0\n"
	    "34 frozen 0 0 0 0 0 0 0 0 0\n");
	/* Half an hour later, in another process, whose monotonic clock is another. */
	allowance_init(&b, &l);
	assert_int_equal(allowance_load(&b, buf_view(&text), 500, 1000 + HOUR / 2, &e), 0);
	u = allowance_find(&b, 33, 500);
	assert_int_equal(allowance_used(&b, u, 500, ALLOWANCE_MESSAGES, ALLOWANCE_HOUR), 5);
	assert_int_equal(allowance_used(&b, 1, 500, ALLOWANCE_MESSAGES, ALLOWANCE_HOUR), 0);
	assert_true(allowance_user(&b, allowance_find(&b, 34, 500))->frozen);
	assert_false(allowance_user(&b, u)->frozen);
	allowance_done(&b);
	/* The wall clock went back meanwhile: as if no time had passed. */
	allowance_init(&b, &l);
	assert_int_equal(allowance_load(&b, buf_view(&text), 500, 0, &e), 0);
	assert_int_equal(allowance_used(&b, allowance_find(&b, 33, 500), 500, ALLOWANCE_MESSAGES,
	    ALLOWANCE_HOUR), 10);
	allowance_done(&b);
	allowance_done(&a);
	buf_done(&text);
}

static void
test_bad_files(void **state)
{
	static const char *const bad[] = {
		"", "x\n", "posthouse-users 2 1000\n", "posthouse-users 1 x\n", "posthouse-users 1\n",
		"posthouse-users 1 1\n33\n", "posthouse-users 1 1\n33 frozen\n",
		"posthouse-users 1 1\n33 melted 0 0 0 0 0 0 0 0 0\n",
		"posthouse-users 1 1\n-33 frozen 0 0 0 0 0 0 0 0 0\n",
		"posthouse-users 1 1\n4294967296 frozen 0 0 0 0 0 0 0 0 0\n",
		"posthouse-users 1 1\nnobody frozen 0 0 0 0 0 0 0 0 0\n",
		"posthouse-users 1 1\n33 frozen 0 0 0 0 0 0 0 0\n",
		"posthouse-users 1 1\n33 frozen 0 0 0 0 0 0 0 0 0 0\n",
		"posthouse-users 1 1\n33 frozen 18446744073709551615 0 0 0 0 0 0 0 0\n",
	};

	for (size_t i = 0; i < lengthof(bad); i++) {
		struct allowance a;
		struct err e;

		allowance_init(&a, &none);
		assert_int_equal(allowance_load(&a, view_str(bad[i]), 0, 0, &e), -1);
		assert_int_equal(a.n, 1);
		assert_false(allowance_user(&a, 1)->frozen);
		allowance_done(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_limit),
		cmocka_unit_test(test_all_or_nothing),
		cmocka_unit_test(test_without_limits),
		cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_share_of_the_queue),
		cmocka_unit_test(test_many_users),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
