/* SPDX-License-Identifier: BSD-2-Clause */
/* Which port mail leaves by, and what a bad port, a bad account or a bad name costs. */
#include "sim/scenario.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "health/health_impl.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

static int64_t
now(const struct world *w)
{
	return w->loop.mono_ms;
}

/* --- the good days ------------------------------------------------------------------ */

static void
mail_arrives_by_the_first_port(void **state)
{
	struct world *w = *state;
	const struct taken *t;

	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_int_equal(w->durable, 1);
	assert_true(world_settle(w, SECONDS(1)));
	assert_int_equal(w->port[P587].ntaken, 1);
	t = list_entry(w->port[P587].taken.next, struct taken, link);
	assert_string_equal(t->from, ALICE);
	assert_string_equal(t->rcpts, " " BOB " ");
	assert_true(view_starts(buf_view(&t->text), VIEW("Received: ")));
	assert_int_equal(world_logged(w, "delivered", "code=250"), 1);
	world_run(w, MINUTES(1));
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(1)));
	assert_int_equal(world_logged(w, "route-changed", "smtp.twin.example:587"), 1);
}

static void
sessions_are_reused(void **state)
{
	struct world *w = *state;

	world_start(w);
	mail_many(w, 200, "reuse-");
	assert_true(world_settle(w, SECONDS(60)));
	assert_int_equal(count_many(w, 200, "reuse-"), 200);
	/* 50 messages a session; the standby ports are probed, and idle sessions quit. */
	assert_true(w->port[P587].sessions <= 10);
	world_run(w, MINUTES(2));
	assert_int_equal(w->port[P587].sessions, w->port[P587].quits);
}

static void
big_messages_flow_in_bounded_memory(void **state)
{
	struct world *w = *state;
	size_t size = 5u << 20;

	world_start(w);
	world_run(w, 100);
	mail_big(w, size);
	assert_true(world_settle(w, SECONDS(60)));
	assert_int_equal(world_taken(w), 1);
	assert_true(buf_len(&list_entry(w->port[P587].taken.next, struct taken, link)->text) >= size);
}

/* The race for the first message opens sessions that nobody asked for: it has its price. */
static void
a_race_counts_as_a_probe(void **state)
{
	struct world *w = *state;
	unsigned n = 0;

	w->port[P587].ep->mode = TWIN_MUTE;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(1)));
	for (size_t i = 0; i < BUDGET_TROUBLE; i++)
		n += relay_health(w->relay, 0)->budget[i] != NEVER;
	assert_int_equal(n, 2);		/* and the probe at start */
}

/* Without mail: each probe says goodbye, none begins a transaction, and one login a day is enough. */
static void
probes_are_polite(void **state)
{
	struct world *w = *state;
	unsigned sessions = 0;

	world_start(w);
	world_run(w, DAYS(2));
	for (size_t i = 0; i < PORTS; i++) {
		assert_true(w->port[i].sessions > 0);
		assert_int_equal(w->port[i].quits, w->port[i].sessions);
		assert_int_equal(w->port[i].transactions, 0);
		sessions += w->port[i].sessions;
	}
	assert_in_range(sessions, 2 * 24, 2 * 24 * BUDGET_CALM);
	assert_in_range(world_logins(w), 1, 4);
}

/* In trouble, too, and with mail that waits, the hour's budget holds. */
static void
probes_keep_their_budget(void **state)
{
	struct world *w = *state;
	unsigned before;

	world_all(w, TWIN_REFUSE);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(1));
	for (int hour = 0; hour < 12; hour++) {
		before = world_logged(w, "probe", "");
		world_run(w, HOURS(1));
		assert_in_range(world_logged(w, "probe", "") - before, 1, BUDGET_TROUBLE);
	}
}

static int
current_port(const struct world *w)
{
	struct endpoint_view v;

	for (size_t i = 0; i < PORTS; i++) {
		health_endpoint(relay_health(w->relay, 0), i, &v);
		if (v.current)
			return (int)i;
	}
	return -1;
}

/* --- ports that fail ------------------------------------------------------------------- */

