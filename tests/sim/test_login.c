/* SPDX-License-Identifier: BSD-2-Clause */
/* A login that is refused is tried once, whatever happens to the process, its files and its clock. */
#include "sim/scenario.h"

#include <errno.h>
#include <stdio.h>

#include "relay/accounts.h"

#include "base/banned.h"

#define REFUSED_LOGIN ((struct fault){ AT_AUTH, SAY, "535 5.7.8 Authentication credentials invalid", ALWAYS })
#define NO_ANSWER ((struct fault){ AT_AUTH, MUTE, NULL, ALWAYS })

static const enum twin_keep keeps[] = { TWIN_KEEP_SYNCED, TWIN_KEEP_ALL, TWIN_KEEP_SOME };

static void
start_blocked(struct world *w)
{
	fault_everywhere(w, REFUSED_LOGIN);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(5));
	assert_int_equal(world_logins(w), 1);
	assert_int_equal(world_logged(w, "account-blocked", "relay=main"), 1);
}

/* Other mechanisms are offered, and not tried with the same password. */
static void
whatever_the_mechanism_one_refusal_blocks(void **state)
{
	static const char *const offers[] = { "SCRAM-SHA-256 PLAIN LOGIN", "SCRAM-SHA-1 CRAM-MD5 PLAIN",
		"CRAM-MD5 PLAIN LOGIN", "PLAIN LOGIN", "LOGIN" };

	for (size_t i = 0; i < lengthof(offers); i++) {
		struct world *w = scenario_new();
		char want[40];

		for (unsigned p = 0; p < PORTS; p++)
			w->port[p].mechanisms = offers[i];
		start_blocked(w);
		world_run(w, MINUTES(50));
		assert_int_equal(world_logins(w), 1);
		(void)snprintf(want, sizeof(want), "AUTH %s", offers[i]);
		*strchrnul(want + 5, ' ') = '\0';
		assert_non_null(strstr(w->port[P587].login, want));
		scenario_free(w);
	}
}

/* --- restarts ------------------------------------------------------------------------ */

static void
fifty_restarts_are_one_login(void **state)
{
	struct world *w = *state;

	start_blocked(w);
	for (unsigned i = 0; i < 50; i++) {
		if (i % 4 == 3) {
			world_stop(w);
			world_start(w);
		} else {
			world_crash(w, keeps[i % 4]);
		}
		world_run(w, (int64_t)rng_below(&w->rng, SECONDS(60)));
	}
	assert_int_equal(world_logins(w), 1);
	assert_int_equal(world_logged(w, "account-blocked", "detail=\"535"), 51);	/* each start says it */
	assert_int_equal(world_queued(w), 1);
}

/* The server takes its time with a refusal, and the process never lives to see it. */
static void
an_answer_that_nobody_sees_is_waited_for(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, NO_ANSWER);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	for (unsigned i = 0; i < 50; i++) {
		world_run(w, SECONDS(2));
		world_crash(w, keeps[i % lengthof(keeps)]);
	}
	/* At 0, 30 and 90 s. */
	assert_in_range(world_logins(w), 2, 3);
	heal_everywhere(w);
	assert_true(world_settle(w, MINUTES(5)));
	assert_int_equal(world_count(w, "hello-1."), 1);
	/* It has worked: one more kill in the middle of a login costs nothing. */
	fault_everywhere(w, NO_ANSWER);
	world_crash(w, TWIN_KEEP_SYNCED);
	world_run(w, SECONDS(2));
	heal_everywhere(w);
	world_crash(w, TWIN_KEEP_SYNCED);
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(5)));
}

/* An orderly stop waits for the answer to a login, so the next start goes on at once. */
static void
a_stop_near_a_login_costs_no_pause(void **state)
{
	struct world *w = *state;

	w->port[P587].think_ms = w->port[P465].think_ms = w->port[P2525].think_ms = 40;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	for (unsigned ms = 0; ms < 600; ms += 10) {
		world_run(w, ms);
		world_stop(w);
		world_start(w);
	}
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
	assert_true(world_settle(w, SECONDS(5)));
	assert_int_equal(world_count(w, "hello-1."), 1);
}

/*
 * The same with a slow disk and a password that has never worked, at each moment of its first login: what was
 * written down beforehand is taken back, and stands only for logins that went out.
 */
