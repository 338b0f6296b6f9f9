/* SPDX-License-Identifier: BSD-2-Clause */
/* What each local user may hand in, who is frozen, and that one user leaves room for the others. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "handover/frame.h"
#include "sim/asker.h"
#include "sim/scenario.h"

#include "base/banned.h"

#define OTHER	34

struct scene {
	struct world	*w;
	struct asker	 client;
	bool		 asks;
};

static int
setup(void **state)
{
	struct scene *t = xzalloc(sizeof(*t));

	t->w = scenario_new();
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct scene *t = *state;

	if (t->asks)
		asker_done(&t->client);
	scenario_free(t->w);
	free(t);
	return 0;
}

/* The same with the control socket. */
static void
start(struct scene *t)
{
	world_start(t->w);
	asker_init(&t->client, t->w);
	t->asks = true;
}

static const char *
asked(struct scene *t, const char *line)
{
	asker_ask(&t->client, t->w, line);
	world_run(t->w, SECONDS(2));
	return buf_cstr(&t->client.said);
}

static void
mail(struct scene *t, int64_t uid, const char *text)
{
	t->w->uid = uid;
	world_mail(t->w, ALICE, BOB, text);
}

static void
mails(struct scene *t, int64_t uid, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		mail(t, uid, "many.");
}

static uint64_t
count_held(struct world *w)
{
	struct spool_message *m;
	uint64_t n = 0;
	size_t pos = 0;

	while ((m = spool_next(relay_spool(w->relay), &pos)) != NULL)
		n += (m->flags & SPOOL_HELD) != 0;
	return n;
}

/* --- limits ------------------------------------------------------------------------- */

static void
beyond_the_limit_is_held(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;

	w->conf.limits.user_messages[1] = 3;
	start(t);
	mails(t, 33, 5);
	mail(t, OTHER, "other.");
	mail(t, -1, "nobody.");
	world_run(w, MINUTES(5));
	assert_int_equal(w->durable, 7);		/* all are accepted */
	assert_int_equal(world_count(w, "many."), 3);
	assert_int_equal(world_count(w, "other."), 1);
	assert_int_equal(world_count(w, "nobody."), 1);
	assert_int_equal(world_queued(w), 2);
	assert_int_equal(count_held(w), 2);
	assert_int_equal(world_logged(w, "user-over-limit", "of user 33 is held: More than 3 messages per hour"), 1);
	assert_int_equal(world_logged(w, "held", "why=over-limit"), 2);
	assert_int_equal(world_logged(w, "alarm", "alarm=user-over-limit reason=\"mail of user 33 is over a limit;"), 1);
	assert_non_null(strstr(asked(t, "explain last"), "ok\n"));
	/* They stay so after a restart, and what he has sent still counts. */
	world_stop(w);
	asker_done(&t->client);
	start(t);
	world_run(w, MINUTES(1));
	assert_int_equal(count_held(w), 2);
	mail(t, 33, "late.");
	world_run(w, MINUTES(1));
	assert_int_equal(world_count(w, "late."), 0);
	assert_int_equal(count_held(w), 3);
	/* After an hour there is room again; what was held stays until somebody has looked at it. */
	world_run(w, HOURS(1));
	mail(t, 33, "next.");
	world_run(w, MINUTES(1));
	assert_int_equal(world_count(w, "next."), 1);
	assert_int_equal(count_held(w), 3);
	assert_true(view_starts(view_str(asked(t, "release all")), VIEW("ok\n")));
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(world_count(w, "many."), 5);
}

