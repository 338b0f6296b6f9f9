/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * users - what each local user may hand in (allowance.h), who is frozen, and whose messages the
 * queue has (doc/users.md).
 *
 * Whose a message is stands in the spool; of one that an older posthouse took it is known when its
 * envelope was read for whatever reason. The file "users" is written some seconds after a
 * change, and at once when someone is frozen or thawed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/require.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

#define USERS_NAME	"users"
#define WRITE_MS	5000
#define WHOSE_MAX	32
#define ENVELOPE_COST	512u		/* bytes of the queue that a message takes beside its text, and each recipient */
#define TELL_MS		3600000		/* the log has it at most so often that one is over his limit */

/* Who waits for the file. */
struct waiter {
	struct list	 link;
	bool		 written;	/* what he waits for is in the write under way */
	written_fn	*fn;
	struct relay_ack *ack;
};

static int64_t
now_of(const struct relay *r)
{
	return loop_now(r->env.loop);
}

static const char *
name_of(char text[WHOSE_MAX], const struct allowance_user *u)
{
	if (u->uid < 0)
		(void)snprintf(text, WHOSE_MAX, "of unknown users");
	else
		(void)snprintf(text, WHOSE_MAX, "of user %" PRId64, u->uid);
	return text;
}

/* --- the file ------------------------------------------------------------------------- */

void
users_keep(struct relay *r)
{
	struct users *us = &r->users;
	struct buf text;

	timer_cancel(r->env.loop, &us->timer);
	if (!us->changed || keep_is_busy(&us->keep))
		return;
	us->changed = false;
	list_foreach(link, &us->waiters)
		list_entry(link, struct waiter, link)->written = true;
	buf_init(&text, ALLOWANCE_TEXT_MAX);
	if (allowance_text(&us->allowance, &text, now_of(r), loop_wall(r->env.loop)) && keep_seal(&text))
		keep_write(&us->keep, &text);
	buf_done(&text);
}

static void
on_timer(void *arg)
{
	users_keep(arg);
}

static void
changed(struct relay *r)
{
	r->users.changed = true;
	if (!timer_is_set(&r->users.timer))
		timer_set(r->env.loop, &r->users.timer, WRITE_MS);
}

static void
on_kept(void *owner, const struct err *e)
{
	struct relay *r = owner;
	struct users *us = &r->users;

	if (e != NULL && !us->failing)
		log_simple(r->env.log, LEVEL_WARNING, "users-not-kept", "%s; after a restart nobody is frozen "
		    "whom that file does not name", e->text);
	us->failing = e != NULL;
	if (e != NULL)
		changed(r);
	list_foreach_safe(link, &us->waiters) {
		struct waiter *w = list_entry(link, struct waiter, link);

		/* Who waits for a file that can't be written waits on; his command ends by its own deadline. */
		if (!w->written || e != NULL)
			continue;
		list_remove(&w->link);
		w->fn(w->ack);
		free(w);
	}
	if (!list_is_empty(&us->waiters) && e == NULL)
		users_keep(r);
}

/* --- in the Received field -------------------------------------------------------------- */

const char *
users_tag(const struct relay *r, int64_t uid, char text[USERS_TAG_MAX])
{
	uint8_t hash[FINGERPRINT_SIZE], hex[2 * USERS_TAG_BYTES];
	char number[24];
	struct view part[] = { VIEW("received-user"), VIEW("") };

	text[0] = '\0';
	(void)snprintf(number, sizeof(number), "%" PRId64, uid);
	part[1] = view_str(number);
	if (uid < 0 || r->conf->received_user == CONF_RECEIVED_NONE)
		return text;
	if (r->conf->received_user == CONF_RECEIVED_UID) {
		(void)snprintf(text, USERS_TAG_MAX, "uid %s", number);
	} else if (fingerprint_make(hash, r->guard.key, part, lengthof(part), NULL) == 0) {
		num_hex_bytes(hex, hash, USERS_TAG_BYTES);
		(void)snprintf(text, USERS_TAG_MAX, "user %.*s", (int)sizeof(hex), (const char *)hex);
	}
	return text;
}

/* --- mail that comes in ------------------------------------------------------------------- */

