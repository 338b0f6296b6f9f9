/* SPDX-License-Identifier: BSD-2-Clause */
/* The hook command: what it is told, how often, and that nothing else suffers from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/num.h"
#include "hook.h"
#include "unit/patience.h"

#include "base/banned.h"

static char sh[] = "/bin/sh", dash_c[] = "-c", alert[] = "alert", word[] = "a \"fixed\" word";
static char main_name[] = "main", backup_name[] = "backup", hostname[] = "web1.example.com";

struct fixture {
	struct loop	*loop;
	struct patience	 patience;
	struct io_signal *sigchld;
	struct log	 log;
	struct conf	 conf;
	struct hook	 hook;
	struct buf	 lines;		/* logged */
	unsigned	 ended, wanted;	/* runs */
	char		 dir[64], out[80], script[400];
	char		*argv[6];
};

static struct fixture *logging;	/* a log has no owner to tell */

static void
on_line(struct log *l, enum log_level level, const char *line)
{
	assert_true(buf_add_str(&logging->lines, line) && buf_add_byte(&logging->lines, '\n'));
}

static void
on_child(void *arg, int signo)
{
	struct fixture *f = arg;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		f->ended += pid == f->hook.pid;
		hook_reaped(&f->hook, pid, status);
	}
	if (f->ended >= f->wanted)
		loop_stop(f->loop);
}

static int
setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct fixture *f = xzalloc(sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "%.30s/posthouse-hook-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(f->dir) == NULL || loop_new(&f->loop, NULL) != 0)
		return -1;
	(void)snprintf(f->out, sizeof(f->out), "%s/out", f->dir);
	buf_init(&f->lines, 1u << 20);
	logging = f;
	f->log = (struct log){ .emit = on_line, .level = LEVEL_DEBUG };
	f->conf.hostname = hostname;
	f->conf.relay[0].name = main_name;
	f->conf.relay[1].name = backup_name;
	f->conf.nrelay = 2;
	f->sigchld = io_signal_new(f->loop, SIGCHLD, on_child, f);
	patience_init(&f->patience, f->loop);
	hook_init(&f->hook, f->loop, &f->log, &f->conf);
	f->hook.gap_ms = 0;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	hook_done(&f->hook);
	io_signal_free(f->sigchld);
	loop_free(f->loop);
	buf_done(&f->lines);
	(void)unlink(f->out);
	if (rmdir(f->dir) != 0)
		return -1;
	free(f);
	return 0;
}

/* A shell does it, with the output file as $1 and a fixed word as $2. */
static void
use(struct fixture *f, const char *script)
{
	(void)snprintf(f->script, sizeof(f->script), "%s", script);
	f->argv[0] = sh;
	f->argv[1] = dash_c;
	f->argv[2] = f->script;
	f->argv[3] = alert;
	f->argv[4] = f->out;
	f->argv[5] = NULL;
	f->conf.hook = f->argv;
}

/* Until so many more runs have ended. */
static void
wait_for(struct fixture *f, unsigned runs)
{
	f->wanted = f->ended + runs;
	patience_run(&f->patience);
}

static const char *
output(struct fixture *f)
{
	static char text[8192];
	int fd = open(f->out, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	assert_true(n >= 0);
	text[n] = '\0';
	if (fd >= 0)
		(void)close(fd);
	return text;
}

static void
say(struct fixture *f, enum alarm_kind kind, size_t index, bool raised, const char *text)
{
	struct relay_alarm a = { .kind = kind, .index = index };
	char words[HOOK_WORDS_MAX];

	(void)snprintf(a.text, sizeof(a.text), "%s", text);
	hook_words(words, &a, raised);
	hook_hear(&f->hook, view_str(words));
}

static bool
logged(struct fixture *f, const char *part)
{
	return view_search(buf_view(&f->lines), view_str(part)) < buf_len(&f->lines);
}

static unsigned
count(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)) != NULL; text++)
		n++;
	return n;
}

