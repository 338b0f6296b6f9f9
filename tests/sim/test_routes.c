/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two relays and three routes: every recipient gets the message once, over a relay of
 * his own route, and waits for no other's.
 */
#include <errno.h>
#include <stdio.h>

#include "relay/schedule.h"
#include "sim/scenario.h"

#include "base/banned.h"

#define MAIN	"x@main.example"	/* over main alone */
#define BACKUP	"y@backup.example"	/* over backup alone */
#define EITHER	"z@either.example"
#define ALL	MAIN " " BACKUP " " EITHER

static struct world *
three_routes(void **state)
{
	static char first[] = "first", second[] = "second", rest[] = "rest";
	static char to_main[] = "*@main.example", to_backup[] = "*@backup.example";
	struct world *w = *state;

	world_use_backup(w);
	w->conf.route[0] = (struct conf_route){ .name = first, .to = to_main, .relay = { 0 }, .nrelay = 1 };
	w->conf.route[1] = (struct conf_route){ .name = second, .to = to_backup, .relay = { 1 }, .nrelay = 1 };
	w->conf.route[2] = (struct conf_route){ .name = rest, .relay = { 0, 1 }, .nrelay = 2 };
	w->conf.nroute = 3;
	return w;
}

/* How often the text was taken there for this recipient. */
static unsigned
taken(const struct smarthost *h, const char *text, const char *rcpt)
{
	char spaced[100];
	unsigned n = 0;

	snprintf(spaced, sizeof(spaced), " %s ", rcpt);
	list_foreach(link, &h->taken) {
		const struct taken *t = list_entry(link, struct taken, link);

		n += strstr(t->rcpts, spaced) != NULL &&
		    view_search(buf_view(&t->text), view_str(text)) < buf_len(&t->text);
	}
	return n;
}

static unsigned
by_main(const struct world *w, const char *text, const char *rcpt)
{
	return taken(&w->port[P587], text, rcpt) + taken(&w->port[P465], text, rcpt) +
	    taken(&w->port[P2525], text, rcpt);
}

static unsigned
by_backup(const struct world *w, const char *text, const char *rcpt)
{
	return taken(&w->backup, text, rcpt);
}

/* The name of the file that holds the text, and where. */
static const char *
segment_with(struct world *w, const char *what, uint64_t *at)
{
	const char *name;

	for (size_t i = 0; (name = twin_fs_name(w->fs, "log", i)) != NULL; i++) {
		uint64_t size;
		const uint8_t *text = twin_fs_content(w->fs, name, &size);

		*at = view_search(view_of(text, size), view_str(what));
		if (*at < size)
			return name;
	}
	fail_msg("no file has %s", what);
	return NULL;
}

static void
main_is_gone(struct world *w)
{
	world_all(w, TWIN_REFUSE);
	for (size_t i = 0; i < PORTS; i++)
		twin_endpoint_cut(w->port[i].ep);
}

static void
backup_is_gone(struct world *w)
{
	w->backup.ep->mode = TWIN_REFUSE;
	twin_endpoint_cut(w->backup.ep);
}

/* All three have got it, once, and each from his own. */
static void
check_whole(const struct world *w, const char *text)
{
	assert_int_equal(by_main(w, text, MAIN), 1);
	assert_int_equal(by_backup(w, text, MAIN), 0);
	assert_int_equal(by_backup(w, text, BACKUP), 1);
	assert_int_equal(by_main(w, text, BACKUP), 0);
	assert_int_equal(by_main(w, text, EITHER) + by_backup(w, text, EITHER), 1);
}

static struct spool_message *
the_message(struct world *w)
{
	size_t pos = 0;

	return spool_next(relay_spool(w->relay), &pos);
}

/* --- each his own ------------------------------------------------------------------ */

static void
recipients_part(void **state)
{
	struct world *w = three_routes(state);

	world_start(w);
	world_mail(w, ALICE, ALL, "parted.");
	world_mail(w, ALICE, MAIN, "one.");
	world_mail(w, ALICE, BACKUP, "two.");
	world_mail(w, ALICE, EITHER, "three.");
	world_mail(w, ALICE, BACKUP " y2@BACKUP.example", "together.");
	assert_true(world_settle(w, MINUTES(1)));
	check_whole(w, "parted.");
	assert_int_equal(by_main(w, "parted.", EITHER), 1);
	assert_int_equal(by_main(w, "one.", MAIN), 1);
	assert_int_equal(by_backup(w, "two.", BACKUP), 1);
	assert_int_equal(by_main(w, "three.", EITHER), 1);
	assert_int_equal(by_backup(w, "together.", BACKUP), 1);
	assert_int_equal(by_backup(w, "together.", "y2@BACKUP.example"), 1);
	assert_int_equal(smarthost_count(&w->backup, "together."), 1);
	assert_int_equal(world_logged(w, "failover", ""), 0);
	assert_int_equal(world_logged(w, "deferred", ""), 0);
}

