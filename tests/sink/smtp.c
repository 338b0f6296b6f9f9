/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protocol as a submission server speaks it, with a fault where one is set.
 * Written apart from src/smtp, so that a mistake there is not repeated here.
 */
#include "sink/sink.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/num.h"

static void reply(struct conn *, const char *fmt, ...) printf_like(2, 3);

static void
reply(struct conn *c, const char *fmt, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ok = buf_addv(&c->out, fmt, ap);
	va_end(ap);
	if (!ok || !buf_add_str(&c->out, "\r\n"))
		c->dead = true;
}

/*
 * Let the fault of this step strike, if there is one. True: it did, and the
 * step must not succeed. subject NULL: the envelope.
 */
static bool
strike(struct conn *c, enum sink_step step, const char *const *subject)
{
	const struct fault *f = port_fault(c->port, step, subject);

	if (f == NULL)
		return false;
	sink_say(c->port->sink, "fault %s %lu %s", c->port->name, c->id, step_word(step));
	switch (f->action) {
	case FAULT_REPLY:
		reply(c, "%s", f->text);
		if (strncmp(f->text, "421", 3) == 0)
			c->closing = true;
		return true;
	case FAULT_CUT:
		c->dead = true;
		return true;
	case FAULT_HANG:
		c->hung = true;
		return true;
	default:
		return false;
	}
}

/* A fault that matches on the sender or on any recipient. */
static bool
strike_envelope(struct conn *c, enum sink_step step)
{
	static const char *subject[SINK_RCPTS_MAX + 2];
	static char text[SINK_RCPTS_MAX * 64];
	struct view rest = buf_view(&c->rcpts), one;
	size_t n = 0, at = 0;

	subject[n++] = c->from;
	while (n <= SINK_RCPTS_MAX && view_split(&rest, '\n', &one) && at + one.n < sizeof(text)) {
		memcpy(text + at, one.p, one.n);
		text[at + one.n] = '\0';
		subject[n++] = text + at;
		at += one.n + 1;
	}
	subject[n] = NULL;
	return strike(c, step, subject);
}

static void
end_mail(struct conn *c)
{
	store_drop(c);
	buf_clear(&c->rcpts);
	buf_clear(&c->said);
	c->nrcpt = 0;
	c->has_mail = c->body_begun = c->line_begun = c->high = false;
	c->from[0] = c->params[0] = '\0';
	c->phase = PH_COMMAND;
}

void
smtp_init(struct conn *c)
{
	buf_init(&c->rcpts, 1u << 20);
	buf_init(&c->said, 1u << 20);
	buf_init(&c->body, 65536);
	c->file = -1;
}

void
smtp_done(struct conn *c)
{
	store_drop(c);
	buf_done(&c->rcpts);
	buf_done(&c->said);
	buf_done(&c->body);
}

bool
smtp_greet(struct conn *c)
{
	c->greeted = true;
	if (!strike(c, STEP_GREETING, NULL))
		reply(c, "220 sink.example.net ESMTP posthouse-sink");
	else if (!c->hung)
		c->closing = true;
	return true;
}

static bool
starttls_offered(const struct conn *c)
{
	return c->port->mode == MODE_STARTTLS && c->ssl == NULL && !c->port->swapped &&
	    c->port->starttls != STARTTLS_MISSING;
}

static void
do_ehlo(struct conn *c, struct view arg)
{
	struct view rest = view_str(c->port->extensions), one;

	end_mail(c);
	if (strike(c, STEP_EHLO, NULL))
		return;
	if (arg.n == 0) {
		reply(c, "501 5.5.4 a name is needed");
		return;
	}
	c->hello = true;
	while (view_split(&rest, ',', &one))
		reply(c, "250-%.*s", VIEW_ARG(one));
	if (starttls_offered(c))
		reply(c, c->port->starttls == STARTTLS_BLANKED ? "250-XXXXXXXX" : "250-STARTTLS");
	if (c->port->mechanisms[0] != '\0' && (c->ssl != NULL || c->port->mode == MODE_PLAIN))
		reply(c, "250-AUTH %s", c->port->mechanisms);
	reply(c, "250 HELP");
}

static void
do_helo(struct conn *c, struct view arg)
{
	end_mail(c);
	if (strike(c, STEP_EHLO, NULL))
		return;
	c->hello = true;
	reply(c, "250 sink.example.net");
}

static void
do_starttls(struct conn *c, struct view arg)
{
	if (strike(c, STEP_STARTTLS, NULL))
		return;
	if (!starttls_offered(c) || c->port->starttls == STARTTLS_BLANKED) {
		reply(c, "502 5.5.1 not here");
		return;
	}
	if (buf_len(&c->in) > 0) {
		conn_violation(c, "bytes behind STARTTLS");
		c->dead = true;
		return;
	}
	reply(c, "220 2.0.0 go ahead");
	if (c->port->starttls == STARTTLS_INJECT)
		reply(c, "250 2.0.0 injected");
	c->hello = c->authed = false;
	c->start_tls = true;
}

