/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scram - the messages of SCRAM (RFC 5802, 7677), without base64 and without SMTP.
 *
 * The password never leaves, and the server has to show that it knows it, too. There is no channel
 * binding. User and password in ASCII are as SASLprep (RFC 4013) leaves them; beyond ASCII they are
 * sent as they are, and not normalized.
 *
 * What the server makes us compute is bounded: SCRAM_ITERATIONS_MAX. So is how little it may ask for: a proof
 * of few iterations lets who reads it try passwords fast.
 */
#ifndef SMTP_SCRAM_H
#define SMTP_SCRAM_H

#include "base/buf.h"
#include "base/crypto.h"

#define SCRAM_ITERATIONS_MAX	100000		/* some 50 ms of a loop that all sessions share */
#define SCRAM_ITERATIONS_MIN	4096		/* RFC 7677 4 */
#define SCRAM_NONCE_BYTES	18
#define SCRAM_NONCE_TEXT	25		/* in base64, with a NUL */
#define SCRAM_MESSAGE_MAX	4096

enum scram_result {
	SCRAM_GOOD,
	SCRAM_ODD,		/* no message of SCRAM */
	SCRAM_UNPROVEN,		/* of someone who does not answer us, or does not know the password */
	SCRAM_COSTLY,		/* more iterations than we do */
	SCRAM_CHEAP,		/* fewer than are safe */
	SCRAM_CANT		/* no memory or no such hash; or user or password can't be said */
};

struct scram {
	enum crypto_hash hash;
	char		 nonce[SCRAM_NONCE_TEXT];
	uint8_t		 signature[CRYPTO_HASH_MAX];	/* that the server has to show */
	bool		 expects;			/* signature is known */
};

/* A new nonce. False: there is no randomness. */
bool scram_start(struct scram *, enum crypto_hash, const struct crypto *) must_use;
/* RFC 5802 5.1: a name may hold neither of "=" and ",". */
bool scram_add_name(struct view name, struct buf *out) must_use;
/* client-first-message, to the end of out; false: out is full. */
bool scram_say_first(const struct scram *, struct view user, struct buf *out) must_use;
/* client-final-message, in answer to server-first-message; out is secret from then on. */
enum scram_result scram_say_proof(struct scram *, const struct crypto *, struct view user,
    struct view password, struct view server_first, struct buf *out) must_use;
/*
 * server-final-message: SCRAM_GOOD only if it has the signature. SCRAM_ODD: it has an error ("e=");
 * the refusal follows.
 */
enum scram_result scram_verify(const struct scram *, struct view server_final) must_use;

#endif
