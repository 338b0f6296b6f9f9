/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake/refusals.h"

#include "base/banned.h"

static void
tell_dropped(struct refusals *r)
{
	struct log_line line;

	if (r->dropped == 0)
		return;
	log_begin(&line, r->log, LEVEL_WARNING, "refused-more");
	log_num(&line, "count", (int64_t)r->dropped);
	log_end(&line);
	r->dropped = 0;
}

static void
on_timer(void *arg)
{
	struct refusals *r = arg;

	tell_dropped(r);
	r->logged = 0;
}

void
refusals_init(struct refusals *r, struct loop *loop, struct log *log, unsigned max, int64_t span_ms)
{
	*r = (struct refusals){ .loop = loop, .log = log, .max = max, .span_ms = span_ms };
	timer_init(&r->timer, on_timer, r);
}

void
refusals_done(struct refusals *r)
{
	timer_cancel(r->loop, &r->timer);
	tell_dropped(r);
}

bool
refusals_count(struct refusals *r)
{
	if (!timer_is_set(&r->timer))
		timer_set(r->loop, &r->timer, r->span_ms);
	if (r->logged < r->max) {
		r->logged++;
		return true;
	}
	r->dropped++;
	return false;
}
