/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "relay/health.h"

#include "base/banned.h"

/* Only findings about the port, the network or this host may change a port's rating. */
static void
test_scope_limits_effect(void **state)
{
	for (int c = 0; c < HEALTH_CLASS_COUNT; c++) {
		const struct health_class_info *i = health_class_info((enum health_class)c);

		if (i->scope == SCOPE_ACCOUNT || i->scope == SCOPE_MESSAGE || i->scope == SCOPE_NONE)
			assert_int_equal(i->severity, SEVERITY_NONE);
		if (i->scope == SCOPE_ENDPOINT || i->scope == SCOPE_LOCAL)
			assert_int_not_equal(i->severity, SEVERITY_NONE);
	}
}

static void
test_words_are_distinct(void **state)
{
	for (int a = 0; a < HEALTH_CLASS_COUNT; a++) {
		const struct health_class_info *i = health_class_info((enum health_class)a);

		assert_non_null(i->word);
		assert_true(strlen(i->sentence) > 0);
		assert_non_null(i->advice);
		for (int b = 0; b < a; b++)
			assert_string_not_equal(i->word, health_class_info((enum health_class)b)->word);
	}
	for (int s = 0; s < EP_STATE_COUNT; s++)
		assert_non_null(endpoint_state_word((enum endpoint_state)s));
	for (int s = 0; s < ACCOUNT_STATE_COUNT; s++)
		assert_non_null(account_state_word((enum account_state)s));
	for (int k = 0; k < HEALTH_EVENT_COUNT; k++)
		assert_non_null(health_event_word((enum health_event_kind)k));
	for (int r = 0; r <= CHOICE_NONE; r++)
		assert_non_null(choice_reason_word((enum choice_reason)r));
}

/* What must never be sent in clear or to a stranger takes the port away at once. */
static void
test_security_findings_are_severe(void **state)
{
	assert_int_equal(health_class_info(HEALTH_STARTTLS_MISSING)->severity, SEVERITY_DOWN);
	assert_int_equal(health_class_info(HEALTH_STARTTLS_BLANKED)->severity, SEVERITY_DOWN);
	assert_int_equal(health_class_info(HEALTH_INJECTED)->severity, SEVERITY_DOWN);
	assert_int_equal(health_class_info(HEALTH_TLS_NAME)->severity, SEVERITY_BLOCK);
	assert_int_equal(health_class_info(HEALTH_TLS_EXPIRED)->severity, SEVERITY_BLOCK);
	assert_int_equal(health_class_info(HEALTH_TLS_UNTRUSTED)->severity, SEVERITY_BLOCK);
	assert_int_equal(health_class_info(HEALTH_AUTH_REFUSED)->scope, SCOPE_ACCOUNT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scope_limits_effect),
		cmocka_unit_test(test_words_are_distinct),
		cmocka_unit_test(test_security_findings_are_severe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
