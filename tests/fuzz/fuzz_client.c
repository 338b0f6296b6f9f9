/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client machine against any server: byte 0 chooses how the session is set
 * up, then come pieces (a length byte, then bytes) of what the server says. Each
 * line said is well-formed, a password only leaves where it may, and the end of the
 * connection ends every state.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "net/crypto.h"
#include "smtp/client.h"

#include "base/banned.h"

#define PASSWORD "hushhush"

static const struct client_rcpt rcpt[] = {
	{ VIEW("a@x.example") }, { VIEW("b\r\n@x.example") }, { VIEW("c@x.example") },
};

/* The same nonce each time. */
static bool
draw(uint8_t *out, size_t n)
{
	memset(out, 'n', n);
	return true;
}

struct play {
	struct client	*c;
	bool		 tls, secret_seen;
	bool		 sending;	/* between client_send() and its result */
	int		 messages, failures;
};

/* All that was said is whole lines, and secret where it holds the password. */
static void
take_output(struct play *p)
{
	struct buf *out = client_output(p->c);
	struct view v = buf_view(out), line;

	if (client_output_is_secret(p->c))
		p->secret_seen = true;
	if (p->secret_seen)
		require(p->tls);
	require(view_search(v, VIEW("\n@")) == v.n);
	while (client_state(p->c) != CL_BODY && view_split(&v, '\n', &line))
		require(line.n > 0 && line.p[line.n - 1] == '\r');
	buf_clear(out);
}

static void
start_message(struct play *p, unsigned choice)
{
	struct client_message m = {
		.from = (choice & 16) != 0 ? VIEW("") : VIEW("s@h.example"), .rcpt = rcpt,
		.nrcpt = (choice & 32) != 0 ? 1 : 3, .size = 1000, .eight_bit = (choice & 64) != 0,
	};

	if (p->messages++ > 8) {
		client_quit(p->c);
		return;
	}
	p->sending = true;
	client_send(p->c, &m);
}

static void
say_body(struct play *p, unsigned choice)
{
	struct view body = VIEW(".\r\n.\n..\r\rtext\r\n");

	if ((choice & 128) != 0 && p->messages % 2 == 0) {
		client_body_abort(p->c);
		return;
	}
	while (body.n > 0) {
		body = view_from(body, client_body(p->c, body));
		take_output(p);
	}
	client_body_end(p->c);
}

static void
check_result(struct play *p)
{
	const struct client_result *r = client_result(p->c);

	require(p->sending);
	p->sending = false;
	for (size_t i = 0; i < r->nrcpt; i++) {
		require(!r->complete || r->rcpt[i].code >= 200);
		require(r->rcpt[i].code == 0 || r->rcpt[i].status[0] == '0' + r->rcpt[i].code / 100);
		require(strlen(client_rcpt_text(p->c, i)) < REPLY_TEXT_MAX);
		/* delivered means: taken by name, and by a reply to the dot */
		if (r->rcpt[i].code / 100 == 2)
			require(r->complete && r->decided_in == CL_DOT && r->rcpt[i].accepted);
	}
	if (r->nrcpt > 1)
		require(r->rcpt[1].code / 100 != 2);
}

static void
log_in(struct client *c)
{
	struct crypto crypto = crypto_openssl;

	crypto.random = draw;
	client_login(c, &(struct sasl_login){ .user = VIEW("user"), .secret = VIEW(PASSWORD),
		.crypto = &crypto });
}

/* False when the input is used up or the session over. */
static bool
act(struct play *p, struct view *io, unsigned choice)
{
	size_t used;
	enum client_action action = client_step(p->c, *io, &used);

	require(used <= io->n);
	*io = view_from(*io, used);
	switch (action) {
	case CLIENT_WANT_INPUT:
		require(io->n == 0 && client_deadline_ms(p->c) > 0);
		take_output(p);
		return false;
	case CLIENT_NEED_TLS:
		take_output(p);
		p->tls = true;
		client_tls_ready(p->c);
		return io->n > 0;
	case CLIENT_NEED_LOGIN:
		take_output(p);
		log_in(p->c);
		take_output(p);
		return true;
	case CLIENT_IDLE:
		start_message(p, choice);
		return true;
	case CLIENT_NEED_BODY:
		say_body(p, choice);
		return true;
	case CLIENT_RESULT:
		check_result(p);
		return true;
	case CLIENT_FAILED:
		require(++p->failures == 1);
		return true;
	case CLIENT_CLOSE:
		require(client_state(p->c) == CL_CLOSED && !p->sending);
		return false;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	unsigned choice = fuzz_choice(&in);
	struct client_params params = {
		.ehlo_name = "h.example", .tls = (enum client_tls)(choice % 3),
		.mechanisms = (choice & 4) != 0 ? MECHANISMS_PASSWORD : 0,
		.probe = (choice & 8) != 0, .probe_login = (choice & 16) != 0,
	};
	struct play p = { .c = client_new(&params) };
	struct view piece = VIEW("");

	do {
		int turns = 0;

		while (act(&p, &piece, choice))
			require(++turns < 2000);
		piece = fuzz_piece(&in);
	} while (in.n > 0 || piece.n > 0);
	client_eof(p.c);
	for (int turns = 0; client_state(p.c) != CL_CLOSED || p.sending; turns++) {
		require(turns < 100);
		(void)act(&p, &piece, choice);
	}
	client_free(p.c);
	return 0;
}