const struct allowance_user *
users_worst(const struct relay *r)
{
	const struct allowance_user *worst = NULL;

	for (size_t i = 0; i < r->users.allowance.n; i++) {
		const struct allowance_user *u = r->users.allowance.user[i];

		if (u->over_ms != 0 && now_of(r) - u->over_ms < TELL_MS && (worst == NULL || u->over > worst->over))
			worst = u;
	}
	return worst;
}

bool
users_put_over(const struct allowance_user *u, struct buf *out)
{
	char name[WHOSE_MAX];

	return buf_addf(out, "mail %s is over a limit; posthousectl users tells more", name_of(name, u));
}

static void
is_over(struct relay *r, struct allowance_user *u)
{
	u->over_ms = now_of(r);
	relay_status_changed(r);		/* and alarms are looked at */
}

static void
tell_over(struct relay *r, struct allowance_user *u, const char *what)
{
	static const char *const done[] = {
		[CONF_OVER_HOLD] = "held", [CONF_OVER_DEFER] = "deferred", [CONF_OVER_REFUSE] = "refused",
	};
	char name[WHOSE_MAX];

	if (u->told_ms != 0 && now_of(r) - u->told_ms < TELL_MS)
		return;
	u->told_ms = now_of(r);
	log_simple(r->env.log, LEVEL_WARNING, "user-over-limit", "mail %s is %s: %s", name_of(name, u),
	    done[r->conf->limits.over_limit], what);
}

/* A share of the disk, where that has less room than the queue may take: or he would fill it for all. */
static void
fit_share(struct relay *r)
{
	unsigned share = r->conf->queue.user_share;

	if (share < 100)
		r->users.allowance.limits.queue_bytes = spool_room(r->spool) / 100 * share;
}

/* The same when it comes in, is in the queue and leaves it: so not what it is on disk, which a copy may change. */
static uint64_t
cost(uint64_t text, uint32_t nrcpt)
{
	return text + ENVELOPE_COST * ((uint64_t)nrcpt + 1);
}

/* What the client is told, or why it is held. */
static enum users_verdict
judge(struct relay *r, unsigned number, const struct allowance_asked *asked, char reply[USERS_REPLY_MAX])
{
	struct allowance_user *u = allowance_user(&r->users.allowance, number);
	enum allowance_what what = ALLOWANCE_MESSAGES;
	enum allowance_span span = ALLOWANCE_MINUTE;
	enum allowance_verdict v = allowance_ask(&r->users.allowance, number, now_of(r), asked, &what, &span);
	bool refuse = r->conf->limits.over_limit == CONF_OVER_REFUSE;
	char why[120], name[WHOSE_MAX];

	switch (v) {
	case ALLOWANCE_FITS:
		return USERS_TAKE;
	case ALLOWANCE_CROWDED:
		is_over(r, u);
		(void)snprintf(reply, USERS_REPLY_MAX, "452 4.3.1 The share of the queue %s is used up; try again "
		    "later", name_of(name, u));
		return USERS_REFUSE;
	case ALLOWANCE_FROZEN:
		(void)snprintf(why, sizeof(why), "Mail %s is stopped by the administrator", name_of(name, u));
		break;
	case ALLOWANCE_OVER:
		(void)snprintf(why, sizeof(why), "More than %" PRIu64 " %s per %s %s",
		    r->users.allowance.limits.most[what][span], allowance_what_word(what),
		    allowance_span_word(span), name_of(name, u));
		is_over(r, u);
		tell_over(r, u, why);
		break;
	}
	if (r->conf->limits.over_limit == CONF_OVER_HOLD)
		return v == ALLOWANCE_FROZEN ? USERS_HOLD_FROZEN : USERS_HOLD_OVER;
	(void)snprintf(reply, USERS_REPLY_MAX, refuse ? "550 5.7.1 %s" : "450 4.7.1 %s; try again later", why);
	return USERS_REFUSE;
}

