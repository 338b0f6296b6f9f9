/* SPDX-License-Identifier: BSD-2-Clause */
/* A spool seen without the daemon: nothing is changed, nothing is missed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "spool/walk.h"
#include "unit/spool/world.h"

#include "base/banned.h"

static void
note(void *owner, const char *what)
{
	++*(unsigned *)owner;
}

static bool
put(void *owner, struct view v)
{
	return buf_add(owner, v);
}

static void
check_message(struct walk *w, spool_id id, size_t size, uint64_t seed)
{
	const struct spool_message *m = walk_find(w, id);
	const struct envelope *env = NULL;
	struct buf text, stored;
	struct err e;

	assert_non_null(m);
	assert_int_equal(m->size, size);
	assert_int_equal(walk_envelope(w, m, &env, &e), 0);
	assert_true(view_eq(env->from, VIEW("alice@example.com")));
	assert_int_equal(env->size, size);
	buf_init(&text, 1u << 20);
	buf_init(&stored, 1u << 20);
	world_text(&text, size, seed);
	assert_int_equal(walk_text(w, m, put, &stored, &e), 0);
	assert_true(view_eq(buf_view(&text), buf_view(&stored)));
	buf_done(&text);
	buf_done(&stored);
}

static void
test_walk(void **state)
{
	static const size_t size[] = { 0, 400, 65500, 200000, 300000, 400000, 500000 };
	struct commit c[lengthof(size)];
	struct walk_totals totals;
	unsigned troubles = 0;
	struct twin_fs fs;
	struct world w;
	struct walk *walk;
	struct err e;
	uint64_t ops;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	for (unsigned i = 0; i < lengthof(size); i++)
		world_accept(&w, size[i], i, &c[i]);
	world_finish(&w, c[1].id);
	world_run(&w, 2000);
	ops = fs.ops;
	for (unsigned run = 0; run < 2; run++) {	/* beside the daemon; without it */
		assert_int_equal(walk_new(&walk, &fs.fs, note, &troubles, &e), 0);
		walk_totals(walk, &totals);
		assert_int_equal(totals.messages, lengthof(size) - 1);
		assert_int_equal(totals.damaged + totals.unreadable, 0);
		assert_int_equal(totals.segments, twin_fs_count(&fs, "log"));
		assert_null(walk_find(walk, c[1].id));
		assert_true(walk_message(walk, 0)->id == c[0].id);
		assert_null(walk_message(walk, lengthof(size) - 1));
		for (unsigned i = 0; i < lengthof(size); i++)
			if (i != 1)
				check_message(walk, c[i].id, size[i], i);
		walk_free(walk);
		assert_int_equal(fs.ops, ops);
		if (run == 0)
			world_close(&w);
		ops = fs.ops;
	}
	twin_fs_damage(&fs, twin_fs_name(&fs, "log", 0), 5000);
	assert_int_equal(walk_new(&walk, &fs.fs, note, &troubles, &e), 0);
	walk_totals(walk, &totals);
	assert_int_equal(totals.damaged, 1);
	assert_int_equal(troubles, 1);
	walk_free(walk);
	world_done(&w);
	assert_int_equal(twin_fs_open_files(&fs), 0);
	twin_fs_done(&fs);
}

static void
test_no_spool(void **state)
{
	unsigned troubles = 0;
	struct twin_fs fs;
	struct walk *walk;
	struct err e;

	twin_fs_init(&fs);
	assert_int_equal(walk_new(&walk, &fs.fs, note, &troubles, &e), -1);
	assert_int_equal(fs.ops, 0);
	twin_fs_done(&fs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_no_spool),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
