/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz - what a fuzz target defines: one run over one input.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/require.h"
#include "base/view.h"

/* Always 0. What must hold is checked with require(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* mutate.c; called before anything else. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* One run, in memory of its own size, so that a sanitizer sees each byte too far. */
static inline void
fuzz_run(struct view v)
{
	uint8_t *copy = xzalloc(v.n > 0 ? v.n : 1);

	if (v.n > 0)
		memcpy(copy, v.p, v.n);
	require(LLVMFuzzerTestOneInput(copy, v.n) == 0);
	free(copy);
}

/* The first byte of *io as a number for choices, 0 when there is none. */
static inline unsigned
fuzz_choice(struct view *io)
{
	unsigned c = io->n > 0 ? io->p[0] : 0;

	*io = view_from(*io, 1);
	return c;
}

/*
 * The next piece of *io: its first byte says how long. Pieces come from inside
 * the input, so that reading beyond one is seen only at the end of the input.
 */
static inline struct view
fuzz_piece(struct view *io)
{
	size_t n = fuzz_choice(io);
	struct view piece = view_first(*io, n);

	*io = view_from(*io, n);
	return piece;
}

#endif
