/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session - one connection to the smarthost: look up, dial, talk, end.
 *
 * smtp/client says what to do; here it is done. Whatever ends a session goes
 * through session_over(), once; the memory stays until session_reap(), so that no
 * caller up the stack holds a freed session.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "net/crypto.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

#define SESSION_INPUT_MAX	16384
#define SESSION_OUTPUT_MAX	131072
#define TLS_ANSWERED		"it sends no greeting, but answers a TLS handshake"

static const struct stream_limits session_limits = { SESSION_INPUT_MAX, SESSION_OUTPUT_MAX };

static void session_drive(struct session *);

static bool
is_probe(const struct session *s)
{
	return s->kind == SESSION_PROBE || s->kind == SESSION_PROBE_LOGIN;
}

/* A probe's time limits: also for mail that has another endpoint to go to, up to the login. */
static bool
is_short(const struct session *s)
{
	return is_probe(s) || (s->hurry && !s->proven);
}

/* --- the end ---------------------------------------------------------------- */

/* An address that accepted and does not serve is tried after the others of the name. */
static bool
blame_address(struct session *s, enum health_class class)
{
	const struct health_class_info *info = health_class_info(class);

	if (s->peer.len == 0 || info->scope != SCOPE_ENDPOINT || info->severity == SEVERITY_NONE || s->own_fault)
		return false;
	address_book_failed(&s->up->addresses, &s->peer, loop_now(s->r->env.loop));
	return true;
}

static void
session_over(struct session *s, enum health_class class, const char *detail)
{
	struct relay *r = s->r;

	if (s->phase == SESSION_OVER)
		return;
	s->phase = SESSION_OVER;
	s->idle = false;
	lookup_cancel(&s->lookup);
	dial_stop(&s->dial);
	timer_cancel(r->env.loop, &s->step);
	timer_cancel(r->env.loop, &s->whole);
	timer_cancel(r->env.loop, &s->age);
	overdue_done(s);
	if (s->d.m != NULL)
		delivery_abandon(s);
	if (s->lost)
		stream_abort(s->stream);
	else
		stream_close(s->stream);
	s->stream = NULL;
	list_remove(&s->link);
	list_push(&r->dead, &s->link);
	if (blame_address(s, class) && s->again && is_probe(s)) {
		prober_again(s);	/* that it is bad was known: how is the port at the others? */
	} else if (class != HEALTH_OK) {
		watch_note(s, class, detail);
	}
	if (is_probe(s))
		prober_ended(s, class, detail);
	else
		pool_ended(s, class);
	task_post(r->env.loop, &r->reap);
}

/* The connection is gone, or we have lost patience: the machine hears of it. */
static void
session_lose(struct session *s, enum health_class class, const char *why)
{
	if (s->phase == SESSION_OVER || s->lost)
		return;
	s->lost = true;
	s->lost_class = class;
	snprintf(s->lost_text, sizeof(s->lost_text), "%s", why);
	if (s->client == NULL) {
		session_over(s, class, s->lost_text);
		return;
	}
	client_eof(s->client);
	session_drive(s);
}

void
session_abort(struct session *s, enum health_class class, const char *why)
{
	session_lose(s, class, why);
}

/* --- output ------------------------------------------------------------------ */

bool
session_flush(struct session *s)
{
	struct buf *out = client_output(s->client);
	bool secret = client_output_is_secret(s->client);
	size_t n = buf_len(out);

	if (s->stream == NULL || s->lost) {
		buf_clear(out);
		return true;
	}
	if (n > stream_output_room(s->stream))
		n = stream_output_room(s->stream);
	if (n != 0) {
		if (weird(!stream_write(s->stream, view_first(buf_view(out), n))))
			return false;
		buf_consume(out, n);
	}
	if (buf_len(out) != 0)
		return false;
	if (secret)
		buf_wipe(out);
	return true;
}

/* --- time --------------------------------------------------------------------- */

static const char *
waiting_for(enum client_state at)
{
	switch (at) {
	case CL_GREETING:
		return "greeting";
	case CL_DOT:
		return "reply to the final dot";
	default:
		return client_state_word(at);
	}
}

