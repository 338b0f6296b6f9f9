/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "base/require.h"
#include "smtp/client_private.h"

#include "base/banned.h"

void
client_say(struct client *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!buf_addv(&c->out, fmt, ap))
		c->no_memory = true;
	va_end(ap);
	c->outstanding++;
}

void
client_say_line(struct client *c, struct view line)
{
	if (!buf_add(&c->out, line))
		c->no_memory = true;
	c->outstanding++;
}

/* --- what is said on entering a state -------------------------------------- */

static void
say_ehlo(struct client *c)
{
	caps_init(&c->caps);
	client_say(c, "EHLO %s\r\n", c->ehlo_name);
}

static void
say_helo(struct client *c)
{
	caps_init(&c->caps);
	client_say(c, "HELO %s\r\n", c->ehlo_name);
}

static void
say_starttls(struct client *c)
{
	client_say_line(c, VIEW("STARTTLS\r\n"));
}

static void
want_login(struct client *c)
{
	c->login_due = true;
}

static void
say_rset(struct client *c)
{
	client_say_line(c, VIEW("RSET\r\n"));
}

static void
say_quit(struct client *c)
{
	client_say_line(c, VIEW("QUIT\r\n"));
}

/* --- what is learned from a reply before the move --------------------------- */

static void
note_greeting(struct client *c)
{
	size_t n = strnlen(c->parser.reply.text, sizeof(c->greeting) - 1);

	memcpy(c->greeting, c->parser.reply.text, n);
	c->greeting[n] = '\0';
}

static void
note_caps(struct client *c)
{
	if (reply_class(&c->parser.reply) != 2)
		caps_init(&c->caps);
}

/* --- choices ---------------------------------------------------------------- */

static unsigned
after_ehlo(struct client *c)
{
	if (c->params.tls != CLIENT_TLS_STARTTLS)
		return TO_LOGIN;
	if ((c->caps.flags & CAP_STARTTLS) != 0)
		return CL_STARTTLS;
	return FAIL((c->caps.flags & CAP_BLANKED) != 0 ? FAULT_STARTTLS_BLANKED : FAULT_NO_STARTTLS);
}

static bool
wants_login(const struct client *c)
{
	return c->params.mechanisms != 0 && (!c->params.probe || c->params.probe_login);
}

/* HELO offers neither TLS nor login. */
static unsigned
try_helo(struct client *c)
{
	if (c->params.tls == CLIENT_TLS_STARTTLS || wants_login(c))
		return FAIL(FAULT_EHLO);
	return CL_HELO;
}

static unsigned
choose_login(struct client *c)
{
	unsigned usable = c->caps.mechanisms & c->params.mechanisms;

	/* A probe that does not log in tells whether a session could. */
	if (c->params.mechanisms != 0 && usable == 0)
		return FAIL(FAULT_NO_AUTH);
	if (!wants_login(c))
		return TO_LOGGED_IN;
	if (!c->tls_ready)		/* the configuration asks for no such thing */
		return FAIL(FAULT_NO_AUTH);
	sasl_start(&c->sasl, mechanism_best(usable));
	return CL_AUTH;
}

static unsigned
logged_in(struct client *c)
{
	return c->params.probe ? CL_QUIT : CL_READY;
}

/* A "yes" of who had to prove something and did not is worth nothing. */
static unsigned
authenticated(struct client *c)
{
	if (sasl_is_proven(&c->sasl))
		return TO_LOGGED_IN;
	c->parser.done = false;		/* what is wrong is not in the reply */
	return FAIL(FAULT_UNPROVEN);
}

static unsigned
prompted(struct client *c)
{
	return sasl_is_over(&c->sasl) ? FAIL(FAULT_UNEXPECTED) : CL_AUTH_NEXT;
}

