/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/subnet.h"

#include "base/banned.h"

static struct subnet
network(const char *text)
{
	struct subnet n = { .bits = 0 };
	struct err e;

	if (subnet_parse(&n, view_str(text), &e) != 0)
		fail_msg("%s: %s", text, e.text);
	return n;
}

static bool
has(const char *net, const char *host)
{
	struct subnet n = network(net);
	struct address a;

	assert_true(address_from_host(&a, view_str(host), 25));
	return subnet_has(&n, &a);
}

static void
test_text(void **state)
{
	static const char *const good[][2] = {
		{ "172.17.0.0/16", NULL }, { "0.0.0.0/0", NULL }, { "192.0.2.7", NULL }, { "192.0.2.7/32", "192.0.2.7" },
		{ "!172.17.0.1", NULL }, { "!10.0.0.0/8", NULL }, { "fd00:1::/64", NULL }, { "::/0", NULL },
		{ "[fd00:1::]/64", "fd00:1::/64" }, { "::1/128", "::1" }, { "10.128.0.0/9", NULL },
		{ "::ffff:10.0.0.0/8", "10.0.0.0/8" },
	};
	static const char *const bad[] = {
		"", "!", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8 ", "10.0.0.1/8", "10/8",
		"fd00::/129", "fd00::1/64", "10.0.0.0/255.0.0.0", "docker0", "!!10.0.0.0/8", "/run/x", "10.192.0.0/9",
	};
	char text[SUBNET_TEXT_MAX];
	struct subnet n = { .bits = 77 };
	struct err e;

	for (size_t i = 0; i < lengthof(good); i++) {
		struct subnet g = network(good[i][0]);

		assert_string_equal(subnet_text(text, &g), good[i][good[i][1] != NULL]);
	}
	for (size_t i = 0; i < lengthof(bad); i++) {
		if (subnet_parse(&n, view_str(bad[i]), &e) == 0)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(n.bits, 77);
	}
}

static void
test_has(void **state)
{
	struct address un = { .len = 0 };
	struct subnet all = network("0.0.0.0/0");

	assert_true(has("172.17.0.0/16", "172.17.0.0"));
	assert_true(has("172.17.0.0/16", "172.17.255.255"));
	assert_true(has("172.17.0.0/16", "::ffff:172.17.1.2"));
	assert_false(has("172.17.0.0/16", "172.18.0.0"));
	assert_false(has("172.17.0.0/16", "172.16.255.255"));
	assert_true(has("10.128.0.0/9", "10.255.0.1"));
	assert_false(has("10.128.0.0/9", "10.127.255.255"));
	assert_true(has("192.0.2.7", "192.0.2.7"));
	assert_false(has("192.0.2.7", "192.0.2.6"));
	assert_true(has("0.0.0.0/0", "255.255.255.255"));
	assert_false(has("0.0.0.0/0", "2001:db8::1"));
	assert_true(has("::/0", "2001:db8::1"));
	assert_false(has("::/0", "192.0.2.7"));
	assert_false(has("::/0", "::ffff:192.0.2.7"));
	assert_true(has("fd00:1::/33", "fd00:1:7fff::1"));
	assert_false(has("fd00:1::/33", "fd00:1:8000::1"));
	assert_false(subnet_has(&all, &un));
	assert_int_equal(address_parse(&un, VIEW("/run/x"), NULL), 0);
	assert_false(subnet_has(&all, &un));
}

/* "!" wins wherever it stands; what nothing names is out. */
static void
test_lists(void **state)
{
	const struct subnet list[] = {
		network("!10.0.0.1"), network("10.0.0.0/8"), network("!10.1.0.0/16"), network("10.1.2.3"),
	};
	static const struct {
		const char	*host;
		bool		in;
	} rows[] = {
		{ "10.0.0.1", false }, { "10.0.0.2", true }, { "10.1.2.3", false }, { "11.0.0.1", false },
		{ "10.255.0.1", true }, { "fd00::1", false },
	};
	struct address a;

	for (size_t i = 0; i < lengthof(rows); i++) {
		assert_true(address_from_host(&a, view_str(rows[i].host), 25));
		assert_int_equal(subnets_admit(list, lengthof(list), &a), rows[i].in);
		assert_false(subnets_admit(list, 0, &a));
	}
}

static void
test_private(void **state)
{
	static const char *const ours[] = {
		"10.0.0.0/8", "10.1.2.3", "172.16.0.0/12", "172.31.0.0/16", "192.168.0.0/16", "127.0.0.1",
		"169.254.0.0/16", "100.64.0.0/10", "::1", "fe80::/10", "fd00::/8", "fc00::/7",
	};
	static const char *const others[] = {
		"0.0.0.0/0", "10.0.0.0/7", "8.0.0.0/6", "172.0.0.0/8", "172.32.0.0/12", "192.168.0.0/15", "192.0.2.1",
		"100.0.0.0/8", "::/0", "::/127", "fc00::/6", "fe00::/8", "2001:db8::/32", "128.0.0.0/1",
	};

	for (size_t i = 0; i < lengthof(ours); i++)
		assert_true(subnet_is_private(&(struct subnet[]){ network(ours[i]) }[0]));
	for (size_t i = 0; i < lengthof(others); i++)
		if (subnet_is_private(&(struct subnet[]){ network(others[i]) }[0]))
			fail_msg("%s", others[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_private),
	};

	return cmocka_run_group_tests_name("subnet", tests, NULL, NULL);
}
