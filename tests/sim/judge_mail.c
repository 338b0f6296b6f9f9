/* SPDX-License-Identifier: BSD-2-Clause */
/* What became of each message, when the month is over: from what the smarthosts have. */
#include "sim/month.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"

#include "base/banned.h"

#define JOURNEY_MS	200		/* from relay to the smarthost, at most */
#define LAST_MOMENT_MS	SECONDS(2)	/* before a crash: outcomes that no sync covered */

/* One receipt. */
struct receipt {
	unsigned	 n;		/* of the message, or of the one that the bounce is about */
	bool		 bounce, certain;
	int64_t		 at_ms;
};

/* The number in "WHO+000123@"; false: there is none. */
static bool
find_number(struct view text, const char *who, unsigned *out)
{
	size_t at = view_search(text, view_str(who));
	unsigned n = 0;

	if (at >= text.n)
		return false;
	text = view_from(text, at + strlen(who));
	for (; text.n != 0 && is_digit(text.p[0]); text = view_from(text, 1))
		n = n * 10 + (text.p[0] - '0');
	*out = n;
	return true;
}

bool
judge_refused(struct month *m, struct view line)
{
	unsigned n;

	if (find_number(line, MONTH_RCPT "+", &n)) {
		m->judge.mail[n].refused = true;
		return true;
	}
	if (!find_number(line, MONTH_FROM "+", &n))
		return false;
	if (view_starts(line, VIEW("RCPT")))
		m->judge.mail[n].bounce_lost = true;
	else
		m->judge.mail[n].refused = true;
	return true;
}

/* Relay says so: then it must be old enough. */
void
judge_expired(struct month *m, const char *line)
{
	unsigned n;

	if (find_number(view_str(line), "to=\"" MONTH_FROM "+", &n)) {
		m->judge.mail[n].bounce_lost = true;
	} else if (find_number(view_str(line), "to=\"" MONTH_RCPT "+", &n)) {
		m->judge.mail[n].expired = true;
		if (month_now(m) - m->judge.mail[n].acked_ms < m->w.conf.queue.expire_ms)
			judge_broken(m, "bounce", "message %u expired before its time", n);
	}
}

void
judge_mail(struct month *m, unsigned n)
{
	m->judge.nmail = n + 1;
}

void
judge_durable(struct month *m, unsigned n, spool_id id)
{
	m->judge.mail[n].id = id;
	m->judge.mail[n].acked_ms = month_now(m);
}

static bool
is_last_moment(const struct judge *j, int64_t at_ms)
{
	for (unsigned i = 0; i < j->ncrash; i++)
		if (at_ms - j->crash_ms[i] <= JOURNEY_MS && j->crash_ms[i] - at_ms <= LAST_MOMENT_MS)
			return true;
	return false;
}

/* --- receipts ------------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	const struct receipt *x = a, *y = b;

	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->at_ms < y->at_ms ? -1 : x->at_ms > y->at_ms;
}

static struct receipt *
gather(struct month *m, size_t *out)
{
	struct receipt *all;
	size_t n = 0;

	for (size_t i = 0; i < RELAYS * PORTS; i++)
		n += m->weather.port[i / PORTS][i % PORTS].host->ntaken;
	all = xcalloc(n, sizeof(*all));
	n = 0;
	for (size_t i = 0; i < RELAYS * PORTS; i++)
		list_foreach(link, &m->weather.port[i / PORTS][i % PORTS].host->taken) {
			const struct taken *t = list_entry(link, struct taken, link);
			struct receipt *r = &all[n];
			const char *who = t->from[0] == '\0' ? MONTH_FROM "+" : MONTH_RCPT "+";

			/* A report that was refused: told in place of it (bounce_lost). */
			if (t->from[0] == '\0' && strcmp(t->rcpts, " admin@example.com ") == 0)
				continue;
			n++;
			*r = (struct receipt){ .bounce = t->from[0] == '\0', .at_ms = t->at_ms,
				.certain = t->certain && !is_last_moment(&m->judge, t->at_ms) };
			if (!find_number(view_str(t->rcpts), who, &r->n) || r->n >= m->judge.nmail)
				judge_broken(m, "mail", "a message that nobody sent, to%s", t->rcpts);
		}
	qsort(all, n, sizeof(*all), compare);
	*out = n;
	return all;
}

/* --- verdict ---------------------------------------------------------------------- */

/* A repetition needs a doubt, and the rest that an uncertain message takes. */
static void
watch_repeat(struct month *m, const struct receipt *a, const struct receipt *b)
{
	m->judge.repeats++;
	if (a->certain)
		judge_broken(m, "repeat", "message %u was sent again %lld s after its 250 was read", a->n,
		    (long long)(b->at_ms - a->at_ms) / 1000);
	else if (b->at_ms - a->at_ms < m->w.conf.queue.uncertain_ms - JOURNEY_MS && !is_last_moment(&m->judge, a->at_ms))
		judge_broken(m, "repeat", "message %u was sent again %lld s after it had become uncertain",
		    a->n, (long long)(b->at_ms - a->at_ms) / 1000);
}

/* The receipts of one message, in order of time. */
static void
judge_one(struct month *m, unsigned n, const struct receipt *r, size_t nr)
{
	const struct judged_mail *mail = &m->judge.mail[n];
	const struct receipt *before = NULL, *bounce = NULL;
	bool certain = false;

	for (size_t i = 0; i < nr; i++) {
		if (r[i].bounce) {
			bounce = &r[i];
			continue;
		}
		if (before != NULL)
			watch_repeat(m, before, &r[i]);
		before = &r[i];
		certain = certain || r[i].certain;
	}
	if (mail->id == 0)
		return;			/* nobody was told that we have it */
	if (before == NULL && bounce == NULL &&
	    !((mail->refused || mail->expired) && mail->bounce_lost))
		judge_broken(m, "loss", "message %u, %016llx, neither arrived nor bounced", n,
		    (unsigned long long)mail->id);
	if (bounce == NULL)
		return;
	if (certain)
		judge_broken(m, "bounce", "message %u arrived, and bounced", n);
	if (!mail->refused && !mail->expired)
		judge_broken(m, "bounce", "message %u bounced without a reason", n);
}

void
judge_end(struct month *m)
{
	size_t n, at = 0;
	struct receipt *all = gather(m, &n);

	if (world_queued(&m->w) != 0)
		judge_broken(m, "waiting", "%llu messages are still in the queue",
		    (unsigned long long)world_queued(&m->w));
	for (unsigned i = 0; i < m->judge.nmail; i++) {
		size_t first = at;

		while (at < n && all[at].n == i)
			at++;
		judge_one(m, i, all + first, at - first);
	}
	free(all);
}
