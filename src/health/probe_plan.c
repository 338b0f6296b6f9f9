/* SPDX-License-Identifier: BSD-2-Clause */
/* When to look at which endpoint. */
#include "health/health_impl.h"

#include "base/require.h"

#include "base/banned.h"

#define JITTER		20			/* percent */
#define GAP_MS		SECONDS(5)		/* between two probes */
#define URGENT_GAP_MS	SECONDS(1)
#define WAITING_CAP_MS	MINUTES(3)		/* while mail waits and none is usable */
#define FORGET_MS	MINUTES(5)		/* a probe that nobody reported */
#define LOGIN_MS	HOURS(24)

/* The given step, or the last one. */
#define STEP(ladder, at) ((ladder)[(at) < lengthof(ladder) ? (at) : lengthof(ladder) - 1])

/* --- plan of one endpoint ------------------------------------------------ */

static int64_t
interval_in_use(const struct health *h, size_t i, int64_t now_ms)
{
	bool first = (int)i == health_preferred(h);

	if (h->quiet && now_ms - h->mail_ms >= NO_MAIL_MS)
		return first ? HOURS(1) : NEVER;
	if (h->ep[i].state == EP_DEGRADED || h->ep[i].state == EP_RECOVERING)
		return MINUTES(3);
	if ((int)i == h->current)
		return MINUTES(10);
	if (first)
		return MINUTES(5);
	return h->quiet ? MINUTES(60) : MINUTES(15);
}

static int64_t
interval_of(const struct health *h, size_t i, int64_t now_ms)
{
	static const int64_t fast[] = { SECONDS(5), SECONDS(15), SECONDS(30) };
	static const int64_t down[] = { SECONDS(30), MINUTES(1), MINUTES(2), MINUTES(4), MINUTES(8),
		MINUTES(15) };
	const struct endpoint *ep = &h->ep[i];

	if (ep->logins_failed != 0 && endpoint_is_usable(ep))
		return interval_in_use(h, i, now_ms);	/* to hurry would show nothing without a login */
	switch (ep->state) {
	case EP_OFF:
		return NEVER;
	case EP_DOWN:
		return STEP(down, ep->backoff);
	case EP_BLOCKED:
		return MINUTES(15);
	case EP_PROBING:
		/* It answers, and another one is to show whether mail passes. */
		if (ep->mail_failing != 0 && now_ms >= ep->mail_ms && !by_mail_may_recover(h, ep, now_ms))
			return interval_in_use(h, i, now_ms);
		return SECONDS(10);
	case EP_RECOVERING:
		return SECONDS(10);
	case EP_UNKNOWN:
	case EP_UP:
	case EP_DEGRADED:
	case EP_STATE_COUNT:
		break;
	}
	return ep->suspect ? STEP(fast, ep->fast) : interval_in_use(h, i, now_ms);
}

void
probe_plan(struct health *h, size_t i, int64_t now_ms)
{
	struct endpoint *ep = &h->ep[i];
	int64_t interval_ms = interval_of(h, i, now_ms);

	if (ep->urgent && ep->next_ms != NEVER)
		return;		/* it is about to be probed anyway */
	ep->next_ms = interval_ms == NEVER ? NEVER
	    : now_ms + rng_jitter(h->rng, interval_ms, JITTER);
	/* It answers; the next that shows anything is mail. */
	if (ep->state == EP_PROBING && ep->mail_failing != 0 && ep->mail_ms > ep->next_ms)
		ep->next_ms = ep->mail_ms;
	/* Of the login's own time; to one that is blocked for it nothing else shows anything. */
	if (ep->logins_failed != 0 && ep->login_ms > now_ms &&
	    (ep->state == EP_BLOCKED || ep->login_ms < ep->next_ms))
		ep->next_ms = ep->login_ms;
}

void
probe_login_failed(struct health *h, size_t i, enum health_class class, int64_t now_ms)
{
	static const int64_t not_taken[] = { HOURS(1), HOURS(6), HOURS(24) };
	struct endpoint *ep = &h->ep[i];
	int64_t ms = health_ends_logins(class) ? STEP(not_taken, ep->logins_failed) : MINUTES(10);

	ep->logins_failed++;
	ep->login_ms = now_ms + rng_jitter(h->rng, ms, JITTER);
}

/* Roles changed: never later than planned, except for the one in use. */
void
probe_plan_all(struct health *h, int64_t now_ms)
{
	for (size_t i = 0; i < h->n; i++) {
		int64_t planned = h->ep[i].next_ms;

		probe_plan(h, i, now_ms);
		if ((int)i != h->current && planned != NEVER && planned < h->ep[i].next_ms)
			h->ep[i].next_ms = planned;
	}
}

/* --- budget -------------------------------------------------------------- */

static bool
in_trouble(const struct health *h)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct endpoint *ep = &h->ep[i];

		if (ep->suspect || ep->urgent || ep->state == EP_UNKNOWN || ep->state == EP_DEGRADED ||
		    ep->state == EP_DOWN || ep->state == EP_PROBING || ep->state == EP_RECOVERING)
			return true;
	}
	return false;
}

