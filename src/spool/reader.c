/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a message back: from the page cache on the loop when it is there, else by
 * a job on env.reader. One read at a time; a job that runs outlives its reader.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/require.h"
#include "spool/load.h"
#include "spool/outcome.h"
#include "spool/state.h"

#include "base/banned.h"

#define HOPS_MAX	1024u		/* records of outcomes that are followed */
#define OUTCOME_FIRST	4096u		/* read at once; more if the record is longer */

/* The read that is under way, on its own: the reader may be freed meanwhile. */
struct fetch {
	struct job	 job;
	struct spool_reader *reader;	/* NULL: freed */
	struct spool	*s;
	struct segment	*sg;
	struct place	 place;
	struct buf	 bytes;
	int		 fd;
	bool		 opened;
	struct err	 e;
};

enum fetch_state { FETCH_NONE, FETCH_RUNS, FETCH_HAVE };

struct spool_reader {
	struct spool	*s;
	spool_id	 id;
	uint32_t	 begun_in;
	void		(*on_ready)(void *owner);
	void		*owner;
	struct fetch	*fetch;
	enum fetch_state state;
	/* the message */
	struct load	 load;
	struct buf	 lines;		/* copy: the bytes under the envelope change */
	struct envelope	 envelope;
	bool		 has_envelope;
	struct view	 body;
	struct err	 bad;		/* kind: of a failure that stays */
	/* outcome */
	struct place	 next;		/* record to read; segment 0: done */
	unsigned	 hops;
	uint32_t	 nrcpt, nmissing;
	struct spool_rcpt *rcpt;
	struct spool_result *result;
	size_t		*text_at;	/* in texts, + 1; 0: none yet */
	size_t		 nresult;
	struct buf	 texts;
	char		 endpoint[301];
	bool		 outcome_done, endpoint_known;
};

/* --- fetching ------------------------------------------------------------------- */

static void
fetch_free(struct fetch *f)
{
	buf_done(&f->bytes);
	free(f);
}

static void
fetch_run(struct job *job)
{
	struct fetch *f = container_of(job, struct fetch, job);
	char name[SEGMENT_NAME_MAX];
	uint8_t *p;
	int64_t got;

	if (f->fd < 0) {
		f->fd = fs_open(f->s->env.fs, segment_name(name, DIR_LOG, f->place.segment), FS_READ, &f->e);
		f->opened = f->fd >= 0;
	}
	if (f->fd < 0)
		return;
	p = buf_reserve(&f->bytes, (size_t)f->place.length);
	require(p != NULL);		/* reserved by the loop */
	got = fs_read(f->s->env.fs, f->fd, p, (size_t)f->place.length, f->place.at, &f->e);
	if (got > 0)
		buf_grew(&f->bytes, (size_t)got);
}

static void
fetch_done(struct job *job)
{
	struct fetch *f = container_of(job, struct fetch, job);
	struct spool_reader *r = f->reader;
	struct spool *s = f->s;

	f->sg->users--;
	if (f->opened && f->sg->fd < 0)
		log_opened(s, f->sg, f->fd);
	else if (f->opened)
		fs_close(s->env.fs, f->fd);
	f->fd = -1;
	if (r == NULL) {
		log_unpin(s, f->sg->number);
		fetch_free(f);
		s->nreaders--;
		spool_check_closed(s);
		return;
	}
	r->state = FETCH_HAVE;
	r->on_ready(r->owner);
}

/* DATA: the bytes are in fetch->bytes. */
static enum reader_result
fetch(struct spool_reader *r, const struct place *place, struct err *e)
{
	struct spool *s = r->s;
	struct fetch *f = r->fetch;
	int64_t got = -2;
	uint8_t *p;

	if (r->state == FETCH_RUNS)
		return READER_WAIT;
	if (r->state == FETCH_HAVE)
		r->state = FETCH_NONE;
	else
		f->place.segment = 0;
	/* Asked for something else meanwhile: read that. */
	if (f->place.segment == place->segment && f->place.at == place->at &&
	    f->place.length == place->length) {
		if (f->e.kind != ERR_NONE) {
			*e = f->e;
			return READER_BAD;
		}
		return READER_DATA;
	}
	f->sg = log_segment(s, place->segment);
	if (f->sg == NULL || f->sg == s->releasing) {
		(void)err_set(e, ERR_DAMAGED, "segment %016x is not there", place->segment);
		return READER_BAD;
	}
	f->place = *place;
	err_clear(&f->e);
	buf_clear(&f->bytes);
	p = buf_reserve(&f->bytes, (size_t)place->length);
	if (p == NULL) {
		(void)err_set(e, ERR_FULL, "out of memory");
		return READER_BAD;
	}
	if (f->sg->fd >= 0)
		got = fs_read_cached(s->env.fs, f->sg->fd, p, (size_t)place->length, place->at, &f->e);
	if (got >= 0) {
		if (!list_is_empty(&f->sg->lru))
			log_opened(s, f->sg, -1);	/* used last */
		buf_grew(&f->bytes, (size_t)got);
		return READER_DATA;
	}
	/* Not at hand, or it failed: then the job tells how. */
	err_clear(&f->e);
	f->fd = f->sg->fd;
	f->opened = false;
	f->sg->users++;
	f->job = (struct job){ .run = fetch_run, .done = fetch_done };
	r->state = FETCH_RUNS;
	worker_submit(s->env.reader, &f->job);
	return READER_WAIT;
}

