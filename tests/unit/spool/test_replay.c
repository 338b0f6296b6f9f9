/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What records of three segments say of one message: read one by one, and the second segment by
 * its summary. One letter is one record: M, C (its chunks begin in the first segment), U, X.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spool/replay.h"
#include "spool/summary.h"
#include "unit/spool/same.h"

#include "base/banned.h"

#define FIRST	0x68u
#define SECOND	0x69u
#define THIRD	0x6au
#define END	(1u << 30)
#define OLD	((uint64_t)FIRST << 24 | 1)	/* began in the first segment ... */
#define NEW	((uint64_t)SECOND << 24 | 1)	/* ... or in the second */

static void
put_payload(struct buf *out, char type, unsigned n)
{
	struct extent x = { FIRST, 4, 14, 1 };
	struct commit_lines c = { .size = 4, .received_ms = 1000, .nrcpt = 1, .envelope = 10, .nextent = 1,
		.extent = &x };
	bool ok = true;

	if (type == 'M')
		ok = buf_add(out, VIEW("from: a@example.com\nreceived: 2026-11-22T07:30:23.001Z\n"
		    "protocol: SMTP\nrcpt: b@example.net\nsize: 4\n\ntext"));
	else if (type == 'C')
		ok = lines_put_commit(out, &c);
	else if (type == 'U')
		ok = buf_addf(out, "prev: %016x %016x\nattempts: %u\n", 0, 0, n);
	assert_true(ok);
}

static void
play(struct replay *rp, uint64_t id, uint32_t segment, const char *records)
{
	struct buf payload;

	buf_init(&payload, 4096);
	for (unsigned i = 0; records[i] != '\0'; i++) {
		struct scan_record x = { .head = { .type = (uint8_t)records[i], .id = id },
			.at = 256 + i * 512, .length = 512 };

		buf_clear(&payload);
		put_payload(&payload, records[i], segment % 8 * 10 + i);
		x.payload = buf_view(&payload);
		replay_record(rp, segment, &x);
	}
	buf_done(&payload);
}

/* What a walk of all of them says is in *walked, what the summary of the second one makes of it in *summed. */
static void
play_both(struct replay *walked, struct replay *summed, uint64_t id, const char *const records[3])
{
	struct buf text;

	replay_init(walked);
	replay_init(summed);
	play(walked, id, FIRST, records[0]);
	play(summed, id, FIRST, records[0]);
	walked->gather = summary_new(SECOND);
	play(walked, id, SECOND, records[1]);
	buf_init(&text, SUMMARY_MAX);
	assert_true(summary_put(&text, walked->gather));
	assert_true(summary_check(buf_view(&text), END));
	replay_summary(summed, SECOND, buf_view(&text));
	summary_free(walked->gather);
	walked->gather = NULL;
	buf_done(&text);
	play(walked, id, THIRD, records[2]);
	play(summed, id, THIRD, records[2]);
}

/* The n-th string of these letters, the shorter ones first. */
static const char *
nth(char text[8], unsigned n, const char *letters)
{
	unsigned k = (unsigned)strlen(letters);
	char *at = text + 7;

	for (*at = '\0'; n > 0; n = (n - 1) / k)
		*--at = letters[(n - 1) % k];
	return at;
}

static void
compare(uint64_t id, const char *const records[3])
{
	const struct spool_message *a, *b;
	struct replay walked, summed;

	play_both(&walked, &summed, id, records);
	a = index_get(walked.found, id);
	b = index_get(summed.found, id);
	if ((a == NULL) != (b == NULL) || (a != NULL && !same_message(a, b)))
		fail_msg("%s|%s|%s", records[0], records[1], records[2]);
	replay_done(&walked);
	replay_done(&summed);
}

#define UP_TO_4	341u		/* strings of up to so many letters */
#define UP_TO_2	21u

static void
test_summary_says_the_same(void **state)
{
	char first[8], second[8], third[8];

	for (unsigned i = 0; i < UP_TO_2; i++)
		for (unsigned k = 0; k < UP_TO_4; k++)
			for (unsigned n = 0; n <= 4; n++) {
				const char *const records[3] = { nth(first, i, "MUXC"),
					nth(second, k, "MUXC"), nth(third, n, "MUXC") };

				compare(OLD, records);
				if (i == 0)
					compare(NEW, records);
			}
}

/* Where the message begins: what stands before that may be released. */
static void
test_begin(void **state)
{
	static const struct {
		const char *records[3];
		uint32_t first;
		unsigned attempts;
	} cases[] = {
		{ { "M", "", "" }, FIRST, 0 },
		{ { "", "C", "" }, FIRST, 0 },
		/* A copy of a message without an outcome needs nothing of what was before it. */
		{ { "M", "M", "" }, SECOND, 0 },
		/* The outcome behind the copy is lost: the one before counts, and needs its message. */
		{ { "MU", "M", "" }, FIRST, 1 },
		{ { "M", "UM", "" }, FIRST, 10 },
		{ { "MU", "M", "M" }, FIRST, 1 },
		{ { "", "MU", "M" }, SECOND, 11 },
		/* It is there, so nothing in front of the copy is needed any more. */
		{ { "MU", "MU", "" }, SECOND, 11 },
		{ { "M", "UMU", "" }, SECOND, 12 },
		{ { "MU", "M", "U" }, SECOND, 20 },
		{ { "MU", "M", "MU" }, THIRD, 21 },
		/* Once it has ended, nothing is held. */
		{ { "MU", "XM", "" }, SECOND, 0 },
		{ { "MU", "MX", "M" }, THIRD, 0 },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		const struct spool_message *m;
		struct replay walked, summed;

		play_both(&walked, &summed, OLD, cases[i].records);
		m = index_get(walked.found, OLD);
		if (m == NULL || m->first_segment != cases[i].first)
			fail_msg("%s|%s|%s", cases[i].records[0], cases[i].records[1], cases[i].records[2]);
		assert_int_equal(m->attempts, cases[i].attempts);
		replay_done(&walked);
		replay_done(&summed);
	}
}

static size_t
count_orphans(const struct replay *rp)
{
	uint32_t segment;
	size_t n = 0;

	for (size_t pos = 0; replay_next_orphan(rp, &pos, &segment) != 0; n++)
		assert_int_equal(segment, SECOND);
	return n;
}

/* What a U speaks of, and is not there: but for a bound, and until it is, or its end. */
static void
test_orphans(void **state)
{
	struct replay rp;

	replay_init(&rp);
	play(&rp, OLD, SECOND, "U");
	assert_int_equal(count_orphans(&rp), 1);
	play(&rp, OLD, SECOND, "UX");
	assert_int_equal(count_orphans(&rp), 0);
	play(&rp, OLD, SECOND, "UM");
	assert_int_equal(count_orphans(&rp), 0);
	for (uint64_t id = 2; id < 70000; id++)
		play(&rp, (uint64_t)FIRST << 24 | id, SECOND, "U");
	assert_int_equal(count_orphans(&rp), 65536);
	play(&rp, (uint64_t)FIRST << 24 | 2, SECOND, "UX");
	assert_int_equal(count_orphans(&rp), 65535);
	replay_done(&rp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_summary_says_the_same),
		cmocka_unit_test(test_begin),
		cmocka_unit_test(test_orphans),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
