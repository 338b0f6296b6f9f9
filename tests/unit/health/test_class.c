/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each class is called, is about and does: doc/health.md is read here, and its tables
 * of classes and states are compared with what the code does, cell by cell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "unit/health/health_help.h"

#include "base/banned.h"

#define CELLS_MAX 16

/* The word of each class, and what its sentence must say. */
static const struct {
	const char	*word, *says;
} known[HEALTH_CLASS_COUNT] = {
	[HEALTH_OK] = { "ok", "works" },
	[HEALTH_DNS_FAIL] = { "dns_fail", "name server" },
	[HEALTH_DNS_NXDOMAIN] = { "dns_nxdomain", "host name does not exist" },
	[HEALTH_LOCAL_DENIED] = { "local_denied", "this host itself forbids" },
	[HEALTH_NO_ROUTE] = { "no_route", "no route" },
	[HEALTH_REFUSED] = { "refused", "nothing listens" },
	[HEALTH_FILTERED] = { "filtered", "filtered" },
	[HEALTH_PROHIBITED] = { "prohibited", "says that the connection is prohibited" },
	[HEALTH_NO_BANNER] = { "no_banner", "no greeting" },
	[HEALTH_BANNER_4XX] = { "banner_4xx", "try later" },
	[HEALTH_BANNER_5XX] = { "banner_5xx", "greets with a refusal" },
	[HEALTH_NOT_SMTP] = { "not_smtp", "not SMTP" },
	[HEALTH_WANTS_IMPLICIT] = { "wants_implicit", "TLS from the first byte" },
	[HEALTH_WANTS_STARTTLS] = { "wants_starttls", "expects STARTTLS" },
	[HEALTH_STARTTLS_MISSING] = { "starttls_missing", "STARTTLS is not offered" },
	[HEALTH_STARTTLS_BLANKED] = { "starttls_blanked", "writes X over the offer" },
	[HEALTH_STARTTLS_REFUSED] = { "starttls_refused", "offers STARTTLS but refuses it" },
	[HEALTH_INJECTED] = { "injected", "tamper with the path" },
	[HEALTH_TLS_HANDSHAKE] = { "tls_handshake", "handshake failed" },
	[HEALTH_TLS_NAME] = { "tls_name", "for another name" },
	[HEALTH_TLS_EXPIRED] = { "tls_expired", "not valid at this date" },
	[HEALTH_TLS_UNTRUSTED] = { "tls_untrusted", "not signed by a trusted" },
	[HEALTH_EHLO_REFUSED] = { "ehlo_refused", "our name in EHLO" },
	[HEALTH_AUTH_MISSING] = { "auth_missing", "no login method" },
	[HEALTH_AUTH_UNANSWERED] = { "auth_unanswered", "got no answer" },
	[HEALTH_AUTH_NOT_TAKEN] = { "auth_not_taken", "does not know the command" },
	[HEALTH_AUTH_UNPROVEN] = { "auth_unproven", "does not show that it knows the password" },
	[HEALTH_AUTH_TEMP] = { "auth_temp", "can't check logins now" },
	[HEALTH_AUTH_REFUSED] = { "auth_refused", "login was refused" },
	[HEALTH_MAIL_DENIED] = { "mail_denied", "though the login worked" },
	[HEALTH_QUOTA] = { "quota", "slow down" },
	[HEALTH_QUOTA_USED_UP] = { "quota_used_up", "is used up" },
	[HEALTH_SENDER_REFUSED] = { "sender_refused", "sender address was refused" },
	[HEALTH_RCPT_REFUSED] = { "rcpt_refused", "recipient was refused" },
	[HEALTH_CONTENT_REFUSED] = { "content_refused", "message was refused" },
	[HEALTH_MSG_TEMP] = { "msg_temp", "try this message later" },
	[HEALTH_CUT_BEFORE_DOT] = { "cut_before_dot", "before the message was complete" },
	[HEALTH_CUT_AFTER_DOT] = { "cut_after_dot", "may have arrived" },
	[HEALTH_GARBLED] = { "garbled", "make no sense" },
};

static const char *const endpoint_words[EP_STATE_COUNT] = {
	"unknown", "up", "degraded", "down", "probing", "recovering", "blocked", "off",
};
static const char *const account_words[ACCOUNT_STATE_COUNT] = {
	"available", "paused", "exhausted", "blocked", "down",
};
static const char *const endpoint_events[EV_COUNT] = {
	"success", "proven", "soft", "poor", "hard", "lost", "certain", "block", "network", "unblock",
};
static const char *const account_events[AC_COUNT] = {
	"worked", "rest", "used up", "refused", "still refused", "time", "release",
};

/* --- the document ---------------------------------------------------------------- */

static char document[1 << 17];

