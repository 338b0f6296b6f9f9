/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay - the role that owns the spool and talks to the smarthost.
 *
 * A function of its environment: everything it touches comes in struct
 * relay_env, so that the simulator runs it unchanged.
 *
 * Thread: loop thread.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "base/buf.h"
#include "conf/conf.h"
#include "net/net.h"
#include "net/tls.h"
#include "spool/spool.h"
#include "sys/log.h"
#include "relay/alarm.h"
#include "relay/allowance.h"
#include "health/health.h"
#include "relay/history.h"
#include "health/port_history.h"
#include "health/switch_log.h"
#include "health/trail.h"

struct relay;

struct relay_env {
	struct loop	*loop;
	struct net	*net;
	struct fs	*fs;		/* the spool directory */
	struct worker	*commit, *reader;
	struct fs	*history_fs;	/* the history's directory */
	struct worker	*history;	/* NULL: no history is kept */
	struct fs	*sink_fs;	/* the Maildir of staging = "sink"; else NULL */
	struct rng	*rng;
	struct log	*log;
	struct tls_client *const *tls;	/* of each relay; NULL in the simulator, whose streams need none */
	const char	*sandbox;	/* level reached, for status */
	bool		 again;		/* it follows another relay of the same daemon: what that one told is known */
};

#define ALARM_TEXT_MAX 256

struct relay_alarm {
	enum alarm_kind	 kind;
	size_t		 index;		/* of the relay, in the configuration */
	const char	*relay;		/* its name; NULL: it is about all */
	int64_t		 since_ms;	/* wall */
	char		 text[ALARM_TEXT_MAX];	/* one sentence; peers' words may be in it */
};

struct relay_events {
	void (*on_ready)(void *owner);				/* mail is accepted */
	void (*on_status)(void *owner, const char *text);	/* one line for systemctl status */
	void (*on_reload_wanted)(void *owner);			/* posthousectl reload */
	/* Raised, or over; over comes also once after start for each that is not raised. */
	void (*on_alarm)(void *owner, const struct relay_alarm *, bool raised);
};

/*
 * conf must outlive the relay. secrets: a line for each relay of the configuration, empty
 * where there is none. They are copied, and wiped at the end.
 */
int relay_new(struct relay **out, const struct relay_env *, const struct conf *, struct view secrets,
    const struct relay_events *, void *owner, struct err *) must_use;
/* How a stream for relay_set_intake is to be limited. */
extern const struct stream_limits relay_handover_limits;
/* The other end is an intake. A new one replaces the old (whose open transactions are aborted). */
void relay_set_intake(struct relay *, struct stream *);
/*
 * Finish running transactions for at most drain_ms, seal the spool, call back; then free.
 * Handovers are taken until sessions are done.
 */
void relay_drain(struct relay *, void (*on_drained)(void *owner), void *owner);
/*
 * At once. Without relay_drain() before, the spool is left as after a crash; then
 * the workers must be at rest.
 */
void relay_free(struct relay *);

/* --- for control/ -------------------------------------------------------- */

