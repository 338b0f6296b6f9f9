/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "handover/frame.h"

#include "base/banned.h"

static struct buf
frame_of(enum frame_type type, uint64_t transaction, struct view payload)
{
	struct buf b;

	buf_init(&b, FRAME_OPEN_MAX + 2 * FRAME_HEADER);
	assert_true(frame_put(&b, type, transaction, payload));
	return b;
}

static enum frame_progress
parse(struct view in, bool from_intake)
{
	struct frame f;
	size_t used, need;
	struct err e;

	return frame_parse(in, from_intake, &f, &used, &need, &e);
}

/* At every split the parser asks for exactly what is missing, and never reads past the input. */
static void
test_every_split(void **state)
{
	struct buf b = frame_of(FRAME_CHUNK, UINT64_C(0x1122334455667788), VIEW("hello\r\nworld\r\n"));
	size_t total = buf_len(&b);
	struct frame f;
	size_t used, need;

	assert_true(frame_put(&b, FRAME_ABORT, 9, VIEW("")));
	for (size_t n = 0; n < total; n++) {
		uint8_t *copy = malloc(n != 0 ? n : 1);		/* exact size: for the sanitizer */

		assert_non_null(copy);
		memcpy(copy, b.data, n);
		need = 0;
		assert_int_equal(frame_parse(view_of(copy, n), true, &f, &used, &need, NULL), FRAME_MORE);
		assert_int_equal(need, n < FRAME_HEADER ? FRAME_HEADER : total);
		free(copy);
	}
	assert_int_equal(frame_parse(buf_view(&b), true, &f, &used, &need, NULL), FRAME_DONE);
	assert_int_equal(used, total);
	assert_int_equal(f.type, FRAME_CHUNK);
	assert_int_equal(f.transaction, UINT64_C(0x1122334455667788));
	assert_true(view_eq(f.payload, VIEW("hello\r\nworld\r\n")));
	buf_consume(&b, used);
	assert_int_equal(frame_parse(buf_view(&b), true, &f, &used, &need, NULL), FRAME_DONE);
	assert_int_equal(f.type, FRAME_ABORT);
	assert_int_equal(used, FRAME_HEADER);
	assert_int_equal(f.payload.n, 0);
	buf_done(&b);
}

static void
test_layout_is_little_endian(void **state)
{
	static const uint8_t want[FRAME_HEADER] = { 4, 3, 2, 1, 3, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1 };
	uint8_t at[FRAME_HEADER];

	frame_header(at, FRAME_CHUNK, UINT64_C(0x0102030405060708), 0x01020304);
	assert_memory_equal(at, want, FRAME_HEADER);
}

