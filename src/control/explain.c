/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * explain: one message, in the queue or out of it, and the story of it.
 *
 * First the history is searched, on its worker; then, if the message is still in the
 * queue, its records are read. If it left in between, the search begins anew, so
 * that the end is in it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "control/answer.h"
#include "control/row.h"
#include "control/story.h"
#include "relay/route.h"
#include "spool/outcome.h"

#include "base/banned.h"

#define RECIPIENTS_MAX 1000	/* of a message that has left */

struct explain {
	struct relay		*relay;
	struct request		 request;
	spool_id		 id;
	void			(*on_ready)(void *owner);
	void			*owner;
	struct history_find	*find;		/* NULL: no history is kept */
	bool			 searched, was_queued;
	struct spool_reader	*reader;
	struct report		 report;
	/* of the history */
	struct view		 lines;
	bool			 cut;
};

/* --- a message in the queue -------------------------------------------------------------- */

const char *
answer_state_word(struct relay *relay, const struct spool_message *m)
{
	if (m->delivery != NULL)
		return "sending";
	return row_state(m, loop_wall(relay_env(relay)->loop));
}

void
answer_why(struct relay *relay, const struct spool_message *m, const struct answer_way *way,
    const struct spool_result *result, size_t n, char *text, size_t cap)
{
	char closed[700], staging[CONF_DANGER_MAX];

	if (m->flags & SPOOL_DAMAGED) {
		(void)snprintf(text, cap, "the stored message fails its check and can't be sent; a copy and a "
		    "note are in the spool's quarantine/, posthousectl remove ends it");
		return;
	}
	if ((m->flags & SPOOL_HELD) && (m->flags & SPOOL_UNCERTAIN)) {
		(void)snprintf(text, cap, "held: the connection ended after the whole message was sent and before "
		    "the reply came, so it may have arrived; posthousectl release sends it again, remove ends it");
		return;
	}
	if (m->flags & SPOOL_HELD) {
		(void)snprintf(text, cap, "held by the administrator, or because its user is frozen or over a limit "
		    "(posthousectl users); posthousectl release sends it");
		return;
	}
	if (m->delivery != NULL) {
		(void)answer_why_waiting(relay, way->relays, closed, sizeof(closed));
		(void)snprintf(text, cap, "being sent now%s%s", closed[0] != '\0' ? "; " : "", closed);
		return;
	}
	if (conf_staging_notice(relay_conf(relay), staging)) {
		(void)snprintf(text, cap, "%s", staging);
		return;
	}
	if (m->flags & SPOOL_UNCERTAIN) {
		(void)snprintf(text, cap, "the connection ended after the whole message was sent and before "
		    "the reply came; it is sent again after a rest, and may then arrive twice");
		return;
	}
	(void)answer_why_closed(relay, way->relays, closed, sizeof(closed));
	if (closed[0] != '\0') {
		(void)snprintf(text, cap, "%s; this does not count as an attempt", closed);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (result[i].state != SPOOL_QUEUED || result[i].text.n == 0)
			continue;
		if (result[i].code != 0)
			(void)snprintf(text, cap, "the last answer was %u %s %.*s", result[i].code,
			    result[i].status, VIEW_ARG(view_first(result[i].text, 400)));
		else
			(void)snprintf(text, cap, "%.*s", VIEW_ARG(view_first(result[i].text, 400)));
		return;
	}
	(void)answer_why_waiting(relay, way->relays, closed, sizeof(closed));
	(void)snprintf(text, cap, "waits for its %s%s%s", m->attempts == 0 ? "turn" : "next attempt",
	    closed[0] != '\0' ? "; " : "", closed);
}

/* Which way recipient i goes; of one that is done nothing is known but the answer. */
static void
put_route(struct explain *x, const struct envelope *env, uint32_t i, bool queued)
{
	const struct conf *conf = relay_conf(x->relay);
	size_t route = queued ? route_of(conf, env, i) : 0;

	if (conf->nroute == 1)
		report_hide(&x->report);
	report_word(&x->report, "route", queued ? conf->route[route].name : NULL);
	report_word(&x->report, "relay", queued ? answer_relay_of(x->relay, route) : NULL);
	report_show(&x->report);
}

