/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sasl - what each login method says, step by step, in base64.
 *
 * A table of steps (sasl.c): each has what it says, what follows a 334, and whether a 235 may come
 * by then. Intermediate copies are wiped; out holds secrets afterwards and is the caller's to wipe.
 * Room is reserved first, so that growing out leaves no copy of a secret behind.
 */
#ifndef SMTP_SASL_H
#define SMTP_SASL_H

#include "smtp/mechanism.h"
#include "smtp/scram.h"

#define SASL_WORD_MAX 8192	/* longest user name, password or token */

/* What to log in with; borrowed, and not kept: it is asked for at each step. */
struct sasl_login {
	struct view	user, secret;	/* a password or a token; EXTERNAL: user may be empty */
	const struct crypto *crypto;	/* SCRAM and CRAM-MD5 need it */
};

enum sasl_result {
	SASL_SAID,
	SASL_ODD,		/* this challenge makes no sense here */
	SASL_UNPROVEN,		/* the server does not show that it knows the password */
	SASL_COSTLY,		/* SCRAM with more iterations than we do */
	SASL_CHEAP,		/* SCRAM with fewer than are safe */
	SASL_CANT		/* user or password can't be said: too long, or with a NUL; or out is full */
};

struct sasl {
	enum sasl_mechanism mechanism;
	unsigned	step;
	bool		begun;
	struct scram	scram;
};

void sasl_start(struct sasl *, enum sasl_mechanism);
/* The answer to a 334; at first: "AUTH name", with the initial response. Without the line end. */
enum sasl_result sasl_say(struct sasl *, const struct sasl_login *, struct view challenge,
    struct buf *out) must_use;
/* It has nothing more to say: a 334 would make no sense. */
bool sasl_is_over(const struct sasl *);
/* A 235 may be believed now: a server that has to prove itself has done so. */
bool sasl_is_proven(const struct sasl *);

#endif
