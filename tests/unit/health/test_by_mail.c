/* SPDX-License-Identifier: BSD-2-Clause */
/* "What only mail finds" of doc/health.md: what it does to a port, and what ends it. */
#include "unit/health/health_help.h"

#include "base/banned.h"

static void
fails(struct fixture *f, size_t i, enum mail_step at)
{
	struct health_sample s = { .class = HEALTH_CUT_BEFORE_DOT, .source = SAMPLE_DELIVERY, .ready_ms = -1,
		.mail = at, .detail = "gone" };

	health_note(f->h, i, &s, f->now);
}

/* Up, and the first one is current. */
static void
start_up(struct fixture *f, size_t n)
{
	start(f, n);
	all_up(f);
	for (size_t i = 0; i < n; i++)
		delivery(f, i, HEALTH_OK);
	assert_int_equal(choose(f).endpoint, 0);
}

static void
only_a_message_clears_it(void **state)
{
	struct fixture f;

	start_up(&f, 2);
	fails(&f, 0, MAIL_ENVELOPE);
	for (int i = 0; i < 3; i++) {
		f.now += SECONDS(20);
		probe(&f, 0, HEALTH_OK);
		assert_true(view(&f, 0).suspect);
		assert_true(health_is_avoided(f.h, 0, f.now));
		assert_int_equal(choose(&f).endpoint, 1);
		assert_int_equal(choose(&f).reason, CHOICE_DETOUR);
	}
	delivery(&f, 0, HEALTH_OK);
	assert_false(view(&f, 0).suspect);
	assert_int_equal(choose(&f).endpoint, 0);
	assert_int_equal(choose(&f).sessions, 8);
	stop(&f);
}

static void
fails_for(struct fixture *f, size_t i, bool lone, bool only_way)
{
	struct health_sample s = { .class = HEALTH_CUT_BEFORE_DOT, .source = SAMPLE_DELIVERY, .ready_ms = -1,
		.mail = MAIL_ENVELOPE, .lone = lone, .only_way = only_way, .detail = "gone" };

	health_note(f->h, i, &s, f->now);
}

/* One message may be the cause itself; a second one that fails is not. */
static void
one_message_leaves_a_way(void **state)
{
	struct fixture f;

	start_up(&f, 2);
	for (int i = 0; i < 8; i++) {
		f.now += 400;
		fails_for(&f, (size_t)(i % 2), true, false);
		assert_false(health_is_out(f.h, f.now));
		assert_true(choose(&f).endpoint >= 0);
	}
	f.now += 400;
	fails(&f, 1, MAIL_ENVELOPE);
	assert_false(health_has_usable(f.h));
	stop(&f);
}

/* None comes in 4 s: then all go down, and mail to the next relay. One that passes ends that. */
static void
one_message_waits_for_another(void **state)
{
	for (int passes = 0; passes < 2; passes++) {
		struct fixture f;

		start_up(&f, 2);
		for (int i = 0; i < 4; i++)
			fails_for(&f, (size_t)(i % 2), true, false);
		f.now += SECONDS(4) - 1;
		assert_false(health_is_out(f.h, f.now));
		if (passes)
			delivery(&f, 1, HEALTH_OK);
		f.now++;
		assert_int_equal(health_is_out(f.h, f.now), !passes);
		assert_int_equal(state_of(&f, 1) == EP_DOWN, !passes);
		stop(&f);
	}
}

/* It spoils no rating; a second one does. */
static void
one_message_spoils_no_rating(void **state)
{
	struct endpoint_points before, after;
	struct fixture f;

	start_up(&f, 2);
	health_points(f.h, 0, f.now, &before);
	for (int i = 0; i < 2; i++)
		fails_for(&f, 0, true, false);
	health_points(f.h, 0, f.now, &after);
	assert_true(after.availability == before.availability);
	assert_true(view(&f, 0).suspect);
	fails_for(&f, 0, false, false);
	health_points(f.h, 0, f.now, &after);
	assert_true(after.availability < before.availability);
	stop(&f);
}

/* No other relay may have the mail: whatever fails there, some way stays open, and nothing comes of waiting. */
static void
the_only_way_stays_open(void **state)
{
	for (size_t n = 1; n <= 3; n++) {
		struct fixture f;

		start_up(&f, n);
		for (size_t i = 0; i < 30; i++) {
			f.now += SECONDS(1);
			fails_for(&f, i % n, false, true);
			assert_false(health_is_out(f.h, f.now));
			assert_true(choose(&f).endpoint >= 0);
			if (i + 1 >= n)
				assert_int_equal(choose(&f).sessions, 1);
		}
		for (size_t i = 0; i < n; i++)
			assert_int_equal(state_of(&f, i), EP_UP);
		stop(&f);
	}
}

