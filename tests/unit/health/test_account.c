/* SPDX-License-Identifier: BSD-2-Clause */
/* The account of doc/health.md: states, what goes to another relay for it, advice. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "health/health_impl.h"
#include "unit/health/health_help.h"

#include "base/banned.h"

#define NOON	INT64_C(1795348800000)		/* 2026-11-22T12:00:00Z */

static struct account_view
account(const struct fixture *f)
{
	struct account_view v;

	health_account(f->h, f->now, &v);
	return v;
}

static void
say(struct fixture *f, enum health_class class, const char *detail)
{
	struct health_sample s = { .class = class, .source = SAMPLE_DELIVERY, .ready_ms = -1,
		.detail = detail, .wall_ms = NOON };

	health_note(f->h, 0, &s, f->now);
}

/* --- states -------------------------------------------------------------- */

#define AVL ACCOUNT_AVAILABLE
#define PAU ACCOUNT_PAUSED
#define EXH ACCOUNT_EXHAUSTED
#define BLK ACCOUNT_BLOCKED

/* The table of doc/health.md, "Account", written a second time. */
static void
test_every_cell(void **state)
{
	static const enum account_state expected[AC_COUNT][ACCOUNT_DOWN] = {
		/*		       avl  pau  exh  blk */
		[AC_WORKED] =	     { AVL, PAU, EXH, AVL },
		[AC_REST] =	     { PAU, PAU, EXH, BLK },
		[AC_USED_UP] =	     { EXH, EXH, EXH, BLK },
		[AC_REFUSED] =	     { BLK, BLK, BLK, BLK },
		[AC_STILL_REFUSED] = { BLK, BLK, BLK, BLK },
		[AC_TIME] =	     { AVL, AVL, AVL, BLK },
		[AC_RELEASE] =	     { AVL, AVL, AVL, AVL },
	};

	for (int s = 0; s < ACCOUNT_DOWN; s++)
		for (int ev = 0; ev < AC_COUNT; ev++)
			assert_int_equal(account_next_state((enum account_state)s, (enum account_event)ev),
			    expected[ev][s]);
}

static void
test_down_is_shown_alone(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	assert_int_equal(health_account_shown(f.h, f.now), ACCOUNT_AVAILABLE);
	kill_port(&f, 0);
	assert_int_equal(health_account_shown(f.h, f.now), ACCOUNT_AVAILABLE);
	kill_port(&f, 1);
	assert_int_equal(health_account_shown(f.h, f.now), ACCOUNT_DOWN);
	assert_int_equal(account(&f).state, ACCOUNT_AVAILABLE);
	say(&f, HEALTH_AUTH_REFUSED, "535");
	assert_int_equal(health_account_shown(f.h, f.now), ACCOUNT_BLOCKED);
	stop(&f);
}

/* --- exhausted --------------------------------------------------------------- */

static void
test_exhausted_until_the_reset(void **state)
{
	struct health_choice c;
	struct fixture f;
	int64_t until;

	start(&f, 2);
	all_up(&f);
	say(&f, HEALTH_QUOTA, "454 slow down");
	assert_false(health_holds_mail(f.h, f.now));
	say(&f, HEALTH_QUOTA_USED_UP, "454 daily quota exceeded");	/* worse than a pause */
	assert_int_equal(account(&f).state, ACCOUNT_EXHAUSTED);
	assert_int_equal(account(&f).why_class, HEALTH_QUOTA_USED_UP);
	assert_true(health_holds_mail(f.h, f.now));
	assert_true(health_is_out(f.h, f.now));
	assert_false(health_is_open(f.h, f.now));
	assert_false(health_login_allowed(f.h, f.now));
	until = account(&f).until_ms;
	assert_in_range(until - f.now, HOURS(12), HOURS(12) + MINUTES(5));	/* from noon to midnight */
	say(&f, HEALTH_QUOTA_USED_UP, "454 daily quota exceeded");	/* other sessions hear it too */
	say(&f, HEALTH_QUOTA, "454 slow down");
	delivery(&f, 1, HEALTH_OK);
	assert_int_equal(account(&f).until_ms, until);
	f.now = until - 1;
	assert_false(health_is_open(f.h, f.now));
	f.now = until;
	assert_false(health_holds_mail(f.h, f.now));
	assert_int_equal(account(&f).state, ACCOUNT_AVAILABLE);
	assert_true(health_is_open(f.h, f.now));
	health_choose(f.h, f.now, &c);
	assert_int_equal(c.sessions, 1);		/* one message shows whether it is true */
	stop(&f);
}

