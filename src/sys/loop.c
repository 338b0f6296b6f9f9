/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/loop.h"

#include <stddef.h>

#include "base/require.h"

#include "base/banned.h"

void
loop_init(struct loop *l, const struct loop_driver *driver)
{
	*l = (struct loop){ .driver = driver };
	heap_init(&l->timers);
	list_init(&l->tasks);
	l->now_ms = driver->monotonic_ms(l);
}

void
loop_done(struct loop *l)
{
	heap_done(&l->timers);
}

static void
run_timers(struct loop *l)
{
	struct heap_node *n;
	int64_t until = l->now_ms;

	while ((n = heap_first(&l->timers)) != NULL && n->key <= until) {
		struct timer *t = container_of(n, struct timer, node);

		heap_remove(&l->timers, n);
		t->fn(t->arg);
	}
}

static void
run_tasks(struct loop *l)
{
	struct list *link;

	while ((link = list_pop(&l->tasks)) != NULL) {
		struct task *t = list_entry(link, struct task, link);

		t->fn(t->arg);
	}
}

void
loop_turn(struct loop *l)
{
	l->now_ms = l->driver->monotonic_ms(l);
	l->turns++;
	run_timers(l);
	run_tasks(l);
}

int64_t
loop_next_at(const struct loop *l)
{
	const struct heap_node *n = heap_first(&l->timers);

	return n != NULL ? n->key : INT64_MAX;
}

void
loop_run(struct loop *l)
{
	l->stopping = false;
	loop_turn(l);
	while (!l->stopping) {
		l->driver->wait(l, list_is_empty(&l->tasks) ? loop_next_at(l) : l->now_ms);
		loop_turn(l);
	}
}

void
loop_stop(struct loop *l)
{
	l->stopping = true;
}

void
loop_free(struct loop *l)
{
	if (l != NULL)
		l->driver->free(l);
}

int64_t
loop_wall(struct loop *l)
{
	return l->driver->wall_ms(l);
}

void
timer_init(struct timer *t, void (*fn)(void *), void *arg)
{
	*t = (struct timer){ .fn = fn, .arg = arg };
}

void
timer_set(struct loop *l, struct timer *t, int64_t delay_ms)
{
	require(t->fn != NULL);
	/* At least 1 ms ahead, so that a timer that sets itself cannot spin within a turn. */
	heap_update(&l->timers, &t->node, l->now_ms + (delay_ms > 0 ? delay_ms : 1));
}

void
timer_cancel(struct loop *l, struct timer *t)
{
	heap_remove(&l->timers, &t->node);
}

void
task_init(struct task *t, void (*fn)(void *), void *arg)
{
	list_init(&t->link);
	t->fn = fn;
	t->arg = arg;
}

void
task_post(struct loop *l, struct task *t)
{
	if (list_is_empty(&t->link))
		list_push(&l->tasks, &t->link);
}

void
task_cancel(struct task *t)
{
	list_remove(&t->link);
}
