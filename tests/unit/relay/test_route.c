/* SPDX-License-Identifier: BSD-2-Clause */
/* Which route the mail for a recipient takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "relay/route.h"

#include "base/banned.h"

#define ANY	"x@elsewhere.example"

/* The one condition of the first of two routes; true: the mail takes it. */
static bool
from_fits(const char *pattern, const char *from)
{
	const struct conf_route rt[] = { { .from = (char *)(uintptr_t)pattern }, { .from = NULL } };

	return route_find(rt, 2, &(struct route_facts){ .from = view_str(from), .to = VIEW(ANY), .uid = -1 }) == 0;
}

static bool
to_fits(const char *pattern, const char *to)
{
	const struct conf_route rt[] = { { .to = (char *)(uintptr_t)pattern }, { .from = NULL } };

	return route_find(rt, 2, &(struct route_facts){ .from = VIEW(ANY), .to = view_str(to), .uid = -1 }) == 0;
}

static void
an_address_is_itself(void **state)
{
	assert_true(from_fits("alice@example.com", "alice@example.com"));
	assert_false(from_fits("alice@example.com", "bob@example.com"));
	assert_false(from_fits("alice@example.com", "alice@example.org"));
	assert_false(from_fits("alice@example.com", "malice@example.com"));
	assert_false(from_fits("alice@example.com", "alice@example.com.example"));
	assert_false(from_fits("alice@example.com", "alice@sub.example.com"));
	assert_true(to_fits("alice@example.com", "alice@example.com"));
	assert_false(to_fits("alice@example.com", "bob@example.com"));
}

static void
domains_have_no_case_and_local_parts_do(void **state)
{
	assert_true(from_fits("alice@Example.COM", "alice@eXAMPLE.com"));
	assert_true(from_fits("*@Example.COM", "alice@example.com"));
	assert_true(from_fits("*@*.Example.COM", "alice@A.EXAMPLE.com"));
	assert_false(from_fits("alice@example.com", "Alice@example.com"));
}

static void
a_domain_is_not_its_subdomains(void **state)
{
	assert_true(to_fits("*@example.com", "any.one+else@example.com"));
	assert_false(to_fits("*@example.com", "alice@sub.example.com"));
	assert_false(to_fits("*@example.com", "alice@notexample.com"));
	assert_true(to_fits("*@*.example.com", "alice@sub.example.com"));
	assert_true(to_fits("*@*.example.com", "alice@far.sub.example.com"));
	assert_false(to_fits("*@*.example.com", "alice@example.com"));
	assert_false(to_fits("*@*.example.com", "alice@notexample.com"));
	assert_true(to_fits("bob@*.example.com", "bob@sub.example.com"));
	assert_false(to_fits("bob@*.example.com", "alice@sub.example.com"));
}

/* Bytes above 127 are compared as they are: no form of Unicode is another one's equal. */
static void
other_letters_are_left_alone(void **state)
{
	assert_true(from_fits("j\xc3\xb6rg@example.com", "j\xc3\xb6rg@EXAMPLE.com"));
	assert_false(from_fits("j\xc3\xb6rg@example.com", "j\xc3\x96rg@example.com"));
	assert_false(from_fits("j\xc3\xb6rg@example.com", "jo\xcc\x88rg@example.com"));
	assert_true(from_fits("*@example.com", "j\xc3\xb6rg@example.com"));
	assert_true(from_fits("*@xn--bcher-kva.example", "a@XN--BCHER-KVA.example"));
	assert_false(from_fits("*@xn--bcher-kva.example", "a@b\xc3\xbc" "cher.example"));
}

static void
the_last_at_divides(void **state)
{
	assert_true(from_fits("\"a@b\"@example.com", "\"a@b\"@example.com"));
	assert_true(from_fits("*@example.com", "\"x@other.example\"@example.com"));
	assert_false(from_fits("*@other.example", "\"x@other.example\"@example.com"));
}

/* Reports of failed deliveries, ours too. */
static void
the_null_sender_has_a_word(void **state)
{
	assert_true(from_fits("<>", ""));
	assert_false(from_fits("<>", "alice@example.com"));
	assert_false(from_fits("*@example.com", ""));
	assert_true(to_fits("alice@example.com", "alice@example.com"));
}

static size_t
find_user(const struct conf_route *rt, int64_t uid)
{
	return route_find(rt, 2, &(struct route_facts){ .from = VIEW(ANY), .to = VIEW(ANY), .uid = uid });
}

static void
the_user_must_be_known(void **state)
{
	static char www[] = "www-data", gone[] = "gone", anybody[] = "*@elsewhere.example";
	const struct conf_route rt[] = { { .user = www, .uid = 33 }, { .from = NULL } };
	const struct conf_route root[] = { { .user = www, .uid = 0 }, { .from = NULL } };
	const struct conf_route nobody[] = { { .user = gone, .uid = CONF_NO_UID }, { .from = NULL } };
	const struct conf_route any[] = { { .from = anybody }, { .from = NULL } };

	assert_int_equal(find_user(rt, 33), 0);
	assert_int_equal(find_user(rt, 34), 1);
	assert_int_equal(find_user(rt, -1), 1);
	assert_int_equal(find_user(root, 0), 0);
	assert_int_equal(find_user(root, -1), 1);
	assert_int_equal(find_user(nobody, -1), 1);
	assert_int_equal(find_user(nobody, CONF_NO_UID), 1);
	/* A route without the condition has uid 0 and does not mean root. */
	assert_int_equal(find_user(any, 33), 0);
	assert_int_equal(find_user(any, -1), 0);
}

static void
all_conditions_and_the_first_route(void **state)
{
	static char shop[] = "*@shop.example", list[] = "list@lists.example", www[] = "www";
	const struct conf_route rt[] = {
		{ .from = shop, .to = list, .user = www, .uid = 33 },
		{ .from = shop },
		{ .to = list },
		{ .from = NULL },
	};
	static const struct { const char *from, *to; int64_t uid; size_t route; } cases[] = {
		{ "a@shop.example", "list@lists.example", 33, 0 },
		{ "a@shop.example", "list@lists.example", 34, 1 },
		{ "a@shop.example", "b@lists.example", 33, 1 },
		{ "a@other.example", "list@lists.example", 33, 2 },
		{ "a@other.example", "b@lists.example", 33, 3 },
		{ "", "list@lists.example", -1, 2 },
		{ "", "a@shop.example", -1, 3 },
	};

	for (size_t i = 0; i < lengthof(cases); i++)
		assert_int_equal(route_find(rt, lengthof(rt), &(struct route_facts){ .uid = cases[i].uid,
		    .from = view_str(cases[i].from), .to = view_str(cases[i].to) }), cases[i].route);
	assert_int_equal(route_find(rt, 1, &(struct route_facts){ .from = VIEW(""), .to = VIEW(ANY), .uid = -1 }), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_itself),
		cmocka_unit_test(domains_have_no_case_and_local_parts_do),
		cmocka_unit_test(a_domain_is_not_its_subdomains),
		cmocka_unit_test(other_letters_are_left_alone),
		cmocka_unit_test(the_last_at_divides),
		cmocka_unit_test(the_null_sender_has_a_word),
		cmocka_unit_test(the_user_must_be_known),
		cmocka_unit_test(all_conditions_and_the_first_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
