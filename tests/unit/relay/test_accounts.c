/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of doc/accounts.md: what is written is read, what is damaged is not, and time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "relay/accounts.h"

#include "base/banned.h"

#define NOON	INT64_C(1795348800000)		/* 2026-11-22T12:00:00Z */
#define HOUR	INT64_C(3600000)
#define DAY	(24 * HOUR)
#define YEAR	(365 * DAY)

static struct accounts_entry
entry(enum account_state state, enum health_class class, int64_t lasts_ms, int64_t left_ms)
{
	struct accounts_entry x = { .name = "main", .proven = true, .open = 3,
		.record = { .state = state, .step = 2, .class = class, .lasts_ms = lasts_ms,
			.left_ms = left_ms, .detail = "535 5.7.8 no: \"never\"" } };

	for (size_t i = 0; i < sizeof(x.fingerprint); i++)
		x.fingerprint[i] = (uint8_t)(17 * i + (unsigned)state);
	return x;
}

static void
two(struct accounts *a)
{
	*a = (struct accounts){ .written_ms = NOON, .n = 2 };
	a->entry[0] = entry(ACCOUNT_BLOCKED, HEALTH_AUTH_REFUSED, 6 * HOUR, 5 * HOUR);
	a->entry[1] = entry(ACCOUNT_AVAILABLE, HEALTH_OK, 0, 0);
	a->entry[1].record.detail[0] = '\0';
	a->entry[1].proven = false;
}

/* --- the text ------------------------------------------------------------------------ */

static void
test_the_text_of_the_document(void **state)
{
	struct accounts a = { .written_ms = NOON, .n = 1 };
	struct buf out;

	a.entry[0] = entry(ACCOUNT_BLOCKED, HEALTH_AUTH_REFUSED, 6 * HOUR, 5 * HOUR);
	buf_init(&out, ACCOUNTS_TEXT_MAX);
	assert_true(accounts_text(&a, &out));
	buf_truncate(&out, buf_len(&out) - strlen("12345678\n"));
	assert_string_equal(buf_cstr(&out),
	    "posthouse-accounts 1\n"
	    "written: 2026-11-22T12:00:00.000Z\n"
	    "relay: main\n"
	    "fingerprint: 031425364758697a8b9cadbecfe0f102\n"
	    "proven: yes\n"
	    "open: 3\n"
	    "state: blocked\n"
	    "since: 2026-11-22T11:00:00.000Z\n"
	    "until: 2026-11-22T17:00:00.000Z\n"
	    "step: 2\n"
	    "class: auth_refused\n"
	    "detail: 535 5.7.8 no: \"never\"\n"
	    "end: ");
	buf_done(&out);
}

static void
assert_same(const struct accounts *a, const struct accounts *b)
{
	assert_int_equal(a->written_ms, b->written_ms);
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		const struct accounts_entry *x = &a->entry[i], *y = &b->entry[i];

		assert_string_equal(x->name, y->name);
		assert_memory_equal(x->fingerprint, y->fingerprint, FINGERPRINT_SIZE);
		assert_int_equal(x->proven, y->proven);
		assert_int_equal(x->open, y->open);
		assert_int_equal(x->record.state, y->record.state);
		assert_int_equal(x->record.step, y->record.step);
		assert_int_equal(x->record.class, y->record.class);
		assert_int_equal(x->record.lasts_ms, y->record.lasts_ms);
		assert_int_equal(x->record.left_ms, y->record.left_ms);
		assert_string_equal(x->record.detail, y->record.detail);
	}
}

static void
test_what_is_written_is_read(void **state)
{
	struct accounts a, b;
	struct buf out;
	struct err e;

	two(&a);
	buf_init(&out, ACCOUNTS_TEXT_MAX);
	assert_true(accounts_text(&a, &out));
	assert_int_equal(accounts_parse(&b, buf_view(&out), &e), 0);
	assert_same(&a, &b);
	assert_ptr_equal(accounts_find(&b, a.entry[1].fingerprint), &b.entry[1]);
	a.entry[1].fingerprint[FINGERPRINT_SIZE - 1] ^= 1;
	assert_null(accounts_find(&b, a.entry[1].fingerprint));

	/* The largest there is fits, and none is one too. */
	a.n = ACCOUNTS_MAX;
	for (size_t i = 0; i < a.n; i++) {
		struct accounts_entry *x = &a.entry[i];

		*x = entry(ACCOUNT_EXHAUSTED, HEALTH_QUOTA_USED_UP, 26 * HOUR, 25 * HOUR);
		memset(x->name, 'n', ACCOUNTS_NAME_MAX);
		memset(x->record.detail, 'd', HEALTH_DETAIL_MAX - 1);
		x->open = x->record.step = 1000;
	}
	buf_clear(&out);
	assert_true(accounts_text(&a, &out));
	assert_int_equal(accounts_parse(&b, buf_view(&out), &e), 0);
	assert_same(&a, &b);
	a.n = 0;
	buf_clear(&out);
	assert_true(accounts_text(&a, &out));
	assert_int_equal(accounts_parse(&b, buf_view(&out), &e), 0);
	assert_int_equal(b.n, 0);
	buf_done(&out);
}