static void
put_recipients(struct explain *x, struct spool_message *m, const struct envelope *env,
    const struct spool_result *result, size_t n)
{
	struct report *r = &x->report;
	const struct spool_rcpt *rcpt = spool_rcpts(m);

	report_list(r, "recipients");
	for (uint32_t i = 0; i < env->nrcpt && i < m->nrcpt; i++) {
		const struct spool_result *last = NULL;

		for (size_t k = 0; k < n && last == NULL; k++)
			if (result[k].rcpt == i)
				last = &result[k];
		report_row(r);
		report_text(r, "address", env->rcpt[i]);
		report_word(r, "state", outcome_word(rcpt[i].state));
		report_num(r, "code", last != NULL ? last->code : 0);
		report_word(r, "status", last != NULL && last->status[0] != '\0' ? last->status : NULL);
		put_route(x, env, i, rcpt[i].state == SPOOL_QUEUED);
		report_text(r, "text", last != NULL ? last->text : VIEW(""));
		report_end(r);
	}
	report_end(r);
}

/* What is the same of one in the queue and one that has left. */
struct facts {
	struct view	from, peer;	/* peer "": we made it */
	struct view	no_uid;		/* why uid is not known */
	struct view	process;	/* of the client, as far as it is known */
	int64_t		received_ms, uid, next_ms;
	uint64_t	size, attempts;
	const char	*state, *endpoint;
	struct view	why;
	uint32_t	relays;		/* whose advice is to the point */
};

static void
put_facts(struct explain *x, const struct facts *f)
{
	struct report *r = &x->report;
	char id[17];

	report_word(r, "id", spool_id_text(id, x->id));
	report_text(r, "from", f->from.n != 0 ? f->from : VIEW("<>"));
	report_time(r, "received", f->received_ms);
	report_text(r, "peer", f->peer.n != 0 ? f->peer : VIEW("posthouse itself"));
	if (f->uid >= 0)
		report_num(r, "uid", f->uid);
	else
		report_word(r, "uid", NULL);
	if (f->no_uid.n != 0)
		report_text(r, "no_uid", f->no_uid);
	if (f->process.n != 0)
		report_text(r, "process", f->process);
	report_size(r, "size", f->size);
	report_word(r, "state", f->state);
	report_num(r, "attempts", (int64_t)f->attempts);
	report_time(r, "next", f->next_ms);
	report_word(r, "last_endpoint", f->endpoint != NULL && f->endpoint[0] != '\0' ? f->endpoint : NULL);
	report_text(r, "why", f->why);
	if (f->relays != 0)
		answer_put_advice(x->relay, f->relays, r);
	else if (r->json)
		report_word(r, "advice", NULL);
}

/* What the spool has of it. */
struct stored {
	const struct envelope		*env;
	const struct spool_result	*result;
	size_t				 n;
	const char			*endpoint;
};

/* False: the disk is awaited. */
static bool
read_stored(struct explain *x, struct spool_message *m, struct stored *out)
{
	/* In place of an envelope that can't be read. */
	static struct view nobody = { (const uint8_t *)"?", 1 };
	static const struct envelope unreadable = { .from = { (const uint8_t *)"?", 1 }, .rcpt = &nobody,
		.nrcpt = 1, .uid = -1, .pid = -1 };
	enum reader_result got;
	struct err e;

	*out = (struct stored){ .env = NULL };
	if (x->reader == NULL)
		x->reader = spool_reader_new(relay_spool(x->relay), m, x->on_ready, x->owner);
	got = spool_reader_envelope(x->reader, &out->env, &e);
	if (got == READER_WAIT)
		return false;
	if (got == READER_BAD)
		out->env = &unreadable;
	got = spool_reader_outcome(x->reader, &out->result, &out->n, &out->endpoint, &e);
	if (got != READER_DATA)
		out->n = 0;
	return got != READER_WAIT;
}

static void
put_queued(struct explain *x, struct spool_message *m, const struct stored *st)
{
	struct answer_way way;
	char why[1200];

	answer_way(x->relay, m, st->env, &way);
	answer_why(x->relay, m, &way, st->result, st->n, why, sizeof(why));
	put_facts(x, &(struct facts){
		.from = st->env->from, .peer = st->env->peer, .received_ms = m->received_ms,
		.uid = st->env->uid, .no_uid = st->env->no_uid, .process = st->env->process, .size = m->size, .state = answer_state_word(x->relay, m),
		.attempts = m->attempts, .next_ms = m->next_ms, .endpoint = st->endpoint,
		.why = view_str(why), .relays = way.relays });
	put_recipients(x, m, st->env, st->result, st->n);
}

/* --- a message that has left -------------------------------------------------------------- */

/* The last that was said of a recipient. */
struct last {
	struct buf		address;
	struct story_fact	fact;	/* event "": nothing */
};