static void
test_exhausted_again(void **state)
{
	static const int64_t hours[] = { 1, 2, 4, 6, 6 };
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	say(&f, HEALTH_QUOTA_USED_UP, "454 daily quota exceeded");
	for (size_t i = 0; i < lengthof(hours); i++) {
		f.now = account(&f).until_ms;
		assert_true(health_is_open(f.h, f.now));
		say(&f, HEALTH_QUOTA_USED_UP, "454 daily quota exceeded");
		assert_in_range(account(&f).until_ms - f.now, HOURS(hours[i]), HOURS(hours[i]) + MINUTES(5));
	}
	f.now = account(&f).until_ms;
	assert_true(health_is_open(f.h, f.now));
	delivery(&f, 0, HEALTH_OK);			/* some mail passed: it is another day's */
	say(&f, HEALTH_QUOTA_USED_UP, "454 daily quota exceeded");
	assert_in_range(account(&f).until_ms - f.now, HOURS(12), HOURS(12) + MINUTES(5));
	f.now = account(&f).until_ms;
	assert_true(health_is_open(f.h, f.now));
	say(&f, HEALTH_QUOTA_USED_UP, "454 daily quota exceeded, retry after 20 minutes");
	assert_in_range(account(&f).until_ms - f.now, MINUTES(20), MINUTES(25));
	health_unblock(f.h, f.now);
	assert_true(health_is_open(f.h, f.now));
	stop(&f);
}

static void
test_events_of_the_account(void **state)
{
	struct health_event ev;
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	say(&f, HEALTH_QUOTA_USED_UP, "454 daily");
	assert_true(health_next_event(f.h, &ev));
	assert_string_equal(health_event_word(ev.kind), "account-exhausted");
	assert_int_equal(ev.class, HEALTH_QUOTA_USED_UP);
	assert_string_equal(ev.detail, "454 daily");
	assert_true(ev.until_ms > f.now);
	say(&f, HEALTH_QUOTA_USED_UP, "454 daily");
	assert_false(health_next_event(f.h, &ev));
	say(&f, HEALTH_AUTH_REFUSED, "535 no");
	assert_true(health_next_event(f.h, &ev));
	assert_string_equal(health_event_word(ev.kind), "account-blocked");
	health_unblock(f.h, f.now);
	assert_true(health_next_event(f.h, &ev));
	assert_string_equal(health_event_word(ev.kind), "account-available");
	assert_int_equal(ev.class, HEALTH_OK);		/* and no word of what it was */
	assert_string_equal(ev.detail, "");
	assert_false(health_next_event(f.h, &ev));
	stop(&f);
}

/* --- what goes to another relay -------------------------------------------------- */

enum move { NEVER_MOVES, MOVES_AT_ONCE, MOVES_IF_IT_LASTS, MOVES_WITH_ALL_PORTS };

