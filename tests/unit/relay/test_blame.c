/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose fault it is: doc/health.md, "Messages that nobody takes". */
#include "relay/blame.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/banned.h"

#define P(i) (UINT32_C(1) << (i))

/* Failed twice, and another one passed at one of these endpoints since. */
static void
it_takes_two_failures_and_another_message(void **state)
{
	struct blame b = { .next = 0 };

	blame_failed(&b, 1, 0);
	blame_passed(&b, 2, 0);
	assert_false(blame_is_own(&b, 1));
	blame_failed(&b, 1, 1);
	assert_true(blame_is_own(&b, 1));
	assert_false(blame_is_own(&b, 2));

	b = (struct blame){ .next = 0 };
	blame_failed(&b, 1, 0);
	blame_failed(&b, 1, 1);
	assert_false(blame_is_own(&b, 1));
	blame_passed(&b, 2, 2);			/* elsewhere: it says nothing of these two */
	assert_false(blame_is_own(&b, 1));
	blame_passed(&b, 2, 1);
	assert_true(blame_is_own(&b, 1));
}

/* What passed before it failed at all is no news. */
static void
what_was_before_does_not_count(void **state)
{
	struct blame b = { .next = 0 };

	blame_passed(&b, 2, 0);
	blame_failed(&b, 1, 0);
	blame_failed(&b, 1, 0);
	assert_false(blame_is_own(&b, 1));
}

/* A victim arrives in the end. */
static void
who_arrives_is_not_to_blame(void **state)
{
	struct blame b = { .next = 0 };

	blame_failed(&b, 1, 0);
	blame_failed(&b, 1, 1);
	blame_passed(&b, 1, 2);
	blame_passed(&b, 2, 1);
	assert_false(blame_is_own(&b, 1));
	assert_int_equal(blame_freed(&b), 0);
}

/* Where only such messages failed nothing is wrong; where another one failed something may be. */
static void
endpoints_are_freed(void **state)
{
	struct blame b = { .next = 0 };

	blame_failed(&b, 1, 0);
	blame_failed(&b, 1, 1);
	blame_failed(&b, 1, 2);
	blame_failed(&b, 3, 1);
	assert_int_equal(blame_freed(&b), 0);
	blame_passed(&b, 2, 2);
	assert_int_equal(blame_freed(&b), P(0) | P(2));
	blame_passed(&b, 2, 1);
	assert_int_equal(blame_freed(&b), P(0) | P(1) | P(2));
}

/* Three failures are heard, if it is not known for them. */
static void
a_message_is_heard_three_times(void **state)
{
	struct blame b = { .next = 0 };

	assert_true(blame_is_witness(&b, 1));
	for (int i = 0; i < 3; i++) {
		blame_failed(&b, 1, 0);
		assert_true(blame_is_witness(&b, 1));
	}
	blame_failed(&b, 1, 0);
	assert_false(blame_is_witness(&b, 1));
	assert_false(blame_is_own(&b, 1));
	blame_failed(&b, 2, 0);
	blame_failed(&b, 2, 0);
	assert_true(blame_is_witness(&b, 2));
	blame_passed(&b, 3, 0);
	assert_false(blame_is_witness(&b, 2));
}

/* What one relay has found of a message excuses the ports of another, where it failed, too. */
static void
relays_share_what_they_found(void **state)
{
	struct blame here = { .next = 0 }, there = { .next = 0 };

	blame_failed(&here, 1, 0);
	blame_failed(&here, 3, 1);
	assert_false(blame_share(&here, &there));
	blame_failed(&there, 1, 2);
	blame_failed(&there, 1, 2);
	assert_false(blame_share(&here, &there));
	blame_passed(&there, 2, 2);
	assert_true(blame_share(&here, &there));
	assert_true(blame_is_own(&here, 1));
	assert_false(blame_is_own(&here, 3));
	assert_int_equal(blame_freed(&here), P(0));
	assert_false(blame_share(&here, &there));	/* no news */
}

/* The latest are remembered, each once however often it fails. */
static void
the_oldest_is_forgotten(void **state)
{
	struct blame b = { .next = 0 };

	blame_failed(&b, 1, 0);
	blame_failed(&b, 2, 0);
	for (int i = 0; i < 3 * BLAME_MAX; i++)
		blame_failed(&b, 2, 0);
	for (spool_id id = 3; id < BLAME_MAX + 2; id++)
		blame_failed(&b, id, 0);
	blame_passed(&b, 1000, 0);
	assert_true(blame_is_own(&b, 2));
	blame_failed(&b, 1, 0);			/* it is new */
	assert_false(blame_is_own(&b, 1));
	assert_false(blame_is_own(&b, 2));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_takes_two_failures_and_another_message),
		cmocka_unit_test(what_was_before_does_not_count),
		cmocka_unit_test(who_arrives_is_not_to_blame),
		cmocka_unit_test(endpoints_are_freed),
		cmocka_unit_test(a_message_is_heard_three_times),
		cmocka_unit_test(relays_share_what_they_found),
		cmocka_unit_test(the_oldest_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
