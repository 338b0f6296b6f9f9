/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * relay_impl - what the parts of the relay role share; not for other folders.
 *
 * relay.c owns everything that there is once: spool, schedule, reports. An upstream is
 * one relay of the configuration: its health, account and sessions. reception takes
 * messages in; routing finds which routes their recipients take; pool decides which session is opened where and which message it gets;
 * session runs one upstream connection, overdue what takes long in it; delivery is the message in a session; probe asks
 * endpoints how they are; report ends messages that failed; sweep looks at clocks and
 * ages; network has all endpoints looked at when the host's network changed; watch is the way
 * to and from health; staging keeps mail here in place of all that; manage does what the administrator asks; life says what happens to each
 * message.
 */
#ifndef RELAY_RELAY_IMPL_H
#define RELAY_RELAY_IMPL_H

#include "base/map.h"
#include "handover/frame.h"
#include "relay/accounts.h"
#include "relay/address_book.h"
#include "relay/age.h"
#include "relay/blame.h"
#include "relay/denied.h"
#include "health/diagnosis.h"
#include "mail/archive.h"
#include "relay/dial.h"
#include "relay/history.h"
#include "relay/allowance.h"
#include "relay/keep.h"
#include "relay/lookup.h"
#include "relay/outcome.h"
#include "relay/patience.h"
#include "health/port_history.h"
#include "relay/relay.h"
#include "relay/schedule.h"
#include "health/switch_log.h"
#include "health/trail.h"

#define RECEPTION_BYTES_MAX	(64u << 20)	/* of messages coming in, not yet on disk */
#define REPORTS_MAX		8		/* written at one time; the others wait */
#define SWEEP_MS		60000		/* clock, expiry */
#define SWEEP_EXPIRE_MAX	256		/* messages taken out of the queue per sweep */
#define WAIT_POLL_MS		5000		/* look again while nothing is eligible */
#define RACE_TIE_MS		100
#define RECIPIENTS_MAX		1000		/* per transaction, whatever conf says */

/* Time limits of a probe, where they are shorter than the machine's (doc/health.md). */
#define LOOKUP_MS		10000
#define CONNECT_MS		30000
#define PROBE_LOOKUP_MS		5000
#define PROBE_CONNECT_MS	10000
#define PROBE_BANNER_MS		15000
#define PROBE_STEP_MS		10000
#define PROBE_QUIT_MS		2000
#define ASK_TLS_MS		3000		/* for the answer to a handshake on a port that does not greet */
#define LOGIN_GATE_MS		60000		/* another session's login is awaited so long */
/* A transaction as a whole, up to the dot: a fixed time, and 4 KiB/s for the text. */
#define TRANSACTION_MS		900000
#define TRANSACTION_BYTES_PER_MS 4
#define RCPT_EXTRA_MS		2000		/* for each recipient, beside the reply's own time */

/* --- reception ------------------------------------------------------------ */

struct reception {
	struct stream	*stream;	/* to intake, or NULL */
	bool		 greeted;
	struct map	 txns;		/* by number, of this channel */
	uint64_t	 last;		/* number of the last OPEN */
	struct list	 all;		/* of struct txn: also those whose intake is gone */
	uint64_t	 bytes;		/* in memory, all transactions */
	struct task	 deaf;		/* it does not read: close */
	bool		 pausing, paused;	/* PAUSE was sent, was answered */
	struct timer	 pause;		/* what is open then is refused */
	struct task	 check;		/* of the drain, when a transaction has ended */
};

void reception_init(struct relay *);
void reception_done(struct relay *);		/* after the spool is gone */
void reception_set(struct relay *, struct stream *);
void reception_policy(struct relay *);		/* tell intake of the spool's state */
void reception_stop(struct relay *);		/* refuse what is open; commits finish */
/* For the drain: nothing is open, and nothing can come; the first call asks intake to pause. */
bool reception_has_ended(struct relay *);

/* --- sessions -------------------------------------------------------------- */