static void
dead_first_port_costs_about_a_second(enum twin_mode mode, struct world *w)
{
	int64_t began;

	w->port[P587].ep->mode = mode;
	world_start(w);
	began = now(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(2)));
	assert_true(now(w) - began <= 1200);
	assert_int_equal(w->port[P465].ntaken, 1);
	/* And the next ones nothing at all. */
	began = now(w);
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(2)));
	assert_true(now(w) - began <= 300);
	assert_int_equal(w->port[P465].ntaken, 2);
	/* The winner is the current port from its first message on, and stays it. */
	assert_true(current_port(w) == P465);
	assert_int_equal(world_logged(w, "route-changed", "from=none to=smtp.twin.example:465 reason=race"), 1);
	w->port[P587].ep->mode = TWIN_ACCEPT;
	world_run(w, MINUTES(10));
	world_mail(w, ALICE, BOB, "hello-3.");
	assert_true(world_settle(w, SECONDS(2)));
	assert_int_equal(w->port[P465].ntaken, 3);
	assert_int_equal(world_logged(w, "route-changed", ""), 1);
}

static void
refused_first_port(void **state)
{
	dead_first_port_costs_about_a_second(TWIN_REFUSE, *state);
}

static void
filtered_first_port(void **state)
{
	dead_first_port_costs_about_a_second(TWIN_SILENT, *state);
}

static void
mute_first_port(void **state)
{
	dead_first_port_costs_about_a_second(TWIN_MUTE, *state);
}

/* Many messages at a moment in which the port has just died: one attempt finds out. */
static void
a_dead_port_wastes_one_attempt(void **state)
{
	struct world *w = *state;
	unsigned before;

	start_warm(w);
	world_run(w, MINUTES(2));
	before = w->port[P587].ep->accepted;
	w->port[P587].ep->mode = TWIN_MUTE;
	world_burst(w, 20, "dead-");
	assert_true(world_settle(w, SECONDS(20)));
	assert_int_equal(count_many(w, 20, "dead-"), 20);
	/* And the probe after its failure. */
	assert_in_range(w->port[P587].ep->accepted - before, 1, 2);
}

static void
two_dead_ports(void **state)
{
	struct world *w = *state;

	w->port[P587].ep->mode = TWIN_SILENT;
	w->port[P465].ep->tls = STREAM_TLS_EXPIRED;
	world_start(w);
	mail_many(w, 20, "two-");
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(count_many(w, 20, "two-"), 20);
	assert_int_equal(w->port[P2525].ntaken, 20);
	assert_int_equal(w->port[P465].logins, 0);
}

static void
every_fault_at_the_first_port(void **state)
{
	static const struct {
		struct fault		fault;
		enum stream_end_kind	tls;
		bool			no_starttls, no_auth;
		const char		*class;
	} cases[] = {
		{ .fault = { AT_GREETING, SAY, "421 4.3.2 later", ALWAYS }, .class = "banner_4xx" },
		{ .fault = { AT_GREETING, SAY, "554 go away", ALWAYS }, .class = "banner_5xx" },
		{ .fault = { AT_GREETING, SAY, "HTTP/1.1 400 Bad Request", ALWAYS }, .class = "not_smtp" },
		{ .fault = { AT_GREETING, CUT, NULL, ALWAYS }, .class = "no_banner" },
		{ .fault = { AT_EHLO, SAY, "550 no", ALWAYS }, .class = "ehlo_refused" },
		{ .fault = { AT_STARTTLS, SAY, "454 4.7.0 not now", ALWAYS }, .class = "starttls_refused" },
		{ .no_starttls = true, .class = "starttls_missing" },
		{ .no_auth = true, .class = "auth_missing" },
		{ .tls = STREAM_TLS_NAME, .class = "tls_name" },
		{ .tls = STREAM_TLS_EXPIRED, .class = "tls_expired" },
		{ .tls = STREAM_TLS_UNTRUSTED, .class = "tls_untrusted" },
		{ .tls = STREAM_TLS_HANDSHAKE, .class = "tls_handshake" },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct world *w = scenario_new();

		if (cases[i].fault.times != 0)
			smarthost_fault(&w->port[P587], cases[i].fault);
		w->port[P587].no_starttls = cases[i].no_starttls;
		w->port[P587].no_auth = cases[i].no_auth;
		w->port[P587].ep->tls = cases[i].tls != 0 ? cases[i].tls : STREAM_EOF;
		world_start(w);
		world_mail(w, ALICE, BOB, "hello-1.");
		if (!world_settle(w, SECONDS(20)))
			fail_msg("%s: the message is still there", cases[i].class);
		assert_int_equal(w->port[P587].ntaken, 0);
		assert_int_equal(world_taken(w), 1);
		if (world_logged(w, "probe", cases[i].class) + world_logged(w, "attempt-failed",
		    cases[i].class) == 0)
			fail_msg("%s is not in the log", cases[i].class);
		scenario_free(w);
	}
}

