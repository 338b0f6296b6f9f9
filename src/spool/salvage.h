/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * salvage - what recovery makes of segments that are damaged or missing.
 *
 * The job on env.reader finds it, and puts copies and notes into quarantine/; the loop tells of
 * it, and sees that what could not be copied is kept. The job owns all of it while it runs.
 */
#ifndef SPOOL_SALVAGE_H
#define SPOOL_SALVAGE_H

#include "spool/absence.h"
#include "spool/replay.h"
#include "spool/scan.h"

struct spool;

#define SALVAGE_TORN_MAX	16u

struct salvage {
	struct fs	*fs;
	int64_t		 found_ms;	/* wall, for the notes */
	struct absence	 absent[2];	/* found by the job: the segment in front, the end of this one */
	unsigned	 nabsent;
	struct err	 note_err;	/* of them */
	struct scan_record damage;	/* its payload is not valid any more */
	struct err	 copy_err;
	struct torn_tail {
		uint32_t segment;
		uint64_t at, length;
	} torn[SALVAGE_TORN_MAX];	/* the last ones: what stands there is nothing, or was damaged */
	unsigned	 ntorn;
	unsigned	 orphans;	/* messages that are lost ... */
	uint64_t	 orphan;	/* ... the first of them */
	struct err	 torn_err;	/* of the copies */
	unsigned	 rescued;	/* messages of which the chunks were copied */
};

/* --- by the job -------------------------------------------------------------- */
/* A later segment names this one, and it is not there. */
void salvage_gone(struct salvage *, uint32_t number);
/* Is the end of it there? no_end: it was walked, is not damaged, and has no Z. */
void salvage_end(struct salvage *, const struct segment *, bool no_end);
/* No record of it can be read. Kept whole, out of the way: it would hold up all release. */
bool salvage_set_aside(struct salvage *, uint32_t number, struct err *);
/* sv->damage, in sg, which is open as fd. */
void salvage_range(struct salvage *, int fd, const struct segment *sg, struct replay *);
/* What stands in this segment from there on is taken for a torn tail. */
void salvage_torn(struct salvage *, const struct segment *, uint64_t at);
/* All is read: were messages lost with such a tail? */
void salvage_orphans(struct salvage *, const struct replay *);
/* All is read: it is known which chunks have no commit. last: number of the last segment. */
void salvage_chunks(struct salvage *, uint32_t last, struct replay *);

/* --- by the loop ------------------------------------------------------------- */
void salvage_tell_absent(struct salvage *, struct spool *);
void salvage_tell_range(struct salvage *, struct spool *, struct segment *sg);
void salvage_tell_chunks(struct salvage *, struct spool *);
void salvage_tell_orphans(struct salvage *, struct spool *);

#endif
