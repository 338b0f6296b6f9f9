/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history_impl - what writing and looking up share; not for others.
 */
#ifndef RELAY_HISTORY_IMPL_H
#define RELAY_HISTORY_IMPL_H

#include "relay/history.h"

/* One at a time. What run() touches: this and history.files. */
struct history_write {
	struct job	 job;
	struct buf	 lines;
	uint64_t	 n, written;	/* lines */
	int64_t		 wall_ms, loop_ms;
	bool		 look;		/* for the last message, in the newest file */
	struct err	 e;		/* kind ERR_NONE: written */
	spool_id	 last;
	uint64_t	 files, bytes;	/* afterwards */
};

struct history {
	struct log		 log;		/* ours */
	struct history_env	 env;
	struct history_files	 files;		/* the jobs' */
	struct buf		 gathered;
	uint64_t		 ngathered;	/* lines in it */
	struct history_write	 write;
	bool			 writing;
	bool			 hurry;		/* history_flush() was called */
	uint64_t		 submitted, completed;	/* batches */
	struct timer		 timer, hourly;
	struct list		 waiting;	/* finds whose lines are not all written */
	unsigned		 finding;	/* jobs of finds under way */
	bool			 gone;		/* freed when the jobs are done */
	uint64_t		 missing;	/* dropped, and not yet told of */
	spool_id		 last;
	struct history_stats	 stats;
};

/* The event of a line "TIME EVENT ..."; false: the line has no time in front. */
bool history_line_event(struct view line, struct view *event, struct view *rest) must_use;
/* Begin the next batch if there is something to write. */
void history_kick(struct history *);
/* A batch was written: finds that waited for it may begin. */
void history_find_go(struct history *);
void history_dispose(struct history *);		/* if it is gone and at rest */

#endif
