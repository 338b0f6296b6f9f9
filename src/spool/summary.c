/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/summary.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/require.h"
#include "spool/outcome.h"
#include "spool/record.h"

#include "base/banned.h"

#define UID_DIGITS	15u	/* so that a row has whole 8 bytes: tests/crash fills a segment to its last one */
#define FOLD_MIN	1024u		/* rows that gather before they are looked through */

/* In the order of what stands at one place: a message, then what is said of it. */
enum kind { NOTHING, MESSAGE, OUTCOME, FINISH };

struct message_part {
	int64_t		received_ms, uid;
	uint64_t	size;
	uint32_t	nrcpt, first_segment;
	uint8_t		flags;
};

struct text_part {
	uint32_t	n;
	uint8_t		text[];
};

struct gathered {
	spool_id	 id;
	uint32_t	 at64;
	uint32_t	 length64 : 24;
	uint32_t	 kind : 7;
	uint32_t	 known : 1;	/* an outcome: the message was there before it */
	union {
		struct message_part *message;
		struct text_part *text;
		void	*any;
	} part;
};

struct summary {
	uint32_t	 segment;
	struct gathered	*row;
	size_t		 n, cap;
	size_t		 fold_at;	/* when there are so many */
	uint64_t	 bytes;		/* of the text, at most */
	bool		 lost;		/* too large */
};

struct summary *
summary_new(uint32_t segment)
{
	struct summary *s = xzalloc(sizeof(*s));

	s->segment = segment;
	s->fold_at = FOLD_MIN;
	return s;
}

static void
drop(struct gathered *g)
{
	if (g == NULL)
		return;
	free(g->part.any);
	g->part.any = NULL;
	g->kind = NOTHING;
}

static void
clear(struct summary *s)
{
	for (size_t i = 0; i < s->n; i++)
		drop(&s->row[i]);
	free(s->row);
	s->row = NULL;
	s->n = s->cap = 0;
	s->bytes = 0;
}

void
summary_free(struct summary *s)
{
	if (s == NULL)
		return;
	clear(s);
	free(s);
}

/* --- folding ------------------------------------------------------------------- */

static int
compare_rows(const void *a, const void *b)
{
	const struct gathered *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	if (x->at64 != y->at64)
		return x->at64 < y->at64 ? -1 : 1;
	return (int)x->kind - (int)y->kind;
}

static uint64_t
row_bytes(const struct gathered *g)
{
	if (g->kind == MESSAGE)
		return SUMMARY_MESSAGE_ROW;
	return g->kind == OUTCOME ? SUMMARY_OUTCOME_ROW + g->part.text->n : SUMMARY_FINISH_ROW;
}

/*
 * Of one message's rows, n of them in order: what they say together. A copy that was moved here
 * stands as the message stood, so an outcome before it stays: in front of it if the message
 * is not sure to be known there.
 */
static void
fold_message(const struct summary *s, struct gathered *row, size_t n)
{
	struct gathered *message = NULL, *outcome = NULL, *finish = NULL;
	bool gone = false;

	for (size_t i = 0; i < n; i++) {
		struct gathered *g = &row[i];

		if (g->kind == OUTCOME && (gone || finish != NULL) && message == NULL && !g->known) {
			drop(g);
		} else if (g->kind == OUTCOME) {
			drop(outcome);
			outcome = g;
			outcome->known |= message != NULL;
		} else if (g->kind == MESSAGE) {
			drop(message);
			message = g;
		} else {
			/* It came and ended here: nothing of it is in an earlier segment. */
			gone = (message != NULL || gone) && g->id >> 24 == s->segment;
			drop(message);
			drop(outcome);
			drop(finish);
			message = outcome = NULL;
			finish = g;
			if (gone) {
				drop(finish);
				finish = NULL;
			}
		}
	}
	if (message != NULL && outcome != NULL && outcome->known && outcome < message) {
		struct gathered first = *message;

		*message = *outcome;
		*outcome = first;
	}
}

static void
fold(struct summary *s)
{
	size_t n = 0;

	if (s->n > 1)
		qsort(s->row, s->n, sizeof(*s->row), compare_rows);
	for (size_t i = 0, next; i < s->n; i = next) {
		for (next = i + 1; next < s->n && s->row[next].id == s->row[i].id;)
			next++;
		fold_message(s, &s->row[i], next - i);
	}
	s->bytes = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (s->row[i].kind == NOTHING)
			continue;
		s->bytes += row_bytes(&s->row[i]);
		s->row[n++] = s->row[i];
	}
	s->n = n;
	s->fold_at = n * 2 > FOLD_MIN ? n * 2 : FOLD_MIN;
	if (s->bytes > SUMMARY_MAX - SUMMARY_HEAD_MAX) {
		clear(s);
		s->lost = true;
	}
}

