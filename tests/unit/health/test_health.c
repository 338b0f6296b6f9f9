/* SPDX-License-Identifier: BSD-2-Clause */
/* Evidence, states and account of doc/health.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "health/health.h"
#include "health/health_impl.h"
#include "unit/health/health_help.h"

#include "base/banned.h"

/* --- states -------------------------------------------------------------- */

#define UNK EP_UNKNOWN
#define UP_ EP_UP
#define DEG EP_DEGRADED
#define DWN EP_DOWN
#define PRO EP_PROBING
#define REC EP_RECOVERING
#define BLK EP_BLOCKED
#define OFF EP_OFF

/* The table of doc/health.md, "States", written a second time. */
static void
test_every_cell(void **state)
{
	static const enum endpoint_state expected[EV_COUNT][EP_STATE_COUNT] = {
		/*                unk  up   deg  dwn  pro  rec  blk  off */
		[EV_SUCCESS] =	{ UNK, UP_, DEG, DWN, PRO, REC, BLK, OFF },
		[EV_PROVEN] =	{ UP_, UP_, UP_, PRO, REC, UP_, PRO, OFF },
		[EV_SOFT] =	{ UNK, UP_, DEG, DWN, DWN, REC, BLK, OFF },
		[EV_POOR] =	{ UNK, DEG, DEG, DWN, DWN, DWN, BLK, OFF },
		[EV_HARD] =	{ UNK, UP_, DEG, DWN, DWN, DWN, BLK, OFF },
		[EV_LOST] =	{ DWN, DWN, DWN, DWN, DWN, DWN, BLK, OFF },
		[EV_CERTAIN] =	{ DWN, DWN, DWN, DWN, DWN, DWN, BLK, OFF },
		[EV_BLOCK] =	{ BLK, BLK, BLK, BLK, BLK, BLK, BLK, OFF },
		[EV_NETWORK] =	{ UNK, UP_, DEG, UNK, UNK, REC, BLK, OFF },
		[EV_UNBLOCK] =	{ UNK, UP_, DEG, UNK, UNK, UNK, UNK, OFF },
	};

	for (int s = 0; s < EP_STATE_COUNT; s++)
		for (int ev = 0; ev < EV_COUNT; ev++)
			assert_int_equal(endpoint_next_state((enum endpoint_state)s,
			    (enum endpoint_event)ev), expected[ev][s]);
}

static void
test_first_success_is_up(void **state)
{
	struct fixture f;

	start(&f, 3);
	assert_int_equal(state_of(&f, 0), EP_UNKNOWN);
	delivery(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_UP);
	stop(&f);
}

static void
test_three_hard_failures_in_a_row_are_down(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	delivery(&f, 0, HEALTH_FILTERED);
	probe(&f, 0, HEALTH_FILTERED);
	probe(&f, 0, HEALTH_OK);
	delivery(&f, 0, HEALTH_REFUSED);
	probe(&f, 0, HEALTH_NO_BANNER);
	assert_int_not_equal(state_of(&f, 0), EP_DOWN);
	probe(&f, 0, HEALTH_FILTERED);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	assert_false(view(&f, 0).suspect);	/* it is more than that */
	stop(&f);
}

static void
test_six_soft_failures_in_a_row_are_down(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	for (int i = 0; i < 5; i++) {
		probe(&f, 0, HEALTH_BANNER_4XX);
		assert_int_not_equal(state_of(&f, 0), EP_DOWN);
	}
	probe(&f, 0, HEALTH_BANNER_4XX);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	stop(&f);
}

static void
test_certain_findings_are_down_at_once(void **state)
{
	static const enum health_class certain[] = {
		HEALTH_STARTTLS_MISSING, HEALTH_STARTTLS_BLANKED, HEALTH_INJECTED, HEALTH_LOCAL_DENIED,
	};

	for (size_t i = 0; i < lengthof(certain); i++) {
		struct fixture f;

		start(&f, 3);
		all_up(&f);
		probe(&f, 1, certain[i]);
		assert_int_equal(state_of(&f, 1), EP_DOWN);
		stop(&f);
	}
}

