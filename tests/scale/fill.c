/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fill - put many messages into a spool, by the spool's own code on a real disk.
 *
 *	fill DIR COUNT BYTES
 *
 * Prints the id of the first and of the last message. Each carries its number.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "base/require.h"
#include "spool/spool.h"

#include "base/banned.h"

#define AT_ONCE	512u		/* messages whose sync is awaited */

struct fill {
	struct loop	*loop;
	struct spool	*spool;
	uint64_t	 count, begun, done;
	size_t		 size;
	int64_t		 first_ms;	/* wall: when the first of them "came" */
	spool_id	 first, last;
	struct timer	 again;
	struct task	 more;
	bool		 closing;
};

static _Noreturn void
give_up(const char *what, const struct err *e)
{
	fprintf(stderr, "fill: %s: %s\n", what, e->text);
	exit(1);
}

static void
on_committed(void *owner, spool_id id, const struct err *e)
{
	struct fill *f = owner;

	if (e != NULL)
		give_up("commit", e);
	if (f->first == 0 || id < f->first)
		f->first = id;
	if (id > f->last)
		f->last = id;
	f->done++;
	task_post(f->loop, &f->more);
}

static void
put_text(struct buf *out, size_t size, uint64_t number)
{
	require(buf_addf(out, "From: alice@example.com\r\nTo: bob@example.net\r\nSubject: number %llu\r\n\r\n",
	    (unsigned long long)number));
	while (buf_len(out) + 72 < size)
		require(buf_add_str(out, "A line of text that is there to make the message as long as wanted.\r\n"));
}

/* False: not now; a spare file has to be made first. */
static bool
begin_one(struct fill *f)
{
	struct envelope env;
	struct spool_txn *t;
	struct buf text;
	struct err e;
	spool_id id;
	size_t pending;
	bool begun;

	envelope_init(&env);
	env.from = VIEW("alice@example.com");
	envelope_add_rcpt(&env, VIEW("bob@example.net"));
	env.received_ms = f->first_ms + (int64_t)f->begun;
	env.uid = env.pid = -1;
	env.helo = VIEW("localhost");
	env.protocol = PROTOCOL_ESMTP;
	begun = spool_begin(&t, f->spool, &env, &id, &e) == 0;
	if (!begun && e.kind != ERR_FULL)
		give_up("begin", &e);
	if (begun) {
		buf_init(&text, 1u << 20);
		put_text(&text, f->size, f->begun++);
		if (spool_append(t, buf_view(&text), &pending, &e) < 0)
			give_up("append", &e);
		spool_commit(t, false, on_committed, f);
		buf_done(&text);
	}
	envelope_done(&env);
	return begun;
}

static void
on_closed(void *owner)
{
	loop_stop(((struct fill *)owner)->loop);
}

static void
go_on(void *arg)
{
	struct fill *f = arg;

	while (f->begun < f->count && f->begun - f->done < AT_ONCE)
		if (!begin_one(f)) {
			timer_set(f->loop, &f->again, 5);
			return;
		}
	if (f->done < f->count || f->closing)
		return;
	f->closing = true;
	spool_close(f->spool, on_closed, f);
}

static void
on_message(void *owner, struct spool_message *m)
{
}

static void
on_nothing(void *owner)
{
}

static void
on_health(void *owner, enum spool_health h, const char *why)
{
}

static void
on_trouble(void *owner, const char *what)
{
	fprintf(stderr, "fill: %s\n", what);
}

static uint64_t
number(const char *text)
{
	uint64_t n;

	if (!num_parse_u64(view_str(text), 1, 100000000, &n)) {
		fprintf(stderr, "usage: fill DIR COUNT BYTES\n");
		exit(64);
	}
	return n;
}

int
main(int argc, char **argv)
{
	static const struct spool_events events = { on_message, on_nothing, on_health, on_trouble };
	struct spool_params params = { .segment_size = 64u << 20, .bytes_max = (uint64_t)1 << 40,
		.messages_max = UINT32_MAX, .outcome_sync_ms = 1000 };
	struct spool_env env = { 0 };
	struct fill f = { 0 };
	struct rng rng;
	struct err e;
	int fd;

	if (argc != 4)
		(void)number("");
	f.count = number(argv[2]);
	f.size = (size_t)number(argv[3]);
	fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	rng_init(&rng, 1);
	if (loop_new(&f.loop, &e) < 0 || worker_new(&env.worker, f.loop, "commit", &e) < 0 ||
	    worker_new(&env.reader, f.loop, "reader", &e) < 0)
		give_up("start", &e);
	env.loop = f.loop;
	env.fs = fs_new(fd);
	env.rng = &rng;
	f.first_ms = loop_wall(f.loop) - (int64_t)f.count;
	timer_init(&f.again, go_on, &f);
	task_init(&f.more, go_on, &f);
	if (spool_open(&f.spool, &params, &env, &events, &f, &e) < 0)
		give_up(argv[1], &e);
	task_post(f.loop, &f.more);
	loop_run(f.loop);
	printf("%016llx %016llx\n", (unsigned long long)f.first, (unsigned long long)f.last);
	worker_free(env.worker);
	worker_free(env.reader);
	fs_free(env.fs);
	loop_free(f.loop);
	return 0;
}