enum session_kind {
	SESSION_MAIL,
	SESSION_RACE,		/* mail, if it is the first to be ready */
	SESSION_PROBE,
	SESSION_PROBE_LOGIN
};

enum session_phase { SESSION_LOOKUP, SESSION_DIAL, SESSION_TALK, SESSION_OVER };

/* What a session spends its time with, for life_attempt(). */
enum session_spends {
	PHASE_NONE,
	PHASE_LOOKUP, PHASE_CONNECT, PHASE_GREETING, PHASE_TLS, PHASE_LOGIN,	/* once */
	PHASE_ENVELOPE, PHASE_TEXT, PHASE_REPLY,				/* per transaction */
	PHASE_COUNT
};

/* The message in a session. */
struct delivery {
	struct spool_message	*m;		/* NULL: none */
	struct spool_reader	*reader;
	const struct envelope	*envelope;	/* the reader's; NULL: still awaited */
	unsigned		 route;		/* it is sent to the recipients on this one */
	uint32_t		 cursor;	/* recipients before it had their turn */
	uint32_t		 n;		/* in this transaction */
	uint32_t		 cap;
	uint32_t		*index;		/* of the message's recipients */
	struct client_rcpt	*rcpt;
	struct spool_result	*result;
	uint32_t		 fates[FATE_COUNT];	/* of this attempt */
	struct view		 chunk;		/* body bytes not yet taken by the machine */
	bool			 success_due;	/* somebody wants to hear of success */
	bool			 denied;	/* what MAIL said is the account's fault */
	bool			 read_all;
	bool			 marked;	/* UNCERTAIN is recorded for this transaction */
	bool			 sent;		/* the transaction is with the machine */
};

struct upstream;
struct session {
	struct list		 link;		/* upstream.sessions or relay.dead */
	struct relay		*r;
	struct upstream		*up;
	size_t			 endpoint;
	enum session_kind	 kind;
	enum session_phase	 phase;
	bool			 driving;
	bool			 tls_begun;
	bool			 asks_for_tls;	/* no greeting came: is it one for TLS from the first byte? */
	bool			 hurry;		/* there is another endpoint to go to */
	bool			 ready;		/* got as far as mail could be sent */
	bool			 idle;		/* ready, no message */
	bool			 proven;	/* ready but for the login: what a race is about */
	bool			 parked;	/* waits for another session's login, or the race's end */
	bool			 logging_in, logged_in;
	bool			 quitting;
	bool			 retire;	/* no further message */
	bool			 late;		/* of a race that another one has won */
	bool			 closed;	/* the stream has ended: only replies that came before count */
	bool			 lost;		/* the connection ended or we gave up: lost_* */
	bool			 mark_pending;	/* spool_update will call back: not to be freed before */
	bool			 noted;		/* health has learned of ready_ms */
	bool			 unreadable;	/* the stored message is damaged, or can't be read now */
	struct err		 unreadable_why;
	bool			 trial;		/* opened where mail failed last: it is to carry a message there */
	enum mail_step		 failed_at;
	bool			 apart;		/* its message had been cut before: */
	unsigned		 cuts;		/* so often, by any relay, up to three */
	bool			 blamed;	/* it was asked whose fault its failure is */
	bool			 own_fault;	/* the failure is its message's: blame.h */
	spool_id		 message_id;	/* the last one that was given to it */
	enum health_class	 lost_class;
	char			 lost_text[200];
	enum client_state	 at;		/* that the timer was set for */
	int64_t			 awaits_ms;	/* since */
	bool			 overdue;	/* the reply, and people are told */
	bool			 stuck;		/* nothing of what was sent is acknowledged */
	int64_t			 started_ms, ready_ms;
	const char		*chosen;	/* why this endpoint, in a word */
	enum session_spends	 spends;
	int64_t			 spends_since_ms, spent_ms[PHASE_COUNT];
	unsigned		 messages;
	struct lookup_wait	 lookup;
	struct address		 peer;		/* connected to; len 0: not yet */
	bool			 again;		/* that address had failed before, and there are others */
	struct dial		 dial;
	struct stream		*stream;
	struct client		*client;
	struct timer		 step;		/* for what is awaited now */
	struct timer		 late_reply;	/* it could go elsewhere, too */
	struct timer		 whole;		/* the transaction, up to the dot */
	struct timer		 age;		/* idle, or too old */
	struct delivery		 d;
};

