/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands of the server: who may come when, and what each does.
 */
#include "smtp/server_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/quote.h"
#include "smtp/dsn.h"
#include "smtp/suspect.h"

#include "base/banned.h"

/* --- HELO, EHLO ---------------------------------------------------------------- */

/* RFC 5321 4.1.4: also in the middle; it clears what there was. */
static bool
hello(struct server *s, struct view args, bool esmtp)
{
	struct view name = view_first(args, view_find(args, ' '));
	char *helo;

	if (name.n == 0 || name.n > HELO_MAX) {
		server_say(s, 501, "5.5.4", "HELO and EHLO want a name of 1 to 255 bytes");
		return false;
	}
	helo = xstrndup(name.p, name.n);
	quote_flatten((uint8_t *)helo, name.n);
	free(s->helo);
	s->helo = helo;
	s->esmtp = esmtp;
	server_forget(s);
	s->state = SV_READY;
	return true;
}

static void
do_helo(struct server *s, struct view args)
{
	if (hello(s, args, false) && !buf_addf(&s->out, "250 %s\r\n", s->params.hostname))
		s->state = SV_CLOSING;
}

static void
do_ehlo(struct server *s, struct view args)
{
	if (hello(s, args, true) && !buf_addf(&s->out,
	    "250-%s\r\n"
	    "250-PIPELINING\r\n"
	    "250-SIZE %" PRIu64 "\r\n"
	    "250-8BITMIME\r\n"
	    "250-CHUNKING\r\n"
	    "250-DSN\r\n"
	    "250-SMTPUTF8\r\n"
	    "250-ENHANCEDSTATUSCODES\r\n"
	    "%s%s"
	    "250 HELP\r\n", s->params.hostname, s->params.size_max,
	    s->params.tls != SERVER_TLS_NONE && !s->secure ? "250-STARTTLS\r\n" : "",
	    s->params.any_login ? "250-AUTH PLAIN LOGIN\r\n" : ""))
		s->state = SV_CLOSING;
}

/* --- addresses and parameters ------------------------------------------------------ */

/*
 * "FROM:<...>" and what follows. Brackets may be missing, and spaces may stand
 * before them: programs do both. False after a refusal was said.
 */
static bool
take_path(struct server *s, struct view *io, struct view keyword, bool is_sender, struct mailbox *out)
{
	const char *status = is_sender ? "5.1.7" : "5.1.3";
	struct view v = *io;
	size_t used;
	int rc;

	if (!view_istarts(v, keyword)) {
		server_say(s, 501, "5.5.4", is_sender ? "Syntax: MAIL FROM:<address>" :
		    "Syntax: RCPT TO:<address>");
		return false;
	}
	v = view_trim(view_from(v, keyword.n));
	if (v.n > 0 && v.p[0] == '<') {
		rc = mailbox_parse_path(out, v, &used, is_sender, NULL);
	} else {
		used = view_find(v, ' ');
		rc = mailbox_parse(out, view_first(v, used), NULL);
	}
	if (rc < 0 || (used < v.n && v.p[used] != ' ')) {
		server_say(s, 501, status, "Malformed address");
		return false;
	}
	if (out->domain.n == 0 && out->whole.n + 1 + strlen(s->params.default_domain) > ADDR_MAX) {
		server_say(s, 501, status, "Address too long");
		return false;
	}
	*io = view_trim(view_from(v, used));
	return true;
}

/* What completes a bare name; nothing for the null sender and whole addresses. */
static struct view
missing_domain(const struct server *s, const struct mailbox *m)
{
	if (m->whole.n == 0 || m->domain.n != 0)
		return VIEW("");
	return view_str(s->params.default_domain);
}

#define SIZE_DIGITS_MAX	20		/* RFC 1870 4 */
#define AUTH_VALUE_MAX	500		/* RFC 4954 5 */

/* A rule of the caller has no place for it: 550 was said. */
static bool
is_refused(struct server *s, const struct mailbox *m, bool is_sender)
{
	struct view domain = missing_domain(s, m);
	char whole[ADDR_MAX + 1], text[SERVER_RULE_MAX];
	int n;

	if (s->params.refuses == NULL)
		return false;
	n = snprintf(whole, sizeof(whole), "%.*s%s%.*s", VIEW_ARG(m->whole), domain.n > 0 ? "@" : "",
	    VIEW_ARG(domain));
	if (!s->params.refuses(s->params.owner, is_sender, n > 0 ? view_str(whole) : VIEW("<>"), text))
		return false;
	server_say_answer(s, &(struct server_answer){ 550, "5.7.1", text });
	return true;
}

