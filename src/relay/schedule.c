/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/schedule.h"

#include "base/require.h"

#include "base/banned.h"

#define JITTER_PERCENT 20

void
schedule_init(struct schedule *s, const struct schedule_params *params, int64_t loop_ms)
{
	*s = (struct schedule){ .params = *params, .started_ms = loop_ms };
	heap_init(&s->due);
}

void
schedule_done(struct schedule *s)
{
	heap_done(&s->due);
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
schedule_at(struct schedule *s, struct spool_message *m, int64_t at_ms)
{
	heap_update(&s->due, &m->due, at_ms);
}

void
schedule_put_back(struct schedule *s, struct spool_message *m)
{
	heap_update(&s->due, &m->due, m->due.key);
}

void
schedule_remove(struct schedule *s, struct spool_message *m)
{
	heap_remove(&s->due, &m->due);
}

struct spool_message *
schedule_first(const struct schedule *s, int64_t loop_ms)
{
	struct heap_node *n = heap_first(&s->due);

	return n != NULL && n->key <= loop_ms ? message_of(n) : NULL;
}

struct spool_message *
schedule_take(struct schedule *s, int64_t loop_ms)
{
	struct spool_message *m = schedule_first(s, loop_ms);

	if (m != NULL)
		heap_remove(&s->due, &m->due);
	return m;
}

int64_t
schedule_next_at(const struct schedule *s)
{
	struct heap_node *n = heap_first(&s->due);

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
schedule_count_due(const struct schedule *s, int64_t loop_ms, uint32_t max)
{
	return count_below(&s->due, 0, loop_ms, max);
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
