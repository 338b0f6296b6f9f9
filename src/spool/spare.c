/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spare files: for the next segment, and in reserve for the outcomes of all messages.
 * New ones are preallocated; finished segments are used again, because a sync after
 * writing over old blocks costs half. doc/spool-format.md, "Used again".
 */
#include "base/require.h"
#include "spool/state.h"

#include "base/banned.h"

#define PLENTY		8u	/* segments that fit the free space: then some may wait unused */

uint64_t
spares_needed(const struct spool *s)
{
	/* A little ahead, so that nobody is refused while the next one is made. */
	uint64_t ahead = s->params.segment_size / 8;

	return space_spares_for(s, s->reserve + (s->wish > ahead ? s->wish : ahead));
}

/* A segment that is being released will be one. */
static uint64_t
coming(const struct spool *s)
{
	return s->releasing != NULL && s->release_reuse;
}

uint64_t
spare_to_make(struct spool *s, bool one_is_used)
{
	uint64_t have = s->nspares - one_is_used;

	if (have >= spares_needed(s) || have + coming(s) >= SPARES_MAX || (s->spare_failed && !s->upkeep_due))
		return 0;
	return log_next_number(s);
}

bool
spare_has_place(const struct spool *s)
{
	bool plenty = s->space_known &&
	    s->space.free_bytes >= s->params.free_min + PLENTY * s->params.segment_size;
	uint64_t used = s->busy && s->job.spare != 0, made = s->busy && s->job.new_spare != 0;
	uint64_t most = spares_needed(s) + (plenty ? SPARES_AHEAD : 0);

	return s->nspares - used < most && s->nspares + made < SPARES_MAX;
}

void
spare_add(struct spool *s, uint64_t number)
{
	require(s->nspares < SPARES_MAX);
	s->spare[s->nspares++] = number;
}

void
spare_used(struct spool *s, uint64_t number)
{
	uint32_t i = 0;

	while (i < s->nspares && s->spare[i] != number)
		i++;
	require(i < s->nspares);
	s->nspares--;
	memmove(s->spare + i, s->spare + i + 1, (s->nspares - i) * sizeof(s->spare[0]));
}

/* --- at the start ------------------------------------------------------------- */

static bool
is_among(const uint64_t *number, size_t n, uint64_t what)
{
	for (size_t i = 0; i < n; i++)
		if (number[i] == what)
			return true;
	return false;
}

/*
 * Is it whole, and not another name of a segment? A crash in a rename may leave both
 * names, and what is written to one changes the other.
 */
static bool
is_spare(struct spool *s, const char *name, const uint64_t *logged, size_t nlogged)
{
	struct segment_start start = { 0 };
	struct err why = { 0 };
	uint64_t room;
	bool ok;
	int fd = fs_open(s->env.fs, name, FS_READ, NULL);

	if (fd < 0)
		return false;
	ok = fs_size(s->env.fs, fd, NULL) == (int64_t)s->params.segment_size;
	/* Damaged: it was never a segment, or was begun as one when the crash came. */
	if (ok && segment_read_start(s->env.fs, fd, &start, &room, &why) < 0)
		ok = why.kind == ERR_DAMAGED;
	fs_close(s->env.fs, fd);
	/*
	 * One above all in log/ was being begun. Perhaps its sync had failed, and the process was killed
	 * before it was removed: then no later sync is sure to help it.
	 */
	if (start.number != 0 && (nlogged == 0 || start.number > logged[nlogged - 1]))
		return false;
	return ok && !is_among(logged, nlogged, start.number);
}

void
spare_find(struct spool *s, const uint64_t *spare, size_t nspares, const uint64_t *logged, size_t nlogged)
{
	char name[SEGMENT_NAME_MAX];

	for (size_t i = 0; i < nspares; i++) {
		segment_name(name, DIR_SPARE, spare[i]);
		if (s->nspares < SPARES_MAX && !is_among(logged, nlogged, spare[i]) &&
		    is_spare(s, name, logged, nlogged))
			spare_add(s, spare[i]);
		else
			(void)fs_unlink(s->env.fs, name, NULL);	/* it holds nothing that is needed */
	}
}
