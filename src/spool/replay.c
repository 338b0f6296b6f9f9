/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/replay.h"

#include "spool/load.h"
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

void
replay_init(struct replay *rp)
{
	*rp = (struct replay){ .unclear = 0 };
	map_init(&rp->found);
}

void
replay_done(struct replay *rp)
{
	for (size_t pos = 0;;) {
		struct spool_message *m = map_next(&rp->found, &pos);

		if (m == NULL)
			break;
		message_free(m);
	}
	map_done(&rp->found);
}

static void
drop(struct replay *rp, uint64_t id)
{
	/* NULL: gone with an earlier segment. */
	message_free(map_take(&rp->found, id));
}

static void
add(struct replay *rp, struct spool_message *m, uint32_t segment, const struct scan_record *x)
{
	drop(rp, m->id);	/* a later copy replaces an earlier one */
	m->segment = segment;
	m->offset64 = (uint32_t)(x->at / RECORD_UNIT);
	m->length64 = (uint32_t)(x->length / RECORD_UNIT);
	if (m->first_segment == 0)
		m->first_segment = segment;
	map_put(&rp->found, m->id, m);
}

static void
see_message(struct replay *rp, uint64_t id, struct view payload, uint32_t segment,
    const struct scan_record *x)
{
	struct view lines, text;
	struct spool_message *m;
	struct envelope env;

	if (id == 0 || !load_split_message(payload, &lines, &text) ||
	    envelope_decode(&env, lines, NULL) < 0) {
		rp->unclear++;
		return;
	}
	m = message_new(id, env.nrcpt);
	message_from_envelope(m, &env);
	envelope_done(&env);
	add(rp, m, segment, x);
}

static void
see_commit(struct replay *rp, uint64_t id, struct view payload, uint32_t segment,
    const struct scan_record *x)
{
	struct spool_message *m;
	struct commit_lines c;

	if (id == 0 || lines_get_commit(&c, payload, NULL) < 0) {
		rp->unclear++;
		return;
	}
	m = message_new(id, c.nrcpt);
	m->received_ms = c.received_ms;
	m->size = c.size;
	m->flags = (uint8_t)((c.bounce ? SPOOL_BOUNCE : 0) | (c.eight_bit ? SPOOL_EIGHT_BIT : 0));
	m->first_segment = segment;
	for (uint32_t i = 0; i < c.nextent; i++)
		if (c.extent[i].segment < m->first_segment)
			m->first_segment = c.extent[i].segment;
	lines_commit_done(&c);
	add(rp, m, segment, x);
}

static void
see_update(struct replay *rp, uint64_t id, struct view payload, uint32_t segment,
    const struct scan_record *x)
{
	struct spool_message *m = map_get(&rp->found, id);
	struct outcome o;

	if (m == NULL)
		return;
	if (outcome_get(&o, payload, NULL) < 0) {
		rp->unclear++;
		return;
	}
	outcome_apply(m, &o);
	m->outcome_segment = segment;
	m->outcome_offset64 = (uint32_t)(x->at / RECORD_UNIT);
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
	case RECORD_COMMIT:
		see_commit(rp, x->head.id, x->payload, segment, x);
		break;
	case RECORD_UPDATE:
		see_update(rp, x->head.id, x->payload, segment, x);
		break;
	case RECORD_FINISH:
		drop(rp, x->head.id);
		break;
	case RECORD_GROUP:
		while (record_next_part(&rest, &part)) {
			if (part.type == RECORD_MESSAGE)
				see_message(rp, part.id, part.payload, segment, x);
			else if (part.type == RECORD_FINISH)
				drop(rp, part.id);
		}
		break;
	default:
		break;		/* S, B, Z, V, and what a later version adds */
	}
}
