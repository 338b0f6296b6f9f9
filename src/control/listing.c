/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * queue and cat: what reads messages from the log, one at a time, so that memory
 * does not grow with the queue.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "control/answer.h"
#include "control/row.h"

#include "base/banned.h"

struct listing {
	struct relay		*relay;
	struct request		 request;
	int64_t			 uid;
	void			(*on_ready)(void *owner);
	void			*owner;
	struct report		 report;
	bool			 begun, cut;
	/* the messages, oldest first */
	spool_id		*ids;
	size_t			 nid, at, shown;
	struct spool_reader	*reader;
};

static int
compare_ids(const void *a, const void *b)
{
	spool_id x = *(const spool_id *)a, y = *(const spool_id *)b;

	return x < y ? -1 : x > y;
}

static void
swap(spool_id *a, spool_id *b)
{
	spool_id x = *a;

	*a = *b;
	*b = x;
}

/* The greatest id is on top of the pile, so that the oldest ones stay in. */
static void
pile_down(spool_id *pile, size_t n)
{
	for (size_t i = 0;;) {
		size_t child = 2 * i + 1;

		if (child >= n)
			return;
		if (child + 1 < n && pile[child + 1] > pile[child])
			child++;
		if (pile[i] >= pile[child])
			return;
		swap(&pile[i], &pile[child]);
		i = child;
	}
}

static void
pile_up(spool_id *pile, size_t i)
{
	for (; i > 0 && pile[i] > pile[(i - 1) / 2]; i = (i - 1) / 2)
		swap(&pile[i], &pile[(i - 1) / 2]);
}

/* The max oldest ids, in order; a walk over the whole queue that keeps only max of them. */
static void
collect_oldest(struct listing *l, size_t max)
{
	struct spool *spool = relay_spool(l->relay);
	struct spool_message *m;
	struct spool_stats stats;
	size_t pos = 0;

	spool_stats(spool, &stats);
	l->cut = stats.messages > max;
	if (max > stats.messages)
		max = stats.messages;
	l->ids = xcalloc(max, sizeof(l->ids[0]));
	while ((m = spool_next(spool, &pos)) != NULL) {
		if (l->nid < max) {
			l->ids[l->nid] = m->id;
			pile_up(l->ids, l->nid++);
		} else if (max > 0 && m->id < l->ids[0]) {
			l->ids[0] = m->id;
			pile_down(l->ids, l->nid);
		}
	}
	qsort(l->ids, l->nid, sizeof(l->ids[0]), compare_ids);
}

int
listing_new(struct listing **out, struct relay *relay, const struct request *q, int64_t uid,
    void (*on_ready)(void *), void *owner, struct err *e)
{
	struct listing *l;

	if (q->command != REQUEST_QUEUE && answer_find(relay, q->id, e) == NULL)
		return -1;
	l = xzalloc(sizeof(*l));
	l->relay = relay;
	l->request = *q;
	l->uid = uid;
	l->on_ready = on_ready;
	l->owner = owner;
	if (q->command == REQUEST_QUEUE) {
		collect_oldest(l, uid < 0 ? q->limit : LISTING_SCAN_MAX);
	} else {
		l->ids = xcalloc(1, sizeof(l->ids[0]));
		l->ids[0] = q->id;
		l->nid = 1;
	}
	*out = l;
	return 0;
}

void
listing_free(struct listing *l)
{
	if (l == NULL)
		return;
	spool_reader_free(l->reader);
	if (l->begun)
		buf_done(&l->report.cells);
	free(l->ids);
	free(l);
}

/* --- what is said of a message ------------------------------------------- */

static void
queue_row(struct listing *l, struct spool_message *m, const struct envelope *env,
    const struct spool_result *result, size_t n)
{
	struct answer_way way;
	char why[1200];

	answer_way(l->relay, m, env, &way);
	answer_why(l->relay, m, &way, result, n, why, sizeof(why));
	row_put(&l->report, m, env, &(struct row_said){ .state = answer_state_word(l->relay, m), .why = why,
	    .route = way.route, .relay = way.relay, .several = way.several });
	l->shown++;
}

