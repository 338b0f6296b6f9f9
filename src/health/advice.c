/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is mostly wrong when a login is refused: by the words of the reply, by the provider,
 * and by what the user name has to be there. The first row that fits is told.
 */
#include "health/health_impl.h"

#include "health/words.h"

#include "base/banned.h"

struct advice {
	const char	*host;		/* the end of the relay's host name; NULL: any */
	const char	*user;		/* fits when the configured one is another; NULL: any */
	const char	*says;		/* in the reply; NULL: whatever it says */
	const char	*advice;
};

#define APP_PASSWORD "the account's own password does not do: make an app password in its security " \
	"settings, and use that"
#define NO_PASSWORDS "this service takes no password any more, only OAuth: set mechanisms = [ \"xoauth2\" ] " \
	"and a password_command that prints a token, or use a relay that takes a password"
#define NEW_TOKEN "the token is over or of another user; look at what password_command prints, then reload"
#define OTHER_WAY "correct user and password, then reload; if both are right, the server can't do for this " \
	"account what it offers: name another login method (mechanisms)"
#define SMTP_AUTH_OFF "SMTP AUTH is switched off for the mailbox or for the whole organisation: its " \
	"administrator has to allow \"Authenticated SMTP\" for this mailbox"
#define FEWER "the provider allows fewer connections at a time: set a lower connections for this relay"
#define WANTS_LOGIN "the server wants a login: set user and a password for this relay"

static const struct advice advices[] = {
	/* Said by us behind the reply: relay/remark.c. */
	{ NULL, NULL, "(by OAUTHBEARER)", NEW_TOKEN },
	{ NULL, NULL, "(by XOAUTH2)", NEW_TOKEN },
	{ NULL, NULL, "(by EXTERNAL)", "the server does not know our certificate, or not for this user: see "
	    "certificate and user of the relay" },
	/* What the reply itself says. Codes of Google and Microsoft. */
	{ "outlook.com", NULL, "5.7.139", NO_PASSWORDS },
	{ NULL, NULL, "5.7.139", SMTP_AUTH_OFF },
	{ NULL, NULL, "smtp auth disabled", SMTP_AUTH_OFF },
	{ NULL, NULL, "smtpclientauthentication is disabled", SMTP_AUTH_OFF },
	{ NULL, NULL, "5.7.30", NO_PASSWORDS },
	{ NULL, NULL, "basic authentication", NO_PASSWORDS },
	{ NULL, NULL, "application-specific password", APP_PASSWORD },
	{ NULL, NULL, "app password", APP_PASSWORD },
	{ NULL, NULL, "5.7.9", APP_PASSWORD },
	{ NULL, NULL, "4.7.12", "the provider keeps the password in a form that it does not use any more: log in "
	    "once on its web site, or set a new password there" },
	{ NULL, NULL, "432 4.3.2", FEWER },
	{ NULL, NULL, "concurrent", FEWER },
	{ NULL, NULL, "web browser", "the provider wants a person to log in once, with a browser; then "
	    "posthousectl unblock" },
	{ NULL, NULL, "5.7.11", "the server wants TLS before the login: set tls to \"starttls\" or "
	    "\"implicit\" for its ports" },
	{ NULL, NULL, "538 ", "the server wants TLS before the login: set tls to \"starttls\" or "
	    "\"implicit\" for its ports" },
	{ NULL, "", "530 ", "the server asks for a login in spite of ours: mostly the login was "
	    "forgotten on the way, or this port takes none; try another port of the provider" },
	{ NULL, NULL, "530 ", WANTS_LOGIN },
	/* Where the user name is a fixed word. */
	{ "smtp.sendgrid.net", "apikey", NULL, "at SendGrid user is the literal word apikey, and the "
	    "password an API key" },
	{ "smtp.resend.com", "resend", NULL, "at Resend user is the literal word resend, and the "
	    "password an API key" },
	{ "smtp.mailtrap.io", "api", NULL, "at Mailtrap user is the literal word api, and the password "
	    "an API token" },
	{ "sparkpostmail.com", "SMTP_Injection", NULL, "at SparkPost user is the literal word "
	    "SMTP_Injection, and the password an API key" },
	/* Credentials that look alike. */
	{ "smtp.sendgrid.net", NULL, NULL, "the password must be an API key that may send mail; it was "
	    "perhaps deleted or cut short" },
	{ "smtp.resend.com", NULL, NULL, "the password must be an API key; it was perhaps deleted or cut "
	    "short" },
	{ "amazonaws.com", NULL, NULL, "Amazon SES wants SMTP credentials, which are made in its console "
	    "for one region; the keys of AWS itself are others" },
	{ "mailgun.org", NULL, NULL, "Mailgun wants the SMTP user and password of the sending domain, not "
	    "an API key; a domain in the EU is at smtp.eu.mailgun.org" },
	{ "brevo.com", NULL, NULL, "Brevo wants an SMTP key as password, which is neither the API key nor "
	    "the account's password" },
	{ "postmarkapp.com", NULL, NULL, "Postmark wants the server's token as user and as password, or a "
	    "pair of SMTP token and secret" },
	{ "mailjet.com", NULL, NULL, "Mailjet wants the API key as user and the secret key as password" },
	{ "zoho.", NULL, NULL, "at Zoho the wrong data centre looks like a wrong password: the host must "
	    "end as the address of the web mail does (.com, .eu, .in ...); with two-factor login an app "
	    "password is needed" },
	{ "gmail.com", NULL, NULL, "user is the whole address, and the password an app password, not the "
	    "account's own" },
	{ "office365.com", NULL, NULL, "user is the whole address; if user and password are right, SMTP "
	    "AUTH is perhaps switched off for the mailbox" },
	{ "fastmail.com", NULL, NULL, APP_PASSWORD },
	{ "mail.me.com", NULL, NULL, APP_PASSWORD },
	{ "yahoo.com", NULL, NULL, APP_PASSWORD },
	{ "aol.com", NULL, NULL, APP_PASSWORD },
	{ NULL, NULL, "(by SCRAM-", OTHER_WAY },
	{ NULL, NULL, "(by CRAM-MD5)", OTHER_WAY },
};

/* Of that host or domain; "zoho." is any of its data centres. */
static bool
is_host(const char *host, const char *end)
{
	struct view v = view_str(host), e = view_str(end);
	size_t before;

	if (e.p[e.n - 1] == '.')
		return words_say(host, end);
	if (v.n < e.n)
		return false;
	before = v.n - e.n;
	return view_ieq(view_from(v, before), e) && (before == 0 || v.p[before - 1] == '.');
}

static bool
fits(const struct advice *a, const struct health *h, const char *reply)
{
	return (a->host == NULL || is_host(h->host, a->host)) &&
	    (a->user == NULL || strcmp(a->user, h->user) != 0) &&
	    (a->says == NULL || words_say(reply, a->says));
}

const char *
account_advice(const struct health *h, enum health_class class, const char *detail)
{
	bool refused = class == HEALTH_AUTH_REFUSED;

	/* Of one that is put off only the reply's own words tell anything. */
	if (refused || class == HEALTH_AUTH_TEMP || class == HEALTH_QUOTA)
		for (size_t i = 0; i < lengthof(advices); i++)
			if ((refused || advices[i].says != NULL) && fits(&advices[i], h, detail))
				return advices[i].advice;
	return health_class_info(class)->advice;
}