static unsigned (*const choices[])(struct client *) = {
	[TO_EHLO_DONE - CL_COUNT]	= after_ehlo,
	[TO_TRY_HELO - CL_COUNT]	= try_helo,
	[TO_LOGIN - CL_COUNT]		= choose_login,
	[TO_AUTHENTICATED - CL_COUNT]	= authenticated,
	[TO_LOGGED_IN - CL_COUNT]	= logged_in,
	[TO_PROMPT - CL_COUNT]		= prompted,
	[TO_NEXT_RCPT - CL_COUNT]	= mail_next_rcpt,
	[TO_MAIL_REFUSED - CL_COUNT]	= mail_refused,
	[TO_DATA_REFUSED - CL_COUNT]	= mail_data_refused,
	[TO_GO_AHEAD - CL_COUNT]	= mail_go_ahead,
	[TO_DECIDED - CL_COUNT]		= mail_decided,
	[TO_FINISH - CL_COUNT]		= mail_finish,
};
_Static_assert(lengthof(choices) == TO_FAULT - CL_COUNT, "each choice has its function");

/* --- the table --------------------------------------------------------------- */

#define SECONDS(n)	((n) * 1000u)
#define ODD		FAIL(FAULT_UNEXPECTED)
#define PUSHED		FAIL(FAULT_INJECTED)

struct step {
	const char	*word;
	void		(*enter)(struct client *);
	uint32_t	 ms, probe_ms;		/* the peer's time; RFC 5321 4.5.3.2 has upper ones */
	unsigned	 ok, more, temp, perm;	/* successor by class of the reply; 421: see take_reply */
	void		(*note)(struct client *);
	enum client_action idle;		/* said while nothing comes in */
};

static const struct step steps[CL_COUNT] = {
	[CL_GREETING] = { "greeting", NULL, SECONDS(60), SECONDS(15), CL_EHLO, ODD,
	    FAIL(FAULT_GREETING), FAIL(FAULT_GREETING), note_greeting, CLIENT_WANT_INPUT },
	[CL_EHLO] = { "ehlo", say_ehlo, SECONDS(30), SECONDS(10), TO_EHLO_DONE, ODD,
	    FAIL(FAULT_EHLO), TO_TRY_HELO, note_caps, CLIENT_WANT_INPUT },
	[CL_HELO] = { "helo", say_helo, SECONDS(30), SECONDS(10), TO_EHLO_DONE, ODD,
	    FAIL(FAULT_EHLO), FAIL(FAULT_EHLO), NULL, CLIENT_WANT_INPUT },
	[CL_STARTTLS] = { "starttls", say_starttls, SECONDS(30), SECONDS(10), CL_TLS, ODD,
	    FAIL(FAULT_STARTTLS_REFUSED), FAIL(FAULT_STARTTLS_REFUSED), NULL, CLIENT_WANT_INPUT },
	[CL_TLS] = { "tls", NULL, SECONDS(30), SECONDS(10), PUSHED, PUSHED,
	    PUSHED, PUSHED, NULL, CLIENT_NEED_TLS },
	[CL_EHLO_TLS] = { "ehlo-tls", say_ehlo, SECONDS(30), SECONDS(10), TO_LOGIN, ODD,
	    FAIL(FAULT_EHLO), FAIL(FAULT_EHLO), note_caps, CLIENT_WANT_INPUT },
	[CL_AUTH] = { "auth", want_login, SECONDS(60), SECONDS(10), TO_AUTHENTICATED, TO_PROMPT,
	    FAIL(FAULT_AUTH), FAIL(FAULT_AUTH), NULL, CLIENT_WANT_INPUT },
	[CL_AUTH_NEXT] = { "auth-next", want_login, SECONDS(60), SECONDS(10), TO_AUTHENTICATED, TO_PROMPT,
	    FAIL(FAULT_AUTH), FAIL(FAULT_AUTH), NULL, CLIENT_WANT_INPUT },
	[CL_READY] = { "ready", NULL, 0, 0, ODD, ODD, ODD, ODD, NULL, CLIENT_IDLE },
	[CL_MAIL] = { "mail", mail_say_from, SECONDS(120), SECONDS(10), TO_NEXT_RCPT, ODD,
	    TO_MAIL_REFUSED, TO_MAIL_REFUSED, NULL, CLIENT_WANT_INPUT },
	[CL_RCPT] = { "rcpt", mail_pump, SECONDS(120), SECONDS(10), TO_NEXT_RCPT, ODD,
	    TO_NEXT_RCPT, TO_NEXT_RCPT, mail_note_rcpt, CLIENT_WANT_INPUT },
	[CL_DATA] = { "data", mail_pump, SECONDS(120), SECONDS(10), ODD, TO_GO_AHEAD,
	    TO_DATA_REFUSED, TO_DATA_REFUSED, NULL, CLIENT_WANT_INPUT },
	[CL_BODY] = { "body", NULL, SECONDS(180), SECONDS(10), ODD, ODD, ODD, ODD,
	    NULL, CLIENT_NEED_BODY },
	[CL_DOT] = { "dot", NULL, SECONDS(600), SECONDS(10), TO_DECIDED, ODD,
	    TO_DECIDED, TO_DECIDED, NULL, CLIENT_WANT_INPUT },
	[CL_RSET] = { "rset", say_rset, SECONDS(30), SECONDS(10), CL_READY, ODD, ODD, ODD,
	    NULL, CLIENT_WANT_INPUT },
	[CL_QUIT] = { "quit", say_quit, SECONDS(5), SECONDS(2), CL_CLOSED, CL_CLOSED,
	    CL_CLOSED, CL_CLOSED, NULL, CLIENT_WANT_INPUT },
	[CL_CLOSED] = { "closed", NULL, 0, 0, CL_CLOSED, CL_CLOSED, CL_CLOSED, CL_CLOSED,
	    NULL, CLIENT_CLOSE },
};