static void
a_port_that_falls_silent_is_left_soon(void **state)
{
	struct world *w = *state;
	int64_t began;

	start_warm(w);
	world_run(w, MINUTES(2));
	w->port[P587].ep->mode = TWIN_MUTE;	/* accepts, and never greets */
	began = now(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(30)));
	assert_true(now(w) - began <= SECONDS(20));
	assert_int_equal(world_logged(w, "attempt-failed", "no_banner"), 1);
}

static void
a_lone_slow_port_gets_its_time(void **state)
{
	struct world *w = *state;

	w->conf.relay[0].nendpoint = 1;
	start_warm(w);
	world_run(w, MINUTES(2));
	w->port[P587].ep->delay_ms = SECONDS(14);	/* 28 s for each answer */
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, MINUTES(10)));
	assert_int_equal(world_logged(w, "attempt-failed", ""), 0);
}

static void
port_that_dies_under_traffic(void **state)
{
	struct world *w = *state;

	world_start(w);
	mail_many(w, 20, "before-");
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(w->port[P587].ntaken, 20);
	/* Nothing gets through any more: the sessions there are do not hear of it. */
	w->port[P587].ep->mode = TWIN_SILENT;
	twin_endpoint_cut(w->port[P587].ep);
	mail_many(w, 20, "after-");
	assert_true(world_settle(w, SECONDS(40)));
	assert_int_equal(count_many(w, 20, "after-"), 20);
	assert_int_equal(w->port[P587].ntaken, 20);
	assert_int_equal(world_logged(w, "bounced", ""), 0);
}

static void
port_that_died_gets_one_new_attempt(void **state)
{
	struct world *w = *state;
	unsigned before;

	start_warm(w);
	w->port[P587].ep->mode = TWIN_SILENT;
	twin_endpoint_cut(w->port[P587].ep);
	before = world_logged(w, "connecting", ":587 for=mail");
	mail_many(w, 20, "after-");
	assert_true(world_settle(w, SECONDS(40)));
	assert_int_equal(count_many(w, 20, "after-"), 20);
	assert_int_equal(world_logged(w, "connecting", ":587 for=mail"), before + 1);
}

/* One of them has shown what is the matter: the others are not tried as well. */
static void
kept_connections_of_a_suspect_port_get_no_mail(void **state)
{
	struct world *w = *state;

	world_start(w);
	mail_many(w, 40, "before-");
	assert_true(world_settle(w, SECONDS(20)));
	assert_true(w->port[P587].sessions > 3);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, ALWAYS });
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "deferred", "why=cut"), 1);
}

/* Sessions that die in the same moment must not use up the losses that one message is forgiven. */
static void
a_lost_message_rests_a_moment(void **state)
{
	struct world *w = *state;

	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, 400);
	assert_int_equal(world_logged(w, "deferred", "why=cut"), 1);
	assert_int_equal(world_count(w, "hello-1."), 0);
	assert_true(world_settle(w, SECONDS(2)));
	assert_int_equal(world_count(w, "hello-1."), 1);
}

