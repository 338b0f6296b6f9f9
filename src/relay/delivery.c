/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * delivery - the message in a session: recipients in portions, body, results.
 *
 * The order that the promise of "at most once but for a lost reply" rests on:
 * UNCERTAIN is recorded and written before the final dot leaves, and taken back when
 * it does not leave; the result is recorded in the turn in which the reply is read.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "relay/relay_impl.h"
#include "smtp/dsn.h"

#include "base/banned.h"

/* So that one message does not meet all sessions that die in the same moment, nor stand before the others. */
static const int64_t cut_rest_ms[OUTCOME_CUTS_FREE] = { 500, 500, 5000 };

static void
on_reader(void *owner)
{
	session_resume(owner);
}

void
delivery_give(struct session *s, struct spool_message *m)
{
	struct delivery *d = &s->d;

	m->delivery = s;
	d->m = m;
	s->message_id = m->id;
	s->apart = schedule_is_apart(m);
	s->cuts = m->lane & LANE_CUTS;
	s->blamed = s->own_fault = false;
	d->route = schedule_route(m);
	schedule_tried(m, d->route);
	d->reader = NULL;
	d->cursor = 0;
	d->n = 0;
	memset(d->fates, 0, sizeof(d->fates));
	d->sent = d->marked = d->read_all = d->success_due = d->denied = false;
	d->chunk = view_of(NULL, 0);
	s->idle = false;
}

static void
close_reader(struct delivery *d)
{
	spool_reader_free(d->reader);
	d->reader = NULL;
	d->envelope = NULL;
}

/* The message leaves the session; its fate is settled by the caller. */
static struct spool_message *
let_go(struct session *s)
{
	struct spool_message *m = s->d.m;

	close_reader(&s->d);
	s->d.m = NULL;
	m->delivery = NULL;
	return m;
}

/* --- ending an attempt -------------------------------------------------------- */

static void
update_init(struct session *s, struct spool_update *u, size_t nresult)
{
	const struct spool_message *m = s->d.m;

	*u = (struct spool_update){
		.result = s->d.result,
		.nresult = nresult,
		.attempts = m->attempts,
		.flags = m->flags & SPOOL_HELD,
		.endpoint = watch_endpoint(s->up, s->endpoint),
	};
}

/* When a restart is to go on, if those on our route wait until at_ms (INT64_MAX: none are left). */
static void
update_resume(struct session *s, struct spool_update *u, int64_t at_ms, bool uncertain)
{
	struct relay *r = s->r;
	int64_t now = loop_now(r->env.loop);
	int64_t resume = schedule_resume_at(&r->schedule, s->d.m, s->d.route, at_ms, &uncertain);

	if (uncertain)
		u->flags |= SPOOL_UNCERTAIN;
	if (resume > now)
		u->next_ms = loop_wall(r->env.loop) + (resume - now);
}

static bool
any_failed(struct spool_message *m)
{
	const struct spool_rcpt *rc = spool_rcpts(m);

	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (rc[i].state == SPOOL_FAILED || rc[i].state == SPOOL_EXPIRED)
			return true;
	return false;
}

/*
 * Something failed; or success is to be told, and is perhaps ours to tell: the report finds out,
 * from what is recorded.
 */
static bool
is_reported(const struct delivery *d)
{
	return d->fates[FATE_FAILED] != 0 || any_failed(d->m) || d->success_due;
}

/* Back into the schedule. What is uncertain for good does not go out before the others have ended. */
static void
keep_waiting(struct session *s, const struct outcome_plan *plan, struct spool_message *m, int64_t at_ms)
{
	struct relay *r = s->r;
	bool uncertain = plan->when == WHEN_UNCERTAIN;

	if (uncertain && r->conf->queue.uncertain_then != CONF_UNCERTAIN_RESEND)
		at_ms = INT64_MAX;
	else if (plan->when != WHEN_BACKOFF && !uncertain && !plan->cut && m->due.key < at_ms)
		at_ms = m->due.key;	/* keeps its place */
	relay_wait_route(r, m, s->d.route, at_ms, uncertain);
}

