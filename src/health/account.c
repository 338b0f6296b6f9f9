/* SPDX-License-Identifier: BSD-2-Clause */
/* The account: what is true of all ports alike. */
#include "health/health_impl.h"

#include "base/require.h"
#include "health/quota.h"

#include "base/banned.h"

#define TRIAL_MS	MINUTES(10)	/* until the next, when a try showed nothing */
#define CONTINUED_MS	MINUTES(15)	/* a pause so soon after the last is one step longer */
#define SPREAD_MS	MINUTES(5)	/* not all hosts come back at midnight sharp */

/* --- states -------------------------------------------------------------- */

#define AVL ACCOUNT_AVAILABLE
#define PAU ACCOUNT_PAUSED
#define EXH ACCOUNT_EXHAUSTED
#define BLK ACCOUNT_BLOCKED

/* Down is no state of its own: what is shown of available when no endpoint is usable. */
static const unsigned char next_state[ACCOUNT_DOWN][AC_COUNT] = {
	/*			worked rest used_up refused still time release */
	[ACCOUNT_AVAILABLE] = { AVL,   PAU, EXH,    BLK,    BLK,  AVL, AVL },
	[ACCOUNT_PAUSED] =    { PAU,   PAU, EXH,    BLK,    BLK,  AVL, AVL },
	[ACCOUNT_EXHAUSTED] = { EXH,   EXH, EXH,    BLK,    BLK,  AVL, AVL },
	[ACCOUNT_BLOCKED] =   { AVL,   BLK, BLK,    BLK,    BLK,  BLK, AVL },
};

enum account_state
account_next_state(enum account_state s, enum account_event ev)
{
	require((unsigned)s < ACCOUNT_DOWN && (unsigned)ev < AC_COUNT);
	return (enum account_state)next_state[s][ev];
}

/* --- how long -------------------------------------------------------------- */

struct ladder {
	const int64_t	*step_ms;
	size_t		 n;
};

static const int64_t throttled[] = { SECONDS(30), MINUTES(1), MINUTES(2), MINUTES(4), MINUTES(8),
	MINUTES(15) };
static const int64_t no_logins[] = { MINUTES(5), MINUTES(15), MINUTES(30), MINUTES(60) };
static const int64_t no_mail[] = { SECONDS(30), MINUTES(1), MINUTES(2), MINUTES(4), MINUTES(5) };
static const int64_t no_names[] = { SECONDS(5), SECONDS(10), SECONDS(20), SECONDS(40),
	SECONDS(60) };
static const int64_t refused[] = { HOURS(1), HOURS(6), HOURS(24) };

/* How long a finding stops the account; n = 0 if it does not, or by another rule. */
static struct ladder
ladder_of(enum health_class class)
{
	switch ((int)class) {
	case HEALTH_QUOTA:
	case HEALTH_DNS_NXDOMAIN:
	case HEALTH_AUTH_UNANSWERED:
	case HEALTH_AUTH_NOT_TAKEN:
	case HEALTH_AUTH_UNPROVEN:
		return (struct ladder){ throttled, lengthof(throttled) };
	case HEALTH_AUTH_TEMP:
		return (struct ladder){ no_logins, lengthof(no_logins) };
	case HEALTH_MAIL_DENIED:
		return (struct ladder){ no_mail, lengthof(no_mail) };
	case HEALTH_DNS_FAIL:
		return (struct ladder){ no_names, lengthof(no_names) };
	case HEALTH_AUTH_REFUSED:
		return (struct ladder){ refused, lengthof(refused) };
	default:
		return (struct ladder){ NULL, 0 };
	}
}

static int64_t
refused_ms(unsigned step)
{
	return refused[step < lengthof(refused) ? step : lengthof(refused) - 1];
}

int64_t
health_unjudged_ms(unsigned n)
{
	return throttled[n <= lengthof(throttled) ? n - 1 : lengthof(throttled) - 1];
}

