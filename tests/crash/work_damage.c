/* SPDX-License-Identifier: BSD-2-Clause */
/* What is damaged though it was synced: a start finds it, sets a copy aside, and goes on. */
#include <errno.h>
#include <stdio.h>

#include "base/require.h"
#include "crash/steps.h"
#include "crash/work.h"
#include "spool/record.h"

#include "base/banned.h"

/* To be read by the next start, and released after it. */
static void
damage(struct play *p, char type, size_t byte, bool closed)
{
	struct sent *a, *b, *c, *hurt;

	p->may_trouble = "damaged";
	play_open(p);
	a = accept_small(p, 1);
	b = play_accept(p, play_size(p, 70000, 90000), 2);
	c = accept_small(p, 1);
	if (closed)
		play_close(p);
	else
		play_die(p);
	/* A closed segment is not walked: what is damaged there shows when it is read. */
	hurt = type == RECORD_MESSAGE ? a : b;
	play_damage(hurt, type, byte, 0xff, closed ? DAMAGE_ALONE : DAMAGE_COPIED);
	play_open(p);
	if (spool_find(p->w.spool, hurt->id) != NULL)
		play_set_aside(hurt);
	else if (type == RECORD_COMMIT)
		play_expect_message(hurt);	/* found by the id */
	play_update(c);
	settle(p);
	play_finish(c);
	if (spool_find(p->w.spool, b->id) != NULL)
		play_finish(b);
	if (spool_find(p->w.spool, a->id) != NULL)
		play_finish(a);
	settle(p);		/* released: the copy is all there is */
	accept_small(p, 1);
}

void
work_damaged_record(struct play *p)
{
	damage(p, RECORD_MESSAGE, 70, rng_below(&p->rng, 2) == 0);
}

void
work_damaged_header(struct play *p)
{
	damage(p, RECORD_MESSAGE, 30, rng_below(&p->rng, 2) == 0);
}

void
work_damaged_chunk(struct play *p)
{
	damage(p, RECORD_CHUNK, 5000, rng_below(&p->rng, 2) == 0);
}

/* One digit of a chunk's place: only the checksum tells. */
void
work_wrong_place(struct play *p)
{
	damage(p, RECORD_COMMIT, DAMAGE_PLACE, true);
}

void
work_damaged_commit(struct play *p)
{
	damage(p, RECORD_COMMIT, 70, rng_below(&p->rng, 2) == 0);
}

/* Records that are whole, but not where they should be: the message's own place and checksums tell. */
void
work_swapped(struct play *p)
{
	struct sent *x[3];

	play_open(p);
	x[0] = play_accept(p, 2000, 1);
	x[1] = play_accept(p, 2000, 1);
	x[2] = play_accept(p, play_size(p, 200000, 210000), 1);
	play_close(p);
	play_swap(x[0], 0, x[1], 0, RECORD_MESSAGE);
	play_swap(x[2], 1, x[2], 2, RECORD_CHUNK);	/* the first has the envelope: that would tell */
	play_open(p);
	for (size_t i = 0; i < lengthof(x); i++)
		play_set_aside(x[i]);
	for (size_t i = 0; i < lengthof(x); i++)
		play_finish(x[i]);
	settle(p);
	accept_small(p, 1);
}

/*
 * The disk gives other sectors than were read a moment ago, while the spool is open: the place of
 * one chunk has another's, of one message another one, or a bit is wrong, in what was said of one, too.
 */
void
work_stale(struct play *p)
{
	struct sent *x[5];

	play_open(p);
	x[0] = play_accept(p, 2000, 1);
	x[1] = play_accept(p, 2000, 1);
	x[2] = play_accept(p, play_size(p, 200000, 210000), 1);
	x[3] = play_accept(p, play_size(p, 140000, 150000), 1);
	x[4] = play_accept(p, 500, 2);
	play_update(x[4]);
	settle(p);
	for (size_t i = 0; i < lengthof(x); i++)
		play_read(x[i]);
	play_swap(x[0], 0, x[1], 0, RECORD_MESSAGE);
	play_swap(x[2], 1, x[2], 2, RECORD_CHUNK);
	play_damage(x[3], RECORD_CHUNK, play_size(p, 100, 60000), 1, DAMAGE_ALONE);
	play_damage(x[4], RECORD_UPDATE, DAMAGE_END, 1, DAMAGE_ALONE);
	for (size_t i = 0; i < lengthof(x); i++)
		play_read(x[i]);
	p->may_trouble = "damaged";
	accept_small(p, 1);
	play_close(p);
	play_open(p);			/* found by the summary, so not walked */
	accept_small(p, 1);
}

