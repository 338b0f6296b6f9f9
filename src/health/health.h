/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * health - which endpoint of a relay to use, and why (doc/health.md).
 *
 * Owns the evidence of probes and deliveries per endpoint and the state of the
 * account, and turns them into states, scores, a choice and a probe plan. Pure:
 * now_ms (monotonic) and the generator are arguments.
 */
#ifndef HEALTH_HEALTH_H
#define HEALTH_HEALTH_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/rng.h"

#define HEALTH_ENDPOINTS_MAX 8
#define HEALTH_DETAIL_MAX 200
#define HEALTH_REMARK_MAX 240

/* What an attempt showed: doc/health.md has recognition, scope and effect of each. */
enum health_class {
	HEALTH_OK,
	HEALTH_DNS_FAIL, HEALTH_DNS_NXDOMAIN, HEALTH_LOCAL_DENIED, HEALTH_NO_ROUTE,
	HEALTH_REFUSED, HEALTH_FILTERED, HEALTH_PROHIBITED,
	HEALTH_NO_BANNER, HEALTH_BANNER_4XX, HEALTH_BANNER_5XX,
	HEALTH_NOT_SMTP, HEALTH_WANTS_IMPLICIT, HEALTH_WANTS_STARTTLS,
	HEALTH_STARTTLS_MISSING, HEALTH_STARTTLS_BLANKED, HEALTH_STARTTLS_REFUSED, HEALTH_INJECTED,
	HEALTH_TLS_HANDSHAKE, HEALTH_TLS_NAME, HEALTH_TLS_EXPIRED, HEALTH_TLS_UNTRUSTED,
	HEALTH_EHLO_REFUSED, HEALTH_AUTH_MISSING, HEALTH_AUTH_UNANSWERED, HEALTH_AUTH_NOT_TAKEN,
	HEALTH_AUTH_UNPROVEN, HEALTH_AUTH_TEMP, HEALTH_AUTH_REFUSED, HEALTH_MAIL_DENIED,
	HEALTH_QUOTA, HEALTH_QUOTA_USED_UP, HEALTH_SENDER_REFUSED, HEALTH_RCPT_REFUSED, HEALTH_CONTENT_REFUSED,
	HEALTH_MSG_TEMP, HEALTH_CUT_BEFORE_DOT, HEALTH_CUT_AFTER_DOT, HEALTH_GARBLED,
	HEALTH_CLASS_COUNT
};

enum health_scope {
	SCOPE_NONE, SCOPE_LOCAL, SCOPE_NETWORK, SCOPE_ENDPOINT, SCOPE_ACCOUNT, SCOPE_MESSAGE
};
enum health_severity { SEVERITY_NONE, SEVERITY_SOFT, SEVERITY_HARD, SEVERITY_DOWN, SEVERITY_BLOCK };

struct health_class_info {
	const char		*word;		/* "starttls_missing" */
	enum health_scope	 scope;
	enum health_severity	 severity;	/* effect on the endpoint */
	const char		*sentence;	/* what it means */
	const char		*advice;	/* what to do; "" if nothing */
};
const struct health_class_info *health_class_info(enum health_class);
bool health_class_find(struct view word, enum health_class *out) must_use;
/* A login was sent, and whether the password is right is not known. */
bool health_is_unjudged(enum health_class);
/* No login goes there but rarely, after one that ended so: unjudged, and by the server itself. */
bool health_ends_logins(enum health_class);

enum endpoint_state {
	EP_UNKNOWN, EP_UP, EP_DEGRADED, EP_DOWN, EP_PROBING, EP_RECOVERING, EP_BLOCKED, EP_OFF,
	EP_STATE_COUNT
};
const char *endpoint_state_word(enum endpoint_state);

enum account_state {
	ACCOUNT_AVAILABLE, ACCOUNT_PAUSED, ACCOUNT_EXHAUSTED, ACCOUNT_BLOCKED,
	ACCOUNT_DOWN,		/* shown only: available, but no endpoint is usable */
	ACCOUNT_STATE_COUNT
};
const char *account_state_word(enum account_state);

enum sample_source { SAMPLE_PROBE, SAMPLE_DELIVERY };

/* What fails before the text is hardly the message's fault. */
enum mail_step { MAIL_NONE, MAIL_ENVELOPE, MAIL_TEXT };

struct health_sample {
	enum health_class	class;
	enum sample_source	source;
	int64_t			ready_ms;	/* connect to ready; -1: never got there */
	int64_t			age_ms;		/* of its session: what began before a failure refutes nothing */
	bool			logged_in;	/* AUTH succeeded in this session */
	unsigned		unjudged;	/* of a class that judges no login: how many in a row, with it */
	enum mail_step		mail;		/* of a failure: where in a message it was found */
	bool			lone;		/* all such since a delivery were of one message */
	bool			only_way;	/* no other relay could have the mail */
	const char		*detail;	/* reply or error text; may be NULL */
	int64_t			wall_ms;	/* for the day of a quota */
};

