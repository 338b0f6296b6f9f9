/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * patience - how long a reply before the final dot may take while mail could go elsewhere.
 *
 * Pure. The patience is short, for the message can be sent by another port without harm;
 * but a server that has answered late is slow and not dead, and gets twice the time it took.
 */
#ifndef RELAY_PATIENCE_H
#define RELAY_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "smtp/client.h"

#define PATIENCE_MS		15000
#define PATIENCE_RELAY_MS	25000	/* where no other port is left, but another relay is */
#define PATIENCE_LAST_MS	45000	/* of the only place, while other mail waits for it */
#define PATIENCE_LOOK_MS	5000	/* so often it is looked whether there is another way by now */

struct patience {
	int64_t	slow_ms, slow_at_ms;	/* the longest reply, and when it came; 0: none was slow */
};

/* Is a reply awaited in this step that may be given up for another way? Never from the text on. */
bool patience_ends(enum client_state);
/* A reply came, after so long. */
void patience_heard(struct patience *, int64_t took_ms, int64_t now_ms);
/* How long the next one may take. */
int64_t patience_ms(const struct patience *, int64_t now_ms);

#endif