/* Does it go on from the last time, one step longer? */
static bool
continues(const struct account *a, enum account_state to, enum health_class class, int64_t now_ms)
{
	switch (to) {
	case ACCOUNT_BLOCKED:
		return a->state == ACCOUNT_BLOCKED;
	case ACCOUNT_EXHAUSTED:
		return a->why == class && a->canary;	/* no mail has passed since */
	default:
		return a->why == class && a->ended_ms != NEVER && now_ms - a->ended_ms < CONTINUED_MS;
	}
}

static unsigned
step_of(const struct account *a, enum account_state to, const struct health_sample *s, int64_t now_ms)
{
	/* These are counted over all ports and restarts. */
	if (health_is_unjudged(s->class))
		return s->unjudged > 1 ? s->unjudged - 1 : 0;
	return continues(a, to, s->class, now_ms) ? a->step + 1 : 0;
}

static int64_t
rest_ms(struct health *h, const struct health_sample *s)
{
	struct account *a = &h->account;
	struct ladder l = ladder_of(s->class);

	if (l.n == 0)
		return quota_rest_ms(a->detail, s->wall_ms, a->step) +
		    (int64_t)rng_below(h->rng, SPREAD_MS);
	if (a->step >= l.n)
		a->step = (unsigned)l.n - 1;
	return rng_jitter(h->rng, l.step_ms[a->step], 10);
}

/* --- the one place where it changes ------------------------------------------ */

static void
tell(struct health *h, int64_t now_ms)
{
	static const enum health_event_kind kinds[ACCOUNT_DOWN] = {
		[ACCOUNT_AVAILABLE] = HEALTH_ACCOUNT_AVAILABLE, [ACCOUNT_PAUSED] = HEALTH_ACCOUNT_PAUSED,
		[ACCOUNT_EXHAUSTED] = HEALTH_ACCOUNT_EXHAUSTED, [ACCOUNT_BLOCKED] = HEALTH_ACCOUNT_BLOCKED,
	};
	const struct account *a = &h->account;
	/* What is over needs no words about what it was. */
	enum health_class why = a->state == ACCOUNT_AVAILABLE ? HEALTH_OK : a->why;
	struct health_event *ev = health_emit(h, kinds[a->state], -1, why,
	    why == HEALTH_OK ? NULL : a->detail, now_ms);

	ev->until_ms = a->until_ms;
	ev->advice = account_advice(h, why, a->detail);
}

static void
stop(struct health *h, enum account_state to, const struct health_sample *s, int64_t now_ms)
{
	struct account *a = &h->account;

	a->step = step_of(a, to, s, now_ms);
	if (a->state != to)
		a->since_ms = now_ms;
	a->state = to;
	a->why = s->class;
	a->canary = true;
	a->trial = false;
	health_copy_detail(a->detail, s->detail);
	a->until_ms = now_ms + rest_ms(h, s);
	tell(h, now_ms);
}

static void
release(struct health *h, int64_t now_ms)
{
	struct account *a = &h->account;

	a->ended_ms = now_ms;
	a->since_ms = now_ms;
	a->until_ms = NEVER;
	a->trial = false;
	a->state = ACCOUNT_AVAILABLE;
	tell(h, now_ms);
}

static void
apply(struct health *h, enum account_event ev, const struct health_sample *s, int64_t now_ms)
{
	enum account_state from = h->account.state, to = account_next_state(from, ev);

	if (to == ACCOUNT_AVAILABLE) {
		if (from != ACCOUNT_AVAILABLE)
			release(h, now_ms);
	} else if (to != from || ev == AC_STILL_REFUSED) {
		stop(h, to, s, now_ms);
	}
}

/* --- what happens ------------------------------------------------------------ */

bool
account_is_over(const struct account *a, int64_t now_ms)
{
	return a->state != ACCOUNT_AVAILABLE && now_ms >= a->until_ms &&
	    account_next_state(a->state, AC_TIME) == ACCOUNT_AVAILABLE;
}

void
account_release(struct health *h, int64_t now_ms)
{
	apply(h, AC_RELEASE, NULL, now_ms);
}

void
account_tick(struct health *h, int64_t now_ms)
{
	if (account_is_over(&h->account, now_ms))
		apply(h, AC_TIME, NULL, now_ms);
}

void
account_try(struct health *h, int64_t now_ms)
{
	h->account.trial = true;
	h->account.until_ms = now_ms + TRIAL_MS;
}

