/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue through kills, stops, time and the operator's hands. */
#include "sim/scenario.h"

#include <errno.h>
#include <stdio.h>

#include "base/banned.h"

/* --- restarts ------------------------------------------------------------------------------- */

static void
killed_relay_loses_nothing(void **state)
{
	struct world *w = *state;

	for (unsigned round = 0; round < 20; round++) {
		enum twin_keep keep = round % 3 == 0 ? TWIN_KEEP_SYNCED :
		    round % 3 == 1 ? TWIN_KEEP_ALL : TWIN_KEEP_SOME;
		unsigned before, uncertain = world_logged(w, "uncertain", "stopped-before");
		char prefix[20];

		if (w->relay == NULL)
			world_start(w);
		snprintf(prefix, sizeof(prefix), "kill%02u-", round);
		mail_many(w, 10, prefix);
		assert_int_equal(w->durable, 10);
		world_run(w, (int64_t)rng_below(&w->rng, 300));
		world_crash(w, keep);
		assert_true(world_settle(w, MINUTES(40)));
		before = count_many(w, 10, prefix);
		assert_true(before <= 20);
		/* The mark of each repeat was found, unless power was lost. */
		uncertain = world_logged(w, "uncertain", "stopped-before") - uncertain;
		assert_true(keep != TWIN_KEEP_ALL || before <= 10 + uncertain);
		world_crash(w, TWIN_KEEP_ALL);
		world_run(w, SECONDS(5));
		assert_int_equal(count_many(w, 10, prefix), before);
	}
}

static void
killed_before_the_reply_is_uncertain(void **state)
{
	struct world *w = *state;

	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_SILENTLY, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(5));
	assert_int_equal(world_count(w, "hello-1."), 1);
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, MINUTES(14));
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "uncertain", "stopped-before"), 1);
	assert_true(world_settle(w, MINUTES(3)));
	assert_int_equal(world_count(w, "hello-1."), 2);
}

/* The mark is written before the dot only: what was half sent is sent at once. */
static void
killed_in_a_long_text_is_no_doubt(void **state)
{
	struct world *w = *state;

	start_warm(w);
	/* The server stops reading in the middle of the text. */
	smarthost_fault(&w->port[P587], (struct fault){ AT_BODY, DEAF, NULL, 1 });
	mail_big(w, 180000);
	world_run(w, SECONDS(30));
	assert_int_equal(world_queued(w), 1);
	world_crash(w, TWIN_KEEP_ALL);
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
	assert_int_equal(world_logged(w, "delivered", ""), 2);
}

static int
writes_fail(void *arg, enum twin_op op, const char *name)
{
	return op == TWIN_WRITE || op == TWIN_SYNC ? EIO : 0;
}

/* Not a byte can be written: what is queued goes out all the same, once. */
static void
delivery_goes_on_while_the_disk_fails(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_all(w, TWIN_REFUSE);
	mail_many(w, 10, "disk-");
	w->fs->sicken = writes_fail;
	world_all(w, TWIN_ACCEPT);
	world_run(w, MINUTES(10));
	w->fs->sicken = NULL;
	assert_int_equal(count_many(w, 10, "disk-"), 10);
	world_run(w, MINUTES(2));
	world_crash(w, TWIN_KEEP_SYNCED);
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 10, "disk-"), 10);
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
}

static void
drained_relay_leaves_the_rest_for_the_next(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_all(w, TWIN_REFUSE);
	mail_many(w, 10, "rest-");
	world_stop(w);
	world_all(w, TWIN_ACCEPT);
	world_start(w);
	world_run(w, SECONDS(1));
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 10, "rest-"), 10);
}

static void
drain_waits_for_what_is_being_sent(void **state)
{
	struct world *w = *state;

	start_warm(w);
	mail_many(w, 10, "run-");
	world_stop(w);
	world_start(w);
	world_run(w, SECONDS(1));
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 10, "run-"), 10);	/* none twice */
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
}

/* --- age --------------------------------------------------------------------------------------- */

static void
old_messages_expire_and_are_reported(void **state)
{
	struct world *w = *state;

	w->conf.queue.expire_ms = HOURS(6);
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", ALWAYS, BOB });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(5));
	assert_int_equal(world_queued(w), 1);
	assert_true(world_settle(w, HOURS(2)));
	assert_int_equal(world_logged(w, "expired", "reply=\"busy\""), 1);
	assert_int_equal(world_taken(w), 1);
	assert_string_equal(list_entry(w->port[P587].taken.next, struct taken, link)->rcpts, " " ALICE " ");
}

static void
a_jumping_clock_expires_nothing(void **state)
{
	struct world *w = *state;

	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 6, BOB });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(2));
	w->loop.wall_ms += DAYS(3650);
	world_run(w, MINUTES(2));
	/* And while relay is not there to see it. */
	w->loop.wall_ms += DAYS(3650);
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, MINUTES(5));
	assert_int_equal(world_queued(w), 1);
	assert_true(world_settle(w, HOURS(3)));
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "expired", ""), 0);
}

static void
an_outage_longer_than_life_is_reported_after_it(void **state)
{
	struct world *w = *state;

	w->conf.queue.expire_ms = HOURS(6);
	world_all(w, TWIN_REFUSE);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(8));
	assert_int_equal(world_logged(w, "expired", ""), 1);
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(10)));
	assert_int_equal(world_taken(w), 1);	/* the report */
	assert_int_equal(world_count(w, "hello-1."), 0);
}

/* --- the administrator ----------------------------------------------------------------------- */

static void
held_flushed_and_removed(void **state)
{
	struct world *w = *state;
	struct spool_message *m;
	size_t pos = 0;
	struct err e;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 1, BOB });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(5));
	m = spool_next(relay_spool(w->relay), &pos);
	assert_non_null(m);
	relay_hold(w->relay, m, true, NULL);
	world_run(w, HOURS(10));
	assert_int_equal(world_queued(w), 1);
	world_crash(w, TWIN_KEEP_ALL);		/* it stays held */
	world_run(w, HOURS(1));
	assert_int_equal(world_queued(w), 1);
	pos = 0;
	m = spool_next(relay_spool(w->relay), &pos);
	relay_hold(w->relay, m, false, NULL);
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(world_count(w, "hello-1."), 1);

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 2, BOB });
	world_mail(w, ALICE, BOB, "hello-2.");
	world_mail(w, ALICE, BOB, "hello-3.");
	world_run(w, SECONDS(5));
	assert_int_equal(world_queued(w), 2);
	pos = 0;
	assert_int_equal(relay_remove(w->relay, spool_next(relay_spool(w->relay), &pos), NULL, &e),
	    0);
	relay_flush(w->relay);
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(world_count(w, "hello-2.") + world_count(w, "hello-3."), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(killed_relay_loses_nothing),
		T(killed_before_the_reply_is_uncertain),
		T(killed_in_a_long_text_is_no_doubt),
		T(delivery_goes_on_while_the_disk_fails),
		T(drained_relay_leaves_the_rest_for_the_next),
		T(drain_waits_for_what_is_being_sent),
		T(old_messages_expire_and_are_reported),
		T(a_jumping_clock_expires_nothing),
		T(an_outage_longer_than_life_is_reported_after_it),
		T(held_flushed_and_removed),
	};

	return scenario_run(tests);
}
