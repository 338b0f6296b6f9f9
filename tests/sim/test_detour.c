/* SPDX-License-Identifier: BSD-2-Clause */
/* What people read while mail makes a detour, or waits for a reply; and how a detour ends. */
#include "sim/scenario.h"

#include "sim/asker.h"

#include "base/banned.h"

/* 587 cuts at MAIL, and a message goes by 465. */
static void
begin_detour(struct world *w)
{
	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, CUT, NULL, 1 });
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(w->port[P465].ntaken, 1);
}

static void
people_read_of_it(void **state)
{
	struct world *w = *state;

	begin_detour(w);
	assert_has(answer_to(w, "status"), "smtp.twin.example:465 (detour from 587)");
	assert_has(answer_to(w, "status --json"), "\"endpoint\":\"smtp.twin.example:465\",\"detour_from\":"
	    "\"smtp.twin.example:587\"");
	assert_has(answer_to(w, "ports"), " avoided ");
	assert_has(answer_to(w, "ports"), " detour ");
	assert_has(answer_to(w, "ports"), "the last attempt failed: the connection broke before the message was complete");
	assert_has(answer_to(w, "failover"), "detour");
	assert_has(answer_to(w, "failover"), "cut_before_dot");
	/* A probe has succeeded: it answers, and that is not enough. */
	world_run(w, SECONDS(20));
	assert_has(answer_to(w, "ports"), "answers, but mail failed there last: the connection broke");
	assert_has(answer_to(w, "ports --why 587"), "mail failed here last, so sessions make a detour over 465, and one "
	    "tries it here in ");
	assert_has(answer_to(w, "status"), "(detour from 587)");
}

static void
they_read_of_its_end(void **state)
{
	struct world *w = *state;

	begin_detour(w);
	world_run(w, MINUTES(3));
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(w->port[P587].ntaken, 2);
	assert_has(answer_to(w, "failover"), "detour-over");
	assert_null(strstr(answer_to(w, "status"), "detour"));
	assert_null(strstr(answer_to(w, "ports"), " avoided "));
}

/* The port that mail would take, and the one it took in its place, are dead: that is no detour. */
static void
what_is_down_is_said_to_be(void **state)
{
	struct world *w = *state;

	begin_detour(w);
	world_all(w, TWIN_REFUSE);
	twin_endpoint_reset(w->port[P465].ep);
	world_mail(w, ALICE, BOB, "hello-2.");
	world_run(w, MINUTES(3));
	assert_has(answer_to(w, "ports"), " down ");
	assert_null(strstr(answer_to(w, "ports"), " avoided "));
	assert_null(strstr(answer_to(w, "ports"), " detour "));
}

/* An alarm that holds over a reload is in the log once, and so is its end. */
static void
a_reload_logs_no_alarm_again(void **state)
{
	struct world *w = *state;

	w->conf.alarm_hold_ms = SECONDS(10);
	start_warm(w);
	world_all(w, TWIN_REFUSE);
	for (size_t i = 0; i < PORTS; i++)
		twin_endpoint_reset(w->port[i].ep);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(5));
	assert_int_equal(world_logged(w, "alarm", "alarm=relay-down"), 1);
	world_stop(w);
	w->again = true;
	world_start(w);
	world_run(w, MINUTES(5));
	assert_has(answer_to(w, "status"), "relay-down");
	assert_int_equal(world_logged(w, "alarm", "alarm=relay-down"), 1);
	/* Over while there is none: the next one has to say it. */
	world_stop(w);
	world_all(w, TWIN_ACCEPT);
	world_start(w);
	assert_true(world_settle(w, MINUTES(5)));
	world_run(w, MINUTES(1));
	assert_int_equal(world_logged(w, "alarm-over", "alarm=relay-down"), 1);
	/* Another daemon says it again. */
	world_all(w, TWIN_REFUSE);
	for (size_t i = 0; i < PORTS; i++)
		twin_endpoint_reset(w->port[i].ep);
	world_mail(w, ALICE, BOB, "hello-2.");
	world_run(w, MINUTES(5));
	assert_int_equal(world_logged(w, "alarm", "alarm=relay-down"), 2);
	world_stop(w);
	w->again = false;
	world_start(w);
	world_run(w, MINUTES(5));
	assert_int_equal(world_logged(w, "alarm", "alarm=relay-down"), 3);
}

/* What was opened for the detour does not keep mail from the port that is well again. */
static void
its_sessions_end_with_it(void **state)
{
	struct world *w = *state;
	unsigned taken, quits;

	w->conf.relay[0].idle_ms = HOURS(1);
	start_warm(w);
	world_run(w, MINUTES(1));
	w->port[P587].ep->mode = TWIN_REFUSE;
	twin_endpoint_reset(w->port[P587].ep);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(w->port[P465].ntaken, 1);
	quits = w->port[P465].quits;
	w->port[P587].ep->mode = TWIN_ACCEPT;
	world_run(w, SECONDS(10));		/* a probe shows it */
	assert_int_equal(w->port[P465].quits, quits + 1);
	assert_int_equal(world_logged(w, "detour-over", ""), 1);
	taken = w->port[P587].ntaken;
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(w->port[P587].ntaken, taken + 1);
}

