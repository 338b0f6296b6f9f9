/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * work - what the spool does while crashes are tried.
 */
#ifndef CRASH_WORK_H
#define CRASH_WORK_H

#include "crash/play.h"

struct work {
	const char	*name;
	const char	*cases;		/* of doc/spool-format.md */
	void		(*run)(struct play *);
};

/* work_damage.c */
void work_damaged_record(struct play *);
void work_damaged_header(struct play *);
void work_damaged_chunk(struct play *);
void work_damaged_commit(struct play *);
void work_wrong_place(struct play *);
void work_damaged_start(struct play *);
void work_damaged_abandon(struct play *);
void work_lost_start(struct play *);
void work_swapped(struct play *);
void work_stale(struct play *);
void work_flipped_tail(struct play *);
void work_flipped_closed(struct play *);
void work_absence(struct play *);
void work_names_damaged(struct play *);
/* work_closed.c */
void work_closed(struct play *);
void work_closed_in_vain(struct play *);

extern const struct work works[];
extern const size_t nworks;

#endif
