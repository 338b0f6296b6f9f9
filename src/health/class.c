/* SPDX-License-Identifier: BSD-2-Clause */
/* What each class of outcome means, whom it is about and what it does to an endpoint. */
#include "health/health.h"

#include <assert.h>

#include "base/require.h"

#include "base/banned.h"

#define ENDPOINT	SCOPE_ENDPOINT
#define NETWORK		SCOPE_NETWORK
#define LOCAL		SCOPE_LOCAL
#define ACCOUNT		SCOPE_ACCOUNT
#define MESSAGE		SCOPE_MESSAGE
#define NONE		SEVERITY_NONE
#define SOFT		SEVERITY_SOFT
#define HARD		SEVERITY_HARD
#define DOWN		SEVERITY_DOWN
#define BLOCK		SEVERITY_BLOCK

static const struct health_class_info classes[] = {
	[HEALTH_OK] = { "ok", SCOPE_NONE, NONE,
	    "works", "" },
	[HEALTH_DNS_FAIL] = { "dns_fail", NETWORK, NONE,
	    "the name server does not answer",
	    "check /etc/resolv.conf and the network; mail waits" },
	[HEALTH_DNS_NXDOMAIN] = { "dns_nxdomain", ACCOUNT, NONE,
	    "the relay's host name does not exist",
	    "correct the host name of this relay in the configuration" },
	[HEALTH_LOCAL_DENIED] = { "local_denied", LOCAL, DOWN,
	    "this host itself forbids the connection",
	    "allow the port in the local firewall (nftables, iptables, SELinux)" },
	[HEALTH_NO_ROUTE] = { "no_route", NETWORK, HARD,
	    "there is no route to the host",
	    "check the network and its default route" },
	[HEALTH_REFUSED] = { "refused", ENDPOINT, HARD,
	    "nothing listens on the port, or the connection is actively refused",
	    "check host name and port; another port of the relay may be open" },
	[HEALTH_FILTERED] = { "filtered", ENDPOINT, HARD,
	    "no answer: the port is filtered on the way, or the host is away",
	    "ask the network's operator to open the port, or rely on the other ports; a firewall of this host "
	    "that drops in silence looks the same" },
	[HEALTH_PROHIBITED] = { "prohibited", ENDPOINT, HARD,
	    "a firewall on the way, or the server's own, says that the connection is prohibited",
	    "ask who runs the firewall named in the detail to open the port, or rely on the other ports" },
	[HEALTH_NO_BANNER] = { "no_banner", ENDPOINT, HARD,
	    "connected, but no greeting came: a transparent proxy, a tarpit, or an overloaded server",
	    "if it lasts, ask the network's operator about a proxy on this port" },
	[HEALTH_BANNER_4XX] = { "banner_4xx", ENDPOINT, SOFT,
	    "the server greets with \"try later\"",
	    "" },
	[HEALTH_BANNER_5XX] = { "banner_5xx", ENDPOINT, HARD,
	    "the server greets with a refusal: it does not want this address",
	    "ask the provider why it refuses this host's address" },
	[HEALTH_NOT_SMTP] = { "not_smtp", ENDPOINT, HARD,
	    "something that is not SMTP answers on the port",
	    "check host name and port" },
	[HEALTH_WANTS_IMPLICIT] = { "wants_implicit", ENDPOINT, HARD,
	    "the port expects TLS from the first byte",
	    "set tls = \"implicit\" for this port" },
	[HEALTH_WANTS_STARTTLS] = { "wants_starttls", ENDPOINT, HARD,
	    "the port speaks plain SMTP first and expects STARTTLS",
	    "set tls = \"starttls\" for this port" },
	[HEALTH_STARTTLS_MISSING] = { "starttls_missing", ENDPOINT, DOWN,
	    "STARTTLS is not offered: perhaps removed by a device on the path; nothing was sent in clear",
	    "use the port with implicit TLS (465), or ask the network's operator about SMTP inspection" },
	[HEALTH_STARTTLS_BLANKED] = { "starttls_blanked", ENDPOINT, DOWN,
	    "a device on the path writes X over the offer of STARTTLS; nothing was sent in clear",
	    "ask the network's operator to switch off SMTP inspection (\"fixup\", \"ESMTP inspect\"), or use "
	    "the port with implicit TLS (465)" },
	[HEALTH_STARTTLS_REFUSED] = { "starttls_refused", ENDPOINT, SOFT,
	    "the server offers STARTTLS but refuses it now",
	    "" },
	[HEALTH_INJECTED] = { "injected", ENDPOINT, DOWN,
	    "bytes came between the reply to STARTTLS and the handshake: someone may tamper with the path",
	    "use the port with implicit TLS (465), and ask the network's operator" },
	[HEALTH_TLS_HANDSHAKE] = { "tls_handshake", ENDPOINT, HARD,
	    "the TLS handshake failed",
	    "see the detail; the server may lack TLS 1.2" },
	[HEALTH_TLS_NAME] = { "tls_name", ENDPOINT, BLOCK,
	    "the certificate is for another name",
	    "set host to a name in the certificate, or find out who answers on this port" },
	[HEALTH_TLS_EXPIRED] = { "tls_expired", ENDPOINT, BLOCK,
	    "the certificate is not valid at this date",
	    "check this host's clock; otherwise the provider must renew it" },
	[HEALTH_TLS_UNTRUSTED] = { "tls_untrusted", ENDPOINT, BLOCK,
	    "the certificate is not signed by a trusted authority",
	    "install the authority's certificate (ca_file), or find out who intercepts this port" },
	[HEALTH_EHLO_REFUSED] = { "ehlo_refused", ENDPOINT, HARD,
	    "the server refuses our name in EHLO",
	    "set hostname to a full name that resolves" },
	[HEALTH_AUTH_MISSING] = { "auth_missing", ENDPOINT, HARD,
	    "the server offers no login method that we have",
	    "check that this port is the provider's submission port" },
	[HEALTH_AUTH_UNANSWERED] = { "auth_unanswered", ENDPOINT, SOFT,
	    "the login was sent and got no answer, so further ones wait, longer each time",
	    "if only one port is like that, a device on the way may cut logins there; if all are, the "
	    "provider's login service is down, or it cuts off whom it refuses" },
	[HEALTH_AUTH_NOT_TAKEN] = { "auth_not_taken", ENDPOINT, BLOCK,
	    "the server offers a login and then does not know the command, so none is sent to this port",
	    "check that this port is the provider's submission port" },
	[HEALTH_AUTH_UNPROVEN] = { "auth_unproven", ENDPOINT, BLOCK,
	    "the server does not show that it knows the password, as it has to, so no mail is sent there",
	    "find out who answers on this port; if it is the provider, name another login method (mechanisms)" },
	[HEALTH_AUTH_TEMP] = { "auth_temp", ACCOUNT, NONE,
	    "the server can't check logins now",
	    "" },
	[HEALTH_AUTH_REFUSED] = { "auth_refused", ACCOUNT, NONE,
	    "the login was refused, so no further login is tried on any port",
	    "correct user and password, then reload; posthousectl unblock tries again" },
	[HEALTH_MAIL_DENIED] = { "mail_denied", ACCOUNT, NONE,
	    "the server asks for a login when mail comes, though the login worked",
	    "ask the provider whether this account may still send, and for these senders" },
	[HEALTH_QUOTA] = { "quota", ACCOUNT, NONE,
	    "the provider asks to slow down",
	    "" },
	[HEALTH_QUOTA_USED_UP] = { "quota_used_up", ACCOUNT, NONE,
	    "what the provider allows in a day or a month is used up",
	    "mail goes on by itself after the reset; a larger plan or a second relay helps sooner" },
	[HEALTH_SENDER_REFUSED] = { "sender_refused", MESSAGE, NONE,
	    "the sender address was refused",
	    "use a sender that the provider has verified for this account" },
	[HEALTH_RCPT_REFUSED] = { "rcpt_refused", MESSAGE, NONE,
	    "the recipient was refused",
	    "" },
	[HEALTH_CONTENT_REFUSED] = { "content_refused", MESSAGE, NONE,
	    "the message was refused",
	    "" },
	[HEALTH_MSG_TEMP] = { "msg_temp", MESSAGE, NONE,
	    "the server asks to try this message later",
	    "" },
	[HEALTH_CUT_BEFORE_DOT] = { "cut_before_dot", ENDPOINT, SOFT,
	    "the connection broke before the message was complete",
	    "" },
	[HEALTH_CUT_AFTER_DOT] = { "cut_after_dot", ENDPOINT, SOFT,
	    "the connection broke before the message was confirmed: it may have arrived",
	    "" },
	[HEALTH_GARBLED] = { "garbled", ENDPOINT, SOFT,
	    "the server's replies make no sense",
	    "" },
};

