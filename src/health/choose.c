/* SPDX-License-Identifier: BSD-2-Clause */
/* Rating and choice: which endpoint the next session goes to. */
#include "health/health_impl.h"

#include "base/require.h"

#include "base/banned.h"

#define RETURN_MIN_MS	MINUTES(30)
#define RETURN_MAX_MS	HOURS(8)
#define RETURN_LEFT_MS	HOURS(2)	/* left that soon after a return: it was too early */
#define QUIET_DAY_MS	HOURS(24)
#define PATIENCE_MS	SECONDS(70)	/* a pause of a minute, give or take its jitter, is waited for */
#define RAMP_STEP_MS	SECONDS(10)
#define WORKED_LATELY_MS SECONDS(5)

/* --- score --------------------------------------------------------------- */

/* value * 2^(-age / half_life); the parabola between halvings is within 1 % and spares libm. */
static double
halved(double value, int64_t age_ms, int64_t half_life_ms)
{
	int64_t whole = age_ms / half_life_ms;
	double x = (double)(age_ms % half_life_ms) / (double)half_life_ms;

	if (whole >= 62)
		return 0;
	return value / (double)(1ull << whole) * (1 - 0.6565 * x + 0.1565 * x * x);
}

double
availability_now(const struct endpoint *ep, int64_t now_ms)
{
	return ep->prior + halved(ep->availability - ep->prior, now_ms - ep->sampled_ms, HOURS(6));
}

void
endpoint_flapped(struct endpoint *ep, int64_t now_ms)
{
	ep->flap = halved(ep->flap, now_ms - ep->flap_ms, MINUTES(15)) + 1;
	ep->flap_ms = now_ms;
}

double
endpoint_score(const struct health *h, size_t i, int64_t now_ms, struct endpoint_points *parts)
{
	static const double by_place[] = { 1.0, 0.67, 0.33, 0.2 };
	const struct endpoint *ep = &h->ep[i];
	double ready_s = ep->ready_ms < 0 ? 1.0 : ep->ready_ms / 1000;
	double flap = halved(ep->flap, now_ms - ep->flap_ms, MINUTES(15));
	double a = availability_now(ep, now_ms);
	double q = 2 / (2 + ready_s);
	double s = flap >= 4 ? 0 : 1 - flap / 4;
	double p = by_place[i < lengthof(by_place) ? i : lengthof(by_place) - 1];
	double score = 100 * (0.55 * a + 0.15 * q + 0.15 * s + 0.15 * p);

	if (ep->state == EP_DEGRADED)
		score -= 25;
	else if (ep->state == EP_RECOVERING)
		score -= 10;
	if (parts != NULL) {
		parts->availability = a;
		parts->quickness = q;
		parts->stability = s;
		parts->preference = p;
	}
	return score < 0 ? 0 : score;
}

/* --- order --------------------------------------------------------------- */

/* Tried before untried, and both before suspects. */
static int
class_of(const struct endpoint *ep, int64_t now_ms)
{
	return endpoint_is_doubted(ep, now_ms) ? 2 : endpoint_is_tried(ep) ? 0 : 1;
}

static bool
is_before(const struct health *h, size_t a, size_t b, int64_t now_ms)
{
	int ca = class_of(&h->ep[a], now_ms), cb = class_of(&h->ep[b], now_ms);

	if (ca != cb)
		return ca < cb;
	if (ca == 1)		/* nothing is known: what was in use before the restart, and the administrator's order */
		return (int)a == h->resumed || ((int)b != h->resumed && a < b);
	return endpoint_score(h, a, now_ms, NULL) > endpoint_score(h, b, now_ms, NULL);
}

int
health_best(const struct health *h, int except, bool suspects_too, int64_t now_ms)
{
	int best = -1;

	for (size_t i = 0; i < h->n; i++) {
		const struct endpoint *ep = &h->ep[i];

		if ((int)i == except || !endpoint_is_usable(ep) ||
		    (endpoint_is_doubted(ep, now_ms) && !suspects_too))
			continue;
		if (best < 0 || is_before(h, i, (size_t)best, now_ms))
			best = (int)i;
	}
	return best;
}

