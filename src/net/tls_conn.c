/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tls_conn.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/buffer.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "base/require.h"
#include "net/tls_private.h"

#include "base/banned.h"

#define RECORD_MAX	16384
#define ENCRYPT_MAX	65536u			/* plain bytes at a time */
#define OUTPUT_MAX	(4u * ENCRYPT_MAX)	/* records of that, alerts, handshake */
#define HEARD_MAX	60
#define KEEP_EMPTY	4096			/* of what came and is decrypted, and of what was encrypted */
#define HANDSHAKE_MAX	16384u			/* bytes of a client: OpenSSL would keep 128 KiB for a ClientHello */
#define HELLO_HEAD	9u			/* record header, type and length of the message */

struct tls_conn {
	struct tls_client *client;		/* NULL: this is the server's side */
	SSL		*ssl;
	BIO		*from_peer, *to_peer;	/* owned by ssl */
	struct buf	 output;
	char		*name;
	char		 key[TLS_KEY_MAX];
	char		 heard[HEARD_MAX];	/* the peer's first bytes, if they are not TLS */
	bool		 any_heard;
	uint8_t		 head[HELLO_HEAD];	/* of the server's side: the client's first bytes */
	size_t		 fed;			/* bytes before the end of the handshake */
	struct stream_end verdict;		/* of the certificate check */
	bool		 rejected;
};

const char *
tls_conn_key(const SSL *ssl)
{
	struct tls_conn *c = SSL_get_app_data(ssl);

	return c != NULL ? c->key : NULL;
}

/* Called for each certificate of the chain, and for each objection. */
static int
on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_conn *c = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (!ok && !c->rejected && cert != NULL) {
		c->rejected = true;
		tls_words_certificate(&c->verdict, X509_STORE_CTX_get_error(store), cert, c->name);
	}
	return ok;
}

/* The name for the certificate check and, unless it is a number, for SNI (RFC 6066, 3). */
static bool
set_name(struct tls_conn *c)
{
	struct address a;

	if (address_from_host(&a, view_str(c->name), 0)) {
		char text[ADDRESS_TEXT_MAX];

		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl),
		    address_host_text(text, &a)) == 1;
	}
	return SSL_set1_host(c->ssl, c->name) == 1 && SSL_set_tlsext_host_name(c->ssl, c->name) == 1;
}

/* False: no memory. */
static bool
prepare(struct tls_conn *c, SSL_CTX *ctx)
{
	buf_init(&c->output, OUTPUT_MAX);
	c->ssl = SSL_new(ctx);
	c->from_peer = BIO_new(BIO_s_mem());
	c->to_peer = BIO_new(BIO_s_mem());
	if (c->ssl == NULL || c->from_peer == NULL || c->to_peer == NULL ||
	    SSL_set_app_data(c->ssl, c) != 1 || (c->name != NULL && !set_name(c))) {
		BIO_free(c->from_peer);
		BIO_free(c->to_peer);
		ERR_clear_error();
		return false;
	}
	SSL_set_bio(c->ssl, c->from_peer, c->to_peer);
	return true;
}

struct tls_conn *
tls_conn_new(struct tls_client *client, const char *name, uint16_t port)
{
	struct tls_conn *c = xzalloc(sizeof(*c));
	SSL_SESSION *session;

	c->client = client;
	client->users++;
	c->name = xstrdup(name);
	(void)snprintf(c->key, sizeof(c->key), "%.253s:%u", name, port);	/* RFC 1035: 253 */
	if (!prepare(c, client->ctx)) {
		tls_conn_free(c);
		return NULL;
	}
	if (SSL_CTX_get_verify_mode(client->ctx) != SSL_VERIFY_NONE)
		SSL_set_verify(c->ssl, SSL_VERIFY_PEER, on_verify);
	SSL_set_connect_state(c->ssl);
	session = tls_client_recall(client, c->key);
	if (session != NULL)
		(void)SSL_set_session(c->ssl, session);		/* if not, a full handshake does */
	return c;
}

