/* SPDX-License-Identifier: BSD-2-Clause */
#include "mail/envelope.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/date.h"
#include "base/num.h"
#include "base/require.h"

#include "base/banned.h"

static const struct view protocol_words[] = {
	[PROTOCOL_SMTP] = { (const uint8_t *)"SMTP", 4 },
	[PROTOCOL_ESMTP] = { (const uint8_t *)"ESMTP", 5 },
	[PROTOCOL_LOCAL] = { (const uint8_t *)"LOCAL", 5 },
};

void
envelope_init(struct envelope *env)
{
	*env = (struct envelope){ .uid = -1, .pid = -1 };
}

void
envelope_done(struct envelope *env)
{
	free(env->rcpt);
	free(env->dsn);
	envelope_init(env);
}

/* The capacity is the power of two that holds nrcpt: it needs no member. */
static size_t
capacity(uint32_t n)
{
	size_t cap = 1;

	while (cap < n)
		cap *= 2;
	return cap;
}

void
envelope_add_rcpt(struct envelope *env, struct view address)
{
	uint32_t n = env->nrcpt;

	require(n < ENVELOPE_RCPT_MAX);
	if (capacity(n) == n || n == 0) {
		env->rcpt = xrealloc(env->rcpt, capacity(n + 1) * sizeof(*env->rcpt));
		if (env->dsn != NULL)
			env->dsn = xrealloc(env->dsn, capacity(n + 1) * sizeof(*env->dsn));
	}
	if (env->dsn != NULL)
		env->dsn[n] = (struct envelope_dsn){ VIEW(""), VIEW("") };
	env->rcpt[env->nrcpt++] = address;
}

void
envelope_set_dsn(struct envelope *env, const struct envelope_dsn *dsn)
{
	require(env->nrcpt > 0);
	if (env->dsn == NULL)
		env->dsn = xcalloc(capacity(env->nrcpt), sizeof(*env->dsn));
	env->dsn[env->nrcpt - 1] = *dsn;
}

struct envelope_dsn
envelope_dsn(const struct envelope *env, uint32_t i)
{
	require(i < env->nrcpt);
	return env->dsn != NULL ? env->dsn[i] : (struct envelope_dsn){ VIEW(""), VIEW("") };
}

/* --- to text -------------------------------------------------------------- */

/* A line break or NUL in a value could forge a line, or hide the rest of one. */
static bool
is_value(struct view v)
{
	return view_find(v, '\n') == v.n && view_find(v, '\r') == v.n && view_find(v, '\0') == v.n;
}

static bool
put_line(struct buf *out, const char *key, struct view value)
{
	return is_value(value) && buf_add_str(out, key) && buf_add_str(out, ": ") &&
	    buf_add(out, value) && buf_add_byte(out, '\n');
}

/* A line that is left out if there is nothing to say. */
static bool
put_some(struct buf *out, const char *key, struct view value)
{
	return value.n == 0 || put_line(out, key, value);
}

static bool
put_recipients(struct buf *out, const struct envelope *env)
{
	for (uint32_t i = 0; i < env->nrcpt; i++) {
		struct envelope_dsn dsn = envelope_dsn(env, i);

		if (env->rcpt[i].n == 0 || !put_line(out, "rcpt", env->rcpt[i]) ||
		    !put_some(out, "notify", dsn.notify) || !put_some(out, "orcpt", dsn.orcpt))
			return false;
	}
	return true;
}

