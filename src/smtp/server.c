/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "base/require.h"
#include "smtp/server_private.h"

#include "base/banned.h"

#define OUTPUT_HIGH	16384u		/* with more unwritten replies than this no command is taken */
#define OUTPUT_SLACK	4096		/* one command's replies beyond it, and the 421 */
#define KEEP_IDLE	512		/* memory of an empty buffer */

const struct server_answer server_too_big = { 552, "5.3.4", "Message is larger than the limit" };
static const struct server_answer has_nul = { 554, "5.6.0", "Message contains NUL bytes" };

/* --- replies ---------------------------------------------------------------- */

static void
put(struct server *s, int code, const char *status, const char *text)
{
	if (!buf_addf(&s->out, "%d %s %s\r\n", code, status, text))
		s->state = SV_CLOSING;	/* no memory: nothing is left to say */
	if (code == 421)
		s->state = SV_CLOSING;
}

void
server_say(struct server *s, int code, const char *status, const char *text)
{
	unsigned max = s->params.errors_max != 0 ? s->params.errors_max : ERRORS_DEFAULT;

	if (code >= 500 && ++s->errors > max)
		put(s, 421, "4.7.0", "Too many refused commands");
	else
		put(s, code, status, text);
}

void
server_say_answer(struct server *s, const struct server_answer *a)
{
	char text[ANSWER_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s", a->text);
	quote_flatten((uint8_t *)text, strlen(text));
	server_say(s, a->code, a->status, text);
}

void
server_forget(struct server *s)
{
	if (s->state == SV_CHUNKS)
		s->abort_due = true;
	s->over = true;
	if (s->state != SV_START && s->state != SV_CLOSING)
		s->state = SV_READY;
}

void
server_drop_recipients(struct server *s)
{
	recipients_reset(&s->recipients);
	if (s->params.keeps != NULL)
		(void)s->params.keeps(s->params.owner, 0);	/* less than before */
}

/* --- message ---------------------------------------------------------------- */

void
server_refuse(struct server *s, const struct server_answer *a)
{
	struct kept_answer *k = &s->refusal;

	if (k->code != 0)		/* the first reason stands */
		return;
	k->code = a->code;
	(void)snprintf(k->status, sizeof(k->status), "%s", a->status);
	(void)snprintf(k->text, sizeof(k->text), "%s", a->text);
}

/* True if there is an action for the caller. */
static bool
end_of_data(struct server *s, struct server_event *ev, enum server_action *action)
{
	struct kept_answer *k = &s->refusal;

	if (k->code == 0) {
		s->state = SV_COMMIT_WAIT;
		ev->eight_bit = s->dot.eight_bit;
		*action = SERVER_COMMIT;
		return true;
	}
	s->state = SV_READY;
	server_say_answer(s, &(struct server_answer){ k->code, k->status, k->text });
	server_forget(s);
	return false;
}

/* What was decoded, to the caller, unless the message is refused. True if there is an action. */
static bool
give_text(struct server *s, struct view slice, struct server_event *ev, enum server_action *action)
{
	if (s->refusal.code != 0)
		return false;
	s->received += slice.n;
	*action = SERVER_ABORT;
	if (s->dot.nul) {
		server_refuse(s, &has_nul);
		return true;
	}
	if (s->params.size_max != 0 && s->received > s->params.size_max) {
		server_refuse(s, &server_too_big);
		return true;
	}
	*action = SERVER_BODY;
	ev->body = slice;
	return slice.n > 0;
}

static bool
take_body(struct server *s, struct view in, size_t *used, struct server_event *ev,
    enum server_action *action)
{
	struct view slice;

	if (dot_decode(&s->dot, in, used, &slice))
		return end_of_data(s, ev, action);
	return give_text(s, slice, ev, action);
}

/* RFC 3030 2: each chunk has its reply; the reply to the last one is the caller's answer. */
static bool
end_of_chunk(struct server *s, struct server_event *ev, enum server_action *action)
{
	struct view slice;
	char text[40];

	if (s->refusal.code != 0)
		return end_of_data(s, ev, action);
	if (s->chunk_last) {
		slice = dot_decode_end(&s->dot);
		return slice.n > 0 ? give_text(s, slice, ev, action) : end_of_data(s, ev, action);
	}
	s->state = SV_CHUNKS;
	(void)snprintf(text, sizeof(text), "%" PRIu64 " bytes taken", s->chunk_size);
	server_say(s, 250, "2.0.0", text);
	return false;
}

/* in may be empty only at the end of the chunk. */
static bool
take_chunk(struct server *s, struct view in, size_t *used, struct server_event *ev,
    enum server_action *action)
{
	struct view slice;

	in = view_first(in, s->chunk_left < in.n ? (size_t)s->chunk_left : in.n);
	if (in.n == 0)
		return end_of_chunk(s, ev, action);
	(void)dot_decode(&s->dot, in, used, &slice);
	s->chunk_left -= *used;
	return give_text(s, slice, ev, action);
}

static void
skip_chunk(struct server *s, struct view in, size_t *used)
{
	*used = s->skip < in.n ? (size_t)s->skip : in.n;
	s->skip -= *used;
}

/* --- command lines ---------------------------------------------------------- */

/* It may have held a password. */
static void
wipe_line(struct server *s)
{
	if (buf_len(&s->line) > 0)
		secret_wipe(s->line.data, s->line.len);
	buf_clear(&s->line);
}

/* more: what comes of it behind what is kept. */
static void
take_long_line(struct server *s, struct view more)
{
	if (s->state == SV_AUTH)
		server_auth_too_long(s);
	else if (!buf_add(&s->line, view_first(more, LINE_MAX_BYTES - buf_len(&s->line))))
		put(s, 421, "4.3.0", "Out of memory");
	else
		server_run_too_long(s, buf_view(&s->line));
}

/*
 * One line, or what there is of it. A line ends with LF, with or without a CR
 * before it (doc/smtp.md). The tail of an over-long one is skipped, never run.
 */
static void
take_line(struct server *s, struct view in, size_t *used, struct server_event *ev)
{
	size_t lf = view_find(in, '\n');
	bool whole = lf < in.n;
	struct view line = view_first(in, lf);

	*used = whole ? lf + 1 : lf;
	s->followed = *used < in.n;
	if (s->skip_line) {
		s->skip_line = !whole;
		return;
	}
	if (buf_len(&s->line) + *used > LINE_MAX_BYTES) {
		s->skip_line = lf == in.n;
		take_long_line(s, line);
		wipe_line(s);
		return;
	}
	if (!whole || buf_len(&s->line) > 0) {
		if (!buf_add(&s->line, line)) {
			put(s, 421, "4.3.0", "Out of memory");
			return;
		}
		line = buf_view(&s->line);
	}
	ev->secret = ev->secret || s->state == SV_AUTH || view_istarts(line, VIEW("AUTH"));
	if (!whole)
		return;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (s->state == SV_AUTH)
		server_auth_line(s, line);
	else
		server_run(s, line);
	wipe_line(s);
}

/* RFC 8446 5.1: a TLS client begins with a handshake record. */
static bool
is_tls(struct server *s, struct view in)
{
	bool first = !s->first_byte_seen;

	s->first_byte_seen = true;
	return first && in.p[0] == 22;
}

/* Between transactions a session costs little. */
static void
shrink(struct server *s)
{
	buf_shrink(&s->out, KEEP_IDLE);
	buf_shrink(&s->line, KEEP_IDLE);
}

enum server_action
server_step(struct server *s, struct view in, size_t *used, struct server_event *ev)
{
	enum server_action action = SERVER_WANT_INPUT;

	*used = 0;
	*ev = (struct server_event){ .eight_bit = false };
	if (s->over) {
		s->over = false;
		s->envelope = (struct server_envelope){ .nrcpt = 0 };
		server_drop_recipients(s);
	}
	for (;;) {
		struct view rest = view_from(in, *used);
		size_t n = 0;
		bool act = false;

		if (s->state == SV_CLOSING) {
			*used = in.n;
			return SERVER_CLOSE;
		}
		if (s->state == SV_DATA_WAIT || s->state == SV_COMMIT_WAIT || s->state == SV_TLS_WAIT)
			return SERVER_WAIT;
		if (rest.n == 0 && (s->state != SV_CHUNK || s->chunk_left > 0)) {
			shrink(s);
			return SERVER_WANT_INPUT;
		}
		if (buf_len(&s->out) > OUTPUT_HIGH)
			return SERVER_FLUSH;
		if (s->state == SV_BODY) {
			act = take_body(s, rest, &n, ev, &action);
		} else if (s->state == SV_CHUNK) {
			act = take_chunk(s, rest, &n, ev, &action);
		} else if (s->skip > 0) {
			skip_chunk(s, rest, &n);
		} else if (is_tls(s, rest)) {
			put(s, 554, "5.5.1", s->params.tls == SERVER_TLS_NONE ? "TLS is not spoken on this port" :
			    "TLS begins with STARTTLS on this port");
			s->state = SV_CLOSING;
		} else {
			take_line(s, rest, &n, ev);
			act = s->state == SV_DATA_WAIT || s->state == SV_TLS_WAIT || s->abort_due;
			action = s->abort_due ? SERVER_ABORT : s->state == SV_TLS_WAIT ? SERVER_STARTTLS : SERVER_DATA;
			s->abort_due = false;
		}
		*used += n;
		if (act)
			return action;
	}
}

/* --- the caller's answers ----------------------------------------------------- */

void
server_greet(struct server *s, const struct server_answer *refusal)
{
	if (refusal != NULL) {
		server_say_answer(s, refusal);
		s->state = SV_CLOSING;
		return;
	}
	if (!buf_addf(&s->out, "220 %s ESMTP posthouse\r\n", s->params.hostname))
		s->state = SV_CLOSING;
}

void
server_secured(struct server *s)
{
	if (s->state == SV_CLOSING)
		return;
	require(s->state == SV_TLS_WAIT || (s->state == SV_START && !s->secure));
	s->secure = true;
	s->first_byte_seen = true;	/* it was TLS */
	server_forget(s);
	free(s->helo);
	s->helo = NULL;
	s->esmtp = s->logged_in = false;
	s->state = SV_START;
}

void
server_data_ready(struct server *s, const struct server_answer *refusal)
{
	if (s->state == SV_CLOSING)
		return;
	require(s->state == SV_DATA_WAIT);
	s->received = 0;
	s->refusal.code = 0;
	if (s->chunked) {		/* a refusal is told when the chunk is over */
		s->state = SV_CHUNK;
		dot_decoder_init_chunked(&s->dot);
		if (refusal != NULL)
			server_refuse(s, refusal);
		return;
	}
	if (refusal == NULL) {
		s->state = SV_BODY;
		dot_decoder_init(&s->dot);
		if (!buf_add_str(&s->out, "354 End with CRLF.CRLF\r\n"))
			s->state = SV_CLOSING;
		return;
	}
	s->state = SV_READY;
	server_say_answer(s, refusal);
	server_forget(s);
	if (s->followed)	/* a message that did not wait: none of it is a command */
		s->state = SV_CLOSING;
}

void
server_data_followed(struct server *s)
{
	if (s->state == SV_DATA_WAIT)
		s->followed = true;
}

void
server_commit_result(struct server *s, const struct server_answer *a)
{
	if (s->state == SV_CLOSING)
		return;
	require(s->state == SV_COMMIT_WAIT);
	s->state = SV_READY;
	if (a->code < 300)
		s->errors = 0;
	server_say_answer(s, a);
	server_forget(s);
}

void
server_refuse_body(struct server *s, const struct server_answer *a)
{
	if (server_phase(s) == PHASE_BODY)
		server_refuse(s, a);
}

void
server_set_policy(struct server *s, const struct server_answer *a)
{
	s->policy = a;
}

void
server_end(struct server *s, const struct server_answer *a)
{
	if (s->state == SV_CLOSING)
		return;
	server_say_answer(s, a);
	s->state = SV_CLOSING;
}

/* --- life and questions -------------------------------------------------------- */

struct server *
server_new(const struct server_params *params)
{
	struct server *s = xzalloc(sizeof(*s));

	s->params = *params;
	s->state = SV_START;
	buf_init(&s->line, LINE_MAX_BYTES);
	buf_init(&s->out, OUTPUT_HIGH + OUTPUT_SLACK);
	recipients_init(&s->recipients);
	return s;
}

void
server_free(struct server *s)
{
	if (s == NULL)
		return;
	recipients_done(&s->recipients);
	buf_wipe(&s->line);
	buf_done(&s->out);
	free(s->helo);
	free(s);
}

const struct server_envelope *
server_envelope(const struct server *s)
{
	return &s->envelope;
}

bool
server_is_busy(const struct server *s)
{
	return server_phase(s) != PHASE_COMMAND;
}

enum server_phase
server_phase(const struct server *s)
{
	if (s->state == SV_BODY || s->state == SV_CHUNK || s->state == SV_CHUNKS)
		return PHASE_BODY;
	return s->state == SV_DATA_WAIT || s->state == SV_COMMIT_WAIT || s->state == SV_TLS_WAIT ?
	    PHASE_PENDING : PHASE_COMMAND;
}

struct buf *
server_output(struct server *s)
{
	return &s->out;
}
