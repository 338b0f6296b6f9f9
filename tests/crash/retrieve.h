/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * retrieve - a message of an open spool as a delivery reads it.
 */
#ifndef CRASH_RETRIEVE_H
#define CRASH_RETRIEVE_H

#include "unit/spool/world.h"

/* Envelope lines and text of m. False: not all of it; text has what was given before that. */
bool retrieve(struct world *, struct spool_message *m, struct buf *lines, struct buf *text, struct err *);

/* A reader's on_ready, whose owner is a bool; and one turn of waiting for it. False: it does not come. */
void retrieve_ready(void *ready);
bool retrieve_wait(struct world *, bool *ready);

#endif
