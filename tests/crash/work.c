/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The workloads. Sizes come from the seed, so that every round is another one. None may
 * depend on more than the contract of the spool: they run over its mutants, too.
 */
#include "crash/work.h"

#include <errno.h>
#include <stdio.h>

#include "base/require.h"
#include "crash/steps.h"

#include "base/banned.h"

/* --- messages of one record ------------------------------------------------------------ */

static void
small(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = play_accept(p, play_size(p, 1, 300), 1);
	b = play_begin(p, play_size(p, 300, 2000), 3);
	play_commit(b);
	play_commit(play_begin(p, play_size(p, 1, 100), 2));	/* in one batch */
	play_run(p, 20);
	play_accepted(b);
	play_finish(a);
	play_run(p, 20);		/* written, not synced */
	play_accept(p, play_size(p, 500, 3000), 1);
	finish_and_settle(b);
	(void)play_accept(p, 10, 1);
}

/* --- messages in chunks -------------------------------------------------------------------- */

static void
big(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = play_accept(p, play_size(p, 65000, 66000), 1);	/* at the limit of one record */
	b = play_accept(p, play_size(p, 140000, 200000), 2);
	play_update(b);
	play_finish(a);
	(void)play_accept(p, play_size(p, 66000, 130000), 1);
	finish_and_settle(b);
}

static void
interleaved(struct play *p)
{
	struct sent *a, *b, *c;

	play_open(p);
	p->w.worker.delay_ms = 2;
	a = play_begin(p, play_size(p, 140000, 150000), 1);
	b = play_begin(p, play_size(p, 70000, 140000), 2);
	play_append(a, 70000);
	play_append(b, 66000);
	c = play_begin(p, play_size(p, 1, 900), 1);
	play_commit(c);
	play_run(p, 3);
	play_append(a, 65536);
	play_commit(b);
	play_run(p, 1);
	play_commit(a);
	play_run(p, 50);
	play_accepted(a);
	play_accepted(b);
	play_accepted(c);
	finish_and_settle(b);
}

static void
aborted(struct play *p)
{
	struct sent *a, *b, *c;

	play_open(p);
	a = play_begin(p, 400, 1);
	play_append(a, 200);
	play_abort(a);
	b = play_begin(p, 200000, 1);
	play_append(b, 140000);
	c = play_accept(p, play_size(p, 1, 2000), 1);	/* its sync covers chunks of b */
	play_abort(b);
	b = play_begin(p, 150000, 1);
	play_append(b, 150000);
	play_abort(b);
	play_run(p, 20);
	play_finish(c);
	play_accept(p, play_size(p, 1, 2000), 1);
	settle(p);
	/* One stays open to the end: chunks without a commit. */
	b = play_begin(p, 200000, 1);
	play_append(b, 140000);
	play_run(p, 20);
	play_abort(b);
}

/* Text that would be records, if their tags were those of the segment. */
static void
look_alikes(struct play *p)
{
	struct sent *a = NULL;

	play_open(p);
	for (unsigned i = 0; i < 3; i++) {
		a = play_begin(p, play_size(p, 4000, 9000), 1);
		play_disguise(a);
		play_commit(a);
		play_run(p, 20);
	}
	finish_and_settle(a);
}

/* --- outcomes ---------------------------------------------------------------------------------- */

static void
outcomes(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = play_accept(p, play_size(p, 100, 600), 4);
	b = play_accept(p, play_size(p, 100, 600), 1);
	play_update(a);
	play_run(p, 20);
	play_update(a);
	play_update(b);
	play_run(p, 20);
	play_update(a);
	settle(p);
	play_update(a);
	play_accept(p, play_size(p, 1, 500), 1);	/* syncs it, too */
	play_update(b);
	play_finish(a);
	play_run(p, 20);
	play_update(b);
	settle(p);
	finish_and_settle(b);
}

static void
bounces(struct play *p)
{
	struct sent *a, *b, *report;

	play_open(p);
	a = accept_small(p, 2);
	b = accept_small(p, 1);
	play_update(a);
	report = play_bounce(a, play_size(p, 100, 2000));
	play_run(p, 50);
	require(report->id != 0);
	play_update(report);
	(void)play_bounce(b, play_size(p, 40000, 60000));
	settle(p);
	play_finish(report);
	play_accept(p, play_size(p, 1, 500), 1);
	settle(p);
}

/* --- segments ------------------------------------------------------------------------------------- */

