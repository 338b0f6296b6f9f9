/* SPDX-License-Identifier: BSD-2-Clause */
/* What becomes of a message when the smarthost refuses, cuts or says nothing. */
#include "sim/scenario.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"

#include "base/banned.h"

/* --- replies at each step ------------------------------------------------------------------ */

static void
temporary_replies_are_retried(void **state)
{
	static const enum step steps[] = { AT_MAIL, AT_RCPT, AT_DATA, AT_DOT };

	for (size_t i = 0; i < lengthof(steps); i++) {
		struct world *w = scenario_new();

		smarthost_fault(&w->port[P587], (struct fault){ steps[i], SAY, "451 4.3.0 greylisted", 2 });
		world_start(w);
		world_mail(w, ALICE, BOB, "hello-1.");
		world_run(w, SECONDS(40));
		assert_int_equal(world_queued(w), 1);
		assert_true(world_settle(w, MINUTES(5)));
		assert_int_equal(w->port[P587].ntaken, 1);
		assert_int_equal(world_logged(w, "deferred", "code=451"), 2);
		assert_int_equal(w->port[P465].ntaken + w->port[P2525].ntaken, 0);
		scenario_free(w);
	}
}

static void
permanent_replies_are_reported(void **state)
{
	static const enum step steps[] = { AT_MAIL, AT_RCPT, AT_DATA, AT_DOT };

	for (size_t i = 0; i < lengthof(steps); i++) {
		struct world *w = scenario_new();
		const struct taken *t;

		smarthost_fault(&w->port[P587], (struct fault){ steps[i], SAY, "550 5.7.1 no such luck", 1 });
		world_start(w);
		world_mail(w, ALICE, BOB, "hello-1.");
		assert_true(world_settle(w, SECONDS(20)));
		/* One report, to the sender, and the message went nowhere else. */
		assert_int_equal(world_taken(w), 1);
		t = list_entry(w->port[P587].taken.next, struct taken, link);
		assert_string_equal(t->from, "");
		assert_string_equal(t->rcpts, " " ALICE " ");
		assert_true(view_search(buf_view(&t->text), VIEW("no such luck")) < buf_len(&t->text));
		assert_int_equal(world_logged(w, "bounced", "code=550"), 1);
		scenario_free(w);
	}
}

static void
reports_of_local_senders_go_to_admin(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 unknown", ALWAYS, BOB });
	world_start(w);
	world_mail(w, "www-data@web1.example.com", BOB, "hello-1.");
	world_mail(w, "www-data@web1", BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(w->port[P587].ntaken, 2);
	list_foreach(link, &w->port[P587].taken)
		assert_string_equal(list_entry(link, struct taken, link)->rcpts, " admin@example.com ");
}

static void
intake_makes_no_reports(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 unknown", ALWAYS, BOB });
	w->as_report = true;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_logged(w, "reported", "report_to=\"" ALICE "\""), 1);
}

static void
a_report_is_never_reported(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 unknown", ALWAYS });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_mail(w, "", BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_taken(w), 0);
	assert_int_equal(world_logged(w, "report-dropped", ""), 2);
}

static void
each_recipient_has_its_own_fate(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 unknown", ALWAYS, "bad@" });
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 2, "later@" });
	world_start(w);
	world_mail(w, ALICE, "good@example.net bad@example.net later@example.net", "hello-1.");
	world_run(w, SECONDS(30));
	assert_int_equal(world_queued(w), 1);
	assert_true(world_settle(w, MINUTES(10)));
	/* good once, later once, and one report for bad */
	assert_int_equal(world_count(w, "hello-1."), 2);
	assert_int_equal(world_taken(w), 3);
	assert_int_equal(world_logged(w, "delivered", "good@"), 1);
	assert_int_equal(world_logged(w, "delivered", "later@"), 1);
	assert_int_equal(world_logged(w, "bounced", ""), 1);
}

