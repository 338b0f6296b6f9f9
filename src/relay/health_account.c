/* SPDX-License-Identifier: BSD-2-Clause */
/* The account: what is true of all ports alike. */
#include "relay/health_impl.h"

#include "base/banned.h"

#define TRIAL_MS	MINUTES(10)	/* until the next, when a try showed nothing */
#define CONTINUED_MS	MINUTES(15)	/* a pause so soon after the last is one step longer */

struct ladder {
	const int64_t	*step_ms;
	size_t		 n;
};

static const int64_t throttled[] = { SECONDS(30), MINUTES(1), MINUTES(2), MINUTES(4), MINUTES(8),
	MINUTES(15) };
static const int64_t no_logins[] = { MINUTES(5), MINUTES(15), MINUTES(30), MINUTES(60) };
static const int64_t no_names[] = { SECONDS(5), SECONDS(10), SECONDS(20), SECONDS(40),
	SECONDS(60) };
static const int64_t refused[] = { HOURS(1), HOURS(6), HOURS(24) };

/* How long a finding stops the account; n = 0 if it does not. */
static struct ladder
ladder_of(enum health_class class)
{
	switch ((int)class) {
	case HEALTH_QUOTA:
	case HEALTH_DNS_NXDOMAIN:
		return (struct ladder){ throttled, lengthof(throttled) };
	case HEALTH_AUTH_TEMP:
		return (struct ladder){ no_logins, lengthof(no_logins) };
	case HEALTH_DNS_FAIL:
		return (struct ladder){ no_names, lengthof(no_names) };
	case HEALTH_AUTH_REFUSED:
		return (struct ladder){ refused, lengthof(refused) };
	default:
		return (struct ladder){ NULL, 0 };
	}
}

static void
stop(struct health *h, enum account_state to, const struct health_sample *s, int64_t now_ms)
{
	struct account *a = &h->account;
	struct ladder l = ladder_of(s->class);
	struct health_event *ev;
	bool continued = to == ACCOUNT_BLOCKED ? a->state == ACCOUNT_BLOCKED
	    : a->why == s->class && a->ended_ms != NEVER && now_ms - a->ended_ms < CONTINUED_MS;

	a->step = continued ? a->step + 1 : 0;
	if (a->step >= l.n)
		a->step = (unsigned)l.n - 1;
	if (a->state != to)
		a->since_ms = now_ms;
	a->state = to;
	a->until_ms = now_ms + rng_jitter(h->rng, l.step_ms[a->step], 10);
	a->why = s->class;
	a->canary = true;
	a->trial = false;
	health_copy_detail(a->detail, s->detail);
	ev = health_emit(h, to == ACCOUNT_BLOCKED ? HEALTH_ACCOUNT_BLOCKED : HEALTH_ACCOUNT_PAUSED,
	    -1, s->class, a->detail, now_ms);
	ev->until_ms = a->until_ms;
}

void
account_release(struct health *h, int64_t now_ms)
{
	struct account *a = &h->account;

	if (a->state == ACCOUNT_AVAILABLE)
		return;
	a->ended_ms = now_ms;
	a->since_ms = now_ms;
	a->until_ms = NEVER;
	a->trial = false;
	a->state = ACCOUNT_AVAILABLE;
	(void)health_emit(h, HEALTH_ACCOUNT_AVAILABLE, -1, a->why, NULL, now_ms);
}

void
account_tick(struct health *h, int64_t now_ms)
{
	if (h->account.state == ACCOUNT_PAUSED && now_ms >= h->account.until_ms)
		account_release(h, now_ms);
}

void
account_try(struct health *h, int64_t now_ms)
{
	h->account.trial = true;
	h->account.until_ms = now_ms + TRIAL_MS;
}

void
account_note(struct health *h, const struct health_sample *s, int64_t now_ms)
{
	struct account *a = &h->account;

	bool trial = a->trial && s->source == SAMPLE_PROBE;

	account_tick(h, now_ms);
	if (trial)
		a->trial = false;
	if (s->class == HEALTH_AUTH_REFUSED) {
		/* Blocked already: only the login that the timer allowed makes it longer. */
		if (a->state != ACCOUNT_BLOCKED || trial)
			stop(h, ACCOUNT_BLOCKED, s, now_ms);
		return;
	}
	if (ladder_of(s->class).n != 0) {
		if (a->state == ACCOUNT_AVAILABLE)
			stop(h, ACCOUNT_PAUSED, s, now_ms);
		return;
	}
	if (s->class != HEALTH_OK)
		return;
	/* A session that logged in before the block proves nothing; the probe after the timer does. */
	if (a->state == ACCOUNT_BLOCKED && trial && s->logged_in)
		account_release(h, now_ms);
	if (a->state == ACCOUNT_AVAILABLE && s->source == SAMPLE_DELIVERY)
		a->canary = false;
}

bool
health_login_allowed(const struct health *h, int64_t now_ms)
{
	const struct account *a = &h->account;

	if (a->state == ACCOUNT_BLOCKED && a->trial)
		return true;
	return a->state == ACCOUNT_AVAILABLE || now_ms >= a->until_ms;
}
