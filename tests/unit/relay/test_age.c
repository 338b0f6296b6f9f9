/* SPDX-License-Identifier: BSD-2-Clause */
/* The age of messages when clocks jump, hosts sleep and relay is away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "relay/age.h"

#define MIN_MS	INT64_C(60000)
#define HOUR_MS	(60 * MIN_MS)
#define DAY_MS	(24 * HOUR_MS)
#define YEARS	(3650 * DAY_MS)
#define WALL	INT64_C(1795332623000)

struct clocks {
	struct age	age;
	int64_t		loop, wall;
};

static void
begin(struct clocks *c, int64_t wall)
{
	*c = (struct clocks){ .loop = 10000, .wall = wall };
	age_init(&c->age, c->loop, c->wall);
}

/* As relay does: it looks once a minute. */
static void
run(struct clocks *c, int64_t ms)
{
	for (; ms > 0; ms -= MIN_MS) {
		c->loop += MIN_MS;
		c->wall += MIN_MS;
		assert_int_equal(age_tick(&c->age, c->loop, c->wall), AGE_STEADY);
	}
}

static void
jump(struct clocks *c, int64_t ms)
{
	c->wall += ms;
	assert_int_equal(age_tick(&c->age, c->loop, c->wall), ms > 0 ? AGE_FORWARD : AGE_BACK);
}

/* A new process, with what the last one wrote down. */
static void
restart(struct clocks *c, int64_t wall)
{
	struct buf text;

	buf_init(&text, AGE_TEXT_MAX);
	assert_true(age_text(&c->age, &text));
	begin(c, wall);
	age_read(&c->age, buf_view(&text));
	buf_done(&text);
}

static void
without_jumps_it_is_the_difference(void **state)
{
	struct clocks c;

	begin(&c, WALL);
	run(&c, DAY_MS);
	assert_int_equal(age_of(&c.age, WALL), DAY_MS);
	assert_int_equal(age_of(&c.age, WALL + HOUR_MS), DAY_MS - HOUR_MS);
	/* A clock of the client's process that is a little ahead. */
	assert_int_equal(age_of(&c.age, c.wall + MIN_MS), 0);
	/* Small steps are what time services do: no jump. */
	c.wall += 9 * MIN_MS;
	assert_int_equal(age_tick(&c.age, c.loop, c.wall), AGE_STEADY);
	c.wall -= 9 * MIN_MS;
	assert_int_equal(age_tick(&c.age, c.loop, c.wall), AGE_STEADY);
	assert_int_equal(c.age.n, 1);
	assert_int_equal(age_of(&c.age, WALL), DAY_MS);
}

static void
jumps_age_nothing(void **state)
{
	static const int64_t far[] = { HOUR_MS, -HOUR_MS, YEARS, -YEARS };
	struct clocks c;

	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		begin(&c, WALL);
		run(&c, 3 * HOUR_MS);
		jump(&c, far[i]);
		run(&c, 2 * HOUR_MS);
		assert_int_equal(age_of(&c.age, WALL), 5 * HOUR_MS);
		/* One that came behind the wrong clock, which is set right later. */
		jump(&c, -far[i]);
		run(&c, HOUR_MS);
		assert_int_equal(age_of(&c.age, WALL), 6 * HOUR_MS);
		assert_int_equal(age_of(&c.age, WALL + 3 * HOUR_MS + far[i] + 30 * MIN_MS), 150 * MIN_MS);
	}
	/* An hour that was lived twice: the later one counts. */
	begin(&c, WALL);
	run(&c, HOUR_MS);
	jump(&c, -HOUR_MS);
	run(&c, 2 * HOUR_MS);
	assert_int_equal(age_of(&c.age, WALL + MIN_MS), 2 * HOUR_MS - MIN_MS);
}

