/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session - one connection of a local program: glue between its stream, the
 * machine smtp/server and the channel to relay.
 *
 * Says 250 for a message only when relay has said that it is durable. A
 * client that has gone while that answer is awaited leaves its session behind
 * until it comes, so that the log tells what became of the message.
 *
 * Thread: loop thread.
 */
#ifndef INTAKE_SESSION_H
#define INTAKE_SESSION_H

#include "base/rng.h"
#include "conf/conf.h"
#include "intake/admission.h"
#include "intake/channel.h"
#include "intake/refusals.h"
#include "smtp/server.h"
#include "sys/log.h"

struct session;

/* What sessions share; intake owns it. */
struct session_host {
	struct loop		*loop;
	struct rng		*rng;
	struct log		*log;
	const struct conf	*conf;
	struct tls_server	*tls[CONF_LISTENERS_MAX];	/* of each listener; NULL: none */
	struct channel		*channel;	/* NULL: no relay */
	const struct server_answer *policy;	/* NULL: mail is accepted */
	bool			 draining;
	struct list		 sessions;
	struct list		 waiting;	/* for a relay, for credit, for room */
	struct admission	 admission;
	struct refusals		 refusals;
	uint64_t		 numbers;
	uint64_t		 accepted, refused;
	/* intake.h; and how many answers are awaited. */
	void			(*ask_process)(void *arg, uint64_t number, int64_t pid, int64_t uid);
	void			*ask_arg;
	unsigned		 asked;
	/* A session began or ended, or a count changed. */
	void			(*on_change)(struct session_host *);
};

struct session_peer {
	struct address	 address;
	const struct conf_listener *by;	/* where it came in; NULL: a place for this host alone */
	int64_t		 uid, pid;	/* -1: unknown */
	const char	*no_uid;	/* why the uid is not known, in a word; NULL: it is */
	struct client	*client;	/* its place; left at the end */
};

/* uid or no_uid. */
void session_peer_log(const struct session_peer *, struct log_line *);
/* Takes over the stream and says 220. */
void session_start(struct session_host *, struct stream *, const struct session_peer *);
/* The policy has changed. */
void session_policy_changed(struct session *);
/* Go on, if what it waits for is there; it stays in or goes to host->waiting if not. */
void session_retry(struct session *);
/* 421 now if it is between messages, otherwise after its message, or when it sends none for 2 s. */
void session_drain(struct session *);
/* 421 now, whatever it is doing. */
void session_end(struct session *);
/* At once and without a word. */
void session_kill(struct session *);

uint64_t session_number(const struct session *);
/* The name of the process that is the client, or "". */
void session_named(struct session *, const char *name);
struct session *session_of_link(struct list *);		/* in host->sessions */
struct session *session_of_wait(struct list *);		/* in host->waiting */

/* For the channel. */
void session_on_credit(struct channel_txn *);
void session_on_durable(struct channel_txn *, uint64_t id);
void session_on_refused(struct channel_txn *, const struct frame_reply *);
void session_on_lost(struct channel_txn *);

#endif
