/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * real - what the parts of the kernel's network share.
 */
#ifndef NET_REAL_H
#define NET_REAL_H

#include "base/list.h"
#include "net/net.h"

struct worker;

struct real_net {
	struct net	 net;
	struct worker	*resolver;
	int64_t		 dead_ms;	/* a path that acknowledges nothing so long is dead; a test sets less */
	struct list	 streams;	/* struct real_stream; for net_free() */
	struct list	 lookups;	/* struct resolve */
};

static inline struct real_net *
real_net(struct net *n)
{
	return container_of(n, struct real_net, net);
}

/* stream.c */
struct stream *real_connect(struct net *, const struct address *, const struct stream_limits *,
    const struct stream_events *, void *owner);
void real_streams_free(struct real_net *);

/* resolve.c */
struct resolve *real_resolve(struct net *, const char *host, uint16_t port, resolve_fn *, void *owner);
void real_resolve_cancel(struct resolve *);
void real_lookups_cancel(struct real_net *);

#endif