static void
test_wrong_certificate_twice_is_blocked(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	probe(&f, 0, HEALTH_TLS_NAME);
	assert_int_equal(state_of(&f, 0), EP_UP);
	assert_true(view(&f, 0).suspect);
	probe(&f, 0, HEALTH_OK);
	probe(&f, 0, HEALTH_TLS_EXPIRED);
	assert_int_not_equal(state_of(&f, 0), EP_BLOCKED);	/* a success lay between */
	probe(&f, 0, HEALTH_TLS_UNTRUSTED);
	assert_int_equal(state_of(&f, 0), EP_BLOCKED);
	delivery(&f, 0, HEALTH_FILTERED);
	assert_int_equal(state_of(&f, 0), EP_BLOCKED);
	health_network_changed(f.h, f.now);
	assert_int_equal(state_of(&f, 0), EP_BLOCKED);
	health_unblock(f.h, f.now);
	assert_int_equal(state_of(&f, 0), EP_UNKNOWN);
	stop(&f);
}

/* A renewed certificate is found by the probe of every half hour. */
static void
test_blocked_heals_by_probe(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	probe(&f, 0, HEALTH_TLS_EXPIRED);
	probe(&f, 0, HEALTH_TLS_EXPIRED);
	assert_interval(&f, 0, 15 * 60);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_PROBING);
	stop(&f);
}

/* The server ends no session, but takes no new ones. */
static void
test_old_sessions_prove_nothing_for_new_ones(void **state)
{
	struct health_sample old = { .class = HEALTH_OK, .source = SAMPLE_DELIVERY, .ready_ms = -1,
		.age_ms = 60000 };
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	f.now += 10000;
	delivery(&f, 0, HEALTH_BANNER_4XX);
	f.now += 1000;
	health_note(f.h, 0, &old, f.now);
	assert_true(view(&f, 0).suspect);
	for (int i = 0; i < 5; i++) {
		probe(&f, 0, HEALTH_BANNER_4XX);
		health_note(f.h, 0, &old, f.now);
	}
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	health_note(f.h, 0, &old, f.now);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	stop(&f);
}

static void
test_degraded_and_back(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	for (int i = 0; i < 20; i++)
		delivery(&f, 0, HEALTH_OK);
	delivery(&f, 0, HEALTH_CUT_BEFORE_DOT);
	delivery(&f, 0, HEALTH_REFUSED);
	assert_int_equal(state_of(&f, 0), EP_DEGRADED);
	delivery(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_DEGRADED);
	assert_interval(&f, 0, 3 * 60);
	for (int i = 0; i < 3; i++)
		delivery(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_UP);
	assert_true(points(&f, 0).availability >= 0.85);
	stop(&f);
}

static void
test_way_back_from_down(void **state)
{
	struct fixture f;

	start(&f, 1);
	all_up(&f);
	kill_port(&f, 0);
	assert_interval(&f, 0, 30);
	probe(&f, 0, HEALTH_FILTERED);
	assert_interval(&f, 0, 60);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_PROBING);
	assert_interval(&f, 0, 10);
	f.now += 1000;
	probe(&f, 0, HEALTH_OK);	/* too early to count as a second look */
	assert_int_equal(state_of(&f, 0), EP_PROBING);
	f.now += 9000;
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_RECOVERING);
	delivery(&f, 0, HEALTH_OK);
	delivery(&f, 0, HEALTH_OK);
	delivery(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_RECOVERING);
	f.now += 30000;
	delivery(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_UP);
	stop(&f);
}

static void
test_relapse_waits_longer(void **state)
{
	struct fixture f;

	start(&f, 1);
	all_up(&f);
	kill_port(&f, 0);
	probe(&f, 0, HEALTH_OK);
	probe(&f, 0, HEALTH_BANNER_4XX);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	assert_interval(&f, 0, 60);
	probe(&f, 0, HEALTH_OK);
	f.now += 10000;
	probe(&f, 0, HEALTH_OK);
	delivery(&f, 0, HEALTH_REFUSED);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	assert_interval(&f, 0, 120);
	for (int i = 0; i < 10; i++)
		probe(&f, 0, HEALTH_FILTERED);
	assert_interval(&f, 0, 15 * 60);
	stop(&f);
}

