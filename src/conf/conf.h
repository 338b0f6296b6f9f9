/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf - the configuration, checked and immutable.
 *
 * A reload builds a new one. No secret is in here: only where a relay's
 * password comes from. Every option is one row in conf/keys.c.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/buf.h"
#include "base/err.h"
#include "net/address.h"
#include "net/own.h"
#include "net/subnet.h"
#include "sys/sandbox.h"

#define CONF_TEXT_MAX	(1u << 20)
#define CONF_LISTEN_MAX	16
#define CONF_LISTENERS_MAX 16
#define CONF_NETWORKS_MAX 64
#define CONF_DANGER_MAX 400
#define CONF_PATTERNS_MAX 1000
#define CONF_ENDPOINTS_MAX 8
#define CONF_RELAYS_MAX 16
#define CONF_ROUTES_MAX 30

enum conf_tls { CONF_TLS_STARTTLS, CONF_TLS_IMPLICIT, CONF_TLS_NONE };
enum conf_secret { CONF_SECRET_NONE, CONF_SECRET_FILE, CONF_SECRET_CREDENTIAL, CONF_SECRET_COMMAND, CONF_SECRET_ENV };

/* What becomes of a message whose final dot got no reply. */
enum conf_uncertain { CONF_UNCERTAIN_RESEND, CONF_UNCERTAIN_HOLD, CONF_UNCERTAIN_BOUNCE };

/* How the Received field of a message says whose it is. */
enum conf_received_user { CONF_RECEIVED_UID, CONF_RECEIVED_HASH, CONF_RECEIVED_NONE };

/* Where mail goes in place of the smarthosts. */
enum conf_staging { CONF_STAGING_OFF, CONF_STAGING_HOLD, CONF_STAGING_SINK };

/* What a client that wants to log in is told. */
enum conf_auth { CONF_AUTH_NONE, CONF_AUTH_ACCEPT_ANY };

/* How a listener's connections are made secret. */
enum conf_listener_tls {
	CONF_LISTENER_TLS_OFF,
	CONF_LISTENER_TLS_STARTTLS,
	CONF_LISTENER_TLS_REQUIRED,	/* STARTTLS before anything else */
	CONF_LISTENER_TLS_IMPLICIT
};

/* What becomes of mail beyond the limits of its user. */
enum conf_over { CONF_OVER_HOLD, CONF_OVER_DEFER, CONF_OVER_REFUSE };

struct conf_endpoint {
	uint16_t	 port;
	enum conf_tls	 tls;
};

struct conf_relay {
	char		*name;
	char		*host;
	char		*user;			/* NULL: no login */
	enum conf_secret secret;
	char		*secret_from;		/* path, credential name or variable */
	char		**command;		/* CONF_SECRET_COMMAND: argv, NULL-terminated */
	char		**mechanism_words;	/* as written; NULL: all for a password */
	unsigned	 mechanisms;		/* a set (smtp/mechanism.h); 0: no login */
	char		*certificate, *key;	/* paths of our own; NULL: none is shown */
	char		*ca_file;		/* NULL: the system's store */
	bool		 insecure;		/* no verification, or TLS none off loopback */
	bool		 quiet;			/* probe as rarely as is useful */
	unsigned	 connections;		/* parallel, at most */
	unsigned	 messages_per_connection;
	int64_t		 connection_age_ms;
	int64_t		 idle_ms;		/* an unused connection is kept this long */
	unsigned	 recipients_per_message; /* per transaction */
	struct conf_endpoint endpoint[CONF_ENDPOINTS_MAX];
	size_t		 nendpoint;
};

/* A socket for clients that are not programs of this host, as a rule: containers. */
struct conf_listener {
	char		*name;			/* its address, if none is given */
	char		*where;			/* as written */
	struct address	 address;
	char		**networks;		/* as written; NULL: this host */
	struct subnet	 network[CONF_NETWORKS_MAX];
	size_t		 nnetwork;		/* 0: this host */
	enum conf_auth	 auth;
	enum conf_listener_tls tls;
	char		*certificate, *key;	/* paths; NULL where tls is off */
	char		**allow_senders, **allow_recipients;	/* besides those for all */
};

#define CONF_NO_UID (-2)	/* of a user that there is not: nobody's */

/* Which relays a recipient's mail may take; what is NULL holds for all (conf/pattern.h). */
struct conf_route {
	char		*name;			/* its number, from 1, if none is given */
	char		*from, *to;
	char		*user;
	int64_t		 uid;			/* of user */
	uint8_t		 relay[CONF_RELAYS_MAX];	/* in the order of preference */
	size_t		 nrelay;
};

