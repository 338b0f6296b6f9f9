/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "intake/admission.h"

#include "base/banned.h"

static struct address
at(const char *text)
{
	struct address a;
	struct err e;

	assert_int_equal(address_parse(&a, view_str(text), &e), 0);
	return a;
}

static enum admission_verdict
enter(struct admission *a, const char *peer, int64_t uid, struct client **c)
{
	struct address address = at(peer);

	return admission_enter(a, NULL, &address, uid, c);
}

static void
test_only_this_host(void **state)
{
	static const char *const far[] = {
		"192.0.2.1:1000", "10.0.0.1:1", "128.0.0.1:1", "126.255.255.255:1", "0.0.0.0:1",
		"[2001:db8::1]:1", "[fe80::1]:1", "[::]:1", "[::ffff:192.0.2.1]:1",
	};
	static const char *const near[] = {
		"127.0.0.1:1", "127.255.255.254:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/x",
	};
	struct admission a;
	struct client *c[lengthof(near)], *none = NULL;

	admission_init(&a, 100, 100);
	for (size_t i = 0; i < lengthof(far); i++)
		assert_int_equal(enter(&a, far[i], -1, &none), ADMISSION_FOREIGN);
	assert_null(none);
	for (size_t i = 0; i < lengthof(near); i++)
		assert_int_equal(enter(&a, near[i], -1, &c[i]), ADMISSION_GRANTED);
	for (size_t i = 0; i < lengthof(near); i++)
		admission_leave(&a, c[i]);
	admission_done(&a);
}

static void
test_limits(void **state)
{
	struct admission a;
	struct client *c[6], *none;

	admission_init(&a, 5, 2);
	assert_int_equal(enter(&a, "127.0.0.1:1", -1, &c[0]), ADMISSION_GRANTED);
	assert_int_equal(enter(&a, "127.0.0.1:2", -1, &c[1]), ADMISSION_GRANTED);
	assert_int_equal(enter(&a, "127.0.0.1:3", -1, &none), ADMISSION_CLIENT_FULL);
	assert_int_equal(enter(&a, "unix:/w", -1, &none), ADMISSION_CLIENT_FULL);
	assert_int_equal(enter(&a, "unix:/w", 34, &c[2]), ADMISSION_GRANTED);	/* another client */
	assert_int_equal(enter(&a, "127.0.0.1:3", 34, &c[3]), ADMISSION_GRANTED);
	assert_int_equal(enter(&a, "[::1]:3", 34, &none), ADMISSION_CLIENT_FULL);	/* by uid, not by address */
	assert_int_equal(enter(&a, "unix:/x", 0, &c[4]), ADMISSION_GRANTED);
	assert_int_equal(enter(&a, "unix:/x", 33, &none), ADMISSION_FULL);
	admission_leave(&a, c[1]);
	assert_int_equal(enter(&a, "127.0.0.1:4", -1, &c[1]), ADMISSION_GRANTED);
	admission_leave(&a, c[2]);
	assert_int_equal(enter(&a, "unix:/y", 0, &c[2]), ADMISSION_GRANTED);
	admission_leave(&a, c[3]);
	assert_int_equal(enter(&a, "unix:/z", 0, &none), ADMISSION_CLIENT_FULL);	/* by uid, not by path */
	assert_int_equal(enter(&a, "unix:/z", 33, &c[3]), ADMISSION_GRANTED);
	for (size_t i = 0; i < 5; i++)
		admission_leave(&a, c[i]);
	assert_int_equal(a.connections, 0);
	admission_done(&a);
}

/* Nobody gets more places by calling from, or to, many loopback addresses. */
static void
test_addresses_are_one_client(void **state)
{
	static const char *const others[] = {
		"127.0.0.2:1", "127.255.255.254:1", "[::1]:1", "[::ffff:127.0.0.1]:1",
	};
	struct admission a;
	struct client *c[2], *none;

	admission_init(&a, 100, 1);
	assert_int_equal(enter(&a, "127.0.0.1:1", -1, &c[0]), ADMISSION_GRANTED);
	for (size_t i = 0; i < lengthof(others); i++)
		assert_int_equal(enter(&a, others[i], -1, &none), ADMISSION_CLIENT_FULL);
	assert_int_equal(enter(&a, "127.0.0.1:2", 33, &c[1]), ADMISSION_GRANTED);
	admission_leave(&a, c[0]);
	admission_leave(&a, c[1]);
	admission_done(&a);
}

static void
set_networks(struct conf_listener *l, const char *const *text, size_t n)
{
	struct err e;

	*l = (struct conf_listener){ .nnetwork = n };
	for (size_t i = 0; i < n; i++)
		assert_int_equal(subnet_parse(&l->network[i], view_str(text[i]), &e), 0);
}

