/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * month - days of a relay with two smarthosts of three ports each in bad weather: all of
 * what comes follows from the seed (tests/sim/README).
 *
 * weather says what each port does and when, judge watches, month lives it.
 */
#ifndef SIM_MONTH_H
#define SIM_MONTH_H

#include "relay/relay_impl.h"
#include "sim/world.h"
#include "twin/tls.h"

#define RELAYS		2
#define MAILS_MAX	20000		/* in a month */
/* Message 17 is from alice+000017 to bob+000017. */
#define MONTH_FROM	"alice"
#define MONTH_RCPT	"bob"
#define PROBES_MAX	90		/* an hour, of a relay, whatever happens */

/* --- weather --------------------------------------------------------------- */

/* What a port does; all up to LAST_DEAD fail every new session. */
enum sky {
	SKY_REFUSED, SKY_FILTERED, SKY_MUTE, SKY_NO_ROUTE, SKY_DENIED, SKY_BANNER_4XX, SKY_BANNER_5XX,
	SKY_BANNER_CUT, SKY_STRIPPED, SKY_WRONG_MODE, SKY_CERT_NAME, SKY_CERT_EXPIRED,
	SKY_CERT_UNTRUSTED, SKY_TLS_BROKEN, SKY_NO_AUTH,
	SKY_LAST_DEAD = SKY_NO_AUTH,
	SKY_LOSSY,		/* connections are cut, or end in silence, at any step */
	SKY_SLOW, SKY_RESETS,
	SKY_PUTS_OFF, SKY_REFUSES,	/* 4xx and 5xx for messages */
	SKY_CLEAR,
	SKY_COUNT
};

enum account_sky { ACCOUNT_GOOD, ACCOUNT_WRONG_PASSWORD, ACCOUNT_NO_LOGINS, ACCOUNT_SLOW_DOWN };

struct port {
	struct smarthost *host;
	size_t		 relay, index;
	enum sky	 own;		/* of this port alone */
	unsigned	 percent;	/* of SKY_LOSSY, SKY_PUTS_OFF, SKY_REFUSES: steps that meet it */
	bool		 dots_alone;	/* SKY_LOSSY: only the final dot is met */
	unsigned	 outages;	/* of its relay or of the network */
	enum sky	 outage;
	enum sky	 now;
	int64_t		 changed_ms;	/* to that */
	struct timer	 reset;		/* of SKY_RESETS */
	struct month	*m;
};

enum spell_kind { SPELL_PORT, SPELL_ACCOUNT, SPELL_RELAY, SPELL_NETWORK, SPELL_NAMES };

/* Something that begins and ends again and again. */
struct spell {
	struct month	*m;
	enum spell_kind	 kind;
	size_t		 relay, port;
	int64_t		 calm_ms, longest_ms;	/* means how often, and how long at most */
	struct timer	 timer, flap;
	bool		 on, flapped;
	bool		 awaited;		/* mail is there to meet it */
	bool		 daily;			/* the same every day from now on */
	int64_t		 lasts_ms, flap_ms;	/* flap_ms 0: it does not */
	enum sky	 sky;
};

#define SPELLS (RELAYS * PORTS + 2 * RELAYS + 2)

struct weather {
	struct rng	 rng;
	struct port	 port[RELAYS][PORTS];
	enum account_sky account[RELAYS];
	struct spell	 spell[SPELLS];
	size_t		 nspell;
	bool		 over;		/* fair for good */
};

void weather_start(struct month *);
/* Fair from now on. */
void weather_end(struct month *);
bool weather_is_dead(const struct port *);

/* --- judge ------------------------------------------------------------------- */

struct judged_mail {
	spool_id	 id;		/* 0: not acknowledged */
	int64_t		 acked_ms;
	bool		 refused;	/* for good, by a smarthost */
	bool		 expired;
	bool		 bounce_lost;	/* refused, or expired: nobody is told */
};

struct judged_port {
	int64_t		 clear_ms;	/* all is well with it since; NEVER_MS: it is not */
	int64_t		 dead_ms;	/* no session can succeed since; NEVER_MS */
	unsigned	 wasted;	/* sessions for mail begun since */
};

#define MOVING_MAX 32