/* WHEN_NEVER: nobody is left on our route, but on others. */
static void
wait_again(struct session *s, const struct outcome_plan *plan, size_t nresult)
{
	struct relay *r = s->r;
	struct spool_message *m = s->d.m;
	bool later = plan->when == WHEN_BACKOFF || plan->when == WHEN_UNCERTAIN;
	int64_t now = loop_now(r->env.loop), at = now, backoff;
	unsigned cuts = m->lane & LANE_CUTS;
	struct spool_update u;

	update_init(s, &u, nresult);
	if (plan->charged && u.attempts < UINT16_MAX)
		u.attempts++;
	if (plan->cut && cuts < LANE_CUTS)
		m->lane++;
	else if (plan->charged && !plan->cut)
		m->lane &= (uint8_t)~LANE_CUTS;
	backoff = u.attempts != 0 ?
	    schedule_backoff(&r->schedule.params, u.attempts, r->env.rng) : 0;
	if (plan->when == WHEN_BACKOFF)
		at = now + backoff;
	else if (plan->cut)
		at = now + cut_rest_ms[cuts < OUTCOME_CUTS_FREE ? cuts : OUTCOME_CUTS_FREE - 1];
	if (plan->when == WHEN_UNCERTAIN) {
		at = now + r->schedule.params.uncertain_ms;
		if (at < now + backoff)
			at = now + backoff;
	}
	update_resume(s, &u, plan->when == WHEN_NEVER ? INT64_MAX : at, plan->when == WHEN_UNCERTAIN);
	(void)let_go(s);
	if (later && sweep_is_expired(r, m)) {
		report_result(r, m, &u, NULL, NULL);
		return;
	}
	spool_update(r->spool, m, &u, NULL, NULL);
	keep_waiting(s, plan, m, at);
	if (schedule_is_uncertain(m) && uncertain_settle(r, m))
		return;
	life_waits(r, m, later ? plan->when : WHEN_NOW, u.attempts, at - now);
}

/* As they are charged for: of what is the account's none is, of what is the message's own each. */
static unsigned
cuts_of(const struct session *s)
{
	if (s->d.denied)
		return 0;
	return blame_is_own(&s->up->watch.blame, s->d.m->id) ? OUTCOME_CUTS_FREE : s->d.m->lane & LANE_CUTS;
}

static void
conclude(struct session *s, size_t nresult)
{
	struct relay *r = s->r;
	struct delivery *d = &s->d;
	struct spool_update u;
	struct outcome_plan plan;
	bool reported = is_reported(d);
	struct spool_message *m;

	if (++s->messages >= s->up->conf->messages_per_connection)
		s->retire = true;
	outcome_plan(d->fates, cuts_of(s), &plan);
	if (plan.when != WHEN_NEVER || schedule_has_others(d->m, d->route)) {
		wait_again(s, &plan, nresult);
		return;
	}
	update_init(s, &u, nresult);
	if (reported) {
		m = let_go(s);
		report_result(r, m, &u, NULL, NULL);
	} else {
		m = let_go(s);
		life_finish(r, m, &u, NULL, NULL, NULL);
		relay_status_changed(r);
		if (r->draining)
			pool_kick(s->up);
	}
}

void
delivery_abandon(struct session *s)
{
	s->d.fates[FATE_WAIT]++;
	s->d.n = 0;
	conclude(s, 0);
}

/* --- sending ------------------------------------------------------------------- */

static void
make_room(struct delivery *d, uint32_t n)
{
	if (d->cap >= n)
		return;
	free(d->index);
	free(d->rcpt);
	free(d->result);
	d->index = xcalloc(n, sizeof(*d->index));
	d->rcpt = xcalloc(n, sizeof(*d->rcpt));
	d->result = xcalloc(n, sizeof(*d->result));
	d->cap = n;
}

static uint32_t
portion_limit(const struct upstream *u, const struct spool_message *m)
{
	uint32_t limit = u->conf->recipients_per_message;

	if (limit == 0 || limit > RECIPIENTS_MAX)
		limit = RECIPIENTS_MAX;
	return m->nrcpt < limit ? m->nrcpt : limit;
}

