/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * routing - which routes the recipients of each message take.
 *
 * Of new mail the envelope is at hand. What is found at the start, and our own reports,
 * have theirs read when they are due, oldest first and few at a time, so that a start need
 * not read a million envelopes; until then no session gets them. With one route there is
 * nothing to find out. It is not recorded: a reload may have other routes.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "relay/relay_impl.h"
#include "relay/route.h"

#include "base/banned.h"

#define READS_MAX	4	/* envelopes that the disk is asked for at one time */
#define TURN_MAX	64	/* begun in one turn of the loop */
#define READ_MANY	1000	/* after so many it is worth while to give memory back */
/* While messages are still being told of, by the same loop and worker. */
#define READS_EARLY	1
#define TURN_EARLY	4

struct routing_read {
	struct list		 link;
	struct relay		*r;
	spool_id		 id;	/* it may end while it is read */
	struct spool_reader	*reader;
};

uint8_t *
routing_find(const struct relay *r, const struct envelope *env)
{
	uint8_t *route;

	if (r->conf->nroute == 1)
		return NULL;
	route = xcalloc(env->nrcpt, sizeof(*route));
	for (uint32_t i = 0; i < env->nrcpt; i++)
		route[i] = (uint8_t)route_of(r->conf, env, i);
	return route;
}

void
routing_set(struct relay *r, struct spool_message *m, const uint8_t *route)
{
	if (m == NULL || route == NULL)
		return;
	schedule_set_routes(&r->schedule, m, route);
	relay_kick(r);
}

/* --- reading ---------------------------------------------------------------------- */

static void
read_free(struct routing_read *p)
{
	p->r->routing.nreads--;
	list_remove(&p->link);
	spool_reader_free(p->reader);
	free(p);
}

static enum reader_result
read_envelope(struct routing_read *p, const struct spool_message *m, const struct envelope **env,
    struct err *e)
{
	enum reader_result got = spool_reader_envelope(p->reader, env, e);

	if (got == READER_DATA && (*env)->nrcpt != m->nrcpt) {
		(void)err_set(e, ERR_DAMAGED, "the envelope has another number of recipients");
		return READER_BAD;
	}
	return got;
}

/* It was taken out of the schedule; meanwhile it may have been held, put in again, or expired. */
static void
read_done(struct relay *r, struct spool_message *m, const struct envelope *env)
{
	uint8_t *route = routing_find(r, env);

	users_learn(r, m, env);
	routing_set(r, m, route);
	free(route);
	if (m->delivery == NULL && (m->flags & SPOOL_HELD) == 0)
		schedule_put_back(&r->schedule, m);
	r->routing.nread++;
}

/* All of a long queue that is due was read: what that took lies between the messages, which stay. */
static void
rest(struct relay *r)
{
	struct routing *g = &r->routing;

	if (g->nreads != 0 || g->nread < READ_MANY ||
	    schedule_next_at(&r->schedule, ROUTE_BIT(ROUTE_UNKNOWN)) <= loop_now(r->env.loop))
		return;
	g->nread = 0;
	memory_give_back();
}

static void
on_read(void *owner)
{
	struct routing_read *p = owner;
	struct relay *r = p->r;
	struct spool_message *m = spool_find(r->spool, p->id);
	const struct envelope *env;
	enum reader_result got;
	struct err e;

	if (m != NULL) {
		got = read_envelope(p, m, &env, &e);
		if (got == READER_WAIT)
			return;
		if (got == READER_DATA)
			read_done(r, m, env);
		else if (m->delivery == NULL && (m->flags & SPOOL_HELD) == 0)
			relay_unreadable(r, m, &e, true);
	}
	read_free(p);
	rest(r);
	routing_kick(r);
}

static void
read_begin(struct relay *r, struct spool_message *m)
{
	struct routing_read *p = xzalloc(sizeof(*p));

	p->r = r;
	p->id = m->id;
	list_init(&p->link);
	list_push(&r->routing.reads, &p->link);
	r->routing.nreads++;
	p->reader = spool_reader_new(r->spool, m, on_read, p);
	on_read(p);
}

static void
routing_run(void *arg)
{
	struct relay *r = arg;
	struct routing *g = &r->routing;
	struct spool_message *m;
	int64_t now = loop_now(r->env.loop), next;
	unsigned turn = r->recovered ? TURN_MAX : TURN_EARLY, reads = r->recovered ? READS_MAX : READS_EARLY;

	if (r->spool == NULL || r->draining)
		return;
	for (unsigned i = 0; i < turn && g->nreads < reads; i++) {
		m = schedule_take(&r->schedule, ROUTE_BIT(ROUTE_UNKNOWN), now);
		if (m == NULL)
			break;
		read_begin(r, m);
	}
	next = schedule_next_at(&r->schedule, ROUTE_BIT(ROUTE_UNKNOWN));
	if (next != INT64_MAX && g->nreads < reads)
		timer_set(r->env.loop, &g->timer, next > now ? next - now : 0);
}

/* By timer, not as a task: an envelope that is in the page cache is read at once, and the next turn must come. */
void
routing_kick(struct relay *r)
{
	if (schedule_next_at(&r->schedule, ROUTE_BIT(ROUTE_UNKNOWN)) != INT64_MAX)
		timer_set(r->env.loop, &r->routing.timer, 0);
}

void
routing_init(struct relay *r)
{
	list_init(&r->routing.reads);
	timer_init(&r->routing.timer, routing_run, r);
}

void
routing_done(struct relay *r)
{
	list_foreach_safe(link, &r->routing.reads)
		read_free(list_entry(link, struct routing_read, link));
	timer_cancel(r->env.loop, &r->routing.timer);
}