static void
gather(struct summary *s, const struct gathered *g)
{
	if (s->n == s->cap) {
		s->cap = s->cap != 0 ? s->cap * 2 : 64;
		s->row = xrealloc(s->row, s->cap * sizeof(*s->row));
	}
	s->row[s->n++] = *g;
	s->bytes += row_bytes(g);
	if (s->n == s->fold_at)
		fold(s);
}

/* --- records -------------------------------------------------------------------- */

void
summary_message(struct summary *s, const struct spool_message *m)
{
	struct gathered g = { .id = m->id, .at64 = m->offset64, .length64 = m->length64 & 0xffffffu,
		.kind = MESSAGE };

	if (s->lost)
		return;
	g.part.message = xzalloc(sizeof(*g.part.message));
	*g.part.message = (struct message_part){ .received_ms = m->received_ms, .size = m->size,
		.uid = m->uid, .nrcpt = m->nrcpt, .first_segment = m->first_segment,
		.flags = m->flags & (SPOOL_BOUNCE | SPOOL_EIGHT_BIT) };
	gather(s, &g);
}

/* States are kept; texts are found by the place of the record. */
static bool
is_kept(struct view line)
{
	return !view_starts(line, VIEW("prev:")) && !view_starts(line, VIEW("endpoint:")) &&
	    !view_starts(line, VIEW("text:"));
}

void
summary_outcome(struct summary *s, spool_id id, uint64_t at, uint64_t length, struct view payload)
{
	struct gathered g = { .id = id, .at64 = (uint32_t)(at / RECORD_UNIT),
		.length64 = (uint32_t)(length / RECORD_UNIT) & 0xffffffu, .kind = OUTCOME };
	struct view rest = payload, line;
	struct outcome o;
	struct text_part *t;

	if (s->lost || id == 0 || outcome_get(&o, payload, NULL) < 0)	/* replay skips it, too */
		return;
	g.part.text = t = xzalloc(sizeof(*t) + payload.n + 1);
	while (view_split(&rest, '\n', &line)) {
		if (!is_kept(line))
			continue;
		memcpy(t->text + t->n, line.p, line.n);
		t->n += (uint32_t)line.n;
		t->text[t->n++] = '\n';
	}
	g.part.text = xrealloc(t, sizeof(*t) + t->n);
	gather(s, &g);
}

void
summary_finish(struct summary *s, spool_id id, uint64_t at)
{
	if (!s->lost && id != 0)
		gather(s, &(struct gathered){ .id = id, .at64 = (uint32_t)(at / RECORD_UNIT), .kind = FINISH });
}

uint64_t
summary_bytes(const struct summary *s)
{
	return s->lost ? 0 : SUMMARY_HEAD_MAX + s->bytes;
}

/* --- to text --------------------------------------------------------------------- */

/* A column and a space, or the end of the row. */
static uint8_t *
put(uint8_t *at, unsigned digits, uint64_t value, uint8_t end)
{
	num_hex(at, digits, value);
	at[digits] = end;
	return at + digits + 1;
}

static void
put_row(uint8_t *at, const struct gathered *g)
{
	static const uint8_t letter[] = { [MESSAGE] = SUMMARY_MESSAGE, [OUTCOME] = SUMMARY_OUTCOME,
		[FINISH] = SUMMARY_FINISH };
	const struct message_part *m = g->part.message;

	*at++ = letter[g->kind];
	*at++ = ' ';
	at = put(at, 16, g->id, g->kind == FINISH ? '\n' : ' ');
	if (g->kind == FINISH)
		return;
	at = put(at, 8, (uint64_t)g->at64 * RECORD_UNIT, ' ');
	at = put(at, 8, (uint64_t)g->length64 * RECORD_UNIT, ' ');
	if (g->kind == OUTCOME) {
		at = put(at, 8, g->part.text->n, '\n');
		memcpy(at, g->part.text->text, g->part.text->n);
		return;
	}
	at = put(at, 16, (uint64_t)m->received_ms, ' ');
	at = put(at, 16, m->size, ' ');
	at = put(at, 4, m->nrcpt, ' ');
	at = put(at, 2, m->flags, ' ');
	at = put(at, 8, m->first_segment, ' ');
	(void)put(at, UID_DIGITS, (uint64_t)(m->uid - SPOOL_UID_UNSAID), '\n');
}