/* One that is down is no better place: of one message alone the last one does not go down, too. */
static void
one_that_is_down_is_no_better(void **state)
{
	struct fixture f;

	start_up(&f, 2);
	for (int i = 0; i < 3; i++)
		probe(&f, 1, HEALTH_FILTERED);
	assert_int_equal(state_of(&f, 1), EP_DOWN);
	for (int i = 0; i < 4; i++) {
		f.now += 400;
		fails_for(&f, 0, true, false);
	}
	assert_int_equal(state_of(&f, 0), EP_UP);
	stop(&f);
}

/* Where mail passes at another endpoint, this one goes down as ever. */
static void
beside_a_better_one_it_goes_down(void **state)
{
	struct fixture f;

	start_up(&f, 2);
	for (int i = 0; i < 3; i++)
		fails_for(&f, 0, false, true);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	assert_int_equal(state_of(&f, 1), EP_UP);
	stop(&f);
}

/* The canary's message failed: the port answers, and the next message may be another one. */
static void
a_canary_that_fails_by_mail_leaves_it_probing(void **state)
{
	struct fixture f;

	start_up(&f, 1);
	kill_port(&f, 0);
	f.now += SECONDS(30);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(choose(&f).reason, CHOICE_CANARY);
	fails_for(&f, 0, true, true);
	assert_int_equal(state_of(&f, 0), EP_PROBING);
	assert_int_equal(choose(&f).reason, CHOICE_CANARY);
	stop(&f);
}

/* It was the messages' own fault. */
static void
what_is_forgiven_is_forgotten(void **state)
{
	struct fixture f;

	start_up(&f, 2);
	fails(&f, 0, MAIL_ENVELOPE);
	f.now += SECONDS(1);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(choose(&f).endpoint, 1);
	health_mail_forgive(f.h, 0, f.now);
	assert_int_equal(choose(&f).endpoint, 0);
	assert_int_equal(choose(&f).sessions, 8);
	stop(&f);
}

/* What was begun before it shows how it was then. */
static void
an_older_session_clears_nothing(void **state)
{
	struct health_sample s = { .class = HEALTH_OK, .source = SAMPLE_DELIVERY, .ready_ms = 10, .age_ms = 5000 };
	struct fixture f;

	start_up(&f, 2);
	fails(&f, 0, MAIL_ENVELOPE);
	f.now += 1000;
	health_note(f.h, 0, &s, f.now);
	probe(&f, 0, HEALTH_OK);
	assert_true(view(&f, 0).suspect);
	stop(&f);
}

/* Two to fifteen minutes: then one session, and no second one beside it. */
static void
one_message_tries_it_at_growing_intervals(void **state)
{
	static const int64_t minutes[] = { 2, 4, 8, 15, 15 };
	struct fixture f;

	start_up(&f, 2);
	for (size_t i = 0; i < lengthof(minutes); i++) {
		fails(&f, 0, MAIL_TEXT);
		f.now += 1000;
		probe(&f, 0, HEALTH_OK);
		assert_int_equal(choose(&f).endpoint, 1);
		f.now += MINUTES(minutes[i]) * 79 / 100 - 1000;
		assert_int_equal(choose(&f).endpoint, 1);
		f.now += MINUTES(minutes[i]) * 42 / 100;
		assert_int_equal(choose(&f).endpoint, 0);
		assert_int_equal(choose(&f).sessions, 1);
		assert_true(health_mail_tries(f.h, 0, f.now));
		assert_int_equal(choose(&f).endpoint, 1);	/* the others don't wait for it */
		if (i == 0)
			assert_false(health_mail_tries(f.h, 1, f.now));
	}
	stop(&f);
}

/* Three before the text, six in it; probes between them change nothing. */
static void
it_goes_down_in_the_end(void **state)
{
	for (int at = MAIL_ENVELOPE; at <= MAIL_TEXT; at++) {
		struct fixture f;
		int n = 0;

		start_up(&f, 2);
		while (state_of(&f, 0) != EP_DOWN && n < 10) {
			fails(&f, 0, (enum mail_step)at);
			f.now += MINUTES(20);
			probe(&f, 0, state_of(&f, 0) == EP_DOWN ? HEALTH_REFUSED : HEALTH_OK);
			n++;
		}
		assert_int_equal(n, at == MAIL_ENVELOPE ? 3 : 6);
		assert_int_equal(state_of(&f, 1), EP_UP);
		assert_int_equal(choose(&f).reason, CHOICE_DOWN);
		stop(&f);
	}
}