int
users_begin(struct relay *r, struct users_part *p, const struct envelope *env, char reply[USERS_REPLY_MAX])
{
	struct allowance *a = &r->users.allowance;
	struct allowance_asked asked = { .n = { 1, env->nrcpt, 0 }, .new_messages = 1,
		.new_bytes = cost(0, env->nrcpt) };
	unsigned number = allowance_find(a, env->uid, now_of(r));

	fit_share(r);
	/* What would be held is looked at again at its end, and counted then. */
	if (judge(r, number, &asked, reply) == USERS_REFUSE) {
		allowance_user(a, number)->over++;
		return -1;
	}
	*p = (struct users_part){ .user = number, .nrcpt = env->nrcpt };
	allowance_user(a, number)->messages++;
	allowance_user(a, number)->bytes += cost(0, env->nrcpt);
	return 0;
}

int
users_grow(struct relay *r, struct users_part *p, size_t n, char reply[USERS_REPLY_MAX])
{
	struct allowance *a = &r->users.allowance;
	struct allowance_user *u = allowance_user(a, p->user);
	char name[WHOSE_MAX];

	p->bytes += n;
	u->bytes += n;
	fit_share(r);
	if (u->bytes <= a->limits.queue_bytes)
		return 0;
	u->over++;
	is_over(r, u);
	(void)snprintf(reply, USERS_REPLY_MAX, "452 4.3.1 The share of the queue %s is used up; try again later",
	    name_of(name, u));
	return -1;
}

enum users_verdict
users_end(struct relay *r, const struct users_part *p, char reply[USERS_REPLY_MAX])
{
	struct allowance_asked asked = { .n = { 1, p->nrcpt, p->bytes } };
	enum users_verdict v = judge(r, p->user, &asked, reply);

	if (v != USERS_TAKE) {
		allowance_user(&r->users.allowance, p->user)->over++;
		return v;
	}
	allowance_fill(&r->users.allowance, p->user, now_of(r), &asked);
	allowance_user(&r->users.allowance, p->user)->taken++;
	changed(r);
	return v;
}

void
users_give_back(struct relay *r, struct users_part *p)
{
	struct allowance_user *u;

	if (p->user == 0)
		return;
	u = allowance_user(&r->users.allowance, p->user);
	u->messages--;
	u->bytes -= cost(p->bytes, p->nrcpt);
	p->user = 0;
}

/* --- mail that is there ------------------------------------------------------------------- */

static void
own(struct relay *r, struct spool_message *m, unsigned number)
{
	struct allowance_user *u = allowance_user(&r->users.allowance, number);

	m->user = (uint16_t)number;
	u->messages++;
	u->bytes += cost(m->size, m->nrcpt);
}

void
users_queued(struct relay *r, struct spool_message *m, struct users_part *p)
{
	unsigned number = p->user;

	users_give_back(r, p);
	if (m != NULL && m->user == 0)
		own(r, m, number);
}

/* Killed before this is written, a start sends the message after all: a pity, but no loss. */
void
users_hold(struct relay *r, struct spool_message *m, const char *why)
{
	struct spool_update u = { .flags = SPOOL_HELD, .endpoint = "" };

	spool_update(r->spool, m, &u, NULL, NULL);
	life_held(r, m, true, why);
}

void
users_found(struct relay *r, struct spool_message *m)
{
	int64_t uid = spool_owner(r->spool);

	if (uid != SPOOL_UID_UNSAID && (m->flags & SPOOL_BOUNCE) == 0)
		own(r, m, allowance_find(&r->users.allowance, uid, now_of(r)));
}

void
users_learn(struct relay *r, struct spool_message *m, const struct envelope *env)
{
	if (m->user == 0 && (m->flags & SPOOL_BOUNCE) == 0)
		own(r, m, allowance_find(&r->users.allowance, env->uid, now_of(r)));
}

void
users_left(struct relay *r, struct spool_message *m)
{
	struct allowance_user *u;

	if (m->user == 0)
		return;
	u = allowance_user(&r->users.allowance, m->user);
	require(u->messages > 0 && u->bytes >= cost(m->size, m->nrcpt));
	u->messages--;
	u->bytes -= cost(m->size, m->nrcpt);
	m->user = 0;
}

/* --- for control -------------------------------------------------------------------------------- */