static void
beyond_the_limit_is_refused(void **state)
{
	static const struct {
		enum conf_over	 over;
		const char	*reply;
	} cases[] = {
		{ CONF_OVER_DEFER, "450 4.7.1 More than 4 recipients per day of user 33; try again later" },
		{ CONF_OVER_REFUSE, "550 5.7.1 More than 4 recipients per day of user 33" },
	};
	struct scene *t = *state;

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct world *w = scenario_new();

		w->conf.limits.user_recipients[2] = 4;
		w->conf.limits.over_limit = cases[i].over;
		world_start(w);
		world_mail(w, ALICE, "a@example.net b@example.net c@example.net", "three.");
		world_mail(w, ALICE, "a@example.net b@example.net", "five.");
		assert_int_equal(w->refused, 1);
		assert_string_equal(w->refusal, cases[i].reply);
		world_mail(w, ALICE, BOB, "four.");
		assert_int_equal(w->refused, 1);	/* what was refused has cost nothing */
		assert_true(world_settle(w, MINUTES(5)));
		assert_int_equal(world_count(w, "five."), 0);
		scenario_free(w);
	}
	world_start(t->w);
}

/* How much it is shows at the end; many at one time do not slip through. */
/* Also what was handed in just before an orderly stop. */
static void
the_last_second_counts(void **state)
{
	struct scene *t = *state;

	t->w->conf.limits.user_messages[1] = 1;
	world_start(t->w);
	mail(t, 33, "one.");
	world_stop(t->w);
	world_start(t->w);
	mail(t, 33, "two.");
	assert_int_equal(count_held(t->w), 1);
}

static void
an_alarm_is_over_after_an_hour(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;

	w->conf.limits.user_messages[0] = 1;
	world_start(w);
	mails(t, 33, 2);
	mail(t, 0, "root.");
	world_run(w, SECONDS(5));
	assert_int_equal(w->alarms_raised, 1);
	world_run(w, HOURS(1) - MINUTES(1));
	mails(t, 33, 2);
	world_run(w, HOURS(1));
	assert_int_equal(world_logged(w, "alarm-over", "alarm=user-over-limit"), 0);
	world_run(w, MINUTES(7));
	assert_int_equal(world_logged(w, "alarm-over", "alarm=user-over-limit"), 1);
	assert_int_equal(world_logged(w, "alarm", "alarm=user-over-limit"), 1);
}

static void
bytes_are_counted_at_the_end(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	uint64_t number[4];
	static uint8_t text[40000];

	w->conf.limits.user_bytes[0] = 100000;
	w->conf.limits.over_limit = CONF_OVER_DEFER;
	world_start(w);
	memset(text, 'x', sizeof(text));
	for (size_t i = 0; i < lengthof(number); i++)
		number[i] = world_open(w, ALICE, BOB);
	for (size_t i = 0; i < lengthof(number); i++)
		world_chunk(w, number[i], view_of(text, sizeof(text)));
	for (size_t i = 0; i < lengthof(number); i++)
		world_commit(w, number[i], sizeof(text));
	world_run(w, SECONDS(5));
	assert_int_equal(w->durable, 2);
	assert_int_equal(w->refused, 2);
	assert_string_equal(w->refusal, "450 4.7.1 More than 100000 bytes per minute of user 33; try again later");
}

/* --- room for the others ------------------------------------------------------------------ */

static void
one_user_does_not_fill_the_queue(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	uint64_t open;

	w->conf.queue.messages_max = 10;
	w->conf.queue.user_share = 50;
	world_all(w, TWIN_REFUSE);
	start(t);
	mails(t, 33, 8);
	assert_int_equal(w->durable, 5);
	assert_int_equal(w->refused, 3);
	assert_string_equal(w->refusal, "452 4.3.1 The share of the queue of user 33 is used up; try again later");
	mails(t, OTHER, 3);
	assert_int_equal(w->durable, 8);
	/* What only comes in has its place, too, and gives it back. */
	w->uid = OTHER;
	open = world_open(w, ALICE, BOB);
	(void)world_open(w, ALICE, BOB);
	world_run(w, SECONDS(1));
	(void)world_give(w, ALICE, BOB, "sixth.");
	world_run(w, SECONDS(1));
	assert_int_equal(w->refused, 4);
	world_frame(w, FRAME_ABORT, open, VIEW(""));
	world_run(w, SECONDS(1));
	(void)world_give(w, ALICE, BOB, "fifth.");
	world_run(w, SECONDS(1));
	assert_int_equal(w->durable, 9);
	/* Delivered, removed: gone. */
	assert_true(view_starts(view_str(asked(t, "remove all")), VIEW("ok\n")));
	w->uid = 33;
	for (int i = 0; i < 5; i++)
		(void)world_give(w, ALICE, BOB, "again.");
	world_run(w, SECONDS(1));
	assert_int_equal(w->durable, 14);
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, HOURS(2)));
	for (int i = 0; i < 5; i++)
		(void)world_give(w, ALICE, BOB, "and again.");
	world_run(w, SECONDS(1));
	assert_int_equal(w->durable, 19);
}