bool
health_is_avoided(const struct health *h, size_t i, int64_t now_ms)
{
	return endpoint_is_doubted(&h->ep[i], now_ms) && health_best(h, (int)i, false, now_ms) >= 0;
}

bool
health_is_login_avoided(const struct health *h, size_t i, int64_t now_ms)
{
	return h->ep[i].logins_failed != 0 &&
	    (!endpoint_is_usable(&h->ep[i]) || health_is_avoided(h, i, now_ms));
}

size_t
health_race_order(const struct health *h, int64_t now_ms, size_t order[HEALTH_ENDPOINTS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++) {
		size_t at = n;

		if (!endpoint_is_usable(&h->ep[i]) || health_is_login_avoided(h, i, now_ms))
			continue;
		while (at > 0 && is_before(h, i, order[at - 1], now_ms)) {
			order[at] = order[at - 1];
			at--;
		}
		order[at] = i;
		n++;
	}
	return n;
}

int
health_preferred(const struct health *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->ep[i].state != EP_OFF)
			return (int)i;
	return -1;
}

/* --- voluntary switches -------------------------------------------------- */

/* How many within the last hour. */
static unsigned
voluntary_count(const struct health *h, int64_t now_ms)
{
	unsigned n = 0;

	for (size_t i = 0; i < VOLUNTARY_MAX; i++)
		if (h->voluntary[i] != NEVER && now_ms - h->voluntary[i] < HOURS(1))
			n++;
	return n;
}

bool
health_is_flapping(const struct health *h, int64_t now_ms)
{
	return voluntary_count(h, now_ms) == VOLUNTARY_MAX;
}

static void
note_voluntary(struct health *h, int64_t now_ms)
{
	h->voluntary[h->voluntary_at] = now_ms;
	h->voluntary_at = (h->voluntary_at + 1) % VOLUNTARY_MAX;
	if (health_is_flapping(h, now_ms))
		(void)health_emit(h, HEALTH_FLAPPING, h->current, HEALTH_OK, NULL, now_ms);
}

/* Who has led long enough, or -1. */
static int
find_better(struct health *h, int64_t now_ms)
{
	double mine = endpoint_score(h, (size_t)h->current, now_ms, NULL);
	int best = health_best(h, h->current, false, now_ms);

	if (best < 0 || h->ep[best].state != EP_UP ||
	    endpoint_score(h, (size_t)best, now_ms, NULL) <= mine + MARGIN) {
		h->leader = -1;
		return -1;
	}
	if (h->leader != best) {
		h->leader = best;
		h->leader_ms = now_ms;
	}
	if (now_ms - h->leader_ms < LEAD_MS || now_ms - h->current_ms < MIN_STAY_MS)
		return -1;
	return best;
}

/* A day without leaving the first listed: it may be returned to early again. */
static void
relax_hold(struct health *h, int64_t now_ms)
{
	if (h->left_ms != NEVER && now_ms - h->left_ms >= QUIET_DAY_MS)
		h->return_hold_ms = RETURN_MIN_MS;
}

/* The first listed if it has earned it, or -1. */
static int
find_return(struct health *h, int64_t now_ms)
{
	int first = health_preferred(h);
	const struct endpoint *ep;

	if (first < 0 || first == h->current)
		return -1;
	ep = &h->ep[first];
	relax_hold(h, now_ms);
	if (endpoint_is_doubted(ep, now_ms) || ep->clean_ms == NEVER || now_ms - ep->clean_ms < h->return_hold_ms ||
	    availability_now(ep, now_ms) < RETURN_GOOD)
		return -1;
	return first;
}

int
health_undo_return(const struct health *h, int64_t now_ms)
{
	int other = health_best(h, h->current, false, now_ms);

	if (other < 0 || h->ep[other].state != EP_UP || !endpoint_is_doubted(&h->ep[h->current], now_ms) ||
	    h->current != health_preferred(h) || h->returned_ms == NEVER ||
	    now_ms - h->returned_ms >= RETURN_LEFT_MS || h->ep[h->current].failed_ms < h->returned_ms)
		return -1;
	return other;
}

/* --- what is known of the others when the current one is doubted ------------ */

/*
 * It has worked since then, or just before. What is known from earlier is old: what made the
 * current one fail may have come over all of them.
 */
