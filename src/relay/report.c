/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report - the end of a message that failed or expired: one bounce with all failed
 * recipients, in the same record as the outcome.
 *
 * Everything is read back from the spool: envelope, what earlier attempts
 * recorded, and the beginning of the text. Few are under way at one time.
 */
#include "relay/report.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "mail/bounce.h"
#include "relay/relay_impl.h"
#include "smtp/client.h"
#include "smtp/dsn.h"

#include "base/banned.h"

struct report {
	struct list		 link;
	struct relay		*r;
	struct spool_message	*m;
	struct spool_reader	*reader;	/* NULL: its turn has not come */
	const struct envelope	*envelope;
	struct buf		 text;		/* of the message, as much as may go back */
	const struct spool_result **earlier;	/* what is recorded, by recipient; NULL: nothing */
	const char		*endpoint;
	written_fn		*on_written;	/* of the end; NULL: nobody waits for it */
	void			*owner;
};

static void
report_free(struct report *p)
{
	list_remove(&p->link);
	spool_reader_free(p->reader);
	buf_done(&p->text);
	free(p->earlier);
	free(p);
}

/* What was recorded of each recipient by the attempts before. */
static void
keep_earlier(struct report *p, const struct spool_result *res, size_t n)
{
	p->earlier = xcalloc(p->m->nrcpt, sizeof(*p->earlier));
	for (size_t i = 0; i < n; i++)
		if (res[i].rcpt < p->m->nrcpt)
			p->earlier[res[i].rcpt] = &res[i];
}

/* --- results of those that expire -------------------------------------------------- */

static size_t
count_queued(struct spool_message *m)
{
	const struct spool_rcpt *rc = spool_rcpts(m);
	size_t n = 0;

	for (uint32_t i = 0; i < m->nrcpt; i++)
		n += rc[i].state == SPOOL_QUEUED;
	return n;
}

/* Recipients that are still queued have had their time. */
static struct spool_result *
expired_results(struct report *p, size_t *n)
{
	struct spool_message *m = p->m;
	const struct spool_rcpt *rc = spool_rcpts(m);
	struct spool_result *out;

	*n = count_queued(m);
	if (*n == 0)
		return NULL;
	out = xcalloc(*n, sizeof(*out));
	*n = 0;
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		const struct spool_result *before;
		struct spool_result *res;

		if (rc[i].state != SPOOL_QUEUED)
			continue;
		res = &out[(*n)++];
		before = p->earlier[i];
		res->rcpt = i;
		res->state = SPOOL_EXPIRED;
		res->code = before != NULL ? before->code : 0;
		snprintf(res->status, sizeof(res->status), "4.4.7");
		res->text = before != NULL && before->text.n != 0 ? before->text :
		    VIEW("no smarthost port could be reached in time");
	}
	return out;
}

/* --- the report ---------------------------------------------------------------------- */

/* The host of the last attempt: "smtp.example.net:587" without its port. */
static struct view
remote_of(const struct report *p)
{
	struct view v = view_str(p->endpoint != NULL ? p->endpoint : "");

	while (v.n > 0 && v.p[--v.n] != ':')
		continue;
	return v;
}

/* No reply made it fail (uncertain_fail). */
static bool
is_uncertain(const struct spool_result *res)
{
	return res != NULL && res->code == 0;
}

/* What is told, and how much of it. */
struct told {
	struct bounce_rcpt	*rcpt;
	size_t			 n, failed;
	size_t			 unwanted;	/* failed, and nobody wants to hear of it */
};

/* RFC 3461 5.2.2: of what was passed on to a server without DSN only we can tell. */
static bool
is_relayed(const struct report *p, uint32_t i)
{
	return spool_rcpts(p->m)[i].state == SPOOL_DELIVERED && p->earlier[i] != NULL &&
	    strcmp(p->earlier[i]->status, RELAYED_STATUS) == 0 &&
	    dsn_notifies(envelope_dsn(p->envelope, i).notify, VIEW("SUCCESS"));
}

static void
add_told(struct report *p, uint32_t i, enum bounce_why why, const struct spool_result *res, struct told *io)
{
	struct envelope_dsn dsn = envelope_dsn(p->envelope, i);
	bool ours = why == BOUNCE_REFUSED && res != NULL && view_starts(res->text, VIEW(REFUSED_HERE));

	if (why != BOUNCE_RELAYED && !dsn_notifies(dsn.notify, VIEW("FAILURE"))) {
		io->unwanted++;
		return;
	}
	io->failed += why != BOUNCE_RELAYED;
	io->rcpt[io->n++] = (struct bounce_rcpt){
		.address = p->envelope->rcpt[i],
		.original = dsn.orcpt,
		.why = ours ? BOUNCE_LOCAL : why,
		.code = ours ? 0 : res != NULL ? res->code : spool_rcpts(p->m)[i].code,
		.status = res != NULL ? view_str(res->status) : VIEW(""),
		.text = res != NULL ? res->text : VIEW(""),
		.remote = ours ? VIEW("") : remote_of(p),
	};
}

