/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AUTH (RFC 4954) for programs that insist on a login: PLAIN (RFC 4616) and LOGIN, and any
 * name and password will do. Both are looked at for their form alone, kept nowhere, and wiped;
 * a client is no other one for it.
 */
#include "smtp/server_private.h"

#include "base/alloc.h"
#include "base/base64.h"

#include "base/banned.h"

#define PROMPT_USER	"VXNlcm5hbWU6"	/* "Username:" */
#define PROMPT_PASSWORD	"UGFzc3dvcmQ6"

/* [authzid] NUL authcid NUL passwd */
static bool
is_plain(struct view v)
{
	size_t first = view_find(v, 0), second;

	if (first == v.n)
		return false;
	v = view_from(v, first + 1);
	second = view_find(v, 0);
	return second > 0 && second < v.n && view_find(view_from(v, second + 1), 0) == v.n - second - 1;
}

/* Room is made first, so that growing leaves no copy behind. */
static bool
is_good(struct view response, bool plain)
{
	struct buf text;
	bool good;

	buf_init(&text, LINE_MAX_BYTES);
	good = buf_reserve(&text, LINE_MAX_BYTES) != NULL && base64_decode(&text, response) &&
	    (!plain || is_plain(buf_view(&text)));
	buf_wipe(&text);
	return good;
}

static void
leave(struct server *s)
{
	s->state = SV_READY;
	s->auth = AUTH_NONE;
}

static void
ask(struct server *s, enum server_auth step, const char *prompt)
{
	s->state = SV_AUTH;
	s->auth = step;
	if (!buf_addf(&s->out, "334 %s\r\n", prompt))
		s->state = SV_CLOSING;
}

void
server_auth_line(struct server *s, struct view line)
{
	enum server_auth step = s->auth;

	leave(s);
	if (view_eq(line, VIEW("*"))) {
		server_say(s, 501, "5.7.0", "Cancelled");
	} else if (!is_good(line, step == AUTH_PLAIN)) {
		server_say(s, 501, "5.5.2", "Malformed response");
	} else if (step == AUTH_USER) {
		ask(s, AUTH_PASSWORD, PROMPT_PASSWORD);
	} else {
		s->logged_in = true;
		server_say(s, 235, "2.7.0", "Any login will do");
	}
}

void
server_auth_too_long(struct server *s)
{
	leave(s);
	server_say(s, 500, "5.5.6", "Response too long");
}

/* "=" is the empty response (RFC 4954 4). */
void
server_auth(struct server *s, struct view args)
{
	struct view mechanism, response = args;
	bool plain;

	if (s->logged_in) {
		server_say(s, 503, "5.5.1", "Logged in already");
		return;
	}
	(void)view_split(&response, ' ', &mechanism);
	response = view_trim(response);
	plain = view_ieq(mechanism, VIEW("PLAIN"));
	if (mechanism.n == 0) {
		server_say(s, 501, "5.5.4", "AUTH wants a mechanism");
	} else if (!plain && !view_ieq(mechanism, VIEW("LOGIN"))) {
		server_say(s, 504, "5.5.4", "PLAIN and LOGIN are known here");
	} else if (response.n == 0) {
		ask(s, plain ? AUTH_PLAIN : AUTH_USER, plain ? "" : PROMPT_USER);
	} else {
		s->auth = plain ? AUTH_PLAIN : AUTH_USER;
		server_auth_line(s, view_eq(response, VIEW("=")) ? VIEW("") : response);
	}
}
