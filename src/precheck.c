/* SPDX-License-Identifier: BSD-2-Clause */
#include "precheck.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/require.h"
#include "certificates.h"
#include "command.h"
#include "net/tls.h"
#include "places.h"
#include "secrets.h"
#include "sys/privilege.h"

#include "base/banned.h"

static int
check_ca_file(const struct conf_relay *r, struct err *e)
{
	struct tls_params tls = { .ca_file = r->ca_file, .verify = true };
	struct tls_client *client;

	if (r->ca_file == NULL)
		return 0;		/* the system's store, which relay warns of if it is empty */
	if (tls_client_new(&client, &tls, e) != 0)
		return err_prefix(e, "ca_file");
	tls_client_free(client);
	return 0;
}

static int
check_sink(const struct conf *c, struct err *e)
{
	int fd;

	if (places_open_sink(&fd, c, e) != 0)
		return err_prefix(e, "sink");
	(void)close(fd);
	return 0;
}

int
precheck(const struct conf *c, struct err *e)
{
	for (size_t i = 0; i < c->nrelay; i++)
		if (check_ca_file(&c->relay[i], e) != 0)
			return -1;
	return c->staging == CONF_STAGING_SINK ? check_sink(c, e) : 0;
}

struct complaints {
	struct view	 text;
	const char	*path;
	struct buf	*report;
};

/* option is what it is about, as libconfig finds it. */
static void
complain(const struct complaints *c, const char *option, const struct err *e)
{
	unsigned line = conf_line(c->text, option);
	bool fits = line != 0 ? buf_addf(c->report, "%s:%u: %s\n", c->path, line, e->text) :
	    buf_addf(c->report, "%s: %s\n", c->path, e->text);

	require(fits);			/* a handful of lines */
}

static bool
check_certificate(const struct complaints *c, const char *group, size_t i, const char *certificate,
    const char *key)
{
	char warning[CONF_DANGER_MAX], option[48];
	struct err e;

	(void)snprintf(option, sizeof(option), "%s.[%zu].certificate", group, i);
	if (certificate_check(certificate, key, warning, &e) != 0) {
		complain(c, option, &e);
		return false;
	}
	if (warning[0] != '\0') {
		(void)err_set(&e, ERR_TLS, "warning: %s", warning);
		complain(c, option, &e);
	}
	return true;
}

static void
complain_relay(const struct complaints *c, size_t i, const char *option, const struct err *e)
{
	char path[80];

	(void)snprintf(path, sizeof(path), "relays.[%zu].%s", i, option);
	complain(c, path, e);
}

static int
become_user(const struct complaints *to, const struct conf *c)
{
	struct identity user, intake;
	struct err e;

	if (privilege_find(&user, c->user, &e) != 0) {
		(void)err_prefix(&e, "user: make it, or set user = \"...\"");
		complain(to, "user", &e);
		return -1;
	}
	if (c->intake_user[0] != '\0' && privilege_find(&intake, c->intake_user, &e) != 0) {
		(void)err_prefix(&e, "intake_user: make it, or set intake_user = \"\"");
		complain(to, "intake_user", &e);
		return -1;
	}
	if (privilege_drop(&user, &e) == 0)
		return 0;
	complain(to, "user", &e);
	return -1;
}

static const char *
secret_option(enum conf_secret secret)
{
	return secret == CONF_SECRET_COMMAND ? "password_command" : "password_file";
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
precheck_report(const struct conf *c, struct view text, const char *path, struct buf *report)
{
	const struct complaints to = { text, path, report };
	bool certified = true;
	size_t before;
	struct err e;

	if (geteuid() == 0 && become_user(&to, c) != 0)
		return false;		/* as root everything can be read: no answer to the rest */
	for (size_t i = 0; i < c->nlistener; i++)
		certified &= check_certificate(&to, "listeners", i, c->listener[i].certificate, c->listener[i].key);
	for (size_t i = 0; i < c->nrelay; i++)
		certified &= check_certificate(&to, "relays", i, c->relay[i].certificate, c->relay[i].key);
	before = buf_len(report);	/* what is there may be warnings */
	if (read_again(path, &e) != 0)
		complain(&to, "", &e);
	if (c->hook != NULL && command_is_usable(c->hook[0], "hook", &e) != 0)
		complain(&to, "hook", &e);
	for (size_t i = 0; i < c->nrelay; i++) {
		if (secret_check(&c->relay[i], &e) != 0)
			complain_relay(&to, i, secret_option(c->relay[i].secret), &e);
		if (check_ca_file(&c->relay[i], &e) != 0)
			complain_relay(&to, i, "ca_file", &e);
	}
	return certified && buf_len(report) == before;
}
