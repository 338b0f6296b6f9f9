/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server machine: byte 0 chooses how it is answered, byte 1 how the rest is
 * cut; the rest is what the client says. Every reply is well-formed, every step
 * goes on, and the cuts change nothing.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "replies.h"
#include "smtp/dsn.h"
#include "smtp/server.h"

#include "base/banned.h"

#define NOTES_MAX (64u << 20)

static const struct server_params params = {
	.hostname = "h.example", .size_max = 300, .recipients_max = 3, .errors_max = 6,
	.default_domain = "h.example",
};
static const struct server_answer queued = { 250, "2.0.0", "Queued" };
static const struct server_answer full = { 452, "4.3.1", "Full" };
static const struct server_answer refused = { 550, "5.7.1", "No \r\n250 way" };

struct run {
	struct buf	said, got;
	size_t		mark;		/* of got, where the message began */
	bool		closed, aborted;
};

static void
check_envelope(const struct server *s)
{
	const struct server_envelope *e = server_envelope(s);

	require(e->nrcpt > 0 && e->nrcpt <= 3 && e->helo.n > 0);
	for (size_t i = 0; i < e->nrcpt; i++) {
		struct view a = e->rcpt[i].address;

		require(a.n > 0);
		for (size_t k = 0; k < a.n; k++)
			require(is_print(a.p[k]) || (e->utf8 && a.p[k] >= 0x80));
		require(e->rcpt[i].notify.n == 0 || dsn_notify_is_good(e->rcpt[i].notify));
		require(e->rcpt[i].orcpt.n == 0 || dsn_orcpt_is_good(e->rcpt[i].orcpt, e->utf8));
	}
	require(e->ret.n == 0 || dsn_ret_is_good(e->ret));
	require(e->envid.n == 0 || dsn_envid_is_good(e->envid));
}

/* One action; false when the input is used up or the session over. */
static bool
act(struct server *s, struct run *r, struct view *io, unsigned choice)
{
	struct server_event ev;
	size_t used;

	switch (server_step(s, *io, &used, &ev)) {
	case SERVER_WANT_INPUT:
		require(used == io->n);
		return false;
	case SERVER_WAIT:
		require(false);
		return false;
	case SERVER_DATA:
		check_envelope(s);
		r->mark = buf_len(&r->got);
		server_data_ready(s, (choice & 1) != 0 ? &full : NULL);
		break;
	case SERVER_BODY:
		require(ev.body.n > 0 && view_find(ev.body, 0) == ev.body.n);
		require(buf_add(&r->got, ev.body));
		if ((choice & 2) != 0)
			server_refuse_body(s, &refused);
		break;
	case SERVER_COMMIT:
		require(buf_len(&r->got) <= NOTES_MAX);
		server_commit_result(s, (choice & 4) != 0 ? &refused : &queued);
		break;
	case SERVER_STARTTLS:
		require(used == io->n);		/* nothing comes behind it in clear */
		server_secured(s);
		break;
	case SERVER_ABORT:		/* how much came before is a matter of cuts */
		buf_truncate(&r->got, r->mark);
		r->aborted = true;
		break;
	case SERVER_FLUSH:
		require(buf_len(server_output(s)) > 0);
		require(buf_add(&r->said, buf_view(server_output(s))));
		buf_clear(server_output(s));
		break;
	case SERVER_CLOSE:
		r->closed = true;
		return false;
	}
	require(used <= io->n);
	*io = view_from(*io, used);
	return true;
}

static void
play(struct run *r, struct view in, unsigned choice, size_t step)
{
	struct server_params p = params;
	struct server *s;

	p.tls = (choice & 64) != 0 ? SERVER_TLS_REQUIRED : (choice & 32) != 0 ? SERVER_TLS_OFFERED : SERVER_TLS_NONE;
	s = server_new(&p);
	*r = (struct run){ .closed = false };
	buf_init(&r->said, NOTES_MAX);
	buf_init(&r->got, NOTES_MAX);
	server_greet(s, (choice & 8) != 0 ? &refused : NULL);
	if ((choice & 16) != 0)
		server_set_policy(s, &full);
	do {
		struct view piece = view_first(in, step);
		size_t turns = 0;

		in = view_from(in, piece.n);
		while (act(s, r, &piece, choice))
			require(++turns < 4 * step + 16);
		require(buf_add(&r->said, buf_view(server_output(s))));
		buf_clear(server_output(s));
	} while (in.n > 0 && !r->closed);
	(void)fuzz_check_replies(buf_view(&r->said));
	server_free(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	unsigned choice = fuzz_choice(&in);
	size_t step = 1 + fuzz_choice(&in);
	struct run whole, pieces;

	play(&whole, in, choice, in.n + 1);
	play(&pieces, in, choice, step);
	/*
	 * Cuts decide three things by design: whether a message behind a refused
	 * DATA was already there, where the caller's refusal falls in a body, and
	 * which of its faults a message is refused for.
	 */
	if ((choice & 3) == 0 && !whole.closed && !pieces.closed) {
		require(whole.aborted == pieces.aborted);
		if (!whole.aborted)
			require(view_eq(buf_view(&whole.said), buf_view(&pieces.said)));
		require(view_eq(buf_view(&whole.got), buf_view(&pieces.got)));
	}
	buf_done(&whole.said);
	buf_done(&whole.got);
	buf_done(&pieces.said);
	buf_done(&pieces.got);
	return 0;
}
