/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of segments: numbers, ids, open descriptors, release of the oldest. */
#include "base/require.h"
#include "spool/state.h"

#include "base/banned.h"

#define ID_COUNTER_MAX	0xffffffu
#define RELEASE_RETRY_MS 60000

/*
 * Above every number there is, and not below the clock: should the directory
 * lose its highest file, numbers still go up.
 */
uint64_t
log_next_number(struct spool *s)
{
	int64_t now = loop_wall(s->env.loop) / 1000;
	uint64_t number = s->highest + 1;

	if (now > 0 && (uint64_t)now > number && now < UINT32_MAX / 2)
		number = (uint64_t)now;
	s->highest = number;
	return number;
}

spool_id
log_next_id(struct spool *s, uint32_t *begun_in)
{
	struct segment *last = list_entry(s->segments.prev, struct segment, link);

	if (s->id_segment != last->number) {
		s->id_segment = last->number;
		s->id_counter = 0;
	}
	if (s->id_counter == ID_COUNTER_MAX)
		return 0;
	*begun_in = last->number;
	return (uint64_t)last->number << 24 | ++s->id_counter;
}

struct segment *
log_segment(const struct spool *s, uint32_t number)
{
	return map_get(&s->by_number, number);
}

void
log_add_segment(struct spool *s, struct segment *sg)
{
	struct list *at = &s->segments;

	while (at->prev != &s->segments &&
	    list_entry(at->prev, struct segment, link)->number > sg->number)
		at = at->prev;
	list_insert_before(at, &sg->link);
	map_put(&s->by_number, sg->number, sg);
	s->nsegments++;
}

void
log_pin(struct spool *s, uint32_t number)
{
	struct segment *sg = log_segment(s, number);

	require(sg != NULL);
	sg->pins++;
}

void
log_unpin(struct spool *s, uint32_t number)
{
	struct segment *sg = log_segment(s, number);

	require(sg != NULL && sg->pins > 0);
	sg->pins--;
	log_release(s);
}

void
log_live(struct spool *s, uint32_t number, int by)
{
	struct segment *sg = log_segment(s, number);

	require(sg != NULL && (by > 0 || sg->live > 0));
	sg->live = by > 0 ? sg->live + 1 : sg->live - 1;
}

uint64_t
log_bytes(const struct spool *s)
{
	uint64_t sum = 0;

	list_foreach(link, &s->segments) {
		const struct segment *sg = list_entry(link, struct segment, link);

		sum += sg == s->current ? sg->written : sg->size;
	}
	return sum;
}

/* --- descriptors ------------------------------------------------------------ */

static void
close_segment(struct spool *s, struct segment *sg)
{
	if (!list_is_empty(&sg->lru)) {
		list_remove(&sg->lru);
		s->nopen--;
	}
	fs_close(s->env.fs, sg->fd);
	sg->fd = -1;
}

void
log_opened(struct spool *s, struct segment *sg, int fd)
{
	if (fd >= 0)
		sg->fd = fd;
	if (!list_is_empty(&sg->lru))
		s->nopen--;
	list_remove(&sg->lru);
	list_push(&s->open, &sg->lru);
	s->nopen++;
	list_foreach_safe(link, &s->open) {
		struct segment *old = list_entry(link, struct segment, lru);

		if (s->nopen <= OPEN_MAX)
			break;
		if (old->users == 0 && old != s->current)
			close_segment(s, old);
	}
}

void
log_close_all(struct spool *s)
{
	list_foreach(link, &s->segments) {
		struct segment *sg = list_entry(link, struct segment, link);

		if (sg->fd >= 0)
			close_segment(s, sg);
	}
}

void
log_drop_segment(struct spool *s, struct segment *sg)
{
	if (sg->fd >= 0)
		close_segment(s, sg);
	map_take(&s->by_number, sg->number);
	s->nsegments--;
	segment_free(sg);
}

/* --- release ----------------------------------------------------------------- */

/*
 * Only the oldest: what finishes a message must not go before the message. None while a
 * later one could not be read: it may hold the commit of chunks that stand here.
 */
static bool
may_release(const struct spool *s, const struct segment *sg)
{
	if (s->unreadable)
		return false;
	/* The last one is written to, or its end is still to be told of. */
	return sg->link.next != &s->segments && sg->live == 0 && sg->pins == 0 && sg->users == 0 && !sg->kept;
}

static void
release_run(struct job *j)
{
	struct spool *s = container_of(j, struct spool, release_job);
	struct segment *sg = s->releasing;

	err_clear(&s->release_err);
	(void)segment_retire(s->env.fs, sg->number, s->release_reuse, &sg->gone,
	    &s->release_err);	/* told by the err */
}

static void
release_done(struct job *j)
{
	struct spool *s = container_of(j, struct spool, release_job);
	struct segment *sg = s->releasing;

	s->releasing = NULL;
	if (s->release_err.kind != ERR_NONE) {
		s->release_after = loop_now(s->env.loop) + RELEASE_RETRY_MS;
		trouble(s, "segment %016x can't be released: %s", sg->number, s->release_err.text);
		space_update(s);
		spool_check_closed(s);
		return;
	}
	if (s->release_reuse) {
		spare_add(s, sg->number);
		s->reused++;
	}
	log_drop_segment(s, sg);
	space_update(s);
	log_release(s);
	compact_consider(s);
	commit_kick(s);		/* whoever waits for a spare */
	spool_check_closed(s);
}

/* As a spare file: whole, good, and there is use for it. */
static bool
may_reuse(const struct spool *s, const struct segment *sg)
{
	return s->reuse && !sg->unfit && !sg->lost_start && !sg->gone &&
	    sg->size == s->params.segment_size && spare_has_place(s);
}

void
log_release(struct spool *s)
{
	struct segment *head;

	/* Recovery that was cut short by the stop does not know what the segments hold. */
	if (s->releasing != NULL || !s->recovered || s->sealing || list_is_empty(&s->segments) ||
	    loop_now(s->env.loop) < s->release_after)
		return;
	head = list_entry(s->segments.next, struct segment, link);
	if (!may_release(s, head))
		return;
	if (head->fd >= 0)
		close_segment(s, head);
	s->releasing = head;
	s->release_reuse = may_reuse(s, head);
	s->release_job.run = release_run;
	s->release_job.done = release_done;
	worker_submit(s->env.reader, &s->release_job);
}