/* Recipient i is still to be sent to, on the route of this session. */
static bool
is_ours(const struct delivery *d, uint32_t i)
{
	const struct spool_rcpt *rc = &spool_rcpts(d->m)[i];

	return rc->state == SPOOL_QUEUED && schedule_route_of(rc) == d->route;
}

/* The next recipients that are still to be sent to. */
static void
fill_portion(struct session *s)
{
	struct delivery *d = &s->d;
	uint32_t nrcpt = d->m->nrcpt, limit = portion_limit(s->up, d->m);
	struct envelope_dsn dsn;

	make_room(d, limit);
	d->n = 0;
	for (; d->cursor < nrcpt && d->n < limit; d->cursor++) {
		if (!is_ours(d, d->cursor))
			continue;
		d->index[d->n] = d->cursor;
		dsn = envelope_dsn(d->envelope, d->cursor);
		d->rcpt[d->n++] = (struct client_rcpt){ d->envelope->rcpt[d->cursor], dsn.notify, dsn.orcpt };
	}
}

static bool
has_more(const struct delivery *d)
{
	for (uint32_t i = d->cursor; i < d->m->nrcpt; i++)
		if (is_ours(d, i))
			return true;
	return false;
}

/* The disk fails now, and no dot was sent: those on our route rest, and nothing is uncertain. */
static void
rest_unread(struct session *s, const struct err *e)
{
	struct delivery *d = &s->d;
	char buf[SPOOL_TEXT_MAX];
	struct view text = relay_unread_text(buf, e);
	size_t n = 0;

	make_room(d, d->m->nrcpt);
	for (uint32_t i = 0; i < d->m->nrcpt; i++)
		if (is_ours(d, i))
			relay_unread_result(&d->result[n++], i, text);
	d->fates[FATE_DEFERRED] += (uint32_t)n;
	d->n = 0;
	conclude(s, n);
}

static void
unreadable(struct session *s, const struct err *e)
{
	struct relay *r = s->r;

	if (e->kind == ERR_DAMAGED) {
		relay_unreadable(r, let_go(s), e, true);
		return;
	}
	life_unreadable(r, s->d.m, e);
	rest_unread(s, e);
}

static bool
wants_success(const struct envelope *env)
{
	for (uint32_t i = 0; env->dsn != NULL && i < env->nrcpt; i++)
		if (dsn_notifies(env->dsn[i].notify, VIEW("SUCCESS")))
			return true;
	return false;
}

/* Does the header go beyond ASCII? One that does not end in what is read is taken to. */
static bool
has_utf8_header(struct view text, bool all)
{
	struct view line;

	while (view_split(&text, '\n', &line)) {
		if (line.n <= 1)		/* the CR of the empty line */
			return false;
		if (!view_is_ascii(line))
			return true;
	}
	return !all;
}

/*
 * Envelope, and where it matters the beginning of the text: a client that said SMTPUTF8
 * need not have used it, and then any server will do.
 */
static enum reader_result
read_envelope(struct session *s, bool *needs_utf8, struct err *e)
{
	struct delivery *d = &s->d;
	enum reader_result got;

	*needs_utf8 = false;
	if (d->reader == NULL) {
		d->reader = spool_reader_new(s->r->spool, d->m, on_reader, s);
		d->chunk = view_of(NULL, 0);
		d->read_all = false;
	}
	got = spool_reader_envelope(d->reader, &d->envelope, e);
	if (got != READER_DATA)
		return got;
	if (d->envelope->nrcpt != d->m->nrcpt) {
		(void)err_set(e, ERR_DAMAGED, "the envelope has another number of recipients");
		return READER_BAD;
	}
	if (!d->envelope->smtputf8 || (client_caps(s->client) & CAP_SMTPUTF8) != 0)
		return READER_DATA;
	if (d->chunk.n == 0)
		got = spool_reader_next(d->reader, &d->chunk, e);
	d->read_all = got == READER_END;
	*needs_utf8 = got == READER_DATA && has_utf8_header(d->chunk, d->chunk.n >= d->m->size);
	return got == READER_END ? READER_DATA : got;
}