static void
rotation(struct play *p)
{
	struct sent *a, *b, *c;

	play_open(p);
	a = accept_small(p, 2);
	fill_unwatched(p, 3);
	b = play_begin(p, 250000, 1);
	play_append(b, play_size(p, 66000, 130000));	/* chunks before, the commit behind the rotation */
	play_update(a);
	c = play_begin(p, play_size(p, 210000, 230000), 1);
	play_commit(c);
	play_run(p, 20);
	play_commit(b);
	play_run(p, 20);
	play_accepted(b);
	play_accepted(c);
	play_update(a);
	settle(p);
	play_finish(a);
	accept_small(p, 1);
}

static void
release(struct play *p)
{
	struct sent *a, *b, *c;

	play_open(p);
	a = accept_small(p, 2);
	b = play_begin(p, 250000, 1);
	play_append(b, 70000);		/* pins the first segment, as nothing else will */
	fill_unwatched(p, 5);
	finish_and_settle(a);
	play_commit(b);
	c = accept_small(p, 1);
	play_accepted(b);
	play_finish(b);
	play_run(p, 20);		/* written: not released yet */
	play_update(c);
	settle(p);		/* released */
	fill_unwatched(p, 4);
	finish_and_settle(c);
	accept_small(p, 1);
}

/* Behind what is new stand the records of an earlier use. */
static void
recycling(struct play *p)
{
	struct sent *a;

	play_open(p);
	a = accept_small(p, 1);
	fill_unwatched(p, 9);
	settle(p);
	play_finish(a);
	settle(p);		/* a segment has become a spare */
	a = accept_small(p, 1);
	fill_unwatched(p, 4);
	play_finish(play_accept(p, play_size(p, 200000, 220000), 1));	/* and is begun again */
	play_update(a);
	accept_small(p, 2);
	settle(p);
	play_finish(a);
	play_commit(play_begin(p, play_size(p, 66000, 90000), 1));
	settle(p);
	fill_unwatched(p, 6);
	accept_small(p, 1);
}

/* Each name is taken away for good before its file is begun again under another one. */
static void
two_names(struct play *p)
{
	struct sent *a;

	play_open(p);
	a = accept_small(p, 1);
	fill_unwatched(p, 14);
	settle(p);
	play_finish(a);
	settle(p);		/* a segment has become a spare */
	play_power_loss_with_names(p);
	accept_small(p, 1);
	fill_unwatched(p, 14);
	accept_small(p, 1);
	fill_unwatched(p, 14);
	settle(p);
}

/* What is alive in the oldest segment is copied forward, with its outcome, and the segment goes. */
static void
stragglers(struct play *p)
{
	struct sent *a, *b, *c;

	play_open(p);
	a = accept_small(p, 3);
	b = play_accept(p, play_size(p, 140000, 160000), 1);
	c = accept_small(p, 8);	/* its outcome is more than a sector */
	play_update(a);
	settle(p);
	play_update(a);
	fill_unwatched(p, 13);
	play_update(c);
	fill(p, 5);			/* the fourth is closed */
	play_update(a);
	play_run(p, 50);
	finish_and_settle(c);
	fill_unwatched(p, 2);
	settle(p);
	play_finish(b);
	play_run(p, 20);
	play_power_loss(p);
	play_update(a);
	settle(p);
}

/* Several one after another: what ends a message stands in the next one. */
static void
release_many(struct play *p)
{
	struct sent *a;

	play_open(p);
	a = accept_small(p, 1);
	fill_unwatched(p, 14);
	settle(p);
	finish_and_settle(a);
	accept_small(p, 1);
}

/* New mail while older segments are read: none of them goes before all are. */
static void
early_mail(struct play *p)
{
	struct sent *a;

	play_open(p);
	fill_unwatched(p, 2);
	a = accept_small(p, 1);
	fill_unwatched(p, 9);
	play_close(p);
	p->w.reader.delay_ms = 40;
	play_open(p);
	for (unsigned i = 0; i < 4; i++)
		accept_small(p, 1);
	settle(p);
	play_update(a);
	settle(p);
}

/* --- failures ---------------------------------------------------------------------------------------- */

static void
failed_sync(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = accept_small(p, 2);
	b = accept_small(p, 1);
	p->failing = true;
	play_update(a);
	play_finish(b);
	play_run(p, 20);
	disk_fail(p->disk, TWIN_SYNC, 0, 1, EIO);
	(void)refuse(p, 3000);
	accept_small(p, 1);	/* in the next segment */
	settle(p);
	p->failing = false;
	finish_and_settle(a);
}

/*
 * No segment can be begun after the failure, until the stop: the last attempt fails, too, but
 * what was refused is cut off, and that is synced.
 */
