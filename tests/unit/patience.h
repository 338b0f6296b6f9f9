/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * patience - a test on the real loop fails after a while instead of hanging.
 */
#ifndef UNIT_PATIENCE_H
#define UNIT_PATIENCE_H

#include "sys/loop.h"

struct patience {
	struct loop	*loop;
	struct timer	 timer;
	bool		 ended;
};

void patience_init(struct patience *, struct loop *);
/* Until somebody calls loop_stop(); the test fails if that takes too long. */
void patience_run(struct patience *);

#endif
