/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages that are set apart, and sessions that hang: which rule of the pool, the deliveries and of overdue replies
 * keeps them from costing others their time. Each test fails without the one that it is about.
 */
#include "sim/scenario.h"

#include "health/health_impl.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

#define BAD	"poison@shop.example.com"
#define CAROL	"carol@example.net"

static const struct fault cut_of_bob = { AT_RCPT, CUT, NULL, ALWAYS, BOB };
static const struct fault hangs_of_bob = { AT_RCPT, MUTE, NULL, ALWAYS, BOB };

static void
give_bad(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		(void)world_give(w, BAD, BOB, "bad.");
	world_run(w, 10);
}

/* How long one takes that nothing is wrong with. */
static int64_t
good_takes(struct world *w, int64_t limit)
{
	int64_t began = w->loop.mono_ms;
	unsigned before = world_count(w, "good.");

	world_mail(w, ALICE, CAROL, "good.");
	while (world_count(w, "good.") == before && w->loop.mono_ms - began < limit)
		world_run(w, 100);
	return w->loop.mono_ms - began;
}

static struct world *
one_port(unsigned places)
{
	struct world *w = scenario_new();

	w->conf.relay[0].nendpoint = 1;
	w->conf.relay[0].connections = places;
	start_warm(w);
	return w;
}

static struct endpoint_view
view_of_port(struct world *w, size_t i)
{
	struct endpoint_view v;

	health_endpoint(relay_health(w->relay, 0), i, &v);
	return v;
}

/* Two senders may not send, but a message passed between: the account is all right. */
static void
a_delivery_clears_the_account(void **state)
{
	struct world *w = *state;

	start_warm(w);
	fault_everywhere(w, (struct fault){ AT_MAIL, SAY, "530 5.7.0 Authentication required", ALWAYS, "poison" });
	give_bad(w, 1);
	world_run(w, SECONDS(20));
	(void)good_takes(w, SECONDS(20));
	world_mail(w, "poison2@shop.example.com", BOB, "bad.");
	world_run(w, MINUTES(1));
	assert_int_equal(world_logged(w, "account-blocked", ""), 0);
}

/*
 * Several messages that neither relay takes may look like the end of the first one's ports; the second
 * shows that they are the cause, and then mail goes on where it was.
 */
static void
what_one_relay_finds_excuses_the_other(void **state)
{
	struct world *w = *state;
	int64_t began;

	world_use_backup(w);
	start_warm(w);
	fault_everywhere(w, cut_of_bob);
	smarthost_fault(&w->backup, cut_of_bob);
	world_run(w, SECONDS(40));
	(void)good_takes(w, SECONDS(5));
	give_bad(w, 4);
	for (began = w->loop.mono_ms; world_logged(w, "failover", "to=main") == 0; world_run(w, SECONDS(1)))
		world_mail(w, ALICE, CAROL, "good.");
	assert_in_range(w->loop.mono_ms - began, 0, MINUTES(1));
}

/* A server that has lost its senses in one session gets another one. */
static void
nonsense_ends_the_session(void **state)
{
	struct world *w = one_port(1);
	unsigned before = w->port[P587].sessions;

	(void)state;
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, SAY, "503 5.5.1 bad sequence of commands", 1 });
	assert_in_range(good_takes(w, SECONDS(30)), 0, SECONDS(3));
	assert_int_equal(w->port[P587].sessions, before + 1);
	scenario_free(w);
}

/* Its second failure is charged, when another message has passed where it failed. */
static void
the_cause_is_charged_at_once(void **state)
{
	struct world *w = one_port(4);

	(void)state;
	fault_everywhere(w, cut_of_bob);
	give_bad(w, 1);
	world_run(w, 300);
	(void)good_takes(w, SECONDS(20));
	world_run(w, SECONDS(20));
	assert_int_equal(world_logged(w, "attempt-failed", ""), 2);
	scenario_free(w);
}

/* Those that hang keep half of the places free. */
static void
half_of_the_places_are_free(void **state)
{
	struct world *w = one_port(4);

	(void)state;
	fault_everywhere(w, hangs_of_bob);
	give_bad(w, 12);
	world_run(w, MINUTES(10));
	for (int k = 0; k < 60; k++) {
		assert_in_range(good_takes(w, MINUTES(5)), 0, SECONDS(1));
		world_run(w, SECONDS(10));
	}
	scenario_free(w);
}

/* With a single place they are tried all the same. */
static void
the_only_place_is_theirs_too(void **state)
{
	struct world *w = one_port(1);

	(void)state;
	fault_everywhere(w, (struct fault){ AT_RCPT, CUT, NULL, 2, BOB });
	give_bad(w, 1);
	assert_true(world_settle(w, MINUTES(2)));
	scenario_free(w);
}

/* After an outage nothing else is due: none of them is the canary, and the port comes back by its probes. */
static void
the_canary_is_none_of_them(void **state)
{
	struct world *w = one_port(4);

	(void)state;
	fault_everywhere(w, cut_of_bob);
	give_bad(w, 4);
	world_run(w, MINUTES(2));		/* each has failed twice */
	world_all(w, TWIN_REFUSE);
	twin_endpoint_reset(w->port[P587].ep);
	world_run(w, HOURS(1));
	world_all(w, TWIN_ACCEPT);
	world_run(w, MINUTES(10));
	assert_int_equal(view_of_port(w, P587).state, EP_UP);
	scenario_free(w);
}

