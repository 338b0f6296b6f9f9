/* SPDX-License-Identifier: BSD-2-Clause */
/* What an operator asks about ports and changes of the way, on a running relay with two providers. */
#include "sim/scenario.h"

#include <stdio.h>

#include "sim/asker.h"

#include "base/banned.h"

static void
cut_all(struct world *w)
{
	world_all(w, TWIN_REFUSE);
	for (size_t i = 0; i < PORTS; i++)
		twin_endpoint_cut(w->port[i].ep);
}

static void
heal_all(struct world *w)
{
	world_all(w, TWIN_ACCEPT);
	heal_everywhere(w);
}

/* In a session each: the first one races, the second one has a choice. */
static void
two_messages(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		world_mail(w, ALICE, BOB, "one.");
		assert_true(world_settle(w, SECONDS(10)));
		world_run(w, MINUTES(1));
	}
}

static void
changes_are_told_with_their_evidence(void **state)
{
	struct world *w = *state;
	const char *said;

	world_use_backup(w);
	world_start(w);
	two_messages(w);
	assert_has(answer_to(w, "failover"), "route-changed  main   none  587  race");
	assert_int_equal(world_logged(w, "route-changed", "from=none to=smtp.twin.example:587 reason=race "
	    "points_to=\"90: availability 84, quickness 95, stability 100, "
	    "preference 100\""), 1);
	cut_all(w);
	world_mail(w, ALICE, BOB, "two.");
	assert_true(world_settle(w, MINUTES(3)));
	said = answer_to(w, "failover --json");
	assert_has(said, "\"event\":\"failover\",\"relay\":null,\"route\":null,\"from\":\"main\",\"to\":\"backup\","
	    "\"reason\":\"no-port-usable\"");
	assert_has(said, "no port of smtp.twin.example is usable: 587 down (refused), 465 down (refused), "
	    "2525 down (refused)");
	world_all(w, TWIN_ACCEPT);
	world_run(w, MINUTES(20));
	said = answer_to(w, "failover --json --limit 1");
	assert_true(strstr(said, "\"reason\":\"usable-again\"") == NULL || strstr(said, "no-port-usable") == NULL);
	said = answer_to(w, "failover --json");
	assert_has(said, "\"from\":\"backup\",\"to\":\"main\",\"reason\":\"usable-again\"");
	/* The newest first. */
	assert_true(strstr(said, "usable-again") < strstr(said, "no-port-usable"));
}

static void
one_port_is_told_wholly(void **state)
{
	struct world *w = *state;
	const char *said;

	world_use_backup(w);
	world_start(w);
	two_messages(w);
	assert_has(answer_to(w, "ports --why 587"), "error port 587 is of several relays: say which one, RELAY:PORT; "
	    "there are main:587 main:465 main:2525 backup:587");
	assert_has(answer_to(w, "ports --why 465"), "\nstate:             up\n");
	said = answer_to(w, "ports --why main:587 --json");
	assert_has(said, "\"in_use\":true,");
	assert_has(said, "\"choice\":\"is the chosen one; stays: it leads 465 by ");
	assert_has(said, "\"by\":\"probe\",\"class\":\"ok\",\"then\":\"up\"");
	assert_has(said, "\"counts\":[{\"class\":\"ok\",\"probe\":");
	assert_has(answer_to(w, "ports --why 465/starttls"), "error no relay has a port ");
	assert_has(answer_to(w, "ports --why 465/implicit"), "\nchoice:            stands by: 587 is the chosen one");
	assert_has(answer_to(w, "ports --why other:587"), "error no relay has a port ");
	/* The words of the peer are in the events. */
	smarthost_fault(&w->port[P465], (struct fault){ AT_GREETING, SAY, "554 not \x1b[2J you", ALWAYS });
	world_run(w, MINUTES(30));
	assert_has(answer_to(w, "ports --why 465"), "banner_5xx");
	assert_has(answer_to(w, "ports --why 465"), "554 not ");
}

/* All ports accept and say nothing; that the name can't be asked for later takes nothing of that back. */
static void
what_all_ports_show_outlasts_the_name_server(void **state)
{
	static const char meaning[] = "every port takes the connection and none greets";
	struct world *w = *state;

	world_all(w, TWIN_MUTE);
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, MINUTES(10));
	assert_has(answer_to(w, "ports"), meaning);
	assert_int_equal(world_logged(w, "diagnosis", meaning), PORTS);
	w->net.dns_down = true;
	world_run(w, HOURS(26));		/* beyond the day for which an answer is kept */
	assert_true(world_logged(w, "probe", "class=dns_fail") > 0);
	assert_has(answer_to(w, "ports"), meaning);
	assert_int_equal(world_logged(w, "diagnosis", ""), PORTS);	/* once is enough */
	w->net.dns_down = false;
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(30)));
	world_run(w, MINUTES(30));
	assert_null(strstr(answer_to(w, "ports"), meaning));
}