static void
senders_and_users_part(void **state)
{
	static char shop[] = "*@*.example.com", null[] = "<>", user[] = "www-data";
	struct world *w = three_routes(state);

	for (size_t i = 0; i < 2; i++) {
		w->conf.route[i].to = NULL;
		w->conf.route[i].relay[0] = 1;
	}
	w->conf.route[0].from = shop;
	w->conf.route[1].from = null;
	world_start(w);
	world_mail(w, "a@shop.example.com", BOB, "subdomain.");
	world_mail(w, "a@example.com", BOB, "domain.");
	world_mail(w, "", BOB, "null.");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(by_backup(w, "subdomain.", BOB), 1);
	assert_int_equal(by_main(w, "domain.", BOB), 1);
	assert_int_equal(by_backup(w, "null.", BOB), 1);

	/* Our own report has the null sender, and is told of without its envelope. */
	fault_everywhere(w, (struct fault){ AT_RCPT, SAY, "550 5.1.1 no such user", ALWAYS });
	world_mail(w, "a@example.net", BOB, "refused.");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(by_backup(w, "no such user", "a@example.net"), 1);

	world_stop(w);
	heal_everywhere(w);
	w->conf.route[0].from = NULL;
	w->conf.route[0].user = user;
	w->conf.route[0].uid = 33;	/* as world_mail() has it */
	world_start(w);
	world_mail(w, "a@example.net", BOB, "by user.");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(by_backup(w, "by user.", BOB), 1);
}

/* --- outages ------------------------------------------------------------------------ */

static void
one_route_is_out(void **state)
{
	struct world *w = three_routes(state);

	start_warm(w);
	main_is_gone(w);
	world_mail(w, ALICE, ALL, "split.");
	world_mail(w, ALICE, MAIN, "alone.");
	world_run(w, MINUTES(5));
	assert_int_equal(by_backup(w, "split.", BACKUP), 1);
	assert_int_equal(by_backup(w, "split.", EITHER), 1);
	assert_int_equal(world_queued(w), 2);
	assert_int_equal(world_logged(w, "failover", "route=rest from=main to=backup reason=no-port-usable"), 1);
	assert_int_equal(world_logged(w, "failover", ""), 1);
	world_run(w, HOURS(3));
	assert_int_equal(world_queued(w), 2);
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(10)));
	check_whole(w, "split.");
	assert_int_equal(by_main(w, "alone.", MAIN), 1);
	assert_int_equal(by_backup(w, "alone.", MAIN), 0);
	assert_int_equal(world_logged(w, "waits", "attempts=1"), 0);
}

/* The message was put in for main before that went out. */
static void
what_waits_for_a_route_leaves_it_when_it_goes_out(void **state)
{
	struct world *w = three_routes(state);
	char text[40];

	start_warm(w);
	w->backup.ep->mode = TWIN_REFUSE;
	twin_endpoint_cut(w->backup.ep);
	world_mail(w, ALICE, BACKUP, "warn.");
	world_run(w, MINUTES(5));
	main_is_gone(w);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "many-%02u.", i);
		world_mail(w, ALICE, ALL, text);
	}
	world_run(w, HOURS(1));
	assert_int_equal(world_queued(w), 21);
	w->backup.ep->mode = TWIN_ACCEPT;
	for (int i = 0; i < 600 && world_logged(w, "relay-up", "relay=backup") == 0; i++)
		world_run(w, SECONDS(1));
	world_run(w, SECONDS(5));	/* at once, not when it is looked at again anyway */
	for (unsigned i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "many-%02u.", i);
		assert_int_equal(by_backup(w, text, BACKUP), 1);
		assert_int_equal(by_backup(w, text, EITHER), 1);
	}
	world_all(w, TWIN_ACCEPT);
	assert_true(world_settle(w, MINUTES(10)));
	for (unsigned i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "many-%02u.", i);
		check_whole(w, text);
	}
}

