/* SPDX-License-Identifier: BSD-2-Clause */
/* What relay keeps of each message, told by explain; and that mail never waits for it. */
#include "sim/scenario.h"

#include <stdio.h>

#include "base/alloc.h"
#include "sim/asker.h"

#include "base/banned.h"

/* --- asking ------------------------------------------------------------------ */

static bool
is_over(void *owner)
{
	return ((struct asker *)owner)->closed;
}

/* The answer to "explain last"; before: called while it is on its way, or NULL. */
static char *
explain_last(struct world *w, void (*before)(struct world *))
{
	struct asker a;
	char *text;

	asker_init(&a, w);
	asker_ask(&a, w, "explain last");
	if (before != NULL)
		before(w);
	assert_true(twin_loop_until(&w->loop, is_over, &a, MINUTES(2)));
	text = xstrdup(buf_cstr(&a.said));
	asker_done(&a);
	return text;
}

static void
holds(const char *text, const char *const *words)
{
	const char *at = text;

	for (; *words != NULL; words++) {
		at = strstr(at, *words);
		if (at == NULL)
			fail_msg("no \"%s\", or not there, in\n%s", *words, text);
	}
}

static void
told(struct world *w, void (*before)(struct world *), const char *const *words)
{
	char *text = explain_last(w, before);

	holds(text, words);
	free(text);
}

/* --- what is told -------------------------------------------------------------- */

static void
a_message_over_a_restart(void **state)
{
	struct world *w = *state;

	world_all(w, TWIN_REFUSE);
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, HOURS(3));
	told(w, NULL, (const char *const[]){ "\nstate:             queued\n", "queued", "0     -", "\nTIME ",
	    "accepted and on disk: ", "from <" ALICE "> to <" BOB ">", "smtp.twin.example:587 is down: refused",
	    "no port is usable", NULL });
	world_stop(w);
	world_all(w, TWIN_ACCEPT);
	world_start(w);
	assert_true(world_settle(w, MINUTES(10)));
	told(w, NULL, (const char *const[]){ "\nstate:             delivered\n", "accepted and on disk: ",
	    "no port is usable", "posthouse was started", "sent over smtp.twin.example:", "delivered to <" BOB ">",
	    "left the queue: 1 delivered", NULL });
}

/* The last second before an orderly end is written, too. */
static void
a_message_just_before_the_end(void **state)
{
	struct world *w = *state;

	start_warm(w);
	world_mail(w, ALICE, BOB, "one.");
	assert_true(world_settle(w, 500));
	world_stop(w);
	world_start(w);
	world_run(w, SECONDS(1));
	told(w, NULL, (const char *const[]){ "\nstate:             delivered\n", "accepted and on disk: ",
	    "left the queue: 1 delivered", NULL });
}

/* The request is there by then. */
static void
go_on(struct world *w)
{
	world_run(w, SECONDS(1));
	w->history.stalled = false;
	twin_worker_kick(&w->history);
}

/* Asked for before the history has been looked at. */
static void
the_last_message_right_after_a_start(void **state)
{
	struct world *w = *state;

	start_warm(w);
	world_mail(w, ALICE, BOB, "one.");
	assert_true(world_settle(w, 500));
	world_stop(w);
	world_start(w);
	w->history.stalled = true;
	told(w, go_on, (const char *const[]){ "\nstate:             delivered\n", NULL });
}

/* The first lines are lost with the process; what follows is told. */
static void
a_message_over_kill_9(void **state)
{
	struct world *w = *state;

	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, MUTE, "", 1 });
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, SECONDS(20));
	world_crash(w, TWIN_KEEP_ALL);
	assert_true(world_settle(w, HOURS(1)));
	told(w, NULL, (const char *const[]){ "\nstate:             delivered\n", "accepted and on disk: ",
	    "uncertain: posthouse was stopped", "delivered to", "left the queue: 1 delivered", NULL });
}

/* Before the last job of the search has its turn, which comes before the next lines'. */
static void
remove_it(struct world *w)
{
	size_t pos = 0;
	struct err e;

	w->history.delay_ms = SECONDS(10);
	world_run(w, SECONDS(39) + 500);
	assert_int_equal(relay_remove(w->relay, spool_next(relay_spool(w->relay), &pos), NULL, &e), 0);
	w->history.delay_ms = 0;
}

