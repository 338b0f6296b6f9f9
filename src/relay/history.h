/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history - what became of each message, kept on disk beside the log
 * (doc/history.md).
 *
 * history_log() is a log: what is said to it goes to the log beneath, by its
 * level, and to the history whatever the level. Lines gather in memory and are
 * written by the worker. Nothing here fails or waits: what can't be written is
 * dropped, counted, and said once.
 *
 * Thread: loop thread; files are touched by jobs of the worker alone.
 */
#ifndef RELAY_HISTORY_H
#define RELAY_HISTORY_H

#include "relay/history_files.h"
#include "spool/spool.h"
#include "sys/log.h"
#include "sys/worker.h"

#define HISTORY_GATHER_MAX	(1u << 20)
#define HISTORY_BATCH		(64u << 10)	/* written at once; less than this after HISTORY_WRITE_MS */
#define HISTORY_WRITE_MS	1000
#define HISTORY_BLOCK		(256u << 10)	/* read by one job */
#define HISTORY_FOUND_MAX	(512u << 10)	/* lines told of one message */
#define HISTORY_LINE_MAX	(LOG_LINE_MAX + 52)

struct history;

struct history_env {
	struct loop	*loop;
	struct fs	*fs;		/* at the history's directory; not owned */
	struct worker	*worker;	/* not owned */
	struct log	*log;		/* the one beneath */
};

struct history *history_new(const struct history_env *, const struct history_limits *);
/*
 * Lines that history_flush() was not told of are dropped. Jobs under way keep what they
 * need; env must live until the worker has done them.
 */
void history_free(struct history *);
struct log *history_log(struct history *);
/* Write what there is now, and from now on each line soon. */
void history_flush(struct history *);
/* The message accepted last, as far as this and the newest file tell; 0: none. */
spool_id history_last(const struct history *);
void history_set_last(struct history *, spool_id);

struct history_stats {
	uint64_t	written, dropped;	/* lines, since start */
	uint64_t	files, bytes;
	bool		failing;
};
void history_stats(const struct history *, struct history_stats *out);

/* --- looking up ----------------------------------------------------------- */

struct history_find;

/*
 * on_done comes once, later; with id 0 when history_last() is known, and nothing is looked up.
 * At most 16 at one time are expected: each has a block of memory.
 */
struct history_find *history_find(struct history *, spool_id, void (*on_done)(void *owner), void *owner);
/*
 * Lines in order of writing, valid until the find is freed; empty: there are none.
 * cut: some in the middle are left out. -1: the files could not be read.
 */
int history_find_result(const struct history_find *, struct view *lines, bool *cut, struct err *) must_use;
void history_find_free(struct history_find *);	/* at any time */

#endif
