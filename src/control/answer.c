/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

#define UNBLOCKED_MAX	2000	/* names of relays, and words */

/* Why no mail goes over this relay; empty if it does. Returns its length. */
static size_t
why_closed(struct relay *relay, size_t which, char *text, size_t cap)
{
	struct buf out;

	text[0] = '\0';
	if (health_is_open(relay_health(relay, which), loop_now(relay_env(relay)->loop)))
		return 0;
	buf_init(&out, cap - 1);
	ignore_result(relay_why_closed(relay, which, &out));	/* what fits is enough */
	(void)snprintf(text, cap, "%.*s", VIEW_ARG(buf_view(&out)));
	buf_done(&out);
	return strlen(text);
}

/* The same of one whose reply mail waits for. */
static size_t
why_waiting(struct relay *relay, size_t which, char *text, size_t cap)
{
	struct buf out;

	buf_init(&out, cap - 1);
	ignore_result(relay_why_waiting(relay, which, &out));	/* what fits is enough */
	(void)snprintf(text, cap, "%.*s", VIEW_ARG(buf_view(&out)));
	buf_done(&out);
	return strlen(text);
}

/* The first of them whose reply is overdue; empty: none is. */
const char *
answer_why_waiting(struct relay *relay, uint32_t relays, char *text, size_t cap)
{
	text[0] = '\0';
	for (size_t i = 0; i < relay_conf(relay)->nrelay && text[0] == '\0'; i++)
		if ((relays & (1u << i)) != 0)
			(void)why_waiting(relay, i, text, cap);
	return text;
}

/* All of them have to be closed for mail to wait. */
const char *
answer_why_closed(struct relay *relay, uint32_t relays, char *text, size_t cap)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < relay_conf(relay)->nrelay; i++) {
		size_t sep = at > 0 && at + 3 < cap ? 2 : 0;
		size_t n;

		if ((relays & (1u << i)) == 0)
			continue;
		n = at + sep + 1 < cap ? why_closed(relay, i, text + at + sep, cap - at - sep) : 0;
		if (n == 0 && health_is_open(relay_health(relay, i), loop_now(relay_env(relay)->loop))) {
			text[0] = '\0';
			return text;
		}
		if (sep != 0)
			memcpy(text + at, "; ", sep);
		at += sep + n;
	}
	return text;
}

/* NULL if mail could go over this relay, or nobody here can help. */
static const char *
advice_of(struct relay *relay, size_t which)
{
	struct health *health = relay_health(relay, which);
	int64_t now = loop_now(relay_env(relay)->loop);
	struct account_view account;

	if (health_is_open(health, now))
		return NULL;
	health_account(health, now, &account);
	if (account.state != ACCOUNT_AVAILABLE)
		return health_account_advice(health);
	for (size_t i = 0; i < relay_conf(relay)->relay[which].nendpoint; i++) {
		const char *advice = health_advice(health, i);

		if (advice[0] != '\0')
			return advice;
	}
	return NULL;
}

void
answer_put_advice(struct relay *relay, uint32_t relays, struct report *r)
{
	const char *advice = NULL;
	char closed[1024];
	size_t first = 0;

	/* Of the first relay, which the administrator would rather have. */
	while (first + 1 < relay_conf(relay)->nrelay && (relays & (1u << first)) == 0)
		first++;
	if (answer_why_closed(relay, relays, closed, sizeof(closed))[0] != '\0')
		advice = advice_of(relay, first);
	if (r->json || advice != NULL)
		report_word(r, "advice", advice);
}

/* --- status -------------------------------------------------------------- */

static void
status_queue(struct relay *relay, struct report *r, const struct spool_stats *spool)
{
	struct spool_message *m;
	int64_t held = 0, uncertain = 0, oldest = 0;
	size_t pos = 0;

	while ((m = spool_next(relay_spool(relay), &pos)) != NULL) {
		held += (m->flags & SPOOL_HELD) != 0;
		uncertain += (m->flags & SPOOL_UNCERTAIN) != 0;
		if (oldest == 0 || m->received_ms < oldest)
			oldest = m->received_ms;
	}
	report_object(r, "queue");
	report_num(r, "messages", (int64_t)(spool->messages + spool->found));
	report_num(r, "recipients", (int64_t)spool->recipients);
	report_size(r, "bytes", spool->bytes_queued);
	report_num(r, "held", held);
	report_num(r, "uncertain", uncertain);
	report_time(r, "oldest", oldest);
	report_end(r);
}

static const char *
spool_health_word(enum spool_health health)
{
	switch (health) {
	case SPOOL_OK:
		return "ok";
	case SPOOL_FULL:
		return "full";
	case SPOOL_DEGRADED:
		return "degraded";
	}
	return "";
}