static int
read_document(void **state)
{
	const char *top = getenv("top_srcdir");
	char name[4096];
	FILE *f;
	size_t n;

	snprintf(name, sizeof(name), "%s/doc/health.md", top != NULL ? top : ".");
	f = fopen(name, "r");
	if (f == NULL)
		return -1;
	n = fread(document, 1, sizeof(document) - 1, f);
	document[n] = '\0';
	return fclose(f) == 0 && n > 0 && n < sizeof(document) - 1 ? 0 : -1;
}

/* The cells of a row, without blanks and emphasis; how many. */
static size_t
cells_of(struct view line, struct view cell[CELLS_MAX])
{
	size_t n = 0;

	line = view_from(line, 1);
	while (n < CELLS_MAX && view_split(&line, '|', &cell[n])) {
		struct view c = view_trim(cell[n]);

		while (c.n >= 2 && c.p[0] == '*' && c.p[c.n - 1] == '*')
			c = view_first(view_from(c, 1), c.n - 2);
		cell[n++] = c;
	}
	return n;
}

/* What follows the header and its line of dashes. */
static struct view
rows_below(const char *header)
{
	struct view text = view_str(document), line;
	size_t at = view_search(text, view_str(header));

	if (at >= text.n)
		fail_msg("no table %s", header);
	text = view_from(text, at);
	assert_true(view_split(&text, '\n', &line) && view_split(&text, '\n', &line));
	return text;
}

static bool
next_row(struct view *rows, struct view cell[CELLS_MAX], size_t *n)
{
	struct view line;

	if (!view_split(rows, '\n', &line) || line.n == 0 || line.p[0] != '|')
		return false;
	*n = cells_of(line, cell);
	return true;
}

static int
place_of(struct view word, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (view_eq(word, view_str(words[i])))
			return i;
	fail_msg("the document has the word %.*s", VIEW_ARG(word));
	return -1;
}

/* --- classes ---------------------------------------------------------------------- */

static enum account_state
account_state(const struct fixture *f)
{
	struct account_view v;

	health_account(f->h, f->now, &v);
	return v.state;
}

/* That many failures leave the port usable, and one more takes it out, into that state. */
static void
takes_out_after(struct fixture *f, enum health_class class, int spared, enum endpoint_state out)
{
	for (int i = 0; i < spared; i++) {
		delivery(f, 0, class);
		assert_true(state_of(f, 0) == EP_UP || state_of(f, 0) == EP_DEGRADED);
		assert_true(view(f, 0).suspect);
	}
	delivery(f, 0, class);
	assert_int_equal(state_of(f, 0), out);
	assert_int_equal(account_state(f), ACCOUNT_AVAILABLE);
	assert_int_equal(state_of(f, 1), EP_UP);
}

static void
spares_ports(struct fixture *f, enum health_class class)
{
	for (int i = 0; i < 8; i++)
		delivery(f, 0, class);
	assert_int_equal(state_of(f, 0), EP_UP);
	assert_false(view(f, 0).suspect);
}

/* As the document has it: its first word. */
static void
assert_effect(enum health_class class, struct view effect)
{
	struct fixture f;
	struct view word = view_first(effect, view_find(effect, ' '));

	if (view_ends(word, VIEW(",")))
		word.n--;

	start(&f, 2);
	all_up(&f);
	if (view_eq(word, VIEW("hard"))) {
		takes_out_after(&f, class, 2, EP_DOWN);
	} else if (view_eq(word, VIEW("soft"))) {
		takes_out_after(&f, class, 5, EP_DOWN);
	} else if (view_eq(word, VIEW("down"))) {
		takes_out_after(&f, class, 0, EP_DOWN);
	} else if (view_eq(word, VIEW("block"))) {
		takes_out_after(&f, class, 1, EP_BLOCKED);
	} else if (view_eq(word, VIEW("blocked"))) {
		takes_out_after(&f, class, 0, EP_BLOCKED);
	} else if (view_eq(word, VIEW("account:"))) {
		spares_ports(&f, class);
		assert_int_not_equal(account_state(&f), ACCOUNT_AVAILABLE);
	} else if (view_eq(word, VIEW("nothing"))) {
		spares_ports(&f, class);
		assert_int_equal(account_state(&f), ACCOUNT_AVAILABLE);
	} else {
		fail_msg("the document has the effect %.*s", VIEW_ARG(effect));
	}
	stop(&f);
}

static enum health_class
class_of(struct view word)
{
	for (int c = 0; c < HEALTH_CLASS_COUNT; c++)
		if (view_eq(word, view_str(known[c].word)))
			return (enum health_class)c;
	fail_msg("the document has the class %.*s", VIEW_ARG(word));
	return HEALTH_OK;
}