static void
test_what_it_is_told(void **state)
{
	struct fixture *f = *state;

	(void)setenv("SMTP_PASSWORD", "geheim", 1);
	use(f, "{ cat; echo \"$# [$POSTHOUSE_EVENT] [$POSTHOUSE_ALARM] [$POSTHOUSE_STATE] [$POSTHOUSE_RELAY]\"; "
	    "env; ls /proc/self/fd | tr '\\n' ' '; } >> $1; echo well done");
	say(f, ALARM_RELAY_DOWN, 1, true, "the peer said \"no\" \x1b[2J \n$(reboot)");
	wait_for(f, 1);
	assert_non_null(strstr(output(f), "{\"event\":\"relay-down\",\"alarm\":\"relay-down\",\"state\":\"raised\","
	    "\"relay\":\"backup\",\"host\":\"web1.example.com\",\"time\":\""));
	assert_non_null(strstr(output(f), "\"text\":\"the peer said \\\"no\\\" ?[2J ?$(reboot)\"}\n"));
	assert_non_null(strstr(output(f), "\n1 [relay-down] [relay-down] [raised] [backup]\n"));
	assert_null(strstr(output(f), "geheim"));
	assert_int_equal(count(output(f), "POSTHOUSE_"), 4);
	/* Its own three, and ls's one of the directory. */
	assert_non_null(strstr(output(f), "\n0 1 2 3 "));
	assert_true(logged(f, "hook event=relay-down took_ms="));
	assert_true(logged(f, " said=\"well done\""));
	say(f, ALARM_RELAY_DOWN, 1, false, "");
	wait_for(f, 1);
	assert_non_null(strstr(output(f), "\n1 [relay-up] [relay-down] [over] [backup]\n"));
	say(f, ALARM_QUEUE_OLD, 0, true, "old");
	wait_for(f, 1);
	assert_non_null(strstr(output(f), "\n1 [queue-old] [queue-old] [raised] []\n"));
	(void)unsetenv("SMTP_PASSWORD");
}

/* The words are not touched by any shell of ours. */
static void
test_fixed_words(void **state)
{
	struct fixture *f = *state;
	static char printf_path[] = "/usr/bin/printf", format[] = "[%s]";
	char *argv[] = { printf_path, format, word, NULL };

	f->conf.hook = argv;
	say(f, ALARM_MAIL_REFUSED, 0, true, "x");
	wait_for(f, 1);
	assert_true(logged(f, " said=\"[a \\\"fixed\\\" word]\""));
}

static void
test_each_edge_once(void **state)
{
	struct fixture *f = *state;

	use(f, "echo $POSTHOUSE_EVENT $POSTHOUSE_RELAY >> $1");
	say(f, ALARM_RELAY_DOWN, 0, false, "");		/* was never raised */
	say(f, ALARM_RELAY_DOWN, 0, true, "a");
	for (int i = 0; i < 10; i++)
		say(f, ALARM_RELAY_DOWN, 0, true, "again");
	wait_for(f, 1);
	say(f, ALARM_RELAY_DOWN, 0, true, "again");	/* relay was started anew */
	assert_int_equal(f->hook.pid, 0);
	say(f, ALARM_RELAY_DOWN, 0, false, "");
	say(f, ALARM_RELAY_DOWN, 0, false, "");
	wait_for(f, 1);
	assert_string_equal(output(f), "relay-down main\nrelay-up main\n");
}

/* What comes and goes while it can't be told is not told; one run at a time. */
static void
test_one_at_a_time_and_coalesced(void **state)
{
	struct fixture *f = *state;
	pid_t first;

	use(f, "echo begin $POSTHOUSE_EVENT $POSTHOUSE_RELAY >> $1; echo end >> $1");
	say(f, ALARM_RELAY_DOWN, 0, true, "a");
	first = f->hook.pid;
	assert_int_not_equal(first, 0);
	for (int i = 0; i < 5; i++) {
		say(f, ALARM_FLAPPING, 0, true, "b");
		say(f, ALARM_FLAPPING, 0, false, "");
	}
	say(f, ALARM_RELAY_DOWN, 1, true, "c");
	say(f, ALARM_RELAY_DOWN, 0, false, "");
	assert_int_equal(f->hook.pid, first);	/* the loop has not turned: it has not ended for us */
	wait_for(f, 3);
	assert_string_equal(output(f), "begin relay-down main\nend\nbegin relay-down backup\nend\n"
	    "begin relay-up main\nend\n");
	assert_int_equal(f->hook.pid, 0);
}