static void
one_user_does_not_fill_the_disk(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	uint64_t number;
	static uint8_t text[60000];

	w->conf.queue.bytes_max = 10000000;
	w->conf.queue.user_share = 1;			/* 100,000 bytes */
	world_start(w);
	memset(text, 'x', sizeof(text));
	number = world_open(w, ALICE, BOB);
	world_chunk(w, number, view_of(text, sizeof(text)));
	world_run(w, SECONDS(1));
	assert_int_equal(w->refused, 0);
	world_chunk(w, number, view_of(text, sizeof(text)));
	world_run(w, SECONDS(1));
	assert_int_equal(w->refused, 1);	/* before its end is there */
	assert_string_equal(w->refusal, "452 4.3.1 The share of the queue of user 33 is used up; try again later");
	/* It has given back what it had. */
	number = world_open(w, ALICE, BOB);
	world_chunk(w, number, view_of(text, sizeof(text)));
	world_commit(w, number, sizeof(text));
	world_run(w, SECONDS(5));
	assert_int_equal(w->durable, 1);
}

/* Of a message of one byte the envelope is what it costs; and what was there before a start counts. */
static void
envelopes_and_restarts_count(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	uint64_t refused;

	w->conf.queue.bytes_max = 10000000;
	w->conf.queue.user_share = 1;			/* 100,000 bytes: 19 of 5,121 */
	world_all(w, TWIN_REFUSE);
	world_start(w);
	w->uid = 33;
	for (int i = 0; i < 25; i++)
		world_mail(w, ALICE, "a@x.net b@x.net c@x.net d@x.net e@x.net f@x.net g@x.net h@x.net i@x.net", "x");
	assert_in_range(w->durable, 15, 19);
	refused = w->refused;
	(void)world_open(w, ALICE, "a@x.net b@x.net c@x.net d@x.net e@x.net f@x.net g@x.net h@x.net i@x.net");
	world_run(w, SECONDS(1));
	assert_int_equal(w->refused, refused + 1);	/* before any text is there */
	for (int i = 0; i < 2; i++) {
		uint64_t durable;

		world_stop(w);
		world_start(w);
		durable = w->durable;
		world_run(w, SECONDS(1));
		mail(t, 33, "x");
		mail(t, 33, "y");
		mail(t, 33, "z");
		mail(t, 33, "one more.");
		assert_in_range(w->durable - durable, 0, 3);	/* what one with nine recipients left */
		durable = w->durable;
		mails(t, OTHER, 4);
		assert_int_equal(w->durable, durable + 4);
	}
}

/* The same on a disk that is smaller than the queue may become. */
static void
one_user_does_not_fill_a_small_disk(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	static uint8_t text[60000];

	w->conf.queue.user_share = 50;
	w->disk[0].space = 40u << 20;
	world_all(w, TWIN_REFUSE);
	world_start(w);
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 1000 && w->refused == 0; i++) {
		uint64_t number = world_open(w, ALICE, BOB);

		world_chunk(w, number, view_of(text, sizeof(text)));
		world_commit(w, number, sizeof(text));
		world_run(w, 10);
	}
	assert_string_equal(w->refusal, "452 4.3.1 The share of the queue of user 33 is used up; try again later");
	assert_in_range(w->durable * sizeof(text), 10u << 20, 20u << 20);
	mails(t, OTHER, 50);
	assert_int_equal(w->refused, 1);
}