/* Deferred for an hour on one route, it goes at once on the other when that is back. */
static void
a_route_that_is_back_does_not_wait_for_another(void **state)
{
	struct world *w = three_routes(state);

	w->conf.queue.retry_first_ms = HOURS(1);
	start_warm(w);
	main_is_gone(w);
	world_mail(w, ALICE, MAIN, "first.");
	world_run(w, MINUTES(5));
	smarthost_fault(&w->backup, (struct fault){ AT_RCPT, SAY, "451 4.3.0 later", 1 });
	world_mail(w, ALICE, MAIN " " BACKUP, "slow.");
	world_run(w, MINUTES(1));
	assert_int_equal(world_logged(w, "deferred", "code=451"), 1);
	world_all(w, TWIN_ACCEPT);
	world_run(w, MINUTES(10));
	assert_int_equal(by_main(w, "slow.", MAIN), 1);
	assert_int_equal(by_backup(w, "slow.", BACKUP), 0);
	assert_true(world_settle(w, HOURS(2)));
	assert_int_equal(by_backup(w, "slow.", BACKUP), 1);
	assert_int_equal(by_main(w, "slow.", MAIN), 1);
}

/* --- outcomes ----------------------------------------------------------------------- */

static void
one_report_for_all(void **state)
{
	struct world *w = three_routes(state);

	fault_everywhere(w, (struct fault){ AT_RCPT, SAY, "550 5.1.1 not here", ALWAYS, "main.example" });
	smarthost_fault(&w->backup, (struct fault){ AT_RCPT, SAY, "553 5.1.1 not there", ALWAYS, "backup.example" });
	world_start(w);
	world_mail(w, ALICE, ALL, "unwanted.");
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(world_logged(w, "bounced", ""), 2);
	assert_int_equal(world_logged(w, "reported", ""), 1);
	assert_int_equal(by_main(w, "unwanted.", EITHER), 1);
	assert_int_equal(by_main(w, "not here", ALICE), 1);
	assert_int_equal(by_main(w, "not there", ALICE), 1);
}

/* Nothing but the record knows of it after a crash. */
static void
a_crash_forgets_no_wait(void **state)
{
	struct world *w = three_routes(state);

	w->conf.queue.retry_first_ms = HOURS(1);
	start_warm(w);
	smarthost_fault(&w->backup, (struct fault){ AT_RCPT, SAY, "451 4.3.0 later", 1 });
	world_mail(w, ALICE, BACKUP, "wait.");
	fault_everywhere(w, (struct fault){ AT_DOT, TAKE_AND_CUT, NULL, 1 });
	world_mail(w, ALICE, MAIN, "perhaps.");
	world_run(w, SECONDS(10));
	heal_everywhere(w);
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, MINUTES(10));
	assert_int_equal(by_backup(w, "wait.", BACKUP), 0);
	assert_int_equal(by_main(w, "perhaps.", MAIN), 1);
	assert_true(world_settle(w, HOURS(2)));
	assert_int_equal(by_backup(w, "wait.", BACKUP), 1);
	assert_int_equal(by_main(w, "perhaps.", MAIN), 2);
}

static void
what_may_have_arrived_rests_alone(void **state)
{
	struct world *w = three_routes(state);

	w->conf.queue.retry_first_ms = MINUTES(2);
	start_warm(w);
	fault_everywhere(w, (struct fault){ AT_DOT, TAKE_AND_CUT, NULL, 1 });
	smarthost_fault(&w->backup, (struct fault){ AT_RCPT, SAY, "451 4.3.0 later", 1 });
	world_mail(w, ALICE, MAIN " " BACKUP, "doubt.");
	world_run(w, MINUTES(1));
	assert_int_equal(by_main(w, "doubt.", MAIN), 1);
	assert_int_equal(by_backup(w, "doubt.", BACKUP), 0);
	heal_everywhere(w);
	world_run(w, MINUTES(4));
	assert_int_equal(by_backup(w, "doubt.", BACKUP), 1);
	/* A restart still knows that it is in doubt. */
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, MINUTES(5));
	assert_int_equal(by_main(w, "doubt.", MAIN), 1);
	assert_true(world_settle(w, MINUTES(15)));
	assert_int_equal(by_main(w, "doubt.", MAIN), 2);
	assert_int_equal(by_backup(w, "doubt.", BACKUP), 1);
}

