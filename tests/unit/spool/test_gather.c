/* SPDX-License-Identifier: BSD-2-Clause */
/* New mail while batches wait for a slow disk: whose is in which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/spool/world.h"

#include "base/banned.h"

#define HOSTILE	200		/* messages that fill many batches: these take 256 KiB here */
#define TEXT	30000

static struct commit hostile[HOSTILE];

static void
give(struct pair *p, int64_t uid, size_t size, uint64_t seed, struct commit *c)
{
	p->w.uid = uid;
	world_commit(&p->w, world_fill(&p->w, size, seed, 1), c);
}

/* The disk takes one batch every 10 ms; runs until it is told. Returns how many that were. */
static uint64_t
batches_until(struct pair *p, const struct commit *c)
{
	struct spool_stats before, after;

	spool_stats(p->w.spool, &before);
	while (c->calls == 0)
		world_run(&p->w, 1);
	assert_int_equal(c->e.kind, ERR_NONE);
	spool_stats(p->w.spool, &after);
	return after.commits - before.commits;
}

static void
flood(struct pair *p, int64_t uid)
{
	for (unsigned i = 0; i < HOSTILE; i++)
		give(p, uid, TEXT, i, &hostile[i]);
}

static void
test_others_are_in_the_next_batch(void **state)
{
	struct commit c[5];
	struct pair p;

	setup(&p);
	p.w.worker.delay_ms = 10;
	flood(&p, 33);
	world_run(&p.w, 1);		/* the first batch is on its way */
	for (unsigned i = 0; i < lengthof(c); i++)
		give(&p, 34 + i, 1000, 1000 + i, &c[i]);
	for (unsigned i = 0; i < lengthof(c); i++)
		assert_in_range(batches_until(&p, &c[i]), 0, 2);
	assert_true(batches_until(&p, &hostile[HOSTILE - 1]) > 10);
	for (unsigned i = 0; i < HOSTILE; i++)
		assert_true(world_has(&p.w, hostile[i].id, TEXT, i));
	teardown(&p);
}

/* Those whose user is not known are one user; a second flood does not close the door either. */
static void
test_two_who_flood(void **state)
{
	static struct commit second[HOSTILE];
	struct pair p;
	struct commit c;

	setup(&p);
	p.w.worker.delay_ms = 10;
	flood(&p, -1);
	for (unsigned i = 0; i < HOSTILE; i++)
		give(&p, 33, TEXT, i, &second[i]);
	world_run(&p.w, 1);
	give(&p, 34, 1000, 1, &c);
	assert_in_range(batches_until(&p, &c), 1, 2);
	(void)batches_until(&p, &hostile[HOSTILE - 1]);
	(void)batches_until(&p, &second[HOSTILE - 1]);
	teardown(&p);
}

/* Chunks of one message leave in their order, whatever room there is in front. */
static void
test_chunks_keep_their_order(void **state)
{
	static const size_t size[] = { 70000, 200001, 500000, 66000, 131072, 900000, 100000, 65600 };
	struct commit c[lengthof(size)], small[lengthof(size)];
	struct pair p;

	setup(&p);
	for (unsigned round = 0; round < 10; round++) {
		p.w.worker.delay_ms = 1 + round;
		for (unsigned i = 0; i < lengthof(size); i++) {
			give(&p, 33 + i % 3, size[i], i, &c[i]);
			give(&p, 33 + i % 2, 100 * i, i, &small[i]);
			world_run(&p.w, i % 2);
		}
		for (unsigned i = 0; i < lengthof(size); i++) {
			(void)batches_until(&p, &c[i]);
			(void)batches_until(&p, &small[i]);
			assert_true(world_has(&p.w, c[i].id, size[i], i));
			world_finish(&p.w, c[i].id);
			assert_true(world_has(&p.w, small[i].id, 100 * i, i));
			world_finish(&p.w, small[i].id);
		}
	}
	teardown(&p);
}

/* Who begins messages and gives them up does not fill the memory while the disk is stuck. */
static void
test_what_waits_is_bounded(void **state)
{
	static uint8_t text[3 * SPOOL_CHUNK];
	struct spool_txn *t;
	struct pair p;
	struct err e;
	size_t pending, n = 0;

	setup(&p);
	memset(text, 'x', sizeof(text));
	p.w.worker.stalled = true;
	p.w.uid = 33;
	while ((t = world_begin(&p.w, 1, &e)) != NULL && n < 1000) {
		assert_int_equal(spool_append(t, view_of(text, sizeof(text)), &pending, NULL), 0);
		spool_abort(t);
		world_run(&p.w, 1);
		n++;
	}
	assert_null(t);
	assert_int_equal(e.kind, ERR_FULL);
	assert_in_range(n * sizeof(text), 32u << 20, 33u << 20);
	p.w.uid = 34;
	t = world_begin(&p.w, 1, &e);
	assert_non_null(t);
	spool_abort(t);
	p.w.worker.stalled = false;
	twin_worker_kick(&p.w.worker);
	world_run(&p.w, 5000);
	p.w.uid = 33;
	t = world_begin(&p.w, 1, &e);
	assert_non_null(t);
	spool_abort(t);
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others_are_in_the_next_batch),
		cmocka_unit_test(test_two_who_flood),
		cmocka_unit_test(test_chunks_keep_their_order),
		cmocka_unit_test(test_what_waits_is_bounded),
	};

	return cmocka_run_group_tests_name("gather", tests, NULL, NULL);
}
