/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logins as the RFCs have them, with OpenSSL's hashes: SCRAM (RFC 5802 5, RFC 7677 3), CRAM-MD5
 * (RFC 2195 2), OAUTHBEARER (RFC 7628 4) and XOAUTH2, EXTERNAL (RFC 4422 A); and servers that
 * don't keep to them.
 */
#include "unit/smtp/client_help.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "net/crypto.h"

#include "base/banned.h"

/* The nonces of the RFCs are base64 of these many bytes. */
#define NONCE_1		"fyko+d2lbbFgONRv9qkxdawL"
#define NONCE_256	"rOprNGfwEbeRWgbNEkqO"
#define FIRST_1		"r=" NONCE_1 "3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"
#define FIRST_256	"r=" NONCE_256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define SIGNED_1	"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="
#define SIGNED_256	"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
#define SALTED		",s=QSXCR+Q6sek8bf92,i=4096"

static const char *drawn;	/* the nonce that is drawn next, in base64 */

static bool
draw(uint8_t *out, size_t n)
{
	struct buf b;

	buf_init(&b, n);
	assert_true(base64_decode(&b, view_str(drawn)));
	memset(out, 0, n);
	memcpy(out, buf_view(&b).p, buf_len(&b));
	buf_done(&b);
	return true;
}

static bool
draw_nothing(uint8_t *out, size_t n)
{
	return false;
}

static const char *
base64(const char *text)
{
	static struct buf b;

	buf_done(&b);
	buf_init(&b, 10000);
	assert_true(base64_encode(&b, view_str(text)));
	return buf_cstr(&b);
}

/* --- the client up to the login, and through it ------------------------------- */

static struct crypto crypto;

static enum client_action
log_in(struct client *c, const char *user, const char *secret)
{
	crypto = crypto_openssl;
	crypto.random = draw;
	client_login(c, &(struct sasl_login){ .user = view_str(user), .secret = view_str(secret),
		.crypto = &crypto });
	return hear(c, "");
}

/* In TLS, and asked for the credentials: the server offers these. */
static struct client *
offered(unsigned mechanisms, const char *offers)
{
	struct client_params p = { .ehlo_name = "h.example", .tls = CLIENT_TLS_IMPLICIT,
		.mechanisms = mechanisms };
	struct client *c = client_new(&p);
	char ehlo[300];

	assert_int_equal(hear(c, ""), CLIENT_NEED_TLS);
	client_tls_ready(c);
	assert_int_equal(hear(c, "220 mx\r\n"), CLIENT_WANT_INPUT);
	assert_says(c, "EHLO h.example\r\n");
	snprintf(ehlo, sizeof(ehlo), "250-mx\r\n250 AUTH %s\r\n", offers);
	assert_int_equal(hear(c, ehlo), CLIENT_NEED_LOGIN);
	return c;
}

/* What it says, decoded; before is in front of the base64. */
static void
assert_answers(struct client *c, const char *before, const char *text)
{
	char want[1000];

	snprintf(want, sizeof(want), "%s%s\r\n", before, base64(text));
	assert_true(client_output_is_secret(c));
	assert_says(c, want);
}

static enum client_action
challenge(struct client *c, const char *text)
{
	char line[3000];

	snprintf(line, sizeof(line), "334 %s\r\n", base64(text));
	return hear(c, line);
}

static void
assert_gives_up(struct client *c, enum client_fault fault, const char *detail)
{
	assert_int_equal(client_failure(c)->fault, fault);
	assert_non_null(strstr(client_failure(c)->detail, detail));
	assert_true(view_starts(buf_view(client_output(c)), VIEW("*\r\n")));
	buf_clear(client_output(c));
	assert_int_equal(hear(c, "235 welcome\r\n"), CLIENT_CLOSE);
	client_free(c);
}

/* --- SCRAM -------------------------------------------------------------------- */