static bool
has_worked_since(const struct health *h, const struct endpoint *ep)
{
	return ep->success_ms != NEVER &&
	    ep->success_ms >= h->ep[h->current].doubted_ms - WORKED_LATELY_MS;
}

/* Some endpoint is known to work. */
static bool
is_sure(const struct health *h, int64_t now_ms)
{
	const struct endpoint *current = h->current >= 0 ? &h->ep[h->current] : NULL;

	if (current != NULL && endpoint_is_tried(current) && !endpoint_is_doubted(current, now_ms))
		return true;
	for (size_t i = 0; i < h->n; i++) {
		const struct endpoint *ep = &h->ep[i];

		if (endpoint_is_tried(ep) && (current == NULL ||
		    (!endpoint_is_doubted(ep, now_ms) && has_worked_since(h, ep))))
			return true;
	}
	return false;
}

/* --- choice -------------------------------------------------------------- */

static void
switch_to(struct health *h, int to, enum choice_reason reason, struct health_choice *out,
    int64_t now_ms)
{
	int from = h->current;
	const struct endpoint *blamed = from >= 0 && reason != CHOICE_RETURN ? &h->ep[from] : NULL;
	struct health_event *ev;

	if (from >= 0 && from == health_preferred(h)) {
		relax_hold(h, now_ms);
		if (h->returned_ms != NEVER && now_ms - h->returned_ms < RETURN_LEFT_MS &&
		    h->return_hold_ms < RETURN_MAX_MS)
			h->return_hold_ms *= 2;
		h->left_ms = now_ms;
	}
	if (reason == CHOICE_RETURN)
		h->returned_ms = now_ms;
	h->current = to;
	h->current_ms = now_ms;
	h->leader = h->resumed = -1;
	if (reason == CHOICE_BETTER || reason == CHOICE_RETURN)
		note_voluntary(h, now_ms);
	ev = health_emit(h, HEALTH_ROUTE_CHANGED, to, blamed != NULL ? blamed->why : HEALTH_OK,
	    blamed != NULL ? blamed->detail : NULL, now_ms);
	ev->from = from;
	ev->reason = reason;
	out->endpoint = to;
	out->from = from;
	out->reason = reason;
	out->changed = true;
	probe_plan_all(h, now_ms);
}

enum choice_reason
health_why_anew(const struct health *h)
{
	const struct endpoint *ep = h->current >= 0 ? &h->ep[h->current] : NULL;

	if (ep == NULL)
		return CHOICE_FIRST;
	/* Only one of the run before is current without ever having worked. */
	return ep->success_ms == NEVER && ep->state == EP_UNKNOWN ? CHOICE_RESTART : CHOICE_DOWN;
}

void
health_resume(struct health *h, size_t i, bool worked, int64_t now_ms)
{
	require(i < h->n);
	if (h->ep[i].state == EP_OFF)
		return;
	h->current = (int)i;
	h->current_ms = now_ms;
	h->resumed = worked ? h->current : -1;
}

void
health_took_over(struct health *h, size_t i, enum choice_reason reason, int64_t now_ms)
{
	struct health_choice ignored;

	if (h->current == (int)i || !endpoint_is_tried(&h->ep[i]) ||
	    (h->current >= 0 && endpoint_is_tried(&h->ep[h->current])))
		return;		/* a detour, or it has proved nothing yet */
	switch_to(h, (int)i, reason, &ignored, now_ms);
}

/* Parallel sessions that the endpoint carries now. */
static unsigned
sessions_now(const struct health *h, const struct endpoint *ep, int64_t now_ms)
{
	int64_t steps;

	if (h->account.canary || ep->mail_failing != 0 || ep->state == EP_PROBING || ep->state == EP_UNKNOWN)
		return 1;
	if (ep->ramp_ms == NEVER)
		return h->sessions_max;
	steps = (now_ms - ep->ramp_ms) / RAMP_STEP_MS;
	if (steps >= 16 || (1u << steps) >= h->sessions_max)
		return h->sessions_max;
	return 1u << steps;
}