/* One of two ports has another authority's certificate, and this host trusts it, too. */
static void
two_authorities_are_told(void **state)
{
	struct world *w = *state;

	w->port[P465].ep->issuer = "O=Box Inc, CN=inspection";
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	assert_true(world_settle(w, SECONDS(10)));
	world_run(w, MINUTES(5));
	assert_has(answer_to(w, "ports"), "its certificate is issued by O=Box Inc, CN=inspection, that of port 587 by "
	    TWIN_ISSUER ": interception on one of them?");
	/* And the other side of it; when it is over, nothing is said any more. */
	assert_has(answer_to(w, "ports"), "its certificate is issued by " TWIN_ISSUER ", that of port 465 by O=Box Inc");
	w->port[P465].ep->issuer = TWIN_ISSUER;
	world_run(w, HOURS(1));
	assert_null(strstr(answer_to(w, "ports"), "interception"));
}

/* Neither host's port for STARTTLS offers it, and both greet alike: one server answers for two. */
static void
a_proxy_that_greets_for_two_hosts_is_told(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	w->port[P587].no_starttls = w->port[P2525].no_starttls = w->backup.no_starttls = true;
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	assert_true(world_settle(w, MINUTES(1)));	/* by the port that begins with TLS */
	world_run(w, MINUTES(5));
	assert_has(answer_to(w, "ports"), "a transparent proxy: the same server greets for backup.twin.example (\"");
	assert_has(answer_to(w, "ports"), "a transparent proxy: the same server greets for smtp.twin.example (\"");
	assert_int_equal(world_logged(w, "diagnosis", "a transparent proxy"), 3);
}

/* 96 signs, of which the newest n are these. */
static void
assert_line(struct world *w, const char *signs)
{
	char line[PORT_SLOTS + 1];
	size_t n = strlen(signs);

	memset(line, '?', PORT_SLOTS - n);
	(void)snprintf(line + PORT_SLOTS - n, n + 1, "%s", signs);
	assert_has(answer_to(w, "ports"), line);
}

static void
the_day_is_a_line(void **state)
{
	struct world *w = *state;

	world_start(w);
	assert_line(w, ":");
	world_mail(w, ALICE, BOB, "one.");
	assert_true(world_settle(w, SECONDS(10)));
	/* To one second behind a quarter, so that what follows is in full ones. */
	world_run(w, MINUTES(15) - loop_now(&w->loop.loop) % MINUTES(15) + SECONDS(1));
	cut_all(w);
	world_mail(w, ALICE, BOB, "two.");
	world_run(w, MINUTES(30));
	assert_line(w, "+xxx");
	/* A clock that is set changes nothing of it. */
	w->loop.wall_ms += DAYS(40);
	world_run(w, MINUTES(15));
	w->loop.wall_ms -= DAYS(40);
	assert_line(w, "+xxxx");
	/* The host sleeps for an hour and a half before it was looked at in the fourth of them. */
	w->loop.mono_ms += MINUTES(90);
	w->loop.wall_ms += MINUTES(90);
	world_run(w, SECONDS(5));
	assert_has(answer_to(w, "ports"), "?+xxx??????");
	assert_has(answer_to(w, "ports"), "? unknown, a sign for the worst of 15 minutes, the newest right");
}

/* Where probes are rare, the minute's look fills the slots. */
static void
a_quiet_day_is_known(void **state)
{
	struct world *w = *state;
	char line[PORT_SLOTS + 1];

	w->conf.relay[0].quiet = true;
	world_start(w);
	world_run(w, HOURS(50));
	memset(line, '+', PORT_SLOTS);
	line[PORT_SLOTS] = '\0';
	assert_has(answer_to(w, "ports"), line);
}

/* "total" of failover, and what it is followed by. */
static void
assert_total(struct world *w, unsigned total)
{
	char words[40];

	(void)snprintf(words, sizeof(words), "],\"total\":%u,", total);
	assert_has(answer_to(w, "failover --json"), words);
}

