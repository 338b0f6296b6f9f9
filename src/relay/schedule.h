/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * schedule - when each message is tried next, on which route, and when it is too old.
 *
 * A heap of the messages that wait for each route, by loop time. Uncharged waiting keeps
 * a message's place, so that after an outage the oldest goes first.
 *
 * A message is in one heap at most. If its recipients take several routes it is in that of
 * the recipients who are due first, where routes that are out come last; what became of one
 * route moves the times of its own recipients only. For that, with several routes
 * configured, each recipient of a message that has several keeps its own time, in tenths
 * of a second, and its route (spool_rcpt.due, .route). One whose envelope was not read yet
 * is in the heap of ROUTE_UNKNOWN.
 *
 * Pure: times and randomness are arguments. loop_ms is monotonic, wall_ms is not.
 */
#ifndef RELAY_SCHEDULE_H
#define RELAY_SCHEDULE_H

#include "base/rng.h"
#include "spool/spool.h"

#define SCHEDULE_GRACE_MS	3600000		/* untried messages expire after this uptime at the earliest */
#define SCHEDULE_ROUTES_MAX	30u
#define ROUTE_UNKNOWN		31u
#define ROUTE_BIT(route)	(UINT32_C(1) << (route))	/* sets of routes are such bits */

/* spool_message.lane is ours: */
#define LANE_CUTS	0x03u	/* losses in a row, up to three */
#define LANE_ROUTE	0x7cu	/* the route that it waits for */
#define LANE_ROUTE_UNIT	0x04u
#define LANE_TRIED	0x80u	/* attempted since start, for every recipient */

/* And spool_rcpt.route: */
#define RCPT_ROUTE	0x1fu
#define RCPT_TRIED	0x40u	/* attempted since start */
#define RCPT_UNCERTAIN	0x80u	/* it may have arrived: it rests until it is due */

struct schedule_params {
	int64_t	retry_first_ms, retry_max_ms;
	int64_t	expire_ms;
	int64_t	uncertain_ms;
};

struct schedule {
	struct schedule_params	 params;
	unsigned		 nroutes;
	uint32_t		 out;		/* routes that nothing goes out on */
	struct heap		 due[ROUTE_UNKNOWN + 1];	/* spool_message.due */
	int64_t			 started_ms;	/* loop */
};

void schedule_init(struct schedule *, const struct schedule_params *, unsigned nroutes, int64_t loop_ms);
void schedule_done(struct schedule *);

/* Growing delay before attempt number attempts + 1; attempts >= 1. Jitter of 20 %. */
int64_t schedule_backoff(const struct schedule_params *, unsigned attempts, struct rng *);

/* --- messages --------------------------------------------------------------- */

/* A message that the spool has just told of: nothing is known of it yet. */
void schedule_meet(const struct schedule *, struct spool_message *);
/* It is to wait: new, or found at recovery with its recorded next_ms. */
void schedule_add(struct schedule *, struct spool_message *, int64_t loop_ms, int64_t wall_ms);
/* route[i] is that of recipient i; if the message waits, from now on it waits for these. */
void schedule_set_routes(struct schedule *, struct spool_message *, const uint8_t *route);
/* All its recipients wait until at_ms (loop). */
void schedule_at(struct schedule *, struct spool_message *, int64_t at_ms);
/* Those that are left of this route wait until at_ms; the others as before. */
void schedule_route_at(struct schedule *, struct spool_message *, unsigned route, int64_t at_ms,
    bool uncertain);
/* Back to where it was (its key is kept by schedule_take). */
void schedule_put_back(struct schedule *, struct spool_message *);
void schedule_remove(struct schedule *, struct spool_message *);

/* The route that it waits for, or was taken for. */
static inline unsigned
schedule_route(const struct spool_message *m)
{
	return (m->lane & LANE_ROUTE) / LANE_ROUTE_UNIT;
}

/* A session has failed under it: others go first. */
static inline bool
schedule_is_apart(const struct spool_message *m)
{
	return (m->lane & LANE_CUTS) != 0;
}

static inline unsigned
schedule_route_of(const struct spool_rcpt *rc)
{
	return rc->route & RCPT_ROUTE;
}

/* An attempt begins for its recipients on this route. */
void schedule_tried(struct spool_message *, unsigned route);
/* There are recipients to be sent to on other routes than this one. */
bool schedule_has_others(struct spool_message *, unsigned route);
/* All recipients that are left are uncertain. */
bool schedule_is_uncertain(struct spool_message *);
/*
 * The one time to record for all: a restart knows no more. at_ms is that of the
 * recipients on this route, INT64_MAX if none will be left. The soonest; but what may have
 * arrived rests for its time, and then *io_uncertain is set.
 */
int64_t schedule_resume_at(const struct schedule *, struct spool_message *, unsigned route,
    int64_t at_ms, bool *io_uncertain);

/* --- routes ------------------------------------------------------------------- */

/*
 * These routes are out. Whoever changes that has schedule_place() look at every message
 * with several recipients again.
 */
void schedule_set_out(struct schedule *, uint32_t routes);
void schedule_place(struct schedule *, struct spool_message *);

/* Of all that wait for one of these routes, the first one, if it is due; else NULL. It stays in. */
struct spool_message *schedule_first(const struct schedule *, uint32_t routes, int64_t loop_ms);
/*
 * The same, without those that are set apart; NULL: none. Among very many that are, one of them: then it is hardly
 * them who are the cause.
 */
struct spool_message *schedule_first_sound(const struct schedule *, uint32_t routes, int64_t loop_ms);
/* Take the first out; NULL: none. */
struct spool_message *schedule_take(struct schedule *, uint32_t routes, int64_t loop_ms);
int64_t schedule_next_at(const struct schedule *, uint32_t routes);	/* INT64_MAX: nothing waits */
/* How many are due, counted up to max. */
uint32_t schedule_count_due(const struct schedule *, uint32_t routes, int64_t loop_ms, uint32_t max);

/* Old enough in trusted time (relay/age.h), and it had its chance since start. */
bool schedule_is_expired(const struct schedule *, const struct spool_message *, int64_t age_ms,
    int64_t loop_ms);

#endif