/* Whatever number a server picks for one recipient or text: others go on, over the same port. */
static void
one_refused_message_stops_no_other(void **state)
{
	static const struct fault about_one[] = {
		{ AT_RCPT, SAY, "530 5.7.1 Relaying not allowed", ALWAYS, BOB },
		{ AT_RCPT, SAY, "535 5.7.8 no", ALWAYS, BOB },
		{ AT_RCPT, SAY, "521 5.7.1 no mail there", ALWAYS, BOB },
		{ AT_RCPT, SAY, "503 5.5.1 bad sequence of commands", ALWAYS, BOB },
		{ AT_DATA, SAY, "502 5.5.1 no", 1 },
		{ AT_DOT, SAY, "535 5.7.8 no", 1 },
		{ AT_RCPT, SAY, "452 4.2.1 this mailbox has reached its daily limit", ALWAYS, BOB },
		{ AT_RCPT, SAY, "450 this mailbox is over its rate limit", ALWAYS, BOB },
	};

	for (size_t i = 0; i < lengthof(about_one); i++) {
		struct world *w = scenario_new();
		bool later = about_one[i].reply[0] == '4';

		fault_everywhere(w, about_one[i]);
		world_start(w);
		world_mail(w, ALICE, BOB, "poison.");
		world_run(w, SECONDS(2));
		world_mail(w, ALICE, "carol@example.net", "hello-1.");
		world_run(w, SECONDS(2));
		assert_int_equal(world_count(w, "hello-1."), 1);
		assert_int_equal(world_logged(w, "bounced", ""), !later);
		assert_int_equal(world_logged(w, "account-blocked", ""), 0);
		assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
		scenario_free(w);
	}
}

static void
many_recipients_go_in_portions(void **state)
{
	struct world *w = *state;
	char *rcpts = xzalloc(20000);
	size_t at = 0;

	w->conf.relay[0].recipients_per_message = 10;
	for (int i = 0; i < 95; i++)
		at += (size_t)snprintf(rcpts + at, 20000 - at, "%sr%03d@example.net", i != 0 ? " " : "", i);
	/* The server's own limit is lower still, some of the time. */
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "452 4.5.3 too many recipients", 7,
	    "9@" });
	world_start(w);
	world_mail(w, ALICE, rcpts, "hello-1.");
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_logged(w, "delivered", ""), 95);
	assert_true(w->port[P587].ntaken >= 10);
	free(rcpts);
}

/* --- connections that are cut --------------------------------------------------------------- */

static void
cut_before_the_dot_moves_on(void **state)
{
	static const enum step steps[] = { AT_MAIL, AT_RCPT, AT_DATA, AT_BODY };

	for (size_t i = 0; i < lengthof(steps); i++) {
		struct world *w = scenario_new();

		start_warm(w);
		smarthost_fault(&w->port[P587], (struct fault){ steps[i], CUT, NULL, ALWAYS });
		world_mail(w, ALICE, BOB, "hello-1.");
		assert_true(world_settle(w, SECONDS(20)));
		assert_int_equal(world_count(w, "hello-1."), 1);
		assert_int_equal(world_logged(w, "deferred", "why=cut"), 1);
		scenario_free(w);
	}
}

static void
a_long_text_is_out_before_its_dot(void **state)
{
	struct world *w = *state;
	uint8_t *big = xzalloc(60000);
	uint64_t n;

	for (size_t i = 0; i < 60000; i++)
		big[i] = i % 60 == 58 ? '\r' : i % 60 == 59 ? '\n' : 'x';
	start_warm(w);
	/* The server stops reading in the middle of the text. */
	smarthost_fault(&w->port[P587], (struct fault){ AT_BODY, DEAF, NULL, 1 });
	n = world_open(w, ALICE, BOB);
	for (int i = 0; i < 3; i++)
		world_chunk(w, n, view_of(big, 60000));
	world_commit(w, n, 180000);
	world_run(w, SECONDS(60));
	twin_endpoint_reset(w->port[P587].ep);
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
	assert_int_equal(world_logged(w, "deferred", "why=cut"), 1);
	free(big);
}

static void
cut_after_the_dot_is_uncertain(void **state)
{
	struct world *w = *state;

	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_AND_CUT, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(14));
	assert_int_equal(world_queued(w), 1);
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "uncertain", ""), 1);
	assert_true(world_settle(w, MINUTES(3)));
	assert_int_equal(world_count(w, "hello-1."), 2);	/* the one repeat that SMTP makes unavoidable */
}

/* --- queue.uncertain_then ------------------------------------------------------------- */

