/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * suspect - what a line that can't be run as a command was meant for: behind some of them comes
 * something that is no list of commands, and must not be taken for one.
 *
 * cut: the line is longer than a command may be, and only its beginning is here.
 */
#ifndef SMTP_SUSPECT_H
#define SMTP_SUSPECT_H

#include "base/view.h"

/* The request of a page or a program that was talked into coming here (RFC 9112 3). */
bool suspect_is_http(struct view line, bool cut);
/* It may have been BDAT or DATA to who wrote it: text follows. */
bool suspect_is_text(struct view line, bool cut);

#endif
