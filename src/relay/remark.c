/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remark - gathers what diagnosis wants to know of all ports, and takes its words to
 * health, for people, and to the log, when they are new.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/quote.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

static void
keep(char to[DIAGNOSIS_WORD_MAX], const char *text, struct relay *r)
{
	char flat[DIAGNOSIS_WORD_MAX];

	snprintf(flat, sizeof(flat), "%s", text);
	quote_flatten((uint8_t *)flat, strlen(flat));
	if (strcmp(flat, to) == 0)
		return;
	memcpy(to, flat, strlen(flat) + 1);
	r->remarks_due = true;
}

static struct diagnosis_port *
port_of(struct session *s)
{
	return &s->up->watch.port[s->endpoint].showed;
}

void
remark_issuer(struct session *s, const char *issuer)
{
	if (issuer[0] != '\0')
		keep(port_of(s)->issuer, issuer, s->r);
}

/* A session has ended, or shown that it works. */
void
remark_class(struct session *s, enum health_class class)
{
	struct diagnosis_port *p = port_of(s);
	enum health_scope scope = health_class_info(class)->scope;

	if (s->client != NULL && client_greeting(s->client)[0] != '\0')
		keep(p->greeting, client_greeting(s->client), s->r);
	if (scope == SCOPE_MESSAGE || scope == SCOPE_ACCOUNT || class == HEALTH_DNS_FAIL)
		return;		/* of the port it says nothing */
	if (p->tried && p->class == class)
		return;
	p->tried = true;
	p->class = class;
	s->r->remarks_due = true;
}

static void
tell(struct upstream *u, size_t i, const struct diagnosis *d)
{
	struct log_line l;

	if (!health_set_remark(u->health, i, d->meaning, d->advice) || d->meaning[0] == '\0')
		return;
	log_begin(&l, u->r->life, LEVEL_WARNING, "diagnosis");
	log_word(&l, "relay", u->conf->name);
	log_word(&l, "endpoint", watch_endpoint(u, i));
	log_text(&l, "meaning", view_str(d->meaning));
	log_text(&l, "advice", view_str(d->advice));
	log_end(&l);
}

void
remark_look(struct relay *r)
{
	struct diagnosis_port *all;
	size_t n = 0, k = 0;

	if (!r->remarks_due)
		return;
	r->remarks_due = false;
	all = xcalloc(CONF_RELAYS_MAX * HEALTH_ENDPOINTS_MAX, sizeof(*all));
	for (size_t i = 0; i < r->nup; i++)
		for (size_t e = 0; e < r->up[i].conf->nendpoint; e++) {
			all[n] = r->up[i].watch.port[e].showed;
			all[n].host = r->up[i].conf->host;
			all[n].implicit = r->up[i].conf->endpoint[e].tls == CONF_TLS_IMPLICIT;
			all[n++].port = r->up[i].conf->endpoint[e].port;
		}
	for (size_t i = 0; i < r->nup; i++)
		for (size_t e = 0; e < r->up[i].conf->nendpoint; e++) {
			struct diagnosis d;

			diagnose(all, n, k++, &d);
			tell(&r->up[i], e, &d);
		}
	free(all);
}

/* A password may be right, and refused because of how it was said. */
const char *
remark_how(const struct session *s)
{
	static const char *const how[SASL_COUNT] = {
		[SASL_EXTERNAL] = " (by EXTERNAL)", [SASL_SCRAM_SHA_256] = " (by SCRAM-SHA-256)",
		[SASL_SCRAM_SHA_1] = " (by SCRAM-SHA-1)", [SASL_OAUTHBEARER] = " (by OAUTHBEARER)",
		[SASL_XOAUTH2] = " (by XOAUTH2)", [SASL_CRAM_MD5] = " (by CRAM-MD5)",
		[SASL_PLAIN] = "", [SASL_LOGIN] = "",
	};

	return client_failure(s->client)->fault == FAULT_AUTH ? how[client_mechanism(s->client)] : "";
}
