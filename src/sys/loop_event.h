/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop_event - what the rest of sys/ needs to know of the libevent driver.
 *
 * Thread: loop thread.
 */
#ifndef SYS_LOOP_EVENT_H
#define SYS_LOOP_EVENT_H

#include "sys/loop.h"

/* Every libevent callback calls it first: the time of this turn is that of the wake-up. */
void loop_woke(struct loop *);

#endif
