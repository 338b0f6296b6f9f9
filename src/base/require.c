/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/require.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

static atomic_ulong weird_total;

void
require_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "<2>bug assertion=\"%s\" file=%s line=%d\n", what, file, line);
	abort();
}

bool
weird_happened(const char *what, const char *file, int line)
{
	unsigned long n = atomic_fetch_add(&weird_total, 1);

	/* The first few are told; a storm is only counted. */
	if (n < 16)
		fprintf(stderr, "<3>weird condition=\"%s\" file=%s line=%d\n", what, file, line);
#ifdef FATAL_WEIRD
	abort();
#endif
	return true;
}

unsigned long
weird_count(void)
{
	return atomic_load(&weird_total);
}
