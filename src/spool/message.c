/* SPDX-License-Identifier: BSD-2-Clause */
/* The index: what is in memory of each message. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/require.h"
#include "spool/outcome.h"
#include "spool/quarantine.h"
#include "spool/state.h"

#include "base/banned.h"

void
message_from_envelope(struct spool_message *m, const struct envelope *env)
{
	m->received_ms = env->received_ms;
	m->size = env->size;
	message_flags(m, env->bounce, env->eight_bit);
}

void
message_flags(struct spool_message *m, bool bounce, bool eight_bit)
{
	m->flags = (uint8_t)((m->flags & (SPOOL_HELD | SPOOL_UNCERTAIN)) | (bounce ? SPOOL_BOUNCE : 0) |
	    (eight_bit ? SPOOL_EIGHT_BIT : 0));
}

uint32_t
message_begun_in(const struct spool_message *m)
{
	return m->first_segment;
}

void
message_count(struct spool *s, const struct spool_message *m)
{
	s->recipients += m->nrcpt;
	s->bytes_queued += m->size;
	s->reserve += outcome_room(m->nrcpt);
	log_live(s, message_begun_in(m), 1);
}

void
message_remove(struct spool *s, struct spool_message *m)
{
	s->recipients -= m->nrcpt;
	s->bytes_queued -= m->size;
	/* Its reserve is given back when the record of its end is written. */
	index_remove(s->index, m);
}

/* --- a damaged one ------------------------------------------------------------ */

struct setting_aside {
	struct job	 job;
	struct spool	*s;
	spool_id	 id;
	struct quarantine_source from;
	int64_t		 now_ms;
	struct err	 why, e;
};

static void
set_aside_run(struct job *job)
{
	struct setting_aside *a = container_of(job, struct setting_aside, job);
	struct quarantine_note note = { .found_ms = a->now_ms, .message = a->id, .why = a->why.text };

	(void)quarantine_message(a->s->env.fs, &a->from, &note, &a->e);		/* told by the err */
}

static void
set_aside_done(struct job *job)
{
	struct setting_aside *a = container_of(job, struct setting_aside, job);
	struct spool *s = a->s;

	if (a->e.kind == ERR_NONE)
		s->quarantined++;
	else
		trouble(s, "message %016llx is damaged; it can't be copied to quarantine: %s",
		    (unsigned long long)a->id, a->e.text);
	free(a);
	s->nreaders--;
	spool_check_closed(s);
}

void
spool_quarantine(struct spool *s, struct spool_message *m, const struct err *why)
{
	const struct segment *sg = log_segment(s, m->segment);
	struct setting_aside *a;

	if ((m->flags & SPOOL_DAMAGED) != 0)
		return;
	m->flags |= SPOOL_DAMAGED;
	a = xzalloc(sizeof(*a));
	a->job = (struct job){ .run = set_aside_run, .done = set_aside_done };
	a->s = s;
	a->id = m->id;
	a->from = (struct quarantine_source){ .segment = m->segment, .nonce = sg != NULL ? sg->nonce : 0,
		.at = (uint64_t)m->offset64 * RECORD_UNIT, .length = (uint64_t)m->length64 * RECORD_UNIT };
	a->now_ms = loop_wall(s->env.loop);
	a->why = *why;
	s->nreaders++;
	worker_submit(s->env.reader, &a->job);
}

/* What recovery has not told of yet is not there for others. */
static bool
is_told(const struct spool_message *m)
{
	return (m->flags & SPOOL_UNTOLD) == 0;
}

struct spool_message *
spool_find(struct spool *s, spool_id id)
{
	struct spool_message *m = index_get(s->index, id);

	return m != NULL && is_told(m) ? m : NULL;
}

struct spool_message *
spool_next(struct spool *s, size_t *pos)
{
	struct spool_message *m;

	do
		m = index_next(s->index, pos);
	while (m != NULL && !is_told(m));
	return m;
}

const char *
spool_id_text(char text[17], spool_id id)
{
	(void)snprintf(text, 17, "%016" PRIx64, id);
	return text;
}

bool
spool_id_parse(struct view v, spool_id *out)
{
	uint64_t id;

	if (v.n != 16 || !num_parse_hex(v, &id) || id == 0)
		return false;
	*out = id;
	return true;
}