struct tls_conn *
tls_conn_new_server(struct tls_server *server)
{
	struct tls_conn *c = xzalloc(sizeof(*c));

	if (!prepare(c, server->ctx)) {
		tls_conn_free(c);
		return NULL;
	}
	SSL_set_accept_state(c->ssl);
	return c;
}

void
tls_conn_free(struct tls_conn *c)
{
	if (c == NULL)
		return;
	SSL_free(c->ssl);
	tls_client_release(c->client);
	buf_done(&c->output);
	free(c->name);
	free(c);
}

/* Records begin with 20 to 23; SMTP begins with a digit, HTTP with a letter. */
static void
listen_for_plain_text(struct tls_conn *c, struct view v)
{
	size_t n = view_first(v, sizeof(c->heard) - 1).n;

	if (c->any_heard || v.n == 0)
		return;
	c->any_heard = true;
	if (!is_print(v.p[0]))
		return;
	n = view_find(view_first(v, n), '\r');
	memcpy(c->heard, v.p, n);
	c->heard[n] = '\0';
	quote_flatten((uint8_t *)c->heard, n);
}

static void
note_head(struct tls_conn *c, struct view v)
{
	for (size_t i = 0; i < v.n && c->fed + i < HELLO_HEAD; i++)
		c->head[c->fed + i] = v.p[i];
	if (!SSL_is_init_finished(c->ssl))
		c->fed += v.n;
}

/* RFC 8446 4: it announces its length, and OpenSSL makes room for all of that at once. */
static bool
is_hello_too_long(const struct tls_conn *c)
{
	return c->client == NULL && c->fed >= HELLO_HEAD && c->head[0] == SSL3_RT_HANDSHAKE &&
	    ((unsigned)c->head[6] << 16 | (unsigned)c->head[7] << 8 | c->head[8]) > HANDSHAKE_MAX;
}

bool
tls_conn_received(struct tls_conn *c, struct view v)
{
	size_t done;

	listen_for_plain_text(c, v);
	note_head(c, v);
	return BIO_write_ex(c->from_peer, v.p, v.n, &done) == 1 && done == v.n;
}

/* What OpenSSL has for the peer; false: more than a correct one makes us say. */
static bool
collect_output(struct tls_conn *c)
{
	for (;;) {
		size_t n = BIO_ctrl_pending(c->to_peer);
		uint8_t *at;

		if (n == 0)
			return true;
		at = buf_reserve(&c->output, n);
		if (at == NULL || BIO_read_ex(c->to_peer, at, n, &n) != 1)
			return false;
		buf_grew(&c->output, n);
	}
}

/* What a call of OpenSSL that did not succeed means. */
static enum tls_progress
judge(struct tls_conn *c, int rc, bool handshake, struct stream_end *end)
{
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:		/* memory always takes it */
		return TLS_MORE;
	case SSL_ERROR_ZERO_RETURN:
		if (!handshake)
			return TLS_CLOSED;
		break;
	default:
		break;
	}
	if (c->client != NULL)		/* a session that was refused must not be offered again */
		tls_client_forget(c->client, c->key);
	if (handshake && c->heard[0] != '\0' && c->client == NULL)
		stream_end_set(end, STREAM_TLS_NOT_TLS, "the client speaks plain text where TLS was expected");
	else if (handshake && c->heard[0] != '\0')
		stream_end_set(end, STREAM_TLS_NOT_TLS,
		    "the server answered in plain text where TLS was expected: \"%s\"", c->heard);
	else if (c->rejected)
		*end = c->verdict;
	else
		tls_words_error(end, handshake, c->client != NULL ? "server" : "client");
	ERR_clear_error();
	return TLS_FAILED;
}

static enum tls_progress
too_much(struct stream_end *end)
{
	stream_end_set(end, STREAM_FAILED, "TLS has more to say than there is memory for");
	return TLS_FAILED;
}

static enum tls_progress
too_long(struct stream_end *end)
{
	stream_end_set(end, STREAM_TLS_HANDSHAKE, "the client says more than %u bytes in the TLS handshake",
	    HANDSHAKE_MAX);
	return TLS_FAILED;
}