/* It leaves the queue while the history is searched: the end is told all the same. */
static void
a_message_that_leaves_meanwhile(void **state)
{
	struct world *w = *state;

	world_all(w, TWIN_REFUSE);
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, SECONDS(5));
	told(w, remove_it, (const char *const[]){ "ok\n", "\nstate:             removed\n",
	    "removed by the administrator before 1 had got it",
	    "removed by the administrator, without a bounce, before it went to <" BOB ">",
	    "left the queue: 1 removed", NULL });
}

/* The history alone does not tell that a message has left. */
static void
a_message_that_is_not_read_yet(void **state)
{
	struct world *w = *state;

	world_all(w, TWIN_REFUSE);
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, SECONDS(5));
	world_crash(w, TWIN_KEEP_ALL);
	w->reader.stalled = true;
	world_run(w, 100);
	told(w, NULL, (const char *const[]){ "error message ", "still being read; ask again", NULL });
	w->reader.stalled = false;
	twin_worker_kick(&w->reader);
	world_run(w, SECONDS(1));
	told(w, NULL, (const char *const[]){ "ok\n", "state:             queued", "accepted and on disk: ", NULL });
}

static void
recipients_that_fare_differently(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 no such user", ALWAYS, "bad@" });
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 come back", 1, "late@" });
	world_start(w);
	world_mail(w, ALICE, "bad@example.net late@example.net bob@example.net", "one.");
	assert_true(world_settle(w, MINUTES(10)));
	told(w, NULL, (const char *const[]){ "state:             bounced", "delivered to 2 of 3 recipients; refused "
	    "for good for 1; the report is message ", "refused for <bad@example.net> by smtp.twin.example:587 at "
	    "step rcpt: 550 5.1.1 no such user (rcpt_refused: ",
	    "not yet for <late@example.net>: put off by smtp.twin.example:587 at step rcpt: 450 4.2.1 come back "
	    "(msg_temp: ", "delivered to <bob@example.net>", "next attempt in ", ", after 1 that failed",
	    "delivered to <late@example.net>", "given up for <bad@example.net>: 550 5.1.1 no such user",
	    "the failure is reported to " ALICE, "left the queue: 2 delivered, 1 failed; the report is message ",
	    NULL });
}

/* --- mail never waits for it ------------------------------------------------------ */

static void
a_history_that_fails(void **state)
{
	struct world *w = *state;
	struct relay_stats stats;

	world_start(w);
	twin_fs_fail(&w->history_disk, TWIN_WRITE, 0, 1000000, 5);
	twin_fs_fail(&w->history_disk, TWIN_CREATE, 0, 1000000, 28);
	world_burst(w, 200, "many");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 200, "many"), 200);
	assert_int_equal(world_logged(w, "history-failed", ""), 1);
	relay_stats(w->relay, &stats);
	assert_int_equal(stats.delivered, 200);
	world_stop(w);
}

static void
a_history_that_hangs(void **state)
{
	struct world *w = *state;
	struct history_stats stats;

	world_start(w);
	w->history.stalled = true;
	for (unsigned i = 0; i < 12; i++) {
		char prefix[16];

		snprintf(prefix, sizeof(prefix), "part%u-", i);
		world_burst(w, 200, prefix);
		assert_true(world_settle(w, MINUTES(5)));
		assert_int_equal(count_many(w, 200, prefix), 200);
	}
	history_stats(relay_history(w->relay), &stats);
	assert_true(stats.dropped > 0);
	w->history.stalled = false;
	twin_worker_kick(&w->history);
	world_run(w, SECONDS(5));
	assert_int_equal(world_logged(w, "history-dropped", ""), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_message_over_a_restart),
		T(a_message_just_before_the_end),
		T(the_last_message_right_after_a_start),
		T(a_message_over_kill_9),
		T(a_message_that_leaves_meanwhile),
		T(a_message_that_is_not_read_yet),
		T(recipients_that_fare_differently),
		T(a_history_that_fails),
		T(a_history_that_hangs),
	};

	return scenario_run(tests);
}
