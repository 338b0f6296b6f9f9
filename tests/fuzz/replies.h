/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replies - what holds of all that the server says, whatever it heard.
 */
#ifndef FUZZ_REPLIES_H
#define FUZZ_REPLIES_H

#include "fuzz.h"

/* Whole lines of a code and printable text (RFC 5321 4.2, 4.5.3.1.5). How many replies they are. */
static inline size_t
fuzz_check_replies(struct view v)
{
	struct view line = VIEW("");
	size_t n = 0;

	while (view_split(&v, '\n', &line)) {
		require(line.n >= 5 && line.n <= 511 && line.p[line.n - 1] == '\r');
		require(line.p[0] >= '2' && line.p[0] <= '5' && is_digit(line.p[1]) && is_digit(line.p[2]));
		require(line.p[3] == ' ' || line.p[3] == '-');
		for (size_t i = 0; i + 1 < line.n; i++)
			require(is_print(line.p[i]));
		n += line.p[3] == ' ';
	}
	require(line.n == 0 || line.p[3] == ' ');
	return n;
}

#endif