/* A server that ends has many sessions, and is not worse for that. */
static void
sessions_side_by_side_count_once(void **state)
{
	struct health_sample s = { .class = HEALTH_CUT_BEFORE_DOT, .source = SAMPLE_DELIVERY, .ready_ms = -1,
		.mail = MAIL_ENVELOPE, .age_ms = 5000, .detail = "gone" };
	struct fixture f;

	start_up(&f, 2);
	for (int i = 0; i < 5; i++) {
		health_note(f.h, 0, &s, f.now);
		f.now += 100;
	}
	assert_int_equal(f.h->ep[0].mail_failing, 2);
	assert_in_range(f.h->ep[0].mail_ms - f.now, MINUTES(1), MINUTES(3));
	f.now += 5000;
	health_note(f.h, 0, &s, f.now);
	assert_int_equal(f.h->ep[0].mail_failing, 4);
	stop(&f);
}

/* Each of three has failed: there is no way left, so mail may go to the next relay. */
static void
all_go_down_together(void **state)
{
	struct fixture f;

	start_up(&f, 3);
	fails(&f, 0, MAIL_ENVELOPE);
	fails(&f, 1, MAIL_ENVELOPE);
	assert_false(health_is_out(f.h, f.now));
	fails(&f, 2, MAIL_ENVELOPE);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(state_of(&f, i), EP_DOWN);
	assert_true(health_is_out(f.h, f.now));
	stop(&f);
}

/* One message that can't pass anywhere is not the ports' fault yet, nor what was long ago. */
static void
they_do_not_for_less(void **state)
{
	struct fixture f;

	start_up(&f, 3);
	for (size_t i = 0; i < 3; i++)
		fails(&f, i, MAIL_TEXT);
	assert_false(health_is_out(f.h, f.now));
	stop(&f);

	start_up(&f, 3);
	fails(&f, 0, MAIL_ENVELOPE);
	f.now += MINUTES(3);
	fails(&f, 1, MAIL_ENVELOPE);
	fails(&f, 2, MAIL_ENVELOPE);
	assert_false(health_is_out(f.h, f.now));
	stop(&f);

	start_up(&f, 3);
	fails(&f, 0, MAIL_ENVELOPE);		/* and a message has passed there since */
	delivery(&f, 0, HEALTH_OK);
	fails(&f, 1, MAIL_ENVELOPE);
	fails(&f, 1, MAIL_ENVELOPE);
	fails(&f, 2, MAIL_ENVELOPE);
	assert_int_equal(state_of(&f, 0), EP_UP);
	assert_false(health_is_out(f.h, f.now));
	stop(&f);
}

/* Probes bring it as far as to one message; the first that fails there takes it down again. */
static void
it_comes_back_for_one_message(void **state)
{
	struct fixture f;

	start_up(&f, 1);
	for (int i = 0; i < 3; i++)
		fails(&f, 0, MAIL_ENVELOPE);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	f.now += SECONDS(30);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_PROBING);
	assert_in_range(view(&f, 0).next_probe_ms - f.now, MINUTES(4), MINUTES(10));	/* probes show no more */
	f.now += SECONDS(15);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_PROBING);
	assert_true(health_is_out(f.h, f.now));
	f.now = view(&f, 0).next_probe_ms;
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_RECOVERING);
	assert_false(health_is_out(f.h, f.now));
	f.now += MINUTES(1);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(choose(&f).sessions, 1);
	fails(&f, 0, MAIL_TEXT);
	assert_int_equal(state_of(&f, 0), EP_DOWN);
	f.now += SECONDS(30);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(choose(&f).reason, CHOICE_CANARY);	/* nothing else is usable */
	delivery(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_RECOVERING);
	assert_false(view(&f, 0).suspect);
	stop(&f);
}

/* One message at one of them shows how it is; it fails, and the others wait for as long. */
static void
they_take_turns(void **state)
{
	struct fixture f;

	start_up(&f, 2);
	fails(&f, 0, MAIL_ENVELOPE);
	fails(&f, 1, MAIL_ENVELOPE);
	fails(&f, 0, MAIL_ENVELOPE);
	assert_true(health_is_out(f.h, f.now));
	for (size_t i = 0; i < 2; i++)
		probe(&f, i, HEALTH_OK);
	assert_in_range(f.h->ep[0].mail_ms - f.h->ep[1].mail_ms, 1, SECONDS(1));
	f.now = f.h->ep[0].mail_ms + SECONDS(1);
	probe(&f, 1, HEALTH_OK);
	assert_int_equal(state_of(&f, 1), EP_RECOVERING);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(state_of(&f, 0), EP_PROBING);
	assert_interval(&f, 0, 10 * 60);
	fails(&f, 1, MAIL_TEXT);
	assert_true(health_is_out(f.h, f.now));
	assert_in_range(f.h->ep[1].mail_ms - f.h->ep[0].mail_ms, 1, SECONDS(1));
	assert_in_range(view(&f, 0).next_probe_ms, f.h->ep[0].mail_ms, f.h->ep[0].mail_ms + MINUTES(12));
	/* With another one that works, nobody waits for a turn. */
	f.now = f.h->ep[1].mail_ms;
	probe(&f, 0, HEALTH_OK);
	delivery(&f, 0, HEALTH_OK);
	f.now += SECONDS(10);
	probe(&f, 1, HEALTH_OK);
	f.now += SECONDS(10);
	probe(&f, 1, HEALTH_OK);
	assert_int_equal(state_of(&f, 1), EP_RECOVERING);
	stop(&f);
}