static void
each_class_is_as_the_document_says(void **state)
{
	static const char *const scopes[] = {
		[SCOPE_NONE] = "-", [SCOPE_LOCAL] = "local", [SCOPE_NETWORK] = "network",
		[SCOPE_ENDPOINT] = "endpoint", [SCOPE_ACCOUNT] = "account", [SCOPE_MESSAGE] = "message",
	};
	struct view rows = rows_below("| scope | classes | effect |"), cell[CELLS_MAX], word;
	bool seen[HEALTH_CLASS_COUNT] = { [HEALTH_OK] = true };
	size_t n;

	while (next_row(&rows, cell, &n)) {
		assert_int_equal(n, 3);
		while (view_split(&cell[1], ',', &word)) {
			enum health_class class = class_of(view_trim(word));

			assert_false(seen[class]);
			seen[class] = true;
			assert_int_equal(health_class_info(class)->scope,
			    place_of(cell[0], scopes, lengthof(scopes)));
			assert_effect(class, cell[2]);
		}
	}
	for (int c = 0; c < HEALTH_CLASS_COUNT; c++)
		if (!seen[c])
			fail_msg("the document lacks %s", known[c].word);
}

static void
each_class_has_its_word_and_sentence(void **state)
{
	assert_int_equal(health_class_info(HEALTH_OK)->scope, SCOPE_NONE);
	assert_int_equal(health_class_info(HEALTH_OK)->severity, SEVERITY_NONE);
	for (int c = 0; c < HEALTH_CLASS_COUNT; c++) {
		const struct health_class_info *i = health_class_info((enum health_class)c);
		enum health_class found;

		assert_string_equal(i->word, known[c].word);
		assert_non_null(strstr(i->sentence, known[c].says));
		assert_non_null(i->advice);
		assert_true(health_class_find(view_str(known[c].word), &found));
		assert_int_equal(found, c);
	}
}

/* --- states ------------------------------------------------------------------------ */

static void
each_state_event_and_reason_has_its_word(void **state)
{
	static const char *const reasons[CHOICE_NONE + 1] = {
		"stay", "first", "down", "detour", "better", "return", "canary", "race", "restart", "none",
	};
	static const char *const events[HEALTH_EVENT_COUNT] = {
		"endpoint-up", "endpoint-degraded", "endpoint-down", "endpoint-blocked", "route-changed",
		"relay-down", "relay-up", "flapping", "account-available", "account-paused",
		"account-exhausted", "account-blocked", "detour", "detour-over",
	};

	for (int s = 0; s < EP_STATE_COUNT; s++)
		assert_string_equal(endpoint_state_word((enum endpoint_state)s), endpoint_words[s]);
	for (int s = 0; s < ACCOUNT_STATE_COUNT; s++)
		assert_string_equal(account_state_word((enum account_state)s), account_words[s]);
	for (int r = 0; r <= CHOICE_NONE; r++)
		assert_string_equal(choice_reason_word((enum choice_reason)r), reasons[r]);
	for (int k = 0; k < HEALTH_EVENT_COUNT; k++)
		assert_string_equal(health_event_word((enum health_event_kind)k), events[k]);
}

static void
the_table_of_endpoint_states_is_the_documents(void **state)
{
	struct view cell[CELLS_MAX], rows = rows_below(
	    "| | success | proven | soft | poor | hard | lost | certain | block | network | unblock |");
	int seen = 0;
	size_t n;

	while (next_row(&rows, cell, &n)) {
		int from = place_of(cell[0], endpoint_words, EP_STATE_COUNT);

		assert_int_equal(n, EV_COUNT + 1);
		for (int ev = 0; ev < EV_COUNT; ev++) {
			enum endpoint_state to = endpoint_next_state((enum endpoint_state)from,
			    (enum endpoint_event)ev);

			if (place_of(cell[ev + 1], endpoint_words, EP_STATE_COUNT) != (int)to)
				fail_msg("%s, %s: the code says %s", endpoint_words[from],
				    endpoint_events[ev], endpoint_words[to]);
		}
		seen |= 1 << from;
	}
	assert_int_equal(seen, (1 << EP_STATE_COUNT) - 1);
}

static void
the_table_of_account_states_is_the_documents(void **state)
{
	struct view cell[CELLS_MAX], rows = rows_below(
	    "| | worked | rest | used up | refused | still refused | time | release |");
	int seen = 0;
	size_t n;

	while (next_row(&rows, cell, &n)) {
		int from = place_of(cell[0], account_words, ACCOUNT_DOWN);

		assert_int_equal(n, AC_COUNT + 1);
		for (int ev = 0; ev < AC_COUNT; ev++) {
			enum account_state to = account_next_state((enum account_state)from,
			    (enum account_event)ev);

			if (place_of(cell[ev + 1], account_words, ACCOUNT_DOWN) != (int)to)
				fail_msg("%s, %s: the code says %s", account_words[from],
				    account_events[ev], account_words[to]);
		}
		seen |= 1 << from;
	}
	assert_int_equal(seen, (1 << ACCOUNT_DOWN) - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_class_has_its_word_and_sentence),
		cmocka_unit_test(each_class_is_as_the_document_says),
		cmocka_unit_test(each_state_event_and_reason_has_its_word),
		cmocka_unit_test(the_table_of_endpoint_states_is_the_documents),
		cmocka_unit_test(the_table_of_account_states_is_the_documents),
	};

	return cmocka_run_group_tests(tests, read_document, NULL);
}
