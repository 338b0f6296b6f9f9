/* SPDX-License-Identifier: BSD-2-Clause */
#include "precheck.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/require.h"
#include "net/tls.h"
#include "secrets.h"
#include "sys/privilege.h"

#include "base/banned.h"

int
precheck(const struct conf *c, struct err *e)
{
	struct tls_params tls = { .ca_file = c->relay.ca_file, .verify = true };
	struct tls_client *client;

	if (c->relay.ca_file == NULL)
		return 0;		/* the system's store, which relay warns of if it is empty */
	if (tls_client_new(&client, &tls, e) != 0)
		return err_prefix(e, "ca_file");
	tls_client_free(client);
	return 0;
}

static void
complain(struct buf *report, const char *path, const struct err *e)
{
	bool fits = buf_addf(report, "%s: %s\n", path, e->text);

	require(fits);			/* a handful of lines */
}

static int
become_user(const struct conf *c, struct err *e)
{
	struct identity user, intake;

	if (privilege_find(&user, c->user, e) != 0)
		return err_prefix(e, "user: make it, or set user = \"...\"");
	if (c->intake_user[0] != '\0' && privilege_find(&intake, c->intake_user, e) != 0)
		return err_prefix(e, "intake_user: make it, or set intake_user = \"\"");
	return privilege_drop(&user, e);
}

static int
read_again(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_unreadable(e, "the configuration", path, "chgrp", "0640");
	(void)close(fd);
	return 0;
}

bool
precheck_report(const struct conf *c, const char *path, struct buf *report)
{
	size_t before = buf_len(report);
	struct err e;

	if (geteuid() == 0 && become_user(c, &e) != 0) {
		complain(report, path, &e);
		return false;		/* as root everything can be read: no answer to the rest */
	}
	if (read_again(path, &e) != 0)
		complain(report, path, &e);
	if (secret_check(&c->relay, &e) != 0)
		complain(report, path, &e);
	if (precheck(c, &e) != 0)
		complain(report, path, &e);
	return buf_len(report) == before;
}
