/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world - relay with its real spool between an intake, pretended or real, and a
 * smarthost of three ports, in virtual time.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "intake/intake.h"
#include "relay/relay.h"
#include "sim/smarthost.h"
#include "smtp/reply.h"
#include "twin/fs.h"
#include "twin/loop.h"

#define P587	0
#define P465	1
#define P2525	2
#define PORTS	3

/* The first three as in health/health_impl.h, for tests that include both. */
#define SECONDS(n)	((int64_t)(n) * 1000)
#define MINUTES(n)	SECONDS((int64_t)(n) * 60)
#define HOURS(n)	MINUTES((int64_t)(n) * 60)
#define DAYS(n)		HOURS((int64_t)(n) * 24)

struct world {
	struct twin_loop	 loop;
	struct twin_net		 net;
	struct twin_fs		 disk[2], *fs;	/* fs: the one in use */
	struct twin_fs		 history_disk;
	struct twin_worker	 commit, reader, history;
	struct rng		 rng;
	struct log		 log;
	struct buf		 lines;		/* all that was logged */
	struct conf		 conf;
	struct smarthost	 port[PORTS];
	struct smarthost	 backup;	/* of the second relay, if there is one */
	const char		*secrets;
	/* For relay, if they are set: another network around that one, and TLS that is real. */
	struct net		*around;
	struct tls_client *const *tls;
	struct relay		*relay;
	bool			 ready, drained, paused;
	bool			 no_status;	/* nobody wants the line for systemctl status */
	bool			 again;		/* relay is replaced within the same daemon */
	/* the pretended intake */
	struct stream		*intake;
	uint64_t		 number;
	int64_t			 uid;		/* of who hands in what comes next; 33 */
	unsigned		 durable, refused;
	uint64_t		 credit;	/* given, all transactions */
	/* Also told of these, if they are set. */
	void			(*on_durable)(struct world *, uint64_t number, struct view id);
	void			(*on_line)(struct world *, const char *line);
	bool			 ignores_pause;
	bool			 as_report;	/* it claims that its mail is a report of ours */
	char			 refusal[200];
	char			 policy[200];
	unsigned		 alarms_raised, alarms_over;	/* told to the supervisor */
	unsigned		 statuses;	/* lines for systemctl status */
	char			 status[400];	/* the last one, as far as it fits */
	/* the real one, if there is */
	struct intake		*real;
	struct list		 senders;
	unsigned		 acknowledged;	/* by world_send() */
	/* Each attempt of world_send(), with the number it has in the text; NULL: no last reply. */
	void			(*on_answer)(struct world *, const char *text, unsigned attempt,
				    const struct reply *);
	void			*answer_arg;
};

/* Use the real intake, at 127.0.0.1:25. Call it before world_start(). */
void world_use_intake(struct world *);
/*
 * A local program connects and sends this, in its own time; after a refusal it
 * tries again in 30 s, for ever. w->acknowledged counts the 250s.
 */
void world_send(struct world *, const char *from, const char *rcpt, const char *text);
/* The same, of so many bytes. "TEXT try=N." is the subject. */
void world_send_sized(struct world *, const char *from, const char *rcpt, const char *text, size_t size);

/* A second relay, with one port. Call it before world_start(). */
void world_use_backup(struct world *);

/* Loop, net, disk, smarthosts and configuration; relay is started by world_start(). */
void world_init(struct world *);
void world_done(struct world *);
void world_start(struct world *);
int world_try_start(struct world *, struct err *);	/* -1: relay can't start, and says why */
/* Kill relay; the disk keeps what this says; start again. */
void world_crash(struct world *, enum twin_keep);
void world_new_intake(struct world *);	/* in place of the pretended one */
void world_drain(struct world *);		/* relay_drain alone */
void world_stop(struct world *);		/* relay_drain and relay_free */
void world_run(struct world *, int64_t ms);
/* Run until all that was accepted is out of the queue; false: it is not after ms. */
bool world_settle(struct world *, int64_t ms);

/* A message with this text in its body; rcpts are separated by spaces. Runs until it is durable. */
void world_mail(struct world *, const char *from, const char *rcpts, const char *text);
/* The same, without waiting. Returns its number. */
uint64_t world_give(struct world *, const char *from, const char *rcpts, const char *text);
/* n messages at once, "PREFIX0000." and so on; runs until all are durable. */
void world_burst(struct world *, unsigned n, const char *prefix);
/* The frames one by one. */
uint64_t world_open(struct world *, const char *from, const char *rcpts);
void world_chunk(struct world *, uint64_t number, struct view);
void world_commit(struct world *, uint64_t number, uint64_t size);
void world_frame(struct world *, int type, uint64_t number, struct view payload);

uint64_t world_queued(struct world *);
unsigned world_taken(const struct world *);			/* at all ports of the first relay */
unsigned world_count(const struct world *, const char *text);	/* of messages that hold it */
unsigned world_logins(const struct world *);
/* How many log lines begin with event and hold text. */
unsigned world_logged(struct world *, const char *event, const char *text);
void world_all(struct world *, enum twin_mode);			/* mode of all ports */

#endif