static void
a_stop_before_the_first_login_is_none(void **state)
{
	struct world *w = *state;
	char secret[20];

	world_start(w);
	world_run(w, SECONDS(5));		/* the key is kept */
	world_stop(w);
	w->secrets = secret;
	for (unsigned ms = 0; ms < 400; ms += 4) {
		snprintf(secret, sizeof(secret), "secret-%u\n", ms);
		world_start(w);
		w->reader.delay_ms = 17;
		world_mail(w, ALICE, BOB, "hello-2.");
		world_run(w, ms);
		world_stop(w);
		world_start(w);
		assert_true(world_settle(w, SECONDS(5)));
		world_stop(w);
	}
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
	world_start(w);
}

/* The operator restarts while the server still thinks about the password. */
static void
a_stop_in_the_middle_of_a_login_is_no_answer(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, NO_ANSWER);
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(2));
	assert_int_equal(world_logins(w), 1);
	world_stop(w);
	world_start(w);
	world_run(w, SECONDS(20));
	assert_int_equal(world_logins(w), 1);
}

/* What is on disk before each login is taken back after it. */
static void
logins_that_work_add_up_to_nothing(void **state)
{
	struct world *w = *state;

	world_start(w);
	for (unsigned i = 0; i < 10; i++) {
		char text[20];

		snprintf(text, sizeof(text), "run-%u.", i);
		world_mail(w, ALICE, BOB, text);
		assert_true(world_settle(w, SECONDS(5)));
		world_run(w, SECONDS(2));
		world_crash(w, keeps[i % lengthof(keeps)]);
	}
	assert_int_equal(world_logged(w, "account-paused", ""), 0);
}

/* After 1 h, 6 h, 24 h, each with its 10 %, and then daily, however often it is restarted meanwhile. */
static void
the_long_timer_counts_across_restarts(void **state)
{
	struct world *w = *state;
	unsigned logins = 1;
	int64_t at[4], begin;

	start_blocked(w);
	begin = w->loop.mono_ms;
	for (size_t i = 0; i < lengthof(at); i++) {
		while (world_logins(w) == logins && w->loop.mono_ms - begin < DAYS(4)) {
			world_run(w, MINUTES(20));
			world_crash(w, keeps[i % lengthof(keeps)]);
			world_run(w, SECONDS(30));
		}
		logins++;
		assert_int_equal(world_logins(w), logins);
		at[i] = w->loop.mono_ms - begin;
	}
	assert_in_range(at[0], MINUTES(50), MINUTES(90));
	assert_in_range(at[1] - at[0], MINUTES(320), MINUTES(420));
	assert_in_range(at[2] - at[1], HOURS(21), HOURS(27));
	assert_in_range(at[3] - at[2], HOURS(21), HOURS(27));
}

static void
a_pause_is_kept(void **state)
{
	struct world *w = *state;

	fault_everywhere(w, (struct fault){ AT_AUTH, SAY, "454 4.7.0 Too many logins", ALWAYS });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	for (unsigned i = 0; i < 20; i++) {
		world_run(w, SECONDS(10));
		world_crash(w, keeps[i % lengthof(keeps)]);
	}
	assert_int_equal(world_logins(w), 1);
	heal_everywhere(w);
	assert_true(world_settle(w, MINUTES(4)));
}

static void
a_used_up_quota_is_kept(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	fault_everywhere(w, (struct fault){ AT_MAIL, SAY, "454 4.7.0 Daily message quota exceeded", ALWAYS });
	world_start(w);
	mail_many(w, 3, "over-");
	assert_true(world_settle(w, MINUTES(1)));
	heal_everywhere(w);
	world_run(w, SECONDS(5));		/* outcomes are synced */
	world_crash(w, TWIN_KEEP_SYNCED);
	world_run(w, SECONDS(5));
	mail_many(w, 3, "next-");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(w->backup.ntaken, 6);
	world_run(w, HOURS(17));
	mail_many(w, 3, "after-");
	assert_true(world_settle(w, MINUTES(1)));
	assert_int_equal(w->backup.ntaken, 6);
	assert_int_equal(count_many(w, 3, "after-"), 3);
}

/* --- clocks ---------------------------------------------------------------------------- */