struct ending {
	struct buf	from, peer, no_uid, process, endpoint;
	int64_t		received_ms, uid;
	uint64_t	size, attempts, delivered, failed, expired, removed;
	struct buf	report;		/* id */
	bool		finished, attempted;	/* the latter: since it waited last */
	struct last	*last;
	size_t		nlast, cap;
};

static struct last *
find_last(struct ending *g, struct view address)
{
	for (size_t i = 0; i < g->nlast; i++)
		if (view_eq(buf_view(&g->last[i].address), address))
			return &g->last[i];
	if (g->nlast == RECIPIENTS_MAX)
		return NULL;
	if (g->nlast == g->cap) {
		g->cap = g->cap == 0 ? 4 : 2 * g->cap;
		g->last = xrealloc(g->last, g->cap * sizeof(*g->last));
	}
	g->last[g->nlast] = (struct last){ .fact = { .at_ms = 0 } };
	buf_init(&g->last[g->nlast].address, STORY_VALUE_MAX);
	ignore_result(buf_add(&g->last[g->nlast].address, address));	/* of a line: it fits */
	return &g->last[g->nlast++];
}

/* Those that the line names. */
static void
learn_recipients(struct ending *g, const struct story_fact *f)
{
	struct view pairs = f->pairs, key;
	struct buf value;

	buf_init(&value, STORY_VALUE_MAX);
	while (story_pair(&pairs, &key, &value)) {
		if (view_eq(key, VIEW("to")))
			(void)find_last(g, buf_view(&value));
		else if (view_eq(key, VIEW("uid")))
			g->uid = (int64_t)story_number(f, "uid");
	}
	buf_done(&value);
}

static void
learn_queued(struct ending *g, const struct story_fact *f)
{
	g->received_ms = f->at_ms;
	g->size = story_number(f, "size");
	learn_recipients(g, f);
	story_value(f, "from", &g->from);
	story_value(f, "peer", &g->peer);
	story_value(f, "no_uid", &g->no_uid);
	story_value(f, "process", &g->process);
}

/* Which events tell what became of a recipient. */
static bool
is_verdict(const struct story_fact *f)
{
	return story_is(f, "delivered") || story_is(f, "deferred") || story_is(f, "failed") ||
	    story_is(f, "uncertain") || story_is(f, "bounced") || story_is(f, "expired");
}

static void
learn(struct ending *g, const struct story_fact *f)
{
	struct buf value;
	struct last *last;

	if (story_is(f, "queued")) {
		learn_queued(g, f);
	} else if (story_is(f, "removed")) {
		learn_recipients(g, f);
	} else if (story_is(f, "waits")) {
		g->attempts = story_number(f, "attempts");
		g->attempted = false;
	} else if (story_is(f, "attempt")) {
		g->attempted = true;
		story_value(f, "endpoint", &g->endpoint);
	} else if (story_is(f, "finished")) {
		g->finished = true;
		g->delivered = story_number(f, "delivered");
		g->failed = story_number(f, "failed");
		g->expired = story_number(f, "expired");
		g->removed = story_number(f, "removed");
		/* The one that ended it: nothing has counted it. */
		g->attempts += g->attempted && g->delivered + g->failed > 0;
		story_value(f, "report", &g->report);
	} else if (is_verdict(f)) {
		buf_init(&value, STORY_VALUE_MAX);
		if (story_value(f, "to", &value) && (last = find_last(g, buf_view(&value))) != NULL)
			last->fact = *f;
		buf_done(&value);
	}
}

static void
ending_init(struct ending *g, struct view lines)
{
	struct story_fact f;

	*g = (struct ending){ .uid = -1 };
	buf_init(&g->from, STORY_VALUE_MAX);
	buf_init(&g->peer, STORY_VALUE_MAX);
	buf_init(&g->no_uid, STORY_VALUE_MAX);
	buf_init(&g->process, STORY_VALUE_MAX);
	buf_init(&g->endpoint, STORY_VALUE_MAX);
	buf_init(&g->report, STORY_VALUE_MAX);
	while (story_next(&lines, &f))
		learn(g, &f);
}

static void
ending_done(struct ending *g)
{
	for (size_t i = 0; i < g->nlast; i++)
		buf_done(&g->last[i].address);
	free(g->last);
	buf_done(&g->from);
	buf_done(&g->peer);
	buf_done(&g->no_uid);
	buf_done(&g->process);
	buf_done(&g->endpoint);
	buf_done(&g->report);
}

static const char *
end_word(const struct ending *g)
{
	return !g->finished ? "unknown" : g->failed > 0 ? "bounced" : g->expired > 0 ? "expired" :
	    g->removed > 0 ? "removed" : "delivered";
}

