/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/nearest.h"

#include <string.h>

#include "base/banned.h"

#define WORD_MAX 40
#define USED_UP (WORD_MAX + 1)	/* the word itself was offered: nothing is nearer */

/* Edit distance, a swap of neighbours counted as one. Words longer than WORD_MAX are far. */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[3][WORD_MAX + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > WORD_MAX || nb > WORD_MAX)
		return WORD_MAX;
	for (unsigned j = 0; j <= nb; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);

			best = up[j] + 1 < best ? up[j] + 1 : best;
			best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[na % 3][nb];
}

void
nearest_begin(struct nearest *n, const char *word)
{
	n->word = word;
	n->limit = (unsigned)strlen(word) / 3 + 1;
}

bool
nearest_offer(struct nearest *n, const char *candidate)
{
	unsigned d;

	if (n->limit == USED_UP)
		return false;
	d = distance(n->word, candidate);
	if (d > n->limit || d >= WORD_MAX)
		return false;
	n->limit = d > 0 ? d - 1 : USED_UP;
	return true;
}
