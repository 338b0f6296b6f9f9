/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/sasl.h"

#include <assert.h>

#include "base/base64.h"
#include "base/num.h"
#include "base/require.h"

#include "base/banned.h"

#define TEXT_MAX	(2 * SASL_WORD_MAX + 2)	/* of an answer, before base64 */
#define BASE64_MAX	((TEXT_MAX + 2) / 3 * 4)

static bool
is_sayable(struct view word)
{
	return word.n <= SASL_WORD_MAX && view_find(word, 0) == word.n;
}

/* RFC 7628 3.1 ends each field with it, and no token holds one (RFC 6750 2.1). */
static bool
is_sayable_field(struct view word)
{
	return is_sayable(word) && view_find(word, 1) == word.n;
}

static enum sasl_result
said(bool ok)
{
	return ok ? SASL_SAID : SASL_CANT;
}

static enum sasl_result
by_scram(enum scram_result r)
{
	static const enum sasl_result results[] = {
		[SCRAM_GOOD] = SASL_SAID, [SCRAM_ODD] = SASL_ODD, [SCRAM_UNPROVEN] = SASL_UNPROVEN,
		[SCRAM_COSTLY] = SASL_COSTLY, [SCRAM_CHEAP] = SASL_CHEAP, [SCRAM_CANT] = SASL_CANT,
	};

	return results[r];
}

enum step {
	PLAIN, PLAIN_AGAIN, LOGIN, LOGIN_USER, LOGIN_SECRET, CRAM, CRAM_ANSWER, FIRST, PROOF, PROVEN,
	UNPROVEN, BEARER, BEARER_REFUSED, EXTERNAL, EXTERNAL_AGAIN, OVER, STEP_COUNT
};

/* --- what is said, before base64 --------------------------------------------- */

static enum sasl_result
say_plain(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	return said(buf_add_byte(out, 0) && buf_add(out, l->user) && buf_add_byte(out, 0) &&
	    buf_add(out, l->secret));
}

static enum sasl_result
say_user(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	return said(buf_add(out, l->user));
}

static enum sasl_result
say_secret(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	return said(buf_add(out, l->secret));
}

/* RFC 2195 2: user, space, HMAC-MD5 of the challenge in hex. */
static enum sasl_result
say_cram(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	uint8_t hash[CRYPTO_HASH_MAX], hex[2 * CRYPTO_HASH_MAX];
	size_t size = crypto_size(CRYPTO_MD5);

	if (challenge.n == 0)
		return SASL_ODD;
	if (!l->crypto->hmac(CRYPTO_MD5, l->secret, challenge, hash))
		return SASL_CANT;
	num_hex_bytes(hex, hash, size);
	return said(buf_add(out, l->user) && buf_add_byte(out, ' ') && buf_add(out, view_of(hex, 2 * size)));
}

static enum sasl_result
say_first(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	enum crypto_hash hash = s->mechanism == SASL_SCRAM_SHA_1 ? CRYPTO_SHA1 : CRYPTO_SHA256;

	return said(scram_start(&s->scram, hash, l->crypto) && scram_say_first(&s->scram, l->user, out));
}

static enum sasl_result
say_proof(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	return by_scram(scram_say_proof(&s->scram, l->crypto, l->user, l->secret, challenge, out));
}

static enum sasl_result
check_server(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	enum scram_result r = scram_verify(&s->scram, challenge);

	if (r != SCRAM_ODD)
		return by_scram(r);
	s->step = UNPROVEN;	/* an error in place of the signature: the refusal follows our answer */
	return SASL_SAID;
}

/* Host and port are left out: RFC 7628 3.1 has them where a server is one of many. */
static enum sasl_result
say_bearer(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	bool ok = is_sayable_field(l->user) && is_sayable_field(l->secret);

	if (s->mechanism == SASL_XOAUTH2)
		return said(ok && buf_add(out, VIEW("user=")) && buf_add(out, l->user) &&
		    buf_add(out, VIEW("\1auth=Bearer ")) && buf_add(out, l->secret) &&
		    buf_add(out, VIEW("\1\1")));
	return said(ok && buf_add(out, VIEW("n,a=")) && scram_add_name(l->user, out) &&
	    buf_add(out, VIEW(",\1auth=Bearer ")) && buf_add(out, l->secret) &&
	    buf_add(out, VIEW("\1\1")));
}

/* The 334 told what is wrong with the token; the refusal follows this (RFC 7628 3.2.3). */
static enum sasl_result
say_go_on(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	return said(s->mechanism == SASL_XOAUTH2 || buf_add_byte(out, 1));
}

/* --- the table ------------------------------------------------------------------ */

