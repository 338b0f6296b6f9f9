/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * accounts - what is known of each login, as a text that outlives the process.
 *
 * doc/accounts.md has the format and its rules of time. Pure: the wall clock is an argument.
 */
#ifndef RELAY_ACCOUNTS_H
#define RELAY_ACCOUNTS_H

#include "base/buf.h"
#include "base/err.h"
#include "net/fingerprint.h"
#include "health/health.h"

#define ACCOUNTS_MAX		16
#define ACCOUNTS_NAME_MAX	64
#define ACCOUNTS_TEXT_MAX	16384
#define ACCOUNTS_LEFT_MAX_MS	(INT64_C(27) * 3600000)		/* the longest there is, and its jitter */
#define ACCOUNTS_AWAY_MAX_MS	(INT64_C(31) * 86400000)	/* more is a clock that jumped */

struct accounts_entry {
	char			name[ACCOUNTS_NAME_MAX + 1];	/* for people */
	uint8_t			fingerprint[FINGERPRINT_SIZE];
	bool			proven;		/* these credentials have worked once */
	unsigned		open;		/* logins in a row that nobody judged */
	struct account_record	record;		/* left_ms: from written_ms on */
};

struct accounts {
	int64_t			written_ms;	/* wall */
	struct accounts_entry	entry[ACCOUNTS_MAX];
	size_t			n;
};

bool accounts_text(const struct accounts *, struct buf *out) must_use;
/* All of it or nothing: -1 with a reason in words. */
int accounts_parse(struct accounts *out, struct view text, struct err *) must_use;
/* NULL: these credentials are not known. */
const struct accounts_entry *accounts_find(const struct accounts *,
    const uint8_t fingerprint[FINGERPRINT_SIZE]);
/* What is left of its state when relay starts at wall_ms. */
void accounts_resume(const struct accounts *, const struct accounts_entry *, int64_t wall_ms,
    struct account_record *out);

#endif