static void
run_until_failed(struct world *w, unsigned n)
{
	for (int k = 0; k < 3600 && world_logged(w, "attempt-failed", "") < n; k++)
		world_run(w, SECONDS(1));
	assert_int_equal(world_logged(w, "attempt-failed", ""), n);
}

/* What is to show whether mail passes again at a port is none of them: the next sound one does. */
static void
they_show_nothing_of_a_port(void **state)
{
	struct world *w = *state;
	unsigned before;

	start_warm(w);
	fault_everywhere(w, cut_of_bob);
	give_bad(w, 1);
	world_run(w, 300);
	(void)good_takes(w, SECONDS(5));
	run_until_failed(w, 4);			/* the next time is in minutes */
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, 1 });
	(void)good_takes(w, SECONDS(5));
	run_until_failed(w, 6);
	before = w->port[P587].ntaken;
	(void)good_takes(w, SECONDS(5));
	assert_int_equal(w->port[P587].ntaken, before + 1);
}

/* Twenty of them on the only port: each costs it a rest, of 15 s at most. */
static void
a_port_rests_shortly_for_them(void **state)
{
	struct world *w = one_port(4);

	(void)state;
	fault_everywhere(w, cut_of_bob);
	give_bad(w, 20);
	assert_in_range(good_takes(w, MINUTES(30)), 0, MINUTES(5));
	scenario_free(w);
}

/* The only place is not taken from a slow server before its slowness is learned. */
static void
a_slow_server_keeps_its_only_session(void **state)
{
	struct world *w = one_port(1);

	(void)state;
	w->port[P587].think_ms = SECONDS(20);
	w->port[P587].think_of = "MAIL FROM";
	world_burst(w, 3, "mail-");
	assert_true(world_settle(w, MINUTES(2)));
	assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
	scenario_free(w);
}

/* One hangs, the other waits behind its dot: a third one has to wait, too, for half of the places may hang. */
static void
half_of_the_places_may_hang(void **state)
{
	struct world *w = one_port(2);

	(void)state;
	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, TAKE_SILENTLY, NULL, 1 });
	world_mail(w, ALICE, CAROL, "silent.");
	world_run(w, SECONDS(5));
	smarthost_fault(&w->port[P587], hangs_of_bob);
	give_bad(w, 1);
	world_run(w, SECONDS(5));
	world_mail(w, ALICE, CAROL, "third.");
	world_run(w, SECONDS(60));
	assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
	scenario_free(w);
}

/* A login that is followed by no message was not slow because the next message came late. */
static void
the_time_after_a_login_is_nobodys(void **state)
{
	struct world *w = one_port(4);

	(void)state;
	world_run(w, MINUTES(3));		/* its session has ended */
	w->port[P587].think_ms = SECONDS(3);
	w->port[P587].think_of = "AUTH";
	world_burst(w, 2, "first-");		/* one session carries both before the other one is ready */
	world_run(w, SECONDS(30));
	world_burst(w, 2, "next-");
	world_run(w, SECONDS(1));
	assert_int_equal(world_queued(w), 0);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, MUTE, NULL, 1 });
	world_mail(w, ALICE, BOB, "hung.");
	world_run(w, SECONDS(14));
	assert_false(view_of_port(w, P587).suspect);
	world_run(w, SECONDS(6));
	assert_true(view_of_port(w, P587).suspect);
	scenario_free(w);
}

/* The first port is where mail goes; what is doubted of the second one are its connections. */
static void
start_beside_silence(struct world *w)
{
	w->conf.relay[0].nendpoint = 2;
	start_warm(w);
	world_run(w, MINUTES(1));
	w->port[P465].ep->mode = TWIN_SILENT;
	assert_int_equal(relay_probe(w->relay, VIEW(""), NULL), 0);
	for (int k = 0; k < 300 && !view_of_port(w, P465).suspect; k++)
		world_run(w, 100);
	assert_int_equal(view_of_port(w, P465).state, EP_UP);
	world_run(w, SECONDS(1));
}

/* No message waits for such a port, though mail has failed at none of them but the first. */
static void
a_doubtful_port_is_not_waited_for(void **state)
{
	struct world *w = *state;

	start_beside_silence(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, 1 });
	assert_in_range(good_takes(w, MINUTES(2)), 0, SECONDS(2));
}

/* Nor does it stand in while the first one rests. */
static void
a_doubtful_port_stands_in_for_none(void **state)
{
	struct world *w = *state;

	start_beside_silence(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, 3 });
	world_burst(w, 6, "mail-");
	assert_true(world_settle(w, SECONDS(10)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_delivery_clears_the_account),
		T(what_one_relay_finds_excuses_the_other),
		cmocka_unit_test(nonsense_ends_the_session),
		cmocka_unit_test(the_cause_is_charged_at_once),
		cmocka_unit_test(half_of_the_places_are_free),
		cmocka_unit_test(the_only_place_is_theirs_too),
		cmocka_unit_test(the_canary_is_none_of_them),
		T(they_show_nothing_of_a_port),
		cmocka_unit_test(a_port_rests_shortly_for_them),
		cmocka_unit_test(a_slow_server_keeps_its_only_session),
		cmocka_unit_test(half_of_the_places_may_hang),
		cmocka_unit_test(the_time_after_a_login_is_nobodys),
		T(a_doubtful_port_is_not_waited_for),
		T(a_doubtful_port_stands_in_for_none),
	};

	return scenario_run(tests);
}