/* What is held for good, or reported, are those in doubt; the others get it first. */
static void
what_is_in_doubt_is_settled_last(void **state)
{
	struct world *w = three_routes(state);

	w->conf.queue.uncertain_then = CONF_UNCERTAIN_HOLD;
	w->conf.queue.retry_first_ms = HOURS(1);
	start_warm(w);
	fault_everywhere(w, (struct fault){ AT_DOT, TAKE_AND_CUT, NULL, 1, NULL, 0 });
	smarthost_fault(&w->backup, (struct fault){ AT_RCPT, SAY, "451 4.3.0 later", 1 });
	world_mail(w, ALICE, MAIN " " BACKUP, "decide.");
	world_run(w, MINUTES(30));
	heal_everywhere(w);
	assert_int_equal(by_main(w, "decide.", MAIN), 1);
	assert_int_equal(world_logged(w, "held", ""), 0);
	world_run(w, HOURS(2));
	assert_int_equal(by_backup(w, "decide.", BACKUP), 1);
	assert_int_equal(world_logged(w, "held", ""), 1);
	assert_int_equal(world_queued(w), 1);
	world_run(w, HOURS(5));
	assert_int_equal(by_main(w, "decide.", MAIN), 1);
	relay_hold(w->relay, the_message(w), false, NULL);
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(by_main(w, "decide.", MAIN), 2);
	assert_int_equal(by_backup(w, "decide.", BACKUP), 1);
}

static void
all_recipients_expire(void **state)
{
	struct world *w = three_routes(state);

	w->conf.queue.expire_ms = HOURS(12);
	start_warm(w);
	main_is_gone(w);
	backup_is_gone(w);
	world_mail(w, ALICE, MAIN " " BACKUP, "never.");
	world_run(w, HOURS(13));
	assert_int_equal(world_logged(w, "expired", "to=\"x@main.example\""), 1);
	assert_int_equal(world_logged(w, "expired", "to=\"y@backup.example\""), 1);
	assert_int_equal(world_logged(w, "reported", ""), 1);
}

/* --- restarts ----------------------------------------------------------------------- */

/* What was found waits until its envelope is read; then the oldest goes first, but for parallel sessions. */
static void
routes_after_a_crash(void **state)
{
	struct world *w = three_routes(state);
	long before = 0;
	char text[40];

	start_warm(w);
	main_is_gone(w);
	backup_is_gone(w);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "crash-%03u.", i);
		world_mail(w, ALICE, i % 4 == 0 ? ALL : i % 4 == 1 ? MAIN : i % 4 == 2 ? BACKUP : EITHER, text);
		world_run(w, SECONDS(5));
	}
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, MINUTES(1));
	world_all(w, TWIN_ACCEPT);
	w->backup.ep->mode = TWIN_ACCEPT;
	assert_true(world_settle(w, MINUTES(30)));
	for (unsigned i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "crash-%03u.", i);
		if (i % 4 == 0)
			check_whole(w, text);
		assert_int_equal(by_main(w, text, MAIN), i % 4 <= 1);
		assert_int_equal(by_backup(w, text, MAIN), 0);
		assert_int_equal(by_backup(w, text, BACKUP), i % 4 == 0 || i % 4 == 2);
		assert_int_equal(by_main(w, text, BACKUP), 0);
		assert_int_equal(by_main(w, text, EITHER) + by_backup(w, text, EITHER), i % 4 == 0 || i % 4 == 3);
	}
	/* The oldest first. */
	list_foreach(link, &w->backup.taken) {
		const struct taken *t = list_entry(link, struct taken, link);

		if (strstr(t->rcpts, BACKUP) == NULL)
			continue;
		assert_true(taken_number(t, VIEW("crash-")) > before - 8);
		before = taken_number(t, VIEW("crash-"));
	}
}

static void
a_reload_changes_the_way(void **state)
{
	struct world *w = three_routes(state);

	start_warm(w);
	main_is_gone(w);
	world_mail(w, ALICE, MAIN " " BACKUP, "rerouted.");
	world_run(w, MINUTES(5));
	assert_int_equal(by_backup(w, "rerouted.", BACKUP), 1);
	assert_int_equal(world_queued(w), 1);
	world_stop(w);
	w->conf.route[0].relay[0] = 1;
	world_start(w);
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(by_backup(w, "rerouted.", MAIN), 1);
	assert_int_equal(by_backup(w, "rerouted.", BACKUP), 1);
	/* And to one route for all. */
	world_all(w, TWIN_REFUSE);
	backup_is_gone(w);
	world_mail(w, ALICE, ALL, "last.");
	world_run(w, MINUTES(5));
	world_stop(w);
	w->conf.route[0] = w->conf.route[2];
	w->conf.nroute = 1;
	w->backup.ep->mode = TWIN_ACCEPT;
	world_start(w);
	assert_true(world_settle(w, MINUTES(20)));
	assert_int_equal(by_backup(w, "last.", MAIN), 1);
	assert_int_equal(smarthost_count(&w->backup, "last."), 1);
}

