/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secrets - get the relays' passwords from where the configuration says.
 *
 * The result is a sealed memory file, for relay alone; no copy stays here. A
 * text of an error never has the password in it.
 */
#ifndef SECRETS_H
#define SECRETS_H

#include "conf/conf.h"
#include "sys/whole.h"

/* errno is why a file could not be opened: in words, and what to do (how: "chown" or "chgrp"). -1. */
int err_unreadable(struct err *, const char *what, const char *path, const char *how, const char *mode);

#define SECRET_MAX 65536		/* what a file or a command may give */
#define SECRETS_MAX (CONF_RELAYS_MAX * (SECRET_MAX + 1))
#ifndef SECRET_COMMAND_MS
#define SECRET_COMMAND_MS 10000		/* the test has less patience */
#endif

/* A file that must not be open to every user; what: "the password file". */
int secret_file_read(struct buf *out, const char *what, const char *path, struct err *) must_use;
/* One line for each relay, in the order of the configuration; empty where there is no login. */
int secrets_fetch(int *out, const struct conf *, struct err *) must_use;
/* What can be told without running anything: for posthoused -t. */
int secret_check(const struct conf_relay *, struct err *) must_use;
/* A memory file with that content that nobody can change. */
int sealed_file(int *out, const char *name, struct view content, struct err *) must_use;

#endif
