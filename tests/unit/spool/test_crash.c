/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A crash before every operation of some workloads: what was acknowledged is there
 * byte for byte, what was finished and synced is not, and recovering twice gives the
 * same as once.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/spool/world.h"

#include "base/banned.h"

#define MESSAGES 24

enum fate {
	STARTED,		/* may be there */
	ACCEPTED,		/* must be there */
	FINISHING,		/* may be there */
	FINISHED		/* must not be there */
};

struct sent {
	struct commit	c;
	spool_id	id;
	size_t		size;
	uint64_t	seed;
	enum fate	fate;
	uint16_t	attempts;	/* recorded and synced; 0: none */
	spool_id	bounce;		/* 0: none; then exactly one of both is there */
};

struct test {
	struct world	 w;
	struct twin_fs	 fs;
	struct sent	 sent[MESSAGES];
	size_t		 n;
	unsigned	 crashes, images;
	enum twin_keep	 keep;
};

/* --- the judge ---------------------------------------------------------------- */

static void
check_sent(struct world *w, const struct sent *x)
{
	enum fate fate = x->fate;
	bool there = spool_find(w->spool, x->id) != NULL;

	/* Between the sync and the callback of its commit. */
	if (fate == STARTED && x->c.calls != 0 && x->c.e.kind == ERR_NONE)
		fate = ACCEPTED;
	if (fate == ACCEPTED)
		assert_true(there);
	if (fate == FINISHED)
		assert_false(there);
	if (there)
		assert_true(world_has(w, x->id, x->size, x->seed));
	if (there && x->attempts != 0)
		assert_int_equal(spool_find(w->spool, x->id)->attempts, x->attempts);
}

static void
check_image(struct test *t, struct twin_fs *image)
{
	spool_id first[WORLD_MESSAGES];
	struct world w;
	size_t n, messages = 0;

	world_init(&w, image);
	world_open(&w);
	world_run(&w, 50);
	assert_int_equal(w.recovered, 1);
	if (w.troubles != 0)
		print_error("%s\n", w.trouble);
	assert_int_equal(w.troubles, 0);		/* a crash is no damage */
	for (size_t i = 0; i < t->n; i++) {
		const struct sent *x = &t->sent[i];

		check_sent(&w, x);
		messages += spool_find(w.spool, x->id) != NULL;
		if (x->bounce == 0)
			continue;
		messages += spool_find(w.spool, x->bounce) != NULL;
		assert_true((spool_find(w.spool, x->id) != NULL) != (spool_find(w.spool, x->bounce) != NULL));
	}
	assert_int_equal(w.ntold, messages);		/* and nothing else */
	n = w.ntold;
	memcpy(first, w.told, sizeof(first));
	world_close(&w);
	world_open(&w);
	world_run(&w, 50);
	assert_int_equal(w.ntold, n);
	assert_memory_equal(first, w.told, n * sizeof(first[0]));
	assert_int_equal(w.troubles, 0);
	world_done(&w);
}

static void
crash_here(void *arg, enum twin_op op, const char *name)
{
	struct test *t = arg;
	struct twin_fs image;
	unsigned images = t->keep == TWIN_KEEP_SOME ? 2 : 1;

	for (unsigned i = 0; i < images; i++) {
		twin_fs_crash(&image, &t->fs, t->keep, t->crashes * 7 + i);
		check_image(t, &image);
		assert_int_equal(twin_fs_open_files(&image), 0);
		twin_fs_done(&image);
		t->images++;
	}
	t->crashes++;
}

/* --- what is done ----------------------------------------------------------------- */

static struct sent *
put(struct test *t, size_t size)
{
	struct sent *x = &t->sent[t->n];
	struct spool_txn *txn;

	assert_true(t->n < MESSAGES);
	*x = (struct sent){ .size = size, .seed = t->n + 1 };
	txn = world_fill(&t->w, size, x->seed, 1);
	x->id = t->w.last_id;
	t->n++;
	world_commit(&t->w, txn, &x->c);
	return x;
}