/*
 * A port that expects TLS from the first byte is as silent as a dead one. So who got no greeting
 * begins a handshake in place of going: if it is answered, the mode is wrong.
 */
static bool
ask_for_tls(struct session *s, enum client_state at)
{
	if (at != CL_GREETING || s->tls_begun || stream_input(s->stream).n != 0 ||
	    s->up->conf->endpoint[s->endpoint].tls != CONF_TLS_STARTTLS)
		return false;
	s->tls_begun = s->asks_for_tls = true;
	timer_set(s->r->env.loop, &s->step, ASK_TLS_MS);
	stream_start_tls(s->stream, s->up->tls, s->up->conf->host);
	return true;
}

static void
on_step_timeout(void *arg)
{
	struct session *s = arg;
	enum client_state at = CL_CLOSED;
	char why[120];

	if (s->phase == SESSION_LOOKUP) {
		session_lose(s, HEALTH_DNS_FAIL, "the name server does not answer");
		return;
	}
	if (s->phase == SESSION_DIAL) {
		lookup_doubt(&s->up->lookup);
		session_lose(s, HEALTH_FILTERED, "no answer to connect");
		return;
	}
	if (s->parked) {
		session_lose(s, HEALTH_OK, "another session's login took too long");
		return;
	}
	at = client_state(s->client);
	if (ask_for_tls(s, at))
		return;
	snprintf(why, sizeof(why), "no answer in time: %s", waiting_for(at));
	session_lose(s, outcome_of_timeout(at), why);
}

static void
on_whole_timeout(void *arg)
{
	session_lose(arg, HEALTH_CUT_BEFORE_DOT, "the transaction took too long");
}

void
session_set_age(struct session *s)
{
	const struct conf_relay *up = s->up->conf;
	struct loop *loop = s->r->env.loop;
	int64_t ms = s->started_ms + up->connection_age_ms - loop_now(loop);

	if (s->idle && up->idle_ms < ms)
		ms = up->idle_ms;
	timer_set(loop, &s->age, ms);
}

static void
on_age(void *arg)
{
	struct session *s = arg;

	s->retire = true;
	if (s->idle)
		session_quit(s);
}

static int64_t
step_limit(const struct session *s, enum client_state at)
{
	int64_t ms = client_deadline_ms(s->client);
	int64_t probe_ms;

	if (at == CL_RCPT || at == CL_MAIL)
		ms += (int64_t)s->d.n * RCPT_EXTRA_MS;
	if (!is_short(s))
		return ms;
	probe_ms = at == CL_GREETING ? PROBE_BANNER_MS : at == CL_QUIT ? PROBE_QUIT_MS : PROBE_STEP_MS;
	return at == CL_AUTH || at == CL_AUTH_NEXT || ms < probe_ms ? ms : probe_ms;
}

/* One timer for each thing awaited: it is not put off by single bytes that arrive. */
static void
session_arm(struct session *s)
{
	struct loop *loop = s->r->env.loop;
	enum client_state at = client_state(s->client);

	if (s->at != at)
		overdue_heard(s);
	if (s->idle || s->parked || client_deadline_ms(s->client) == 0) {
		s->at = at;		/* nothing is awaited: the time from here on is nobody's */
		return;
	}
	if (timer_is_set(&s->step) && s->at == at)
		return;
	s->at = at;
	overdue_await(s);
	timer_set(loop, &s->step, step_limit(s, at));
	if (at == CL_MAIL && !timer_is_set(&s->whole))
		timer_set(loop, &s->whole, TRANSACTION_MS +
		    (int64_t)(s->d.m->size / TRANSACTION_BYTES_PER_MS));
	else if (at == CL_DOT)
		timer_cancel(loop, &s->whole);
}

void
session_touch(struct session *s)
{
	timer_cancel(s->r->env.loop, &s->step);
}

/* --- what the machine asks for ------------------------------------------------ */