/* A hundred sessions of one user have a message ready at any time: the next sync is for the other, too. */
static void
another_user_is_in_the_next_batch(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	struct spool_stats before, after;

	world_all(w, TWIN_REFUSE);
	world_start(w);
	for (int round = 0; round < 20; round++) {
		unsigned durable = w->durable;
		uint64_t mine;

		w->commit.stalled = true;
		w->uid = 33;
		for (int i = 0; i < 100; i++)
			(void)world_give(w, ALICE, BOB, "hostile.");
		world_run(w, 1);
		w->uid = OTHER;
		mine = world_give(w, ALICE, BOB, "mine.");
		world_run(w, 1);
		spool_stats(relay_spool(w->relay), &before);
		w->commit.stalled = false;
		twin_worker_kick(&w->commit);
		while (w->durable < durable + 101)
			world_run(w, 1);
		spool_stats(relay_spool(w->relay), &after);
		assert_true(mine == w->number);
		assert_true(after.batches - before.batches <= 2);
	}
}

#define UNDER_WAY	60

static struct {
	uint64_t mine;
	bool	 told;
	unsigned others;	/* answers to the hostile user, since mine was sent */
} fast;

static void
give_60000(struct world *w)
{
	static uint8_t text[60000];
	uint64_t number;

	w->uid = 33;
	memset(text, 'x', sizeof(text));
	number = world_open(w, ALICE, BOB);
	world_chunk(w, number, view_of(text, sizeof(text)));
	world_commit(w, number, sizeof(text));
}

static void
one_more(struct world *w, uint64_t number, struct view id)
{
	if (number == fast.mine)
		fast.told = true;
	else
		give_60000(w);
	fast.others += number != fast.mine;
}

/*
 * He sends the next message at each answer, and has more under way than some batches take (256 KiB
 * each here): the other one is in the next batch, or the one after it.
 */
static void
who_sends_as_fast_as_he_can_delays_nobody(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	struct spool_stats before, after;

	world_all(w, TWIN_REFUSE);
	w->conf.queue.segment_size = 1u << 20;
	world_start(w);
	w->commit.delay_ms = 100;	/* the disk is what is slow, not the way to it */
	w->on_durable = one_more;
	fast.mine = 0;
	for (int i = 0; i < UNDER_WAY; i++) {
		give_60000(w);
		world_run(w, 10);
	}
	for (int round = 0; round < 20; round++) {
		fast.told = false;
		fast.others = 0;
		w->uid = OTHER;
		spool_stats(relay_spool(w->relay), &before);
		fast.mine = world_give(w, ALICE, BOB, "mine.");
		while (!fast.told)
			world_run(w, 1);
		spool_stats(relay_spool(w->relay), &after);
		/* The job under way, the next one and the one after it. */
		assert_in_range(after.commits - before.commits, 1, 3);
		assert_true(fast.others < UNDER_WAY / 2);
	}
	w->on_durable = NULL;
}

/* --- what the recipient sees ------------------------------------------------------------------ */

static void
tag_of(struct world *w, int64_t uid, char text[32])
{
	struct relay_user u;
	size_t pos = 0;

	while (relay_user_next(w->relay, &pos, &u))
		if (u.uid == uid)
			(void)snprintf(text, 32, "%s", u.tag);
}

static void
received_says_whose_it_is(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	char tag[32] = "", other[32] = "", again[32] = "", want[64];

	w->conf.received_user = CONF_RECEIVED_HASH;
	start(t);
	mail(t, 33, "one.");
	mail(t, OTHER, "two.");
	mail(t, -1, "three.");
	assert_true(world_settle(w, MINUTES(5)));
	tag_of(w, 33, tag);
	tag_of(w, OTHER, other);
	assert_true(view_starts(view_str(tag), VIEW("user ")) && strlen(tag) == 21);
	assert_string_not_equal(tag, other);
	(void)snprintf(want, sizeof(want), "(127.0.0.1:40112, %s)", tag);
	assert_int_equal(world_count(w, want), 1);
	assert_int_equal(world_count(w, "(127.0.0.1:40112)"), 1);	/* of unknown ones there is nothing to say */
	assert_int_equal(world_count(w, "uid 33"), 0);
	assert_non_null(strstr(asked(t, "users"), tag));
	/* The key is kept: the administrator finds him after a restart, too. */
	asker_restart(&t->client, w, TWIN_KEEP_ALL);
	mail(t, 33, "four.");
	tag_of(w, 33, again);
	assert_string_equal(again, tag);
	world_stop(w);
	asker_done(&t->client);
	w->conf.received_user = CONF_RECEIVED_NONE;
	start(t);
	mail(t, 33, "five.");
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(world_count(w, "(127.0.0.1:40112)"), 2);
	assert_int_equal(world_count(w, "uid 33"), 0);
}