/* None is usable: one that answered again may carry one message. */
static void
choose_canary(struct health *h, struct health_choice *out)
{
	for (size_t i = 0; i < h->n; i++) {
		if (h->ep[i].state == EP_PROBING) {
			out->endpoint = (int)i;
			out->reason = CHOICE_CANARY;
			return;
		}
	}
}

/* There is no usable current endpoint. An untried one becomes current when it has proved itself. */
static void
choose_anew(struct health *h, struct health_choice *out, int64_t now_ms)
{
	enum choice_reason reason = health_why_anew(h);
	int best = health_best(h, -1, true, now_ms);

	if (best < 0) {
		choose_canary(h, out);
		return;
	}
	if (endpoint_is_tried(&h->ep[best])) {
		switch_to(h, best, reason, out, now_ms);
		return;
	}
	out->endpoint = best;
	out->reason = reason;
	out->race = true;
}

/* The current endpoint is usable. */
static void
choose_among(struct health *h, struct health_choice *out, int64_t now_ms)
{
	bool may_switch = !health_is_flapping(h, now_ms);
	int other = find_better(h, now_ms);

	if (other < 0)
		other = health_undo_return(h, now_ms);
	out->endpoint = h->current;
	out->reason = CHOICE_STAY;
	if (other >= 0 && may_switch) {
		switch_to(h, other, CHOICE_BETTER, out, now_ms);
		return;
	}
	if (endpoint_is_doubted(&h->ep[h->current], now_ms)) {
		other = health_best(h, h->current, false, now_ms);
		if (other >= 0) {
			out->endpoint = other;
			out->reason = CHOICE_DETOUR;
			out->race = !endpoint_is_tried(&h->ep[other]) || !has_worked_since(h, &h->ep[other]);
			return;
		}
	}
	other = find_return(h, now_ms);
	if (other >= 0 && may_switch)
		switch_to(h, other, CHOICE_RETURN, out, now_ms);
}

void
health_choose(struct health *h, int64_t now_ms, struct health_choice *out)
{
	struct health_choice c = { .endpoint = -1, .reason = CHOICE_NONE, .from = -1 };

	bool woke = h->quiet && now_ms - h->mail_ms >= NO_MAIL_MS;

	h->mail_ms = now_ms;
	if (woke)
		probe_plan_all(h, now_ms);
	account_tick(h, now_ms);
	if (h->account.state == ACCOUNT_AVAILABLE) {
		c.from = h->current;
		if (h->current >= 0 && endpoint_is_tried(&h->ep[h->current]))
			choose_among(h, &c, now_ms);
		else
			choose_anew(h, &c, now_ms);
		if (c.endpoint >= 0)
			c.sessions = sessions_now(h, &h->ep[c.endpoint], now_ms);
	}
	*out = c;
}

bool
health_is_open(struct health *h, int64_t now_ms)
{
	account_tick(h, now_ms);
	if (h->account.state != ACCOUNT_AVAILABLE)
		return false;
	for (size_t i = 0; i < h->n; i++)
		if (endpoint_is_usable(&h->ep[i]) || h->ep[i].state == EP_PROBING)
			return true;
	return false;
}

bool
health_is_out(struct health *h, int64_t now_ms)
{
	const struct account *a = &h->account;

	account_tick(h, now_ms);
	by_mail_tick(h, now_ms);
	if (a->state == ACCOUNT_BLOCKED || (a->state == ACCOUNT_PAUSED && a->why == HEALTH_MAIL_DENIED))
		return true;
	if (a->state != ACCOUNT_AVAILABLE && a->until_ms - a->since_ms > PATIENCE_MS)
		return true;
	/* Not those in state probing: while they are made sure of, mail flows elsewhere. */
	return !health_has_usable(h);
}

enum health_standing
health_standing(struct health *h, int64_t now_ms)
{
	const struct account *a = &h->account;

	if (health_is_out(h, now_ms))
		return STANDING_OUT;
	/* Who asks for a pause has answered; a name server is not the provider. */
	if (a->state != ACCOUNT_AVAILABLE && a->why != HEALTH_DNS_FAIL && a->why != HEALTH_DNS_NXDOMAIN)
		return STANDING_IN;
	return is_sure(h, now_ms) ? STANDING_IN : STANDING_UNSURE;
}