static enum admission_verdict
enter_by(struct admission *a, const struct conf_listener *l, const char *peer, int64_t uid, struct client **c)
{
	struct address address = at(peer);

	return admission_enter(a, l, &address, uid, c);
}

static void
test_networks(void **state)
{
	static const char *const list[] = { "172.18.0.0/16", "!172.18.0.1", "fd00:1::/64" };
	static const char *const out[] = {
		"172.18.0.1:9", "172.19.0.2:9", "192.0.2.1:9", "127.0.0.1:9", "[::1]:9", "[fd00:2::1]:9",
		"[::ffff:172.18.0.1]:9", "unix:/x",
	};
	static const char *const in[] = { "172.18.0.2:9", "172.18.255.255:9", "[::ffff:172.18.3.4]:9", "[fd00:1::7]:9" };
	struct conf_listener l, local = { .nnetwork = 0 };
	struct client *c[lengthof(in)], *none = NULL;
	struct admission a;

	set_networks(&l, list, lengthof(list));
	admission_init(&a, 100, 100);
	for (size_t i = 0; i < lengthof(out); i++)
		assert_int_equal(enter_by(&a, &l, out[i], -1, &none), ADMISSION_OUTSIDE);
	assert_int_equal(enter_by(&a, &local, "172.18.0.2:9", -1, &none), ADMISSION_OUTSIDE);
	assert_null(none);
	for (size_t i = 0; i < lengthof(in); i++)
		assert_int_equal(enter_by(&a, &l, in[i], -1, &c[i]), ADMISSION_GRANTED);
	for (size_t i = 0; i < lengthof(in); i++)
		admission_leave(&a, c[i]);
	assert_int_equal(enter_by(&a, &local, "127.0.0.1:9", -1, &c[0]), ADMISSION_GRANTED);
	admission_leave(&a, c[0]);
	admission_done(&a);
}

/* From elsewhere each address is a client, and all of them leave room for this host. */
static void
test_far_clients(void **state)
{
	static const char *const list[] = { "10.0.0.0/8" };
	struct client *c[6], *none;
	struct conf_listener l;
	struct admission a;

	set_networks(&l, list, lengthof(list));
	admission_init(&a, 6, 2);
	assert_int_equal(enter_by(&a, &l, "10.0.0.1:1", -1, &c[0]), ADMISSION_GRANTED);
	assert_int_equal(enter_by(&a, &l, "10.0.0.1:2", -1, &c[1]), ADMISSION_GRANTED);
	assert_int_equal(enter_by(&a, &l, "10.0.0.1:3", -1, &none), ADMISSION_CLIENT_FULL);
	assert_int_equal(enter_by(&a, &l, "10.0.0.2:1", -1, &c[2]), ADMISSION_GRANTED);
	assert_int_equal(enter_by(&a, &l, "10.0.0.3:1", -1, &none), ADMISSION_FULL);
	assert_int_equal(enter(&a, "127.0.0.1:1", -1, &c[3]), ADMISSION_GRANTED);
	assert_int_equal(enter(&a, "127.0.0.1:1", -1, &c[4]), ADMISSION_GRANTED);
	assert_int_equal(enter(&a, "127.0.0.1:1", 33, &c[5]), ADMISSION_GRANTED);
	admission_leave(&a, c[0]);
	assert_int_equal(enter_by(&a, &l, "10.0.0.3:1", -1, &c[0]), ADMISSION_GRANTED);
	for (size_t i = 0; i < 6; i++)
		admission_leave(&a, c[i]);
	admission_done(&a);
}

/* More than there are buckets: those that share one are different clients all the same. */
static void
test_many_addresses(void **state)
{
	static const char *const list[] = { "10.0.0.0/8" };
	static struct client *c[200];
	struct client *none;
	struct conf_listener l;
	struct admission a;
	char text[32];

	set_networks(&l, list, lengthof(list));
	admission_init(&a, 2 * lengthof(c), 1);
	for (size_t i = 0; i < lengthof(c); i++) {
		(void)snprintf(text, sizeof(text), "10.0.%zu.%zu:25", i / 16, i % 16);
		assert_int_equal(enter_by(&a, &l, text, -1, &c[i]), ADMISSION_GRANTED);
		if (i % 50 == 0)
			assert_int_equal(enter_by(&a, &l, text, -1, &none), ADMISSION_CLIENT_FULL);
	}
	for (size_t i = 0; i < lengthof(c); i++)
		admission_leave(&a, c[i]);
	admission_done(&a);
}

