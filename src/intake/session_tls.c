/* SPDX-License-Identifier: BSD-2-Clause */
/* TLS of sessions: when it begins, and what becomes of who does not get through it. */
#include "intake/session_impl.h"

#include <stdio.h>

#include "net/net.h"

#include "base/banned.h"

enum conf_listener_tls
session_tls_mode(const struct session *s)
{
	return s->peer.by != NULL ? s->peer.by->tls : CONF_LISTENER_TLS_OFF;
}

struct tls_server *
session_tls_server(const struct session *s)
{
	return s->peer.by != NULL ? s->host->tls[s->peer.by - s->host->conf->listener] : NULL;
}

void
session_tls_failed(struct session *s, const char *why)
{
	struct session_host *host = s->host;
	struct log_line line;

	host->refused++;
	if (refusals_count(&host->refusals)) {
		log_begin(&line, host->log, LEVEL_INFO, "tls-failed");
		log_text(&line, "reason", view_str(why));
		log_text(&line, "listener", view_str(s->peer.by->name));
		session_log_who(s, &line);
		log_end(&line);
	}
	session_finish(s);
}

void
session_tls_expired(struct session *s)
{
	session_tls_failed(s, s->host->draining ? "the daemon stops, or takes a new configuration" :
	    "the client did not finish the handshake in time");
}

void
session_begin_tls(struct session *s)
{
	struct tls_server *tls = session_tls_server(s);

	if (tls == NULL || s->at_end) {
		session_tls_failed(s, tls == NULL ? "there is no certificate" : "the client has gone");
		return;
	}
	session_move(s, STATE_TLS);
	stream_serve_tls(s->stream, tls);
}

void
session_on_tls(void *owner)
{
	struct session *s = session_own(owner);
	struct tls_info info;

	if (stream_tls_info(s->stream, &info))
		(void)snprintf(s->tls, sizeof(s->tls), "%s %s", info.version, info.cipher);
	server_secured(s->server);
	if (session_tls_mode(s) == CONF_LISTENER_TLS_IMPLICIT)
		server_greet(s->server, NULL);
	session_move(s, STATE_COMMAND);
	session_run(s);
}
