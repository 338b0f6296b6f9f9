/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages that nobody takes: the server cuts, hangs or talks nonsense at them alone. All others go their way, over the
 * same ports, and soon.
 */
#include "sim/scenario.h"

#include <stdio.h>

#include "health/health_impl.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

#define BAD	"poison@shop.example.com"
#define CAROL	"carol@example.net"

static const struct fault of_one[] = {
	{ AT_MAIL, CUT, NULL, ALWAYS, "poison" },
	{ AT_MAIL, SAY, "521 5.7.1 no mail from there", ALWAYS, "poison" },
	{ AT_MAIL, SAY, "503 5.5.1 bad sequence of commands", ALWAYS, "poison" },
	{ AT_MAIL, SAY, "530 5.7.0 Must issue a STARTTLS command first", ALWAYS, "poison" },
	{ AT_MAIL, SAY, "530 5.7.0 Authentication required", ALWAYS, "poison" },
	{ AT_MAIL, SAY, "535 5.7.8 not this sender", ALWAYS, "poison" },
	{ AT_RCPT, CUT, NULL, ALWAYS, BOB },
	{ AT_RCPT, SAY, "hello?", ALWAYS, BOB },
	{ AT_RCPT, SAY, "421 4.3.2 shutting down", ALWAYS, BOB },
	{ AT_DOT, SAY, "421 4.3.0 what was that?", ALWAYS, "poison" },
};

static void
give_bad(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		world_mail(w, BAD, BOB, "bad.");
}

static unsigned
count_good(const struct world *w)
{
	return world_count(w, "good.") + (w->conf.nrelay > 1 ? smarthost_count(&w->backup, "good.") : 0);
}

/* A good message each 5 s; all of them arrive, each within so long. */
static void
good_ones_pass(struct world *w, size_t i, unsigned n, int64_t within_ms)
{
	unsigned before = count_good(w);

	for (unsigned k = 1; k <= n; k++) {
		int64_t began = w->loop.mono_ms;

		world_mail(w, ALICE, CAROL, "good.");
		while (count_good(w) < before + k && w->loop.mono_ms - began < MINUTES(30))
			world_run(w, 100);
		if (w->loop.mono_ms - began > within_ms)
			fail_msg("fault %zu: good message %u took %lld ms", i, k, (long long)(w->loop.mono_ms - began));
		if (w->loop.mono_ms - began < SECONDS(5))
			world_run(w, SECONDS(5) - (w->loop.mono_ms - began));
	}
}

static void
no_port_is_down(struct world *w, size_t i)
{
	struct endpoint_view v;

	for (size_t k = 0; k < w->conf.relay[0].nendpoint; k++) {
		health_endpoint(relay_health(w->relay, 0), k, &v);
		if (v.state != EP_UP)
			fail_msg("fault %zu: port %zu is %s", i, k, endpoint_state_word(v.state));
	}
	assert_int_equal(world_logged(w, "endpoint-down", ""), 0);
	assert_int_equal(world_logged(w, "relay-down", ""), 0);
	assert_int_equal(world_logged(w, "account-blocked", ""), 0);
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
}

/* Four that come together are no news of any port; later nor when they are tried again, for an hour. */
static void
some_stop_no_other(void **state)
{
	for (size_t i = 0; i < lengthof(of_one); i++) {
		struct world *w = scenario_new();

		start_warm(w);
		world_run(w, SECONDS(10));
		fault_everywhere(w, of_one[i]);
		give_bad(w, 4);
		world_run(w, SECONDS(3));
		good_ones_pass(w, i, 720, SECONDS(6));
		assert_int_equal(world_queued(w), 4);
		no_port_is_down(w, i);
		scenario_free(w);
	}
}

