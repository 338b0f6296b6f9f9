/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message - the text of one message on its way from a client to relay.
 *
 * The header is kept back, up to HEADER_BLOCK_MAX, until it is known whether
 * Date and Message-ID are in it; what is missing goes in front. A longer header goes
 * on as it is: a field added blindly could be there twice. From then on bytes go
 * straight from the client's input to the channel; only short pieces and what
 * has no credit are kept, never more than MESSAGE_PENDING_MAX.
 */
#ifndef INTAKE_MESSAGE_H
#define INTAKE_MESSAGE_H

#include "intake/channel.h"
#include "mail/header.h"

#define MESSAGE_GATHER		4096	/* short pieces become a chunk of this size */
#define MESSAGE_PENDING_MAX	(4 * 65536)	/* a header, one input, what is added; twice that */

struct message_stamp {
	const char	*hostname;
	int64_t		 wall_ms;
	uint64_t	 nonce;
};

struct message {
	struct channel_txn	txn;
	struct message_stamp	stamp;
	struct header_scan	scan;
	bool			in_header;
	char			script[FRAME_SCRIPT_MAX + 1];	/* for the record; or "" */
	struct buf		pending;
};

void message_init(struct message *);
void message_done(struct message *);
/* The transaction is open: its text begins. */
void message_begin(struct message *, const struct message_stamp *);
/* The next bytes. False: no memory, the message is lost. */
bool message_take(struct message *, struct channel *, struct view) must_use;
/* The last bytes were given: nothing is kept back any more. False as above. */
bool message_end(struct message *, struct channel *) must_use;
/* Send what is pending. True: nothing is left but a header that is not complete yet. */
bool message_flush(struct message *, struct channel *) must_use;
/* Frees what it holds; the transaction is aborted if it is open. */
void message_drop(struct message *, struct channel *);

#endif
