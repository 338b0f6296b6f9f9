/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explore - every crash that may happen at one point of a play.
 *
 * At a point (before and after each operation of the disk, and each step of the workload)
 * the changes that are not durable are items 0 to n-1. A choice says which of them a
 * crash keeps:
 *
 *	n	none			pI	the first I
 *	a	all			oI	all but item I
 *	wN	all but operation N	tI	item I alone
 *	rI	a random part		dI	all; item I modulo n has a wrong bit, or is zeros or noise
 *	gI	a random part, in which some is wrong
 *	k	all stays as it is, in the cache too: SIGKILL
 *
 * A place is "POINT:CHOICE", or "POINT:CHOICE/POINT:CHOICE" for a second crash while the
 * first is recovered from; with workload and seed it names one image for ever.
 */
#ifndef CRASH_EXPLORE_H
#define CRASH_EXPLORE_H

#include "crash/judge.h"

struct choice {
	char		 kind;
	uint64_t	 arg;
};

#define PLACE_MAX 80

struct place {
	uint64_t	 point;
	struct choice	 choice;
};

/* Hashes that were seen. */
struct seen {
	uint64_t	*slot;
	size_t		 cap, n;
};
void seen_init(struct seen *);
void seen_done(struct seen *);
bool seen_add(struct seen *, uint64_t hash);	/* true: it is new */

struct explorer {
	struct play	*play;
	const char	*work;
	uint64_t	 seed;
	unsigned	 width;		/* choices at one point, at most */
	unsigned	 deep;		/* one image of so many is recovered from with crashes; 0: none */
	unsigned	 kill;		/* SIGKILL is tried at one point of so many; 0: at none */
	struct place	 want[2];	/* the one place, and the second crash there */
	unsigned	 nwant;		/* 0: all */
	struct seen	*images;	/* distinct ones, all in all */
	struct seen	 checked;	/* image and what was promised: in this play */
	uint64_t	 point;
	/* results */
	uint64_t	 distinct, checks, violations, nested;
	struct verdict	 first;
	char		 first_place[PLACE_MAX];
	char		 now[PLACE_MAX];	/* what is tried at this moment, for a death */
	/* to skip a point where nothing has changed */
	uint64_t	 last_ops, last_promise;
	bool		 last_known;
};

/* Only this place. -1: it is none. */
int explore_only(struct explorer *, const char *place) must_use;
/* The step of a play. */
void explore_step(void *explorer);

#endif
