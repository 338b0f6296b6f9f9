/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dot - message bytes on the wire: end of data, dot-stuffing, line ends.
 *
 * The one place that decides what ends a line and what ends a message
 * (doc/smtp.md, "End of data"). What the decoder gives out has CRLF as its only
 * line end. What the encoder writes has no line that is a lone dot and no CR or
 * LF outside of a CRLF, whatever it was fed.
 */
#ifndef SMTP_DOT_H
#define SMTP_DOT_H

#include "base/buf.h"

enum dot_state {
	DOT_LINE_START,		/* behind CRLF, or at the start of the data; chunked: behind any line end */
	DOT_LINE,		/* within a line; also behind a bare CR or LF */
	DOT_LINE_CR,		/* the same, with a CR held back */
	DOT_DOT,		/* a dot at a line start is held back */
	DOT_DOT_CR,		/* and a CR behind it */
	DOT_ENDED
};

struct dot_decoder {
	enum dot_state	state;
	bool		chunked;	/* no dot means anything, and no line ends the data */
	bool		nul;		/* a NUL was seen: the message is to be refused */
	bool		eight_bit;	/* a byte above 127 was seen */
};

void dot_decoder_init(struct dot_decoder *);
/*
 * Takes *used bytes of in; *out is what they mean, a view into in or of two
 * constant bytes, often empty. True at the end of the data. Call again with the
 * rest until all is taken; each call takes bytes, gives some, or moves on.
 */
bool dot_decode(struct dot_decoder *, struct view in, size_t *used, struct view *out);

/* BDAT: the same line ends, but dots are text. It never ends by itself. */
void dot_decoder_init_chunked(struct dot_decoder *);
/* Behind the last byte: what the last line lacks. It is told once. */
struct view dot_decode_end(struct dot_decoder *);

struct dot_encoder {
	bool	line_start;
	bool	cr;			/* a CR was taken, its LF not yet */
};

#define DOT_END_MAX 8			/* room that dot_encode_end() needs at most */

void dot_encoder_init(struct dot_encoder *);
/* Adds what fits within limit bytes of out altogether; returns how many bytes of in were taken. */
size_t dot_encode(struct dot_encoder *, struct buf *out, size_t limit, struct view in);
/* CRLF if the last line has none, then the final dot. False if out is full. */
bool dot_encode_end(struct dot_encoder *, struct buf *out) must_use;

#endif
