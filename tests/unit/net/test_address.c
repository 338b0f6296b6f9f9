/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/address.h"

#include "base/banned.h"

static void
test_round_trip(void **state)
{
	static const struct {
		const char *in, *out, *host;
		uint16_t port;
		bool loopback;
	} good[] = {
		{ "127.0.0.1:25", "127.0.0.1:25", "127.0.0.1", 25, true },
		{ "127.9.9.9:0", "127.9.9.9:0", "127.9.9.9", 0, true },
		{ "[::1]:25", "[::1]:25", "::1", 25, true },
		{ "[::ffff:127.0.0.1]:25", "[::ffff:127.0.0.1]:25", "::ffff:127.0.0.1", 25, true },
		{ "[::ffff:10.0.0.1]:25", "[::ffff:10.0.0.1]:25", "::ffff:10.0.0.1", 25, false },
		{ "128.0.0.1:65535", "128.0.0.1:65535", "128.0.0.1", 65535, false },
		{ "0.0.0.0:25", "0.0.0.0:25", "0.0.0.0", 25, false },
		{ "[::]:25", "[::]:25", "::", 25, false },
		{ "/run/x.sock", "unix:/run/x.sock", "unix", 0, true },
		{ "unix:/run/x.sock", "unix:/run/x.sock", "unix", 0, true },
	};
	char text[ADDRESS_TEXT_MAX];
	struct address a, b;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(address_parse(&a, view_str(good[i].in), NULL), 0);
		assert_string_equal(address_text(text, &a), good[i].out);
		assert_int_equal(address_parse(&b, view_str(text), NULL), 0);
		assert_true(address_eq(&a, &b));
		assert_string_equal(address_host_text(text, &a), good[i].host);
		assert_int_equal(address_port(&a), good[i].port);
		assert_int_equal(address_is_loopback(&a), good[i].loopback);
		assert_int_equal(address_is_unix(&a), good[i].port == 0 && good[i].in[0] != '1');
	}
}

static void
test_refused(void **state)
{
	static const char *const bad[] = {
		"", ":", "25", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
		"127.1:25", "[127.0.0.1]:25", "::1:25", "[::1]", "[::1:25", "localhost:25", "[]:25",
		"1.2.3.4:25 ", "[::1%lo]:25"
	};
	char longpath[200];
	struct address a = { .len = 1 };
	struct err e;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(address_parse(&a, view_str(bad[i]), &e), -1);
	memset(longpath, '/', sizeof(longpath));
	assert_int_equal(address_parse(&a, view_of(longpath, 108), &e), -1);
	assert_int_equal(address_parse(&a, view_of("127.0.0.1\0:25", 13), &e), -1);
	assert_int_equal(a.len, 1);	/* untouched */
	assert_int_equal(address_parse(&a, view_of(longpath, 107), &e), 0);
}

static void
test_differ(void **state)
{
	struct address a, b, none = { .len = 0 };

	assert_true(address_from_host(&a, VIEW("127.0.0.1"), 25));
	assert_true(address_from_host(&b, VIEW("127.0.0.1"), 26));
	assert_false(address_eq(&a, &b));
	assert_true(address_from_host(&b, VIEW("127.0.0.2"), 25));
	assert_false(address_eq(&a, &b));
	assert_true(address_from_host(&b, VIEW("::1"), 25));
	assert_false(address_eq(&a, &b));
	assert_false(address_eq(&a, &none));
	assert_true(address_eq(&none, &none));
	assert_false(address_is_loopback(&none));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_differ),
	};

	return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
