/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "smtp/dsn.h"

#include "base/banned.h"

static void
test_ret_and_notify(void **state)
{
	static const struct view good[] = {
		VIEW("NEVER"), VIEW("never"), VIEW("SUCCESS"), VIEW("Failure"), VIEW("DELAY,SUCCESS"),
		VIEW("SUCCESS,FAILURE,DELAY"),
	};
	static const struct view bad[] = {
		VIEW(""), VIEW(","), VIEW("NEVER,NEVER"), VIEW("SUCCESS,NEVER"), VIEW("SUCCESS,"), VIEW(",SUCCESS"),
		VIEW("SUCCESS,,DELAY"), VIEW("SUCCESS,SUCCESS"), VIEW("SUCCES"), VIEW("SUCCESS DELAY"), VIEW("ALWAYS"),
	};

	assert_true(dsn_ret_is_good(VIEW("FULL")) && dsn_ret_is_good(VIEW("hdrs")));
	assert_false(dsn_ret_is_good(VIEW("")) || dsn_ret_is_good(VIEW("FULL,HDRS")) || dsn_ret_is_good(VIEW("FUL")));
	for (size_t i = 0; i < lengthof(good); i++)
		assert_true(dsn_notify_is_good(good[i]));
	for (size_t i = 0; i < lengthof(bad); i++)
		assert_false(dsn_notify_is_good(bad[i]));
}

/* RFC 3461 4.1: what nobody has asked is left to us: failures are told. */
static void
test_what_is_notified(void **state)
{
	assert_true(dsn_notifies(VIEW(""), VIEW("FAILURE")));
	assert_false(dsn_notifies(VIEW(""), VIEW("SUCCESS")));
	assert_true(dsn_notifies(VIEW("delay,failure"), VIEW("FAILURE")));
	assert_false(dsn_notifies(VIEW("DELAY,SUCCESS"), VIEW("FAILURE")));
	assert_true(dsn_notifies(VIEW("DELAY,SUCCESS"), VIEW("SUCCESS")));
	assert_false(dsn_notifies(VIEW("NEVER"), VIEW("FAILURE")));
	assert_false(dsn_notifies(VIEW("NEVER"), VIEW("SUCCESS")));
}

static void
test_xtext(void **state)
{
	static const struct view good[] = { VIEW("QQ314159"), VIEW("a+2Bb"), VIEW("+20"), VIEW("+7E~!"), VIEW("<a@b>") };
	static const struct view bad[] = {
		VIEW(""), VIEW("a b"), VIEW("a=b"), VIEW("+"), VIEW("a+2"), VIEW("+2b"), VIEW("+0A"), VIEW("+7F"),
		VIEW("+C3+BC"), VIEW("\xc3\xbc"), VIEW("a\0b"), VIEW("a\x7f"), VIEW("+G0"), VIEW("+00"),
	};
	uint8_t text[DSN_ORCPT_MAX + 1];
	/* xtext, a lone "\", no digits, small ones, too many, a control, surrogate, beyond Unicode */
	static const struct view no_utf8[] = { VIEW("utf-8;\xc3\xa9+41b@x"), VIEW("utf-8;a=b"), VIEW("utf-8;a\\b"),
		VIEW("utf-8;\\x{}"), VIEW("utf-8;\\x{fc}"), VIEW("utf-8;\\x{0000FC}"), VIEW("utf-8;\\x{0A}"),
		VIEW("utf-8;\\x{D800}"), VIEW("utf-8;\\x{110000}"), VIEW("utf-8;\\x{FC") };
	struct view utf8 = VIEW("utf-8;\xc3\xbc@\xe2\x82\xac");

	for (size_t i = 0; i < lengthof(good); i++) {
		assert_true(dsn_envid_is_good(good[i]));
		memcpy(text, "rfc822;", 7);
		memcpy(text + 7, good[i].p, good[i].n);
		assert_true(dsn_orcpt_is_good(view_of(text, 7 + good[i].n), false));
	}
	for (size_t i = 0; i < lengthof(bad); i++) {
		assert_false(dsn_envid_is_good(bad[i]));
		memcpy(text, "rfc822;", 7);
		memcpy(text + 7, bad[i].p, bad[i].n);
		assert_false(dsn_orcpt_is_good(view_of(text, 7 + bad[i].n), true));
	}
	assert_false(dsn_orcpt_is_good(VIEW("rfc822"), false));
	assert_false(dsn_orcpt_is_good(VIEW(";a"), false));
	assert_false(dsn_orcpt_is_good(VIEW("rfc 822;a"), false));
	/* RFC 6533 3: UTF-8 behind a type of its own, and only with SMTPUTF8 */
	assert_true(dsn_orcpt_is_good(utf8, true));
	assert_false(dsn_orcpt_is_good(utf8, false));
	assert_true(dsn_orcpt_is_good(VIEW("utf-8;\\x{FC}@b"), false));
	assert_false(dsn_orcpt_is_good(VIEW("utf-8;\xc3"), true));
	assert_false(dsn_orcpt_is_good(VIEW("utf-8;\xc2\x85"), true));
	assert_false(dsn_orcpt_is_good(VIEW("utf-8;a\nb"), true));
	assert_true(dsn_orcpt_is_good(VIEW("utf-8;a\\x{2B}\\x{1F4EE}\xc3\xbc@b"), true));
	for (size_t i = 0; i < lengthof(no_utf8); i++)
		assert_false(dsn_orcpt_is_good(no_utf8[i], true));

	/* lengths */
	memset(text, 'x', sizeof(text));
	assert_true(dsn_envid_is_good(view_of(text, DSN_ENVID_MAX)));
	assert_false(dsn_envid_is_good(view_of(text, DSN_ENVID_MAX + 1)));
	text[1] = ';';
	assert_true(dsn_orcpt_is_good(view_of(text, DSN_ORCPT_MAX), false));
	assert_false(dsn_orcpt_is_good(view_of(text, DSN_ORCPT_MAX + 1), false));
}

/* Any text becomes xtext; what is printable is good then. */
static void
test_text_to_xtext(void **state)
{
	struct buf out;

	buf_init(&out, 14);
	assert_true(dsn_add_xtext(&out, VIEW("a b+=\n")));
	assert_true(view_eq(buf_view(&out), VIEW("a+20b+2B+3D+0A")));
	assert_false(dsn_envid_is_good(buf_view(&out)));
	assert_false(dsn_add_xtext(&out, VIEW("x")));
	assert_int_equal(buf_len(&out), 14);
	assert_true(dsn_envid_is_good(view_first(buf_view(&out), 11)));
	buf_done(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ret_and_notify),
		cmocka_unit_test(test_what_is_notified),
		cmocka_unit_test(test_xtext),
		cmocka_unit_test(test_text_to_xtext),
	};

	return cmocka_run_group_tests_name("dsn", tests, NULL, NULL);
}