struct health_params {
	const char	*host, *user;		/* for advice; not copied; may be NULL */
	uint16_t	port[HEALTH_ENDPOINTS_MAX];
	bool		off[HEALTH_ENDPOINTS_MAX];
	size_t		n;
	bool		quiet;
	unsigned	sessions_max;		/* for the ramp */
};

struct health;

/* rng is kept, not owned. */
struct health *health_new(const struct health_params *, int64_t now_ms, struct rng *);
void health_free(struct health *);

/*
 * One attempt's outcome at endpoint i: each probe that was started, each session
 * that became ready or failed to, each transaction that ended.
 */
void health_note(struct health *, size_t i, const struct health_sample *, int64_t now_ms);

/* Why the chosen endpoint is the chosen one. */
enum choice_reason {
	CHOICE_STAY, CHOICE_FIRST, CHOICE_DOWN, CHOICE_DETOUR, CHOICE_BETTER, CHOICE_RETURN,
	CHOICE_CANARY, CHOICE_RACE, CHOICE_RESTART, CHOICE_NONE
};
const char *choice_reason_word(enum choice_reason);

struct health_choice {
	int			 endpoint;	/* -1: none is usable; messages wait uncharged */
	enum choice_reason	 reason;
	bool			 changed;	/* the current endpoint is another one than before (not for a detour) */
	int			 from;		/* the one before, or -1 */
	unsigned		 sessions;	/* parallel sessions allowed there now (ramp, canary) */
	bool			 race;		/* none is up: race the list with a head start of HEALTH_RACE_MS */
};
#define HEALTH_RACE_MS 500
/*
 * Mail goes over endpoint i now, by a session that a race (CHOICE_RACE) or an earlier choice began:
 * if the current endpoint does not work, i is it from here on.
 */
void health_took_over(struct health *, size_t i, enum choice_reason, int64_t now_ms);

/*
 * It was the current endpoint at the end of the run before, and is until another one is chosen. If
 * it worked then it is probed and raced first.
 */
void health_resume(struct health *, size_t i, bool worked, int64_t now_ms);

/* The step of a session for mail whose reply is overdue there; NULL: none is. Mail avoids it meanwhile. */
void health_set_overdue(struct health *, size_t i, const char *step, int64_t now_ms);
/* For the next session. */
void health_choose(struct health *, int64_t now_ms, struct health_choice *out);
/* Suspect, and another one is not: the next message goes there, also past a kept connection. */
bool health_is_avoided(const struct health *, size_t i, int64_t now_ms);
/*
 * A session for mail begins at i. True: mail failed there last, so it is to carry a message though the
 * endpoint is avoided; the next such one may begin after a while.
 */
bool health_mail_tries(struct health *, size_t i, int64_t now_ms);
/* What mail found at i was the fault of its messages. */
void health_mail_forgive(struct health *, size_t i, int64_t now_ms);
/* The same as health_is_avoided(), where the last login was not judged: none is sent there but by a probe. */
bool health_is_login_avoided(const struct health *, size_t i, int64_t now_ms);
/* The endpoints to race, best first; returns how many. */
size_t health_race_order(const struct health *, int64_t now_ms, size_t order[HEALTH_ENDPOINTS_MAX]);
/* May a session be opened now: account available, and some endpoint eligible or to be raced? */
bool health_is_open(struct health *, int64_t now_ms);

/* Is the quota used up, or is no mail taken after a login? Then open sessions get none either. */
bool health_holds_mail(const struct health *, int64_t now_ms);

/*
 * Is mail to go to another relay, where there is one: the login is refused, the account rests
 * for more than a short while, or no endpoint is usable?
 */
bool health_is_out(struct health *, int64_t now_ms);
enum health_standing {
	STANDING_OUT,
	STANDING_UNSURE,	/* not out, but no endpoint is known to work */
	STANDING_IN
};
enum health_standing health_standing(struct health *, int64_t now_ms);
bool health_has_usable(const struct health *);	/* some endpoint may carry mail */

/* The probe plan. */
struct health_probe {
	int	endpoint;	/* -1: none planned */
	int64_t	at_ms;		/* may be in the past: at once */
	bool	login;		/* log in as well */
};
void health_next_probe(struct health *, int64_t now_ms, struct health_probe *out);
void health_probe_started(struct health *, size_t i, int64_t now_ms);
void health_race_started(struct health *, int64_t now_ms);	/* counts like one probe */
void health_probe_now(struct health *);				/* all endpoints, soon */
/* An address, a route or the DNS answer changed, or the host woke up. */
void health_network_changed(struct health *, int64_t now_ms);
/* The trusted certificates: endpoints that are blocked by one are tried anew, at once. */
void health_trust_changed(struct health *, int64_t now_ms);
/* Account and endpoints may be used again: the administrator says so. */
void health_unblock(struct health *, int64_t now_ms);
/* Shortens the back-off while nothing is usable. */
void health_mail_waits(struct health *, bool);