/* RFC 6531 3.2: only where the client has said that it knows what it does. */
static bool
check_utf8(struct server *s, const struct mailbox *m, bool utf8)
{
	if (!m->eight_bit || utf8)
		return true;
	server_say(s, 553, "5.6.7", "Addresses with non-ASCII characters need SMTPUTF8");
	return false;
}

/* What MAIL and RCPT say behind the address; views into the line. */
struct params {
	unsigned		 seen;		/* bit i: row i of the table */
	uint64_t		 size;
	enum server_body	 body;
	bool			 utf8;
	struct view		 ret, envid;
	struct server_rcpt	 rcpt;
};

/* Each gives what is wrong with the value, or NULL. */
static const char *
param_size(struct params *p, struct view value)
{
	for (size_t i = 0; i < value.n; i++)
		if (!is_digit(value.p[i]))
			value.n = 0;
	if (value.n == 0 || value.n > SIZE_DIGITS_MAX)
		return "SIZE wants a number";
	/* beyond all numbers is beyond the limit too */
	if (!num_parse_u64(value, 0, UINT64_MAX, &p->size))
		p->size = UINT64_MAX;
	return NULL;
}

static const char *
param_body(struct params *p, struct view value)
{
	if (view_ieq(value, VIEW("8BITMIME")))
		p->body = BODY_8BITMIME;
	else if (!view_ieq(value, VIEW("7BIT")))
		return "BODY wants 7BIT or 8BITMIME";
	return NULL;
}

static const char *
param_utf8(struct params *p, struct view value)
{
	p->utf8 = value.n == 0;
	return p->utf8 ? NULL : "SMTPUTF8 has no value";
}

static const char *
param_ret(struct params *p, struct view value)
{
	p->ret = value;
	return dsn_ret_is_good(value) ? NULL : "RET wants FULL or HDRS";
}

static const char *
param_envid(struct params *p, struct view value)
{
	p->envid = value;
	return dsn_envid_is_good(value) ? NULL : "ENVID wants xtext of 1 to 100 bytes";
}

/* RFC 4954 5: who is said to have sent it first. Nobody asks. */
static const char *
param_auth(struct params *p, struct view value)
{
	return value.n > 0 && value.n <= AUTH_VALUE_MAX ? NULL : "AUTH wants xtext of 1 to 500 bytes";
}

static const char *
param_notify(struct params *p, struct view value)
{
	p->rcpt.notify = value;
	return dsn_notify_is_good(value) ? NULL : "NOTIFY wants NEVER, or some of SUCCESS,FAILURE,DELAY";
}

static const char *
param_orcpt(struct params *p, struct view value)
{
	p->rcpt.orcpt = value;
	return dsn_orcpt_is_good(value, p->utf8) ? NULL : "ORCPT wants type;xtext of at most 500 bytes";
}

struct param {
	struct view	keyword;
	const char	*(*take)(struct params *, struct view value);
};

static const struct param mail_params[] = {
	{ VIEW("SIZE"), param_size },
	{ VIEW("BODY"), param_body },
	{ VIEW("SMTPUTF8"), param_utf8 },
	{ VIEW("RET"), param_ret },
	{ VIEW("ENVID"), param_envid },
	{ VIEW("AUTH"), param_auth },	/* the last: not known where AUTH is not offered */
};

static const struct param rcpt_params[] = {
	{ VIEW("NOTIFY"), param_notify },
	{ VIEW("ORCPT"), param_orcpt },
};

/* The rest of the line. False after a refusal was said. */
static bool
take_params(struct server *s, struct view v, const struct param *known, size_t n, struct params *io)
{
	struct view word;

	while (view_split(&v, ' ', &word)) {
		size_t at = view_find(word, '=');
		const char *wrong;
		size_t i = 0;

		if (word.n == 0)
			continue;
		while (i < n && !view_ieq(view_first(word, at), known[i].keyword))
			i++;
		if (i == n) {
			server_say(s, 555, "5.5.4", "Unknown parameter");
			return false;
		}
		wrong = (io->seen & (1u << i)) != 0 ? "Parameter given twice" :
		    at + 1 == word.n ? "Parameter with = and no value" : known[i].take(io, view_from(word, at + 1));
		if (wrong != NULL) {
			server_say(s, 501, "5.5.4", wrong);
			return false;
		}
		io->seen |= 1u << i;
	}
	return true;
}