static bool
put_lines(struct buf *out, const struct envelope *env)
{
	char date[DATE_MAX];

	if (!put_line(out, "from", env->from) || !put_recipients(out, env))
		return false;
	if (!put_line(out, "received", view_str(date_rfc3339(date, env->received_ms))))
		return false;
	if (!put_some(out, "peer", env->peer))
		return false;
	if (env->uid >= 0 && !buf_addf(out, "uid: %lld\n", (long long)env->uid))
		return false;
	if (env->pid >= 0 && !buf_addf(out, "pid: %lld\n", (long long)env->pid))
		return false;
	if (!put_some(out, "no-uid", env->no_uid) || !put_some(out, "process", env->process) ||
	    !put_some(out, "helo", env->helo))
		return false;
	if (!put_line(out, "protocol", protocol_words[env->protocol]) || !put_some(out, "tls", env->tls))
		return false;
	if (!put_some(out, "ret", env->ret) || !put_some(out, "envid", env->envid))
		return false;
	if (env->smtputf8 && !buf_add_str(out, "smtputf8: yes\n"))
		return false;
	if (env->eight_bit && !buf_add_str(out, "body: 8bitmime\n"))
		return false;
	if (env->bounce && !buf_add_str(out, "bounce: yes\n"))
		return false;
	return env->size == 0 || buf_addf(out, "size: %llu\n", (unsigned long long)env->size);
}

bool
envelope_encode(struct buf *out, const struct envelope *env)
{
	size_t before = buf_len(out);

	if (env->nrcpt > 0 && put_lines(out, env) && buf_len(out) - before <= ENVELOPE_MAX)
		return true;
	buf_truncate(out, before);
	return false;
}

/* --- from text ------------------------------------------------------------ */

/* Known keys that may come once at most; those of recipients are apart. */
enum key {
	KEY_FROM, KEY_RECEIVED, KEY_PEER, KEY_UID, KEY_PID, KEY_HELO, KEY_PROTOCOL, KEY_BODY,
	KEY_BOUNCE, KEY_SIZE, KEY_NO_UID, KEY_PROCESS, KEY_RET, KEY_ENVID, KEY_SMTPUTF8, KEY_TLS, KEY_COUNT
};

static const char *const key_words[KEY_COUNT] = {
	"from", "received", "peer", "uid", "pid", "helo", "protocol", "body", "bounce", "size", "no-uid",
	"process", "ret", "envid", "smtputf8", "tls"
};

static enum key
find_key(struct view word)
{
	size_t i = 0;

	while (i < KEY_COUNT && !view_eq(word, view_str(key_words[i])))
		i++;
	return (enum key)i;
}

static bool
parse_number(struct view v, int64_t *out)
{
	uint64_t n;

	if (!num_parse_u64(v, 0, INT64_MAX, &n))
		return false;
	*out = (int64_t)n;
	return true;
}

static bool
parse_protocol(struct view v, enum envelope_protocol *out)
{
	for (size_t i = 0; i < lengthof(protocol_words); i++) {
		if (view_eq(v, protocol_words[i])) {
			*out = (enum envelope_protocol)i;
			return true;
		}
	}
	return false;
}

static bool
parse_choice(struct view v, struct view yes, struct view no, bool *out)
{
	*out = view_eq(v, yes);
	return *out || view_eq(v, no);
}

static bool
set_value(struct envelope *env, enum key key, struct view v)
{
	switch (key) {
	case KEY_FROM:
		env->from = v;
		return true;
	case KEY_PEER:
		env->peer = v;
		return true;
	case KEY_HELO:
		env->helo = v;
		return true;
	case KEY_PROCESS:
		env->process = v;
		return true;
	case KEY_NO_UID:
		env->no_uid = v;
		return true;
	case KEY_TLS:
		env->tls = v;
		return true;
	case KEY_RET:
		env->ret = v;
		return true;
	case KEY_ENVID:
		env->envid = v;
		return true;
	case KEY_SMTPUTF8:
		return parse_choice(v, VIEW("yes"), VIEW("no"), &env->smtputf8);
	case KEY_RECEIVED:
		return date_parse_rfc3339(v, &env->received_ms);
	case KEY_UID:
		return parse_number(v, &env->uid);
	case KEY_PID:
		return parse_number(v, &env->pid);
	case KEY_PROTOCOL:
		return parse_protocol(v, &env->protocol);
	case KEY_BODY:
		return parse_choice(v, VIEW("8bitmime"), VIEW("7bit"), &env->eight_bit);
	case KEY_BOUNCE:
		return parse_choice(v, VIEW("yes"), VIEW("no"), &env->bounce);
	case KEY_SIZE:
		return num_parse_u64(v, 0, INT64_MAX, &env->size);
	case KEY_COUNT:
		break;
	}
	return true;		/* a later version's key */
}

