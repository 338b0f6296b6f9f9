/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/address.h"

#include "base/banned.h"

struct good {
	struct view in, whole, local, domain;
};

static const struct good good[] = {
	{ VIEW("<a@b>"), VIEW("a@b"), VIEW("a"), VIEW("b") },
	{ VIEW("<a@b> SIZE=1"), VIEW("a@b"), VIEW("a"), VIEW("b") },
	{ VIEW("<root>"), VIEW("root"), VIEW("root"), VIEW("") },
	{ VIEW("<Post.Master@Example.COM>"), VIEW("Post.Master@Example.COM"), VIEW("Post.Master"),
	    VIEW("Example.COM") },
	{ VIEW("<a+b!#$%&'*-/=?^_`{|}~@x-y.example>"), VIEW("a+b!#$%&'*-/=?^_`{|}~@x-y.example"),
	    VIEW("a+b!#$%&'*-/=?^_`{|}~"), VIEW("x-y.example") },
	{ VIEW("<\"a b\"@c>"), VIEW("\"a b\"@c"), VIEW("\"a b\""), VIEW("c") },
	{ VIEW("<\"a>\\\"@b\"@c>"), VIEW("\"a>\\\"@b\"@c"), VIEW("\"a>\\\"@b\""), VIEW("c") },
	{ VIEW("<@one.example,@two.example:a@b>"), VIEW("a@b"), VIEW("a"), VIEW("b") },
	{ VIEW("<a@[192.0.2.1]>"), VIEW("a@[192.0.2.1]"), VIEW("a"), VIEW("[192.0.2.1]") },
	{ VIEW("<a@[IPv6:2001:db8::1]>"), VIEW("a@[IPv6:2001:db8::1]"), VIEW("a"), VIEW("[IPv6:2001:db8::1]") },
	{ VIEW("<a@[ipv6:::ffff:192.0.2.1]>"), VIEW("a@[ipv6:::ffff:192.0.2.1]"), VIEW("a"),
	    VIEW("[ipv6:::ffff:192.0.2.1]") },
	{ VIEW("<@[192.0.2.1],@two.example:\"\\\\\"@b>"), VIEW("\"\\\\\"@b"), VIEW("\"\\\\\""), VIEW("b") },
	{ VIEW("<@one.example:postmaster>"), VIEW("postmaster"), VIEW("postmaster"), VIEW("") },
	{ VIEW("<a..b.@c_d.example>"), VIEW("a..b.@c_d.example"), VIEW("a..b."), VIEW("c_d.example") },
};

static const struct view bad[] = {
	VIEW(""), VIEW("<"), VIEW("<>"), VIEW("a@b"), VIEW("<a@b"), VIEW("<<a@b>>"), VIEW("<a@b@c>"),
	VIEW("<@b>"), VIEW("<a@>"), VIEW("<a b@c>"), VIEW("<a@b c>"), VIEW("<a@b.>"), VIEW("<a@.b>"),
	VIEW("<a@b..c>"), VIEW("<a@[1.2.3.4>"), VIEW("<a@[]>"), VIEW("<a@[1.2.3.4]x>"),
	VIEW("<a@[1.2.3]>"), VIEW("<a@[1.2.3.256]>"), VIEW("<a@[::1]>"), VIEW("<a@[IPv6:]>"), VIEW("<a@[IPv6:1.2.3.4]>"),
	VIEW("<a@[IPv6:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]>"),
	VIEW("<a@[x:1]>"), VIEW("<a@[1.2.3.4\0]>"),
	VIEW("<a(comment)@b>"), VIEW("<a@b(comment)>"), VIEW("<a,b@c>"), VIEW("<a;b@c>"),
	VIEW("<\"a@b>"), VIEW("<\"a\"b@c>"), VIEW("<\"\"@c>"), VIEW("<\"a\\"), VIEW("<\"a\rb\"@c>"),
	VIEW("<\"a\\\nb\"@c>"), VIEW("<a\0@b>"), VIEW("<a@b\0>"), VIEW("<\"a\0\"@b>"), VIEW("<a\x7f@b>"),
	VIEW("<a\t@b>"), VIEW("<a@-b>"), VIEW("<a@b->"), VIEW("<@one:>"), VIEW("<@one a@b>"),
	VIEW("<a@[300.0.2.1]>"), VIEW("<a@[1.2.3]>"), VIEW("<a@[1.2.3.4.5]>"), VIEW("<a@[::1]>"),
	VIEW("<a@[IPv6:]>"), VIEW("<a@[IPv6:1.2.3.4]>"), VIEW("<a@[IPv6::::1]>"), VIEW("<a@[X-tag:1]>"),
	VIEW("<a@[ 1.2.3.4]>"), VIEW("<a@[1.2.3.4]b>"), VIEW("<a@[1.2.3.4].b>"), VIEW("<a@[1.2.3.4\0]>"),
	VIEW("<a@[0000000000000000000000000000000000000000000000000000000000000000000000001.2.3.4]>"),
	VIEW("<\xc3@b>"), VIEW("<\xc0\xaf@b>"), VIEW("<\xed\xa0\x80@b>"), VIEW("<\xf4\x90\x80\x80@b>"),
	VIEW("<a@b\xff>"), VIEW("<\"\xe2\x82\"@b>"), VIEW("<\xc2\x85@b>"),
	VIEW("<@one,two:a@b>"), VIEW("<a\\b@c>"), VIEW("<a:b@c>"),
};

