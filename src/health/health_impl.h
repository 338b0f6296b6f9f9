/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * health_impl - what the files of health share (doc/health.md).
 *
 * health.c keeps evidence and states, choose.c rates and chooses,
 * by_mail.c keeps what a probe can't refute,
 * account.c keeps the account, advice.c knows what is mostly wrong with
 * a login, probe_plan.c plans, view.c shows states, reason.c the choice.
 * Times are monotonic milliseconds; -1 is never.
 *
 * Invariants: current is -1 or an endpoint's index; probing likewise; next_ms
 * of an endpoint is -1 or the time of its next probe.
 */
#ifndef HEALTH_HEALTH_IMPL_H
#define HEALTH_HEALTH_IMPL_H

#include "health/health.h"

#define SECONDS(n)	((int64_t)(n) * 1000)
#define MINUTES(n)	SECONDS((int64_t)(n) * 60)
#define HOURS(n)	MINUTES((int64_t)(n) * 60)
#define NEVER		((int64_t)-1)

#define NO_MAIL_MS	HOURS(24)	/* quiet: probes rest after it */
#define VOLUNTARY_MAX	6	/* switches by choice within an hour */
#define MARGIN		10.0	/* points that count as better */
#define LEAD_MS		SECONDS(60)
#define MIN_STAY_MS	MINUTES(10)
#define RETURN_GOOD	0.90
#define BUDGET_CALM	24	/* probes an hour */
#define BUDGET_TROUBLE	90
#define LOST_AT		6	/* a hard failure counts 2, a soft one 1 */

enum endpoint_event {
	EV_SUCCESS, EV_PROVEN, EV_SOFT, EV_POOR, EV_HARD, EV_LOST, EV_CERTAIN, EV_BLOCK,
	EV_NETWORK, EV_UNBLOCK,
	EV_COUNT
};

struct endpoint {
	uint16_t		port;
	enum endpoint_state	state;
	int64_t			since_ms;
	bool			suspect;
	bool			urgent;		/* its next probe is one of a round at once */

	double			availability;	/* as of sampled_ms; see availability_now() */
	double			prior;
	int64_t			sampled_ms;
	double			ready_ms;	/* smoothed; -1: never */
	double			flap;		/* as of flap_ms */
	int64_t			flap_ms;

	unsigned		failing;	/* half failures in a row */
	unsigned		blocking;	/* findings of severity block since the last success */
	unsigned		logins_failed;	/* not judged, in a row: then only a login is a success */
	int64_t			login_ms;	/* while there are such: when a probe may try the next */
	unsigned		mail_failing;	/* half failures that mail found, in a row: only mail clears them */
	unsigned		mail_failures;	/* how many they were */
	int64_t			mail_failed_ms;	/* the last one */
	int64_t			mail_seen_ms;	/* the same, also of those that did not count */
	const char		*overdue;	/* the step of a session whose reply is; NULL: none */
	int64_t			doubted_ms;	/* when the last doubt began; NEVER */
	int64_t			mail_ms;	/* while there are such: when mail may try the endpoint again */
	unsigned		successes;	/* since it entered the state */
	unsigned		probe_successes;
	unsigned		backoff;	/* step of the interval while down */
	unsigned		fast;		/* step of the interval while suspect */

	int64_t			ramp_ms;	/* slow start began; NEVER: none */
	int64_t			clean_ms;	/* up without suspicion since; NEVER: is not */
	int64_t			success_ms, failed_ms, probe_ms;
	int64_t			shown_ms;	/* a probe or race showed how it is; NEVER */
	int64_t			next_ms;
	enum health_class	last, why;
	char			remark[HEALTH_REMARK_MAX];	/* "": none */
	const char		*remark_advice;
	char			detail[HEALTH_DETAIL_MAX];
};

enum account_event {
	AC_WORKED,		/* the login that the timer after a block allowed */
	AC_REST,		/* a finding that pauses */
	AC_USED_UP,
	AC_REFUSED,
	AC_STILL_REFUSED,	/* that login again */
	AC_TIME,		/* it is over */
	AC_RELEASE,		/* the administrator */
	AC_COUNT
};

struct account {
	enum account_state	state;
	int64_t			since_ms, until_ms;
	unsigned		step;		/* of the ladder */
	int64_t			ended_ms;	/* of the last pause */
	bool			canary;		/* one session until one succeeds */
	bool			trial;		/* blocked: a probe logs in to see */
	enum health_class	why;
	char			detail[HEALTH_DETAIL_MAX];
};

struct health {
	struct rng		*rng;
	struct endpoint		 ep[HEALTH_ENDPOINTS_MAX];
	size_t			 n;
	bool			 quiet;
	unsigned		 sessions_max;
	const char		*host, *user;	/* "" : none */
	bool			 mail_waits;
	bool			 usable;	/* some endpoint is; for the events */
	struct account		 account;
	int64_t			 mail_lost_ms;	/* one message has failed everywhere; NEVER: not so */