static void
it_outlasts_a_restart(void **state)
{
	struct world *w = *state;

	world_start(w);
	two_messages(w);
	assert_total(w, 1);
	world_run(w, MINUTES(15) - loop_now(&w->loop.loop) % MINUTES(15) + SECONDS(1));
	cut_all(w);
	world_mail(w, ALICE, BOB, "two.");
	world_run(w, MINUTES(15));
	assert_line(w, "+xx");
	world_stop(w);
	w->loop.mono_ms += MINUTES(45);
	w->loop.wall_ms += MINUTES(45);
	world_all(w, TWIN_ACCEPT);
	world_start(w);
	world_run(w, SECONDS(10));
	assert_total(w, 4);
	assert_has(answer_to(w, "ports"), "?+xx??");
	assert_has(answer_to(w, "failover"), "main   none  587   race    -");
	assert_has(answer_to(w, "failover"), "main   2525  587   race    -        2525 unknown, ");
	/* A change is there soon, whatever comes then. */
	two_messages(w);
	assert_total(w, 4);
	world_crash(w, TWIN_KEEP_ALL);
	assert_total(w, 4);
	assert_has(answer_to(w, "ports"), "?+xx??");
}

/* What mail went over stays what it goes over, and if it does not the line says why. */
static void
a_restart_keeps_the_way(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	w->port[P587].ep->mode = TWIN_SILENT;
	world_start(w);
	two_messages(w);
	world_stop(w);
	w->port[P587].ep->mode = TWIN_ACCEPT;
	world_start(w);
	world_run(w, 100);
	assert_has(answer_to(w, "ports --why 465 --json"), "\"current\":true");
	two_messages(w);
	assert_int_equal(w->port[P465].ntaken, 4);
	assert_total(w, 1);
	/* All of its relay is dead: mail is with the other one, and stays there. */
	cut_all(w);
	world_mail(w, ALICE, BOB, "three.");
	assert_true(world_settle(w, MINUTES(3)));
	assert_int_equal(w->backup.ntaken, 1);
	assert_total(w, 5);
	assert_has(answer_to(w, "failover"), "main  backup  no-port-usable  refused  no port of smtp.twin.example is usable");
	world_stop(w);
	world_start(w);
	world_mail(w, ALICE, BOB, "four.");
	assert_true(world_settle(w, SECONDS(1)));
	assert_int_equal(w->backup.ntaken, 2);
	assert_total(w, 5);
	/* Back: one line, from where it was. */
	heal_all(w);
	assert_int_equal(relay_probe(w->relay, VIEW(""), NULL), 0);
	world_run(w, MINUTES(1));
	assert_has(answer_to(w, "failover --limit 1"), "backup  main  usable-again  -      the ports of smtp.twin.example: 587 ");
	world_mail(w, ALICE, BOB, "five.");
	assert_true(world_settle(w, SECONDS(1)));
	assert_int_equal(w->backup.ntaken, 2);
}

/* Nobody failed: the port of the run before is just not known to work. */
static void
a_restart_says_so(void **state)
{
	struct world *w = *state;

	w->port[P587].ep->mode = TWIN_REFUSE;
	world_start(w);
	two_messages(w);
	world_stop(w);
	w->port[P587].ep->mode = TWIN_ACCEPT;
	w->port[P465].ep->mode = TWIN_SILENT;
	world_start(w);
	world_run(w, SECONDS(12));
	two_messages(w);
	assert_has(answer_to(w, "failover --limit 1"), "main   465   587  restart  filtered  465 unknown and suspect, ");
}

/* --- alarms -------------------------------------------------------------------- */

/* Raised so often, over so often, all in all. */
static void
check_alarm(const char *file, int line, struct world *w, const char *alarm, unsigned raised, unsigned over)
{
	char words[80];

	(void)snprintf(words, sizeof(words), "alarm=%s ", alarm);
	if (world_logged(w, "alarm", words) == raised && world_logged(w, "alarm-over", words) == over)
		return;
	print_error("%s: raised %u times, over %u times\n", alarm, world_logged(w, "alarm", words),
	    world_logged(w, "alarm-over", words));
	_fail(file, line);
}
#define assert_alarm(w, alarm, raised, over) check_alarm(__FILE__, __LINE__, w, alarm, raised, over)

