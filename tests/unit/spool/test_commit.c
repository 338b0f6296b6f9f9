/* SPDX-License-Identifier: BSD-2-Clause */
/* Group commit: what is reported when, and by how many syncs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/spool/world.h"

#include "base/banned.h"

static void
test_one_message(void **state)
{
	struct twin_fs fs;
	struct world w;
	struct commit c;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	world_run(&w, 100);
	assert_int_equal(w.recovered, 1);
	world_accept(&w, 5000, 1, &c);
	assert_int_equal(c.e.kind, ERR_NONE);
	assert_int_equal(w.ntold, 1);
	assert_int_equal(w.told[0], c.id);
	assert_true(world_has(&w, c.id, 5000, 1));
	world_reopen(&w);
	assert_int_equal(w.ntold, 1);
	assert_true(world_has(&w, c.id, 5000, 1));
	assert_int_equal(w.troubles, 0);
	world_done(&w);
	assert_int_equal(twin_fs_open_files(&fs), 0);
	twin_fs_done(&fs);
}

/* All that wait share one sync; a second job never runs beside the first. */
static void
test_group(void **state)
{
	struct commit c[40];
	struct twin_fs fs;
	struct world w;
	uint64_t syncs, writes;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	world_run(&w, 100);
	syncs = fs.count[TWIN_SYNC];
	writes = fs.count[TWIN_WRITE];
	w.worker.stalled = true;
	for (unsigned i = 0; i < 20; i++)
		world_commit(&w, world_fill(&w, 1000 + i, i, 1), &c[i]);
	world_run(&w, 1000);
	for (unsigned i = 20; i < 40; i++)
		world_commit(&w, world_fill(&w, 1000 + i, i, 1), &c[i]);
	world_run(&w, 1000);
	/* One job at the worker, and nobody is told anything. */
	assert_ptr_equal(w.worker.jobs.next, w.worker.jobs.prev);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(c[i].calls, 0);
	assert_int_equal(w.ntold, 0);
	w.worker.stalled = false;
	twin_worker_kick(&w.worker);
	world_run(&w, 20);
	assert_int_equal(fs.count[TWIN_SYNC] - syncs, 2);
	assert_int_equal(fs.count[TWIN_WRITE] - writes, 2);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(c[i].calls, 1);
		assert_int_equal(c[i].e.kind, ERR_NONE);
		assert_true(world_has(&w, c[i].id, 1000 + i, i));
		for (unsigned k = 0; k < i; k++)
			assert_true(c[k].id != c[i].id);
	}
	world_done(&w);
	twin_fs_done(&fs);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_message),
		cmocka_unit_test(test_group),
	};

	return cmocka_run_group_tests_name("commit", tests, NULL, NULL);
}