/* People see which port mail takes, and each begin and end of it once, however much mail there is. */
static void
a_detour_is_told_once(void **state)
{
	struct world *w = *state;
	struct relay_way way;

	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, 400);
	assert_int_equal(world_logged(w, "deferred", "why=cut"), 1);
	assert_int_equal(world_logged(w, "detour", ""), 0);	/* no mail has gone there yet */
	mail_many(w, 20, "more-");
	assert_true(world_settle(w, SECONDS(4)));
	relay_way(w->relay, 0, &way);
	assert_int_equal(way.endpoint, P465);
	assert_int_equal(way.avoided, P587);
	assert_int_equal(current_port(w), P587);
	assert_int_equal(world_logged(w, "detour", "from=smtp.twin.example:587 to=smtp.twin.example:465 "
	    "reason=detour class=cut_before_dot"), 1);
	/* The port works again, and the sessions of the detour have had their time. */
	world_run(w, MINUTES(3));
	assert_int_equal(world_logged(w, "detour-over", "from=smtp.twin.example:465 to=smtp.twin.example:587"), 1);
	assert_int_equal(world_logged(w, "detour", "from="), 1);
	relay_way(w->relay, 0, &way);
	assert_int_equal(way.endpoint, P587);
	assert_int_equal(way.avoided, -1);
	assert_string_equal(switch_event_word(switch_log_get(relay_switches(w->relay), 0)), "detour-over");
	assert_string_equal(switch_event_word(switch_log_get(relay_switches(w->relay), 1)), "detour");
}

/* A port that works and fails in turn, all day, is no reason to fill the log. */
static void
detours_are_told_once_a_minute(void **state)
{
	struct world *w = *state;
	unsigned begun;

	w->conf.relay[0].nendpoint = 2;
	w->conf.relay[0].messages_per_connection = 1;	/* none is kept that the detour would last for */
	start_warm(w);
	for (int i = 0; i < 60; i++) {
		smarthost_heal(&w->port[P587]);
		if (i % 2 == 0)
			smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, ALWAYS });
		mail_many(w, 3, "turn-");
		world_run(w, SECONDS(10));
	}
	begun = world_logged(w, "detour", "from=");
	assert_in_range(begun, 1, 11);
	assert_in_range(world_logged(w, "detour-over", "from="), begun - 1, begun);
}

/* The port is down in the end: that is a change of route, and no end of a detour. */
static void
a_detour_that_becomes_the_route(void **state)
{
	struct world *w = *state;
	struct relay_way way;

	start_warm(w);
	world_run(w, MINUTES(2));		/* idle sessions have quit */
	w->port[P587].ep->mode = TWIN_REFUSE;
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(2));
	assert_int_equal(world_logged(w, "detour", "class=refused"), 1);
	world_run(w, MINUTES(3));
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(4)));
	relay_way(w->relay, 0, &way);
	assert_int_equal(way.endpoint, P465);
	assert_int_equal(way.avoided, -1);
	assert_int_equal(world_logged(w, "route-changed", "reason=down"), 1);
	assert_int_equal(world_logged(w, "detour-over", ""), 0);
}

static void
all_dead_for_two_hours(void **state)
{
	struct world *w = *state;
	struct spool_message *m;
	size_t pos = 0;

	world_start(w);
	world_mail(w, ALICE, BOB, "first.");
	assert_true(world_settle(w, SECONDS(5)));
	world_all(w, TWIN_SILENT);
	for (int i = 0; i < PORTS; i++)
		twin_endpoint_cut(w->port[i].ep);
	mail_many(w, 50, "wait-");
	world_run(w, HOURS(2));
	assert_int_equal(world_queued(w), 50);
	while ((m = spool_next(relay_spool(w->relay), &pos)) != NULL)
		assert_int_equal(m->attempts, 0);
	assert_true(w->net.connects < 2 * 90 + 40);
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(count_many(w, 50, "wait-"), 50);
	assert_int_equal(world_logged(w, "deferred", "why=deferred"), 0);
}

/* The first session to a port that answers again carries a message: no login is for nothing. */
static void
a_canary_ends_an_outage(void **state)
{
	struct world *w = *state;
	unsigned before;

	start_warm(w);
	world_all(w, TWIN_REFUSE);
	for (int i = 0; i < PORTS; i++)
		twin_endpoint_cut(w->port[i].ep);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(2));
	assert_int_equal(world_count(w, "hello-1."), 0);
	before = world_logins(w);
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(world_count(w, "hello-1."), 1);
	assert_int_equal(world_logged(w, "attempt", "chosen=canary"), 1);
	assert_int_equal(world_logins(w), before + 1);
}

