/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recovery of the segments of earlier runs, in the background: first all records are
 * replayed in order, then the messages that are left are told of, the one that is due
 * first before the others. Each step is one bounded job on env.reader; the job owns struct
 * recovery while it runs. Nothing is written but copies of damaged ranges.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "spool/leftover.h"
#include "spool/quarantine.h"
#include "spool/replay.h"
#include "spool/salvage.h"
#include "spool/state.h"
#include "spool/tell.h"

#include "base/banned.h"

#define STEP_BYTES	(4u << 20)	/* of log in one job */
#define READ_TRIES	30u		/* of a segment that can't be read */
#define READ_AGAIN_MS	1000

struct recovery {
	struct job	 job;
	struct spool	*s;
	struct replay	 replay;
	size_t		 nfound;	/* of it, as the loop may know */
	uint64_t	 first;		/* number above those of the runs before */
	struct list	*at;		/* segment that is walked */
	struct segment	*walked;
	struct scan	 scan;
	bool		 scanning, set_aside;
	bool		 damaged;	/* the segment that is walked */
	bool		 content;	/* the segments so far hold more than their starts */
	uint32_t	 before;	/* number of the segment in front, which is not there; 0: it is, or none */
	struct salvage	 salvage;
	uint64_t	 notes;		/* in quarantine/ */
	enum scan_result result;
	struct err	 e;
	int		 fd;		/* opened by the job */
	struct buf	 text;		/* of a summary */
	uint64_t	 end;		/* of the records */
	uint64_t	 new_size;	/* of the segment; 0: as it was */
	struct segment_start start;	/* of the segment, read again */
	struct timer	 again;		/* after a failure to read */
	unsigned	 tries;		/* failures in a row */
	struct telling	 telling;	/* second part */
};

uint64_t
recover_messages(const struct spool *s)
{
	return s->recovery != NULL ? s->recovery->nfound : 0;
}

static bool
is_old(const struct recovery *rc, struct list *at)
{
	return at != &rc->s->segments && list_entry(at, struct segment, link)->number < rc->first;
}

/*
 * A descriptor may be free, or a disk well, in a moment. What could not be read stays on the disk
 * and out of the queue until the next start: that is the last resort.
 */
static bool
try_again(struct recovery *rc)
{
	if (rc->e.errnum == 0 || rc->s->closing || ++rc->tries > READ_TRIES)
		return false;
	if (rc->tries == 1)
		trouble(rc->s, "segment %016x can't be read, it is tried again: %s", rc->walked->number,
		    rc->e.text);
	timer_set(rc->s->env.loop, &rc->again, READ_AGAIN_MS);
	return true;
}

static void
on_again(void *arg)
{
	struct recovery *rc = arg;

	worker_submit(rc->s->env.reader, &rc->job);
}

/* --- before: what could not be read when the spool was opened ------------------------------ */

static void replay_step(struct recovery *rc);

static void
reread_run(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);

	if (open_segment(rc->s->env.fs, rc->walked, &rc->start, &rc->e) == 0)
		err_clear(&rc->e);
}

/* All of them before the first record is replayed: a start says what to believe of earlier segments. */
static void
reread_step(struct recovery *rc)
{
	for (; is_old(rc, rc->at); rc->at = rc->at->next) {
		rc->walked = list_entry(rc->at, struct segment, link);
		if (!rc->walked->unread)
			continue;
		rc->walked->users++;
		worker_submit(rc->s->env.reader, &rc->job);
		return;
	}
	rc->walked = NULL;
	rc->at = rc->s->segments.next;
	replay_step(rc);
}

static void
reread_done(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);
	struct segment *sg = rc->walked;

	if (sg->unread && try_again(rc))
		return;
	rc->tries = 0;
	sg->users--;
	if (rc->e.kind == ERR_NONE) {
		log_opened(rc->s, sg, -1);
		open_apply_start(rc->s, sg, &rc->start);
	} else {
		trouble(rc->s, "segment %016x: %s", sg->number, rc->e.text);
	}
	rc->at = rc->at->next;
	reread_step(rc);
}

/* --- first part: replay ------------------------------------------------------------------ */

/*
 * What is acted on from here must not vanish with the next power loss: after kill -9 the tail may be in
 * the cache alone, also when the start before this one was killed in its turn. A sync that failed
 * is not tried again, for the next one would say that all is well: a copy takes the place of the file.
 */
static int
make_durable(struct recovery *rc)
{
	struct segment *sg = rc->walked;
	struct fs *fs = rc->s->env.fs;
	int copy;

	if (!sg->sync_failed) {
		if (fs_sync(fs, rc->fd, &rc->e) == 0)
			return 0;
		sg->sync_failed = true;
	}
	if (segment_renew(fs, sg->number, rc->fd, &copy, &rc->e) < 0)
		return -1;
	if (rc->fd != sg->fd)
		fs_close(fs, rc->fd);
	rc->fd = copy;
	sg->sync_failed = false;
	err_clear(&rc->e);
	return 0;
}

