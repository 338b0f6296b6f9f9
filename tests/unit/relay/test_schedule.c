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

	schedule_init(&s, &params, 1, 1000);
	schedule_add(&s, &a, 1000, WALL);
	schedule_add(&s, &b, 1000, WALL);
	schedule_add(&s, &c, 1000, WALL);
	assert_int_equal(schedule_next_at(&s, 1), 1000 - 9000);
	assert_ptr_equal(schedule_take(&s, 1, 1000), &b);
	/* What comes back uncharged keeps its place. */
	schedule_put_back(&s, &b);
	assert_ptr_equal(schedule_take(&s, 1, 1000), &b);
	assert_ptr_equal(schedule_take(&s, 1, 1000), &a);
	assert_null(schedule_take(&s, 1, 1000));
	assert_null(schedule_take(&s, 1, 30999));
	assert_ptr_equal(schedule_first(&s, 1, 31000), &c);
	schedule_remove(&s, &c);
	assert_int_equal(schedule_next_at(&s, 1), INT64_MAX);
	schedule_done(&s);
}

/* Of those with one time the first stays the first, also when it is looked at again. */
static void
a_look_takes_no_place_away(void **state)
{
	struct schedule s;
	struct spool_message a = { .received_ms = WALL }, b = { .received_ms = WALL };

	schedule_init(&s, &params, 1, 0);
	schedule_add(&s, &a, 0, WALL);
	schedule_add(&s, &b, 0, WALL);
	schedule_add(&s, &a, 0, WALL);
	assert_ptr_equal(schedule_first(&s, 1, 0), &a);
	schedule_done(&s);
}

/* Those that a session has failed under stay in the order, and can be passed over: by any number that is not absurd. */
static void
others_go_before_those_set_apart(void **state)
{
	enum { MANY = 600 };
	static struct spool_message m[MANY];
	struct schedule s;

	schedule_init(&s, &params, 2, 0);
	for (int i = 0; i < MANY; i++) {
		m[i] = (struct spool_message){ .nrcpt = 1, .rcpt.one.state = SPOOL_QUEUED };
		schedule_meet(&s, &m[i]);
		m[i].lane |= (uint8_t)(i < 100 ? 1 + i % 3 : 0);
		schedule_at(&s, &m[i], i);
		schedule_set_routes(&s, &m[i], &(uint8_t){ (uint8_t)(i % 2) });
	}
	assert_ptr_equal(schedule_first(&s, 3, 1000), &m[0]);
	assert_ptr_equal(schedule_first_sound(&s, 3, 1000), &m[100]);
	assert_ptr_equal(schedule_first_sound(&s, ROUTE_BIT(1), 1000), &m[101]);
	assert_null(schedule_first_sound(&s, 3, 99));
	assert_true(schedule_is_apart(&m[99]));
	assert_false(schedule_is_apart(&m[100]));
	/* So many are hardly to blame, and looking has an end. */
	for (int i = 0; i < MANY; i++)
		m[i].lane |= 1;
	assert_ptr_equal(schedule_first_sound(&s, 3, 1000), &m[0]);
	schedule_done(&s);
}

static void
recorded_times_are_believed_within_reason(void **state)
{
	struct schedule s;
	struct spool_message m = { .received_ms = WALL, .next_ms = WALL + 400 * DAY_MS };

	schedule_init(&s, &params, 1, 0);
	schedule_add(&s, &m, 0, WALL);
	assert_true(schedule_next_at(&s, 1) <= 75 * MIN_MS);
	/* Booted in 1970: no longer than the wait was meant to be. Ten years on: at once. */
	m.next_ms = WALL + MIN_MS;
	schedule_add(&s, &m, 0, 5000);
	assert_true(schedule_next_at(&s, 1) <= 75 * MIN_MS);
	schedule_add(&s, &m, 0, WALL + 3650 * DAY_MS);
	assert_true(schedule_next_at(&s, 1) <= 0);
	m.next_ms = WALL + 15 * MIN_MS;
	m.flags = SPOOL_UNCERTAIN;
	schedule_add(&s, &m, 0, WALL);
	assert_int_equal(schedule_next_at(&s, 1), 15 * MIN_MS);
	/* What is uncertain may rest for longer than any retry. */
	s.params.uncertain_ms = 3 * HOUR_MS;
	m.next_ms = WALL + 3 * HOUR_MS;
	schedule_add(&s, &m, 0, WALL);
	assert_int_equal(schedule_next_at(&s, 1), 3 * HOUR_MS);
	schedule_done(&s);
}

