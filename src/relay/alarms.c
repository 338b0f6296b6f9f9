/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * alarms - what raises an alarm (alarm.h) in this relay, and what is said then.
 *
 * All causes are looked at together: a second after something changed (with the line for
 * systemctl status), every minute, and when an alarm may be over.
 */
#include <stdio.h>

#include "base/date.h"
#include "base/num.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

#define PAUSED_MS	70000			/* as health_is_out(): shorter rests are waited for */
#define EXPIRES_MS	(INT64_C(14) * 86400000)
#define QUEUE_OLD_MS	(15 * 60000)

enum verdict { NO, YES, UNKNOWN };

static int64_t
now_of(const struct relay *r)
{
	return loop_now(r->env.loop);
}

/* --- causes -------------------------------------------------------------------- */

static enum verdict
is_down(const struct relay *r, size_t i)
{
	const struct upstream *u = &r->up[i];
	enum verdict verdict = YES;

	for (size_t k = 0; k < u->conf->nendpoint; k++) {
		struct endpoint_view v;

		health_endpoint(u->health, k, &v);
		if (v.state == EP_UP || v.state == EP_DEGRADED || v.state == EP_RECOVERING)
			return NO;
		if (v.state == EP_UNKNOWN)
			verdict = UNKNOWN;
	}
	return verdict;
}

static bool
put_closed(const struct relay *r, size_t i, struct buf *out)
{
	return relay_why_closed(r, i, out);
}

static enum verdict
is_blocked(const struct relay *r, size_t i)
{
	struct account_view a;

	health_account(r->up[i].health, now_of(r), &a);
	return a.state == ACCOUNT_BLOCKED ? YES : NO;
}

static enum verdict
is_exhausted(const struct relay *r, size_t i)
{
	struct account_view a;

	health_account(r->up[i].health, now_of(r), &a);
	return a.state == ACCOUNT_EXHAUSTED ? YES : NO;
}

static enum verdict
is_paused(const struct relay *r, size_t i)
{
	struct account_view a;

	health_account(r->up[i].health, now_of(r), &a);
	return a.state == ACCOUNT_PAUSED && a.until_ms - a.since_ms > PAUSED_MS ? YES : NO;
}

static enum verdict
is_flapping(const struct relay *r, size_t i)
{
	return health_is_flapping(r->up[i].health, now_of(r)) ? YES : NO;
}

static bool
put_flapping(const struct relay *r, size_t i, struct buf *out)
{
	return buf_addf(out, "the chosen port of %s was changed six times within an hour", r->up[i].conf->host);
}

/* The endpoint whose certificate ends first; -1: none is known. */
static int
first_to_expire(const struct relay *r, size_t i)
{
	const struct watch_port *port = r->up[i].watch.port;
	int first = -1;

	for (size_t k = 0; k < r->up[i].conf->nendpoint; k++)
		if (port[k].not_after_ms > 0 &&
		    (first < 0 || port[k].not_after_ms < port[first].not_after_ms))
			first = (int)k;
	return first;
}

static enum verdict
expires(const struct relay *r, size_t i)
{
	int k = first_to_expire(r, i);

	if (k < 0)
		return UNKNOWN;
	return r->up[i].watch.port[k].not_after_ms - loop_wall(r->env.loop) < EXPIRES_MS ? YES : NO;
}

static bool
put_expires(const struct relay *r, size_t i, struct buf *out)
{
	int k = first_to_expire(r, i);
	char date[DATE_MAX];

	return buf_addf(out, "the certificate of %s:%u expires on %.10s", r->up[i].conf->host,
	    (unsigned)r->up[i].conf->endpoint[k].port, date_rfc3339(date, r->up[i].watch.port[k].not_after_ms));
}

static enum verdict
is_away(const struct relay *r, size_t i)
{
	bool unsure;

	return failover_diverted(r, &unsure) >= 0 ? YES : unsure ? UNKNOWN : NO;
}

static bool
put_away(const struct relay *r, size_t i, struct buf *out)
{
	bool unsure;
	int route = failover_diverted(r, &unsure);
	const struct conf_route *rt = &r->conf->route[route];
	size_t first = rt->relay[0];

	if (r->conf->nroute > 1 && !buf_addf(out, "route %s: ", rt->name))
		return false;
	return buf_addf(out, "mail goes to %s in place of %s: ",
	    r->up[rt->relay[r->route[route].serving]].conf->name, r->up[first].conf->name) &&
	    relay_why_closed(r, first, out);
}

