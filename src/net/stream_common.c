/* SPDX-License-Identifier: BSD-2-Clause */
/* What real and simulated streams share. */
#include "net/net.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"

#include "base/banned.h"

#define KEEP_EMPTY 4096		/* an empty buffer that grew beyond this gives its memory back */

void
stream_init(struct stream *s, const struct stream_ops *ops, const struct stream_limits *l,
    const struct stream_events *ev, void *owner)
{
	s->ops = ops;
	s->events = ev;
	s->owner = owner;
	buf_init(&s->in, l->input_max);
	buf_init(&s->out, l->output_max);
}

void
stream_done(struct stream *s)
{
	/* Input and output carry logins and mail. */
	buf_wipe(&s->in);
	buf_wipe(&s->out);
}

void
stream_consume(struct stream *s, size_t n)
{
	if (n == 0)
		return;
	buf_consume(&s->in, n);
	buf_shrink(&s->in, KEEP_EMPTY);
	s->ops->consumed(s);
}

void
stream_consume_secret(struct stream *s, size_t n)
{
	if (n > 0)
		secret_wipe(s->in.data + s->in.off, n);
	stream_consume(s, n);
}

bool
stream_write(struct stream *s, struct view v)
{
	if (!buf_add(&s->out, v))
		return false;
	if (v.n != 0)
		s->ops->wrote(s);
	return true;
}

bool
stream_has_drained(const struct stream *s, size_t before)
{
	size_t half = s->out.max / 2;
	size_t now = buf_len(&s->out);

	return (before > 0 && now == 0) || (before > half && now <= half);
}

void
stream_end_set(struct stream_end *end, enum stream_end_kind kind, const char *fmt, ...)
{
	va_list ap;

	end->kind = kind;
	end->errnum = 0;
	end->issuer[0] = '\0';
	va_start(ap, fmt);
	(void)vsnprintf(end->text, sizeof(end->text), fmt, ap);		/* cut is fine */
	va_end(ap);
}

static enum stream_end_kind
kind_of(int errnum)
{
	switch (errnum) {
	case ECONNREFUSED:
	case ENOENT:			/* no such unix socket */
		return STREAM_REFUSED;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
		return STREAM_RESET;
	case ETIMEDOUT:
		return STREAM_TIMEOUT;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
		return STREAM_NO_ROUTE;
	case EPERM:
	case EACCES:
		return STREAM_DENIED;
	default:
		return STREAM_FAILED;
	}
}

void
stream_end_errno(struct stream_end *end, int errnum, const char *what)
{
	char why[ERRNO_TEXT_MAX];

	stream_end_set(end, kind_of(errnum), "%s: %s", what, errno_text(why, errnum));
	end->errnum = errnum;
}
