/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stragglers: when most of the log is dead, what is alive in the oldest segment is copied
 * forward, so that the segment can go. A copy is a transaction under the message's id: the
 * same records, limits of memory and failures as for new mail; only when it is synced is
 * the old place given up. doc/spool-format.md, "Stragglers".
 *
 * Messages are read one at a time, and written in pieces of PIECE bytes: the next piece
 * begins when the one before is synced, so whoever waits for a reply waits for little more.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

#define PIECE		(256u << 10)
#define MESSAGE_COST	1024u		/* of a piece, beside the text */
#define PICK_MAX	64u
#define LOOK_MAX	4096u		/* messages looked at in one turn */
#define SEGMENTS_MIN	4u		/* closed ones; in fewer mail may just be on its way */
#define PAUSE_MS	1000		/* when nothing could be moved */
#define FAILED_MS	10000

/* One message on its way to its new place. */
struct copy {
	struct list	 link;		/* in copies */
	struct spool	*s;
	spool_id	 id;
	struct spool_reader *reader;
	struct spool_txn *txn;		/* NULL: not begun, or given away by spool_commit() */
	bool		 waits;		/* for the copy in quarantine/ */
	bool		 read;		/* all of it: the outcome is next */
	bool		 over;		/* moved, or not: to be freed */
	const struct spool_result *result;
	size_t		 nresult;
	const char	*endpoint;
};

struct compaction {
	struct spool	*s;
	uint32_t	 head;		/* segment that is to be emptied; 0: none */
	size_t		 pos;		/* of the walk through the index */
	bool		 all_seen;
	spool_id	 pick[PICK_MAX];
	size_t		 npick, next;
	struct list	 copies;
	struct copy	*reading;
	unsigned	 under_way;	/* committed, not yet synced */
	int64_t		 budget;	/* bytes left of this piece */
	bool		 moved, failed;	/* in this pass */
	int64_t		 after;		/* loop ms: not before */
	struct task	 task;
	struct timer	 timer;
};

/* --- when --------------------------------------------------------------------- */

/* Dead bytes outweigh live ones; or half as many do, and space is short. */
static bool
is_worth_it(const struct spool *s)
{
	uint64_t closed = 0, live = s->bytes_live, nclosed = 0;

	list_foreach(link, &s->segments) {
		const struct segment *sg = list_entry(link, struct segment, link);

		closed += sg->sealed ? sg->size : 0;
		nclosed += sg->sealed;
	}
	if (live > closed)
		live = closed;
	if (space_is_scarce(s))
		return closed - live > closed / 4;
	return nclosed >= SEGMENTS_MIN && closed - live > closed / 2;
}

static struct segment *
oldest(const struct spool *s)
{
	return list_is_empty(&s->segments) ? NULL : list_entry(s->segments.next, struct segment, link);
}

static bool
may_begin(const struct compaction *c)
{
	const struct spool *s = c->s;
	const struct segment *head = oldest(s);

	return c->head == 0 && s->recovered && !s->unreadable && !s->closing && !s->sealing &&
	    s->releasing == NULL &&
	    loop_now(s->env.loop) >= c->after && head != NULL && head->sealed && head->live > 0 &&
	    !head->kept && !head->gone && head->link.next != &s->segments;
}

void
compact_consider(struct spool *s)
{
	struct compaction *c = s->compaction;

	if (!may_begin(c) || !is_worth_it(s))
		return;
	c->head = oldest(s)->number;
	c->pos = c->npick = c->next = 0;
	c->all_seen = c->moved = c->failed = false;
	c->budget = PIECE;
	task_post(s->env.loop, &c->task);
}

/* All that is there was looked at. What may be left is on its way out. */
static void
end_pass(struct compaction *c)
{
	int64_t pause = c->failed ? FAILED_MS : c->moved ? 0 : PAUSE_MS;

	c->head = 0;
	c->after = loop_now(c->s->env.loop) + pause;
	if (pause != 0)
		timer_set(c->s->env.loop, &c->timer, pause);
	log_release(c->s);
	compact_consider(c->s);
}

/* --- which -------------------------------------------------------------------------- */

static int
compare_ids(const void *a, const void *b)
{
	spool_id x = *(const spool_id *)a, y = *(const spool_id *)b;

	return x < y ? -1 : x > y;
}

/* Some more of those that begin in the segment; the walk has bounded turns. */
static void
look(struct compaction *c)
{
	c->npick = c->next = 0;
	for (unsigned i = 0; i < LOOK_MAX && c->npick < PICK_MAX; i++) {
		const struct spool_message *m = spool_next(c->s, &c->pos);

		if (m == NULL) {
			c->all_seen = true;
			break;
		}
		if (m->first_segment == c->head)
			c->pick[c->npick++] = m->id;
	}
	/* Ids go up with the place, most often. */
	if (c->npick > 1)
		qsort(c->pick, c->npick, sizeof(c->pick[0]), compare_ids);
}

