/* SPDX-License-Identifier: BSD-2-Clause */
/* The network in memory keeps the promises of net/net.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "twin/loop.h"
#include "twin/net.h"

#include "base/banned.h"

struct side {
	struct stream	*s;
	int		 connected, inputs, drained, tls, closed;
	struct stream_end end;
	bool		 start_tls;
	const char	*answer;	/* to the first input */
};

struct fixture {
	struct twin_loop loop;
	struct twin_net	 net;
	struct twin_endpoint *ep;
	struct side	 client, server;
	const char	*greeting;
};

static const struct stream_limits limits = { 4096, 65536 };

static void
on_connected(void *owner)
{
	struct side *d = owner;

	d->connected++;
	if (d->start_tls)
		stream_start_tls(d->s, NULL, "mail.example");
}

static void
on_input(void *owner)
{
	struct side *d = owner;

	if (d->inputs++ == 0 && d->answer != NULL)
		assert_true(stream_write(d->s, view_str(d->answer)));
}

static void
on_drained(void *owner)
{
	((struct side *)owner)->drained++;
}

static void
on_tls(void *owner)
{
	((struct side *)owner)->tls++;
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	struct side *d = owner;

	d->closed++;
	d->end = *end;
}

static const struct stream_events events = { on_connected, on_input, on_drained, on_tls, on_closed, NULL };

static void
on_accept(void *arg, struct twin_endpoint *ep, struct stream *s)
{
	struct fixture *f = arg;

	f->server.s = s;
	stream_own(s, &events, &f->server);
	if (f->greeting != NULL)
		assert_true(stream_write(s, view_str(f->greeting)));
}

static int
setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ 0 };
	twin_loop_init(&f.loop, 0);
	twin_net_init(&f.net, &f.loop.loop);
	f.ep = twin_net_endpoint(&f.net, "192.0.2.1:587");
	f.ep->delay_ms = 10;
	f.ep->on_accept = on_accept;
	f.ep->arg = &f;
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	twin_net_done(&f->net);
	twin_loop_done(&f->loop);
	return 0;
}

static void
connect_client(struct fixture *f)
{
	f->client.s = net_connect(&f->net.net, &f->ep->address, &limits, &events, &f->client);
}

static void
expect_end(struct fixture *f, enum twin_mode mode, enum stream_end_kind kind, int64_t within_ms)
{
	f->client = (struct side){ 0 };
	f->ep->mode = mode;
	connect_client(f);
	assert_int_equal(f->client.closed, 0);
	twin_loop_run(&f->loop, within_ms);
	assert_int_equal(f->client.closed, 1);
	assert_int_equal(f->client.connected, 0);
	assert_int_equal(f->client.end.kind, kind);
	stream_close(f->client.s);
}

static void
test_failures_to_connect(void **state)
{
	struct fixture *f = *state;

	expect_end(f, TWIN_REFUSE, STREAM_REFUSED, 20);
	expect_end(f, TWIN_NO_ROUTE, STREAM_NO_ROUTE, 1);
	expect_end(f, TWIN_DENIED, STREAM_DENIED, 1);
	expect_end(f, TWIN_SILENT, STREAM_TIMEOUT, 15020);
	assert_int_equal(f->ep->accepted, 0);
	assert_int_equal(f->net.connects, 4);
}

static void
test_talk_takes_its_time(void **state)
{
	struct fixture *f = *state;

	f->greeting = "220";
	f->client.answer = "EHLO";
	f->server.answer = "250";
	connect_client(f);
	twin_loop_run(&f->loop, 29);
	assert_int_equal(f->client.connected, 1);
	assert_int_equal(f->client.inputs, 0);
	twin_loop_run(&f->loop, 1);
	assert_int_equal(f->client.inputs, 1);
	twin_loop_run(&f->loop, 20);
	assert_true(view_eq(stream_input(f->client.s), VIEW("220250")));
	assert_int_equal(f->client.drained, 1);
	stream_close(f->client.s);
	twin_loop_run(&f->loop, 10);
	assert_int_equal(f->server.end.kind, STREAM_EOF);
	assert_int_equal(f->server.closed, 1);
	assert_true(view_eq(stream_input(f->server.s), VIEW("EHLO")));
	stream_close(f->server.s);
}