/* Whatever is cut off, and whichever bit is wrong: nothing is taken, and *out is as it was. */
static void
test_damage_is_found(void **state)
{
	struct accounts a, b;
	struct buf out;
	struct err e;
	size_t n;

	two(&a);
	buf_init(&out, ACCOUNTS_TEXT_MAX);
	assert_true(accounts_text(&a, &out));
	n = buf_len(&out);
	b.n = 77;
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy = malloc(i + 1);		/* of the very size, for the sanitizers */

		assert_non_null(copy);
		memcpy(copy, buf_view(&out).p, i);
		assert_int_equal(accounts_parse(&b, view_of(copy, i), &e), -1);
		assert_true(e.text[0] != '\0');
		free(copy);
	}
	for (size_t i = 0; i < n; i++)
		for (int bit = 0; bit < 8; bit++) {
			out.data[i] ^= (uint8_t)(1 << bit);
			assert_int_equal(accounts_parse(&b, buf_view(&out), &e), -1);
			out.data[i] ^= (uint8_t)(1 << bit);
		}
	assert_true(buf_add_byte(&out, '\n'));
	assert_int_equal(accounts_parse(&b, buf_view(&out), &e), -1);
	assert_int_equal(b.n, 77);
	buf_done(&out);
}

/* With a good checksum: every line has to be there, in its place, and to make sense. */
static int
parse_with_sum(const char *text, struct accounts *out, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, 1u << 20);
	assert_true(buf_add_str(&b, text));
	assert_true(buf_addf(&b, "end: %08x\n", (unsigned)crc32c(0, view_str(text))));
	rc = accounts_parse(out, buf_view(&b), e);
	buf_done(&b);
	return rc;
}

#define HEAD "posthouse-accounts 1\nwritten: 2026-11-22T12:00:00.000Z\n"
#define LINES_OF(relay, finger, proven, open, state, since, until, step, class, detail) \
	"relay: " relay "\nfingerprint: " finger "\nproven: " proven "\nopen: " open "\nstate: " state \
	"\nsince: " since "\nuntil: " until "\nstep: " step "\nclass: " class "\ndetail: " detail "\n"
#define F "031425364758697a8b9cadbecfe0f102"
#define T1 "2026-11-22T11:00:00.000Z"
#define T2 "2026-11-22T17:00:00.000Z"

static void
test_nonsense_is_not_taken(void **state)
{
	static const char *const bad[] = {
		HEAD LINES_OF("m", "03", "yes", "0", "blocked", T1, T2, "0", "quota", ""),
		HEAD LINES_OF("m", F "00", "yes", "0", "blocked", T1, T2, "0", "quota", ""),
		HEAD LINES_OF("m", "x" F, "yes", "0", "blocked", T1, T2, "0", "quota", ""),
		HEAD LINES_OF("m", F, "maybe", "0", "blocked", T1, T2, "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "1001", "blocked", T1, T2, "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "-1", "blocked", T1, T2, "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "down", T1, T2, "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "weird", T1, T2, "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "blocked", "yesterday", T2, "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "blocked", T2, T1, "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "blocked", T1, T1, "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "blocked", T1, "2026-11-23T15:00:00.001Z", "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "blocked", T1, "2036-11-22T11:00:00.000Z", "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "blocked", T1, T2, "9999", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "blocked", T1, T2, "0", "quota", "a\tb"),
		HEAD "more: 1\n" LINES_OF("m", F, "yes", "0", "blocked", T1, T2, "0", "quota", ""),
		HEAD LINES_OF("m", F, "yes", "0", "blocked", T1, T2, "0", "quota", "") "more: 1\n",
		HEAD LINES_OF("m", F, "yes", "0", "blocked", T1, T2, "0", "quota", "") "relay: n\n",
		HEAD "relay: m\n",
		HEAD "relay: m\nfingerprint: " F "\npropen: no\nopen: 0\nstate: blocked\nsince: " T1 "\nuntil: " T2
		    "\nstep: 0\nclass: quota\ndetail: \n",
		HEAD "relay: m\nfingerprint: " F "\nproven= no\nopen: 0\nstate: blocked\nsince: " T1 "\nuntil: " T2
		    "\nstep: 0\nclass: quota\ndetail: \n",
		"posthouse-accounts 1\n",
		"posthouse-accounts 1\nwritten: now\n",
		"",
	};
	struct accounts a = { .n = 77 };
	struct err e;

	for (size_t i = 0; i < lengthof(bad); i++)
		if (parse_with_sum(bad[i], &a, &e) != -1 || a.n != 77)
			fail_msg("%s", bad[i]);
	assert_int_equal(parse_with_sum(HEAD LINES_OF("m", F, "no", "0", "paused", T1, T2, "1000",
	    "of_a_later_version", "x"), &a, &e), 0);
	assert_int_equal(a.entry[0].record.class, HEALTH_AUTH_TEMP);	/* the usual one */
}

