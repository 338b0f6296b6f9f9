/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/tls.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/view.h"
#include "net/tls_private.h"

#include "base/banned.h"

const char *const tls_read_dirs[] = {
	"/etc/ssl",
	"/etc/pki",
	"/etc/ca-certificates",
	"/usr/lib/ssl",
	"/usr/share/ca-certificates",
	"/usr/share/pki",
	"/usr/local/share/ca-certificates",
	"/var/lib/ca-certificates",
	NULL
};

struct remembered {
	struct list	 link;
	char		*key;
	SSL_SESSION	*session;
};

/* A directory of files named by hash ("1a2b3c4d.0"), as c_rehash makes them. */
static bool
is_hashed(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	bool found = false;

	if (d == NULL)
		return false;
	while (!found && (entry = readdir(d)) != NULL) {
		struct view name = view_str(entry->d_name);

		found = name.n == 10 && view_ends(name, VIEW(".0"));
	}
	(void)closedir(d);	/* read-only */
	return found;
}

/*
 * The whole bundle is some MiB in memory. Where the system also has it as a
 * directory by hash, OpenSSL reads just the issuers that peers show.
 */
static int
use_system_store(X509_STORE *store, struct err *e)
{
	const char *dir = X509_get_default_cert_dir();
	bool chosen = getenv(X509_get_default_cert_dir_env()) != NULL ||
	    getenv(X509_get_default_cert_file_env()) != NULL;

	if (!chosen && is_hashed(dir)) {
		if (X509_STORE_load_path(store, dir) == 1)
			return 0;
	} else if (X509_STORE_set_default_paths(store) == 1) {
		return 0;
	}
	return err_set(e, ERR_TLS, "can't use the system's certificate store");
}

static int
load_trust(const struct tls_client *c, X509_STORE *store, struct err *e)
{
	if (c->ca_file == NULL)
		return use_system_store(store, e);
	if (X509_STORE_load_file(store, c->ca_file) != 1)
		return err_set(e, ERR_TLS, "can't read certificates from %s: %s", c->ca_file,
		    ERR_reason_error_string(ERR_peek_last_error()));
	return 0;
}

static const char *
from_env(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value != NULL ? value : otherwise;
}

static struct tls_stamp
stamp_of(const char *path)
{
	struct stat st;

	if (path == NULL || stat(path, &st) < 0)
		return (struct tls_stamp){ .dev = 0 };
	return (struct tls_stamp){ .dev = st.st_dev, .ino = st.st_ino, .size = (uint64_t)st.st_size,
		.s = st.st_ctim.tv_sec, .ns = st.st_ctim.tv_nsec };
}