/* Nobody knows whether it arrived: a person decides. */
static void
an_uncertain_one_can_be_held(void **state)
{
	struct world *w = *state;
	struct spool_message *m;
	size_t pos = 0;

	w->conf.queue.uncertain_then = CONF_UNCERTAIN_HOLD;
	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_AND_CUT, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, DAYS(1));
	assert_int_equal(world_queued(w), 1);
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "held", "why=uncertain"), 1);
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, DAYS(1));
	assert_int_equal(world_count(w, "hello-1."), 1);
	/* Released, it goes, also if relay is killed before it has gone. */
	m = spool_next(relay_spool(w->relay), &pos);
	world_all(w, TWIN_REFUSE);
	world_run(w, MINUTES(30));
	relay_hold(w->relay, m, false, NULL);
	world_run(w, SECONDS(5));
	world_crash(w, TWIN_KEEP_ALL);
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(world_count(w, "hello-1."), 2);
	assert_int_equal(world_logged(w, "held", "why=uncertain"), 1);
}

static void
an_uncertain_one_of_the_last_run_can_be_held(void **state)
{
	struct world *w = *state;

	w->conf.queue.uncertain_then = CONF_UNCERTAIN_HOLD;
	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_SILENTLY, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(5));
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, DAYS(1));
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_queued(w), 1);
	assert_int_equal(world_logged(w, "held", "why=uncertain"), 1);
}

static const char *
report_text(struct world *w)
{
	for (size_t i = 0; i < PORTS; i++) {
		list_foreach(link, &w->port[i].taken) {
			struct taken *t = list_entry(link, struct taken, link);

			if (t->from[0] == '\0')
				return buf_cstr(&t->text);
		}
	}
	fail_msg("no report was sent");
	return "";
}

/* Never twice: its sender hears that it may have arrived. Others of the same message are sent on. */
static void
an_uncertain_one_can_be_reported(void **state)
{
	struct world *w = *state;

	w->conf.queue.uncertain_then = CONF_UNCERTAIN_BOUNCE;
	w->conf.relay[0].recipients_per_message = 1;
	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_AND_CUT, NULL, 1 });
	world_mail(w, ALICE, BOB " carol@example.net", "hello-1.");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(world_logged(w, "uncertain", ""), 1);
	assert_int_equal(world_logged(w, "delivered", "carol@example.net"), 1);
	assert_int_equal(world_logged(w, "bounced", BOB), 1);
	assert_int_equal(world_logged(w, "bounced", ""), 1);
	assert_non_null(strstr(report_text(w), "It may have arrived or not"));
	assert_non_null(strstr(report_text(w), "could not go on"));
	assert_null(strstr(report_text(w), "refused"));
	/* Two recipients, one report, wherever they went. */
	assert_int_equal(w->port[P587].transactions + w->port[P465].transactions +
	    w->port[P2525].transactions, 3);
}

static void
an_uncertain_one_of_the_last_run_can_be_reported(void **state)
{
	struct world *w = *state;
	struct relay_stats stats;

	w->conf.queue.uncertain_then = CONF_UNCERTAIN_BOUNCE;
	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_SILENTLY, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(5));
	world_crash(w, TWIN_KEEP_ALL);
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(world_logged(w, "bounced", BOB), 1);
	assert_non_null(strstr(report_text(w), "It may have arrived or not"));
	relay_stats(w->relay, &stats);
	assert_int_equal(stats.uncertain, 1);
}

static void
the_dot_waits_for_the_mark(void **state)
{
	struct world *w = *state;

	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	w->commit.stalled = true;		/* the disk is slow */
	world_run(w, SECONDS(20));
	assert_int_equal(w->port[P587].transactions, 1);
	assert_int_equal(world_taken(w), 0);
	w->commit.stalled = false;
	twin_worker_kick(&w->commit);
	assert_true(world_settle(w, SECONDS(1)));
	assert_int_equal(world_taken(w), 1);
}