/* Started with that clock, relay waits for its hour, and not for years. */
static void
wait_with_clock(struct world *w, int64_t wall_ms)
{
	unsigned before = world_logins(w);

	world_stop(w);
	w->loop.wall_ms = wall_ms;
	world_start(w);
	world_run(w, MINUTES(40));
	assert_int_equal(world_logins(w), before);
	world_run(w, MINUTES(30));
	assert_int_equal(world_logins(w), before + 1);
}

static void
a_boot_in_1970(void **state)
{
	struct world *w = *state;

	start_blocked(w);
	wait_with_clock(w, 7000);
}

static void
ten_years_ahead(void **state)
{
	struct world *w = *state;

	start_blocked(w);
	wait_with_clock(w, w->loop.wall_ms + DAYS(3650));
}

static void
ten_years_back(void **state)
{
	struct world *w = *state;

	start_blocked(w);
	wait_with_clock(w, w->loop.wall_ms - DAYS(3650));
}

/* A host without a clock of its own: each boot begins in 1970 and is put right a minute later. */
static void
a_host_that_always_boots_in_1970(void **state)
{
	struct world *w = *state;
	int64_t lived = 0;

	start_blocked(w);
	for (unsigned i = 0; i < 20; i++) {
		int64_t right = w->loop.wall_ms + MINUTES(1);

		world_stop(w);
		w->loop.wall_ms = 7000;
		world_start(w);
		world_run(w, MINUTES(1));
		w->loop.wall_ms = right;
		world_run(w, MINUTES(4));
		lived += MINUTES(5);
		if (lived < MINUTES(50))
			assert_int_equal(world_logins(w), 1);
	}
	assert_int_equal(world_logins(w), 2);		/* 100 min: its hour is over */
}

/* Nobody puts its clock right, and power fails every 15 minutes: 10 of them count. */
static void
a_host_without_a_clock(void **state)
{
	struct world *w = *state;

	start_blocked(w);
	for (unsigned i = 0; i < 9; i++) {
		w->loop.wall_ms = 7000;
		world_crash(w, TWIN_KEEP_SYNCED);
		world_run(w, MINUTES(15));
		if (i < 3)
			assert_int_equal(world_logins(w), 1);
	}
	assert_int_equal(world_logins(w), 2);
}

/* --- what ends a block -------------------------------------------------------------------- */

static void
other_credentials_are_tried_at_once(void **state)
{
	struct world *w = *state;

	start_blocked(w);
	world_stop(w);			/* a reload is a new process, too */
	world_start(w);
	world_run(w, MINUTES(1));
	assert_int_equal(world_logins(w), 1);		/* the same secret: nothing has changed */
	world_stop(w);
	w->secrets = "better\n";
	heal_everywhere(w);
	world_start(w);
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(world_logged(w, "account-changed", "relay main"), 1);
	/* Of another user or host nothing is known either. */
	world_stop(w);
	w->secrets = "secret\n";
	fault_everywhere(w, REFUSED_LOGIN);
	world_start(w);
	world_run(w, SECONDS(10));
	assert_int_equal(world_logged(w, "account-blocked", ""), 3);
	world_stop(w);
	heal_everywhere(w);
	w->conf.relay[0].user = w->conf.hostname;
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(10)));
}

static void
unblock_is_for_one_relay_or_all(void **state)
{
	struct world *w = *state;
	struct buf names;
	struct err e;

	buf_init(&names, 200);
	world_use_backup(w);
	smarthost_fault(&w->backup, REFUSED_LOGIN);
	start_blocked(w);
	world_run(w, SECONDS(10));
	assert_int_equal(w->backup.logins, 1);
	assert_int_equal(relay_unblock(w->relay, VIEW("other"), &names, &e), -1);
	assert_non_null(strstr(e.text, "other"));
	assert_int_equal(relay_unblock(w->relay, VIEW("backup"), &names, &e), 0);
	assert_true(view_eq(buf_view(&names), VIEW("backup")));
	buf_clear(&names);
	world_run(w, SECONDS(10));
	assert_int_equal(world_logins(w), 1);
	assert_int_equal(w->backup.logins, 2);
	heal_everywhere(w);
	assert_int_equal(relay_unblock(w->relay, VIEW(""), &names, &e), 0);
	assert_true(view_eq(buf_view(&names), VIEW("main, backup")));
	buf_done(&names);
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(w->backup.logins, 3);
	world_crash(w, TWIN_KEEP_SYNCED);		/* and main stays unblocked */
	world_mail(w, ALICE, BOB, "hello-2.");
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(world_count(w, "hello-2."), 1);
}

