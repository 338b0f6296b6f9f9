/* SPDX-License-Identifier: BSD-2-Clause */
#include "health/health.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "base/require.h"
#include "health/health_impl.h"

#include "base/banned.h"

#define POOR		0.65
#define GOOD		0.85
#define WEIGHT_DELIVERY	0.30
#define WEIGHT_PROBE	0.20
#define WEIGHT_READY	0.30
#define SECOND_LOOK_MS	SECONDS(10)	/* probing: between its two successes */
#define RECOVERY_MS	SECONDS(30)
#define NETWORK_GAP_MS	SECONDS(10)

/* --- states -------------------------------------------------------------- */

#define UNK EP_UNKNOWN
#define UP_ EP_UP
#define DEG EP_DEGRADED
#define DWN EP_DOWN
#define PRO EP_PROBING
#define REC EP_RECOVERING
#define BLK EP_BLOCKED
#define OFF EP_OFF

static const unsigned char next_state[EP_STATE_COUNT][EV_COUNT] = {
	/*		   success proven soft  poor  hard  lost certain block network unblock */
	[EP_UNKNOWN] =	  { UNK,   UP_,   UNK,  UNK,  UNK,  DWN,  DWN,   BLK,  UNK,    UNK },
	[EP_UP] =	  { UP_,   UP_,   UP_,  DEG,  UP_,  DWN,  DWN,   BLK,  UP_,    UP_ },
	[EP_DEGRADED] =	  { DEG,   UP_,   DEG,  DEG,  DEG,  DWN,  DWN,   BLK,  DEG,    DEG },
	[EP_DOWN] =	  { DWN,   PRO,   DWN,  DWN,  DWN,  DWN,  DWN,   BLK,  UNK,    UNK },
	[EP_PROBING] =	  { PRO,   REC,   DWN,  DWN,  DWN,  DWN,  DWN,   BLK,  UNK,    UNK },
	[EP_RECOVERING] = { REC,   UP_,   REC,  DWN,  DWN,  DWN,  DWN,   BLK,  REC,    UNK },
	[EP_BLOCKED] =	  { BLK,   PRO,   BLK,  BLK,  BLK,  BLK,  BLK,   BLK,  BLK,    UNK },
	[EP_OFF] =	  { OFF,   OFF,   OFF,  OFF,  OFF,  OFF,  OFF,   OFF,  OFF,    OFF },
};

enum endpoint_state
endpoint_next_state(enum endpoint_state s, enum endpoint_event ev)
{
	require((unsigned)s < EP_STATE_COUNT && (unsigned)ev < EV_COUNT);
	return (enum endpoint_state)next_state[s][ev];
}

bool
health_has_usable(const struct health *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (endpoint_is_usable(&h->ep[i]))
			return true;
	return false;
}

/* Say once that the last usable endpoint went, or that the first came back. */
static void
note_usable(struct health *h, size_t i, int64_t now_ms)
{
	bool usable = health_has_usable(h);

	if (usable == h->usable)
		return;
	h->usable = usable;
	(void)health_emit(h, usable ? HEALTH_RELAY_UP : HEALTH_RELAY_DOWN, (int)i, h->ep[i].why,
	    h->ep[i].detail, now_ms);
}

/* The one place where an endpoint's state changes. */
static void
enter(struct health *h, size_t i, enum endpoint_state to, int64_t now_ms)
{
	struct endpoint *ep = &h->ep[i];
	enum endpoint_state from = ep->state;
	bool worked = from == EP_UNKNOWN || endpoint_is_tried(ep);

	ep->state = to;
	ep->since_ms = now_ms;
	ep->successes = ep->probe_successes = 0;
	if (to == EP_UNKNOWN || to == EP_DOWN || (to == EP_BLOCKED && !health_is_unjudged(ep->why)))
		ep->logins_failed = 0;		/* another finding decides now */
	switch (to) {
	case EP_UNKNOWN:
		ep->failing = ep->blocking = ep->backoff = 0;
		ep->suspect = false;
		by_mail_forget(ep);
		ep->availability = ep->prior;
		ep->ramp_ms = NEVER;
		break;
	case EP_UP:
		ep->backoff = 0;
		(void)health_emit(h, HEALTH_ENDPOINT_UP, (int)i, HEALTH_OK, NULL, now_ms);
		break;
	case EP_DEGRADED:
		(void)health_emit(h, HEALTH_ENDPOINT_DEGRADED, (int)i, ep->why, ep->detail, now_ms);
		break;
	case EP_DOWN:
		/* From probing and recovering it falls back to a longer wait. */
		if (from == EP_PROBING || from == EP_RECOVERING)
			ep->backoff++;
		if (worked) {
			endpoint_flapped(ep, now_ms);
			(void)health_emit(h, HEALTH_ENDPOINT_DOWN, (int)i, ep->why, ep->detail,
			    now_ms);
		}
		break;
	case EP_RECOVERING:
		/* What was measured in the outage says nothing about the time after it. */
		ep->availability = ep->prior;
		ep->ramp_ms = now_ms;
		endpoint_flapped(ep, now_ms);
		break;
	case EP_BLOCKED:
		(void)health_emit(h, HEALTH_ENDPOINT_BLOCKED, (int)i, ep->why, ep->detail, now_ms);
		break;
	case EP_PROBING:
	case EP_OFF:
	case EP_STATE_COUNT:
		break;
	}
	note_usable(h, i, now_ms);
}

