/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logins that nobody judges: the server cuts, keeps silent, talks nonsense or does not know AUTH. The
 * bounds are those of doc/health.md, over all ports, relays, restarts and messages.
 */
#include "sim/scenario.h"

#include <stdio.h>

#include "base/banned.h"

#define CUT_LOGIN ((struct fault){ AT_AUTH, CUT, NULL, ALWAYS })
#define NO_SUCH_COMMAND ((struct fault){ AT_AUTH, SAY, "503 5.5.1 bad sequence of commands", ALWAYS })

static const enum twin_keep keeps[] = { TWIN_KEEP_SYNCED, TWIN_KEEP_ALL, TWIN_KEEP_SOME };

/* So many logins. */
static unsigned
in_the_next(struct world *w, int64_t ms)
{
	unsigned before = world_logins(w);

	world_run(w, ms);
	return world_logins(w) - before;
}

/* --- all ports are alike ------------------------------------------------------------- */

static const struct silence {
	struct fault	 fault;
	const char	*class;
} silences[] = {
	{ { AT_AUTH, CUT, NULL, ALWAYS }, "auth_unanswered" },
	{ { AT_AUTH, MUTE, NULL, ALWAYS }, "auth_unanswered" },
	{ { AT_AUTH, DRIP, NULL, ALWAYS }, "auth_unanswered" },
	{ { AT_AUTH, SAY, "welcome, stranger", ALWAYS }, "auth_unanswered" },
	{ { AT_AUTH, SAY, "199 hm", ALWAYS }, "auth_unanswered" },
	{ { AT_AUTH, SAY, "500 5.5.2 what?", ALWAYS }, "auth_not_taken" },
	{ { AT_AUTH, SAY, "502 5.5.1 not implemented", ALWAYS }, "auth_not_taken" },
	{ { AT_AUTH, SAY, "503 5.5.1 bad sequence of commands", ALWAYS }, "auth_not_taken" },
	{ { AT_AUTH, SAY, "504 5.5.4 unknown mechanism", ALWAYS }, "auth_not_taken" },
};

static void
few_logins_however_much_waits(void **state)
{
	for (size_t i = 0; i < lengthof(silences); i++) {
		const struct silence *s = &silences[i];
		struct world *w = scenario_new();
			char word[64];

		fault_everywhere(w, s->fault);
		world_start(w);
		world_burst(w, 30, "wait-");
		assert_in_range(in_the_next(w, MINUTES(1)), 1, 3);
		assert_in_range(in_the_next(w, MINUTES(59)), 1, 7);
		for (unsigned hour = 1; hour < 6; hour++)
			assert_in_range(in_the_next(w, HOURS(1)), 0, 5);
		snprintf(word, sizeof(word), "class=%s", s->class);
		assert_true(world_logged(w, "probe", word) + world_logged(w, "attempt-failed", word) > 1);
		assert_true(world_logged(w, "account-paused", word) > 0);
		assert_int_equal(world_logged(w, "deferred", ""), 0);
		assert_int_equal(world_queued(w), 30);
		/* Nobody has to do anything. */
		heal_everywhere(w);
		assert_true(world_settle(w, HOURS(26)));
		assert_int_equal(count_many(w, 30, "wait-"), 30);
		scenario_free(w);
	}
}

/* It is cut where the process dies, each time: the file has them all. */
static void
restarts_add_none(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, CUT_LOGIN);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	for (unsigned i = 0; i < 360; i++) {
		world_run(w, SECONDS(10));
		if (i % 4 == 3) {
			world_stop(w);
			world_start(w);
		} else {
			world_crash(w, keeps[i % lengthof(keeps)]);
		}
	}
	assert_in_range(world_logins(w), 6, 10);
	assert_in_range(in_the_next(w, HOURS(1)), 1, 5);
	heal_everywhere(w);
	assert_true(world_settle(w, MINUTES(20)));
}

static void
use_same_credentials(struct world *w)
{
	static char other[] = "same";

	w->conf.relay[1] = w->conf.relay[0];
	w->conf.relay[1].name = other;
	w->conf.nrelay = 2;
	w->secrets = "secret\nsecret\n";
}

/* Two relays with the same credentials are one account: theirs count together. */
static void
relays_with_the_same_credentials_add_none(void **state)
{
	struct world *w = *state;

	use_same_credentials(w);
	w->conf.route[0].relay[w->conf.route[0].nrelay++] = 1;
	fault_everywhere(w, CUT_LOGIN);
	world_start(w);
	world_burst(w, 10, "wait-");
	assert_in_range(in_the_next(w, MINUTES(1)), 1, 3);
	assert_in_range(in_the_next(w, MINUTES(59)), 1, 7);
	assert_in_range(in_the_next(w, HOURS(1)), 1, 5);
	assert_true(world_logged(w, "account-paused", "relay=same") > 0);
	heal_everywhere(w);
	assert_true(world_settle(w, MINUTES(20)));
	assert_int_equal(count_many(w, 10, "wait-"), 10);
}

