/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/keys.h"

#include <stddef.h>
#include <string.h>

#include "base/compiler.h"
#include "smtp/mechanism.h"

#include "base/banned.h"

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)
#define TiB (UINT64_C(1) << 40)
#define SEC UINT64_C(1000)
#define MIN (60 * SEC)
#define HOUR (60 * MIN)
#define DAY (24 * HOUR)

static const char *const sandbox_words[] = { "required", "best-effort", "off", NULL };
static const char *const uncertain_words[] = { "resend", "hold", "bounce", NULL };
static const char *const received_words[] = { "uid", "hash", "none", NULL };
static const char *const staging_words[] = { "off", "hold", "sink", NULL };
static const char *const auth_words[] = { "none", "accept_any", NULL };
static const char *const listener_tls_words[] = { "off", "starttls", "required", "implicit", NULL };
static const char *const over_words[] = { "hold", "defer", "refuse", NULL };
static const char *const tls_words[] = { "starttls", "implicit", "none", NULL };

const struct conf_endpoint default_endpoints[] = {
	{ 587, CONF_TLS_STARTTLS }, { 465, CONF_TLS_IMPLICIT }, { 2525, CONF_TLS_STARTTLS }
};
const size_t ndefault_endpoints = lengthof(default_endpoints);

#define TOP(n, member) GROUP_TOP, n, .at = offsetof(struct conf, member)
#define LIMIT(n, member) GROUP_LIMITS, n, .at = offsetof(struct conf, limits.member)
#define QUEUE(n, member) GROUP_QUEUE, n, .at = offsetof(struct conf, queue.member)
#define RELAY(n, member) GROUP_RELAY, n, .at = offsetof(struct conf_relay, member)
#define ENDPOINT(n, member) GROUP_ENDPOINT, n, .at = offsetof(struct conf_endpoint, member)
#define LISTENER(n, member) GROUP_LISTENER, n, .at = offsetof(struct conf_listener, member)
#define ROUTE(n, member) GROUP_ROUTE, n, .at = offsetof(struct conf_route, member)

#define STRING(f, lo, hi) .type = KEY_STRING, .form = FORM_##f, .min = lo, .max = hi
/* runtime_dir is short because "/control.sock" behind it must fit a socket address. */
#define RUNTIME_DIR_MAX 90
#define SOCKET_MAX 107