static void
test_off_stays_off(void **state)
{
	struct health_params p = { .port = { 587, 465 }, .off = { true }, .n = 2, .sessions_max = 4 };
	struct health_probe p1;
	struct fixture f;
	struct health_choice c;

	start_with(&f, &p);
	delivery(&f, 0, HEALTH_OK);
	health_probe_now(f.h);
	health_network_changed(f.h, f.now);
	assert_int_equal(state_of(&f, 0), EP_OFF);
	health_resume(f.h, 0, true, f.now);		/* it was not, in the run before */
	assert_int_equal(health_why_anew(f.h), CHOICE_FIRST);
	assert_true(view(&f, 0).next_probe_ms < 0);
	for (int i = 0; i < 5; i++) {
		health_next_probe(f.h, f.now, &p1);
		assert_int_equal(p1.endpoint, 1);
		health_probe_started(f.h, 1, f.now);
		report(&f, 1, SAMPLE_PROBE, HEALTH_FILTERED);
		f.now = view(&f, 1).next_probe_ms;
	}
	health_unblock(f.h, f.now);
	delivery(&f, 1, HEALTH_OK);
	health_choose(f.h, f.now, &c);
	assert_int_equal(c.endpoint, 1);
	stop(&f);
}

static void
test_network_change_gives_another_chance(void **state)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	kill_port(&f, 0);
	health_network_changed(f.h, f.now);
	assert_int_equal(state_of(&f, 0), EP_UNKNOWN);
	assert_int_equal(state_of(&f, 1), EP_UP);
	kill_port(&f, 0);
	health_network_changed(f.h, f.now + 9000);	/* at most once in 10 s */
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	health_network_changed(f.h, f.now + 10000);
	assert_int_equal(state_of(&f, 0), EP_UNKNOWN);
	stop(&f);
}

/* What the provider asked for holds on any network; that its name could not be asked for does not. */
static void
test_a_network_change_ends_only_the_pause_for_names(void **state)
{
	struct health_choice c;
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	delivery(&f, 0, HEALTH_QUOTA);
	health_network_changed(f.h, f.now);
	health_choose(f.h, f.now, &c);
	assert_int_equal(c.endpoint, -1);
	stop(&f);
	start(&f, 2);
	all_up(&f);
	delivery(&f, 0, HEALTH_DNS_FAIL);
	health_choose(f.h, f.now, &c);
	assert_int_equal(c.endpoint, -1);
	health_network_changed(f.h, f.now);
	health_choose(f.h, f.now, &c);
	assert_int_equal(c.endpoint, 0);
	stop(&f);
}

/* New trust says something of certificates, and nothing of a port that is filtered. */
static void
test_new_trust_is_for_blocked_ports(void **state)
{
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	kill_port(&f, 0);
	probe(&f, 1, HEALTH_TLS_UNTRUSTED);
	probe(&f, 1, HEALTH_TLS_UNTRUSTED);
	assert_int_equal(state_of(&f, 1), EP_BLOCKED);
	health_trust_changed(f.h, f.now);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	assert_true(view(&f, 0).next_probe_ms > f.now);
	assert_int_equal(state_of(&f, 1), EP_UNKNOWN);
	assert_int_equal(view(&f, 1).next_probe_ms, f.now);
	assert_int_equal(state_of(&f, 2), EP_UP);
	stop(&f);
}

static void
test_the_time_to_ready_is_smoothed(void **state)
{
	struct health_sample s = { .class = HEALTH_OK, .source = SAMPLE_DELIVERY, .ready_ms = 1000 };
	struct fixture f;

	start(&f, 2);
	assert_int_equal(view(&f, 0).ready_ms, -1);
	health_note(f.h, 0, &s, f.now);
	assert_int_equal(view(&f, 0).ready_ms, 1000);
	s.ready_ms = 2000;
	health_note(f.h, 0, &s, f.now);
	assert_int_equal(view(&f, 0).ready_ms, 1300);
	s.ready_ms = -1;			/* a further message of a session that was ready */
	health_note(f.h, 0, &s, f.now);
	assert_int_equal(view(&f, 0).ready_ms, 1300);
	stop(&f);
}

/* --- scopes -------------------------------------------------------------- */