bool
delivery_send(struct session *s)
{
	struct delivery *d = &s->d;
	struct client_message message;
	enum reader_result got;
	bool needs_utf8;
	struct err e;

	got = read_envelope(s, &needs_utf8, &e);
	if (got == READER_WAIT)
		return false;
	if (got != READER_DATA) {
		unreadable(s, &e);
		return true;
	}
	users_learn(s->r, d->m, d->envelope);
	d->success_due = wants_success(d->envelope);
	fill_portion(s);
	if (d->n == 0) {
		conclude(s, 0);
		return true;
	}
	message = (struct client_message){
		.from = d->envelope->from,
		.rcpt = d->rcpt,
		.nrcpt = d->n,
		.size = d->m->size,
		.eight_bit = (d->m->flags & SPOOL_EIGHT_BIT) != 0,
		.ret = d->envelope->ret,
		.envid = d->envelope->envid,
		.utf8 = d->envelope->smtputf8,
		.needs_utf8 = needs_utf8,
	};
	d->sent = true;
	d->marked = false;
	client_send(s->client, &message);
	return true;
}

static void
on_marked(void *owner)
{
	struct session *s = owner;

	s->mark_pending = false;
	if (s->phase == SESSION_OVER)
		task_post(s->r->env.loop, &s->r->reap);
	else
		session_resume(s);
}

/* Record, before the dot, that it may have arrived. */
static void
mark(struct session *s)
{
	struct relay *r = s->r;
	struct spool_update u;

	update_init(s, &u, 0);
	update_resume(s, &u, loop_now(r->env.loop) + r->schedule.params.uncertain_ms, true);
	s->mark_pending = true;
	s->d.marked = true;
	spool_update(r->spool, s->d.m, &u, on_marked, s);
}

/* Text for the machine. False: none now. */
static bool
next_chunk(struct session *s)
{
	struct delivery *d = &s->d;
	struct err e;

	switch (spool_reader_next(d->reader, &d->chunk, &e)) {
	case READER_DATA:
		return true;
	case READER_END:
		d->read_all = true;
		return true;
	case READER_WAIT:
		return false;
	case READER_BAD:
		break;
	}
	s->unreadable = true;
	s->unreadable_why = e;
	session_failed_by_us(s);
	return true;
}

bool
delivery_body(struct session *s)
{
	struct delivery *d = &s->d;

	if (s->closed)
		return false;
	for (;;) {
		if (d->chunk.n == 0 && !d->read_all && !next_chunk(s))
			return false;
		if (s->unreadable)
			return true;
		if (d->chunk.n != 0) {
			size_t n = client_body(s->client, d->chunk);

			d->chunk = view_from(d->chunk, n);
			if (!session_flush(s))
				return false;	/* the stream is full */
		} else if (d->read_all) {
			break;
		}
	}
	/*
	 * Of a long text all has to be out of our hands before the dot is: a connection that
	 * is lost until then leaves no doubt. A short one leaves in one write with its dot.
	 */
	if (d->m->size > SPOOL_CHUNK && stream_output_len(s->stream) > 0)
		return false;
	/* No sooner: whoever is killed with the text half sent leaves no doubt either. */
	if (!d->marked && !s->mark_pending)
		mark(s);
	if (s->mark_pending)
		return false;		/* the dot must not overtake the mark, of this transaction or the one before */
	client_body_end(s->client);
	return true;
}

/* --- results -------------------------------------------------------------------- */

/* No reply decided: the connection, or the server, went away. */
static void
judge_loss(struct session *s, struct spool_result *out)
{
	const struct client_failure *f = client_failure(s->client);

	snprintf(out->status, sizeof(out->status), "4.4.2");
	if (s->lost) {
		out->text = view_str(s->lost_text);
	} else {
		out->code = (uint16_t)f->reply.code;	/* a 421, say */
		out->text = view_first(view_str(f->reply.code != 0 ? f->reply.text : f->detail),
		    SPOOL_TEXT_MAX);
	}
}