static void
test_mute_peer_never_answers(void **state)
{
	struct fixture *f = *state;

	f->ep->mode = TWIN_MUTE;
	connect_client(f);
	twin_loop_run(&f->loop, 20);
	assert_int_equal(f->client.connected, 1);
	assert_true(stream_write(f->client.s, VIEW("EHLO")));
	twin_loop_run(&f->loop, 3600000);
	assert_int_equal(f->client.closed + f->client.inputs, 0);
	stream_close(f->client.s);
}

static void
test_back_pressure(void **state)
{
	struct fixture *f = *state;
	struct stream *s[2];
	struct side a = { 0 }, b = { 0 };
	static uint8_t bytes[300000];
	size_t sent = 0, got = 0;

	twin_net_pair(&f->net, s, &limits);
	stream_own(a.s = s[0], &events, &a);
	stream_own(b.s = s[1], &events, &b);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 >> 3);
	for (int i = 0; i < 100; i++) {
		while (sent < sizeof(bytes) &&
		    stream_write(s[0], view_first(view_from(view_of(bytes, sizeof(bytes)), sent), 1000)))
			sent += 1000;
		twin_loop_run(&f->loop, 1);
	}
	/* Not read: one buffer here, one there, and what is on the way. */
	assert_int_equal(stream_input(s[1]).n, limits.input_max);
	assert_true(sent <= limits.output_max + limits.input_max + 65536 + 16384);
	stream_pause(s[1], true);
	stream_consume(s[1], 96);
	twin_loop_run(&f->loop, 5);
	assert_int_equal(stream_input(s[1]).n, 4000);
	got = 96;
	stream_pause(s[1], false);
	while (got < sizeof(bytes)) {
		struct view in = stream_input(s[1]);

		assert_memory_equal(in.p, bytes + got, in.n);
		got += in.n;
		stream_consume(s[1], in.n);
		while (sent < sizeof(bytes) &&
		    stream_write(s[0], view_first(view_from(view_of(bytes, sizeof(bytes)), sent), 1000)))
			sent += 1000;
		twin_loop_run(&f->loop, 2);
	}
	assert_int_equal(got, sizeof(bytes));
	assert_true(a.drained > 0);
	stream_close(s[0]);
	stream_close(s[1]);
}

static void
test_tls_well(void **state)
{
	struct fixture *f = *state;
	struct tls_info info;

	f->client.start_tls = true;
	connect_client(f);
	twin_loop_run(&f->loop, 30);
	assert_int_equal(f->server.tls, 1);
	assert_int_equal(f->client.tls, 0);
	assert_false(stream_tls_info(f->client.s, &info));
	assert_true(stream_write(f->client.s, VIEW("EHLO")));	/* waits for the handshake */
	twin_loop_run(&f->loop, 10);
	assert_int_equal(f->client.tls, 1);
	assert_true(stream_tls_info(f->client.s, &info));
	assert_true(twin_stream_is_tls(f->server.s));
	twin_loop_run(&f->loop, 10);
	assert_int_equal(f->server.inputs, 1);
	stream_close(f->client.s);
	stream_close(f->server.s);
}

static void
test_tls_failures(void **state)
{
	struct fixture *f = *state;
	const enum stream_end_kind kinds[] = { STREAM_TLS_HANDSHAKE, STREAM_TLS_NAME,
	    STREAM_TLS_EXPIRED, STREAM_TLS_UNTRUSTED };

	for (size_t i = 0; i < lengthof(kinds); i++) {
		f->client = (struct side){ .start_tls = true };
		f->server = (struct side){ 0 };
		f->ep->tls = kinds[i];
		connect_client(f);
		twin_loop_run(&f->loop, 100);
		assert_int_equal(f->client.tls, 0);
		assert_int_equal(f->client.end.kind, kinds[i]);
		assert_int_equal(f->server.closed, 1);
		stream_close(f->client.s);
		stream_close(f->server.s);
	}
}