/* "Without a bounce": then only what was passed on before is told. */
static bool
was_removed(struct spool_message *m)
{
	const struct spool_rcpt *rc = spool_rcpts(m);

	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (rc[i].state == SPOOL_REMOVED)
			return true;
	return false;
}

/* All that failed or expire now, for report and log, and what was passed on. now is in the recipients' order. */
static void
list_told(struct report *p, const struct spool_result *now, size_t nnow, struct told *out)
{
	struct spool_message *m = p->m;
	const struct spool_rcpt *rc = spool_rcpts(m);
	bool removed = was_removed(m);
	size_t k = 0;

	for (uint32_t i = 0; i < m->nrcpt; i++) {
		const struct spool_result *res = p->earlier[i];
		bool expired = rc[i].state == SPOOL_EXPIRED;

		if (k < nnow && now[k].rcpt == i) {
			res = &now[k++];
			expired = true;
		}
		if (is_relayed(p, i))
			add_told(p, i, BOUNCE_RELAYED, res, out);
		if (removed || (!expired && rc[i].state != SPOOL_FAILED))
			continue;
		add_told(p, i, expired ? BOUNCE_EXPIRED : is_uncertain(res) ? BOUNCE_LOCAL : BOUNCE_REFUSED,
		    res, out);
		life_given_up(p->r, m, &(struct life_end){ .to = p->envelope->rcpt[i],
		    .from = p->envelope->from, .expired = expired, .result = res });
		if (expired)
			p->r->stats.expired++;
		else
			p->r->stats.bounced++;
	}
}

/* True if text holds the report. */
static bool
write_report(struct report *p, const struct told *told, struct envelope *envelope, struct buf *text)
{
	struct relay *r = p->r;
	const struct conf *conf = r->conf;
	bool is_report = (p->m->flags & SPOOL_BOUNCE) != 0;
	enum report_to to = report_choose(p->envelope->from, is_report ? p->envelope->rcpt[0] : VIEW(""),
	    conf->hostname, conf->admin);
	struct bounce_facts facts;
	char id[17];

	if (told->n == 0) {
		if (told->unwanted > 0)
			life_report_dropped(r, p->m, p->envelope->from, true);
		return false;
	}
	/* Who can't be reached has lost nothing: the administrator is not told of success. */
	if (told->failed == 0 && to != REPORT_SENDER)
		return false;
	facts = (struct bounce_facts){
		.hostname = conf->hostname,
		.original = p->envelope,
		.id = spool_id_text(id, p->m->id),
		.to = to == REPORT_SENDER ? p->envelope->from : view_str(conf->admin),
		.rcpt = told->rcpt,
		.nrcpt = told->n,
		.message = buf_view(&p->text),
		.size = p->m->size,
		.returned_max = conf->limits.returned_message,
		.now_ms = loop_wall(r->env.loop),
		.nonce = rng_u64(r->env.rng),
	};
	if (to == REPORT_NOBODY) {
		life_report_dropped(r, p->m, p->envelope->from, false);
		return false;
	}
	life_reported(r, p->m, p->envelope->from, facts.to);
	envelope_add_rcpt(envelope, facts.to);
	envelope->received_ms = facts.now_ms;
	envelope->uid = envelope->pid = -1;
	envelope->protocol = PROTOCOL_LOCAL;
	envelope->bounce = true;
	envelope->smtputf8 = !view_is_ascii(facts.to);	/* it is in the header, too */
	if (!bounce_build(text, &facts))
		return false;
	envelope->eight_bit = !view_is_ascii(buf_view(text));
	return true;
}

static void
report_finish(struct report *p)
{
	struct relay *r = p->r;
	struct envelope envelope;
	struct buf text;
	struct spool_bounce bounce;
	struct spool_update u;
	struct told told = { .rcpt = xcalloc(p->m->nrcpt, sizeof(*told.rcpt)) };
	size_t nnow;
	struct spool_result *now = expired_results(p, &nnow);
	bool reported;

	envelope_init(&envelope);
	buf_init(&text, BOUNCE_MAX);
	list_told(p, now, nnow, &told);
	reported = write_report(p, &told, &envelope, &text);
	u = (struct spool_update){
		.result = now, .nresult = nnow, .attempts = p->m->attempts,
		.endpoint = p->endpoint != NULL ? p->endpoint : "",
	};
	bounce = (struct spool_bounce){ .envelope = &envelope, .message = buf_view(&text) };
	p->m->delivery = NULL;
	life_finish(r, p->m, &u, reported ? &bounce : NULL, p->on_written, p->owner);
	envelope_done(&envelope);
	buf_done(&text);
	free(now);
	free(told.rcpt);
}

/* --- reading ---------------------------------------------------------------------------- */

/*
 * All that may go back. What can't be read to its end is reported with what there is, as long as
 * that is something.
 */