static void
end_why(const struct ending *g, struct buf *why)
{
	uint64_t all = g->delivered + g->failed + g->expired + g->removed;
	const char *before = "";

	if (!g->finished) {
		ignore_result(buf_add_str(why, "it is not in the queue any more, and the end of its story is "
		    "not in the history: the last lines before a crash can be missing"));
		return;
	}
	if (g->delivered == all) {
		ignore_result(buf_addf(why, "the smarthost took it for %s", all == 1 ? "its recipient" :
		    "all recipients"));
		return;
	}
	if (g->delivered > 0) {
		ignore_result(buf_addf(why, "delivered to %llu of %llu recipients", (unsigned long long)g->delivered,
		    (unsigned long long)all));
		before = "; ";
	}
	if (g->failed > 0) {
		ignore_result(buf_addf(why, "%srefused for good for %llu", before, (unsigned long long)g->failed));
		before = "; ";
	}
	if (g->expired > 0) {
		ignore_result(buf_addf(why, "%stoo old for %llu", before, (unsigned long long)g->expired));
		before = "; ";
	}
	if (g->removed > 0)
		ignore_result(buf_addf(why, "%sremoved by the administrator before %llu had got it", before,
		    (unsigned long long)g->removed));
	if (g->failed + g->expired > 0 && buf_len(&g->report) > 0)
		ignore_result(buf_addf(why, "; the report is message %.*s", VIEW_ARG(buf_view(&g->report))));
	else if (g->failed + g->expired > 0)
		ignore_result(buf_add_str(why, "; nobody could be told"));
}

static const char *
last_word(const struct ending *g, const struct story_fact *f)
{
	if (story_is(f, "delivered"))
		return "delivered";
	if (story_is(f, "bounced") || story_is(f, "failed"))
		return "failed";
	if (story_is(f, "expired"))
		return "expired";
	return g->removed > 0 ? "removed" : "unknown";
}

static void
put_last(struct explain *x, const struct ending *g, const struct last *last)
{
	struct report *r = &x->report;
	struct buf value;

	buf_init(&value, STORY_VALUE_MAX);
	report_row(r);
	report_text(r, "address", buf_view(&last->address));
	report_word(r, "state", last_word(g, &last->fact));
	report_num(r, "code", (int64_t)story_number(&last->fact, "code"));
	if (story_value(&last->fact, "status", &value) && !view_eq(buf_view(&value), VIEW("-")))
		report_text(r, "status", buf_view(&value));
	else
		report_word(r, "status", NULL);
	story_value(&last->fact, "reply", &value);
	report_hide(r);
	report_word(r, "route", NULL);
	report_word(r, "relay", NULL);
	report_show(r);
	report_text(r, "text", buf_view(&value));
	report_end(r);
	buf_done(&value);
}

static void
put_gone(struct explain *x)
{
	struct ending g;
	struct buf why;

	ending_init(&g, x->lines);
	buf_init(&why, STORY_SENTENCE_MAX);
	end_why(&g, &why);
	put_facts(x, &(struct facts){
		.from = buf_view(&g.from), .peer = buf_view(&g.peer), .received_ms = g.received_ms,
		.uid = g.uid, .no_uid = buf_view(&g.no_uid), .process = buf_view(&g.process), .size = g.size, .attempts = g.attempts, .state = end_word(&g),
		.endpoint = buf_cstr(&g.endpoint), .why = buf_view(&why) });
	report_list(&x->report, "recipients");
	for (size_t i = 0; i < g.nlast; i++)
		put_last(x, &g, &g.last[i]);
	report_end(&x->report);
	buf_done(&why);
	ending_done(&g);
}

/* --- the story ---------------------------------------------------------------------------- */

static void
put_key(struct report *r, const struct story_fact *f, const char *key)
{
	struct buf value;

	buf_init(&value, STORY_VALUE_MAX);
	if (story_value(f, key, &value))
		report_text(r, key, buf_view(&value));
	else
		report_word(r, key, NULL);
	buf_done(&value);
}

static void
put_story(struct explain *x)
{
	struct report *r = &x->report;
	struct view lines = x->lines;
	struct story_fact f;
	struct buf sentence;

	buf_init(&sentence, STORY_SENTENCE_MAX);
	if (!r->json && lines.n > 0)
		ignore_result(buf_add_str(r->out, "\n"));
	report_list(r, "history");
	while (story_next(&lines, &f)) {
		char event[40];

		buf_clear(&sentence);
		if (!story_tell(&f, &sentence))
			continue;
		(void)snprintf(event, sizeof(event), "%.*s", VIEW_ARG(view_first(f.event, 39)));
		report_row(r);
		report_time(r, "time", f.at_ms);
		report_hide(r);
		report_word(r, "event", event);
		put_key(r, &f, "endpoint");
		put_key(r, &f, "class");
		report_show(r);
		report_text(r, "what", buf_view(&sentence));
		report_end(r);
	}
	report_end(r);
	if (r->json || x->cut)
		report_bool(r, "history_cut", x->cut);
	buf_done(&sentence);
}

