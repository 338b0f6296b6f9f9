/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash/steps.h"

#include "base/banned.h"

#define SYNC_MS	1500	/* by then outcomes are synced */

void
settle(struct play *p)
{
	play_run(p, SYNC_MS);
}

struct sent *
accept_small(struct play *p, uint32_t nrcpt)
{
	return play_accept(p, play_size(p, 100, 3000), nrcpt);
}

void
finish_and_settle(struct sent *x)
{
	play_finish(x);
	settle(x->play);
}

struct sent *
refuse(struct play *p, size_t most)
{
	struct sent *x = play_begin(p, play_size(p, 100, most), 1);

	play_commit(x);
	play_run(p, 20);
	play_refused(x);
	return x;
}

void
well_again(struct play *p)
{
	accept_small(p, 1);
	settle(p);
	p->failing = false;
}

void
fill(struct play *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		play_finish(play_accept(p, play_size(p, 200000, 220000), 1));
		play_run(p, 20);
	}
}

static void
no_step(void *arg)
{
}

void
unwatched(struct play *p, void (*fn)(struct play *, void *arg), void *arg)
{
	void (*watched)(void *) = p->step;

	p->step = no_step;
	fn(p, arg);
	p->step = watched;
}

static void
fill_some(struct play *p, void *arg)
{
	fill(p, *(unsigned *)arg);
}

void
fill_unwatched(struct play *p, unsigned n)
{
	unwatched(p, fill_some, &n);
}
