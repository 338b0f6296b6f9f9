/* SPDX-License-Identifier: BSD-2-Clause */
/* Summaries of segments: what they say, when they count, and that a walk says the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spool/segment.h"
#include "spool/walk.h"
#include "unit/spool/same.h"
#include "unit/spool/world.h"

#include "base/banned.h"

/* --- what they say ---------------------------------------------------------------- */

#define HERE	0x69u
#define BORN	((uint64_t)HERE << 24)

static void
message(struct summary *s, spool_id id, uint32_t offset64)
{
	struct spool_message m = { .id = id, .received_ms = 1000, .size = 300, .segment = HERE,
		.offset64 = offset64, .length64 = 5, .nrcpt = 2, .first_segment = HERE, .uid = 33,
		.flags = SPOOL_BOUNCE | SPOOL_HELD };

	summary_message(s, &m);
}

static void
outcome(struct summary *s, spool_id id, uint32_t offset64, const char *text)
{
	summary_outcome(s, id, (uint64_t)offset64 * 64, 256, view_str(text));
}

#define ROW_M(id, at)	"M " id " " at " 00000140 00000000000003e8 000000000000012c 0002 04 00000069 000000000000023\n"

#define ROW_U(id, at)	"U " id " " at " 00000100 00000013\nattempts: 3\nkey: v\n"

/* One event a letter, the message's id a digit: M, U, X; ids from 5 on began in an earlier segment. */
static void
play(struct summary *s, const char *events)
{
	uint32_t at = 1;

	for (; events[0] != '\0'; events += 2, at += 16) {
		spool_id id = (uint64_t)(events[1] - '0');

		if (id < 5)
			id |= BORN;
		if (events[0] == 'M')
			message(s, id, at);
		else if (events[0] == 'U')
			outcome(s, id, at, "prev: 1 40\nattempts: 3\nendpoint: h:25\nkey: v\ntext: 0-0 4.0.0 no\n");
		else
			summary_finish(s, id, (uint64_t)at * 64);
	}
}

static void
test_rules(void **state)
{
	static const struct {
		const char *events, *text;
	} cases[] = {
		{ "", "rows: 0\n" },
		{ "M1", "rows: 1\n" ROW_M("0000000069000001", "00000040") },
		{ "M2M1", "rows: 2\n" ROW_M("0000000069000001", "00000440") ROW_M("0000000069000002", "00000040") },
		/* The last outcome counts, without what is found by its place. */
		{ "M1U1U1", "rows: 2\n" ROW_M("0000000069000001", "00000040")
		    ROW_U("0000000069000001", "00000840") },
		{ "U9", "rows: 1\n" ROW_U("0000000000000009", "00000040") },
		{ "U9X9", "rows: 1\nX 0000000000000009\n" },
		/* Came and ended in the segment of its number: nothing of it is elsewhere. */
		{ "M1U1X1", "rows: 0\n" },
		{ "M1X1U1", "rows: 0\n" },
		/* A copy that was moved here: its first place may still be there. */
		{ "M9U9X9", "rows: 1\nX 0000000000000009\n" },
		{ "M9X9M9", "rows: 2\nX 0000000000000009\n" ROW_M("0000000000000009", "00000840") },
		{ "X9M9U9M9", "rows: 3\nX 0000000000000009\n" ROW_M("0000000000000009", "00000c40")
		    ROW_U("0000000000000009", "00000840") },
		{ "M1X1M1", "rows: 1\n" ROW_M("0000000069000001", "00000840") },
		/* It stands as it stood before, as far as it was known. */
		{ "U9M9", "rows: 2\n" ROW_U("0000000000000009", "00000040") ROW_M("0000000000000009", "00000440") },
		{ "M9U9M9", "rows: 2\n" ROW_M("0000000000000009", "00000840") ROW_U("0000000000000009", "00000440") },
		{ "U9M9U9", "rows: 2\n" ROW_M("0000000000000009", "00000440") ROW_U("0000000000000009", "00000840") },
		{ "X9U9", "rows: 1\nX 0000000000000009\n" },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct summary *s = summary_new(HERE);
		struct buf text;

		buf_init(&text, SUMMARY_MAX);
		play(s, cases[i].events);
		assert_true(summary_bytes(s) >= strlen(cases[i].text));
		assert_true(summary_put(&text, s));
		assert_string_equal(buf_cstr(&text), cases[i].text);
		assert_true(summary_check(buf_view(&text), 1u << 20));
		buf_clear(&text);
		assert_true(summary_put(&text, s));	/* what is folded stays so */
		assert_string_equal(buf_cstr(&text), cases[i].text);
		buf_done(&text);
		summary_free(s);
	}
}

