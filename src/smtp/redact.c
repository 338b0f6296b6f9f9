/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/redact.h"

#include "base/base64.h"
#include "base/require.h"

#include "base/banned.h"

#define BASE64_LEAST 4		/* characters of base64; three of any kind are in any text */

/* A text, and which bytes of it are not to be shown. */
struct marks {
	struct view	text;
	bool		hidden[REDACT_TEXT_MAX];
};

void
redact_init(struct redact *r)
{
	*r = (struct redact){ .nlines = 0 };
}

void
redact_done(struct redact *r)
{
	for (size_t i = 0; i < r->nlines; i++)
		buf_wipe(&r->lines[i]);
	redact_init(r);
}

bool
redact_note(struct redact *r, struct view secret, struct view line)
{
	struct view verb, mechanism;

	r->secret = secret;
	if (view_starts(line, VIEW("AUTH ")) && (!view_split(&line, ' ', &verb) || !view_split(&line, ' ', &mechanism)))
		return true;
	if (line.n < BASE64_LEAST)
		return true;
	require(r->nlines < REDACT_LINES);
	buf_init(&r->lines[r->nlines], line.n);
	return buf_add(&r->lines[r->nlines++], line);
}

/* --- one word in a text ------------------------------------------------------ */

static bool
looks_same(uint8_t shown, uint8_t meant)
{
	uint8_t as = is_print(meant) ? meant : meant == '\t' ? ' ' : '?';

	return to_lower(shown) == to_lower(as);
}

/* The longest piece that text and word share around these two places. */
static void
mark_around(struct marks *m, struct view word, size_t at, size_t in_word, size_t least)
{
	struct view text = m->text;
	size_t back = 0, on = 0;

	while (back < at && back < in_word && looks_same(text.p[at - back - 1], word.p[in_word - back - 1]))
		back++;
	while (at + on < text.n && in_word + on < word.n && looks_same(text.p[at + on], word.p[in_word + on]))
		on++;
	if (back + on >= least)
		memset(m->hidden + at - back, true, back + on);
}

/* A piece of so many bytes has one of each so many places of the text: the others need no look. */
static void
mark_word(struct marks *m, struct view word)
{
	size_t least = word.n < REDACT_PIECE ? word.n : REDACT_PIECE;

	if (least == 0)
		return;
	for (size_t at = 0; at < m->text.n; at += least)
		for (size_t i = 0; i < word.n; i++)
			if (looks_same(m->text.p[at], word.p[i]))
				mark_around(m, word, at, i, least);
}

/*
 * The secret in base64 with so many bytes before it: the characters that hold nothing but its bits.
 * False: no memory.
 */
static bool
mark_aligned(struct marks *m, struct view secret, size_t before)
{
	static const uint8_t zero[2];
	size_t begin = (before * 8 + 5) / 6, end = (before + secret.n) * 8 / 6, n = (before + secret.n + 2) / 3 * 4;
	struct buf plain, text;
	bool ok;

	buf_init(&plain, before + secret.n);
	buf_init(&text, n);
	ok = buf_reserve(&plain, before + secret.n) != NULL && buf_reserve(&text, n) != NULL &&
	    buf_add(&plain, view_of(zero, before)) && buf_add(&plain, secret) &&
	    base64_encode(&text, buf_view(&plain));
	if (ok && end - begin >= BASE64_LEAST)
		mark_word(m, view_from(view_first(buf_view(&text), end), begin));
	buf_wipe(&plain);
	buf_wipe(&text);
	return ok;
}

static bool
mark_all(struct marks *m, const struct redact *r)
{
	bool ok = true;

	mark_word(m, r->secret);
	for (size_t i = 0; i < r->nlines; i++)
		mark_word(m, buf_view(&r->lines[i]));
	for (size_t before = 0; r->secret.n > 0 && before < 3 && ok; before++)
		ok = mark_aligned(m, r->secret, before);
	return ok;
}

/* --- the text without it ------------------------------------------------------- */

void
redact_text(const struct redact *r, char *text, size_t size)
{
	struct marks m;
	char shown[REDACT_TEXT_MAX];
	size_t n = 0;

	require(size > 0 && size <= REDACT_TEXT_MAX);
	if (r->secret.n == 0 && r->nlines == 0)
		return;
	m.text = view_of(text, strnlen(text, size - 1));
	memset(m.hidden, false, sizeof(m.hidden));
	if (!mark_all(&m, r))
		memset(m.hidden, true, sizeof(m.hidden));	/* better nothing than too much */
	for (size_t i = 0; i < m.text.n && n < size - 1; i++) {
		if (!m.hidden[i])
			shown[n++] = text[i];
		else if (i == 0 || !m.hidden[i - 1])
			for (size_t k = 0; k < sizeof(REDACTED) - 1 && n < size - 1; k++)
				shown[n++] = REDACTED[k];
	}
	memcpy(text, shown, n);
	text[n] = '\0';
}
