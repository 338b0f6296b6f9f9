/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "twin/loop.h"

#include "base/banned.h"

struct ticker {
	struct loop	*loop;
	struct timer	 timer;
	struct task	 task;
	int		 ticks, tasks;
};

static void
tick(void *arg)
{
	struct ticker *t = arg;

	t->ticks++;
	timer_set(t->loop, &t->timer, 1000);
	task_post(t->loop, &t->task);
	task_post(t->loop, &t->task);
}

static void
run(void *arg)
{
	((struct ticker *)arg)->tasks++;
}

static void
test_timers_and_tasks(void **state)
{
	struct twin_loop twin;
	struct ticker t = { 0 };

	twin_loop_init(&twin, 5000);
	t.loop = &twin.loop;
	timer_init(&t.timer, tick, &t);
	task_init(&t.task, run, &t);
	timer_set(t.loop, &t.timer, 1000);
	twin_loop_run(&twin, 999);
	assert_int_equal(t.ticks, 0);
	twin_loop_run(&twin, 1);
	assert_int_equal(t.ticks, 1);
	twin_loop_run(&twin, 86400000);
	assert_int_equal(t.ticks, 86401);
	assert_int_equal(t.tasks, 86401);	/* posted twice, run once */
	assert_int_equal(loop_wall(t.loop), 5000 + 86401000);
	timer_cancel(t.loop, &t.timer);
	twin_loop_run(&twin, 5000);
	assert_int_equal(t.ticks, 86401);
	twin_loop_done(&twin);
}

struct work {
	struct job	 job;
	int		*log;
	int		 n;
};

static void
work_run(struct job *j)
{
	struct work *w = container_of(j, struct work, job);

	w->log[0]++;
}

static void
work_done(struct job *j)
{
	struct work *w = container_of(j, struct work, job);

	w->n = ++w->log[1];
}

static void
test_twin_worker_keeps_order(void **state)
{
	struct twin_loop twin;
	struct twin_worker w;
	int log[2] = { 0 };
	struct work a = { { .run = work_run, .done = work_done }, log, 0 }, b = a;

	twin_loop_init(&twin, 0);
	twin_worker_init(&w, &twin.loop);
	w.delay_ms = 5;
	worker_submit(&w.worker, &a.job);
	worker_submit(&w.worker, &b.job);
	assert_int_equal(log[0], 0);		/* never within the call */
	twin_loop_run(&twin, 5);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 0);
	twin_loop_run(&twin, 5);
	assert_int_equal(b.n, 2);
	twin_loop_done(&twin);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers_and_tasks),
		cmocka_unit_test(test_twin_worker_keeps_order),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