static void
test_message_faults_touch_nothing(void **state)
{
	static const enum health_class faults[] = {
		HEALTH_SENDER_REFUSED, HEALTH_RCPT_REFUSED, HEALTH_CONTENT_REFUSED, HEALTH_MSG_TEMP,
	};
	struct fixture f;
	struct health_event ev;

	start(&f, 2);
	all_up(&f);
	for (size_t i = 0; i < lengthof(faults); i++) {
		double before = points(&f, 0).score;

		for (int k = 0; k < 10; k++)
			delivery(&f, 0, faults[i]);
		struct endpoint_view after = view(&f, 0);
		assert_int_equal(after.state, EP_UP);
		assert_false(after.suspect);
		assert_true(before - points(&f, 0).score < 0.001);
		assert_int_equal(after.last_class, faults[i]);
		assert_true(health_is_open(f.h, f.now));
	}
	assert_false(health_next_event(f.h, &ev));
	stop(&f);
}

static void
test_account_faults_never_switch_ports(void **state)
{
	static const enum health_class faults[] = {
		HEALTH_AUTH_TEMP, HEALTH_AUTH_REFUSED, HEALTH_MAIL_DENIED, HEALTH_QUOTA, HEALTH_DNS_NXDOMAIN,
		HEALTH_DNS_FAIL,
	};

	for (size_t i = 0; i < lengthof(faults); i++) {
		struct fixture f;
		struct health_choice c;

		start(&f, 2);
		all_up(&f);
		health_choose(f.h, f.now, &c);
		assert_int_equal(c.endpoint, 0);
		for (int k = 0; k < 5; k++)
			delivery(&f, 0, faults[i]);
		assert_int_equal(state_of(&f, 0), EP_UP);
		assert_false(view(&f, 0).suspect);
		health_choose(f.h, f.now, &c);
		assert_int_equal(c.endpoint, -1);
		assert_int_equal(c.reason, CHOICE_NONE);
		assert_false(health_is_open(f.h, f.now));
		assert_true(view(&f, 0).current);
		stop(&f);
	}
}

/* --- account ------------------------------------------------------------- */

static struct account_view
account(const struct fixture *f)
{
	struct account_view v;

	health_account(f->h, f->now, &v);
	return v;
}

static void
test_refused_login_blocks_all_ports(void **state)
{
	struct health_sample old = { .class = HEALTH_OK, .source = SAMPLE_DELIVERY, .ready_ms = 100,
		.logged_in = true };
	struct fixture f;

	start(&f, 3);
	all_up(&f);
	delivery(&f, 1, HEALTH_AUTH_REFUSED);
	assert_int_equal(account(&f).state, ACCOUNT_BLOCKED);
	assert_int_equal(account(&f).why_class, HEALTH_AUTH_REFUSED);
	assert_false(health_login_allowed(f.h, f.now));
	assert_false(health_is_open(f.h, f.now));
	/* a session from before the block still delivers: it proves nothing */
	health_note(f.h, 0, &old, f.now);
	old.source = SAMPLE_PROBE;
	health_note(f.h, 0, &old, f.now);
	assert_int_equal(account(&f).state, ACCOUNT_BLOCKED);
	f.now += 2 * 3600 * 1000;	/* time alone does not open it */
	assert_false(health_is_open(f.h, f.now));
	health_unblock(f.h, f.now);
	assert_int_equal(account(&f).state, ACCOUNT_AVAILABLE);
	assert_true(health_login_allowed(f.h, f.now));
	stop(&f);
}

/* The next probe that logs in, with probes of other kinds answered until then. */
static int64_t
run_to_login(struct fixture *f, size_t *on)
{
	struct health_probe p;

	for (int guard = 0; guard < 10000; guard++) {
		health_next_probe(f->h, f->now, &p);
		assert_true(p.endpoint >= 0);
		if (p.at_ms > f->now)
			f->now = p.at_ms;
		assert_int_equal(health_login_allowed(f->h, f->now),
		    p.login || account(f).state == ACCOUNT_AVAILABLE);
		health_probe_started(f->h, (size_t)p.endpoint, f->now);
		*on = (size_t)p.endpoint;
		if (p.login) {
			assert_true(health_login_allowed(f->h, f->now));
			return f->now;
		}
		report(f, (size_t)p.endpoint, SAMPLE_PROBE, HEALTH_OK);
	}
	fail();
	return 0;
}