static struct spool_message *
next_message(struct compaction *c)
{
	while (c->next < c->npick) {
		struct spool_message *m = spool_find(c->s, c->pick[c->next++]);

		if (m != NULL && m->first_segment == c->head)
			return m;
	}
	return NULL;
}

/* --- one message ---------------------------------------------------------------------- */

static void go_on(void *arg);

static void
kick(struct compaction *c)
{
	task_post(c->s->env.loop, &c->task);
}

static void
copy_free(struct copy *x)
{
	struct compaction *c = x->s->compaction;

	if (c->reading == x)
		c->reading = NULL;
	if (x->txn != NULL) {
		x->txn->of = NULL;
		spool_abort(x->txn);
	}
	list_remove(&x->link);
	spool_reader_free(x->reader);
	free(x);
}

static void
on_ready(void *owner)
{
	kick(((struct copy *)owner)->s->compaction);
}

/* All bytes given so far are on their way: the next piece may begin. */
static void
on_written(void *owner, size_t pending)
{
	struct compaction *c = ((struct copy *)owner)->s->compaction;

	if (pending > 0)
		return;
	c->budget = PIECE;
	kick(c);
}

static void
on_committed(void *owner, spool_id id, const struct err *e)
{
	struct copy *x = owner;
	struct compaction *c = x->s->compaction;

	x->over = true;		/* freed later: this is in the midst of a batch's end */
	if (e == NULL)
		c->moved = true;
	else if (e->kind != ERR_GONE)
		c->failed = true;
	if (--c->under_way == 0)
		c->budget = PIECE;
	kick(c);
}

static void
commit(struct copy *x)
{
	struct compaction *c = x->s->compaction;
	struct spool_txn *t = x->txn;

	x->txn = NULL;
	c->reading = NULL;
	c->under_way++;
	c->budget -= MESSAGE_COST;
	spool_commit(t, false, on_committed, x);
}

static void
on_set_aside(void *owner, const struct err *e)
{
	struct copy *x = owner;
	struct spool *s = x->s;
	const struct spool_message *m = spool_find(s, x->id);

	x->waits = false;
	if (e != NULL)
		s->compaction->failed = true;
	if (e != NULL || m == NULL || s->closing) {
		copy_free(x);
	} else {
		x->txn = txn_begin_stub(s, m, x);
		commit(x);
	}
	kick(s->compaction);
}

/* It stays in the queue as damaged, whatever can be read now; a copy of what there is comes first. */
static void
keep_damaged(struct copy *x, struct spool_message *m, const struct err *why)
{
	if (x->txn != NULL) {
		x->txn->of = NULL;
		spool_abort(x->txn);
		x->txn = NULL;
	}
	spool_quarantine(x->s, m, why);
	x->waits = true;
	message_set_aside(x->s, m, why, on_set_aside, x);
}

/* False: this one can't be moved now. */
static bool
begin(struct copy *x, const struct spool_message *m, const struct envelope *env)
{
	x->txn = txn_begin_copy(x->s, m, env, x);
	if (x->txn == NULL)
		return false;
	spool_txn_on_written(x->txn, on_written, x);
	return true;
}

enum step { STEP_MORE, STEP_WAIT, STEP_OVER };

static enum step
failed(struct copy *x, struct spool_message *m, const struct err *why)
{
	if (why->kind == ERR_DAMAGED) {
		keep_damaged(x, m, why);
		return STEP_WAIT;
	}
	x->s->compaction->failed = true;
	copy_free(x);
	return STEP_OVER;
}

static enum step
read_outcome(struct copy *x, struct err *e)
{
	if (spool_reader_outcome(x->reader, &x->result, &x->nresult, &x->endpoint, e) == READER_WAIT)
		return STEP_WAIT;
	commit(x);
	return STEP_OVER;
}

static enum step
read_text(struct copy *x, struct spool_message *m, struct err *e)
{
	struct compaction *c = x->s->compaction;
	enum reader_result rr;
	struct view v;
	size_t pending;

	if (c->budget <= 0 && (c->under_way > 0 || x->txn->pending > 0))
		return STEP_WAIT;	/* told by on_written or on_committed */
	rr = spool_reader_next(x->reader, &v, e);
	if (rr == READER_WAIT)
		return STEP_WAIT;
	if (rr == READER_BAD)
		return failed(x, m, e);
	x->read = rr == READER_END;
	if (x->read)
		return STEP_MORE;
	c->budget -= (int64_t)v.n;
	return spool_append(x->txn, v, &pending, e) == 0 ? STEP_MORE : failed(x, m, e);
}

