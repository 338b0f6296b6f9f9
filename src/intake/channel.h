/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * channel - intake's end of the handover (doc/handover.md).
 *
 * Frames of one loop turn leave in one write. A part of the output is kept free
 * for the COMMIT or ABORT of every open transaction, so that these two never
 * wait; OPEN and CHUNK do, and on_room tells when to try again. Relay is not
 * trusted: a frame that may not be there ends the channel.
 *
 * Thread: loop thread.
 */
#ifndef INTAKE_CHANNEL_H
#define INTAKE_CHANNEL_H

#include "base/list.h"
#include "base/map.h"
#include "handover/frame.h"
#include "mail/envelope.h"
#include "net/net.h"

struct channel;

/* A message on its way to relay; embedded in its session. */
struct channel_txn {
	struct list	 link;
	uint64_t	 number;	/* 0: not open */
	uint32_t	 credit;	/* bytes of CHUNK that may still be sent */
	bool		 committed;
	uint64_t	 size;		/* bytes of all chunks */
};

struct channel_events {
	/* HELLO came: transactions can be opened. */
	void (*on_ready)(void *owner);
	/* NULL: mail is accepted. */
	void (*on_policy)(void *owner, const struct frame_reply *);
	/* Output has drained: what had no room may try again. */
	void (*on_room)(void *owner);
	/* The channel is over, for why; free it. on_lost has come for each open transaction. */
	void (*on_closed)(void *owner, const char *why);
	/* Of a transaction; it is not open any more in the last three. */
	void (*on_credit)(struct channel_txn *);
	void (*on_durable)(struct channel_txn *, uint64_t id);
	void (*on_refused)(struct channel_txn *, const struct frame_reply *);
	void (*on_lost)(struct channel_txn *);
};

/* Takes over s, and says HELLO. */
struct channel *channel_new(struct loop *, struct stream *s, const char *sandbox,
    const struct channel_events *, void *owner);
void channel_free(struct channel *);	/* no events; open transactions are forgotten */
/* As if relay had closed it: on_lost, on_closed. */
void channel_end(struct channel *, const char *why);
bool channel_is_ready(const struct channel *);	/* transactions can be opened */
bool channel_is_paused(const struct channel *);	/* relay has said that it goes */

void channel_txn_init(struct channel_txn *);
/* False: no room for now. *too_big: there will never be. */
bool channel_open_txn(struct channel *, struct channel_txn *, const struct envelope *, bool *too_big) must_use;
/* Returns how many of the bytes were taken; fewer when credit or room is used up. */
size_t channel_write(struct channel *, struct channel_txn *, struct view);
/* script: frame_commit's. */
void channel_commit(struct channel *, struct channel_txn *, bool eight_bit, const char *script);
/* No-op if it is not open. Behind a COMMIT: its answer is not waited for any more. */
void channel_abort(struct channel *, struct channel_txn *);
/* "key: number" lines; left out when there is no room. */
void channel_put_stats(struct channel *, struct view lines);

#endif
