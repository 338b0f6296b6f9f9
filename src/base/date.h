/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * date - wall time as text, in UTC, without the C library's time zone state.
 */
#ifndef BASE_DATE_H
#define BASE_DATE_H

#include "base/compiler.h"
#include "base/view.h"

#define DATE_MAX 40		/* enough for either form and a NUL */

/* "Sun, 22 Nov 2026 07:30:23 +0000" (RFC 5322 3.3). Returns text. */
const char *date_rfc5322(char text[DATE_MAX], int64_t wall_ms);
/* "Sun Nov 22 07:30:23 2026", as in the first line of a message in an mbox. Returns text. */
const char *date_mbox(char text[DATE_MAX], int64_t wall_ms);
/* "2026-11-22T07:30:23.120Z" (RFC 3339). Returns text. */
const char *date_rfc3339(char text[DATE_MAX], int64_t wall_ms);
/* Exactly the form that date_rfc3339 writes, fraction optional. */
bool date_parse_rfc3339(struct view v, int64_t *out_ms) must_use;

#endif
