/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * redact - what was said to log in, taken out of what the server says.
 *
 * Servers quote the command they refuse, and reply texts go to logs, files and alarms. Taken out is
 * each piece of at least REDACT_PIECE bytes, or the whole if it is shorter, of the secret, of its
 * base64 at any of the three alignments, and of the lines said. Letter case is ignored, and bytes
 * that are shown as something else (smtp/reply.h) are compared as they are shown.
 */
#ifndef SMTP_REDACT_H
#define SMTP_REDACT_H

#include "base/buf.h"

#define REDACT_PIECE	8
#define REDACT_LINES	4		/* no login has more; sasl.c */
#define REDACT_TEXT_MAX	2049		/* longest text, with its NUL */
#define REDACTED	"***"

struct redact {
	struct view	secret;			/* borrowed */
	struct buf	lines[REDACT_LINES];	/* of base64, each with one growth: no copy stays */
	size_t		nlines;
};

void redact_init(struct redact *);
void redact_done(struct redact *);	/* wipes */
/* A line as it was said: "AUTH name base64", "AUTH name" or base64. False: no memory. */
bool redact_note(struct redact *, struct view secret, struct view line) must_use;
/* In place; size is the room that text has. A text made longer than that is cut. */
void redact_text(const struct redact *, char *text, size_t size);

#endif
