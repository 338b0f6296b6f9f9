/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options - the command line of sendmail(8), with every option that callers use.
 *
 * Options that mean nothing here are parsed with their right arity and ignored.
 * None names a file that is read or written, whatever -C, -X or -O say.
 */
#ifndef SENDMAIL_OPTIONS_H
#define SENDMAIL_OPTIONS_H

#include "base/compiler.h"
#include "base/view.h"

enum sendmail_mode {
	MODE_SEND,		/* -bm */
	MODE_SESSION,		/* -bs: SMTP on standard input and output */
	MODE_QUEUE,		/* -bp, mailq */
	MODE_FLUSH,		/* -q, runq */
	MODE_VERIFY,		/* -bv */
	MODE_ALIASES,		/* -bi, -I, newaliases */
	MODE_DAEMON,		/* -bd, -bD: not this program's work */
	MODE_NOTHING		/* -bt, -bh ...: accepted and harmless */
};

struct options {
	enum sendmail_mode	 mode;
	bool			 from_header;	/* -t */
	bool			 dot_is_text;	/* -i */
	bool			 verbose;
	bool			 usage;		/* an option lacks its argument */
	const char		*sender;	/* -f; NULL: the user */
	const char		*full_name;	/* -F; NULL: of the account */
	const char		*notify, *ret;	/* -N, -R: good for NOTIFY and RET; NULL: nothing */
	const char		*envid;		/* -V, any text; NULL: nothing */
	const char *const	*recipients;	/* the rest of argv */
	int			 nrecipients;
};

/* Unknown options are told on standard error and skipped. argv must outlive *out. */
void options_parse(struct options *out, int argc, const char *const *argv);

#endif
