/* SPDX-License-Identifier: BSD-2-Clause */
/* Why an endpoint is the chosen one, or is not: the rules of choose.c in words. */
#include "health/health_impl.h"

#include "base/num.h"
#include "base/require.h"

#include "base/banned.h"

static unsigned
port_of(const struct health *h, int i)
{
	return h->ep[i].port;
}

static bool
add_time(struct buf *out, int64_t ms)
{
	char text[32];
	struct view v;

	/* Seconds of a wait of minutes help nobody. */
	if (ms > MINUTES(2))
		ms = (ms + MINUTES(1) - 1) / MINUTES(1) * MINUTES(1);
	v = view_str(num_duration_text(text, sizeof(text), ms));
	if (view_ends(v, VIEW(" 0s")) || view_ends(v, VIEW(" 0m")))
		v.n -= 3;
	return buf_add(out, v);
}

/* What the first listed endpoint, which is not the current one, still lacks. */
static bool
add_return(const struct health *h, int64_t now_ms, struct buf *out)
{
	int first = health_preferred(h);
	const struct endpoint *ep;
	int64_t left_ms;

	if (first < 0 || first == h->current)
		return true;
	ep = &h->ep[first];
	if (!buf_addf(out, "; return to %u ", port_of(h, first)))
		return false;
	if (ep->clean_ms == NEVER)
		return buf_add_str(out, "when it has been up without a failure for ") &&
		    add_time(out, h->return_hold_ms);
	left_ms = h->return_hold_ms - (now_ms - ep->clean_ms);
	if (left_ms > 0)
		return buf_add_str(out, "in ") && add_time(out, left_ms) &&
		    buf_add_str(out, " if it stays clean");
	if (availability_now(ep, now_ms) < RETURN_GOOD)
		return buf_addf(out, "when its availability is %.2f; it is %.2f", RETURN_GOOD,
		    availability_now(ep, now_ms));
	if (health_is_flapping(h, now_ms))
		return buf_addf(out, "when fewer than %d changes were made within an hour", VOLUNTARY_MAX);
	return buf_add_str(out, "with the next session");
}

/* best leads by more than the margin: when, or why not, it becomes the chosen one. */
static bool
add_takeover(const struct health *h, int best, int64_t now_ms, struct buf *out)
{
	int64_t lead_ms, stay_ms;

	if (h->ep[best].state != EP_UP)
		return buf_addf(out, ", but is %s", endpoint_state_word(h->ep[best].state));
	if (health_is_flapping(h, now_ms))
		return buf_addf(out, ", but there were %d changes within an hour", VOLUNTARY_MAX);
	lead_ms = LEAD_MS - (h->leader == best ? now_ms - h->leader_ms : 0);
	stay_ms = MIN_STAY_MS - (now_ms - h->current_ms);
	lead_ms = lead_ms > stay_ms ? lead_ms : stay_ms;
	return buf_add_str(out, " and takes over in ") && add_time(out, lead_ms > 0 ? lead_ms : 0) &&
	    buf_add_str(out, " if that lasts");
}

/* The current endpoint's lead on the best of the others, and what rule follows from it. */
static bool
add_lead(const struct health *h, int64_t now_ms, struct buf *out)
{
	int best = health_best(h, h->current, false, now_ms);
	double behind;

	if (best < 0)
		return buf_add_str(out, "; stays: no other is usable without a doubt");
	behind = endpoint_score(h, (size_t)best, now_ms, NULL) -
	    endpoint_score(h, (size_t)h->current, now_ms, NULL);
	if (behind <= 0)
		return buf_addf(out, "; stays: it leads %u by %.0f points", port_of(h, best), -behind);
	if (behind <= MARGIN)
		return buf_addf(out, "; stays: %u leads by %.0f of the %.0f points that a change takes",
		    port_of(h, best), behind, MARGIN);
	return buf_addf(out, "; %u leads by %.0f points", port_of(h, best), behind) &&
	    add_takeover(h, best, now_ms, out);
}