/* --- the message ------------------------------------------------------------------ */

struct spool_reader *
spool_reader_new(struct spool *s, struct spool_message *m, void (*on_ready)(void *), void *owner)
{
	struct spool_reader *r = xzalloc(sizeof(*r));

	r->s = s;
	r->id = m->id;
	r->begun_in = message_begun_in(m);
	r->on_ready = on_ready;
	r->owner = owner;
	r->fetch = xzalloc(sizeof(*r->fetch));
	r->fetch->s = s;
	r->fetch->reader = r;
	r->fetch->fd = -1;
	buf_init(&r->fetch->bytes, 64u << 20);
	buf_init(&r->lines, ENVELOPE_MAX);
	buf_init(&r->texts, 32u << 20);
	envelope_init(&r->envelope);
	load_init(&r->load, m);
	r->next = (struct place){ m->outcome_segment, (uint64_t)m->outcome_offset64 * RECORD_UNIT, 0 };
	r->nrcpt = m->nrcpt;
	r->rcpt = xcalloc(m->nrcpt, sizeof(*r->rcpt));
	memcpy(r->rcpt, spool_rcpts(m), m->nrcpt * sizeof(*r->rcpt));
	log_pin(s, r->begun_in);
	s->nreaders++;
	return r;
}

void
spool_reader_free(struct spool_reader *r)
{
	struct spool *s;

	if (r == NULL)
		return;
	s = r->s;
	if (r->state == FETCH_RUNS) {
		/* The segment that is being read stays until the job is done. */
		r->fetch->reader = NULL;
		log_pin(s, r->fetch->sg->number);
	} else {
		fetch_free(r->fetch);
		s->nreaders--;
	}
	envelope_done(&r->envelope);
	load_done(&r->load);
	buf_done(&r->lines);
	buf_done(&r->texts);
	free(r->rcpt);
	free(r->result);
	free(r->text_at);
	log_unpin(s, r->begun_in);
	free(r);
	spool_check_closed(s);
}

/* A failure stays: what is damaged is told once and not read again. */
static enum reader_result
bad(struct spool_reader *r, struct err *e)
{
	if (r->bad.kind == ERR_NONE)
		(void)err_set(&r->bad, ERR_DAMAGED, "the message is not complete");
	if (e != NULL)
		*e = r->bad;
	return READER_BAD;
}

static enum reader_result
fail(struct spool_reader *r, const struct err *why, struct err *e)
{
	r->bad = *why;
	if (why->kind == ERR_DAMAGED)
		trouble(r->s, "%s", why->text);
	return bad(r, e);
}

/* The next record of the message. END: there is none. */
static enum reader_result
step(struct spool_reader *r, struct err *e)
{
	enum reader_result rr;
	struct err why = { 0 };
	struct place place;
	const struct segment *sg;

	if (r->bad.kind != ERR_NONE)
		return bad(r, e);
	if (!load_wants(&r->load, &place))
		return READER_END;
	rr = fetch(r, &place, &why);
	if (rr == READER_BAD)
		return fail(r, &why, e);
	if (rr != READER_DATA)
		return rr;
	sg = log_segment(r->s, place.segment);
	if (load_feed(&r->load, sg->nonce, buf_view(&r->fetch->bytes), &why) < 0)
		return fail(r, &why, e);
	r->body = r->load.body;
	return READER_DATA;
}

static int
take_envelope(struct spool_reader *r, struct err *e)
{
	if (!buf_add(&r->lines, r->load.envelope))
		return err_set(e, ERR_FULL, "out of memory");
	if (envelope_decode(&r->envelope, buf_view(&r->lines), e) < 0) {
		if (e != NULL)
			e->kind = ERR_DAMAGED;
		return -1;
	}
	r->has_envelope = true;
	return 0;
}

enum reader_result
spool_reader_envelope(struct spool_reader *r, const struct envelope **out, struct err *e)
{
	struct err why = { 0 };

	while (!r->has_envelope) {
		enum reader_result rr = step(r, e);

		if (rr == READER_END)
			return bad(r, e);
		if (rr != READER_DATA)
			return rr;
		if (r->load.has_envelope && take_envelope(r, &why) < 0)
			return fail(r, &why, e);
	}
	*out = &r->envelope;
	return READER_DATA;
}

enum reader_result
spool_reader_next(struct spool_reader *r, struct view *out, struct err *e)
{
	const struct envelope *env;
	enum reader_result rr = spool_reader_envelope(r, &env, e);

	while (rr == READER_DATA && r->body.n == 0)
		rr = step(r, e);
	if (rr != READER_DATA)
		return rr;
	*out = r->body;
	r->body = VIEW("");
	return READER_DATA;
}

