/* SPDX-License-Identifier: BSD-2-Clause */
#include "mail/archive.h"

#include "base/date.h"

#include "base/banned.h"

static const struct view from_ = { (const uint8_t *)"From ", 5 };

/* What a line of an mbox may have in place of an address: one word. */
static bool
is_word(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (!is_print(v.p[i]) || v.p[i] == ' ')
			return false;
	return v.n > 0 && v.n <= 320;
}

/* A line of ours stays one line, whatever stands in the value. */
static bool
put_harmless(struct buf *out, struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (!buf_add_byte(out, v.p[i] < 0x20 || v.p[i] == 0x7f ? '?' : v.p[i]))
			return false;
	return true;
}

bool
archive_begin(struct archive *a, struct buf *out, bool mbox, struct view from, int64_t received_ms)
{
	char date[DATE_MAX];
	struct view word = is_word(from) ? from : VIEW("MAILER-DAEMON");

	*a = (struct archive){ .mbox = mbox, .fresh = true, .quotable = mbox };
	if (mbox && !buf_addf(out, "From %.*s %s\n", VIEW_ARG(word), date_mbox(date, received_ms)))
		return false;
	return buf_add_str(out, "Return-Path: <") && put_harmless(out, from) && buf_add_str(out, ">\n");
}

bool
archive_field(struct buf *out, const char *name, struct view value)
{
	return buf_addf(out, "%s: ", name) && put_harmless(out, value) && buf_add_byte(out, '\n');
}

/* The line is not to be quoted after all: give what was held back. */
static bool
let_go(struct archive *a, struct buf *out)
{
	struct view held = view_first(from_, a->matched);

	if (held.n > 0)
		a->fresh = false;
	a->matched = 0;
	a->quotable = false;
	return buf_add(out, held);
}

static bool
put_byte(struct archive *a, struct buf *out, uint8_t c)
{
	if (a->quotable && c == from_.p[a->matched]) {
		if (++a->matched < from_.n)
			return true;
		return buf_add_byte(out, '>') && let_go(a, out);
	}
	if (a->quotable && (a->matched != 0 || c != '>') && !let_go(a, out))
		return false;
	a->fresh = c == '\n';
	if (a->fresh)
		a->quotable = a->mbox;
	return buf_add_byte(out, c);
}

/* Bytes behind which nothing is to be decided before the end of the line. */
static size_t
plain_run(const struct archive *a, struct view v)
{
	struct view line;

	if (a->quotable || a->cr)
		return 0;
	line = view_first(v, view_find(v, '\n'));
	return view_find(line, '\r');
}

bool
archive_text(struct archive *a, struct buf *out, struct view piece)
{
	while (piece.n > 0) {
		size_t n = plain_run(a, piece);
		uint8_t c;

		if (n > 0) {
			if (!buf_add(out, view_first(piece, n)))
				return false;
			a->fresh = false;
			piece = view_from(piece, n);
			continue;
		}
		c = piece.p[0];
		piece = view_from(piece, 1);
		if (a->cr && c != '\n' && !put_byte(a, out, '\r'))
			return false;
		a->cr = c == '\r';
		if (!a->cr && !put_byte(a, out, c))
			return false;
	}
	return true;
}

bool
archive_end(struct archive *a, struct buf *out)
{
	if (a->cr && !put_byte(a, out, '\r'))
		return false;
	a->cr = false;
	if (a->matched > 0 && !let_go(a, out))
		return false;
	if (!a->mbox)
		return true;
	if (!a->fresh && !buf_add_byte(out, '\n'))
		return false;
	return buf_add_byte(out, '\n');
}
