/* SPDX-License-Identifier: BSD-2-Clause */
/* "Log in first" after a login that worked: doc/health.md, "Messages that nobody takes". */
#include "relay/denied.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/banned.h"

#define LATE	300000		/* nothing was delivered for so long */

static bool
fails(struct denied *d, spool_id id, uint32_t sender, bool fresh, int64_t now_ms)
{
	struct denied_message m = { id, sender, fresh };

	return denied_failed(d, &m, now_ms);
}

/* However many messages: two senders that were never served are those senders. */
static void
it_takes_three_senders(void **state)
{
	struct denied d = { .next = 0 };

	for (spool_id id = 1; id <= 20; id++)
		assert_false(fails(&d, id, (uint32_t)id % 2, true, 0));
	assert_true(fails(&d, 21, 7, true, 0));
}

/* Three too, if something was delivered a moment ago. */
static void
a_delivery_speaks_for_the_account(void **state)
{
	struct denied d = { .next = 0 };

	denied_passed(&d, 100, 1000);
	for (spool_id id = 1; id <= 20; id++)
		assert_false(fails(&d, id, (uint32_t)id, true, 1000 + LATE - 1));
	assert_true(fails(&d, 21, 1, true, 1000 + LATE));
	denied_passed(&d, 101, 1000 + LATE);
	assert_false(fails(&d, 22, 1, true, 1000 + 2 * LATE));
	assert_false(fails(&d, 23, 2, true, 1000 + 2 * LATE));
	assert_true(fails(&d, 24, 3, true, 1000 + 2 * LATE));
}

/* The same messages again are no news, before and after. */
static void
what_is_tried_again_shows_nothing(void **state)
{
	struct denied d = { .next = 0 };

	for (spool_id id = 1; id <= 20; id++)
		assert_false(fails(&d, id, (uint32_t)id, false, 0));
	for (spool_id id = 1; id <= 2; id++)
		assert_false(fails(&d, id, (uint32_t)id, true, 0));
	assert_true(fails(&d, 3, 3, true, 0));
	assert_false(fails(&d, 1, 1, false, 0));
	for (spool_id id = 4; id <= 10; id++)
		assert_false(fails(&d, id, 1, true, 0));
	assert_true(fails(&d, 11, 1, true, 0));
}

/* After each pause more are tried, so that many wrong senders cost few. */
static void
more_are_tried_each_time(void **state)
{
	struct denied d = { .next = 0 };
	static const unsigned want[] = { 3, 8, 16, 32, 64, 64 };
	uint32_t k = 0;

	for (size_t i = 0; i < lengthof(want); i++) {
		for (unsigned n = 1; n < want[i]; n++, k++)
			assert_false(fails(&d, k + 1, k, true, 0));
		assert_true(fails(&d, k + 1, k, true, 0));
		k++;
	}
}

/* Who was served before and is no more: two such messages are enough, at once, and again. */
static void
two_of_senders_that_were_served_do(void **state)
{
	struct denied d = { .next = 0 };

	denied_passed(&d, 100, 0);
	assert_false(fails(&d, 1, 100, true, 1));
	assert_false(fails(&d, 1, 100, false, 2));
	assert_false(fails(&d, 2, 5, true, 3));
	assert_true(fails(&d, 3, 100, true, 4));
	assert_true(fails(&d, 1, 100, false, 5));
	denied_passed(&d, 5, 6);
	assert_false(fails(&d, 1, 100, false, 7));
	assert_true(fails(&d, 2, 5, false, 8));
}

/* The latest senders are known. */
static void
the_oldest_sender_is_forgotten(void **state)
{
	struct denied d = { .next = 0 };

	denied_passed(&d, 1, 0);
	for (uint32_t i = 0; i < DENIED_SERVED - 1; i++)
		denied_passed(&d, 1000 + i, 0);
	for (int i = 0; i < 100; i++)
		denied_passed(&d, 1, 0);
	assert_false(fails(&d, 1, 1, true, 0));
	assert_true(fails(&d, 2, 1000, true, 0));
	denied_passed(&d, 2000, 0);
	assert_false(fails(&d, 3, 1, true, 0));
	assert_false(fails(&d, 4, 1, true, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_takes_three_senders),
		cmocka_unit_test(a_delivery_speaks_for_the_account),
		cmocka_unit_test(what_is_tried_again_shows_nothing),
		cmocka_unit_test(more_are_tried_each_time),
		cmocka_unit_test(two_of_senders_that_were_served_do),
		cmocka_unit_test(the_oldest_sender_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
