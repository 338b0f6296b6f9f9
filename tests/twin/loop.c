/* SPDX-License-Identifier: BSD-2-Clause */
#include "twin/loop.h"

#include <stddef.h>

#include "base/banned.h"

static int64_t
twin_mono(struct loop *l)
{
	return container_of(l, struct twin_loop, loop)->mono_ms;
}

static int64_t
twin_wall(struct loop *l)
{
	return container_of(l, struct twin_loop, loop)->wall_ms;
}

static void
twin_nothing(struct loop *l)
{
}

static const struct loop_driver twin_driver = {
	.monotonic_ms = twin_mono,
	.wall_ms = twin_wall,
	.free = twin_nothing,
};

void
twin_loop_init(struct twin_loop *t, int64_t wall_ms)
{
	t->mono_ms = 1000000;
	t->wall_ms = wall_ms;
	loop_init(&t->loop, &twin_driver);
}

void
twin_loop_done(struct twin_loop *t)
{
	loop_done(&t->loop);
}

static bool
never(void *arg)
{
	return false;
}

void
twin_loop_run(struct twin_loop *t, int64_t ms)
{
	(void)twin_loop_until(t, never, NULL, ms);	/* it can only end by time */
}

bool
twin_loop_until(struct twin_loop *t, bool (*cond)(void *), void *arg, int64_t ms)
{
	int64_t end = t->mono_ms + ms;

	for (;;) {
		int64_t next;

		loop_turn(&t->loop);
		if (cond(arg))
			return true;
		next = loop_next_at(&t->loop);
		if (next > end) {
			t->wall_ms += end - t->mono_ms;
			t->mono_ms = end;
			t->loop.now_ms = end;
			return false;
		}
		if (next > t->mono_ms) {
			t->wall_ms += next - t->mono_ms;
			t->mono_ms = next;
		}
	}
}

static void
run_job(void *arg)
{
	struct twin_worker *w = arg;
	struct list *link;

	if (w->stalled || (link = list_pop(&w->jobs)) == NULL)
		return;
	struct job *j = list_entry(link, struct job, link);

	j->run(j);
	j->done(j);
	twin_worker_kick(w);
}

void
twin_worker_kick(struct twin_worker *w)
{
	if (!w->stalled && !list_is_empty(&w->jobs) && !timer_is_set(&w->timer))
		timer_set(w->loop, &w->timer, w->delay_ms);
}

static void
twin_submit(struct worker *worker, struct job *j)
{
	struct twin_worker *w = container_of(worker, struct twin_worker, worker);

	list_init(&j->link);
	list_push(&w->jobs, &j->link);
	twin_worker_kick(w);
}

static void
twin_free(struct worker *worker)
{
}

void
twin_worker_init(struct twin_worker *w, struct loop *loop)
{
	*w = (struct twin_worker){ .loop = loop };
	w->worker.submit = twin_submit;
	w->worker.free = twin_free;
	list_init(&w->jobs);
	timer_init(&w->timer, run_job, w);
}