static_assert(sizeof(classes) / sizeof(classes[0]) == HEALTH_CLASS_COUNT, "one row per class");

const struct health_class_info *
health_class_info(enum health_class class)
{
	require((unsigned)class < HEALTH_CLASS_COUNT);
	return &classes[class];
}

bool
health_class_find(struct view word, enum health_class *out)
{
	for (size_t i = 0; i < HEALTH_CLASS_COUNT; i++) {
		if (view_eq(word, view_str(classes[i].word))) {
			*out = (enum health_class)i;
			return true;
		}
	}
	return false;
}

bool
health_is_unjudged(enum health_class class)
{
	return class == HEALTH_AUTH_UNANSWERED || health_ends_logins(class);
}

bool
health_ends_logins(enum health_class class)
{
	return class == HEALTH_AUTH_NOT_TAKEN || class == HEALTH_AUTH_UNPROVEN;
}

const char *
endpoint_state_word(enum endpoint_state s)
{
	static const char *const words[EP_STATE_COUNT] = {
		[EP_UNKNOWN] = "unknown", [EP_UP] = "up", [EP_DEGRADED] = "degraded",
		[EP_DOWN] = "down", [EP_PROBING] = "probing", [EP_RECOVERING] = "recovering",
		[EP_BLOCKED] = "blocked", [EP_OFF] = "off",
	};

	require((unsigned)s < EP_STATE_COUNT);
	return words[s];
}