static void
test_good_paths(void **state)
{
	for (size_t i = 0; i < lengthof(good); i++) {
		struct mailbox m;
		size_t used = 0;

		assert_int_equal(mailbox_parse_path(&m, good[i].in, &used, false, NULL), 0);
		assert_int_equal(good[i].in.p[used - 1], '>');
		assert_true(view_eq(m.whole, good[i].whole));
		assert_true(view_eq(m.local, good[i].local));
		assert_true(view_eq(m.domain, good[i].domain));
		assert_false(m.eight_bit);
		assert_int_equal(mailbox_parse(&m, good[i].whole, NULL), 0);
		assert_true(view_eq(m.whole, good[i].whole));
		/* cut short it is never a path */
		for (size_t n = 0; n < used; n++)
			assert_int_equal(mailbox_parse_path(&m, view_first(good[i].in, n), &used, true, NULL), -1);
	}
}

static void
test_bad_paths_leave_the_output_alone(void **state)
{
	for (size_t i = 0; i < lengthof(bad); i++) {
		struct mailbox m = { .whole = VIEW("untouched") };
		struct err e = { 0 };
		size_t used = 99;

		assert_int_equal(mailbox_parse_path(&m, bad[i], &used, false, &e), -1);
		assert_int_equal(e.kind, ERR_INPUT);
		assert_true(view_eq(m.whole, VIEW("untouched")));
		assert_int_equal(used, 99);
	}
}

static void
test_null_path_only_where_allowed(void **state)
{
	struct mailbox m;
	size_t used;

	assert_int_equal(mailbox_parse_path(&m, VIEW("<> SIZE=1"), &used, true, NULL), 0);
	assert_int_equal(used, 2);
	assert_int_equal(m.whole.n, 0);
	assert_int_equal(mailbox_parse_path(&m, VIEW("<>"), &used, false, NULL), -1);
	assert_int_equal(mailbox_parse(&m, VIEW(""), NULL), -1);
	assert_int_equal(mailbox_parse(&m, VIEW("a@b x"), NULL), -1);
}

static void
test_eight_bit_is_noted(void **state)
{
	struct mailbox m;
	size_t used;

	assert_int_equal(mailbox_parse_path(&m, VIEW("<j\xc3\xbcrgen@b>"), &used, false, NULL), 0);
	assert_true(m.eight_bit);
	assert_int_equal(mailbox_parse_path(&m, VIEW("<\"\xc3\xbc\"@b>"), &used, false, NULL), 0);
	assert_true(m.eight_bit);
	assert_int_equal(mailbox_parse_path(&m, VIEW("<a@b\xc3\xbc.example>"), &used, false, NULL), 0);
	assert_true(m.eight_bit);
}

/* One byte below each limit passes, one above does not. */
static void
test_lengths(void **state)
{
	uint8_t text[1200];
	struct mailbox m;

	memset(text, 'a', sizeof(text));
	assert_int_equal(mailbox_parse(&m, view_of(text, ADDR_LOCAL_MAX), NULL), 0);
	assert_int_equal(mailbox_parse(&m, view_of(text, ADDR_LOCAL_MAX + 1), NULL), -1);
	assert_true(domain_is_valid(view_of(text, 63)));
	assert_false(domain_is_valid(view_of(text, 64)));
	for (size_t i = 1; i < sizeof(text); i += 2)
		text[i] = '.';
	assert_true(domain_is_valid(view_of(text, ADDR_DOMAIN_MAX)));
	assert_false(domain_is_valid(view_of(text, ADDR_DOMAIN_MAX + 2)));
}

static void
test_domains(void **state)
{
	assert_true(domain_is_valid(VIEW("localhost")));
	assert_true(domain_is_valid(VIEW("[IPv6:::1]")));
	assert_false(domain_is_valid(VIEW("[::1]")));
	assert_false(domain_is_valid(VIEW("")));
	assert_false(domain_is_valid(VIEW("a b")));
	assert_false(domain_is_valid(VIEW("a.example.")));
	assert_false(domain_is_valid(VIEW("b\xc3\xbc.example")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_paths),
		cmocka_unit_test(test_bad_paths_leave_the_output_alone),
		cmocka_unit_test(test_null_path_only_where_allowed),
		cmocka_unit_test(test_eight_bit_is_noted),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_domains),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
