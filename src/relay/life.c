/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * life - every step in the life of a message, said once: to the log and to the
 * history (doc/log.md, doc/history.md). All of these lines have an id, in front.
 */
#include <stdio.h>

#include "base/date.h"
#include "base/require.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

static void
begin(struct log_line *l, struct relay *r, enum log_level level, const char *event,
    const struct spool_message *m)
{
	log_begin(l, r->life, level, event);
	log_id(l, m->id);
}

/* --- in ----------------------------------------------------------------------------- */

static bool
put_word(struct buf *words, struct view v)
{
	return buf_room(words) > v.n && buf_add(words, v) && buf_add_byte(words, '\0');
}

void
life_origin_init(struct life_origin *o, const struct envelope *env)
{
	bool more = true;

	buf_init(&o->words, LIFE_ORIGIN_MAX);
	o->nrcpt = env->nrcpt;
	o->uid = env->uid;
	o->script[0] = '\0';
	if (!put_word(&o->words, view_first(env->from, 254)) ||	/* as long as an address may be */
	    !put_word(&o->words, view_first(env->peer, 64)) ||
	    !put_word(&o->words, view_first(env->no_uid, 32)) ||
	    !put_word(&o->words, view_first(env->process, 112)))
		more = false;
	for (uint32_t i = 0; i < env->nrcpt && more; i++)
		more = put_word(&o->words, env->rcpt[i]);
}

void
life_origin_done(struct life_origin *o)
{
	buf_done(&o->words);
}

static void
put_origin(struct log_line *l, const struct life_origin *o)
{
	struct view words = buf_view(&o->words), word;

	log_text(l, "from", view_split(&words, '\0', &word) ? word : VIEW(""));
	if (view_split(&words, '\0', &word) && word.n > 0)
		log_text(l, "peer", word);
	if (o->uid >= 0)
		log_num(l, "uid", o->uid);
	if (view_split(&words, '\0', &word) && word.n > 0)
		log_text(l, "no_uid", word);
	if (view_split(&words, '\0', &word) && word.n > 0)
		log_text(l, "process", word);
	if (o->script[0] != '\0')
		log_text(l, "script", view_str(o->script));
	log_num(l, "rcpts", o->nrcpt);
	while (view_split(&words, '\0', &word))
		log_text(l, "to", word);
}

void
life_queued(struct relay *r, spool_id id, uint64_t size, const struct life_origin *o)
{
	struct log_line l;

	log_begin(&l, r->life, LEVEL_DEBUG, "queued");
	log_id(&l, id);
	log_num(&l, "size", (int64_t)size);
	put_origin(&l, o);
	log_end(&l);
	if (r->history != NULL)
		history_set_last(r->history, id);
}

static void
report_queued(struct relay *r, spool_id id, spool_id of, const struct spool_bounce *bounce)
{
	struct life_origin o;
	struct log_line l;
	char text[17];

	life_origin_init(&o, bounce->envelope);
	log_begin(&l, r->life, LEVEL_DEBUG, "queued");
	log_id(&l, id);
	log_word(&l, "report_of", spool_id_text(text, of));
	log_num(&l, "size", (int64_t)bounce->message.n);
	put_origin(&l, &o);
	log_end(&l);
	life_origin_done(&o);
}

void
life_found_uncertain(struct relay *r, const struct spool_message *m)
{
	struct log_line l;

	begin(&l, r, LEVEL_WARNING, "uncertain", m);
	log_word(&l, "why", "stopped-before-the-reply-to-the-final-dot");
	log_end(&l);
}

/* --- an attempt ------------------------------------------------------------------------ */

static const char *const phase_keys[] = {
	[PHASE_NONE] = NULL, [PHASE_LOOKUP] = "lookup_ms", [PHASE_CONNECT] = "connect_ms",
	[PHASE_GREETING] = "greeting_ms", [PHASE_TLS] = "tls_ms", [PHASE_LOGIN] = "login_ms",
	[PHASE_ENVELOPE] = "envelope_ms", [PHASE_TEXT] = "text_ms", [PHASE_REPLY] = "reply_ms",
};
_Static_assert(lengthof(phase_keys) == PHASE_COUNT, "each phase has its key");

static const enum session_spends phase_of_state[CL_COUNT] = {
	[CL_GREETING] = PHASE_GREETING, [CL_EHLO] = PHASE_GREETING, [CL_HELO] = PHASE_GREETING,
	[CL_STARTTLS] = PHASE_TLS, [CL_TLS] = PHASE_TLS, [CL_EHLO_TLS] = PHASE_TLS,
	[CL_AUTH] = PHASE_LOGIN, [CL_AUTH_NEXT] = PHASE_LOGIN,
	[CL_MAIL] = PHASE_ENVELOPE, [CL_RCPT] = PHASE_ENVELOPE, [CL_DATA] = PHASE_ENVELOPE,
	[CL_BODY] = PHASE_TEXT, [CL_DOT] = PHASE_REPLY,
};

