/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/schedule.h"

#include "base/require.h"

#include "base/banned.h"

#define JITTER_PERCENT 20
#define LOOKS_MAX 256		/* messages that are passed over */
#define TENTH_MS 100		/* the unit of spool_rcpt.due, counted from the start */

void
schedule_init(struct schedule *s, const struct schedule_params *params, unsigned nroutes, int64_t loop_ms)
{
	require(nroutes > 0 && nroutes <= SCHEDULE_ROUTES_MAX);
	*s = (struct schedule){ .params = *params, .nroutes = nroutes, .started_ms = loop_ms };
	for (unsigned i = 0; i < lengthof(s->due); i++)
		heap_init(&s->due[i]);
}

void
schedule_done(struct schedule *s)
{
	for (unsigned i = 0; i < lengthof(s->due); i++)
		heap_done(&s->due[i]);
}

int64_t
schedule_backoff(const struct schedule_params *p, unsigned attempts, struct rng *rng)
{
	int64_t delay = p->retry_first_ms;

	for (unsigned i = 1; i < attempts && delay < p->retry_max_ms; i++)
		delay *= 2;
	if (delay > p->retry_max_ms)
		delay = p->retry_max_ms;
	return rng_jitter(rng, delay, JITTER_PERCENT);
}

static struct spool_message *
message_of(struct heap_node *n)
{
	return container_of(n, struct spool_message, due);
}

/* --- one message -------------------------------------------------------------- */

static void
set_route(struct spool_message *m, unsigned route)
{
	m->lane = (uint8_t)((m->lane & ~LANE_ROUTE) | route * LANE_ROUTE_UNIT);
}

/* Whether its recipients know their own times. */
static bool
has_times(const struct schedule *s, const struct spool_message *m)
{
	return s->nroutes > 1 && m->nrcpt > 1 && schedule_route(m) != ROUTE_UNKNOWN;
}

static int32_t
to_tenths(const struct schedule *s, int64_t at_ms)
{
	int64_t ms = at_ms - s->started_ms;
	int64_t t = ms >= 0 ? ms / TENTH_MS : -((TENTH_MS - 1 - ms) / TENTH_MS);

	return t > INT32_MAX ? INT32_MAX : t < INT32_MIN ? INT32_MIN : (int32_t)t;
}

static int64_t
from_tenths(const struct schedule *s, int32_t due)
{
	return s->started_ms + (int64_t)due * TENTH_MS;
}

/* How many wait there, without m. */
static uint32_t
others_there(const struct schedule *s, const struct spool_message *m, unsigned route)
{
	return s->due[route].n - (heap_has(&m->due) && schedule_route(m) == route);
}

/* Would m rather wait for a? Equal times: where fewer wait. */
static bool
is_before(const struct schedule *s, const struct spool_message *m, const struct spool_rcpt *a,
    const struct spool_rcpt *b)
{
	unsigned x = schedule_route_of(a), y = schedule_route_of(b);
	uint32_t nx = others_there(s, m, x), ny = others_there(s, m, y);
	bool x_out = (s->out & ROUTE_BIT(x)) != 0, y_out = (s->out & ROUTE_BIT(y)) != 0;

	if (x_out != y_out)
		return y_out;
	if (a->due != b->due)
		return a->due < b->due;
	return nx != ny ? nx < ny : x < y;
}

static const struct spool_rcpt *
choose(const struct schedule *s, struct spool_message *m)
{
	const struct spool_rcpt *rc = spool_rcpts(m), *best = NULL;

	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (rc[i].state == SPOOL_QUEUED && (best == NULL || is_before(s, m, &rc[i], best)))
			best = &rc[i];
	return best;
}

static void
place(struct schedule *s, struct spool_message *m, int64_t at_ms)
{
	const struct spool_rcpt *rc = has_times(s, m) ? choose(s, m) : NULL;
	unsigned route = rc != NULL ? schedule_route_of(rc) : schedule_route(m);

	if (rc != NULL)
		at_ms = from_tenths(s, rc->due);
	if (heap_has(&m->due) && route == schedule_route(m) && at_ms == m->due.key)
		return;
	schedule_remove(s, m);
	set_route(m, route);
	heap_insert(&s->due[route], &m->due, at_ms);
}

