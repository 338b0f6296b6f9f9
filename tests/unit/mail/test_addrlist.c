/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "mail/addrlist.h"

#include "base/banned.h"

struct got {
	struct buf	text;		/* addresses, "|" behind each */
	size_t		max, n;
};

static bool
take(void *arg, struct view address, struct err *e)
{
	struct got *g = arg;

	if (g->n == g->max) {
		(void)err_set(e, ERR_FULL, "too many");
		return false;
	}
	g->n++;
	assert_true(buf_add(&g->text, address) && buf_add_byte(&g->text, '|'));
	return true;
}

/* The whole view is copied to memory of its exact size, so that a sanitizer sees each byte too far. */
static int
parse(struct got *g, struct view value, struct err *e)
{
	uint8_t *copy = malloc(value.n != 0 ? value.n : 1);
	int rc;

	assert_non_null(copy);
	if (value.n != 0)
		memcpy(copy, value.p, value.n);
	buf_clear(&g->text);
	g->n = 0;
	rc = addrlist_parse(view_of(copy, value.n), take, g, e);
	free(copy);
	return rc;
}

static void
test_good(void **state)
{
	static const struct {
		const char *value, *want;
	} c[] = {
		{ "", "" },
		{ " \r\n", "" },
		{ "a@b", "a@b|" },
		{ "root", "root|" },
		{ "a@b, c@d ,,e@f,", "a@b|c@d|e@f|" },
		{ " a@b,\r\n\tc@d\r\n", "a@b|c@d|" },
		{ "Alice <a@b>", "a@b|" },
		{ "Alice Q. Public <a@b>, Bob <c@d>", "a@b|c@d|" },
		{ "\"Public, Alice\" <a@b>", "a@b|" },
		{ "\"a \\\" quote\" <a@b>", "a@b|" },
		{ "a@b (Alice)", "a@b|" },
		{ "root (Cron Daemon)", "root|" },
		{ "(x (y) \\) z) a (c) @ (d) b . c (e)", "a@b.c|" },
		{ "< a @ b >", "a@b|" },
		{ "J\xc3\xb6rg <j@b>", "j@b|" },
		{ "j\xc3\xb6rg@b", "j\xc3\xb6rg@b|" },
		{ "\"two words\"@b", "\"two words\"@b|" },
		{ "\"folded\r\n words\"@b", "\"folded words\"@b|" },
		{ "a@[192.0.2.1]", "a@[192.0.2.1]|" },
		{ "<@x,@y:a@b>", "a@b|" },
		{ "undisclosed-recipients:;", "" },
		{ "Team: a@b, Bob <c@d>;, e@f", "a@b|c@d|e@f|" },
		{ "Two Words:a@b;", "a@b|" },
		{ "a@b; c@d", "a@b|c@d|" },
		{ "a+b/c=d!#$%&'*-?^_`{|}~@b", "a+b/c=d!#$%&'*-?^_`{|}~@b|" },
		{ "[list] Alice <a@b>", "a@b|" },
	};
	struct got g = { .max = 100 };
	struct err e;

	buf_init(&g.text, 4096);
	for (size_t i = 0; i < lengthof(c); i++) {
		if (parse(&g, view_str(c[i].value), &e) < 0)
			fail_msg("%s: %s", c[i].value, e.text);
		assert_true(view_eq(buf_view(&g.text), view_str(c[i].want)));
	}
	buf_done(&g.text);
}

