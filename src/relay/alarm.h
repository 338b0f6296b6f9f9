/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alarm - what the administrator is told of unasked: raised once, over once, whatever flaps in
 * between (doc/alarms.md). Pure.
 */
#ifndef RELAY_ALARM_H
#define RELAY_ALARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum alarm_kind {
	/* of one relay of the configuration */
	ALARM_RELAY_DOWN, ALARM_ACCOUNT_BLOCKED, ALARM_ACCOUNT_EXHAUSTED, ALARM_ACCOUNT_PAUSED,
	ALARM_FLAPPING, ALARM_CERTIFICATE,
	ALARM_OF_RELAY_COUNT,
	/* of all */
	ALARM_FAILOVER = ALARM_OF_RELAY_COUNT, ALARM_QUEUE_OLD, ALARM_MAIL_REFUSED, ALARM_USER_OVER,
	ALARM_KIND_COUNT
};

struct alarm_info {
	const char	*word;		/* "relay-down": its name, and the event when it is raised */
	const char	*over;		/* "relay-up": the event when it is over */
	const char	*over_text;
};
const struct alarm_info *alarm_info(enum alarm_kind);

enum alarm_state {
	ALARM_UNSURE,		/* just started: it may have been raised before, by another process */
	ALARM_CLEAR, ALARM_RAISED,
	ALARM_CALMING,		/* raised, and its cause is gone, but not for long enough */
	ALARM_STATE_COUNT
};
enum alarm_event { ALARM_ON, ALARM_OFF, ALARM_TIME, ALARM_EVENT_COUNT };
enum alarm_action { ALARM_NOTHING, ALARM_RAISE, ALARM_END };

struct alarm {
	enum alarm_state state;
	int64_t		 calm_ms;	/* the cause is gone since; -1: it is not, or nothing is known */
};

void alarm_init(struct alarm *);
/* The cause is there, or not. Call again at alarm_next(). */
enum alarm_action alarm_note(struct alarm *, bool on, int64_t hold_ms, int64_t now_ms);
/* It can't be told: the time without the cause, if any, begins anew. */
void alarm_note_unknown(struct alarm *);
/* When it is over unless its cause comes back; -1: not by time. */
int64_t alarm_next(const struct alarm *, int64_t hold_ms);
/* Raised, and not over. */
bool alarm_is_active(const struct alarm *);
/* The table. */
enum alarm_action alarm_step(enum alarm_state *, enum alarm_event);

#endif