/* Keep "up without suspicion since" true. */
static void
update_clean(struct endpoint *ep, int64_t now_ms)
{
	if (ep->state != EP_UP || ep->suspect)
		ep->clean_ms = NEVER;
	else if (ep->clean_ms == NEVER)
		ep->clean_ms = now_ms;
}

void
endpoint_apply(struct health *h, size_t i, enum endpoint_event ev, int64_t now_ms)
{
	struct endpoint *ep = &h->ep[i];
	enum endpoint_state to = endpoint_next_state(ep->state, ev);

	if (to == EP_DOWN && ep->state == EP_DOWN)
		ep->backoff++;		/* still down: the next wait is longer */
	if (to != ep->state)
		enter(h, i, to, now_ms);
	update_clean(ep, now_ms);
}

/* --- evidence ------------------------------------------------------------ */

void
health_copy_detail(char out[HEALTH_DETAIL_MAX], const char *detail)
{
	size_t n = detail != NULL ? strnlen(detail, HEALTH_DETAIL_MAX - 1) : 0;

	if (n != 0)
		memcpy(out, detail, n);
	out[n] = '\0';
	quote_flatten((uint8_t *)out, n);
}

/* Is this success the one that the state waits for? */
static bool
is_proof(const struct health *h, const struct endpoint *ep, enum sample_source source, int64_t now_ms)
{
	int64_t age_ms = now_ms - ep->since_ms;

	switch (ep->state) {
	case EP_UNKNOWN:
	case EP_DOWN:
	case EP_BLOCKED:
		return true;
	case EP_DEGRADED:
		return ep->availability >= GOOD;
	case EP_PROBING:
		return source == SAMPLE_DELIVERY || (age_ms >= SECOND_LOOK_MS - SECONDS(2) &&
		    by_mail_may_recover(h, ep, now_ms));
	case EP_RECOVERING:
		return (age_ms >= RECOVERY_MS && ep->successes >= 3) || ep->probe_successes >= 2;
	case EP_UP:
	case EP_OFF:
	case EP_STATE_COUNT:
		break;
	}
	return false;
}

static enum endpoint_event
note_success(const struct health *h, struct endpoint *ep, const struct health_sample *s, int64_t now_ms)
{
	ep->success_ms = now_ms;
	/* Whether new sessions succeed is shown by those begun since one failed. */
	if (ep->failed_ms != NEVER && now_ms - s->age_ms < ep->failed_ms)
		return EV_SUCCESS;
	if (ep->logins_failed != 0 && !s->logged_in)
		return EV_SUCCESS;	/* as far as the login it came before, too */
	ep->logins_failed = 0;
	ep->suspect = false;
	ep->failing = ep->blocking = ep->fast = 0;
	ep->successes++;
	if (s->source == SAMPLE_PROBE)
		ep->probe_successes++;
	else
		by_mail_forget(ep);
	if (s->ready_ms >= 0)
		ep->ready_ms = ep->ready_ms < 0 ? (double)s->ready_ms
		    : ep->ready_ms + WEIGHT_READY * ((double)s->ready_ms - ep->ready_ms);
	return is_proof(h, ep, s->source, now_ms) ? EV_PROVEN : EV_SUCCESS;
}

