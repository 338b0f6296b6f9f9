/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session_impl - what the parts of a session share: the session itself (session.c), what the log says
 * of it (session_log.c), TLS (session_tls.c). Nobody else includes it.
 */
#ifndef INTAKE_SESSION_IMPL_H
#define INTAKE_SESSION_IMPL_H

#include "base/require.h"
#include "intake/message.h"
#include "intake/session.h"

#define SESSION_MAGIC	0x5e551014u
#define SESSION_TLS_MS	30000		/* for a handshake, however many bytes of it come */
#define TLS_TEXT_MAX	80		/* version and cipher suite */
#define NAME_MAX_BYTES	112

/*
 * Where the session is, as seen from here (the machine has its own states).
 * COMMAND  no message; commands are read
 * OPEN     DATA or BDAT came: waits for relay, or for room to open the transaction
 * TEXT     message bytes go to relay
 * STALL    the same, but credit or room is used up: nothing is read
 * DROP     the message is refused or taken back: the machine swallows the rest of it
 * FLUSH    the text is complete, its end waits for credit or room
 * ANSWER   COMMIT went out, the answer is awaited
 * SECURE   the replies up to the 220 of STARTTLS go out in clear
 * TLS      the handshake; behind it a session begins anew
 * LEAVE    the last replies go out; what the client still says is dropped
 */
enum session_state {
	STATE_COMMAND, STATE_OPEN, STATE_TEXT, STATE_STALL, STATE_DROP, STATE_FLUSH, STATE_ANSWER,
	STATE_SECURE, STATE_TLS, STATE_LEAVE, STATE_COUNT
};

struct session {
	unsigned		 magic;
	struct session_host	*host;
	struct list		 link;
	struct list		 wait;
	struct stream		*stream;	/* NULL: the client has gone */
	struct server		*server;
	enum session_state	 state;
	struct timer		 timer;		/* of the state */
	struct timer		 total;		/* of a message, whatever the client does */
	struct message		 message;
	bool			 eight_bit;
	bool			 served;	/* a message has had its answer */
	bool			 running;
	bool			 at_end;	/* the client has said all it will; it may still listen */
	size_t			 kept;		/* bytes of recipients, as told to admission */
	size_t			 seen;		/* bytes of the output already looked at for the log */
	uint64_t		 number;
	struct session_peer	 peer;
	char			 peer_text[ADDRESS_TEXT_MAX];
	char			 tls[TLS_TEXT_MAX];	/* or "": in clear */
	char			 process[NAME_MAX_BYTES];	/* or "" */
	bool			 asks;		/* for it: no message is opened before the answer */
	struct timer		 patience;	/* or the end of this */
};

static inline struct session *
session_own(void *p)
{
	struct session *s = p;

	require(s->magic == SESSION_MAGIC);
	return s;
}

/* The one place where the state changes: with it the limits of time, and what is waited for. */
void session_move(struct session *, enum session_state);
/* Feed the machine while it takes input and the client takes replies. The session may be gone. */
void session_run(struct session *);
/* False: the client does not read, and there is more to write. */
bool session_write_output(struct session *);
/* What is written goes out if the client reads. The session is gone. */
void session_finish(struct session *);

void session_log_who(struct session *, struct log_line *);
void session_log_accepted(struct session *, uint64_t id);
/* Every refusal is a reply of ours: the one place where all of them pass is the output. */
void session_note_replies(struct session *, struct view out);

enum conf_listener_tls session_tls_mode(const struct session *);
/* NULL: the certificate could not be used, which the log has told. */
struct tls_server *session_tls_server(const struct session *);
/* The 220 to STARTTLS has been written. The session may be gone. */
void session_begin_tls(struct session *);
void session_on_tls(void *owner);
void session_tls_expired(struct session *);
/* Nothing more can be said to this client: it understands TLS alone, or nothing. The session is gone. */
void session_tls_failed(struct session *, const char *why);

#endif
