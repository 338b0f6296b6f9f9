/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame - one frame of the handover between intake and relay (doc/handover.md).
 *
 * Header of 16 bytes, little-endian: length of the payload (4), type (1),
 * zero (3), transaction (8). Each side treats the other as hostile.
 */
#ifndef HANDOVER_FRAME_H
#define HANDOVER_FRAME_H

#include "base/buf.h"
#include "base/err.h"

#define FRAME_HEADER		16
#define FRAME_CHUNK_MAX		65536		/* payload of CHUNK */
#define FRAME_OPEN_MAX		(8u << 20)	/* payload of OPEN: an envelope */
#define FRAME_SMALL_MAX		4096		/* payload of every other type */
#define HANDOVER_WINDOW		(256u << 10)	/* bytes of CHUNK in flight per transaction without CREDIT */
#define HANDOVER_TRANSACTIONS	16384		/* open at one time */

enum frame_type {
	/* intake to relay */
	FRAME_HELLO = 1,	/* payload: "posthouse-handover 1\n", "sandbox: ...\n"; first, both ways */
	FRAME_OPEN,		/* payload: envelope lines */
	FRAME_CHUNK,		/* payload: bytes of the message */
	FRAME_COMMIT,		/* payload: "eight-bit: yes|no\nsize: N\n" */
	FRAME_ABORT,		/* no answer */
	FRAME_STATS,		/* payload: "key: number" lines, for status; transaction 0 */
	/* relay to intake */
	FRAME_CREDIT = 16,	/* payload: 4 bytes, how many more bytes may be in flight */
	FRAME_DURABLE,		/* payload: the id, 16 hex */
	FRAME_REFUSED,		/* payload: "452 4.3.1 text"; ends the transaction */
	FRAME_POLICY,		/* transaction 0; payload: "" accept, else "452 4.3.1 text" for new mail */
	FRAME_PAUSE		/* open nothing more; intake answers with the same; transaction 0 */
};

struct frame {
	enum frame_type	type;
	uint64_t	transaction;
	struct view	payload;	/* borrowed from the input */
};

enum frame_progress { FRAME_MORE, FRAME_DONE, FRAME_BAD };

/* from_intake: which direction's types and limits are legal. *need is set on MORE. */
enum frame_progress frame_parse(struct view in, bool from_intake, struct frame *out, size_t *used,
    size_t *need, struct err *);
bool frame_put(struct buf *out, enum frame_type, uint64_t transaction, struct view payload) must_use;
/* Only the header, for a payload that the caller writes behind it. */
void frame_header(uint8_t at[FRAME_HEADER], enum frame_type, uint64_t transaction, size_t payload_len);

/* --- payloads -------------------------------------------------------------- */

/* CREDIT. Parse refuses 0 and more than the window. */
void frame_credit(uint8_t payload[4], uint32_t bytes);
bool frame_credit_parse(struct view payload, uint32_t *out) must_use;

struct frame_commit {
	bool		eight_bit;
	uint64_t	size;		/* bytes of all chunks */
	struct view	script;		/* what X-PHP-Originating-Script says: printable ASCII, or "" */
};
#define FRAME_SCRIPT_MAX	100
bool frame_commit_put(struct buf *out, const struct frame_commit *) must_use;	/* the payload only */
bool frame_commit_parse(struct view payload, struct frame_commit *out) must_use;

/* The first line of HELLO; "key: value" lines may follow. */
#define FRAME_HELLO_LINE	"posthouse-handover 1\n"
bool frame_hello_is_ours(struct view payload) must_use;
/* The value of a line "key: value" of HELLO or STATS; false: it is not there. */
bool frame_lines_find(struct view payload, const char *key, struct view *out) must_use;

/* REFUSED and POLICY: "452 4.3.1 text" to its parts; the views are borrowed. */
#define FRAME_REPLY_MAX		512
struct frame_reply {
	int		code;
	struct view	status, text;
};
bool frame_reply_parse(struct view payload, struct frame_reply *out) must_use;

#endif