	/* choice */
	int			 current;
	int64_t			 current_ms;	/* since */
	int			 resumed;	/* current in the run before, and nothing is known of it since; or -1 */
	int			 leader;	/* leads by more than the margin */
	int64_t			 leader_ms;
	int64_t			 voluntary[VOLUNTARY_MAX];	/* ring of times */
	unsigned		 voluntary_at;
	int64_t			 returned_ms;	/* last switch by "return" */
	int64_t			 left_ms;	/* the first listed was left */
	int64_t			 return_hold_ms;

	/* probes */
	int			 probing;	/* under way; -1: none */
	int64_t			 probe_ms;	/* the last one began */
	int64_t			 trouble_ms;	/* some endpoint was in trouble; NEVER */
	int64_t			 budget[BUDGET_TROUBLE];	/* ring of times */
	unsigned		 budget_at;
	int64_t			 login_ms;	/* last login or try of one */
	bool			 login_due;
	int64_t			 network_ms;
	int64_t			 mail_ms;	/* last sign of mail */

	struct health_event	 event[HEALTH_EVENTS_MAX];
	unsigned		 event_first, event_n;
};

/* The tables: which state follows. */
enum endpoint_state endpoint_next_state(enum endpoint_state, enum endpoint_event);
enum account_state account_next_state(enum account_state, enum account_event);
void endpoint_apply(struct health *, size_t i, enum endpoint_event, int64_t now_ms);

static inline bool
endpoint_is_usable(const struct endpoint *ep)
{
	return ep->state == EP_UNKNOWN || ep->state == EP_UP || ep->state == EP_DEGRADED ||
	    ep->state == EP_RECOVERING;
}

/* It worked, as far as we know. */
static inline bool
endpoint_is_tried(const struct endpoint *ep)
{
	return endpoint_is_usable(ep) && ep->state != EP_UNKNOWN;
}

/* Mail goes elsewhere if it can. */
static inline bool
endpoint_is_doubted(const struct endpoint *ep, int64_t now_ms)
{
	return ep->suspect || ep->overdue != NULL || (ep->mail_failing != 0 && now_ms < ep->mail_ms);
}

/* Before what makes it doubted. */
static inline void
endpoint_doubt(struct endpoint *ep, int64_t now_ms)
{
	if (!endpoint_is_doubted(ep, now_ms))
		ep->doubted_ms = now_ms;
}

/* What people are told. */
static inline bool
endpoint_is_suspect(const struct endpoint *ep)
{
	return endpoint_is_usable(ep) && (ep->suspect || ep->overdue != NULL || ep->mail_failing != 0);
}

enum choice_reason health_why_anew(const struct health *);	/* of a choice without a current endpoint that works */
int health_preferred(const struct health *);	/* first listed that is not off; -1: all are */
/* The first listed is in use again, and fails already: who is to take its place again, or -1. */
int health_undo_return(const struct health *, int64_t now_ms);
/* The best usable endpoint but one (-1: none excepted), or -1. */
int health_best(const struct health *, int except, bool suspects_too, int64_t now_ms);

double availability_now(const struct endpoint *, int64_t now_ms);
double endpoint_score(const struct health *, size_t i, int64_t now_ms, struct endpoint_points *parts);
void endpoint_flapped(struct endpoint *, int64_t now_ms);

void by_mail_failed(struct health *, struct endpoint *, const struct health_sample *, int64_t now_ms);
void by_mail_forget(struct endpoint *);
/* Mail has failed at each endpoint that is usable: there may be nothing wrong with any of them. */
bool by_mail_is_everywhere(const struct health *);
/* After that: if there is no way left, all go down, and wait in turn. */
void by_mail_down(struct health *, size_t i, const struct health_sample *, int64_t now_ms);
void by_mail_tick(struct health *, int64_t now_ms);	/* the same, when one message alone had failed */
/* Probing: a probe that succeeds is enough for recovering. */
bool by_mail_may_recover(const struct health *, const struct endpoint *, int64_t now_ms);

void account_note(struct health *, size_t i, const struct health_sample *, int64_t now_ms);
bool account_is_over(const struct account *, int64_t now_ms);
void account_tick(struct health *, int64_t now_ms);	/* what is over ends */
void account_try(struct health *, int64_t now_ms);	/* a probe that logs in begins */
void account_release(struct health *, int64_t now_ms);
const char *account_advice(const struct health *, enum health_class, const char *detail);

void probe_plan(struct health *, size_t i, int64_t now_ms);	/* sets ep[i].next_ms */
void probe_login_failed(struct health *, size_t i, enum health_class, int64_t now_ms);	/* sets ep[i].login_ms */
void probe_plan_all(struct health *, int64_t now_ms);

/* Without detail; fill in the rest of what is returned. */
struct health_event *health_emit(struct health *, enum health_event_kind, int endpoint,
    enum health_class, const char *detail, int64_t now_ms);
void health_copy_detail(char out[HEALTH_DETAIL_MAX], const char *detail);

#endif
