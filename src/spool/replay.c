/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/replay.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "spool/load.h"
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

/*
 * The outcome of a copy stands behind it, and may be torn off. Then the one in front of the copy
 * counts, which a start knows only if it finds a record of the message in front of that: so the
 * segment of the earlier record stays, until an outcome behind the copy is read.
 */
struct hold {
	uint32_t	first;		/* where the copy begins */
	uint32_t	before;		/* segment of the earlier record */
};

#define NO_HOLD	UINT32_MAX

#define ORPHANS_MAX	65536u	/* 2 MiB; mostly their ends are read soon */

void
replay_init(struct replay *rp)
{
	*rp = (struct replay){ .found = index_new() };
	map_init(&rp->holds);
	map_init(&rp->open);
	map_init(&rp->orphans);
}

void
replay_done(struct replay *rp)
{
	struct hold *h;

	for (size_t pos = 0; (h = map_next(&rp->holds, &pos)) != NULL;)
		free(h);
	map_done(&rp->holds);
	map_done(&rp->open);
	map_done(&rp->orphans);
	index_free(rp->found);
	rp->found = NULL;
}

static uint32_t
place_before(const struct replay *rp, uint64_t id)
{
	const struct spool_message *m = index_get(rp->found, id);
	const struct hold *h = map_get(&rp->holds, id);

	if (m == NULL || m->outcome_segment == 0)
		return NO_HOLD;
	return h != NULL && h->before < m->segment ? h->before : m->segment;
}

static void
set_hold(struct replay *rp, struct spool_message *m, uint32_t before)
{
	struct hold *h;

	free(map_take(&rp->holds, m->id));
	if (before == NO_HOLD)
		return;
	h = xzalloc(sizeof(*h));
	*h = (struct hold){ m->first_segment, before };
	map_put(&rp->holds, m->id, h);
	if (before < m->first_segment)
		m->first_segment = before;
}

static void
drop_hold(struct replay *rp, struct spool_message *m)
{
	struct hold *h = map_take(&rp->holds, m->id);

	if (h != NULL)
		m->first_segment = h->first;
	free(h);
}

static void
drop(struct replay *rp, uint64_t id)
{
	struct spool_message *m = index_get(rp->found, id);

	(void)map_take(&rp->orphans, id);	/* it has ended */
	if (m == NULL)			/* gone with an earlier segment */
		return;
	drop_hold(rp, m);
	index_remove(rp->found, m);
}

static void
see_finish(struct replay *rp, uint64_t id, const struct scan_record *x)
{
	if (rp->gather != NULL)
		summary_finish(rp->gather, id, x->at);
	drop(rp, id);
}

static void
see_orphan(struct replay *rp, uint64_t id, uint32_t segment)
{
	if (id != 0 && rp->orphans.n < ORPHANS_MAX && map_get(&rp->orphans, id) == NULL)
		map_put(&rp->orphans, id, (void *)(uintptr_t)segment);
}

spool_id
replay_next_orphan(const struct replay *rp, size_t *pos, uint32_t *segment)
{
	void *value = map_next(&rp->orphans, pos);

	*segment = (uint32_t)(uintptr_t)value;
	return value != NULL ? rp->orphans.slot[*pos - 1].key : 0;
}

/* A later copy replaces an earlier one: it is elsewhere, and stands as it stood. */
static struct spool_message *
add(struct replay *rp, uint64_t id, uint32_t nrcpt, uint32_t segment, uint64_t at, uint64_t length)
{
	struct spool_message *m = index_get(rp->found, id);

	(void)map_take(&rp->orphans, id);	/* it is here */
	if (m == NULL || m->nrcpt != nrcpt)
		m = index_add(rp->found, id, nrcpt);
	m->segment = m->first_segment = segment;
	m->offset64 = (uint32_t)(at / RECORD_UNIT);
	m->length64 = (uint32_t)(length / RECORD_UNIT);
	return m;
}

static void
see_message(struct replay *rp, uint64_t id, struct view payload, uint32_t segment,
    const struct scan_record *x)
{
	uint32_t before = place_before(rp, id);
	struct view lines, text;
	struct spool_message *m;
	struct envelope env;

	if (id == 0 || !load_split_message(payload, &lines, &text) ||
	    envelope_decode(&env, lines, NULL) < 0) {
		rp->unclear++;
		return;
	}
	m = add(rp, id, env.nrcpt, segment, x->at, x->length);
	message_from_envelope(m, &env);
	envelope_done(&env);
	if (rp->gather != NULL)
		summary_message(rp->gather, m);
	set_hold(rp, m, before);
}

