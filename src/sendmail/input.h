/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * input - the message as it comes on a descriptor, with clean line ends.
 *
 * Out come lines that end in CRLF, without NUL. One or more CR, with or without
 * an LF behind them, and a lone LF are one line end each. With dot_ends a line
 * that holds one dot ends the message; such a line begins behind an LF and ends
 * with LF, CRLF or the end of the file: a bare CR makes neither.
 */
#ifndef SENDMAIL_INPUT_H
#define SENDMAIL_INPUT_H

#include "base/buf.h"
#include "base/err.h"

#define INPUT_BLOCK 65536
#define INPUT_GROWS 4		/* a byte becomes at most so many */

enum input_line { INPUT_START, INPUT_DOT, INPUT_WITHIN };

struct input {
	int		fd;
	bool		dot_ends;
	enum input_line	line;
	bool		cr;		/* CRs were read and not yet given out */
	bool		ended;
};

void input_init(struct input *, int fd, bool dot_ends);
/*
 * Waits for bytes and adds what they mean to out, which must have room for
 * INPUT_BLOCK * INPUT_GROWS. Sets in->ended at the end.
 */
int input_read(struct input *in, struct buf *out, struct err *e) must_use;
/* The pure part of it: all of raw, or up to the lone dot. */
bool input_clean(struct input *in, struct view raw, struct buf *out) must_use;
bool input_finish(struct input *in, struct buf *out) must_use;

#endif