/* Ready but for the login: the first chance to stop without having said who we are. */
static bool
session_proven(struct session *s)
{
	if (s->proven)
		return true;
	s->proven = true;
	address_book_served(&s->up->addresses, &s->peer);
	s->ready_ms = loop_now(s->r->env.loop) - s->started_ms;
	return is_probe(s) || pool_proven(s);
}

static bool
session_login(struct session *s)
{
	/* Each step of a login asks for the credentials. */
	if (!s->logging_in && (!session_proven(s) || !pool_login_gate(s)))
		return false;
	s->logging_in = true;
	client_login(s->client, &(struct sasl_login){ .user = view_str(s->up->conf->user),
		.secret = view_of(s->up->secret, s->up->nsecret), .crypto = &crypto_openssl });
	return true;
}

static void
session_ready(struct session *s)
{
	s->ready = true;
	if (s->logging_in) {
		s->logging_in = false;
		s->logged_in = true;
		pool_login_done(s, LOGIN_WORKED);
	}
	if (!is_probe(s))
		session_set_age(s);
}

/* True: go on at once. */
static bool
session_idle(struct session *s)
{
	if (!session_proven(s))
		return false;
	if (!s->ready)
		session_ready(s);
	timer_cancel(s->r->env.loop, &s->step);
	timer_cancel(s->r->env.loop, &s->whole);
	if (s->lost || s->quitting)
		return false;
	if (s->d.m == NULL && !pool_idle(s))
		return s->quitting;
	return delivery_send(s);
}

enum health_class
session_class(const struct session *s)
{
	return s->lost ? s->lost_class : outcome_of_failure(client_failure(s->client));
}

static void
session_failed(struct session *s)
{
	const struct client_failure *f = client_failure(s->client);
	enum health_class class = session_class(s);
	char detail[HEALTH_DETAIL_MAX];

	if (f->fault == FAULT_INJECTED &&
	    s->up->conf->endpoint[s->endpoint].tls == CONF_TLS_IMPLICIT)
		class = HEALTH_WANTS_STARTTLS;	/* it greeted in clear before we said anything */
	if (s->lost)
		snprintf(detail, sizeof(detail), "%s", s->lost_text);
	else if (f->reply.code != 0)
		snprintf(detail, sizeof(detail), "%d %s%s%.150s%s", f->reply.code, f->reply.status,
		    f->reply.status[0] != '\0' ? " " : "", f->reply.text, remark_how(s));
	else
		snprintf(detail, sizeof(detail), "%s", f->detail);
	if (s->quitting)
		class = HEALTH_OK;
	if (s->logging_in)
		pool_login_done(s, !s->lost && health_class_info(class)->scope == SCOPE_ACCOUNT ?
		    LOGIN_JUDGED : LOGIN_UNJUDGED);
	else if (health_is_unjudged(class))
		class = HEALTH_CUT_BEFORE_DOT;		/* it was to be sent next */
	s->logging_in = false;
	s->failed_at = outcome_mail_step(f->state);
	watch_blame(s, class);		/* a 421 that was a reply to the message as well */
	session_over(s, class, detail);
}

/* One action. False: nothing more to do until something happens. */
static bool
session_act(struct session *s, enum client_action action)
{
	switch (action) {
	case CLIENT_WANT_INPUT:
		if (is_probe(s) && client_state(s->client) == CL_QUIT && !s->ready) {
			(void)session_proven(s);
			session_ready(s);
		}
		(void)session_flush(s);		/* what is left goes out when the stream has drained */
		return false;
	case CLIENT_NEED_TLS:
		(void)session_flush(s);
		if (s->tls_begun)
			return false;
		s->tls_begun = true;
		stream_start_tls(s->stream, s->up->tls, s->up->conf->host);
		return false;
	case CLIENT_NEED_LOGIN:
		return session_login(s);
	case CLIENT_IDLE:
		if (session_idle(s))
			return true;
		(void)session_flush(s);
		return false;
	case CLIENT_NEED_BODY:
		return delivery_body(s);
	case CLIENT_RESULT:
		delivery_result(s);
		return true;
	case CLIENT_FAILED:
		(void)session_flush(s);
		session_failed(s);
		return false;
	case CLIENT_CLOSE:
		(void)session_flush(s);
		session_over(s, HEALTH_OK, "");
		return false;
	}
	return false;
}