static enum reader_result
read_text(struct report *p, struct err *e)
{
	bool all = bounce_wants_all(p->envelope) && p->m->size <= p->r->conf->limits.returned_message;
	uint64_t want = all ? p->m->size : 1;
	enum reader_result got;

	do {
		struct view piece;

		got = spool_reader_next(p->reader, &piece, e);
		if (got == READER_WAIT || (got == READER_BAD && buf_len(&p->text) == 0))
			return got;
		/* A piece may be a large report. */
		if (got == READER_DATA && !buf_add(&p->text, view_first(piece, buf_room(&p->text))))
			break;
	} while (got == READER_DATA && buf_len(&p->text) < want);
	return READER_DATA;
}

/* One step of reading; READER_DATA: all is there. */
static enum reader_result
report_read(struct report *p, struct err *e)
{
	const struct spool_result *res = NULL;
	enum reader_result got;
	size_t n = 0;

	/* In this order: the outcome is read into the reader's buffer that the text is in afterwards. */
	if (p->earlier == NULL) {
		got = spool_reader_outcome(p->reader, &res, &n, &p->endpoint, e);
		if (got == READER_WAIT || got == READER_BAD)
			return got;
		keep_earlier(p, res, got == READER_DATA ? n : 0);
	}
	if (p->envelope == NULL) {
		got = spool_reader_envelope(p->reader, &p->envelope, e);
		if (got != READER_DATA)
			return got;
		if (p->envelope->nrcpt != p->m->nrcpt) {
			(void)err_set(e, ERR_DAMAGED, "the envelope has another number of recipients");
			return READER_BAD;
		}
	}
	return read_text(p, e);
}

static void
report_run(void *owner)
{
	struct report *p = owner;
	struct relay *r = p->r;
	struct spool_message *m = p->m;
	struct err e;

	switch (report_read(p, &e)) {
	case READER_WAIT:
		return;
	case READER_BAD:
		m->delivery = NULL;
		relay_unreadable(r, m, &e, false);
		if (p->on_written != NULL)
			p->on_written(p->owner);
		break;
	default:
		report_finish(p);
		break;
	}
	r->reporter.nrunning--;
	report_free(p);
	relay_status_changed(r);
	task_post(r->env.loop, &r->reporter.task);
}

static void
report_next(struct relay *r)
{
	struct reporter *q = &r->reporter;
	struct list *link;

	while (q->nrunning < REPORTS_MAX && (link = list_pop(&q->waiting)) != NULL) {
		struct report *p = list_entry(link, struct report, link);

		list_push(&q->running, &p->link);
		q->nrunning++;
		p->reader = spool_reader_new(r->spool, p->m, report_run, p);
		report_run(p);
	}
	if (r->draining)
		relay_drain_check(r);
}

static void
report_task(void *arg)
{
	report_next(arg);
}

static struct report *
report_new(struct relay *r, struct spool_message *m)
{
	struct report *p = xzalloc(sizeof(*p));

	p->r = r;
	p->m = m;
	m->delivery = p;
	schedule_remove(&r->schedule, m);
	list_init(&p->link);
	buf_init(&p->text, r->conf->limits.returned_message + SPOOL_CHUNK);
	return p;
}

void
report_start(struct relay *r, struct spool_message *m)
{
	struct report *p = report_new(r, m);

	list_push(&r->reporter.waiting, &p->link);
	task_post(r->env.loop, &r->reporter.task);
}

static void
on_recorded(void *owner)
{
	struct report *p = owner;
	struct relay *r = p->r;

	list_remove(&p->link);
	if (p->m == NULL) {
		report_free(p);		/* relay is stopping */
		return;
	}
	list_push(&r->reporter.waiting, &p->link);
	task_post(r->env.loop, &r->reporter.task);
}

void
report_result(struct relay *r, struct spool_message *m, const struct spool_update *u, written_fn *on_written,
    void *owner)
{
	struct report *p = report_new(r, m);

	p->on_written = on_written;
	p->owner = owner;
	/* The texts are read back when the report is written: not before they are there. */
	list_push(&r->reporter.recording, &p->link);
	spool_update(r->spool, m, u, on_recorded, p);
}

bool
report_is_idle(const struct relay *r)
{
	const struct reporter *q = &r->reporter;

	return q->nrunning == 0 && list_is_empty(&q->waiting) && list_is_empty(&q->recording);
}

void
report_init(struct relay *r)
{
	list_init(&r->reporter.recording);
	list_init(&r->reporter.waiting);
	list_init(&r->reporter.running);
	task_init(&r->reporter.task, report_task, r);
}

void
report_done(struct relay *r)
{
	list_foreach(link, &r->reporter.recording)
		list_entry(link, struct report, link)->m = NULL;
	list_foreach_safe(link, &r->reporter.waiting)
		report_free(list_entry(link, struct report, link));
	list_foreach_safe(link, &r->reporter.running)
		report_free(list_entry(link, struct report, link));
	task_cancel(&r->reporter.task);
}

void
report_free_all(struct relay *r)
{
	report_done(r);
	list_foreach_safe(link, &r->reporter.recording)
		report_free(list_entry(link, struct report, link));
}
