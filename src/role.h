/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * role - what the supervisor and a role say to each other, and what the mains
 * of both roles share.
 *
 * A SOCK_SEQPACKET socketpair, one message a packet (packet.h): a word, a space
 * and text, with a descriptor beside it (SCM_RIGHTS). The role finds its end at
 * ROLE_CHANNEL_FD. It trusts the supervisor; the supervisor believes nothing
 * but the few words below and treats the texts as bytes to show.
 *
 * Order to a role: "conf NAME" + memory file with the configuration's text;
 * "debug" if -d; relay: "secret" + memory file (secrets.h), "spool" + directory,
 * "history" + directory, "control" + listening socket, "status" + listening socket, "again" if it
 * follows another one of the same daemon; intake:
 * "tls N BYTES" + memory file: so many bytes of it are the certificate of the listener (to relay: for the relay) N, the rest is
 * its key; "listen N" + socket, for each: N is the listener of the configuration, "-" one for this host
 * alone; then "start". To intake, asked by "who NUMBER PID UID":
 * "process NUMBER TEXT" (sys/process.h; no TEXT: not known).
 * Both, at any time: "handover" + stream socket (again whenever the other role
 * is replaced). After "start": "ping", "drain".
 * From a role: "sandbox LEVEL", "ready", "pong TURNS", "status TEXT",
 * "reload" and "alarm KIND INDEX on|off TEXT" (relay only; hook.h), "drained". The channel stays open to the role's end.
 */
#ifndef ROLE_H
#define ROLE_H

#include "base/rng.h"
#include "conf/conf.h"
#include "net/tls_pair.h"
#include "sys/io.h"
#include "sys/log.h"

#define ROLE_CHANNEL_FD 3
#define ROLE_LISTEN_MAX 64
#define ROLE_TLS_MAX 16
#define ROLE_EXIT_REFUSED 78	/* it must not start here, and a second attempt would not help */

int role_intake_main(void);	/* exit status */
int role_relay_main(void);

struct role_tls {
	int		 fd;		/* -1: none */
	size_t		 certificate_n;
};

struct role {
	const char	*name;
	struct conf	*conf;
	struct log	*log;
	struct loop	*loop;
	struct rng	 rng;
	char		 sandbox[64];		/* level reached */
	/* descriptors received; -1: none */
	int		 secret, spool, history, control, status, handover;
	int		 listen[ROLE_LISTEN_MAX];
	const struct conf_listener *listener[ROLE_LISTEN_MAX];	/* NULL: for this host alone */
	size_t		 nlisten;
	struct role_tls	 tls[ROLE_TLS_MAX];	/* of each listener, or for each relay */
	bool		 again;			/* it follows another one of the same daemon */
	/* set by the main before role_run() */
	void		(*on_handover)(void *owner, int fd);
	void		(*on_drain)(void *owner);	/* at most once */
	void		(*on_process)(void *owner, struct view words);	/* NULL: it does not ask */
	void		*owner;
	struct io_watch	*watch;
	bool		 draining;
};

/*
 * First thing in a role: no core files, not dumpable; then take everything up to
 * "start", load the configuration, open log and loop. -1 with the reason logged
 * to standard error.
 */
int role_begin(struct role *, const char *name) must_use;
/*
 * The pair in from, into text, which the caller wipes in any case; room is made first, so that growing
 * leaves no copy of the key behind. out lacks the names of the files.
 */
int role_read_tls(struct role_tls *from, struct buf *text, struct tls_pair *out, struct err *) must_use;
/* Before the first thread. read_dirs and write_dirs: NULL-terminated. */
int role_enter_sandbox(struct role *, enum sandbox_role, const char *const *read_dirs,
    const char *const *write_dirs, struct err *) must_use;
void role_tell(struct role *, const char *word, struct view rest);
/* Hear the supervisor and run the loop until role_finished(). */
void role_run(struct role *);
/* Drained: tell, and leave the loop. */
void role_finished(struct role *);
void role_end(struct role *);

#endif
