/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/net.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "net/real.h"
#include "sys/worker.h"

#include "base/banned.h"

#define DEAD_MS 15000

static const struct net_ops real_ops = {
	.connect = real_connect,
	.resolve = real_resolve,
	.resolve_cancel = real_resolve_cancel,
};

struct net *
net_new(struct loop *loop, struct worker *resolver)
{
	struct real_net *r = xzalloc(sizeof(*r));

	r->net.ops = &real_ops;
	r->net.loop = loop;
	r->resolver = resolver;
	r->dead_ms = DEAD_MS;
	list_init(&r->streams);
	list_init(&r->lookups);
	return &r->net;
}

void
net_free(struct net *n)
{
	struct real_net *r;

	if (n == NULL)
		return;
	r = real_net(n);
	real_lookups_cancel(r);
	worker_free(r->resolver);
	real_streams_free(r);
	free(r);
}
