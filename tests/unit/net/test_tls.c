/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS streams against OpenSSL's own server on another thread, over loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/ssl.h>

#include "net/net.h"
#include "net/tls.h"
#include "sys/worker.h"
#include "unit/net/certs.h"
#include "unit/patience.h"

#include "base/banned.h"

/* --- the server -------------------------------------------------------------- */

struct server {
	pthread_t	 thread;
	SSL_CTX		*ctx;
	int		 fd;
	struct address	 address;
	int		 connections;	/* to serve, one after another */
	/* What it does, in this order; NULL or false: not. */
	size_t		 read_clear;	/* wait for so many bytes */
	const char	*say_clear;
	bool		 no_tls;	/* keep quiet until the client leaves */
	bool		 leave;		/* close instead of a handshake */
	const char	*say_in_tls;
	bool		 echo;		/* until the client's close_notify */
	bool		 rude;		/* no close_notify */

	char		 heard[64];	/* in clear */
	char		 sni[64];
	bool		 handshake_done;
};

static void
read_clear(struct server *s, int fd)
{
	size_t n = 0;

	while (n < s->read_clear) {
		ssize_t k = read(fd, s->heard + n, s->read_clear - n);

		if (k <= 0)
			return;
		n += (size_t)k;
	}
}

static void
wait_for_eof(int fd)
{
	char bytes[4096];

	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
}

static void
talk(struct server *s, SSL *ssl)
{
	char bytes[20000];
	int n;

	if (SSL_accept(ssl) != 1)
		return;
	s->handshake_done = true;
	if (SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) != NULL)
		(void)snprintf(s->sni, sizeof(s->sni), "%s",
		    SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
	if (s->say_in_tls != NULL)
		(void)SSL_write(ssl, s->say_in_tls, (int)strlen(s->say_in_tls));
	while (s->echo && (n = SSL_read(ssl, bytes, sizeof(bytes))) > 0)
		if (SSL_write(ssl, bytes, n) != n)
			break;
	if (!s->rude)
		(void)SSL_shutdown(ssl);
}

static void
serve_one(struct server *s, int fd)
{
	SSL *ssl;

	read_clear(s, fd);
	if (s->say_clear != NULL && write(fd, s->say_clear, strlen(s->say_clear)) < 0)
		return;
	if (s->no_tls)
		wait_for_eof(fd);
	if (s->no_tls || s->leave)
		return;
	ssl = SSL_new(s->ctx);
	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1)
		abort();
	talk(s, ssl);
	SSL_free(ssl);
	(void)shutdown(fd, SHUT_WR);
	wait_for_eof(fd);
}

static void *
serve(void *arg)
{
	struct server *s = arg;

	for (int i = 0; i < s->connections; i++) {
		int fd = accept(s->fd, NULL, NULL);

		if (fd < 0)
			break;
		serve_one(s, fd);
		(void)close(fd);
	}
	return NULL;
}

static void
server_start(struct server *s, const struct cert *cert)
{
	s->connections = s->connections == 0 ? 1 : s->connections;
	s->ctx = SSL_CTX_new(TLS_server_method());
	assert_non_null(s->ctx);
	assert_int_equal(SSL_CTX_use_certificate(s->ctx, cert->x509), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, cert->key), 1);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(address_from_host(&s->address, VIEW("127.0.0.1"), 0));
	assert_int_equal(bind(s->fd, (struct sockaddr *)&s->address.ss, s->address.len), 0);
	assert_int_equal(listen(s->fd, 10), 0);
	s->address.len = sizeof(s->address.ss);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&s->address.ss, &s->address.len), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void
server_stop(struct server *s)
{
	(void)shutdown(s->fd, SHUT_RDWR);	/* ends accept() if the test did */
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	(void)close(s->fd);
	SSL_CTX_free(s->ctx);
}

/* --- the client -------------------------------------------------------------- */

static struct cert ca;
static char ca_path[] = "/tmp/ph-ca-XXXXXX";

struct fixture {
	struct loop	*loop;
	struct net	*net;
	struct patience	 patience;
	struct tls_client *tls;
};