static void
a_421_is_an_answer(void **state)
{
	static const enum step steps[] = { AT_MAIL, AT_RCPT, AT_DATA, AT_DOT };

	for (size_t i = 0; i < lengthof(steps); i++) {
		struct world *w = scenario_new();

		start_warm(w);
		smarthost_fault(&w->port[P587], (struct fault){ steps[i], SAY, "421 4.3.2 closing", 1 });
		world_mail(w, ALICE, BOB, "hello-1.");
		assert_true(world_settle(w, MINUTES(2)));
		assert_int_equal(world_logged(w, "uncertain", ""), 0);
		assert_int_equal(world_logged(w, "deferred", "code=421"), 1);
		assert_int_equal(world_count(w, "hello-1."), 1);
		scenario_free(w);
	}
}

static void
a_slow_answer_to_the_dot_is_awaited(void **state)
{
	struct world *w = *state;

	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_SILENTLY, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(9));
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
	world_run(w, MINUTES(2));
	assert_int_equal(world_logged(w, "uncertain", ""), 1);
}

/* Bytes that keep coming are no answer: the time for it runs on. */
static void
a_reply_that_drips_holds_nobody(void **state)
{
	static const enum step steps[] = { AT_GREETING, AT_EHLO, AT_STARTTLS, AT_AUTH, AT_MAIL, AT_DATA };

	for (size_t i = 0; i < lengthof(steps); i++) {
		struct world *w = scenario_new();

		smarthost_fault(&w->port[P587], (struct fault){ steps[i], DRIP, NULL, ALWAYS });
		world_start(w);
		world_mail(w, ALICE, BOB, "hello-1.");
		assert_true(world_settle(w, MINUTES(3)));
		assert_int_equal(world_count(w, "hello-1."), 1);
		assert_int_equal(w->port[P587].ntaken, 0);
		scenario_free(w);
	}
}

/* Each wait is short enough, their sum is not: the transaction as a whole has an end. */
static void
a_text_that_is_sipped_moves_on(void **state)
{
	struct world *w = *state;

	w->port[P587].ep->limits.input_max = 4096;
	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_BODY, SIP, NULL, 1 });
	mail_big(w, 600000);
	world_run(w, MINUTES(15));
	assert_int_equal(w->port[P465].ntaken, 0);
	assert_true(world_settle(w, MINUTES(4)));
	assert_int_equal(w->port[P465].ntaken, 1);
	assert_int_equal(world_logged(w, "uncertain", ""), 0);
}

static void
one_stuck_message_holds_up_nobody(void **state)
{
	struct world *w = *state;

	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, MUTE, NULL, 1 });
	mail_many(w, 20, "free-");
	world_run(w, SECONDS(5));
	assert_true(world_queued(w) <= 1);
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(count_many(w, 20, "free-"), 20);
}

static void
a_message_that_ends_every_connection_is_charged(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_RCPT, CUT, NULL, ALWAYS, "poison@" });
	world_start(w);
	world_mail(w, ALICE, "poison@example.net", "poison.");
	mail_many(w, 5, "good-");
	world_run(w, MINUTES(30));
	assert_int_equal(count_many(w, 5, "good-"), 5);
	assert_int_equal(world_queued(w), 1);
	/* Three losses are forgiven, the fourth is charged: six rounds in half an hour at most. */
	assert_true(world_logged(w, "deferred", "poison@") <= 6 * 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(temporary_replies_are_retried),
		T(permanent_replies_are_reported),
		T(reports_of_local_senders_go_to_admin),
		T(intake_makes_no_reports),
		T(a_report_is_never_reported),
		T(each_recipient_has_its_own_fate),
		T(one_refused_message_stops_no_other),
		T(many_recipients_go_in_portions),
		T(cut_before_the_dot_moves_on),
		T(a_long_text_is_out_before_its_dot),
		T(cut_after_the_dot_is_uncertain),
		T(an_uncertain_one_can_be_held),
		T(an_uncertain_one_of_the_last_run_can_be_held),
		T(an_uncertain_one_can_be_reported),
		T(an_uncertain_one_of_the_last_run_can_be_reported),
		T(the_dot_waits_for_the_mark),
		T(a_421_is_an_answer),
		T(a_slow_answer_to_the_dot_is_awaited),
		T(a_reply_that_drips_holds_nobody),
		T(a_text_that_is_sipped_moves_on),
		T(one_stuck_message_holds_up_nobody),
		T(a_message_that_ends_every_connection_is_charged),
	};

	return scenario_run(tests);
}