/* The peer is in step with us: it gets a QUIT before we go. */
static bool
is_worth_a_quit(enum client_fault fault)
{
	return fault == FAULT_GREETING || fault == FAULT_EHLO || fault == FAULT_NO_STARTTLS ||
	    fault == FAULT_STARTTLS_BLANKED || fault == FAULT_STARTTLS_REFUSED || fault == FAULT_NO_AUTH || fault == FAULT_AUTH;
}

/* Servers quote what they refuse, and what they say is logged, kept and passed on. */
static void
hide_secrets(struct client *c)
{
	redact_text(&c->redact, c->parser.reply.text, sizeof(c->parser.reply.text));
}

static void
fail(struct client *c, enum client_fault fault, const char *detail)
{
	struct client_failure *f = &c->failure;

	f->fault = fault;
	f->state = c->state;
	hide_secrets(c);	/* a refusal, or a prompt */
	if (c->parser.done)
		f->reply = c->parser.reply;
	else
		f->reply.code = 0;
	(void)snprintf(f->detail, sizeof(f->detail), "%s", detail);
	mail_cut_off(c);
	if (is_worth_a_quit(fault))
		say_quit(c);
	c->failure_due = true;
	c->state = CL_CLOSED;
}

static const char *
fault_detail(const struct client *c, enum client_fault fault)
{
	switch (fault) {
	case FAULT_NO_STARTTLS:
		return "STARTTLS is not offered";
	case FAULT_STARTTLS_BLANKED:
		return "STARTTLS is not offered; a device on the path blanks the offers";
	case FAULT_INJECTED:
		return "bytes in clear behind the reply to STARTTLS";
	case FAULT_NO_AUTH:
		if (!c->tls_ready)
			return "no password is sent over a connection without TLS";
		return "no login method that may be used is offered";
	case FAULT_UNPROVEN:
		return "it took the login without showing that it knows the password";
	case FAULT_UNEXPECTED:
		return "the reply makes no sense at this point";
	default:
		return "";
	}
}