static enum step
step(struct copy *x)
{
	struct spool_message *m = spool_find(x->s, x->id);
	const struct envelope *env;
	enum reader_result rr;
	struct err e = { 0 };

	if (x->waits)
		return STEP_WAIT;
	if (m == NULL) {		/* it has ended */
		copy_free(x);
		return STEP_OVER;
	}
	if (x->read)
		return read_outcome(x, &e);
	if (x->txn != NULL)
		return read_text(x, m, &e);
	rr = spool_reader_envelope(x->reader, &env, &e);
	if (rr == READER_WAIT)
		return STEP_WAIT;
	if (rr == READER_DATA && env->nrcpt != m->nrcpt)
		(void)err_set(&e, ERR_DAMAGED, "recipients are missing");
	else if (rr == READER_DATA && begin(x, m, env))
		return STEP_MORE;
	return failed(x, m, &e);
}

/* --- one turn ------------------------------------------------------------------------------ */

static void
begin_reading(struct compaction *c, struct spool_message *m)
{
	struct copy *x = xzalloc(sizeof(*x));

	x->s = c->s;
	x->id = m->id;
	list_init(&x->link);
	list_push(&c->copies, &x->link);
	x->reader = spool_reader_new(c->s, m, on_ready, x);
	c->reading = x;
}

/* False: nothing to do but wait. */
static bool
turn(struct compaction *c)
{
	struct spool_message *m;
	struct err e;

	if (c->reading != NULL)
		return step(c->reading) != STEP_WAIT;
	m = next_message(c);
	if (m != NULL && space_check_copy(c->s, message_stored(m), &e) < 0)
		c->failed = true;
	if (c->failed) {
		c->all_seen = true;
		c->npick = c->next = 0;
		m = NULL;
	}
	if (m != NULL) {
		begin_reading(c, m);
		return true;
	}
	if (!c->all_seen) {
		look(c);
		if (c->npick > 0)
			return true;
		timer_set(c->s->env.loop, &c->timer, 1);	/* others have their turn */
		return false;
	}
	if (c->under_way == 0)
		end_pass(c);
	return false;
}

static void
go_on(void *arg)
{
	struct compaction *c = arg;

	list_foreach_safe(link, &c->copies) {
		struct copy *x = list_entry(link, struct copy, link);

		if (x->over)
			copy_free(x);
	}
	while (c->head != 0 && !c->s->closing && turn(c))
		;
}

static void
again(void *arg)
{
	struct compaction *c = arg;

	if (c->head != 0) {
		go_on(c);
		return;
	}
	/* A look at the disk, and then compact_consider(). */
	c->s->upkeep_due = true;
	commit_kick(c->s);
}

/* --- for the others --------------------------------------------------------------------------- */

void
compact_init(struct spool *s)
{
	struct compaction *c = xzalloc(sizeof(*c));

	c->s = s;
	list_init(&c->copies);
	task_init(&c->task, go_on, c);
	timer_init(&c->timer, again, c);
	s->compaction = c;
}

void
compact_stop(struct spool *s)
{
	struct compaction *c = s->compaction;

	timer_cancel(s->env.loop, &c->timer);
	/* What is committed ends by itself, and so does what is being set aside. */
	if (c->reading != NULL && !c->reading->waits)
		copy_free(c->reading);
}

void
compact_free(struct spool *s)
{
	struct compaction *c = s->compaction;

	if (s->env.loop != NULL)
		timer_cancel(s->env.loop, &c->timer);
	task_cancel(&c->task);
	list_foreach_safe(link, &c->copies)
		copy_free(list_entry(link, struct copy, link));
	free(c);
	s->compaction = NULL;
}

/* A text is told only with the state that it belongs to. */
static size_t
texts_that_hold(const struct copy *x, struct spool_message *m, struct spool_result *out)
{
	const struct spool_rcpt *r = spool_rcpts(m);
	size_t n = 0;

	for (size_t i = 0; i < x->nresult; i++)
		if (x->result[i].rcpt < m->nrcpt && r[x->result[i].rcpt].code == x->result[i].code &&
		    r[x->result[i].rcpt].state == x->result[i].state)
			out[n++] = x->result[i];
	return n;
}

static bool
has_outcome(struct spool_message *m)
{
	const struct spool_rcpt *r = spool_rcpts(m);

	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (r[i].state != SPOOL_QUEUED || r[i].code != 0)
			return true;
	return m->attempts != 0 || m->next_ms != 0 || m->outcome_segment != 0 ||
	    (m->flags & (SPOOL_HELD | SPOOL_UNCERTAIN)) != 0;
}

void
copy_put_outcome(struct copy *x, struct buf *out)
{
	struct spool_message *m = spool_find(x->s, x->id);
	struct spool_result *result;
	struct spool_update u;

	if (m == NULL || !has_outcome(m))
		return;
	result = xcalloc(x->nresult + 1, sizeof(*result));
	u = (struct spool_update){ .result = result, .nresult = texts_that_hold(x, m, result),
		.attempts = m->attempts, .flags = m->flags & (SPOOL_HELD | SPOOL_UNCERTAIN),
		.next_ms = m->next_ms, .endpoint = x->endpoint != NULL ? x->endpoint : "" };
	require(outcome_put(out, m, &u, !space_short(x->s)));
	free(result);
}