/* What the spool is to keep of recipient i. */
static void
judge(struct session *s, const struct client_result *res, uint32_t i, struct life_verdict *v)
{
	struct delivery *d = &s->d;
	struct spool_result *out = &d->result[i];
	const struct client_rcpt_result *rc = &res->rcpt[i];
	const char *text = client_rcpt_text(s->client, i);

	*v = (struct life_verdict){
		.to = d->rcpt[i].address,
		.fate = outcome_of_recipient(res, i, text),
		.class = outcome_class_of_recipient(res, i, text),
		.at = outcome_decided_at(res, i),
		.result = out,
	};
	*out = (struct spool_result){ .rcpt = d->index[i], .state = SPOOL_QUEUED };
	if (v->fate == FATE_UNCERTAIN && s->r->conf->queue.uncertain_then == CONF_UNCERTAIN_BOUNCE) {
		uncertain_fail(out, d->index[i]);
		return;
	}
	if (v->fate == FATE_UNCERTAIN || (v->fate == FATE_CUT && !res->complete)) {
		judge_loss(s, out);
		return;
	}
	out->code = (uint16_t)rc->code;
	snprintf(out->status, sizeof(out->status), "%s", rc->status);
	out->text = view_first(view_str(text), SPOOL_TEXT_MAX);
	if (v->fate == FATE_DELIVERED) {
		out->state = SPOOL_DELIVERED;
		/* RFC 3461 5.2.2: from here on nobody but us can say that it went well. */
		if ((client_caps(s->client) & CAP_DSN) == 0 && dsn_notifies(d->rcpt[i].notify, VIEW("SUCCESS")))
			snprintf(out->status, sizeof(out->status), RELAYED_STATUS);
	}
	else if (v->fate == FATE_FAILED)
		out->state = SPOOL_FAILED;
}

static void
count(struct relay *r, enum fate fate)
{
	if (fate == FATE_DELIVERED)
		r->stats.delivered++;
	else if (fate == FATE_UNCERTAIN)
		r->stats.uncertain++;
	else if (fate != FATE_FAILED)
		r->stats.deferred++;
}

static void
tell_health(struct session *s, const struct client_result *res, enum health_class class)
{
	char detail[HEALTH_DETAIL_MAX];

	if (!res->complete) {		/* the end of the session says it */
		s->failed_at = outcome_mail_step(client_failure(s->client)->state);
		watch_blame(s, session_class(s));
		return;
	}
	snprintf(detail, sizeof(detail), "%d %s %.150s", res->reply.code, res->reply.status,
	    res->reply.text);
	s->failed_at = outcome_mail_step(res->decided_in);
	if (class != HEALTH_OK && health_class_info(class)->scope == SCOPE_ENDPOINT)
		s->retire = true;	/* whether it is the port, a new one shows */
	watch_blame(s, class);
	watch_note(s, class, detail);
}

void
delivery_result(struct session *s)
{
	const struct client_result *res = client_result(s->client);
	struct delivery *d = &s->d;
	enum health_class class;
	struct spool_update u;
	uint32_t stop;
	bool denied;

	d->sent = false;
	if (s->unreadable) {
		unreadable(s, &s->unreadable_why);
		return;
	}
	life_attempt(s);
	class = outcome_of_result(res);
	denied = class == HEALTH_AUTH_REFUSED;
	if (denied)
		class = watch_denied(s, d->envelope->from);
	d->denied = class == HEALTH_MAIL_DENIED;
	for (uint32_t i = 0; i < d->n; i++) {
		struct life_verdict v;

		judge(s, res, i, &v);
		if (denied)
			v.class = class;
		/* A failure that is reported, if the configuration wants it so. */
		d->fates[v.result->state == SPOOL_FAILED ? FATE_FAILED : v.fate]++;
		count(s->r, v.fate);
		life_recipient(s, &v);
	}
	tell_health(s, res, class);
	stop = d->fates[FATE_WAIT] + d->fates[FATE_CUT] + d->fates[FATE_UNCERTAIN];
	if (stop == 0 && has_more(d) && !s->lost && !s->quitting) {
		update_init(s, &u, d->n);
		update_resume(s, &u, loop_now(s->r->env.loop), false);
		spool_update(s->r->spool, d->m, &u, NULL, NULL);
		close_reader(d);
		return;			/* the next portion follows when the machine is ready */
	}
	if (stop == 0 && has_more(d))
		d->fates[FATE_WAIT]++;
	conclude(s, d->n);
}