/* Not one that mail keeps away from, however well it is for probes. */
static void
it_is_not_returned_to_too_soon(void **state)
{
	struct fixture f;

	start_up(&f, 2);
	kill_port(&f, 0);
	assert_int_equal(choose(&f).endpoint, 1);
	recover(&f, 0);
	fails(&f, 0, MAIL_TEXT);
	f.h->ep[0].mail_ms = f.now + HOURS(1);
	for (int i = 0; i < 8; i++) {
		probe(&f, 0, HEALTH_OK);
		f.now += MINUTES(5);
		probe(&f, 1, HEALTH_OK);
		assert_int_equal(choose(&f).endpoint, 1);
	}
	f.now += MINUTES(21);
	assert_int_equal(choose(&f).reason, CHOICE_RETURN);
	/* The others don't wait for the one message, and that is no failure of the return. */
	assert_true(health_mail_tries(f.h, 0, f.now));
	assert_int_equal(choose(&f).reason, CHOICE_DETOUR);
	fails(&f, 0, MAIL_TEXT);
	assert_int_equal(choose(&f).reason, CHOICE_BETTER);
	stop(&f);
}

static void
people_and_the_network_make_mail_try(void **state)
{
	struct fixture f;

	start_up(&f, 2);
	fails(&f, 0, MAIL_ENVELOPE);
	health_network_changed(f.h, f.now);
	probe(&f, 0, HEALTH_OK);
	assert_int_equal(choose(&f).endpoint, 0);
	assert_true(view(&f, 0).suspect);
	health_unblock(f.h, f.now);
	assert_false(view(&f, 0).suspect);
	stop(&f);
}

static void
assert_says(struct fixture *f, bool choice, const char *part)
{
	char text[512];
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	assert_true(choice ? health_why_chosen(f->h, 0, f->now, &b) : health_why(f->h, 0, &b));
	memcpy(text, buf_view(&b).p, buf_len(&b));
	text[buf_len(&b)] = '\0';
	buf_done(&b);
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

static void
the_words_say_so(void **state)
{
	struct fixture f;

	start_up(&f, 2);
	fails(&f, 0, MAIL_ENVELOPE);
	f.now += 1000;
	probe(&f, 0, HEALTH_OK);
	assert_says(&f, false, "answers, but mail failed there last: the connection broke before");
	assert_string_equal(view(&f, 0).detail, "gone");
	assert_says(&f, true, "mail failed here last, so sessions make a detour over 465, and one tries it here in ");
	fails(&f, 0, MAIL_ENVELOPE);
	fails(&f, 0, MAIL_ENVELOPE);
	f.now += SECONDS(30);
	probe(&f, 0, HEALTH_OK);
	assert_says(&f, false, "answers again, and a message is to show whether mail passes: the connection broke");
	stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_message_clears_it),
		cmocka_unit_test(one_message_leaves_a_way),
		cmocka_unit_test(one_message_waits_for_another),
		cmocka_unit_test(one_message_spoils_no_rating),
		cmocka_unit_test(the_only_way_stays_open),
		cmocka_unit_test(one_that_is_down_is_no_better),
		cmocka_unit_test(beside_a_better_one_it_goes_down),
		cmocka_unit_test(a_canary_that_fails_by_mail_leaves_it_probing),
		cmocka_unit_test(what_is_forgiven_is_forgotten),
		cmocka_unit_test(an_older_session_clears_nothing),
		cmocka_unit_test(one_message_tries_it_at_growing_intervals),
		cmocka_unit_test(it_goes_down_in_the_end),
		cmocka_unit_test(sessions_side_by_side_count_once),
		cmocka_unit_test(all_go_down_together),
		cmocka_unit_test(they_do_not_for_less),
		cmocka_unit_test(it_comes_back_for_one_message),
		cmocka_unit_test(they_take_turns),
		cmocka_unit_test(it_is_not_returned_to_too_soon),
		cmocka_unit_test(people_and_the_network_make_mail_try),
		cmocka_unit_test(the_words_say_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