struct session *session_new(struct upstream *, size_t endpoint, enum session_kind);
void session_resume(struct session *);		/* something that it waited for is there */
void session_park(struct session *, int64_t ms);	/* nothing is said until session_unpark() */
void session_unpark(struct session *);
void session_quit(struct session *);		/* politely; no message is in it */
/* As if the connection had ended. */
void session_abort(struct session *, enum health_class, const char *why);
/* Move what the machine says into the stream; false: not all of it went in. */
bool session_flush(struct session *);
void session_reap(struct relay *);	/* free the dead */
void session_free(struct session *);		/* at once: end of the relay */
void session_set_age(struct session *);		/* quit when idle, or old, for too long */
void session_touch(struct session *);		/* the text moves on: its timer begins anew */
enum health_class session_class(const struct session *);	/* what its end shows */
void session_failed_by_us(struct session *);	/* the message can't be read: end without a dot */

/* --- overdue: a reply before the final dot takes long ------------------------- */

void overdue_init(struct session *);
void overdue_await(struct session *);		/* it has begun to wait in s->at */
void overdue_heard(struct session *);		/* and goes on */
void overdue_stuck(struct session *, bool stuck);	/* its bytes are not acknowledged, or are again */
void overdue_done(struct session *);		/* it ends */
bool overdue_waits(const struct session *, int64_t ms);	/* with a message, for a reply, so long by now */
/* All places there are taken, and other mail is due: if more than half of them hang, one is given up. */
void overdue_make_room(struct upstream *, size_t endpoint);

/*
 * What is recorded of a recipient whose success is to be told (RFC 3461 5.2.2) and whose next server
 * will not tell it (RFC 3886 3.4).
 */
#define RELAYED_STATUS "2.1.9"

/* --- delivery --------------------------------------------------------------- */

void delivery_give(struct session *, struct spool_message *);
/* In CLIENT_IDLE: true if a transaction was given to the machine. */
bool delivery_send(struct session *);
/* In CLIENT_NEED_BODY: true if there is more to do at once. */
bool delivery_body(struct session *);
void delivery_result(struct session *);
/* The session ends with a message in it. */
void delivery_abandon(struct session *);

/* --- pool ------------------------------------------------------------------- */

enum login_end { LOGIN_WORKED, LOGIN_JUDGED, LOGIN_UNJUDGED };

struct pool {
	struct timer	 timer;
	struct task	 task;
	int64_t		 pause_until_ms, pause_ms;	/* the provider said: slow down */
	unsigned	 failures[HEALTH_ENDPOINTS_MAX];	/* sessions in a row */
	int64_t		 not_before_ms[HEALTH_ENDPOINTS_MAX];
	int64_t		 apart_ms;		/* when a message that is set apart was given to a session */
	bool		 racing;
	size_t		 order[HEALTH_ENDPOINTS_MAX], norder, next;
	struct timer	 head_start, tie;
	struct session	*login;			/* the one that logs in while others wait */
	int64_t		 login_ok_ms;		/* when a login succeeded; 0: not, or refused since */
};

void pool_init(struct upstream *);
void pool_done(struct upstream *);
void pool_kick(struct upstream *);			/* look at it soon */
bool pool_has_choice(struct upstream *);		/* more than one endpoint is usable */
/* The session is ready but for the login. True: go on now; false: it was parked or told to quit. */
bool pool_proven(struct session *);
bool pool_login_gate(struct session *);		/* the same, for the login */
void pool_login_done(struct session *, enum login_end);
void pool_login_left(struct session *);		/* it ends; perhaps others waited for its login */
bool pool_idle(struct session *);		/* true if it got a message */
void pool_ended(struct session *, enum health_class);
void pool_worked(struct session *);		/* the endpoint took, or judged, a message */
void pool_slow_down(struct upstream *);		/* the provider said so */
void pool_network_changed(struct upstream *);	/* no endpoint rests any more; idle sessions quit */
/* Idle sessions quit, busy ones after their message; endpoint -1: everywhere, for good. */
void pool_retire(struct upstream *, int endpoint);

