/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The start: directories, names, the starts of older segments, the first segment of
 * this run. Blocks, for the older segments are read later. It is refused only where
 * this program must not write: a spool in use, or of a later format.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "base/require.h"
#include "spool/leftover.h"
#include "spool/quarantine.h"
#include "spool/state.h"

#include "base/banned.h"

#define DISK_SEGMENTS	8u	/* so many must fit the file system */
#define FIRST_MIN	(64u << 10)	/* of a segment that is begun on a full disk: for outcomes */
#define FIRST_UNIT	4096u
#define FOREIGN_MAX	256u	/* of a name that is none of ours, quoted */

struct opening {
	struct spool	*s;
	const char	*dir;		/* that is read */
	uint64_t	*number;	/* of the segments found */
	size_t		 n;
};

static void
tell_foreign(struct spool *s, const char *name)
{
	struct buf text;

	buf_init(&text, FOREIGN_MAX);
	if (quote_log(&text, view_str(name), FOREIGN_MAX / 4 - 4))
		trouble(s, "a file in the spool's log/ that is no segment is left alone: %.*s",
		    VIEW_ARG(buf_view(&text)));
	buf_done(&text);
}

static bool
see_name(void *arg, const char *name)
{
	struct opening *o = arg;
	uint64_t number;
	bool log = strcmp(o->dir, DIR_LOG) == 0;
	bool ours = segment_number(name, log, &number);

	if (log && !ours)
		tell_foreign(o->s, name);
	if (!ours)
		return true;
	if (number > o->s->highest)
		o->s->highest = number;
	if ((o->n & (o->n - 1)) == 0)
		o->number = xrealloc(o->number, (o->n != 0 ? o->n * 2 : 1) * sizeof(*o->number));
	o->number[o->n++] = number;
	return true;
}

static int
list_numbers(struct opening *o, const char *dir, struct err *e)
{
	o->dir = dir;
	o->n = 0;
	return fs_list(o->s->env.fs, dir, see_name, o, e);
}

/*
 * Its file, its size and its start. -1: it can't be read now (then nothing is known of it),
 * is damaged, or of a later format.
 */
int
open_segment(struct fs *fs, struct segment *sg, struct segment_start *start, struct err *e)
{
	char name[SEGMENT_NAME_MAX];
	uint64_t room = 0;
	int64_t size = -1;

	*start = (struct segment_start){ 0 };
	sg->unread = sg->lost_start = false;
	sg->fd = fs_open(fs, segment_name(name, DIR_LOG, sg->number), FS_READ, e);
	if (sg->fd >= 0)
		size = fs_size(fs, sg->fd, e);
	if (size >= 0) {
		sg->size = sg->written = (uint64_t)size;
		if (segment_read_start(fs, sg->fd, start, &room, e) == 0 && start->number == sg->number)
			return 0;
		if (start->number != 0)
			(void)err_set(e, ERR_DAMAGED, "its start has another number");
	}
	if (sg->fd >= 0)
		fs_close(fs, sg->fd);
	sg->fd = -1;
	*start = (struct segment_start){ 0 };
	/* Without its nonce no record is readable; a later segment may know it. */
	sg->lost_start = e->kind == ERR_DAMAGED;
	sg->unread = e->kind != ERR_DAMAGED;
	return -1;
}

/* What a segment says of itself and of those before it. */
void
open_apply_start(struct spool *s, struct segment *sg, const struct segment_start *start)
{
	struct segment *other;

	if (start->nonce != 0)
		sg->nonce = start->nonce;
	sg->previous = (uint32_t)start->previous;
	other = start->previous != 0 ? log_segment(s, (uint32_t)start->previous) : NULL;
	if (other != NULL)
		segment_learn(other, start);
}

/* One segment of an earlier run: read its start. */
static int
find_segment(struct spool *s, uint32_t number, struct err *e)
{
	struct segment *sg = segment_new(number, 0);
	struct segment_start start;
	struct err why = { 0 };

	sg->sealed = true;
	if (open_segment(s->env.fs, sg, &start, &why) < 0) {
		if (why.kind == ERR_CONFIG) {
			segment_free(sg);
			*e = why;
			return -1;
		}
		trouble(s, "segment %016x: %s", sg->number, why.text);
	}
	log_add_segment(s, sg);
	if (sg->fd >= 0)
		log_opened(s, sg, -1);
	open_apply_start(s, sg, &start);
	return 0;
}

static int
compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int
find_segments(struct opening *o, struct err *e)
{
	if (o->n > 1)
		qsort(o->number, o->n, sizeof(*o->number), compare_numbers);
	for (size_t i = 0; i < o->n; i++)
		if (find_segment(o->s, (uint32_t)o->number[i], e) < 0)
			return -1;
	return 0;
}

/*
 * On a small disk smaller segments, so that there can be a current one, a spare and
 * some that wait to be released; and a limit of free space that can be met.
 */