static void
take_stamps(const struct tls_client *c, struct tls_stamp out[2])
{
	bool own = c->ca_file != NULL;

	out[0] = stamp_of(own ? c->ca_file :
	    from_env(X509_get_default_cert_file_env(), X509_get_default_cert_file()));
	out[1] = stamp_of(own ? NULL :
	    from_env(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
}

/* OpenSSL calls it when the server hands out a session or ticket. 1: kept. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_client *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const char *key = tls_conn_key(ssl);

	if (key == NULL || !SSL_SESSION_is_resumable(session))
		return 0;
	tls_client_remember(c, key, session);
	return 1;
}

SSL_CTX *
tls_context(const SSL_METHOD *method, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		ERR_clear_error();
		(void)err_set(e, ERR_TLS, "no memory for TLS");
		return NULL;
	}
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return ctx;
}

static int
prepare(struct tls_client *c, const struct tls_params *p, struct err *e)
{
	SSL_CTX *ctx = c->ctx;

	if (X509_VERIFY_PARAM_set_purpose(SSL_CTX_get0_param(ctx), X509_PURPOSE_SSL_SERVER) != 1)
		return err_set(e, ERR_TLS, "can't verify servers");
	X509_VERIFY_PARAM_set_hostflags(SSL_CTX_get0_param(ctx),
	    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	(void)SSL_CTX_set_session_cache_mode(ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	if (SSL_CTX_set_app_data(ctx, c) != 1)
		return err_set(e, ERR_TLS, "no memory for TLS");
	if (p->pair != NULL && tls_use_pair(ctx, p->pair, e) < 0)
		return -1;
	if (!p->verify)
		return 0;
	take_stamps(c, c->stamp);
	return load_trust(c, SSL_CTX_get_cert_store(ctx), e);
}

int
tls_client_new(struct tls_client **out, const struct tls_params *p, struct err *e)
{
	struct tls_client *c = xzalloc(sizeof(*c));

	c->users = 1;
	c->verify = p->verify;
	c->ca_file = p->ca_file != NULL ? xstrdup(p->ca_file) : NULL;
	list_init(&c->sessions);
	c->ctx = tls_context(TLS_client_method(), e);
	if (c->ctx == NULL || prepare(c, p, e) < 0) {
		ERR_clear_error();
		tls_client_free(c);
		return -1;
	}
	SSL_CTX_set_verify(c->ctx, p->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	*out = c;
	return 0;
}

bool
tls_client_certificate(const struct tls_client *c, uint8_t out[32])
{
	const X509 *cert = SSL_CTX_get0_certificate(c->ctx);

	return cert != NULL && X509_digest(cert, EVP_sha256(), out, NULL) == 1;
}

static void
drop(struct tls_client *c, struct remembered *r)
{
	list_remove(&r->link);
	c->nsessions--;
	SSL_SESSION_free(r->session);
	free(r->key);
	free(r);
}

int
tls_client_refresh(struct tls_client *c, bool *changed, struct err *e)
{
	struct tls_stamp now[2];
	X509_STORE *store;

	*changed = false;
	if (!c->verify)
		return 0;
	take_stamps(c, now);
	if (c->ca_file != NULL && now[0].ino == 0)
		return 0;	/* gone, or about to be replaced: what it had stays in force */
	if (memcmp(now, c->stamp, sizeof(now)) == 0)
		return 0;
	memcpy(c->stamp, now, sizeof(now));
	store = X509_STORE_new();
	if (store == NULL)
		return err_set(e, ERR_TLS, "no memory for TLS");
	if (load_trust(c, store, e) < 0) {
		ERR_clear_error();
		X509_STORE_free(store);
		return -1;
	}
	SSL_CTX_set_cert_store(c->ctx, store);		/* takes it */
	list_foreach_safe(it, &c->sessions)
		drop(c, list_entry(it, struct remembered, link));
	*changed = true;
	return 0;
}

void
tls_client_release(struct tls_client *c)
{
	if (c == NULL || --c->users > 0)
		return;
	list_foreach_safe(it, &c->sessions)
		drop(c, list_entry(it, struct remembered, link));
	SSL_CTX_free(c->ctx);
	free(c->ca_file);
	free(c);
}

void
tls_client_free(struct tls_client *c)
{
	tls_client_release(c);
}

static struct remembered *
find(struct tls_client *c, const char *key)
{
	list_foreach(it, &c->sessions) {
		struct remembered *r = list_entry(it, struct remembered, link);

		if (strcmp(r->key, key) == 0)
			return r;
	}
	return NULL;
}

void
tls_client_remember(struct tls_client *c, const char *key, SSL_SESSION *session)
{
	struct remembered *r;

	tls_client_forget(c, key);
	if (c->nsessions >= TLS_SESSIONS_MAX)
		drop(c, list_entry(c->sessions.next, struct remembered, link));
	r = xzalloc(sizeof(*r));
	r->key = xstrdup(key);
	r->session = session;
	list_push(&c->sessions, &r->link);
	c->nsessions++;
}

SSL_SESSION *
tls_client_recall(struct tls_client *c, const char *key)
{
	struct remembered *r = find(c, key);

	return r != NULL ? r->session : NULL;
}

void
tls_client_forget(struct tls_client *c, const char *key)
{
	struct remembered *r = find(c, key);

	if (r != NULL)
		drop(c, r);
}
