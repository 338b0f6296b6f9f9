/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One transaction of the client: what is said when, and who learns what from
 * the replies. The states and their successors are in client.c.
 */
#include "smtp/client_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "base/require.h"
#include "smtp/dsn.h"

#include "base/banned.h"

void
mail_init(struct mail *m)
{
	*m = (struct mail){ .open = false };
	buf_init(&m->texts, TEXTS_MAX);
}

void
mail_done(struct mail *m)
{
	free(m->rcpt);
	free(m->text);
	buf_done(&m->texts);
	mail_init(m);
}

static void
set_code(struct client_rcpt_result *r, const struct reply *reply)
{
	r->code = reply->code;
	reply_status(reply, r->status);
}

/* This reply decides for all recipients that have no code of their own. */
static void
decide(struct client *c, enum client_state in, const struct reply *reply)
{
	struct mail *m = &c->mail;

	if (m->result.complete)
		return;
	m->result.complete = true;
	m->result.decided_in = in;
	m->result.reply = *reply;
	for (size_t i = 0; i < m->message.nrcpt; i++)
		if (m->rcpt[i].code == 0)
			set_code(&m->rcpt[i], reply);
}

/* Our own words in the form of a reply, where no server is needed to refuse. */
static void
refuse_here(struct reply *r, int code, const char *status, const char *text)
{
	r->code = code;
	r->lines = 1;
	(void)snprintf(r->status, sizeof(r->status), "%s", status);
	(void)snprintf(r->text, sizeof(r->text), REFUSED_HERE "%s", text);
}

static void
keep_text(struct client *c, size_t i, const struct reply *r)
{
	struct mail *m = &c->mail;
	size_t off = buf_len(&m->texts);

	/* with its NUL, or not at all */
	m->text[i] = buf_add(&m->texts, view_of(r->text, strlen(r->text) + 1)) ?
	    (uint32_t)off : TEXT_CUT;
}

/* RFC 6531 3.1: only to a server that offers it, and only when it is said. */
static bool
speaks_utf8(const struct client *c)
{
	return c->mail.message.utf8 && (c->caps.flags & CAP_SMTPUTF8) != 0;
}

/* Text that would end the command, or mean another one, never leaves. */
static bool
is_sendable(const struct client *c, struct view text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!is_print(text.p[i]) && !(text.p[i] >= 0x80 && speaks_utf8(c)))
			return false;
	return text.n <= SENT_ADDRESS_MAX;
}

#define NO_UTF8 "the server takes no addresses beyond ASCII (SMTPUTF8)"

/* Refuse recipients that can't be said; false if none is left. */
static bool
check_recipients(struct client *c)
{
	struct mail *m = &c->mail;
	struct reply *r = &m->result.reply;
	bool any = false;

	for (size_t i = 0; i < m->message.nrcpt; i++) {
		struct view address = m->message.rcpt[i].address;

		if (address.n > 0 && is_sendable(c, address)) {
			any = true;
			continue;
		}
		if (!view_is_ascii(address) && !speaks_utf8(c))
			refuse_here(r, 553, "5.6.7", NO_UTF8);
		else
			refuse_here(r, 553, "5.1.3", "the address has bytes that can't be sent");
		set_code(&m->rcpt[i], r);
		keep_text(c, i, r);
	}
	return any;
}

