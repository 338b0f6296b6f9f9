/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * archive - a queued message as other programs keep it: a file of a Maildir, or
 * a part of an mbox. Pure.
 *
 * Lines end in LF, as both kinds have it on this system. In an mbox each line
 * that is "From " behind any number of '>' gets one '>' more (the form called
 * mboxrd), so that taking one off gives the message back byte for byte.
 *
 * Call begin, then field for each line of our own, then text with the pieces of
 * the message, then end. False: out is full; what is in it is worthless then.
 */
#ifndef MAIL_ARCHIVE_H
#define MAIL_ARCHIVE_H

#include "base/buf.h"

struct archive {
	bool		 mbox;
	bool		 cr;		/* a CR was read, what follows it decides */
	bool		 fresh;		/* at the start of a line */
	unsigned	 matched;	/* bytes of "From " behind that, held back */
	bool		 quotable;	/* so far the line is '>' and the start of "From " */
};

/* "From SENDER DATE" for an mbox, and Return-Path. from "" is the null sender. */
bool archive_begin(struct archive *, struct buf *out, bool mbox, struct view from, int64_t received_ms)
    must_use;
/* "NAME: VALUE"; control characters become '?'. */
bool archive_field(struct buf *out, const char *name, struct view value) must_use;
bool archive_text(struct archive *, struct buf *out, struct view piece) must_use;
bool archive_end(struct archive *, struct buf *out) must_use;

#endif
