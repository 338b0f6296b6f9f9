/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sink - a submission server to test against: its parts and their state.
 *
 * One thread, one libevent base. A port has settings and faults that a test
 * changes while it runs (control.c); a connection (conn.c) moves bytes, with
 * TLS or without, and smtp.c answers them. README has the words.
 */
#ifndef SINK_SINK_H
#define SINK_SINK_H

#include <stdio.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/list.h"

#define SINK_PORTS_MAX	 8
#define SINK_FAULTS_MAX	 16
#define SINK_LINE_MAX	 8192		/* command line */
#define SINK_INPUT_MAX	 65536
#define SINK_OUTPUT_MAX	 (1u << 20)
#define SINK_RCPTS_MAX	 1000
#define SINK_FILLERS	 8

enum sink_mode { MODE_STARTTLS, MODE_IMPLICIT, MODE_PLAIN };
enum sink_listen { LISTEN_OPEN, LISTEN_REFUSE, LISTEN_FILTERED };
enum sink_starttls { STARTTLS_NORMAL, STARTTLS_MISSING, STARTTLS_BLANKED, STARTTLS_INJECT };
enum sink_cert { CERT_GOOD, CERT_EXPIRED, CERT_SELF_SIGNED, CERT_WRONG_NAME, CERT_WRONG_USE, CERT_COUNT };

enum sink_step {
	STEP_GREETING, STEP_EHLO, STEP_STARTTLS, STEP_AUTH, STEP_MAIL, STEP_RCPT,
	STEP_DATA, STEP_BODY, STEP_DOT, STEP_QUIT, STEP_COUNT
};

enum fault_action {
	FAULT_NONE,
	FAULT_REPLY,		/* say text instead of success */
	FAULT_CUT,		/* close the connection */
	FAULT_HANG		/* neither read nor write any more */
};

struct fault {
	enum sink_step	 step;
	enum fault_action action;
	char		 text[512];	/* the whole reply line */
	char		 match[256];	/* pattern on addresses or user; "" is all */
	uint64_t	 left;		/* how often still; UINT64_MAX: always */
};

struct counters {
	uint64_t sessions, tls, resumed, logins, logins_refused;
	uint64_t received;		/* messages with their final dot, faulty replies not counted */
	uint64_t refused;		/* final dots answered by 4xx or 5xx */
	uint64_t clear_auth, clear_mail; /* AUTH, and MAIL or message, outside TLS */
	uint64_t violations;		/* of the protocol by the client */
};

struct sink_port {
	struct sink	*sink;
	char		 name[32];
	enum sink_mode	 mode;
	uint16_t	 number;
	int		 fd;
	struct event	 acceptable;
	enum sink_listen listening;
	int		 filler[SINK_FILLERS];	/* own connections that fill the backlog */

	bool		 swapped;	/* TLS at once on a STARTTLS port, and the reverse */
	enum sink_cert	 cert;
	enum sink_starttls starttls;
	unsigned	 delay_ms;	/* before each reply */
	unsigned	 trickle_ms;	/* between two bytes of a reply; 0: all at once */
	char		 mechanisms[64];
	char		 extensions[256];
	struct fault	 fault[SINK_FAULTS_MAX];
	size_t		 nfault;

	struct list	 conns;
	struct counters	 count;
};

struct sink {
	struct event_base *base;
	SSL_CTX		*tls[CERT_COUNT];	/* NULL where there is no such certificate */
	struct sink_port port[SINK_PORTS_MAX];
	size_t		 nport;
	const char	*address;
	const char	*user, *password;	/* NULL: no login wanted */
	const char	*dir;			/* NULL: messages are discarded */
	FILE		*clear;			/* every byte that came outside TLS */
	bool		 events;		/* tell the control clients what happens */
	unsigned long	 next_conn;
	unsigned long	 next_file;
	struct list	 clients;		/* control.c */
	struct event	 control;
};

enum conn_phase { PH_COMMAND, PH_AUTH_PLAIN, PH_AUTH_USER, PH_AUTH_PASSWORD, PH_BODY };

struct conn {
	struct list	 link;
	struct sink_port *port;
	unsigned long	 id;
	int		 fd;
	int64_t		 began_us;
	unsigned	 nstored;	/* messages so far */
	SSL		*ssl;
	struct event	 readable, writable, timer;
	struct buf	 in, out;
	bool		 handshaking;
	bool		 start_tls;	/* once the output is out */
	bool		 waiting;	/* for the timer: delay or trickle */
	bool		 hung;
	bool		 closing;	/* once the output is out */
	bool		 draining;	/* closed by us, not yet by the peer */
	bool		 ended;		/* the peer closed */
	bool		 dead;

	/* smtp.c */
	enum conn_phase	 phase;
	bool		 greeted, hello, authed, has_mail, body_begun;
	bool		 line_begun;	/* a part of a body line was taken */
	bool		 high;		/* 8-bit bytes were seen */
	char		 user[256], from[1024], params[256];
	struct buf	 rcpts;		/* one a line */
	struct buf	 said;		/* lines "parameters-of: ADDRESS PARAMETERS" */
	size_t		 nrcpt;
	struct buf	 body;		/* not yet written */
	int		 file;
	char		 path[512];
};

/* sink.c */
const char *mode_word(enum sink_mode);
const char *cert_word(enum sink_cert);
int sink_tls_load(struct sink *, const char *certs);
void sink_say(struct sink *, const char *fmt, ...) printf_like(2, 3);	/* an event line */
int64_t sink_now_us(void);		/* CLOCK_MONOTONIC, which all processes share */

/* port.c */
struct sink_port *port_add(struct sink *, const char *name, enum sink_mode, uint16_t number);
int port_listen(struct sink_port *, enum sink_listen);
void port_cut(struct sink_port *);		/* ends all its connections */
void port_reset(struct sink_port *);		/* no faults, settings as at start */
const char *step_word(enum sink_step);
/* The fault that strikes now, used up by one; NULL: none. subject is NULL-terminated. */
const struct fault *port_fault(struct sink_port *, enum sink_step, const char *const *subject);

/* conn.c */
void conn_start(struct sink_port *, int fd);
void conn_close(struct conn *);			/* at once */
void conn_violation(struct conn *, const char *what);

/* smtp.c: one step over c->in. False: nothing to do before more input comes. */
void smtp_init(struct conn *);
void smtp_done(struct conn *);
bool smtp_greet(struct conn *);
bool smtp_step(struct conn *);

/* store.c */
void store_begin(struct conn *);
void store_add(struct conn *, struct view);
/* Make the message appear; name gets its file's name, "-" when discarding. */
int store_finish(struct conn *, bool acknowledged, char *name, size_t cap);
void store_drop(struct conn *);

/* control.c */
int control_start(struct sink *, const char *where);
void control_tell(struct sink *, const char *line);

#endif
