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

extern const struct work works[];
extern const size_t nworks;

#endif