/* --- the transaction ------------------------------------------------------------------ */

static void
do_mail(struct server *s, struct view args)
{
	struct params p = { .size = 0 };
	struct mailbox m;

	if (!take_path(s, &args, VIEW("FROM:"), true, &m) ||
	    !take_params(s, args, mail_params, lengthof(mail_params) - !s->params.any_login, &p) || !check_utf8(s, &m, p.utf8))
		return;
	if (s->params.size_max != 0 && p.size > s->params.size_max) {
		server_say(s, 552, "5.3.4", "Message is larger than the limit");
		return;
	}
	if (is_refused(s, &m, true))
		return;
	if (s->policy != NULL) {
		server_say_answer(s, s->policy);
		return;
	}
	server_drop_recipients(s);
	s->over = false;
	if (!recipients_set_from(&s->recipients, m.whole, missing_domain(s, &m), p.envid)) {
		server_say(s, 452, "4.3.1", "Out of memory");
		return;
	}
	s->envelope = (struct server_envelope){ .size = p.size, .body = p.body, .utf8 = p.utf8,
	    .esmtp = s->esmtp };
	if (p.ret.n > 0)
		s->envelope.ret = view_ieq(p.ret, VIEW("FULL")) ? VIEW("FULL") : VIEW("HDRS");
	s->rcpt_seen = false;
	s->state = SV_MAIL;
	server_say(s, 250, "2.1.0", "Sender ok");
}

/* Whether one more of this size may be kept. */
static bool
has_room(struct server *s, const struct mailbox *m, const struct params *p)
{
	size_t more = m->whole.n + 1 + missing_domain(s, m).n + p->rcpt.notify.n + p->rcpt.orcpt.n +
	    sizeof(struct recipient) + sizeof(struct server_rcpt);

	return s->params.keeps == NULL || s->params.keeps(s->params.owner, recipients_size(&s->recipients) + more);
}

static void
do_rcpt(struct server *s, struct view args)
{
	size_t max = s->params.recipients_max != 0 ? s->params.recipients_max : RECIPIENTS_DEFAULT;
	struct params p = { .utf8 = s->envelope.utf8 };
	struct mailbox m;

	s->rcpt_seen = true;
	if (!take_path(s, &args, VIEW("TO:"), false, &m) || !check_utf8(s, &m, p.utf8) ||
	    !take_params(s, args, rcpt_params, lengthof(rcpt_params), &p))
		return;
	if (is_refused(s, &m, false))
		return;
	if (!has_room(s, &m, &p)) {
		server_say(s, 452, "4.3.1", "Too many recipients are coming in at once, try again later");
		return;
	}
	if (recipients_add(&s->recipients, m.whole, missing_domain(s, &m), &p.rcpt, max) == RECIPIENT_NO_ROOM) {
		server_say(s, 452, "4.5.3", "Too many recipients");
		return;
	}
	s->state = SV_RCPT;
	server_say(s, 250, "2.1.5", "Recipient ok");
}

/* The message begins, if the transaction has a recipient. */
static void
start_message(struct server *s)
{
	if (s->state != SV_RCPT && s->rcpt_seen)
		server_say(s, 554, "5.5.1", "No valid recipients");
	else if (s->state != SV_RCPT)
		server_say(s, 503, "5.5.1", "RCPT first");
	else if (!recipients_seal(&s->recipients, &s->envelope))
		server_say(s, 452, "4.3.1", "Out of memory");
	else {
		s->envelope.helo = view_str(s->helo);
		s->state = SV_DATA_WAIT;
	}
}

/* What follows a refused DATA at once is a message that did not wait: not commands. */
static void
do_data(struct server *s, struct view args)
{
	s->chunked = false;
	if (args.n > 0)
		server_say(s, 501, "5.5.4", "DATA has no argument");
	else
		start_message(s);
	if (s->state != SV_DATA_WAIT && s->followed)
		s->state = SV_CLOSING;
}

/*
 * RFC 3030 2: "BDAT" SP chunk-size [SP "LAST"]. False after a refusal. Without a number
 * nobody knows where the chunk ends and commands go on: the session is closed.
 */