/* --- probe ------------------------------------------------------------------ */

struct prober {
	struct timer	 timer;
	struct session	*session;
};

void prober_init(struct upstream *);
void prober_plan(struct upstream *);
void prober_ended(struct session *, enum health_class, const char *detail);
void prober_again(struct session *);		/* it ends, and says nothing of the port: another one goes on */

/* --- watch: health ----------------------------------------------------------- */

/* What is kept of an endpoint for people. */
struct watch_port {
	struct port_history	history;
	struct trail		trail;
	int64_t			not_after_ms;	/* of the certificate seen last, wall; 0: none */
	struct diagnosis_port	showed;
	bool			worked;		/* at the end of the run before */
};

/* Mail goes over another endpoint than the current one, which is suspect. */
struct detour {
	int	to, from;	/* -1: there is none */
	bool	told;		/* its begin is, so its end will be */
	int64_t	told_ms;
};

void detour_init(struct detour *);
void detour_carried(struct session *);		/* it has carried a message */
void detour_look(struct upstream *);		/* is it over? */

struct watch {
	struct task		 task;
	struct watch_port	*port;		/* of each endpoint */
	struct detour		 detour;
	spool_id		 failed;	/* the first message that failed as only mail does, since a delivery */
	bool			 failed_many;	/* others did, too */
	struct blame		 blame;
	struct denied		 denied;
};

void watch_init(struct upstream *);
void watch_done(struct upstream *);
/* The file that outlasts a restart. */
struct watch_file {
	struct keep	keep;
	int64_t		kept_ms;		/* when, and what was there then */
	uint64_t	kept_switches, kept_delivered;
};

void watch_keep_init(struct relay *);		/* reads it */
void watch_keep_done(struct relay *);
void watch_keep(struct relay *);		/* write it, now */
void watch_keep_sweep(struct relay *);		/* if there is reason to; once a minute */
/* Once a minute at least: how the endpoints are now. */
void watch_look(struct upstream *);
/* The handshake is done and the certificate verified. */
void watch_tls(struct session *);
/* Mail of a route ("": of the only one) goes to another relay; back: to one that it prefers. */
void watch_failover(struct relay *, const char *route, size_t from, size_t to, bool back, const char *reason);
void watch_dials(struct session *);		/* it begins to connect */
/* A relay beside this one, of the route of the session's last message, that stands so well at least. */
bool watch_has_other_relay(const struct session *, enum health_standing least);
/* A session for mail has failed in this class, failed_at says where: is that the fault of its message? */
void watch_blame(struct session *, enum health_class);
/* MAIL was answered with "log in first", or the like: what that means. */
enum health_class watch_denied(struct session *, struct view sender) must_use;
/* What a session showed. ready: whether its time is to be counted. */
void watch_note(struct session *, enum health_class, const char *detail);
void watch_event(struct upstream *, const struct health_event *);	/* to the log, and what failover shows */
void watch_changed(struct upstream *);		/* log what is new, plan anew */
/* Sessions at the endpoint that was left are given up. */
void watch_route(struct upstream *, const struct health_choice *);
const char *watch_endpoint(struct upstream *, size_t i);	/* "smtp.example.net:587" */

/* --- guard: what is known of each login, across restarts ------------------------ */

/* Host, user and password; relays of the configuration that have the same share one. */
struct login {
	bool		 known;		/* it has a fingerprint */
	uint8_t		 fingerprint[FINGERPRINT_SIZE];
	bool		 proven;	/* has worked once */
	bool		 proved;	/* by this process, and nothing else since */
	unsigned	 open;		/* begun and not judged, in a row */
	struct session	*by;		/* whose login is written down, or on its way; NULL: none */
	uint64_t	 mark;		/* the change that says so */
};

