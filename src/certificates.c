/* SPDX-License-Identifier: BSD-2-Clause */
#include "certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/date.h"
#include "net/tls_server.h"
#include "secrets.h"

#include "base/banned.h"

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)
#define TEXT_MAX (2 * TLS_PEM_MAX)

/* Anybody may read it. */
static int
read_certificate(struct buf *out, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0)
		return err_unreadable(e, "the certificate", path, "chgrp", "0640");
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		rc = err_set(e, ERR_CONFIG, "the certificate %s is not a regular file", path);
	} else {
		rc = read_whole(fd, out, e);
		if (rc != 0)
			err_prefix(e, "the certificate %s", path);
	}
	(void)close(fd);
	return rc;
}

static void
warn(const char *path, const struct tls_server *tls, char warning[CONF_DANGER_MAX])
{
	int64_t now = (int64_t)time(NULL) * 1000;
	int64_t begins = tls_server_not_before_ms(tls), ends = tls_server_not_after_ms(tls);
	char date[DATE_MAX];

	warning[0] = '\0';
	if (begins > now)
		(void)snprintf(warning, CONF_DANGER_MAX, "the certificate %.200s is valid only from %s, so it "
		    "is refused: is the clock right?", path, date_rfc3339(date, begins));
	else if (ends < now)
		(void)snprintf(warning, CONF_DANGER_MAX, "the certificate %.200s ended on %s, so it is refused: "
		    "renew it, then \"posthousectl reload\"", path, date_rfc3339(date, ends));
	else if (ends - now < CERTIFICATE_SOON_DAYS * DAY_MS)
		(void)snprintf(warning, CONF_DANGER_MAX, "the certificate %.200s ends on %s: renew it, then "
		    "\"posthousectl reload\"", path, date_rfc3339(date, ends));
}

/* The certificate and, behind it, the key; they belong together. */
static int
read_pair(struct buf *text, size_t *certificate_n, const char *certificate, const char *key,
    char warning[CONF_DANGER_MAX], struct err *e)
{
	struct tls_server *tls;

	if (read_certificate(text, certificate, e) != 0)
		return -1;
	*certificate_n = buf_len(text);
	if (secret_file_read(text, "the key", key, e) != 0)
		return -1;
	if (tls_server_new(&tls, &(struct tls_pair){ view_first(buf_view(text), *certificate_n),
	    view_from(buf_view(text), *certificate_n), certificate, key }, e) != 0)
		return -1;
	warn(certificate, tls, warning);
	tls_server_free(tls);
	return 0;
}

/* Room is made first, so that growing leaves no copy of the key behind. */
static int
begin_text(struct buf *text, struct err *e)
{
	buf_init(text, TEXT_MAX);
	return buf_reserve(text, TEXT_MAX) != NULL ? 0 : err_set(e, ERR_FULL, "no memory");
}

static void
init_all(struct certificate *of, size_t n)
{
	for (size_t i = 0; i < n; i++)
		of[i].fd = -1;
}

void
certificates_init(struct certificates *c)
{
	init_all(c->listener, lengthof(c->listener));
	init_all(c->relay, lengthof(c->relay));
}

static void
close_all(const struct certificate *of, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (of[i].fd >= 0)
			(void)close(of[i].fd);
}

void
certificates_done(struct certificates *c)
{
	close_all(c->listener, lengthof(c->listener));
	close_all(c->relay, lengthof(c->relay));
	certificates_init(c);
}

int
certificate_check(const char *certificate, const char *key, char warning[CONF_DANGER_MAX], struct err *e)
{
	struct buf text;
	size_t n;
	int rc;

	warning[0] = '\0';
	if (certificate == NULL)
		return 0;
	rc = begin_text(&text, e);
	if (rc == 0)
		rc = read_pair(&text, &n, certificate, key, warning, e);
	buf_wipe(&text);
	return rc;
}

static int
fetch_one(struct certificate *out, const char *certificate, const char *key, struct log *log, struct err *e)
{
	char warning[CONF_DANGER_MAX];
	struct buf text;
	int rc = begin_text(&text, e);

	if (rc == 0)
		rc = read_pair(&text, &out->certificate_n, certificate, key, warning, e);
	if (rc == 0)
		rc = sealed_file(&out->fd, "posthouse-tls", buf_view(&text), e);
	buf_wipe(&text);
	if (rc == 0 && warning[0] != '\0')
		log_simple(log, LEVEL_WARNING, "certificate", "%s", warning);
	return rc;
}

static int
fetch_all(struct certificates *out, const struct conf *c, struct log *log, struct err *e)
{
	for (size_t i = 0; i < c->nlistener; i++) {
		const struct conf_listener *l = &c->listener[i];

		if (l->tls != CONF_LISTENER_TLS_OFF &&
		    fetch_one(&out->listener[i], l->certificate, l->key, log, e) != 0)
			return err_prefix(e, "listener %s", l->name);
	}
	for (size_t i = 0; i < c->nrelay; i++) {
		const struct conf_relay *r = &c->relay[i];

		if (r->certificate != NULL && fetch_one(&out->relay[i], r->certificate, r->key, log, e) != 0)
			return err_prefix(e, "relay %s", r->name);
	}
	return 0;
}

int
certificates_fetch(struct certificates *out, const struct conf *c, struct log *log, struct err *e)
{
	certificates_init(out);
	if (fetch_all(out, c, log, e) == 0)
		return 0;
	certificates_done(out);
	return -1;
}
