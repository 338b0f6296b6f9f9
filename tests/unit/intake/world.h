/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world - an intake with wires instead of connections: the test is client and relay.
 *
 * A wire is a stream whose other end is in the test's hands: what the test says
 * arrives at once, what intake writes stays in the stream until the test takes it.
 */
#ifndef UNIT_INTAKE_WORLD_H
#define UNIT_INTAKE_WORLD_H

#include "handover/frame.h"
#include "intake/intake.h"
#include "twin/loop.h"

#define WORLD_WIRES 128

enum wire_tls { WIRE_CLEAR, WIRE_HANDSHAKE, WIRE_TLS };

struct wire {
	struct stream	 stream;
	struct world	*world;
	bool		 closed, aborted, paused;
	enum wire_tls	 tls;
	struct buf	 got;		/* what intake wrote and the test took */
	size_t		 read;		/* of a relay's got: parsed */
};

struct world {
	struct twin_loop loop;
	struct conf	 conf;
	struct rng	 rng;
	struct log	 log;
	struct buf	 logged;
	struct intake	*intake;
	struct wire	*wire[WORLD_WIRES];
	size_t		 nwires;
	unsigned	 drained;
	int64_t		 uid;		/* of who comes next; -1: it is not known */
	bool		 names;		/* for world_renew(): it can be asked what a process is called */
	unsigned	 asked;		/* how often it was, and the last time: */
	uint64_t	 question;
};

/* Relay is not there yet. */
void world_init(struct world *);
void world_done(struct world *);
void world_renew(struct world *);		/* after a change of conf that intake_new() reads */
void world_run(struct world *, int64_t ms);

struct wire *client_at(struct world *, const char *address);
static inline struct wire *
client(struct world *w)
{
	return client_at(w, "127.0.0.1:40112");
}
/* The only listener there is has TLS; works: and a certificate. Renews the world. */
void world_tls(struct world *, enum conf_listener_tls, bool works);
/* Who comes through it, from 10.0.0.7. */
struct wire *guest(struct world *);
/* The end of a handshake that intake has begun; what it wrote before is taken. */
void shake_hands(struct wire *);
/* Says all of it; returns how much intake has not read. */
size_t say(struct wire *, struct view);
size_t says(struct wire *, const char *);
/* Take what intake wrote; it is what was written since the last time. */
struct view hear(struct wire *);
void assert_hears(struct wire *, const char *);
void hang_up(struct wire *, enum stream_end_kind);
/* EHLO, MAIL, RCPT, DATA; the last reply is left to be heard. */
void begin_message(struct wire *);

/* A relay that has said its HELLO; intake's HELLO is taken. */
struct wire *relay(struct world *);
void relay_says(struct wire *, enum frame_type, uint64_t transaction, struct view payload);
void relay_credit(struct wire *, uint64_t transaction, uint32_t bytes);
/* The next frame from intake. False: there is none. */
bool relay_hears(struct wire *, struct frame *);
/* The next one is of this type; returns it. */
struct frame relay_expects(struct wire *, enum frame_type, uint64_t transaction);
/* All chunks up to the next other frame, in one. */
struct view relay_text(struct wire *, uint64_t transaction, struct buf *out);
void assert_quiet(struct wire *);		/* no frame */

bool world_logged(struct world *, const char *text);

#endif