static void
failed_stop(struct play *p)
{
	struct sent *b;

	play_open(p);
	accept_small(p, 2);
	p->failing = true;
	disk_fail(p->disk, TWIN_SYNC, 0, 3, EIO);
	b = refuse(p, 9000);
	play_close(p);
	b->fate = FATE_GONE;
	play_run(p, 0);
	play_open(p);
	p->failing = false;
	accept_small(p, 1);
	settle(p);
}

/* The last sync of a stop fails: of the records, which are written again, and then of the end. */
static void
failed_seal(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = accept_small(p, 2);
	b = accept_small(p, 1);
	for (unsigned i = 0; i < 2; i++) {
		play_update(a);
		if (i == 0)
			play_finish(b);
		play_run(p, 20);	/* written, not synced */
		p->failing = true;
		disk_fail(p->disk, TWIN_SYNC, i, 1, EIO);
		play_close_reading(p, a);
		play_open(p);
		p->failing = false;
	}
	play_update(a);
	settle(p);
}

/* A start can't sync the tail that a kill has left: later syncs prove nothing. */
static void
failed_start(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = accept_small(p, 2);
	b = accept_small(p, 1);
	play_update(a);
	play_finish(b);
	play_run(p, 20);		/* written, not synced */
	p->failing = true;
	disk_fail(p->disk, TWIN_SYNC, 1, 1, EIO);	/* behind that of the new segment's start */
	play_kill_and_watch(p);
	play_update(a);
	settle(p);
	p->failing = false;
	finish_and_settle(a);
	accept_small(p, 1);
}

/* Cut off or not: only the next segment says for good that it does not count. */
static void
failed_write(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = accept_small(p, 2);
	p->failing = true;
	disk_fail(p->disk, TWIN_WRITE, 0, 1, EIO);
	b = play_begin(p, play_size(p, 4000, 9000), 1);
	play_commit(b);
	play_run(p, 20);
	play_refused(b);
	play_update(a);
	well_again(p);
	play_bounce(a, 500);
	settle(p);
}

/* Chunks of a message that goes on are in the range that is lost. */
static void
lost_chunks(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = accept_small(p, 2);
	b = play_begin(p, 250000, 1);
	play_append(b, 140000);
	play_run(p, 20);
	p->failing = true;
	disk_fail(p->disk, TWIN_SYNC, 0, 1, EIO);
	(void)refuse(p, 3000);
	play_commit(b);
	play_run(p, 20);
	play_refused(b);
	well_again(p);
	finish_and_settle(a);
}

/* The commit waits in a batch of its own behind the sync that loses the chunks. */
static void
lost_before_commit(struct play *p)
{
	struct sent *a, *more[5];

	play_open(p);
	p->w.worker.delay_ms = 5;
	a = play_begin(p, play_size(p, 70000, 90000), 1);
	play_append(a, 70000);
	play_run(p, 50);
	p->failing = true;
	play_commit(a);
	play_run(p, 1);			/* its last chunk is being written */
	for (size_t i = 0; i < lengthof(more); i++) {
		more[i] = play_begin(p, 52100, 1);	/* together they fill a batch */
		play_commit(more[i]);
	}
	disk_fail(p->disk, TWIN_SYNC, 0, 1, EIO);
	play_run(p, 100);
	play_refused(a);
	play_refused(more[0]);
	well_again(p);
	accept_small(p, 1);
}

static void
degraded(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = accept_small(p, 2);
	b = accept_small(p, 1);
	p->failing = true;
	play_update(a);
	disk_fail(p->disk, TWIN_SYNC, 0, 2, EIO);
	(void)refuse(p, 3000);
	play_bounce(b, 400);		/* delivery goes on */
	play_run(p, 100);
	play_update(a);
	play_run(p, 20000);
	p->failing = false;
	play_finish(a);
	play_run(p, 70000);
	accept_small(p, 1);
}

/* Syncing at a rotation fails: the seal, then the start of the next segment. */
static void
failed_rotation(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = accept_small(p, 2);
	fill_unwatched(p, 4);
	play_update(a);
	p->failing = true;
	disk_fail(p->disk, TWIN_SYNC, rng_below(&p->rng, 2), 1, EIO);
	b = play_begin(p, play_size(p, 210000, 230000), 1);
	play_commit(b);
	play_run(p, 20000);
	well_again(p);
	finish_and_settle(a);
}

/* --- starts and stops ---------------------------------------------------------------------------------- */

