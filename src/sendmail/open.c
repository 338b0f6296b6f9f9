/* SPDX-License-Identifier: BSD-2-Clause */
#include "sendmail/open.h"

#include <stdlib.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/num.h"
#include "sendmail/submit.h"

#include "base/banned.h"

#define AGAIN_MS	250
#define AWAY_MS		10000		/* so long a daemon that restarts is waited for */

static void
take_offer(void *arg, struct view line)
{
	caps_add_line(arg, line);
}

/* Our name in EHLO: what is safe of the host's. */
static int
send_hello(struct link *l, int timeout_ms, struct err *e)
{
	char name[256] = "", line[300];
	int rc;

	if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0')
		(void)snprintf(name, sizeof(name), "localhost");
	for (char *p = name; *p != '\0'; p++)
		if (!is_alnum((uint8_t)*p) && *p != '.')
			*p = '-';
	(void)snprintf(line, sizeof(line), "EHLO %s\r\n", name);
	caps_init(&l->caps);
	l->parser.on_line = take_offer;
	l->parser.arg = &l->caps;
	rc = link_send(l, view_str(line), timeout_ms, e);
	if (rc == 0)
		rc = link_reply(l, timeout_ms, e);
	l->parser.on_line = NULL;
	if (rc < 0)
		return -1;
	if (reply_class(&l->parser.reply) != 2)
		return err_set(e, ERR_NET, "posthouse answers EHLO with %d",
		    l->parser.reply.code);
	return 0;
}

static int
try_one(struct link *l, const char *where, bool greet, int timeout_ms, struct err *e)
{
	if (link_connect(l, where, e) < 0)
		return -1;
	if (!greet)
		return 0;
	if (link_reply(l, timeout_ms, e) < 0)
		return -1;
	if (reply_class(&l->parser.reply) != 2)
		return err_set(e, ERR_NET, "posthouse greets with %d %.100s",
		    l->parser.reply.code, l->parser.reply.text);
	return send_hello(l, timeout_ms, e);
}

/* $POSTHOUSE_WAIT seconds, at most a minute. */
int64_t
patience_ms(void)
{
	const char *text = getenv("POSTHOUSE_WAIT");
	uint64_t seconds;

	if (text == NULL || !num_parse_u64(view_str(text), 1, 60, &seconds))
		return AWAY_MS;
	return (int64_t)seconds * 1000;
}

int
open_mail(struct link *l, bool greet)
{
	const char *named = getenv("POSTHOUSE_SOCKET");
	const char *where = named != NULL ? named : POSTHOUSE_RUNTIMEDIR "/smtp.sock";
	int64_t deadline_ms = now_ms() + patience_ms();
	char text[400];
	struct err e = { 0 }, other = { 0 };

	for (;;) {
		int left_ms = (int)(deadline_ms - now_ms());

		if (left_ms <= 0)
			break;
		/* Nothing was sent yet: another try can't double the message. */
		if (try_one(l, where, greet, left_ms, &e) == 0)
			return EX_OK;
		if (named == NULL && try_one(l, "127.0.0.1:25", greet, left_ms, &other) == 0)
			return EX_OK;
		pause_ms(AGAIN_MS);
	}
	link_close(l);
	(void)snprintf(text, sizeof(text), "posthouse is not running or not reachable (%.250s); "
	    "the message was not sent", e.text);
	return complain(EX_TEMPFAIL, text);
}
