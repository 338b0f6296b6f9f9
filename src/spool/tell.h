/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tell - the messages that recovery has found, the one that is due first before the others.
 *
 * What is told first can be delivered while the others are told.
 */
#ifndef SPOOL_TELL_H
#define SPOOL_TELL_H

#include "spool/index.h"

struct spool;

/*
 * The last one is told first, and what they took is given back meanwhile: for each that is told
 * others need memory, too.
 */
struct telling {
	struct spool_message **message;
	size_t		 n;		/* not told yet */
	size_t		 bytes;		/* of the array */
};

/* By a job: all of the index, in order. */
void tell_order(struct telling *, struct index *found);
/* By the loop, which has other things to do as well: some of them. True: those were the last. */
bool tell_some(struct telling *, struct spool *s) must_use;
void tell_done(struct telling *);

#endif