/* The only place that changes the state, besides fail(). */
static void
go(struct client *c, unsigned to)
{
	while (to >= CL_COUNT && to < TO_FAULT)
		to = choices[to - CL_COUNT](c);
	if (to >= TO_FAULT) {
		enum client_fault fault = (enum client_fault)(to - TO_FAULT);
		char detail[160];

		(void)snprintf(detail, sizeof(detail), "%s", fault_detail(c, fault));
		if (fault == FAULT_NO_AUTH && c->tls_ready && c->caps.auth_words[0] != '\0')
			(void)snprintf(detail, sizeof(detail), "no login method that may be used is offered, but %s",
			    c->caps.auth_words);
		if (fault == FAULT_NO_AUTH)
			c->parser.done = false;		/* it is in what EHLO does not offer */
		fail(c, fault, detail);
		return;
	}
	c->state = (enum client_state)to;
	if (steps[to].enter != NULL)
		steps[to].enter(c);
}

/* --- input -------------------------------------------------------------------- */

static void
on_ehlo_line(void *arg, struct view text)
{
	struct client *c = arg;

	if (c->state == CL_EHLO || c->state == CL_EHLO_TLS)
		caps_add_line(&c->caps, text);
}

static const struct {
	struct view	begin;
	const char	*who;
} strangers[] = {
	{ VIEW("HTTP/"), "an HTTP server answers" },
	{ VIEW("SSH-"), "an SSH server answers" },
	{ VIEW("* OK"), "an IMAP server answers" },
	{ VIEW("+OK"), "a POP3 server answers" },
	{ VIEW("<"), "a web page answers" },
};

static void
take_garbage(struct client *c)
{
	struct view line = view_of(c->parser.line, c->parser.line_len);
	char shown[REPLY_LINE_MAX + 1];
	char detail[160];
	const char *who = "the peer does not speak SMTP";

	c->parser.done = false;		/* there is no reply to report */
	memcpy(shown, line.p, line.n);
	shown[line.n] = '\0';
	quote_flatten((uint8_t *)shown, line.n);
	redact_text(&c->redact, shown, sizeof(shown));	/* before the cut: it leaves no shorter piece */
	if (c->state != CL_GREETING) {
		(void)snprintf(detail, sizeof(detail), "not a reply: \"%.60s\"", shown);
		fail(c, FAULT_GARBLED, detail);
		return;
	}
	/* RFC 8446 5.1: content types 20 to 24, then the version */
	if (line.n > 0 && line.p[0] >= 20 && line.p[0] <= 24 && (line.n < 2 || line.p[1] == 3)) {
		fail(c, FAULT_TLS_BYTES, "the port speaks TLS from the first byte");
		return;
	}
	for (size_t i = 0; i < lengthof(strangers); i++)
		if (view_starts(line, strangers[i].begin))
			who = strangers[i].who;
	(void)snprintf(detail, sizeof(detail), "%s: \"%.60s\"", who, shown);
	fail(c, FAULT_NOT_SMTP, detail);
}

static void
take_reply(struct client *c)
{
	const struct step *step = &steps[c->state];
	const struct reply *r = &c->parser.reply;
	unsigned to[] = { step->ok, step->more, step->temp, step->perm };

	if (c->outstanding > 0)
		c->outstanding--;
	if (c->state != CL_AUTH && c->state != CL_AUTH_NEXT)
		hide_secrets(c);	/* a challenge is read as it is; a refusal goes through fail() */
	if (r->code == 421 && c->state != CL_QUIT) {
		if (c->state == CL_DOT)
			(void)mail_decided(c);	/* it is an answer: the message was not taken */
		fail(c, FAULT_SHUTTING_DOWN, "");
		return;
	}
	if (c->unasked && c->state != CL_QUIT) {
		fail(c, FAULT_UNEXPECTED, "a reply that answers nothing");
		return;
	}
	if (step->note != NULL)
		step->note(c);
	go(c, to[reply_class(r) - 2]);
}