static void
login_result(struct conn *c, const char *user, const char *password)
{
	const struct sink *sk = c->port->sink;
	const char *subject[] = { user, NULL };
	bool ok = sk->user == NULL || (strcmp(user, sk->user) == 0 &&
	    strcmp(password, sk->password) == 0);

	c->phase = PH_COMMAND;
	(void)snprintf(c->user, sizeof(c->user), "%s", user);
	if (strike(c, STEP_AUTH, subject)) {
		c->port->count.logins_refused++;
		sink_say(c->port->sink, "login %s %lu refused", c->port->name, c->id);
		return;
	}
	sink_say(c->port->sink, "login %s %lu %s", c->port->name, c->id, ok ? "ok" : "refused");
	if (!ok) {
		c->port->count.logins_refused++;
		reply(c, "535 5.7.8 user or password is wrong");
		return;
	}
	c->port->count.logins++;
	c->authed = true;
	reply(c, "235 2.7.0 welcome");
}

/* Text of a base64 word, or NULL. NULs separate the fields of PLAIN. */
static const char *
decoded(struct buf *b, struct view word)
{
	return base64_decode(b, word) ? buf_cstr(b) : NULL;
}

static void
auth_plain(struct conn *c, struct view word)
{
	struct buf b;
	const char *p, *user, *password;
	size_t n, authzid, rest;

	c->phase = PH_COMMAND;
	buf_init(&b, 4096);
	p = decoded(&b, word);
	n = buf_len(&b);
	authzid = view_find(buf_view(&b), 0);
	rest = authzid < n ? view_find(view_from(buf_view(&b), authzid + 1), 0) : 0;
	if (p == NULL || authzid >= n || authzid + 1 + rest >= n) {
		reply(c, "501 5.5.2 that is not PLAIN");
	} else {
		user = p + authzid + 1;
		password = user + rest + 1;
		login_result(c, user, password);
	}
	buf_wipe(&b);
}

static void
auth_login(struct conn *c, struct view word)
{
	struct buf b;
	const char *p;

	buf_init(&b, 4096);
	p = decoded(&b, word);
	if (p == NULL) {
		c->phase = PH_COMMAND;
		reply(c, "501 5.5.2 that is not base64");
	} else if (c->phase == PH_AUTH_USER) {
		(void)snprintf(c->user, sizeof(c->user), "%s", p);
		c->phase = PH_AUTH_PASSWORD;
		reply(c, "334 UGFzc3dvcmQ6");
	} else {
		char user[sizeof(c->user)];

		memcpy(user, c->user, sizeof(user));
		login_result(c, user, p);
	}
	buf_wipe(&b);
}

static void
do_auth(struct conn *c, struct view arg)
{
	struct view mechanism = view_first(arg, view_find(arg, ' '));
	struct view initial = view_trim(view_from(arg, mechanism.n));

	if (c->ssl == NULL && c->port->mode != MODE_PLAIN) {
		c->port->count.clear_auth++;
		conn_violation(c, "AUTH in clear");
		reply(c, "538 5.7.11 encryption is needed");
	} else if (c->authed || c->has_mail || !c->hello) {
		conn_violation(c, "AUTH out of order");
		reply(c, "503 5.5.1 not now");
	} else if (view_search(view_str(c->port->mechanisms), mechanism) >=
	    strlen(c->port->mechanisms)) {
		reply(c, "504 5.5.4 no such mechanism here");
	} else if (view_ieq(mechanism, VIEW("PLAIN")) && initial.n > 0) {
		auth_plain(c, initial);
	} else if (view_ieq(mechanism, VIEW("PLAIN"))) {
		c->phase = PH_AUTH_PLAIN;
		reply(c, "334 ");
	} else if (view_ieq(mechanism, VIEW("LOGIN"))) {
		c->phase = PH_AUTH_USER;
		if (initial.n > 0)
			auth_login(c, initial);
		else
			reply(c, "334 VXNlcm5hbWU6");
	} else {
		reply(c, "504 5.5.4 no such mechanism here");
	}
}

/* "FROM:<a@b> X=Y" or "TO:<a@b>": the path without brackets, and what follows it. */
static bool
parse_path(struct view arg, struct view word, struct view *path, struct view *params)
{
	size_t end = 0;
	bool quoted = false;

	if (!view_istarts(arg, word))
		return false;
	arg = view_trim(view_from(arg, word.n));
	if (arg.n == 0 || arg.p[0] != '<')
		return false;
	for (end = 1; end < arg.n && (quoted || arg.p[end] != '>'); end++) {
		if (quoted && arg.p[end] == '\\')
			end++;
		else if (arg.p[end] == '"')
			quoted = !quoted;
	}
	if (end >= arg.n)
		return false;
	*path = view_from(view_first(arg, end), 1);
	*params = view_trim(view_from(arg, end + 1));
	return true;
}

