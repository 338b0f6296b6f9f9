/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * say - what posthousectl prints. Text of messages and of errors comes from
 * strangers: a terminal must not act on it.
 */
#ifndef CTL_SAY_H
#define CTL_SAY_H

#include "base/buf.h"

/* One line on standard error, "posthousectl: " in front; only printable ASCII gets there. */
void say(const char *fmt, ...) printf_like(1, 2);
/*
 * Bytes of a message to standard output: as they are, but on a terminal all that is not
 * printable ASCII, tab or line end as \xNN. False: it can't be written.
 */
bool put_message(struct view) must_use;
/* The buffer to standard output; it is empty then. */
bool put_out(struct buf *) must_use;

#endif
