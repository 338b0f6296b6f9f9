/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report - who is told of a message that failed. Pure.
 *
 * The sender, if mail from outside can reach it; else the administrator, who also
 * gets the report of a report of ours that failed, unless that was for him already:
 * so no report has more than one behind it. Any other message with the null sender
 * is never reported.
 */
#ifndef RELAY_REPORT_H
#define RELAY_REPORT_H

#include "base/view.h"

enum report_to { REPORT_NOBODY, REPORT_SENDER, REPORT_ADMIN };

/* report_for: whom a report of ours was for, "" for any other message. hostname: this host's name; admin "" if there is none. */
enum report_to report_choose(struct view sender, struct view report_for, const char *hostname,
    const char *admin);
/* Is there a host in the world that takes mail for this domain, as far as its name tells? */
bool report_domain_is_public(struct view domain, const char *hostname);

#endif