static void
an_outage_is_one_alarm(void **state)
{
	struct world *w = *state;

	start_warm(w);
	world_run(w, MINUTES(8));
	assert_int_equal(w->alarms_raised, 0);
	/* What is not so is told once, for whoever had raised it before. */
	assert_int_equal(w->alarms_over, ALARM_KIND_COUNT);
	cut_all(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, MINUTES(3));
	assert_alarm(w, "relay-down", 1, 0);
	assert_has(answer_to(w, "status --json"), "\"alarms\":[{\"alarm\":\"relay-down\",\"relay\":\"main\",\"since\":");
	assert_has(answer_to(w, "status"), "no port of smtp.twin.example is usable: 587 down (refused)");
	/* It comes back for less than the hold, and goes again: nobody is told. */
	heal_all(w);
	for (int i = 0; i < 60 && world_logged(w, "relay-up", "") == 0; i++)
		world_run(w, SECONDS(30));
	world_run(w, MINUTES(4));
	assert_alarm(w, "relay-down", 1, 0);
	cut_all(w);
	world_mail(w, ALICE, BOB, "two.");
	world_run(w, MINUTES(10));
	assert_alarm(w, "relay-down", 1, 0);
	heal_all(w);
	world_run(w, MINUTES(30));
	assert_alarm(w, "relay-down", 1, 1);
	assert_int_equal(w->alarms_raised, 1);
	assert_int_equal(w->alarms_over, ALARM_KIND_COUNT + 1);
	assert_has(answer_to(w, "status --json"), "\"alarms\":[]");
}

/* Ports that were not tried yet, or not since the network changed, are no cause and no end. */
static void
what_is_not_known_moves_nothing(void **state)
{
	struct world *w = *state;
	int64_t began = loop_now(&w->loop.loop);

	w->conf.alarm_hold_ms = SECONDS(10);
	world_all(w, TWIN_SILENT);
	world_start(w);
	world_run(w, SECONDS(5));
	assert_alarm(w, "relay-down", 0, 0);
	world_run(w, MINUTES(3));
	assert_alarm(w, "relay-down", 1, 0);
	assert_int_equal(relay_unblock(w->relay, VIEW(""), NULL, NULL), 0);
	world_run(w, SECONDS(20));
	assert_alarm(w, "relay-down", 1, 0);
	world_run(w, MINUTES(3));
	assert_alarm(w, "relay-down", 1, 0);
	/* And it ends by a timer of its own, not with the next look of the minute. */
	world_run(w, MINUTES(1) - (loop_now(&w->loop.loop) - began) % MINUTES(1) + SECONDS(1));
	world_all(w, TWIN_ACCEPT);
	assert_int_equal(relay_unblock(w->relay, VIEW(""), NULL, NULL), 0);
	world_run(w, SECONDS(30));
	assert_alarm(w, "relay-down", 1, 1);
}

/* It says what matters first, when it changes, and at most once a second. */
static void
the_line_for_systemctl_status(void **state)
{
	struct world *w = *state;
	unsigned before;

	world_use_backup(w);
	world_start(w);
	two_messages(w);
	world_run(w, MINUTES(2));
	assert_has(w->status, "0 messages queued; mail goes over main:587; main: 587 up, 465 up, 2525 up; backup: ");
	before = w->statuses;
	world_run(w, HOURS(3));
	assert_int_equal(w->statuses, before);
	cut_all(w);
	w->backup.ep->mode = TWIN_REFUSE;
	world_mail(w, ALICE, BOB, "two.");
	world_run(w, SECONDS(90));
	assert_has(w->status, "1 messages queued; no relay is usable; alarm: relay-down main");
	assert_in_range(w->statuses - before, 2, 90);
	w->backup.ep->mode = TWIN_ACCEPT;
	world_run(w, MINUTES(10));
	assert_has(w->status, "0 messages queued; mail goes over backup:587; alarm: relay-down main, ");
	assert_has(w->status, ", failover; main: 587 down");
}

static void
another_relay_in_use_is_an_alarm(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	world_start(w);
	two_messages(w);
	cut_all(w);
	world_mail(w, ALICE, BOB, "two.");
	world_run(w, MINUTES(3));
	assert_alarm(w, "failover", 1, 0);
	assert_has(answer_to(w, "status"), "mail goes to backup in place of main: no port of smtp.twin.example is usable");
	heal_all(w);
	world_run(w, MINUTES(40));
	assert_alarm(w, "failover", 1, 1);
	assert_alarm(w, "relay-down", 1, 1);
}

static void
a_refused_login_is_an_alarm(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_AUTH, SAY, "535 5.7.8 no", ALWAYS });
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, MINUTES(1));
	assert_alarm(w, "account-blocked", 1, 0);
	assert_alarm(w, "relay-down", 0, 0);
	heal_everywhere(w);
	assert_int_equal(relay_unblock(w->relay, VIEW(""), NULL, NULL), 0);
	world_run(w, MINUTES(10));
	assert_alarm(w, "account-blocked", 1, 1);
}

