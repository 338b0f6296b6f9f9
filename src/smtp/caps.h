/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * caps - what a server offers, from the lines of its reply to EHLO.
 */
#ifndef SMTP_CAPS_H
#define SMTP_CAPS_H

#include "base/view.h"

#define CAP_PIPELINING	0x001u
#define CAP_8BITMIME	0x002u
#define CAP_SIZE	0x004u
#define CAP_STARTTLS	0x008u
#define CAP_ENHANCED	0x010u
#define CAP_CHUNKING	0x020u
#define CAP_SMTPUTF8	0x040u
#define CAP_DSN		0x080u
#define CAP_BLANKED	0x100u	/* a keyword of rows of X: a device on the path edits EHLO */

struct caps {
	unsigned	flags;
	unsigned	mechanisms;	/* offered, of those that we have (smtp/mechanism.h) */
	uint64_t	size;		/* 0: none told, or one beyond all numbers */
	bool		named;		/* the first line, the server's name, is over */
	char		auth_words[96];	/* all that are offered, as said, cut */
};

void caps_init(struct caps *);
/* One line of the reply, without code; the first is the server's name. */
void caps_add_line(struct caps *, struct view line);

#endif
