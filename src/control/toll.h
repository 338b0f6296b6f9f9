/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * toll - how much of relay's time a user's questions may take.
 *
 * A question costs what it makes relay look at. Each user has TOLL_PER_SECOND to spend; who has
 * spent more waits until it is made up for, and who would wait too long is refused. The users
 * that spent last are known; who is forgotten has waited long enough. Pure.
 */
#ifndef CONTROL_TOLL_H
#define CONTROL_TOLL_H

#include <stdint.h>

#define TOLL_USERS	32
#define TOLL_PER_SECOND	5000		/* messages whose envelopes are read */
#define TOLL_WAIT_MS	20000		/* longer: refused */

struct toll {
	struct {
		int64_t	uid;
		int64_t	free_ms;	/* what was spent is made up for; 0: nobody */
	} user[TOLL_USERS];
};

/* How long to wait before the work is done, monotonic ms. -1: too long, and nothing is spent. */
int64_t toll_pay(struct toll *, int64_t uid, uint64_t cost, int64_t now_ms);

#endif