static enum session_spends
phase_now(const struct session *s)
{
	switch (s->phase) {
	case SESSION_LOOKUP:
		return PHASE_LOOKUP;
	case SESSION_DIAL:
		return PHASE_CONNECT;
	case SESSION_TALK:
		return s->parked || s->client == NULL ? PHASE_NONE : phase_of_state[client_state(s->client)];
	case SESSION_OVER:
		break;
	}
	return PHASE_NONE;
}

void
life_phase(struct session *s)
{
	int64_t now = loop_now(s->r->env.loop);

	s->spent_ms[s->spends] += now - s->spends_since_ms;
	s->spends_since_ms = now;
	s->spends = phase_now(s);
}

/* "587 down no_banner, 2525 up": what the choice was among. */
static void
put_others(struct log_line *l, struct session *s)
{
	const struct upstream *u = s->up;
	char text[240];
	size_t n = 0;

	for (size_t i = 0; i < u->conf->nendpoint && n < sizeof(text); i++) {
		struct endpoint_view v;
		bool bad;

		if (i == s->endpoint)
			continue;
		health_endpoint(u->health, i, &v);
		bad = v.why_class != HEALTH_OK;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u %s%s%s", n > 0 ? ", " : "",
		    (unsigned)u->conf->endpoint[i].port, endpoint_state_word(v.state), bad ? " " : "",
		    bad ? health_class_info(v.why_class)->word : "");
	}
	if (n > 0)
		log_text(l, "others", view_first(view_str(text), sizeof(text) - 1));
}

void
life_attempt(struct session *s)
{
	struct relay *r = s->r;
	struct log_line l;

	life_phase(s);
	begin(&l, r, LEVEL_DEBUG, "attempt", s->d.m);
	log_word(&l, "relay", s->up->conf->name);
	log_word(&l, "endpoint", watch_endpoint(s->up, s->endpoint));
	log_word(&l, "chosen", s->chosen);
	if (!l.off)
		put_others(&l, s);
	log_num(&l, "message", (int64_t)s->messages + 1);
	for (int p = s->messages == 0 ? PHASE_LOOKUP : PHASE_ENVELOPE; p < PHASE_COUNT; p++)
		log_num(&l, phase_keys[p], s->spent_ms[p]);
	log_end(&l);
	s->spent_ms[PHASE_ENVELOPE] = s->spent_ms[PHASE_TEXT] = s->spent_ms[PHASE_REPLY] = 0;
}

void
life_recipient(struct session *s, const struct life_verdict *v)
{
	struct relay *r = s->r;
	const struct spool_message *m = s->d.m;
	struct log_line l;
	bool bad = v->fate != FATE_DELIVERED;
	const char *event = v->fate == FATE_DELIVERED ? "delivered" : v->fate == FATE_FAILED ? "failed" :
	    v->fate == FATE_UNCERTAIN ? "uncertain" : "deferred";

	log_begin(&l, r->life, v->fate == FATE_UNCERTAIN ? LEVEL_WARNING : LEVEL_INFO, event);
	log_id(&l, m->id);
	log_text(&l, "to", v->to);
	log_word(&l, "relay", s->up->conf->name);
	log_word(&l, "endpoint", watch_endpoint(s->up, s->endpoint));
	if (bad && v->fate != FATE_FAILED && v->fate != FATE_UNCERTAIN)
		log_word(&l, "why", fate_word(v->fate));
	if (bad) {
		log_word(&l, "class", health_class_info(v->class)->word);
		log_word(&l, "at", client_state_word(v->at));
	}
	log_num(&l, "code", v->result->code);
	log_word(&l, "status", v->result->status[0] != '\0' ? v->result->status : "-");
	log_text(&l, "reply", v->result->text);
	log_num(&l, "delay_ms", loop_wall(r->env.loop) - m->received_ms);
	log_end(&l);
}

void
life_waits(struct relay *r, const struct spool_message *m, enum outcome_when when, unsigned attempts,
    int64_t for_ms)
{
	struct log_line l;
	char date[DATE_MAX];

	begin(&l, r, LEVEL_DEBUG, "waits", m);
	log_word(&l, "why", when == WHEN_BACKOFF ? "backoff" : when == WHEN_UNCERTAIN ? "uncertain" : "turn");
	log_num(&l, "attempts", attempts);
	if (when != WHEN_NOW) {
		log_num(&l, "for_ms", for_ms);
		log_word(&l, "until", date_rfc3339(date, loop_wall(r->env.loop) + for_ms));
	}
	log_end(&l);
}

/* --- the end ----------------------------------------------------------------------------- */