/* What one of them showed a moment ago is worth nothing since the other's login was cut. */
static void
a_cut_login_is_in_doubt_for_both(void **state)
{
	static char first[] = "first", second[] = "second", to_first[] = "*@first.example";
	struct world *w = *state;
	unsigned before;

	use_same_credentials(w);
	w->conf.route[0] = (struct conf_route){ .name = first, .to = to_first, .relay = { 0 }, .nrelay = 1 };
	w->conf.route[1] = (struct conf_route){ .name = second, .relay = { 1 }, .nrelay = 1 };
	w->conf.nroute = 2;
	world_start(w);
	world_mail(w, ALICE, "x@first.example", "one.");
	assert_true(world_settle(w, SECONDS(5)));
	world_run(w, SECONDS(40));		/* its session is closed */
	smarthost_fault(&w->port[P587], (struct fault){ AT_AUTH, CUT, NULL, 1 });
	w->port[P465].ep->mode = w->port[P2525].ep->mode = TWIN_SILENT;
	before = world_logins(w);
	world_mail(w, ALICE, BOB, "two.");
	world_run(w, SECONDS(1));
	assert_int_equal(world_logins(w), before + 1);
	/* So the next one is on disk before it is tried, whoever tries it. */
	w->reader.stalled = true;
	world_mail(w, ALICE, "x@first.example", "three.");
	world_run(w, SECONDS(5));
	assert_int_equal(world_logins(w), before + 1);
	w->reader.stalled = false;
	twin_worker_kick(&w->reader);
	assert_true(world_settle(w, MINUTES(20)));
}

/* --- one port of three ------------------------------------------------------------------ */

/* A device on the way cuts logins on the preferred port: the next one is used at once, and stays. */
static void
a_port_that_cuts_logins_is_left(void **state)
{
	struct world *w = *state;
	unsigned at_first;

	smarthost_fault(&w->port[P587], CUT_LOGIN);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(3)));
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
	for (unsigned hour = 0; hour < 4; hour++) {
		at_first = w->port[P587].logins;
		for (unsigned i = 0; i < 60; i++) {
			world_mail(w, ALICE, BOB, "more.");
			assert_true(world_settle(w, SECONDS(3)));
			world_run(w, MINUTES(1));
		}
		assert_in_range(w->port[P587].logins - at_first, 1, 8);
	}
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
	/* It works again: mail is back on it after a while. */
	smarthost_heal(&w->port[P587]);
	world_run(w, HOURS(9));
	at_first = w->port[P587].ntaken;
	world_mail(w, ALICE, BOB, "back.");
	assert_true(world_settle(w, SECONDS(3)));
	assert_int_equal(w->port[P587].ntaken, at_first + 1);
}

/* One that does not know AUTH gets it once, however often it is probed and whatever is restored. */
static void
a_port_that_takes_no_login_gets_one(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], NO_SUCH_COMMAND);
	world_start(w);
	for (unsigned i = 0; i < 50; i++) {
		world_mail(w, ALICE, BOB, "more.");
		assert_true(world_settle(w, SECONDS(3)));
		world_run(w, SECONDS(50));
		assert_int_equal(relay_probe(w->relay, VIEW(""), NULL), 0);
		relay_network_changed(w->relay, "test");
	}
	assert_int_equal(w->port[P587].logins, 1);
	assert_int_equal(world_logged(w, "endpoint-blocked", "class=auth_not_taken"), 1);
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
	world_run(w, MINUTES(40));
	assert_int_equal(w->port[P587].logins, 2);
	world_run(w, HOURS(4));
	assert_int_equal(w->port[P587].logins, 2);
	smarthost_heal(&w->port[P587]);
	world_run(w, HOURS(5));
	world_mail(w, ALICE, BOB, "back.");
	assert_true(world_settle(w, SECONDS(3)));
	assert_int_equal(w->port[P587].ntaken, 1);
}

/* SCRAM, and a server that says "yes" to whatever comes: it gets no mail, and few logins. */
static void
a_server_that_proves_nothing_gets_no_mail(void **state)
{
	struct world *w = *state;

	w->port[P587].mechanisms = "SCRAM-SHA-256 PLAIN";
	world_start(w);
	for (unsigned i = 0; i < 10; i++) {
		world_mail(w, ALICE, BOB, "mail.");
		assert_true(world_settle(w, SECONDS(3)));
		world_run(w, SECONDS(50));
	}
	assert_int_equal(w->port[P587].logins, 1);
	assert_int_equal(w->port[P587].transactions, 0);
	assert_int_equal(w->port[P587].ntaken, 0);
	assert_non_null(strstr(w->port[P587].login, "AUTH SCRAM-SHA-256 "));
	assert_int_equal(world_logged(w, "endpoint-blocked", "class=auth_unproven"), 1);
	world_run(w, HOURS(5));
	assert_int_equal(w->port[P587].logins, 2);
}

