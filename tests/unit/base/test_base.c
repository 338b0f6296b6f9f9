/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <errno.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/date.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/nearest.h"
#include "base/num.h"
#include "base/quote.h"
#include "base/rng.h"
#include "base/view.h"

#include "base/banned.h"

static void
test_buf_keeps_its_maximum(void **state)
{
	struct buf b;

	buf_init(&b, 8);
	assert_true(buf_add_str(&b, "12345678"));
	assert_false(buf_add_byte(&b, '9'));
	assert_int_equal(buf_len(&b), 8);
	buf_consume(&b, 3);
	assert_int_equal(buf_room(&b), 3);
	assert_true(buf_add_str(&b, "abc"));
	assert_true(view_eq(buf_view(&b), VIEW("45678abc")));
	assert_false(buf_addf(&b, "%d", 1));
	buf_truncate(&b, 5);
	assert_true(buf_addf(&b, "%03d", 7));
	assert_true(view_eq(buf_view(&b), VIEW("45678007")));
	buf_done(&b);
}

/* Consuming and adding in odd sizes gives the same bytes as a plain copy. */
static void
test_buf_as_a_queue(void **state)
{
	struct buf b;
	struct rng r;
	uint32_t in = 0, out = 0;

	rng_init(&r, 1);
	buf_init(&b, 1000);
	for (int i = 0; i < 20000; i++) {
		if (rng_below(&r, 2) == 0) {
			uint8_t c = (uint8_t)in;

			if (buf_add_byte(&b, c))
				in++;
		} else if (buf_len(&b) > 0) {
			size_t n = (size_t)rng_below(&r, buf_len(&b)) + 1;

			for (size_t k = 0; k < n; k++)
				assert_int_equal(buf_view(&b).p[k], (uint8_t)(out + k));
			out += (uint32_t)n;
			buf_consume(&b, n);
		}
	}
	assert_int_equal(in - out, buf_len(&b));
	buf_done(&b);
}

static void
test_view(void **state)
{
	struct view v = VIEW("a b  c"), part;

	assert_true(view_split(&v, ' ', &part) && view_eq(part, VIEW("a")));
	assert_true(view_split(&v, ' ', &part) && view_eq(part, VIEW("b")));
	assert_true(view_split(&v, ' ', &part) && part.n == 0);
	assert_true(view_split(&v, ' ', &part) && view_eq(part, VIEW("c")));
	assert_false(view_split(&v, ' ', &part));
	assert_int_equal(view_search(VIEW("abcabd"), VIEW("abd")), 3);
	assert_int_equal(view_search(VIEW("abc"), VIEW("x")), 3);
	assert_true(view_istarts(VIEW("MAIL FROM"), VIEW("mail")));
	assert_false(view_istarts(VIEW("MA"), VIEW("mail")));
	assert_true(view_eq(view_trim(VIEW(" \tx \t")), VIEW("x")));
	assert_int_equal(view_from(VIEW("ab"), 5).n, 0);
	assert_true(view_ends(VIEW("file.seg"), VIEW(".seg")));
}

