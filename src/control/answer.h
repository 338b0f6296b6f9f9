/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answer - what each command of the control socket says or does.
 *
 * Answers that need no disk are written at once; those that read messages
 * (queue, cat: struct listing; explain: struct explain) go on step by step.
 */
#ifndef CONTROL_ANSWER_H
#define CONTROL_ANSWER_H

#include "control/report.h"
#include "control/request.h"
#include "relay/relay.h"

void answer_status(struct relay *, struct report *);
void answer_ports(struct relay *, struct report *);
int answer_ports_why(struct relay *, const struct request *, struct report *, struct err *) must_use;
void answer_users(struct relay *, struct report *);
void answer_failover(struct relay *, const struct request *, struct report *);
/* flush, hold, release, remove, probe, unblock, reload; what they record is given to the ack */
int answer_action(struct relay *, const struct request *, struct relay_ack *, struct report *,
    struct err *) must_use;

/* --- routes ---------------------------------------------------------------- */

#define ANSWER_WAY_MAX	300

/* The way of a message: of its recipients that are left. */
struct answer_way {
	bool		several;	/* routes are configured */
	uint32_t	relays;		/* that these routes list, as bits */
	char		route[ANSWER_WAY_MAX], relay[ANSWER_WAY_MAX];	/* names; where their mail goes now */
};

void answer_way(struct relay *, struct spool_message *, const struct envelope *, struct answer_way *out);
/* The name of the relay that mail of this route goes to; NULL: all of its relays are out. */
const char *answer_relay_of(struct relay *, size_t route);
void answer_routes(struct relay *, struct report *);

/* One sentence: why nothing goes out over any of these relays (bits) now; "" if mail flows. Returns text. */
const char *answer_why_closed(struct relay *, uint32_t relays, char *text, size_t cap);
/* The same of a reply that mail waits for, where mail flows. */
const char *answer_why_waiting(struct relay *, uint32_t relays, char *text, size_t cap);
/* What would mend that; as text only where there is something to say. */
void answer_put_advice(struct relay *, uint32_t relays, struct report *);

/* First in an answer about messages: that none leaves this host, if so. */
void answer_put_staging(struct relay *, struct report *);
/* State and reason of a message in the queue; result: what its last outcome has. */
const char *answer_state_word(struct relay *, const struct spool_message *);
void answer_why(struct relay *, const struct spool_message *, const struct answer_way *,
    const struct spool_result *result, size_t n, char *text, size_t cap);

/* NULL: there is none; e says whether there may be one later. */
struct spool_message *answer_find(struct relay *, spool_id, struct err *);

/* --- commands that read messages ----------------------------------------- */

#define LISTING_SCAN_MAX 20000	/* messages looked at for one who may see only his own */

struct listing;

enum listing_result {
	LISTING_WAIT,		/* on_ready comes when there is more to do */
	LISTING_MORE,		/* out is full for now: write it, then step again */
	LISTING_DONE,
	LISTING_FAILED		/* explain only: e has the answer */
};

/* uid < 0: sees every message; otherwise only those that this uid handed in. */
int listing_new(struct listing **out, struct relay *, const struct request *, int64_t uid,
    void (*on_ready)(void *owner), void *owner, struct err *) must_use;
enum listing_result listing_step(struct listing *, struct buf *out);
void listing_free(struct listing *);

/* freeze, thaw, purge: all that the queue has of a user. */
struct sweep;

struct sweep *sweep_new(struct relay *, const struct request *, struct relay_ack *,
    void (*on_ready)(void *owner), void *owner) must_use;
enum listing_result sweep_step(struct sweep *, struct buf *out);
void sweep_free(struct sweep *);

struct explain;

int explain_new(struct explain **out, struct relay *, const struct request *,
    void (*on_ready)(void *owner), void *owner, struct err *) must_use;
/* The answer comes at once and whole, with its first line, when it is DONE. */
enum listing_result explain_step(struct explain *, struct buf *out, struct err *);
void explain_free(struct explain *);

#endif
