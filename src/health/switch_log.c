/* SPDX-License-Identifier: BSD-2-Clause */
#include "health/switch_log.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#include "base/banned.h"

void
switch_log_init(struct switch_log *l, int64_t wall_ms)
{
	*l = (struct switch_log){ .entry = NULL, .began_ms = wall_ms };
}

void
switch_log_done(struct switch_log *l)
{
	free(l->entry);
	l->entry = NULL;
}

struct switch_entry *
switch_log_add(struct switch_log *l)
{
	struct switch_entry *e;

	if (l->entry == NULL)
		l->entry = xcalloc(SWITCH_MAX, sizeof(*l->entry));
	if (l->n == SWITCH_MAX) {
		l->first = (l->first + 1) % SWITCH_MAX;
		l->n--;
	}
	e = &l->entry[(l->first + l->n++) % SWITCH_MAX];
	*e = (struct switch_entry){ .class = HEALTH_OK };
	l->total++;
	return e;
}

const struct switch_entry *
switch_log_get(const struct switch_log *l, unsigned i)
{
	return i < l->n ? &l->entry[(l->first + l->n - 1 - i) % SWITCH_MAX] : NULL;
}

bool
switch_is_detour(const struct switch_entry *e)
{
	return strcmp(e->reason, health_event_word(HEALTH_DETOUR)) == 0 ||
	    strcmp(e->reason, health_event_word(HEALTH_DETOUR_OVER)) == 0;
}

const char *
switch_event_word(const struct switch_entry *e)
{
	return e->failover ? "failover" : switch_is_detour(e) ? e->reason : health_event_word(HEALTH_ROUTE_CHANGED);
}