static void
test_num(void **state)
{
	uint64_t n;
	int64_t ms;
	char text[32];
	uint8_t hex[6], bytes[3], digits[NUM_TEXT_MAX];

	assert_true(num_parse_u64(VIEW("18446744073709551615"), 0, UINT64_MAX, &n));
	assert_true(n == UINT64_MAX);
	assert_false(num_parse_u64(VIEW("18446744073709551616"), 0, UINT64_MAX, &n));
	assert_false(num_parse_u64(VIEW(""), 0, 9, &n));
	assert_false(num_parse_u64(VIEW("-1"), 0, 9, &n));
	assert_false(num_parse_u64(VIEW("10"), 0, 9, &n));
	assert_true(num_parse_hex(VIEW("00fF"), &n) && n == 255);
	assert_false(num_parse_hex(VIEW("10000000000000000"), &n));
	num_dec(hex, 3, 7);
	assert_memory_equal(hex, "007", 3);
	assert_true(view_eq(num_text(digits, 0), VIEW("0")));
	assert_true(view_eq(num_text(digits, INT64_MAX), VIEW("9223372036854775807")));
	assert_true(view_eq(num_text(digits, INT64_MIN), VIEW("-9223372036854775808")));
	num_hex_bytes(hex, (const uint8_t *)"\x00\xfe\x10", 3);
	assert_memory_equal(hex, "00fe10", 6);
	assert_true(num_parse_hex_bytes(VIEW("00Fe10"), bytes, 3) && memcmp(bytes, "\x00\xfe\x10", 3) == 0);
	assert_false(num_parse_hex_bytes(VIEW("00fe1"), bytes, 3));
	assert_false(num_parse_hex_bytes(VIEW("00fe1000"), bytes, 3));
	assert_false(num_parse_hex_bytes(VIEW("00fg10"), bytes, 3));
	assert_true(num_parse_duration_ms(VIEW("250ms"), &ms) && ms == 250);
	assert_true(num_parse_duration_ms(VIEW("5d"), &ms) && ms == 432000000);
	assert_true(num_parse_duration_ms(VIEW("30"), &ms) && ms == 30000);
	assert_false(num_parse_duration_ms(VIEW("5 d"), &ms));
	assert_false(num_parse_duration_ms(VIEW("99999999999999999w"), &ms));
	assert_true(num_parse_size(VIEW("25M"), &n) && n == 25u << 20);
	assert_false(num_parse_size(VIEW("25X"), &n));
	assert_false(num_parse_size(VIEW("M"), &n));
	assert_string_equal(num_duration_text(text, sizeof(text), 7500000), "2h 5m");
	assert_string_equal(num_duration_text(text, sizeof(text), 999), "999ms");
}

static void
test_date(void **state)
{
	char text[DATE_MAX];
	int64_t ms;

	assert_string_equal(date_rfc5322(text, 0), "Thu, 1 Jan 1970 00:00:00 +0000");
	assert_string_equal(date_rfc5322(text, 1795332623120), "Sun, 22 Nov 2026 07:30:23 +0000");
	assert_string_equal(date_mbox(text, 1795332623120), "Sun Nov 22 07:30:23 2026");
	assert_string_equal(date_mbox(text, 1709208000001 + 86400000), "Fri Mar  1 12:00:00 2024");
	assert_string_equal(date_rfc3339(text, 1709208000001), "2024-02-29T12:00:00.001Z");
	for (int64_t t = 0; t < (int64_t)4102444800000; t += 86400000 * 13 + 12345) {
		assert_true(date_parse_rfc3339(view_str(date_rfc3339(text, t)), &ms));
		assert_true(ms == t);
	}
	assert_false(date_parse_rfc3339(VIEW("2024-13-01T00:00:00Z"), &ms));
	assert_false(date_parse_rfc3339(VIEW("2024-01-01 00:00:00Z"), &ms));
	assert_false(date_parse_rfc3339(VIEW(""), &ms));
}

/* RFC 3720 B.4 */
static void
test_crc32c(void **state)
{
	uint8_t zero[32] = { 0 };
	uint8_t ones[32];

	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(crc32c(0, view_of(zero, 32)), 0x8a9136aa);
	assert_int_equal(crc32c(0, view_of(ones, 32)), 0x62a8ab43);
	assert_int_equal(crc32c(0, VIEW("123456789")), 0xe3069283);
	assert_int_equal(crc32c(crc32c(0, VIEW("1234")), VIEW("56789")), 0xe3069283);
	assert_int_equal(crc32c(0, VIEW("")), 0);
}

