/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One thread, two lists under one lock, and an eventfd that wakes the loop.
 * Only the first completion of a batch writes to the eventfd; the loop takes
 * all that are there with one lock.
 */
#include "sys/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/require.h"
#include "sys/io.h"

#include "base/banned.h"

struct thread_worker {
	struct worker	 worker;
	pthread_t	 thread;
	struct io_watch	*watch;
	int		 wake_fd;

	pthread_mutex_t	 lock;		/* guards what follows */
	pthread_cond_t	 wanted;	/* for the thread: something waits, or stop */
	pthread_cond_t	 progress;	/* for free_worker() */
	struct list	 waiting, finished;
	bool		 running;	/* a job that is in neither list */
	bool		 stop;
};

static struct thread_worker *
self(struct worker *w)
{
	return container_of(w, struct thread_worker, worker);
}

static void
wake_loop(struct thread_worker *w)
{
	uint64_t one = 1;

	/* The counter can't overflow: it is written once per batch. */
	require(write(w->wake_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void *
work(void *arg)
{
	struct thread_worker *w = arg;

	(void)pthread_mutex_lock(&w->lock);	/* default mutexes don't fail */
	for (;;) {
		struct list *link;
		struct job *j;

		while ((link = list_pop(&w->waiting)) == NULL && !w->stop)
			(void)pthread_cond_wait(&w->wanted, &w->lock);
		if (link == NULL)
			break;
		j = list_entry(link, struct job, link);
		w->running = true;
		(void)pthread_mutex_unlock(&w->lock);
		j->run(j);
		(void)pthread_mutex_lock(&w->lock);
		w->running = false;
		if (list_is_empty(&w->finished))
			wake_loop(w);
		list_push(&w->finished, &j->link);
		(void)pthread_cond_signal(&w->progress);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void
submit(struct worker *worker, struct job *j)
{
	struct thread_worker *w = self(worker);
	bool idle;

	list_init(&j->link);
	(void)pthread_mutex_lock(&w->lock);
	idle = list_is_empty(&w->waiting);
	list_push(&w->waiting, &j->link);
	(void)pthread_mutex_unlock(&w->lock);
	if (idle)
		(void)pthread_cond_signal(&w->wanted);
}

static void
deliver(struct thread_worker *w)
{
	struct list batch;
	struct list *link;

	list_init(&batch);
	(void)pthread_mutex_lock(&w->lock);
	list_move_all(&batch, &w->finished);
	(void)pthread_mutex_unlock(&w->lock);
	while ((link = list_pop(&batch)) != NULL) {
		struct job *j = list_entry(link, struct job, link);

		j->done(j);
	}
}

static void
on_wake(void *arg, unsigned ready)
{
	struct thread_worker *w = arg;
	uint64_t n;

	/* Before the list is taken: a completion after that wakes us again. */
	if (read(w->wake_fd, &n, sizeof(n)) < 0)
		return;
	deliver(w);
}

/* False, and the thread is told to end, when nothing is left to deliver. */
static bool
wait_for_finished(struct thread_worker *w)
{
	bool any;

	(void)pthread_mutex_lock(&w->lock);
	while (list_is_empty(&w->finished) && (w->running || !list_is_empty(&w->waiting)))
		(void)pthread_cond_wait(&w->progress, &w->lock);
	any = !list_is_empty(&w->finished);
	if (!any) {
		w->stop = true;
		(void)pthread_cond_signal(&w->wanted);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return any;
}

static void
dispose(struct thread_worker *w)
{
	(void)close(w->wake_fd);
	(void)pthread_cond_destroy(&w->progress);
	(void)pthread_cond_destroy(&w->wanted);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

static void
free_worker(struct worker *worker)
{
	struct thread_worker *w = self(worker);

	while (wait_for_finished(w))
		deliver(w);
	(void)pthread_join(w->thread, NULL);	/* it was started, so it can be joined */
	io_watch_free(w->watch);
	dispose(w);
}

/* Signals belong to the loop thread. */
static int
start_thread(struct thread_worker *w, const char *name)
{
	sigset_t all, old;
	int errnum;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	errnum = pthread_create(&w->thread, NULL, work, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (errnum == 0)
		(void)pthread_setname_np(w->thread, name);	/* only for ps and top */
	return errnum;
}

int
worker_new(struct worker **out, struct loop *loop, const char *name, struct err *e)
{
	struct thread_worker *w;
	int errnum, fd;

	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "can't make an eventfd");
	w = xzalloc(sizeof(*w));
	w->worker.submit = submit;
	w->worker.free = free_worker;
	w->wake_fd = fd;
	list_init(&w->waiting);
	list_init(&w->finished);
	(void)pthread_mutex_init(&w->lock, NULL);	/* with default attributes these can't fail */
	(void)pthread_cond_init(&w->wanted, NULL);
	(void)pthread_cond_init(&w->progress, NULL);
	errnum = start_thread(w, name);
	if (errnum != 0) {
		dispose(w);
		return err_sys(e, errnum, "can't start the %s thread", name);
	}
	w->watch = io_watch_new(loop, fd, on_wake, w);
	io_want(w->watch, IO_READ);
	*out = &w->worker;
	return 0;
}