static void
name_server_down_keeps_mail(void **state)
{
	struct world *w = *state;

	w->net.dns_down = true;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(1));
	assert_int_equal(world_queued(w), 1);
	w->net.dns_down = false;
	assert_true(world_settle(w, MINUTES(6)));
	assert_int_equal(world_logged(w, "bounced", ""), 0);
}

/* Back at the first port: the sessions at the other one take no mail any more. */
static void
a_route_that_is_left_is_left_at_once(void **state)
{
	struct world *w = *state;
	unsigned before;

	w->port[P587].ep->mode = TWIN_REFUSE;
	world_start(w);
	world_burst(w, 20, "first-");
	assert_true(world_settle(w, SECONDS(10)));
	smarthost_heal(&w->port[P587]);
	for (int i = 0; i < 1000 && world_logged(w, "route-changed", "reason=return") == 0; i++) {
		world_burst(w, 20, "often-");
		world_run(w, SECONDS(5));
	}
	assert_int_equal(world_logged(w, "route-changed", "reason=return"), 1);
	assert_true(world_settle(w, SECONDS(10)));
	before = w->port[P465].ntaken;
	world_burst(w, 20, "back-");
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(w->port[P465].ntaken, before);
}

/* The old address still works, but the name has moved: within half a minute so does the mail. */
static void
a_name_that_moves_is_followed(void **state)
{
	struct world *w = *state;
	struct smarthost moved;

	smarthost_init(&moved, &w->net, "192.0.2.77:587", false);
	start_warm(w);
	twin_net_forget_host(&w->net, "smtp.twin.example");
	twin_net_host(&w->net, "smtp.twin.example", "192.0.2.77");
	world_run(w, MINUTES(2));		/* what is kept, and the idle session, are over */
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(20));
	assert_int_equal(moved.ntaken, 1);
	assert_int_equal(world_taken(w), 1);
	assert_int_equal(world_queued(w), 0);
	world_stop(w);
	smarthost_done(&moved);
}

/* All ports are down and rest; then the host gets another network. */
static void
a_changed_network_wakes_all_ports(void **state)
{
	struct world *w = *state;

	world_all(w, TWIN_REFUSE);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(1));
	world_all(w, TWIN_ACCEPT);
	relay_network_changed(w->relay, "route");
	assert_true(world_settle(w, SECONDS(2)));
	assert_int_equal(world_logged(w, "network-changed", "route changed"), 1);
}

/* It may come while the last one is being looked at: it waits its ten seconds, and is not lost. */
static void
changes_of_the_network_come_once_in_ten_seconds(void **state)
{
	struct world *w = *state;

	world_all(w, TWIN_REFUSE);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(1));
	for (int i = 0; i < 50; i++) {
		relay_network_changed(w->relay, "address");
		world_run(w, 100);
	}
	assert_int_equal(world_logged(w, "network-changed", ""), 1);
	world_all(w, TWIN_ACCEPT);
	for (int i = 0; i < 3; i++)
		w->relay->up[0].pool.not_before_ms[i] = now(w) + HOURS(1);	/* no session before */
	world_run(w, SECONDS(4));
	assert_int_equal(world_logged(w, "network-changed", ""), 1);
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(world_logged(w, "network-changed", ""), 2);
}

static void
a_changed_network_ends_idle_sessions(void **state)
{
	struct world *w = *state;
	unsigned before;

	start_warm(w);
	assert_int_equal(relay_sessions(w->relay, 0), 1);
	before = w->port[P587].quits;
	relay_network_changed(w->relay, "address");
	world_run(w, SECONDS(1));
	assert_int_equal(relay_sessions(w->relay, 0), 0);
	assert_in_range(w->port[P587].quits, before + 1, before + 2);	/* perhaps of a probe, too */
}

