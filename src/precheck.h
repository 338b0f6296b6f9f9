/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * precheck - what is wrong with a configuration that only the host can tell:
 * users, the files it names, and who may read them.
 *
 * The daemon asks before it starts and before a reload, so that a new relay is
 * not started in vain after the old one has gone; posthoused -t asks as well.
 */
#ifndef PRECHECK_H
#define PRECHECK_H

#include "conf/conf.h"

/* As whoever runs: the certificates can be read. */
int precheck(const struct conf *, struct err *) must_use;
/*
 * For posthoused -t: every mistake, a line each, with that of the text. Asked by root, it answers as
 * the user that the daemon would be, and stays that user. False: there are some; else there may be warnings.
 */
bool precheck_report(const struct conf *, struct view text, const char *path,
    struct buf *report) must_use;

#endif
