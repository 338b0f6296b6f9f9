/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * manage - what the administrator asks for: flush, hold, release, remove, probe,
 * unblock; and how he learns that it is on disk.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

#define PEEK_MAX 1000	/* envelopes looked at in one turn of the loop */

struct relay_ack {
	struct list	 link;		/* in r->acks */
	unsigned	 pending;	/* records that are not written yet */
	void		(*fn)(void *owner);	/* NULL: nobody waits any more */
	void		*owner;
};

static void
ack_free(struct relay_ack *a)
{
	list_remove(&a->link);
	free(a);
}

static void
on_written(void *owner)
{
	struct relay_ack *a = owner;

	require(a->pending > 0);
	if (--a->pending > 0)
		return;
	if (a->fn != NULL)
		a->fn(a->owner);
	else
		ack_free(a);
}

written_fn *
manage_expect(struct relay_ack *a)
{
	if (a == NULL)
		return NULL;
	a->pending++;
	return on_written;
}

struct relay_ack *
relay_ack_new(struct relay *r, void (*fn)(void *owner), void *owner)
{
	struct relay_ack *a = xzalloc(sizeof(*a));

	a->fn = fn;
	a->owner = owner;
	list_init(&a->link);
	list_push(&r->acks, &a->link);
	return a;
}

bool
relay_ack_is_written(const struct relay_ack *a)
{
	return a->pending == 0;
}

void
relay_ack_drop(struct relay_ack *a)
{
	if (a == NULL)
		return;
	a->fn = NULL;
	if (a->pending == 0)
		ack_free(a);
}

void
manage_init(struct relay *r)
{
	list_init(&r->acks);
}

void
manage_done(struct relay *r)
{
	list_foreach_safe(link, &r->acks)
		ack_free(list_entry(link, struct relay_ack, link));
}

/* --- messages ------------------------------------------------------------------ */

void
relay_flush(struct relay *r)
{
	struct spool_message *m;
	size_t pos = 0;

	while ((m = spool_next(r->spool, &pos)) != NULL)
		relay_flush_message(r, m);
	ignore_result(relay_probe(r, VIEW(""), NULL));	/* there is a relay */
}

void
relay_flush_message(struct relay *r, struct spool_message *m)
{
	int64_t age = loop_wall(r->env.loop) - m->received_ms;

	if (m->delivery != NULL || (m->flags & SPOOL_HELD) != 0)
		return;
	schedule_at(&r->schedule, m, loop_now(r->env.loop) - (age > 0 ? age : 0));
	relay_kick(r);
}

void
relay_hold(struct relay *r, struct spool_message *m, bool hold, struct relay_ack *a)
{
	struct spool_update u = { .attempts = m->attempts, .endpoint = "" };
	bool held = (m->flags & SPOOL_HELD) != 0;

	if (hold == held)
		return;
	/* Who releases one that is uncertain has decided: a restart must not hold it again. */
	u.flags = (uint8_t)((m->flags & ~(SPOOL_HELD | (hold ? 0 : SPOOL_UNCERTAIN))) | (hold ? SPOOL_HELD : 0));
	u.next_ms = hold ? m->next_ms : 0;
	spool_update(r->spool, m, &u, manage_expect(a), a);
	life_held(r, m, hold, NULL);
	if (hold)
		schedule_remove(&r->schedule, m);
	else
		relay_flush_message(r, m);
}

/*
 * The envelope, if it can be had without waiting for the disk; for the log alone, so a removal of
 * very many stays quick. *reader has it.
 */
static const struct envelope *
peek_envelope(struct relay *r, struct spool_message *m, struct spool_reader **reader)
{
	const struct envelope *env = NULL;

	if (r->peek_turn != r->env.loop->turns) {
		r->peek_turn = r->env.loop->turns;
		r->peeked = 0;
	}
	if (r->peeked++ >= PEEK_MAX)
		return NULL;
	*reader = spool_reader_new(r->spool, m, NULL, NULL);	/* freed before it could call */
	if (spool_reader_envelope(*reader, &env, NULL) == READER_DATA)
		return env;
	r->peeked = PEEK_MAX;		/* nor are the others of this turn at hand, most likely */
	return NULL;
}

