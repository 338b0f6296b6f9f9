/* SPDX-License-Identifier: BSD-2-Clause */
/* What status, ports and explain show. */
#include "health/health_impl.h"

#include <stdio.h>

#include "base/require.h"

#include "base/banned.h"

/* It was tried, but what stopped the attempt is no fault of the endpoint. */
static bool
is_unreached(const struct endpoint *ep)
{
	return ep->state == EP_UNKNOWN && !endpoint_is_suspect(ep) && ep->last != HEALTH_OK &&
	    health_class_info(ep->last)->severity == SEVERITY_NONE;
}

static enum health_class
cause_of(const struct endpoint *ep)
{
	return is_unreached(ep) ? ep->last : ep->why;
}

void
health_endpoint(const struct health *h, size_t i, struct endpoint_view *out)
{
	const struct endpoint *ep;
	bool clean;

	require(i < h->n);
	ep = &h->ep[i];
	clean = ep->state == EP_UP && !ep->suspect && ep->mail_failing == 0;
	*out = (struct endpoint_view){
		.state = ep->state,
		.suspect = endpoint_is_suspect(ep),
		.current = h->current == (int)i,
		.mail_failed = ep->mail_failing != 0,
		.by_mail = ep->mail_failing != 0 && ep->mail_seen_ms == ep->failed_ms,
		.ready_ms = ep->ready_ms < 0 ? NEVER : (int64_t)(ep->ready_ms + 0.5),
		.since_ms = ep->since_ms,
		.last_probe_ms = ep->shown_ms > ep->probe_ms ? ep->shown_ms : ep->probe_ms,
		.last_success_ms = ep->success_ms,
		.next_probe_ms = ep->next_ms,
		.last_class = ep->last,
		.why_class = clean ? HEALTH_OK : cause_of(ep),
		.detail = clean || cause_of(ep) != ep->why ? "" : ep->detail,
	};
}

void
health_points(const struct health *h, size_t i, int64_t now_ms, struct endpoint_points *out)
{
	require(i < h->n);
	out->score = endpoint_score(h, i, now_ms, out);
}

void
health_account(const struct health *h, int64_t now_ms, struct account_view *out)
{
	const struct account *a = &h->account;
	bool over = account_is_over(a, now_ms);
	bool available = over || a->state == ACCOUNT_AVAILABLE;

	*out = (struct account_view){
		.state = available ? ACCOUNT_AVAILABLE : a->state,
		.since_ms = over ? a->until_ms : a->since_ms,
		.until_ms = available ? NEVER : a->until_ms,
		.why_class = available ? HEALTH_OK : a->why,
		.detail = available ? "" : a->detail,
	};
}

enum account_state
health_account_shown(const struct health *h, int64_t now_ms)
{
	struct account_view v;

	health_account(h, now_ms, &v);
	return v.state == ACCOUNT_AVAILABLE && !health_has_usable(h) ? ACCOUNT_DOWN : v.state;
}

const char *
health_account_advice(const struct health *h)
{
	return account_advice(h, h->account.why, h->account.detail);
}

/* Has another port of the same host answered meanwhile? Then silence is about the port, not the host. */
static bool
another_answers(const struct health *h, size_t i)
{
	for (size_t k = 0; k < h->n; k++) {
		const struct endpoint *ep = &h->ep[k];

		if (k != i && endpoint_is_tried(ep) && !ep->suspect && ep->success_ms != NEVER &&
		    ep->success_ms >= h->ep[i].doubted_ms)
			return true;
	}
	return false;
}

/* No port answers at all, and each the same way. */
static bool
all_filtered(const struct health *h)
{
	size_t n = 0;

	for (size_t k = 0; k < h->n; k++) {
		if (h->ep[k].state == EP_OFF)
			continue;
		if (h->ep[k].last != HEALTH_FILTERED)
			return false;
		n++;
	}
	return n > 1;
}

static bool
add_cause(const struct health *h, size_t i, struct buf *out)
{
	const struct endpoint *ep = &h->ep[i];

	if (ep->remark[0] != '\0')
		return buf_add_str(out, ep->remark);
	if (ep->why == HEALTH_FILTERED && another_answers(h, i))
		return buf_addf(out, "port %u is filtered on the way: another port of the host answers",
		    (unsigned)ep->port);
	if (ep->why == HEALTH_FILTERED && all_filtered(h))
		return buf_add_str(out,
		    "no port answers: the host is away, or this network blocks mail ports");
	return buf_add_str(out, health_class_info(cause_of(ep))->sentence);
}

/* A state's words, with the cause behind them if there is one to tell. */
static const char *
lead_of(const struct endpoint *ep, bool *cause)
{
	*cause = cause_of(ep) != HEALTH_OK;
	switch (ep->state) {
	case EP_OFF:
		*cause = false;
		return "switched off in the configuration";
	case EP_UP:
		*cause = ep->suspect || ep->mail_failing != 0;
		return ep->suspect ? "works, but the last attempt failed" :
		    ep->mail_failing != 0 ? "answers, but mail failed there last" : "works";
	case EP_DEGRADED:
		return "works, but too many attempts fail";
	case EP_UNKNOWN:
		*cause = endpoint_is_suspect(ep) || is_unreached(ep);
		return endpoint_is_suspect(ep) ? "the first attempt failed" :
		    is_unreached(ep) ? "tried, but nothing is known of it" : "not tried yet";
	case EP_PROBING:
		return ep->mail_failing != 0 ? "answers again, and a message is to show whether mail passes" :
		    "answers again and must do so once more";
	case EP_RECOVERING:
		*cause = ep->mail_failing != 0;
		return ep->mail_failing != 0 ? "answers again, and a message is to show whether mail passes" :
		    "is back; sessions grow step by step";
	case EP_DOWN:
	case EP_BLOCKED:
	case EP_STATE_COUNT:
		break;
	}
	return "";
}

bool
health_set_remark(struct health *h, size_t i, const char *meaning, const char *advice)
{
	struct endpoint *ep;
	bool other;

	require(i < h->n);
	ep = &h->ep[i];
	other = strcmp(ep->remark, meaning) != 0;
	snprintf(ep->remark, sizeof(ep->remark), "%s", meaning);
	ep->remark_advice = advice;
	return other;
}

bool
health_why(const struct health *h, size_t i, struct buf *out)
{
	const char *lead;
	bool cause;

	require(i < h->n);
	if (h->ep[i].overdue != NULL && !buf_addf(out, "a session waits for the reply to %s; ", h->ep[i].overdue))
		return false;
	lead = lead_of(&h->ep[i], &cause);
	if (!buf_add_str(out, lead))
		return false;
	if (!cause && (h->ep[i].state == EP_OFF || h->ep[i].remark[0] == '\0'))
		return true;
	return (*lead == '\0' || buf_add_str(out, ": ")) && add_cause(h, i, out);
}

const char *
health_advice(const struct health *h, size_t i)
{
	const struct endpoint *ep;

	require(i < h->n);
	ep = &h->ep[i];
	if (ep->state == EP_OFF || (!endpoint_is_suspect(ep) &&
	    (ep->state == EP_RECOVERING || ep->state == EP_UP)))
		return "";
	return ep->remark[0] != '\0' ? ep->remark_advice : health_class_info(cause_of(ep))->advice;
}
