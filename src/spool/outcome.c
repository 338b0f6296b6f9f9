/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/outcome.h"

#include "base/date.h"
#include "base/num.h"
#include "base/quote.h"

#include "base/banned.h"

static const char *const state_words[] = {
	[SPOOL_QUEUED] = "queued", [SPOOL_DELIVERED] = "delivered", [SPOOL_FAILED] = "failed",
	[SPOOL_EXPIRED] = "expired", [SPOOL_REMOVED] = "removed",
};

const char *
outcome_word(enum spool_rcpt_state state)
{
	return state_words[state];
}

/* Flags that a record keeps; the others come from the envelope. */
static const struct {
	uint8_t		bit;
	const char	*word;
} flag_words[] = {
	{ SPOOL_HELD, "held" },
	{ SPOOL_UNCERTAIN, "uncertain" },
};

/* --- to text ---------------------------------------------------------------- */

static bool
put_flags(struct buf *out, uint8_t flags)
{
	const char *before = "flags: ";

	for (size_t i = 0; i < lengthof(flag_words); i++) {
		if ((flags & flag_words[i].bit) == 0)
			continue;
		if (!buf_add_str(out, before) || !buf_add_str(out, flag_words[i].word))
			return false;
		before = " ";
	}
	return before[0] != ' ' || buf_add_byte(out, '\n');
}

static bool
put_states(struct buf *out, struct spool_message *m)
{
	const struct spool_rcpt *r = spool_rcpts(m);
	uint32_t i = 0;

	while (i < m->nrcpt) {
		uint32_t first = i;

		while (i < m->nrcpt && r[i].state == r[first].state && r[i].code == r[first].code)
			i++;
		if (r[first].state == SPOOL_QUEUED && r[first].code == 0)
			continue;
		if (!buf_addf(out, "state: %u-%u %s %u\n", first, i - 1, state_words[r[first].state],
		    r[first].code))
			return false;
	}
	return true;
}

static bool
same_text(const struct spool_result *a, const struct spool_result *b)
{
	return strncmp(a->status, b->status, sizeof(a->status)) == 0 && view_eq(a->text, b->text);
}

static bool
put_texts(struct buf *out, const struct spool_update *u)
{
	size_t before = buf_len(out), i = 0;

	while (i < u->nresult && buf_len(out) - before < OUTCOME_TEXTS_MAX) {
		const struct spool_result *r = &u->result[i];
		struct view text = view_first(r->text, SPOOL_TEXT_MAX);
		uint32_t first = r->rcpt, last = first;

		for (i++; i < u->nresult && u->result[i].rcpt == last + 1 && same_text(r, &u->result[i]); i++)
			last++;
		if (r->status[0] == '\0' && text.n == 0)
			continue;
		if (!buf_addf(out, "text: %u-%u %.*s ", first, last, (int)strnlen(r->status,
		    sizeof(r->status)), r->status) || !buf_add(out, text))
			return false;
		quote_flatten(out->data + out->len - text.n, text.n);
		if (!buf_add_byte(out, '\n'))
			return false;
	}
	return true;
}

bool
outcome_put(struct buf *out, struct spool_message *m, const struct spool_update *u, bool with_texts)
{
	uint8_t digits[NUM_TEXT_MAX];
	char date[DATE_MAX];
	size_t endpoint = u->endpoint != NULL ? strnlen(u->endpoint, 300) : 0;

	if (!buf_add_str(out, "prev: 0000000000000000 0000000000000000\nattempts: ") ||
	    !buf_add(out, num_text(digits, u->attempts)) || !buf_add_byte(out, '\n') ||
	    (u->next_ms > 0 && !buf_addf(out, "next: %s\n", date_rfc3339(date, u->next_ms))) ||
	    !put_flags(out, u->flags))
		return false;
	if (with_texts && endpoint > 0) {
		if (!buf_addf(out, "endpoint: %.*s", (int)endpoint, u->endpoint))
			return false;
		quote_flatten(out->data + out->len - endpoint, endpoint);
		if (!buf_add_byte(out, '\n'))
			return false;
	}
	return put_states(out, m) && (!with_texts || put_texts(out, u));
}

void
outcome_set_prev(uint8_t line[OUTCOME_PREV_LINE], uint32_t segment, uint32_t offset64)
{
	num_hex(line + 6, 16, segment);
	num_hex(line + 23, 16, (uint64_t)offset64 * 64);
}

/* --- from text -------------------------------------------------------------- */