/* One after the other, between those that are good. */
static void
nor_do_they_one_by_one(void **state)
{
	for (size_t i = 0; i < lengthof(of_one); i++) {
		struct world *w = scenario_new();

		start_warm(w);
		world_run(w, SECONDS(10));
		fault_everywhere(w, of_one[i]);
		for (int k = 0; k < 60; k++) {
			give_bad(w, 1);
			good_ones_pass(w, i, 3, SECONDS(6));
		}
		assert_int_equal(world_logged(w, "relay-down", ""), 0);
		assert_int_equal(world_logged(w, "account-blocked", ""), 0);
		scenario_free(w);
	}
}

/* Twenty that stand before it cost a good message a minute at most. */
static void
many_hold_it_up_for_a_minute(void **state)
{
	for (size_t i = 0; i < lengthof(of_one); i++) {
		struct world *w = scenario_new();

		start_warm(w);
		world_run(w, SECONDS(10));
		fault_everywhere(w, of_one[i]);
		for (unsigned k = 0; k < 20; k++)
			(void)world_give(w, BAD, BOB, "bad.");
		world_mail(w, ALICE, CAROL, "first.");
		good_ones_pass(w, i, 1, MINUTES(1));
		good_ones_pass(w, i, 60, SECONDS(6));
		assert_int_equal(world_logged(w, "relay-down", ""), 0);
		scenario_free(w);
	}
}

/* Nobody answers for them. Half of the places at most are theirs for as long as they like. */
static void
those_that_hang_leave_places(void **state)
{
	static const struct {
		unsigned	ports, places;
		int64_t		first, then;
	} cases[] = { { 1, 8, MINUTES(3), SECONDS(20) }, { 3, 4, MINUTES(4), SECONDS(20) }, { 1, 2, MINUTES(7), SECONDS(30) },
	    { 1, 1, MINUTES(30), SECONDS(150) } };

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct world *w = scenario_new();

		w->conf.relay[0].nendpoint = cases[i].ports;
		w->conf.relay[0].connections = cases[i].places;
		start_warm(w);
		world_run(w, SECONDS(10));
		fault_everywhere(w, (struct fault){ AT_RCPT, MUTE, NULL, ALWAYS, BOB });
		for (unsigned k = 0; k < 20; k++)
			(void)world_give(w, BAD, BOB, "bad.");
		world_mail(w, ALICE, CAROL, "first.");
		good_ones_pass(w, i, 1, cases[i].first);
		good_ones_pass(w, i, 120, cases[i].then);
		assert_int_equal(world_logged(w, "relay-down", ""), 0);
		scenario_free(w);
	}
}

/* One message alone doesn't move the mail of all to the next relay, as long as others pass. */
static void
one_moves_nobody(void **state)
{
	for (size_t i = 0; i < lengthof(of_one); i++) {
		struct world *w = scenario_new();

		world_use_backup(w);
		start_warm(w);
		world_run(w, SECONDS(10));
		fault_everywhere(w, of_one[i]);
		give_bad(w, 1);
		world_run(w, SECONDS(1));
		good_ones_pass(w, i, 60, SECONDS(6));
		assert_int_equal(world_logged(w, "failover", ""), 0);
		assert_int_equal(w->backup.ntaken, 0);
		scenario_free(w);
	}
}

/* Neither relay takes them: mail may go to the other one, but goes. */
static void
nor_do_several_stop_two_relays(void **state)
{
	for (size_t i = 0; i < lengthof(of_one); i++) {
		struct world *w = scenario_new();

		world_use_backup(w);
		start_warm(w);
		world_run(w, SECONDS(10));
		fault_everywhere(w, of_one[i]);
		smarthost_fault(&w->backup, of_one[i]);
		give_bad(w, 4);
		good_ones_pass(w, i, 720, SECONDS(15));
		scenario_free(w);
	}
}

