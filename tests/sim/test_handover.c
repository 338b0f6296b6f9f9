/* SPDX-License-Identifier: BSD-2-Clause */
/* What relay allows an intake, when it drains and when intake is hostile. */
#include "sim/scenario.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "handover/frame.h"

#include "base/banned.h"

/* --- drains, seen from intake ------------------------------------------------------ */

/* What is open when relay is replaced ends well; what would come behind waits for the next one. */
static void
drain_refuses_nothing(void **state)
{
	struct world *w = *state;
	uint64_t slow, crossed;

	world_start(w);
	world_run(w, 100);
	slow = world_open(w, ALICE, BOB);
	world_chunk(w, slow, VIEW("Subject: x\r\n\r\n"));
	world_run(w, 100);
	world_drain(w);
	crossed = world_open(w, ALICE, BOB);	/* before intake has read PAUSE */
	world_run(w, SECONDS(1));
	assert_true(w->paused);
	assert_false(w->drained);
	world_commit(w, crossed, 0);
	world_run(w, SECONDS(1));
	assert_int_equal(w->durable, 1);
	assert_false(w->drained);
	world_chunk(w, slow, VIEW("slow.\r\n"));
	world_commit(w, slow, 21);
	world_run(w, SECONDS(1));
	assert_int_equal(w->durable, 2);
	assert_int_equal(w->refused, 0);
	assert_true(w->drained);
}

/* Relay has nothing open, but an OPEN may be on its way: only intake's answer says that none is. */
static void
drain_waits_for_the_answer_to_its_pause(void **state)
{
	struct world *w = *state;

	w->ignores_pause = true;
	world_start(w);
	world_run(w, 100);
	world_drain(w);
	world_run(w, SECONDS(1));
	assert_true(w->paused);
	assert_false(w->drained);
	world_mail(w, ALICE, BOB, "late.");
	assert_int_equal(w->refused, 0);
	world_frame(w, FRAME_PAUSE, 0, VIEW(""));
	world_run(w, SECONDS(1));
	assert_true(w->drained);
}

static void
a_pause_has_an_end(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_run(w, 100);
	(void)world_open(w, ALICE, BOB);	/* and never a COMMIT */
	world_run(w, 100);
	world_drain(w);
	world_run(w, w->conf.drain_ms / 2 - 1000);
	assert_int_equal(w->refused, 0);
	world_run(w, 1500);
	assert_int_equal(w->refused, 1);
	assert_true(view_starts(view_str(w->refusal), VIEW("451 4.3.2 Restarting")));
	assert_true(w->drained);
}

static void
a_drain_asks_the_next_intake_too(void **state)
{
	struct world *w = *state;

	w->ignores_pause = true;
	world_start(w);
	world_run(w, 100);
	world_drain(w);
	world_run(w, 100);
	w->paused = w->ignores_pause = false;
	world_new_intake(w);
	world_run(w, SECONDS(1));
	assert_true(w->paused);
	assert_true(w->drained);
}

static void
intake_may_not_break_its_pause(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_run(w, 100);
	world_frame(w, FRAME_PAUSE, 0, VIEW(""));	/* not asked for */
	world_run(w, 100);
	assert_null(w->intake);
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, 100);
	(void)world_open(w, ALICE, BOB);		/* keeps relay from being drained at once */
	world_run(w, 100);
	world_drain(w);
	world_run(w, 100);
	assert_true(w->paused);
	(void)world_open(w, ALICE, BOB);
	world_run(w, 100);
	assert_null(w->intake);
	assert_int_equal(world_logged(w, "handover-fault", ""), 2);
}

/* --- a hostile intake --------------------------------------------------------------------------- */

static void
broken_frames_end_the_channel(void **state)
{
	struct world *w = *state;
	uint8_t *big = xzalloc(65536);
	uint64_t n;

	world_start(w);
	world_run(w, 100);
	world_chunk(w, 7, VIEW("x"));			/* never opened */
	world_run(w, 100);
	assert_null(w->intake);

	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, 100);
	w->commit.stalled = true;			/* so that no credit is given */
	n = world_open(w, ALICE, BOB);
	for (int i = 0; i < 5; i++)
		world_chunk(w, n, view_of(big, 65536));	/* beyond the window */
	world_run(w, 100);
	assert_null(w->intake);

	world_crash(w, TWIN_KEEP_ALL);
	(void)world_open(w, ALICE, "bob@example.net>,SIZE=1");
	world_run(w, 100);
	assert_null(w->intake);

	world_crash(w, TWIN_KEEP_ALL);
	n = world_open(w, ALICE, BOB);
	world_commit(w, n, 0);
	world_chunk(w, n, VIEW("late"));
	world_run(w, 100);
	assert_null(w->intake);

	world_crash(w, TWIN_KEEP_ALL);
	(void)world_open(w, ALICE, BOB);
	w->number--;
	(void)world_open(w, ALICE, BOB);		/* the same number again */
	world_run(w, 100);
	assert_null(w->intake);
	assert_int_equal(world_logged(w, "handover-fault", ""), 5);
	free(big);
}