/* --- going on ------------------------------------------------------------------------------ */

static void
on_found(void *owner)
{
	struct explain *x = owner;

	x->searched = true;
	x->on_ready(x->owner);
}

static void
search(struct explain *x)
{
	struct history *h = relay_history(x->relay);

	history_find_free(x->find);
	x->find = NULL;
	x->was_queued = spool_find(relay_spool(x->relay), x->id) != NULL;
	x->searched = h == NULL;
	if (h != NULL)
		x->find = history_find(h, x->id, on_found, x);
}

static bool
has_ended(struct view lines)
{
	struct story_fact f;

	while (story_next(&lines, &f))
		if (story_is(&f, "finished"))
			return true;
	return false;
}

/* What is not known may still be found. */
static bool
is_recovering(const struct explain *x)
{
	struct spool_stats stats;

	spool_stats(relay_spool(x->relay), &stats);
	return stats.recovering;
}

static int
no_such_message(const struct explain *x, struct err *e)
{
	const struct conf *conf = relay_conf(x->relay);
	char id[17];

	if (is_recovering(x) || x->find == NULL) {
		(void)answer_find(x->relay, x->id, e);	/* its words are right here */
		return -1;
	}
	return err_set(e, ERR_GONE, "message %s is not in the queue, and the history has nothing of it (it goes "
	    "back %u days, or as far as history_size allows)", spool_id_text(id, x->id), conf->history);
}

int
explain_new(struct explain **out, struct relay *relay, const struct request *q,
    void (*on_ready)(void *), void *owner, struct err *e)
{
	struct history *h = relay_history(relay);
	spool_id id = q->last ? h != NULL ? history_last(h) : 0 : q->id;
	struct explain *x;

	if (id == 0 && h == NULL)
		return err_set(e, ERR_GONE, "no history is kept (history = 0), so the last message is not known");
	x = xzalloc(sizeof(*x));
	x->relay = relay;
	x->request = *q;
	x->id = id;
	x->on_ready = on_ready;
	x->owner = owner;
	search(x);
	*out = x;
	return 0;
}

static enum listing_result
write_answer(struct explain *x, struct spool_message *m, struct buf *out)
{
	struct stored st;

	if (m != NULL && !read_stored(x, m, &st))
		return LISTING_WAIT;
	ignore_result(buf_add_str(out, "ok\n"));	/* it is empty */
	report_begin(&x->report, out, x->request.json);
	answer_put_staging(x->relay, &x->report);
	if (m == NULL)
		put_gone(x);
	else
		put_queued(x, m, &st);
	put_story(x);
	(void)weird(!report_finish(&x->report));	/* lines and recipients are bounded */
	return LISTING_DONE;
}

enum listing_result
explain_step(struct explain *x, struct buf *out, struct err *e)
{
	struct spool_message *m;

	if (!x->searched)
		return LISTING_WAIT;
	if (x->id == 0) {
		/* "last" was asked for before the history knew what is in its files. */
		x->id = history_last(relay_history(x->relay));
		if (x->id == 0) {
			err_set(e, ERR_GONE, "no message was accepted yet, as far as the history tells");
			return LISTING_FAILED;
		}
		search(x);
		return LISTING_WAIT;
	}
	if (x->find != NULL && history_find_result(x->find, &x->lines, &x->cut, NULL) < 0)
		x->lines = VIEW("");	/* what the queue knows can be told all the same */
	m = spool_find(relay_spool(x->relay), x->id);
	if (m == NULL && x->was_queued && x->find != NULL && !has_ended(x->lines)) {
		spool_reader_free(x->reader);
		x->reader = NULL;
		search(x);
		return LISTING_WAIT;
	}
	if (m == NULL && (x->lines.n == 0 || (is_recovering(x) && !has_ended(x->lines)))) {
		(void)no_such_message(x, e);
		return LISTING_FAILED;
	}
	return write_answer(x, m, out);
}

void
explain_free(struct explain *x)
{
	if (x == NULL)
		return;
	history_find_free(x->find);
	spool_reader_free(x->reader);
	free(x);
}
