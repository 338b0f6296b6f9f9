/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What only mail finds: a server may greet, shake hands and log in, and then cut, hang or talk
 * nonsense at MAIL, RCPT, DATA or in the text. A probe says none of these, so it refutes none of
 * it; the next message does (doc/health.md, "What only mail finds").
 */
#include "health/health_impl.h"

#include "base/banned.h"

#define JITTER		20		/* percent */
#define OTHERS_MS	SECONDS(4)	/* so long one message alone waits for another one to show how it is */

/* Mail keeps away for a while, longer each time. */
static void
keep_away(struct health *h, struct endpoint *ep, int64_t now_ms)
{
	static const int64_t away[] = { MINUTES(2), MINUTES(4), MINUTES(8), MINUTES(15) };
	unsigned step = ep->mail_failures < lengthof(away) ? ep->mail_failures : lengthof(away);

	ep->mail_ms = now_ms + rng_jitter(h->rng, away[step - 1], JITTER);
}

void
by_mail_failed(struct health *h, struct endpoint *ep, const struct health_sample *s, int64_t now_ms)
{
	ep->mail_seen_ms = now_ms;
	/* Sessions that were open side by side when the first one failed show the same once more. */
	if (ep->mail_failing != 0 && now_ms - s->age_ms < ep->mail_failed_ms)
		return;
	ep->mail_failed_ms = now_ms;
	ep->mail_failing += s->mail == MAIL_ENVELOPE ? 2 : 1;
	ep->mail_failures++;
	keep_away(h, ep, now_ms);
}

void
by_mail_forget(struct endpoint *ep)
{
	ep->mail_failing = ep->mail_failures = 0;
}

/* Mail keeps away from each usable endpoint, and together that is lost. */
static bool
is_lost_everywhere(const struct health *h, int64_t now_ms)
{
	unsigned sum = 0;

	for (size_t i = 0; i < h->n; i++) {
		const struct endpoint *ep = &h->ep[i];

		if (!endpoint_is_usable(ep))
			continue;
		if (ep->mail_failing == 0 || now_ms >= ep->mail_ms)
			return false;
		sum += ep->mail_failing;
	}
	return sum >= LOST_AT;
}

/*
 * The last usable one has failed so: the others wait for as long, in their order and just before it. So
 * one of them is tried at a time, in turn, and mail does not come back to the relay for each of them.
 */
static void
line_up(struct health *h, size_t i, int64_t now_ms)
{
	int64_t last = NEVER, later;

	for (size_t k = 0; k < h->n; k++)
		if (k != i && h->ep[k].mail_failing != 0 && h->ep[k].mail_ms > last)
			last = h->ep[k].mail_ms;
	if (last == NEVER)
		return;
	later = h->ep[i].mail_ms - SECONDS(1) - last;
	for (size_t k = 0; later > 0 && k < h->n; k++) {
		if (k == i || h->ep[k].mail_failing == 0)
			continue;
		h->ep[k].mail_ms += later;
		probe_plan(h, k, now_ms);
	}
}

static void
take_all_down(struct health *h, int64_t now_ms)
{
	h->mail_lost_ms = NEVER;
	for (size_t k = 0; k < h->n; k++) {
		if (!endpoint_is_usable(&h->ep[k]))
			continue;
		h->ep[k].mail_failing = LOST_AT;
		h->ep[k].suspect = false;
		endpoint_apply(h, k, EV_LOST, now_ms);
		probe_plan(h, k, now_ms);
	}
}

bool
by_mail_is_everywhere(const struct health *h)
{
	for (size_t k = 0; k < h->n; k++)
		if (endpoint_is_usable(&h->ep[k]) && h->ep[k].mail_failing == 0)
			return false;
	return true;
}

void
by_mail_down(struct health *h, size_t i, const struct health_sample *s, int64_t now_ms)
{
	if (s->only_way)
		return;		/* to wait would help nobody: mail tries on, one message at a time */
	if (is_lost_everywhere(h, now_ms)) {
		if (!s->lone)
			take_all_down(h, now_ms);
		else if (h->mail_lost_ms == NEVER)
			h->mail_lost_ms = now_ms;
	}
	if (!health_has_usable(h))
		line_up(h, i, now_ms);
}

void
by_mail_tick(struct health *h, int64_t now_ms)
{
	if (h->mail_lost_ms == NEVER)
		return;
	if (!is_lost_everywhere(h, now_ms))
		h->mail_lost_ms = NEVER;	/* another message has passed */
	else if (now_ms - h->mail_lost_ms >= OTHERS_MS)
		take_all_down(h, now_ms);
}

/* All that is usable waits for a message to show whether mail passes. */
static bool
is_on_trial(const struct health *h)
{
	bool any = false;

	for (size_t i = 0; i < h->n; i++) {
		if (!endpoint_is_usable(&h->ep[i]))
			continue;
		if (h->ep[i].mail_failing == 0)
			return false;
		any = true;
	}
	return any;
}

bool
by_mail_may_recover(const struct health *h, const struct endpoint *ep, int64_t now_ms)
{
	return ep->mail_failing == 0 || (now_ms >= ep->mail_ms && !is_on_trial(h));
}

void
health_mail_forgive(struct health *h, size_t i, int64_t now_ms)
{
	if (h->ep[i].mail_failing == 0)
		return;
	by_mail_forget(&h->ep[i]);
	probe_plan(h, i, now_ms);
}

void
health_set_overdue(struct health *h, size_t i, const char *step, int64_t now_ms)
{
	if (step != NULL)
		endpoint_doubt(&h->ep[i], now_ms);
	h->ep[i].overdue = step;
}

bool
health_mail_tries(struct health *h, size_t i, int64_t now_ms)
{
	struct endpoint *ep = &h->ep[i];

	if (ep->mail_failing == 0)
		return false;
	keep_away(h, ep, now_ms);
	return true;
}