static bool
get_prev(struct outcome *o, struct view v)
{
	struct view word;
	uint64_t segment, offset;

	if (!view_split(&v, ' ', &word) || !num_parse_hex(word, &segment) || !num_parse_hex(v, &offset) ||
	    segment > UINT32_MAX || offset % 64 != 0 || offset / 64 > UINT32_MAX)
		return false;
	o->prev_segment = (uint32_t)segment;
	o->prev_offset64 = (uint32_t)(offset / 64);
	return true;
}

static void
get_flags(struct outcome *o, struct view v)
{
	struct view word;

	while (view_split(&v, ' ', &word))
		for (size_t i = 0; i < lengthof(flag_words); i++)
			if (view_eq(word, view_str(flag_words[i].word)))
				o->flags |= flag_words[i].bit;
}

static bool
get_line(struct outcome *o, struct view key, struct view value)
{
	uint64_t n;

	if (view_eq(key, VIEW("prev")))
		return get_prev(o, value);
	if (view_eq(key, VIEW("attempts"))) {
		if (!num_parse_u64(value, 0, UINT16_MAX, &n))
			return false;
		o->attempts = (uint16_t)n;
	} else if (view_eq(key, VIEW("next"))) {
		return date_parse_rfc3339(value, &o->next_ms);
	} else if (view_eq(key, VIEW("flags"))) {
		get_flags(o, value);
	} else if (view_eq(key, VIEW("endpoint"))) {
		o->endpoint = value;
	}
	return true;
}

static bool
split_line(struct view *io, struct view *key, struct view *value)
{
	struct view line;

	if (!view_split(io, '\n', &line))
		return false;
	*value = line;
	if (!view_split(value, ':', key))
		*key = VIEW("");
	*value = view_from(*value, 1);		/* one space; a text may begin with more */
	return true;
}

int
outcome_get(struct outcome *out, struct view v, struct err *e)
{
	struct outcome o = { .lines = v };
	struct view key, value;

	while (split_line(&v, &key, &value))
		if (!get_line(&o, key, value))
			return err_set(e, ERR_DAMAGED, "a record of an outcome has a malformed line");
	*out = o;
	return 0;
}

/* "FIRST-LAST " off the front of *io. */
static bool
get_range(struct view *io, uint32_t *first, uint32_t *last)
{
	struct view range, a;
	uint64_t from, to;

	if (!view_split(io, ' ', &range) || !view_split(&range, '-', &a) ||
	    !num_parse_u64(a, 0, ENVELOPE_RCPT_MAX - 1, &from) ||
	    !num_parse_u64(range, from, ENVELOPE_RCPT_MAX - 1, &to))
		return false;
	*first = (uint32_t)from;
	*last = (uint32_t)to;
	return true;
}

bool
outcome_next_state(struct view *io, struct outcome_state *out)
{
	struct view key, value, word;
	uint64_t code;

	while (split_line(io, &key, &value)) {
		if (!view_eq(key, VIEW("state")) || !get_range(&value, &out->first, &out->last) ||
		    !view_split(&value, ' ', &word) || !num_parse_u64(value, 0, UINT16_MAX, &code))
			continue;
		for (size_t i = 0; i < lengthof(state_words); i++) {
			if (view_eq(word, view_str(state_words[i]))) {
				out->state = (enum spool_rcpt_state)i;
				out->code = (uint16_t)code;
				return true;
			}
		}
	}
	return false;
}

bool
outcome_next_text(struct view *io, struct outcome_text *out)
{
	struct view key, value;

	while (split_line(io, &key, &value)) {
		if (!view_eq(key, VIEW("text")) || !get_range(&value, &out->first, &out->last) ||
		    !view_split(&value, ' ', &out->status))
			continue;
		out->text = value;
		return true;
	}
	return false;
}

void
outcome_apply(struct spool_message *m, const struct outcome *o)
{
	struct spool_rcpt *r = spool_rcpts(m);
	struct view lines = o->lines;
	struct outcome_state s;

	m->attempts = o->attempts;
	m->next_ms = o->next_ms;
	m->flags = (uint8_t)((m->flags & ~(SPOOL_HELD | SPOOL_UNCERTAIN)) | o->flags);
	for (uint32_t i = 0; i < m->nrcpt; i++)
		r[i] = (struct spool_rcpt){ .state = SPOOL_QUEUED };
	while (outcome_next_state(&lines, &s))
		for (uint32_t i = s.first; i <= s.last && i < m->nrcpt; i++)
			r[i] = (struct spool_rcpt){ .state = (uint8_t)s.state, .code = s.code };
}