void
life_given_up(struct relay *r, const struct spool_message *m, const struct life_end *end)
{
	struct log_line l;

	begin(&l, r, LEVEL_WARNING, end->expired ? "expired" : "bounced", m);
	log_text(&l, "to", end->to);
	log_text(&l, "from", end->from);
	if (end->result != NULL) {
		log_num(&l, "code", end->result->code);
		log_word(&l, "status", end->result->status[0] != '\0' ? end->result->status : "-");
		log_text(&l, "reply", end->result->text);
	}
	log_end(&l);
}

void
life_reported(struct relay *r, const struct spool_message *m, struct view from, struct view to)
{
	struct log_line l;

	begin(&l, r, LEVEL_INFO, "reported", m);
	log_text(&l, "from", from);
	log_text(&l, "report_to", to);
	log_end(&l);
}

void
life_report_dropped(struct relay *r, const struct spool_message *m, struct view from, bool unwanted)
{
	struct log_line l;

	begin(&l, r, LEVEL_WARNING, "report-dropped", m);
	log_text(&l, "from", from);
	log_word(&l, "why", unwanted ? "not-wanted" : (m->flags & SPOOL_BOUNCE) != 0 ? "a-report-and-nobody-else-to-tell" :
	    from.n == 0 ? "null-sender" : "sender-not-reachable-and-no-admin");
	log_end(&l);
}

void
life_finish(struct relay *r, struct spool_message *m, const struct spool_update *u,
    const struct spool_bounce *bounce, void (*on_written)(void *owner), void *owner)
{
	static const struct { enum spool_rcpt_state state; const char *key; } ends[] = {
		{ SPOOL_DELIVERED, "delivered" }, { SPOOL_FAILED, "failed" },
		{ SPOOL_EXPIRED, "expired" }, { SPOOL_REMOVED, "removed" },
	};
	const struct spool_message was = *m;
	const struct spool_rcpt *rc = spool_rcpts(m);
	int64_t n[SPOOL_REMOVED + 1] = { 0 };
	struct log_line l;
	char text[17];
	spool_id report;

	users_left(r, m);
	for (uint32_t i = 0; i < m->nrcpt; i++)
		n[rc[i].state]++;
	for (size_t i = 0; i < u->nresult; i++) {
		n[rc[u->result[i].rcpt].state]--;
		n[u->result[i].state]++;
	}
	report = spool_finish(r->spool, m, u, bounce, on_written, owner);
	begin(&l, r, LEVEL_DEBUG, "finished", &was);
	for (size_t i = 0; i < lengthof(ends); i++)
		if (n[ends[i].state] > 0)
			log_num(&l, ends[i].key, n[ends[i].state]);
	if (report != 0)
		log_word(&l, "report", spool_id_text(text, report));
	log_end(&l);
	if (report != 0)
		report_queued(r, report, was.id, bounce);
}

/* --- what the administrator does, and damage ------------------------------------------------ */

void
life_held(struct relay *r, const struct spool_message *m, bool hold, const char *why)
{
	struct log_line l;

	begin(&l, r, LEVEL_INFO, hold ? "held" : "released", m);
	if (why != NULL)
		log_word(&l, "why", why);
	log_end(&l);
}

void
life_held_uncertain(struct relay *r, const struct spool_message *m)
{
	struct log_line l;

	begin(&l, r, LEVEL_WARNING, "held", m);
	log_word(&l, "why", "uncertain");
	log_end(&l);
}

void
life_removed(struct relay *r, struct spool_message *m, const struct envelope *env, size_t rcpts)
{
	const struct spool_rcpt *rc = spool_rcpts(m);
	struct log_line l;
	size_t n = 0;

	begin(&l, r, LEVEL_INFO, "removed", m);
	log_num(&l, "rcpts", (int64_t)rcpts);
	for (uint32_t i = 0; env != NULL && i < env->nrcpt && i < m->nrcpt; i++) {
		if (rc[i].state != SPOOL_QUEUED)
			continue;
		n += env->rcpt[i].n;
		if (n > LIFE_ORIGIN_MAX)
			break;
		log_text(&l, "to", env->rcpt[i]);
	}
	log_end(&l);
}

void
life_sunk(struct relay *r, const struct spool_message *m, const char *name, size_t rcpts)
{
	struct log_line l;

	begin(&l, r, LEVEL_INFO, "sunk", m);
	log_num(&l, "rcpts", (int64_t)rcpts);
	log_text(&l, "file", view_str(name));
	log_end(&l);
}

void
life_unreadable(struct relay *r, const struct spool_message *m, const struct err *e)
{
	struct log_line l;

	begin(&l, r, LEVEL_ERROR, e->kind == ERR_DAMAGED ? "damaged" : "unreadable", m);
	log_err(&l, e);
	log_end(&l);
}