/* The key of the hash is kept though there was no login, for which it is made. */
static void
tags_stay_without_a_login(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	char before[32] = "", after[32] = "";

	w->conf.received_user = CONF_RECEIVED_HASH;
	world_all(w, TWIN_REFUSE);
	start(t);
	mail(t, 33, "one.");
	world_run(w, SECONDS(5));
	tag_of(w, 33, before);
	asker_restart(&t->client, w, TWIN_KEEP_ALL);
	mail(t, 33, "two.");
	tag_of(w, 33, after);
	assert_string_equal(before, after);
	assert_int_equal(strlen(after), 21);
}

static void
the_script_is_in_the_story(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	uint64_t number;

	start(t);
	number = world_open(w, ALICE, BOB);
	world_chunk(w, number, VIEW("X: y\r\n\r\nx\r\n"));
	world_frame(w, FRAME_COMMIT, number, VIEW("eight-bit: no\nsize: 11\nscript: 33:mail.php\n"));
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(world_logged(w, "queued", "script=\"33:mail.php\""), 1);
	assert_non_null(strstr(asked(t, "explain last"), "by the script 33:mail.php, from"));
}

/* --- freeze, thaw, purge ---------------------------------------------------------------------- */

static void
freeze_holds_and_thaw_sends(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	const char *said;

	world_all(w, TWIN_REFUSE);
	start(t);
	mails(t, 33, 2);
	mail(t, OTHER, "other.");
	/* Those of a restart are known by their envelopes alone. */
	asker_restart(&t->client, w, TWIN_KEEP_ALL);
	world_run(w, SECONDS(1));
	said = asked(t, "freeze 33");
	assert_non_null(strstr(said, "messages:"));
	assert_non_null(strstr(said, " 2\n"));
	assert_int_equal(count_held(w), 2);
	mail(t, 33, "more.");
	mail(t, OTHER, "other.");
	assert_int_equal(w->refused, 0);
	assert_int_equal(count_held(w), 3);
	assert_int_equal(world_logged(w, "held", "why=frozen"), 1);
	said = asked(t, "users");
	assert_non_null(strstr(said, "33"));
	assert_non_null(strstr(said, "frozen"));
	/* It outlives SIGKILL. */
	asker_restart(&t->client, w, TWIN_KEEP_SYNCED);
	world_run(w, SECONDS(1));
	mail(t, 33, "more.");
	assert_int_equal(count_held(w), 4);
	world_all(w, TWIN_ACCEPT);
	world_run(w, HOURS(2));
	assert_int_equal(world_count(w, "other."), 2);
	assert_int_equal(world_count(w, "many."), 0);
	assert_int_equal(world_count(w, "more."), 0);
	said = asked(t, "thaw 33");
	assert_non_null(strstr(said, " 4\n"));
	mail(t, 33, "more.");
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(world_count(w, "many."), 2);
	assert_int_equal(world_count(w, "more."), 3);
	assert_null(strstr(asked(t, "users"), "frozen"));
	asker_restart(&t->client, w, TWIN_KEEP_SYNCED);
	assert_null(strstr(asked(t, "users"), "frozen"));
}