const char *
account_state_word(enum account_state s)
{
	static const char *const words[ACCOUNT_STATE_COUNT] = {
		[ACCOUNT_AVAILABLE] = "available", [ACCOUNT_PAUSED] = "paused",
		[ACCOUNT_EXHAUSTED] = "exhausted", [ACCOUNT_BLOCKED] = "blocked",
		[ACCOUNT_DOWN] = "down",
	};

	require((unsigned)s < ACCOUNT_STATE_COUNT);
	return words[s];
}

const char *
choice_reason_word(enum choice_reason r)
{
	static const char *const words[] = {
		[CHOICE_STAY] = "stay", [CHOICE_FIRST] = "first", [CHOICE_DOWN] = "down",
		[CHOICE_DETOUR] = "detour", [CHOICE_BETTER] = "better",
		[CHOICE_RETURN] = "return", [CHOICE_CANARY] = "canary",
		[CHOICE_RACE] = "race", [CHOICE_RESTART] = "restart", [CHOICE_NONE] = "none",
	};

	require((unsigned)r < sizeof(words) / sizeof(words[0]));
	return words[r];
}

const char *
health_event_word(enum health_event_kind k)
{
	static const char *const words[HEALTH_EVENT_COUNT] = {
		[HEALTH_ENDPOINT_UP] = "endpoint-up",
		[HEALTH_ENDPOINT_DEGRADED] = "endpoint-degraded",
		[HEALTH_ENDPOINT_DOWN] = "endpoint-down",
		[HEALTH_ENDPOINT_BLOCKED] = "endpoint-blocked",
		[HEALTH_ROUTE_CHANGED] = "route-changed",
		[HEALTH_RELAY_DOWN] = "relay-down",
		[HEALTH_RELAY_UP] = "relay-up",
		[HEALTH_FLAPPING] = "flapping",
		[HEALTH_ACCOUNT_AVAILABLE] = "account-available",
		[HEALTH_ACCOUNT_PAUSED] = "account-paused",
		[HEALTH_ACCOUNT_EXHAUSTED] = "account-exhausted",
		[HEALTH_ACCOUNT_BLOCKED] = "account-blocked",
		[HEALTH_DETOUR] = "detour",
		[HEALTH_DETOUR_OVER] = "detour-over",
	};

	require((unsigned)k < HEALTH_EVENT_COUNT);
	return words[k];
}