struct guard {
	struct keep	 file, key_file;
	uint8_t		 key[FINGERPRINT_KEY_SIZE];
	bool		 key_kept;	/* on disk */
	struct accounts	 old;		/* of the run before */
	struct accounts	 written;	/* given to the file last */
	struct login	 login[CONF_RELAYS_MAX];
	int64_t		 written_at_ms;
	bool		 again;		/* after the write that is under way */
	bool		 failing;
	uint64_t	 changes;	/* that somebody waits for; how far they are being written, */
	uint64_t	 writing, kept;	/* and are on disk, or given up */
	struct task	 task;
};

/* users.c */
#define USERS_REPLY_MAX	200
#define USERS_TAG_BYTES	8	/* of the hash that stands for a uid */
#define USERS_TAG_MAX	32

struct users {
	struct allowance allowance;
	struct keep	 keep;
	struct timer	 timer;
	bool		 changed;	/* since the file was written */
	bool		 failing;
	struct list	 waiters;	/* for the file */
};

/* What a message that comes in has of its user's share of the queue. */
struct users_part {
	unsigned	 user;		/* 0: none */
	uint32_t	 nrcpt;
	uint64_t	 bytes;		/* of its text */
};

enum users_verdict { USERS_TAKE, USERS_HOLD_OVER, USERS_HOLD_FROZEN, USERS_REFUSE };

void users_init(struct relay *);		/* reads the file */
void users_done(struct relay *);
void users_keep(struct relay *);		/* write it, if there is anything new */
/* Who was over a limit within the last hour, and was so most often since start; NULL: nobody. */
const struct allowance_user *users_worst(const struct relay *);
bool users_put_over(const struct allowance_user *, struct buf *out) must_use;
/* What the Received field says of this user. Returns text. */
const char *users_tag(const struct relay *, int64_t uid, char text[USERS_TAG_MAX]);
/* -1: it is refused with this reply, and has no part. */
int users_begin(struct relay *, struct users_part *, const struct envelope *, char reply[USERS_REPLY_MAX]) must_use;
/* So many bytes of it have come. -1 as above; but the part stays. */
int users_grow(struct relay *, struct users_part *, size_t, char reply[USERS_REPLY_MAX]) must_use;
/* It is complete. Only what is taken counts for limits. */
enum users_verdict users_end(struct relay *, const struct users_part *, char reply[USERS_REPLY_MAX]);
/* It is m now. */
void users_queued(struct relay *, struct spool_message *m, struct users_part *);
/* The spool was told to hold it: record that. */
void users_hold(struct relay *, struct spool_message *, const char *why);
/* It is not, and won't be. No-op without a part. */
void users_give_back(struct relay *, struct users_part *);
/* The spool tells of it: it counts for whoever handed it in, if that was recorded. */
void users_found(struct relay *, struct spool_message *);
/* The envelope of a message in the queue: from now on it is known whose it is. */
void users_learn(struct relay *, struct spool_message *, const struct envelope *);
void users_left(struct relay *, struct spool_message *);

void guard_need_key(struct relay *);		/* its key is used elsewhere, too: keep it */
void guard_init(struct relay *);		/* reads the files */
void guard_adopt(struct upstream *);		/* what they say of this one */
void guard_start(struct relay *);		/* all are adopted */
void guard_done(struct relay *);
void guard_look(struct relay *);		/* write what has changed */
/* The same, and what was waited while an account is not available. */
void guard_refresh(struct relay *);
/* True: log in now; false: it was parked until the disk knows of it. */
bool guard_login(struct session *);
void guard_answered(struct session *, enum login_end);
void guard_unsent(struct session *);		/* it ends, and was never said */
bool guard_is_idle(const struct relay *);	/* nothing is being written */
/* What a login, or its lack of an answer, showed of the account is true of all relays that share it. */
void guard_share(struct upstream *, enum health_class);
void guard_forgive(struct upstream *);		/* the administrator says so */

