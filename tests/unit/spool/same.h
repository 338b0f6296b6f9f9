/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * same - is the same known of two messages, found in two ways?
 */
#ifndef TEST_SPOOL_SAME_H
#define TEST_SPOOL_SAME_H

#include <string.h>

#include "spool/spool.h"

static inline bool
same_rcpts(const struct spool_message *a, const struct spool_message *b)
{
	const struct spool_rcpt *x = a->nrcpt > 1 ? a->rcpt.many : &a->rcpt.one;
	const struct spool_rcpt *y = b->nrcpt > 1 ? b->rcpt.many : &b->rcpt.one;

	return a->nrcpt == b->nrcpt && memcmp(x, y, a->nrcpt * sizeof(*x)) == 0;
}

static inline bool
same_message(const struct spool_message *a, const struct spool_message *b)
{
	return a->id == b->id && a->received_ms == b->received_ms && a->size == b->size &&
	    a->segment == b->segment && a->offset64 == b->offset64 && a->length64 == b->length64 &&
	    a->outcome_segment == b->outcome_segment && a->outcome_offset64 == b->outcome_offset64 &&
	    a->attempts == b->attempts && a->flags == b->flags && a->first_segment == b->first_segment &&
	    a->next_ms == b->next_ms && same_rcpts(a, b);
}

#endif