static void
status_spool(struct report *r, const struct spool_stats *spool)
{
	report_object(r, "spool");
	report_word(r, "health", spool_health_word(spool->health));
	if (r->json || spool->why[0] != '\0')
		report_text(r, "why", view_str(spool->why));
	report_num(r, "segments", (int64_t)spool->segments);
	report_size(r, "bytes", spool->log_bytes);
	report_num(r, "spares", (int64_t)spool->spares);
	report_bool(r, "reuse", spool->reuse);
	report_num(r, "moved", (int64_t)spool->moved);
	report_num(r, "missing", (int64_t)spool->absent);
	report_num(r, "unreadable", (int64_t)spool->unreadable);
	report_num(r, "quarantined", (int64_t)spool->quarantined);
	report_bool(r, "recovering", spool->recovering);
	report_end(r);
}

static void
status_history(struct relay *relay, struct report *r)
{
	struct history_stats stats = { .files = 0 };

	if (relay_history(relay) != NULL)
		history_stats(relay_history(relay), &stats);
	report_object(r, "history");
	report_num(r, "days", (int64_t)relay_conf(relay)->history);
	report_num(r, "files", (int64_t)stats.files);
	report_size(r, "bytes", stats.bytes);
	report_num(r, "dropped", (int64_t)stats.dropped);
	report_bool(r, "failing", stats.failing);
	report_end(r);
}

/* The account: all for programs, the state that matters for people. */
static void
status_account(struct relay *relay, size_t i, struct report *r)
{
	struct loop *loop = relay_env(relay)->loop;
	int64_t now = loop_now(loop), offset = loop_wall(loop) - now;
	struct account_view a;
	bool stopped;

	health_account(relay_health(relay, i), now, &a);
	stopped = a.state != ACCOUNT_AVAILABLE;
	report_hide(r);
	report_word(r, "account", account_state_word(a.state));
	report_word(r, "account_class", stopped ? health_class_info(a.why_class)->word : NULL);
	/* From before a boot its times may be negative. */
	report_time(r, "account_since", stopped ? a.since_ms + offset : -1);
	report_time(r, "account_until", stopped ? a.until_ms + offset : -1);
	report_show(r);
	report_word(r, "state", account_state_word(health_account_shown(relay_health(relay, i), now)));
}

static void
status_way(struct relay *relay, size_t i, struct report *r)
{
	const struct conf_relay *conf = &relay_conf(relay)->relay[i];
	char endpoint[300], avoided[300];
	struct relay_way way;
	size_t n;

	relay_way(relay, i, &way);
	if (way.endpoint < 0) {
		report_word(r, "endpoint", NULL);
	} else {
		n = (size_t)snprintf(endpoint, sizeof(endpoint), "%s:%u", conf->host,
		    (unsigned)conf->endpoint[way.endpoint].port);
		if (way.avoided >= 0 && !r->json)
			(void)snprintf(endpoint + n, sizeof(endpoint) - n, " (detour from %u)",
			    (unsigned)conf->endpoint[way.avoided].port);
		report_word(r, "endpoint", endpoint);
	}
	if (way.avoided >= 0)
		(void)snprintf(avoided, sizeof(avoided), "%s:%u", conf->host,
		    (unsigned)conf->endpoint[way.avoided].port);
	report_hide(r);
	report_word(r, "detour_from", way.avoided >= 0 ? avoided : NULL);
	report_show(r);
}

static void
status_relay(struct relay *relay, size_t i, struct report *r)
{
	const struct conf_relay *conf = &relay_conf(relay)->relay[i];
	char why[1024];

	report_row(r);
	report_word(r, "relay", conf->name);
	report_hide(r);
	report_word(r, "host", conf->host);
	report_show(r);
	report_bool(r, "in_use", relay_in_use(relay, i));
	status_account(relay, i, r);
	status_way(relay, i, r);
	report_num(r, "sessions", relay_sessions(relay, i));
	if (why_closed(relay, i, why, sizeof(why)) == 0)
		(void)why_waiting(relay, i, why, sizeof(why));
	report_hide(r);
	report_word(r, "advice", advice_of(relay, i));
	report_show(r);
	report_text(r, "why", view_str(why));
	report_end(r);
}

/* Lines "NAME: what to do", for people. */
static void
status_relays(struct relay *relay, struct report *r)
{
	const struct conf *conf = relay_conf(relay);

	report_list(r, "relays");
	for (size_t i = 0; i < conf->nrelay; i++)
		status_relay(relay, i, r);
	report_end(r);
	for (size_t i = 0; !r->json && i < conf->nrelay; i++) {
		const char *advice = advice_of(relay, i);

		if (advice != NULL && advice[0] != '\0')
			report_word(r, conf->relay[i].name, advice);
	}
}