/* --- remark: what all ports together show (diagnosis) ----------------------------- */

void remark_issuer(struct session *, const char *issuer);	/* of the certificate, accepted or not */
/* By which mechanism a login was refused, to stand behind the reply; "" if the password was said. */
const char *remark_how(const struct session *);
void remark_class(struct session *, enum health_class);
void remark_look(struct relay *);		/* if anything is new */

/* --- upstream: one relay of the configuration ------------------------------------ */

struct upstream {
	struct relay		*r;
	size_t			 index;		/* in the configuration */
	const struct conf_relay	*conf;
	struct tls_client	*tls;
	uint8_t			*secret;
	size_t			 nsecret;
	char			*endpoint_name[HEALTH_ENDPOINTS_MAX];
	struct login		*login;
	struct health		*health;
	struct lookup		 lookup;
	struct address_book	 addresses;
	struct list		 sessions;
	struct pool		 pool;
	struct prober		 prober;
	struct patience		 patience;
	struct watch		 watch;
};

void upstream_init(struct upstream *, struct relay *, size_t index, struct view secret);
void upstream_stop(struct upstream *);		/* no event comes any more, but from sessions */
void upstream_done(struct upstream *);		/* sessions too are freed, at once */
bool upstream_is_busy(const struct upstream *);	/* mail in a session, or a login without its answer */
void upstream_end_sessions(struct upstream *);
unsigned upstream_count_sessions(const struct upstream *);	/* that are ready */
void upstream_network_changed(struct upstream *);
void upstream_check_trust(struct upstream *);	/* have the trusted certificates been replaced? */
void upstream_refresh(struct upstream *);	/* once a minute: is its name, which does not work, another one? */

/* --- failover: which relay of its route mail goes to ------------------ */

struct route_use {
	int	serving;	/* place in the route's list that its mail goes to; -1: all are out */
	size_t	served;		/* the last one that was it */
	bool	shared;		/* none is known to work: whoever of the list is ready first gets it */
	int64_t	unsure_ms;	/* its mail waits for one that is not known to work, since; -1: not */
	struct timer head_start;
};

void failover_init(struct relay *);
void failover_done(struct relay *);
/* Before the first check: its mail went to that relay in the run before. */
void failover_resume(struct relay *, const char *route, const char *to);

/* Look again, and log a change. */
void failover_check(struct relay *);
/* If nothing is known of its relay, its head start is over. */
void failover_has_waited(struct relay *, size_t route);
/*
 * The first route whose mail goes elsewhere than to the relay that it lists first; -1: none.
 * unsure: of some route all relays are out.
 */
int failover_diverted(const struct relay *, bool *unsure);
/* Messages with several routes: to the one that they wait for best. */
void failover_spread(struct relay *);
/* The routes whose mail it gets now, as a set of ROUTE_BIT. */
uint32_t failover_serves(const struct upstream *);

/* --- routing: which routes the recipients of a message take ------------------------- */

struct routing {
	struct list	reads;		/* of struct routing_read */
	unsigned	nreads;
	unsigned	nread;		/* since memory was given back */
	struct timer	timer;
};

void routing_init(struct relay *);
void routing_done(struct relay *);		/* nothing is read any more */
void routing_kick(struct relay *);		/* there may be envelopes to read */
/* One for each recipient; free() it. NULL: there is one route only. */
uint8_t *routing_find(const struct relay *, const struct envelope *);
/* Both may be NULL. */
void routing_set(struct relay *, struct spool_message *, const uint8_t *route);

/* --- report ------------------------------------------------------------------ */

struct reporter {
	struct list	recording;	/* the spool will call back */
	struct list	waiting, running;
	size_t		nrunning;
	struct task	task;
};

typedef void written_fn(void *owner);

void report_init(struct relay *);
void report_done(struct relay *);		/* stop: the next run writes what is left */
void report_free_all(struct relay *);		/* after the spool is gone */
/*
 * Every recipient is final, or is to expire: write the report if there is one to
 * write, and finish the message.
 */