static bool
has_word(struct view words, char between, struct view want)
{
	struct view one;

	while (view_split(&words, between, &one))
		if (view_ieq(view_first(one, view_find(one, '=')), want))
			return true;
	return false;
}

/* Who says what was not offered, or needs what it did not say, does so to other servers, too. */
static void
check_params(struct conn *c, struct view path, struct view params)
{
	static const struct {
		const char *word, *extension;
	} known[] = {
		{ "RET", "DSN" }, { "ENVID", "DSN" }, { "NOTIFY", "DSN" }, { "ORCPT", "DSN" },
		{ "SMTPUTF8", "SMTPUTF8" }, { "BODY", "8BITMIME" },
	};
	struct view offered = view_str(c->port->extensions);

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (has_word(params, ' ', view_str(known[i].word)) &&
		    !has_word(offered, ',', view_str(known[i].extension)))
			conn_violation(c, "a parameter that was not offered");
	for (size_t i = 0; i < path.n; i++)
		if (path.p[i] >= 0x80 && !has_word(view_str(c->params), ' ', VIEW("SMTPUTF8"))) {
			conn_violation(c, "an address beyond ASCII without SMTPUTF8");
			break;
		}
}

static void
do_mail(struct conn *c, struct view arg)
{
	struct view path, params;
	const char *subject[] = { c->from, NULL };

	if (c->ssl == NULL && c->port->mode != MODE_PLAIN) {
		c->port->count.clear_mail++;
		conn_violation(c, "MAIL in clear");
	}
	if (!c->hello || c->has_mail) {
		conn_violation(c, "MAIL out of order");
		reply(c, "503 5.5.1 not now");
		return;
	}
	if (c->port->sink->user != NULL && !c->authed) {
		reply(c, "530 5.7.0 log in first");
		return;
	}
	if (!parse_path(arg, VIEW("FROM:"), &path, &params) || path.n >= sizeof(c->from) ||
	    params.n >= sizeof(c->params)) {
		conn_violation(c, "MAIL malformed");
		reply(c, "501 5.5.4 MAIL FROM:<address>");
		return;
	}
	(void)snprintf(c->from, sizeof(c->from), "%.*s", VIEW_ARG(path));
	(void)snprintf(c->params, sizeof(c->params), "%.*s", VIEW_ARG(params));
	check_params(c, path, params);
	if (strike(c, STEP_MAIL, subject))
		return;
	c->has_mail = true;
	reply(c, "250 2.1.0 sender ok");
}

static void
do_rcpt(struct conn *c, struct view arg)
{
	struct view path, params;
	char to[1024];
	const char *subject[] = { to, NULL };

	if (!c->has_mail) {
		reply(c, "503 5.5.1 MAIL first");
		return;
	}
	if (!parse_path(arg, VIEW("TO:"), &path, &params) || path.n >= sizeof(to) || path.n == 0) {
		conn_violation(c, "RCPT malformed");
		reply(c, "501 5.5.4 RCPT TO:<address>");
		return;
	}
	(void)snprintf(to, sizeof(to), "%.*s", VIEW_ARG(path));
	check_params(c, path, params);
	if (strike(c, STEP_RCPT, subject))
		return;
	if (c->nrcpt >= SINK_RCPTS_MAX || !buf_addf(&c->rcpts, "%s\n", to)) {
		reply(c, "452 4.5.3 too many recipients");
		return;
	}
	if (params.n > 0 && !buf_addf(&c->said, "parameters-of: %s %.*s\n", to, VIEW_ARG(params)))
		c->dead = true;
	c->nrcpt++;
	reply(c, "250 2.1.5 recipient ok");
}

static void
do_data(struct conn *c, struct view arg)
{
	if (c->nrcpt == 0) {
		reply(c, "503 5.5.1 RCPT first");
		return;
	}
	if (strike_envelope(c, STEP_DATA))
		return;
	store_begin(c);
	c->phase = PH_BODY;
	c->body_begun = c->line_begun = c->high = false;
	reply(c, "354 end with a dot");
}

static void
do_rset(struct conn *c, struct view arg)
{
	end_mail(c);
	reply(c, "250 2.0.0 ok");
}

static void
do_noop(struct conn *c, struct view arg)
{
	reply(c, "250 2.0.0 ok");
}

static void
do_quit(struct conn *c, struct view arg)
{
	if (strike(c, STEP_QUIT, NULL))
		return;
	reply(c, "221 2.0.0 bye");
	c->closing = true;
}

