/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/log.h"

#include "base/banned.h"

struct memory_log {
	struct log	 log;
	int		 lines;
	char		 last[LOG_LINE_MAX];
};

static void
remember(struct log *log, enum log_level level, const char *line)
{
	struct memory_log *m = container_of(log, struct memory_log, log);

	m->lines++;
	assert_true(strlen(line) < sizeof(m->last));
	memcpy(m->last, line, strlen(line) + 1);
}

static struct memory_log
memory(const char *role)
{
	return (struct memory_log){ .log = { remember, LEVEL_INFO, role } };
}

static void
test_line(void **state)
{
	struct memory_log m = memory("relay");
	struct log_line l;
	struct err e;

	(void)err_set(&e, ERR_NET, "the \"peer\" left");
	log_begin(&l, &m.log, LEVEL_INFO, "deferred");
	log_id(&l, 0x1f);
	log_word(&l, "class", "timeout");
	log_num(&l, "attempt", -3);
	log_text(&l, "from", VIEW("a\nid=1@x"));
	log_err(&l, &e);
	log_end(&l);
	assert_string_equal(m.last, "relay: deferred id=000000000000001f class=timeout attempt=-3 "
	    "from=\"a\\nid=1@x\" reason=\"the \\\"peer\\\" left\"");
}

static void
test_level_drops_lines(void **state)
{
	struct memory_log m = memory(NULL);
	struct log_line l;

	log_begin(&l, &m.log, LEVEL_DEBUG, "noise");
	log_num(&l, "n", 1);
	log_end(&l);
	assert_int_equal(m.lines, 0);
	log_simple(&m.log, LEVEL_INFO, "started", "as %s", "pid 1");
	assert_string_equal(m.last, "started reason=\"as pid 1\"");
	log_simple(NULL, LEVEL_CRIT, "nowhere", "to");
}

static void
test_long_line_is_cut_at_a_pair(void **state)
{
	struct memory_log m = memory(NULL);
	struct log_line l;
	uint8_t bytes[1000];
	size_t n;

	memset(bytes, 1, sizeof(bytes));
	log_begin(&l, &m.log, LEVEL_INFO, "refused");
	for (int i = 0; i < 100; i++)
		log_text(&l, "text", view_of(bytes, sizeof(bytes)));
	log_word(&l, "after", "all");
	log_end(&l);
	n = strlen(m.last);
	assert_true(n < LOG_LINE_MAX);
	assert_string_equal(m.last + n - 8, "...\" ...");
	assert_null(strstr(m.last, "after"));
}

static void
test_line_is_cut_at_its_last_byte(void **state)
{
	struct memory_log m = memory(NULL);
	struct log_line l;

	log_begin(&l, &m.log, LEVEL_INFO, "refused");
	for (int i = 0; i < LOG_LINE_MAX; i++)
		log_num(&l, "a", 1);
	log_end(&l);
	assert_in_range(strlen(m.last), LOG_LINE_MAX - 8, LOG_LINE_MAX - 1);
	assert_string_equal(m.last + strlen(m.last) - 8, " a=1 ...");
}

static void
test_stderr_has_the_journal_prefix(void **state)
{
	int saved = dup(STDERR_FILENO);
	int fd[2];
	char text[100];
	ssize_t n;
	struct log *log;

	assert_int_equal(pipe(fd), 0);
	assert_int_equal(dup2(fd[1], STDERR_FILENO), STDERR_FILENO);
	log = log_new_stderr("intake", LEVEL_INFO);
	log_simple(log, LEVEL_WARNING, "slow", "disk");
	log_free(log);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	n = read(fd[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "<4>intake: slow reason=\"disk\"\n");
	(void)close(fd[0]);
	(void)close(fd[1]);
	(void)close(saved);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_level_drops_lines),
		cmocka_unit_test(test_long_line_is_cut_at_a_pair),
		cmocka_unit_test(test_line_is_cut_at_its_last_byte),
		cmocka_unit_test(test_stderr_has_the_journal_prefix),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