/* What was finished takes no memory for long, and what is left is exact. */
static void
test_fold(void **state)
{
	struct summary *s = summary_new(HERE);
	struct summary_row row;
	struct buf text;
	struct view v;
	unsigned n = 0;

	for (uint32_t i = 1; i <= 20000; i++) {
		message(s, BORN | i, 3 * i);
		outcome(s, BORN | i, 3 * i + 1, "prev: 1 40\nattempts: 1\n");
		if (i % 50 != 0)
			summary_finish(s, BORN | i, ((uint64_t)3 * i + 2) * 64);
		assert_true(summary_bytes(s) < 2048 * 200);
	}
	buf_init(&text, SUMMARY_MAX);
	assert_true(summary_put(&text, s));
	assert_true(buf_len(&text) <= summary_bytes(s));
	for (v = buf_view(&text); summary_next(&v, &row); n++)
		assert_int_equal(row.id, BORN | (n / 2 + 1) * 50);
	assert_int_equal(n, 800);
	buf_done(&text);
	summary_free(s);
}

/* Too large: none, and it stays so. */
static void
test_too_large(void **state)
{
	struct summary *s = summary_new(HERE);
	struct buf text;

	for (uint32_t i = 1; summary_bytes(s) != 0 && i < 700000; i++)
		message(s, BORN | i, i);
	assert_int_equal(summary_bytes(s), 0);
	message(s, BORN | 1, 1);
	outcome(s, BORN | 1, 2, "prev: 1 40\n");
	summary_finish(s, 9, 64);
	buf_init(&text, SUMMARY_MAX);
	assert_false(summary_put(&text, s));
	buf_done(&text);
	summary_free(s);
}

static void
test_check(void **state)
{
	static const char *const bad[] = {
		"", "rows: 1\n", "rows: x\n", "rows: 0\nX 0000000000000009\n",
		"rows: 2\nX 0000000000000009\nX 0000000000000009\n",
		"rows: 2\nX 0000000000000009\nX 0000000000000008\n",
		"rows: 1\nX 0000000000000000\n", "rows: 1\nX 00000000000009\n", "rows: 1\nY 0000000000000009\n",
		"rows: 1\nU 0000000000000009 00000040 00000100 00000014\nattempts: 3\nkey: v\n",
		"rows: 1\nU 0000000000000009 00000040 00000100 0000000c\nattempts: x\n",
		"rows: 2\n" ROW_M("0000000000000009", "00000440") "X 0000000000000009\n",
		"rows: 2\n" ROW_M("0000000000000009", "00000440") ROW_M("0000000000000009", "00000440"),
		"rows: 1\n" ROW_M("0000000000000009", "00000041"),
		"rows: 1\n" ROW_M("0000000000000009", "00000000"),
		"rows: 1\n" ROW_M("0000000000000009", "0000ff00"),
		"rows: 1\nM 0000000000000009 00000040 00000140 00000000000003e8 000000000000012c 0000 04 00000069\n",
		"rows: 1\nM 0000000000000009 00000040 00000140 00000000000003e8 000000000000012c ffff 04 00000069\n",
		"rows: 1\nM 0000000000000009 00000040 00000140 00000000000003e8 000000000000012c 0001 01 00000069\n",
		"rows: 1\nM 0000000000000009 00000040 00000140 00000000000003e8 000000000000012c 0001 04 00000000\n",
		"rows: 1\nM 0000000000000009 00000040 00000150 00000000000003e8 000000000000012c 0001 04 00000069\n",
	};
	static const char *const good[] = {
		"rows: 0\n", "rows: 1\n" ROW_M("0000000000000009", "0000fec0"),
		"rows: 1\nX 0000000000000009 and what a later version adds\n",
	};

	for (size_t i = 0; i < lengthof(bad); i++)
		assert_false(summary_check(view_str(bad[i]), 0x10000));
	for (size_t i = 0; i < lengthof(good); i++)
		assert_true(summary_check(view_str(good[i]), 0x10000));
}

