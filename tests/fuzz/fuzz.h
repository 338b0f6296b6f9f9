/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz - what a fuzz target defines: one run over one input.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/require.h"
#include "base/view.h"

/* Always 0. What must hold is checked with require(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