#define OPEN_BOB "from: alice@example.com\nrcpt: bob@example.net\n"
#define OPEN_REST "received: 2026-11-22T07:30:23Z\n"

/* Parameters go into commands to the smarthost and lines of reports. */
static void
bad_parameters_end_the_channel(void **state)
{
	static const char *const bad[] = {
		OPEN_BOB "notify: NEVER RSET\n" OPEN_REST, OPEN_BOB "orcpt: rfc822;a+0Ab\n" OPEN_REST,
		OPEN_BOB OPEN_REST "ret: BODY\n", OPEN_BOB OPEN_REST "envid: a b\n",
		OPEN_BOB "rcpt: j\xc3\xbcrgen@example.net\n" OPEN_REST,
		("from: \xc3\xa9@example.com\nrcpt: bob@example.net\n" OPEN_REST),
	};
	static const char good[] = OPEN_BOB "notify: NEVER\norcpt: rfc822;a+20b\nrcpt: j\xc3\xbcrgen@example.net\n"
	    OPEN_REST "ret: FULL\nenvid: a+20b\nsmtputf8: yes\n";
	struct world *w = *state;

	world_start(w);
	world_run(w, 100);
	world_frame(w, FRAME_OPEN, ++w->number, view_str(good));
	world_run(w, 100);
	assert_non_null(w->intake);
	for (size_t i = 0; i < lengthof(bad); i++) {
		world_crash(w, TWIN_KEEP_ALL);
		world_run(w, 100);
		world_frame(w, FRAME_OPEN, ++w->number, view_str(bad[i]));
		world_run(w, 100);
		assert_null(w->intake);
		assert_int_equal(world_logged(w, "handover-fault", ""), i + 1);
	}
}

static void
mail_that_comes_in_has_bounded_memory(void **state)
{
	struct world *w = *state;
	uint8_t *big = xzalloc(60000);

	w->conf.queue.segment_size = 64u << 20;
	world_start(w);
	world_run(w, 100);
	for (int i = 0; i < 1300; i++) {	/* 74 MiB of messages that have no end */
		world_chunk(w, world_open(w, ALICE, BOB), view_of(big, 60000));
		world_run(w, 2);
	}
	assert_non_null(w->intake);
	assert_in_range(w->refused, 1300 - (64u << 20) / 60000 - 2, 1300 - (64u << 20) / 60000 + 2);
	assert_true(view_starts(view_str(w->refusal), VIEW("452 4.3.1 Too much mail")));
	free(big);
}

static void
a_wrong_size_is_refused(void **state)
{
	struct world *w = *state;
	uint64_t n;

	world_start(w);
	n = world_open(w, ALICE, BOB);
	world_chunk(w, n, VIEW("Subject: x\r\n\r\nhello\r\n"));
	world_commit(w, n, 4);
	world_run(w, 100);
	assert_int_equal(w->refused, 1);
	assert_int_equal(w->durable, 0);
	assert_int_equal(world_queued(w), 0);
}

static void
a_full_queue_is_told_and_refused(void **state)
{
	struct world *w = *state;

	w->conf.queue.messages_max = 5;
	world_all(w, TWIN_REFUSE);
	world_start(w);
	mail_many(w, 5, "full-");
	world_run(w, SECONDS(2));
	assert_true(view_starts(view_str(w->policy), VIEW("452 4.3.1 The queue is full: ")));
	world_mail(w, ALICE, BOB, "one-more.");
	assert_int_equal(w->refused, 1);
	assert_true(view_starts(view_str(w->refusal), VIEW("452 4.3.1 ")));
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(5)));
	world_run(w, SECONDS(5));
	assert_string_equal(w->policy, "");
	assert_int_equal(count_many(w, 5, "full-"), 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(drain_refuses_nothing),
		T(drain_waits_for_the_answer_to_its_pause),
		T(a_pause_has_an_end),
		T(a_drain_asks_the_next_intake_too),
		T(intake_may_not_break_its_pause),
		T(broken_frames_end_the_channel),
		T(bad_parameters_end_the_channel),
		T(a_wrong_size_is_refused),
		T(mail_that_comes_in_has_bounded_memory),
		T(a_full_queue_is_told_and_refused),
	};

	return scenario_run(tests);
}