static int
open_walked(struct recovery *rc)
{
	struct segment *sg = rc->walked;
	char name[SEGMENT_NAME_MAX];
	struct fs *fs = rc->s->env.fs;

	rc->fd = sg->fd;
	if (rc->fd < 0)
		rc->fd = fs_open(fs, segment_name(name, DIR_LOG, sg->number), FS_READ, &rc->e);
	if (rc->fd < 0)
		return -1;
	if (sg->tail_unproven && make_durable(rc) < 0) {
		if (rc->fd != sg->fd)
			fs_close(fs, rc->fd);
		rc->fd = -1;
		return -1;
	}
	return 0;
}

/* All of the segment at once, if it has a summary that counts. */
static bool
take_summary(struct recovery *rc)
{
	struct view text;

	if (!segment_read_summary(rc->s->env.fs, rc->fd, rc->walked, &rc->text, &text, &rc->end))
		return false;
	replay_summary(&rc->replay, rc->walked->number, text);
	rc->content = true;
	rc->result = SCAN_END;
	return true;
}

/* Records, up to the first that is bad, or as many as are read in one job. */
static void
walk_records(struct recovery *rc)
{
	uint64_t begin = rc->scan.at;

	do {
		struct scan_record x;

		rc->result = scan_next(&rc->scan, &x, &rc->e);
		if (rc->result == SCAN_DAMAGE)
			rc->salvage.damage = x;
		if (rc->result != SCAN_RECORD)
			break;
		replay_record(&rc->replay, rc->walked->number, &x);
		rc->content |= x.head.type != RECORD_START;
	} while (rc->scan.at - begin < STEP_BYTES);
	rc->end = rc->scan.at;
}

static void
replay_run(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);
	struct segment *sg = rc->walked;

	rc->result = SCAN_FAIL;
	err_clear(&rc->e);
	rc->new_size = 0;
	if (rc->before != 0)
		salvage_gone(&rc->salvage, rc->before);
	rc->before = 0;
	if (sg->unread || sg->nonce == 0) {
		rc->set_aside = sg->lost_start && salvage_set_aside(&rc->salvage, sg->number, &rc->e);
		return;
	}
	if (!rc->scanning) {
		if (open_walked(rc) < 0)
			return;
		if (take_summary(rc)) {
			salvage_end(&rc->salvage, sg, false);
			return;
		}
		scan_init(&rc->scan, rc->s->env.fs, rc->fd, sg, !sg->tail_unproven);
		rc->scanning = true;
	}
	walk_records(rc);
	if (rc->result == SCAN_DAMAGE) {
		rc->damaged = rc->content = true;
		salvage_range(&rc->salvage, rc->fd, sg, &rc->replay);
	} else if (rc->result == SCAN_END) {
		salvage_end(&rc->salvage, sg, !rc->scan.sealed && !rc->damaged);
		if (rc->scan.torn)
			salvage_torn(&rc->salvage, sg, rc->scan.at);
		rc->new_size = leftover_cut(rc->s->env.fs, sg, &rc->scan);
	}
}

static void order_begin(struct recovery *rc);

static void
segment_walked(struct recovery *rc)
{
	struct segment *sg = rc->walked;

	sg->users--;
	if (rc->set_aside) {
		rc->set_aside = false;
		trouble(rc->s, "segment %016x can't be read, its start is lost: moved to quarantine",
		    sg->number);
		log_drop_segment(rc->s, sg);
		return;
	}
	if (rc->result == SCAN_FAIL) {
		sg->kept = true;
		rc->s->unreadable = true;
		rc->s->nunread++;
		trouble(rc->s, "segment %016x can't be read and is kept: %s", sg->number,
		    rc->e.kind == ERR_NONE ? "its start can't be read" : rc->e.text);
	} else {
		sg->written = rc->end;
		if (rc->new_size != 0)
			sg->size = rc->new_size;
	}
	if (rc->fd >= 0 && rc->fd != sg->fd) {
		if (sg->fd >= 0)
			fs_close(rc->s->env.fs, sg->fd);	/* a copy has taken its place */
		log_opened(rc->s, sg, rc->fd);
	}
	if (rc->scanning)
		scan_done(&rc->scan);
	rc->scanning = false;
	rc->fd = -1;
}

static void
recovery_free(struct recovery *rc)
{
	replay_done(&rc->replay);
	buf_done(&rc->text);
	tell_done(&rc->telling);
	free(rc);
}

