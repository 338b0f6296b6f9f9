/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/dot.h"

#include "base/banned.h"

/* A search never looks further than this, so that a text of bare CRs costs no square. */
#define WINDOW 512

/*
 * Length of the longest prefix that means the same on both sides: whole lines
 * and parts of lines. It ends before a CR that is bare or last, before a bare
 * LF, and behind a CRLF that a dot or the end of the input follows.
 */
static size_t
plain_prefix(struct view in)
{
	const uint8_t *p = in.p, *end = in.p + in.n;

	while (p < end) {
		size_t n = (size_t)(end - p) < WINDOW ? (size_t)(end - p) : WINDOW;
		const uint8_t *lf = memchr(p, '\n', n);
		const uint8_t *cr = memchr(p, '\r', lf != NULL ? (size_t)(lf - p) : n);

		if (cr == NULL && lf != NULL)
			return (size_t)(lf - in.p);
		if (cr == NULL) {
			p += n;
			continue;
		}
		if (cr + 1 == end || cr[1] != '\n')
			return (size_t)(cr - in.p);
		p = cr + 2;
		if (p < end && *p == '.')
			break;
	}
	return (size_t)(p - in.p);
}

static bool
ends_line(struct view v)
{
	return v.n >= 2 && v.p[v.n - 2] == '\r' && v.p[v.n - 1] == '\n';
}

void
dot_decoder_init(struct dot_decoder *d)
{
	*d = (struct dot_decoder){ .state = DOT_LINE_START };
}

void
dot_decoder_init_chunked(struct dot_decoder *d)
{
	*d = (struct dot_decoder){ .state = DOT_LINE_START, .chunked = true };
}

struct view
dot_decode_end(struct dot_decoder *d)
{
	bool lacks = d->state == DOT_LINE || d->state == DOT_LINE_CR;

	d->state = DOT_ENDED;
	return lacks ? VIEW("\r\n") : VIEW("");
}

/* Behind a bare CR or LF, which has become CRLF: to a dot that is no line start. */
static enum dot_state
behind_bare(const struct dot_decoder *d)
{
	return d->chunked ? DOT_LINE_START : DOT_LINE;
}

/* Text of a line, from where no dot is special. */
static void
decode_line(struct dot_decoder *d, struct view in, size_t *used, struct view *out)
{
	size_t n = plain_prefix(in);

	*used = n;
	*out = view_first(in, n);
	d->state = ends_line(*out) ? DOT_LINE_START : DOT_LINE;
	if (n > 0) {
		d->nul = d->nul || memchr(in.p, 0, n) != NULL;
		d->eight_bit = d->eight_bit || !view_is_ascii(*out);
		return;
	}
	*used = 1;
	if (in.p[0] == '\r') {
		d->state = DOT_LINE_CR;
	} else {
		*out = VIEW("\r\n");
		d->state = behind_bare(d);
	}
}

bool
dot_decode(struct dot_decoder *d, struct view in, size_t *used, struct view *out)
{
	uint8_t c;

	*used = 0;
	*out = VIEW("");
	if (in.n == 0 || d->state == DOT_ENDED)
		return d->state == DOT_ENDED;
	c = in.p[0];
	switch (d->state) {
	case DOT_LINE_START:
		if (c == '.' && !d->chunked) {
			*used = 1;
			d->state = DOT_DOT;
		} else {
			decode_line(d, in, used, out);
		}
		break;
	case DOT_LINE:
		decode_line(d, in, used, out);
		break;
	case DOT_LINE_CR:
		*out = VIEW("\r\n");
		*used = c == '\n';
		d->state = c == '\n' ? DOT_LINE_START : behind_bare(d);
		break;
	case DOT_DOT:		/* stuffing, unless this is the end: the dot is dropped */
		*used = c == '\r';
		d->state = c == '\r' ? DOT_DOT_CR : DOT_LINE;
		break;
	case DOT_DOT_CR:
		if (c == '\n') {
			*used = 1;
			d->state = DOT_ENDED;
			return true;
		}
		*out = VIEW("\r\n");	/* the CR was a bare one */
		d->state = DOT_LINE;
		break;
	case DOT_ENDED:
		break;
	}
	return false;
}

void
dot_encoder_init(struct dot_encoder *e)
{
	*e = (struct dot_encoder){ .line_start = true };
}

/* The least room for one step: a line end, or a stuffed dot. */
#define STEP_MAX 2

/* One step of the encoder: bytes taken of in; *full when out took no more. */
static size_t
encode_step(struct dot_encoder *e, struct buf *out, size_t room, struct view in, bool *full)
{
	size_t n;

	if (e->cr) {
		*full = !buf_add(out, VIEW("\r\n"));
		if (*full)
			return 0;
		e->cr = false;
		e->line_start = true;
		return in.p[0] == '\n';
	}
	if (e->line_start && in.p[0] == '.') {
		*full = !buf_add(out, VIEW(".."));
		e->line_start = *full;
		return !*full;
	}
	n = plain_prefix(in);
	if (n > room) {
		n = room;
		if (in.p[n - 1] == '\r')	/* not between CR and LF */
			n--;
	}
	if (n > 0) {
		*full = !buf_add(out, view_first(in, n));
		if (!*full)
			e->line_start = ends_line(view_first(in, n));
		return *full ? 0 : n;
	}
	if (in.p[0] == '\n') {
		*full = !buf_add(out, VIEW("\r\n"));
		e->line_start = !*full;
		return !*full;
	}
	e->cr = true;
	return 1;
}

size_t
dot_encode(struct dot_encoder *e, struct buf *out, size_t limit, struct view in)
{
	size_t taken = 0;
	bool full = false;

	while (taken < in.n && !full) {
		size_t have = buf_len(out);

		if (have + STEP_MAX > limit)
			break;
		taken += encode_step(e, out, limit - have, view_from(in, taken), &full);
	}
	return taken;
}

bool
dot_encode_end(struct dot_encoder *e, struct buf *out)
{
	if (e->cr || !e->line_start)
		return buf_add(out, VIEW("\r\n.\r\n"));
	return buf_add(out, VIEW(".\r\n"));
}
