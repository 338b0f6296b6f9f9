/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "intake/allowed.h"

#include "base/banned.h"

static char *all_senders[] = { (char []){ "*@a.example" }, (char []){ "<>" }, NULL };
static char *some_senders[] = { (char []){ "bob@a.example" }, (char []){ "eve@b.example" }, NULL };
static char *all_recipients[] = { (char []){ "*@*.c.example" }, (char []){ "d@c.example" }, NULL };
static char *nobody[] = { NULL };

static void
check(int line, const struct conf *c, const struct conf_listener *by, bool sender, const char *address,
    const char *want)
{
	char text[ALLOWED_TEXT_MAX] = "";
	bool taken = allowed_address(c, by, sender, view_str(address), text);

	if (taken != (want[0] == '\0') || strcmp(text, want) != 0)
		fail_msg("line %d: %s: %s", line, address, text);
}
#define assert_allowed(c, by, sender, address, want) check(__LINE__, c, by, sender, address, want)

static void
test_no_rules(void **state)
{
	struct conf c = { .nlistener = 0 };
	struct conf_listener by = { .nnetwork = 0 };

	assert_allowed(&c, NULL, true, "<>", "");
	assert_allowed(&c, &by, true, "x@y.example", "");
	assert_allowed(&c, &by, false, "x@y.example", "");
}

static void
test_rules_for_all(void **state)
{
	struct conf c = { .allow_senders = all_senders, .allow_recipients = all_recipients };

	assert_allowed(&c, NULL, true, "x@A.example", "");
	assert_allowed(&c, NULL, true, "<>", "");
	assert_allowed(&c, NULL, true, "x@s.a.example", "Sender not in the list allow_senders");
	assert_allowed(&c, NULL, true, "x@y.c.example", "Sender not in the list allow_senders");
	assert_allowed(&c, NULL, true, "x@b.example@a.example.b", "Sender not in the list allow_senders");
	assert_allowed(&c, NULL, false, "x@y.c.example", "");
	assert_allowed(&c, NULL, false, "d@c.example", "");
	assert_allowed(&c, NULL, false, "D@c.example", "Recipient not in the list allow_recipients");
	c.allow_senders = NULL;
	assert_allowed(&c, NULL, true, "x@anywhere", "");
	assert_allowed(&c, NULL, false, "x@anywhere", "Recipient not in the list allow_recipients");
	c.allow_recipients = nobody;
	assert_allowed(&c, NULL, false, "d@c.example", "Recipient not in the list allow_recipients");
}

/* What one rule allows the other may not. */
static void
test_both_hold(void **state)
{
	struct conf c = { .allow_senders = all_senders };
	struct conf_listener by = { .name = (char []){ "docker" }, .allow_senders = some_senders,
		.allow_recipients = all_recipients };

	assert_allowed(&c, &by, true, "bob@a.example", "");
	assert_allowed(&c, &by, true, "x@a.example", "Sender not in the list allow_senders of the listener docker");
	assert_allowed(&c, &by, true, "<>", "Sender not in the list allow_senders of the listener docker");
	assert_allowed(&c, &by, true, "eve@b.example", "Sender not in the list allow_senders");
	assert_allowed(&c, NULL, true, "x@a.example", "");
	assert_allowed(&c, &by, false, "q@x.example",
	    "Recipient not in the list allow_recipients of the listener docker");
	assert_allowed(&c, &by, false, "z@y.c.example", "");
	assert_allowed(&c, NULL, false, "q@x.example", "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_rules),
		cmocka_unit_test(test_rules_for_all),
		cmocka_unit_test(test_both_hold),
	};

	return cmocka_run_group_tests_name("allowed", tests, NULL, NULL);
}
