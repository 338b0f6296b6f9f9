/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smarthost - a scripted submission server on one twin endpoint.
 *
 * It takes everything unless told otherwise: faults say at which step something
 * else happens, and how often. What it took is kept, so that a test can count.
 */
#ifndef SIM_SMARTHOST_H
#define SIM_SMARTHOST_H

#include "base/rng.h"
#include "twin/net.h"

enum step { AT_GREETING, AT_EHLO, AT_STARTTLS, AT_AUTH, AT_MAIL, AT_RCPT, AT_DATA, AT_BODY, AT_DOT };

enum what {
	SAY,			/* this reply instead of the good one */
	CUT,			/* reset, without an answer */
	TAKE_AND_CUT,		/* at the dot: keep the message, then reset */
	TAKE_SILENTLY,		/* at the dot: keep the message, never answer */
	MUTE,			/* no answer */
	DEAF,			/* reads no further */
	DRIP,			/* a reply without an end, a byte each second */
	SIP			/* reads a line every 2.5 s */
};

#define ALWAYS (-1)

struct fault {
	enum step	at;
	enum what	what;
	const char	*reply;		/* "451 4.3.0 later" */
	int		times;		/* how often; ALWAYS */
	const char	*match;		/* only for commands that contain it; NULL: all */
	unsigned	percent;	/* chance; 0: certain */
};

#define FAULTS_MAX 4

struct smarthost;
/* Faults that a test thinks of as it goes. */
struct smarthost_script {
	/*
	 * Before each step; line: the command, at the dot the sender. True: out is what happens;
	 * false: the smarthost's own faults count.
	 */
	bool	(*fault)(void *arg, struct smarthost *, enum step, struct view line, struct fault *out);
};

struct taken {
	struct list	 link;
	char		*from;
	char		*rcpts;		/* " a@b c@d " */
	struct buf	 text;		/* unstuffed */
	int64_t		 at_ms;
	bool		 certain;	/* the client went on after our 250: it has read it */
};

/* The number between this word and a dot in the text, which has both. */
unsigned taken_number(const struct taken *, struct view word);

struct smarthost {
	struct twin_net		*net;
	struct twin_endpoint	*ep;
	bool			 implicit;
	bool			 no_starttls, no_auth;
	const char		*mechanisms;	/* offered; NULL: PLAIN and LOGIN */
	bool			 careless;	/* takes a login in clear, too */
	struct fault		 fault[FAULTS_MAX];
	const struct smarthost_script *script;	/* or NULL */
	void			*script_arg;
	/* Put around each connection; NULL: nothing. */
	struct stream		*(*wrap)(void *arg, struct twin_endpoint *, struct stream *);
	void			*wrap_arg;
	int64_t			 think_ms;	/* before each answer */
	const char		*think_of;	/* only to commands with this in them; NULL: all */
	struct rng		 rng;
	struct list		 conns;
	struct list		 taken;
	unsigned		 ntaken, logins, transactions, sessions, quits;
	unsigned		 secrets_in_clear;	/* AUTH without TLS */
	char			 login[200];		/* the last AUTH command */
};

void smarthost_init(struct smarthost *, struct twin_net *, const char *address, bool implicit);
void smarthost_done(struct smarthost *);
void smarthost_fault(struct smarthost *, struct fault);
void smarthost_heal(struct smarthost *);	/* no faults; accepts */
/* How many messages hold the text. */
unsigned smarthost_count(const struct smarthost *, const char *text);

#endif