static void
accepted(struct test *t, struct sent *x)
{
	world_run(&t->w, 20);
	assert_int_equal(x->c.calls, 1);
	assert_int_equal(x->c.e.kind, ERR_NONE);
	assert_true(x->c.id == x->id);
	x->fate = ACCEPTED;
}

static void
finish(struct test *t, struct sent *x)
{
	x->fate = FINISHING;
	world_finish(&t->w, x->id);
}

static void
run(struct test *t, enum twin_keep keep, void (*work)(struct test *))
{
	*t = (struct test){ .keep = keep };
	twin_fs_init(&t->fs);
	world_init(&t->w, &t->fs);
	t->fs.before = crash_here;
	t->fs.arg = t;
	work(t);
	crash_here(t, TWIN_OPS, "the end");
	t->fs.before = NULL;
	world_done(&t->w);
	twin_fs_done(&t->fs);
	assert_true(t->crashes > 10 && t->images >= t->crashes);
}

static void
run_all(void (*work)(struct test *))
{
	struct test t;

	run(&t, TWIN_KEEP_SYNCED, work);
	run(&t, TWIN_KEEP_ALL, work);
	run(&t, TWIN_KEEP_SOME, work);
}

/* --- workloads ------------------------------------------------------------------------ */

static void
work_small(struct test *t)
{
	struct sent *a, *b, *c;

	world_open(&t->w);
	a = put(t, 300);
	b = put(t, 2000);
	accepted(t, a);
	accepted(t, b);
	finish(t, a);
	world_run(&t->w, 5);
	c = put(t, 100);
	accepted(t, c);
	a->fate = FINISHED;		/* synced with c */
	finish(t, b);
	world_run(&t->w, 1500);
	b->fate = FINISHED;		/* by outcome_sync */
	world_reopen(&t->w);
	finish(t, c);
	world_run(&t->w, 1500);
	c->fate = FINISHED;
}

/* Chunks, commits in the next segment, rotation, release. */
static void
work_big(struct test *t)
{
	struct sent *x[6];

	world_open(&t->w);
	world_run(&t->w, 20);
	for (unsigned i = 0; i < 6; i++) {
		x[i] = put(t, 200000 + i * 60000);
		accepted(t, x[i]);
	}
	for (unsigned i = 0; i < 5; i++)
		finish(t, x[i]);
	world_run(&t->w, 1500);
	for (unsigned i = 0; i < 5; i++)
		x[i]->fate = FINISHED;
	world_run(&t->w, 1500);
}

/* Finished segments are used again, twice over. */
static void
work_used_again(struct test *t)
{
	struct sent *x[9];

	world_open(&t->w);
	world_run(&t->w, 20);
	for (unsigned i = 0; i < 9; i++) {
		x[i] = put(t, 400000);
		accepted(t, x[i]);
		if (i < 2)
			continue;
		finish(t, x[i - 2]);
		world_run(&t->w, 1500);
		x[i - 2]->fate = FINISHED;
	}
	assert_true(twin_fs_count(&t->fs, "log") <= 3);
}