static void
sleep_and_absence_age_nothing(void **state)
{
	struct clocks c;

	begin(&c, WALL);
	run(&c, HOUR_MS);
	c.loop += 9 * DAY_MS;
	c.wall += 9 * DAY_MS;
	assert_int_equal(age_tick(&c.age, c.loop, c.wall), AGE_SLEPT);
	run(&c, HOUR_MS);
	assert_int_equal(age_of(&c.age, WALL), 2 * HOUR_MS);
	/* A restart is no interruption; a week off is one. */
	restart(&c, c.wall + 5 * MIN_MS);
	assert_int_equal(c.age.n, 2);
	assert_int_equal(age_of(&c.age, WALL), 2 * HOUR_MS + 5 * MIN_MS);
	restart(&c, c.wall + 7 * DAY_MS);
	assert_int_equal(c.age.n, 3);
	run(&c, HOUR_MS);
	assert_int_equal(age_of(&c.age, WALL), 3 * HOUR_MS + 5 * MIN_MS);
}

static void
a_boot_in_1970(void **state)
{
	struct clocks c;

	begin(&c, WALL);
	run(&c, HOUR_MS);
	restart(&c, 7000);
	run(&c, 10 * MIN_MS);
	assert_int_equal(age_of(&c.age, WALL), 70 * MIN_MS);
	/* The network time arrives, ten days after the host went off. */
	jump(&c, WALL + 10 * DAY_MS - c.wall);
	run(&c, HOUR_MS);
	assert_int_equal(age_of(&c.age, WALL), 130 * MIN_MS);
	assert_int_equal(age_of(&c.age, 7000 + 5 * MIN_MS), 65 * MIN_MS);
}

/* Accepted after the last writing of the file, and then the clock was another one. */
static void
what_nobody_remembers_is_young(void **state)
{
	struct clocks c;

	begin(&c, WALL + YEARS);
	run(&c, HOUR_MS);
	assert_int_equal(age_of(&c.age, WALL), HOUR_MS);
	assert_int_equal(age_of(&c.age, WALL + 2 * YEARS), HOUR_MS);
	/* But one of the last minutes before the end of a span is remembered. */
	jump(&c, DAY_MS);
	run(&c, HOUR_MS);
	assert_int_equal(age_of(&c.age, WALL + YEARS + 65 * MIN_MS), HOUR_MS);
}

static void
many_spans_stay_in_bounds(void **state)
{
	struct clocks c;
	struct buf text;

	begin(&c, WALL);
	for (int i = 0; i < 3 * AGE_SPANS; i++) {
		run(&c, HOUR_MS);
		jump(&c, i % 3 == 0 ? -2 * DAY_MS : 3 * DAY_MS);
	}
	assert_int_equal(c.age.n, AGE_SPANS);
	/* Nights off, week after week: a message still gets old, and not older than it is. */
	begin(&c, WALL);
	for (int i = 0; i < 3 * AGE_SPANS; i++) {
		run(&c, HOUR_MS);
		restart(&c, c.wall + DAY_MS);
	}
	assert_int_equal(c.age.n, AGE_SPANS);
	assert_true(age_of(&c.age, WALL) == 3 * AGE_SPANS * HOUR_MS);
	buf_init(&text, AGE_TEXT_MAX);
	assert_true(age_text(&c.age, &text));
	buf_done(&text);
}

static void
a_damaged_file_ages_nothing(void **state)
{
	static const char *const bad[] = {
		"ran: nonsense\nran: \nother: x\n\n",
		"ran: 2026-11-22T07:30:23.120Z 2026-11-22T07:30:24.120Z 1001\n",	/* longer than it is */
		"ran: 2026-11-22T07:30:23.120Z 2016-11-22T07:30:23.120Z 5\n",	/* ends before it begins */
		"ran: 2026-11-22T07:30:23.120Z 2026-11-22T07:30:24.120Z -1\n",
		"ran: 2026-11-22T07:30:23.120Z 2026-11-22T07:30:24.120Z\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct clocks c;

		begin(&c, WALL);
		age_read(&c.age, view_str(bad[i]));
		assert_int_equal(c.age.n, 1);
		assert_int_equal(age_of(&c.age, WALL - YEARS), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_jumps_it_is_the_difference),
		cmocka_unit_test(jumps_age_nothing),
		cmocka_unit_test(sleep_and_absence_age_nothing),
		cmocka_unit_test(a_boot_in_1970),
		cmocka_unit_test(what_nobody_remembers_is_young),
		cmocka_unit_test(many_spans_stay_in_bounds),
		cmocka_unit_test(a_damaged_file_ages_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
