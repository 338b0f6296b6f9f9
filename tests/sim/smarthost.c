/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/smarthost.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/require.h"

#include "base/banned.h"

#define TEXT_MAX (64u << 20)

enum pace { NORMAL, DRIPS, SIPS, THINKS };

struct conn {
	struct list	 link;
	struct smarthost *host;
	struct stream	*stream;
	bool		 tls, body, mute;
	enum pace	 pace;
	struct timer	 tick;		/* of a pace that is not normal */
	bool		 thought;	/* about what is answered next */
	bool		 greeted;
	unsigned	 dripped;
	int		 words;		/* of AUTH LOGIN still to come */
	struct taken	*mail;
	struct taken	*told;		/* its 250 was the last thing we said */
	struct fault	 scripted;
};

static void conn_run(struct conn *);
static void greet(struct conn *);

unsigned
taken_number(const struct taken *t, struct view word)
{
	struct view rest = buf_view(&t->text), digits;
	uint64_t n = 0;

	rest = view_from(rest, view_search(rest, word) + word.n);
	require(view_split(&rest, '.', &digits) && num_parse_u64(digits, 0, UINT32_MAX, &n));
	return (unsigned)n;
}

static void
taken_free(struct taken *t)
{
	if (t == NULL)
		return;
	free(t->from);
	free(t->rcpts);
	buf_done(&t->text);
	free(t);
}

static void
conn_free(struct conn *c, bool abort)
{
	if (abort)
		stream_abort(c->stream);
	else
		stream_close(c->stream);
	timer_cancel(c->host->net->net.loop, &c->tick);
	taken_free(c->mail);
	list_remove(&c->link);
	free(c);
}

static void
write_out(struct conn *c, const char *text)
{
	require(stream_write(c->stream, view_str(text)));
}

static void
say(struct conn *c, const char *text)
{
	write_out(c, text);
	write_out(c, "\r\n");
}

static bool
contains(struct view v, const char *needle)
{
	return view_search(v, view_str(needle)) < v.n;
}

static struct fault *
fault_at(struct conn *c, enum step at, struct view line)
{
	struct smarthost *h = c->host;

	if (h->script != NULL && h->script->fault(h->script_arg, h, at, line, &c->scripted))
		return &c->scripted;
	for (size_t i = 0; i < FAULTS_MAX; i++) {
		struct fault *f = &h->fault[i];

		if (f->at != at || f->times == 0 || (f->match != NULL && !contains(line, f->match)))
			continue;
		if (f->percent != 0 && rng_below(&h->rng, 100) >= f->percent)
			continue;
		if (f->times > 0)
			f->times--;
		return f;
	}
	return NULL;
}

#define DRIP_MS	1000
#define SIP_MS	2500

static void
tick(struct conn *c, enum pace pace)
{
	static const int64_t ms[] = { [DRIPS] = DRIP_MS, [SIPS] = SIP_MS };

	c->mute = true;
	c->pace = pace;
	timer_set(c->host->net->net.loop, &c->tick, pace == THINKS ? c->host->think_ms : ms[pace]);
}

/* The timer of a connection that is not as quick as it could be. */
static void
on_tick(void *arg)
{
	static const char lines[] = "250-still here\r\n";
	struct conn *c = arg;
	struct view byte = view_of(lines + c->dripped++ % (sizeof(lines) - 1), 1);

	if (c->pace == DRIPS) {
		tick(c, DRIPS);
		require(stream_write(c->stream, byte));
		return;
	}
	c->mute = false;
	if (c->pace == SIPS) {
		tick(c, SIPS);
		c->mute = false;
		conn_run(c);
		return;
	}
	c->pace = NORMAL;
	c->thought = true;
	if (c->greeted)
		conn_run(c);
	else
		greet(c);
}

enum went { WENT_ON, WENT_WRONG, WENT_AWAY };

/* Apply the step's fault: WENT_ON if there is none; WENT_AWAY: c is freed. */
static enum went
apply_fault(struct conn *c, const struct fault *f)
{
	if (f == NULL)
		return WENT_ON;
	switch (f->what) {
	case SAY:
		say(c, f->reply);
		return WENT_WRONG;
	case DEAF:
		stream_pause(c->stream, true);
		c->mute = true;
		return WENT_WRONG;
	case MUTE:
	case TAKE_SILENTLY:
		c->mute = true;
		return WENT_WRONG;
	case DRIP:
	case SIP:
		tick(c, f->what == SIP ? SIPS : DRIPS);
		return WENT_WRONG;
	case CUT:
	case TAKE_AND_CUT:
		conn_free(c, true);
		return WENT_AWAY;
	}
	return WENT_ON;
}

static enum went
meet_fault(struct conn *c, enum step at, struct view line)
{
	return apply_fault(c, fault_at(c, at, line));
}