static enum verdict
is_queue_old(const struct relay *r, size_t i)
{
	if (r->conf->staging == CONF_STAGING_HOLD)
		return NO;		/* as it is meant */
	return r->alarms.oldest_ms < 0 ? UNKNOWN : r->alarms.oldest_ms > QUEUE_OLD_MS ? YES : NO;
}

static bool
put_queue_old(const struct relay *r, size_t i, struct buf *out)
{
	struct spool_stats st;
	char text[32];

	spool_stats(r->spool, &st);
	return buf_addf(out, "%llu messages are queued, and one has waited for %s",
	    (unsigned long long)st.messages, num_duration_text(text, sizeof(text), r->alarms.oldest_ms));
}

static enum verdict
is_refusing(const struct relay *r, size_t i)
{
	return r->spool_health != SPOOL_OK ? YES : NO;
}

static bool
put_refusing(const struct relay *r, size_t i, struct buf *out)
{
	return buf_addf(out, "new mail is refused for now: %s", r->spool_why);
}

static enum verdict
is_user_over(const struct relay *r, size_t i)
{
	return users_worst(r) != NULL ? YES : NO;
}

static bool
put_user_over(const struct relay *r, size_t i, struct buf *out)
{
	return users_put_over(users_worst(r), out);
}

static const struct {
	enum verdict	(*cause)(const struct relay *, size_t i);
	bool		(*put)(const struct relay *, size_t i, struct buf *out);
} causes[ALARM_KIND_COUNT] = {
	[ALARM_RELAY_DOWN] = { is_down, put_closed },
	[ALARM_ACCOUNT_BLOCKED] = { is_blocked, put_closed },
	[ALARM_ACCOUNT_EXHAUSTED] = { is_exhausted, put_closed },
	[ALARM_ACCOUNT_PAUSED] = { is_paused, put_closed },
	[ALARM_FLAPPING] = { is_flapping, put_flapping },
	[ALARM_CERTIFICATE] = { expires, put_expires },
	[ALARM_FAILOVER] = { is_away, put_away },
	[ALARM_QUEUE_OLD] = { is_queue_old, put_queue_old },
	[ALARM_MAIL_REFUSED] = { is_refusing, put_refusing },
	[ALARM_USER_OVER] = { is_user_over, put_user_over },
};

/* --- telling ------------------------------------------------------------------- */

static void
log_alarm(struct relay *r, const struct relay_alarm *a, bool raised)
{
	struct log_line l;

	log_begin(&l, r->life, raised ? LEVEL_WARNING : LEVEL_NOTICE, raised ? "alarm" : "alarm-over");
	log_word(&l, "alarm", alarm_info(a->kind)->word);
	if (a->relay != NULL)
		log_word(&l, "relay", a->relay);
	log_text(&l, "reason", view_str(raised ? a->text : alarm_info(a->kind)->over_text));
	log_end(&l);
}

/* Another process may have raised it: that it is not so is told also if we did not. */
static void
tell(struct relay *r, const struct relay_alarm *a, bool raised)
{
	if (r->events->on_alarm != NULL)
		r->events->on_alarm(r->owner, a, raised);
}

static void
change(struct relay *r, enum alarm_kind kind, size_t i, struct alarms_one *one, enum alarm_action action,
    bool was_active)
{
	bool known = one->was_ms != 0 && r->env.again;		/* the log has it, from the relay before */
	struct buf why;

	one->told.kind = kind;
	one->told.index = i;
	one->told.relay = kind < ALARM_OF_RELAY_COUNT ? r->up[i].conf->name : NULL;
	if (action == ALARM_RAISE) {
		buf_init(&why, sizeof(one->told.text) - 1);
		ignore_result(causes[kind].put(r, i, &why));	/* what fits is enough */
		(void)snprintf(one->told.text, sizeof(one->told.text), "%.*s", VIEW_ARG(buf_view(&why)));
		buf_done(&why);
		one->told.since_ms = one->was_ms != 0 ? one->was_ms : loop_wall(r->env.loop);
	}
	one->was_ms = 0;
	if (action == ALARM_RAISE ? !known : was_active || known)
		log_alarm(r, &one->told, action == ALARM_RAISE);
	tell(r, &one->told, action == ALARM_RAISE);
}