/* The table of doc/health.md, "Several relays", written a second time. */
static const enum move moves[] = {
	[HEALTH_OK] = NEVER_MOVES,
	[HEALTH_DNS_FAIL] = NEVER_MOVES,
	[HEALTH_DNS_NXDOMAIN] = MOVES_IF_IT_LASTS,
	[HEALTH_LOCAL_DENIED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_NO_ROUTE] = MOVES_WITH_ALL_PORTS,
	[HEALTH_REFUSED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_FILTERED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_PROHIBITED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_NO_BANNER] = MOVES_WITH_ALL_PORTS,
	[HEALTH_BANNER_4XX] = MOVES_WITH_ALL_PORTS,
	[HEALTH_BANNER_5XX] = MOVES_WITH_ALL_PORTS,
	[HEALTH_NOT_SMTP] = MOVES_WITH_ALL_PORTS,
	[HEALTH_WANTS_IMPLICIT] = MOVES_WITH_ALL_PORTS,
	[HEALTH_WANTS_STARTTLS] = MOVES_WITH_ALL_PORTS,
	[HEALTH_STARTTLS_MISSING] = MOVES_WITH_ALL_PORTS,
	[HEALTH_STARTTLS_BLANKED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_STARTTLS_REFUSED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_INJECTED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_TLS_HANDSHAKE] = MOVES_WITH_ALL_PORTS,
	[HEALTH_TLS_NAME] = MOVES_WITH_ALL_PORTS,
	[HEALTH_TLS_EXPIRED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_TLS_UNTRUSTED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_EHLO_REFUSED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_AUTH_MISSING] = MOVES_WITH_ALL_PORTS,
	[HEALTH_AUTH_UNANSWERED] = MOVES_WITH_ALL_PORTS,
	[HEALTH_AUTH_NOT_TAKEN] = MOVES_WITH_ALL_PORTS,
	[HEALTH_AUTH_UNPROVEN] = MOVES_WITH_ALL_PORTS,
	[HEALTH_AUTH_TEMP] = MOVES_AT_ONCE,
	[HEALTH_AUTH_REFUSED] = MOVES_AT_ONCE,
	[HEALTH_MAIL_DENIED] = MOVES_AT_ONCE,
	[HEALTH_QUOTA] = MOVES_IF_IT_LASTS,
	[HEALTH_QUOTA_USED_UP] = MOVES_AT_ONCE,
	[HEALTH_SENDER_REFUSED] = NEVER_MOVES,
	[HEALTH_RCPT_REFUSED] = NEVER_MOVES,
	[HEALTH_CONTENT_REFUSED] = NEVER_MOVES,
	[HEALTH_MSG_TEMP] = NEVER_MOVES,
	[HEALTH_CUT_BEFORE_DOT] = MOVES_WITH_ALL_PORTS,
	[HEALTH_CUT_AFTER_DOT] = MOVES_WITH_ALL_PORTS,
	[HEALTH_GARBLED] = MOVES_WITH_ALL_PORTS,
};
static_assert(lengthof(moves) == HEALTH_CLASS_COUNT, "one row per class");

/* The finding, each time as soon as mail may go again, for a day and a half. */
static bool
moves_if_it_lasts(struct fixture *f, enum health_class class)
{
	for (int64_t end = f->now + HOURS(36); f->now < end; f->now += SECONDS(1)) {
		if (health_is_out(f->h, f->now))
			return true;
		if (health_is_open(f->h, f->now))
			say(f, class, "");
	}
	return false;
}

static void
test_what_moves_mail_to_another_relay(void **state)
{
	for (int c = 0; c < HEALTH_CLASS_COUNT; c++) {
		enum health_class class = (enum health_class)c;
		bool once, lasting = false, all = false;
		struct fixture f;

		start(&f, 2);
		all_up(&f);
		say(&f, class, "");
		once = health_is_out(f.h, f.now);
		if (health_class_info(class)->severity == SEVERITY_NONE) {
			lasting = moves_if_it_lasts(&f, class);
		} else {
			for (int k = 0; k < 6; k++)
				delivery(&f, 0, class);
			assert_false(health_is_out(f.h, f.now));	/* there is another port */
			for (int k = 0; k < 6; k++)
				delivery(&f, 1, class);
			all = health_is_out(f.h, f.now);
		}
		if (once != (moves[c] == MOVES_AT_ONCE) || all != (moves[c] == MOVES_WITH_ALL_PORTS) ||
		    lasting != (moves[c] == MOVES_AT_ONCE || moves[c] == MOVES_IF_IT_LASTS))
			fail_msg("%s", health_class_info(class)->word);
		stop(&f);
	}
}

/* --- advice ---------------------------------------------------------------------- */

static const char *
advice_for(enum health_class class, const char *host, const char *user, const char *reply)
{
	struct health_params p = { .host = host, .user = user, .port = { 587 }, .n = 1,
		.sessions_max = 1 };
	const char *text;
	struct fixture f;

	start_with(&f, &p);
	say(&f, class, reply);
	text = health_account_advice(f.h);
	stop(&f);
	return text;
}

static const char *
advice(const char *host, const char *user, const char *reply)
{
	return advice_for(HEALTH_AUTH_REFUSED, host, user, reply);
}