/* Logins that run side by side, of credentials that work, and the path is cut: one event, not many. */
static void
a_cut_of_many_counts_once(void **state)
{
	struct world *w = *state;

	start_warm(w);
	world_run(w, SECONDS(40));		/* its session is closed */
	smarthost_fault(&w->port[P587], (struct fault){ AT_AUTH, CUT, NULL, 4 });
	world_burst(w, 20, "many-");
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
}

/* Credentials that have worked a moment ago are held to the same. */
static void
proven_credentials_add_none(void **state)
{
	struct world *w = *state;

	start_warm(w);
	world_run(w, SECONDS(40));		/* its session is closed */
	fault_everywhere(w, CUT_LOGIN);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_int_equal(in_the_next(w, SECONDS(50)), 2);
	world_crash(w, TWIN_KEEP_SYNCED);
	assert_int_equal(in_the_next(w, SECONDS(2)), 0);
	heal_everywhere(w);
	assert_true(world_settle(w, MINUTES(2)));
}

/* The connection ends while the login waits for the disk: nothing was sent. */
static void
a_cut_before_the_login_is_none(void **state)
{
	struct world *w = *state;

	world_start(w);
	w->reader.stalled = true;
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(2));
	for (unsigned i = 0; i < PORTS; i++)
		twin_endpoint_reset(w->port[i].ep);
	world_run(w, SECONDS(1));
	assert_int_equal(world_logins(w), 0);
	assert_int_equal(world_logged(w, "attempt-failed", "class=cut_before_dot"), 1);
	w->reader.stalled = false;
	twin_worker_kick(&w->reader);
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(world_logged(w, "attempt-failed", "class=auth_unanswered"), 0);
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
}

/* --- blocked ----------------------------------------------------------------------------- */

/* The login that the timer after a block allows gets no answer: that is no reason to try again soon. */
static void
a_cut_after_a_block_is_a_refusal(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_AUTH, SAY, "535 5.7.8 no", ALWAYS });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_int_equal(in_the_next(w, MINUTES(50)), 1);
	heal_everywhere(w);
	fault_everywhere(w, CUT_LOGIN);
	assert_int_equal(in_the_next(w, MINUTES(40)), 1);
	assert_int_equal(in_the_next(w, HOURS(4)), 0);
	world_crash(w, TWIN_KEEP_SYNCED);
	heal_everywhere(w);
	assert_int_equal(in_the_next(w, MINUTES(20)), 0);
	assert_int_equal(world_logged(w, "account-blocked", "535 5.7.8 no"), 2);	/* its words are kept */
	assert_true(world_settle(w, HOURS(3)));
}

/* --- answers that judge ------------------------------------------------------------------ */

static const struct {
	const char	*reply, *event, *class;
} answers[] = {
	{ "421 4.7.0 closing", "account-paused", "auth_temp" },
	{ "432 4.7.12 a password transition is needed", "account-paused", "auth_temp" },
	{ "454 4.7.0 temporary authentication failure", "account-paused", "auth_temp" },
	{ "501 5.5.2 cannot decode", "account-blocked", "auth_refused" },
	{ "530 5.7.0 must issue STARTTLS first", "account-blocked", "auth_refused" },
	{ "534 5.7.9 too weak", "account-blocked", "auth_refused" },
	{ "538 5.7.11 encryption required", "account-blocked", "auth_refused" },
	{ "550 5.7.1 locked", "account-blocked", "auth_refused" },
	{ "554 5.7.8 failed", "account-blocked", "auth_refused" },
};

static void
one_answer_is_enough(void **state)
{
	for (size_t i = 0; i < lengthof(answers); i++) {
		struct world *w = scenario_new();
		char word[64];

		snprintf(word, sizeof(word), "class=%s", answers[i].class);
		fault_everywhere(w, (struct fault){ AT_AUTH, SAY, answers[i].reply, ALWAYS });
		world_start(w);
		world_burst(w, 10, "wait-");
		world_run(w, MINUTES(4));
		assert_int_equal(world_logins(w), 1);
		assert_int_equal(world_logged(w, answers[i].event, word), 1);
		world_crash(w, TWIN_KEEP_SYNCED);
		world_run(w, SECONDS(10));
		assert_int_equal(world_logins(w), 1);
		scenario_free(w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_logins_however_much_waits),
		T(restarts_add_none),
		T(relays_with_the_same_credentials_add_none),
		T(a_cut_login_is_in_doubt_for_both),
		T(a_port_that_cuts_logins_is_left),
		T(a_port_that_takes_no_login_gets_one),
		T(a_server_that_proves_nothing_gets_no_mail),
		T(a_cut_of_many_counts_once),
		T(proven_credentials_add_none),
		T(a_cut_before_the_login_is_none),
		T(a_cut_after_a_block_is_a_refusal),
		cmocka_unit_test(one_answer_is_enough),
	};

	return scenario_run(tests);
}
