/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading back: every size around the borders, from cache and disk, and outcomes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/spool/world.h"

#include "base/banned.h"

static void
check_sizes(bool cold)
{
	static const size_t border[] = { SPOOL_CHUNK, 2 * SPOOL_CHUNK, 3 * SPOOL_CHUNK };
	struct commit c[200];
	size_t size[200], n = 0;
	struct pair p;

	setup(&p);
	p.fs.cold = cold;
	for (size_t s = 0; s < 3; s++)
		size[n++] = s;
	/* The envelope is about 130 bytes in front. */
	for (size_t b = 0; b < 3; b++)
		for (size_t d = 0; d < 240; d += b == 0 ? 4 : 16)
			size[n++] = border[b] - 220 + d;
	for (size_t i = 0; i < n; i++)
		world_accept(&p.w, size[i], i, &c[i]);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(c[i].e.kind, ERR_NONE);
		assert_true(world_has(&p.w, c[i].id, size[i], i));
		assert_int_equal(spool_find(p.w.spool, c[i].id)->size, size[i]);
	}
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, n);
	for (size_t i = 0; i < n; i++)
		assert_true(world_has(&p.w, c[i].id, size[i], i));
	assert_int_equal(p.w.troubles, 0);
	teardown(&p);
}

static void
test_sizes_cached(void **state)
{
	check_sizes(false);
}

static void
test_sizes_cold(void **state)
{
	check_sizes(true);
}

/* An envelope longer than a chunk, with a short and an empty text. */
static void
test_big_envelope(void **state)
{
	static const uint32_t nrcpt[] = { 20000, 2500, 2840, 2900, 5000 };
	struct commit c[lengthof(nrcpt)];
	struct pair p;
	struct err e;

	setup(&p);
	/* The room for its outcome has to be made first: refused once, then taken. */
	assert_null(world_begin(&p.w, 20000, &e));
	assert_int_equal(e.kind, ERR_FULL);
	world_run(&p.w, 20);
	for (unsigned i = 0; i < lengthof(nrcpt); i++) {
		world_commit(&p.w, world_fill(&p.w, i * 10, i, nrcpt[i]), &c[i]);
		world_run(&p.w, 20);
		assert_int_equal(c[i].calls, 1);
		assert_int_equal(c[i].e.kind, ERR_NONE);
	}
	world_reopen(&p.w);
	for (unsigned i = 0; i < lengthof(nrcpt); i++) {
		struct buf b;
		uint32_t n = 0;

		assert_true(world_has(&p.w, c[i].id, i * 10, i));
		buf_init(&b, 1000);
		assert_int_equal(world_read(&p.w, c[i].id, &b, &n, NULL), READER_END);
		assert_int_equal(n, nrcpt[i]);
		buf_done(&b);
	}
	teardown(&p);
}

static void
nothing(void *owner)
{
}

/* A reader that is freed while its job runs; and a message that is finished while it is read. */
static void
test_freed_while_reading(void **state)
{
	const struct envelope *env;
	struct spool_reader *r, *r2;
	struct commit c;
	struct pair p;
	struct view v;
	struct err e;

	setup(&p);
	world_accept(&p.w, 200000, 1, &c);
	p.fs.cold = true;
	r = spool_reader_new(p.w.spool, spool_find(p.w.spool, c.id), nothing, NULL);
	assert_int_equal(spool_reader_envelope(r, &env, &e), READER_WAIT);
	assert_int_equal(spool_reader_envelope(r, &env, &e), READER_WAIT);
	spool_reader_free(r);
	r2 = spool_reader_new(p.w.spool, spool_find(p.w.spool, c.id), nothing, NULL);
	world_finish(p.w.spool != NULL ? &p.w : NULL, c.id);
	world_run(&p.w, 2000);
	while (spool_reader_envelope(r2, &env, &e) == READER_WAIT)
		world_run(&p.w, 5);
	assert_int_equal(env->nrcpt, 1);
	assert_int_equal(spool_reader_next(r2, &v, &e), READER_DATA);
	spool_reader_free(r2);
	teardown(&p);
}

static enum reader_result
outcome(struct pair *p, spool_id id, const struct spool_result **r, size_t *n, const char **endpoint,
    struct spool_reader **reader)
{
	enum reader_result rr;

	*reader = spool_reader_new(p->w.spool, spool_find(p->w.spool, id), nothing, NULL);
	while ((rr = spool_reader_outcome(*reader, r, n, endpoint, NULL)) == READER_WAIT)
		world_run(&p->w, 5);
	return rr;
}

static void
written(void *owner)
{
	++*(unsigned *)owner;
}