static void
test_blocked_login_is_tried_after_1_6_24_hours(void **state)
{
	static const int64_t hours[] = { 1, 6, 24, 24 };
	struct health_sample good = { .class = HEALTH_OK, .source = SAMPLE_PROBE, .ready_ms = 100,
		.logged_in = true };
	struct health_choice c;
	struct fixture f;
	size_t on;

	start(&f, 3);
	all_up(&f);
	(void)run_to_login(&f, &on);
	report(&f, on, SAMPLE_PROBE, HEALTH_AUTH_REFUSED);
	for (size_t i = 0; i < lengthof(hours); i++) {
		int64_t from = f.now;
		int64_t waited = run_to_login(&f, &on) - from;

		assert_in_range(waited, hours[i] * 3600000 * 9 / 10, hours[i] * 3600000 * 11 / 10 + 5000);
		if (i + 1 < lengthof(hours))
			report(&f, on, SAMPLE_PROBE, HEALTH_AUTH_REFUSED);
	}
	health_note(f.h, on, &good, f.now);
	assert_int_equal(account(&f).state, ACCOUNT_AVAILABLE);
	health_choose(f.h, f.now, &c);
	assert_int_equal(c.sessions, 1);	/* one message shows whether it holds */
	delivery(&f, (size_t)c.endpoint, HEALTH_OK);
	health_choose(f.h, f.now, &c);
	assert_int_equal(c.sessions, 8);
	stop(&f);
}

/* A login try that never got that far is not repeated in a tight loop. */
static void
test_failed_trial_is_not_repeated_at_once(void **state)
{
	struct fixture f;
	size_t on;
	int64_t at;

	start(&f, 3);
	all_up(&f);
	(void)run_to_login(&f, &on);
	report(&f, on, SAMPLE_PROBE, HEALTH_AUTH_REFUSED);
	at = run_to_login(&f, &on);
	report(&f, on, SAMPLE_PROBE, HEALTH_FILTERED);
	assert_int_equal(account(&f).state, ACCOUNT_BLOCKED);
	assert_true(run_to_login(&f, &on) - at >= 10 * 60 * 1000);
	stop(&f);
}

static void
assert_pauses(enum health_class class, const int64_t *seconds, size_t n)
{
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	for (size_t i = 0; i < n; i++) {
		int64_t until;

		delivery(&f, 0, class);
		assert_int_equal(account(&f).state, ACCOUNT_PAUSED);
		until = account(&f).until_ms;
		assert_in_range(until - f.now, seconds[i] * 900, seconds[i] * 1100);
		delivery(&f, 1, class);		/* another session says the same: no longer for it */
		assert_int_equal(account(&f).until_ms, until);
		delivery(&f, 1, HEALTH_OK);	/* nor shorter */
		assert_false(health_is_open(f.h, until - 1));
		f.now = until;
		assert_true(health_is_open(f.h, f.now));
	}
	f.now += 15 * 60 * 1000;		/* quiet long enough: from the start */
	delivery(&f, 0, class);
	assert_in_range(account(&f).until_ms - f.now, seconds[0] * 900, seconds[0] * 1100);
	stop(&f);
}

/* When mail is to go to another relay. */
static void
test_out(void **state)
{
	struct fixture f;

	start(&f, 2);
	assert_false(health_is_out(f.h, f.now));	/* nothing bad is known */
	all_up(&f);
	delivery(&f, 0, HEALTH_QUOTA);			/* 30 s: waited for */
	assert_false(health_is_out(f.h, f.now));
	f.now += 40000;
	delivery(&f, 0, HEALTH_AUTH_TEMP);		/* 5 min */
	assert_true(health_is_out(f.h, f.now));
	f.now += 6 * 60000;
	assert_false(health_is_out(f.h, f.now));	/* it has ended by itself */
	for (int i = 0; i < 3; i++)
		delivery(&f, 0, HEALTH_REFUSED);
	assert_false(health_is_out(f.h, f.now));	/* there is another port */
	for (int i = 0; i < 3; i++)
		delivery(&f, 1, HEALTH_REFUSED);
	assert_true(health_is_out(f.h, f.now));
	probe(&f, 0, HEALTH_OK);			/* once is not enough */
	assert_true(health_is_open(f.h, f.now));
	assert_true(health_is_out(f.h, f.now));
	f.now += 10000;
	probe(&f, 0, HEALTH_OK);
	assert_false(health_is_out(f.h, f.now));
	delivery(&f, 0, HEALTH_AUTH_REFUSED);
	assert_true(health_is_out(f.h, f.now));
	stop(&f);
}