/* Messages that were in sessions at a port when its path died. */
struct moving {
	struct month	*m;
	struct timer	 timer;
	size_t		 relay, port, other;
	int64_t		 since_ms;
	spool_id	 id[MOVING_MAX];
	size_t		 n;
};

struct judged_relay {
	struct judged_port port[PORTS];
	int64_t		 account_ms;	/* the account is well since; NEVER_MS */
	int64_t		 probe[PROBES_MAX];	/* ring of times */
	unsigned	 probe_at;
	int64_t		 probe_ms;	/* the last one, that is no race; NEVER_MS */
	unsigned long	 probes, races;
	int64_t		 trouble_ms;	/* some port was not well; NEVER_MS */
	int64_t		 voluntary[6];
	unsigned	 voluntary_at;
	int64_t		 left_ms, left_before_ms;	/* the preferred port; NEVER_MS */
	int64_t		 returned_ms, last_return_ms;	/* before it was left; at all */
	int64_t		 refused_ms;	/* the last login; NEVER_MS */
	int64_t		 logins_ms;	/* the minute in which logins are counted begins */
	unsigned	 logins;
	unsigned	 refusals;	/* in a row */
	struct moving	 moving;
};

struct judge {
	struct judged_relay relay[RELAYS];
	struct judged_mail mail[MAILS_MAX];
	unsigned	 nmail;
	int64_t		 urgent_ms;	/* a round of probes at once was due */
	int64_t		 crash_ms[64];
	unsigned	 ncrash;
	unsigned long	 sessions, wasted, moved, returns, switches, repeats;
	struct timer	 minute;
	char		 verdict[400];	/* "" while all is well */
	int64_t		 verdict_ms;
};

#define NEVER_MS INT64_MIN

void judge_start(struct month *);
void judge_stop(struct month *);
/* Relay was started anew: what it knew is gone. */
void judge_restarted(struct month *);
/* Called after every turn of the loop. True: a rule is broken. */
bool judge_turn(void *month);
/* When all is over and the queue should be empty. */
void judge_end(struct month *);
void judge_weather(struct month *);		/* it has changed */
void judge_mail(struct month *, unsigned n);	/* it was given */
void judge_durable(struct month *, unsigned n, spool_id);
/* A smarthost is about to say 5xx in this message's transaction; false: it can't be told which. */
bool judge_refused(struct month *, struct view line);
void judge_login(struct month *, const struct port *, bool refused);	/* a login is there */
void judge_line(struct month *, const char *line);
void judge_expired(struct month *, const char *line);
void judge_broken(struct month *, const char *rule, const char *fmt, ...) printf_like(3, 4);

/* --- month --------------------------------------------------------------------- */

#define LAST_LINES 40

struct month {
	struct world	 w;
	uint64_t	 seed;
	bool		 storm;			/* ten times as much goes wrong */
	int64_t		 began_ms;
	struct twin_tls	 tls;			/* if tls_used */
	bool		 tls_used;
	struct smarthost more[PORTS - 1];	/* of the second relay; the first port is w.backup */
	struct weather	 weather;
	struct judge	 judge;
	struct rng	 rng;
	struct timer	 mail, restart;
	unsigned	 burst;			/* messages that come in quick succession */
	int64_t		 gap_ms;		/* mean, between messages */
	bool		 restart_now;
	unsigned	 first;			/* message of this channel's first transaction */
	uint32_t	 trace;
	struct { int64_t at_ms; char text[240]; } last[LAST_LINES];
	unsigned	 nlast;
};

struct month *month_new(uint64_t seed, bool storm);
void month_free(struct month *);
/* Keys, certificates and contexts for months with OpenSSL. */
struct month_tls;
struct month_tls *month_tls_new(void);
void month_tls_free(struct month_tls *);
/* In place of the stand-in; before month_live(). */
void month_use_tls(struct month *, const struct month_tls *);
/* Live so many days, then two quiet hours or so. False: see judge.verdict. */
bool month_live(struct month *, unsigned days);
void month_traffic(struct month *, unsigned n);	/* so many messages in quick succession */
/* Relay is killed and started again, soon. */
void month_wants_restart(struct month *, int64_t in_ms);
void month_trace(struct month *, const void *p, size_t n);
void month_print(const struct month *);		/* what went wrong, and the last lines of the log */
static inline int64_t
month_now(const struct month *m)
{
	return m->w.loop.loop.now_ms;
}

#endif