/* --- commands ------------------------------------------------------------------- */

static void
keep(struct conn *c)
{
	struct smarthost *h = c->host;

	c->mail->at_ms = loop_now(h->net->net.loop);
	list_push(&h->taken, &c->mail->link);
	h->ntaken++;
	c->mail = NULL;
}

/* False: c is gone. */
static bool
end_of_text(struct conn *c)
{
	struct fault *f = fault_at(c, AT_DOT, view_str(c->mail->from));

	c->body = false;
	if (f != NULL && (f->what == TAKE_AND_CUT || f->what == TAKE_SILENTLY))
		keep(c);
	switch (apply_fault(c, f)) {
	case WENT_ON:
		c->told = c->mail;
		keep(c);
		say(c, "250 2.0.0 taken");
		return true;
	case WENT_WRONG:
		taken_free(c->mail);
		c->mail = NULL;
		return true;
	case WENT_AWAY:
		break;
	}
	return false;
}

static bool
text_line(struct conn *c, struct view line)
{
	if (view_eq(line, VIEW(".")))
		return end_of_text(c);
	if (line.n != 0 && line.p[0] == '.')
		line = view_from(line, 1);
	require(buf_add(&c->mail->text, line) && buf_add(&c->mail->text, VIEW("\r\n")));
	return true;
}

static void
add_rcpt(struct conn *c, struct view line)
{
	struct view path = view_from(line, view_find(line, '<') + 1);
	size_t before = strlen(c->mail->rcpts), n = view_find(path, '>');

	c->mail->rcpts = xrealloc(c->mail->rcpts, before + n + 2);
	memcpy(c->mail->rcpts + before, path.p, n);
	memcpy(c->mail->rcpts + before + n, " ", 2);
}

static void
begin_mail(struct conn *c, struct view line)
{
	struct view path = view_from(line, view_find(line, '<') + 1);

	taken_free(c->mail);
	c->mail = xzalloc(sizeof(*c->mail));
	c->mail->from = xstrndup(path.p, view_find(path, '>'));
	c->mail->rcpts = xstrdup(" ");
	buf_init(&c->mail->text, TEXT_MAX);
	list_init(&c->mail->link);
	c->host->transactions++;
}

static void
say_offers(struct conn *c)
{
	const struct smarthost *h = c->host;

	bool starttls = !c->tls && !h->implicit && !h->no_starttls;
	bool auth = (c->tls || h->careless) && !h->no_auth;

	write_out(c, "250-twin.example greets you\r\n");
	if (starttls)
		write_out(c, "250-STARTTLS\r\n");
	if (auth) {
		write_out(c, "250-AUTH ");
		write_out(c, h->mechanisms != NULL ? h->mechanisms : "PLAIN LOGIN");
		write_out(c, "\r\n");
	}
	write_out(c, "250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 52428800\r\n250 ENHANCEDSTATUSCODES\r\n");
}

static bool
log_in(struct conn *c, struct view line)
{
	enum went went;

	c->host->logins++;
	c->host->secrets_in_clear += !c->tls;
	snprintf(c->host->login, sizeof(c->host->login), "%.*s", VIEW_ARG(line));
	went = meet_fault(c, AT_AUTH, line);
	if (went == WENT_ON)
		say(c, "235 2.7.0 welcome");
	return went != WENT_AWAY;
}

static bool
mail_command(struct conn *c, struct view line)
{
	enum step at = view_starts(line, VIEW("MAIL")) ? AT_MAIL :
	    view_starts(line, VIEW("RCPT")) ? AT_RCPT : AT_DATA;
	enum went went = meet_fault(c, at, line);

	if (went != WENT_ON)
		return went != WENT_AWAY;
	if (at == AT_MAIL) {
		begin_mail(c, line);
		say(c, "250 2.1.0 ok");
	} else if (c->mail == NULL) {
		say(c, "503 5.5.1 MAIL first");
	} else if (at == AT_RCPT) {
		add_rcpt(c, line);
		say(c, "250 2.1.5 ok");
	} else if (strcmp(c->mail->rcpts, " ") == 0) {
		say(c, "554 5.5.1 no valid recipients");
	} else {
		c->body = true;
		say(c, "354 go on");
		return meet_fault(c, AT_BODY, line) != WENT_AWAY;
	}
	return true;
}