static void
test_pauses_grow(void **state)
{
	static const int64_t quota[] = { 30, 60, 120, 240, 480, 900, 900 };
	static const int64_t logins[] = { 300, 900, 1800, 3600, 3600 };
	static const int64_t denied[] = { 30, 60, 120, 240, 300, 300 };
	static const int64_t names[] = { 5, 10, 20, 40, 60, 60 };

	assert_pauses(HEALTH_QUOTA, quota, lengthof(quota));
	assert_pauses(HEALTH_DNS_NXDOMAIN, quota, lengthof(quota));
	assert_pauses(HEALTH_AUTH_TEMP, logins, lengthof(logins));
	assert_pauses(HEALTH_MAIL_DENIED, denied, lengthof(denied));
	assert_pauses(HEALTH_DNS_FAIL, names, lengthof(names));
}

/* --- events and words ---------------------------------------------------- */

static void
expect_event(struct fixture *f, enum health_event_kind kind, int endpoint)
{
	struct health_event ev;

	assert_true(health_next_event(f->h, &ev));
	assert_string_equal(health_event_word(ev.kind), health_event_word(kind));
	assert_int_equal(ev.endpoint, endpoint);
}

static void
test_events_tell_each_change_once(void **state)
{
	struct health_sample s = { .class = HEALTH_FILTERED, .ready_ms = -1, .source = SAMPLE_PROBE,
		.detail = "line\r\nbreak" };
	struct health_event ev;
	struct fixture f;

	start(&f, 1);
	probe(&f, 0, HEALTH_OK);
	expect_event(&f, HEALTH_ENDPOINT_UP, 0);
	for (int i = 0; i < 10; i++)
		health_note(f.h, 0, &s, f.now);
	expect_event(&f, HEALTH_ENDPOINT_DEGRADED, 0);
	assert_true(health_next_event(f.h, &ev));
	assert_int_equal(ev.kind, HEALTH_ENDPOINT_DOWN);
	assert_int_equal(ev.class, HEALTH_FILTERED);
	assert_string_equal(ev.detail, "line??break");
	expect_event(&f, HEALTH_RELAY_DOWN, 0);
	assert_false(health_next_event(f.h, &ev));
	recover(&f, 0);
	expect_event(&f, HEALTH_RELAY_UP, 0);
	expect_event(&f, HEALTH_ENDPOINT_UP, 0);
	delivery(&f, 0, HEALTH_AUTH_REFUSED);
	delivery(&f, 0, HEALTH_AUTH_REFUSED);
	expect_event(&f, HEALTH_ACCOUNT_BLOCKED, -1);
	assert_false(health_next_event(f.h, &ev));
	stop(&f);
}

static void
test_events_are_bounded(void **state)
{
	struct health_event ev;
	struct fixture f;
	int n = 0;

	start(&f, 1);
	for (int i = 0; i < 100; i++) {
		probe(&f, 0, HEALTH_STARTTLS_MISSING);
		health_unblock(f.h, f.now);
	}
	delivery(&f, 0, HEALTH_AUTH_REFUSED);
	while (health_next_event(f.h, &ev))
		n++;
	assert_int_equal(n, HEALTH_EVENTS_MAX);
	assert_int_equal(ev.kind, HEALTH_ACCOUNT_BLOCKED);	/* the newest is kept */
	stop(&f);
}

static bool
says(const struct fixture *f, size_t i, const char *text)
{
	struct buf b;
	bool same;

	buf_init(&b, 500);
	assert_true(health_why(f->h, i, &b));
	same = strcmp(buf_cstr(&b), text) == 0;
	buf_done(&b);
	return same;
}