static void
fit_disk(struct spool *s)
{
	uint64_t total = s->space.total_bytes, size = s->params.segment_size;

	if (!s->space_known)
		return;
	while (size > SEGMENT_SIZE_MIN && size > total / DISK_SEGMENTS)
		size = size / 2 > SEGMENT_SIZE_MIN ? size / 2 / RECORD_UNIT * RECORD_UNIT : SEGMENT_SIZE_MIN;
	if (size < s->params.segment_size)
		trouble(s, "the spool's disk has only %llu MiB: segments of %llu MiB are used, not of %llu "
		    "as configured", (unsigned long long)(total >> 20), (unsigned long long)(size >> 20),
		    (unsigned long long)(s->params.segment_size >> 20));
	s->params.segment_size = size;
	if (s->params.free_min > total / 2) {
		trouble(s, "the spool's disk has only %llu MiB: %llu are to stay free, not %llu as configured",
		    (unsigned long long)(total >> 20), (unsigned long long)(total / DISK_SEGMENTS >> 20),
		    (unsigned long long)(s->params.free_min >> 20));
		s->params.free_min = total / DISK_SEGMENTS;
	}
}

/* From a spare file; without one, as large as there is room for. freed: what was just given back, or 0. */
static int
begin_segment(struct spool *s, const struct segment_start *start, uint64_t freed, struct segment *sg,
    struct err *e)
{
	uint64_t size = s->params.segment_size;

	if (s->nspares > 0) {
		uint64_t spare = s->spare[s->nspares - 1];

		spare_used(s, spare);
		sg->size = size;
		if (segment_begin(s->env.fs, start, spare, size, &sg->fd, e) == 0)
			return 0;
	}
	if (freed != 0)
		size = freed / FIRST_UNIT * FIRST_UNIT;
	for (; size >= FIRST_MIN; size = size / 4 * 3 / FIRST_UNIT * FIRST_UNIT) {
		sg->size = size;
		if (segment_begin(s->env.fs, start, 0, size, &sg->fd, e) == 0)
			return 0;
		if (e->kind != ERR_FULL)
			break;
	}
	return -1;
}

/*
 * Was the last one closed by an orderly stop? What the new one says of it must stay true after a
 * power loss, so it is synced, also after kill -9 while it was closed.
 */
static bool
find_end(struct spool *s, struct segment *last)
{
	char name[SEGMENT_NAME_MAX];
	int fd = last->fd;
	struct segment_closed end;
	bool found;

	if (last->nonce == 0 || last->unread)
		return false;
	if (fd < 0)
		fd = fs_open(s->env.fs, segment_name(name, DIR_LOG, last->number), FS_READ, NULL);
	if (fd < 0)
		return false;
	found = segment_find_end(s->env.fs, fd, last, &end) && fs_sync(s->env.fs, fd, NULL) == 0;
	if (found)
		s->closed = end;
	if (last->fd < 0)
		fs_close(s->env.fs, fd);
	return found;
}

static void
describe_last(struct spool *s, struct segment *last, struct segment_start *start)
{
	start->previous = last->number;
	start->previous_nonce = last->nonce;
	start->closed = find_end(s, last);
	start->summary = s->closed.summary;
	start->end = s->closed.end;
	start->abandons = s->abandons = start->closed ? 0 : last->number;
	start->abandons_tail = s->abandons_tail = !start->closed;
}

/*
 * On a full disk without a spare: the last segment still has the room that was reserved for it, and
 * what is left of that is for outcomes.
 */
static int
begin_in_leftover(struct spool *s, struct segment *last, struct segment_start *start, struct segment *sg,
    struct err *e)
{
	uint64_t size = last->unread ? 0 : leftover_cut_last(s->env.fs, last), freed = last->size - size;

	if (size == 0)
		return -1;
	last->size = last->written = size;
	describe_last(s, last, start);
	return begin_segment(s, start, freed, sg, e);
}

/*
 * The segment of this run. What stands at the end of the last one may be torn. On a disk
 * without any room the older ones are read all the same, and room is waited for.
 */
