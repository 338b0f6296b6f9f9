/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * intake - the role that local programs talk to.
 *
 * A function of its environment, like relay. Thread: loop thread.
 */
#ifndef INTAKE_INTAKE_H
#define INTAKE_INTAKE_H

#include "base/rng.h"
#include "conf/conf.h"
#include "net/net.h"
#include "sys/log.h"
#include "sys/peer.h"

struct intake;
struct tls_server;

struct intake_env {
	struct loop	*loop;
	struct net	*net;
	struct rng	*rng;
	struct log	*log;
	const char	*sandbox;
	/* Whose a connection is (sys/peer.h); fd -1 in the simulator. NULL: nobody asks. */
	enum peer_found	(*find_peer)(void *arg, int fd, const struct address *peer, int64_t *uid,
			    int64_t *pid);
	void		*find_arg;
	/* What a process is called: the answer comes by intake_process(), or not. NULL: nobody knows. */
	void		(*ask_process)(void *arg, uint64_t number, int64_t pid, int64_t uid);
	void		*ask_arg;
};

/* conf must outlive the intake. */
struct intake *intake_new(const struct intake_env *, const struct conf *);
/* From now on the listener of this number has that certificate, which it takes over. */
void intake_set_tls(struct intake *, size_t listener, struct tls_server *);
/*
 * A connection of a program. by: the listener of conf that it came through; NULL: one for this host
 * alone. Takes over s. (The listener's on_accept calls it.)
 */
void intake_accept(struct intake *, struct stream *s, const struct address *peer,
    const struct conf_listener *by);
/* The answer to the question with this number: printable, or "". */
void intake_process(struct intake *, uint64_t number, const char *name);
/* How a stream for intake_accept is to be limited. */
extern const struct stream_limits intake_stream_limits;
/* And the stream for intake_set_relay. */
extern const struct stream_limits intake_relay_limits;
/* The channel to relay; takes over the stream. NULL or closed: sessions wait up to 30 s, then answer 451 4.3.2. */
void intake_set_relay(struct intake *, struct stream *);
bool intake_has_relay(const struct intake *);
/* Idle sessions get 421 now; busy ones finish, for at most drain_ms; then on_drained. */
void intake_drain(struct intake *, void (*on_drained)(void *owner), void *owner);
void intake_free(struct intake *);

#endif