/* Alone in the queue, with two relays: after their first failures they are no witnesses, and nothing goes down for them. */
static void
alone_they_take_nothing_down(void **state)
{
	for (size_t i = 0; i < lengthof(of_one); i++) {
		struct world *w = scenario_new();
		unsigned down[2];

		world_use_backup(w);
		start_warm(w);
		world_run(w, SECONDS(10));
		fault_everywhere(w, of_one[i]);
		smarthost_fault(&w->backup, of_one[i]);
		give_bad(w, 4);
		for (int k = 0; k < 2; k++) {
			world_run(w, HOURS(6));
			down[k] = world_logged(w, "endpoint-down", "") + world_logged(w, "account-blocked", "");
		}
		if (down[0] > 12 || down[1] > down[0] + 1)
			fail_msg("fault %zu: %u down, then %u more", i, down[0], down[1] - down[0]);
		scenario_free(w);
	}
}

/* There is a second relay, for other mail: it is no way for this. */
static void
a_relay_of_another_route_is_none(void **state)
{
	for (size_t i = 0; i < lengthof(of_one); i++) {
		struct world *w = scenario_new();

		world_use_backup(w);
		w->conf.route[0].nrelay = 1;
		start_warm(w);
		world_run(w, SECONDS(10));
		fault_everywhere(w, of_one[i]);
		give_bad(w, 4);
		good_ones_pass(w, i, 60, SECONDS(6));
		assert_int_equal(w->backup.ntaken, 0);
		assert_int_equal(world_logged(w, "relay-down", ""), 0);
		assert_int_equal(world_logged(w, "account-blocked", ""), 0);
		scenario_free(w);
	}
}

/* After an outage they come first, and are no canaries. */
static void
they_are_no_canaries(void **state)
{
	struct world *w = *state;

	start_warm(w);
	fault_everywhere(w, of_one[6]);
	give_bad(w, 4);
	world_run(w, MINUTES(3));
	world_all(w, TWIN_REFUSE);
	for (size_t i = 0; i < PORTS; i++)
		twin_endpoint_reset(w->port[i].ep);
	world_run(w, HOURS(1));
	world_mail(w, ALICE, CAROL, "good.");
	world_run(w, SECONDS(1));
	world_all(w, TWIN_ACCEPT);
	world_run(w, MINUTES(4));
	assert_int_equal(world_count(w, "good."), 1);
	good_ones_pass(w, 0, 20, SECONDS(6));
}

/* --- "log in first", after a login ------------------------------------------------------------- */

static const struct fault denied = { AT_MAIL, SAY, "530 5.7.0 Authentication required", ALWAYS };

static void
give_from(struct world *w, unsigned k)
{
	char from[40];

	snprintf(from, sizeof(from), "evil%u@shop.example.com", k);
	world_mail(w, from, BOB, "bad.");
}

/* Each sender is another one: while others were delivered a moment ago it is theirs, though they come all day. */
static void
wrong_senders_stop_nobody(void **state)
{
	for (int relays = 1; relays <= 2; relays++) {
		struct world *w = scenario_new();
		struct fault fault = denied;

		fault.match = "evil";
		if (relays == 2)
			world_use_backup(w);
		start_warm(w);
		fault_everywhere(w, fault);
		if (relays == 2)
			smarthost_fault(&w->backup, fault);
		for (unsigned k = 0; k < 200; k++) {
			give_from(w, k);
			good_ones_pass(w, k, 1, SECONDS(6));
		}
		assert_int_equal(world_logged(w, "account-blocked", ""), 0);
		assert_int_equal(world_logged(w, "account-paused", ""), 0);
		assert_int_equal(w->backup.ntaken, 0);
		scenario_free(w);
	}
}