struct client {
	struct fixture	*f;
	struct stream	*s;
	const char	*name;
	bool		 wait_clear;	/* start TLS on the first input, not at once */
	bool		 keep_clear;	/* without consuming it */
	const char	*write_clear;	/* before TLS */
	bool		 want_eof;
	size_t		 want;		/* bytes to receive in TLS; then the loop stops */
	size_t		 got;
	bool		 sum_ok;
	bool		 tls, closed;
	struct tls_info	 info;
	struct stream_end end;
	size_t		 to_send;	/* a pattern, as fast as it goes */
	size_t		 sent;
};

static uint8_t
pattern(size_t i)
{
	return (uint8_t)(i * 7 + (i >> 8));
}

static void
send_pattern(struct client *c)
{
	uint8_t bytes[3000];

	while (c->sent < c->to_send) {
		size_t n = c->to_send - c->sent < sizeof(bytes) ? c->to_send - c->sent : sizeof(bytes);

		for (size_t i = 0; i < n; i++)
			bytes[i] = pattern(c->sent + i);
		if (!stream_write(c->s, view_of(bytes, n)))
			return;
		c->sent += n;
	}
}

static void
start(struct client *c)
{
	if (c->write_clear != NULL)
		assert_true(stream_write(c->s, view_str(c->write_clear)));
	stream_start_tls(c->s, c->f->tls, c->name);
}

static void
on_connected(void *owner)
{
	struct client *c = owner;

	if (!c->wait_clear)
		start(c);
	else if (c->write_clear != NULL)
		assert_true(stream_write(c->s, view_str(c->write_clear)));
}

static void
on_input(void *owner)
{
	struct client *c = owner;
	struct view in = stream_input(c->s);

	if (!c->tls) {
		assert_true(c->wait_clear);
		if (!c->keep_clear)
			stream_consume(c->s, in.n);
		stream_start_tls(c->s, c->f->tls, c->name);
		return;
	}
	for (size_t i = 0; i < in.n && c->to_send != 0; i++)
		c->sum_ok = c->sum_ok && in.p[i] == pattern(c->got + i);
	c->got += in.n;
	stream_consume(c->s, in.n);
	if (c->want != 0 && c->got >= c->want && !c->want_eof)
		loop_stop(c->f->loop);
}

static void
on_drained(void *owner)
{
	struct client *c = owner;

	if (c->tls)
		send_pattern(c);
}

static void
on_tls(void *owner)
{
	struct client *c = owner;

	c->tls = true;
	assert_true(stream_tls_info(c->s, &c->info));
	send_pattern(c);
	if (c->want == 0 && !c->want_eof)
		loop_stop(c->f->loop);
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	struct client *c = owner;

	c->closed = true;
	c->end = *end;
	loop_stop(c->f->loop);
}

static const struct stream_events events = { on_connected, on_input, on_drained, on_tls, on_closed, NULL };
static const struct stream_limits limits = { 5000, 100000 };

static int
setup(void **state)
{
	static struct fixture f;
	struct worker *resolver;
	struct tls_params p = { ca_path, true };

	f = (struct fixture){ 0 };
	if (loop_new(&f.loop, NULL) < 0 || worker_new(&resolver, f.loop, "resolve", NULL) < 0 ||
	    tls_client_new(&f.tls, &p, NULL) < 0)
		return -1;
	f.net = net_new(f.loop, resolver);
	patience_init(&f.patience, f.loop);
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	net_free(f->net);
	tls_client_free(f->tls);
	loop_free(f->loop);
	return 0;
}

static void
connect_to(struct client *c, struct fixture *f, const struct server *s)
{
	c->f = f;
	c->sum_ok = true;
	if (c->name == NULL)
		c->name = "mail.example";
	c->s = net_connect(f->net, &s->address, &limits, &events, c);
	patience_run(&f->patience);
}

static const struct cert_wish good = { "x", "DNS:mail.example,DNS:*.pool.example,IP:127.0.0.1",
    "serverAuth", -1, 30, false };

/* One connection to a server with the wished certificate; c has the outcome. */
static void
meet(struct fixture *f, struct client *c, struct server *s, const struct cert_wish *w,
    const struct cert *issuer)
{
	struct cert cert;

	cert_make(&cert, w, issuer);
	server_start(s, &cert);
	connect_to(c, f, s);
	stream_close(c->s);
	for (int i = 0; i < 5; i++)
		loop_turn(f->loop);
	server_stop(s);
	cert_done(&cert);
}

