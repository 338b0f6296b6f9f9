/* SPDX-License-Identifier: BSD-2-Clause */
/* The server's side of TLS: what it is made of, and streams against streams over a socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/pem.h>

#include "base/alloc.h"
#include "net/net.h"
#include "net/tls.h"
#include "net/tls_server.h"
#include "unit/net/certs.h"
#include "unit/patience.h"

#include "base/banned.h"

static const struct cert_wish wish = { "h", "DNS:mail.example", "serverAuth", -1, 30, false };
static const struct stream_limits limits = { 5000, 100000 };

/* --- certificate and key ------------------------------------------------------ */

/* With a passphrase. */
static char *
locked_pem(const struct cert *c)
{
	static unsigned char phrase[] = "x";
	BIO *bio = BIO_new(BIO_s_mem());
	char *at, *text;
	long n;

	assert_int_equal(PEM_write_bio_PrivateKey(bio, c->key, EVP_aes_128_cbc(), phrase, 1, NULL, NULL), 1);
	n = BIO_get_mem_data(bio, &at);
	text = xstrndup((const uint8_t *)at, (size_t)n);
	BIO_free(bio);
	return text;
}

static void
check_refused(const char *certificate, const char *key, const char *why)
{
	struct tls_server *s = NULL;
	struct err e;

	assert_int_equal(tls_server_new(&s, &(struct tls_pair){ view_str(certificate), view_str(key), "C", "K" }, &e), -1);
	assert_null(s);
	if (strstr(e.text, why) == NULL)
		fail_msg("\"%s\", not \"%s\"", e.text, why);
}

static void
test_pairs(void **state)
{
	struct cert mine, other;
	char *certificate, *key, *stranger, *locked, both[8000];
	struct tls_server *s;

	cert_make(&mine, &wish, NULL);
	cert_make(&other, &wish, NULL);
	certificate = cert_pem(&mine);
	stranger = cert_pem(&other);
	key = cert_key_pem(&mine);
	locked = locked_pem(&mine);
	check_refused("", key, "no certificate in PEM form is in C");
	check_refused(key, key, "no certificate in PEM form is in C");
	check_refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key, "no certificate in PEM form is in C");
	check_refused(certificate, "", "no private key in PEM form is in K");
	check_refused(certificate, certificate, "no private key in PEM form is in K");
	check_refused(certificate, locked, "the key K has a passphrase");
	check_refused(stranger, key, "the key K does not belong to the first certificate in C");
	(void)snprintf(both, sizeof(both), "%s%s", stranger, certificate);
	check_refused(both, key, "does not belong to the first certificate");
	(void)snprintf(both, sizeof(both), "%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", certificate);
	check_refused(both, key, "an issuer's certificate in C is damaged");
	/* all in one file; and the issuers behind */
	(void)snprintf(both, sizeof(both), "%s%s%s", key, certificate, stranger);
	assert_int_equal(tls_server_new(&s, &(struct tls_pair){ view_str(both), view_str(both), "C", "C" }, NULL), 0);
	assert_true(tls_server_not_after_ms(s) - tls_server_not_before_ms(s) == 31 * INT64_C(86400000));
	tls_server_free(s);
	tls_server_free(NULL);
	free(certificate);
	free(stranger);
	free(key);
	free(locked);
	cert_done(&mine);
	cert_done(&other);
}

/* --- connections ---------------------------------------------------------------- */

struct side {
	struct fixture	*f;
	struct stream	*s;
	bool		 tls, closed;
	size_t		 got, to_send;
	size_t		 want;		/* bytes of the pattern; then the loop stops */
	bool		 differs;
	bool		 begin_at_input;	/* without taking it */
	char		 clear[40];	/* what came before TLS */
	struct stream_end end;
};

struct fixture {
	struct loop	*loop;
	struct net	*net;
	struct patience	 patience;
	struct tls_client *client_tls;
	struct tls_server *server_tls;
	struct side	 server, client;
	int		 raw;		/* in place of a client; -1: none */
};

static uint8_t
pattern(size_t i)
{
	return (uint8_t)(i * 7 + (i >> 8));
}

static void
send_some(struct side *x)
{
	while (x->to_send > 0 && x->tls) {
		uint8_t bytes[1000];
		size_t n = x->to_send < sizeof(bytes) ? x->to_send : sizeof(bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = pattern(x->to_send - i);
		if (!stream_write(x->s, view_of(bytes, n)))
			return;
		x->to_send -= n;
	}
}

static void
on_input(void *owner)
{
	struct side *x = owner;
	struct view in = stream_input(x->s);

	if (x->tls) {
		for (size_t i = 0; i < in.n; i++)
			x->differs |= in.p[i] != pattern(x->want - x->got - i);
		x->got += in.n;
		stream_consume(x->s, in.n);
		if (x->got == x->want)
			loop_stop(x->f->loop);
		return;
	}
	(void)snprintf(x->clear, sizeof(x->clear), "%.*s", VIEW_ARG(in));
	if (x->begin_at_input)
		stream_serve_tls(x->s, x->f->server_tls);
	if (x != &x->f->client)
		return;
	stream_consume(x->s, in.n);
	stream_start_tls(x->s, x->f->client_tls, "mail.example");
}

static void
on_drained(void *owner)
{
	send_some(owner);
}

static void
on_tls(void *owner)
{
	struct side *x = owner;

	x->tls = true;
	send_some(x);
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	struct side *x = owner;

	x->closed = true;
	x->end = *end;
	if (x->f->server.closed)
		loop_stop(x->f->loop);
}

static const struct stream_events events = { NULL, on_input, on_drained, on_tls, on_closed };

static struct fixture f;

static int
setup(void **state)
{
	struct cert cert;
	int fd[2];

	f = (struct fixture){ .raw = -1 };
	cert_make(&cert, &wish, NULL);
	if (loop_new(&f.loop, NULL) < 0 || tls_client_new(&f.client_tls, &(struct tls_params){ NULL, false }, NULL) < 0 ||
	    cert_server(&f.server_tls, &cert) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) != 0)
		return -1;
	cert_done(&cert);
	f.net = net_new(f.loop, NULL);
	f.server.f = f.client.f = &f;
	f.server.s = net_adopt(f.net, fd[0], &limits, &events, &f.server);
	f.raw = fd[1];
	patience_init(&f.patience, f.loop);
	return 0;
}