static bool
take_chunk_size(struct server *s, struct view args, uint64_t *size, bool *last)
{
	struct view number = view_first(args, view_find(args, ' '));
	struct view rest = view_trim(view_from(args, number.n));

	if (number.n == 0 || !num_parse_u64(number, 0, UINT64_MAX, size)) {
		server_say(s, 501, "5.5.4", "Syntax: BDAT size [LAST]");
		s->state = SV_CLOSING;
		return false;
	}
	*last = view_ieq(rest, VIEW("LAST"));
	if (*last || rest.n == 0)
		return true;
	server_say(s, 501, "5.5.4", "Syntax: BDAT size [LAST]");
	server_forget(s);		/* as in first_chunk() */
	s->skip = *size;
	return false;
}

/*
 * The first chunk of a message. One that is refused is read over, and ends the transaction:
 * those behind it would be a message with a hole.
 */
static void
first_chunk(struct server *s)
{
	if (s->params.size_max != 0 && s->chunk_size > s->params.size_max)
		server_say_answer(s, &server_too_big);
	else
		start_message(s);
	s->chunked = s->state == SV_DATA_WAIT;
	if (!s->chunked) {
		server_forget(s);
		s->skip = s->chunk_size;
	}
}

static void
do_bdat(struct server *s, struct view args)
{
	uint64_t size;
	bool last;

	if (!take_chunk_size(s, args, &size, &last))
		return;
	s->chunk_size = s->chunk_left = size;
	s->chunk_last = last;
	if (s->state != SV_CHUNKS) {
		first_chunk(s);
		return;
	}
	if (s->params.size_max != 0 && s->refusal.code == 0 && size > s->params.size_max - s->received) {
		server_refuse(s, &server_too_big);
		s->abort_due = true;
	}
	s->state = SV_CHUNK;
}

/* --- the others --------------------------------------------------------------------- */

static void
do_rset(struct server *s, struct view args)
{
	if (args.n > 0) {
		server_say(s, 501, "5.5.4", "RSET has no argument");
		return;
	}
	server_forget(s);
	server_say(s, 250, "2.0.0", "Forgotten");
}

static void
do_noop(struct server *s, struct view args)
{
	server_say(s, 250, "2.0.0", "Ok");
}

static void
do_vrfy(struct server *s, struct view args)
{
	if (args.n == 0)
		server_say(s, 501, "5.5.4", "VRFY wants an address");
	else
		server_say(s, 252, "2.0.0", "Not verified; send a message to find out");
}

static void
do_help(struct server *s, struct view args)
{
	server_say(s, 214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
}

static void
do_quit(struct server *s, struct view args)
{
	if (args.n > 0) {
		server_say(s, 501, "5.5.4", "QUIT has no argument");
		return;
	}
	server_say(s, 221, "2.0.0", "Bye");
	s->state = SV_CLOSING;
}

static void
do_not_here(struct server *s, struct view args)
{
	server_say(s, 502, "5.5.1", "Not offered here");
}

/* Between two messages, and after EHLO (RFC 4954 4). */
static void
do_auth(struct server *s, struct view args)
{
	if (!s->params.any_login)
		do_not_here(s, args);
	else if (s->state != SV_READY)
		server_say(s, 503, "5.5.1", s->state == SV_START ? "EHLO first" : "A transaction is open; RSET first");
	else
		server_auth(s, args);
}

/*
 * RFC 3207. Bytes that came behind the command were sent without waiting for the 220: by nobody who
 * means TLS, or by somebody on the way who wants them taken for what is said within it.
 */
static void
do_starttls(struct server *s, struct view args)
{
	if (s->secure) {
		server_say(s, 503, "5.5.1", "TLS is active already");
	} else if (s->params.tls == SERVER_TLS_NONE) {
		do_not_here(s, args);
	} else if (s->state != SV_READY) {
		server_say(s, 503, "5.5.1", s->state == SV_START ? "EHLO first" : "A transaction is open; RSET first");
	} else if (args.n > 0) {
		server_say(s, 501, "5.5.4", "STARTTLS has no argument");
	} else if (s->params.tls_fails) {
		server_say(s, 454, "4.7.0", "TLS is not available for now");
	} else if (s->followed) {
		server_say(s, 503, "5.5.1", "Something came behind STARTTLS in clear");
		s->state = SV_CLOSING;
	} else {
		server_say(s, 220, "2.0.0", "Ready for TLS");
		s->state = SV_TLS_WAIT;
	}
}

#define ST(state)	(1u << SV_##state)
#define GREETED		(ST(READY) | ST(MAIL) | ST(RCPT) | ST(CHUNKS))
#define ANY		(ST(START) | GREETED)

struct command_rule {
	struct view	verb;
	unsigned	states;			/* that admit it */
	const char	*misplaced;		/* said elsewhere, once HELO was said */
	void		(*run)(struct server *, struct view args);
};

static const struct command_rule rules[] = {
	{ VIEW("EHLO"),	ANY,		"",		do_ehlo },
	{ VIEW("HELO"),	ANY,		"",		do_helo },
	{ VIEW("MAIL"),	ST(READY),	"A transaction is open; RSET first", do_mail },
	{ VIEW("RCPT"),	ST(MAIL) | ST(RCPT), "MAIL first", do_rcpt },
	{ VIEW("DATA"),	ST(MAIL) | ST(RCPT), "MAIL first", do_data },
	{ VIEW("BDAT"),	ST(MAIL) | ST(RCPT) | ST(CHUNKS), "MAIL first", do_bdat },
	{ VIEW("RSET"),	ANY,		"",		do_rset },
	{ VIEW("NOOP"),	ANY,		"",		do_noop },
	{ VIEW("VRFY"),	ANY,		"",		do_vrfy },
	{ VIEW("HELP"),	ANY,		"",		do_help },
	{ VIEW("QUIT"),	ANY,		"",		do_quit },
	{ VIEW("STARTTLS"), ANY,	"",		do_starttls },
	{ VIEW("AUTH"),	ANY,		"",		do_auth },
	{ VIEW("EXPN"),	ANY,		"",		do_not_here },
};

static bool
has_control_characters(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x20 || v.p[i] == 0x7f)
			return true;
	return false;
}