static void
frozen_and_deferred(void **state)
{
	struct scene *t = *state;

	t->w->conf.limits.over_limit = CONF_OVER_DEFER;
	start(t);
	assert_non_null(strstr(asked(t, "freeze unknown"), "ok\n"));
	mail(t, -1, "nobody.");
	assert_int_equal(t->w->refused, 1);
	assert_string_equal(t->w->refusal, "450 4.7.1 Mail of unknown users is stopped by the administrator; "
	    "try again later");
	mail(t, 0, "root.");
	assert_int_equal(t->w->refused, 1);
}

static void
purge_removes(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	const char *said;

	world_all(w, TWIN_REFUSE);
	start(t);
	mails(t, 33, 3);
	mail(t, -1, "nobody.");
	mail(t, OTHER, "other.");
	said = asked(t, "purge 33");
	assert_non_null(strstr(said, "removed"));
	assert_non_null(strstr(said, " 3\n"));
	assert_int_equal(world_queued(w), 2);
	assert_non_null(strstr(asked(t, "purge unknown"), " 1\n"));
	assert_non_null(strstr(asked(t, "purge 4711"), " 0\n"));
	assert_int_equal(world_queued(w), 1);
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, HOURS(2)));
	assert_int_equal(world_count(w, "other."), 1);
	assert_int_equal(world_taken(w), 1);
}

/* Who freezes somebody is told that it is done when it is on disk, not before. */
static void
freeze_waits_for_the_disk(void **state)
{
	struct scene *t = *state;

	start(t);
	world_run(t->w, SECONDS(1));
	t->w->reader.stalled = true;
	asker_ask(&t->client, t->w, "freeze 33");
	world_run(t->w, SECONDS(5));
	assert_string_equal(buf_cstr(&t->client.said), "");
	t->w->reader.stalled = false;
	twin_worker_kick(&t->w->reader);
	world_run(t->w, SECONDS(1));
	assert_true(view_starts(buf_view(&t->client.said), VIEW("ok\ndone: ")));
}

static void
on_ack(void *owner)
{
}

/* A write that is under way when he is frozen does not know of it. */
static void
freeze_waits_for_the_write_that_has_it(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	struct relay_ack *one, *two;

	world_start(w);
	world_run(w, SECONDS(1));
	one = relay_ack_new(w->relay, on_ack, NULL);
	two = relay_ack_new(w->relay, on_ack, NULL);
	w->reader.delay_ms = 100;		/* of each write */
	relay_freeze(w->relay, 33, true, one);
	relay_freeze(w->relay, OTHER, true, two);
	world_run(w, 150);
	assert_true(relay_ack_is_written(one));
	assert_false(relay_ack_is_written(two));
	world_run(w, 100);
	assert_true(relay_ack_is_written(two));
	relay_ack_drop(one);
	relay_ack_drop(two);
}

static void
a_damaged_file_is_told_of(void **state)
{
	struct scene *t = *state;

	start(t);
	assert_non_null(strstr(asked(t, "freeze 33"), "ok\n"));
	world_stop(t->w);
	asker_done(&t->client);
	twin_fs_damage(t->w->fs, "users", 3);
	start(t);
	assert_int_equal(world_logged(t->w, "users-forgotten", "its checksum is another one"), 1);
	mail(t, 33, "one.");
	assert_true(world_settle(t->w, MINUTES(1)));
}

#define U(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		U(beyond_the_limit_is_held),
		U(beyond_the_limit_is_refused),
		U(the_last_second_counts),
		U(an_alarm_is_over_after_an_hour),
		U(bytes_are_counted_at_the_end),
		U(one_user_does_not_fill_the_queue),
		U(one_user_does_not_fill_the_disk),
		U(one_user_does_not_fill_a_small_disk), U(envelopes_and_restarts_count),
		U(another_user_is_in_the_next_batch),
		U(who_sends_as_fast_as_he_can_delays_nobody),
		U(received_says_whose_it_is),
		U(tags_stay_without_a_login),
		U(the_script_is_in_the_story),
		U(freeze_holds_and_thaw_sends),
		U(frozen_and_deferred),
		U(purge_removes),
		U(freeze_waits_for_the_disk),
		U(freeze_waits_for_the_write_that_has_it),
		U(a_damaged_file_is_told_of),
	};

	return scenario_run(tests);
}
