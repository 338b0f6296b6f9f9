/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * switch_log - the last changes of the way that mail takes: to another port of a relay, or to
 * another relay. Pure.
 */
#ifndef HEALTH_SWITCH_LOG_H
#define HEALTH_SWITCH_LOG_H

#include "health/health.h"

#define SWITCH_MAX	100
#define SWITCH_NAME	72	/* a relay's name, or a port */

struct switch_entry {
	int64_t			wall_ms;
	bool			failover;	/* between relays; else between the ports of one */
	char			relay[SWITCH_NAME];	/* "" of a failover */
	char			route[SWITCH_NAME];	/* of a failover, if there are several; "" */
	char			from[SWITCH_NAME], to[SWITCH_NAME];	/* "none" */
	char			reason[24];	/* fixed words */
	enum health_class	class;		/* what was found at from; HEALTH_OK: nothing */
	char			detail[HEALTH_DETAIL_MAX];	/* the peer's words, printable */
	char			evidence[256];	/* how the two sides stood */
};

struct switch_log {
	struct switch_entry	*entry;		/* SWITCH_MAX, made with the first one */
	unsigned		 first, n;
	uint64_t		 total;		/* also those that were pushed out */
	int64_t			 began_ms;	/* wall: since when they are counted */
};

void switch_log_init(struct switch_log *, int64_t wall_ms);
void switch_log_done(struct switch_log *);
/* A new entry, zeroed, to be filled in; the oldest makes room for it. */
struct switch_entry *switch_log_add(struct switch_log *);
/* i counts from the newest; NULL: there is none. */
const struct switch_entry *switch_log_get(const struct switch_log *, unsigned i);
/* The begin or end of a detour, which changes nothing for long; else "failover" or "route-changed". */
bool switch_is_detour(const struct switch_entry *);
const char *switch_event_word(const struct switch_entry *);

#endif