static void
messages_expire_by_age_after_an_attempt(void **state)
{
	struct schedule s;
	struct spool_message m = { .received_ms = WALL, .nrcpt = 1 };

	schedule_init(&s, &params, 1, 1000);
	assert_false(schedule_is_expired(&s, &m, 5 * DAY_MS, 1000));	/* not tried since start */
	assert_false(schedule_is_expired(&s, &m, 5 * DAY_MS, HOUR_MS));
	assert_true(schedule_is_expired(&s, &m, 5 * DAY_MS, 1000 + HOUR_MS));
	m.lane = LANE_TRIED;
	assert_true(schedule_is_expired(&s, &m, 5 * DAY_MS, 1000));
	assert_false(schedule_is_expired(&s, &m, 5 * DAY_MS - 1, 1000));
	schedule_done(&s);
}

/* --- several routes ---------------------------------------------------------------- */

#define R(n)	ROUTE_BIT(n)
#define KNOWN	(R(0) | R(1) | R(2))
#define UNREAD	R(ROUTE_UNKNOWN)

struct three {
	struct schedule		 s;
	struct spool_rcpt	 rcpt[3];
	struct spool_message	 m;
};

/* A message from WALL on for three recipients, who are on these routes of three. */
static void
three_begin(struct three *t, unsigned a, unsigned b, unsigned c)
{
	const uint8_t route[] = { (uint8_t)a, (uint8_t)b, (uint8_t)c };

	*t = (struct three){ .m = { .received_ms = WALL, .nrcpt = 3 } };
	t->m.rcpt.many = t->rcpt;
	schedule_init(&t->s, &params, 3, 1000);
	schedule_meet(&t->s, &t->m);
	schedule_add(&t->s, &t->m, 5000, WALL);
	schedule_set_routes(&t->s, &t->m, route);
}

static void
what_is_not_read_waits_apart(void **state)
{
	const uint8_t second = 1;
	struct schedule s;
	struct spool_message m = { .received_ms = WALL - 77, .nrcpt = 1 };

	schedule_init(&s, &params, 3, 1000);
	schedule_meet(&s, &m);
	schedule_add(&s, &m, 5000, WALL);
	assert_null(schedule_first(&s, KNOWN, 5000));
	assert_int_equal(schedule_count_due(&s, KNOWN, 5000, 9), 0);
	assert_int_equal(schedule_next_at(&s, KNOWN), INT64_MAX);
	/* It is read out of its turn, and has kept its place. */
	assert_ptr_equal(schedule_take(&s, UNREAD, 5000), &m);
	schedule_set_routes(&s, &m, &second);
	assert_null(schedule_first(&s, KNOWN | UNREAD, 5000));
	schedule_put_back(&s, &m);
	assert_int_equal(schedule_next_at(&s, R(1)), 5000 - 77);
	assert_null(schedule_first(&s, R(0) | R(2) | UNREAD, 5000));
	assert_ptr_equal(schedule_first(&s, R(1), 5000), &m);
	assert_int_equal(schedule_route(&m), 1);
	schedule_remove(&s, &m);
	assert_null(schedule_first(&s, KNOWN, 5000));
	schedule_done(&s);
	/* With one route there is nothing to read. */
	schedule_init(&s, &params, 1, 1000);
	schedule_meet(&s, &m);
	schedule_add(&s, &m, 5000, WALL);
	assert_ptr_equal(schedule_first(&s, R(0), 5000), &m);
	schedule_done(&s);
}

static void
the_oldest_of_all_routes_leaves_first(void **state)
{
	struct schedule s;
	struct spool_message m[4];
	static const int64_t age[] = { 3000, 9000, 1000, 7000 };

	schedule_init(&s, &params, 3, 1000);
	for (uint8_t i = 0; i < 4; i++) {
		const uint8_t route = i % 2;

		m[i] = (struct spool_message){ .received_ms = WALL - age[i], .nrcpt = 1 };
		schedule_meet(&s, &m[i]);
		schedule_add(&s, &m[i], 1000, WALL);
		schedule_set_routes(&s, &m[i], &route);
	}
	assert_int_equal(schedule_count_due(&s, KNOWN, 1000, 9), 4);
	assert_int_equal(schedule_count_due(&s, KNOWN, 1000, 3), 3);
	assert_int_equal(schedule_count_due(&s, R(1), 1000, 9), 2);
	assert_ptr_equal(schedule_take(&s, KNOWN, 1000), &m[1]);
	assert_ptr_equal(schedule_take(&s, R(0), 1000), &m[0]);
	assert_ptr_equal(schedule_take(&s, KNOWN, 1000), &m[3]);
	assert_ptr_equal(schedule_take(&s, KNOWN, 1000), &m[2]);
	schedule_done(&s);
}