static void
assert_why(const struct fixture *f, size_t i, const char *text)
{
	struct buf b;

	buf_init(&b, 500);
	assert_true(health_why(f->h, i, &b));
	assert_string_equal(buf_cstr(&b), text);
	buf_done(&b);
}

static void
test_why(void **state)
{
	struct health_params one_off = { .port = { 587, 465, 2525 }, .off = { [2] = true }, .n = 3,
		.sessions_max = 1 };
	struct fixture f;
	struct buf tiny;

	start(&f, 2);
	assert_why(&f, 0, "not tried yet");
	assert_string_equal(health_advice(f.h, 0), "");
	all_up(&f);
	assert_why(&f, 0, "works");
	probe(&f, 0, HEALTH_REFUSED);
	assert_why(&f, 0, "works, but the last attempt failed: nothing listens on the port, or the "
	    "connection is actively refused");
	kill_port(&f, 0);
	assert_why(&f, 0, "port 587 is filtered on the way: another port of the host answers");
	assert_true(strlen(health_advice(f.h, 0)) > 0);
	kill_port(&f, 1);
	assert_why(&f, 1, "no port answers: the host is away, or this network blocks mail ports");
	probe(&f, 1, HEALTH_OK);
	probe(&f, 1, HEALTH_STARTTLS_MISSING);
	assert_why(&f, 1, health_class_info(HEALTH_STARTTLS_MISSING)->sentence);
	buf_init(&tiny, 5);
	assert_false(health_why(f.h, 1, &tiny));
	buf_done(&tiny);
	stop(&f);
	start_with(&f, &one_off);
	kill_port(&f, 0);
	kill_port(&f, 1);
	assert_why(&f, 1, "no port answers: the host is away, or this network blocks mail ports");
	stop(&f);
}

/* That another port answers is said when one has, since this one does not. */
static void
test_another_port_answers_when_it_has(void **state)
{
	static const char filtered[] = "works, but the last attempt failed: port 587 is filtered on the way: "
	    "another port of the host answers";
	struct fixture f;

	start(&f, 2);
	all_up(&f);
	f.now += SECONDS(1);
	probe(&f, 0, HEALTH_FILTERED);
	assert_false(says(&f, 0, filtered));
	f.now += SECONDS(1);
	probe(&f, 1, HEALTH_OK);
	assert_true(says(&f, 0, filtered));
	probe(&f, 1, HEALTH_FILTERED);
	assert_false(says(&f, 0, filtered));
	stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_cell),
		cmocka_unit_test(test_first_success_is_up),
		cmocka_unit_test(test_three_hard_failures_in_a_row_are_down),
		cmocka_unit_test(test_six_soft_failures_in_a_row_are_down),
		cmocka_unit_test(test_certain_findings_are_down_at_once),
		cmocka_unit_test(test_wrong_certificate_twice_is_blocked),
		cmocka_unit_test(test_blocked_heals_by_probe),
		cmocka_unit_test(test_old_sessions_prove_nothing_for_new_ones),
		cmocka_unit_test(test_degraded_and_back),
		cmocka_unit_test(test_way_back_from_down),
		cmocka_unit_test(test_relapse_waits_longer),
		cmocka_unit_test(test_off_stays_off),
		cmocka_unit_test(test_network_change_gives_another_chance),
		cmocka_unit_test(test_a_network_change_ends_only_the_pause_for_names),
		cmocka_unit_test(test_new_trust_is_for_blocked_ports),
		cmocka_unit_test(test_the_time_to_ready_is_smoothed),
		cmocka_unit_test(test_message_faults_touch_nothing),
		cmocka_unit_test(test_account_faults_never_switch_ports),
		cmocka_unit_test(test_refused_login_blocks_all_ports),
		cmocka_unit_test(test_blocked_login_is_tried_after_1_6_24_hours),
		cmocka_unit_test(test_failed_trial_is_not_repeated_at_once),
		cmocka_unit_test(test_out),
		cmocka_unit_test(test_pauses_grow),
		cmocka_unit_test(test_events_tell_each_change_once),
		cmocka_unit_test(test_events_are_bounded),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_another_port_answers_when_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
