/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * places - the daemon's directories, and the locks that keep a second daemon out.
 */
#ifndef PLACES_H
#define PLACES_H

#include "conf/conf.h"
#include "sys/privilege.h"

struct places {
	int	spool;			/* directory state_dir/spool */
	int	history;		/* directory state_dir/history */
	int	state_lock, runtime_lock;
};

/* state_dir 0700 and runtime_dir 0755, if they are not there; owner: of new ones, or NULL. */
int places_make(const struct conf *, const struct identity *owner, struct err *) must_use;
/* As the daemon's user: take both locks, open the spool. ERR_BUSY names the other daemon. */
int places_open(struct places *, const struct conf *, struct err *) must_use;
/* The Maildir of staging = "sink", with what belongs into it; made if it is not there. */
int places_open_sink(int *out, const struct conf *, struct err *) must_use;
void places_done(struct places *);

#endif
