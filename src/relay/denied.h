/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * denied - the server asks for a login at MAIL though the login worked: is that the account's fault, or the message's?
 *
 * Pure. Such replies are mostly meant for a sender that is not the account's. They are the account's when nothing passes
 * any more (doc/health.md, "Messages that nobody takes"): two messages are denied whose senders were served before, or
 * three senders are, and nothing has been delivered for a while.
 */
#ifndef RELAY_DENIED_H
#define RELAY_DENIED_H

#include "spool/spool.h"

#define DENIED_SENDERS	3
#define DENIED_SERVED	32

struct denied {
	uint32_t	sender[DENIED_SENDERS];	/* checksums; different ones that were denied since a delivery */
	unsigned	nsender;
	spool_id	id;			/* the first such message whose sender was served before; 0: none */
	bool		account;		/* and that is what was said, since a delivery */
	unsigned	again, want;		/* then: denied since the pause; so many make the next one */
	uint32_t	served[DENIED_SERVED];	/* the latest senders of what was delivered */
	unsigned	nserved, next;
	int64_t		passed_ms;		/* the last delivery; only if nserved != 0 */
};

struct denied_message {
	spool_id	id;
	uint32_t	sender;		/* a checksum */
	bool		fresh;		/* no session has failed under it before */
};

/* True: it is the account's. */
bool denied_failed(struct denied *, const struct denied_message *, int64_t now_ms) must_use;
/* A message of that sender was delivered. */
void denied_passed(struct denied *, uint32_t sender, int64_t now_ms);

#endif