/* The message was deferred for all, and is due again some time after the start. */
static void
found_and_not_due(struct world *w, const char *text)
{
	const struct fault later = { AT_RCPT, SAY, "451 4.3.0 later", 2 };

	start_warm(w);
	smarthost_fault(&w->port[P587], later);
	smarthost_fault(&w->backup, later);
	world_mail(w, ALICE, ALL, text);
	world_run(w, SECONDS(10));
	assert_int_equal(world_logged(w, "deferred", "code=451"), 3);
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, SECONDS(5));
	assert_int_equal(world_queued(w), 1);
	smarthost_heal(&w->port[P587]);
	smarthost_heal(&w->backup);
}

/* How long a read error lasts does not matter; nothing is given out without its route. */
static void
envelopes_that_cannot_be_read_yet(void **state)
{
	struct world *w = three_routes(state);

	found_and_not_due(w, "patient.");
	w->fs->cold = true;
	twin_fs_fail(w->fs, TWIN_READ, 0, 3, EIO);
	assert_true(world_settle(w, HOURS(3)));
	assert_int_equal(world_logged(w, "unreadable", ""), 3);
	check_whole(w, "patient.");
}

/* Its time has come, and the disk is asked. */
static void
reading_begins(struct world *w)
{
	const struct spool_message *m = the_message(w);

	w->fs->cold = true;
	w->reader.stalled = true;
	for (int i = 0; i < 300 && heap_has(&m->due); i++)
		world_run(w, SECONDS(1));
	assert_false(heap_has(&m->due));
	assert_null(m->delivery);
}

static void
reading_goes_on(struct world *w)
{
	w->reader.stalled = false;
	twin_worker_kick(&w->reader);
}

/* What the administrator says while the disk is asked counts. */
static void
held_while_it_is_read(void **state)
{
	struct world *w = three_routes(state);
	struct spool_message *m;

	found_and_not_due(w, "stop.");
	m = the_message(w);
	reading_begins(w);
	relay_hold(w->relay, m, true, NULL);
	reading_goes_on(w);
	world_run(w, MINUTES(30));
	assert_int_equal(by_main(w, "stop.", MAIN) + by_backup(w, "stop.", BACKUP), 0);
	relay_hold(w->relay, m, false, NULL);
	assert_true(world_settle(w, MINUTES(1)));
	check_whole(w, "stop.");
}

/* The file of the message that was found is damaged: it alone is held. */
static void
a_damaged_envelope_holds_up_nobody(void **state)
{
	struct world *w = three_routes(state);
	const char *name;
	uint64_t at = 0;

	found_and_not_due(w, "broken.");
	name = segment_with(w, "broken.", &at);
	twin_fs_damage(w->fs, name, at);
	world_mail(w, ALICE, ALL, "sound.");
	world_run(w, MINUTES(30));
	assert_int_equal(world_logged(w, "damaged", ""), 1);
	assert_int_equal(world_queued(w), 1);
	assert_true((the_message(w)->flags & SPOOL_HELD) != 0);
	check_whole(w, "sound.");
	assert_int_equal(world_count(w, "broken.") + smarthost_count(&w->backup, "broken."), 0);
}

/* More recipients than a transaction takes, of two routes by turns. */
static void
portions_of_each_route(void **state)
{
	struct world *w = three_routes(state);
	struct buf rcpts;
	char one[40];

	buf_init(&rcpts, 10000);
	for (unsigned i = 0; i < 240; i++)
		assert_true(buf_addf(&rcpts, "%sr%03u@%s.example", i > 0 ? " " : "", i, i % 2 == 0 ? "main" : "backup"));
	world_start(w);
	world_mail(w, ALICE, buf_cstr(&rcpts), "portions.");
	assert_true(world_settle(w, MINUTES(2)));
	for (unsigned i = 0; i < 240; i++) {
		snprintf(one, sizeof(one), "r%03u@%s.example", i, i % 2 == 0 ? "main" : "backup");
		assert_int_equal(by_main(w, "portions.", one), i % 2 == 0);
		assert_int_equal(by_backup(w, "portions.", one), i % 2);
	}
	assert_int_equal(w->backup.ntaken, 3);		/* 50 at a time */
	buf_done(&rcpts);
}

