/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers, groups, and the text of S, C and U. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "spool/lines.h"
#include "spool/load.h"
#include "spool/outcome.h"
#include "spool/record.h"
#include "spool/segment.h"

#include "base/banned.h"

static void
test_header(void **state)
{
	struct record r = { 'M', 3, 0xe3a, 0x5d0c91be, 0x12c, 0x198f2a4c711 }, got;
	uint8_t at[RECORD_HEADER], copy[RECORD_HEADER];

	record_put(at, &r, 77);
	assert_memory_equal(at, "@M 00000000012c0003 00000198f2a4c711 00000e3a 5d0c91be ", 55);
	assert_int_equal(at[63], '\n');
	assert_true(record_get(&got, at, 77));
	assert_int_equal(got.type, 'M');
	assert_int_equal(got.epoch, 0x12c);
	assert_int_equal(got.index, 3);
	assert_true(got.id == r.id && got.length == r.length && got.crc == r.crc);
	assert_false(record_get(&got, at, 78));		/* of another use of the file */
	for (unsigned i = 0; i < RECORD_HEADER; i++) {	/* every column counts */
		memcpy(copy, at, sizeof(copy));
		copy[i] ^= 1;
		assert_false(record_get(&got, copy, 77));
	}
	assert_int_equal(record_room(0), 64);
	assert_int_equal(record_room(1), 128);
	assert_int_equal(record_room(64), 128);
	assert_int_equal(record_room(65), 192);
}

static void
test_parts(void **state)
{
	uint8_t bytes[2 * RECORD_PART + 5];
	struct record_part part;
	struct view v = view_of(bytes, sizeof(bytes));

	record_put_part(bytes, 'X', 5, 2);
	memcpy(bytes + RECORD_PART, "ab", 2);
	record_put_part(bytes + RECORD_PART + 2, 'M', 6, 3);
	memcpy(bytes + 2 * RECORD_PART + 2, "cde", 3);
	assert_true(record_next_part(&v, &part));
	assert_true(part.type == 'X' && part.id == 5 && view_eq(part.payload, VIEW("ab")));
	assert_true(record_next_part(&v, &part));
	assert_true(part.type == 'M' && part.id == 6 && view_eq(part.payload, VIEW("cde")));
	assert_false(record_next_part(&v, &part));
	/* Cut anywhere: no part beyond the end. */
	for (size_t n = RECORD_PART + 2; n < sizeof(bytes); n++) {
		v = view_of(bytes, n);
		assert_true(record_next_part(&v, &part));
		assert_false(record_next_part(&v, &part));
	}
}

static void
test_start(void **state)
{
	struct segment_start s = { .number = 7, .nonce = 9, .created_ms = 1000, .previous = 6,
		.previous_nonce = 8, .abandons = 6, .abandons_from = 640 }, got;
	struct err e;
	struct buf b;

	buf_init(&b, LINES_START_MAX);
	assert_true(lines_put_start(&b, &s));
	assert_true(buf_add_str(&b, "later: something\n"));
	assert_int_equal(lines_get_start(&got, buf_view(&b), &e), 0);
	assert_true(got.number == 7 && got.nonce == 9 && got.previous == 6 && got.previous_nonce == 8);
	assert_true(got.abandons == 6 && got.abandons_from == 640 && !got.abandons_tail);
	buf_clear(&b);
	s.abandons_tail = true;
	assert_true(lines_put_start(&b, &s));
	assert_int_equal(lines_get_start(&got, buf_view(&b), &e), 0);
	assert_true(got.abandons_tail);
	assert_int_equal(lines_get_start(&got, VIEW("format: 2\nnumber: later way\n"), &e), 0);
	assert_int_equal(got.format, 2);
	assert_int_equal(lines_get_start(&got, VIEW("number: 7\n"), &e), -1);
	assert_int_equal(lines_get_start(&got, VIEW("format: 1\nno line\n"), &e), -1);
	buf_done(&b);
}

static void
test_commit_lines(void **state)
{
	struct extent x[2] = { { 9, 4, 65536, 1 }, { 10, 8, 100, 0xffffffff } };
	struct commit_lines c = { .size = 65600, .received_ms = 5000, .eight_bit = true, .nrcpt = 2,
		.uid = 33, .envelope = 36, .nextent = 2, .extent = x }, got;
	struct err e;
	struct buf b;

	buf_init(&b, 4096);
	assert_true(lines_put_commit(&b, &c));
	assert_int_equal(lines_get_commit(&got, buf_view(&b), &e), 0);
	assert_int_equal(got.nextent, 2);
	assert_memory_equal(got.extent, x, sizeof(x));
	assert_true(got.size == 65600 && got.eight_bit && !got.bounce && got.nrcpt == 2);
	assert_int_equal(got.received_ms, 5000);
	assert_int_equal(got.uid, 33);
	lines_commit_done(&got);
	buf_clear(&b);
	c.size++;			/* does not add up */
	assert_true(lines_put_commit(&b, &c));
	assert_int_equal(lines_get_commit(&got, buf_view(&b), &e), -1);
	assert_int_equal(e.kind, ERR_DAMAGED);
	buf_done(&b);
}