void report_start(struct relay *, struct spool_message *);
/* The same with the results that made it final, which are recorded first. on_written: of the end; or NULL. */
void report_result(struct relay *, struct spool_message *, const struct spool_update *, written_fn *on_written,
    void *owner);
bool report_is_idle(const struct relay *);

/* --- uncertain: the final dot got no reply --------------------------------------- */

/* True: it is held, or reported as failed, and not to be sent again. */
bool uncertain_settle(struct relay *, struct spool_message *);
void uncertain_fail(struct spool_result *out, uint32_t rcpt);	/* for "bounce" */

/* --- sweep: time and age ------------------------------------------------------ */

void sweep_init(struct relay *);		/* reads the clock's file */
void sweep_start(struct relay *);
void sweep_done(struct relay *);
void sweep_keep_clock(struct relay *);
bool sweep_is_expired(struct relay *, const struct spool_message *);

/* --- network: addresses, routes or the clock changed ---------------------------- */

struct network {
	struct timer	 timer;
	int64_t		 told_ms;	/* the last time; -1: never */
	const char	*why;		/* what the timer will tell */
};

void network_init(struct relay *);
void network_done(struct relay *);

/* --- staging: nothing leaves ------------------------------------------------------ */

struct sink_file;
struct staging {
	struct task		 task;
	struct timer		 timer;		/* until a message is due, or the disk is tried again */
	struct spool_message	*m;		/* it is being written; NULL: none */
	struct spool_reader	*reader;
	struct archive		 archive;
	struct sink_file	*file;
	bool			 begun;		/* the head is there */
	bool			 failing;
};

void staging_init(struct relay *);
void staging_done(struct relay *);		/* before the spool is closed */
bool staging_is_on(const struct relay *);
bool staging_is_busy(const struct relay *);
void staging_kick(struct relay *);		/* there may be mail to write */

/* --- manage: what the administrator asks --------------------------------------- */

void manage_init(struct relay *);
/* What a record that the ack is to wait for has to call, with it; NULL: nobody waits. */
written_fn *manage_expect(struct relay_ack *);
void manage_done(struct relay *);		/* after the spool is gone */

/* --- life ------------------------------------------------------------------- */

/* What a reply, or a loss, means for one recipient. */
struct life_verdict {
	struct view			 to;
	enum fate			 fate;
	enum health_class		 class;
	enum client_state		 at;	/* the step that was answered, or in which it was lost */
	const struct spool_result	*result;
};

/* A recipient that is given up. */
struct life_end {
	struct view			 to, from;
	bool				 expired;	/* or refused */
	const struct spool_result	*result;	/* NULL: nothing is known */
};

/* What the first line tells of the envelope, kept until the message is on disk. */
#define LIFE_ORIGIN_MAX	640

struct life_origin {
	struct buf	words;		/* from, peer, no_uid, process and recipients that fit, each with a NUL */
	uint32_t	nrcpt;
	int64_t		uid;
	char		script[FRAME_SCRIPT_MAX + 1];	/* known at the end; or "" */
};

void life_origin_init(struct life_origin *, const struct envelope *);
void life_origin_done(struct life_origin *);
void life_queued(struct relay *, spool_id, uint64_t size, const struct life_origin *);
void life_found_uncertain(struct relay *, const struct spool_message *);
/* The session has turned to something else, perhaps. */
void life_phase(struct session *);
void life_attempt(struct session *);		/* a transaction has ended */
void life_recipient(struct session *, const struct life_verdict *);
void life_waits(struct relay *, const struct spool_message *, enum outcome_when, unsigned attempts,
    int64_t for_ms);
void life_given_up(struct relay *, const struct spool_message *, const struct life_end *);
void life_reported(struct relay *, const struct spool_message *, struct view from, struct view to);
void life_report_dropped(struct relay *, const struct spool_message *, struct view from, bool unwanted);
/* spool_finish(), and the last line; and the first one of the bounce. */
void life_finish(struct relay *, struct spool_message *, const struct spool_update *,
    const struct spool_bounce *, void (*on_written)(void *owner), void *owner);