static int
begin_first(struct spool *s, struct err *e)
{
	struct segment *last = list_is_empty(&s->segments) ? NULL :
	    list_entry(s->segments.prev, struct segment, link);
	struct segment_start start = { .number = log_next_number(s), .nonce = rng_u64(s->env.rng),
		.created_ms = loop_wall(s->env.loop) };
	struct segment *sg;
	int rc;

	if (start.number > SEGMENT_NUMBER_MAX - SEGMENT_NUMBERS_LEFT)
		return err_set(e, ERR_CONFIG, "the segment numbers are used up by a file in the spool's log/, spare/ "
		    "or quarantine/ whose name begins with %016llx: if it is none of posthouse's, move it away",
		    (unsigned long long)start.number - 1);
	s->first_number = start.number;
	if (last != NULL)
		describe_last(s, last, &start);
	sg = segment_new((uint32_t)start.number, start.nonce);
	sg->summary = summary_new(sg->number);
	rc = begin_segment(s, &start, 0, sg, e);
	if (rc < 0 && last != NULL && e->kind == ERR_FULL)
		rc = begin_in_leftover(s, last, &start, sg, e);
	if (last != NULL)
		segment_learn(last, &start);
	if (rc < 0) {
		segment_free(sg);
		if (last == NULL || e->kind != ERR_FULL)
			return err_prefix(e, "the spool can't be begun");
		trouble(s, "there is no room for a segment, nothing is sent until there is: %s", e->text);
		return 0;
	}
	s->abandons = 0;
	s->abandons_tail = false;
	sg->written = sg->synced = segment_start_room(&start);
	s->last_nonce = sg->nonce;
	s->current = sg;
	log_add_segment(s, sg);
	return 0;
}

/* Mostly the relay of a posthoused that was killed, and that still ends in order. */
static int
in_use(struct err *e)
{
	struct err why = *e;

	return err_set(e, ERR_BUSY, "the spool is in use: %.100s. It is waited for; if it does not end by "
	    "itself, end it, or set another state_dir", why.text);
}

static int
open_dirs(struct spool *s, struct err *e)
{
	struct fs *fs = s->env.fs;

	s->lock_fd = fs_lock(fs, "LOCK", e);
	if (s->lock_fd < 0)
		return e->kind == ERR_BUSY ? in_use(e) : err_prefix(e, "the spool");
	/* And log/: what a segment says of those before it is acted on, so its name must stay. */
	if (fs_mkdir(fs, DIR_LOG, e) < 0 || fs_mkdir(fs, DIR_SPARE, e) < 0 ||
	    fs_mkdir(fs, DIR_QUARANTINE, e) < 0 || fs_sync_dir(fs, "", e) < 0 ||
	    fs_sync_dir(fs, DIR_LOG, e) < 0)
		return err_prefix(e, "the spool");
	return 0;
}

static struct spool *
spool_new(const struct spool_params *params, const struct spool_env *env,
    const struct spool_events *events, void *owner)
{
	struct spool *s = xzalloc(sizeof(*s));

	s->params = *params;
	s->env = *env;
	s->events = *events;
	s->owner = owner;
	s->lock_fd = -1;
	list_init(&s->segments);
	list_init(&s->open);
	list_init(&s->txns);
	list_init(&s->failed);
	map_init(&s->by_number);
	s->index = index_new();
	commit_init(s);
	space_init(s);
	compact_init(s);
	return s;
}

static int
spool_load(struct spool *s, struct err *e)
{
	struct opening o = { .s = s }, spare = { .s = s };
	int rc = -1;

	if (open_dirs(s, e) < 0)
		goto out;
	s->space_known = fs_space(s->env.fs, &s->space, NULL) == 0;
	fit_disk(s);
	s->reuse = s->space_known && !s->space.copy_on_write;
	quarantine_found_again(s->env.fs);
	s->quarantined = quarantine_notes(s->env.fs);
	if (list_numbers(&o, DIR_QUARANTINE, e) < 0 || list_numbers(&spare, DIR_SPARE, e) < 0 ||
	    list_numbers(&o, DIR_LOG, e) < 0)
		goto out;
	/* First of all, for a spool of a later format stays as it is. */
	if (find_segments(&o, e) < 0)
		goto out;
	spare_find(s, spare.number, spare.n, o.number, o.n);
	if (begin_first(s, e) < 0)
		goto out;
	s->space_known = fs_space(s->env.fs, &s->space, NULL) == 0;
	while (spare_to_make(s, false) != 0 && !s->spare_failed) {
		struct commit_job j = { .new_spare = s->highest };

		j.spare_made = segment_make_spare(s->env.fs, j.new_spare, s->params.segment_size,
		    &j.spare_err) == 0;
		space_learn(s, &j);
	}
	rc = 0;
out:
	free(o.number);
	free(spare.number);
	return rc;
}

int
spool_open(struct spool **out, const struct spool_params *params, const struct spool_env *env,
    const struct spool_events *events, void *owner, struct err *e)
{
	struct spool *s = spool_new(params, env, events, owner);
	struct err why = { 0 };

	if (params->segment_size < SEGMENT_SIZE_MIN || params->segment_size % RECORD_UNIT != 0 ||
	    params->segment_size > (uint64_t)1 << 30) {
		spool_free(s);
		return err_set(e, ERR_CONFIG, "a segment has 1 MiB to 1 GiB, and whole 64 bytes");
	}
	if (spool_load(s, &why) < 0) {
		spool_free(s);
		err_advise(&why);
		if (e != NULL)
			*e = why;
		return -1;
	}
	recover_start(s);
	space_update(s);
	commit_kick(s);
	*out = s;
	return 0;
}
