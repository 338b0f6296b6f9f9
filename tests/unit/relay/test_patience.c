/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a reply may take while there is another way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "relay/patience.h"

#include "base/banned.h"

#define DAY_MS (INT64_C(24) * 3600000)

/* From the text on nobody is impatient, and before the login other limits are short. */
static void
only_replies_to_the_envelope_and_the_login_are_given_up(void **state)
{
	for (int at = 0; at < CL_COUNT; at++) {
		bool ends = at == CL_AUTH || at == CL_AUTH_NEXT || at == CL_MAIL || at == CL_RCPT || at == CL_DATA;

		assert_int_equal(patience_ends((enum client_state)at), ends);
	}
}

static void
a_slow_reply_is_learned_for_a_day(void **state)
{
	struct patience p = { 0 };
	int64_t now = 1000;

	assert_int_equal(patience_ms(&p, now), PATIENCE_MS);
	patience_heard(&p, PATIENCE_MS / 3, now);
	assert_int_equal(patience_ms(&p, now), PATIENCE_MS);
	patience_heard(&p, 20000, now);
	assert_int_equal(patience_ms(&p, now), 40000);
	patience_heard(&p, 10000, now + 1000);		/* a quicker one is no reason to expect that */
	assert_int_equal(patience_ms(&p, now + 1000), 40000);
	patience_heard(&p, 30000, now + 2000);
	assert_int_equal(patience_ms(&p, now + 2000), 60000);
	assert_int_equal(patience_ms(&p, now + 2000 + DAY_MS - 1), 60000);
	assert_int_equal(patience_ms(&p, now + 2000 + DAY_MS), PATIENCE_MS);
	patience_heard(&p, 10000, now + 2000 + DAY_MS);
	assert_int_equal(patience_ms(&p, now + 2000 + DAY_MS), 20000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_replies_to_the_envelope_and_the_login_are_given_up),
		cmocka_unit_test(a_slow_reply_is_learned_for_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