/* The pause for a name server that does not answer ends with the network it was met on. */
static void
a_changed_network_asks_for_names_again(void **state)
{
	struct world *w = *state;

	w->net.dns_down = true;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(30));
	world_run(w, 1 + relay_health(w->relay, 0)->account.until_ms - now(w));
	world_run(w, SECONDS(2));		/* a pause has just begun */
	w->net.dns_down = false;
	relay_network_changed(w->relay, "route");
	assert_true(world_settle(w, SECONDS(3)));
}

/* What was known last stands in, so that a name server that is away costs no mail its time. */
static void
name_server_down_costs_nothing_once_known(void **state)
{
	struct world *w = *state;

	start_warm(w);
	world_run(w, MINUTES(2));
	w->net.dns_down = true;
	w->net.resolve_ms = SECONDS(20);	/* and slow to say so */
	for (int i = 0; i < 20; i++) {
		char text[20];

		snprintf(text, sizeof(text), "down-%d.", i);
		world_mail(w, ALICE, BOB, text);
		assert_true(world_settle(w, SECONDS(3)));
		world_run(w, MINUTES(30));
	}
	assert_int_equal(world_logged(w, "name-kept", ""), 1);
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
	assert_int_equal(world_logged(w, "endpoint-down", ""), 0);
}

/* With mail that waits probes are never further apart than three minutes. */
static int64_t
next_probe(const struct world *w)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < PORTS; i++) {
		struct endpoint_view v;

		health_endpoint(relay_health(w->relay, 0), i, &v);
		if (v.last_probe_ms + MINUTES(3) < v.next_probe_ms)
			v.next_probe_ms = v.last_probe_ms + MINUTES(3);
		if (v.next_probe_ms < next)
			next = v.next_probe_ms;
	}
	return next;
}

/* Everything is down, and probes are far apart; the provider moves, and the name with it. */
static void
a_name_that_moves_ends_an_outage(void **state)
{
	struct world *w = *state;
	struct smarthost moved;

	smarthost_init(&moved, &w->net, "192.0.2.77:587", false);
	start_warm(w);
	world_run(w, MINUTES(2));		/* the idle session is over */
	world_all(w, TWIN_SILENT);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(2));
	assert_int_equal(world_queued(w), 1);
	while (next_probe(w) < now(w) + SECONDS(90))
		world_run(w, SECONDS(1));
	twin_net_forget_host(&w->net, "smtp.twin.example");
	twin_net_host(&w->net, "smtp.twin.example", "192.0.2.77");
	world_run(w, SECONDS(70));	/* asked for once a minute */
	assert_int_equal(world_logged(w, "name-changed", ""), 1);
	assert_int_equal(moved.ntaken, 1);
	world_stop(w);
	smarthost_done(&moved);
}

/* A provider that hands out one of many addresses each time is not probed for it. */
static void
a_name_that_turns_is_no_news(void **state)
{
	struct world *w = *state;
	struct smarthost other[PORTS];
	unsigned sessions = 0;

	smarthost_init(&other[P587], &w->net, "192.0.2.200:587", false);
	smarthost_init(&other[P465], &w->net, "192.0.2.200:465", true);
	smarthost_init(&other[P2525], &w->net, "192.0.2.200:2525", false);
	start_warm(w);
	for (int i = 0; i < 600; i++) {
		twin_net_forget_host(&w->net, "smtp.twin.example");
		twin_net_host(&w->net, "smtp.twin.example", i % 2 != 0 ? "192.0.2.1" : "192.0.2.200");
		if (i % 2 != 0)
			world_mail(w, ALICE, BOB, "turn.");
		world_run(w, MINUTES(1));
		if (i == 60)
			sessions = w->port[P2525].sessions + other[P2525].sessions;
	}
	assert_int_equal(world_logged(w, "name-changed", ""), 1);
	sessions = w->port[P2525].sessions + other[P2525].sessions - sessions;
	assert_in_range(sessions, 9, 9 * 5);		/* nine hours of calm probes */
	world_stop(w);
	for (size_t i = 0; i < PORTS; i++)
		smarthost_done(&other[i]);
}