static void
test_base64(void **state)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	struct buf b;

	buf_init(&b, 100);
	for (size_t i = 0; i < lengthof(pairs); i++) {
		buf_clear(&b);
		assert_true(base64_encode(&b, view_str(pairs[i][0])));
		assert_true(view_eq(buf_view(&b), view_str(pairs[i][1])));
		buf_clear(&b);
		assert_true(base64_decode(&b, view_str(pairs[i][1])));
		assert_true(view_eq(buf_view(&b), view_str(pairs[i][0])));
	}
	assert_false(base64_decode(&b, VIEW("Zg=")));
	assert_false(base64_decode(&b, VIEW("Zh==")));	/* not zero behind the last byte */
	assert_false(base64_decode(&b, VIEW("Z===")));
	assert_false(base64_decode(&b, VIEW("Zg==Zg==")));
	assert_false(base64_decode(&b, VIEW("Z g=")));
	buf_done(&b);
}

struct item {
	struct heap_node node;
	int64_t key;
};

static void
test_heap_orders(void **state)
{
	struct item items[500];
	struct heap h;
	struct rng r;
	int64_t last = INT64_MIN;
	size_t n = 0;

	rng_init(&r, 7);
	heap_init(&h);
	memset(items, 0, sizeof(items));
	for (size_t i = 0; i < lengthof(items); i++)
		heap_insert(&h, &items[i].node, (int64_t)rng_below(&r, 50));
	for (size_t i = 0; i < lengthof(items); i += 3)
		heap_remove(&h, &items[i].node);
	for (size_t i = 1; i < lengthof(items); i += 3)
		heap_update(&h, &items[i].node, (int64_t)rng_below(&r, 1000));
	while (heap_first(&h) != NULL) {
		struct heap_node *node = heap_first(&h);

		assert_true(node->key >= last);
		last = node->key;
		heap_remove(&h, node);
		assert_false(heap_has(node));
		n++;
	}
	assert_int_equal(n, 333);
	assert_true(h.cap <= 64);	/* memory goes back, too */
	heap_done(&h);
}

static void
test_heap_keeps_order_of_equals(void **state)
{
	struct item items[10] = { 0 };
	struct heap h;

	heap_init(&h);
	for (size_t i = 0; i < lengthof(items); i++)
		heap_insert(&h, &items[i].node, 5);
	heap_update(&h, &items[0].node, 5);		/* set anew: the last of them */
	for (size_t i = 0; i < lengthof(items); i++) {
		struct item *item = &items[(i + 1) % lengthof(items)];

		assert_ptr_equal(heap_first(&h), &item->node);
		heap_remove(&h, &item->node);
	}
	heap_done(&h);
}

/* Against an array, with removals that close holes. */
static void
test_map(void **state)
{
	static char there[2000];
	struct map m;
	struct rng r;
	size_t n = 0, pos = 0, walked = 0;

	rng_init(&r, 3);
	map_init(&m);
	assert_null(map_get(&m, 1));
	assert_null(map_take(&m, 1));
	for (int i = 0; i < 100000; i++) {
		size_t k = (size_t)rng_below(&r, lengthof(there));
		uint64_t key = (uint64_t)k << 24;

		if (rng_below(&r, 2) == 0) {
			n += !there[k];
			there[k] = 1;
			map_put(&m, key, &there[k]);
		} else {
			assert_ptr_equal(map_take(&m, key), there[k] ? &there[k] : NULL);
			n -= (size_t)there[k];
			there[k] = 0;
		}
		assert_ptr_equal(map_get(&m, key), there[k] ? &there[k] : NULL);
	}
	assert_int_equal(m.n, n);
	while (map_next(&m, &pos) != NULL)
		walked++;
	assert_int_equal(walked, n);
	map_done(&m);
}