/* A server may ask for an initial response again: some take none with the command. */
static const struct step_row {
	/* NULL: the command alone */
	enum sasl_result (*say)(struct sasl *, const struct sasl_login *, struct view challenge, struct buf *out);
	bool		 reads;		/* the challenge, in base64; else it does not matter */
	enum step	 next;		/* at a 334 */
	bool		 proven;	/* a 235 may come behind it */
} steps[] = {
	[PLAIN]		 = { say_plain, false, PLAIN_AGAIN, true },
	[PLAIN_AGAIN]	 = { say_plain, false, OVER, true },
	[LOGIN]		 = { NULL, false, LOGIN_USER, true },
	[LOGIN_USER]	 = { say_user, false, LOGIN_SECRET, true },
	[LOGIN_SECRET]	 = { say_secret, false, OVER, true },
	[CRAM]		 = { NULL, false, CRAM_ANSWER, true },
	[CRAM_ANSWER]	 = { say_cram, true, OVER, true },
	[FIRST]		 = { say_first, false, PROOF, false },
	[PROOF]		 = { say_proof, true, PROVEN, false },
	[PROVEN]	 = { check_server, true, OVER, true },
	[UNPROVEN]	 = { NULL, false, OVER, false },
	[BEARER]	 = { say_bearer, false, BEARER_REFUSED, true },
	[BEARER_REFUSED] = { say_go_on, false, OVER, true },
	[EXTERNAL]	 = { say_user, false, EXTERNAL_AGAIN, true },
	[EXTERNAL_AGAIN] = { say_user, false, OVER, true },
	[OVER]		 = { NULL, false, OVER, false },
};
static_assert(lengthof(steps) == STEP_COUNT, "each step has its row");

static const enum step first_steps[] = {
	[SASL_EXTERNAL] = EXTERNAL, [SASL_SCRAM_SHA_256] = FIRST, [SASL_SCRAM_SHA_1] = FIRST,
	[SASL_OAUTHBEARER] = BEARER, [SASL_XOAUTH2] = BEARER, [SASL_CRAM_MD5] = CRAM,
	[SASL_PLAIN] = PLAIN, [SASL_LOGIN] = LOGIN,
};
static_assert(lengthof(first_steps) == SASL_COUNT, "each mechanism has its first step");

/* --- one step --------------------------------------------------------------------- */

static enum sasl_result
run_step(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *text)
{
	const struct step_row *row = &steps[s->step];
	struct buf plain;
	enum sasl_result result;

	if (!row->reads)
		return row->say(s, l, challenge, text);
	buf_init(&plain, SCRAM_MESSAGE_MAX);
	result = base64_decode(&plain, challenge) ? row->say(s, l, buf_view(&plain), text) : SASL_ODD;
	buf_done(&plain);
	return result;
}

static enum sasl_result
put_answer(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	bool initial = !s->begun;
	struct buf text;
	enum sasl_result result;

	buf_init(&text, TEXT_MAX);
	if (!is_sayable(l->user) || !is_sayable(l->secret) || buf_reserve(&text, TEXT_MAX) == NULL)
		return SASL_CANT;
	result = run_step(s, l, challenge, &text);
	if (result == SASL_SAID && initial && buf_len(&text) == 0)
		result = said(buf_add(out, VIEW(" =")));	/* RFC 4954 4: empty, but there */
	else if (result == SASL_SAID && buf_len(&text) > 0)
		result = said((!initial || buf_add_byte(out, ' ')) && base64_encode(out, buf_view(&text)));
	buf_wipe(&text);
	return result;
}

void
sasl_start(struct sasl *s, enum sasl_mechanism mechanism)
{
	require((unsigned)mechanism < SASL_COUNT);
	*s = (struct sasl){ .mechanism = mechanism, .step = first_steps[mechanism] };
}

enum sasl_result
sasl_say(struct sasl *s, const struct sasl_login *l, struct view challenge, struct buf *out)
{
	enum sasl_result result = SASL_SAID;

	if (s->begun)
		s->step = steps[s->step].next;
	require(s->step != OVER);
	if (buf_reserve(out, BASE64_MAX + 40) == NULL)
		return SASL_CANT;
	if (!s->begun && !buf_addf(out, "AUTH %s", mechanism_name(s->mechanism)))
		return SASL_CANT;
	if (steps[s->step].say != NULL)
		result = put_answer(s, l, challenge, out);
	s->begun = true;
	return result;
}

bool
sasl_is_over(const struct sasl *s)
{
	return steps[s->step].next == OVER;
}

bool
sasl_is_proven(const struct sasl *s)
{
	return steps[s->step].proven;
}