static void
on_turn(void *arg)
{
	loop_stop(((struct fixture *)arg)->loop);
}

/* For what nobody announces: the loop runs for a moment. */
static void
turn(struct fixture *f)
{
	struct timer moment;

	timer_init(&moment, on_turn, f);
	timer_set(f->loop, &moment, 5);
	patience_run(&f->patience);
	timer_cancel(f->loop, &moment);
}

/* The number on line n of the output is that of no process that runs. */
static bool
is_gone(struct fixture *f, unsigned n)
{
	struct view rest = view_str(output(f)), line = VIEW("");
	uint64_t pid;

	for (unsigned i = 0; i <= n; i++)
		assert_true(view_split(&rest, '\n', &line));
	assert_true(num_parse_u64(line, 2, INT32_MAX, &pid));
	return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

static void
wait_lines(struct fixture *f, unsigned n)
{
	while (count(output(f), "\n") < n)
		loop_turn(f->loop);
}

/* What it started holds the pipe open, and a part of it has left its session. */
static void
test_one_that_hangs(void **state)
{
	struct fixture *f = *state;

	use(f, "trap '' TERM INT HUP; sleep 3600 & echo $! > $1; setsid sleep 3600 & echo $! >> $1; sleep 3600");
	say(f, ALARM_RELAY_DOWN, 0, true, "a");
	assert_true(timer_is_set(&f->hook.deadline));
	assert_int_equal(f->hook.deadline.node.key, loop_now(f->loop) + HOOK_RUN_MS);
	wait_lines(f, 2);
	timer_set(f->loop, &f->hook.deadline, 1);
	wait_for(f, 1);
	assert_true(logged(f, "hook-failed event=relay-down "));
	assert_true(logged(f, "hook took longer than 30 s and was killed"));
	assert_true(is_gone(f, 0) && is_gone(f, 1));
	use(f, "echo next >> $1");
	say(f, ALARM_RELAY_DOWN, 0, false, "");
	wait_for(f, 1);
	assert_non_null(strstr(output(f), "\nnext\n"));
}

/* What is left when it has ended by itself: also of other sessions, also a child of that. */
static void
test_one_that_leaves_something(void **state)
{
	struct fixture *f = *state;

	use(f, "sleep 3600 & echo $! > $1; setsid sh -c 'setsid sleep 3600 & echo $! >> $0; echo $$ >> $0; wait' $1 & "
	    "while [ $(wc -l < $1) -lt 3 ]; do :; done; echo done; exit 3");
	say(f, ALARM_RELAY_DOWN, 0, true, "a");
	wait_for(f, 1);
	assert_true(logged(f, "(exit status 3)"));
	assert_true(logged(f, " said=\"done\""));
	assert_true(is_gone(f, 0) && is_gone(f, 1) && is_gone(f, 2));
}

/* As it is when the daemon ends. */
static void
test_end_of_the_daemon(void **state)
{
	struct fixture *f = *state;

	use(f, "setsid sleep 3600 & echo $! > $1; echo $$ >> $1; wait");
	say(f, ALARM_RELAY_DOWN, 0, true, "a");
	wait_lines(f, 2);
	hook_done(&f->hook);
	assert_true(is_gone(f, 0) && is_gone(f, 1));
	hook_init(&f->hook, f->loop, &f->log, &f->conf);
}

static void
test_one_that_floods(void **state)
{
	struct fixture *f = *state;

	use(f, "exec yes 'a lot to say'");
	say(f, ALARM_RELAY_DOWN, 0, true, "a");
	wait_for(f, 1);
	assert_true(logged(f, "hook said more than 65536 bytes and was killed"));
	assert_true(logged(f, " said=\"a lot to say\""));
	assert_true(buf_len(&f->lines) < 2000);
}

static void
test_one_that_fails_or_is_missing(void **state)
{
	struct fixture *f = *state;
	static char nothing[] = "/nonexistent/hook";
	char *argv[] = { nothing, NULL };

	use(f, "echo no network >&2; exit 3");
	say(f, ALARM_RELAY_DOWN, 0, true, "a");
	wait_for(f, 1);
	assert_true(logged(f, "hook /bin/sh failed (exit status 3)\" said=\"no network\""));
	f->conf.hook = argv;
	say(f, ALARM_RELAY_DOWN, 0, false, "");
	wait_for(f, 1);
	assert_true(logged(f, "hook /nonexistent/hook failed (exit status 127): can't be run"));
}

static void
test_the_limit_of_an_hour(void **state)
{
	struct fixture *f = *state;

	use(f, "echo run >> $1");
	for (unsigned i = 0; i < HOOK_AN_HOUR; i++) {
		say(f, ALARM_RELAY_DOWN, 0, i % 2 == 0, "a");
		wait_for(f, 1);
	}
	assert_int_equal(count(output(f), "run"), HOOK_AN_HOUR);
	for (unsigned i = 0; i < 5; i++) {
		say(f, (enum alarm_kind)i, 0, true, "a");
		for (unsigned k = 0; k < 10000 && timer_is_set(&f->hook.next) && !logged(f, "hook-limited"); k++)
			turn(f);
	}
	assert_int_equal(f->hook.pid, 0);
	assert_true(timer_is_set(&f->hook.next));
	assert_int_equal(count(buf_cstr(&f->lines), "hook-limited"), 1);
}

static void
test_only_what_relay_says(void **state)
{
	static const char *const wrong[] = { "", " ", "0", "0 0", "0 0 up x", "-1 0 on x", "99 0 on x", "0 2 on x",
		"0 -1 on x", "x 0 on x", "0 0  on", "18446744073709551616 0 on x" };
	struct fixture *f = *state;

	use(f, "echo run >> $1");
	for (size_t i = 0; i < lengthof(wrong); i++)
		hook_hear(&f->hook, view_str(wrong[i]));
	assert_int_equal(f->hook.n, 0);
	assert_int_equal(f->hook.pid, 0);
	hook_hear(&f->hook, VIEW("0 1 on"));	/* no text is a text, too */
	wait_for(f, 1);
	assert_string_equal(output(f), "run\n");
}

static void
test_reload(void **state)
{
	struct fixture *f = *state;
	struct conf conf;

	say(f, ALARM_RELAY_DOWN, 1, true, "a");		/* no hook: nobody is told */
	say(f, ALARM_QUEUE_OLD, 0, true, "a");
	assert_int_equal(f->hook.pid, 0);
	use(f, "echo $POSTHOUSE_EVENT $POSTHOUSE_RELAY >> $1");
	conf = f->conf;
	hook_reconfigure(&f->hook, &conf);	/* now there is one: what holds is told */
	wait_for(f, 2);
	assert_string_equal(output(f), "relay-down backup\nqueue-old\n");
	conf.nrelay = 1;
	hook_reconfigure(&f->hook, &conf);
	wait_for(f, 1);
	assert_string_equal(output(f), "relay-down backup\nqueue-old\nrelay-up backup\n");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_what_it_is_told),
		T(test_fixed_words),
		T(test_each_edge_once),
		T(test_one_at_a_time_and_coalesced),
		T(test_one_that_hangs),
		T(test_one_that_leaves_something),
		T(test_end_of_the_daemon),
		T(test_one_that_floods),
		T(test_one_that_fails_or_is_missing),
		T(test_the_limit_of_an_hour),
		T(test_only_what_relay_says),
		T(test_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
