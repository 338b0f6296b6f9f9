/* SPDX-License-Identifier: BSD-2-Clause */
/* Alarms of doc/alarms.md: raised once, over once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "relay/alarm.h"

#include "base/banned.h"

#define HOLD	INT64_C(300000)

struct fixture {
	struct alarm	alarm;
	int64_t		now;
	unsigned	raised, ended;
};

static void
start(struct fixture *f)
{
	*f = (struct fixture){ .now = 1000 };
	alarm_init(&f->alarm);
}

static void
note(struct fixture *f, bool on)
{
	enum alarm_action action = alarm_note(&f->alarm, on, HOLD, f->now);

	f->raised += action == ALARM_RAISE;
	f->ended += action == ALARM_END;
}

/* A look each second. */
static void
note_for(struct fixture *f, bool on, int64_t ms)
{
	for (int64_t end = f->now + ms; f->now < end; f->now += 1000)
		note(f, on);
}

/* Each cell of doc/alarms.md. */
static void
test_table(void **state)
{
	static const struct {
		enum alarm_state	from;
		enum alarm_event	event;
		enum alarm_state	to;
		enum alarm_action	action;
	} cells[] = {
		{ ALARM_UNSURE, ALARM_ON, ALARM_RAISED, ALARM_RAISE },
		{ ALARM_UNSURE, ALARM_OFF, ALARM_UNSURE, ALARM_NOTHING },
		{ ALARM_UNSURE, ALARM_TIME, ALARM_CLEAR, ALARM_END },
		{ ALARM_CLEAR, ALARM_ON, ALARM_RAISED, ALARM_RAISE },
		{ ALARM_CLEAR, ALARM_OFF, ALARM_CLEAR, ALARM_NOTHING },
		{ ALARM_CLEAR, ALARM_TIME, ALARM_CLEAR, ALARM_NOTHING },
		{ ALARM_RAISED, ALARM_ON, ALARM_RAISED, ALARM_NOTHING },
		{ ALARM_RAISED, ALARM_OFF, ALARM_CALMING, ALARM_NOTHING },
		{ ALARM_RAISED, ALARM_TIME, ALARM_RAISED, ALARM_NOTHING },
		{ ALARM_CALMING, ALARM_ON, ALARM_RAISED, ALARM_NOTHING },
		{ ALARM_CALMING, ALARM_OFF, ALARM_CALMING, ALARM_NOTHING },
		{ ALARM_CALMING, ALARM_TIME, ALARM_CLEAR, ALARM_END },
	};

	assert_int_equal(lengthof(cells), ALARM_STATE_COUNT * ALARM_EVENT_COUNT);
	for (size_t i = 0; i < lengthof(cells); i++) {
		enum alarm_state s = cells[i].from;

		assert_int_equal(alarm_step(&s, cells[i].event), cells[i].action);
		assert_int_equal(s, cells[i].to);
	}
}

static void
test_raised_once_and_over_once(void **state)
{
	struct fixture f;

	start(&f);
	note_for(&f, false, HOLD + 2000);
	assert_int_equal(f.ended, 1);		/* whatever another process said: it is not so */
	f.ended = 0;
	note_for(&f, true, 10000);
	assert_int_equal(f.raised, 1);
	assert_true(alarm_is_active(&f.alarm));
	note_for(&f, false, HOLD);
	assert_int_equal(f.ended, 0);
	assert_true(alarm_is_active(&f.alarm));
	note_for(&f, false, 1000);
	assert_int_equal(f.ended, 1);
	assert_false(alarm_is_active(&f.alarm));
	note_for(&f, false, 10 * HOLD);
	note_for(&f, true, 1000);
	assert_int_equal(f.ended, 1);
	assert_int_equal(f.raised, 2);
}

/* A cause that comes and goes within the hold is one alarm. */
static void
test_flaps_are_one_alarm(void **state)
{
	struct fixture f;

	start(&f);
	for (int i = 0; i < 100; i++) {
		note_for(&f, true, 1000);
		note_for(&f, false, HOLD - 1000);
	}
	assert_int_equal(f.raised, 1);
	assert_int_equal(f.ended, 0);
	note_for(&f, false, 3000);
	assert_int_equal(f.ended, 1);
}

static void
test_calm_is_without_a_break(void **state)
{
	struct fixture f;

	start(&f);
	note(&f, true);
	note(&f, false);
	assert_int_equal(alarm_next(&f.alarm, HOLD), f.now + HOLD);
	f.now += HOLD - 1;
	alarm_note_unknown(&f.alarm);
	assert_int_equal(alarm_next(&f.alarm, HOLD), -1);
	f.now += HOLD;
	note(&f, false);
	assert_int_equal(f.ended, 0);
	assert_int_equal(alarm_next(&f.alarm, HOLD), f.now + HOLD);
	f.now += HOLD;
	note(&f, false);
	assert_int_equal(f.ended, 1);
	assert_int_equal(alarm_next(&f.alarm, HOLD), -1);
}

static void
test_words(void **state)
{
	for (int i = 0; i < ALARM_KIND_COUNT; i++) {
		const struct alarm_info *info = alarm_info((enum alarm_kind)i);

		assert_true(info->word[0] != '\0' && info->over[0] != '\0' && info->over_text[0] != '\0');
		assert_string_not_equal(info->word, info->over);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(info->word, alarm_info((enum alarm_kind)k)->word);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_raised_once_and_over_once),
		cmocka_unit_test(test_flaps_are_one_alarm),
		cmocka_unit_test(test_calm_is_without_a_break),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