/* --- one refusal, many sessions ------------------------------------------------------------ */

/* Logins run side by side when one has just worked; the first refusal ends them all. */
static void
logins_side_by_side_end_with_the_first_refusal(void **state)
{
	struct world *w = *state;
	unsigned before;

	start_warm(w);
	world_run(w, SECONDS(40));		/* its session is closed */
	before = world_logins(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_AUTH, MUTE, NULL, 3 });
	smarthost_fault(&w->port[P587], REFUSED_LOGIN);
	world_burst(w, 20, "many-");
	world_run(w, SECONDS(1));
	/* Those that were on their way can't be called back; none of them is waited for. */
	assert_int_equal(world_logins(w), before + 4);
	assert_true(list_is_empty(&w->port[P587].conns));
	world_run(w, MINUTES(50));
	assert_int_equal(world_logins(w), before + 4);
	assert_int_equal(world_logged(w, "account-blocked", ""), 1);
	assert_int_equal(world_queued(w), 20);
}

/* A second relay with the login of the first, and nobody's way. */
static void
add_the_same(struct world *w)
{
	static char other[] = "same";

	w->conf.relay[1] = w->conf.relay[0];
	w->conf.relay[1].name = other;
	w->conf.nrelay = 2;
	w->secrets = "secret\nsecret\n";
}

/* Two relays of the configuration that are the same account: one login. */
static void
relays_with_the_same_credentials_share_a_block(void **state)
{
	struct world *w = *state;
	struct buf names;
	struct err e;

	add_the_same(w);
	start_blocked(w);
	world_run(w, MINUTES(40));
	assert_int_equal(world_logins(w), 1);
	assert_int_equal(world_logged(w, "account-blocked", "relay=same"), 1);
	/* And its end: one that stayed blocked would block the other again. */
	buf_init(&names, 200);
	heal_everywhere(w);
	assert_int_equal(relay_unblock(w->relay, VIEW("same"), &names, &e), 0);
	assert_true(view_eq(buf_view(&names), VIEW("same, and main, which has the same login")));
	buf_done(&names);
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(world_logged(w, "account-available", "relay=main"), 1);
	assert_int_equal(world_logged(w, "account-available", "relay=same"), 1);
	assert_int_equal(world_logged(w, "account-available", "class="), 0);
}

/* What is used up at one relay need not be at the other, though they take the same login. */
static void
a_quota_is_not_shared(void **state)
{
	struct world *w = *state;

	add_the_same(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_MAIL, SAY, "454 4.7.0 Daily message quota exceeded", 1 });
	world_start(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(30));
	assert_int_equal(world_logged(w, "account-exhausted", "relay=main"), 1);
	assert_int_equal(world_logged(w, "account-exhausted", ""), 1);
}

/* --- files ----------------------------------------------------------------------------------- */

/* Only those of this test's subject. */
static int
no_accounts(void *arg, enum twin_op op, const char *name)
{
	return name != NULL && strncmp(name, "accounts", 8) == 0 && op != TWIN_UNLINK ? ENOSPC : 0;
}

static void
mail_flows_without_the_file(void **state)
{
	struct world *w = *state;
	unsigned tried;

	w->fs->sicken = no_accounts;
	world_start(w);
	mail_many(w, 20, "no-file-");
	assert_true(world_settle(w, SECONDS(30)));
	assert_int_equal(count_many(w, 20, "no-file-"), 20);
	assert_int_equal(world_logged(w, "accounts-not-kept", ""), 1);
	assert_int_equal(world_logged(w, "accounts-forgotten", "spool/accounts"), 2);	/* both can't be opened */
	/* A block holds in memory all the same, and is written as soon as that works. */
	world_run(w, MINUTES(5));
	fault_everywhere(w, REFUSED_LOGIN);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, MINUTES(5));
	assert_int_equal(world_logged(w, "account-blocked", ""), 1);
	assert_int_equal(world_logged(w, "accounts-not-kept", ""), 1);
	w->fs->sicken = NULL;
	world_run(w, MINUTES(2));
	tried = world_logins(w);
	world_crash(w, TWIN_KEEP_SYNCED);
	world_run(w, MINUTES(5));
	assert_int_equal(world_logged(w, "account-blocked", ""), 2);
	assert_int_equal(world_logins(w), tried);
}