static void
test_outcome(void **state)
{
	struct spool_rcpt rcpt[5] = { { .state = SPOOL_DELIVERED, .code = 250 },
		{ .state = SPOOL_DELIVERED, .code = 250 }, { .state = SPOOL_QUEUED },
		{ .state = SPOOL_QUEUED, .code = 451 }, { .state = SPOOL_FAILED, .code = 550 } };
	struct spool_rcpt back_rcpt[5] = { { .state = SPOOL_REMOVED } };
	struct spool_message m = { .id = 1, .nrcpt = 5, .rcpt.many = rcpt };
	struct spool_message back = { .id = 1, .nrcpt = 5, .rcpt.many = back_rcpt, .flags = SPOOL_BOUNCE | SPOOL_HELD };
	struct spool_result r[3] = { { .rcpt = 0, .status = "2.0.0", .text = VIEW("ok") },
		{ .rcpt = 1, .status = "2.0.0", .text = VIEW("ok") },
		{ .rcpt = 4, .status = "5.1.1", .text = VIEW("evil\nstate: 2-2 failed 500") } };
	struct spool_update u = { .result = r, .nresult = 3, .attempts = 7, .flags = SPOOL_UNCERTAIN,
		.next_ms = 1795332600120, .endpoint = "mx:587" };
	struct outcome o;
	struct outcome_text t;
	struct view lines;
	struct err e;
	struct buf b;

	buf_init(&b, 1 << 20);
	assert_true(outcome_put(&b, &m, &u, true));
	outcome_set_prev(b.data, 3, 5);
	assert_memory_equal(b.data, "prev: 0000000000000003 0000000000000140\n", OUTCOME_PREV_LINE);
	assert_int_equal(outcome_get(&o, buf_view(&b), &e), 0);
	assert_true(o.prev_segment == 3 && o.prev_offset64 == 5 && o.attempts == 7);
	assert_true(view_eq(o.endpoint, VIEW("mx:587")));
	outcome_apply(&back, &o);
	assert_memory_equal(back_rcpt, rcpt, sizeof(rcpt));
	assert_int_equal(back.flags, SPOOL_BOUNCE | SPOOL_UNCERTAIN);
	assert_true(back.next_ms == u.next_ms && back.attempts == 7);
	lines = o.lines;
	assert_true(outcome_next_text(&lines, &t));
	assert_true(t.first == 0 && t.last == 1 && view_eq(t.text, VIEW("ok")));
	assert_true(outcome_next_text(&lines, &t));
	assert_true(t.first == 4 && t.last == 4);
	assert_true(view_eq(t.text, VIEW("evil?state: 2-2 failed 500")));
	assert_false(outcome_next_text(&lines, &t));
	buf_clear(&b);
	assert_true(outcome_put(&b, &m, &u, false));
	assert_true(buf_len(&b) <= outcome_room(5) - 64);
	assert_int_equal(outcome_get(&o, buf_view(&b), &e), 0);
	lines = o.lines;
	assert_false(outcome_next_text(&lines, &t));
	buf_done(&b);
}

/* The worst that states can take fits what is reserved; texts have a limit. */
static void
test_outcome_limits(void **state)
{
	enum { N = ENVELOPE_RCPT_MAX };
	struct spool_rcpt *rcpt = calloc(N, sizeof(*rcpt));
	struct spool_result *r = calloc(N, sizeof(*r));
	struct spool_message m = { .id = 1, .nrcpt = N, .rcpt.many = rcpt };
	struct spool_update u = { .result = r, .nresult = N, .attempts = 65535, .flags = 3,
		.next_ms = 1795332600120, .endpoint = "" };
	static const char words[] = "0123456789012345678901234567890123456789";
	struct buf b;

	assert_non_null(rcpt);
	assert_non_null(r);
	for (uint32_t i = 0; i < N; i++) {
		rcpt[i] = (struct spool_rcpt){ .state = SPOOL_DELIVERED, .code = (uint16_t)(100 + i % 900) };
		r[i] = (struct spool_result){ .rcpt = i, .status = "2.0.0",
			.text = view_of(words, 1 + i % 40) };
	}
	buf_init(&b, 16u << 20);
	assert_true(outcome_put(&b, &m, &u, false));
	assert_true(buf_len(&b) <= outcome_room(N) - 64);
	buf_clear(&b);
	assert_true(outcome_put(&b, &m, &u, true));
	assert_true(buf_len(&b) <= outcome_room(N) + OUTCOME_TEXTS_MAX + SPOOL_TEXT_MAX);
	buf_done(&b);
	free(rcpt);
	free(r);
}

static void
test_split_message(void **state)
{
	struct view lines, text;

	assert_true(load_split_message(VIEW("from: a\n\n\nx\n\n"), &lines, &text));
	assert_true(view_eq(lines, VIEW("from: a\n")));
	assert_true(view_eq(text, VIEW("\nx\n\n")));
	assert_true(load_split_message(VIEW("from: a\n\n"), &lines, &text));
	assert_int_equal(text.n, 0);
	assert_false(load_split_message(VIEW("from: a\nx"), &lines, &text));
}

static void
test_names(void **state)
{
	char name[SEGMENT_NAME_MAX];
	uint64_t n = 0;

	assert_string_equal(segment_name(name, DIR_LOG, 0xa7), "log/00000000000000a7.seg");
	assert_true(segment_number("00000000000000a7.seg", true, &n));
	assert_int_equal(n, 0xa7);
	assert_false(segment_number("00000000000000a7.bak", true, &n));
	assert_true(segment_number("00000000000000a8-00000040.bin", false, &n));
	assert_int_equal(n, 0xa8);
	assert_false(segment_number("a7.seg", true, &n));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_commit_lines),
		cmocka_unit_test(test_outcome),
		cmocka_unit_test(test_outcome_limits),
		cmocka_unit_test(test_split_message),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
