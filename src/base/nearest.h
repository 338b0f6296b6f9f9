/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nearest - which known word was meant by one that is not known. Pure.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stdbool.h>

struct nearest {
	const char	*word;
	unsigned	 limit;		/* a better candidate differs by no more than this */
};

/* More than a third of the letters wrong: nothing was meant. */
void nearest_begin(struct nearest *, const char *word);
/* True if the candidate is nearer than all before it. */
bool nearest_offer(struct nearest *, const char *candidate);

#endif