/* False: c is gone. */
static bool
command(struct conn *c, struct view line)
{
	enum went went;

	if (view_starts(line, VIEW("EHLO "))) {
		went = meet_fault(c, AT_EHLO, line);
		if (went == WENT_ON)
			say_offers(c);
		return went != WENT_AWAY;
	}
	if (view_eq(line, VIEW("STARTTLS"))) {
		went = meet_fault(c, AT_STARTTLS, line);
		if (went == WENT_ON)
			say(c, "220 2.0.0 begin");
		return went != WENT_AWAY;
	}
	if (view_starts(line, VIEW("AUTH ")))
		return log_in(c, line);
	if (view_starts(line, VIEW("MAIL FROM:")) || view_starts(line, VIEW("RCPT TO:")) ||
	    view_eq(line, VIEW("DATA")))
		return mail_command(c, line);
	if (view_eq(line, VIEW("QUIT"))) {
		c->host->quits++;
		say(c, "221 2.0.0 bye");
		conn_free(c, false);
		return false;
	}
	if (view_eq(line, VIEW("RSET"))) {
		taken_free(c->mail);
		c->mail = NULL;
		say(c, "250 2.0.0 ok");
		return true;
	}
	say(c, "500 5.5.1 what?");
	return true;
}

/* True: later. */
static bool
must_think(struct conn *c, struct view line)
{
	const struct smarthost *h = c->host;

	if (h->think_ms == 0 || c->thought || c->body || c->pace != NORMAL ||
	    (h->think_of != NULL && !contains(line, h->think_of)))
		return false;
	tick(c, THINKS);
	return true;
}

static void
conn_run(struct conn *c)
{
	for (;;) {
		struct view in = stream_input(c->stream);
		size_t n = view_search(in, VIEW("\r\n"));
		uint8_t *line;
		bool alive;

		if (n >= in.n || c->mute)
			return;
		if (must_think(c, view_first(in, n)))
			return;
		if (c->told != NULL)
			c->told->certain = true;
		c->told = NULL;
		line = xzalloc(n + 1);
		memcpy(line, in.p, n);
		stream_consume(c->stream, n + 2);
		alive = c->body ? text_line(c, view_of(line, n)) : command(c, view_of(line, n));
		free(line);
		if (!alive)
			return;
		c->thought = false;
		c->mute = c->mute || c->pace == SIPS;
	}
}

/* --- connections -------------------------------------------------------------------- */

static void
greet(struct conn *c)
{
	if (must_think(c, VIEW("")))
		return;
	c->greeted = true;
	c->thought = false;
	if (meet_fault(c, AT_GREETING, VIEW("")) == WENT_ON)
		say(c, "220 twin.example ESMTP");
}

static void
on_input(void *owner)
{
	conn_run(owner);
}

static void
on_tls(void *owner)
{
	struct conn *c = owner;

	c->tls = true;
	if (c->host->implicit)
		greet(c);
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	conn_free(owner, true);
}

static const struct stream_events conn_events = {
	.on_input = on_input,
	.on_tls = on_tls,
	.on_closed = on_closed,
};

static void
on_accept(void *arg, struct twin_endpoint *ep, struct stream *s)
{
	struct smarthost *h = arg;
	struct conn *c = xzalloc(sizeof(*c));

	if (h->wrap != NULL)
		s = h->wrap(h->wrap_arg, ep, s);
	c->host = h;
	c->stream = s;
	list_init(&c->link);
	timer_init(&c->tick, on_tick, c);
	list_push(&h->conns, &c->link);
	h->sessions++;
	stream_own(s, &conn_events, c);
	if (!h->implicit)
		greet(c);
}

void
smarthost_init(struct smarthost *h, struct twin_net *net, const char *address, bool implicit)
{
	*h = (struct smarthost){ .net = net, .implicit = implicit };
	rng_init(&h->rng, 587);
	list_init(&h->conns);
	list_init(&h->taken);
	h->ep = twin_net_endpoint(net, address);
	h->ep->on_accept = on_accept;
	h->ep->arg = h;
	h->ep->delay_ms = 10;
}

void
smarthost_done(struct smarthost *h)
{
	list_foreach_safe(link, &h->conns)
		conn_free(list_entry(link, struct conn, link), true);
	list_foreach_safe(link, &h->taken) {
		list_remove(link);
		taken_free(list_entry(link, struct taken, link));
	}
}

void
smarthost_fault(struct smarthost *h, struct fault f)
{
	for (size_t i = 0; i < FAULTS_MAX; i++)
		if (h->fault[i].times == 0) {
			h->fault[i] = f;
			return;
		}
	require_failed("a place for one more fault", __FILE__, __LINE__);
}

void
smarthost_heal(struct smarthost *h)
{
	memset(h->fault, 0, sizeof(h->fault));
	h->no_starttls = h->no_auth = false;
	h->mechanisms = NULL;
	h->ep->mode = TWIN_ACCEPT;
	h->ep->tls = STREAM_EOF;
}

unsigned
smarthost_count(const struct smarthost *h, const char *text)
{
	unsigned n = 0;

	list_foreach(link, &h->taken)
		n += contains(buf_view(&list_entry(link, struct taken, link)->text), text);
	return n;
}