bool
mail_begin(struct client *c, const struct client_message *message)
{
	struct mail *m = &c->mail;
	struct reply r;
	char text[120];

	require(message->nrcpt > 0);
	mail_done(m);
	m->message = *message;
	m->rcpt = xcalloc(message->nrcpt, sizeof(*m->rcpt));
	m->text = xcalloc(message->nrcpt, sizeof(*m->text));
	for (size_t i = 0; i < message->nrcpt; i++)
		m->text[i] = TEXT_NONE;
	m->result.rcpt = m->rcpt;
	m->result.nrcpt = message->nrcpt;
	m->result.decided_in = CL_MAIL;
	m->open = true;
	dot_encoder_init(&m->encoder);

	if (!view_is_ascii(message->from) && !speaks_utf8(c)) {
		refuse_here(&r, 553, "5.6.7", NO_UTF8);
		decide(c, CL_MAIL, &r);
	} else if (message->needs_utf8 && !speaks_utf8(c)) {
		refuse_here(&r, 550, "5.6.7", "the server takes no header fields beyond ASCII (SMTPUTF8)");
		decide(c, CL_MAIL, &r);
	} else if (!is_sendable(c, message->from)) {
		refuse_here(&r, 553, "5.1.7", "the sender has bytes that can't be sent");
		decide(c, CL_MAIL, &r);
	} else if (c->caps.size != 0 && message->size > c->caps.size) {
		(void)snprintf(text, sizeof(text), "the message has %" PRIu64
		    " bytes, the server takes %" PRIu64, message->size, c->caps.size);
		refuse_here(&r, 552, "5.3.4", text);
		decide(c, CL_MAIL, &r);
	} else if (!check_recipients(c)) {
		r = m->result.reply;
		decide(c, CL_RCPT, &r);
	}
	return !m->result.complete;
}

/* A parameter of DSN as it is to be said; "" if it is not. */
static struct view
dsn_param(const struct client *c, struct view value)
{
	return (c->caps.flags & CAP_DSN) != 0 && is_sendable(c, value) ? value : VIEW("");
}

void
mail_say_from(struct client *c)
{
	const struct client_message *m = &c->mail.message;
	char size[32] = "";
	bool eight = m->eight_bit && (c->caps.flags & CAP_8BITMIME) != 0;
	struct view ret = dsn_param(c, m->ret), envid = dsn_param(c, m->envid);

	if ((c->caps.flags & CAP_SIZE) != 0 && m->size != 0)
		(void)snprintf(size, sizeof(size), " SIZE=%" PRIu64, m->size);
	client_say(c, "MAIL FROM:<%.*s>%s%s%s%s%.*s%s%.*s\r\n", VIEW_ARG(m->from), size,
	    eight ? " BODY=8BITMIME" : "", speaks_utf8(c) ? " SMTPUTF8" : "",
	    ret.n > 0 ? " RET=" : "", VIEW_ARG(ret), envid.n > 0 ? " ENVID=" : "", VIEW_ARG(envid));
	mail_pump(c);
}

static void
say_recipient(struct client *c, const struct client_rcpt *r)
{
	struct view notify = dsn_param(c, r->notify), orcpt;
	struct buf ascii;

	/* Where UTF-8 can't be said RFC 6533 3 has another form. */
	buf_init(&ascii, DSN_ORCPT_MAX);
	if (!is_sendable(c, r->orcpt) && quote_unicode(&ascii, r->orcpt))
		orcpt = dsn_param(c, buf_view(&ascii));
	else
		orcpt = dsn_param(c, r->orcpt);
	client_say(c, "RCPT TO:<%.*s>%s%.*s%s%.*s\r\n", VIEW_ARG(r->address),
	    notify.n > 0 ? " NOTIFY=" : "", VIEW_ARG(notify), orcpt.n > 0 ? " ORCPT=" : "", VIEW_ARG(orcpt));
	buf_done(&ascii);
}

void
mail_pump(struct client *c)
{
	struct mail *m = &c->mail;
	bool ahead = (c->caps.flags & CAP_PIPELINING) != 0;

	if (c->state != CL_MAIL && c->state != CL_RCPT && c->state != CL_DATA)
		return;
	if (m->result.complete)		/* decided: only the answers are still read */
		return;
	while (m->sent < m->message.nrcpt && buf_room(&c->out) >= COMMAND_MAX) {
		if (m->rcpt[m->sent].code == 0) {
			if (!ahead && (c->state != CL_RCPT || m->sent > m->answered))
				return;
			say_recipient(c, &m->message.rcpt[m->sent]);
		}
		m->sent++;
	}
	if (m->sent == m->message.nrcpt && !m->data_sent && buf_room(&c->out) >= COMMAND_MAX &&
	    (ahead || c->state == CL_DATA)) {
		client_say_line(c, VIEW("DATA\r\n"));
		m->data_sent = true;
	}
}

