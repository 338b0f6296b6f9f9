/* SPDX-License-Identifier: BSD-2-Clause */
/* The libevent loop, descriptors, signals and the worker thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "sys/io.h"
#include "sys/worker.h"
#include "unit/patience.h"

#include "base/banned.h"

struct fixture {
	struct loop	*loop;
	struct patience	 patience;
};

static int
setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ 0 };
	if (loop_new(&f.loop, NULL) < 0)
		return -1;
	patience_init(&f.patience, f.loop);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	loop_free(((struct fixture *)*state)->loop);
	return 0;
}

static void
run(struct fixture *f)
{
	patience_run(&f->patience);
}

struct order {
	struct loop	*loop;
	struct timer	 first, second;
	int64_t		 at[2];
	int		 n;
};

static void
note(void *arg)
{
	struct order *o = arg;

	o->at[o->n++] = loop_now(o->loop);
	if (o->n == 2)
		loop_stop(o->loop);
}

static void
test_timers_fire_in_order_and_not_early(void **state)
{
	struct fixture *f = *state;
	struct order o = { .loop = f->loop };
	int64_t start = loop_now(f->loop);

	timer_init(&o.first, note, &o);
	timer_init(&o.second, note, &o);
	timer_set(f->loop, &o.second, 400);	/* far enough for a busy machine */
	timer_set(f->loop, &o.first, 10);	/* earlier than the alarm that would be set */
	run(f);
	assert_in_range(o.at[0], start + 10, start + 399);
	assert_true(o.at[1] >= start + 400);
	assert_false(timer_is_set(&o.first));
}

static void
wrong(void *arg)
{
	*(bool *)arg = true;
}

static void
test_cancelled_timer_stays_silent(void **state)
{
	struct fixture *f = *state;
	struct order o = { .loop = f->loop, .n = 1 };
	struct timer t;
	bool fired = false;

	timer_init(&t, wrong, &fired);
	timer_set(f->loop, &t, 5);
	timer_init(&o.second, note, &o);
	timer_set(f->loop, &o.second, 20);
	timer_cancel(f->loop, &t);
	run(f);
	assert_false(fired);
}

static void
test_times_are_the_kernels(void **state)
{
	struct fixture *f = *state;
	struct timespec mono, wall;

	assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &mono), 0);
	assert_int_equal(clock_gettime(CLOCK_REALTIME, &wall), 0);
	assert_true(llabs(loop_now(f->loop) - (int64_t)mono.tv_sec * 1000) < 10000);
	assert_true(llabs(loop_wall(f->loop) - (int64_t)wall.tv_sec * 1000) < 10000);
}

struct echo {
	struct fixture	*f;
	struct io_watch	*watch;
	struct timer	 after;
	int		 fd, reads, writes;
	int64_t		 delay_ms;
};

static void
on_after(void *arg)
{
	struct echo *e = arg;

	loop_stop(e->f->loop);
}

static void
on_ready(void *arg, unsigned ready)
{
	struct echo *e = arg;
	struct timespec ts;
	uint64_t times;

	assert_int_equal(ready, IO_READ);
	assert_int_equal(read(e->fd, &times, sizeof(times)), sizeof(times));
	e->reads++;
	assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &ts), 0);
	e->delay_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 - loop_now(e->f->loop);
	timer_init(&e->after, on_after, e);
	timer_set(e->f->loop, &e->after, 1);
}

static void
test_event_sees_the_time_of_its_wake_up(void **state)
{
	struct echo e = { .f = *state };
	struct itimerspec in_60_ms = { .it_value.tv_nsec = 60 * 1000000 };

	e.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	assert_true(e.fd >= 0);
	e.watch = io_watch_new(e.f->loop, e.fd, on_ready, &e);
	io_want(e.watch, IO_READ);
	assert_int_equal(timerfd_settime(e.fd, 0, &in_60_ms, NULL), 0);
	run(e.f);
	assert_int_equal(e.reads, 1);
	assert_in_range(e.delay_ms, 0, 30);	/* it was 60 before the wake-up */
	io_watch_free(e.watch);
	(void)close(e.fd);
}

