/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is told of a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "relay/report.h"

#define HOST "web1.example.com"
#define ADMIN "admin@example.com"

static void
senders_that_mail_can_reach(void **state)
{
	static const struct {
		const char	*sender;
		enum report_to	 want;
	} cases[] = {
		{ "alice@shop.example.com", REPORT_SENDER },
		{ "alice@example.com", REPORT_SENDER },
		{ "\"a@b\"@example.com", REPORT_SENDER },
		{ "www-data@web1.example.com", REPORT_ADMIN },	/* this host itself */
		{ "www-data@WEB1.example.com", REPORT_ADMIN },
		{ "root", REPORT_ADMIN },
		{ "root@web1", REPORT_ADMIN },
		{ "root@localhost", REPORT_ADMIN },
		{ "root@localhost.localdomain", REPORT_ADMIN },
		{ "root@nas.local", REPORT_ADMIN },
		{ "root@router.home.arpa", REPORT_ADMIN },
		{ "root@[192.0.2.1]", REPORT_ADMIN },
		{ "a@b.test", REPORT_ADMIN },
		{ "a@notlocal.com", REPORT_SENDER },
		{ "", REPORT_NOBODY },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(report_choose(view_str(cases[i].sender), VIEW(""), HOST, ADMIN), cases[i].want);
}

/* Once, and to the administrator alone: his own never make another. */
static void
a_lost_report_is_for_the_admin(void **state)
{
	assert_int_equal(report_choose(VIEW(""), VIEW("alice@example.com"), HOST, ADMIN), REPORT_ADMIN);
	assert_int_equal(report_choose(VIEW(""), VIEW(ADMIN), HOST, ADMIN), REPORT_NOBODY);
	assert_int_equal(report_choose(VIEW(""), VIEW("Admin@Example.COM"), HOST, ADMIN), REPORT_NOBODY);
	assert_int_equal(report_choose(VIEW(""), VIEW("alice@example.com"), HOST, ""), REPORT_NOBODY);
}

static void
without_an_admin_nobody_is_told(void **state)
{
	assert_int_equal(report_choose(VIEW("root@web1"), VIEW(""), HOST, ""), REPORT_NOBODY);
	assert_int_equal(report_choose(VIEW("alice@example.com"), VIEW(""), HOST, ""), REPORT_SENDER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(senders_that_mail_can_reach),
		cmocka_unit_test(a_lost_report_is_for_the_admin),
		cmocka_unit_test(without_an_admin_nobody_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