void
schedule_meet(const struct schedule *s, struct spool_message *m)
{
	m->lane = 0;
	set_route(m, s->nroutes > 1 ? ROUTE_UNKNOWN : 0);
}

void
schedule_add(struct schedule *s, struct spool_message *m, int64_t loop_ms, int64_t wall_ms)
{
	int64_t delay, longest;

	if (m->next_ms == 0) {
		/* At once; among those that are due, the oldest first. */
		int64_t age = wall_ms - m->received_ms;

		schedule_at(s, m, loop_ms - (age > 0 ? age : 0));
		return;
	}
	/* The recorded time is a wall time: whatever the clock did, no longer than we would wait anyway. */
	longest = s->params.retry_max_ms + s->params.retry_max_ms / 4;
	if ((m->flags & SPOOL_UNCERTAIN) != 0 && s->params.uncertain_ms > longest)
		longest = s->params.uncertain_ms;
	delay = m->next_ms - wall_ms;
	if (delay > longest)
		delay = longest;
	schedule_at(s, m, loop_ms + delay);
}

void
schedule_set_routes(struct schedule *s, struct spool_message *m, const uint8_t *route)
{
	struct spool_rcpt *rc = spool_rcpts(m);
	bool waits = heap_has(&m->due);

	schedule_remove(s, m);
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		require(route[i] < s->nroutes);
		rc[i].route = (uint8_t)((rc[i].route & ~RCPT_ROUTE) | route[i]);
		rc[i].due = to_tenths(s, m->due.key);
	}
	set_route(m, route[0]);
	if (waits)
		place(s, m, m->due.key);
}

void
schedule_at(struct schedule *s, struct spool_message *m, int64_t at_ms)
{
	struct spool_rcpt *rc = spool_rcpts(m);

	for (uint32_t i = 0; has_times(s, m) && i < m->nrcpt; i++)
		rc[i].due = to_tenths(s, at_ms);
	place(s, m, at_ms);
}

void
schedule_route_at(struct schedule *s, struct spool_message *m, unsigned route, int64_t at_ms,
    bool uncertain)
{
	struct spool_rcpt *rc = spool_rcpts(m);

	for (uint32_t i = 0; i < m->nrcpt; i++) {
		if (schedule_route_of(&rc[i]) != route)
			continue;
		rc[i].due = to_tenths(s, at_ms);
		rc[i].route = (uint8_t)((rc[i].route & ~RCPT_UNCERTAIN) | (uncertain ? RCPT_UNCERTAIN : 0));
	}
	place(s, m, at_ms);
}

void
schedule_put_back(struct schedule *s, struct spool_message *m)
{
	place(s, m, m->due.key);
}

void
schedule_remove(struct schedule *s, struct spool_message *m)
{
	heap_remove(&s->due[schedule_route(m)], &m->due);
}

void
schedule_tried(struct spool_message *m, unsigned route)
{
	struct spool_rcpt *rc = spool_rcpts(m);
	bool all = true;

	for (uint32_t i = 0; i < m->nrcpt; i++) {
		if (schedule_route_of(&rc[i]) == route)
			rc[i].route |= RCPT_TRIED;
		else if (rc[i].state == SPOOL_QUEUED && (rc[i].route & RCPT_TRIED) == 0)
			all = false;
	}
	if (all)
		m->lane |= LANE_TRIED;
}

static bool
is_other(const struct spool_rcpt *rc, unsigned route)
{
	return rc->state == SPOOL_QUEUED && schedule_route_of(rc) != route;
}

bool
schedule_has_others(struct spool_message *m, unsigned route)
{
	const struct spool_rcpt *rc = spool_rcpts(m);

	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (is_other(&rc[i], route))
			return true;
	return false;
}

bool
schedule_is_uncertain(struct spool_message *m)
{
	const struct spool_rcpt *rc = spool_rcpts(m);

	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (rc[i].state == SPOOL_QUEUED && (rc[i].route & RCPT_UNCERTAIN) == 0)
			return false;
	return true;
}

