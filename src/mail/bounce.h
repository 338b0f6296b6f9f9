/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bounce - the report to a sender that a message could not be delivered, or was
 * passed on (RFC 3464, RFC 6522).
 *
 * Three parts: plain words, message/delivery-status, and the original's header or all of it.
 * But for a To: beyond ASCII and an original that is 8-bit and goes back whole, the report is ASCII, with lines
 * of at most 998 bytes, whatever the upstream or the original's header were made of, and never longer than
 * BOUNCE_MAX. Failures stand in front of what was passed on. Where there is no room to tell all of each
 * recipient, the later ones have little more than their address: so much fits for a thousand of the
 * longest there can be, and of more each part says how many it leaves out. Of a long
 * header the fields that fit are kept. All of the original goes back if the sender
 * asked for it (RET=FULL) or it is a report, something failed, and it is not longer than returned_max,
 * fits into a report, and has room beside those recipients; if not, the report says why.
 */
#ifndef MAIL_BOUNCE_H
#define MAIL_BOUNCE_H

#include "mail/envelope.h"

#define BOUNCE_MAX (4u << 20)	/* one record of the spool */

enum bounce_why {
	BOUNCE_REFUSED,		/* a reply 5xx */
	BOUNCE_EXPIRED,		/* tried for too long */
	BOUNCE_RELAYED,		/* passed on, and the next server will not tell of success (RFC 3461 5.2.2) */
	BOUNCE_LOCAL		/* we could not go on: the stored message is damaged, say */
};

struct bounce_rcpt {
	struct view	address;
	struct view	original;	/* ORCPT, as said; or "" */
	enum bounce_why	why;
	int		code;		/* of the reply; 0: none */
	struct view	status;		/* "5.1.1"; anything malformed becomes 5.0.0 or 4.4.7 */
	struct view	text;		/* the reply's or our words, without code and status; any bytes */
	struct view	remote;		/* who said it: "smtp.example.net"; "" if nobody did */
	int64_t		last_ms;	/* wall clock of the last attempt; 0: none */
};

struct bounce_facts {
	const char		*hostname;
	const struct envelope	*original;
	const char		*id;		/* of the original in the queue */
	struct view		 to;		/* the original's sender, or the administrator */
	const struct bounce_rcpt *rcpt;
	size_t			 nrcpt;
	struct view		 message;	/* the original's beginning: at least its header, or what there is */
	uint64_t		 size;		/* of all of it */
	uint64_t		 returned_max;	/* so long an original goes back whole */
	int64_t			 now_ms;	/* wall clock */
	uint64_t		 nonce;		/* random, for the boundary and the Message-ID */
};

/* The sender asked for all of it (RFC 3461 4.3), or it is a report: what that told is told nowhere else. */
bool bounce_wants_all(const struct envelope *original);

/* False only without memory or room in out, which is left as it was. */
bool bounce_build(struct buf *out, const struct bounce_facts *) must_use;

#endif