/* What is left of an old segment goes forward: small and long, with and without an outcome; one ends meanwhile. */
static void
work_stragglers(struct test *t)
{
	struct spool_result r = { .state = SPOOL_QUEUED, .code = 451, .status = "4.0.0", .text = VIEW("later") };
	struct spool_update u = { .result = &r, .nresult = 1, .attempts = 3, .endpoint = "h:587" };
	struct sent *x[4], *pass[6];
	struct spool_stats st;

	t->fs.before = NULL;
	t->w.params.bytes_max = 2800u << 10;
	world_open(&t->w);
	world_run(&t->w, 20);
	x[0] = put(t, 500);
	x[1] = put(t, 100000);
	x[2] = put(t, 700);
	x[3] = put(t, 800);
	for (unsigned i = 0; i < 4; i++)
		accepted(t, x[i]);
	spool_update(t->w.spool, spool_find(t->w.spool, x[0]->id), &u, NULL, NULL);
	for (unsigned i = 0; i < 6; i++) {
		pass[i] = put(t, 420000);
		accepted(t, pass[i]);
	}
	x[0]->attempts = 3;
	t->fs.before = crash_here;
	for (unsigned i = 0; i < 6; i++)
		finish(t, pass[i]);
	t->w.worker.delay_ms = t->w.reader.delay_ms = 2;
	t->fs.cold = true;
	world_run(&t->w, 1004);
	finish(t, x[2]);
	world_run(&t->w, 2000);
	x[2]->fate = FINISHED;
	for (unsigned i = 0; i < 6; i++)
		pass[i]->fate = FINISHED;
	spool_stats(t->w.spool, &st);
	assert_true(st.moved >= 3);
	assert_int_equal(spool_find(t->w.spool, x[0]->id)->attempts, 3);
	finish(t, x[3]);
	world_run(&t->w, 2000);
	x[3]->fate = FINISHED;
}

static void
work_bounce(struct test *t)
{
	struct spool_result r = { .state = SPOOL_FAILED, .code = 550, .status = "5.1.1",
		.text = VIEW("no such user") };
	struct spool_update u = { .result = &r, .nresult = 1, .attempts = 1, .endpoint = "" };
	struct spool_bounce bounce = { .message = VIEW("Subject: failed\r\n\r\nsorry\r\n") };
	struct envelope env;
	struct sent *x;

	world_open(&t->w);
	x = put(t, 500);
	accepted(t, x);
	envelope_init(&env);
	env.received_ms = 1000;
	envelope_add_rcpt(&env, VIEW("alice@example.com"));
	bounce.envelope = &env;
	x->fate = FINISHING;
	x->bounce = t->w.last_id + 1;
	spool_finish(t->w.spool, spool_find(t->w.spool, x->id), &u, &bounce, NULL, NULL);
	envelope_done(&env);
	world_run(&t->w, 20);
	assert_int_equal(t->w.ntold, 2);
	assert_true(t->w.told[1] == x->bounce);
	assert_int_equal(spool_find(t->w.spool, x->bounce)->flags & SPOOL_BOUNCE, SPOOL_BOUNCE);
	x->fate = FINISHED;
	world_reopen(&t->w);
	assert_int_equal(t->w.ntold, 1);
}

/* A sync fails: who was refused may come back only if the process died at once. */
static void
work_failed_sync(struct test *t)
{
	struct sent *a, *b, *c;

	world_open(&t->w);
	a = put(t, 700);
	accepted(t, a);
	finish(t, a);
	twin_fs_fail(&t->fs, TWIN_SYNC, 0, 1, EIO);
	b = put(t, 900);
	world_run(&t->w, 20);
	assert_int_equal(b->c.calls, 1);
	assert_int_equal(b->c.e.kind, ERR_SYSTEM);
	assert_int_equal(t->w.troubles, 1);
	c = put(t, 1100);
	accepted(t, c);
	a->fate = FINISHED;
	b->fate = FINISHED;		/* refused: must not come back any more */
	world_run(&t->w, 1500);
}

static void
test_small(void **state)
{
	run_all(work_small);
}

static void
test_big(void **state)
{
	run_all(work_big);
}

static void
test_used_again(void **state)
{
	run_all(work_used_again);
}

static void
test_stragglers(void **state)
{
	run_all(work_stragglers);
}

static void
test_bounce(void **state)
{
	run_all(work_bounce);
}

static void
test_failed_sync(void **state)
{
	run_all(work_failed_sync);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_big),
		cmocka_unit_test(test_used_again),
		cmocka_unit_test(test_stragglers),
		cmocka_unit_test(test_bounce),
		cmocka_unit_test(test_failed_sync),
	};

	return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
