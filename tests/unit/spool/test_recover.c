/* SPDX-License-Identifier: BSD-2-Clause */
/* What recovery tells, in which order, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "unit/spool/world.h"

#include "base/banned.h"

#define MANY 2500

static void
wait_until(struct pair *p, spool_id id, int64_t next_ms)
{
	struct spool_update u = { .attempts = 1, .next_ms = next_ms, .endpoint = "" };

	spool_update(p->w.spool, spool_find(p->w.spool, id), &u, NULL, NULL);
}

/* Due first, told first: by the recorded time, or by that of the arrival. */
static void
test_due_order(void **state)
{
	static const int64_t next[] = { 50, 0, -70, 20, 10, -80, 0, 90 };
	static const unsigned order[] = { 5, 2, 1, 6, 4, 3, 0, 7 };
	struct commit c[lengthof(next)];
	struct pair p;

	setup(&p);
	accept_many(&p, c, lengthof(next), 300);
	for (unsigned i = 0; i < lengthof(next); i++)
		if (next[i] != 0)
			wait_until(&p, c[i].id, spool_find(p.w.spool, c[i].id)->received_ms + next[i] * 1000);
	world_run(&p.w, 2000);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, lengthof(next));
	for (unsigned i = 0; i < lengthof(next); i++)
		assert_int_equal(p.w.told[i], c[order[i]].id);
	teardown(&p);
}

static unsigned
count_shown(struct world *w)
{
	struct spool_message *m;
	unsigned n = 0;

	for (size_t pos = 0; (m = spool_next(w->spool, &pos)) != NULL; n++)
		assert_ptr_equal(spool_find(w->spool, m->id), m);
	return n;
}

static void
fill(struct pair *p, struct commit *c, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		world_commit(&p->w, world_fill(&p->w, 20, i, 1), &c[i]);
		if (i % 50 == 49)
			world_run(&p->w, 5);
	}
	world_run(&p->w, 5);
	for (unsigned i = 0; i < n; i++)
		assert_true(c[i].calls == 1 && c[i].e.kind == ERR_NONE);
}

/* Some in each turn; those that are not told of yet are nobody's to touch, but count for the limit. */
static void
test_step_by_step(void **state)
{
	static struct commit c[MANY];
	struct spool_stats st;
	struct commit late;
	struct err e;
	struct pair p;
	unsigned steps = 0;

	setup(&p);
	fill(&p, c, MANY);
	world_close(&p.w);
	p.w.reader.delay_ms = 5;
	p.w.params.messages_max = MANY;
	world_open(&p.w);
	assert_non_null(p.w.spool);
	for (size_t before = 0; p.w.recovered == 1; before = p.w.ntold) {
		world_run(&p.w, 1);
		steps += p.w.ntold != before;
		spool_stats(p.w.spool, &st);
		assert_int_equal(st.messages, p.w.ntold);
		assert_int_equal(st.recipients, p.w.ntold);
		assert_int_equal(count_shown(&p.w), p.w.ntold);
		if (p.w.ntold > 0) {
			assert_null(world_begin(&p.w, 1, &e));
			assert_int_equal(e.kind, ERR_FULL);
		}
	}
	assert_true(steps > 1);
	assert_int_equal(p.w.ntold, MANY);
	p.w.params.messages_max = 10000;
	world_finish(&p.w, c[7].id);
	world_reopen(&p.w);
	p.w.reader.delay_ms = 0;
	world_run(&p.w, 100);
	assert_int_equal(p.w.ntold, MANY - 1);
	world_accept(&p.w, 20, 1, &late);
	assert_int_equal(late.e.kind, ERR_NONE);
	teardown(&p);
}

/* Mail that comes in while the older segments are read. */
static void
test_meanwhile(void **state)
{
	static struct commit c[MANY];
	struct commit fresh[100];
	struct pair p;

	setup(&p);
	fill(&p, c, 50);
	world_close(&p.w);
	p.w.reader.delay_ms = 50;
	world_open(&p.w);
	fill(&p, fresh, 100);		/* more of these than of the others: joined the other way round */
	world_run(&p.w, 1000);
	assert_int_equal(p.w.ntold, 150);
	assert_int_equal(count_shown(&p.w), 150);
	for (unsigned i = 0; i < 100; i++)
		assert_true(world_has(&p.w, fresh[i].id, 20, i));
	for (unsigned i = 0; i < 50; i++)
		assert_true(world_has(&p.w, c[i].id, 20, i));
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_due_order),
		cmocka_unit_test(test_step_by_step),
		cmocka_unit_test(test_meanwhile),
	};

	return cmocka_run_group_tests_name("recover", tests, NULL, NULL);
}