static void
a_used_up_quota_is_an_alarm(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_MAIL, SAY, "454 4.7.0 Daily message quota exceeded", ALWAYS });
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, MINUTES(1));
	assert_alarm(w, "account-exhausted", 1, 0);
	assert_alarm(w, "account-paused", 0, 0);
	heal_everywhere(w);
	assert_int_equal(relay_unblock(w->relay, VIEW(""), NULL, NULL), 0);
	world_run(w, MINUTES(10));
	assert_alarm(w, "account-exhausted", 1, 1);
}

static void
a_rest_is_an_alarm_if_it_is_long(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_AUTH, SAY, "454 4.7.0 later", ALWAYS });
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, MINUTES(1));
	assert_alarm(w, "account-paused", 1, 0);	/* 5 min */
	heal_everywhere(w);
	world_run(w, MINUTES(30));
	assert_alarm(w, "account-paused", 1, 1);
}

static void
a_short_rest_is_none(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_MAIL, SAY, "454 4.7.0 too many, slow down", 1 });
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, MINUTES(1));
	assert_int_equal(world_logged(w, "account-paused", ""), 1);	/* 30 s */
	world_run(w, MINUTES(10));
	assert_alarm(w, "account-paused", 0, 0);
}

static void
mail_that_waits_is_an_alarm(void **state)
{
	struct world *w = *state;

	cut_all(w);
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, MINUTES(14));
	assert_alarm(w, "queue-old", 0, 0);
	world_run(w, MINUTES(4));
	assert_alarm(w, "queue-old", 1, 0);
	assert_has(answer_to(w, "status"), "1 messages are queued, and one has waited for 1");
	heal_all(w);
	world_run(w, MINUTES(30));
	assert_int_equal(world_queued(w), 0);
	assert_alarm(w, "queue-old", 1, 1);
}

/* A message that the administrator holds does not wait for us. */
static void
held_mail_does_not_wait(void **state)
{
	struct world *w = *state;

	cut_all(w);
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	assert_has(answer_to(w, "hold all"), "held until release");
	world_run(w, MINUTES(40));
	assert_alarm(w, "queue-old", 0, 0);
}

/* The twin's certificates end with the year 2099. */
static void
a_certificate_that_expires_is_an_alarm(void **state)
{
	struct world *w = *state;

	w->loop.wall_ms = INT64_C(4102444800000) - DAYS(14) - MINUTES(30);
	start_warm(w);
	world_run(w, MINUTES(20));
	assert_alarm(w, "certificate-expires", 0, 0);
	world_run(w, MINUTES(20));
	assert_alarm(w, "certificate-expires", 1, 0);
	assert_has(answer_to(w, "status"), "expires on 2100-01-01");
}

static void
refused_mail_is_an_alarm(void **state)
{
	struct world *w = *state;

	w->conf.queue.messages_max = 5;
	world_all(w, TWIN_REFUSE);
	world_start(w);
	mail_many(w, 5, "full-");
	world_run(w, SECONDS(5));
	assert_alarm(w, "mail-refused", 1, 0);
	assert_has(answer_to(w, "status"), "new mail is refused for now: ");
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(5)));
	world_run(w, MINUTES(7));
	assert_alarm(w, "mail-refused", 1, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(changes_are_told_with_their_evidence),
		T(one_port_is_told_wholly),
		T(what_all_ports_show_outlasts_the_name_server),
		T(two_authorities_are_told),
		T(a_proxy_that_greets_for_two_hosts_is_told),
		T(the_day_is_a_line),
		T(a_quiet_day_is_known),
		T(it_outlasts_a_restart),
		T(a_restart_keeps_the_way),
		T(a_restart_says_so),
		T(an_outage_is_one_alarm),
		T(what_is_not_known_moves_nothing),
		T(the_line_for_systemctl_status),
		T(another_relay_in_use_is_an_alarm),
		T(a_refused_login_is_an_alarm),
		T(a_used_up_quota_is_an_alarm),
		T(a_rest_is_an_alarm_if_it_is_long),
		T(a_short_rest_is_none),
		T(mail_that_waits_is_an_alarm),
		T(held_mail_does_not_wait),
		T(a_certificate_that_expires_is_an_alarm),
		T(refused_mail_is_an_alarm),
	};

	return scenario_run(tests);
}
