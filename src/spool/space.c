/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits, and the health that they and the disk make. New mail is accepted only while
 * there are spare files enough for the final outcome of every message.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/require.h"
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

#define COPY_ROOM	(128u << 10)	/* beside the copies: headers, outcomes, the end of the segment */

void
trouble(struct spool *s, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	s->events.on_trouble(s->owner, text);
}

/* Half of a segment counts: batches leave gaps. */
uint64_t
space_spares_for(const struct spool *s, uint64_t bytes)
{
	return 1 + bytes / (s->params.segment_size / 2);
}

/* Short of space: reply texts are left out of outcomes. */
bool
space_short(const struct spool *s)
{
	return s->nspares < space_spares_for(s, s->reserve);
}

static int
check_disk(struct spool *s, uint64_t more, struct err *e)
{
	if (s->degraded)
		return err_set(e, s->failure.kind, "%.120s; delivery goes on", s->failure.text);
	if (s->nspares < space_spares_for(s, s->reserve + more)) {
		if (s->spare_err.kind == ERR_NONE)
			return err_set(e, ERR_FULL, "no segment is in reserve yet");
		return err_set(e, s->spare_err.kind, "%s for the next segment: %s",
		    s->spare_err.kind == ERR_FULL ? "no room" : "no file", s->spare_err.text);
	}
	if (s->space_known && s->space.free_bytes < s->params.free_min)
		return err_set(e, ERR_FULL, "%llu MiB are free on the spool's disk, %llu are to stay free",
		    (unsigned long long)(s->space.free_bytes >> 20),
		    (unsigned long long)(s->params.free_min >> 20));
	return 0;
}

/* Also while a message comes in: many that begin below the limit must not pass it together. */
int
space_check_bytes(struct spool *s, uint64_t more, struct err *e)
{
	if (log_bytes(s) + s->gathered_bytes + more <= s->params.bytes_max)
		return 0;
	return err_set(e, ERR_FULL, "the spool has reached its limit of %llu MiB",
	    (unsigned long long)(s->params.bytes_max >> 20));
}

uint64_t
spool_room(const struct spool *s)
{
	uint64_t used = log_bytes(s), free_bytes = s->space.free_bytes;

	if (!s->space_known)
		return s->params.bytes_max;
	used += free_bytes > s->params.free_min ? free_bytes - s->params.free_min : 0;
	return used < s->params.bytes_max ? used : s->params.bytes_max;
}

/* No file can be made. */
static bool
is_full(const struct spool *s)
{
	return s->spare_failed || (s->space_known && s->space.free_bytes < s->params.segment_size);
}

bool
space_is_scarce(const struct spool *s)
{
	return is_full(s) || (s->space_known && s->space.free_bytes < s->params.free_min) ||
	    log_bytes(s) > s->params.bytes_max / 8 * 7;
}

int
space_check_copy(struct spool *s, uint64_t bytes, struct err *e)
{
	uint64_t needed = space_spares_for(s, s->reserve), left = 0;

	if (s->current != NULL)
		left = s->current->size - s->current->written;
	if (s->degraded || s->current == NULL || s->nspares < needed)
		return err_set(e, ERR_FULL, "the spool has no room for copies");
	/* If the copy begins a segment, the reserve must be whole again after it. */
	if (left < s->gathered_bytes + bytes + COPY_ROOM && s->nspares == needed && is_full(s))
		return err_set(e, ERR_FULL, "the spool has no room for copies but its reserve");
	return 0;
}

static int
check_limits(struct spool *s, uint64_t bytes, struct err *e)
{
	uint64_t messages = s->index->n + recover_messages(s) + s->ntxns - s->ncopies;

	if (messages >= s->params.messages_max)
		return err_set(e, ERR_FULL, "%llu messages are queued, that is the limit",
		    (unsigned long long)messages);
	return space_check_bytes(s, bytes, e);
}

/* Without recipients: a message that was let in already. */
int
space_check(struct spool *s, uint32_t nrcpt, uint64_t bytes, struct err *e)
{
	int rc;

	if (nrcpt == 0)
		return check_disk(s, 0, e);
	if (s->closing)
		return err_set(e, ERR_BUSY, "the spool is closing");
	s->wish = outcome_room(nrcpt);
	rc = check_disk(s, s->wish, e);
	if (rc == 0)
		rc = check_limits(s, bytes, e);
	if (rc < 0) {
		space_update(s);
		commit_kick(s);		/* a spare may be all that lacks */
	}
	return rc;
}

void
space_learn(struct spool *s, const struct commit_job *j)
{
	if (j->space_known) {
		s->space_known = true;
		s->space = j->space;
	}
	if (j->new_spare != 0 && j->spare_made) {
		spare_add(s, j->new_spare);
		s->spare_failed = false;
		err_clear(&s->spare_err);
	} else if (j->new_spare != 0 && j->spare_err.kind != ERR_NONE) {
		if (!s->spare_failed && j->spare_err.kind != ERR_FULL)
			trouble(s, "no segment can be preallocated: %s", j->spare_err.text);
		s->spare_failed = true;
		s->spare_err = j->spare_err;
	}
}

void
space_note_failure(struct spool *s, const struct err *why)
{
	int64_t now = loop_now(s->env.loop);

	trouble(s, "writing the spool failed: %s", why->text);
	s->failure = *why;
	if (s->failed_ms != INT64_MIN && now - s->failed_ms < FAILURES_MS) {
		s->degraded = true;
		s->hold_until = now + RETRY_MS;
	}
	s->failed_ms = now;
}

static void
tell_health(void *arg)
{
	struct spool *s = arg;
	struct err e = { 0 };
	enum spool_health h = SPOOL_OK;

	if (s->degraded && s->current != NULL && loop_now(s->env.loop) - s->failed_ms >= FAILURES_MS)
		s->degraded = false;
	if (check_disk(s, 0, &e) < 0 || check_limits(s, 0, &e) < 0)
		h = s->degraded || e.kind != ERR_FULL ? SPOOL_DEGRADED : SPOOL_FULL;
	/* Upkeep tries again what failed, and looks at the disk. */
	if (h != SPOOL_OK || s->hold_until > loop_now(s->env.loop) || s->release_after != 0) {
		if (!timer_is_set(&s->upkeep_timer))
			timer_set(s->env.loop, &s->upkeep_timer, UPKEEP_MS);
	}
	if (h == SPOOL_OK && s->health == SPOOL_OK)
		return;
	(void)snprintf(s->why, sizeof(s->why), "%.*s", (int)sizeof(s->why) - 1, e.text);
	if (h == s->health)
		return;
	s->health = h;
	s->events.on_health(s->owner, h, s->why);
}

void
space_update(struct spool *s)
{
	task_post(s->env.loop, &s->health_task);
}

static void
upkeep(void *arg)
{
	struct spool *s = arg;

	if (s->sealing)
		return;
	s->upkeep_due = true;
	if (s->release_after != 0 && s->release_after <= loop_now(s->env.loop)) {
		s->release_after = 0;
		log_release(s);
	}
	commit_kick(s);
	space_update(s);
}

void
space_init(struct spool *s)
{
	s->failed_ms = INT64_MIN;
	task_init(&s->health_task, tell_health, s);
	timer_init(&s->upkeep_timer, upkeep, s);
}