/* Two relays ask at once while the key can't be written: it is not tried again without end, and a stop ends. */
static void
a_key_that_cannot_be_written_lets_relay_end(void **state)
{
	struct world *w = *state;

	world_use_backup(w);
	w->fs->sicken = no_accounts;
	w->reader.delay_ms = 100;
	world_start(w);
	world_run(w, SECONDS(30));
	assert_int_equal(world_logged(w, "accounts-not-kept", ""), 1);
	world_stop(w);
}

static int
no_new_accounts(void *arg, enum twin_op op, const char *name)
{
	return name != NULL && strcmp(name, "accounts.new") == 0 && op == TWIN_CREATE ? ENOSPC : 0;
}

/* The disk is full just when the login is refused: it is written down as soon as there is room. */
static void
what_could_not_be_written_is_written_later(void **state)
{
	struct world *w = *state;
	unsigned tried;

	start_warm(w);
	world_run(w, SECONDS(40));		/* its session is closed */
	w->fs->sicken = no_new_accounts;
	fault_everywhere(w, REFUSED_LOGIN);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, SECONDS(30));
	assert_int_equal(world_logged(w, "account-blocked", ""), 1);
	assert_int_equal(world_logged(w, "accounts-not-kept", ""), 1);
	w->fs->sicken = NULL;
	world_run(w, MINUTES(2));
	tried = world_logins(w);
	world_crash(w, TWIN_KEEP_SYNCED);
	world_run(w, MINUTES(5));
	assert_int_equal(world_logins(w), tried);
}

/* Damaged, cut, of a later version, without its key: said in words, and mail flows. */
static void
start_with_bad_file(struct world *w, const char *name, struct view content, const char *word)
{
	unsigned said = world_logged(w, "accounts-forgotten", word);
	struct err e;

	world_stop(w);
	assert_int_equal(fs_replace(&w->fs->fs, "", name, content, &e), 0);
	heal_everywhere(w);
	world_start(w);
	assert_int_equal(world_logged(w, "accounts-forgotten", word), said + 1);
	assert_true(world_settle(w, SECONDS(10)));
	/* The file is a good one again. */
	fault_everywhere(w, REFUSED_LOGIN);
	world_run(w, MINUTES(1));		/* sessions are closed */
	world_mail(w, ALICE, BOB, "again.");
	world_run(w, SECONDS(5));
	world_crash(w, TWIN_KEEP_SYNCED);
	assert_int_equal(world_logged(w, "accounts-forgotten", word), said + 1);
	said = world_logins(w);
	world_run(w, MINUTES(1));
	assert_int_equal(world_logins(w), said);
}

static void
bad_files_are_told_and_forgotten(void **state)
{
	struct world *w = *state;
	uint8_t text[ACCOUNTS_TEXT_MAX];
	const uint8_t *there;
	uint64_t size;

	start_blocked(w);
	start_with_bad_file(w, "accounts", VIEW("posthouse-accounts 9\nfrom: the future\n"), "another version");
	start_with_bad_file(w, "accounts", VIEW(""), "damaged");
	there = twin_fs_content(w->fs, "accounts", &size);
	assert_non_null(there);
	assert_true(size <= sizeof(text));
	memcpy(text, there, size);
	text[size / 2] ^= 1;
	start_with_bad_file(w, "accounts", view_of(text, size), "damaged");
	start_with_bad_file(w, "accounts.key", VIEW("short"), "accounts.key: it is damaged");
	world_stop(w);
	assert_int_equal(fs_unlink(&w->fs->fs, "accounts.key", NULL), 0);
	heal_everywhere(w);
	world_start(w);
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(world_logged(w, "accounts-forgotten", "its key accounts.key is gone"), 2);
	world_stop(w);
	assert_int_equal(fs_unlink(&w->fs->fs, "accounts", NULL), 0);
	world_start(w);
	world_mail(w, ALICE, BOB, "last.");
	assert_true(world_settle(w, SECONDS(10)));
	assert_int_equal(world_logged(w, "accounts-forgotten", "spool/accounts: "), 6);
}

