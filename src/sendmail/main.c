/* SPDX-License-Identifier: BSD-2-Clause */
/* sendmail(8), mailq, newaliases, runq: doc/sendmail.8.in. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "sendmail/submit.h"

#include "base/banned.h"

/* Sockets must not become 0, 1 or 2 because a caller closed those. True if 0 was open. */
static bool
fill_standard_descriptors(void)
{
	bool had_input = fcntl(0, F_GETFD) >= 0;

	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			break;
	return had_input;
}

static int
send_mail(const struct options *o)
{
	const struct passwd *pw = getpwuid(getuid());
	char user[40];
	struct message m;
	struct err e = { 0 };
	int rc;

	if (pw == NULL || snprintf(user, sizeof(user), "%s", pw->pw_name) >= (int)sizeof(user))
		(void)snprintf(user, sizeof(user), "uid-%lu", (unsigned long)getuid());
	message_init(&m);
	if (message_prepare(&m, o, 0, user, pw != NULL ? pw->pw_gecos : "", &e) == 0)
		rc = submit(&m, o);
	else if (e.kind == ERR_GONE)
		rc = complain(EX_USAGE, e.text);
	else if (e.kind == ERR_SYSTEM)
		rc = complain(EX_IOERR, e.text);
	else
		rc = complain(EX_DATAERR, e.text);
	message_done(&m);
	return rc;
}

int
main(int argc, char **argv)
{
	struct options o;
	bool had_input = fill_standard_descriptors();

	(void)signal(SIGPIPE, SIG_IGN);
	options_parse(&o, argc, (const char *const *)argv);
	if (o.usage)
		return complain(EX_USAGE, "the last option lacks its argument");
	switch (o.mode) {
	case MODE_SEND:
		if (!had_input)
			return complain(EX_IOERR, "standard input is closed: there is no message");
		return send_mail(&o);
	case MODE_SESSION:
		if (!had_input)
			return complain(EX_IOERR, "standard input is closed: there is no session");
		return relay_session();
	case MODE_QUEUE:
		return show_queue();
	case MODE_FLUSH:
		return ask_flush(o.verbose);
	case MODE_VERIFY:
		(void)printf("the running posthoused decides routes; "
		    "\"posthousectl explain ID\" shows a message's\n");
		return EX_OK;
	case MODE_DAEMON:
		return complain(EX_USAGE, "this is not the daemon: start the service posthoused");
	case MODE_ALIASES:	/* aliases are read by the daemon; there is nothing to build */
	case MODE_NOTHING:
		return EX_OK;
	}
	return EX_SOFTWARE;
}