/* --- the administrator --------------------------------------------------------------- */

static void
held_and_released(void **state)
{
	struct world *w = three_routes(state);

	start_warm(w);
	main_is_gone(w);
	backup_is_gone(w);
	world_mail(w, ALICE, ALL, "held.");
	world_run(w, MINUTES(5));
	relay_hold(w->relay, the_message(w), true, NULL);
	world_run(w, SECONDS(2));
	world_all(w, TWIN_ACCEPT);
	w->backup.ep->mode = TWIN_ACCEPT;
	world_crash(w, TWIN_KEEP_ALL);
	world_run(w, MINUTES(30));
	assert_int_equal(world_queued(w), 1);
	relay_hold(w->relay, the_message(w), false, NULL);
	assert_true(world_settle(w, MINUTES(1)));
	check_whole(w, "held.");
}

static unsigned
not_yet_read(struct world *w)
{
	struct spool_message *m;
	unsigned n = 0;

	for (size_t pos = 0; (m = spool_next(relay_spool(w->relay), &pos)) != NULL;)
		n += schedule_route(m) == ROUTE_UNKNOWN;
	return n;
}

/* However many are due, the loop has its turns: clients and sessions do not wait for all. */
static void
reading_leaves_room(void **state)
{
	struct world *w = three_routes(state);
	unsigned before;

	start_warm(w);
	main_is_gone(w);
	backup_is_gone(w);
	world_run(w, MINUTES(5));
	world_burst(w, 500, "room-");
	world_run(w, SECONDS(5));
	world_crash(w, TWIN_KEEP_ALL);
	for (int i = 0; i < 100 && (before = not_yet_read(w)) == 0; i++)
		world_run(w, 1);
	assert_true(before > 300);
	for (int i = 0; i < 5; i++) {
		unsigned after;

		world_run(w, 1);
		after = not_yet_read(w);
		assert_true(after < before && after + 2 * 64 >= before);
		before = after;
		if (before == 0)
			break;
	}
	world_run(w, SECONDS(2));
	assert_int_equal(not_yet_read(w), 0);
	assert_int_equal(world_queued(w), 500);
}

static void
removed_while_it_is_read(void **state)
{
	struct world *w = three_routes(state);
	struct err e;

	found_and_not_due(w, "gone.");
	reading_begins(w);
	assert_int_equal(relay_remove(w->relay, the_message(w), NULL, &e), 0);
	reading_goes_on(w);
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(by_main(w, "gone.", MAIN) + by_backup(w, "gone.", BACKUP), 0);
}

/* Then it is in the schedule again before its routes are known. */
static void
flushed_while_it_is_read(void **state)
{
	struct world *w = three_routes(state);

	found_and_not_due(w, "flushed.");
	reading_begins(w);
	relay_flush(w->relay);
	reading_goes_on(w);
	assert_true(world_settle(w, MINUTES(1)));
	check_whole(w, "flushed.");
}

/* --- anything -------------------------------------------------------------------------- */

static const char *
any_rcpts(struct world *w, char text[200], unsigned *set)
{
	static const char *const rcpt[] = { MAIN, BACKUP, EITHER };
	size_t n = 0;

	*set = 1 + (unsigned)rng_below(&w->rng, 7);
	for (size_t i = 0; i < 3; i++)
		if ((*set & (1u << i)) != 0)
			n += (size_t)snprintf(text + n, 200 - n, "%s%s", n > 0 ? " " : "", rcpt[i]);
	return text;
}

/* One thing that may happen to the relays or to us. */
static void
happens(struct world *w)
{
	static const struct fault later = { AT_RCPT, SAY, "451 4.3.0 later", 1 };
	static const struct fault cut = { AT_DATA, CUT, NULL, 1 };

	switch (rng_below(&w->rng, 8)) {
	case 0:
		main_is_gone(w);
		break;
	case 1:
		backup_is_gone(w);
		break;
	case 2:
		world_all(w, TWIN_ACCEPT);
		break;
	case 3:
		w->backup.ep->mode = TWIN_ACCEPT;
		break;
	case 4:
		smarthost_fault(&w->port[P587], later);
		break;
	case 5:
		smarthost_fault(&w->backup, rng_below(&w->rng, 2) == 0 ? later : cut);
		break;
	case 6:
		relay_flush(w->relay);
		break;
	default:
		world_stop(w);
		world_start(w);
		break;
	}
}