static int
take_recipient(struct envelope *env, struct view value, struct err *e)
{
	if (value.n == 0)
		return err_set(e, ERR_INPUT, "envelope: an empty recipient");
	if (env->nrcpt == ENVELOPE_RCPT_MAX)
		return err_set(e, ERR_INPUT, "envelope: more than %d recipients", ENVELOPE_RCPT_MAX);
	envelope_add_rcpt(env, value);
	return 0;
}

/* Of the recipient above; once. */
static int
take_dsn(struct envelope *env, bool notify, struct view value, struct err *e)
{
	struct envelope_dsn dsn;

	if (env->nrcpt == 0)
		return err_set(e, ERR_INPUT, "envelope: what is said of a recipient stands before it");
	dsn = envelope_dsn(env, env->nrcpt - 1);
	if ((notify ? dsn.notify.n : dsn.orcpt.n) != 0)
		return err_set(e, ERR_INPUT, "envelope: the same is said twice of a recipient");
	*(notify ? &dsn.notify : &dsn.orcpt) = value;
	envelope_set_dsn(env, &dsn);
	return 0;
}

static int
take_line(struct envelope *env, struct view line, unsigned *seen, struct err *e)
{
	struct view word, value = line;
	enum key key;

	if (!is_value(line))
		return err_set(e, ERR_INPUT, "envelope: a line has a control character");
	if (view_find(line, ':') == line.n || !view_split(&value, ':', &word) || word.n == 0)
		return err_set(e, ERR_INPUT, "envelope: a line without a key");
	if (value.n > 0 && value.p[0] == ' ')
		value = view_from(value, 1);
	if (view_eq(word, VIEW("rcpt")))
		return take_recipient(env, value, e);
	if (view_eq(word, VIEW("notify")) || view_eq(word, VIEW("orcpt")))
		return take_dsn(env, word.p[0] == 'n', value, e);
	key = find_key(word);
	if (key != KEY_COUNT) {
		if ((*seen & (1u << key)) != 0)
			return err_set(e, ERR_INPUT, "envelope: \"%s\" twice", key_words[key]);
		*seen |= 1u << key;
	}
	if (!set_value(env, key, value))
		return err_set(e, ERR_INPUT, "envelope: bad value of \"%s\"", key_words[key]);
	return 0;
}

int
envelope_decode(struct envelope *out, struct view text, struct err *e)
{
	struct envelope env;
	struct view line;
	unsigned seen = 0;
	int rc = -1;

	envelope_init(&env);
	envelope_init(out);
	if (text.n > ENVELOPE_MAX) {
		(void)err_set(e, ERR_INPUT, "envelope: longer than %u bytes", ENVELOPE_MAX);
		goto out;
	}
	if (text.n == 0 || text.p[text.n - 1] != '\n') {
		(void)err_set(e, ERR_INPUT, "envelope: the last line is cut");
		goto out;
	}
	while (view_split(&text, '\n', &line))
		if (take_line(&env, line, &seen, e) < 0)
			goto out;
	if ((seen & (1u << KEY_FROM)) == 0 || (seen & (1u << KEY_RECEIVED)) == 0 || env.nrcpt == 0) {
		(void)err_set(e, ERR_INPUT, "envelope: sender, recipient or time is missing");
		goto out;
	}
	*out = env;
	envelope_init(&env);
	rc = 0;
out:
	envelope_done(&env);
	return rc;
}