/* The first login that nobody judges may be the fault of its port, if there is another to show that. */
static bool
may_be_the_port(const struct health *h, size_t i, const struct health_sample *s, int64_t now_ms)
{
	return health_is_unjudged(s->class) && s->unjudged <= 1 && health_best(h, (int)i, false, now_ms) >= 0;
}

/* AC_COUNT: nothing that concerns the account. trial: it is what the login after a block showed. */
static enum account_event
event_of(const struct health_sample *s, bool trial)
{
	if (s->class == HEALTH_AUTH_REFUSED)
		return trial ? AC_STILL_REFUSED : AC_REFUSED;
	if (s->class == HEALTH_QUOTA_USED_UP)
		return AC_USED_UP;
	if (ladder_of(s->class).n != 0)
		return AC_REST;
	/* A session that logged in before the block proves nothing; the probe after the timer does. */
	return s->class == HEALTH_OK && trial && s->logged_in ? AC_WORKED : AC_COUNT;
}

/* The login after a block is as good as refused if nobody judged it; the words stay those of the refusal. */
static void
put_off(struct health *h, int64_t now_ms)
{
	struct account *a = &h->account;

	a->step++;
	a->until_ms = now_ms + rng_jitter(h->rng, refused_ms(a->step), 10);
}

void
account_note(struct health *h, size_t i, const struct health_sample *s, int64_t now_ms)
{
	struct account *a = &h->account;
	bool trial = a->trial && s->source == SAMPLE_PROBE;
	enum account_event ev = event_of(s, trial);

	account_tick(h, now_ms);
	if (trial)
		a->trial = false;
	if (trial && health_is_unjudged(s->class))
		put_off(h, now_ms);
	else if (ev != AC_COUNT && !may_be_the_port(h, i, s, now_ms))
		apply(h, ev, s, now_ms);
	if (s->class == HEALTH_OK && a->state == ACCOUNT_AVAILABLE && s->source == SAMPLE_DELIVERY)
		a->canary = false;
}

bool
health_holds_mail(const struct health *h, int64_t now_ms)
{
	const struct account *a = &h->account;

	return (a->state == ACCOUNT_EXHAUSTED || (a->state == ACCOUNT_PAUSED && a->why == HEALTH_MAIL_DENIED)) &&
	    !account_is_over(a, now_ms);
}

bool
health_login_allowed(const struct health *h, int64_t now_ms)
{
	const struct account *a = &h->account;

	if (a->state == ACCOUNT_BLOCKED && a->trial)
		return true;
	return a->state == ACCOUNT_AVAILABLE || now_ms >= a->until_ms;
}

/* --- across restarts ----------------------------------------------------------- */

void
health_account_save(const struct health *h, int64_t now_ms, struct account_record *out)
{
	const struct account *a = &h->account;
	int64_t until_ms = a->until_ms;

	*out = (struct account_record){ .state = ACCOUNT_AVAILABLE };
	/* What the provider said; of the name service the next run makes its own picture. */
	if (a->state == ACCOUNT_AVAILABLE || account_is_over(a, now_ms) ||
	    a->why == HEALTH_DNS_FAIL || a->why == HEALTH_DNS_NXDOMAIN)
		return;
	out->state = a->state;
	out->step = a->step;
	if (a->trial) {
		out->step++;
		until_ms = a->until_ms - TRIAL_MS + refused_ms(out->step);
	}
	out->class = a->why;
	out->lasts_ms = until_ms - a->since_ms;
	out->left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
	memcpy(out->detail, a->detail, sizeof(out->detail));
}

void
health_account_restore(struct health *h, int64_t now_ms, const struct account_record *rec)
{
	struct account *a = &h->account;

	require((unsigned)rec->state < ACCOUNT_DOWN);
	if (rec->state == ACCOUNT_AVAILABLE)
		return;
	a->state = rec->state;
	a->step = rec->step;
	a->why = rec->class;
	a->canary = true;
	a->trial = false;
	a->until_ms = now_ms + rec->left_ms;
	a->since_ms = a->until_ms - rec->lasts_ms;
	health_copy_detail(a->detail, rec->detail);
	tell(h, now_ms);
}
