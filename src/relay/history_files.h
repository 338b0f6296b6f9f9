/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history_files - the history's files: append, begin a new one, remove old ones
 * (doc/history.md).
 *
 * Thread: one at a time; the history uses it in jobs of its worker alone.
 */
#ifndef RELAY_HISTORY_FILES_H
#define RELAY_HISTORY_FILES_H

#include "sys/fs.h"

#define HISTORY_FILES_MAX	8192
#define HISTORY_NAME_MAX	32
#define HISTORY_AGE_MS		3600000		/* between two removals for age, and before the first */

struct history_limits {
	unsigned	days;
	uint64_t	bytes_max;
	uint64_t	free_min;	/* of the disk, below which nothing is written */
};

struct history_file {
	uint32_t	number;
	uint32_t	day;		/* 20261122 */
	uint64_t	size;
};

struct history_files {
	struct fs		*fs;
	struct history_limits	 limits;
	bool			 listed;
	struct history_file	*file;		/* in order of number */
	size_t			 n, cap;
	uint64_t		 bytes;
	int			 fd;		/* of the last one, to be written; -1: not open */
	bool			 torn;		/* it does not end in a newline */
	int64_t			 aged_ms;	/* loop: of the last removal for age, or the start */
};

void history_files_init(struct history_files *, struct fs *, const struct history_limits *,
    int64_t loop_ms);
void history_files_done(struct history_files *);
/* See what is there. Once, and again after a failure. */
int history_files_list(struct history_files *, struct err *) must_use;
/* Whole lines. On failure some of them may be there all the same. */
int history_files_append(struct history_files *, struct view lines, int64_t wall_ms, struct err *) must_use;
/* Remove what is too much, and one file that is too old if it is time for that. */
int history_files_prune(struct history_files *, int64_t wall_ms, int64_t loop_ms, struct err *) must_use;
const char *history_file_name(char name[HISTORY_NAME_MAX], const struct history_file *);

#endif
