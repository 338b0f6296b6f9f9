/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * header - where a message's header ends, and which fields are in it (RFC 5322 2.2).
 *
 * Lines may end in CRLF or LF. A field's first line is a name, a colon and
 * anything; lines that begin with a space or a tab belong to the field before.
 * The header ends at the first empty line, or, when a client forgot that one,
 * in front of the first line that is neither.
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/buf.h"

#define HEADER_BLOCK_MAX 65536		/* as much of a header as anyone here looks at */

enum header_name {
	HEADER_OTHER,
	HEADER_FROM, HEADER_SENDER, HEADER_REPLY_TO, HEADER_TO, HEADER_CC, HEADER_BCC, HEADER_SUBJECT,
	HEADER_DATE, HEADER_MESSAGE_ID, HEADER_MIME_VERSION, HEADER_RECEIVED, HEADER_RETURN_PATH,
	HEADER_RESENT_FROM, HEADER_RESENT_TO, HEADER_RESENT_CC, HEADER_RESENT_BCC,
	HEADER_RESENT_DATE, HEADER_RESENT_MESSAGE_ID, HEADER_PHP_SCRIPT,
	HEADER_NAME_COUNT
};

/* --- field by field, in a text that is all there ---------------------------- */

struct header_field {
	enum header_name	name;
	struct view		label;	/* the name as written */
	struct view		value;	/* behind the colon: folded, with its last line end */
	struct view		whole;	/* all lines of the field */
};

/* Take the next field off *io. False at the header's end: *io then begins with what ended it. */
bool header_next(struct view *io, struct header_field *out) must_use;

/* --- while a message comes in ------------------------------------------------ */

struct header_scan {
	size_t		at;			/* bytes looked at: whole lines */
	unsigned	count[HEADER_NAME_COUNT];
	bool		ended;			/* .at is the end of the fields */
	bool		blank;			/* an empty line follows there; else text does, or nothing */
	size_t		script_at, script_n;	/* the first line of X-PHP-Originating-Script's value */
	bool		mbox_line;		/* the first line is "From alice Mon ...", of a mailbox file */
};

void header_scan_init(struct header_scan *);
/*
 * Look further at a message of which text is the beginning (each time with the
 * bytes of the time before in front). True once the header's end is found; with
 * all, when text is the whole message, always.
 */
bool header_scan(struct header_scan *, struct view text, bool all);

/* --- what every message needs ------------------------------------------------ */

/* "<20261122073023.9f86d081884c7d65@hostname>" */
bool header_put_message_id(struct buf *out, const char *hostname, int64_t wall_ms, uint64_t nonce) must_use;
/* The fields among Date and Message-ID that the scan has not seen, each with its CRLF. */
bool header_put_missing(struct buf *out, const struct header_scan *, const char *hostname,
    int64_t wall_ms, uint64_t nonce) must_use;

#endif
