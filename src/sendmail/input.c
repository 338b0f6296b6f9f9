/* SPDX-License-Identifier: BSD-2-Clause */
#include "sendmail/input.h"

#include <errno.h>
#include <unistd.h>

#include "base/banned.h"

void
input_init(struct input *in, int fd, bool dot_ends)
{
	*in = (struct input){ .fd = fd, .dot_ends = dot_ends, .line = INPUT_START };
}

/* The CRs held back were no part of a CRLF: a line end that does not make dots special. */
static bool
give_bare_cr(struct input *in, struct buf *out)
{
	if (!in->cr)
		return true;
	in->cr = false;
	if (in->line == INPUT_DOT && !buf_add_byte(out, '.'))
		return false;
	in->line = INPUT_WITHIN;
	return buf_add_str(out, "\r\n");
}

static bool
take_line_end(struct input *in, struct buf *out)
{
	in->cr = false;
	if (in->line == INPUT_DOT) {
		in->ended = true;
		return true;
	}
	in->line = INPUT_START;
	return buf_add_str(out, "\r\n");
}

static bool
take(struct input *in, uint8_t c, struct buf *out)
{
	if (c == '\0')
		return true;
	if (c == '\n')
		return take_line_end(in, out);
	if (c == '\r') {
		in->cr = true;
		return true;
	}
	if (!give_bare_cr(in, out))
		return false;
	if (in->line == INPUT_START && c == '.' && in->dot_ends) {
		in->line = INPUT_DOT;
		return true;
	}
	if (in->line == INPUT_DOT && !buf_add_byte(out, '.'))
		return false;
	in->line = INPUT_WITHIN;
	return buf_add_byte(out, c);
}

bool
input_clean(struct input *in, struct view raw, struct buf *out)
{
	for (size_t i = 0; i < raw.n && !in->ended; i++)
		if (!take(in, raw.p[i], out))
			return false;
	return true;
}

bool
input_finish(struct input *in, struct buf *out)
{
	bool ended = in->ended;

	in->ended = true;
	if (ended || in->line == INPUT_DOT)
		return true;
	if (in->line == INPUT_WITHIN || in->cr) {
		in->cr = false;
		return buf_add_str(out, "\r\n");
	}
	return true;
}

int
input_read(struct input *in, struct buf *out, struct err *e)
{
	uint8_t raw[INPUT_BLOCK];
	ssize_t n;

	do {
		n = read(in->fd, raw, sizeof(raw));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, errno, "can't read the message");
	if (n == 0 ? !input_finish(in, out) : !input_clean(in, view_of(raw, (size_t)n), out))
		return err_set(e, ERR_FULL, "the message's header is too long");
	return 0;
}
