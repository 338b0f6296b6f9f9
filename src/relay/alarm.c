/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/alarm.h"

#include "base/require.h"

#include "base/banned.h"

static const struct alarm_info infos[ALARM_KIND_COUNT] = {
	[ALARM_RELAY_DOWN] = { "relay-down", "relay-up", "a port is usable again" },
	[ALARM_ACCOUNT_BLOCKED] = { "account-blocked", "account-available",
	    "logins are not refused any more, or were not tried again" },
	[ALARM_ACCOUNT_EXHAUSTED] = { "account-exhausted", "account-available", "the quota is not used up any more" },
	[ALARM_ACCOUNT_PAUSED] = { "account-paused", "account-available", "the account rests no more" },
	[ALARM_FLAPPING] = { "flapping", "flapping-over", "the chosen port changes rarely again" },
	[ALARM_CERTIFICATE] = { "certificate-expires", "certificate-renewed",
	    "the certificate is valid for long enough" },
	[ALARM_FAILOVER] = { "failover", "failover-over", "mail goes to the relay that is listed first" },
	[ALARM_QUEUE_OLD] = { "queue-old", "queue-caught-up", "no message has waited for long" },
	[ALARM_MAIL_REFUSED] = { "mail-refused", "mail-accepted", "new mail is accepted again" },
	[ALARM_USER_OVER] = { "user-over-limit", "users-within-limits",
	    "for an hour no mail was over a limit of its user" },
};

const struct alarm_info *
alarm_info(enum alarm_kind kind)
{
	require((unsigned)kind < ALARM_KIND_COUNT);
	return &infos[kind];
}

static const struct {
	unsigned char	next, action;
} steps[ALARM_STATE_COUNT][ALARM_EVENT_COUNT] = {
	/*		    on				     off			      time */
	[ALARM_UNSURE] =  { { ALARM_RAISED, ALARM_RAISE },   { ALARM_UNSURE, ALARM_NOTHING },  { ALARM_CLEAR, ALARM_END } },
	[ALARM_CLEAR] =   { { ALARM_RAISED, ALARM_RAISE },   { ALARM_CLEAR, ALARM_NOTHING },   { ALARM_CLEAR, ALARM_NOTHING } },
	[ALARM_RAISED] =  { { ALARM_RAISED, ALARM_NOTHING }, { ALARM_CALMING, ALARM_NOTHING }, { ALARM_RAISED, ALARM_NOTHING } },
	[ALARM_CALMING] = { { ALARM_RAISED, ALARM_NOTHING }, { ALARM_CALMING, ALARM_NOTHING }, { ALARM_CLEAR, ALARM_END } },
};

enum alarm_action
alarm_step(enum alarm_state *state, enum alarm_event event)
{
	enum alarm_state from = *state;

	require((unsigned)from < ALARM_STATE_COUNT && (unsigned)event < ALARM_EVENT_COUNT);
	*state = (enum alarm_state)steps[from][event].next;
	return (enum alarm_action)steps[from][event].action;
}

void
alarm_init(struct alarm *a)
{
	*a = (struct alarm){ .state = ALARM_UNSURE, .calm_ms = -1 };
}

enum alarm_action
alarm_note(struct alarm *a, bool on, int64_t hold_ms, int64_t now_ms)
{
	if (on) {
		a->calm_ms = -1;
		return alarm_step(&a->state, ALARM_ON);
	}
	if (a->state != ALARM_CLEAR && a->calm_ms < 0)
		a->calm_ms = now_ms;
	(void)alarm_step(&a->state, ALARM_OFF);		/* by itself it ends nothing */
	if (a->calm_ms < 0 || now_ms - a->calm_ms < hold_ms)
		return ALARM_NOTHING;
	a->calm_ms = -1;
	return alarm_step(&a->state, ALARM_TIME);
}

void
alarm_note_unknown(struct alarm *a)
{
	a->calm_ms = -1;
}

int64_t
alarm_next(const struct alarm *a, int64_t hold_ms)
{
	return a->calm_ms < 0 ? -1 : a->calm_ms + hold_ms;
}

bool
alarm_is_active(const struct alarm *a)
{
	return a->state == ALARM_RAISED || a->state == ALARM_CALMING;
}