/* Each type: who may send it, in which scope, and how long it may be. */
static void
test_every_rule(void **state)
{
	static const struct {
		unsigned type;
		bool intake, relay, transaction;
		uint32_t least, most;
	} rule[] = {
		{ FRAME_HELLO, true, true, false, 1, FRAME_SMALL_MAX },
		{ FRAME_OPEN, true, false, true, 1, FRAME_OPEN_MAX },
		{ FRAME_CHUNK, true, false, true, 1, FRAME_CHUNK_MAX },
		{ FRAME_COMMIT, true, false, true, 1, FRAME_SMALL_MAX },
		{ FRAME_ABORT, true, false, true, 0, 0 },
		{ FRAME_STATS, true, false, false, 1, FRAME_SMALL_MAX },
		{ FRAME_CREDIT, false, true, true, 4, 4 },
		{ FRAME_DURABLE, false, true, true, 16, 16 },
		{ FRAME_REFUSED, false, true, true, 1, FRAME_SMALL_MAX },
		{ FRAME_POLICY, false, true, false, 0, FRAME_SMALL_MAX },
		{ FRAME_PAUSE, true, true, false, 0, 0 },
	};
	uint8_t at[FRAME_HEADER];

	for (unsigned type = 0; type < 256; type++) {
		size_t i = 0;

		while (i < lengthof(rule) && rule[i].type != type)
			i++;
		frame_header(at, (enum frame_type)type, 1, 4);
		if (i == lengthof(rule)) {
			assert_int_equal(parse(view_of(at, sizeof(at)), true), FRAME_BAD);
			assert_int_equal(parse(view_of(at, sizeof(at)), false), FRAME_BAD);
			continue;
		}
		for (int from_intake = 0; from_intake < 2; from_intake++) {
			bool may = from_intake != 0 ? rule[i].intake : rule[i].relay;
			enum frame_progress full = rule[i].most == 0 ? FRAME_DONE : FRAME_MORE;
			enum frame_progress few = rule[i].least == 0 ? FRAME_DONE : FRAME_MORE;
			uint64_t number = rule[i].transaction ? 1 : 0;
			struct view in = view_of(at, sizeof(at));

			frame_header(at, (enum frame_type)type, number, rule[i].most);
			assert_int_equal(parse(in, from_intake), may ? full : FRAME_BAD);
			frame_header(at, (enum frame_type)type, number, rule[i].least);
			assert_int_equal(parse(in, from_intake), may ? few : FRAME_BAD);
			frame_header(at, (enum frame_type)type, 1 - number, rule[i].least);
			assert_int_equal(parse(in, from_intake), FRAME_BAD);
			frame_header(at, (enum frame_type)type, number, rule[i].most + 1);
			assert_int_equal(parse(in, from_intake), FRAME_BAD);
			if (rule[i].least > 0) {
				frame_header(at, (enum frame_type)type, number, rule[i].least - 1);
				assert_int_equal(parse(in, from_intake), FRAME_BAD);
			}
			for (int byte = 5; byte < 8; byte++) {
				frame_header(at, (enum frame_type)type, number, rule[i].least);
				at[byte] = 1;
				assert_int_equal(parse(in, from_intake), FRAME_BAD);
			}
		}
	}
}

/* A length of nearly 4 GiB is refused from the header, not waited for. */
static void
test_huge_length(void **state)
{
	uint8_t at[FRAME_HEADER];

	for (uint32_t len = 0x7fffffff; len != 0; len = len == 0xffffffff ? 0 : 0xffffffff) {
		frame_header(at, FRAME_OPEN, 1, len);
		assert_int_equal(parse(view_of(at, sizeof(at)), true), FRAME_BAD);
	}
}

static void
test_put_keeps_the_maximum(void **state)
{
	struct buf b;

	buf_init(&b, FRAME_HEADER + 3);
	assert_false(frame_put(&b, FRAME_CHUNK, 1, VIEW("four")));
	assert_int_equal(buf_len(&b), 0);
	assert_true(frame_put(&b, FRAME_CHUNK, 1, VIEW("abc")));
	buf_done(&b);
}

static void
test_credit(void **state)
{
	uint8_t at[4];
	uint32_t n;

	frame_credit(at, 0x00012345);
	assert_true(frame_credit_parse(view_of(at, 4), &n));
	assert_int_equal(n, 0x12345);
	frame_credit(at, HANDOVER_WINDOW);
	assert_true(frame_credit_parse(view_of(at, 4), &n));
	frame_credit(at, HANDOVER_WINDOW + 1);
	assert_false(frame_credit_parse(view_of(at, 4), &n));
	frame_credit(at, 0);
	assert_false(frame_credit_parse(view_of(at, 4), &n));
	assert_false(frame_credit_parse(view_of(at, 3), &n));
}