static void
test_quote(void **state)
{
	struct buf b;

	buf_init(&b, 200);
	assert_true(quote_log(&b, VIEW("a\"b\\\r\n\x01\xff"), 100));
	assert_true(view_eq(buf_view(&b), VIEW("\"a\\\"b\\\\\\r\\n\\x01\\xff\"")));
	buf_clear(&b);
	assert_true(quote_log(&b, VIEW("abcdef"), 3));
	assert_true(view_eq(buf_view(&b), VIEW("\"abc...\"")));
	buf_clear(&b);
	assert_true(quote_json(&b, VIEW("\xc3\xa4\xff\n\"")));
	assert_true(view_eq(buf_view(&b), VIEW("\"\xc3\xa4\xef\xbf\xbd\\u000a\\\"\"")));
	buf_clear(&b);
	/* overlong, surrogate, beyond U+10FFFF, cut short */
	assert_true(quote_json(&b, VIEW("\xc0\xaf")));
	assert_true(view_eq(buf_view(&b), VIEW("\"\xef\xbf\xbd\xef\xbf\xbd\"")));
	buf_clear(&b);
	assert_true(quote_json(&b, VIEW("\xe2\x82")));
	assert_true(view_eq(buf_view(&b), VIEW("\"\xef\xbf\xbd\xef\xbf\xbd\"")));
	buf_done(&b);
	buf_init(&b, 4);
	assert_false(quote_log(&b, VIEW("long"), 100));
	assert_int_equal(buf_len(&b), 0);
	buf_done(&b);
}

static void
test_err(void **state)
{
	struct err e;

	assert_int_equal(err_sys(&e, ENOSPC, "cannot write %s", "x"), -1);
	assert_int_equal(e.kind, ERR_FULL);
	assert_string_equal(e.text, "cannot write x: No space left on device");
	assert_int_equal(err_prefix(&e, "spool"), -1);
	assert_string_equal(e.text, "spool: cannot write x: No space left on device");
	assert_int_equal(err_set(&e, ERR_INPUT, "two\nlines"), -1);
	assert_string_equal(e.text, "two lines");
	assert_int_equal(err_set(NULL, ERR_INPUT, "x"), -1);
}

struct member {
	struct list link;
	int n;
};

static void
test_list(void **state)
{
	struct list a, b;
	struct member m[4] = { { .n = 0 }, { .n = 1 }, { .n = 2 }, { .n = 3 } };
	int want = 0;

	list_init(&a);
	list_init(&b);
	list_push(&a, &m[1].link);
	list_push_front(&a, &m[0].link);
	list_push(&b, &m[2].link);
	list_push(&b, &m[3].link);
	list_move_all(&a, &b);
	assert_true(list_is_empty(&b));
	list_foreach (l, &a)
		assert_int_equal(list_entry(l, struct member, link)->n, want++);
	assert_int_equal(want, 4);
	list_remove(&m[1].link);
	list_remove(&m[1].link);
	assert_ptr_equal(list_pop(&a), &m[0].link);
	assert_ptr_equal(list_pop(&a), &m[2].link);
	assert_ptr_equal(list_pop(&a), &m[3].link);
	assert_null(list_pop(&a));
}

static void
test_rng_jitter_stays_inside(void **state)
{
	struct rng r;
	int64_t low = 2000, high = 0;

	rng_init(&r, 11);
	for (int i = 0; i < 10000; i++) {
		int64_t v = rng_jitter(&r, 1000, 20);

		assert_in_range(v, 800, 1200);
		low = v < low ? v : low;
		high = v > high ? v : high;
	}
	assert_true(low < 810 && high > 1190);
}

static const char *
meant(const char *word)
{
	static const char *const known[] = { "hold", "flush", "status", "export" };
	const char *best = NULL;
	struct nearest n;

	nearest_begin(&n, word);
	for (size_t i = 0; i < lengthof(known); i++)
		if (nearest_offer(&n, known[i]))
			best = known[i];
	return best;
}

static void
test_nearest(void **state)
{
	static const char *const far[] = { "", "frobnicate", "rm", "statusstatusstatusstatusstatusstatusstatus" };

	assert_string_equal(meant("stauts"), "status");
	assert_string_equal(meant("expot"), "export");
	assert_string_equal(meant("hodl"), "hold");
	assert_string_equal(meant("flush"), "flush");
	for (size_t i = 0; i < lengthof(far); i++)
		assert_null(meant(far[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_keeps_its_maximum),
		cmocka_unit_test(test_buf_as_a_queue),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_num),
		cmocka_unit_test(test_date),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_heap_orders),
		cmocka_unit_test(test_heap_keeps_order_of_equals),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_rng_jitter_stays_inside),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