/* Of what is put off only its own words tell what to do, not whose server it is. */
static void
test_advice_on_what_is_put_off(void **state)
{
	assert_non_null(strstr(advice_for(HEALTH_AUTH_TEMP, "smtp.example.net", "web1",
	    "432 4.7.12 A password transition is needed"), "set a new password there"));
	assert_non_null(strstr(advice_for(HEALTH_QUOTA, "smtp.office365.com", "a@b.example",
	    "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded"), "fewer connections"));
	assert_non_null(strstr(advice_for(HEALTH_AUTH_TEMP, "smtp.example.net", "web1",
	    "454 4.7.0 too many concurrent sessions"), "fewer connections"));
	assert_string_equal(advice_for(HEALTH_AUTH_TEMP, "smtp.sendgrid.net", "apikey", "454 4.7.0 later"), "");
}

static void
test_advice(void **state)
{
	static const struct { const char *host, *user, *reply, *says; } cases[] = {
		{ "smtp.example.net", "web1", "535 5.7.8 Authentication failed", "correct user and password" },
		{ "smtp.example.net", "web1", "534 5.7.9 Application-specific password required", "app password" },
		{ "smtp.gmail.com", "a@gmail.com", "534 5.7.9 Please log in with an app password", "app password" },
		{ "smtp.gmail.com", "a@gmail.com", "535 5.7.8 Username and Password not accepted", "app password" },
		{ "smtp.gmail.com", "a@gmail.com", "534 5.7.14 Please log in via your web browser", "browser" },
		{ "smtp.office365.com", "a@b.example", "535 5.7.139 Authentication unsuccessful, "
		    "SmtpClientAuthentication is disabled for the Tenant", "Authenticated SMTP" },
		{ "smtp.office365.com", "a@b.example", "550 5.7.30 Basic authentication is not supported", "OAuth" },
		{ "smtp-mail.outlook.com", "a@outlook.com", "535 5.7.139 Authentication unsuccessful", "OAuth" },
		{ "smtp.office365.com", "a@b.example", "535 5.7.3 Authentication unsuccessful", "switched off" },
		{ "email-smtp.eu-west-1.amazonaws.com", "AKIA", "535 Authentication Credentials Invalid", "SES" },
		{ "smtp.sendgrid.net", "me@example.com", "535 Authentication failed: Bad username / password",
		    "literal word apikey" },
		{ "SMTP.SendGrid.net", "apikey", "535 Authentication failed", "may send mail" },
		{ "smtp.eu.mailgun.org", "postmaster@x", "535 5.7.0 Invalid login", "Mailgun" },
		{ "smtp.notmailgun.org", "postmaster@x", "535 5.7.0 Invalid login", "correct user" },
		{ "smtp.zoho.eu", "a@b.example", "535 Authentication Failed", "data centre" },
		{ "smtp-relay.brevo.com", "a", "535 5.7.8 Authentication failed", "SMTP key" },
		{ "smtp.postmarkapp.com", "a", "535 no", "token" },
		{ "in-v3.mailjet.com", "a", "535 no", "secret key" },
		{ "smtp.resend.com", "me", "535 no", "literal word resend" },
		{ "smtp.fastmail.com", "a@fastmail.com", "535 5.7.8 no", "app password" },
		{ "smtp.example.net", "web1", "535 5.7.8 no (by SCRAM-SHA-1)", "name another login method" },
		{ "smtp.example.net", "web1", "535 5.7.8 no (by CRAM-MD5)", "name another login method" },
		{ "smtp.gmail.com", "a@gmail.com", "535 5.7.8 Username not accepted (by XOAUTH2)", "the token is over" },
		{ "smtp.gmail.com", "a@gmail.com", "535 5.7.8 no (by OAUTHBEARER)", "the token is over" },
		{ "smtp.example.net", "web1", "535 5.7.8 no (by EXTERNAL)", "our certificate" },
		{ "smtp.example.net", NULL, "530 5.7.0 Authentication required", "set user" },
		{ "smtp.example.net", "web1", "530 5.7.0 Authentication required", "in spite of ours" },
		{ "smtp.example.net", "web1", "538 5.7.11 Encryption required", "TLS before the login" },
		{ "net", "web1", "535 no", "correct user" },
		{ NULL, NULL, "535 no", "correct user" },
	};

	for (size_t i = 0; i < lengthof(cases); i++) {
		const char *text = advice(cases[i].host, cases[i].user, cases[i].reply);

		if (strstr(text, cases[i].says) == NULL)
			fail_msg("%s, %s: %s", cases[i].host, cases[i].reply, text);
	}
}

