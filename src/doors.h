/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * doors - the listening sockets: opened by ourselves or passed by systemd.
 *
 * The supervisor keeps them open while roles come and go, so that connections
 * wait in the kernel and are never refused.
 */
#ifndef DOORS_H
#define DOORS_H

#include "conf/conf.h"
#include "sys/log.h"
#include "sys/notify.h"

#define DOORS_MAX (CONF_LISTEN_MAX + CONF_LISTENERS_MAX + 1 + ACTIVATION_MAX)

struct door {
	int		fd;
	bool		passed;		/* by systemd: not ours to close or to change */
	int		listener;	/* of the configuration; -1: for this host alone */
	struct address	wanted;		/* as configured; port 0 is not yet chosen */
	char		name[ADDRESS_TEXT_MAX];		/* where it really is */
};

struct doors {
	struct door	 door[DOORS_MAX];	/* of intake */
	size_t		 n;
	int		 control, status;	/* of relay */
	char		*control_path, *status_path;
};

/* What needs root: systemd's sockets are checked, the TCP ports opened. */
int doors_open_ports(struct doors *, const struct conf *, struct log *, struct err *) must_use;
/* The unix sockets, as the daemon's user. */
int doors_open_sockets(struct doors *, const struct conf *, struct err *) must_use;
/*
 * A reload changed listen, listeners or socket: open what is new, close what is gone. What
 * can't be had is a warning; the others are served.
 */
void doors_change(struct doors *, const struct conf *, struct log *);
/* Close all and remove our unix sockets. */
void doors_done(struct doors *);

#endif
