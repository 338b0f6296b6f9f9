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
	m->uid = env->uid;
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

/* Of the log. A record shorter than the text is a C: the text is in chunks before it. */
uint64_t
message_stored(const struct spool_message *m)
{
	uint64_t record = (uint64_t)m->length64 * RECORD_UNIT;

	return record > m->size ? record : record + m->size;
}

static void
count(struct spool *s, const struct spool_message *m)
{
	s->recipients += m->nrcpt;
	s->bytes_queued += m->size;
	s->bytes_live += message_stored(m);
	s->reserve += outcome_room(m->nrcpt);
	log_live(s, message_begun_in(m), 1);
}

void
message_tell(struct spool *s, struct spool_message *m)
{
	s->owner_uid = m->uid;
	m->due = (struct heap_node){ .at = 0 };
	count(s, m);
	s->events.on_message(s->owner, m);
}

int64_t
spool_owner(const struct spool *s)
{
	return s->owner_uid;
}

void
message_remove(struct spool *s, struct spool_message *m)
{
	s->recipients -= m->nrcpt;
	s->bytes_queued -= m->size;
	s->bytes_live -= message_stored(m);
	/* Its reserve is given back when the record of its end is written. */
	index_remove(s->index, m);
}

void
message_moved(struct spool *s, struct spool_message *m, uint32_t segment, uint64_t at,
    uint32_t length, uint32_t first_segment)
{
	log_live(s, first_segment, 1);
	log_live(s, m->first_segment, -1);
	s->bytes_live -= message_stored(m);
	m->segment = segment;
	m->offset64 = (uint32_t)(at / RECORD_UNIT);
	m->length64 = (uint32_t)(record_room(length) / RECORD_UNIT);
	m->first_segment = first_segment;
	s->bytes_live += message_stored(m);
	s->moved++;
}

/* --- a damaged one ------------------------------------------------------------ */

struct setting_aside {
	struct job	 job;
	struct spool	*s;
	spool_id	 id;
	struct quarantine_source from;
	int64_t		 now_ms;
	struct err	 why, e;
	void		(*fn)(void *owner, const struct err *);
	void		*owner;
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

	if (a->fn != NULL)
		a->fn(a->owner, a->e.kind != ERR_NONE ? &a->e : NULL);
	else if (a->e.kind == ERR_NONE)
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
	if ((m->flags & SPOOL_DAMAGED) != 0)
		return;
	m->flags |= SPOOL_DAMAGED;
	if (log_segment(s, m->first_segment) != NULL)
		log_segment(s, m->first_segment)->unfit = true;
	message_set_aside(s, m, why, NULL, NULL);
}

void
message_set_aside(struct spool *s, const struct spool_message *m, const struct err *why,
    void (*fn)(void *, const struct err *), void *owner)
{
	const struct segment *sg = log_segment(s, m->segment);
	struct setting_aside *a = xzalloc(sizeof(*a));

	a->job = (struct job){ .run = set_aside_run, .done = set_aside_done };
	a->s = s;
	a->id = m->id;
	a->from = (struct quarantine_source){ .segment = m->segment, .nonce = sg != NULL ? sg->nonce : 0,
		.at = (uint64_t)m->offset64 * RECORD_UNIT, .length = (uint64_t)m->length64 * RECORD_UNIT };
	a->now_ms = loop_wall(s->env.loop);
	a->why = *why;
	a->fn = fn;
	a->owner = owner;
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