int64_t
schedule_resume_at(const struct schedule *s, struct spool_message *m, unsigned route, int64_t at_ms,
    bool *io_uncertain)
{
	const struct spool_rcpt *rc = spool_rcpts(m);
	int64_t soonest = at_ms, rest = *io_uncertain ? at_ms : INT64_MIN;

	for (uint32_t i = 0; has_times(s, m) && i < m->nrcpt; i++) {
		int64_t at = from_tenths(s, rc[i].due);

		if (!is_other(&rc[i], route))
			continue;
		if (at < soonest)
			soonest = at;
		if ((rc[i].route & RCPT_UNCERTAIN) != 0 && at > rest)
			rest = at;
	}
	*io_uncertain = rest != INT64_MIN;
	return *io_uncertain ? rest : soonest;
}

/* --- routes --------------------------------------------------------------------- */

void
schedule_set_out(struct schedule *s, uint32_t routes)
{
	s->out = routes;
}

void
schedule_place(struct schedule *s, struct spool_message *m)
{
	if (heap_has(&m->due) && has_times(s, m))
		place(s, m, m->due.key);
}

static struct heap_node *
first_of(const struct schedule *s, uint32_t routes)
{
	struct heap_node *best = NULL;

	for (; routes != 0; routes &= routes - 1) {
		struct heap_node *n = heap_first(&s->due[__builtin_ctz(routes)]);

		if (n != NULL && (best == NULL || n->key < best->key))
			best = n;
	}
	return best;
}

struct spool_message *
schedule_first(const struct schedule *s, uint32_t routes, int64_t loop_ms)
{
	struct heap_node *n = first_of(s, routes);

	return n != NULL && n->key <= loop_ms ? message_of(n) : NULL;
}

/* The first of those below, which are due and not apart: further down than one that is, no key is smaller. */
static void
find_sound(const struct heap *h, uint64_t at, int64_t loop_ms, uint32_t *io_looks, struct heap_node **io_best)
{
	struct heap_node *n = at < h->n ? h->node[at] : NULL;

	if (n == NULL || n->key > loop_ms || *io_looks == 0 || (*io_best != NULL && n->key >= (*io_best)->key))
		return;
	--*io_looks;
	if (!schedule_is_apart(message_of(n))) {
		*io_best = n;
		return;
	}
	find_sound(h, 2 * at + 1, loop_ms, io_looks, io_best);
	find_sound(h, 2 * at + 2, loop_ms, io_looks, io_best);
}

struct spool_message *
schedule_first_sound(const struct schedule *s, uint32_t routes, int64_t loop_ms)
{
	struct heap_node *best = NULL;
	uint32_t looks = LOOKS_MAX;

	for (uint32_t rest = routes; rest != 0; rest &= rest - 1)
		find_sound(&s->due[__builtin_ctz(rest)], 0, loop_ms, &looks, &best);
	if (best == NULL && looks == 0)
		return schedule_first(s, routes, loop_ms);
	return best != NULL ? message_of(best) : NULL;
}

struct spool_message *
schedule_take(struct schedule *s, uint32_t routes, int64_t loop_ms)
{
	struct spool_message *m = schedule_first(s, routes, loop_ms);

	if (m != NULL)
		schedule_remove(s, m);
	return m;
}

int64_t
schedule_next_at(const struct schedule *s, uint32_t routes)
{
	struct heap_node *n = first_of(s, routes);

	return n != NULL ? n->key : INT64_MAX;
}

/* Due members form a subtree at the heap's root: walk no further than is asked for. */
static uint32_t
count_below(const struct heap *h, uint64_t at, int64_t loop_ms, uint32_t max)
{
	uint32_t n;

	if (max == 0 || at >= h->n || h->node[at]->key > loop_ms)
		return 0;
	n = 1 + count_below(h, 2 * at + 1, loop_ms, max - 1);
	return n + count_below(h, 2 * at + 2, loop_ms, max - n);
}

uint32_t
schedule_count_due(const struct schedule *s, uint32_t routes, int64_t loop_ms, uint32_t max)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < lengthof(s->due); i++)
		if ((routes & ROUTE_BIT(i)) != 0)
			n += count_below(&s->due[i], 0, loop_ms, max - n);
	return n;
}

/* --- age ------------------------------------------------------------------ */

bool
schedule_is_expired(const struct schedule *s, const struct spool_message *m, int64_t age_ms,
    int64_t loop_ms)
{
	if (age_ms < s->params.expire_ms)
		return false;
	return (m->lane & LANE_TRIED) != 0 || loop_ms - s->started_ms >= SCHEDULE_GRACE_MS;
}
