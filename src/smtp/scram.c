/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/scram.h"

#include "base/alloc.h"
#include "base/base64.h"
#include "base/num.h"

#include "base/banned.h"

#define GS2_HEADER	"n,,"		/* no channel binding, no other identity */
#define GS2_BASE64	"biws"

/* What the password is turned into; all of it secret. */
struct keys {
	uint8_t	salted[CRYPTO_HASH_MAX], client[CRYPTO_HASH_MAX], stored[CRYPTO_HASH_MAX],
		server[CRYPTO_HASH_MAX], proof[CRYPTO_HASH_MAX];
};

struct server_first {
	struct view	nonce;
	uint8_t		salt[SCRAM_MESSAGE_MAX];
	size_t		nsalt;
	unsigned	iterations;
};

bool
scram_start(struct scram *s, enum crypto_hash hash, const struct crypto *crypto)
{
	uint8_t bytes[SCRAM_NONCE_BYTES];
	struct buf text;
	bool ok;

	*s = (struct scram){ .hash = hash };
	buf_init(&text, SCRAM_NONCE_TEXT - 1);
	ok = crypto->random(bytes, sizeof(bytes)) && base64_encode(&text, view_of(bytes, sizeof(bytes)));
	if (ok)
		memcpy(s->nonce, buf_view(&text).p, buf_len(&text));
	buf_done(&text);
	return ok;
}

bool
scram_add_name(struct view name, struct buf *out)
{
	for (size_t i = 0; i < name.n; i++)
		if (!(name.p[i] == '=' ? buf_add(out, VIEW("=3D")) :
		    name.p[i] == ',' ? buf_add(out, VIEW("=2C")) : buf_add_byte(out, name.p[i])))
			return false;
	return true;
}

static bool
add_first_bare(const struct scram *s, struct view user, struct buf *out)
{
	return buf_add(out, VIEW("n=")) && scram_add_name(user, out) && buf_addf(out, ",r=%s", s->nonce);
}

bool
scram_say_first(const struct scram *s, struct view user, struct buf *out)
{
	return buf_add(out, VIEW(GS2_HEADER)) && add_first_bare(s, user, out);
}

/* --- server-first-message ---------------------------------------------------- */

/* "x=value"; false if the next one is not that. */
static bool
take_attribute(struct view *rest, uint8_t name, struct view *value)
{
	struct view v;

	if (!view_split(rest, ',', &v) || v.n < 2 || v.p[0] != name || v.p[1] != '=')
		return false;
	*value = view_from(v, 2);
	return true;
}

static bool
take_salt(struct server_first *f, struct view text)
{
	struct buf salt;
	bool ok;

	buf_init(&salt, sizeof(f->salt));
	ok = base64_decode(&salt, text) && buf_len(&salt) > 0;
	if (ok) {
		f->nsalt = buf_len(&salt);
		memcpy(f->salt, buf_view(&salt).p, f->nsalt);
	}
	buf_done(&salt);
	return ok;
}

/*
 * [m=...,] r=nonce,s=salt,i=count [,extensions]: one with m is not for us, and the extensions behind
 * are (RFC 5802 5.1).
 */
static enum scram_result
parse_first(struct server_first *f, const struct scram *s, struct view text)
{
	struct view rest = text, salt, count;
	uint64_t n;

	if (!take_attribute(&rest, 'r', &f->nonce) || !take_attribute(&rest, 's', &salt) ||
	    !take_attribute(&rest, 'i', &count) || !take_salt(f, salt) ||
	    !num_parse_u64(count, 1, UINT64_MAX, &n))
		return SCRAM_ODD;
	/* It has to be ours, and more. */
	if (!view_starts(f->nonce, view_str(s->nonce)) || f->nonce.n == strlen(s->nonce))
		return SCRAM_UNPROVEN;
	if (n > SCRAM_ITERATIONS_MAX)
		return SCRAM_COSTLY;
	if (n < SCRAM_ITERATIONS_MIN)
		return SCRAM_CHEAP;
	f->iterations = (unsigned)n;
	return SCRAM_GOOD;
}

/* --- the proof ----------------------------------------------------------------- */

static bool
add_final_bare(const struct server_first *f, struct buf *out)
{
	return buf_add(out, VIEW("c=" GS2_BASE64 ",r=")) && buf_add(out, f->nonce);
}

/* RFC 5802 3: what both sides sign. */
static bool
add_auth_message(const struct scram *s, const struct server_first *f, struct view user,
    struct view server_first, struct buf *out)
{
	return add_first_bare(s, user, out) && buf_add_byte(out, ',') && buf_add(out, server_first) &&
	    buf_add_byte(out, ',') && add_final_bare(f, out);
}

/* k->proof, and the signature that the server will have to show. */
static bool
compute(struct scram *s, const struct crypto *crypto, struct keys *k, struct view password,
    const struct server_first *f, struct view message)
{
	size_t size = crypto_size(s->hash);
	uint8_t sign[CRYPTO_HASH_MAX];

	if (!crypto->stretch(s->hash, password, view_of(f->salt, f->nsalt), f->iterations, k->salted) ||
	    !crypto->hmac(s->hash, view_of(k->salted, size), VIEW("Client Key"), k->client) ||
	    !crypto->digest(s->hash, view_of(k->client, size), k->stored) ||
	    !crypto->hmac(s->hash, view_of(k->stored, size), message, sign) ||
	    !crypto->hmac(s->hash, view_of(k->salted, size), VIEW("Server Key"), k->server) ||
	    !crypto->hmac(s->hash, view_of(k->server, size), message, s->signature))
		return false;
	for (size_t i = 0; i < size; i++)
		k->proof[i] = k->client[i] ^ sign[i];
	s->expects = true;
	return true;
}

enum scram_result
scram_say_proof(struct scram *s, const struct crypto *crypto, struct view user, struct view password,
    struct view server_first, struct buf *out)
{
	struct server_first f;
	struct keys k;
	struct buf message;
	enum scram_result result;
	bool ok;

	result = parse_first(&f, s, server_first);
	if (result != SCRAM_GOOD)
		return result;
	buf_init(&message, 3 * SCRAM_MESSAGE_MAX);
	ok = add_auth_message(s, &f, user, server_first, &message) &&
	    compute(s, crypto, &k, password, &f, buf_view(&message)) && add_final_bare(&f, out) &&
	    buf_add(out, VIEW(",p=")) && base64_encode(out, view_of(k.proof, crypto_size(s->hash)));
	secret_wipe(&k, sizeof(k));
	buf_done(&message);
	return ok ? SCRAM_GOOD : SCRAM_CANT;
}

/* --- server-final-message -------------------------------------------------------- */

/* In the same time wherever they differ. */
static bool
is_same(const uint8_t *a, const uint8_t *b, size_t n)
{
	unsigned differ = 0;

	for (size_t i = 0; i < n; i++)
		differ |= (unsigned)(a[i] ^ b[i]);
	return differ == 0;
}

enum scram_result
scram_verify(const struct scram *s, struct view server_final)
{
	size_t size = crypto_size(s->hash);
	struct view rest = server_final, text;
	struct buf sign;
	bool ok;

	if (view_starts(server_final, VIEW("e=")))
		return SCRAM_ODD;
	buf_init(&sign, CRYPTO_HASH_MAX);
	ok = s->expects && take_attribute(&rest, 'v', &text) && base64_decode(&sign, text) &&
	    buf_len(&sign) == size && is_same(buf_view(&sign).p, s->signature, size);
	buf_done(&sign);
	return ok ? SCRAM_GOOD : SCRAM_UNPROVEN;
}
