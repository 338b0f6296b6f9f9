/* SPDX-License-Identifier: BSD-2-Clause */
#include "sink/sink.h"

#include <errno.h>
#include <fnmatch.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *const step_words[STEP_COUNT] = {
	[STEP_GREETING] = "greeting", [STEP_EHLO] = "ehlo", [STEP_STARTTLS] = "starttls",
	[STEP_AUTH] = "auth", [STEP_MAIL] = "mail", [STEP_RCPT] = "rcpt", [STEP_DATA] = "data",
	[STEP_BODY] = "body", [STEP_DOT] = "dot", [STEP_QUIT] = "quit",
};

const char *
step_word(enum sink_step step)
{
	return step_words[step];
}

static struct addrinfo *
numeric(const char *address, uint16_t number)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
	    .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	char service[16];

	(void)snprintf(service, sizeof(service), "%u", number);
	return getaddrinfo(address, service, &hints, &ai) == 0 ? ai : NULL;
}

static void
on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct sink_port *p = arg;

	for (int i = 0; i < 64; i++) {
		int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (s < 0)
			return;
		conn_start(p, s);
	}
}

/* A bound socket that does not listen refuses connections and keeps the number ours. */
static int
port_bind(struct sink_port *p)
{
	struct addrinfo *ai = numeric(p->sink->address, p->number);
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char service[16];
	int one = 1, rc = -1;

	if (ai == NULL)
		return -1;
	p->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		goto out;
	if (setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(p->fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
	    getsockname(p->fd, (struct sockaddr *)&ss, &len) != 0 ||
	    getnameinfo((struct sockaddr *)&ss, len, NULL, 0, service, sizeof(service),
		NI_NUMERICSERV) != 0)
		goto out;
	p->number = (uint16_t)strtoul(service, NULL, 10);
	event_assign(&p->acceptable, p->sink->base, p->fd, EV_READ | EV_PERSIST, on_acceptable, p);
	rc = 0;
out:
	freeaddrinfo(ai);
	return rc;
}

/*
 * With a backlog of one that our own connections fill, the kernel drops the
 * SYN of others: what a filtering router does.
 */
static void
fill_backlog(struct sink_port *p)
{
	struct addrinfo *ai = numeric(p->sink->address, p->number);

	for (size_t i = 0; ai != NULL && i < SINK_FILLERS; i++) {
		p->filler[i] = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ignore_result(connect(p->filler[i], ai->ai_addr, ai->ai_addrlen));
	}
	if (ai != NULL)
		freeaddrinfo(ai);
}

int
port_listen(struct sink_port *p, enum sink_listen how)
{
	for (size_t i = 0; i < SINK_FILLERS; i++) {
		if (p->filler[i] >= 0)
			close(p->filler[i]);
		p->filler[i] = -1;
	}
	if (p->fd >= 0) {
		event_del(&p->acceptable);
		close(p->fd);
	}
	p->fd = -1;
	if (port_bind(p) != 0)
		return -1;
	p->listening = how;
	if (how == LISTEN_REFUSE)
		return 0;
	if (listen(p->fd, how == LISTEN_FILTERED ? 0 : SOMAXCONN) != 0)
		return -1;
	if (how == LISTEN_FILTERED)
		fill_backlog(p);
	else
		event_add(&p->acceptable, NULL);
	return 0;
}

void
port_cut(struct sink_port *p)
{
	struct list *l;

	while ((l = p->conns.next) != &p->conns)
		conn_close(list_entry(l, struct conn, link));
}

void
port_reset(struct sink_port *p)
{
	p->swapped = false;
	p->cert = CERT_GOOD;
	p->starttls = STARTTLS_NORMAL;
	p->delay_ms = p->trickle_ms = 0;
	(void)snprintf(p->mechanisms, sizeof(p->mechanisms), "PLAIN LOGIN");
	(void)snprintf(p->extensions, sizeof(p->extensions),
	    "PIPELINING,SIZE 52428800,8BITMIME,ENHANCEDSTATUSCODES");
	p->nfault = 0;
}

struct sink_port *
port_add(struct sink *sk, const char *name, enum sink_mode mode, uint16_t number)
{
	struct sink_port *p;

	if (sk->nport == SINK_PORTS_MAX)
		return NULL;
	p = &sk->port[sk->nport];
	memset(p, 0, sizeof(*p));
	p->sink = sk;
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	p->mode = mode;
	p->number = number;
	p->fd = -1;
	for (size_t i = 0; i < SINK_FILLERS; i++)
		p->filler[i] = -1;
	list_init(&p->conns);
	port_reset(p);
	if (port_listen(p, LISTEN_OPEN) != 0)
		return NULL;
	sk->nport++;
	return p;
}

static bool
fault_matches(const struct fault *f, const char *const *subject)
{
	if (f->match[0] == '\0')
		return true;
	for (; subject != NULL && *subject != NULL; subject++)
		if (fnmatch(f->match, *subject, FNM_CASEFOLD) == 0)
			return true;
	return false;
}

const struct fault *
port_fault(struct sink_port *p, enum sink_step step, const char *const *subject)
{
	for (size_t i = 0; i < p->nfault; i++) {
		struct fault *f = &p->fault[i];

		if (f->step != step || f->left == 0 || !fault_matches(f, subject))
			continue;
		if (f->left != UINT64_MAX)
			f->left--;
		return f;
	}
	return NULL;
}
