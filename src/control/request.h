/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * request - one line of the control socket, taken apart (doc/control.md). Pure.
 */
#ifndef CONTROL_REQUEST_H
#define CONTROL_REQUEST_H

#include "base/err.h"
#include "base/view.h"

#define REQUEST_MAX	1024
#define REQUEST_LIMIT	1000	/* messages of a queue listing, unless told */
#define REQUEST_LIMIT_MAX 100000

enum request_command {
	REQUEST_STATUS, REQUEST_PORTS, REQUEST_FAILOVER, REQUEST_QUEUE,	/* what status.sock serves */
	REQUEST_EXPLAIN, REQUEST_FLUSH, REQUEST_HOLD, REQUEST_RELEASE, REQUEST_REMOVE,
	REQUEST_PROBE, REQUEST_UNBLOCK, REQUEST_RELOAD, REQUEST_CAT,
	REQUEST_USERS, REQUEST_FREEZE, REQUEST_THAW, REQUEST_PURGE,
	REQUEST_COUNT
};

struct request {
	enum request_command	command;
	bool			json;
	bool			all;		/* the id is "all" */
	bool			last;		/* explain: it is "last" */
	uint64_t		id;		/* 0: none given */
	uint64_t		limit;
	int64_t			user;		/* freeze, thaw, purge: uid; -1: unknown ones, -2: none given */
	struct view		relay;		/* unblock: this one; of the line. "": all */
	struct view		why;		/* ports: this one, wholly; of the line. "": all */
};

const char *request_word(enum request_command);
/* line without its LF. e says what is wrong and what would be right. */
int request_parse(struct request *out, struct view line, bool read_only, struct err *) must_use;

#endif