static void
see_commit(struct replay *rp, uint64_t id, struct view payload, uint32_t segment,
    const struct scan_record *x)
{
	uint32_t before = place_before(rp, id);
	struct spool_message *m;
	struct commit_lines c;

	if (id == 0 || lines_get_commit(&c, payload, NULL) < 0) {
		rp->unclear++;
		return;
	}
	m = add(rp, id, c.nrcpt, segment, x->at, x->length);
	m->received_ms = c.received_ms;
	m->size = c.size;
	m->uid = c.uid;
	message_flags(m, c.bounce, c.eight_bit);
	for (uint32_t i = 0; i < c.nextent; i++)
		if (c.extent[i].segment < m->first_segment)
			m->first_segment = c.extent[i].segment;
	lines_commit_done(&c);
	if (rp->gather != NULL)
		summary_message(rp->gather, m);
	set_hold(rp, m, before);
}

static void
see_update(struct replay *rp, uint64_t id, struct view payload, uint32_t segment,
    const struct scan_record *x)
{
	struct spool_message *m = index_get(rp->found, id);
	struct outcome o;

	if (rp->gather != NULL)
		summary_outcome(rp->gather, id, x->at, x->length, payload);
	if (m == NULL) {
		see_orphan(rp, id, segment);
		return;
	}
	if (outcome_get(&o, payload, NULL) < 0) {
		rp->unclear++;
		return;
	}
	drop_hold(rp, m);
	outcome_apply(m, &o);
	m->outcome_segment = segment;
	m->outcome_offset64 = (uint32_t)(x->at / RECORD_UNIT);
}

/* What the map of chunks holds for an id: not looked at, but for this difference. */
static void *
mark(struct replay *rp, bool suspect)
{
	return suspect ? (void *)&rp->open : (void *)rp;
}

static void
see_chunk(struct replay *rp, uint64_t id)
{
	if (id != 0 && map_get(&rp->open, id) == NULL)
		map_put(&rp->open, id, mark(rp, false));
}

void
replay_lost_header(struct replay *rp)
{
	for (size_t pos = 0; map_next(&rp->open, &pos) != NULL;)
		rp->open.slot[pos - 1].value = mark(rp, true);
}

spool_id
replay_next_lost(struct replay *rp, size_t *pos)
{
	void *value;

	while ((value = map_next(&rp->open, pos)) != NULL)
		if (value == mark(rp, true))
			return rp->open.slot[*pos - 1].key;
	return 0;
}

void
replay_record(struct replay *rp, uint32_t segment, const struct scan_record *x)
{
	struct view rest = x->payload;
	struct record_part part;

	switch (x->head.type) {
	case RECORD_MESSAGE:
		see_message(rp, x->head.id, x->payload, segment, x);
		break;
	case RECORD_CHUNK:
		see_chunk(rp, x->head.id);
		break;
	case RECORD_COMMIT:
		(void)map_take(&rp->open, x->head.id);
		see_commit(rp, x->head.id, x->payload, segment, x);
		break;
	case RECORD_UPDATE:
		see_update(rp, x->head.id, x->payload, segment, x);
		break;
	case RECORD_FINISH:
		see_finish(rp, x->head.id, x);
		break;
	case RECORD_GROUP:
		while (record_next_part(&rest, &part)) {
			if (part.type == RECORD_MESSAGE)
				see_message(rp, part.id, part.payload, segment, x);
			else if (part.type == RECORD_FINISH)
				see_finish(rp, part.id, x);
		}
		break;
	default:
		break;		/* S, T, Z, V, and what a later version adds */
	}
}

static void
take_message(struct replay *rp, uint32_t segment, const struct summary_row *row)
{
	uint32_t before = place_before(rp, row->id);
	struct spool_message *m = add(rp, row->id, row->nrcpt, segment, row->at, row->length);

	m->received_ms = row->received_ms;
	m->size = row->size;
	m->uid = row->uid;
	message_flags(m, (row->flags & SPOOL_BOUNCE) != 0, (row->flags & SPOOL_EIGHT_BIT) != 0);
	m->first_segment = row->first_segment;
	set_hold(rp, m, before);
}

static void
take_outcome(struct replay *rp, uint32_t segment, const struct summary_row *row)
{
	struct spool_message *m = index_get(rp->found, row->id);
	struct outcome o;

	if (m == NULL) {
		see_orphan(rp, row->id, segment);
		return;
	}
	if (outcome_get(&o, row->text, NULL) < 0)
		return;
	drop_hold(rp, m);
	outcome_apply(m, &o);
	m->outcome_segment = segment;
	m->outcome_offset64 = (uint32_t)(row->at / RECORD_UNIT);
}

void
replay_summary(struct replay *rp, uint32_t segment, struct view text)
{
	struct summary_row row;

	while (summary_next(&text, &row)) {
		switch (row.type) {
		case SUMMARY_MESSAGE:
			take_message(rp, segment, &row);
			break;
		case SUMMARY_OUTCOME:
			take_outcome(rp, segment, &row);
			break;
		default:
			drop(rp, row.id);
			break;
		}
	}
}