struct conf {
	char		*hostname;		/* EHLO name, in Received and Message-ID */
	char		*admin;			/* "" : none */
	char		*default_domain;	/* completes bare names; default: hostname */
	struct address	 listen[CONF_LISTEN_MAX];
	size_t		 nlisten;
	enum conf_auth	 auth;			/* of these, and of socket */
	struct conf_listener listener[CONF_LISTENERS_MAX];
	size_t		 nlistener;
	/* Patterns (conf/pattern.h), NULL-terminated; NULL: all may send, all may get mail. */
	char		**allow_senders, **allow_recipients;
	char		*socket;		/* SMTP unix socket; "" : none */
	char		*state_dir, *runtime_dir;
	char		*user, *intake_user;	/* when started as root */
	enum sandbox_policy sandbox;
	enum conf_received_user received_user;
	enum conf_staging staging;
	char		*sink;			/* a Maildir */
	bool		 syslog;
	bool		 debug;
	int64_t		 drain_ms;
	char		**hook;			/* told of alarms: argv, NULL-terminated; NULL: none */
	int64_t		 alarm_hold_ms;		/* calm for so long: the alarm is over */
	unsigned	 history;		/* days kept; 0: none is written */
	uint64_t	 history_size;		/* of all its files */

	struct {
		uint64_t	message_size;
		uint64_t	returned_message;	/* goes back whole, if it was asked for */
		unsigned	recipients;
		unsigned	connections;
		unsigned	connections_per_client;
		unsigned	errors;
		int64_t		command_ms;	/* wait for a command */
		int64_t		data_ms;	/* wait for message bytes */
		int64_t		transaction_ms;	/* a message from MAIL to the dot, as a whole */
		/* Of one user; per minute, hour and day; 0: any number. */
		unsigned	user_messages[3], user_recipients[3];
		uint64_t	user_bytes[3];
		enum conf_over	over_limit;
	} limits;

	struct {
		uint64_t	bytes_max, free_min, segment_size;
		uint32_t	messages_max;
		unsigned	user_share;	/* percent of both that one user may have */
		int64_t		outcome_sync_ms;
		int64_t		retry_first_ms, retry_max_ms;
		int64_t		expire_ms;
		int64_t		uncertain_ms;	/* rest after a lost reply to the final dot */
		enum conf_uncertain uncertain_then;
	} queue;

	struct conf_relay relay[CONF_RELAYS_MAX];
	size_t		 nrelay;
	struct conf_route route[CONF_ROUTES_MAX];	/* the first that fits; the last fits all */
	size_t		 nroute;		/* at least 1 */
};

/*
 * text is the file's content, name is for messages. All mistakes are found in
 * one run: each is one line in *report ("file:12: unknown option "lisen"; did
 * you mean "listen"?"). -1 if there was any; *out is untouched then. Warnings
 * are lines in the report too and do not fail.
 */
int conf_load(struct conf **out, struct view text, const char *name, struct buf *report) must_use;
void conf_free(struct conf *);
/*
 * Only where the directories are, of a text that conf_load() refuses; the default where it
 * says nothing that can be taken. The caller frees both. False: it can't be parsed, and its lines
 * were looked at one by one.
 */
bool conf_locate(struct view text, char **runtime_dir, char **state_dir);
/* Effective values, each with its source (default or line); no secrets are in them. */
bool conf_dump(struct buf *out, const struct conf *, struct view text, const char *name) must_use;
/* Where an option stands in a text that was loaded ("relays.[0].ca_file"); 0: it does not. */
unsigned conf_line(struct view text, const char *path);
/*
 * What is dangerous about a listener: a sentence in text for each, *pos begins with 0.
 * False: no more.
 */
bool conf_listener_danger(const struct conf_listener *, size_t *pos, char text[CONF_DANGER_MAX]);
/*
 * The same for what only the host as it is now shows: a listener of all addresses lets in an
 * address of an interface.
 */
bool conf_listener_own_danger(const struct conf_listener *, const struct own_addresses *, size_t *pos,
    char text[CONF_DANGER_MAX]);
/* False: mail leaves this host as usual. */
bool conf_staging_notice(const struct conf *, char text[CONF_DANGER_MAX]);
/*
 * True if no value that takes effect at a restart only differs; otherwise
 * their names are added to names.
 */
bool conf_same_fixed(const struct conf *, const struct conf *, struct buf *names) must_use;

#endif
