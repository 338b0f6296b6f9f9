/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * child - one role as the supervisor sees it: start, talk, watch, end.
 *
 * Whether and when it is started again is decided in supervisor.c.
 */
#ifndef CHILD_H
#define CHILD_H

#include <sys/types.h>

#include "packet.h"
#include "sys/io.h"
#include "sys/log.h"

enum child_state { CHILD_DOWN, CHILD_STARTING, CHILD_READY };

struct child;

struct child_events {
	/* The channel is open and the process on its way: send what it needs, then "start". */
	void (*on_started)(void *owner, struct child *);
	void (*on_ready)(void *owner, struct child *);
	void (*on_ended)(void *owner, struct child *, int64_t lived_ms);
	void (*on_reload)(void *owner, struct child *);
	void (*on_status)(void *owner, struct child *);
	void (*on_alarm)(void *owner, struct child *, struct view words);
	/* It asks for the name of a process: "NUMBER PID UID". */
	void (*on_who)(void *owner, struct child *, struct view words);
	/* Its spawner has gone: it can't be started any more. */
	void (*on_lost)(void *owner, struct child *);
};

struct child {
	const char	*name;		/* "intake" */
	const char	*title;		/* "posthoused: intake" */
	struct loop	*loop;
	struct log	*log;
	const struct child_events *events;
	void		*owner;
	int		 binary;

	enum child_state state;
	pid_t		 pid;		/* 0: none that we know of */
	int64_t		 started_ms;
	int		 channel;	/* -1: none */
	struct io_watch	*watch;
	int		 spawner;	/* -1: started by ourselves */
	struct io_watch	*spawner_watch;
	unsigned	 unanswered;	/* pings */
	bool		 draining;	/* told to */
	bool		 killed;	/* by us */
	bool		 refused;	/* the last one ended with ROLE_EXIT_REFUSED */
	bool		 lost;		/* the spawner has gone: only the channel tells of its end */
	char		 status[400];	/* what it said last, printable */
};

/* spawner: a channel to a spawner, kept, or -1. */
void child_init(struct child *, const char *name, const char *title, int binary, int spawner,
    struct loop *, struct log *, const struct child_events *, void *owner);
void child_done(struct child *);

static inline bool
child_runs(const struct child *c)
{
	return c->state != CHILD_DOWN;
}

int child_start(struct child *, struct err *) must_use;
/* If it can't be sent, the child does not answer pings either, and is dealt with there. */
void child_tell(struct child *, const char *word, struct view rest, int fd);
void child_drain(struct child *);
void child_kill(struct child *);		/* SIGKILL */
void child_ping(struct child *);
/* SIGCHLD said so. */
void child_reaped(struct child *, int status);

#endif