static void
test_the_event_has_the_advice(void **state)
{
	struct health_params p = { .host = "smtp.zoho.com", .user = "me", .port = { 587 }, .n = 1,
		.sessions_max = 1 };
	struct health_event ev;
	struct fixture f;

	start_with(&f, &p);
	say(&f, HEALTH_AUTH_REFUSED, "535 no");
	assert_true(health_next_event(f.h, &ev));
	assert_non_null(strstr(ev.advice, "data centre"));
	stop(&f);
}

/* --- across restarts ---------------------------------------------------------------- */

static void
test_saved_and_restored(void **state)
{
	static const enum health_class classes[] = {
		HEALTH_AUTH_TEMP, HEALTH_QUOTA, HEALTH_QUOTA_USED_UP, HEALTH_AUTH_REFUSED, HEALTH_MAIL_DENIED,
	};

	for (size_t i = 0; i < lengthof(classes); i++) {
		struct account_record rec, again;
		struct account_view before, after;
		struct health_event ev;
		struct fixture f, g;

		start(&f, 2);
		say(&f, classes[i], "454 its words");
		before = account(&f);
		f.now += SECONDS(10);
		health_account_save(f.h, f.now, &rec);
		assert_int_equal(rec.left_ms, before.until_ms - f.now);
		assert_int_equal(rec.lasts_ms, before.until_ms - before.since_ms);

		start(&g, 2);
		g.now = 12345;				/* another boot, another monotonic clock */
		health_account_restore(g.h, g.now, &rec);
		after = account(&g);
		assert_int_equal(after.state, before.state);
		assert_int_equal(after.why_class, classes[i]);
		assert_string_equal(after.detail, "454 its words");
		assert_int_equal(after.until_ms - g.now, rec.left_ms);
		assert_false(health_is_open(g.h, g.now));
		assert_false(health_login_allowed(g.h, g.now));
		assert_int_equal(health_is_out(g.h, g.now), health_is_out(f.h, f.now));
		assert_true(health_next_event(g.h, &ev));	/* the log says it again */
		assert_int_equal(ev.class, classes[i]);
		health_account_save(g.h, g.now, &again);
		assert_memory_equal(&rec, &again, offsetof(struct account_record, detail));
		stop(&f);
		stop(&g);
	}
}

static void
test_what_is_not_saved(void **state)
{
	static const enum health_class classes[] = {
		HEALTH_OK, HEALTH_DNS_FAIL, HEALTH_DNS_NXDOMAIN, HEALTH_REFUSED, HEALTH_MSG_TEMP,
	};
	struct account_record rec;
	struct health_event ev;
	struct fixture f;

	for (size_t i = 0; i < lengthof(classes); i++) {
		start(&f, 2);
		say(&f, classes[i], "");
		health_account_save(f.h, f.now, &rec);
		assert_int_equal(rec.state, ACCOUNT_AVAILABLE);
		stop(&f);
	}
	start(&f, 2);
	say(&f, HEALTH_QUOTA, "");
	f.now = account(&f).until_ms;			/* over, though nobody looked */
	health_account_save(f.h, f.now, &rec);
	assert_int_equal(rec.state, ACCOUNT_AVAILABLE);
	stop(&f);
	start(&f, 2);
	all_up(&f);
	health_account_restore(f.h, f.now, &rec);	/* nothing to say */
	assert_true(health_is_open(f.h, f.now));
	assert_false(health_next_event(f.h, &ev));
	stop(&f);
}

/* Killed while the login after a block was being tried: it counts as refused. */
static void
test_a_trial_is_saved_as_refused(void **state)
{
	static const int64_t hours[] = { 6, 24, 24 };
	struct account_record rec;
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	say(&f, HEALTH_AUTH_REFUSED, "535 no");
	for (size_t i = 0; i < lengthof(hours); i++) {
		f.now = account(&f).until_ms;
		health_probe_started(f.h, 0, f.now);
		assert_true(health_login_allowed(f.h, f.now));
		health_account_save(f.h, f.now, &rec);
		assert_int_equal(rec.state, ACCOUNT_BLOCKED);
		assert_int_equal(rec.left_ms, HOURS(hours[i]));
		health_account_restore(f.h, f.now, &rec);
		assert_false(health_login_allowed(f.h, f.now));
	}
	stop(&f);
}

