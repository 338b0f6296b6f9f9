/* SPDX-License-Identifier: BSD-2-Clause */
/* The message layer: the first byte says which part of it gets the rest. */
#include "fuzz.h"

#include "base/quote.h"
#include "mail/addrlist.h"
#include "mail/bounce.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "mail/trace.h"

#include "base/banned.h"

static bool
take_address(void *arg, struct view address, struct err *e)
{
	size_t *n = arg;

	require(address.n > 0 && address.n <= ADDRLIST_ADDRESS_MAX);
	require(view_find(address, '\r') == address.n && view_find(address, '\n') == address.n);
	return ++*n < 1000 || err_set(e, ERR_FULL, "enough") == 0;
}

static void
fuzz_addrlist(struct view in)
{
	struct err e;
	size_t n = 0;

	err_clear(&e);
	if (addrlist_parse(in, take_address, &n, &e) < 0)
		require(e.kind == ERR_INPUT || e.kind == ERR_FULL);
	else
		require(n <= in.n);
}

/* What is decoded can be encoded, and means the same; its trace field is one field. */
static void
fuzz_envelope(struct view in)
{
	struct envelope env, again;
	struct buf text, field;
	struct view io;
	struct header_field f;

	if (envelope_decode(&env, in, NULL) < 0) {
		envelope_done(&env);
		return;
	}
	buf_init(&text, ENVELOPE_MAX);
	buf_init(&field, 65536);
	require(envelope_encode(&text, &env));
	require(envelope_decode(&again, buf_view(&text), NULL) == 0);
	require(again.nrcpt == env.nrcpt && again.received_ms == env.received_ms);
	require(view_eq(again.from, env.from) && view_eq(again.helo, env.helo));
	require(view_eq(again.process, env.process));
	require(again.uid == env.uid && again.size == env.size && again.bounce == env.bounce);
	require(trace_received(&field, &env, "host", "0123456789abcdef", "uid 33"));
	io = buf_view(&field);
	require(header_next(&io, &f) && f.name == HEADER_RECEIVED && io.n == 0);
	buf_done(&field);
	buf_done(&text);
	envelope_done(&again);
	envelope_done(&env);
}

static void
check_report(struct view text)
{
	struct view line;
	bool header = true;

	require(text.n <= BOUNCE_MAX && view_ends(text, VIEW("\r\n")));
	while (view_split(&text, '\n', &line)) {
		bool to = header && view_starts(line, VIEW("To: "));

		require(view_ends(line, VIEW("\r")) && line.n <= 999);
		line.n--;
		header = header && line.n != 0;
		for (size_t n = 1; line.n > 0; line = view_of(line.p + n, line.n - n)) {
			uint32_t point;

			/* Its reader is one of SMTPUTF8. */
			n = to ? quote_utf8(line, &point) : 1;
			require(n > 1 || (n == 1 && (is_print(*line.p) || *line.p == '\t')));
		}
	}
}

static void
fuzz_bounce(struct view in)
{
	struct envelope env;
	struct bounce_rcpt rcpt[4];
	struct bounce_facts facts = {
		.hostname = "host", .original = &env, .id = "0123456789abcdef", .rcpt = rcpt,
		.now_ms = 1795332623000, .nonce = 1,
	};
	struct buf out;

	envelope_init(&env);
	env.from = facts.to = fuzz_piece(&in);
	for (facts.nrcpt = 0; facts.nrcpt < lengthof(rcpt); facts.nrcpt++) {
		struct bounce_rcpt *r = &rcpt[facts.nrcpt];

		*r = (struct bounce_rcpt){ .why = (enum bounce_why)(fuzz_choice(&in) % 4) };
		r->code = (int)(fuzz_choice(&in) * 3);
		r->address = r->original = fuzz_piece(&in);
		r->status = fuzz_piece(&in);
		r->remote = fuzz_piece(&in);
		r->text = fuzz_piece(&in);
	}
	env.envid = env.ret = rcpt[0].status;
	facts.message = in;
	facts.size = in.n + (rcpt[0].code & 1);
	facts.returned_max = 1000;
	buf_init(&out, BOUNCE_MAX);
	require(bounce_build(&out, &facts));
	check_report(buf_view(&out));
	buf_done(&out);
	envelope_done(&env);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);

	switch (fuzz_choice(&in)) {
	case 'a':
		fuzz_addrlist(in);
		break;
	case 'e':
		fuzz_envelope(in);
		break;
	case 'b':
		fuzz_bounce(in);
		break;
	default:
		break;
	}
	return 0;
}
