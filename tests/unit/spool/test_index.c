/* SPDX-License-Identifier: BSD-2-Clause */
/* The index: against a plain array, its memory, joining two, and telling of what is in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "spool/state.h"
#include "spool/tell.h"

#include "base/banned.h"

#define IDS 5000

static struct spool_message *
add(struct index *ix, spool_id id)
{
	struct spool_message *m = index_add(ix, id, id % 3 == 0 ? 3 : 1);

	m->size = id * 7;
	spool_rcpts(m)[m->nrcpt - 1].code = (uint16_t)(id % 500);
	return m;
}

static void
assert_is(struct spool_message *m, spool_id id)
{
	assert_non_null(m);
	assert_int_equal(m->id, id);
	assert_int_equal(m->size, id * 7);
	assert_int_equal(spool_rcpts(m)[m->nrcpt - 1].code, id % 500);
}

static size_t
walk(const struct index *ix)
{
	struct spool_message *m;
	size_t n = 0;

	for (size_t pos = 0; (m = index_next(ix, &pos)) != NULL; n++)
		assert_is(m, m->id);
	return n;
}

/* Messages come and go; each is found, at the place where it was put, and no other. */
static void
test_random(void **state)
{
	static struct spool_message *have[IDS + 1];
	struct index *ix = index_new();
	struct rng rng;
	size_t n = 0;

	memset(have, 0, sizeof(have));
	rng_init(&rng, 5);
	assert_null(index_get(ix, 1));
	for (unsigned i = 0; i < 200000; i++) {
		spool_id id = 1 + rng_below(&rng, i % 50000 < 25000 ? IDS : IDS / 20);

		if (have[id] == NULL) {
			have[id] = add(ix, id);
			n++;
		} else if (rng_below(&rng, 10) == 0) {
			have[id] = add(ix, id);		/* a later copy */
		} else {
			assert_ptr_equal(index_get(ix, id), have[id]);
			assert_is(have[id], id);
			index_remove(ix, have[id]);
			have[id] = NULL;
			n--;
		}
		assert_int_equal(ix->n, n);
	}
	for (spool_id id = 1; id <= IDS; id++)
		assert_ptr_equal(index_get(ix, id), have[id]);
	assert_int_equal(walk(ix), n);
	index_free(ix);
}

/* The table stays between 3/8 and 3/4 full; memory comes back when the messages have gone. */
static void
test_memory(void **state)
{
	struct index *ix = index_new();
	uint32_t slabs = 0, most;

	for (spool_id id = 1; id <= 100000; id++) {
		assert_non_null(index_add(ix, id << 24 | 1, 1));
		assert_true(4 * ix->n <= 3 * ix->cap);
		assert_true(ix->cap <= 16 || 8 * ix->n >= 3 * ix->cap);
	}
	most = ix->nslabs;
	assert_true(sizeof(struct spool_message) + (uint64_t)most * 65536 / 100000 <= 2 * 97);
	for (spool_id id = 1; id <= 100000; id++)
		index_remove(ix, index_get(ix, id << 24 | 1));
	for (uint32_t i = 0; i < ix->nslabs; i++)
		slabs += ix->slab[i] != NULL;
	assert_int_equal(slabs, 1);
	assert_true(ix->cap <= 64);
	/* One that comes and goes beside the slab that is kept does not pile up slabs. */
	for (spool_id id = 1; id <= 100000; id++)
		index_remove(ix, index_add(ix, id, 1));
	assert_int_equal(ix->nslabs, most);
	index_free(ix);
}

/* Each way round; pointers stay. */
static void
test_join(void **state)
{
	for (unsigned which = 0; which < 2; which++) {
		struct index *a = index_new(), *b = index_new(), *ix;
		struct spool_message *one, *other;

		for (spool_id id = 1; id <= 3000; id++)
			add(a, id);
		for (spool_id id = 3001; id <= 3700; id++)
			add(b, id);
		index_remove(b, add(b, 9999));
		one = index_get(a, 2999);
		other = index_get(b, 3333);
		ix = which == 0 ? index_join(a, b) : index_join(b, a);
		assert_int_equal(ix->n, 3700);
		assert_int_equal(walk(ix), 3700);
		assert_ptr_equal(index_get(ix, 2999), one);
		assert_ptr_equal(index_get(ix, 3333), other);
		for (spool_id id = 1; id <= 3700; id++)
			assert_is(index_get(ix, id), id);
		for (spool_id id = 3700; id > 0; id--)
			index_remove(ix, index_get(ix, id));
		assert_is(add(ix, 77), 77);
		index_free(ix);
	}
	index_free(index_join(index_new(), index_new()));
}

/* --- telling of what recovery has found ------------------------------------------------- */

#define TOLD 20000u

struct told {
	struct spool	 s;
	int64_t		 last;
	unsigned	 n;
};

static void
on_message(void *owner, struct spool_message *m)
{
	struct told *t = owner;

	assert_true(m->received_ms > t->last);
	t->last = m->received_ms;
	t->n++;
}

/* The one that is due first before the others; and what has been told takes no memory. */
static void
check_told(bool in_order)
{
	struct told t = { .s = { .events.on_message = on_message, .nuntold = TOLD } };
	struct index *ix = index_new();
	struct telling telling = { .n = 0 };
	bool last;

	t.s.owner = &t;
	map_init(&t.s.by_number);
	list_init(&t.s.segments);
	log_add_segment(&t.s, segment_new(1, 1));
	for (spool_id id = 1; id <= TOLD; id++) {
		struct spool_message *m = add(ix, id);

		m->first_segment = 1;
		m->received_ms = (int64_t)(in_order ? id : TOLD + 1 - id);
	}
	tell_order(&telling, ix);
	do {
		last = tell_some(&telling, &t.s);
		assert_int_equal(t.n, TOLD - telling.n);
		assert_true(telling.bytes < telling.n * sizeof(struct spool_message *) + (64 << 10));
	} while (!last);
	assert_int_equal(t.n, TOLD);
	assert_int_equal(t.s.nuntold, 0);
	assert_int_equal(telling.bytes, 0);
	tell_done(&telling);
	log_drop_segment(&t.s, log_segment(&t.s, 1));
	map_done(&t.s.by_number);
	index_free(ix);
}

static void
test_told(void **state)
{
	check_told(true);
	check_told(false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_told),
	};

	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