/* It goes to one route after the other, and what one says moves its own recipients only. */
static void
each_route_has_its_own_time(void **state)
{
	struct three t;
	bool uncertain = false;

	three_begin(&t, 2, 0, 2);
	assert_ptr_equal(schedule_take(&t.s, KNOWN, 5000), &t.m);
	assert_int_equal(schedule_route(&t.m), 0);
	assert_true(schedule_has_others(&t.m, 0));
	/* Those of route 0 come back in a minute: the others are due as before, and the restart too. */
	assert_int_equal(schedule_resume_at(&t.s, &t.m, 0, 65000, &uncertain), 5000);
	assert_false(uncertain);
	schedule_route_at(&t.s, &t.m, 0, 65000, false);
	assert_ptr_equal(schedule_take(&t.s, KNOWN, 5000), &t.m);
	assert_int_equal(schedule_route(&t.m), 2);
	/* One of the two is done, the other one waits longer. */
	t.rcpt[0].state = SPOOL_DELIVERED;
	schedule_route_at(&t.s, &t.m, 2, 125000, false);
	assert_int_equal(schedule_next_at(&t.s, KNOWN), 65000);
	assert_ptr_equal(schedule_first(&t.s, R(0), 65000), &t.m);
	/* Nobody is left on route 0. */
	t.rcpt[1].state = SPOOL_FAILED;
	schedule_route_at(&t.s, &t.m, 0, INT64_MAX, false);
	assert_int_equal(schedule_next_at(&t.s, KNOWN), 125000);
	assert_ptr_equal(schedule_first(&t.s, R(2), 125000), &t.m);
	assert_false(schedule_has_others(&t.m, 2));
	/* The administrator says: now. */
	schedule_at(&t.s, &t.m, 70000);
	assert_ptr_equal(schedule_take(&t.s, R(2), 70000), &t.m);
	schedule_done(&t.s);
}

static void
a_route_that_is_out_does_not_hold_back_others(void **state)
{
	struct three t;

	three_begin(&t, 0, 0, 1);
	assert_int_equal(schedule_route(&t.m), 0);
	schedule_set_out(&t.s, R(0));
	schedule_place(&t.s, &t.m);
	assert_ptr_equal(schedule_take(&t.s, R(1) | R(2), 5000), &t.m);
	/* Route 1 is to wait a minute; but route 0 is back. */
	schedule_route_at(&t.s, &t.m, 1, 65000, false);
	assert_int_equal(schedule_route(&t.m), 1);
	schedule_set_out(&t.s, 0);
	schedule_place(&t.s, &t.m);
	assert_ptr_equal(schedule_take(&t.s, R(0), 5000), &t.m);
	/* All are out: it waits for whoever is due first. */
	schedule_set_out(&t.s, KNOWN);
	schedule_put_back(&t.s, &t.m);
	assert_int_equal(schedule_route(&t.m), 0);
	/* It is not put in by being looked at. */
	schedule_remove(&t.s, &t.m);
	schedule_place(&t.s, &t.m);
	assert_int_equal(schedule_next_at(&t.s, KNOWN), INT64_MAX);
	schedule_done(&t.s);
}

static void
the_shorter_queue_is_joined(void **state)
{
	const uint8_t first = 0, both[] = { 0, 1 };
	struct schedule s;
	struct spool_rcpt rcpt[2] = { { 0 } };
	struct spool_message m = { .received_ms = WALL, .nrcpt = 2, .rcpt.many = rcpt };
	struct spool_message one = { .received_ms = WALL, .nrcpt = 1 };

	schedule_init(&s, &params, 2, 1000);
	schedule_meet(&s, &one);
	schedule_add(&s, &one, 1000, WALL);
	schedule_set_routes(&s, &one, &first);
	schedule_meet(&s, &m);
	schedule_add(&s, &m, 1000, WALL);
	schedule_set_routes(&s, &m, both);
	assert_int_equal(schedule_route(&m), 1);
	schedule_remove(&s, &one);
	/* It is not in its own way. */
	schedule_place(&s, &m);
	assert_int_equal(schedule_route(&m), 0);
	schedule_place(&s, &m);
	assert_int_equal(schedule_route(&m), 0);
	schedule_done(&s);
}