/* It is not run; no message behind it must be taken for commands. */
static void
refuse_command(struct server *s, const struct command_rule *rule, struct view args,
    const struct server_answer *why)
{
	uint64_t size;
	bool last;

	if (rule->run == do_bdat) {
		if (!take_chunk_size(s, args, &size, &last))
			return;
		s->skip = size;
	}
	server_say_answer(s, why);
	if (rule->run == do_data && s->followed)
		s->state = SV_CLOSING;		/* as in do_data() */
}

static void
misplaced(struct server *s, const struct command_rule *rule, struct view args)
{
	refuse_command(s, rule, args, &(struct server_answer){ 503, "5.5.1",
	    s->state == SV_START ? "EHLO or HELO first" :
	    s->state == SV_CHUNKS ? "A message is coming in by BDAT; RSET first" : rule->misplaced });
}

/* RFC 3207 4 has the list of what may come before STARTTLS. */
static bool
needs_tls(const struct server *s, const struct command_rule *rule)
{
	return s->params.tls == SERVER_TLS_REQUIRED && !s->secure && rule->run != do_ehlo &&
	    rule->run != do_noop && rule->run != do_starttls && rule->run != do_quit;
}

/* No command. Where something else follows than commands, the session ends. */
static void
refuse_line(struct server *s, struct view line, bool cut, const char *status, const char *why)
{
	server_say(s, 500, status, why);
	if (suspect_is_text(line, cut))
		s->state = SV_CLOSING;
}

static bool
refuse_http(struct server *s, struct view line, bool cut)
{
	if (!suspect_is_http(line, cut))
		return false;
	server_say(s, 554, "5.5.1", "This is SMTP");
	s->state = SV_CLOSING;
	return true;
}

void
server_run_too_long(struct server *s, struct view start)
{
	if (!refuse_http(s, start, true))
		refuse_line(s, start, true, "5.5.2", "Line too long");
}

void
server_run(struct server *s, struct view line)
{
	struct view args = line;
	struct view verb;

	if (refuse_http(s, line, false))
		return;
	if (line.n == 0 || has_control_characters(line)) {
		refuse_line(s, line, false, "5.5.2", line.n == 0 ? "Empty command" :
		    "Control characters in a command");
		return;
	}
	(void)view_split(&args, ' ', &verb);
	args = view_trim(args);
	for (size_t i = 0; i < lengthof(rules); i++) {
		if (!view_ieq(verb, rules[i].verb))
			continue;
		if (needs_tls(s, &rules[i]))
			refuse_command(s, &rules[i], args, &(struct server_answer){ 530, "5.7.0",
			    "Must issue a STARTTLS command first" });
		else if ((rules[i].states & (1u << s->state)) != 0)
			rules[i].run(s, args);
		else
			misplaced(s, &rules[i], args);
		return;
	}
	refuse_line(s, line, false, "5.5.1", "Unknown command");
}