static bool
add_chosen(const struct health *h, int64_t now_ms, struct buf *out)
{
	int other = health_best(h, h->current, false, now_ms);

	if (!buf_add_str(out, "is the chosen one"))
		return false;
	if (health_undo_return(h, now_ms) >= 0 && !health_is_flapping(h, now_ms))
		return buf_addf(out, "; it failed soon after the return to it, so %u is chosen by the next session",
		    port_of(h, health_undo_return(h, now_ms)));
	if (h->ep[h->current].suspect && other >= 0)
		return buf_addf(out, "; its last attempt failed, so sessions make a detour over %u until one "
		    "here succeeds", port_of(h, other)) && add_return(h, now_ms, out);
	if (h->ep[h->current].overdue != NULL && other >= 0)
		return buf_addf(out, "; a reply here is overdue, so sessions make a detour over %u until it comes",
		    port_of(h, other)) && add_return(h, now_ms, out);
	if (endpoint_is_doubted(&h->ep[h->current], now_ms) && other >= 0)
		return buf_addf(out, "; mail failed here last, so sessions make a detour over %u, and one tries "
		    "it here in ", port_of(h, other)) && add_time(out, h->ep[h->current].mail_ms - now_ms) &&
		    add_return(h, now_ms, out);
	return add_lead(h, now_ms, out) && add_return(h, now_ms, out);
}

static bool
add_racing(const struct health *h, size_t i, int64_t now_ms, struct buf *out)
{
	size_t order[HEALTH_ENDPOINTS_MAX], n = health_race_order(h, now_ms, order), place = 0;
	int best = health_best(h, -1, true, now_ms);

	if (best >= 0 && endpoint_is_tried(&h->ep[best]))
		return best == (int)i ? buf_add_str(out, "is chosen by the next session") :
		    buf_addf(out, "not chosen: %u is taken by the next session", port_of(h, best));
	while (place < n && order[place] != i)
		place++;
	return buf_addf(out, "nothing is known to be up: sessions race, this is number %zu of %zu; the first "
	    "that answers is chosen", place + 1, n);
}

static bool
add_standby(const struct health *h, size_t i, int64_t now_ms, struct buf *out)
{
	double ahead = endpoint_score(h, i, now_ms, NULL) -
	    endpoint_score(h, (size_t)h->current, now_ms, NULL);
	int best = health_best(h, h->current, false, now_ms);
	bool ok = buf_addf(out, "stands by: %u is the chosen one", port_of(h, h->current));

	if (ok && endpoint_is_doubted(&h->ep[h->current], now_ms) && best == (int)i)
		ok = buf_add_str(out, ", but its last attempt failed: sessions make a detour over this one");
	if (endpoint_is_doubted(&h->ep[i], now_ms))
		ok = ok && buf_add_str(out, ", and the last attempt here failed");
	else if (ahead <= 0)
		ok = ok && buf_addf(out, " and leads by %.0f points", -ahead);
	else if (ahead <= MARGIN || best != (int)i)
		ok = ok && buf_addf(out, "; this one leads by %.0f, and a change takes more than %.0f points%s",
		    ahead, MARGIN, best != (int)i ? " and the best" : "");
	else
		ok = ok && buf_addf(out, "; this one leads by %.0f points", ahead) &&
		    add_takeover(h, best, now_ms, out);
	return ok && (health_preferred(h) != (int)i || add_return(h, now_ms, out));
}

bool
health_why_chosen(const struct health *h, size_t i, int64_t now_ms, struct buf *out)
{
	struct account_view account;
	const struct endpoint *ep;

	require(i < h->n);
	ep = &h->ep[i];
	health_account(h, now_ms, &account);
	if (account.state != ACCOUNT_AVAILABLE && !buf_addf(out, "no session now: the account is %s; else: ",
	    account_state_word(account.state)))
		return false;
	if (ep->state == EP_PROBING)
		return buf_add_str(out, "not chosen: probing; it may carry one message while no other is "
		    "usable");
	if (!endpoint_is_usable(ep))
		return buf_addf(out, "not chosen: %s", endpoint_state_word(ep->state)) &&
		    (h->current < 0 || h->current == (int)i || health_preferred(h) != (int)i ||
		    add_return(h, now_ms, out));
	if (h->current < 0 || !endpoint_is_tried(&h->ep[h->current]))
		return add_racing(h, i, now_ms, out);
	return h->current == (int)i ? add_chosen(h, now_ms, out) : add_standby(h, i, now_ms, out);
}