static int
teardown(void **state)
{
	stream_abort(f.server.s);
	stream_abort(f.client.s);
	if (f.raw >= 0)
		(void)close(f.raw);
	loop_turn(f.loop);
	net_free(f.net);
	tls_client_free(f.client_tls);
	tls_server_free(f.server_tls);
	loop_free(f.loop);
	return 0;
}

static void
be_client(void)
{
	f.client.s = net_adopt(f.net, f.raw, &limits, &events, &f.client);
	f.raw = -1;
}

/* The client has sent all, says close_notify, and the server hears it. */
static void
close_client(void *arg)
{
	struct side *x = arg;

	if (x->to_send == 0 && stream_output_len(x->s) == 0) {
		stream_close(x->s);
		x->s = NULL;
	}
}

/* What was written before goes out in clear, and all behind it in TLS. */
static void
test_both_sides(void **state)
{
	struct tls_info info;

	be_client();
	f.client.to_send = f.server.want = 300000;
	assert_false(stream_tls_info(f.server.s, &info));
	assert_true(stream_write(f.server.s, VIEW("220 go\r\n")));
	stream_serve_tls(f.server.s, f.server_tls);
	tls_server_free(f.server_tls);		/* a reload: connections go on */
	f.server_tls = NULL;
	patience_run(&f.patience);
	assert_string_equal(f.client.clear, "220 go\r\n");
	assert_string_equal(f.server.clear, "");
	assert_true(f.server.tls && f.client.tls);
	assert_int_equal(f.server.got, 300000);
	assert_false(f.server.differs);
	assert_true(stream_tls_info(f.server.s, &info));
	assert_string_equal(info.version, "TLSv1.3");
	assert_true(view_starts(view_str(info.cipher), VIEW("TLS_")));
	assert_false(info.resumed);
	close_client(&f.client);
	patience_run(&f.patience);
	assert_int_equal(f.server.end.kind, STREAM_EOF);
}

static void
raw_says(const char *bytes, size_t n)
{
	assert_int_equal(send(f.raw, bytes, n, 0), (ssize_t)n);
}

static void
assert_ends(enum stream_end_kind kind, const char *why)
{
	patience_run(&f.patience);
	assert_true(f.server.closed);
	assert_false(f.server.tls);
	assert_int_equal(f.server.end.kind, kind);
	if (strstr(f.server.end.text, why) == NULL)
		fail_msg("\"%s\", not \"%s\"", f.server.end.text, why);
	assert_int_equal(f.server.got, 0);
}

static void
test_plain_text_in_place_of_a_handshake(void **state)
{
	stream_serve_tls(f.server.s, f.server_tls);
	raw_says("EHLO client.example\r\nMAIL FROM:<a@b>\r\n", 38);
	assert_ends(STREAM_TLS_NOT_TLS, "the client speaks plain text");
	assert_string_equal(f.server.clear, "");	/* nobody saw it */
}

static void
test_client_that_leaves(void **state)
{
	stream_serve_tls(f.server.s, f.server_tls);
	raw_says("\x16\x03\x01\x02", 4);
	(void)close(f.raw);
	f.raw = -1;
	assert_ends(STREAM_TLS_HANDSHAKE, "the client closed the connection");
}

/* OpenSSL would make room for all that a ClientHello announces. */
static void
test_long_client_hello(void **state)
{
	stream_serve_tls(f.server.s, f.server_tls);
	raw_says("\x16\x03\x01\x40\x00\x01\x00", 7);
	loop_turn(f.loop);
	raw_says("\x40\x01", 2);
	assert_ends(STREAM_TLS_HANDSHAKE, "the client says more than 16384 bytes in the TLS handshake");
}

/* It never gets to its end, in records that hold nothing. */
static void
test_endless_handshake(void **state)
{
	static const uint8_t hello[] = { 22, 3, 1, 0x3f, 0xfc, 1, 0, 0x3f, 0xff };
	static uint8_t more[20000];

	stream_serve_tls(f.server.s, f.server_tls);
	memcpy(more, hello, sizeof(hello));
	more[5 + 0x3ffc] = 22;		/* the last bytes of it never come */
	more[5 + 0x3ffc + 1] = 3;
	more[5 + 0x3ffc + 2] = 1;
	more[5 + 0x3ffc + 3] = 0x40;
	raw_says((const char *)more, sizeof(more));
	assert_ends(STREAM_TLS_HANDSHAKE, "the client says more than 16384 bytes in the TLS handshake");
}

/* What was said in clear before would be taken for protected (RFC 3207 4). */
static void
test_bytes_before_the_handshake(void **state)
{
	f.server.begin_at_input = true;
	raw_says("NOOP\r\n", 6);
	assert_ends(STREAM_FAILED, "6 bytes came in clear before the TLS handshake");
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		T(test_both_sides),
		T(test_plain_text_in_place_of_a_handshake),
		T(test_client_that_leaves),
		T(test_long_client_hello),
		T(test_endless_handshake),
		T(test_bytes_before_the_handshake),
	};

	return cmocka_run_group_tests_name("net/tls_server", tests, NULL, NULL);
}
