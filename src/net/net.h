/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net - streams, listeners and name lookup, real or simulated.
 *
 * A stream turns readiness into few events that a protocol cares for. Written
 * bytes are kept and go out in one write at the end of the loop turn, so that
 * a protocol step is one packet (TCP_NODELAY is set). Reading stops while the
 * input buffer is full or reading is paused: back-pressure is the default.
 *
 * on_closed is the last event of a stream but for that, and comes at most once; the owner
 * then calls stream_close(). stream_close() may be called in any event; no
 * event follows it, and the memory stays until the turn ends. No event comes
 * from within a call of the owner. NULL stands for an event that does not matter.
 *
 * After a clean end (STREAM_EOF: the peer has finished, or closed only its half)
 * stream_write() still works, so that a last answer can go out, and on_drained still
 * comes; when that answer can't be sent any more it is dropped, which drains too.
 * After any other end what is written is dropped.
 *
 * Thread: loop thread. Limits: see struct stream_limits.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "base/buf.h"
#include "net/address.h"
#include "sys/loop.h"

struct net;
struct stream;
struct listener;
struct resolve;
struct tls_client;		/* net/tls.h */
struct tls_server;		/* net/tls_server.h */

/* How a connection ended or failed, with the facts that the health model needs. */
enum stream_end_kind {
	STREAM_EOF,		/* the peer closed; clean */
	STREAM_REFUSED,		/* ECONNREFUSED: nothing listens there */
	STREAM_RESET,		/* ECONNRESET, EPIPE */
	STREAM_TIMEOUT,		/* ETIMEDOUT: nothing acknowledged (TCP_USER_TIMEOUT, SYN) */
	STREAM_NO_ROUTE,	/* ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EAFNOSUPPORT */
	STREAM_DENIED,		/* EPERM, EACCES, ICMP prohibited of our own: local firewall, sandbox */
	STREAM_PROHIBITED,	/* ICMP prohibited, from a firewall on the way or there */
	STREAM_TLS_HANDSHAKE,	/* alert, version, cipher, garbage in place of a handshake */
	STREAM_TLS_NOT_TLS,	/* the peer answered our ClientHello in plain text */
	STREAM_TLS_NAME,	/* certificate is for another name */
	STREAM_TLS_EXPIRED,	/* or not yet valid */
	STREAM_TLS_UNTRUSTED,	/* unknown issuer, self-signed, wrong purpose */
	STREAM_FAILED		/* anything else; see text */
};

struct stream_end {
	enum stream_end_kind	 kind;
	int			 errnum;	/* or 0 */
	char			 text[200];	/* one line, for people */
	char			 issuer[128];	/* of a certificate that was not accepted; or "" */
};

struct stream_events {
	void (*on_connected)(void *owner);	/* outgoing only */
	void (*on_input)(void *owner);		/* stream_input() has more than before */
	/* Output fell to half of its limit or below, or became empty. */
	void (*on_drained)(void *owner);
	void (*on_tls)(void *owner);		/* handshake done, peer verified */
	void (*on_closed)(void *owner, const struct stream_end *);
	/* Nothing is acknowledged, be it bytes or keepalive, for some seconds; false: something is again. */
	void (*on_stuck)(void *owner, bool stuck);
};

struct stream_limits {
	size_t	input_max;	/* bytes buffered before reading stops */
	size_t	output_max;	/* stream_write() fails beyond it */
};

struct tls_info {
	char	version[16];		/* "TLSv1.3" */
	char	cipher[48];		/* as OpenSSL calls it; served by us: as IANA does (RFC 8314 7.4) */
	char	issuer[128];		/* of the leaf certificate, one line */
	char	subject[128];
	int64_t	not_after_ms;		/* wall clock */
	bool	resumed;
};

struct listener_events {
	/* Takes over s (set its owner with stream_own()), or closes it. */
	void (*on_accept)(void *owner, struct listener *, struct stream *s, const struct address *peer);
};

#define RESOLVE_MAX 16

enum resolve_result {
	RESOLVE_OK,
	RESOLVE_TEMPORARY,	/* the name server does not answer */
	RESOLVE_NO_NAME		/* the name does not exist, or has no address */
};

typedef void resolve_fn(void *owner, enum resolve_result, const struct address *, size_t n, const char *why);

struct net_ops {
	struct stream	*(*connect)(struct net *, const struct address *, const struct stream_limits *,
			    const struct stream_events *, void *owner);
	struct resolve	*(*resolve)(struct net *, const char *host, uint16_t port, resolve_fn *, void *owner);
	void		 (*resolve_cancel)(struct resolve *);
};

struct net {
	const struct net_ops	*ops;
	struct loop		*loop;
};

struct stream_ops {
	void (*wrote)(struct stream *);			/* output grew: flush at the end of the turn */
	void (*consumed)(struct stream *);		/* input shrank: there is room to read */
	void (*start_tls)(struct stream *, struct tls_client *, const char *name);
	void (*serve_tls)(struct stream *, struct tls_server *);	/* NULL: a twin that doesn't */
	void (*pause)(struct stream *, bool);
	void (*close)(struct stream *, bool abort);
	bool (*tls_info)(const struct stream *, struct tls_info *);
	int  (*fd)(const struct stream *);		/* -1 in the simulator */
};

