/* SPDX-License-Identifier: BSD-2-Clause */
#include "mail/trace.h"

#include <stdio.h>

#include "base/date.h"

#include "base/banned.h"

#define COLUMNS		78
#define TAB_COLUMNS	8
#define WORD_MAX	255	/* a domain's longest */

struct folder {
	struct buf	*out;
	size_t		 column;
};

/* A piece that stays whole: behind a space, or on a new line if this one is full. */
static bool
put_piece(struct folder *f, const char *text, size_t n)
{
	if (f->column + 1 + n <= COLUMNS) {
		f->column += 1 + n;
		return buf_add_byte(f->out, ' ') && buf_add(f->out, view_of(text, n));
	}
	f->column = TAB_COLUMNS + n;
	return buf_add_str(f->out, "\r\n\t") && buf_add(f->out, view_of(text, n));
}

/*
 * Copy what a domain, an address literal or a port is made of. Anything else
 * becomes '?': a parenthesis or a line break would be read as our own words.
 */
static size_t
harmless(char word[WORD_MAX + 1], struct view v)
{
	size_t n = v.n < WORD_MAX ? v.n : WORD_MAX;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = v.p[i];
		bool fine = is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']';

		word[i] = (char)(fine ? c : '?');
	}
	word[n] = '\0';
	return n;
}

static bool
put_from(struct folder *f, const struct envelope *env, const char *user)
{
	char word[WORD_MAX + 1];
	char text[WORD_MAX + 64];
	int n;

	if (env->helo.n != 0) {
		(void)harmless(word, env->helo);
		n = snprintf(text, sizeof(text), "from %s", word);
	} else {
		n = snprintf(text, sizeof(text), "from unknown");
	}
	if (!put_piece(f, text, (size_t)n))
		return false;
	(void)harmless(word, env->peer);
	if (user[0] != '\0')
		n = snprintf(text, sizeof(text), "(%s, %.40s)", word, user);
	else
		n = snprintf(text, sizeof(text), "(%s)", word);
	return put_piece(f, text, (size_t)n);
}

/* RFC 3848 and RFC 6531 4.3; neither has a word for SMTP without extensions over TLS. */
static const char *
with(const struct envelope *env)
{
	bool tls = env->tls.n != 0;

	if (env->smtputf8)
		return tls ? "with UTF8SMTPS" : "with UTF8SMTP";
	switch (env->protocol) {
	case PROTOCOL_SMTP:
		return "with SMTP";
	case PROTOCOL_ESMTP:
		return tls ? "with ESMTPS" : "with ESMTP";
	case PROTOCOL_LOCAL:
		break;
	}
	return NULL;
}

/* "id N" and the end of the clauses; before that how secret it came (RFC 8314 7.4). */
static bool
put_id(struct folder *f, const struct envelope *env, const char *id)
{
	char cipher[WORD_MAX + 1];
	char text[WORD_MAX + 64];
	bool tls = env->tls.n != 0;
	int n = snprintf(text, sizeof(text), "id %.32s%s", id, tls ? "" : ";");

	if (!put_piece(f, text, (size_t)n))
		return false;
	if (!tls)
		return true;
	(void)harmless(cipher, view_from(env->tls, view_find(env->tls, ' ') + 1));
	n = snprintf(text, sizeof(text), "tls %s;", cipher);
	return put_piece(f, text, (size_t)n);
}

bool
trace_received(struct buf *out, const struct envelope *env, const char *hostname, const char *id,
    const char *user)
{
	const char *protocol = with(env);
	struct folder f = { out, sizeof("Received:") - 1 };
	size_t before = buf_len(out);
	char date[DATE_MAX];
	char text[WORD_MAX + 64];
	int n;

	if (!buf_add_str(out, "Received:"))
		goto full;
	if (env->peer.n != 0 && !put_from(&f, env, user))
		goto full;
	n = snprintf(text, sizeof(text), "by %.*s", WORD_MAX, hostname);
	if (!put_piece(&f, text, (size_t)n))
		goto full;
	if (protocol != NULL && !put_piece(&f, protocol, strlen(protocol)))
		goto full;
	if (!put_id(&f, env, id))
		goto full;
	(void)date_rfc5322(date, env->received_ms);
	if (!put_piece(&f, date, strlen(date)) || !buf_add_str(out, "\r\n"))
		goto full;
	return true;
full:
	buf_truncate(out, before);
	return false;
}