static enum endpoint_event
note_failure(struct health *h, struct endpoint *ep, const struct health_sample *s,
    enum health_severity severity, int64_t now_ms)
{
	endpoint_doubt(ep, now_ms);
	ep->why = s->class;
	health_copy_detail(ep->detail, s->detail);
	if (!ep->suspect) {
		ep->suspect = endpoint_is_usable(ep);
		ep->fast = 0;
	} else {
		ep->fast++;
	}
	if (s->mail != MAIL_NONE)
		by_mail_failed(h, ep, s, now_ms);
	if (severity == SEVERITY_DOWN)
		return EV_CERTAIN;
	/* A certificate may be a mishap once; a server that says so itself is not. */
	if (severity == SEVERITY_BLOCK && (++ep->blocking >= 2 || health_ends_logins(s->class)))
		return EV_BLOCK;
	/* It may be the messages: the ways stay open, and the next one shows it. So does the canary's: it answers. */
	if (s->mail != MAIL_NONE && (s->only_way || s->lone) && by_mail_is_everywhere(h))
		return ep->state == EP_PROBING ? EV_SUCCESS : EV_SOFT;
	if (ep->failing < LOST_AT)
		ep->failing += severity == SEVERITY_SOFT ? 1 : 2;
	if (ep->failing >= LOST_AT || ep->mail_failing >= LOST_AT)
		return EV_LOST;
	if (ep->availability < POOR)
		return EV_POOR;
	return severity == SEVERITY_SOFT ? EV_SOFT : EV_HARD;
}

static void
add_sample(struct endpoint *ep, const struct health_sample *s, double x, int64_t now_ms)
{
	double weight = s->source == SAMPLE_DELIVERY ? WEIGHT_DELIVERY : WEIGHT_PROBE;

	ep->availability = availability_now(ep, now_ms);
	ep->availability += weight * (x - ep->availability);
	ep->sampled_ms = now_ms;
}

/* Order a look at the endpoint that would take over, unless it has just worked. */
static void
look_at_standby(struct health *h, size_t i, int64_t now_ms)
{
	int other = health_best(h, (int)i, false, now_ms);
	struct endpoint *ep;

	if (other < 0)
		return;
	ep = &h->ep[other];
	if (ep->success_ms == NEVER || now_ms - ep->success_ms > SECONDS(60))
		ep->next_ms = now_ms;
}

static void
note_login(struct health *h, const struct health_sample *s, int64_t now_ms)
{
	if (s->logged_in) {
		h->login_ms = now_ms;
		h->login_due = false;
	}
}

void
health_note(struct health *h, size_t i, const struct health_sample *s, int64_t now_ms)
{
	const struct health_class_info *info = health_class_info(s->class);
	struct endpoint *ep;
	bool was_suspect, was_canary;

	require(i < h->n);
	ep = &h->ep[i];
	if (s->source == SAMPLE_PROBE && h->probing == (int)i)
		h->probing = -1;
	if (s->source == SAMPLE_DELIVERY)
		h->mail_ms = now_ms;
	ep->last = s->class;
	if (s->source == SAMPLE_PROBE)
		ep->shown_ms = now_ms;
	note_login(h, s, now_ms);
	account_note(h, i, s, now_ms);

	was_suspect = ep->suspect;
	was_canary = ep->state == EP_PROBING;
	if (s->class == HEALTH_OK) {
		add_sample(ep, s, 1, now_ms);
		endpoint_apply(h, i, note_success(h, ep, s, now_ms), now_ms);
	} else if (info->severity != SEVERITY_NONE) {
		ep->failed_ms = now_ms;
		if (!s->lone)		/* one message alone spoils no rating */
			add_sample(ep, s, info->severity == SEVERITY_SOFT ? 0.5 : 0, now_ms);
		if (health_is_unjudged(s->class))
			probe_login_failed(h, i, s->class, now_ms);
		endpoint_apply(h, i, note_failure(h, ep, s, info->severity, now_ms), now_ms);
		if (s->mail != MAIL_NONE)
			by_mail_down(h, i, s, now_ms);
	}
	if (s->class == HEALTH_OK && s->source == SAMPLE_DELIVERY)
		health_took_over(h, i, was_canary ? CHOICE_CANARY : health_why_anew(h), now_ms);
	if (ep->suspect && !was_suspect && h->current == (int)i)
		look_at_standby(h, i, now_ms);
	if (!endpoint_is_usable(ep))
		ep->suspect = false;
	probe_plan(h, i, now_ms);
}

/* --- what happens to all ------------------------------------------------- */

void
health_network_changed(struct health *h, int64_t now_ms)
{
	if (h->network_ms != NEVER && now_ms - h->network_ms < NETWORK_GAP_MS)
		return;
	h->network_ms = now_ms;
	h->resumed = -1;
	/* The name server may answer now. */
	if (h->account.state == ACCOUNT_PAUSED && h->account.why == HEALTH_DNS_FAIL)
		account_release(h, now_ms);
	for (size_t i = 0; i < h->n; i++) {
		h->ep[i].backoff = 0;
		h->ep[i].mail_ms = now_ms;
		endpoint_apply(h, i, EV_NETWORK, now_ms);
	}
	health_probe_now(h);
}