static void
test_many_clients(void **state)
{
	static struct client *c[3000];
	struct admission a;

	admission_init(&a, lengthof(c), 1);
	for (unsigned i = 0; i < lengthof(c); i++)
		assert_int_equal(enter(&a, "unix:/x", i, &c[i]), ADMISSION_GRANTED);
	for (unsigned i = 0; i < lengthof(c); i++)
		admission_leave(&a, c[(i * 7) % lengthof(c)]);
	admission_done(&a);
}

/* One client has a share of the room, all together all of it; small ones always find some. */
static void
test_room_for_recipients(void **state)
{
	enum { SHARES = ADMISSION_KEPT_MAX / ADMISSION_KEPT_CLIENT_MAX };
	size_t all = ADMISSION_KEPT_CLIENT_MAX + ADMISSION_KEPT_FREE;
	size_t kept[SHARES + 1] = { 0 }, second = 0;
	struct client *c[SHARES + 1];
	struct admission a;

	admission_init(&a, 100, 100);
	for (unsigned i = 0; i <= SHARES; i++)
		assert_int_equal(enter(&a, "unix:/x", i, &c[i]), ADMISSION_GRANTED);
	for (unsigned i = 0; i < SHARES; i++) {
		assert_true(admission_keep(&a, c[i], &kept[i], 100));
		assert_false(admission_keep(&a, c[i], &kept[i], all + 1));
		assert_int_equal(kept[i], 100);
		assert_true(admission_keep(&a, c[i], &kept[i], all));
		assert_false(admission_keep(&a, c[i], &second, ADMISSION_KEPT_FREE + 1));
		assert_true(admission_keep(&a, c[i], &second, ADMISSION_KEPT_FREE));
		assert_true(admission_keep(&a, c[i], &second, 0));
	}
	assert_false(admission_keep(&a, c[SHARES], &kept[SHARES], ADMISSION_KEPT_FREE + 1));
	assert_true(admission_keep(&a, c[SHARES], &kept[SHARES], ADMISSION_KEPT_FREE));
	assert_true(admission_keep(&a, c[0], &kept[0], all - 1));
	assert_true(admission_keep(&a, c[SHARES], &kept[SHARES], ADMISSION_KEPT_FREE + 1));
	for (unsigned i = 0; i <= SHARES; i++) {
		assert_true(admission_keep(&a, c[i], &kept[i], 0));
		admission_leave(&a, c[i]);
	}
	admission_done(&a);
}

/* From elsewhere all together have half of the room, however many they are. */
static void
test_room_for_far_recipients(void **state)
{
	static const char *const list[] = { "10.0.0.0/8" };
	static const char *const from[] = { "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1" };
	size_t all = ADMISSION_KEPT_CLIENT_MAX + ADMISSION_KEPT_FREE;
	size_t kept[4] = { 0 };
	struct client *c[4];
	struct conf_listener l;
	struct admission a;

	set_networks(&l, list, lengthof(list));
	admission_init(&a, 100, 100);
	for (size_t i = 0; i < lengthof(from); i++)
		assert_int_equal(enter_by(&a, &l, from[i], -1, &c[i]), ADMISSION_GRANTED);
	assert_int_equal(enter(&a, "unix:/x", 33, &c[3]), ADMISSION_GRANTED);
	assert_true(admission_keep(&a, c[0], &kept[0], all));
	assert_true(admission_keep(&a, c[1], &kept[1], all));
	assert_false(admission_keep(&a, c[2], &kept[2], ADMISSION_KEPT_FREE + 1));
	assert_true(admission_keep(&a, c[2], &kept[2], ADMISSION_KEPT_FREE));
	assert_true(admission_keep(&a, c[3], &kept[3], all));
	assert_true(admission_keep(&a, c[0], &kept[0], all - 1));
	assert_true(admission_keep(&a, c[2], &kept[2], ADMISSION_KEPT_FREE + 1));
	for (size_t i = 0; i < lengthof(c); i++) {
		assert_true(admission_keep(&a, c[i], &kept[i], 0));
		admission_leave(&a, c[i]);
	}
	admission_done(&a);
}

static void
test_replies(void **state)
{
	assert_int_equal(admission_reply(ADMISSION_FOREIGN)->code, 554);
	assert_string_equal(admission_reply(ADMISSION_FOREIGN)->status, "5.7.1");
	assert_int_equal(admission_reply(ADMISSION_OUTSIDE)->code, 554);
	assert_int_equal(admission_reply(ADMISSION_FULL)->code, 421);
	assert_string_equal(admission_reply(ADMISSION_FULL)->status, "4.3.2");
	assert_int_equal(admission_reply(ADMISSION_CLIENT_FULL)->code, 421);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_only_this_host),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_addresses_are_one_client),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_far_clients),
		cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_many_clients),
		cmocka_unit_test(test_room_for_recipients),
		cmocka_unit_test(test_room_for_far_recipients),
		cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