static void
test_bad(void **state)
{
	static const struct {
		const char *value, *why;
	} c[] = {
		{ "Alice Public", "a name without an address near \"Alice Public\"" },
		{ "a@b, Alice Public, c@d", "a name without an address near \"Alice Public, c@d\"" },
		{ "a@b@c", "two @ in one address near \"a@b@c\"" },
		{ "@b", "an address without a local part near \"@b\"" },
		{ "a@", "an address without a domain near \"a@\"" },
		{ "<>", "an address without a local part near \"<>\"" },
		{ "<a@b", "a \"<\" without \">\" near \"<a@b\"" },
		{ "a@b>", "a \">\" without \"<\" near \"a@b>\"" },
		{ "<<a@b>>", "a character that may not be in an address near \"<<a@b>>\"" },
		{ "<a@b,c@d>", "a character that may not be in an address near \"<a@b,c@d>\"" },
		{ "<a b@c>", "a name without an address near \"<a b@c>\"" },
		{ "<a@b> c", "text behind an address near \"<a@b> c\"" },
		{ "<@x,@y>", "a route without an address near \"<@x,@y>\"" },
		{ "a@b (open", "a comment is not closed near \"a@b (open\"" },
		{ "\"open <a@b>", "a quoted string is not closed near \"\\\"open <a@b>\"" },
		{ "\"end\\", "a quoted string is not closed near \"\\\"end\\\\\"" },
		{ "a@[1.2.3.4", "an address literal is not closed near \"a@[1.2.3.4\"" },
		{ "a@b)", "a character that may not be there near \"a@b)\"" },
		{ "a@b\x01", "a character that may not be there near \"a@b\\x01\"" },
		{ "Team: a@b", "a group without \";\" near \"Team: a@b\"" },
		{ "A: B: a@b;", "a \":\" that begins no group near \"A: B: a@b;\"" },
		{ ": a@b;", "a \":\" that begins no group near \": a@b;\"" },
		{ "a@b: c@d;", "a \":\" that begins no group near \"a@b: c@d;\"" },
	};
	struct got g = { .max = 100 };
	struct err e;

	buf_init(&g.text, 4096);
	for (size_t i = 0; i < lengthof(c); i++) {
		if (parse(&g, view_str(c[i].value), &e) == 0)
			fail_msg("taken: %s", c[i].value);
		assert_int_equal(e.kind, ERR_INPUT);
		if (strcmp(e.text, c[i].why) != 0)
			fail_msg("%s: %s", c[i].value, e.text);
	}
	assert_int_equal(parse(&g, VIEW("a\0b@c"), &e), -1);
	buf_done(&g.text);
}

/* Any prefix of a good list is handled without a byte too far. */
static void
test_every_prefix(void **state)
{
	static const char text[] = "\"A, b\" <a@[::1]>, (c (d)) T: <@r:e@f>, \"g\\\"\"@h;, i@j";
	struct got g = { .max = 100 };
	struct err e;

	buf_init(&g.text, 4096);
	for (size_t n = 0; n < sizeof(text); n++)
		(void)parse(&g, view_of(text, n), &e);
	assert_true(view_eq(buf_view(&g.text), VIEW("a@[::1]|e@f|\"g\\\"\"@h|i@j|")));
	assert_int_equal(parse(&g, view_of(text, sizeof(text) - 1), &e), 0);
	assert_int_equal(g.n, 4);
	buf_done(&g.text);
}

static void
test_bounds(void **state)
{
	struct got g = { .max = 2 };
	struct buf b;
	struct err e;

	buf_init(&g.text, 4096);
	buf_init(&b, 1u << 20);
	assert_int_equal(parse(&g, VIEW("a@b,c@d,e@f"), &e), -1);
	assert_string_equal(e.text, "too many");
	for (size_t n = ADDRLIST_ADDRESS_MAX - 1; n < ADDRLIST_ADDRESS_MAX + 3; n++) {
		buf_clear(&b);
		while (buf_len(&b) < n - 2)
			assert_true(buf_add_byte(&b, 'x'));
		assert_true(buf_add_str(&b, "@b"));
		assert_int_equal(parse(&g, buf_view(&b), &e), n <= ADDRLIST_ADDRESS_MAX ? 0 : -1);
	}
	buf_clear(&b);		/* a display name may be long, comments deep */
	for (int i = 0; i < 5000; i++)
		assert_true(buf_add_str(&b, "name "));
	for (int i = 0; i < 10000; i++)
		assert_true(buf_add_byte(&b, '('));
	for (int i = 0; i < 10000; i++)
		assert_true(buf_add_byte(&b, ')'));
	assert_true(buf_add_str(&b, "<a@b>"));
	assert_int_equal(parse(&g, buf_view(&b), &e), 0);
	assert_int_equal(g.n, 1);
	buf_done(&b);
	buf_done(&g.text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