/* MAIL was taken, or a recipient answered: what is read next? */
unsigned
mail_next_rcpt(struct client *c)
{
	struct mail *m = &c->mail;

	if (c->state == CL_MAIL)
		m->begun = true;
	if (m->result.complete)
		return TO_FINISH;
	while (m->answered < m->message.nrcpt && m->rcpt[m->answered].code != 0)
		m->answered++;		/* refused here, never said */
	if (m->answered < m->message.nrcpt)
		return CL_RCPT;
	if (m->accepted > 0)
		return CL_DATA;
	decide(c, CL_RCPT, &c->parser.reply);
	return TO_FINISH;
}

void
mail_note_rcpt(struct client *c)
{
	struct mail *m = &c->mail;
	const struct reply *r = &c->parser.reply;
	size_t i = m->answered;

	if (m->result.complete)		/* MAIL was refused; its reply stands */
		return;
	if (reply_class(r) == 2) {
		m->rcpt[i].accepted = true;
		m->accepted++;
	} else if (reply_class(r) > 3) {
		set_code(&m->rcpt[i], r);
		keep_text(c, i, r);
	}
	m->answered++;
}

unsigned
mail_refused(struct client *c)
{
	decide(c, CL_MAIL, &c->parser.reply);
	return TO_FINISH;
}

unsigned
mail_data_refused(struct client *c)
{
	decide(c, CL_DATA, &c->parser.reply);
	return TO_FINISH;
}

/* RFC 2920 3.1: a pipelined DATA may be taken although no recipient was. */
unsigned
mail_go_ahead(struct client *c)
{
	struct mail *m = &c->mail;

	m->begun = true;
	if (!m->result.complete)
		return CL_BODY;
	m->lone_dot = true;
	client_say_line(c, VIEW(".\r\n"));
	return CL_DOT;
}

unsigned
mail_decided(struct client *c)
{
	decide(c, CL_DOT, &c->parser.reply);	/* no-op behind a lone dot */
	c->mail.begun = false;
	return TO_FINISH;
}

/*
 * Decided. Replies to what was said ahead are read before the result is told,
 * as the session is not ready before.
 */
unsigned
mail_finish(struct client *c)
{
	struct mail *m = &c->mail;

	if (c->outstanding > 0)
		return c->outstanding > 1 || !m->data_sent ? CL_RCPT : CL_DATA;
	m->open = false;
	c->result_due = true;
	return m->begun ? CL_RSET : CL_READY;
}

void
mail_cut_off(struct client *c)
{
	struct mail *m = &c->mail;

	if (!m->open)
		return;
	m->open = false;
	m->result.dot_sent = c->state == CL_DOT && !m->lone_dot;
	if (!m->result.complete)
		m->result.decided_in = c->state;
	c->result_due = true;
}

size_t
client_body(struct client *c, struct view bytes)
{
	require(c->state == CL_BODY || c->state == CL_CLOSED);
	if (c->state == CL_CLOSED)
		return 0;
	return dot_encode(&c->mail.encoder, &c->out, OUTPUT_MAX - DOT_END_MAX, bytes);
}

const struct client_result *
client_result(const struct client *c)
{
	return &c->mail.result;
}

const char *
client_rcpt_text(const struct client *c, size_t i)
{
	const struct mail *m = &c->mail;

	require(i < m->message.nrcpt);
	if (m->text[i] == TEXT_NONE)
		return m->result.reply.text;
	if (m->text[i] == TEXT_CUT)
		return m->rcpt[i].status;
	return (const char *)buf_view(&m->texts).p + m->text[i];
}