struct spool *relay_spool(struct relay *);
struct history *relay_history(struct relay *);			/* NULL: none is kept */
/* Of conf.relay[i]: */
struct health *relay_health(struct relay *, size_t i);
bool relay_in_use(const struct relay *, size_t i);		/* mail goes there now */
/* One sentence: what keeps mail from it. For one that is closed or out; false: not all of it fitted. */
bool relay_why_closed(const struct relay *, size_t i, struct buf *out) must_use;
/* Which endpoint of it keeps its mail waiting for a reply, or that all are suspect; nothing: neither. */
bool relay_why_waiting(const struct relay *, size_t i, struct buf *out) must_use;
bool relay_why_open(const struct relay *, size_t i, struct buf *out) must_use;	/* how its ports are */
/* The endpoint that mail over it uses, and on a detour the current one, which is suspect; -1: none. */
struct relay_way {
	int	endpoint, avoided;
};
void relay_way(const struct relay *, size_t i, struct relay_way *out);
unsigned relay_sessions(const struct relay *, size_t i);	/* open upstream */
/* Of its endpoint k: */
const struct port_history *relay_port_history(const struct relay *, size_t i, size_t k);
const struct trail *relay_trail(const struct relay *, size_t i, size_t k);
const struct switch_log *relay_switches(const struct relay *);
/* Of conf.route[k]: where its mail goes now, as in conf.relay; -1: all its relays are out. */
int relay_of_route(const struct relay *, size_t k);
uint64_t relay_waiting(const struct relay *, size_t k);		/* messages, also those not due */
/* Those that are raised and not over; *pos begins with 0. NULL: no more. */
const struct relay_alarm *relay_alarm_next(const struct relay *, size_t *pos);
const struct conf *relay_conf(const struct relay *);
const struct relay_env *relay_env(const struct relay *);

/*
 * Waits for the records of all that it is given to (it may be NULL there) to be written:
 * SIGKILL keeps them then. fn comes when they are, never from within a call; not at all
 * if nothing had to be recorded.
 */
struct relay_ack;
struct relay_ack *relay_ack_new(struct relay *, void (*fn)(void *owner), void *owner);
bool relay_ack_is_written(const struct relay_ack *);
void relay_ack_drop(struct relay_ack *);	/* before relay_free() */

void relay_flush(struct relay *);				/* all deferred messages: due now */
void relay_flush_message(struct relay *, struct spool_message *);
void relay_hold(struct relay *, struct spool_message *, bool hold, struct relay_ack *);
/* No bounce. -1 if it is just being sent. */
int relay_remove(struct relay *, struct spool_message *, struct relay_ack *, struct err *) must_use;
/*
 * New mail of this user (-1: of unknown ones) is held, deferred or refused as configured, or not any
 * more. The ack waits for it to be on disk.
 */
void relay_freeze(struct relay *, int64_t uid, bool freeze, struct relay_ack *);
/* False, too, if it is not known whose it is; with the envelope, which may be NULL, it is. */
bool relay_user_owns(struct relay *, struct spool_message *, int64_t uid, const struct envelope *);
struct relay_user {
	int64_t		uid;		/* -1: all that are unknown */
	bool		frozen;
	uint64_t	messages, bytes;	/* in the queue, as far as it is known whose */
	char		tag[32];	/* what stands for the uid in Received, or "" */
	uint64_t	taken, over;		/* messages within the limits, and not; since start */
	uint64_t	used[ALLOWANCE_WHATS][ALLOWANCE_SPANS], most[ALLOWANCE_WHATS][ALLOWANCE_SPANS];
};
/* *pos begins with 0. False: no more. */
bool relay_user_next(struct relay *, size_t *pos, struct relay_user *out);
/* Of the relay of that name, or of all of them (""): its ports, now; -1: there is none. */
int relay_probe(struct relay *, struct view name, struct err *) must_use;
/*
 * Accounts and ports of the relay of that name and those that have the same login, or of all of them
 * (""). names: which; or NULL. -1: there is none.
 */
int relay_unblock(struct relay *, struct view name, struct buf *names, struct err *) must_use;
void relay_want_reload(struct relay *);
/*
 * What the host's network is, or may be, has changed: all endpoints are looked at soon, at most
 * once in 10 s. why: what it was, one word, which outlives the relay.
 */
void relay_network_changed(struct relay *, const char *why);

struct relay_stats {
	uint64_t	delivered, deferred, bounced, expired, removed;	/* recipients, since start */
	uint64_t	uncertain;
	uint64_t	sunk;			/* recipients whose mail went to the sink */
	bool		intake_connected;
	char		intake_sandbox[64];
	uint64_t	intake_sessions, intake_refused;
	int64_t		started_ms;		/* wall */
};
void relay_stats(const struct relay *, struct relay_stats *out);

#endif