static void
restarts(struct play *p)
{
	struct sent *a, *b;

	play_open(p);
	a = accept_small(p, 3);
	b = play_accept(p, play_size(p, 66000, 90000), 1);
	play_update(a);
	play_run(p, 20);
	play_close(p);
	play_open(p);
	play_update(a);
	play_commit(play_begin(p, play_size(p, 100, 3000), 1));
	play_run(p, 1);
	play_kill(p);
	play_update(a);
	play_finish(b);
	play_run(p, 20);
	play_commit(play_begin(p, play_size(p, 66000, 90000), 1));
	play_power_loss(p);
	play_update(a);
	settle(p);
	play_power_loss(p);
	(void)play_bounce(a, 700);
	settle(p);
	play_close(p);
}

/* --- a full disk --------------------------------------------------------------------------------------- */

static void
full(struct play *p)
{
	struct sent *a, *b, *c;

	p->may_trouble = "room";
	p->short_of_space = true;
	p->disk->space = 9 * SEGMENT + SEGMENT / 2;
	p->w.params.segment_size = SEGMENT;
	play_open(p);
	a = accept_small(p, 2);
	b = accept_small(p, 1);
	c = play_accept(p, 200000, 1);
	fill_unwatched(p, 3);
	p->disk->space = 2 * SEGMENT + SEGMENT / 2;	/* others have filled it */
	settle(p);
	if (spool_find(p->w.spool, a->id) != NULL)
		play_update(a);
	settle(p);
	finish_and_settle(b);
	play_finish(c);
	play_update(a);
	settle(p);
	p->disk->space = 0;
	play_run(p, 5000);
	accept_small(p, 1);
	finish_and_settle(a);
}

/* A full disk, and the last spare is used: starts begin in what is left of the last segment. */
static void
full_starts(struct play *p)
{
	struct sent *a, *b;

	p->may_trouble = "room";
	p->short_of_space = true;
	p->w.params.segment_size = SEGMENT;
	play_open(p);
	a = accept_small(p, 2);
	b = accept_small(p, 1);
	p->disk->space = SEGMENT + SEGMENT / 2;
	play_kill(p);			/* the start takes the spare */
	settle(p);
	play_update(a);
	settle(p);
	play_kill(p);
	settle(p);
	play_update(a);
	settle(p);
	play_close(p);
	play_open(p);
	settle(p);
	finish_and_settle(b);
	p->disk->space = 0;
	play_run(p, 5000);
	accept_small(p, 1);
	finish_and_settle(a);
}

const struct work works[] = {
	{ "small", "K1-K5", small },
	{ "big", "K2-K4", big },
	{ "interleaved", "K2-K4", interleaved },
	{ "aborted", "K2", aborted },
	{ "look-alikes", "K2 K3", look_alikes },
	{ "outcomes", "K5", outcomes },
	{ "bounces", "K6", bounces },
	{ "rotation", "K7-K10", rotation },
	{ "closed", "K7", work_closed },
	{ "closed-in-vain", "K7 K19", work_closed_in_vain },
	{ "release", "K11", release },
	{ "recycling", "K9 K12", recycling },
	{ "two-names", "K9 K12", two_names },
	{ "stragglers", "K12 K22", stragglers },
	{ "release-many", "K11 K12", release_many },
	{ "failed-sync", "K13 K14", failed_sync },
	{ "failed-stop", "K13 K15", failed_stop },
	{ "failed-seal", "K13 K19", failed_seal },
	{ "failed-start", "K20", failed_start },
	{ "failed-write", "K13 K14", failed_write },
	{ "lost-chunks", "K13 K14", lost_chunks },
	{ "lost-before-commit", "K13 K14", lost_before_commit },
	{ "failed-rotation", "K7-K9 K13", failed_rotation },
	{ "degraded", "K13 K14", degraded },
	{ "early-mail", "K15", early_mail },
	{ "restarts", "K15 K16 K19 K20", restarts },
	{ "damaged-record", "K15 K17", work_damaged_record },
	{ "damaged-header", "K15 K17", work_damaged_header },
	{ "damaged-chunk", "K15 K17", work_damaged_chunk },
	{ "damaged-commit", "K15 K17", work_damaged_commit },
	{ "wrong-place", "K15 K17", work_wrong_place },
	{ "damaged-start", "K15 K17", work_damaged_start },
	{ "damaged-abandon", "K14 K17", work_damaged_abandon },
	{ "lost-start", "K18", work_lost_start },
	{ "swapped", "K17", work_swapped },
	{ "stale", "K17", work_stale },
	{ "names-damaged", "K12 K17", work_names_damaged },
	{ "flipped-tail", "K15 K17", work_flipped_tail },
	{ "flipped-closed", "K15 K17", work_flipped_closed },
	{ "absence", "K15 K17", work_absence },
	{ "full", "K10", full },
	{ "full-starts", "K10 K16 K19", full_starts },
};
const size_t nworks = lengthof(works);