/* --- going on ------------------------------------------------------------ */

static bool
may_see(const struct listing *l, const struct envelope *env)
{
	return l->uid < 0 || env->uid == l->uid;
}

/* The message at l->at, once its records are read. False: the disk is awaited. */
static bool
show_message(struct listing *l, struct spool_message *m)
{
	/* In place of an envelope that can't be read. */
	struct view nobody = VIEW("?");
	const struct envelope unreadable = { .from = nobody, .rcpt = &nobody, .nrcpt = 1, .uid = -1, .pid = -1 };
	const struct envelope *env;
	const struct spool_result *result = NULL;
	const char *endpoint = NULL;	/* not shown */
	enum reader_result got;
	struct err e;
	size_t n = 0;

	got = spool_reader_envelope(l->reader, &env, &e);
	if (got == READER_WAIT)
		return false;
	if (got == READER_BAD) {
		if (l->uid >= 0)
			return true;	/* nobody knows whose it is */
		env = &unreadable;
	}
	if (!may_see(l, env))
		return true;
	got = spool_reader_outcome(l->reader, &result, &n, &endpoint, &e);
	if (got == READER_WAIT)
		return false;
	if (got != READER_DATA)
		n = 0;
	queue_row(l, m, env, result, n);
	return true;
}

static enum listing_result
finish(struct listing *l)
{
	struct spool_stats stats;

	report_end(&l->report);
	spool_stats(relay_spool(l->relay), &stats);
	row_put_total(&l->report, &(struct row_total){ .shown = l->shown, .recovering = stats.recovering,
	    .total = l->uid < 0 ? (int64_t)(stats.messages + stats.found) : -1, .cut = l->cut });
	/* A table is small text for each message and the number of messages is bounded. */
	(void)weird(!report_finish(&l->report));
	l->begun = false;
	return LISTING_DONE;
}

static enum listing_result
step_reports(struct listing *l, struct buf *out)
{
	if (!l->begun) {
		report_begin(&l->report, out, l->request.json);
		answer_put_staging(l->relay, &l->report);
		report_list(&l->report, "messages");
		l->begun = true;
	}
	for (; l->at < l->nid; l->at++) {
		struct spool_message *m = spool_find(relay_spool(l->relay), l->ids[l->at]);

		if (l->shown >= l->request.limit) {
			l->cut = true;
			break;
		}
		if (m != NULL) {
			if (l->reader == NULL)
				l->reader = spool_reader_new(relay_spool(l->relay), m, l->on_ready, l->owner);
			if (!show_message(l, m))
				return LISTING_WAIT;
		}
		spool_reader_free(l->reader);
		l->reader = NULL;
	}
	return finish(l);
}

static enum listing_result
step_cat(struct listing *l, struct buf *out)
{
	for (;;) {
		struct spool_message *m = spool_find(relay_spool(l->relay), l->ids[0]);
		struct view bytes;
		struct err e;

		if (m == NULL)
			return LISTING_DONE;
		if (l->reader == NULL)
			l->reader = spool_reader_new(relay_spool(l->relay), m, l->on_ready, l->owner);
		if (buf_room(out) < SPOOL_CHUNK)
			return LISTING_MORE;
		switch (spool_reader_next(l->reader, &bytes, &e)) {
		case READER_DATA:
			if (weird(!buf_add(out, bytes)))
				return LISTING_DONE;
			break;
		case READER_WAIT:
			return LISTING_WAIT;
		case READER_END:
		case READER_BAD:
			return LISTING_DONE;
		}
	}
}

enum listing_result
listing_step(struct listing *l, struct buf *out)
{
	return l->request.command == REQUEST_CAT ? step_cat(l, out) : step_reports(l, out);
}