/* The first address accepts and is mute; the other one works: no port is down for it. */
static void
one_dead_address_takes_no_port_down(void **state)
{
	struct world *w = *state;
	static const char *const dead[] = { "192.0.2.50:587", "192.0.2.50:465", "192.0.2.50:2525" };

	for (size_t i = 0; i < lengthof(dead); i++)
		twin_net_endpoint(&w->net, dead[i])->mode = TWIN_MUTE;
	twin_net_forget_host(&w->net, "smtp.twin.example");
	twin_net_host(&w->net, "smtp.twin.example", "192.0.2.50");
	twin_net_host(&w->net, "smtp.twin.example", "192.0.2.1");
	world_start(w);
	for (int i = 0; i < 48; i++) {
		world_mail(w, ALICE, BOB, "turn.");
		assert_true(world_settle(w, SECONDS(40)));
		world_run(w, MINUTES(15));
	}
	assert_int_equal(world_logged(w, "endpoint-down", ""), 0);
	/* When it was new to us. */
	assert_true(world_logged(w, "endpoint-degraded", "") <= PORTS);
	assert_true(world_logged(w, "probe", "class=no_banner") <= PORTS);
	assert_true(w->port[P587].ntaken > 24);
	/* It is not forgotten: now and then it has another chance. */
	assert_true(twin_net_endpoint(&w->net, dead[0])->accepted > 3);
}

static void
a_hiccup_does_not_take_a_lone_port_down(void **state)
{
	struct world *w = *state;

	w->conf.relay[0].nendpoint = 1;
	start_warm(w);
	world_run(w, MINUTES(2));
	smarthost_fault(&w->port[P587], (struct fault){ AT_GREETING, SAY, "421 4.3.2 not now", ALWAYS });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(3));
	assert_in_range(world_logged(w, "attempt-failed", "banner_4xx"), 2, 4);
	smarthost_heal(&w->port[P587]);
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(world_logged(w, "endpoint-down", ""), 0);
}

static void
both_families_are_tried(void **state)
{
	struct world *w = *state;

	twin_net_forget_host(&w->net, "smtp.twin.example");
	twin_net_host(&w->net, "smtp.twin.example", "2001:db8::1");
	twin_net_host(&w->net, "smtp.twin.example", "192.0.2.9");
	twin_net_host(&w->net, "smtp.twin.example", "192.0.2.1");
	twin_net_endpoint(&w->net, "[2001:db8::1]:587")->mode = TWIN_SILENT;
	twin_net_endpoint(&w->net, "[2001:db8::1]:465")->mode = TWIN_NO_ROUTE;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(2)));
	assert_int_equal(w->port[P587].ntaken, 1);
}

/* --- the account ------------------------------------------------------------------------ */

static void
refused_login_is_tried_once(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_AUTH, SAY,
	    "535 5.7.8 Authentication credentials invalid", ALWAYS });
	world_start(w);
	mail_many(w, 10, "login-");
	world_run(w, MINUTES(50));
	assert_int_equal(world_logins(w), 1);
	assert_int_equal(world_queued(w), 10);
	assert_int_equal(world_logged(w, "bounced", ""), 0);
	/* The operator mends it. */
	heal_everywhere(w);
	assert_int_equal(relay_unblock(w->relay, VIEW(""), NULL, NULL), 0);
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(count_many(w, 10, "login-"), 10);
}

static void
a_password_that_went_bad_is_tried_once(void **state)
{
	struct world *w = *state;
	unsigned before;

	world_start(w);
	world_burst(w, 20, "good-");
	assert_true(world_settle(w, SECONDS(20)));
	world_run(w, MINUTES(12));		/* all sessions are closed by now */
	before = world_logins(w);
	assert_true(before >= 2);
	fault_everywhere(w, (struct fault){ AT_AUTH, SAY, "535 5.7.8 expired", ALWAYS });
	world_burst(w, 20, "bad-");
	world_run(w, MINUTES(50));
	assert_int_equal(world_logins(w), before + 1);
	assert_int_equal(world_queued(w), 20);
}

