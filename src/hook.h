/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook - tell the configured command of alarms (doc/alarms.md): one run at a time, each
 * alarm at most once as raised and once as over, never more than HOOK_AN_HOUR runs an hour.
 *
 * Lives in the supervisor, so that what was told outlives relay. What relay says is an
 * alarm's number and a text that is only passed on. Whatever the command does, nothing
 * but it suffers.
 */
#ifndef HOOK_H
#define HOOK_H

#include <sys/types.h>

#include "base/buf.h"
#include "relay/relay.h"
#include "sys/io.h"
#include "sys/log.h"

#define HOOK_ALARMS_MAX	(ALARM_KIND_COUNT * CONF_RELAYS_MAX)
#define HOOK_AN_HOUR	60
#define HOOK_OUTPUT_MAX	65536		/* one that says more is killed */
#define HOOK_RUN_MS	30000
#define HOOK_GAP_MS	1000		/* between two runs */

/* The newest wish; what the command was told last. */
struct hook_alarm {
	enum alarm_kind	 kind;
	char		 relay[65];	/* "" : of all */
	bool		 raised, told;
	uint64_t	 since;		/* counts wishes: the oldest is told first */
	int64_t		 wall_ms;
	char		 text[ALARM_TEXT_MAX];	/* printable */
};

struct hook {
	struct loop	*loop;
	struct log	*log;
	const struct conf *conf;	/* not owned */
	struct hook_alarm alarm[HOOK_ALARMS_MAX];
	size_t		 n;
	uint64_t	 wishes;
	int64_t		 gap_ms;		/* HOOK_GAP_MS; the test has less patience */
	/* the one that runs */
	pid_t		 pid;		/* 0: none */
	char		 event[40];
	bool		 late, loud;	/* killed for it */
	int		 out;		/* -1: none */
	struct io_watch	*watch;
	struct buf	 said;
	int64_t		 started_ms;
	struct timer	 deadline, next;
	int64_t		 run_ms[HOOK_AN_HOUR];	/* ring: when the last ones began */
	unsigned	 run_at;
	bool		 limited;	/* it has been said */
};

void hook_init(struct hook *, struct loop *, struct log *, const struct conf *);
/* What runs is killed. */
void hook_done(struct hook *);
/* After a reload: alarms of relays that are gone are over. */
void hook_reconfigure(struct hook *, const struct conf *);
/* "KIND INDEX on|off TEXT", as relay says it; anything else is stepped over. */
void hook_hear(struct hook *, struct view);
/* SIGCHLD said so; others' children are not looked at. */
void hook_reaped(struct hook *, pid_t, int status);
/* What relay says, for the channel. */
#define HOOK_WORDS_MAX (ALARM_TEXT_MAX + 40)
void hook_words(char words[HOOK_WORDS_MAX], const struct relay_alarm *, bool raised);

#endif
