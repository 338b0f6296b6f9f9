/* SPDX-License-Identifier: BSD-2-Clause */
#include "sendmail/submit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "base/quote.h"
#include "sendmail/open.h"
#include "smtp/dot.h"
#include "smtp/dsn.h"

#include "base/banned.h"

#define REPLY_MS	60000
#define BLOCK_MS	180000
#define DOT_MS		600000		/* RFC 5321 4.5.3.2.6: shorter would make doubles */
#define PARAMS_MAX	(1u << 20)	/* of a -V as long as an argument may be; more than 100 bytes are not said */
#define OUT_MAX		(2 * INPUT_BLOCK)

int
complain(int status, const char *text)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "%s", text);

	if (n > 0)
		quote_flatten((uint8_t *)line, strlen(line));
	(void)fprintf(stderr, "sendmail: %s\n", line);
	return status;
}

/* What a refusal means to the caller. */
static int
status_of(const struct reply *r)
{
	if (reply_class(r) == 4)
		return EX_TEMPFAIL;
	if (reply_class(r) != 5)
		return EX_PROTOCOL;
	if (r->code == 552 || r->code == 501 || r->code == 553 || r->code == 555 ||
	    view_starts(view_str(r->status), VIEW("5.6.")))
		return EX_DATAERR;
	return EX_UNAVAILABLE;
}

static int
refused(const struct link *l, const char *what)
{
	const struct reply *r = &l->parser.reply;
	char text[400];

	(void)snprintf(text, sizeof(text), "%.100s refused: %d %s%s%.200s", what, r->code, r->status,
	    r->status[0] != '\0' ? " " : "", r->text);
	return complain(status_of(r), text);
}

/* One command, params behind the address; -1 if its reply is not of the wanted class. */
static int
exchange(struct link *l, int wanted, const char *verb, const char *address, const char *params)
{
	struct buf line;
	struct err e = { 0 };
	int rc = EX_OK;

	buf_init(&line, 2048);
	if (!(address != NULL ? buf_addf(&line, "%s<%s>%s\r\n", verb, address, params)
	    : buf_addf(&line, "%s\r\n", verb)))
		rc = complain(EX_DATAERR, "an address is too long");
	else if (link_send(l, buf_view(&line), REPLY_MS, &e) < 0 || link_reply(l, REPLY_MS, &e) < 0)
		rc = complain(EX_TEMPFAIL, e.text);
	else if (reply_class(&l->parser.reply) != wanted)
		rc = -1;
	buf_done(&line);
	return rc;
}

static int
command(struct link *l, int wanted, const char *what, const char *verb, const char *address, const char *params)
{
	int rc = exchange(l, wanted, verb, address, params);

	return rc < 0 ? refused(l, what) : rc;
}

/* Number i. RFC 5321 4.5.3.1.10 wants the rest sent again; nobody would: it is for good. */
static int
refused_recipient(const struct link *l, const struct message *m, size_t i, const char *rcpt)
{
	const struct reply *r = &l->parser.reply;
	char text[200];

	if (i == 0 || r->code != 452 || strcmp(r->status, "4.5.3") != 0) {
		(void)snprintf(text, sizeof(text), "recipient %.80s was", rcpt);
		return refused(l, text);
	}
	(void)snprintf(text, sizeof(text), "%zu recipients are too many for one message, posthouse takes %zu "
	    "(limits.recipients): nothing was sent; send it in parts", m->nrecipients, i);
	return complain(EX_DATAERR, text);
}

/* What stands behind the sender: of -R and -V, and for addresses beyond ASCII; only what is offered. */
static bool
put_params(struct buf *out, const struct link *l, const struct message *m, const struct options *o)
{
	bool dsn = (l->caps.flags & CAP_DSN) != 0;
	size_t before;

	if (dsn && o->ret != NULL && !buf_addf(out, " RET=%s", o->ret))
		return false;
	before = buf_len(out);
	if (dsn && o->envid != NULL) {
		if (!buf_add_str(out, " ENVID=") || !dsn_add_xtext(out, view_str(o->envid)))
			return false;
		if (!dsn_envid_is_good(view_from(buf_view(out), before + sizeof(" ENVID=") - 1))) {
			buf_truncate(out, before);
			(void)complain(EX_OK, "the text of -V is ignored: too long, or not printable");
		}
	}
	if ((l->caps.flags & CAP_SMTPUTF8) == 0 ||
	    (view_is_ascii(buf_view(&m->sender)) && view_is_ascii(buf_view(&m->recipients))))
		return true;
	return buf_add_str(out, " SMTPUTF8");
}

