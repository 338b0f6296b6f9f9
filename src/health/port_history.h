/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port_history - how an endpoint was during the last day, a quarter of an hour at a time. Pure.
 *
 * A slot keeps the worst that was seen in it. Time is monotonic and goes on while the host
 * sleeps: a clock that is set changes nothing, and what nobody looked at is not known.
 */
#ifndef HEALTH_PORT_HISTORY_H
#define HEALTH_PORT_HISTORY_H

#include "health/health.h"

#define PORT_SLOTS	96
#define PORT_SLOT_MS	(15 * 60000)
#define PORT_BLIND_MS	(3 * 60000)	/* not looked at for longer: the host was asleep */

/* From the best to the worst. */
enum port_mark {
	PORT_UNSEEN, PORT_OFF, PORT_UNTRIED, PORT_UP, PORT_RECOVERING, PORT_DEGRADED, PORT_SUSPECT,
	PORT_PROBING, PORT_DOWN, PORT_BLOCKED,
	PORT_MARK_COUNT
};

struct port_history {
	uint8_t		 slot[PORT_SLOTS];	/* ring: number modulo PORT_SLOTS */
	int64_t		 newest;		/* its number, counted from time 0 */
	int64_t		 seen_ms;		/* last look; -1: none yet */
	enum port_mark	 mark;			/* what was seen then */
};

void port_history_init(struct port_history *);
enum port_mark port_mark_of(const struct endpoint_view *);
/* It is like that now, and was as it was up to now. Look at least every PORT_BLIND_MS. */
void port_history_note(struct port_history *, enum port_mark, int64_t now_ms);
/* The oldest slot first; the last one is that of now. */
void port_history_read(const struct port_history *, int64_t now_ms, enum port_mark out[PORT_SLOTS]);

/* What another process saw, that ended age_ms ago; before the first note. */
void port_history_restore(struct port_history *, const enum port_mark mark[PORT_SLOTS], int64_t age_ms,
    int64_t now_ms);

const char *port_mark_word(enum port_mark);
char port_mark_sign(enum port_mark);		/* printable ASCII */

#endif