bool
summary_put(struct buf *out, struct summary *s)
{
	if (!s->lost)
		fold(s);
	if (s->lost || !buf_addf(out, "rows: %zu\n", s->n))
		return false;
	for (size_t i = 0; i < s->n; i++) {
		size_t n = (size_t)row_bytes(&s->row[i]);
		uint8_t *at = buf_reserve(out, n);

		if (at == NULL)
			return false;
		put_row(at, &s->row[i]);
		buf_grew(out, n);
	}
	return true;
}

/* --- from text ------------------------------------------------------------------- */

/* A column off the front of *io. */
static bool
get(struct view *io, unsigned digits, uint64_t *out)
{
	struct view column = view_first(*io, digits);

	if (column.n < digits || !num_parse_hex(column, out) || (io->n > digits && io->p[digits] != ' '))
		return false;
	*io = view_from(*io, digits + 1);
	return true;
}

static bool
get_place(struct view *io, struct summary_row *r)
{
	return get(io, 8, &r->at) && get(io, 8, &r->length);
}

static bool
get_message(struct view *io, struct summary_row *r)
{
	uint64_t received, nrcpt, flags, first, uid = 0;

	if (!get_place(io, r) || !get(io, 16, &received) || !get(io, 16, &r->size) ||
	    !get(io, 4, &nrcpt) || !get(io, 2, &flags) || !get(io, 8, &first) ||
	    (io->n > 0 && !get(io, UID_DIGITS, &uid)))
		return false;
	r->uid = (int64_t)uid + SPOOL_UID_UNSAID;
	r->received_ms = (int64_t)received;
	r->nrcpt = (uint32_t)nrcpt;
	r->flags = (uint8_t)flags;
	r->first_segment = (uint32_t)first;
	return true;
}

static bool
get_row(struct view *io, struct summary_row *r)
{
	struct view line;
	uint64_t n;

	if (!view_split(io, '\n', &line) || line.n < 2 || line.p[1] != ' ')
		return false;
	*r = (struct summary_row){ .type = line.p[0] };
	line = view_from(line, 2);
	if (!get(&line, 16, &r->id))
		return false;
	switch (r->type) {
	case SUMMARY_MESSAGE:
		return get_message(&line, r);
	case SUMMARY_OUTCOME:
		if (!get_place(&line, r) || !get(&line, 8, &n) || n > io->n)
			return false;
		r->text = view_first(*io, (size_t)n);
		*io = view_from(*io, (size_t)n);
		return true;
	case SUMMARY_FINISH:
		return true;
	default:
		return false;
	}
}

static bool
get_head(struct view *io, uint64_t *rows)
{
	struct view line;

	return view_split(io, '\n', &line) && view_starts(line, VIEW("rows: ")) &&
	    num_parse_u64(view_from(line, 6), 0, UINT32_MAX, rows);
}

static bool
is_place(const struct summary_row *r, uint64_t end)
{
	return r->at >= RECORD_UNIT && r->at % RECORD_UNIT == 0 && r->length >= RECORD_HEADER &&
	    r->length % RECORD_UNIT == 0 && r->length <= end && r->at <= end - r->length;
}

static bool
is_sound(const struct summary_row *r, uint64_t end)
{
	struct outcome o;

	if (r->id == 0)
		return false;
	if (r->type == SUMMARY_MESSAGE)
		return is_place(r, end) && r->nrcpt > 0 && r->nrcpt <= ENVELOPE_RCPT_MAX &&
		    r->first_segment != 0 && r->uid >= SPOOL_UID_UNSAID && r->uid <= UINT32_MAX &&
		    (r->flags & ~(SPOOL_BOUNCE | SPOOL_EIGHT_BIT)) == 0;
	return r->type == SUMMARY_FINISH || (is_place(r, end) && outcome_get(&o, r->text, NULL) == 0);
}

/* Ids go up; of one there may be an X, and then M and U in either order. */
static bool
is_in_order(const struct summary_row *before, const struct summary_row *r)
{
	return r->id > before->id || (r->id == before->id && before->type != r->type &&
	    r->type != SUMMARY_FINISH);
}

bool
summary_check(struct view text, uint64_t end)
{
	struct summary_row r, before = { 0 };
	uint64_t rows;

	if (!get_head(&text, &rows))
		return false;
	for (; rows > 0; rows--) {
		if (!get_row(&text, &r) || !is_sound(&r, end) || !is_in_order(&before, &r))
			return false;
		before = r;
	}
	return text.n == 0;
}

bool
summary_next(struct view *io, struct summary_row *out)
{
	uint64_t rows;

	if (view_starts(*io, VIEW("rows: ")) && !get_head(io, &rows))
		return false;
	return get_row(io, out);
}