static int
send_envelope(struct link *l, struct message *m, const struct options *o)
{
	const char *sender = buf_cstr(&m->sender);
	const char *rcpt = buf_cstr(&m->recipients);
	char notify[40] = "";
	struct buf params;
	int rc;

	buf_init(&params, PARAMS_MAX);
	if (sender == NULL || rcpt == NULL || !put_params(&params, l, m, o) || buf_cstr(&params) == NULL)
		rc = complain(EX_OSERR, "out of memory");
	else
		rc = command(l, 2, "the sender was", "MAIL FROM:", sender, buf_cstr(&params));
	buf_done(&params);
	if ((l->caps.flags & CAP_DSN) != 0 && o->notify != NULL)
		(void)snprintf(notify, sizeof(notify), " NOTIFY=%s", o->notify);
	/* All or none: a status can't say that some got it. */
	for (size_t i = 0; rc == EX_OK && i < m->nrecipients; i++) {
		rc = exchange(l, 2, "RCPT TO:", rcpt, notify);
		if (rc < 0)
			rc = refused_recipient(l, m, i, rcpt);
		rcpt += strlen(rcpt) + 1;
	}
	if (rc == EX_OK)
		rc = command(l, 3, "the message was", "DATA", NULL, "");
	return rc;
}

/* All of v, encoded. */
static int
send_text(struct link *l, struct dot_encoder *enc, struct view v, struct err *e)
{
	struct buf out;
	int rc = 0;

	buf_init(&out, OUT_MAX);
	while (v.n > 0 && rc == 0) {
		size_t n = dot_encode(enc, &out, OUT_MAX, v);

		v = view_from(v, n);
		if (n == 0 && buf_len(&out) == 0)
			rc = err_set(e, ERR_FULL, "out of memory");
		else
			rc = link_send(l, buf_view(&out), BLOCK_MS, e);
		buf_clear(&out);
	}
	buf_done(&out);
	return rc;
}

static int
send_end(struct link *l, struct dot_encoder *enc, struct err *e)
{
	struct buf out;
	int rc;

	buf_init(&out, DOT_END_MAX);
	if (!dot_encode_end(enc, &out))
		rc = err_set(e, ERR_FULL, "out of memory");
	else
		rc = link_send(l, buf_view(&out), BLOCK_MS, e);
	buf_done(&out);
	return rc;
}

/*
 * Header, what was read of the body, and the rest as it comes. When the input
 * fails the connection is left without the final dot: nothing is sent.
 */
static int
send_message(struct link *l, struct message *m)
{
	struct dot_encoder enc;
	struct err e = { 0 };

	dot_encoder_init(&enc);
	if (send_text(l, &enc, buf_view(&m->header), &e) < 0)
		goto lost;
	for (;;) {
		if (send_text(l, &enc, buf_view(&m->text), &e) < 0)
			goto lost;
		buf_clear(&m->text);
		if (m->in.ended)
			break;
		if (input_read(&m->in, &m->text, &e) < 0)
			return complain(EX_IOERR, e.text);
	}
	if (send_end(l, &enc, &e) < 0)
		goto lost;
	if (link_reply(l, DOT_MS, &e) < 0)
		return complain(EX_TEMPFAIL, e.text);
	if (reply_class(&l->parser.reply) != 2)
		return refused(l, "the message was");
	return EX_OK;
lost:
	/* Perhaps it said why before it closed. */
	if (link_reply(l, 1000, &e) == 0)
		return refused(l, "the message was");
	return complain(EX_TEMPFAIL, e.text);
}

/* The message is safe, whatever comes of this. */
static void
say_goodbye(struct link *l)
{
	if (link_send(l, VIEW("QUIT\r\n"), 1000, NULL) < 0)
		return;
	(void)shutdown(l->fd, SHUT_WR);
}

int
submit(struct message *m, const struct options *o)
{
	struct link l;
	int rc;

	link_init(&l);
	rc = open_mail(&l, true);
	if (rc == EX_OK)
		rc = send_envelope(&l, m, o);
	if (rc == EX_OK)
		rc = send_message(&l, m);
	if (rc == EX_OK) {
		if (o->verbose)
			(void)printf("accepted: %s\n", l.parser.reply.text);
		say_goodbye(&l);
	}
	link_close(&l);
	return rc;
}