/* "Blocked since" is the first refusal, however often a probe is refused later. */
static void
test_still_refused_is_one_block(void **state)
{
	struct health_sample s = { .class = HEALTH_AUTH_REFUSED, .source = SAMPLE_PROBE, .ready_ms = -1 };
	struct fixture f;
	int64_t since;

	start(&f, 2);
	all_up(&f);
	f.now += MINUTES(7);
	since = f.now;
	say(&f, HEALTH_AUTH_REFUSED, "535 no");
	assert_int_equal(account(&f).since_ms, since);
	f.now = account(&f).until_ms;
	health_probe_started(f.h, 0, f.now);
	health_note(f.h, 0, &s, f.now);
	assert_int_equal(account(&f).state, ACCOUNT_BLOCKED);
	assert_int_equal(account(&f).since_ms, since);
	stop(&f);
}

/* The ports' own turns come after it: the login does not wait for them. */
static void
test_a_block_is_tried_at_its_own_time(void **state)
{
	struct health_probe p;
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	say(&f, HEALTH_AUTH_REFUSED, "535 no");
	f.now = account(&f).until_ms - MINUTES(1);
	probe(&f, 0, HEALTH_OK);
	probe(&f, 1, HEALTH_OK);
	assert_true(view(&f, 0).next_probe_ms > account(&f).until_ms);
	assert_true(view(&f, 1).next_probe_ms > account(&f).until_ms);
	health_next_probe(f.h, f.now, &p);
	assert_true(p.at_ms == account(&f).until_ms && p.endpoint >= 0 && p.login);
	stop(&f);
}

/* The long timer goes on where it was. */
static void
test_a_restored_block_is_tried_in_its_time(void **state)
{
	struct account_record rec = { .state = ACCOUNT_BLOCKED, .step = 1, .class = HEALTH_AUTH_REFUSED,
		.lasts_ms = HOURS(6), .left_ms = MINUTES(30), .detail = "535 no" };
	struct account_record over = { .state = ACCOUNT_BLOCKED, .class = HEALTH_AUTH_REFUSED };
	struct health_sample s = { .class = HEALTH_AUTH_REFUSED, .source = SAMPLE_PROBE, .ready_ms = -1,
		.detail = "535 no" };
	struct health_probe p;
	struct fixture f;
	int64_t from;

	start(&f, 2);
	health_account_restore(f.h, f.now, &over);
	assert_true(health_is_out(f.h, f.now));		/* a block is, whatever its times say */
	stop(&f);
	start(&f, 2);
	health_account_restore(f.h, f.now, &rec);
	from = f.now;
	for (int i = 0; i < 10000; i++) {
		health_next_probe(f.h, f.now, &p);
		assert_true(p.endpoint >= 0);
		f.now = p.at_ms > f.now ? p.at_ms : f.now;
		health_probe_started(f.h, (size_t)p.endpoint, f.now);
		if (p.login)
			break;
		report(&f, (size_t)p.endpoint, SAMPLE_PROBE, HEALTH_OK);
	}
	assert_true(p.login);
	assert_in_range(f.now - from, MINUTES(30), MINUTES(31));
	health_note(f.h, (size_t)p.endpoint, &s, f.now);
	assert_in_range(account(&f).until_ms - f.now, HOURS(21), HOURS(27));
	stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cell),
		cmocka_unit_test(test_down_is_shown_alone),
		cmocka_unit_test(test_exhausted_until_the_reset),
		cmocka_unit_test(test_exhausted_again),
		cmocka_unit_test(test_events_of_the_account),
		cmocka_unit_test(test_what_moves_mail_to_another_relay),
		cmocka_unit_test(test_advice),
		cmocka_unit_test(test_advice_on_what_is_put_off),
		cmocka_unit_test(test_the_event_has_the_advice),
		cmocka_unit_test(test_saved_and_restored),
		cmocka_unit_test(test_what_is_not_saved),
		cmocka_unit_test(test_a_trial_is_saved_as_refused),
		cmocka_unit_test(test_still_refused_is_one_block),
		cmocka_unit_test(test_a_restored_block_is_tried_in_its_time),
		cmocka_unit_test(test_a_block_is_tried_at_its_own_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
