/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lookup - the addresses of the relay host, asked for once for all who wait.
 *
 * A good answer is fresh for LOOKUP_FRESH_MS. After that it is asked for anew, but the last good
 * one stands in, up to LOOKUP_KEEP_MS old, if the name server does not answer within
 * LOOKUP_WAIT_MS or says that it can't now; for LOOKUP_FRESH_MS from then on nobody waits for it. Only
 * the definite answer that there is no such name ends that. A bad answer is not kept.
 *
 * Providers hand out changing parts of many addresses. So what is told as a change is an
 * address that was in no answer of the last LOOKUP_SEEN_MS; and any other set.
 */
#ifndef RELAY_LOOKUP_H
#define RELAY_LOOKUP_H

#include "base/list.h"
#include "net/net.h"

#define LOOKUP_FRESH_MS	30000
#define LOOKUP_WAIT_MS	1000
#define LOOKUP_KEEP_MS	86400000
#define LOOKUP_SEEN_MS	86400000
#define LOOKUP_SEEN_MAX	64		/* the oldest goes */

struct lookup_wait {
	struct list	link;
	/* result is RESOLVE_OK when lookup.address has the answer. */
	void		(*fn)(void *owner, enum resolve_result, const char *why);
	void		*owner;
};

struct lookup_events {
	/* Another set than before; novel: with an address that is new. */
	void		(*on_changed)(void *owner, bool novel);
	/* From now on the last good answer stands in; once until there is a good one. */
	void		(*on_kept)(void *owner, int64_t age_ms, const char *why);
};

struct lookup {
	struct net	*net;
	const char	*host;
	const struct lookup_events *events;
	void		*owner;
	struct resolve	*running;
	struct list	 waiting;
	struct timer	 impatient;
	struct address	 address[RESOLVE_MAX];	/* the last good answer */
	size_t		 n;			/* 0: there is none */
	int64_t		 good_ms;		/* when it came */
	int64_t		 fresh_ms;		/* until then it is asked for no more */
	int64_t		 failing_ms;		/* until then nobody waits for a better one */
	bool		 kept;			/* on_kept was told */
	struct {
		struct address	address;
		int64_t		at_ms;
	}		 seen[LOOKUP_SEEN_MAX];
	size_t		 nseen;
};

void lookup_init(struct lookup *, struct net *, const char *host, const struct lookup_events *, void *owner);
void lookup_done(struct lookup *);
/* True: lookup.address is good now, and fn is not called. False: fn comes later. */
bool lookup_ask(struct lookup *, struct lookup_wait *) must_use;
void lookup_wait_init(struct lookup_wait *, void (*fn)(void *, enum resolve_result, const char *),
    void *owner);
void lookup_cancel(struct lookup_wait *);
/* None of the addresses answered: whoever asks next waits for a fresh answer. */
void lookup_doubt(struct lookup *);
/* The host's network is another one: the name server, too. */
void lookup_restart(struct lookup *);
/* Ask, if the answer is not fresh; nobody waits, but a change is told. */
void lookup_refresh(struct lookup *);

#endif
