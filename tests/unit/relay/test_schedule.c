/* SPDX-License-Identifier: BSD-2-Clause */
/* Order, growth, and the age of messages when clocks jump. */
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

	schedule_init(&s, &params, 1000, WALL);
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

	schedule_init(&s, &params, 0, WALL);
	schedule_add(&s, &m, 0, WALL);
	assert_true(schedule_next_at(&s) <= 75 * MIN_MS);
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
	struct spool_message m = { .received_ms = WALL - 5 * DAY_MS };

	schedule_init(&s, &params, 1000, WALL);
	assert_false(schedule_is_expired(&s, &m, 1000, WALL));	/* not tried since start */
	assert_false(schedule_is_expired(&s, &m, HOUR_MS, WALL + HOUR_MS));
	assert_true(schedule_is_expired(&s, &m, 1000 + HOUR_MS, WALL + HOUR_MS));
	m.lane = LANE_TRIED;
	assert_true(schedule_is_expired(&s, &m, 1000, WALL));
	m.received_ms++;
	assert_false(schedule_is_expired(&s, &m, 1000, WALL));
	schedule_done(&s);
}

static void
a_jumping_clock_ages_nothing(void **state)
{
	struct schedule s;
	struct spool_message m = { .received_ms = 5000, .lane = LANE_TRIED };	/* in 1970 */
	int64_t loop = 10000, wall = 10000;

	schedule_init(&s, &params, loop, wall);
	loop += MIN_MS;
	wall += MIN_MS;
	assert_false(schedule_tick(&s, loop, wall));
	/* The network time arrives. */
	wall = WALL;
	loop += MIN_MS;
	assert_true(schedule_tick(&s, loop, wall));
	assert_int_equal(schedule_age(&s, m.received_ms, wall), 5000 + 2 * MIN_MS);
	assert_false(schedule_is_expired(&s, &m, loop, wall));
	/* What came after the jump has its plain age. */
	assert_int_equal(schedule_age(&s, WALL, WALL + MIN_MS), MIN_MS);
	/* A step backward. */
	assert_false(schedule_tick(&s, loop + 1, wall - DAY_MS));
	assert_int_equal(schedule_age(&s, WALL, WALL - DAY_MS), 0);
	/* A slow drift, or a loop that was late, is no jump. */
	assert_false(schedule_tick(&s, loop + 2, wall - DAY_MS + 9 * MIN_MS));
	schedule_done(&s);
}

static void
many_jumps_stay_in_bounds(void **state)
{
	struct schedule s;
	int64_t wall = WALL;

	schedule_init(&s, &params, 0, wall);
	for (int i = 0; i < 3 * SCHEDULE_JUMPS; i++) {
		wall += DAY_MS;
		assert_true(schedule_tick(&s, 0, wall));
	}
	assert_int_equal(s.njump, SCHEDULE_JUMPS);
	assert_int_equal(schedule_age(&s, WALL - MIN_MS, wall), MIN_MS);
	schedule_done(&s);
}

static void
the_clock_outlives_the_process(void **state)
{
	struct schedule s, next;
	struct buf text;

	buf_init(&text, SCHEDULE_CLOCK_MAX);
	schedule_init(&s, &params, 0, 7000);
	schedule_tick(&s, 1000, WALL);		/* a jump from 8000 */
	assert_true(schedule_clock_text(&s, &text));
	assert_true(buf_add(&text, VIEW("jump: nonsense\nwall: \nother: x\n")));

	/* Two days later. */
	schedule_init(&next, &params, 0, WALL + 2 * DAY_MS);
	schedule_clock_read(&next, buf_view(&text));
	assert_int_equal(next.njump, 2);
	assert_int_equal(schedule_age(&next, 5000, WALL + 2 * DAY_MS), 3000);
	assert_int_equal(schedule_age(&next, WALL - MIN_MS, WALL + 2 * DAY_MS), MIN_MS);
	/* A restart within minutes is none. */
	schedule_init(&next, &params, 0, WALL + MIN_MS);
	schedule_clock_read(&next, buf_view(&text));
	assert_int_equal(next.njump, 1);
	/* The whole memory fits its limit. */
	buf_clear(&text);
	for (int i = 1; i <= 2 * SCHEDULE_JUMPS; i++)
		schedule_tick(&next, 0, WALL + i * DAY_MS);
	assert_true(schedule_clock_text(&next, &text));
	buf_done(&text);
	schedule_done(&s);
	schedule_done(&next);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backoff_doubles_up_to_an_hour),
		cmocka_unit_test(due_messages_leave_oldest_first),
		cmocka_unit_test(recorded_times_are_believed_within_reason),
		cmocka_unit_test(messages_expire_by_age_after_an_attempt),
		cmocka_unit_test(a_jumping_clock_ages_nothing),
		cmocka_unit_test(many_jumps_stay_in_bounds),
		cmocka_unit_test(the_clock_outlives_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
