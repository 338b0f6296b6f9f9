/* SPDX-License-Identifier: BSD-2-Clause */
/* Two relays: when mail goes to the second one, when it does not, and how it comes back. */
#include "sim/scenario.h"

#include "relay/relay_impl.h"

#include "base/banned.h"

#define REFUSED_LOGIN ((struct fault){ AT_AUTH, SAY, "535 5.7.8 Authentication credentials invalid", ALWAYS })

static struct world *
two_relays(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	return w;
}

static void
the_second_relay_is_for_need(void **state)
{
	struct world *w = two_relays(state);

	world_start(w);
	mail_many(w, 20, "calm-");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 20, "calm-"), 20);
	assert_int_equal(w->backup.ntaken, 0);
	assert_int_equal(world_logged(w, "failover", ""), 0);
}

static void
no_port_of_the_first_is_usable(void **state)
{
	struct world *w = two_relays(state);

	world_start(w);
	world_mail(w, ALICE, BOB, "before.");
	assert_true(world_settle(w, SECONDS(10)));
	world_all(w, TWIN_REFUSE);
	for (size_t i = 0; i < PORTS; i++)
		twin_endpoint_cut(w->port[i].ep);
	mail_many(w, 20, "away-");
	assert_true(world_settle(w, MINUTES(3)));
	assert_int_equal(w->backup.ntaken, 20);
	assert_int_equal(world_logged(w, "failover", "from=main to=backup reason=no-port-usable"), 1);
	/* Nothing of that is charged to a message. */
	assert_int_equal(world_logged(w, "deferred", "why=deferred"), 0);

	world_all(w, TWIN_ACCEPT);
	world_run(w, MINUTES(20));
	assert_int_equal(world_logged(w, "failover", "from=backup to=main reason=usable-again"), 1);
	mail_many(w, 20, "back-");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 20, "back-"), 20);
	assert_int_equal(w->backup.ntaken, 20);
	assert_int_equal(world_logged(w, "failover", ""), 2);
}

static int64_t
settled_after(struct world *w, int64_t limit)
{
	int64_t began = w->loop.mono_ms;

	world_mail(w, ALICE, BOB, "first.");
	assert_true(world_settle(w, limit));
	return w->loop.mono_ms - began;
}

/* However it is dead: its head start is all that the first message waits. */
static void
a_dead_first_relay_costs_a_few_seconds(void **state)
{
	static const enum twin_mode modes[] = { TWIN_REFUSE, TWIN_SILENT, TWIN_MUTE };

	for (size_t i = 0; i < lengthof(modes); i++) {
		struct world *w = scenario_new();

		world_use_backup(w);
		world_all(w, modes[i]);
		world_start(w);
		assert_true(settled_after(w, SECONDS(10)) <= 4500);
		assert_int_equal(w->backup.ntaken, 1);
		assert_int_equal(world_logged(w, "failover", modes[i] == TWIN_REFUSE ?
		    "from=main to=backup reason=no-port-usable" : "from=main to=backup reason=no-port-ready"), 1);
		/* And the next ones nothing at all. */
		assert_true(settled_after(w, SECONDS(10)) <= 300);
		/* When one of its ports has shown that it works, mail goes there again. */
		world_all(w, TWIN_ACCEPT);
		assert_int_equal(relay_probe(w->relay, VIEW(""), NULL), 0);
		world_run(w, SECONDS(30));
		assert_int_equal(world_logged(w, "failover", "from=backup to=main reason=usable-again"), 1);
		(void)settled_after(w, SECONDS(1));
		assert_int_equal(w->backup.ntaken, 2);
		assert_int_equal(world_logged(w, "failover", ""), 2);
		scenario_free(w);
	}
}

/* A head start is one: who answers within it keeps the mail. */
static void
a_slow_first_relay_keeps_its_mail(void **state)
{
	struct world *w = two_relays(state);

	for (size_t i = 0; i < PORTS; i++)
		w->port[i].ep->delay_ms = 200;		/* 2 s up to the login */
	world_start(w);
	mail_many(w, 5, "slow-");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(w->backup.ntaken, 0);
	assert_int_equal(world_logged(w, "failover", ""), 0);
}

