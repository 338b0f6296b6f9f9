/* SPDX-License-Identifier: BSD-2-Clause */
/* Name lookup by getaddrinfo, on the resolver's thread. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "net/real.h"
#include "sys/worker.h"

#include "base/banned.h"

struct resolve {
	struct list	 link;		/* in the net's lookups */
	struct real_net	*net;
	struct job	 job;
	struct task	 task;		/* numeric hosts need no thread, but still answer later */
	bool		 cancelled;
	resolve_fn	*fn;
	void		*owner;

	/* The job's while it runs. */
	char		*host;
	uint16_t	 port;
	enum resolve_result result;
	struct address	 address[RESOLVE_MAX];
	size_t		 n;
	char		 why[120];
};

static void
destroy(struct resolve *r)
{
	list_remove(&r->link);
	free(r->host);
	free(r);
}

static void
add(struct resolve *r, const struct addrinfo *ai)
{
	struct address a = { .len = ai->ai_addrlen };

	if (r->n == RESOLVE_MAX || ai->ai_addrlen > sizeof(a.ss))
		return;
	memcpy(&a.ss, ai->ai_addr, ai->ai_addrlen);
	if (a.ss.ss_family == AF_INET)
		((struct sockaddr_in *)(void *)&a.ss)->sin_port = htons(r->port);
	else if (a.ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)&a.ss)->sin6_port = htons(r->port);
	else
		return;
	for (size_t i = 0; i < r->n; i++)
		if (address_eq(&r->address[i], &a))
			return;
	r->address[r->n++] = a;
}

/* Only a definite answer is one: whatever else goes wrong may be better next time. */
static enum resolve_result
result_of(int code)
{
	switch (code) {
	case 0:
		return RESOLVE_OK;
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return RESOLVE_NO_NAME;
	default:
		return RESOLVE_TEMPORARY;
	}
}

static void
look_up(struct job *j)
{
	struct resolve *r = container_of(j, struct resolve, job);
	struct addrinfo hints = { .ai_flags = AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	int code = getaddrinfo(r->host, NULL, &hints, &list);

	if (code != 0) {
		/*
		 * The family of the only answer may be one that this host has no address of. That is a
		 * matter of the network: it must not look as if the name did not exist.
		 */
		hints.ai_flags = 0;
		code = getaddrinfo(r->host, NULL, &hints, &list);
	}
	r->result = result_of(code);
	if (code == 0) {
		for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
			add(r, ai);
		freeaddrinfo(list);
		if (r->n == 0)
			r->result = RESOLVE_NO_NAME;
	}
	if (r->result != RESOLVE_OK)
		(void)snprintf(r->why, sizeof(r->why), "%s",
		    code != 0 ? gai_strerror(code) : "the name has no address");
}

static void
answer(struct resolve *r)
{
	if (!r->cancelled)
		r->fn(r->owner, r->result, r->address, r->n, r->why);
	destroy(r);
}

static void
looked_up(struct job *j)
{
	answer(container_of(j, struct resolve, job));
}

static void
answer_numeric(void *arg)
{
	answer(arg);
}

struct resolve *
real_resolve(struct net *n, const char *host, uint16_t port, resolve_fn *fn, void *owner)
{
	struct real_net *net = real_net(n);
	struct resolve *r = xzalloc(sizeof(*r));

	r->net = net;
	r->fn = fn;
	r->owner = owner;
	r->port = port;
	r->job.run = look_up;
	r->job.done = looked_up;
	list_init(&r->link);
	list_push(&net->lookups, &r->link);
	task_init(&r->task, answer_numeric, r);
	if (address_from_host(&r->address[0], view_str(host), port)) {
		r->n = 1;
		task_post(n->loop, &r->task);
	} else {
		r->host = xstrdup(host);
		worker_submit(net->resolver, &r->job);
	}
	return r;
}

void
real_resolve_cancel(struct resolve *r)
{
	if (r->host == NULL) {
		task_cancel(&r->task);
		destroy(r);
		return;
	}
	/* The thread has it: done() will free it. */
	r->cancelled = true;
	list_remove(&r->link);
}

void
real_lookups_cancel(struct real_net *n)
{
	while (!list_is_empty(&n->lookups))
		real_resolve_cancel(list_entry(n->lookups.next, struct resolve, link));
}