/* Bytes of the peer, up to the end of one reply. */
static size_t
take_input(struct client *c, struct view in)
{
	unsigned before = c->outstanding;
	size_t used;

	if (c->state == CL_TLS) {
		c->parser.done = false;
		go(c, PUSHED);
		return in.n;
	}
	if (c->parser.done || c->parser.bytes == 0)
		c->unasked = c->unasked || c->outstanding == 0;
	switch (reply_parse(&c->parser, in, &used)) {
	case REPLY_MORE:
		break;
	case REPLY_BAD:
		take_garbage(c);
		break;
	case REPLY_DONE:
		take_reply(c);
		/* what came in with this reply can't answer what is said because of it */
		c->unasked = before <= 1 && used < in.n;
		break;
	}
	return used;
}

static void
take_eof(struct client *c)
{
	char detail[80];

	if (c->state == CL_QUIT) {
		c->state = CL_CLOSED;
		return;
	}
	c->parser.done = false;
	(void)snprintf(detail, sizeof(detail), "the peer closed the connection (%s)",
	    steps[c->state].word);
	fail(c, FAULT_NONE, detail);
}

enum client_action
client_step(struct client *c, struct view in, size_t *used)
{
	*used = 0;
	if (c->secret && buf_len(&c->out) == 0)
		c->secret = false;
	for (;;) {
		if (c->result_due) {
			c->result_due = false;
			return CLIENT_RESULT;
		}
		if (c->failure_due) {
			c->failure_due = false;
			return CLIENT_FAILED;
		}
		if (c->state == CL_CLOSED) {
			*used = in.n;
			return CLIENT_CLOSE;
		}
		mail_pump(c);
		if (c->no_memory) {
			c->parser.done = false;
			fail(c, FAULT_NONE, "no memory for a command");
		} else if (*used < in.n) {
			*used += take_input(c, view_from(in, *used));
		} else if (c->eof) {
			take_eof(c);
		} else {
			return c->login_due ? CLIENT_NEED_LOGIN : steps[c->state].idle;
		}
	}
}

/* --- what the caller says -------------------------------------------------------- */

struct client *
client_new(const struct client_params *params)
{
	struct client *c = xzalloc(sizeof(*c));

	c->params = *params;
	c->ehlo_name = xstrdup(params->ehlo_name);
	c->params.ehlo_name = c->ehlo_name;
	buf_init(&c->out, OUTPUT_MAX);
	reply_parser_init(&c->parser);
	c->parser.on_line = on_ehlo_line;
	c->parser.arg = c;
	mail_init(&c->mail);
	redact_init(&c->redact);
	c->state = params->tls == CLIENT_TLS_IMPLICIT ? CL_TLS : CL_GREETING;
	c->outstanding = 1;		/* the greeting answers the connection */
	return c;
}

void
client_free(struct client *c)
{
	if (c == NULL)
		return;
	mail_done(&c->mail);
	buf_wipe(&c->out);
	redact_done(&c->redact);
	free(c->ehlo_name);
	free(c);
}

void
client_tls_ready(struct client *c)
{
	if (c->state == CL_CLOSED)
		return;
	require(c->state == CL_TLS);
	c->tls_ready = true;
	if (c->params.tls == CLIENT_TLS_IMPLICIT)
		c->state = CL_GREETING;
	else
		go(c, CL_EHLO_TLS);
}