/*
 * Damage where a kill may have left a torn tail: only what a later run says of the message tells that it was there,
 * in a record that is walked or in a summary.
 */
static void
flipped(struct play *p, bool closed)
{
	struct sent *x;

	play_open(p);
	accept_small(p, 1);
	x = accept_small(p, 2);
	play_die(p);
	play_open(p);
	play_update(x);
	settle(p);
	if (closed)
		play_close(p);
	else
		play_die(p);
	play_damage(x, RECORD_MESSAGE, 70, 1, DAMAGE_ALONE);
	p->may_trouble = p->must_trouble = "missing";
	play_open(p);
	play_expect_tail(x);
	accept_small(p, 1);
	settle(p);
}

void
work_flipped_tail(struct play *p)
{
	flipped(p, false);
}

void
work_flipped_closed(struct play *p)
{
	flipped(p, true);
}

/* A segment between others is gone, or its end: it is noted, and what stands around it goes on. */
void
work_absence(struct play *p)
{
	struct sent *x[3];

	p->may_trouble = "missing";
	for (size_t i = 0; i < lengthof(x); i++) {
		play_open(p);
		x[i] = accept_small(p, 1);
		play_close(p);
	}
	play_lose(x[1], rng_below(&p->rng, 2) == 0);
	play_open(p);
	play_expect_note(p);
	play_update(x[2]);
	settle(p);
	play_finish(x[0]);		/* its segment goes, and so does the gap */
	settle(p);
	accept_small(p, 1);
}

/* The next segment knows the nonce; without one the file is set aside whole. */
void
work_damaged_start(struct play *p)
{
	struct sent *a, *b;

	p->may_trouble = "";		/* more than one thing, in any words */
	play_open(p);
	a = accept_small(p, 1);
	play_close(p);
	play_open(p);
	b = accept_small(p, 1);
	play_close(p);
	play_damage(a, RECORD_START, 70, 1, DAMAGE_ALONE);
	play_open(p);
	play_update(a);
	settle(p);
	play_finish(a);
	finish_and_settle(b);
}

/* A wrong digit there would abandon what was accepted. */
void
work_damaged_abandon(struct play *p)
{
	struct sent *a, *b, *refused;

	p->may_trouble = "";
	play_open(p);
	a = play_accept(p, play_size(p, 4096, 5000), 1);
	p->failing = true;
	disk_fail(p->disk, TWIN_SYNC, 0, 1, EIO);
	refused = play_begin(p, 1000, 1);
	play_commit(refused);
	play_run(p, 20);
	play_refused(refused);
	b = accept_small(p, 1);
	p->failing = false;
	play_finish(play_accept(p, 100, 1));
	settle(p);
	play_die(p);
	play_open(p);			/* the next segment knows the nonce of that one */
	play_die(p);
	play_damage_abandon(b);
	play_open(p);
	finish_and_settle(a);
}

/* The only one that could know the nonce is the segment itself: it is set aside whole. */
void
work_lost_start(struct play *p)
{
	struct sent *a;
	char base[32];

	p->may_trouble = "";
	play_open(p);
	a = accept_small(p, 1);
	play_close(p);
	play_damage(a, RECORD_START, 70, 1, DAMAGE_ALONE);
	a->hurt = true;
	play_open(p);
	(void)snprintf(base, sizeof(base), "%016x", a->segment);
	play_expect_copy(p, base, ".seg");
	accept_small(p, 1);
}

/* A crash has left a segment its name as a spare, too, and its start tells no more that it is one. */
void
work_names_damaged(struct play *p)
{
	struct sent *a;

	p->may_trouble = "";
	play_open(p);
	a = accept_small(p, 1);
	fill_unwatched(p, 14);
	settle(p);
	disk_fail(p->disk, TWIN_SYNC_DIR, 0, 1, EIO);
	finish_and_settle(a);		/* renamed to be a spare, and that is not durable */
	play_die_with_names(p);
	play_damage(a, RECORD_START, 70, 1, DAMAGE_ALONE);
	play_open(p);
	accept_small(p, 1);
	fill_unwatched(p, 14);
	accept_small(p, 1);
	settle(p);
}
