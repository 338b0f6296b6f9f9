/* SPDX-License-Identifier: BSD-2-Clause */
#include "health/trail.h"

#include "base/require.h"
#include "health/health_impl.h"

#include "base/banned.h"

static struct trail_note *
newest(struct trail *t)
{
	return t->n == 0 ? NULL : &t->note[(t->first + t->n - 1) % TRAIL_MAX];
}

static struct trail_note *
push(struct trail *t)
{
	if (t->n == TRAIL_MAX) {	/* the oldest goes */
		t->first = (t->first + 1) % TRAIL_MAX;
		t->n--;
	}
	t->n++;
	return newest(t);
}

void
trail_add(struct trail *t, const struct health_sample *s, const struct endpoint_view *before,
    const struct endpoint_view *after, int64_t now_ms)
{
	bool changed = before->state != after->state || before->suspect != after->suspect;
	struct trail_note *last = newest(t);

	require((unsigned)s->class < HEALTH_CLASS_COUNT && (unsigned)s->source < 2);
	if (t->count[s->class][s->source] < UINT32_MAX)
		t->count[s->class][s->source]++;
	if (s->class == HEALTH_OK && !changed)
		return;
	if (changed || last == NULL || last->class != s->class || last->source != s->source) {
		last = push(t);
		*last = (struct trail_note){ .first_ms = now_ms, .class = s->class, .source = s->source,
			.state = after->state, .suspect = after->suspect };
	}
	last->last_ms = now_ms;
	last->times++;
	health_copy_detail(last->detail, s->detail);
}

const struct trail_note *
trail_get(const struct trail *t, unsigned i)
{
	return i < t->n ? &t->note[(t->first + t->n - 1 - i) % TRAIL_MAX] : NULL;
}
