/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "sys/process.h"

#include "base/banned.h"

static void
test_names(void **state)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "cron\n0::/system.slice/cron.service\n", "cron in cron.service" },
		{ "php\n0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service/y\n", "php in x.service" },
		{ "a\n0::/system.slice/docker-0123abcd.scope\n", "a in docker-0123abcd.scope" },
		{ "a\n0::/docker/0123abcd\n", "a in 0123abcd" },
		{ "a\n12:memory:/m.service\n1:name=systemd:/system.slice/b.service\n", "a in b.service" },
		{ "a\n0::/\n", "a" },
		{ "a\n", "a" },
		{ "a", "a" },
		{ "\n0::/x.service\n", "x.service" },
		{ "", "" },
		{ "a\n0::/system.slice/cut.serv", "a" },
		{ "a\nnonsense\n0::/x.scope\n", "a in x.scope" },
		{ "a b\x1b[2J\"\n0::/\xc3\xa4.service\n", "a b?[2J\" in ??.service" },
	};
	char name[PROCESS_NAME_MAX];

	for (size_t i = 0; i < lengthof(cases); i++)
		assert_string_equal(process_name(view_str(cases[i].text), name), cases[i].want);
}

static void
test_length(void **state)
{
	char text[PROCESS_TEXT_MAX], name[PROCESS_NAME_MAX];

	memset(text, 'x', sizeof(text));
	text[500] = '\n';
	memcpy(text + 501, "0::/", 4);
	text[sizeof(text) - 1] = '\n';
	assert_int_equal(strlen(process_name(view_of(text, sizeof(text)), name)), 16 + 4 + 80);
}

/* Of this process. Line ends in a name do not make it look like another line. */
static void
test_read(void **state)
{
	char name[PROCESS_NAME_MAX];
	struct buf text;

	assert_int_equal(prctl(PR_SET_NAME, "a\n0::/b.service", 0, 0, 0), 0);
	buf_init(&text, PROCESS_TEXT_MAX);
	assert_true(process_read(getpid(), getuid(), &text));
	assert_true(view_starts(view_str(process_name(buf_view(&text), name)), VIEW("a?0::/b.service")));
	buf_clear(&text);
	assert_false(process_read(getpid(), getuid() + 1, &text));
	assert_int_equal(buf_len(&text), 0);
	buf_done(&text);
	buf_init(&text, 4);		/* no room: cut, not overrun */
	assert_true(process_read(getpid(), getuid(), &text));
	assert_int_equal(buf_len(&text), 4);
	buf_done(&text);
}

static void
test_gone(void **state)
{
	struct buf text;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	buf_init(&text, PROCESS_TEXT_MAX);
	assert_false(process_read(pid, getuid(), &text));
	assert_false(process_read(INT32_MAX, getuid(), &text));
	assert_int_equal(buf_len(&text), 0);
	buf_done(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
