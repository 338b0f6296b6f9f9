/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A login against any server: byte 0 chooses the mechanism and whether challenges come in base64
 * (else they are put into it), then come pieces (a length byte, then bytes) that are the challenges.
 * Each answer is one line of base64, the password itself leaves only where the mechanism says it,
 * and a server is taken for proven only by its signature.
 */
#include "base/base64.h"
#include "fuzz.h"
#include "net/crypto.h"
#include "smtp/sasl.h"

#include "base/banned.h"

#define PASSWORD "hushhush"
#define ANSWER_MAX 65536

/* The same nonce each time: a seed can answer it. */
static bool
draw(uint8_t *out, size_t n)
{
	memset(out, 'n', n);
	return true;
}

/* A server may know it, and have it in a nonce that we say again. */
static bool
says_password(struct view base64)
{
	struct buf text;
	bool says;

	buf_init(&text, ANSWER_MAX);
	says = base64_decode(&text, base64) && view_search(buf_view(&text), VIEW(PASSWORD)) < buf_len(&text);
	buf_done(&text);
	return says;
}

static void
check_answer(const struct sasl *s, struct view challenge, struct view line, bool first)
{
	struct view word, base64 = line;
	struct buf text;

	if (first) {
		require(view_split(&base64, ' ', &word) && view_eq(word, VIEW("AUTH")));
		require(view_split(&base64, ' ', &word) &&
		    view_eq(word, view_str(mechanism_name(s->mechanism))));
	}
	buf_init(&text, ANSWER_MAX);
	if (!view_eq(base64, VIEW("=")))
		require(base64_decode(&text, base64));
	if (s->mechanism == SASL_SCRAM_SHA_1 || s->mechanism == SASL_SCRAM_SHA_256 ||
	    s->mechanism == SASL_CRAM_MD5)
		require(!says_password(base64) || says_password(challenge));
	buf_done(&text);
}

static bool
is_signed(const struct sasl *s, struct view challenge)
{
	struct buf text;
	bool ok;

	buf_init(&text, ANSWER_MAX);
	ok = s->scram.expects && base64_decode(&text, challenge) && view_starts(buf_view(&text), VIEW("v="));
	buf_done(&text);
	return ok;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size), piece = VIEW("");
	unsigned choice = fuzz_choice(&in);
	bool raw = (choice & 128) != 0, scram;
	struct crypto crypto = crypto_openssl;
	struct sasl_login login = { .user = VIEW("us,er="), .secret = VIEW(PASSWORD), .crypto = &crypto };
	struct sasl s;
	struct buf base64, out;
	int turns = 0;

	crypto.random = draw;
	buf_init(&base64, ANSWER_MAX);
	buf_init(&out, ANSWER_MAX);
	sasl_start(&s, (enum sasl_mechanism)(choice % SASL_COUNT));
	scram = s.mechanism == SASL_SCRAM_SHA_1 || s.mechanism == SASL_SCRAM_SHA_256;
	for (;;) {
		struct view challenge = piece;

		if (!raw) {
			buf_clear(&base64);
			require(base64_encode(&base64, piece));
			challenge = buf_view(&base64);
		}
		if (sasl_say(&s, &login, challenge, &out) != SASL_SAID)
			break;
		check_answer(&s, challenge, buf_view(&out), turns == 0);
		if (scram)
			require(!sasl_is_proven(&s) || is_signed(&s, challenge));
		buf_clear(&out);
		require(++turns < 5);
		if (sasl_is_over(&s))
			break;
		piece = fuzz_piece(&in);
	}
	buf_done(&base64);
	buf_done(&out);
	return 0;
}