/* --- when they count ---------------------------------------------------------------- */

static int
make_segment(struct twin_fs *fs, struct segment *sg, uint64_t records, struct segment_closed *closed)
{
	struct segment_start start = { .number = HERE, .nonce = 77 };

	assert_int_equal(fs_mkdir(&fs->fs, DIR_LOG, NULL), 0);
	assert_int_equal(fs_mkdir(&fs->fs, DIR_SPARE, NULL), 0);
	sg->size = SEGMENT;
	assert_int_equal(segment_begin(&fs->fs, &start, 0, SEGMENT, &sg->fd, NULL), 0);
	sg->written = segment_start_room(&start) + records;
	assert_int_equal(segment_seal(&fs->fs, sg->fd, sg, closed, NULL), 0);
	return sg->fd;
}

static void
test_proof(void **state)
{
	static const struct {
		const char *what;
		uint64_t epoch;
		uint32_t index;
		bool cut, named, elsewhere, damaged, other_nonce, counts;
	} cases[] = {
		{ "named by the next one", 2, 1, .named = true, .counts = true },
		{ "first of its epoch, at the end", 3, 0, .cut = true, .counts = true },
		{ "not the first of its epoch", 2, 1, .cut = true },
		{ "not at the end", 3, 0 },
		{ "another place", 2, 1, .named = true, .elsewhere = true },
		{ "damaged", 2, 1, .named = true, .damaged = true },
		{ "of an earlier use", 2, 1, .named = true, .other_nonce = true },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct segment *sg = segment_new(HERE, 77);
		struct segment_closed closed;
		struct twin_fs fs;
		struct buf bytes;
		struct view text;
		uint64_t end = 0;

		twin_fs_init(&fs);
		sg->epoch = cases[i].epoch;
		sg->index = cases[i].index;
		sg->summary = summary_new(HERE);
		play(sg->summary, "U9");
		make_segment(&fs, sg, 1024, &closed);
		if (cases[i].cut) {
			assert_int_equal(fs_truncate(&fs.fs, sg->fd, closed.end, NULL), 0);
			sg->size = closed.end;
		}
		if (cases[i].named)
			sg->summary_at = closed.summary + (cases[i].elsewhere ? 128 : 0);
		if (cases[i].damaged)
			twin_fs_damage(&fs, twin_fs_name(&fs, "log", 0), closed.summary + 135);	/* v */
		if (cases[i].other_nonce)
			sg->nonce = 78;
		buf_init(&bytes, SUMMARY_MAX);
		if (segment_read_summary(&fs.fs, sg->fd, sg, &bytes, &text, &end) != cases[i].counts)
			fail_msg("%s", cases[i].what);
		assert_int_equal(end, cases[i].counts ? closed.end : 0);
		buf_done(&bytes);
		fs_close(&fs.fs, sg->fd);
		sg->fd = -1;
		segment_free(sg);
		twin_fs_done(&fs);
	}
}

/* Z without a summary: only as the first of its epoch does it say that all of the segment was synced. */
static void
test_end_alone(void **state)
{
	for (uint32_t index = 0; index < 2; index++) {
		struct segment *sg = segment_new(HERE, 77);
		struct segment_closed closed, end;
		struct twin_fs fs;

		twin_fs_init(&fs);
		sg->epoch = 3;
		sg->index = index;
		make_segment(&fs, sg, 1024, &closed);
		assert_int_equal(closed.summary, 0);
		assert_int_equal(fs_truncate(&fs.fs, sg->fd, closed.end, NULL), 0);
		sg->size = closed.end;
		assert_int_equal(segment_find_end(&fs.fs, sg->fd, sg, &end), index == 0);
		fs_close(&fs.fs, sg->fd);
		sg->fd = -1;
		segment_free(sg);
		twin_fs_done(&fs);
	}
}

/* --- against the walk ------------------------------------------------------------------- */