/* --- the outcome ---------------------------------------------------------------------- */

/* Texts of recipients that no later record spoke of. */
static void
take_texts(struct spool_reader *r, struct view lines)
{
	struct outcome_text t;

	while (outcome_next_text(&lines, &t)) {
		size_t at = buf_len(&r->texts);

		if (!buf_addf(&r->texts, "%.*s", (int)(t.status.n < SPOOL_STATUS_MAX ? t.status.n : 0),
		    (const char *)t.status.p) || !buf_add_byte(&r->texts, '\0') ||
		    !buf_addf(&r->texts, "%.*s", (int)(t.text.n < SPOOL_TEXT_MAX ? t.text.n : SPOOL_TEXT_MAX),
		    (const char *)t.text.p) || !buf_add_byte(&r->texts, '\0'))
			return;
		for (uint32_t i = t.first; i <= t.last && i < r->nrcpt; i++) {
			if (r->text_at[i] != 0)
				continue;
			r->text_at[i] = at + 1;
			r->nmissing--;
		}
	}
}

/* One record of the chain; what can't be read ends it: texts are not guaranteed. */
static void
take_outcome(struct spool_reader *r, struct view bytes)
{
	const struct segment *sg = log_segment(r->s, r->next.segment);
	struct place here = r->next;
	struct outcome o;
	struct view payload;
	struct record head;

	r->next.segment = 0;
	if (bytes.n < RECORD_HEADER || !record_get(&head, bytes.p, sg->nonce) ||
	    head.type != RECORD_UPDATE || head.id != r->id)
		return;
	payload = view_from(bytes, RECORD_HEADER);
	if (payload.n < head.length) {
		if (here.length != OUTCOME_FIRST || record_room(head.length) > (32u << 20))
			return;
		r->next = (struct place){ here.segment, here.at, record_room(head.length) };
		return;
	}
	payload = view_first(payload, head.length);
	if (crc32c(0, payload) != head.crc || outcome_get(&o, payload, NULL) < 0)
		return;
	if (!r->endpoint_known && o.endpoint.n > 0) {
		size_t n = o.endpoint.n < sizeof(r->endpoint) ? o.endpoint.n : sizeof(r->endpoint) - 1;

		memcpy(r->endpoint, o.endpoint.p, n);
		r->endpoint_known = true;
	}
	take_texts(r, payload);
	/* Strictly backwards, so that it ends. */
	if (r->nmissing > 0 && ++r->hops < HOPS_MAX && (o.prev_segment < here.segment ||
	    (o.prev_segment == here.segment && (uint64_t)o.prev_offset64 * RECORD_UNIT < here.at)))
		r->next = (struct place){ o.prev_segment, (uint64_t)o.prev_offset64 * RECORD_UNIT, 0 };
}

static bool
is_written(const struct spool_reader *r)
{
	const struct segment *sg = log_segment(r->s, r->next.segment);

	return sg != NULL && r->next.at + RECORD_HEADER <= sg->written;
}

static void
put_results(struct spool_reader *r)
{
	for (uint32_t i = 0; i < r->nrcpt; i++) {
		struct spool_result *x = &r->result[r->nresult];
		const char *text;

		if (r->rcpt[i].state == SPOOL_QUEUED && r->rcpt[i].code == 0 && r->text_at[i] == 0)
			continue;
		*x = (struct spool_result){ .rcpt = i, .state = (enum spool_rcpt_state)r->rcpt[i].state,
			.code = r->rcpt[i].code, .text = VIEW("") };
		r->nresult++;
		if (r->text_at[i] == 0)
			continue;
		text = (const char *)r->texts.data + r->text_at[i] - 1;
		memcpy(x->status, text, strlen(text) + 1);
		x->text = view_str(text + strlen(text) + 1);
	}
}

enum reader_result
spool_reader_outcome(struct spool_reader *r, const struct spool_result **out, size_t *n,
    const char **endpoint, struct err *e)
{
	struct err why = { 0 };

	if (r->result == NULL) {
		r->result = xcalloc(r->nrcpt, sizeof(*r->result));
		r->text_at = xcalloc(r->nrcpt, sizeof(*r->text_at));
		r->nmissing = r->nrcpt;
	}
	if (!r->outcome_done && r->next.segment == 0)
		return READER_END;
	while (r->next.segment != 0) {
		struct place place = r->next;
		enum reader_result rr;

		if (!is_written(r)) {
			r->next.segment = 0;
			break;
		}
		if (place.length == 0)
			place.length = r->next.length = OUTCOME_FIRST;
		rr = fetch(r, &place, &why);
		if (rr == READER_WAIT)
			return rr;
		if (rr == READER_BAD)
			r->next.segment = 0;
		else
			take_outcome(r, buf_view(&r->fetch->bytes));
	}
	if (!r->outcome_done)
		put_results(r);
	r->outcome_done = true;
	if (r->nresult == 0)
		return READER_END;
	*out = r->result;
	*n = r->nresult;
	*endpoint = r->endpoint;
	return READER_DATA;
}
