/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schedule - when each message is tried next, and when it is too old.
 *
 * A heap of the messages that wait, by loop time. Uncharged waiting keeps a
 * message's place, so that after an outage the oldest goes first.
 *
 * Pure: times and randomness are arguments. loop_ms is monotonic, wall_ms is not.
 */
#ifndef RELAY_SCHEDULE_H
#define RELAY_SCHEDULE_H

#include "base/rng.h"
#include "spool/spool.h"

#define SCHEDULE_GRACE_MS	3600000		/* untried messages expire after this uptime at the earliest */

/* spool_message.lane is ours: */
#define LANE_CUTS	0x0fu	/* forgiven losses in a row */
#define LANE_TRIED	0x80u	/* attempted since start */

struct schedule_params {
	int64_t	retry_first_ms, retry_max_ms;
	int64_t	expire_ms;
	int64_t	uncertain_ms;
};

struct schedule {
	struct schedule_params	 params;
	struct heap		 due;		/* spool_message.due */
	int64_t			 started_ms;	/* loop */
};

void schedule_init(struct schedule *, const struct schedule_params *, int64_t loop_ms);
void schedule_done(struct schedule *);

/* Growing delay before attempt number attempts + 1; attempts >= 1. Jitter of 20 %. */
int64_t schedule_backoff(const struct schedule_params *, unsigned attempts, struct rng *);

/* A message the spool told of: new, or found at recovery with its recorded next_ms. */
void schedule_add(struct schedule *, struct spool_message *, int64_t loop_ms, int64_t wall_ms);
/* Wait until at_ms (loop). */
void schedule_at(struct schedule *, struct spool_message *, int64_t at_ms);
/* Back to where it was (its key is kept by schedule_take). */
void schedule_put_back(struct schedule *, struct spool_message *);
void schedule_remove(struct schedule *, struct spool_message *);
/* The first one, if it is due; else NULL. It stays in. */
struct spool_message *schedule_first(const struct schedule *, int64_t loop_ms);
/* Take the first due one out; NULL: none. */
struct spool_message *schedule_take(struct schedule *, int64_t loop_ms);
int64_t schedule_next_at(const struct schedule *);	/* INT64_MAX: nothing waits */
/* How many are due, counted up to max. */
uint32_t schedule_count_due(const struct schedule *, int64_t loop_ms, uint32_t max);

/* Old enough in trusted time (relay/age.h), and it had its chance since start. */
bool schedule_is_expired(const struct schedule *, const struct spool_message *, int64_t age_ms,
    int64_t loop_ms);

#endif