static void
test_good_certificate(void **state)
{
	struct client c = { .want = 5 };
	struct server s = { .say_in_tls = "220 x" };

	meet(*state, &c, &s, &good, &ca);
	assert_true(c.tls);
	assert_int_equal(c.got, 5);
	assert_string_equal(s.sni, "mail.example");
	assert_string_equal(c.info.version, "TLSv1.3");
	assert_string_equal(c.info.issuer, "CN=Test CA");
	assert_false(c.info.resumed);
	assert_true(c.info.not_after_ms > loop_wall(c.f->loop) + INT64_C(29) * 86400000);
	assert_true(c.info.not_after_ms < loop_wall(c.f->loop) + INT64_C(31) * 86400000);
}

static void
test_wildcard_and_number(void **state)
{
	struct client a = { .name = "a.pool.example" }, b = { .name = "127.0.0.1" };
	struct server s = { 0 }, t = { 0 };

	meet(*state, &a, &s, &good, &ca);
	assert_true(a.tls);
	meet(*state, &b, &t, &good, &ca);
	assert_true(b.tls);
	assert_string_equal(t.sni, "");
}

/* The handshake fails; nothing was said. */
static void
expect_failure(struct fixture *f, const struct cert_wish *w, const struct cert *issuer,
    const char *name, enum stream_end_kind kind, const char *words)
{
	struct client c = { .name = name, .to_send = 5 };
	struct server s = { .echo = true };

	meet(f, &c, &s, w, issuer);
	assert_false(c.tls);
	assert_true(c.closed);
	assert_int_equal(c.sent, 0);
	assert_int_equal(c.end.kind, kind);
	if (strstr(c.end.text, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, c.end.text);
}

static void
test_wrong_name(void **state)
{
	/* A matching common name does not help: only subjectAltName counts. */
	struct cert_wish w = good;

	w.common_name = "mail.example";
	w.alt_names = "DNS:other.example";
	expect_failure(*state, &w, &ca, NULL, STREAM_TLS_NAME,
	    "the certificate is for other.example, not for mail.example");
	w.alt_names = NULL;
	expect_failure(*state, &w, &ca, NULL, STREAM_TLS_NAME, "no host name");
	expect_failure(*state, &good, &ca, "127.0.0.2", STREAM_TLS_NAME, "127.0.0.2");
	expect_failure(*state, &good, &ca, "a.b.pool.example", STREAM_TLS_NAME, "pool.example");
}

static void
test_dates(void **state)
{
	struct cert_wish w = good;

	w.from_day = -10;
	w.to_day = -2;
	expect_failure(*state, &w, &ca, NULL, STREAM_TLS_EXPIRED, "CN=x expired on 20");
	w.from_day = 2;
	w.to_day = 9;
	expect_failure(*state, &w, &ca, NULL, STREAM_TLS_EXPIRED, "is the clock right");
}

static void
test_untrusted(void **state)
{
	struct cert_wish w = { "Other CA", NULL, NULL, -1, 30, true };
	struct cert other;

	expect_failure(*state, &good, NULL, NULL, STREAM_TLS_UNTRUSTED, "self-signed: CN=x");
	cert_make(&other, &w, NULL);
	expect_failure(*state, &good, &other, NULL, STREAM_TLS_UNTRUSTED, "not trusted here: CN=Other CA");
	cert_done(&other);
	w = good;
	w.usage = "clientAuth";
	expect_failure(*state, &w, &ca, NULL, STREAM_TLS_UNTRUSTED, "not for servers");
}

/* By rename, as certificates are renewed: the next handshake trusts whom the new file names, and no other. */
static void
test_replaced_certificates_are_noticed(void **state)
{
	struct fixture *f = *state;
	struct cert_wish w = { "Other CA", NULL, NULL, -1, 30, true };
	struct cert other;
	char path[] = "/tmp/ph-ca-XXXXXX", next[] = "/tmp/ph-ca-XXXXXX";
	struct tls_params p = { path, true };
	struct client before = { 0 }, after = { 0 }, old = { 0 };
	struct server s1 = { 0 }, s2 = { 0 }, s3 = { 0 };
	struct err e;
	bool changed;
	FILE *broken;

	cert_make(&other, &w, NULL);
	cert_write(&ca, path);
	tls_client_free(f->tls);
	assert_int_equal(tls_client_new(&f->tls, &p, NULL), 0);
	meet(f, &before, &s1, &good, &other);
	assert_int_equal(before.end.kind, STREAM_TLS_UNTRUSTED);
	assert_string_equal(before.end.issuer, "CN=Other CA");
	assert_int_equal(tls_client_refresh(f->tls, &changed, &e), 0);
	assert_false(changed);
	cert_write(&other, next);
	assert_int_equal(rename(next, path), 0);
	assert_int_equal(tls_client_refresh(f->tls, &changed, &e), 0);
	assert_true(changed);
	meet(f, &after, &s2, &good, &other);
	assert_true(after.tls);
	meet(f, &old, &s3, &good, &ca);
	assert_int_equal(old.end.kind, STREAM_TLS_UNTRUSTED);
	/* What can't be read is said once, and changes nothing. */
	broken = fopen(path, "w");
	assert_non_null(broken);
	assert_int_equal(fclose(broken), 0);
	assert_int_equal(tls_client_refresh(f->tls, &changed, &e), -1);
	assert_non_null(strstr(e.text, path));
	assert_int_equal(tls_client_refresh(f->tls, &changed, &e), 0);
	assert_false(changed);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(tls_client_refresh(f->tls, &changed, &e), 0);
	assert_false(changed);
	cert_done(&other);
}

static void
test_insecure_accepts_any(void **state)
{
	struct fixture *f = *state;
	struct tls_params p = { NULL, false };
	struct client c = { 0 };
	struct server s = { 0 };

	tls_client_free(f->tls);
	assert_int_equal(tls_client_new(&f->tls, &p, NULL), 0);
	meet(f, &c, &s, &good, NULL);
	assert_true(c.tls);
}

static void
test_old_version_is_refused(void **state)
{
	struct fixture *f = *state;
	struct client c = { 0 };
	struct server s = { 0 };
	struct cert cert;

	cert_make(&cert, &good, &ca);
	server_start(&s, &cert);
	/* The accepting thread makes its SSL from this context only when we connect. */
	SSL_CTX_set_security_level(s.ctx, 0);
	assert_int_equal(SSL_CTX_set_min_proto_version(s.ctx, TLS1_VERSION), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(s.ctx, TLS1_1_VERSION), 1);
	connect_to(&c, f, &s);
	assert_false(c.tls);
	assert_int_equal(c.end.kind, STREAM_TLS_HANDSHAKE);
	assert_non_null(strstr(c.end.text, "1.2"));
	stream_close(c.s);
	loop_turn(f->loop);
	server_stop(&s);
	cert_done(&cert);
}

static void
test_plain_text_peer(void **state)
{
	struct client c = { 0 };
	struct server s = { .say_clear = "220 mail.example ESMTP\r\n", .no_tls = true };

	meet(*state, &c, &s, &good, &ca);
	assert_int_equal(c.end.kind, STREAM_TLS_NOT_TLS);
	assert_non_null(strstr(c.end.text, "\"220 mail.example ESMTP\""));
}

static void
test_garbage_is_no_plain_text(void **state)
{
	struct client c = { 0 };
	struct server s = { .say_clear = "\x01\x02\x03\x04\x05\x06\x07\x08", .no_tls = true };

	meet(*state, &c, &s, &good, &ca);
	assert_int_equal(c.end.kind, STREAM_TLS_HANDSHAKE);
}

static void
test_peer_leaves_in_the_handshake(void **state)
{
	struct client c = { 0 };
	struct server s = { .leave = true };

	meet(*state, &c, &s, &good, &ca);
	assert_int_equal(c.end.kind, STREAM_TLS_HANDSHAKE);
}

static void
test_starttls_sends_the_clear_part_first(void **state)
{
	struct client c = { .write_clear = "STARTTLS\r\n", .want = 1000, .to_send = 1000 };
	struct server s = { .read_clear = 10, .echo = true };

	meet(*state, &c, &s, &good, &ca);
	assert_true(c.tls);
	assert_string_equal(s.heard, "STARTTLS\r\n");
	assert_true(c.sum_ok);
	assert_int_equal(c.got, 1000);
}

static void
test_starttls_after_a_reply(void **state)
{
	struct client c = { .wait_clear = true, .want = 3, .to_send = 3 };
	struct server s = { .say_clear = "220 go\r\n", .echo = true };

	meet(*state, &c, &s, &good, &ca);
	assert_true(c.tls);
	assert_int_equal(c.got, 3);
}

static void
test_injected_plain_text_is_fatal(void **state)
{
	struct client c = { .wait_clear = true, .keep_clear = true };
	struct server s = { .say_clear = "220 go\r\n250 injected\r\n", .no_tls = true };

	meet(*state, &c, &s, &good, &ca);
	assert_false(c.tls);
	assert_int_equal(c.end.kind, STREAM_FAILED);
	assert_non_null(strstr(c.end.text, "in clear before the TLS handshake"));
}

static void
test_much_in_both_directions(void **state)
{
	struct client c = { .want = 3000000, .to_send = 3000000 };
	struct server s = { .echo = true };

	meet(*state, &c, &s, &good, &ca);
	assert_true(c.sum_ok);
	assert_int_equal(c.got, 3000000);
}

static void
test_end_with_and_without_close_notify(void **state)
{
	struct client c = { .want_eof = true }, d = { .want_eof = true };
	struct server s = { .say_in_tls = "221 bye" }, t = { .say_in_tls = "221 bye", .rude = true };

	meet(*state, &c, &s, &good, &ca);
	assert_int_equal(c.end.kind, STREAM_EOF);
	assert_int_equal(c.got, 7);
	meet(*state, &d, &t, &good, &ca);
	assert_int_equal(d.end.kind, STREAM_EOF);
	assert_int_equal(d.got, 7);
}

static void
test_sessions_are_resumed_per_name(void **state)
{
	struct fixture *f = *state;
	struct server s = { .say_in_tls = "220 x", .connections = 3 };
	struct client a = { .want = 5 }, b = { .want = 5 }, other = { .want = 5, .name = "a.pool.example" };
	struct cert cert;

	cert_make(&cert, &good, &ca);
	server_start(&s, &cert);
	connect_to(&a, f, &s);
	stream_close(a.s);
	loop_turn(f->loop);
	connect_to(&b, f, &s);
	stream_close(b.s);
	loop_turn(f->loop);
	connect_to(&other, f, &s);
	stream_close(other.s);
	loop_turn(f->loop);
	server_stop(&s);
	cert_done(&cert);
	assert_false(a.info.resumed);
	assert_true(b.info.resumed);
	assert_string_equal(b.info.issuer, "CN=Test CA");
	assert_false(other.info.resumed);
}

static void
test_context_errors(void **state)
{
	struct tls_client *t = NULL;
	struct tls_params p = { "/nowhere/ca.pem", true };
	struct err e;

	assert_int_equal(tls_client_new(&t, &p, &e), -1);
	assert_non_null(strstr(e.text, "/nowhere/ca.pem"));
	assert_null(t);
	p.ca_file = NULL;
	assert_int_equal(tls_client_new(&t, &p, &e), 0);
	tls_client_free(t);
}

static int
make_ca(void **state)
{
	struct cert_wish w = { "Test CA", NULL, NULL, -1, 30, true };

	/* For the server's thread; the streams must not need it (test_stream). */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -1;
	cert_make(&ca, &w, NULL);
	cert_write(&ca, ca_path);
	return 0;
}

static int
remove_ca(void **state)
{
	cert_done(&ca);
	return unlink(ca_path);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_good_certificate),
		T(test_wildcard_and_number),
		T(test_wrong_name),
		T(test_dates),
		T(test_untrusted),
		T(test_replaced_certificates_are_noticed),
		T(test_insecure_accepts_any),
		T(test_old_version_is_refused),
		T(test_plain_text_peer),
		T(test_garbage_is_no_plain_text),
		T(test_peer_leaves_in_the_handshake),
		T(test_starttls_sends_the_clear_part_first),
		T(test_starttls_after_a_reply),
		T(test_injected_plain_text_is_fatal),
		T(test_much_in_both_directions),
		T(test_end_with_and_without_close_notify),
		T(test_sessions_are_resumed_per_name),
		T(test_context_errors),
	};

	return cmocka_run_group_tests_name("tls", tests, make_ca, remove_ca);
}
