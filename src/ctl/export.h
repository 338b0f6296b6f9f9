/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export - queued messages into a Maildir or an mbox. The spool stays as it is.
 *
 * The envelope is kept in lines in front of each message; posthousectl(8) names them.
 */
#ifndef CTL_EXPORT_H
#define CTL_EXPORT_H

#include "ctl/offline.h"

struct export {
	const char	*path;
	bool		 mbox;		/* a file; otherwise a directory */
	bool		 json;
	const spool_id	*id;		/* those that are wanted; n 0: all */
	size_t		 n;
};

/* Returns an exit status; 1: not all of what was wanted could be read. */
int export_run(struct offline *, const struct export *) must_use;

#endif