/* Nothing is known of the second one either: whichever is ready first gets it, and nobody twice. */
static void
two_unknown_relays_race(void **state)
{
	struct world *w = two_relays(state);

	world_all(w, TWIN_SILENT);
	w->backup.ep->mode = TWIN_SILENT;
	world_start(w);
	world_mail(w, ALICE, BOB, "first.");
	world_run(w, SECONDS(6));
	assert_true(world_logged(w, "connecting", "backup.twin.example:587 for=race") > 0);
	w->port[P2525].ep->mode = TWIN_ACCEPT;
	w->backup.ep->mode = TWIN_ACCEPT;
	assert_true(world_settle(w, SECONDS(30)));
	assert_int_equal(world_count(w, "first.") + w->backup.ntaken, 1);
}

/* After a change of the network, too: what was down is not better than what works. */
static void
mail_stays_where_it_works(void **state)
{
	struct world *w = two_relays(state);

	world_all(w, TWIN_SILENT);
	world_start(w);
	(void)settled_after(w, SECONDS(10));
	world_run(w, MINUTES(5));
	for (int i = 0; i < 3; i++) {
		for (size_t k = 0; k < w->relay->nup; k++)
			upstream_network_changed(&w->relay->up[k]);
		assert_true(settled_after(w, SECONDS(10)) <= 300);
		world_run(w, MINUTES(1));
	}
	assert_int_equal(world_logged(w, "failover", ""), 1);
}

static void
each_login_has_its_own_password(void **state)
{
	struct world *w = two_relays(state);

	for (size_t i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], REFUSED_LOGIN);
	world_start(w);
	mail_many(w, 10, "login-");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(w->backup.ntaken, 10);
	assert_int_equal(world_logins(w), 1);
	assert_int_equal(world_logged(w, "failover", "reason=account-blocked"), 1);
	/* base64 of NUL web1 NUL secret, and of NUL web2 NUL other */
	assert_string_equal(w->port[P587].login, "AUTH PLAIN AHdlYjEAc2VjcmV0");
	assert_string_equal(w->backup.login, "AUTH PLAIN AHdlYjIAb3RoZXI=");
}

/* What is refused for its own sake is not offered to another provider. */
static void
a_refused_message_is_not_tried_elsewhere(void **state)
{
	struct world *w = two_relays(state);

	for (size_t i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], (struct fault){ AT_RCPT, SAY, "550 5.1.1 no such user", 1 });
	world_start(w);
	world_mail(w, ALICE, BOB, "refused.");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(world_logged(w, "bounced", "code=550"), 1);
	assert_int_equal(w->backup.ntaken, 0);
}

static void
a_short_rest_is_waited_for(void **state)
{
	struct world *w = two_relays(state);

	for (size_t i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], (struct fault){ AT_MAIL, SAY, "454 4.7.0 too many, slow down", 1 });
	world_start(w);
	world_mail(w, ALICE, BOB, "slowly.");
	assert_true(world_settle(w, MINUTES(10)));
	assert_int_equal(world_logged(w, "account-paused", ""), 1);
	assert_int_equal(w->backup.ntaken, 0);
	assert_int_equal(world_logged(w, "failover", ""), 0);
}

#define QUOTA_OVER ((struct fault){ AT_MAIL, SAY, "454 4.7.0 Daily message quota exceeded", ALWAYS })

/* The start is at 07:30 UTC: midnight is 16.5 h away. */
static void
a_used_up_quota_comes_back_after_its_reset(void **state)
{
	struct world *w = two_relays(state);
	unsigned tried;

	fault_everywhere(w, QUOTA_OVER);
	world_start(w);
	mail_many(w, 20, "over-");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(w->backup.ntaken, 20);
	assert_int_equal(world_logged(w, "failover", "from=main to=backup reason=account-exhausted"), 1);
	assert_int_equal(world_logged(w, "account-exhausted", "class=quota_used_up"), 1);
	assert_int_equal(world_logged(w, "deferred", "why=deferred"), 0);	/* nothing is charged */
	tried = world_logged(w, "deferred", "class=quota_used_up");
	assert_in_range(tried, 1, w->conf.relay[0].connections);
	heal_everywhere(w);
	world_run(w, HOURS(16));
	mail_many(w, 5, "still-");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(w->backup.ntaken, 25);
	world_run(w, MINUTES(40));
	mail_many(w, 20, "again-");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 20, "again-"), 20);
	assert_int_equal(w->backup.ntaken, 25);
	assert_int_equal(world_logged(w, "failover", "from=backup to=main reason=usable-again"), 1);
}