/* The part that real and simulated streams share; embedded first in both. */
struct stream {
	const struct stream_ops	*ops;
	const struct stream_events *events;
	void			*owner;
	struct buf		 in, out;
};

/*
 * Connect; the outcome is an event, never an immediate failure. NODELAY,
 * keepalive, TCP_USER_TIMEOUT of 15 s and small segments (net/path.h) are set.
 */
static inline struct stream *
net_connect(struct net *n, const struct address *a, const struct stream_limits *l,
    const struct stream_events *ev, void *owner)
{
	return n->ops->connect(n, a, l, ev, owner);
}

/*
 * Look a host name up through the system's resolver, on a worker thread. fn is
 * called once, later, unless cancelled. Numeric hosts work too.
 */
static inline struct resolve *
net_resolve(struct net *n, const char *host, uint16_t port, resolve_fn *fn, void *owner)
{
	return n->ops->resolve(n, host, port, fn, owner);
}

static inline void
net_resolve_cancel(struct net *n, struct resolve *r)
{
	n->ops->resolve_cancel(r);
}

/* The kernel's network. Owns one resolver worker. */
struct worker;
struct net *net_new(struct loop *, struct worker *resolver);
/*
 * Drops lookups, cuts streams that are still being flushed, and frees the worker,
 * which may have to wait for getaddrinfo.
 */
void net_free(struct net *);
/* Adopt a connected, non-blocking descriptor (accepted, or a socketpair). */
struct stream *net_adopt(struct net *, int fd, const struct stream_limits *,
    const struct stream_events *, void *owner);
/* Accept on a bound and listening descriptor; closes it at the end. Accepts at
 * most 64 a turn; on EMFILE and the like it rests 100 ms. */
struct listener *listener_new(struct net *, int fd, const struct stream_limits *,
    const struct listener_events *, void *owner);
void listener_pause(struct listener *, bool);
void listener_free(struct listener *);
/* Free it but keep the socket open: returns the descriptor. */
int listener_detach(struct listener *) must_use;
int listener_fd(const struct listener *);

/* --- what an owner does with a stream ------------------------------------ */

static inline void
stream_own(struct stream *s, const struct stream_events *ev, void *owner)
{
	s->events = ev;
	s->owner = owner;
}

static inline struct view
stream_input(const struct stream *s)
{
	return buf_view(&s->in);
}

/* --- for implementations, real and simulated ------------------------------ */

void stream_init(struct stream *, const struct stream_ops *, const struct stream_limits *,
    const struct stream_events *, void *owner);
void stream_done(struct stream *);
/* Whether going from before to after bytes of output is worth an on_drained. */
bool stream_has_drained(const struct stream *, size_t before);
/* What errnum means; what: "connect", "send", "receive". */
void stream_end_errno(struct stream_end *, int errnum, const char *what);
void stream_end_set(struct stream_end *, enum stream_end_kind, const char *fmt, ...) printf_like(3, 4);

/* --- for owners ----------------------------------------------------------- */

/* Drop n bytes of input; reading goes on if it had stopped for want of room. */
void stream_consume(struct stream *, size_t n);

/* The same, and wipe them: they may be a password. */
void stream_consume_secret(struct stream *, size_t n);

/* False when output_max would be passed: nothing was written; wait for on_drained. */
bool stream_write(struct stream *, struct view) must_use;

static inline size_t
stream_output_len(const struct stream *s)
{
	return buf_len(&s->out);
}

static inline size_t
stream_output_room(const struct stream *s)
{
	return buf_room(&s->out);
}

/*
 * Begin a TLS handshake as client. Output written before leaves in clear
 * first. Input that is buffered already makes it fail (RFC 3207, injection).
 * name: for SNI and for the certificate.
 */
static inline void
stream_start_tls(struct stream *s, struct tls_client *tls, const char *name)
{
	s->ops->start_tls(s, tls, name);
}

/* The same as server: on_tls comes when the client has done its part. The caller has the time limit. */
static inline void
stream_serve_tls(struct stream *s, struct tls_server *tls)
{
	s->ops->serve_tls(s, tls);
}

static inline void
stream_pause(struct stream *s, bool pause)
{
	s->ops->pause(s, pause);
}

/*
 * Frees the stream. Output still buffered is sent first, by the loop, for up
 * to 5 s (so that a 221 arrives); with abort it is dropped. NULL is fine.
 */
static inline void
stream_close(struct stream *s)
{
	if (s != NULL)
		s->ops->close(s, false);
}

static inline void
stream_abort(struct stream *s)
{
	if (s != NULL)
		s->ops->close(s, true);
}

/* False before the handshake is done. */
static inline bool
stream_tls_info(const struct stream *s, struct tls_info *out)
{
	return s->ops->tls_info(s, out);
}

#endif