/* The one that is being sent, those behind it, the relay and the port: all say what is awaited. */
static void
what_is_awaited_is_said(void **state)
{
	static const char awaited[] = "smtp.twin.example:587 has not answered mail for ";
	struct world *w = *state;

	w->conf.relay[0].nendpoint = 1;
	w->conf.relay[0].connections = 1;
	start_warm(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, MUTE, NULL, ALWAYS });
	world_mail(w, ALICE, BOB, "hello-1.");
	world_mail(w, ALICE, BOB, "hello-2.");
	world_run(w, SECONDS(10));
	assert_null(strstr(answer_to(w, "queue"), awaited));
	assert_has(answer_to(w, "queue"), "being sent now");
	world_run(w, SECONDS(10));
	assert_has(answer_to(w, "queue"), "being sent now; smtp.twin.example:587 has not answered mail for ");
	assert_has(answer_to(w, "queue"), "waits for its turn; smtp.twin.example:587 has not answered mail for ");
	assert_has(answer_to(w, "status"), awaited);
	assert_has(answer_to(w, "ports"), "a session waits for the reply to mail; works");
}

/* No port answers any more, and not all are down yet: mail waits, and it is said for what. */
static void
that_all_are_suspect_is_said(void **state)
{
	static const char none[] = "no port of smtp.twin.example is known to work: 587 ";
	struct world *w = *state;

	start_warm(w);
	world_run(w, SECONDS(40));		/* its session is closed */
	assert_null(strstr(answer_to(w, "status"), none));
	world_all(w, TWIN_SILENT);
	world_mail(w, ALICE, BOB, "hello-1.");
	for (int i = 0; i < 300 && strstr(answer_to(w, "status"), none) == NULL; i++)
		world_run(w, 100);
	assert_has(answer_to(w, "status"), none);
	assert_has(answer_to(w, "queue"), none);
	assert_has(answer_to(w, "queue"), ", suspect (filtered)");
	assert_int_equal(world_logged(w, "relay-down", ""), 0);
}

/* Mail went to the second relay, which fails as well: that it may leave by the first one again nobody knows. */
static void
an_alarm_outlasts_the_second_relay(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	start_warm(w);
	world_all(w, TWIN_REFUSE);
	for (size_t i = 0; i < PORTS; i++)
		twin_endpoint_reset(w->port[i].ep);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(5));
	assert_int_equal(world_logged(w, "alarm", "failover"), 1);
	w->backup.ep->mode = TWIN_REFUSE;
	twin_endpoint_reset(w->backup.ep);
	world_mail(w, ALICE, BOB, "hello-2.");
	world_run(w, HOURS(1));
	assert_int_equal(world_queued(w), 1);
	assert_int_equal(world_logged(w, "alarm-over", "failover"), 0);
}

/* "Since" is when it was raised, whatever was restarted meanwhile. */
static void
an_alarm_keeps_its_time(void **state)
{
	struct world *w = *state;
	char since[64];
	const char *at;

	start_warm(w);
	world_all(w, TWIN_REFUSE);
	for (size_t i = 0; i < PORTS; i++)
		twin_endpoint_reset(w->port[i].ep);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(5));
	at = strstr(answer_to(w, "status --json"), "\"alarm\":\"relay-down\",\"relay\":\"main\",\"since\":");
	assert_non_null(at);
	memcpy(since, at, sizeof(since) - 1);
	since[sizeof(since) - 1] = '\0';
	world_stop(w);
	world_run(w, MINUTES(5));
	world_start(w);
	world_run(w, MINUTES(5));
	assert_has(answer_to(w, "status --json"), since);
	/* It is over, and the next one is another one. */
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(10)));
	world_run(w, MINUTES(10));
	world_all(w, TWIN_REFUSE);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(5));
	at = strstr(answer_to(w, "status --json"), "\"alarm\":\"relay-down\",\"relay\":\"main\",\"since\":");
	assert_non_null(at);
	assert_int_not_equal(memcmp(at, since, sizeof(since) - 1), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(people_read_of_it),
		T(they_read_of_its_end),
		T(what_is_down_is_said_to_be),
		T(its_sessions_end_with_it),
		T(what_is_awaited_is_said),
		T(that_all_are_suspect_is_said),
		T(an_alarm_outlasts_the_second_relay),
		T(an_alarm_keeps_its_time),
		T(a_reload_logs_no_alarm_again),
	};

	return scenario_run(tests);
}