static void
update(struct pair *p, spool_id id, uint32_t rcpt, enum spool_rcpt_state state, uint16_t code,
    const char *text, unsigned *calls)
{
	struct spool_result r = { .rcpt = rcpt, .state = state, .code = code, .status = "4.0.0",
		.text = view_str(text) };
	struct spool_update u = { .result = &r, .nresult = 1, .attempts = 1, .next_ms = 5000,
		.endpoint = "relay:587" };

	spool_update(p->w.spool, spool_find(p->w.spool, id), &u, written, calls);
	assert_int_equal(spool_rcpts(spool_find(p->w.spool, id))[rcpt].state, state);
}

static void
check_outcome(struct pair *p, spool_id id)
{
	const struct spool_result *r;
	struct spool_reader *reader;
	const char *endpoint;
	size_t n;

	assert_int_equal(outcome(p, id, &r, &n, &endpoint, &reader), READER_DATA);
	assert_int_equal(n, 2);
	assert_string_equal(endpoint, "relay:587");
	assert_true(r[0].rcpt == 0 && r[0].state == SPOOL_QUEUED && r[0].code == 451);
	assert_true(view_eq(r[0].text, VIEW("second")));
	assert_string_equal(r[0].status, "4.0.0");
	assert_true(r[1].rcpt == 2 && r[1].state == SPOOL_DELIVERED && r[1].code == 250);
	assert_true(view_eq(r[1].text, VIEW("taken")));
	spool_reader_free(reader);
}

/* Texts of several records come together, the latest of each recipient. */
static void
test_outcome_chain(void **state)
{
	const struct spool_result *r;
	struct spool_reader *reader;
	const char *endpoint;
	unsigned calls = 0;
	struct commit c;
	struct pair p;
	size_t n;

	setup(&p);
	world_commit(&p.w, world_fill(&p.w, 100, 1, 3), &c);
	world_run(&p.w, 20);
	assert_int_equal(outcome(&p, c.id, &r, &n, &endpoint, &reader), READER_END);
	spool_reader_free(reader);
	update(&p, c.id, 0, SPOOL_QUEUED, 450, "first", &calls);
	assert_int_equal(calls, 0);
	update(&p, c.id, 2, SPOOL_DELIVERED, 250, "taken", &calls);	/* in the same batch */
	world_run(&p.w, 5);
	assert_int_equal(calls, 2);
	update(&p, c.id, 0, SPOOL_QUEUED, 451, "second", &calls);
	world_run(&p.w, 5);
	check_outcome(&p, c.id);
	p.fs.cold = true;
	check_outcome(&p, c.id);
	world_reopen(&p.w);
	check_outcome(&p, c.id);
	assert_int_equal(spool_find(p.w.spool, c.id)->next_ms, 5000);
	update(&p, c.id, 0, SPOOL_QUEUED, 451, "second", &calls);
	world_reopen(&p.w);
	check_outcome(&p, c.id);	/* across segments */
	teardown(&p);
}

/* Written again after a failure, they lead on to what was synced before it. */
static void
test_outcome_chain_mended(void **state)
{
	unsigned calls = 0;
	struct commit c, refused;
	struct pair p;

	for (unsigned seal = 0; seal < 2; seal++) {
		setup(&p);
		world_commit(&p.w, world_fill(&p.w, 100, 1, 3), &c);
		world_run(&p.w, 20);
		update(&p, c.id, 2, SPOOL_DELIVERED, 250, "taken", &calls);
		world_run(&p.w, 2000);
		update(&p, c.id, 0, SPOOL_QUEUED, 450, "first", &calls);
		world_run(&p.w, 5);
		update(&p, c.id, 0, SPOOL_QUEUED, 451, "second", &calls);
		twin_fs_fail(&p.fs, TWIN_SYNC, 0, 1, EIO);
		/* In this segment, or in the next one: then it is the old one's end that fails. */
		world_accept(&p.w, seal ? 1100000 : 100, 2, &refused);
		assert_int_equal(refused.e.kind, ERR_SYSTEM);
		world_run(&p.w, 2000);
		check_outcome(&p, c.id);
		world_reopen(&p.w);
		check_outcome(&p, c.id);
		teardown(&p);
	}
}

/* A damaged body is told of, never given. */
static void
test_damage(void **state)
{
	struct commit c;
	struct pair p;
	struct buf b;
	struct err e;
	uint32_t n;

	setup(&p);
	world_accept(&p.w, 3 * SPOOL_CHUNK, 1, &c);
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0), 150000);
	buf_init(&b, 1u << 20);
	assert_int_equal(world_read(&p.w, c.id, &b, &n, &e), READER_BAD);
	assert_int_equal(e.kind, ERR_DAMAGED);
	assert_int_equal(p.w.troubles, 1);
	assert_true(buf_len(&b) < 3 * SPOOL_CHUNK);
	buf_done(&b);
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes_cached),
		cmocka_unit_test(test_sizes_cold),
		cmocka_unit_test(test_big_envelope),
		cmocka_unit_test(test_freed_while_reading),
		cmocka_unit_test(test_outcome_chain),
		cmocka_unit_test(test_outcome_chain_mended),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
