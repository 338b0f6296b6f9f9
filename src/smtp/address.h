/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address - mailbox syntax of MAIL and RCPT (RFC 5321 4.1.2).
 */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H

#include "base/err.h"
#include "base/view.h"

#define ADDR_MAX	 512	/* whole mailbox; the RFC's least is 256 */
#define ADDR_LOCAL_MAX	 255	/* the RFC's least is 64; VERP and SRS need more */
#define ADDR_DOMAIN_MAX	 255

/* A checked mailbox: views into the text that was parsed. */
struct mailbox {
	struct view	whole;		/* local@domain, or a bare local part */
	struct view	local;		/* as written, quotes included */
	struct view	domain;		/* empty for a bare local part */
	bool		eight_bit;	/* has bytes above 127, all of them UTF-8 (SMTPUTF8 needed) */
};

/*
 * "<...>" as it stands in MAIL FROM: and RCPT TO:. *used is the length of the
 * path including brackets. A source route is accepted and dropped. A bare
 * local part (cron's "root") is accepted: the caller completes it. "<>" gives
 * an empty mailbox if allow_null.
 */
int mailbox_parse_path(struct mailbox *out, struct view in, size_t *used, bool allow_null, struct err *) must_use;
/* The same without brackets: the whole view is the mailbox. */
int mailbox_parse(struct mailbox *out, struct view in, struct err *) must_use;
bool domain_is_valid(struct view);	/* dotted name or [literal], ASCII only */

#endif