static void
session_drive(struct session *s)
{
	bool more = true;

	if (s->driving || s->phase != SESSION_TALK)
		return;
	s->driving = true;
	while (more && s->phase == SESSION_TALK) {
		struct view in = s->stream != NULL ? stream_input(s->stream) : view_of(NULL, 0);
		size_t used = 0;
		enum client_action action = client_step(s->client, in, &used);

		if (used != 0)
			stream_consume(s->stream, used);
		more = session_act(s, action);
	}
	if (s->phase == SESSION_TALK) {
		(void)session_flush(s);
		session_arm(s);
	}
	life_phase(s);
	s->driving = false;
}

void
session_resume(struct session *s)
{
	session_drive(s);
}

void
session_park(struct session *s, int64_t ms)
{
	s->parked = true;
	timer_set(s->r->env.loop, &s->step, ms);
}

void
session_unpark(struct session *s)
{
	if (!s->parked)
		return;
	s->parked = false;
	timer_cancel(s->r->env.loop, &s->step);
	session_drive(s);
}

void
session_quit(struct session *s)
{
	s->retire = true;
	if (s->phase == SESSION_OVER || s->quitting)
		return;
	s->quitting = true;
	s->parked = false;
	if (s->phase != SESSION_TALK || !s->ready) {
		/* The machine can't say it here; the words are the same. */
		if (s->stream == NULL || !s->proven || !stream_write(s->stream, VIEW("QUIT\r\n")))
			s->lost = true;		/* nobody to say it to */
		session_over(s, HEALTH_OK, "");
		return;
	}
	s->idle = false;
	timer_cancel(s->r->env.loop, &s->age);
	client_quit(s->client);
	session_drive(s);
}

/* --- events -------------------------------------------------------------------- */

static void
on_input(void *owner)
{
	session_drive(owner);
}

static void
on_drained(void *owner)
{
	struct session *s = owner;

	if (s->client != NULL && client_state(s->client) == CL_BODY)
		session_touch(s);
	session_drive(s);
}

static void
on_tls(void *owner)
{
	struct session *s = owner;

	if (s->asks_for_tls) {
		session_lose(s, HEALTH_WANTS_IMPLICIT, TLS_ANSWERED);
		return;
	}
	watch_tls(s);
	client_tls_ready(s->client);
	session_drive(s);
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	struct session *s = owner;

	s->retire = s->closed = true;
	remark_issuer(s, end->issuer);
	if (s->asks_for_tls) {
		session_lose(s, outcome_of_tls_question(end), outcome_of_tls_question(end) == HEALTH_NO_BANNER ?
		    "no answer in time: greeting" : TLS_ANSWERED);
		return;
	}
	session_drive(s);	/* what was said before the end counts */
	if (s->phase == SESSION_OVER)
		return;
	session_lose(s, outcome_of_end(end, client_state(s->client)),
	    end->text[0] != '\0' ? end->text : "the connection was closed");
}

static void
on_stuck(void *owner, bool stuck)
{
	overdue_stuck(owner, stuck);
}

static void
on_connected(void *owner)
{
}

static const struct stream_events session_events = {
	.on_connected = on_connected,
	.on_input = on_input,
	.on_drained = on_drained,
	.on_tls = on_tls,
	.on_closed = on_closed,
	.on_stuck = on_stuck,
};

static void
session_talk(struct session *s)
{
	const struct conf_relay *up = s->up->conf;
	enum conf_tls tls = up->endpoint[s->endpoint].tls;
	struct client_params p = {
		.ehlo_name = s->r->conf->hostname,
		.tls = tls == CONF_TLS_IMPLICIT ? CLIENT_TLS_IMPLICIT :
		    tls == CONF_TLS_STARTTLS ? CLIENT_TLS_STARTTLS : CLIENT_TLS_NONE,
		.mechanisms = up->mechanisms,
		.probe = is_probe(s),
		.probe_login = s->kind == SESSION_PROBE_LOGIN,
	};

	s->phase = SESSION_TALK;
	s->client = client_new(&p);
	session_drive(s);
}