static void
login_demanded_in_the_transaction_keeps_mail(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_MAIL, SAY,
	    "530 5.7.0 Authentication required", ALWAYS });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, HOURS(3));
	assert_int_equal(world_queued(w), 1);
	assert_int_equal(world_logged(w, "bounced", ""), 0);
}

static void
throttle_slows_down(void **state)
{
	struct world *w = *state;

	smarthost_fault(&w->port[P587], (struct fault){ AT_DOT, SAY,
	    "454 Throttling failure: Maximum sending rate exceeded.", 6 });
	world_start(w);
	mail_many(w, 20, "slow-");
	world_run(w, MINUTES(10));
	assert_int_equal(world_queued(w), 0);
	assert_int_equal(count_many(w, 20, "slow-"), 20);
	assert_int_equal(w->port[P587].ntaken, 20);	/* no other port */
	assert_int_equal(world_logged(w, "bounced", ""), 0);
}

static void
wait_politely(struct world *w, const char *reply)
{
	fault_everywhere(w, (struct fault){ AT_MAIL, SAY, reply, ALWAYS });
	world_start(w);
	world_burst(w, 50, "quota-");
	world_run(w, MINUTES(30));
	assert_true(world_logged(w, "deferred", "") <= 40);
	assert_int_equal(world_queued(w), 50);
}

static void
a_throttled_account_is_not_hammered(void **state)
{
	wait_politely(*state, "454 4.7.0 Throttling failure: Maximum sending rate exceeded.");
}

static void
a_used_up_account_is_not_hammered(void **state)
{
	wait_politely(*state, "454 4.7.0 Throttling failure: Daily message quota exceeded.");
}

static void
ports_that_greet_badly_are_not_hammered(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_GREETING, SAY, "421 4.3.2 not now", ALWAYS });
	world_start(w);
	world_burst(w, 50, "greet-");
	world_run(w, HOURS(1));
	assert_true(w->net.connects <= 200);
	heal_everywhere(w);
	assert_true(world_settle(w, MINUTES(10)));
	assert_int_equal(count_many(w, 50, "greet-"), 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(mail_arrives_by_the_first_port),
		T(sessions_are_reused),
		T(a_race_counts_as_a_probe),
		T(probes_are_polite),
		T(probes_keep_their_budget),
		T(big_messages_flow_in_bounded_memory),
		T(refused_first_port),
		T(filtered_first_port),
		T(mute_first_port),
		T(a_dead_port_wastes_one_attempt),
		T(two_dead_ports),
		T(every_fault_at_the_first_port),
		T(a_port_that_falls_silent_is_left_soon),
		T(a_lone_slow_port_gets_its_time),
		T(port_that_dies_under_traffic),
		T(port_that_died_gets_one_new_attempt),
		T(kept_connections_of_a_suspect_port_get_no_mail),
		T(a_lost_message_rests_a_moment),
		T(a_detour_is_told_once),
		T(detours_are_told_once_a_minute),
		T(a_detour_that_becomes_the_route),
		T(all_dead_for_two_hours),
		T(a_canary_ends_an_outage),
		T(name_server_down_keeps_mail),
		T(a_route_that_is_left_is_left_at_once),
		T(a_name_that_moves_is_followed),
		T(a_changed_network_wakes_all_ports),
		T(changes_of_the_network_come_once_in_ten_seconds),
		T(a_changed_network_ends_idle_sessions),
		T(a_changed_network_asks_for_names_again),
		T(name_server_down_costs_nothing_once_known),
		T(a_name_that_moves_ends_an_outage),
		T(a_name_that_turns_is_no_news),
		T(one_dead_address_takes_no_port_down),
		T(a_hiccup_does_not_take_a_lone_port_down),
		T(both_families_are_tried),
		T(refused_login_is_tried_once),
		T(a_password_that_went_bad_is_tried_once),
		T(login_demanded_in_the_transaction_keeps_mail),
		T(throttle_slows_down),
		T(a_throttled_account_is_not_hammered),
		T(a_used_up_account_is_not_hammered),
		T(ports_that_greet_badly_are_not_hammered),
	};

	return scenario_run(tests);
}
