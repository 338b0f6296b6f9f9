/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offline - look at a spool without asking the daemon. Nothing is written there,
 * no lock is taken: it is as safe beside a running daemon as on a copy.
 *
 * Functions return an exit status; what went wrong is said.
 */
#ifndef CTL_OFFLINE_H
#define CTL_OFFLINE_H

#include "spool/walk.h"

struct offline {
	char		*path;		/* of the spool */
	struct fs	*fs;
	struct walk	*walk;
	int64_t		 holder;	/* process that has the spool open for writing; 0: none known */
};

/* Reads all of the log. EX_OK, or the status to end with. */
int offline_open(struct offline *, const char *path) must_use;
void offline_close(struct offline *);
/* Read it again, if segments have gone since. False: they have not, or it can't be read. */
bool offline_refresh(struct offline *);
/* How it is used now, and what is damaged: for who looks at messages. */
void offline_remark(const struct offline *);

int offline_queue(struct offline *, bool json, uint64_t limit) must_use;
int offline_cat(struct offline *, spool_id) must_use;
int offline_check(struct offline *, bool json) must_use;

#endif