/* The walk reads every record, and compares summaries with what it read. */
static void
check_walk(struct world *w)
{
	struct walk_totals totals;
	struct walk *walk;

	assert_int_equal(walk_new(&walk, &w->fs->fs, NULL), 0);
	walk_totals(walk, &totals);
	assert_int_equal(totals.messages, w->ntold);
	assert_null(walk_fault(walk, 0));
	for (size_t i = 0; i < totals.messages; i++) {
		const struct spool_message *m = walk_message(walk, i);

		assert_non_null(spool_find(w->spool, m->id));
		assert_true(same_message(m, spool_find(w->spool, m->id)));
	}
	walk_free(walk);
}

static struct spool_message *
any_message(struct world *w, struct rng *rng)
{
	struct spool_message *m = NULL, *next;
	uint64_t n = rng_below(rng, 20);

	for (size_t pos = 0; n-- > 0 && (next = spool_next(w->spool, &pos)) != NULL;)
		m = next;
	return m;
}

static void
some_outcome(struct world *w, struct rng *rng, bool finish)
{
	struct spool_message *m = any_message(w, rng);
	struct spool_result r[5];
	struct spool_update u = { .result = r, .attempts = (uint16_t)rng_below(rng, 9), .endpoint = "h:587",
		.flags = rng_below(rng, 3) == 0 ? SPOOL_UNCERTAIN : 0,
		.next_ms = rng_below(rng, 2) == 0 ? 0 : 1795332600000 + (int64_t)rng_below(rng, 100000) };
	struct envelope env;
	struct spool_bounce bounce = { &env, VIEW("what went wrong\n") };

	if (m == NULL)
		return;
	for (uint32_t i = 0; i < m->nrcpt && i < lengthof(r); i++)
		if (finish || rng_below(rng, 2) == 0)
			r[u.nresult++] = (struct spool_result){ .rcpt = i, .state = finish ? SPOOL_FAILED :
				(enum spool_rcpt_state)rng_below(rng, 2), .code = (uint16_t)(250 + rng_below(rng, 9)),
				.status = "4.0.0", .text = VIEW("said: so") };
	if (!finish) {
		spool_update(w->spool, m, &u, NULL, NULL);
		return;
	}
	envelope_init(&env);
	envelope_add_rcpt(&env, VIEW("alice@example.com"));
	env.received_ms = 1795332600001;
	env.uid = env.pid = -1;
	env.bounce = true;
	spool_finish(w->spool, m, &u, rng_below(rng, 3) == 0 ? &bounce : NULL, NULL, NULL);
	envelope_done(&env);
}

static void
some_work(struct world *w, struct rng *rng)
{
	static struct commit c[200];

	for (unsigned i = 0; i < lengthof(c); i++) {
		unsigned what = (unsigned)rng_below(rng, 10);

		if (what < 5)
			world_commit(w, world_fill(w, rng_below(rng, 20) == 0 ? 150000 : rng_below(rng, 2000), i,
			    1 + (uint32_t)rng_below(rng, 3) * 2), &c[i]);
		else
			some_outcome(w, rng, what > 7);
		if (rng_below(rng, 4) == 0)
			world_run(w, (int64_t)rng_below(rng, 10));
	}
	world_run(w, rng_below(rng, 2) * 3000);
}

/* Stop or kill, start; what recovery says is what the walk says. */
static void
test_same_as_walk(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct rng rng;
		struct pair p;

		rng_init(&rng, seed);
		setup(&p);
		for (unsigned run = 0; run < 8; run++) {
			some_work(&p.w, &rng);
			if (rng_below(&rng, 3) == 0) {
				world_run(&p.w, 5);
				world_kill(&p.w);
			} else {
				world_close(&p.w);
			}
			world_open(&p.w);
			world_run(&p.w, 200);
			check_walk(&p.w);
			assert_int_equal(p.w.troubles, 0);
		}
		for (unsigned i = 0; i + 1 < twin_fs_count(&p.fs, "log"); i++) {
			uint64_t size;

			assert_non_null(twin_fs_content(&p.fs, twin_fs_name(&p.fs, "log", i), &size));
			assert_true(size <= SEGMENT);
		}
		teardown(&p);
	}
}