/* What status and ports show. */
struct endpoint_view {
	enum endpoint_state	 state;
	bool			 suspect;
	bool			 current;
	bool			 mail_failed;	/* there, last */
	bool			 by_mail;	/* and no other failure was found there since */
	int64_t			 ready_ms;	/* smoothed; -1: never */
	int64_t			 since_ms;	/* monotonic, of this state */
	int64_t			 last_probe_ms;	/* or race; monotonic; -1: never */
	int64_t			 last_success_ms;
	int64_t			 next_probe_ms;	/* -1: none planned */
	enum health_class	 last_class;	/* of the last sample */
	enum health_class	 why_class;	/* that brought it into this state */
	const char		*detail;	/* of why_class; never NULL, valid until the next note */
};
void health_endpoint(const struct health *, size_t i, struct endpoint_view *out);
/* What the choice compares: more work than the view, which is asked for at every turn. */
struct endpoint_points {
	double	score;				/* 0 .. 100 */
	double	availability;			/* 0 .. 1, like the other inputs of the score: */
	double	quickness, stability, preference;
};
void health_points(const struct health *, size_t i, int64_t now_ms, struct endpoint_points *out);

struct account_view {
	enum account_state	 state;
	int64_t			 since_ms;
	int64_t			 until_ms;	/* -1: until something changes */
	enum health_class	 why_class;
	const char		*detail;
};
void health_account(const struct health *, int64_t now_ms, struct account_view *out);
/* The same state, or ACCOUNT_DOWN. */
enum account_state health_account_shown(const struct health *, int64_t now_ms);
/* What to do about the account's state: as exactly as the reply and the provider allow. */
const char *health_account_advice(const struct health *);

/* What outlives the process (relay/accounts.h). */
struct account_record {
	enum account_state	 state;		/* never down */
	unsigned		 step;		/* of the state's ladder */
	enum health_class	 class;
	int64_t			 lasts_ms, left_ms;	/* as a whole; from now on */
	char			 detail[HEALTH_DETAIL_MAX];
};
/* The pause after so many logins (at least one) in a row that nobody judged, but for some jitter. */
int64_t health_unjudged_ms(unsigned n);
/* A login that is just being tried after a block counts as refused: it may be. */
void health_account_save(const struct health *, int64_t now_ms, struct account_record *out);
/* A state from before, or from another relay with the same login. */
void health_account_restore(struct health *, int64_t now_ms, const struct account_record *);

/* Not while the account is paused, exhausted or blocked, but for the probe whose login may end a block. */
bool health_login_allowed(const struct health *, int64_t now_ms);

/*
 * What only all ports together show (health/diagnosis.h): said in place of the class's sentence. "": nothing.
 * advice is kept as a pointer. True if it is another one than before.
 */
bool health_set_remark(struct health *, size_t i, const char *meaning, const char *advice);
/* One sentence on the endpoint's state, without its detail; what to do about it, "" if nothing. */
bool health_why(const struct health *, size_t i, struct buf *out) must_use;
const char *health_advice(const struct health *, size_t i);
/* Why it is the chosen endpoint, or why it is not and what would make it so. */
bool health_why_chosen(const struct health *, size_t i, int64_t now_ms, struct buf *out) must_use;
/* So many voluntary switches within an hour that there are no more for now. */
bool health_is_flapping(const struct health *, int64_t now_ms);

/* Changes worth a log line, oldest first; the oldest are dropped beyond HEALTH_EVENTS_MAX. */
#define HEALTH_EVENTS_MAX 32
enum health_event_kind {
	HEALTH_ENDPOINT_UP, HEALTH_ENDPOINT_DEGRADED, HEALTH_ENDPOINT_DOWN, HEALTH_ENDPOINT_BLOCKED,
	HEALTH_ROUTE_CHANGED,		/* endpoint, from, reason */
	HEALTH_RELAY_DOWN, HEALTH_RELAY_UP,	/* no endpoint usable; one is again */
	HEALTH_FLAPPING,
	HEALTH_ACCOUNT_AVAILABLE, HEALTH_ACCOUNT_PAUSED, HEALTH_ACCOUNT_EXHAUSTED,
	HEALTH_ACCOUNT_BLOCKED,
	HEALTH_DETOUR, HEALTH_DETOUR_OVER,	/* endpoint, from; of whoever sends the mail, never of health */
	HEALTH_EVENT_COUNT
};
const char *health_event_word(enum health_event_kind);	/* "endpoint-up", "route-changed" ... */

struct health_event {
	enum health_event_kind	kind;
	int			endpoint;	/* -1: none */
	int			from;		/* ROUTE_CHANGED: the one before, or -1 */
	enum choice_reason	reason;		/* ROUTE_CHANGED */
	enum health_class	class;		/* what caused it */
	const char		*advice;	/* never NULL */
	int64_t			at_ms, until_ms;	/* until: of a pause or block; -1: none */
	char			detail[HEALTH_DETAIL_MAX];
};
/* False when there is none. */
bool health_next_event(struct health *, struct health_event *out) must_use;

#endif