/* Nothing of it leaves; but for that the dialogue is given up, if one has begun (RFC 4954 4). */
static void
give_login_up(struct client *c, enum sasl_result why)
{
	char detail[160];

	buf_wipe(&c->out);
	if (c->state == CL_AUTH_NEXT && !buf_add(&c->out, VIEW("*\r\n")))
		c->no_memory = true;
	if (why == SASL_ODD) {
		fail(c, FAULT_UNEXPECTED, fault_detail(c, FAULT_UNEXPECTED));
		return;
	}
	c->parser.done = false;		/* what is wrong is not in the reply */
	if (why == SASL_COSTLY)
		(void)snprintf(detail, sizeof(detail), "%s with more than %u iterations is not done here: forbid "
		    "it (mechanisms), if there is another", mechanism_name(c->sasl.mechanism), SCRAM_ITERATIONS_MAX);
	else if (why == SASL_CHEAP)
		(void)snprintf(detail, sizeof(detail), "%s with fewer than %u iterations is not safe: the server has to "
		    "ask for more", mechanism_name(c->sasl.mechanism), SCRAM_ITERATIONS_MIN);
	else
		(void)snprintf(detail, sizeof(detail), "%s", why == SASL_UNPROVEN ?
		    "its signature is not that of one who knows the password" :
		    "user or password can't be sent: too long, or with a NUL");
	fail(c, why == SASL_UNPROVEN ? FAULT_UNPROVEN : FAULT_NO_AUTH, detail);
}

void
client_login(struct client *c, const struct sasl_login *login)
{
	size_t before = buf_len(&c->out);
	enum sasl_result result;

	if (c->state == CL_CLOSED)
		return;
	require(c->login_due && c->tls_ready);
	c->login_due = false;
	c->secret = true;
	result = sasl_say(&c->sasl, login, view_str(c->parser.reply.text), &c->out);
	if (result == SASL_SAID && !redact_note(&c->redact, login->secret, view_from(buf_view(&c->out), before)))
		result = SASL_CANT;
	if (result == SASL_SAID && !buf_add(&c->out, VIEW("\r\n")))
		result = SASL_CANT;
	if (result == SASL_SAID)
		c->outstanding++;
	else
		give_login_up(c, result);
}

void
client_send(struct client *c, const struct client_message *message)
{
	require(c->state == CL_READY && !c->result_due);
	if (mail_begin(c, message))
		go(c, CL_MAIL);
	else
		go(c, TO_FINISH);
}

void
client_body_end(struct client *c)
{
	if (c->state == CL_CLOSED)
		return;
	require(c->state == CL_BODY);
	if (!dot_encode_end(&c->mail.encoder, &c->out)) {
		client_body_abort(c);
		return;
	}
	c->outstanding++;
	c->state = CL_DOT;
}

void
client_body_abort(struct client *c)
{
	if (c->state == CL_CLOSED)
		return;
	mail_cut_off(c);
	c->state = CL_CLOSED;
}

void
client_quit(struct client *c)
{
	if (c->state == CL_READY)
		go(c, CL_QUIT);
	else
		client_body_abort(c);
}

void
client_eof(struct client *c)
{
	c->eof = true;
}

/* --- questions ------------------------------------------------------------------- */

const struct client_failure *
client_failure(const struct client *c)
{
	return &c->failure;
}

enum client_state
client_state(const struct client *c)
{
	return c->state;
}

const char *
client_state_word(enum client_state state)
{
	return steps[state].word;
}

unsigned
client_caps(const struct client *c)
{
	return c->caps.flags;
}

enum sasl_mechanism
client_mechanism(const struct client *c)
{
	return c->sasl.begun ? c->sasl.mechanism : SASL_COUNT;
}

uint64_t
client_size_limit(const struct client *c)
{
	return c->caps.size;
}

const char *
client_greeting(const struct client *c)
{
	return c->greeting;
}

uint32_t
client_deadline_ms(const struct client *c)
{
	return c->params.probe ? steps[c->state].probe_ms : steps[c->state].ms;
}

bool
client_output_is_secret(const struct client *c)
{
	return c->secret && buf_len(&c->out) > 0;
}

struct buf *
client_output(struct client *c)
{
	return &c->out;
}