int
relay_remove(struct relay *r, struct spool_message *m, struct relay_ack *a, struct err *e)
{
	struct spool_result *res;
	struct spool_rcpt *rc = spool_rcpts(m);
	struct spool_update u = { .attempts = m->attempts, .endpoint = "" };
	struct spool_reader *reader = NULL;
	bool passed_on = false;
	char id[17];

	if (m->delivery != NULL)
		return err_set(e, ERR_BUSY, "%s is being sent", spool_id_text(id, m->id));
	res = xcalloc(m->nrcpt, sizeof(*res));
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		passed_on = passed_on || rc[i].state == SPOOL_DELIVERED;
		if (rc[i].state == SPOOL_QUEUED)
			res[u.nresult++] = (struct spool_result){ .rcpt = i, .state = SPOOL_REMOVED };
	}
	u.result = res;
	r->stats.removed += u.nresult;
	schedule_remove(&r->schedule, m);
	life_removed(r, m, peek_envelope(r, m, &reader), u.nresult);
	spool_reader_free(reader);
	if (passed_on)		/* which may be what the sender wants to hear of */
		report_result(r, m, &u, manage_expect(a), a);
	else
		life_finish(r, m, &u, NULL, manage_expect(a), a);
	free(res);
	relay_status_changed(r);
	return 0;
}

/* --- the upstream -------------------------------------------------------------- */

/* alone: it was named, and not all of them are meant. */
typedef void act_fn(struct upstream *, bool alone, struct buf *names);

static void
probe(struct upstream *u, bool alone, struct buf *names)
{
	health_probe_now(u->health);
	watch_changed(u);
}

static void
unblock_one(struct upstream *u, struct buf *names, const char *before, const char *after)
{
	health_unblock(u->health, loop_now(u->r->env.loop));
	guard_forgive(u);
	watch_changed(u);
	if (names != NULL)
		ignore_result(buf_addf(names, "%s%s%s", before, u->conf->name, after));	/* what fits is enough */
}

/* Those that log in as u does are the same account: one that stayed blocked would block them all again. */
static void
unblock(struct upstream *u, bool alone, struct buf *names)
{
	struct relay *r = u->r;

	unblock_one(u, names, alone || u->index == 0 ? "" : ", ", "");
	for (size_t i = 0; alone && i < r->nup; i++)
		if (&r->up[i] != u && r->up[i].login == u->login)
			unblock_one(&r->up[i], names, ", and ", ", which has the same login");
}

/* name: of one, or empty: each. */
static int
for_relays(struct relay *r, struct view name, act_fn *act, struct buf *names, struct err *e)
{
	bool found = false;

	for (size_t i = 0; i < r->nup; i++) {
		if (name.n != 0 && !view_eq(name, view_str(r->up[i].conf->name)))
			continue;
		act(&r->up[i], name.n != 0, names);
		found = true;
	}
	return found ? 0 : err_set(e, ERR_INPUT, "there is no relay \"%.*s\" in the configuration; posthousectl "
	    "status lists them", VIEW_ARG(view_first(name, 64)));
}

int
relay_probe(struct relay *r, struct view name, struct err *e)
{
	if (staging_is_on(r))
		return err_set(e, ERR_DENIED, "staging is on: no port is looked at");
	return for_relays(r, name, probe, NULL, e);
}

int
relay_unblock(struct relay *r, struct view name, struct buf *names, struct err *e)
{
	return for_relays(r, name, unblock, names, e);
}

void
relay_want_reload(struct relay *r)
{
	if (r->events->on_reload_wanted != NULL)
		r->events->on_reload_wanted(r->owner);
}