/* Bodies are not read; the number of descriptors does not grow with that of the segments. */
static void
test_reads_little(void **state)
{
	struct commit c[300];
	struct pair p;
	uint64_t before;
	size_t most = 0;

	setup(&p);
	accept_many(&p, c, lengthof(c), 60000);
	world_close(&p.w);
	assert_true(twin_fs_count(&p.fs, "log") >= 18);
	before = p.fs.read_bytes;
	world_open(&p.w);
	while (p.w.ntold < lengthof(c)) {
		world_run(&p.w, 1);
		if (twin_fs_open_files(&p.fs) > most)
			most = twin_fs_open_files(&p.fs);
	}
	assert_true(p.fs.read_bytes - before < lengthof(c) * (SUMMARY_MESSAGE_ROW + 200));
	assert_true(most <= 52);
	for (unsigned i = 0; i < lengthof(c); i++)
		assert_true(world_has(&p.w, c[i].id, 60000, i));
	teardown(&p);
}

/* Many small messages: room for their rows is kept in the segment. */
static void
test_room(void **state)
{
	static struct commit c[3500];
	uint64_t size;
	struct pair p;

	setup(&p);
	for (unsigned i = 0; i < lengthof(c); i++) {
		world_commit(&p.w, world_fill(&p.w, 20, i, 1), &c[i]);
		if (i % 30 == 29)
			world_run(&p.w, 5);
	}
	world_run(&p.w, 5);
	assert_true(twin_fs_count(&p.fs, "log") >= 2);
	assert_non_null(twin_fs_content(&p.fs, twin_fs_name(&p.fs, "log", 0), &size));
	assert_int_equal(size, SEGMENT);
	assert_true(world_find(&p.fs, twin_fs_name(&p.fs, "log", 0), 'T', 0, 0) > SEGMENT / 2);
	teardown(&p);
}

/* --- damaged ---------------------------------------------------------------------------- */

/* T or Z damaged, after a stop or a rotation: walked, and all is there. */
static void
test_damaged(void **state)
{
	static const struct {
		uint8_t type;
		uint64_t offset;
	} cases[] = { { 'T', 1 }, { 'T', 40 }, { 'T', 64 }, { 'T', 80 }, { 'T', 120 }, { 'T', 150 }, { 'Z', 1 },
		{ 'Z', 70 }, { 'Z', 100 } };

	for (size_t i = 0; i < lengthof(cases) * 2; i++) {
		bool rotated = i >= lengthof(cases);
		struct commit c[20];
		const char *name;
		struct pair p;

		setup(&p);
		accept_many(&p, c, lengthof(c), rotated ? 60000 : 600);
		world_finish(&p.w, c[3].id);
		world_run(&p.w, 2000);
		world_close(&p.w);
		name = twin_fs_name(&p.fs, "log", 0);
		twin_fs_damage(&p.fs, name, world_find(&p.fs, name, cases[i % lengthof(cases)].type, 0, 0) +
		    cases[i % lengthof(cases)].offset);
		world_open(&p.w);
		world_run(&p.w, 200);
		assert_int_equal(p.w.ntold, lengthof(c) - 1);
		for (unsigned k = 0; k < lengthof(c); k++)
			assert_int_equal(world_has(&p.w, c[k].id, rotated ? 60000 : 600, k), k != 3);
		teardown(&p);
	}
}

/* The walk of the administrator sees a summary that is whole but wrong. */
static void
test_wrong(void **state)
{
	struct segment *sg = segment_new(HERE, 77);
	struct segment_closed closed;
	struct walk_totals totals;
	struct walk *walk;
	struct twin_fs fs;

	twin_fs_init(&fs);
	sg->summary = summary_new(HERE);
	play(sg->summary, "X9");	/* no record says so */
	fs_close(&fs.fs, make_segment(&fs, sg, 0, &closed));
	sg->fd = -1;
	assert_int_equal(walk_new(&walk, &fs.fs, NULL), 0);
	walk_totals(walk, &totals);
	assert_int_equal(totals.damaged, 1);
	assert_int_equal(walk_fault(walk, 0)->at, closed.summary);
	walk_free(walk);
	segment_free(sg);
	twin_fs_done(&fs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_proof),
		cmocka_unit_test(test_end_alone),
		cmocka_unit_test(test_same_as_walk),
		cmocka_unit_test(test_reads_little),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