static void
status_alarms(struct relay *relay, struct report *r)
{
	const struct relay_alarm *a;
	size_t pos = 0;

	report_list(r, "alarms");
	while ((a = relay_alarm_next(relay, &pos)) != NULL) {
		report_row(r);
		report_word(r, "alarm", alarm_info(a->kind)->word);
		report_word(r, "relay", a->relay);
		report_time(r, "since", a->since_ms);
		report_word(r, "text", a->text);
		report_end(r);
	}
	report_end(r);
}

/* For people only what is to be mended. */
static void
status_disk(struct report *r, const struct spool_stats *spool)
{
	if (!spool->volatile_fs)
		report_hide(r);
	report_object(r, "disk");
	report_bool(r, "volatile", spool->volatile_fs);
	report_hide(r);
	report_num(r, "syncs", (int64_t)spool->syncs);
	report_num(r, "batches", (int64_t)spool->batches);
	report_num(r, "batch_max", (int64_t)spool->batch_max);
	report_end(r);
	report_show(r);
}

static const char *
staging_word(const struct conf *c)
{
	static const char *const words[] = {
		[CONF_STAGING_OFF] = "off", [CONF_STAGING_HOLD] = "hold", [CONF_STAGING_SINK] = "sink"
	};

	return words[c->staging];
}

/* In an answer about messages; nothing is said while they leave as usual. */
void
answer_put_staging(struct relay *relay, struct report *r)
{
	const struct conf *c = relay_conf(relay);
	char text[CONF_DANGER_MAX];

	if (!conf_staging_notice(c, text))
		return;
	if (r->json) {
		report_word(r, "staging", staging_word(c));
	} else {
		report_sentence(r, text);
		report_blank(r);
	}
}

static void
add_warning(struct report *r, const char *text)
{
	report_row(r);
	report_word(r, "warning", text);
	report_end(r);
}

/* Before anything else, for people: what must not be overlooked. */
static void
status_warnings(struct relay *relay, struct report *r)
{
	const struct conf *c = relay_conf(relay);
	struct own_addresses own = { .n = 0 };
	char text[CONF_DANGER_MAX];

	report_list(r, "warnings");
	if (conf_staging_notice(c, text))
		add_warning(r, text);
	if (c->nlistener > 0)
		own_addresses(&own);
	for (size_t i = 0; i < c->nlistener; i++) {
		for (size_t pos = 0; conf_listener_danger(&c->listener[i], &pos, text);)
			add_warning(r, text);
		for (size_t pos = 0; conf_listener_own_danger(&c->listener[i], &own, &pos, text);)
			add_warning(r, text);
	}
	report_end(r);
}

void
answer_status(struct relay *relay, struct report *r)
{
	struct relay_stats stats;
	struct spool_stats spool;

	relay_stats(relay, &stats);
	spool_stats(relay_spool(relay), &spool);
	status_warnings(relay, r);
	report_word(r, "version", PACKAGE_VERSION);
	report_num(r, "pid", getpid());
	report_time(r, "started", stats.started_ms);
	report_word(r, "sandbox", relay_env(relay)->sandbox);
	report_word(r, "staging", staging_word(relay_conf(relay)));
	report_object(r, "intake");
	report_bool(r, "connected", stats.intake_connected);
	report_word(r, "sandbox", stats.intake_sandbox);
	report_num(r, "sessions", (int64_t)stats.intake_sessions);
	report_num(r, "refused", (int64_t)stats.intake_refused);
	report_end(r);
	status_queue(relay, r, &spool);
	status_spool(r, &spool);
	status_history(relay, r);
	status_relays(relay, r);
	answer_routes(relay, r);
	status_alarms(relay, r);
	report_object(r, "since_start");
	report_num(r, "accepted", (int64_t)spool.accepted);
	report_num(r, "uncertain", (int64_t)stats.uncertain);
	report_num(r, "surprises", (int64_t)weird_count());
	report_object(r, "recipients");
	report_num(r, "delivered", (int64_t)stats.delivered);
	report_num(r, "deferred", (int64_t)stats.deferred);
	report_num(r, "bounced", (int64_t)stats.bounced);
	report_num(r, "expired", (int64_t)stats.expired);
	report_num(r, "removed", (int64_t)stats.removed);
	report_num(r, "sunk", (int64_t)stats.sunk);
	report_end(r);
	report_end(r);
	status_disk(r, &spool);
}

/* --- actions ------------------------------------------------------------- */

