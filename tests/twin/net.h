/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * twin/net - a network in memory, in virtual time.
 *
 * Both ends of a connection are ordinary streams, so a scripted server is
 * written like a client: with struct stream_events. Bytes travel for the
 * latency of the endpoint, in order; a receiver that does not read stops the
 * sender. Nothing is delivered from within a call.
 *
 * TLS is a stand-in: bytes stay as they are, and the handshake takes two
 * journeys and ends as the endpoint says.
 */
#ifndef TWIN_NET_H
#define TWIN_NET_H

#include "net/net.h"

struct twin_endpoint;
enum twin_mode {
	TWIN_REFUSE,		/* RST to the SYN; what an address without endpoint does */
	TWIN_ACCEPT,
	TWIN_SILENT,		/* no answer to the SYN: STREAM_TIMEOUT after 15 s */
	TWIN_MUTE,		/* accepts; never says or reads anything */
	TWIN_NO_ROUTE,		/* at once */
	TWIN_DENIED		/* at once */
};

/* What a test sees of the clients' ends; NULL: it does not look. */
struct twin_tap {
	/* A connect begins; owner is the one given to net_connect(). */
	void		(*on_connect)(void *arg, struct twin_endpoint *, void *owner);
	/* Bytes leave for the endpoint; tls: its handshake is over, and the client was content. */
	void		(*on_sent)(void *arg, struct twin_endpoint *, bool tls, struct view);
};

struct twin_net {
	struct net	 net;
	struct list	 hosts, endpoints, streams, lookups;
	unsigned	 connects;	/* attempts, ever */
	int64_t		 resolve_ms;	/* how long a lookup takes; 0: later in the same turn */
	bool		 dns_down;	/* every lookup of a name: RESOLVE_TEMPORARY */
	struct twin_tap	 tap;
	void		*tap_arg;
};

#define TWIN_ISSUER "CN=twin CA"

struct twin_endpoint {
	struct list	 link;
	struct twin_net	*net;
	struct address	 address;
	enum twin_mode	 mode;		/* set it at any time; counts for new connections */
	int64_t		 delay_ms;	/* one way; at least 1 */
	/* How start_tls ends: STREAM_EOF means well. */
	enum stream_end_kind tls;
	const char	*issuer;	/* of its certificate; set by default to that of the twin's own authority */
	struct stream_limits limits;	/* of the server's streams; set by default to 1 MiB each */
	/* Takes over the server's end, as in struct listener_events. */
	void		(*on_accept)(void *arg, struct twin_endpoint *, struct stream *);
	void		*arg;
	unsigned	 accepted;	/* connections, ever */
};

void twin_net_init(struct twin_net *, struct loop *);
void twin_net_done(struct twin_net *);

/* Give a name an address (numeric, without port); call again for more. */
void twin_net_host(struct twin_net *, const char *name, const char *address);
/* From now on the name has none. */
void twin_net_forget_host(struct twin_net *, const char *name);
/* "192.0.2.1:587"; TWIN_ACCEPT, 1 ms. Found again by the same address. */
struct twin_endpoint *twin_net_endpoint(struct twin_net *, const char *address);

/*
 * For all connections there are: nothing gets through any more in either
 * direction. The client's end gets STREAM_TIMEOUT 15 s from now (keepalive).
 */
void twin_endpoint_cut(struct twin_endpoint *);
/* All connections there are end with STREAM_RESET at both ends. */
void twin_endpoint_reset(struct twin_endpoint *);

/* Two connected streams without events; give each its owner with stream_own(). */
void twin_net_pair(struct twin_net *, struct stream *out[2], const struct stream_limits *);

/* Of either end. */
bool twin_stream_is_tls(const struct stream *);

#endif