static void
test_commit(void **state)
{
	static const char *const bad[] = {
		"", "eight-bit: yes\n", "eight-bit: yes\nsize: 5", "eight-bit: maybe\nsize: 5\n",
		"size: 5\neight-bit: yes\n", "eight-bit: no\nsize: -5\n", "eight-bit: no\nsize: \n",
		"eight-bit: no\nsize: 5\nmore: 6\n", "eight-bit: no\nsize: 9223372036854775808\n",
		"eight-bit: no\nsize: 5\nscript: x", "eight-bit: no\nsize: 5\nscript: \n",
		"eight-bit: no\nsize: 5\nscript: x\ty\n", "eight-bit: no\nsize: 5\nscript: x\xc3\xa9\n",
		"eight-bit: no\nsize: 5\nscript: x\nscript: y\n", "eight-bit: no\nsize: 5\nscript:x\n",
	};
	char script[FRAME_SCRIPT_MAX + 2];
	struct frame_commit c;
	struct buf b;

	buf_init(&b, FRAME_SMALL_MAX);
	for (int eight = 0; eight < 2; eight++) {
		buf_clear(&b);
		assert_true(frame_commit_put(&b, &(struct frame_commit){ .eight_bit = eight != 0, .size = 4711 }));
		assert_true(frame_commit_parse(buf_view(&b), &c));
		assert_int_equal(c.eight_bit, eight != 0);
		assert_int_equal(c.size, 4711);
		assert_int_equal(c.script.n, 0);
	}
	memset(script, 'x', sizeof(script) - 1);
	script[sizeof(script) - 1] = '\0';
	for (size_t n = 1; n <= FRAME_SCRIPT_MAX + 1; n++) {
		buf_clear(&b);
		assert_true(frame_commit_put(&b, &(struct frame_commit){ .script = view_of(script, n) }));
		assert_int_equal(frame_commit_parse(buf_view(&b), &c), n <= FRAME_SCRIPT_MAX);
	}
	assert_int_equal(c.script.n, FRAME_SCRIPT_MAX);
	for (size_t i = 0; i < lengthof(bad); i++)
		if (frame_commit_parse(view_str(bad[i]), &c))
			fail_msg("taken: %s", bad[i]);
	buf_done(&b);
}

static void
test_reply(void **state)
{
	static const char *const bad[] = {
		"", "452", "452 ", "452 4.3.1", "452 4.3.1 ", "250 2.0.0 fine", "399 3.0.0 x",
		"600 6.0.0 x", "452 5.3.1 class differs", "4520 4.3.1 x", "45 4.3.1 x", "452 4.3 x",
		"452 4.3.1.1 x", "452 4..1 x", "452 4.3.1000 x", "452 4.3.x x", "452  4.3.1 x",
		"452 4.3.1 two\r\n250 lines", "452 4.3.1 caf\xc3\xa9", "452 4.3.1 \t", "452 44.3.1 x",
	};
	struct frame_reply r;
	char text[FRAME_REPLY_MAX + 2];

	assert_true(frame_reply_parse(VIEW("452 4.3.1 The queue is full"), &r));
	assert_int_equal(r.code, 452);
	assert_true(view_eq(r.status, VIEW("4.3.1")));
	assert_true(view_eq(r.text, VIEW("The queue is full")));
	assert_true(frame_reply_parse(VIEW("550 5.7.139 No"), &r));
	for (size_t i = 0; i < lengthof(bad); i++)
		if (frame_reply_parse(view_str(bad[i]), &r))
			fail_msg("taken: %s", bad[i]);
	memset(text, 'x', sizeof(text));
	memcpy(text, "452 4.3.1 ", 10);
	assert_true(frame_reply_parse(view_of(text, FRAME_REPLY_MAX), &r));
	assert_false(frame_reply_parse(view_of(text, FRAME_REPLY_MAX + 1), &r));
}

static void
test_hello(void **state)
{
	struct view v;

	assert_true(frame_hello_is_ours(VIEW(FRAME_HELLO_LINE "sandbox: full\n")));
	assert_true(frame_hello_is_ours(VIEW(FRAME_HELLO_LINE)));
	assert_false(frame_hello_is_ours(VIEW("posthouse-handover 2\n")));
	assert_false(frame_hello_is_ours(VIEW("posthouse-handover 1")));
	assert_true(frame_lines_find(VIEW(FRAME_HELLO_LINE "x: 1\nsandbox: full\n"), "sandbox", &v));
	assert_true(view_eq(v, VIEW("full")));
	assert_false(frame_lines_find(VIEW(FRAME_HELLO_LINE "sandbo: full\n"), "sandbox", &v));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_layout_is_little_endian),
		cmocka_unit_test(test_every_rule),
		cmocka_unit_test(test_huge_length),
		cmocka_unit_test(test_put_keeps_the_maximum),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_commit),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_hello),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
