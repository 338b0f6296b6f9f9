/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recipients - the addresses of one transaction of the server, each once.
 *
 * Bounded, fallible memory: a peer sizes it. Adding costs O(1); two addresses
 * are the same if their local parts are equal and their domains equal but for
 * case. Views are handed out by recipients_seal(), when nothing moves any more.
 */
#ifndef SMTP_RECIPIENTS_H
#define SMTP_RECIPIENTS_H

#include "base/buf.h"
#include "smtp/server.h"

#define RECIPIENTS_TEXT_MAX	(7u << 20)	/* all addresses of a transaction */

struct recipient {
	uint32_t	off, len;	/* in text; what NOTIFY and ORCPT say stands behind it */
	uint16_t	notify_len, orcpt_len;
	uint32_t	hash;
};

struct recipients {
	struct buf	 text;		/* the sender, what ENVID says, then the recipients */
	size_t		 from_len, envid_len;
	struct recipient *entry;
	size_t		 n, cap;
	uint32_t	*slot;		/* entry + 1, or 0; twice cap, a power of two */
	struct server_rcpt *view;	/* made by recipients_seal() */
};

/* Bytes that are kept of them; in memory it may be twice as many, because tables grow by doubling. */
static inline size_t
recipients_size(const struct recipients *r)
{
	return buf_len(&r->text) + r->n * (sizeof(struct recipient) + sizeof(struct server_rcpt));
}

enum recipients_added { RECIPIENT_NEW, RECIPIENT_KNOWN, RECIPIENT_NO_ROOM };

void recipients_init(struct recipients *);
void recipients_done(struct recipients *);
/* Empty; big memory is given back. */
void recipients_reset(struct recipients *);
/* The sender, at the beginning; name@domain, or name alone if domain is empty. */
bool recipients_set_from(struct recipients *, struct view name, struct view domain, struct view envid) must_use;
/*
 * The same form. max: how many different ones there may be. Of one that is known already
 * the parameters of the first time stand.
 */
enum recipients_added recipients_add(struct recipients *, struct view name, struct view domain,
    const struct server_rcpt *params, size_t max) must_use;
/* Fills from, envid, rcpt and nrcpt of *out; views are valid until the next reset. */
bool recipients_seal(struct recipients *, struct server_envelope *out) must_use;

#endif