/* Alone for hours, they make the account rest once at most: what comes then waits for half a minute, and it is over. */
static void
nor_when_they_are_alone(void **state)
{
	struct world *w = *state;
	struct fault fault = denied;

	fault.match = "evil";
	start_warm(w);
	fault_everywhere(w, fault);
	world_run(w, MINUTES(10));
	for (unsigned k = 0; k < 10; k++)
		give_from(w, k);
	world_run(w, SECONDS(1));
	assert_int_equal(world_logged(w, "account-paused", ""), 1);
	assert_int_equal(world_logged(w, "account-paused", "mail_denied"), 1);
	good_ones_pass(w, 0, 1, SECONDS(40));
	good_ones_pass(w, 0, 60, SECONDS(6));
	world_run(w, HOURS(3));
	good_ones_pass(w, 0, 60, SECONDS(6));
	assert_int_equal(world_logged(w, "account-blocked", ""), 0);
	assert_int_equal(world_logged(w, "account-paused", ""), 1);
	assert_int_equal(world_logged(w, "deferred", "msg_temp"), 0);
}

/* Nobody is let through any more: they wait, one after the other is tried, and none is charged. */
static void
a_right_that_is_lost_charges_nobody(void **state)
{
	struct world *w = *state;

	start_warm(w);
	world_mail(w, ALICE, CAROL, "good.");
	world_run(w, SECONDS(5));
	fault_everywhere(w, denied);
	for (unsigned k = 0; k < 20; k++)
		world_mail(w, ALICE, CAROL, "later.");
	world_run(w, HOURS(1));
	assert_int_equal(world_queued(w), 20);
	assert_int_equal(world_logged(w, "account-blocked", ""), 0);
	assert_in_range(world_logged(w, "account-paused", "mail_denied"), 10, 20);
	assert_in_range(world_logged(w, "deferred", "code=530"), 10, 40);
	assert_in_range(world_logged(w, "waits", "attempts=0"), 10, 40);
	assert_int_equal(world_logged(w, "waits", "why=backoff"), 0);
	heal_everywhere(w);
	world_run(w, MINUTES(6));
	assert_int_equal(world_count(w, "later."), 20);
}

/* The same with another relay: it gets them at once. */
static void
another_relay_gets_them(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	start_warm(w);
	world_mail(w, ALICE, CAROL, "good.");
	world_run(w, SECONDS(5));
	fault_everywhere(w, denied);
	for (unsigned k = 0; k < 20; k++)
		world_mail(w, ALICE, CAROL, "later.");
	world_run(w, SECONDS(20));
	assert_int_equal(w->backup.ntaken, 20);
	assert_int_equal(world_logged(w, "account-paused", "main"), 1);
}

/* Without a login of ours the words are what they say. */
static void
without_a_login_it_is_believed(void **state)
{
	struct world *w = *state;

	w->conf.relay[0].user = NULL;
	w->conf.relay[0].secret = CONF_SECRET_NONE;
	w->conf.relay[0].mechanisms = 0;
	fault_everywhere(w, denied);
	world_start(w);
	give_bad(w, 1);
	world_run(w, SECONDS(5));
	assert_int_equal(world_logged(w, "account-blocked", ""), 1);
}

/* The message itself waits longer each time, and says why. */
static void
the_message_is_charged(void **state)
{
	struct world *w = *state;

	start_warm(w);
	fault_everywhere(w, denied);
	give_bad(w, 1);
	world_run(w, HOURS(3));
	assert_int_equal(world_queued(w), 1);
	assert_in_range(world_logged(w, "deferred", "code=530"), 6, 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(some_stop_no_other),
		cmocka_unit_test(nor_do_they_one_by_one),
		cmocka_unit_test(many_hold_it_up_for_a_minute),
		cmocka_unit_test(those_that_hang_leave_places),
		cmocka_unit_test(one_moves_nobody),
		cmocka_unit_test(nor_do_several_stop_two_relays),
		cmocka_unit_test(alone_they_take_nothing_down),
		cmocka_unit_test(a_relay_of_another_route_is_none),
		T(they_are_no_canaries),
		cmocka_unit_test(wrong_senders_stop_nobody),
		T(nor_when_they_are_alone),
		T(a_right_that_is_lost_charges_nobody),
		T(another_relay_gets_them),
		T(without_a_login_it_is_believed),
		T(the_message_is_charged),
	};

	return scenario_run(tests);
}