static void
note(struct relay *r, enum alarm_kind kind, size_t i)
{
	enum verdict verdict = causes[kind].cause(r, i);
	struct alarms_one *one = kind < ALARM_OF_RELAY_COUNT ? &r->alarms.of_relay[kind][i] :
	    &r->alarms.of_all[kind - ALARM_OF_RELAY_COUNT];
	bool was_active = alarm_is_active(&one->alarm);
	enum alarm_action action;

	if (verdict == UNKNOWN) {
		alarm_note_unknown(&one->alarm);
		return;
	}
	action = alarm_note(&one->alarm, verdict == YES, r->conf->alarm_hold_ms, now_of(r));
	if (action != ALARM_NOTHING)
		change(r, kind, i, one, action, was_active);
}

/* --- when ---------------------------------------------------------------------- */

static void
set_timer(struct relay *r)
{
	const struct alarms *a = &r->alarms;
	int64_t next = INT64_MAX, at;

	for (size_t kind = 0; kind < ALARM_OF_RELAY_COUNT; kind++)
		for (size_t i = 0; i < r->nup; i++)
			if ((at = alarm_next(&a->of_relay[kind][i].alarm, r->conf->alarm_hold_ms)) >= 0 && at < next)
				next = at;
	for (size_t k = 0; k < lengthof(a->of_all); k++)
		if ((at = alarm_next(&a->of_all[k].alarm, r->conf->alarm_hold_ms)) >= 0 && at < next)
			next = at;
	if (next == INT64_MAX)
		timer_cancel(r->env.loop, &r->alarms.timer);
	else
		timer_set(r->env.loop, &r->alarms.timer, next > now_of(r) ? next - now_of(r) : 1);
}

void
alarms_look(struct relay *r)
{
	if (r->draining || r->spool == NULL)
		return;
	for (int kind = 0; kind < ALARM_KIND_COUNT; kind++)
		for (size_t i = 0; i < (kind < ALARM_OF_RELAY_COUNT ? r->nup : 1); i++)
			note(r, (enum alarm_kind)kind, i);
	set_timer(r);
}

static void
on_timer(void *arg)
{
	relay_status_changed(arg);
}

/* The longest that a message has waited; one that is old enough is enough. */
void
alarms_sweep(struct relay *r)
{
	struct spool_message *m;
	struct spool_stats st;
	int64_t oldest = 0, age;
	size_t pos = 0;

	while (oldest <= QUEUE_OLD_MS && (m = spool_next(r->spool, &pos)) != NULL)
		if ((m->flags & SPOOL_HELD) == 0 && (age = age_of(&r->age, m->received_ms)) > oldest)
			oldest = age;
	spool_stats(r->spool, &st);
	/* What is still being read may be older. */
	r->alarms.oldest_ms = st.recovering && oldest <= QUEUE_OLD_MS ? -1 : oldest;
	relay_status_changed(r);
}

void
alarms_init(struct relay *r)
{
	r->alarms.oldest_ms = -1;
	for (size_t kind = 0; kind < ALARM_OF_RELAY_COUNT; kind++)
		for (size_t i = 0; i < CONF_RELAYS_MAX; i++)
			alarm_init(&r->alarms.of_relay[kind][i].alarm);
	for (size_t k = 0; k < lengthof(r->alarms.of_all); k++)
		alarm_init(&r->alarms.of_all[k].alarm);
	timer_init(&r->alarms.timer, on_timer, r);
}

void
alarms_resume(struct relay *r, struct view alarm, struct view of, int64_t since_ms)
{
	for (int kind = 0; kind < ALARM_KIND_COUNT; kind++) {
		if (!view_eq(alarm, view_str(alarm_info((enum alarm_kind)kind)->word)))
			continue;
		if (kind >= ALARM_OF_RELAY_COUNT)
			r->alarms.of_all[kind - ALARM_OF_RELAY_COUNT].was_ms = since_ms;
		for (size_t i = 0; kind < ALARM_OF_RELAY_COUNT && i < r->nup; i++)
			if (view_eq(of, view_str(r->up[i].conf->name)))
				r->alarms.of_relay[kind][i].was_ms = since_ms;
	}
}

void
alarms_done(struct relay *r)
{
	timer_cancel(r->env.loop, &r->alarms.timer);
}

const struct relay_alarm *
relay_alarm_next(const struct relay *r, size_t *pos)
{
	size_t of_relay = ALARM_OF_RELAY_COUNT * r->nup;

	while (*pos < of_relay + lengthof(r->alarms.of_all)) {
		size_t k = (*pos)++;
		const struct alarms_one *one = k < of_relay ? &r->alarms.of_relay[k / r->nup][k % r->nup] :
		    &r->alarms.of_all[k - of_relay];

		if (alarm_is_active(&one->alarm))
			return &one->told;
	}
	return NULL;
}