struct spool_message *
answer_find(struct relay *relay, spool_id id, struct err *e)
{
	struct spool_message *m = spool_find(relay_spool(relay), id);
	struct spool_stats stats;
	char text[17];

	if (m != NULL)
		return m;
	spool_stats(relay_spool(relay), &stats);
	if (stats.recovering)
		err_set(e, ERR_BUSY, "message %s is not known yet: the spool is still being read; ask again",
		    spool_id_text(text, id));
	else
		err_set(e, ERR_GONE, "message %s is not in the queue (delivered, bounced, removed, or never "
		    "here); posthousectl explain tells more", spool_id_text(text, id));
	return NULL;
}

static int
act_on(struct relay *relay, const struct request *q, struct spool_message *m,
    struct relay_ack *ack, struct err *e)
{
	switch (q->command) {
	case REQUEST_FLUSH:
		relay_flush_message(relay, m);
		return 0;
	case REQUEST_HOLD:
		relay_hold(relay, m, true, ack);
		return 0;
	case REQUEST_RELEASE:
		relay_hold(relay, m, false, ack);
		return 0;
	case REQUEST_REMOVE:
		return relay_remove(relay, m, ack, e);
	default:
		return err_set(e, ERR_INPUT, "not a command for one message");
	}
}

/* Every message there is; those that are just being sent may refuse. */
static uint64_t
act_on_all(struct relay *relay, const struct request *q, struct relay_ack *ack, uint64_t *refused)
{
	struct spool *spool = relay_spool(relay);
	struct spool_message *m;
	spool_id *ids = NULL;
	struct spool_stats stats;
	size_t n = 0, pos = 0;
	uint64_t done = 0;

	/* The queue changes while we act on it, so the ids are taken first: 8 bytes each. */
	spool_stats(spool, &stats);
	ids = xcalloc(stats.messages + 1, sizeof(ids[0]));
	while (n < stats.messages && (m = spool_next(spool, &pos)) != NULL)
		ids[n++] = m->id;
	for (size_t i = 0; i < n; i++) {
		struct err e;

		m = spool_find(spool, ids[i]);
		if (m == NULL)
			continue;
		if (act_on(relay, q, m, ack, &e) == 0)
			done++;
		else
			++*refused;
	}
	free(ids);
	return done;
}

static const char *
done_sentence(const struct request *q)
{
	switch (q->command) {
	case REQUEST_FLUSH:
		return "will be tried as soon as a port is usable";
	case REQUEST_HOLD:
		return "held until release";
	case REQUEST_RELEASE:
		return "released, will be tried as soon as a port is usable";
	case REQUEST_REMOVE:
		return "removed without a bounce";
	case REQUEST_PROBE:
		return q->relay.n != 0 ? "the ports of the relay are being probed; see posthousectl ports" :
		    "all ports are being probed; see posthousectl ports";
	case REQUEST_RELOAD:
		return "reload asked for; the log has its outcome";
	default:
		return "";
	}
}

static int
unblock(struct relay *relay, struct view name, struct report *r, struct err *e)
{
	struct buf done;
	int rc;

	buf_init(&done, UNBLOCKED_MAX);
	ignore_result(buf_add_str(&done, "account and ports may be used again, probing now: "));
	rc = relay_unblock(relay, name, &done, e);
	if (rc == 0) {
		report_text(r, "done", buf_view(&done));
		report_num(r, "messages", 0);
	}
	buf_done(&done);
	return rc;
}

int
answer_action(struct relay *relay, const struct request *q, struct relay_ack *ack,
    struct report *r, struct err *e)
{
	uint64_t messages = 0, refused = 0;
	struct spool_stats stats;

	switch (q->command) {
	case REQUEST_PROBE:
		if (relay_probe(relay, q->relay, e) < 0)
			return -1;
		break;
	case REQUEST_UNBLOCK:
		return unblock(relay, q->relay, r, e);
	case REQUEST_RELOAD:
		relay_want_reload(relay);
		break;
	default:
		if (q->command == REQUEST_FLUSH && q->id == 0) {
			spool_stats(relay_spool(relay), &stats);
			relay_flush(relay);
			messages = stats.messages;
		} else if (q->all) {
			messages = act_on_all(relay, q, ack, &refused);
		} else {
			struct spool_message *m = answer_find(relay, q->id, e);

			if (m == NULL || act_on(relay, q, m, ack, e) < 0)
				return -1;
			messages = 1;
		}
	}
	report_word(r, "done", done_sentence(q));
	report_num(r, "messages", (int64_t)messages);
	if (refused > 0)
		report_num(r, "being_sent", (int64_t)refused);
	spool_stats(relay_spool(relay), &stats);
	if (stats.recovering && (q->all || q->command == REQUEST_FLUSH))
		report_num(r, "not_yet_read", (int64_t)stats.found);
	return 0;
}