const struct key keys[] = {
	{ TOP("hostname", hostname), STRING(HOST, 1, 255), .derived = "this host's name",
	  .help = "Name for EHLO, Received and Message-ID." },
	{ TOP("admin", admin), STRING(MAILBOX, 0, 254), .def = "",
	  .help = "Gets bounces of local senders that cannot be reached from outside." },
	{ TOP("default_domain", default_domain), STRING(HOST, 0, 255), .derived = "hostname",
	  .help = "Completes addresses without a domain." },
	{ TOP("listen", listen), .type = KEY_ADDRESSES, .max = CONF_LISTEN_MAX,
	  .def = "127.0.0.1:25 [::1]:25", .help = "Loopback addresses that take SMTP." },
	{ TOP("auth", auth), .type = KEY_CHOICE, .words = auth_words, .def = "none",
	  .help = "For programs that insist on a login: any is taken, and means nothing." },
	{ GROUP_TOP, "listeners", .type = KEY_SUBGROUP, .min = GROUP_LISTENER,
	  .help = "Further addresses that take SMTP, for containers; each with its networks." },
	{ LISTENER("name", name), STRING(ANY, 1, 64), .derived = "its address",
	  .help = "What logs and replies call it." },
	{ LISTENER("address", where), STRING(ADDRESS, 1, 64), .derived = "none: must be given",
	  .help = "Address and port." },
	{ LISTENER("networks", networks), .type = KEY_LIST, .form = FORM_NETWORK,
	  .max = CONF_NETWORKS_MAX, .derived = "this host, if address is loopback; else it must be given",
	  .help = "Who may connect: networks and addresses; with ! in front, who may not." },
	{ LISTENER("auth", auth), .type = KEY_CHOICE, .words = auth_words, .def = "none",
	  .help = "The same as auth, of a loopback address." },
	{ LISTENER("tls", tls), .type = KEY_CHOICE, .words = listener_tls_words, .def = "off",
	  .help = "How connections are made secret: not, by STARTTLS, by nothing else, or from the start." },
	{ LISTENER("certificate", certificate), STRING(PATH, 1, 4000), .derived = "none: must be given with tls",
	  .help = "The certificate, PEM, its issuers behind it." },
	{ LISTENER("key", key), STRING(PATH, 1, 4000), .derived = "the file of certificate",
	  .help = "Its key, PEM; not readable by others." },
	{ LISTENER("allow_senders", allow_senders), .type = KEY_LIST, .form = FORM_SENDER,
	  .max = CONF_PATTERNS_MAX, .derived = "all",
	  .help = "Senders that are taken here, besides the rule for all." },
	{ LISTENER("allow_recipients", allow_recipients), .type = KEY_LIST, .form = FORM_RECIPIENT,
	  .max = CONF_PATTERNS_MAX, .derived = "all",
	  .help = "Recipients that are taken here, besides the rule for all." },
	{ TOP("allow_senders", allow_senders), .type = KEY_LIST, .form = FORM_SENDER,
	  .max = CONF_PATTERNS_MAX, .derived = "all",
	  .help = "Senders that are taken; others get 550." },
	{ TOP("allow_recipients", allow_recipients), .type = KEY_LIST, .form = FORM_RECIPIENT,
	  .max = CONF_PATTERNS_MAX, .derived = "all",
	  .help = "Recipients that are taken; others get 550." },
	{ TOP("socket", socket), STRING(PATH, 0, SOCKET_MAX), .derived = "runtime_dir/smtp.sock",
	  .help = "Unix socket that takes SMTP; empty for none." },
	{ TOP("state_dir", state_dir), STRING(PATH, 1, 4000), .def = POSTHOUSE_STATEDIR,
	  .fixed = true, .help = "Where the queue is kept." },
	{ TOP("runtime_dir", runtime_dir), STRING(PATH, 1, RUNTIME_DIR_MAX),
	  .def = POSTHOUSE_RUNTIMEDIR, .fixed = true, .help = "Where the sockets are." },
	{ TOP("user", user), STRING(NAME, 1, 64), .def = POSTHOUSE_USER, .fixed = true,
	  .help = "Who runs the daemon when it is started as root." },
	{ TOP("intake_user", intake_user), STRING(NAME, 0, 64), .def = POSTHOUSE_USER "-intake",
	  .fixed = true, .help = "Who runs intake when started as root; empty: user." },
	{ TOP("received_user", received_user), .type = KEY_CHOICE, .words = received_words, .def = "uid",
	  .help = "How Received says who handed a message in: uid, a keyed hash of it, or not." },
	{ TOP("staging", staging), .type = KEY_CHOICE, .words = staging_words, .def = "off",
	  .help = "For tests: keep all mail in the queue (hold) or in a Maildir (sink); none leaves." },
	{ TOP("sink", sink), STRING(PATH, 0, 4000), .derived = "state_dir/sink",
	  .help = "The Maildir of staging = \"sink\"." },
	{ TOP("sandbox", sandbox), .type = KEY_CHOICE, .words = sandbox_words, .def = "required",
	  .help = "What if system call filter or Landlock are not to be had." },
	{ TOP("syslog", syslog), .type = KEY_BOOL, .def = "false", .fixed = true,
	  .help = "Log to syslog in place of standard error." },
	{ TOP("debug", debug), .type = KEY_BOOL, .def = "false",
	  .help = "Log more (no message text and no password in any case)." },
	{ TOP("drain", drain_ms), .type = KEY_DURATION, .min = SEC, .max = 10 * MIN, .def = "30s",
	  .help = "How long running transactions may take to finish at stop and reload." },
	{ TOP("hook", hook), .type = KEY_COMMAND, .derived = "none",
	  .help = "Command that is run when an alarm is raised or over; a list of words, no shell." },
	{ TOP("alarm_hold", alarm_hold_ms), .type = KEY_DURATION, .min = SEC, .max = DAY, .def = "5m",
	  .help = "An alarm is over when its cause has been gone for so long." },
	{ TOP("history", history), .type = KEY_COUNT, .min = 0, .max = 3650, .def = "30",
	  .help = "Days for which it is kept what became of each message; 0: not at all." },
	{ TOP("history_size", history_size), .type = KEY_SIZE, .min = MiB, .max = 64 * GiB,
	  .def = "256M", .help = "Largest history on disk; the oldest part goes first." },

	{ GROUP_TOP, "limits", .type = KEY_SUBGROUP, .min = GROUP_LIMITS,
	  .help = "What a client may do." },
	{ LIMIT("message_size", message_size), .type = KEY_SIZE, .min = KiB, .max = 2 * GiB,
	  .def = "25M", .help = "Largest message." },
	{ LIMIT("returned_message", returned_message), .type = KEY_SIZE, .min = KiB, .max = 2 * MiB,
	  .def = "1M", .help = "Largest message that goes back whole when it fails (RET=FULL)." },
	{ LIMIT("recipients", recipients), .type = KEY_COUNT, .min = 1, .max = 20000,
	  .def = "1000", .help = "Recipients of one message." },
	{ LIMIT("connections", connections), .type = KEY_COUNT, .min = 1, .max = 10000,
	  .def = "500", .help = "Connections at one time." },
	{ LIMIT("connections_per_client", connections_per_client), .type = KEY_COUNT, .min = 1,
	  .max = 10000, .def = "100", .help = "Of these, by one user; those not known count as one." },
	{ LIMIT("errors", errors), .type = KEY_COUNT, .min = 1, .max = 1000, .def = "20",
	  .help = "Refused commands before a connection is closed." },
	{ LIMIT("command_timeout", command_ms), .type = KEY_DURATION, .min = SEC, .max = HOUR,
	  .def = "5m", .help = "Wait for a command." },
	{ LIMIT("data_timeout", data_ms), .type = KEY_DURATION, .min = SEC, .max = HOUR,
	  .def = "3m", .help = "Wait for more of a message." },
	{ LIMIT("transaction_timeout", transaction_ms), .type = KEY_DURATION, .min = SEC,
	  .max = DAY, .def = "30m", .help = "A message as a whole, from MAIL to the dot." },
	{ LIMIT("user_messages_minute", user_messages[0]), .type = KEY_COUNT, .min = 0,
	  .max = 1000000000, .def = "0", .help = "Messages that one user may hand in per minute; 0: any number." },
	{ LIMIT("user_messages_hour", user_messages[1]), .type = KEY_COUNT, .min = 0,
	  .max = 1000000000, .def = "0", .help = "Messages that one user may hand in per hour; 0: any number." },
	{ LIMIT("user_messages_day", user_messages[2]), .type = KEY_COUNT, .min = 0,
	  .max = 1000000000, .def = "0", .help = "Messages that one user may hand in per day; 0: any number." },
	{ LIMIT("user_recipients_minute", user_recipients[0]), .type = KEY_COUNT, .min = 0,
	  .max = 1000000000, .def = "0", .help = "Recipients that one user may hand in per minute; 0: any number." },
	{ LIMIT("user_recipients_hour", user_recipients[1]), .type = KEY_COUNT, .min = 0,
	  .max = 1000000000, .def = "0", .help = "Recipients that one user may hand in per hour; 0: any number." },
	{ LIMIT("user_recipients_day", user_recipients[2]), .type = KEY_COUNT, .min = 0,
	  .max = 1000000000, .def = "0", .help = "Recipients that one user may hand in per day; 0: any number." },
	{ LIMIT("user_bytes_minute", user_bytes[0]), .type = KEY_SIZE, .min = 0,
	  .max = 64 * GiB, .def = "0", .help = "Bytes that one user may hand in per minute; 0: any number." },
	{ LIMIT("user_bytes_hour", user_bytes[1]), .type = KEY_SIZE, .min = 0,
	  .max = 64 * GiB, .def = "0", .help = "Bytes that one user may hand in per hour; 0: any number." },
	{ LIMIT("user_bytes_day", user_bytes[2]), .type = KEY_SIZE, .min = 0,
	  .max = 64 * GiB, .def = "0", .help = "Bytes that one user may hand in per day; 0: any number." },
	{ LIMIT("over_limit", over_limit), .type = KEY_CHOICE, .words = over_words, .def = "hold",
	  .help = "Mail beyond these limits: held, deferred (4xx) or refused (5xx)." },

	{ GROUP_TOP, "queue", .type = KEY_SUBGROUP, .min = GROUP_QUEUE,
	  .help = "How much is kept, and for how long." },
	{ QUEUE("bytes_max", bytes_max), .type = KEY_SIZE, .min = MiB, .max = 64 * TiB,
	  .def = "4G", .help = "Largest queue on disk; beyond it new mail is refused for now." },
	{ QUEUE("free_min", free_min), .type = KEY_SIZE, .min = 0, .max = 64 * TiB, .def = "256M",
	  .help = "Free disk space below which new mail is refused for now." },
	{ QUEUE("segment_size", segment_size), .type = KEY_SIZE, .min = MiB, .max = GiB,
	  .def = "64M", .help = "Size of one file of the log." },
	{ QUEUE("messages_max", messages_max), .type = KEY_COUNT, .min = 1, .max = 10000000,
	  .def = "500000", .help = "Most messages in the queue." },
	{ QUEUE("user_share", user_share), .type = KEY_COUNT, .min = 1, .max = 100, .def = "50",
	  .help = "Percent of the queue that the mail of one user may fill." },
	{ QUEUE("outcome_sync", outcome_sync_ms), .type = KEY_DURATION, .min = 1, .max = MIN,
	  .def = "1s", .help = "Deliveries of this time may repeat after a power loss." },
	{ QUEUE("retry_first", retry_first_ms), .type = KEY_DURATION, .min = 10, .max = DAY,
	  .def = "1m", .help = "Wait before the second attempt; doubles from there." },
	{ QUEUE("retry_max", retry_max_ms), .type = KEY_DURATION, .min = 10, .max = 7 * DAY,
	  .def = "1h", .help = "Longest wait between attempts." },
	{ QUEUE("expire", expire_ms), .type = KEY_DURATION, .min = SEC, .max = 60 * DAY,
	  .def = "5d", .help = "Age at which an undelivered message is returned." },
	{ QUEUE("uncertain", uncertain_ms), .type = KEY_DURATION, .min = 10, .max = DAY,
	  .def = "15m", .help = "Rest of a message whose final reply got lost." },
	{ QUEUE("uncertain_then", uncertain_then), .type = KEY_CHOICE, .words = uncertain_words,
	  .def = "resend", .help = "What becomes of it: sent again, held, or reported as failed." },

	{ GROUP_TOP, "relays", .type = KEY_SUBGROUP, .min = GROUP_RELAY,
	  .help = "The smarthosts, in the order of preference." },
	{ RELAY("name", name), STRING(NAME, 1, 64), .derived = "host",
	  .help = "What logs and posthousectl call it." },
	{ RELAY("host", host), STRING(HOST, 1, 255), .derived = "none: must be given",
	  .help = "Name or address of the smarthost." },
	{ RELAY("user", user), STRING(ANY, 0, 255), .derived = "none: no login",
	  .help = "User name for the login." },
	{ RELAY("password_file", secret_from), .type = KEY_SECRET, .form = FORM_PATH,
	  .min = CONF_SECRET_FILE, .derived = "none",
	  .help = "File with the password; not readable by others." },
	{ RELAY("password_credential", secret_from), .type = KEY_SECRET, .form = FORM_NAME,
	  .min = CONF_SECRET_CREDENTIAL, .derived = "none",
	  .help = "systemd credential with the password." },
	{ RELAY("password_command", command), .type = KEY_COMMAND,
	  .min = CONF_SECRET_COMMAND, .derived = "none",
	  .help = "Command that prints the password; a list of words, no shell." },
	{ RELAY("password_env", secret_from), .type = KEY_SECRET, .form = FORM_NAME,
	  .min = CONF_SECRET_ENV, .derived = "none",
	  .help = "Environment variable with the password." },
	{ RELAY("mechanisms", mechanism_words), .type = KEY_LIST, .form = FORM_MECHANISM,
	  .max = 2 * SASL_COUNT, .derived = "all for a password, the strongest first",
	  .help = "How to log in; with ! in front, how not to." },
	{ RELAY("certificate", certificate), STRING(PATH, 1, 4000), .derived = "none",
	  .help = "A certificate to show to the smarthost, PEM, its issuers behind it." },
	{ RELAY("key", key), STRING(PATH, 1, 4000), .derived = "the file of certificate",
	  .help = "Its key, PEM; not readable by others." },
	{ RELAY("ca_file", ca_file), STRING(PATH, 0, 4000), .derived = "the system's store",
	  .help = "Certificates to trust, PEM." },
	{ RELAY("insecure", insecure), .type = KEY_BOOL, .def = "false",
	  .help = "Do not verify certificates, allow tls = \"none\"; never with a login." },
	{ RELAY("quiet", quiet), .type = KEY_BOOL, .def = "false",
	  .help = "Probe as rarely as is useful." },
	{ RELAY("connections", connections), .type = KEY_COUNT, .min = 1, .max = 100,
	  .def = "8", .help = "Parallel connections." },
	{ RELAY("messages_per_connection", messages_per_connection), .type = KEY_COUNT, .min = 1,
	  .max = 100000, .def = "50", .help = "Messages before a connection is renewed." },
	{ RELAY("connection_age", connection_age_ms), .type = KEY_DURATION, .min = SEC,
	  .max = DAY, .def = "5m", .help = "Age at which a connection is renewed." },
	{ RELAY("idle", idle_ms), .type = KEY_DURATION, .min = 10, .max = HOUR, .def = "30s",
	  .help = "How long an unused connection is kept." },
	{ RELAY("recipients_per_message", recipients_per_message), .type = KEY_COUNT, .min = 1,
	  .max = 10000, .def = "100", .help = "Recipients in one transaction." },
	{ GROUP_RELAY, "endpoints", .type = KEY_SUBGROUP, .min = GROUP_ENDPOINT,
	  .derived = "587 starttls, 465 implicit, 2525 starttls",
	  .help = "Ports to use, the preferred one first." },
	{ ENDPOINT("port", port), .type = KEY_PORT, .min = 1, .max = 65535,
	  .derived = "none: must be given", .help = "TCP port." },
	{ ENDPOINT("tls", tls), .type = KEY_CHOICE, .words = tls_words,
	  .derived = "implicit on ports 465 and 2465, else starttls",
	  .help = "How the connection is made secret." },

	{ GROUP_TOP, "routes", .type = KEY_SUBGROUP, .min = GROUP_ROUTE,
	  .help = "Which relays get which mail; the first that fits." },
	{ ROUTE("name", name), STRING(NAME, 1, 64), .derived = "its number, from 1",
	  .help = "What logs and posthousectl call it." },
	{ ROUTE("from", from), STRING(SENDER, 1, 512), .derived = "any",
	  .help = "Sender: address, *@domain, *@*.domain or <>." },
	{ ROUTE("to", to), STRING(RECIPIENT, 1, 512), .derived = "any",
	  .help = "Recipient: address, *@domain or *@*.domain." },
	{ ROUTE("user", user), STRING(NAME, 1, 64), .derived = "any",
	  .help = "Local user who handed it in, by name or number." },
	{ ROUTE("relays", relay), .type = KEY_RELAYS, .max = CONF_RELAYS_MAX,
	  .derived = "none: must be given",
	  .help = "Names of the relays, the preferred one first." },
};
const size_t nkeys = lengthof(keys);

const struct key *
key_find(enum key_group group, const char *name)
{
	for (size_t i = 0; i < nkeys; i++)
		if (keys[i].group == group && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

bool
key_is_list(const struct key *k)
{
	return k->type == KEY_SUBGROUP &&
	    (k->min == GROUP_LISTENER || k->min == GROUP_RELAY || k->min == GROUP_ENDPOINT ||
	    k->min == GROUP_ROUTE);
}

const char *
group_prefix(enum key_group group)
{
	static const char *const prefix[GROUP_COUNT] = {
		"", "listeners[].", "limits.", "queue.", "relays[].", "relays[].endpoints[].", "routes[]."
	};

	return prefix[group];
}