static const struct {
	const char	*verb;
	void		(*fn)(struct conn *, struct view arg);
} commands[] = {
	{ "EHLO", do_ehlo }, { "HELO", do_helo }, { "STARTTLS", do_starttls }, { "AUTH", do_auth },
	{ "MAIL", do_mail }, { "RCPT", do_rcpt }, { "DATA", do_data }, { "RSET", do_rset },
	{ "NOOP", do_noop }, { "QUIT", do_quit },
};

static void
command(struct conn *c, struct view line)
{
	struct view verb = view_first(line, view_find(line, ' '));
	struct view arg = view_trim(view_from(line, verb.n));

	for (size_t i = 0; i < lengthof(commands); i++) {
		if (view_ieq(verb, view_str(commands[i].verb))) {
			commands[i].fn(c, arg);
			return;
		}
	}
	conn_violation(c, "unknown command");
	reply(c, "500 5.5.2 what?");
}

static bool
step_line(struct conn *c)
{
	struct view in = buf_view(&c->in);
	size_t end = view_find(in, '\n');
	uint8_t line[SINK_LINE_MAX];
	size_t n = end;

	if (end == in.n && in.n < SINK_LINE_MAX)
		return false;
	if (end >= SINK_LINE_MAX) {
		conn_violation(c, "line too long");
		c->dead = true;
		return false;
	}
	if (n > 0 && in.p[n - 1] == '\r')
		n--;
	else
		conn_violation(c, "line without CR");
	memcpy(line, in.p, n);
	buf_consume(&c->in, end + 1);
	switch (c->phase) {
	case PH_AUTH_PLAIN:
		auth_plain(c, view_of(line, n));
		break;
	case PH_AUTH_USER:
	case PH_AUTH_PASSWORD:
		auth_login(c, view_of(line, n));
		break;
	default:
		command(c, view_of(line, n));
	}
	OPENSSL_cleanse(line, sizeof(line));
	return true;
}

static void
finish_body(struct conn *c)
{
	size_t said = buf_len(&c->out);
	bool struck = strike_envelope(c, STEP_DOT);
	bool kept = !struck || buf_len(&c->out) == said;	/* cut or hung after the dot */
	char name[32];

	if (c->high && view_search(view_str(c->params), VIEW("BODY=8BITMIME")) >= strlen(c->params))
		conn_violation(c, "8-bit bytes not declared");
	if (!kept) {
		c->port->count.refused++;
		end_mail(c);
		return;
	}
	if (store_finish(c, !struck, name, sizeof(name)) != 0) {
		reply(c, "451 4.3.0 the sink can't store");
		end_mail(c);
		return;
	}
	c->port->count.received++;
	sink_say(c->port->sink, "received %s %lu %s %s", c->port->name, c->id, name,
	    struck ? "unacknowledged" : "acknowledged");
	if (!struck)
		reply(c, "250 2.0.0 taken as %s", name);
	end_mail(c);
}

/* A line of the message, or a part of one: its first part has begun == false. */
static void
body_line(struct conn *c, struct view v, bool complete)
{
	if (complete && (v.n < 2 || v.p[v.n - 2] != '\r'))
		conn_violation(c, "line of the message without CR");
	for (size_t i = 0; i < v.n; i++) {
		c->high = c->high || v.p[i] >= 0x80;
		if (v.p[i] == '\r' && i + 1 < v.n && v.p[i + 1] != '\n')
			conn_violation(c, "CR within a line of the message");
		if (v.p[i] == 0)
			conn_violation(c, "NUL in the message");
	}
	if (!c->line_begun && v.n > 0 && v.p[0] == '.')
		v = view_from(v, 1);
	store_add(c, v);
	c->line_begun = !complete;
}

static bool
step_body(struct conn *c)
{
	struct view in = buf_view(&c->in);
	size_t taken = 0;
	bool done = false;

	if (in.n == 0)
		return false;
	if (!c->body_begun) {
		c->body_begun = true;
		if (strike_envelope(c, STEP_BODY)) {
			if (!c->dead && !c->hung)
				c->closing = true;
			return true;
		}
	}
	while (taken < in.n && !done) {
		struct view rest = view_from(in, taken);
		size_t end = view_find(rest, '\n');

		if (end == rest.n) {
			/* A part of a long line; its last byte waits, as it may be a CR. */
			if (rest.n >= SINK_INPUT_MAX) {
				body_line(c, view_first(rest, rest.n - 1), false);
				taken += rest.n - 1;
			}
			break;
		}
		rest = view_first(rest, end + 1);
		taken += rest.n;
		done = !c->line_begun && view_eq(rest, VIEW(".\r\n"));
		if (!done)
			body_line(c, rest, true);
	}
	buf_consume(&c->in, taken);
	if (done)
		finish_body(c);
	return taken > 0;
}

bool
smtp_step(struct conn *c)
{
	return c->phase == PH_BODY ? step_body(c) : step_line(c);
}
