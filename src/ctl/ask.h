/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ask - one question to the daemon on its control or status socket (doc/control.md).
 */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <sys/un.h>

#include "base/view.h"

struct ask {
	int		 fd;		/* -1: errnum says why */
	int		 errnum;
	char		 path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* status_will_do: who may not use the control socket gets the status socket. */
void ask_connect(struct ask *, const char *runtime_dir, bool status_will_do);
/* Nobody listens there: no daemon runs, or none of this configuration. */
bool ask_is_nobody(const struct ask *);
/* Says why there is no connection; the exit status. */
int ask_complain(const struct ask *);
/*
 * Sends the request and shows the answer; closes. A daemon that closes without a word is just
 * being reloaded: it is asked again, for ten seconds. Returns the exit status. message: the
 * answer is a message, not our own text.
 */
int ask_run(struct ask *, struct view request, bool message);

#endif
