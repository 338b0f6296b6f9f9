/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/fingerprint.h"

#include "base/banned.h"

struct print {
	uint8_t	byte[FINGERPRINT_SIZE];
};

static struct print
make(uint8_t key, const char *host, const char *user, struct view secret)
{
	struct view part[] = { view_str(host), view_str(user), secret };
	uint8_t whole[FINGERPRINT_KEY_SIZE];
	struct print p;
	struct err e;

	memset(whole, key, sizeof(whole));
	assert_int_equal(fingerprint_make(p.byte, whole, part, 3, &e), 0);
	return p;
}

static bool
is_same(struct print a, struct print b)
{
	return memcmp(a.byte, b.byte, sizeof(a.byte)) == 0;
}

static void
test_each_part_counts(void **state)
{
	struct print p = make(1, "host", "user", VIEW("secret"));

	assert_true(is_same(p, make(1, "host", "user", VIEW("secret"))));
	assert_false(is_same(p, make(2, "host", "user", VIEW("secret"))));
	assert_false(is_same(p, make(1, "hosu", "user", VIEW("secret"))));
	assert_false(is_same(p, make(1, "host", "usr", VIEW("secret"))));
	assert_false(is_same(p, make(1, "host", "user", VIEW("secret "))));
	assert_false(is_same(p, make(1, "host", "user", VIEW("secret\0"))));
	/* Nor does one part run into the next. */
	assert_false(is_same(p, make(1, "hostu", "ser", VIEW("secret"))));
	assert_false(is_same(p, make(1, "host", "users", VIEW("ecret"))));
	assert_false(is_same(make(1, "a", "", VIEW("")), make(1, "", "a", VIEW(""))));
}

/* HMAC-SHA-256 by another implementation (Python's hmac), of "4:host4:user6:secret". */
static void
test_the_value(void **state)
{
	static const uint8_t expected[FINGERPRINT_SIZE] = { 0xd8, 0x92, 0xf2, 0xa1, 0xa6, 0x2b, 0x6f, 0xf5,
		0x48, 0x66, 0x4f, 0x45, 0x25, 0x5e, 0x99, 0x7c };
	struct print p = make(0x0b, "host", "user", VIEW("secret"));

	assert_memory_equal(p.byte, expected, sizeof(expected));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_part_counts),
		cmocka_unit_test(test_the_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