/* why: a word; NULL: the administrator wants it. */
void life_held(struct relay *, const struct spool_message *, bool hold, const char *why);
void life_held_uncertain(struct relay *, const struct spool_message *);
/* env: NULL if it is not at hand. */
void life_removed(struct relay *, struct spool_message *, const struct envelope *env, size_t rcpts);
/* name: of its file. */
void life_sunk(struct relay *, const struct spool_message *, const char *name, size_t rcpts);
void life_unreadable(struct relay *, const struct spool_message *, const struct err *);

/* --- alarms -------------------------------------------------------------------- */

struct alarms_one {
	struct alarm		alarm;
	struct relay_alarm	told;
	int64_t			was_ms;		/* raised since, by the run before; 0: it was not, or is over */
};

struct alarms {
	struct alarms_one	 of_relay[ALARM_OF_RELAY_COUNT][CONF_RELAYS_MAX];
	struct alarms_one	 of_all[ALARM_KIND_COUNT - ALARM_OF_RELAY_COUNT];
	int64_t			 oldest_ms;	/* age of a message, at the last sweep; -1: not known */
	struct timer		 timer;
};

void alarms_init(struct relay *);
void alarms_done(struct relay *);
void alarms_look(struct relay *);
/* The run before had raised it, since then. */
void alarms_resume(struct relay *, struct view alarm, struct view of, int64_t since_ms);
void alarms_sweep(struct relay *);		/* once a minute */

/* --- relay ------------------------------------------------------------------- */

struct relay {
	struct relay_env	 env;
	const struct conf	*conf;
	const struct relay_events *events;
	void			*owner;
	struct upstream		 up[CONF_RELAYS_MAX];	/* in the order of the configuration */
	size_t			 nup;
	struct route_use	 route[CONF_ROUTES_MAX];
	struct routing		 routing;
	struct spool		*spool;
	enum spool_health	 spool_health;
	char			 spool_why[160];
	bool			 recovered;
	struct history		*history;	/* NULL: none is kept */
	struct log		*life;		/* log and history, or the log alone */
	struct switch_log	 switches;
	struct watch_file	 ports;
	struct alarms		 alarms;
	struct schedule		 schedule;
	struct age		 age;
	struct reception	 reception;
	struct list		 dead;		/* sessions to be freed */
	struct reporter		 reporter;
	struct list		 acks;			/* of struct relay_ack */
	uint64_t		 peek_turn;	/* of the loop, in which so many envelopes were looked at */
	unsigned		 peeked;
	struct task		 reap;
	struct task		 ready;
	struct timer		 sweep;
	int64_t			 swept_ms;
	struct timer		 status;
	char			*status_text;	/* said last; NULL: nothing */
	struct network		 network;
	struct staging		 staging;
	bool			 remarks_due;	/* a port has shown something new */
	struct keep		 clock;		/* its file */
	struct guard		 guard;
	struct users		 users;
	struct relay_stats	 stats;
	bool			 draining, closing;
	struct timer		 drain;
	void			(*on_drained)(void *owner);
	void			*drained_owner;
};

void relay_status_changed(struct relay *);
void relay_kick(struct relay *);		/* there may be mail to send */
/* Wait until at_ms (loop), unless it is held. */
void relay_wait(struct relay *, struct spool_message *, int64_t at_ms);
/* The same for its recipients on this route alone. */
void relay_wait_route(struct relay *, struct spool_message *, unsigned route, int64_t at_ms, bool uncertain);
void relay_drain_check(struct relay *);
void relay_end_check(struct relay *);		/* drained, and all of it is on disk? */
/* The stored message can't be read. If it is damaged it is held; else it is read again later. */
/* say: the reason becomes the last that is known of those who wait (a report needs what was). */
void relay_unreadable(struct relay *, struct spool_message *, const struct err *, bool say);
struct view relay_unread_text(char text[SPOOL_TEXT_MAX], const struct err *);
void relay_unread_result(struct spool_result *out, uint32_t rcpt, struct view text);

#endif