enum tls_progress
tls_conn_handshake(struct tls_conn *c, struct stream_end *end)
{
	enum tls_progress p = TLS_DONE;
	int rc;

	if (is_hello_too_long(c))
		return too_long(end);
	ERR_clear_error();
	rc = SSL_do_handshake(c->ssl);
	if (rc != 1)
		p = judge(c, rc, true, end);
	if (p == TLS_MORE && c->client == NULL && c->fed > HANDSHAKE_MAX)
		return too_long(end);
	if (!collect_output(c))		/* also the alert that says why we refuse */
		return too_much(end);
	return p;
}

/* In place of one that is empty and has grown; NULL: it stays. */
static BIO *
fresh_for(BIO *b)
{
	BUF_MEM *room;

	if (BIO_ctrl_pending(b) != 0 || BIO_get_mem_ptr(b, &room) != 1 || room->max <= KEEP_EMPTY)
		return NULL;
	return BIO_new(BIO_s_mem());
}

/* A connection that rests keeps none of the room that its last burst needed. */
static void
give_back(struct tls_conn *c)
{
	BIO *from = fresh_for(c->from_peer), *to = fresh_for(c->to_peer);

	if (from != NULL) {
		SSL_set0_rbio(c->ssl, from);	/* frees the old one */
		c->from_peer = from;
	}
	if (to != NULL) {
		SSL_set0_wbio(c->ssl, to);
		c->to_peer = to;
	}
}

enum tls_progress
tls_conn_read(struct tls_conn *c, struct buf *in, struct stream_end *end)
{
	for (;;) {
		size_t room = buf_room(in), n;
		uint8_t *at;
		enum tls_progress p;

		if (room == 0)
			return SSL_has_pending(c->ssl) || BIO_ctrl_pending(c->from_peer) != 0 ?
			    TLS_FULL : TLS_MORE;
		at = buf_reserve(in, room < RECORD_MAX ? room : RECORD_MAX);
		if (at == NULL)
			return too_much(end);
		ERR_clear_error();
		if (SSL_read_ex(c->ssl, at, room < RECORD_MAX ? room : RECORD_MAX, &n) == 1) {
			buf_grew(in, n);
			continue;
		}
		p = judge(c, 0, false, end);
		give_back(c);
		return collect_output(c) ? p : too_much(end);
	}
}

enum tls_progress
tls_conn_write(struct tls_conn *c, struct buf *out, struct stream_end *end)
{
	size_t left = view_first(buf_view(out), ENCRYPT_MAX).n;

	while (left > 0) {
		size_t n;

		ERR_clear_error();
		if (SSL_write_ex(c->ssl, buf_view(out).p, left, &n) != 1)
			return judge(c, 0, false, end);
		buf_consume(out, n);
		left -= n;
	}
	if (!collect_output(c))
		return too_much(end);
	give_back(c);
	return TLS_MORE;
}

void
tls_conn_bye(struct tls_conn *c)
{
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl);	/* the peer's own close_notify is not waited for */
	(void)collect_output(c);	/* the connection ends in any case */
	ERR_clear_error();
}

struct buf *
tls_conn_output(struct tls_conn *c)
{
	return &c->output;
}

void
tls_conn_info(const struct tls_conn *c, struct tls_info *out)
{
	X509 *cert = SSL_get0_peer_certificate(c->ssl);

	*out = (struct tls_info){ .resumed = SSL_session_reused(c->ssl) == 1 };
	(void)snprintf(out->version, sizeof(out->version), "%s", SSL_get_version(c->ssl));
	(void)snprintf(out->cipher, sizeof(out->cipher), "%s", c->client != NULL ? SSL_get_cipher_name(c->ssl) :
	    SSL_CIPHER_standard_name(SSL_get_current_cipher(c->ssl)));
	if (cert == NULL)
		return;
	tls_words_name(out->issuer, sizeof(out->issuer), X509_get_issuer_name(cert));
	tls_words_name(out->subject, sizeof(out->subject), X509_get_subject_name(cert));
	out->not_after_ms = tls_words_time_ms(X509_get0_notAfter(cert));
}