static void
check_any(const struct world *w, unsigned i, unsigned set)
{
	char text[40];

	snprintf(text, sizeof(text), "any-%03u.", i);
	assert_int_equal(by_main(w, text, MAIN), set & 1);
	assert_int_equal(by_backup(w, text, MAIN), 0);
	assert_int_equal(by_backup(w, text, BACKUP), (set >> 1) & 1);
	assert_int_equal(by_main(w, text, BACKUP), 0);
	assert_int_equal(by_main(w, text, EITHER) + by_backup(w, text, EITHER), (set >> 2) & 1);
}

#define PLAYS	8
#define MAILS	60

static void
whatever_happens(void **state)
{
	for (uint64_t seed = 0; seed < PLAYS; seed++) {
		struct world *w = scenario_new();
		unsigned set[MAILS];
		char rcpts[200], text[40];
		void *slot = w;

		(void)three_routes(&slot);
		rng_init(&w->rng, 4711 + seed);
		world_start(w);
		for (unsigned i = 0; i < MAILS; i++) {
			snprintf(text, sizeof(text), "any-%03u.", i);
			world_mail(w, ALICE, any_rcpts(w, rcpts, &set[i]), text);
			world_run(w, (int64_t)rng_below(&w->rng, MINUTES(3)));
			if (rng_below(&w->rng, 3) == 0)
				happens(w);
		}
		world_all(w, TWIN_ACCEPT);
		w->backup.ep->mode = TWIN_ACCEPT;
		if (!world_settle(w, HOURS(6)))
			fail_msg("seed %u: %u messages are left", (unsigned)seed, (unsigned)world_queued(w));
		for (unsigned i = 0; i < MAILS; i++)
			check_any(w, i, set[i]);
		scenario_free(w);
	}
}

/* After a restart a route goes on where it was, and no other one leaves its own way for that. */
static void
a_restart_resumes_each_route_alone(void **state)
{
	static char first[] = "first", rest[] = "rest", third[] = "third", nobody[] = "*@nobody.example";
	struct world *w = *state;

	world_use_backup(w);
	w->conf.relay[2] = w->conf.relay[0];
	w->conf.relay[2].name = third;
	w->conf.nrelay = 3;
	w->secrets = "secret\nother\nsecret\n";
	w->conf.route[0] = (struct conf_route){ .name = first, .to = nobody, .relay = { 2, 0 }, .nrelay = 2 };
	w->conf.route[1] = (struct conf_route){ .name = rest, .relay = { 1, 0 }, .nrelay = 2 };
	w->conf.nroute = 2;
	backup_is_gone(w);
	world_start(w);
	world_mail(w, ALICE, BOB, "one.");
	world_run(w, MINUTES(2));
	assert_int_equal(world_logged(w, "failover", "route=rest from=backup to=main"), 1);
	assert_int_equal(world_logged(w, "failover", "route=first"), 0);
	world_stop(w);
	world_start(w);
	world_run(w, MINUTES(2));
	assert_int_equal(world_logged(w, "failover", "route=rest"), 1);
	assert_int_equal(world_logged(w, "failover", "route=first"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(recipients_part),
		T(senders_and_users_part),
		T(one_route_is_out),
		T(a_restart_resumes_each_route_alone),
		T(what_waits_for_a_route_leaves_it_when_it_goes_out),
		T(a_route_that_is_back_does_not_wait_for_another),
		T(one_report_for_all),
		T(a_crash_forgets_no_wait),
		T(what_may_have_arrived_rests_alone),
		T(what_is_in_doubt_is_settled_last),
		T(all_recipients_expire),
		T(routes_after_a_crash),
		T(a_reload_changes_the_way),
		T(envelopes_that_cannot_be_read_yet),
		T(held_while_it_is_read),
		T(a_damaged_envelope_holds_up_nobody),
		T(portions_of_each_route),
		T(held_and_released),
		T(reading_leaves_room),
		T(removed_while_it_is_read),
		T(flushed_while_it_is_read),
		cmocka_unit_test(whatever_happens),
	};

	return scenario_run(tests);
}
