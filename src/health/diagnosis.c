/* SPDX-License-Identifier: BSD-2-Clause */
#include "health/diagnosis.h"

#include <stdio.h>
#include <string.h>

#include "base/banned.h"

/* What all ports are about, and the one in question. */
struct facts {
	const struct diagnosis_port	*all;
	size_t				 n;
	const struct diagnosis_port	*p;
};

static bool
is_same_host(const struct diagnosis_port *a, const struct diagnosis_port *b)
{
	return view_ieq(view_str(a->host), view_str(b->host));
}

static bool
is_certificate_fault(enum health_class class)
{
	return class == HEALTH_TLS_NAME || class == HEALTH_TLS_EXPIRED || class == HEALTH_TLS_UNTRUSTED;
}

/* "O=Example Trust" of "C=X, O=Example Trust, CN=R3": an authority signs with many names. */
static struct view
authority(const char *issuer)
{
	struct view v = view_str(issuer);
	size_t at = view_search(v, VIEW("O="));

	while (at > 0 && at < v.n && v.p[at - 1] != ' ')
		at += 1 + view_search(view_from(v, at + 1), VIEW("O="));
	if (at >= v.n)
		return v;
	v = view_from(v, at);
	return view_first(v, view_find(v, ','));
}

/* --- the findings ----------------------------------------------------------------- */

static bool
network_blocks_mail(const struct facts *f, struct diagnosis *out)
{
	bool hosts = false;

	for (size_t i = 0; i < f->n; i++) {
		if (!f->all[i].tried || f->all[i].class != HEALTH_FILTERED)
			return false;
		hosts = hosts || !is_same_host(&f->all[i], f->p);
	}
	if (!hosts)
		return false;	/* it may be the host that is away */
	snprintf(out->meaning, sizeof(out->meaning), "this network blocks mail ports: no port of any relay answers");
	out->advice = "ask the network's operator to open ports 587 and 465 (cloud providers close them by "
	    "default), or list a port that is open";
	return true;
}

static bool
interception(const struct facts *f, struct diagnosis *out)
{
	if (!is_certificate_fault(f->p->class) || f->p->issuer[0] == '\0')
		return false;
	for (size_t i = 0; i < f->n; i++) {
		const struct diagnosis_port *o = &f->all[i];

		if (o->class != HEALTH_OK || o->issuer[0] == '\0' || !is_same_host(o, f->p) ||
		    strcmp(o->issuer, f->p->issuer) == 0)
			continue;
		snprintf(out->meaning, sizeof(out->meaning), "interception on port %u: its certificate is issued "
		    "by %.60s, that of port %u by %.60s", (unsigned)f->p->port, f->p->issuer, (unsigned)o->port,
		    o->issuer);
		out->advice = "find out which device or provider answers on this port in the server's place; "
		    "mail goes over the other port";
		return true;
	}
	return false;
}

/* Both are trusted here, as that of a firewall of one's own may be. */
static bool
two_authorities(const struct facts *f, struct diagnosis *out)
{
	if (f->p->class != HEALTH_OK || f->p->issuer[0] == '\0')
		return false;
	for (size_t i = 0; i < f->n; i++) {
		const struct diagnosis_port *o = &f->all[i];

		if (o->class != HEALTH_OK || o->issuer[0] == '\0' || !is_same_host(o, f->p) ||
		    view_eq(authority(o->issuer), authority(f->p->issuer)))
			continue;
		snprintf(out->meaning, sizeof(out->meaning), "its certificate is issued by %.60s, that of port %u "
		    "by %.60s: interception on one of them?", f->p->issuer, (unsigned)o->port, o->issuer);
		out->advice = "";
		return true;
	}
	return false;
}

/* On a port that begins with TLS the same silence is a handshake that failed. */
static bool
is_silent(const struct diagnosis_port *p)
{
	return p->tried && (p->class == HEALTH_NO_BANNER || p->class == HEALTH_TLS_HANDSHAKE);
}

static bool
answers_for_every_port(const struct facts *f, struct diagnosis *out)
{
	size_t ports = 0, unheard = 0;

	for (size_t i = 0; i < f->n; i++) {
		if (!is_same_host(&f->all[i], f->p))
			continue;
		if (!is_silent(&f->all[i]))
			return false;
		ports++;
		unheard += f->all[i].class == HEALTH_NO_BANNER;
	}
	if (ports < 2 || unheard == 0)
		return false;
	snprintf(out->meaning, sizeof(out->meaning), "every port takes the connection and none greets: a "
	    "transparent proxy or a firewall on the way answers in the server's place");
	out->advice = "ask the network's operator about a proxy for mail";
	return true;
}

/*
 * It greeted, and showed no certificate that is accepted: nothing says who it was. What breaks
 * later, or passes, says nothing against a server; two names of one provider greet alike.
 */
static bool
is_unproven(const struct diagnosis_port *p)
{
	if (p->implicit || p->greeting[0] == '\0')
		return false;
	return p->class == HEALTH_STARTTLS_MISSING || p->class == HEALTH_STARTTLS_BLANKED ||
	    p->class == HEALTH_INJECTED || p->class == HEALTH_TLS_NAME || p->class == HEALTH_TLS_UNTRUSTED;
}

static bool
greets_for_another(const struct facts *f, struct diagnosis *out)
{
	if (!is_unproven(f->p))
		return false;
	for (size_t i = 0; i < f->n; i++) {
		const struct diagnosis_port *o = &f->all[i];

		if (is_same_host(o, f->p) || !is_unproven(o) || strcmp(o->greeting, f->p->greeting) != 0)
			continue;
		snprintf(out->meaning, sizeof(out->meaning), "a transparent proxy: the same server greets for %.60s "
		    "(\"%.60s\")", o->host, f->p->greeting);
		out->advice = "ask the network's operator about a proxy for mail, or use the port with implicit TLS (465)";
		return true;
	}
	return false;
}

void
diagnose(const struct diagnosis_port *all, size_t n, size_t which, struct diagnosis *out)
{
	static bool (*const findings[])(const struct facts *, struct diagnosis *) = {
		network_blocks_mail, interception, two_authorities, answers_for_every_port, greets_for_another,
	};
	const struct facts f = { all, n, &all[which] };

	*out = (struct diagnosis){ .advice = "" };
	if (!f.p->tried)
		return;
	for (size_t i = 0; i < lengthof(findings); i++)
		if (findings[i](&f, out))
			return;
}