/* A secret is in neither file, nor is what it could be looked up by. */
static void
no_secret_is_in_the_files(void **state)
{
	struct world *w = *state;
	uint64_t size, key_size;
	const uint8_t *text, *key;

	start_blocked(w);
	text = twin_fs_content(w->fs, "accounts", &size);
	key = twin_fs_content(w->fs, "accounts.key", &key_size);
	assert_non_null(text);
	assert_non_null(key);
	assert_int_equal(key_size, 65);
	assert_true(view_search(view_of(text, size), VIEW("secret")) == size);
	assert_true(view_search(view_of(text, size), VIEW("state: blocked")) < size);
	assert_true(view_search(view_of(text, size), view_of(key, 64)) == size);
}

/* The key is on disk before the first file that is made with it, the file before the login. */
static void
the_login_waits_for_the_disk(void **state)
{
	struct world *w = *state;

	world_start(w);
	w->reader.stalled = true;
	world_run(w, SECONDS(20));
	assert_int_equal(world_logins(w), 0);
	assert_false(twin_fs_has(w->fs, "accounts"));
	w->reader.delay_ms = 100;		/* each of the two takes its time */
	w->reader.stalled = false;
	twin_worker_kick(&w->reader);
	for (unsigned ms = 0; ms < 2000 && world_logins(w) == 0; ms++)
		world_run(w, 1);
	assert_int_equal(world_logins(w), 1);
	assert_true(twin_fs_has(w->fs, "accounts") && twin_fs_has(w->fs, "accounts.key"));
}

/* One that has worked here is not written down before the next: that one waits for no disk. */
static void
a_login_that_has_worked_waits_for_no_disk(void **state)
{
	struct world *w = *state;
	unsigned before;

	start_warm(w);
	world_run(w, MINUTES(20));
	before = world_logins(w);
	world_mail(w, ALICE, BOB, "hello-1.");
	world_run(w, 1);
	w->reader.stalled = true;
	world_run(w, SECONDS(2));
	assert_int_equal(world_logins(w), before + 1);
	w->reader.stalled = false;
	twin_worker_kick(&w->reader);
	assert_true(world_settle(w, SECONDS(5)));
}

/* Two relays begin while the disk is slow: the second does not wait for what becomes of the first one's login. */
static void
a_login_that_asked_meanwhile_is_written_next(void **state)
{
	struct world *w = *state;
	unsigned before;

	world_use_backup(w);
	world_start(w);
	world_run(w, SECONDS(30));
	world_stop(w);
	before = w->backup.logins;
	assert_true(before > 0);
	fault_everywhere(w, (struct fault){ AT_AUTH, MUTE, NULL, ALWAYS });
	world_start(w);
	w->reader.stalled = true;
	world_run(w, SECONDS(20));
	assert_int_equal(w->backup.logins, before);
	w->reader.stalled = false;
	twin_worker_kick(&w->reader);
	world_run(w, SECONDS(2));
	assert_true(w->backup.logins > before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_the_mechanism_one_refusal_blocks),
		T(fifty_restarts_are_one_login),
		T(an_answer_that_nobody_sees_is_waited_for),
		T(a_stop_near_a_login_costs_no_pause),
		T(a_stop_before_the_first_login_is_none),
		T(a_stop_in_the_middle_of_a_login_is_no_answer),
		T(logins_that_work_add_up_to_nothing),
		T(the_long_timer_counts_across_restarts),
		T(a_pause_is_kept),
		T(a_used_up_quota_is_kept),
		T(a_boot_in_1970),
		T(ten_years_ahead),
		T(ten_years_back),
		T(a_host_that_always_boots_in_1970),
		T(a_host_without_a_clock),
		T(other_credentials_are_tried_at_once),
		T(unblock_is_for_one_relay_or_all),
		T(logins_side_by_side_end_with_the_first_refusal),
		T(relays_with_the_same_credentials_share_a_block),
		T(a_quota_is_not_shared),
		T(mail_flows_without_the_file),
		T(a_key_that_cannot_be_written_lets_relay_end),
		T(what_could_not_be_written_is_written_later),
		T(bad_files_are_told_and_forgotten),
		T(no_secret_is_in_the_files),
		T(the_login_waits_for_the_disk),
		T(a_login_that_has_worked_waits_for_no_disk),
		T(a_login_that_asked_meanwhile_is_written_next),
	};

	return scenario_run(tests);
}
