/* SPDX-License-Identifier: BSD-2-Clause */
/* Order, growth, and when a message is too old. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "relay/schedule.h"

#define MIN_MS	60000
#define HOUR_MS 3600000
#define DAY_MS	(24 * (int64_t)HOUR_MS)
#define WALL	1795332623000

static const struct schedule_params params = {
	.retry_first_ms = MIN_MS, .retry_max_ms = HOUR_MS,
	.expire_ms = 5 * DAY_MS, .uncertain_ms = 15 * MIN_MS,
};

static void
backoff_doubles_up_to_an_hour(void **state)
{
	static const int64_t want[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };
	struct rng rng;
	bool varied = false;

	rng_init(&rng, 7);
	for (unsigned i = 0; i < lengthof(want); i++) {
		int64_t first = schedule_backoff(&params, i + 1, &rng);

		for (int k = 0; k < 50; k++) {
			int64_t d = schedule_backoff(&params, i + 1, &rng);

			assert_true(d >= want[i] * MIN_MS * 8 / 10 && d <= want[i] * MIN_MS * 12 / 10);
			varied = varied || d != first;
		}
	}
	assert_true(varied);
	assert_true(schedule_backoff(&params, 65535, &rng) <= HOUR_MS * 12 / 10);
}

static void
due_messages_leave_oldest_first(void **state)
{
	struct schedule s;
	struct spool_message a = { .received_ms = WALL - 5000 };
	struct spool_message b = { .received_ms = WALL - 9000 };
	struct spool_message c = { .received_ms = WALL - 20000, .next_ms = WALL + 30000 };

	schedule_init(&s, &params, 1000);
	schedule_add(&s, &a, 1000, WALL);
	schedule_add(&s, &b, 1000, WALL);
	schedule_add(&s, &c, 1000, WALL);
	assert_int_equal(schedule_next_at(&s), 1000 - 9000);
	assert_ptr_equal(schedule_take(&s, 1000), &b);
	/* What comes back uncharged keeps its place. */
	schedule_put_back(&s, &b);
	assert_ptr_equal(schedule_take(&s, 1000), &b);
	assert_ptr_equal(schedule_take(&s, 1000), &a);
	assert_null(schedule_take(&s, 1000));
	assert_null(schedule_take(&s, 30999));
	assert_ptr_equal(schedule_first(&s, 31000), &c);
	schedule_remove(&s, &c);
	assert_int_equal(schedule_next_at(&s), INT64_MAX);
	schedule_done(&s);
}

static void
recorded_times_are_believed_within_reason(void **state)
{
	struct schedule s;
	struct spool_message m = { .received_ms = WALL, .next_ms = WALL + 400 * DAY_MS };

	schedule_init(&s, &params, 0);
	schedule_add(&s, &m, 0, WALL);
	assert_true(schedule_next_at(&s) <= 75 * MIN_MS);
	/* Booted in 1970: no longer than the wait was meant to be. Ten years on: at once. */
	m.next_ms = WALL + MIN_MS;
	schedule_add(&s, &m, 0, 5000);
	assert_true(schedule_next_at(&s) <= 75 * MIN_MS);
	schedule_add(&s, &m, 0, WALL + 3650 * DAY_MS);
	assert_true(schedule_next_at(&s) <= 0);
	m.next_ms = WALL + 15 * MIN_MS;
	m.flags = SPOOL_UNCERTAIN;
	schedule_add(&s, &m, 0, WALL);
	assert_int_equal(schedule_next_at(&s), 15 * MIN_MS);
	schedule_done(&s);
}

static void
messages_expire_by_age_after_an_attempt(void **state)
{
	struct schedule s;
	struct spool_message m = { .received_ms = WALL };

	schedule_init(&s, &params, 1000);
	assert_false(schedule_is_expired(&s, &m, 5 * DAY_MS, 1000));	/* not tried since start */
	assert_false(schedule_is_expired(&s, &m, 5 * DAY_MS, HOUR_MS));
	assert_true(schedule_is_expired(&s, &m, 5 * DAY_MS, 1000 + HOUR_MS));
	m.lane = LANE_TRIED;
	assert_true(schedule_is_expired(&s, &m, 5 * DAY_MS, 1000));
	assert_false(schedule_is_expired(&s, &m, 5 * DAY_MS - 1, 1000));
	schedule_done(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backoff_doubles_up_to_an_hour),
		cmocka_unit_test(due_messages_leave_oldest_first),
		cmocka_unit_test(recorded_times_are_believed_within_reason),
		cmocka_unit_test(messages_expire_by_age_after_an_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