void
health_trust_changed(struct health *h, int64_t now_ms)
{
	for (size_t i = 0; i < h->n; i++) {
		if (h->ep[i].state != EP_BLOCKED || h->ep[i].logins_failed != 0)
			continue;
		endpoint_apply(h, i, EV_UNBLOCK, now_ms);
		h->ep[i].urgent = true;
		h->ep[i].next_ms = now_ms;
	}
}

void
health_unblock(struct health *h, int64_t now_ms)
{
	for (size_t i = 0; i < h->n; i++) {
		h->ep[i].logins_failed = 0;
		by_mail_forget(&h->ep[i]);
		endpoint_apply(h, i, EV_UNBLOCK, now_ms);
	}
	account_release(h, now_ms);
	h->login_due = true;
	health_probe_now(h);
}

void
health_mail_waits(struct health *h, bool waits)
{
	h->mail_waits = waits;
}

static double
prior_of(uint16_t port)
{
	switch (port) {
	case 587:
	case 465:
		return 0.80;
	case 2525:
		return 0.75;
	case 25:
		return 0.20;
	default:
		return 0.60;
	}
}

struct health *
health_new(const struct health_params *p, int64_t now_ms, struct rng *rng)
{
	struct health *h = xzalloc(sizeof(*h));

	require(p->n <= HEALTH_ENDPOINTS_MAX);
	h->rng = rng;
	h->n = p->n;
	h->quiet = p->quiet;
	h->host = p->host != NULL ? p->host : "";
	h->user = p->user != NULL ? p->user : "";
	h->sessions_max = p->sessions_max != 0 ? p->sessions_max : 1;
	h->current = h->resumed = h->leader = h->probing = -1;
	h->returned_ms = h->left_ms = h->probe_ms = h->login_ms = h->network_ms =
	    h->trouble_ms = h->mail_lost_ms = NEVER;
	h->mail_ms = now_ms;
	h->login_due = true;
	h->return_hold_ms = MINUTES(30);
	h->account.since_ms = now_ms;
	h->account.until_ms = h->account.ended_ms = NEVER;
	for (size_t i = 0; i < VOLUNTARY_MAX; i++)
		h->voluntary[i] = NEVER;
	for (size_t i = 0; i < BUDGET_TROUBLE; i++)
		h->budget[i] = NEVER;
	for (size_t i = 0; i < h->n; i++) {
		struct endpoint *ep = &h->ep[i];

		ep->port = p->port[i];
		ep->state = p->off[i] ? EP_OFF : EP_UNKNOWN;
		ep->since_ms = ep->sampled_ms = ep->flap_ms = now_ms;
		ep->prior = ep->availability = prior_of(p->port[i]);
		ep->ready_ms = -1;
		ep->ramp_ms = ep->clean_ms = ep->success_ms = ep->failed_ms = ep->probe_ms =
		    ep->shown_ms = ep->doubted_ms = NEVER;
		ep->next_ms = p->off[i] ? NEVER : now_ms;
		ep->urgent = true;
	}
	h->usable = health_has_usable(h);
	return h;
}

void
health_free(struct health *h)
{
	free(h);
}

/* --- events -------------------------------------------------------------- */

struct health_event *
health_emit(struct health *h, enum health_event_kind kind, int endpoint, enum health_class class,
    const char *detail, int64_t now_ms)
{
	struct health_event *ev;

	if (h->event_n == HEALTH_EVENTS_MAX) {		/* nobody reads: the oldest goes */
		h->event_first = (h->event_first + 1) % HEALTH_EVENTS_MAX;
		h->event_n--;
	}
	ev = &h->event[(h->event_first + h->event_n++) % HEALTH_EVENTS_MAX];
	*ev = (struct health_event){ .kind = kind, .endpoint = endpoint, .from = -1,
		.reason = CHOICE_NONE, .class = class,
		.advice = health_class_info(class)->advice, .at_ms = now_ms, .until_ms = NEVER };
	health_copy_detail(ev->detail, detail);
	return ev;
}

bool
health_next_event(struct health *h, struct health_event *out)
{
	if (h->event_n == 0)
		return false;
	*out = h->event[h->event_first];
	h->event_first = (h->event_first + 1) % HEALTH_EVENTS_MAX;
	h->event_n--;
	return true;
}
