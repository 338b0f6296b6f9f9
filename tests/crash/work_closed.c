/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Segments whose last record ends where their file ends. There a summary counts though no
 * later segment names it, for Z stands where an orderly stop would have cut. What makes it
 * fit is learned from segments before it, in which the same was done.
 */
#include <errno.h>
#include <stdio.h>

#include "base/require.h"
#include "crash/steps.h"
#include "crash/work.h"
#include "spool/record.h"
#include "spool/summary.h"

#include "base/banned.h"

#define CLOSELY		6u
#define LEFT_OVER	63u	/* between what a summary may take and what it takes, behind play_repeat() */
#define ROWS		6u	/* so that their number has two digits */

struct part {
	size_t		 more;		/* bytes of one message, beyond the usual */
	unsigned	 rows;		/* messages that stay, beyond the usual */
	bool		 synced;
	struct sent	*x;		/* in the first segment, and had an outcome there */
	uint32_t	 segment;	/* that was filled */
};

/* All of a segment but its end. The last record of x may be not synced. */
static void
fill_part(struct play *p, void *arg)
{
	struct part *part = arg;

	struct sent *last;

	for (unsigned i = 0; i < 2; i++)
		play_accept(p, 460000, 1);
	for (unsigned i = 0; i < part->rows; i++)
		play_accept(p, 100, 1);
	last = play_accept(p, 10000 + part->more, 1);
	part->segment = last->segment;
	play_repeat(part->x);
	if (part->synced)
		settle(p);
	else
		play_run(p, 20);
}

/* The next segment is begun with this one. */
static void
rotate(struct play *p)
{
	play_accept(p, 60000, 1);
}

static void
fill_and_rotate(struct play *p, void *part)
{
	fill_part(p, part);
	rotate(p);
}

static void
first_part(struct play *p, void *arg)
{
	struct part *part = arg;

	part->x = play_accept(p, 1500, 2);
	play_update(part->x);
	settle(p);
	rotate(p);
	fill_and_rotate(p, part);	/* from here on all segments are begun in the same way */
	fill_and_rotate(p, part);
}

/* The end of Z, and the bytes of the summary. */
static void
measure(const struct play *p, uint32_t segment, uint64_t *end, uint32_t *summary)
{
	char name[DISK_NAME];
	uint8_t header[RECORD_HEADER];
	struct record r = { 0 };

	*end = *summary = 0;
	(void)snprintf(name, sizeof(name), "log/%016x.seg", segment);
	while (r.type != RECORD_SEAL && disk_read(p->disk, name, header, sizeof(header), *end) ==
	    sizeof(header) && record_get_any(&r, header)) {
		*end += record_room(r.length);
		if (r.type == RECORD_SUMMARY)
			*summary = r.length;
	}
}

/* So that what is filled next ends with the file. */
static void
calibrate(struct play *p, struct part *part)
{
	uint32_t summary;
	uint64_t end;

	unwatched(p, first_part, part);
	measure(p, part->segment, &end, &summary);
	/* As many rows as leave nothing over. */
	for (; part->rows < ROWS + 8 && (summary + LEFT_OVER) % RECORD_UNIT != 0; part->rows++)
		summary += SUMMARY_MESSAGE_ROW;
	require((summary + LEFT_OVER) % RECORD_UNIT == 0);	/* else all this shows nothing */
	unwatched(p, fill_and_rotate, part);
	measure(p, part->segment, &end, &summary);
	part->more = (size_t)(SEGMENT - end);
}

void
work_closed(struct play *p)
{
	struct part part = { .rows = ROWS };

	play_open(p);
	calibrate(p, &part);
	for (unsigned i = 0; i < 2; i++) {
		part.synced = i == 1;
		unwatched(p, fill_part, &part);
		p->closely = CLOSELY;
		rotate(p);
		p->closely = 0;
	}
	play_update(part.x);
	settle(p);
}

/* The last sync of a stop fails, and its Z stands at the end of the file: the next start can't trust it. */
void
work_closed_in_vain(struct play *p)
{
	struct part part = { .rows = ROWS, .synced = true };

	play_open(p);
	calibrate(p, &part);
	unwatched(p, fill_part, &part);
	p->failing = true;
	disk_fail(p->disk, TWIN_SYNC, 0, 1, EIO);
	play_close(p);
	play_open(p);
	p->failing = false;
	play_update(part.x);
	settle(p);
}
