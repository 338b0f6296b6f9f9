/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * users, freeze, thaw, purge: what each local user hands in, and has in the queue.
 *
 * Whose a message is that was found at the start is read from its envelope, one at a time.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "control/answer.h"

#include "base/banned.h"

struct sweep {
	struct relay		*relay;
	enum request_command	 command;
	bool			 json;
	int64_t			 uid;
	struct relay_ack	*ack;
	void			(*on_ready)(void *owner);
	void			*owner;
	spool_id		*ids;
	size_t			 nid, at;
	struct spool_reader	*reader;
	uint64_t		 done, being_sent, unreadable;
};

/* --- users ----------------------------------------------------------------------------- */

static void
put_uid(struct report *r, int64_t uid)
{
	if (uid >= 0)
		report_num(r, "uid", uid);
	else
		report_word(r, "uid", r->json ? NULL : "unknown");
}

/* "used_messages_hour": in the bucket of each limit that there is. */
static void
put_used(struct report *r, const struct relay_user *u)
{
	static const char *const keys[ALLOWANCE_WHATS][ALLOWANCE_SPANS] = {
		{ "messages_minute", "messages_hour", "messages_day" },
		{ "recipients_minute", "recipients_hour", "recipients_day" },
		{ "bytes_minute", "bytes_hour", "bytes_day" },
	};

	for (int w = 0; w < ALLOWANCE_WHATS; w++)
		for (int s = 0; s < ALLOWANCE_SPANS; s++)
			if (u->most[w][s] != 0)
				report_num(r, keys[w][s], (int64_t)u->used[w][s]);
}

void
answer_users(struct relay *relay, struct report *r)
{
	struct relay_user u;
	size_t pos = 0;

	report_list(r, "users");
	while (relay_user_next(relay, &pos, &u)) {
		report_row(r);
		put_uid(r, u.uid);
		if (relay_conf(relay)->received_user == CONF_RECEIVED_HASH)
			report_word(r, "tag", u.tag[0] != '\0' ? u.tag : NULL);
		report_word(r, "state", u.frozen ? "frozen" : "free");
		report_num(r, "queued", (int64_t)u.messages);
		report_size(r, "bytes", u.bytes);
		report_num(r, "taken", (int64_t)u.taken);
		report_num(r, "over", (int64_t)u.over);
		put_used(r, &u);
		report_end(r);
	}
	report_end(r);
}

/* --- freeze, thaw, purge ------------------------------------------------------------------ */

struct sweep *
sweep_new(struct relay *relay, const struct request *q, struct relay_ack *ack,
    void (*on_ready)(void *), void *owner)
{
	struct spool *spool = relay_spool(relay);
	struct sweep *s = xzalloc(sizeof(*s));
	struct spool_message *m;
	struct spool_stats stats;
	size_t pos = 0;

	s->relay = relay;
	s->command = q->command;
	s->json = q->json;
	s->uid = q->user;
	s->ack = ack;
	s->on_ready = on_ready;
	s->owner = owner;
	/* First, so that nothing that comes meanwhile is left out. */
	if (s->command != REQUEST_PURGE)
		relay_freeze(relay, s->uid, s->command == REQUEST_FREEZE, ack);
	spool_stats(spool, &stats);
	s->ids = xcalloc(stats.messages + 1, sizeof(s->ids[0]));
	while (s->nid < stats.messages && (m = spool_next(spool, &pos)) != NULL)
		s->ids[s->nid++] = m->id;
	return s;
}

void
sweep_free(struct sweep *s)
{
	if (s == NULL)
		return;
	spool_reader_free(s->reader);
	free(s->ids);
	free(s);
}

static void
act(struct sweep *s, struct spool_message *m)
{
	bool held = (m->flags & SPOOL_HELD) != 0;
	struct err e;

	if (s->command == REQUEST_PURGE) {
		if (relay_remove(s->relay, m, s->ack, &e) < 0)
			s->being_sent++;
		else
			s->done++;
		return;
	}
	if (held == (s->command == REQUEST_FREEZE))
		return;
	relay_hold(s->relay, m, !held, s->ack);
	s->done++;
}

/* Whose it is. False: the disk is awaited. */
static bool
look(struct sweep *s, struct spool_message *m)
{
	const struct envelope *env = NULL;
	enum reader_result got;
	struct err e;

	if (m->user == 0) {
		if (s->reader == NULL)
			s->reader = spool_reader_new(relay_spool(s->relay), m, s->on_ready, s->owner);
		got = spool_reader_envelope(s->reader, &env, &e);
		if (got == READER_WAIT)
			return false;
		if (got != READER_DATA) {
			env = NULL;
			s->unreadable++;
		}
	}
	if (relay_user_owns(s->relay, m, s->uid, env)) {
		spool_reader_free(s->reader);	/* the message may go now */
		s->reader = NULL;
		act(s, m);
	}
	return true;
}

static const char *
sentence(enum request_command command)
{
	switch (command) {
	case REQUEST_FREEZE:
		return "frozen: what is in the queue is held, new mail is treated as limits.over_limit says";
	case REQUEST_THAW:
		return "thawed: what was held is sent";
	default:
		return "removed without a bounce";
	}
}

static void
put_end(struct sweep *s, struct buf *out)
{
	struct spool_stats stats;
	struct report r;

	spool_stats(relay_spool(s->relay), &stats);
	report_begin(&r, out, s->json);
	report_word(&r, "done", sentence(s->command));
	report_num(&r, "messages", (int64_t)s->done);
	if (s->being_sent > 0)
		report_num(&r, "being_sent", (int64_t)s->being_sent);
	if (s->unreadable > 0)
		report_num(&r, "unreadable", (int64_t)s->unreadable);
	if (stats.recovering)
		report_num(&r, "not_yet_read", (int64_t)stats.found);
	(void)weird(!report_finish(&r));	/* a few lines */
}

enum listing_result
sweep_step(struct sweep *s, struct buf *out)
{
	for (; s->at < s->nid; s->at++) {
		struct spool_message *m = spool_find(relay_spool(s->relay), s->ids[s->at]);

		if (m != NULL && !look(s, m))
			return LISTING_WAIT;
		spool_reader_free(s->reader);
		s->reader = NULL;
	}
	put_end(s, out);
	return LISTING_DONE;
}