/* What may have arrived rests, whatever becomes of the others; a restart has to know. */
static void
uncertain_recipients_rest(void **state)
{
	struct three t;
	bool uncertain = true;

	three_begin(&t, 0, 1, 1);
	assert_int_equal(schedule_resume_at(&t.s, &t.m, 0, 905000, &uncertain), 905000);
	assert_true(uncertain);
	schedule_route_at(&t.s, &t.m, 0, 905000, true);
	assert_int_equal(schedule_route(&t.m), 1);
	assert_false(schedule_is_uncertain(&t.m));
	t.rcpt[1].state = t.rcpt[2].state = SPOOL_DELIVERED;
	assert_true(schedule_is_uncertain(&t.m));
	t.rcpt[1].state = t.rcpt[2].state = SPOOL_QUEUED;
	uncertain = false;
	assert_int_equal(schedule_resume_at(&t.s, &t.m, 1, 65000, &uncertain), 905000);
	assert_true(uncertain);
	uncertain = false;
	assert_int_equal(schedule_resume_at(&t.s, &t.m, 1, INT64_MAX, &uncertain), 905000);
	assert_true(uncertain);
	/* Later it was refused for now: no doubt any more. */
	schedule_route_at(&t.s, &t.m, 0, 965000, false);
	uncertain = false;
	assert_int_equal(schedule_resume_at(&t.s, &t.m, 1, INT64_MAX, &uncertain), 965000);
	assert_false(uncertain);
	schedule_done(&t.s);
}

/* "Nothing is returned before it was tried": for none of its recipients. */
static void
each_recipient_has_its_chance(void **state)
{
	struct three t;

	three_begin(&t, 0, 1, 2);
	schedule_tried(&t.m, 0);
	assert_false(schedule_is_expired(&t.s, &t.m, 5 * DAY_MS, 5000));
	schedule_tried(&t.m, 2);
	assert_false(schedule_is_expired(&t.s, &t.m, 5 * DAY_MS, 5000));
	t.rcpt[1].state = SPOOL_REMOVED;
	schedule_tried(&t.m, 2);
	assert_true(schedule_is_expired(&t.s, &t.m, 5 * DAY_MS, 5000));
	schedule_done(&t.s);
}

/* Tenths of a second before and after the start, and for years. */
static void
times_keep_their_order(void **state)
{
	static const int64_t at[] = { -400 * DAY_MS, -1, 0, 99, 1000, 1099, 400 * DAY_MS };
	struct three t;

	three_begin(&t, 0, 1, 1);
	for (size_t i = 0; i < lengthof(at); i++) {
		schedule_at(&t.s, &t.m, at[i]);
		assert_true(schedule_next_at(&t.s, KNOWN) <= at[i]);
		assert_true(schedule_next_at(&t.s, KNOWN) > at[i] - 100);
		/* Put back again and again, it does not creep. */
		schedule_route_at(&t.s, &t.m, 0, schedule_next_at(&t.s, KNOWN), false);
		assert_true(schedule_next_at(&t.s, KNOWN) > at[i] - 100);
	}
	schedule_done(&t.s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backoff_doubles_up_to_an_hour),
		cmocka_unit_test(due_messages_leave_oldest_first),
		cmocka_unit_test(a_look_takes_no_place_away),
		cmocka_unit_test(others_go_before_those_set_apart),
		cmocka_unit_test(recorded_times_are_believed_within_reason),
		cmocka_unit_test(messages_expire_by_age_after_an_attempt),
		cmocka_unit_test(what_is_not_read_waits_apart),
		cmocka_unit_test(the_oldest_of_all_routes_leaves_first),
		cmocka_unit_test(each_route_has_its_own_time),
		cmocka_unit_test(a_route_that_is_out_does_not_hold_back_others),
		cmocka_unit_test(the_shorter_queue_is_joined),
		cmocka_unit_test(uncertain_recipients_rest),
		cmocka_unit_test(each_recipient_has_its_chance),
		cmocka_unit_test(times_keep_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
