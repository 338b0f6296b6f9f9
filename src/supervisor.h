/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * supervisor - holds configuration, sockets and secrets; starts the roles,
 * restarts them when they die, replaces them at a reload, drains them at the end.
 *
 * It parses nothing that a user or the network sent. Order rules: intake is
 * drained before relay, so that what clients wait for gets its answer; at a
 * reload relay goes first, and a new relay is started only after the old one
 * has ended, so that there are never two.
 */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include "conf/conf.h"
#include "sys/log.h"

struct supervisor_params {
	const char	*conf_path;
	bool		 debug;		/* -d */
};

/* Exit status. conf and its text are taken over. */
int supervisor_run(const struct supervisor_params *, struct conf *, struct buf *text, struct log *);

/* The file's text; NULL conf and complaints in report if it is bad. 0 or -1. */
int supervisor_read_conf(const char *path, struct conf **out, struct buf *text, struct buf *report) must_use;

#endif
