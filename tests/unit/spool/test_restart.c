/* SPDX-License-Identifier: BSD-2-Clause */
/* Stops and starts: in the middle of recovery, again and again, on a small or full disk. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "unit/spool/world.h"

#include "base/banned.h"

#define LIVE 24

struct pair {
	struct twin_fs	fs;
	struct world	w;
};

static void
setup(struct pair *p)
{
	twin_fs_init(&p->fs);
	world_init(&p->w, &p->fs);
	world_open(&p->w);
	world_run(&p->w, 50);
}

static void
teardown(struct pair *p)
{
	world_done(&p->w);
	assert_int_equal(twin_fs_open_files(&p->fs), 0);
	twin_fs_done(&p->fs);
}

static void
accept_many(struct pair *p, struct commit *c, unsigned n, size_t size)
{
	for (unsigned i = 0; i < n; i++) {
		world_accept(&p->w, size, i, &c[i]);
		assert_int_equal(c[i].e.kind, ERR_NONE);
	}
}

/* Stopped before the older segments are read, at any step of that: they stay. */
static void
test_stop_in_recovery(void **state)
{
	struct commit c[LIVE];
	struct pair p;

	setup(&p);
	accept_many(&p, c, LIVE, 100000);
	world_close(&p.w);
	p.w.reader.delay_ms = 5;
	for (int ms = 0; ms < 60; ms += 3) {
		world_open(&p.w);
		world_run(&p.w, ms);
		world_close(&p.w);
	}
	p.w.reader.delay_ms = 0;
	world_open(&p.w);
	world_run(&p.w, 1000);
	assert_int_equal(p.w.ntold, LIVE);
	for (unsigned i = 0; i < LIVE; i++)
		assert_true(world_has(&p.w, c[i].id, 100000, i));
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop_in_recovery),
	};

	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
