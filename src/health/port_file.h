/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port_file - what is kept for people over a restart: the day of each port and the changes of
 * way, as text of the file "ports" in the spool. Pure.
 *
 *	posthouse-ports 1 WALL_MS TOTAL BEGAN_MS
 *	port RELAY PORT SIGNS
 *	alarm WALL_MS ALARM RELAY
 *	change WALL_MS KIND RELAY FROM TO REASON CLASS TAB DETAIL TAB EVIDENCE
 *
 * Of a failover RELAY is the route, or -; of an alarm of all relays -, and the time is that since when it is raised.
 * Changes stand the oldest first. A line that is not understood is stepped over; nothing but what
 * people are shown depends on it.
 */
#ifndef HEALTH_PORT_FILE_H
#define HEALTH_PORT_FILE_H

#include "base/buf.h"
#include "health/port_history.h"
#include "health/switch_log.h"

#define PORT_FILE_MAX	(256u << 10)

enum port_file_kind { PORT_FILE_HEAD, PORT_FILE_PORT, PORT_FILE_ALARM, PORT_FILE_CHANGE };

struct port_file_line {
	enum port_file_kind	kind;
	int64_t			wall_ms;	/* head: when it was written; alarm: raised since */
	uint64_t		total;
	int64_t			began_ms;
	struct view		relay;		/* port, alarm */
	struct view		alarm;
	uint64_t		port;
	enum port_mark		mark[PORT_SLOTS];
	struct switch_entry	change;
};

bool port_file_put_head(struct buf *, int64_t wall_ms, const struct switch_log *) must_use;
bool port_file_put_port(struct buf *, const char *relay, unsigned port,
    const enum port_mark mark[PORT_SLOTS]) must_use;
/* relay NULL: of all. */
bool port_file_put_alarm(struct buf *, int64_t since_ms, const char *alarm, const char *relay) must_use;
bool port_file_put_change(struct buf *, const struct switch_entry *) must_use;
/* The next line that is understood; relay and alarm are borrowed. False: there is none. */
bool port_file_next(struct view *text, struct port_file_line *out) must_use;

#endif