/* SCRAM-SHA-1, up to the proof, which is the RFC's. */
static struct client *
proof_given(void)
{
	struct client *c = offered(MECHANISMS_PASSWORD, "SCRAM-SHA-1 PLAIN LOGIN");

	drawn = NONCE_1;
	assert_int_equal(log_in(c, "user", "pencil"), CLIENT_WANT_INPUT);
	assert_int_equal(client_mechanism(c), SASL_SCRAM_SHA_1);
	assert_answers(c, "AUTH SCRAM-SHA-1 ", "n,,n=user,r=" NONCE_1);
	assert_int_equal(challenge(c, FIRST_1), CLIENT_NEED_LOGIN);
	assert_int_equal(log_in(c, "user", "pencil"), CLIENT_WANT_INPUT);
	assert_answers(c, "", "c=biws,r=" NONCE_1 "3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
	return c;
}

static void
test_scram_sha_1(void **state)
{
	struct client *c = proof_given();

	assert_int_equal(challenge(c, SIGNED_1), CLIENT_NEED_LOGIN);
	assert_int_equal(log_in(c, "user", "pencil"), CLIENT_WANT_INPUT);
	assert_says(c, "\r\n");
	assert_int_equal(hear(c, "235 2.7.0 welcome\r\n"), CLIENT_IDLE);
	client_free(c);
}

/* The RFC's nonce has 15 bytes, ours 18: so without the client. */
static void
test_scram_sha_256(void **state)
{
	struct scram s;
	struct buf out;

	drawn = NONCE_1;
	crypto = crypto_openssl;
	crypto.random = draw;
	assert_true(scram_start(&s, CRYPTO_SHA256, &crypto));
	assert_string_equal(s.nonce, NONCE_1);
	memcpy(s.nonce, NONCE_256, sizeof(NONCE_256));
	buf_init(&out, SCRAM_MESSAGE_MAX);
	assert_true(scram_say_first(&s, VIEW("user"), &out));
	assert_string_equal(buf_cstr(&out), "n,,n=user,r=" NONCE_256);
	buf_clear(&out);
	/* too early: there is nothing yet that it could be */
	assert_int_equal(scram_verify(&s, VIEW(SIGNED_256)), SCRAM_UNPROVEN);
	assert_int_equal(scram_verify(&s, VIEW("v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")), SCRAM_UNPROVEN);
	assert_int_equal(scram_say_proof(&s, &crypto, VIEW("user"), VIEW("pencil"), VIEW(FIRST_256), &out),
	    SCRAM_GOOD);
	assert_string_equal(buf_cstr(&out), "c=biws,r=" NONCE_256 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
	assert_int_equal(scram_verify(&s, VIEW(SIGNED_256)), SCRAM_GOOD);
	assert_int_equal(scram_verify(&s, VIEW(SIGNED_256 ",x=new")), SCRAM_GOOD);
	buf_done(&out);
}

static void
test_nonces_are_drawn_anew(void **state)
{
	struct scram a, b;

	assert_true(scram_start(&a, CRYPTO_SHA256, &crypto_openssl));
	assert_true(scram_start(&b, CRYPTO_SHA256, &crypto_openssl));
	assert_int_equal(strlen(a.nonce), SCRAM_NONCE_TEXT - 1);
	assert_string_not_equal(a.nonce, b.nonce);
}

static void
test_no_randomness_no_login(void **state)
{
	struct client *c = offered(MECHANISMS_PASSWORD, "SCRAM-SHA-256");

	crypto = crypto_openssl;
	crypto.random = draw_nothing;
	client_login(c, &(struct sasl_login){ .user = VIEW("u"), .secret = VIEW("p"), .crypto = &crypto });
	assert_says(c, "QUIT\r\n");
	assert_int_equal(client_failure(c)->fault, FAULT_NO_AUTH);
	client_free(c);
}

/* A server that lets anyone in shows nothing: it might be anyone's. */
static void
test_a_server_that_does_not_prove_itself(void **state)
{
	static const char *const signs[] = {
		"v=rmF9pqV8S7suAoZWja4dJRkFsKR=", "v=rmF9pqV8S7suAoZWja4dJRkFsK==", "v=", "v", "", "x=1",
		("x=1," SIGNED_1), "v=!!!!", "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=AAAA",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	};
	struct client *c;

	for (size_t i = 0; i < lengthof(signs); i++) {
		c = proof_given();
		assert_int_equal(challenge(c, signs[i]), CLIENT_NEED_LOGIN);
		assert_int_equal(log_in(c, "user", "pencil"), CLIENT_FAILED);
		assert_gives_up(c, FAULT_UNPROVEN, "its signature is not that of one who knows the password");
	}
	c = proof_given();
	assert_int_equal(hear(c, "235 2.7.0 welcome\r\n"), CLIENT_FAILED);	/* no signature at all */
	assert_int_equal(client_failure(c)->fault, FAULT_UNPROVEN);
	assert_int_equal(client_failure(c)->reply.code, 0);
	assert_string_equal(client_failure(c)->detail, "it took the login without showing that it knows the password");
	client_free(c);

	c = offered(MECHANISMS_PASSWORD, "SCRAM-SHA-256");
	assert_int_equal(log_in(c, "user", "pencil"), CLIENT_WANT_INPUT);
	buf_clear(client_output(c));
	assert_int_equal(hear(c, "235 2.7.0 welcome\r\n"), CLIENT_FAILED);	/* not even asked */
	assert_int_equal(client_failure(c)->fault, FAULT_UNPROVEN);
	client_free(c);
}

/* The refusal that follows is the server's word; a "yes" that follows is none. */
static void
test_an_error_in_place_of_the_signature(void **state)
{
	struct client *c = proof_given();

	assert_int_equal(challenge(c, "e=invalid-proof"), CLIENT_NEED_LOGIN);
	assert_int_equal(log_in(c, "user", "pencil"), CLIENT_WANT_INPUT);
	assert_says(c, "\r\n");
	assert_int_equal(hear(c, "535 5.7.8 no\r\n"), CLIENT_FAILED);
	assert_int_equal(client_failure(c)->fault, FAULT_AUTH);
	assert_int_equal(client_failure(c)->reply.code, 535);
	client_free(c);

	c = proof_given();
	assert_int_equal(challenge(c, "e=other-error"), CLIENT_NEED_LOGIN);
	assert_int_equal(log_in(c, "user", "pencil"), CLIENT_WANT_INPUT);
	buf_clear(client_output(c));
	assert_int_equal(hear(c, "235 welcome\r\n"), CLIENT_FAILED);
	assert_int_equal(client_failure(c)->fault, FAULT_UNPROVEN);
	client_free(c);
}

static void
test_first_messages_of_servers(void **state)
{
	static const struct {
		const char	 *text;
		enum client_fault fault;
		const char	 *detail;
	} cases[] = {
		{ "", FAULT_UNEXPECTED, "" },
		{ "e=unknown-user", FAULT_UNEXPECTED, "" },
		{ "m=new,r=" NONCE_1 "x" SALTED, FAULT_UNEXPECTED, "" },
		{ "r=" NONCE_1 "x", FAULT_UNEXPECTED, "" },
		{ "r=" NONCE_1 "x,i=4096,s=QSXCR+Q6sek8bf92", FAULT_UNEXPECTED, "" },
		{ "r=" NONCE_1 "x,s=,i=4096", FAULT_UNEXPECTED, "" },
		{ "r=" NONCE_1 "x,s=*,i=4096", FAULT_UNEXPECTED, "" },
		{ "r=" NONCE_1 "x,s=QSXCR+Q6sek8bf92,i=", FAULT_UNEXPECTED, "" },
		{ "r=" NONCE_1 "x,s=QSXCR+Q6sek8bf92,i=0", FAULT_UNEXPECTED, "" },
		{ "r=" NONCE_1 "x,s=QSXCR+Q6sek8bf92,i=-4096", FAULT_UNEXPECTED, "" },
		{ "r=" NONCE_1 "x,s=QSXCR+Q6sek8bf92,i=99999999999999999999", FAULT_UNEXPECTED, "" },
		/* not an answer to us: someone else's, or nothing of the server's own in it */
		{ "r=" NONCE_1 SALTED, FAULT_UNPROVEN, "" },
		{ "r=x" NONCE_1 SALTED, FAULT_UNPROVEN, "" },
		{ "r=fyko" SALTED, FAULT_UNPROVEN, "" },
		{ "r=" NONCE_1 "x,s=QSXCR+Q6sek8bf92,i=100001", FAULT_NO_AUTH, "more than 100000 iterations" },
		{ "r=" NONCE_1 "x,s=QSXCR+Q6sek8bf92,i=4294967297", FAULT_NO_AUTH, "more than 100000" },
		{ "r=" NONCE_1 "x,s=QSXCR+Q6sek8bf92,i=1", FAULT_NO_AUTH, "fewer than 4096 iterations is not safe" },
		{ "r=" NONCE_1 "x,s=QSXCR+Q6sek8bf92,i=4095", FAULT_NO_AUTH, "fewer than 4096" },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct client *c = offered(MECHANISMS_PASSWORD, "SCRAM-SHA-256");

		drawn = NONCE_1;
		assert_int_equal(log_in(c, "user", "pencil"), CLIENT_WANT_INPUT);
		buf_clear(client_output(c));
		assert_int_equal(challenge(c, cases[i].text), CLIENT_NEED_LOGIN);
		assert_int_equal(log_in(c, "user", "pencil"), CLIENT_FAILED);
		assert_gives_up(c, cases[i].fault, cases[i].detail);
	}
}

/* So many are done, and what follows the count is not looked at. */
static void
test_most_iterations(void **state)
{
	struct client *c = offered(MECHANISMS_PASSWORD, "SCRAM-SHA-256");

	drawn = NONCE_1;
	assert_int_equal(log_in(c, "user", "pencil"), CLIENT_WANT_INPUT);
	buf_clear(client_output(c));
	assert_int_equal(challenge(c, "r=" NONCE_1 "x,s=QSXCR+Q6sek8bf92,i=100000,x=1"), CLIENT_NEED_LOGIN);
	assert_int_equal(log_in(c, "user", "pencil"), CLIENT_WANT_INPUT);
	client_free(c);
}

static void
test_names_in_scram(void **state)
{
	struct client *c = offered(MECHANISMS_PASSWORD, "SCRAM-SHA-1");

	drawn = NONCE_1;
	assert_int_equal(log_in(c, "a=b,c", "pencil"), CLIENT_WANT_INPUT);
	assert_answers(c, "AUTH SCRAM-SHA-1 ", "n,,n=a=3Db=2Cc,r=" NONCE_1);
	client_free(c);
}

/* --- CRAM-MD5 -------------------------------------------------------------------- */

static void
test_cram_md5(void **state)
{
	struct client *c = offered(MECHANISMS_PASSWORD, "LOGIN CRAM-MD5 PLAIN");

	assert_int_equal(log_in(c, "tim", "tanstaaftanstaaf"), CLIENT_WANT_INPUT);
	assert_says(c, "AUTH CRAM-MD5\r\n");
	assert_int_equal(challenge(c, "<1896.697170952@postoffice.reston.mci.net>"), CLIENT_NEED_LOGIN);
	assert_int_equal(log_in(c, "tim", "tanstaaftanstaaf"), CLIENT_WANT_INPUT);
	assert_answers(c, "", "tim b913a602c7eda7a495b4e6e7334d3890");
	assert_int_equal(hear(c, "235 ok\r\n"), CLIENT_IDLE);
	client_free(c);
}

static void
test_challenges_that_are_none(void **state)
{
	static const char *const lines[] = { "334\r\n", "334 \r\n", "334 ====\r\n", "334 no base64!\r\n",
		"334-PDE4\r\n334 OTYu\r\n" };

	for (size_t i = 0; i < lengthof(lines); i++) {
		struct client *c = offered(MECHANISMS_PASSWORD, "CRAM-MD5");

		assert_int_equal(log_in(c, "tim", "secret"), CLIENT_WANT_INPUT);
		buf_clear(client_output(c));
		assert_int_equal(hear(c, lines[i]), CLIENT_NEED_LOGIN);
		assert_int_equal(log_in(c, "tim", "secret"), CLIENT_FAILED);
		assert_gives_up(c, FAULT_UNEXPECTED, "");
	}
}

/* --- tokens and certificates --------------------------------------------------------- */

#define TOKEN "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="

static void
test_xoauth2(void **state)
{
	struct client *c = offered(MECHANISM(SASL_XOAUTH2), "LOGIN PLAIN XOAUTH2 OAUTHBEARER");

	assert_int_equal(log_in(c, "someuser@example.com", "ya29." TOKEN), CLIENT_WANT_INPUT);
	assert_answers(c, "AUTH XOAUTH2 ", "user=someuser@example.com\1auth=Bearer ya29." TOKEN "\1\1");
	assert_int_equal(challenge(c, "{\"status\":\"401\",\"schemes\":\"bearer\"}"), CLIENT_NEED_LOGIN);
	assert_int_equal(log_in(c, "someuser@example.com", "ya29." TOKEN), CLIENT_WANT_INPUT);
	assert_says(c, "\r\n");
	assert_int_equal(hear(c, "535 5.7.8 not accepted\r\n"), CLIENT_FAILED);
	assert_int_equal(client_failure(c)->fault, FAULT_AUTH);
	client_free(c);
}

static void
test_oauthbearer(void **state)
{
	struct client *c = offered(MECHANISMS_TOKEN, "XOAUTH2 OAUTHBEARER PLAIN");

	assert_int_equal(log_in(c, "user@example.com", TOKEN), CLIENT_WANT_INPUT);
	assert_answers(c, "AUTH OAUTHBEARER ", "n,a=user@example.com,\1auth=Bearer " TOKEN "\1\1");
	assert_int_equal(challenge(c, "{\"status\":\"invalid_token\"}"), CLIENT_NEED_LOGIN);
	assert_int_equal(log_in(c, "user@example.com", TOKEN), CLIENT_WANT_INPUT);
	assert_says(c, "AQ==\r\n");	/* RFC 7628 4.3 */
	assert_int_equal(challenge(c, ""), CLIENT_FAILED);	/* without end */
	assert_int_equal(client_failure(c)->fault, FAULT_UNEXPECTED);
	client_free(c);

	c = offered(MECHANISMS_TOKEN, "OAUTHBEARER");
	assert_int_equal(log_in(c, "user@example.com", "to\1ken"), CLIENT_FAILED);
	assert_says(c, "QUIT\r\n");
	client_free(c);
}

static void
test_words_that_are_too_long(void **state)
{
	static char word[SASL_WORD_MAX + 2];

	memset(word, 'x', SASL_WORD_MAX);
	for (unsigned m = 0; m < SASL_COUNT; m++) {
		struct client *c = offered(MECHANISM(m), mechanism_name((enum sasl_mechanism)m));

		word[SASL_WORD_MAX] = '\0';
		if (m != SASL_OAUTHBEARER && m != SASL_XOAUTH2)		/* they have more to say */
			assert_int_equal(log_in(c, "u", word), CLIENT_WANT_INPUT);
		client_free(c);
		c = offered(MECHANISM(m), mechanism_name((enum sasl_mechanism)m));
		word[SASL_WORD_MAX] = 'x';
		if (m == SASL_LOGIN || m == SASL_CRAM_MD5) {
			assert_int_equal(log_in(c, "u", "p"), CLIENT_WANT_INPUT);
			buf_clear(client_output(c));
			assert_int_equal(challenge(c, "x"), CLIENT_NEED_LOGIN);
		}
		assert_int_equal(log_in(c, "u", word), CLIENT_FAILED);
		assert_int_equal(client_failure(c)->fault, FAULT_NO_AUTH);
		client_free(c);
	}
}

static void
test_external(void **state)
{
	struct client *c = offered(MECHANISMS_ALL, "EXTERNAL SCRAM-SHA-256 PLAIN");

	assert_int_equal(log_in(c, "", ""), CLIENT_WANT_INPUT);
	assert_says(c, "AUTH EXTERNAL =\r\n");
	assert_int_equal(hear(c, "334 \r\n"), CLIENT_NEED_LOGIN);
	assert_int_equal(log_in(c, "", ""), CLIENT_WANT_INPUT);
	assert_says(c, "\r\n");
	assert_int_equal(hear(c, "235 ok\r\n"), CLIENT_IDLE);
	client_free(c);

	c = offered(MECHANISM(SASL_EXTERNAL), "external");
	assert_int_equal(log_in(c, "fred@example.com", ""), CLIENT_WANT_INPUT);
	assert_answers(c, "AUTH EXTERNAL ", "fred@example.com");
	client_free(c);
}

/* --- which one ------------------------------------------------------------------------- */

static void
test_the_strongest_that_may_be_used(void **state)
{
	static const struct {
		unsigned	 set;
		const char	*offers, *chosen;
	} cases[] = {
		{ MECHANISMS_PASSWORD, "LOGIN PLAIN CRAM-MD5 XOAUTH2 SCRAM-SHA-1 SCRAM-SHA-256 EXTERNAL", "SCRAM-SHA-256" },
		{ MECHANISMS_PASSWORD, "SCRAM-SHA-1 LOGIN PLAIN CRAM-MD5", "SCRAM-SHA-1" },
		{ MECHANISMS_PASSWORD, "PLAIN LOGIN scram-sha-256-plus cram-md5", "CRAM-MD5" },
		{ MECHANISMS_PASSWORD, "OAUTHBEARER LOGIN PLAIN", "PLAIN" },
		{ MECHANISMS_PASSWORD, "GSSAPI LOGIN", "LOGIN" },
		{ MECHANISM(SASL_LOGIN), "SCRAM-SHA-256 PLAIN LOGIN", "LOGIN" },
		{ MECHANISMS_PASSWORD & ~MECHANISM(SASL_SCRAM_SHA_256), "SCRAM-SHA-256 PLAIN", "PLAIN" },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct client *c = offered(cases[i].set, cases[i].offers);

		assert_int_equal(client_mechanism(c), SASL_COUNT);
		assert_int_equal(log_in(c, "u", "p"), CLIENT_WANT_INPUT);
		assert_string_equal(mechanism_name(client_mechanism(c)), cases[i].chosen);
		client_free(c);
	}
	for (unsigned m = 0; m < SASL_COUNT; m++)
		assert_int_equal(mechanism_find(view_str(mechanism_name((enum sasl_mechanism)m))), m);
	assert_int_equal(mechanism_find(VIEW("NTLM")), SASL_COUNT);
	assert_int_equal(mechanism_best(0), SASL_COUNT);
}

/* Nothing is said by any of them before TLS is up. */
static void
test_no_mechanism_in_clear(void **state)
{
	for (unsigned m = 0; m < SASL_COUNT; m++) {
		struct client_params p = { .ehlo_name = "h.example", .mechanisms = MECHANISM(m) };
		struct client *c = client_new(&p);
		char ehlo[100];

		(void)hear(c, "220 mx\r\n");
		buf_clear(client_output(c));
		snprintf(ehlo, sizeof(ehlo), "250-mx\r\n250 AUTH %s\r\n", mechanism_name((enum sasl_mechanism)m));
		assert_int_equal(hear(c, ehlo), CLIENT_FAILED);
		assert_says(c, "QUIT\r\n");
		assert_failed(c, FAULT_NO_AUTH, CL_EHLO);
		client_free(c);
	}
}

/* Each mechanism, whatever is asked: it comes to an end, and the password is never there in clear. */
static void
test_every_dialogue_ends(void **state)
{
	for (unsigned m = 0; m < SASL_COUNT; m++) {
		struct client *c = offered(MECHANISM(m), mechanism_name((enum sasl_mechanism)m));
		int turns = 0;

		drawn = NONCE_1;
		while (log_in(c, "user", "pencil") == CLIENT_WANT_INPUT) {
			struct view said = buf_view(client_output(c));

			assert_true(++turns < 5);
			assert_true(view_ends(said, VIEW("\r\n")));
			assert_int_equal(view_find(said, '\n'), said.n - 1);
			assert_int_equal(view_search(said, VIEW("pencil")), said.n);
			buf_clear(client_output(c));
			if (challenge(c, turns == 2 ? SIGNED_1 : FIRST_1) != CLIENT_NEED_LOGIN)
				break;
		}
		assert_int_equal(client_state(c), CL_CLOSED);
		client_free(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scram_sha_1),
		cmocka_unit_test(test_scram_sha_256),
		cmocka_unit_test(test_nonces_are_drawn_anew),
		cmocka_unit_test(test_no_randomness_no_login),
		cmocka_unit_test(test_a_server_that_does_not_prove_itself),
		cmocka_unit_test(test_an_error_in_place_of_the_signature),
		cmocka_unit_test(test_first_messages_of_servers),
		cmocka_unit_test(test_most_iterations),
		cmocka_unit_test(test_names_in_scram),
		cmocka_unit_test(test_cram_md5),
		cmocka_unit_test(test_challenges_that_are_none),
		cmocka_unit_test(test_xoauth2),
		cmocka_unit_test(test_oauthbearer),
		cmocka_unit_test(test_words_that_are_too_long),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_the_strongest_that_may_be_used),
		cmocka_unit_test(test_no_mechanism_in_clear),
		cmocka_unit_test(test_every_dialogue_ends),
	};

	return cmocka_run_group_tests_name("sasl", tests, NULL, NULL);
}