static void
finish(struct recovery *rc)
{
	struct spool *s = rc->s;
	bool complete = !s->closing;

	if (rc->replay.unclear != 0)
		trouble(s, "%llu records make no sense and are ignored", (unsigned long long)rc->replay.unclear);
	recovery_free(rc);
	s->recovery = NULL;
	s->recovered = complete;
	if (complete)
		s->events.on_recovered(s->owner);
	space_update(s);
	log_release(s);
	compact_consider(s);
	commit_kick(s);
}

static void
replay_done_step(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);

	rc->nfound = rc->replay.found->n;
	salvage_tell_absent(&rc->salvage, rc->s);
	if (rc->result == SCAN_DAMAGE)
		salvage_tell_range(&rc->salvage, rc->s, rc->walked);
	if (rc->result == SCAN_FAIL && try_again(rc))
		return;
	if (rc->result == SCAN_END || rc->result == SCAN_FAIL) {
		rc->tries = 0;
		rc->at = rc->at->next;
		segment_walked(rc);
		rc->walked = NULL;
	}
	if (rc->s->closing) {
		if (rc->walked != NULL)
			segment_walked(rc);
		finish(rc);
		return;
	}
	replay_step(rc);
}

static void
walk_next(struct recovery *rc)
{
	struct segment *sg = list_entry(rc->at, struct segment, link);

	rc->walked = sg;
	sg->users++;
	rc->damaged = false;
	/* Only the oldest goes: so what stands in front of a segment is there, or nothing is. */
	if (rc->content && sg->previous != 0 && log_segment(rc->s, sg->previous) == NULL)
		rc->before = sg->previous;
}

static void
replay_step(struct recovery *rc)
{
	struct spool *s = rc->s;

	if (rc->walked == NULL) {
		if (!is_old(rc, rc->at)) {
			order_begin(rc);
			return;
		}
		walk_next(rc);
	}
	rc->job.run = replay_run;
	rc->job.done = replay_done_step;
	worker_submit(s->env.reader, &rc->job);
}

/* --- second part: tell ---------------------------------------------------------------------- */

static void
order_run(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);

	salvage_orphans(&rc->salvage, &rc->replay);
	salvage_chunks(&rc->salvage, (uint32_t)(rc->first - 1), &rc->replay);
	rc->notes = quarantine_notes(rc->s->env.fs);
	tell_order(&rc->telling, rc->replay.found);
}

static void
nothing_run(struct job *job)
{
}

static void
tell_step(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);
	struct spool *s = rc->s;

	if (tell_some(&rc->telling, s)) {
		finish(rc);
		return;
	}
	commit_kick(s);			/* the reserve has grown: spares may have to be made */
	rc->job.run = nothing_run;
	worker_submit(s->env.reader, &rc->job);
}

/* Now the last outcome of each is known, and all are in the index. */
static void
order_done(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);
	struct spool *s = rc->s;

	salvage_tell_orphans(&rc->salvage, s);
	salvage_tell_chunks(&rc->salvage, s);
	s->quarantined = rc->notes;	/* what an earlier start has found is found again */
	s->nuntold = (uint32_t)rc->telling.n;
	s->index = index_join(rc->replay.found, s->index);
	rc->replay.found = NULL;
	rc->nfound = 0;
	rc->job.done = tell_step;
	tell_step(job);
}

static void
order_begin(struct recovery *rc)
{
	buf_done(&rc->text);
	rc->job.run = order_run;
	rc->job.done = order_done;
	worker_submit(rc->s->env.reader, &rc->job);
}

static void
recover_first(struct job *job)
{
	struct recovery *rc = container_of(job, struct recovery, job);

	rc->job.run = reread_run;
	rc->job.done = reread_done;
	reread_step(rc);
}

void
recover_start(struct spool *s)
{
	struct recovery *rc = xzalloc(sizeof(*rc));

	rc->s = s;
	rc->first = s->first_number;
	rc->salvage = (struct salvage){ .fs = s->env.fs, .found_ms = loop_wall(s->env.loop) };
	rc->at = s->segments.next;
	rc->fd = -1;
	timer_init(&rc->again, on_again, rc);
	replay_init(&rc->replay);
	buf_init(&rc->text, SUMMARY_MAX);
	s->recovery = rc;
	/* Never from within spool_open(): the first step is a job, even of nothing. */
	rc->job.run = nothing_run;
	rc->job.done = recover_first;
	worker_submit(s->env.reader, &rc->job);
}

/* It can only wait to try again. */
void
recover_free(struct spool *s)
{
	struct recovery *rc = s->recovery;

	if (rc == NULL)
		return;
	require(timer_is_set(&rc->again));
	timer_cancel(s->env.loop, &rc->again);
	if (rc->fd >= 0 && rc->fd != rc->walked->fd)
		fs_close(s->env.fs, rc->fd);
	if (rc->scanning)
		scan_done(&rc->scan);
	recovery_free(rc);
	s->recovery = NULL;
}