/* A provider that says it with a 5xx: no message bounces for it. */
static void
a_final_reply_about_the_quota_bounces_nothing(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_DOT, SAY,
	    "550 5.4.5 Daily user sending quota exceeded", ALWAYS });
	world_start(w);
	mail_many(w, 10, "over-");
	world_run(w, HOURS(16));
	assert_int_equal(world_queued(w), 10);
	assert_int_equal(world_logged(w, "bounced", ""), 0);
	assert_in_range(w->port[P587].transactions, 1, w->conf.relay[0].connections);
	heal_everywhere(w);
	assert_true(world_settle(w, HOURS(1)));
	assert_int_equal(count_many(w, 10, "over-"), 10);
}

/* Both are out: mail waits uncharged, and goes to whichever is back first. */
static void
whichever_is_back_first_gets_it(void **state)
{
	struct world *w = two_relays(state);

	world_all(w, TWIN_REFUSE);
	w->backup.ep->mode = TWIN_REFUSE;
	world_start(w);
	mail_many(w, 10, "wait-");
	world_run(w, HOURS(2));
	assert_int_equal(world_queued(w), 10);
	assert_int_equal(world_logged(w, "bounced", ""), 0);
	w->backup.ep->mode = TWIN_ACCEPT;
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(w->backup.ntaken, 10);
}

/* The session that is busy there when the first relay is back ends its message, and takes no other. */
static void
a_relay_that_is_left_gets_no_more(void **state)
{
	struct world *w = two_relays(state);

	w->conf.relay[0].connections = w->conf.relay[1].connections = 1;
	w->conf.relay[1].connection_age_ms = HOURS(1);
	w->backup.ep->limits.input_max = 4096;
	smarthost_fault(&w->backup, (struct fault){ AT_BODY, SIP, NULL, 1 });
	world_all(w, TWIN_REFUSE);
	world_start(w);
	mail_big(w, 250000);
	for (int i = 0; i < 120 && w->backup.transactions == 0; i++)
		world_run(w, SECONDS(1));
	assert_int_equal(w->backup.transactions, 1);

	for (size_t i = 0; i < PORTS; i++) {
		w->port[i].ep->limits.input_max = 4096;
		smarthost_fault(&w->port[i], (struct fault){ AT_BODY, SIP, NULL, ALWAYS });
	}
	world_all(w, TWIN_ACCEPT);
	for (int i = 0; i < 30 && world_logged(w, "failover", "reason=usable-again") == 0; i++) {
		assert_int_equal(relay_probe(w->relay, VIEW(""), NULL), 0);
		world_run(w, SECONDS(10));
	}
	assert_int_equal(world_logged(w, "failover", "reason=usable-again"), 1);
	mail_big(w, 300000);
	mail_many(w, 3, "rest-");
	for (int i = 0; i < 700 && w->backup.ntaken == 0; i++)
		world_run(w, SECONDS(1));
	assert_int_equal(w->backup.ntaken, 1);
	assert_int_equal(world_queued(w), 4);
	heal_everywhere(w);
	assert_true(world_settle(w, HOURS(1)));
	assert_int_equal(count_many(w, 3, "rest-"), 3);
	assert_int_equal(w->backup.ntaken, 1);
	assert_int_equal(w->backup.transactions, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_second_relay_is_for_need),
		cmocka_unit_test(a_dead_first_relay_costs_a_few_seconds),
		T(a_slow_first_relay_keeps_its_mail),
		T(two_unknown_relays_race),
		T(mail_stays_where_it_works),
		T(no_port_of_the_first_is_usable),
		T(each_login_has_its_own_password),
		T(a_refused_message_is_not_tried_elsewhere),
		T(a_short_rest_is_waited_for),
		T(a_used_up_quota_comes_back_after_its_reset),
		T(a_final_reply_about_the_quota_bounces_nothing),
		T(whichever_is_back_first_gets_it),
		T(a_relay_that_is_left_gets_no_more),
	};

	return scenario_run(tests);
}