static void
on_dialled(void *owner, struct stream *stream, const struct address *a,
    const struct stream_end *end)
{
	struct session *s = owner;

	timer_cancel(s->r->env.loop, &s->step);
	if (stream == NULL) {
		lookup_doubt(&s->up->lookup);
		session_lose(s, outcome_of_end(end, CL_CLOSED), end->text);
		return;
	}
	s->peer = *a;
	s->again = s->up->lookup.n > 1 && address_book_is_bad(&s->up->addresses, a);
	s->stream = stream;
	stream_own(stream, &session_events, s);
	session_talk(s);
}

static void
session_dial(struct session *s)
{
	const struct lookup *l = &s->up->lookup;

	s->phase = SESSION_DIAL;
	upstream_check_trust(s->up);
	life_phase(s);
	watch_dials(s);
	s->started_ms = loop_now(s->r->env.loop);
	timer_set(s->r->env.loop, &s->step, is_short(s) ? PROBE_CONNECT_MS : CONNECT_MS);
	dial_start(&s->dial, l->address, l->n, s->up->conf->endpoint[s->endpoint].port, is_probe(s));
}

static void
on_lookup(void *owner, enum resolve_result result, const char *why)
{
	struct session *s = owner;

	if (result == RESOLVE_OK)
		session_dial(s);
	else
		session_lose(s, outcome_of_lookup(result), why != NULL ? why : "");
}

/* --- life ---------------------------------------------------------------------- */

struct session *
session_new(struct upstream *u, size_t endpoint, enum session_kind kind)
{
	struct session *s = xzalloc(sizeof(*s));
	struct relay *r = u->r;

	require(!staging_is_on(r));	/* nothing leaves: no caller gets here then */
	s->r = r;
	s->up = u;
	s->endpoint = endpoint;
	s->kind = kind;
	s->hurry = kind != SESSION_MAIL || pool_has_choice(u);
	s->ready_ms = -1;
	s->started_ms = s->spends_since_ms = loop_now(r->env.loop);
	s->spends = PHASE_LOOKUP;
	s->chosen = kind == SESSION_RACE ? "race" : "probe";
	list_init(&s->link);
	list_push(&u->sessions, &s->link);
	timer_init(&s->step, on_step_timeout, s);
	timer_init(&s->whole, on_whole_timeout, s);
	overdue_init(s);
	timer_init(&s->age, on_age, s);
	lookup_wait_init(&s->lookup, on_lookup, s);
	dial_init(&s->dial, r->env.net, &u->addresses, &session_limits, on_dialled, s);
	timer_set(r->env.loop, &s->step, is_short(s) ? PROBE_LOOKUP_MS : LOOKUP_MS);
	if (lookup_ask(&u->lookup, &s->lookup))
		session_dial(s);
	return s;
}

void
session_failed_by_us(struct session *s)
{
	client_body_abort(s->client);
	s->lost = true;
	s->lost_class = HEALTH_OK;
	snprintf(s->lost_text, sizeof(s->lost_text), "the stored message can't be read");
}

void
session_free(struct session *s)
{
	struct loop *loop = s->r->env.loop;

	timer_cancel(loop, &s->step);
	timer_cancel(loop, &s->late_reply);
	timer_cancel(loop, &s->whole);
	timer_cancel(loop, &s->age);
	lookup_cancel(&s->lookup);
	dial_stop(&s->dial);
	stream_abort(s->stream);
	client_free(s->client);
	spool_reader_free(s->d.reader);
	free(s->d.index);
	free(s->d.rcpt);
	free(s->d.result);
	list_remove(&s->link);
	free(s);
}

void
session_reap(struct relay *r)
{
	list_foreach_safe(link, &r->dead) {
		struct session *s = list_entry(link, struct session, link);

		if (!s->mark_pending && !s->driving)
			session_free(s);
	}
}