void
relay_freeze(struct relay *r, int64_t uid, bool freeze, struct relay_ack *ack)
{
	unsigned number = allowance_find(&r->users.allowance, uid, now_of(r));
	struct allowance_user *u = allowance_user(&r->users.allowance, number);
	struct waiter *w = xzalloc(sizeof(*w));
	char name[WHOSE_MAX];

	u->frozen = freeze;
	log_simple(r->env.log, LEVEL_NOTICE, freeze ? "user-frozen" : "user-thawed", "mail %s is %s",
	    name_of(name, u), freeze ? "stopped" : "sent again");
	w->fn = manage_expect(ack);
	w->ack = ack;
	list_init(&w->link);
	list_push(&r->users.waiters, &w->link);
	changed(r);
	users_keep(r);
}

bool
relay_user_owns(struct relay *r, struct spool_message *m, int64_t uid, const struct envelope *env)
{
	if (env != NULL)
		users_learn(r, m, env);
	return m->user != 0 && allowance_user(&r->users.allowance, m->user)->uid == (uid < 0 ? -1 : uid);
}

bool
relay_user_next(struct relay *r, size_t *pos, struct relay_user *out)
{
	struct allowance *a = &r->users.allowance;
	const struct allowance_user *u;

	if (*pos == a->n)
		return false;
	u = allowance_user(a, (unsigned)++*pos);
	*out = (struct relay_user){ .uid = u->uid, .frozen = u->frozen, .messages = u->messages,
		.bytes = u->bytes, .taken = u->taken, .over = u->over };
	if (r->conf->received_user == CONF_RECEIVED_HASH)
		(void)users_tag(r, u->uid, out->tag);
	for (int w = 0; w < ALLOWANCE_WHATS; w++)
		for (int s = 0; s < ALLOWANCE_SPANS; s++) {
			out->most[w][s] = a->limits.most[w][s];
			out->used[w][s] = allowance_used(a, (unsigned)*pos, now_of(r), (enum allowance_what)w,
			    (enum allowance_span)s);
		}
	return true;
}

/* --- start and end ---------------------------------------------------------------------------- */

static void
set_limits(const struct conf *c, struct allowance_limits *l)
{
	bool all = c->queue.user_share == 100;

	for (int s = 0; s < ALLOWANCE_SPANS; s++) {
		l->most[ALLOWANCE_MESSAGES][s] = c->limits.user_messages[s];
		l->most[ALLOWANCE_RECIPIENTS][s] = c->limits.user_recipients[s];
		l->most[ALLOWANCE_BYTES][s] = c->limits.user_bytes[s];
	}
	l->queue_messages = all ? UINT64_MAX : (uint64_t)c->queue.messages_max * c->queue.user_share / 100;
	l->queue_bytes = all ? UINT64_MAX : c->queue.bytes_max / 100 * c->queue.user_share;
}

static int
load(struct relay *r, struct view text, struct err *e)
{
	if (!keep_unseal(&text))
		return err_set(e, ERR_DAMAGED, "it is damaged: its checksum is another one");
	return allowance_load(&r->users.allowance, text, now_of(r), loop_wall(r->env.loop), e);
}

void
users_init(struct relay *r)
{
	struct users *us = &r->users;
	struct allowance_limits limits;
	struct buf text;
	struct err e;
	int rc;

	set_limits(r->conf, &limits);
	allowance_init(&us->allowance, &limits);
	us->keep = (struct keep){ .fs = r->env.fs, .worker = r->env.reader, .name = USERS_NAME,
		.on_kept = on_kept, .owner = r };
	timer_init(&us->timer, on_timer, r);
	list_init(&us->waiters);
	buf_init(&text, ALLOWANCE_TEXT_MAX + 1);
	rc = keep_read(&us->keep, &text, ALLOWANCE_TEXT_MAX, &e);
	if (rc < 0 && e.errnum == ENOENT)
		rc = 0;
	else if (rc == 0)
		rc = load(r, buf_view(&text), &e);
	if (rc < 0)
		log_simple(r->env.log, LEVEL_WARNING, "users-forgotten", "the file spool/%s: %s; nobody is frozen, "
		    "and what each user has sent counts from now on", USERS_NAME, e.text);
	buf_done(&text);
}

void
users_done(struct relay *r)
{
	struct list *link;

	timer_cancel(r->env.loop, &r->users.timer);
	keep_done(&r->users.keep);
	while ((link = list_pop(&r->users.waiters)) != NULL)
		free(list_entry(link, struct waiter, link));
	allowance_done(&r->users.allowance);
}