static void
count(void *arg, unsigned ready)
{
	struct echo *e = arg;

	if (ready == IO_READ)
		e->reads++;
	if (ready == IO_WRITE)
		e->writes++;
	if (e->writes == 3)
		io_want(e->watch, IO_READ);
	if (e->reads == 4)
		loop_stop(e->f->loop);
}

static void
test_only_wanted_directions_are_reported(void **state)
{
	struct echo e = { .f = *state };
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	e.watch = io_watch_new(e.f->loop, fd[0], count, &e);
	io_want(e.watch, IO_WRITE);
	loop_turn(e.f->loop);
	e.f->loop->driver->wait(e.f->loop, 0);
	assert_int_equal(e.reads, 0);
	assert_int_equal(e.writes, 1);
	io_want(e.watch, IO_READ | IO_WRITE);
	run(e.f);
	assert_int_equal(e.writes, 3);
	assert_int_equal(e.reads, 4);
	io_watch_free(e.watch);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

static void
on_signal(void *arg, int signo)
{
	assert_int_equal(signo, SIGUSR1);
	loop_stop(((struct fixture *)arg)->loop);
}

static void
test_signal_comes_on_the_loop(void **state)
{
	struct fixture *f = *state;
	struct io_signal *s = io_signal_new(f->loop, SIGUSR1, on_signal, f);

	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	run(f);
	io_signal_free(s);
}

#define JOBS 1000

struct work {
	struct job	 job;
	struct crew	*crew;
	pthread_t	 ran_on;
	int		 place;
};

struct crew {
	struct loop	*loop;
	struct worker	*worker;
	pthread_t	 home;
	int		 ran;		/* the worker's alone until all are done */
	int		 done;
	struct work	 work[JOBS];
	struct work	 late;
};

static void
work_run(struct job *j)
{
	struct work *w = container_of(j, struct work, job);

	w->place = w->crew->ran++;
	w->ran_on = pthread_self();
}

static void
work_done(struct job *j)
{
	struct work *w = container_of(j, struct work, job);

	assert_true(pthread_equal(pthread_self(), w->crew->home));
	assert_false(pthread_equal(w->ran_on, w->crew->home));
	assert_int_equal(w->place, w->crew->done);
	if (++w->crew->done == JOBS)
		loop_stop(w->crew->loop);
}

/* Submits one more job from within done(). */
static void
done_and_more(struct job *j)
{
	struct work *w = container_of(j, struct work, job);

	work_done(j);
	worker_submit(w->crew->worker, &w->crew->late.job);
}

static struct crew *
make_crew(struct fixture *f)
{
	static struct crew crew;

	crew = (struct crew){ .loop = f->loop, .home = pthread_self() };
	assert_int_equal(worker_new(&crew.worker, f->loop, "test", NULL), 0);
	for (int i = 0; i < JOBS; i++)
		crew.work[i] = (struct work){ { .run = work_run, .done = work_done }, &crew };
	crew.late = (struct work){ { .run = work_run, .done = work_done }, &crew };
	return &crew;
}

static void
test_worker_runs_in_order_and_answers_on_the_loop(void **state)
{
	struct fixture *f = *state;
	struct crew *crew = make_crew(f);

	for (int i = 0; i < JOBS; i++)
		worker_submit(crew->worker, &crew->work[i].job);
	run(f);
	assert_int_equal(crew->ran, JOBS);
	worker_free(crew->worker);
	assert_int_equal(crew->done, JOBS);
}

static void
test_worker_free_finishes_what_was_submitted(void **state)
{
	struct crew *crew = make_crew(*state);

	crew->work[JOBS - 2].job.done = done_and_more;
	for (int i = 0; i < JOBS - 1; i++)
		worker_submit(crew->worker, &crew->work[i].job);
	worker_free(crew->worker);
	assert_int_equal(crew->done, JOBS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_timers_fire_in_order_and_not_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancelled_timer_stays_silent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_times_are_the_kernels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_event_sees_the_time_of_its_wake_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_wanted_directions_are_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal_comes_on_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worker_runs_in_order_and_answers_on_the_loop,
		    setup, teardown),
		cmocka_unit_test_setup_teardown(test_worker_free_finishes_what_was_submitted, setup, teardown),
	};

	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