/*
 * When the hour's budget allows the next probe. Calm begins an hour after trouble: counted
 * from its end, the probes of the trouble would leave none for the time after it.
 */
static int64_t
budget_from(struct health *h, int64_t now_ms)
{
	unsigned limit;
	int64_t oldest;

	if (in_trouble(h))
		h->trouble_ms = now_ms;
	limit = h->trouble_ms != NEVER && now_ms - h->trouble_ms < HOURS(1) ? BUDGET_TROUBLE : BUDGET_CALM;
	oldest = h->budget[(h->budget_at + BUDGET_TROUBLE - limit) % BUDGET_TROUBLE];

	return oldest == NEVER ? INT64_MIN : oldest + HOURS(1);
}

/* --- the next probe ------------------------------------------------------ */

/* When endpoint i wants to be probed, the rest of the world aside. */
static int64_t
wanted_at(const struct health *h, size_t i)
{
	const struct endpoint *ep = &h->ep[i];

	if (ep->next_ms != NEVER && (ep->state == EP_DOWN || ep->state == EP_BLOCKED) &&
	    ep->logins_failed == 0 && h->mail_waits && !h->usable &&
	    ep->probe_ms != NEVER && ep->probe_ms + WAITING_CAP_MS < ep->next_ms)
		return ep->probe_ms + WAITING_CAP_MS;
	return ep->next_ms;
}

/* While the account is blocked, one login after the timer decides; NEVER if none is wanted. */
static int64_t
login_at(const struct health *h)
{
	if (h->account.state == ACCOUNT_BLOCKED)
		return h->account.until_ms;
	if (h->account.state != ACCOUNT_AVAILABLE)
		return NEVER;
	if (h->login_due)
		return INT64_MIN;
	return h->login_ms == NEVER ? NEVER : h->login_ms + LOGIN_MS;
}

static bool
is_login_due(const struct health *h, size_t i, int64_t at_ms)
{
	const struct endpoint *ep = &h->ep[i];
	int64_t login_ms = login_at(h);

	if (ep->logins_failed != 0 && h->account.state == ACCOUNT_AVAILABLE)
		return at_ms >= ep->login_ms;
	return login_ms != NEVER && at_ms >= login_ms && endpoint_is_usable(ep);
}

static int
earliest(const struct health *h, int64_t *at)
{
	int best = -1;

	for (size_t i = 0; i < h->n; i++) {
		int64_t t = wanted_at(h, i);

		if (t == NEVER)
			continue;
		if (best < 0 || t < *at || (t == *at && (int)i == h->resumed)) {
			best = (int)i;
			*at = t;
		}
	}
	return best;
}

void
health_next_probe(struct health *h, int64_t now_ms, struct health_probe *out)
{
	struct health_probe p = { .endpoint = -1 };
	int64_t login_ms = login_at(h), from_ms = budget_from(h, now_ms);
	int login_on = health_best(h, -1, false, now_ms);

	*out = p;
	if (h->probing >= 0 && now_ms - h->probe_ms < FORGET_MS)
		return;
	p.endpoint = earliest(h, &p.at_ms);
	/* A block ends by a login alone: it may come before the port's own turn. */
	if (h->account.state == ACCOUNT_BLOCKED && login_on >= 0 &&
	    (p.endpoint < 0 || login_ms < p.at_ms || login_ms <= now_ms)) {
		p.endpoint = login_on;
		p.at_ms = login_ms;
	}
	if (p.endpoint < 0)
		return;
	if (h->probe_ms != NEVER) {
		int64_t gap_ms = h->ep[p.endpoint].urgent ? URGENT_GAP_MS : GAP_MS;

		if (p.at_ms < h->probe_ms + gap_ms)
			p.at_ms = h->probe_ms + gap_ms;
	}
	if (p.at_ms < from_ms)
		p.at_ms = from_ms;
	p.login = is_login_due(h, (size_t)p.endpoint, p.at_ms > now_ms ? p.at_ms : now_ms);
	*out = p;
}

static void
spend(struct health *h, int64_t now_ms)
{
	h->budget[h->budget_at] = now_ms;
	h->budget_at = (h->budget_at + 1) % BUDGET_TROUBLE;
}

void
health_race_started(struct health *h, int64_t now_ms)
{
	spend(h, now_ms);
}

void
health_probe_started(struct health *h, size_t i, int64_t now_ms)
{
	struct endpoint *ep;

	require(i < h->n);
	ep = &h->ep[i];
	if (is_login_due(h, i, now_ms)) {
		h->login_ms = now_ms;
		h->login_due = false;
		if (h->account.state == ACCOUNT_BLOCKED)
			account_try(h, now_ms);
	}
	h->probing = (int)i;
	h->probe_ms = ep->probe_ms = now_ms;
	spend(h, now_ms);
	ep->urgent = false;
	probe_plan(h, i, now_ms);	/* in case its result is never reported */
}

void
health_probe_now(struct health *h)
{
	for (size_t i = 0; i < h->n; i++) {
		struct endpoint *ep = &h->ep[i];

		if (ep->state == EP_OFF)
			continue;
		ep->urgent = true;
		ep->next_ms = 0;
	}
}