static void
test_too_much_is_not_taken(void **state)
{
	static const char one[] = LINES_OF("m", F, "yes", "0", "blocked", T1, T2, "0", "quota", "");
	struct accounts a = { .n = 77 };
	struct buf text;
	struct err e;
	char detail[400], name[100];

	buf_init(&text, 1u << 20);
	assert_true(buf_add_str(&text, HEAD));
	for (size_t i = 0; i < ACCOUNTS_MAX; i++)
		assert_true(buf_add_str(&text, one));
	assert_int_equal(parse_with_sum(buf_cstr(&text), &a, &e), 0);
	assert_int_equal(a.n, ACCOUNTS_MAX);
	assert_true(buf_add_str(&text, one));
	assert_int_equal(parse_with_sum(buf_cstr(&text), &a, &e), -1);

	memset(detail, 'd', sizeof(detail));
	memset(name, 'n', sizeof(name));
	for (int longer = 0; longer < 3; longer++) {
		detail[HEALTH_DETAIL_MAX - 1 + (longer == 1)] = '\0';
		name[ACCOUNTS_NAME_MAX + (longer == 2)] = '\0';
		buf_clear(&text);
		assert_true(buf_addf(&text, HEAD "relay: %s\nfingerprint: " F "\nproven: no\nopen: 0\n"
		    "state: blocked\nsince: " T1 "\nuntil: " T2 "\nstep: 0\nclass: quota\ndetail: %s\n", name, detail));
		assert_int_equal(parse_with_sum(buf_cstr(&text), &a, &e), longer == 0 ? 0 : -1);
		memset(detail, 'd', sizeof(detail));
		memset(name, 'n', sizeof(name));
	}
	buf_done(&text);
}

static void
test_a_later_version_is_told(void **state)
{
	struct accounts a;
	struct err e;

	assert_int_equal(accounts_parse(&a, VIEW("posthouse-accounts 2\nwhatever\n"), &e), -1);
	assert_non_null(strstr(e.text, "another version"));
	assert_int_equal(accounts_parse(&a, VIEW("posthouse-accounts \n"), &e), -1);
	assert_non_null(strstr(e.text, "damaged"));
	assert_int_equal(accounts_parse(&a, VIEW(""), &e), -1);
	assert_non_null(strstr(e.text, "damaged"));
}

/* --- time ----------------------------------------------------------------------------- */

/* What is left when relay starts so long after the file was written. */
static int64_t
left_after(int64_t left_ms, int64_t away_ms)
{
	struct accounts a = { .written_ms = NOON, .n = 1 };
	struct account_record rec;

	a.entry[0] = entry(ACCOUNT_BLOCKED, HEALTH_AUTH_REFUSED, 26 * HOUR, left_ms);
	accounts_resume(&a, &a.entry[0], NOON + away_ms, &rec);
	assert_int_equal(rec.state, ACCOUNT_BLOCKED);		/* time alone ends no block */
	assert_int_equal(rec.step, 2);
	assert_string_equal(rec.detail, "535 5.7.8 no: \"never\"");
	return rec.left_ms;
}

