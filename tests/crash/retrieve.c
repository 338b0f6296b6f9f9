/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash/retrieve.h"

#include "base/require.h"

#include "base/banned.h"

#define TURN_MS	5

void
retrieve_ready(void *ready)
{
	*(bool *)ready = true;
}

bool
retrieve_wait(struct world *w, bool *ready)
{
	*ready = false;
	world_run(w, TURN_MS);
	return *ready;
}

static enum reader_result
read_envelope(struct world *w, struct spool_reader *r, bool *ready, const struct envelope **env, struct err *e)
{
	enum reader_result rr;

	while ((rr = spool_reader_envelope(r, env, e)) == READER_WAIT)
		if (!retrieve_wait(w, ready))
			break;
	return rr;
}

static enum reader_result
read_text(struct world *w, struct spool_reader *r, bool *ready, struct buf *text, struct err *e)
{
	enum reader_result rr;
	struct view v;

	while ((rr = spool_reader_next(r, &v, e)) == READER_DATA || rr == READER_WAIT) {
		if (rr == READER_DATA)
			require(buf_add(text, v));
		else if (!retrieve_wait(w, ready))
			break;
	}
	return rr;
}

bool
retrieve(struct world *w, struct spool_message *m, struct buf *lines, struct buf *text, struct err *e)
{
	bool ready = false;
	struct spool_reader *r = spool_reader_new(w->spool, m, retrieve_ready, &ready);
	const struct envelope *env = NULL;
	enum reader_result rr;

	buf_clear(lines);
	buf_clear(text);
	rr = read_envelope(w, r, &ready, &env, e);
	if (rr == READER_DATA && env->nrcpt == m->nrcpt && envelope_encode(lines, env))
		rr = read_text(w, r, &ready, text, e);
	spool_reader_free(r);
	return rr == READER_END;
}
