/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* Newlines would break the one-event-per-line rule of the log. */
static void
one_line(char *s)
{
	for (; *s != '\0'; s++)
		if (*s == '\n' || *s == '\r')
			*s = ' ';
}

int
err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL)
		return -1;
	e->kind = kind;
	e->errnum = 0;
	va_start(ap, fmt);
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);	/* cut is fine */
	va_end(ap);
	one_line(e->text);
	return -1;
}

int
err_sys(struct err *e, int errnum, const char *fmt, ...)
{
	char what[sizeof(e->text)];
	char why[ERRNO_TEXT_MAX];
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	(void)err_set(e, errnum == ENOSPC || errnum == EDQUOT ? ERR_FULL : ERR_SYSTEM, "%.190s: %s",
	    what, errno_text(why, errnum));
	e->errnum = errnum;
	return -1;
}

int
err_prefix(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->text)];
	char front[sizeof(e->text)];
	va_list ap;

	if (e == NULL)
		return -1;
	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	(void)vsnprintf(front, sizeof(front), fmt, ap);
	va_end(ap);
	(void)snprintf(e->text, sizeof(e->text), "%.100s: %.150s", front, old);
	one_line(e->text);
	return -1;
}

void
err_advise(struct err *e)
{
	static const struct {
		int		 errnum;
		const char	*advice;
	} known[] = {
		{ ENOSPC, "free some space on that disk" },
		{ EDQUOT, "raise the disk quota of the user that runs this" },
		{ EMFILE, "raise the limit of open files (LimitNOFILE= of the service)" },
		{ ENFILE, "raise the system's limit of open files (fs.file-max)" },
		{ EIO, "the disk fails: the kernel's log says more" },
		{ EROFS, "mount it for writing; after a disk fault it is mounted read-only" },
		{ EACCES, "it must belong to the user that runs this" },
	};
	size_t n = strlen(e->text);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].errnum == e->errnum)
			(void)snprintf(e->text + n, sizeof(e->text) - n, "; %s", known[i].advice);
}

void
err_clear(struct err *e)
{
	if (e != NULL)
		*e = (struct err){ .kind = ERR_NONE };
}

const char *
errno_text(char text[ERRNO_TEXT_MAX], int errnum)
{
	int saved = errno;

	errno = errnum;
	(void)snprintf(text, ERRNO_TEXT_MAX, "%m");
	errno = saved;
	return text;
}