static void
test_what_is_left(void **state)
{
	assert_int_equal(left_after(6 * HOUR, 0), 6 * HOUR);
	assert_int_equal(left_after(6 * HOUR, HOUR), 5 * HOUR);
	assert_int_equal(left_after(6 * HOUR, 7 * HOUR), 0);
	assert_int_equal(left_after(6 * HOUR, 30 * DAY), 0);
	/* Clocks that nobody believes. */
	assert_int_equal(left_after(6 * HOUR, -1), 6 * HOUR);
	assert_int_equal(left_after(6 * HOUR, -10 * YEAR), 6 * HOUR);
	assert_int_equal(left_after(6 * HOUR, -NOON), 6 * HOUR);
	assert_int_equal(left_after(6 * HOUR, 32 * DAY), 6 * HOUR);
	assert_int_equal(left_after(6 * HOUR, 10 * YEAR), 6 * HOUR);
}

static void
test_a_quota_ends_by_time(void **state)
{
	struct accounts a = { .written_ms = NOON, .n = 1 };
	struct account_record rec;

	a.entry[0] = entry(ACCOUNT_EXHAUSTED, HEALTH_QUOTA_USED_UP, 12 * HOUR, 12 * HOUR);
	a.entry[0].open = 0;
	accounts_resume(&a, &a.entry[0], NOON + HOUR, &rec);
	assert_int_equal(rec.state, ACCOUNT_EXHAUSTED);
	assert_int_equal(rec.left_ms, 11 * HOUR);
	accounts_resume(&a, &a.entry[0], NOON + 12 * HOUR, &rec);
	assert_int_equal(rec.state, ACCOUNT_AVAILABLE);
}

/* In 1970, and at the other end, a text can be written and read, with the right rest. */
static void
test_odd_clocks(void **state)
{
	static const int64_t walls[] = { 0, 5000, -YEAR, INT64_C(253402300799000), 400000 * DAY };

	for (size_t i = 0; i < lengthof(walls); i++) {
		struct accounts a = { .written_ms = walls[i], .n = 1 }, b;
		struct account_record rec;
		struct buf out;
		struct err e;

		a.entry[0] = entry(ACCOUNT_BLOCKED, HEALTH_AUTH_REFUSED, 26 * HOUR, 20 * HOUR);
		buf_init(&out, ACCOUNTS_TEXT_MAX);
		assert_true(accounts_text(&a, &out));
		assert_int_equal(accounts_parse(&b, buf_view(&out), &e), 0);
		assert_int_equal(b.entry[0].record.left_ms, 20 * HOUR);
		accounts_resume(&b, &b.entry[0], NOON, &rec);
		assert_int_equal(rec.left_ms, 20 * HOUR);
		buf_done(&out);
	}
}

/* --- logins whose answer nobody saw ---------------------------------------------------------- */

static int64_t
pause_of(bool proven, unsigned open, int64_t away_ms)
{
	struct accounts a = { .written_ms = NOON, .n = 1 };
	struct account_record rec;

	a.entry[0] = entry(ACCOUNT_AVAILABLE, HEALTH_OK, 0, 0);
	a.entry[0].proven = proven;
	a.entry[0].open = open;
	accounts_resume(&a, &a.entry[0], NOON + away_ms, &rec);
	if (rec.state == ACCOUNT_AVAILABLE)
		return 0;
	assert_int_equal(rec.state, ACCOUNT_PAUSED);
	assert_int_equal(rec.class, HEALTH_AUTH_UNANSWERED);
	assert_true(rec.detail[0] != '\0');
	return rec.left_ms / 1000;
}

static void
test_an_open_login_is_waited_for(void **state)
{
	static const int64_t seconds[] = { 30, 60, 120, 240, 480, 900, 900 };

	assert_int_equal(pause_of(false, 0, 0), 0);
	for (unsigned i = 0; i < lengthof(seconds); i++) {
		assert_int_equal(pause_of(false, i + 1, 0), seconds[i]);
		assert_int_equal(pause_of(true, i + 1, 0), i == 0 ? 0 : seconds[i]);
	}
	assert_int_equal(pause_of(false, 1000, 0), 900);
	assert_int_equal(pause_of(true, 0, 0), 0);
	assert_int_equal(pause_of(false, 1, 20000), 10);
	assert_int_equal(pause_of(false, 1, 30000), 0);
	assert_int_equal(pause_of(false, 1, -10 * YEAR), 30);
	assert_int_equal(pause_of(false, 1, 10 * YEAR), 30);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_text_of_the_document),
		cmocka_unit_test(test_what_is_written_is_read),
		cmocka_unit_test(test_damage_is_found),
		cmocka_unit_test(test_nonsense_is_not_taken),
		cmocka_unit_test(test_too_much_is_not_taken),
		cmocka_unit_test(test_a_later_version_is_told),
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_a_quota_ends_by_time),
		cmocka_unit_test(test_odd_clocks),
		cmocka_unit_test(test_an_open_login_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