static void
test_plain_text_in_a_handshake(void **state)
{
	struct fixture *f = *state;

	f->greeting = "220 hello";
	f->client.start_tls = true;
	connect_client(f);
	twin_loop_run(&f->loop, 100);
	assert_int_equal(f->client.end.kind, STREAM_TLS_NOT_TLS);
	stream_close(f->client.s);
	stream_close(f->server.s);
}

static void
test_injected_plain_text_is_fatal(void **state)
{
	struct fixture *f = *state;

	f->greeting = "220 ready\r\n250 injected";
	connect_client(f);
	twin_loop_run(&f->loop, 100);
	stream_start_tls(f->client.s, NULL, "mail.example");
	assert_int_equal(f->client.closed, 0);
	twin_loop_run(&f->loop, 1);
	assert_int_equal(f->client.end.kind, STREAM_FAILED);
	assert_int_equal(f->server.tls, 0);
	stream_close(f->client.s);
	stream_close(f->server.s);
}

static void
test_cut_and_reset(void **state)
{
	struct fixture *f = *state;

	connect_client(f);
	twin_loop_run(&f->loop, 20);
	twin_endpoint_cut(f->ep);
	assert_true(stream_write(f->client.s, VIEW("NOOP")));
	twin_loop_run(&f->loop, 14999);
	assert_int_equal(f->client.closed, 0);
	twin_loop_run(&f->loop, 2);
	assert_int_equal(f->client.end.kind, STREAM_TIMEOUT);
	assert_int_equal(f->server.inputs, 0);
	stream_close(f->client.s);
	stream_abort(f->server.s);

	f->client = f->server = (struct side){ 0 };
	connect_client(f);
	twin_loop_run(&f->loop, 20);
	twin_endpoint_reset(f->ep);
	assert_int_equal(f->client.closed, 0);
	twin_loop_run(&f->loop, 1);
	assert_int_equal(f->client.end.kind, STREAM_RESET);
	assert_int_equal(f->server.end.kind, STREAM_RESET);
	stream_close(f->client.s);
	stream_close(f->server.s);
}

struct lookup {
	int		 answers;
	enum resolve_result result;
	size_t		 n;
	struct address	 last;
};

static void
on_resolved(void *owner, enum resolve_result r, const struct address *a, size_t n, const char *why)
{
	struct lookup *l = owner;

	l->answers++;
	l->result = r;
	l->n = n;
	if (n > 0)
		l->last = a[n - 1];
}

static void
test_names(void **state)
{
	struct fixture *f = *state;
	struct net *net = &f->net.net;
	struct lookup l = { 0 };
	char text[ADDRESS_TEXT_MAX];

	twin_net_host(&f->net, "mail.example", "192.0.2.1");
	twin_net_host(&f->net, "mail.example", "2001:db8::1");
	f->net.resolve_ms = 50;
	(void)net_resolve(net, "MAIL.example", 465, on_resolved, &l);
	twin_loop_run(&f->loop, 49);
	assert_int_equal(l.answers, 0);
	twin_loop_run(&f->loop, 1);
	assert_int_equal(l.result, RESOLVE_OK);
	assert_int_equal(l.n, 2);
	assert_string_equal(address_text(text, &l.last), "[2001:db8::1]:465");
	net_resolve_cancel(net, net_resolve(net, "mail.example", 465, on_resolved, &l));
	f->net.dns_down = true;
	(void)net_resolve(net, "mail.example", 465, on_resolved, &l);
	twin_loop_run(&f->loop, 50);
	assert_int_equal(l.answers, 2);
	assert_int_equal(l.result, RESOLVE_TEMPORARY);
	f->net.dns_down = false;
	twin_net_forget_host(&f->net, "mail.example");
	(void)net_resolve(net, "mail.example", 465, on_resolved, &l);
	twin_loop_run(&f->loop, 50);
	assert_int_equal(l.result, RESOLVE_NO_NAME);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_failures_to_connect),
		T(test_talk_takes_its_time),
		T(test_mute_peer_never_answers),
		T(test_back_pressure),
		T(test_tls_well),
		T(test_tls_failures),
		T(test_plain_text_in_a_handshake),
		T(test_injected_plain_text_is_fatal),
		T(test_cut_and_reset),
		T(test_names),
	};

	return cmocka_run_group_tests_name("twin net", tests, NULL, NULL);
}
