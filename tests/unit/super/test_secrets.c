/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secrets.h"

#include "base/banned.h"

static char dir[64], path[128];
static struct err e;

static int
make_dir(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(dir, sizeof(dir), "%.30s/posthouse-secret-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/secret", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)unlink(path);
	return rmdir(dir);
}

static void
write_file(struct view v, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(v.p, 1, v.n, f), v.n);
	(void)fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

/* Of the only relay; "" when it was refused; why is in e. */
static const char *
fetch(const struct conf_relay *r)
{
	static char text[200];
	struct conf c = { .relay = { *r }, .nrelay = 1 };
	int fd = -1;
	ssize_t n;

	err_clear(&e);
	if (secrets_fetch(&fd, &c, &e) != 0) {
		assert_int_equal(fd, -1);
		return "";
	}
	n = pread(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0 && text[n - 1] == '\n');
	text[n - 1] = '\0';
	(void)close(fd);
	return text;
}

static void
check_why(const char *file, int line, const char *why)
{
	if (strstr(e.text, why) == NULL) {
		print_error("expected \"%s\", got \"%s\"\n", why, e.text);
		_fail(file, line);
	}
}
#define assert_why(why) check_why(__FILE__, __LINE__, why)

static void
test_none(void **state)
{
	struct conf_relay r = { .secret = CONF_SECRET_NONE };

	assert_string_equal(fetch(&r), "");
	assert_int_equal(e.kind, ERR_NONE);
}

/* A line for each relay, also for one without a login; an error names the relay. */
static void
test_several(void **state)
{
	static char good[] = "main", bad[] = "backup";
	static struct conf c = { .nrelay = 3 };
	char text[100] = "";
	int fd = -1;

	write_file(VIEW("geheim\n"), 0600);
	c.relay[0] = (struct conf_relay){ .name = good, .secret = CONF_SECRET_FILE, .secret_from = path };
	c.relay[1] = (struct conf_relay){ .name = bad };
	c.relay[2] = c.relay[0];
	assert_int_equal(secrets_fetch(&fd, &c, &e), 0);
	assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), 15);
	assert_string_equal(text, "geheim\n\ngeheim\n");
	(void)close(fd);
	fd = -1;
	c.relay[1].secret = CONF_SECRET_FILE;
	c.relay[1].secret_from = (char []){ "/nonexistent/x" };
	assert_int_equal(secrets_fetch(&fd, &c, &e), -1);
	assert_int_equal(fd, -1);
	assert_why("relay backup: ");
}

/* What is passed on can be read, at any time, and never changed. */
static void
test_sealed(void **state)
{
	int fd = -1;
	struct buf b;

	assert_int_equal(sealed_file(&fd, "test", VIEW("geheim"), &e), 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 100), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	buf_init(&b, 6);
	assert_int_equal(read_whole(fd, &b, &e), 0);
	assert_int_equal(buf_len(&b), 6);
	buf_done(&b);
	buf_init(&b, 5);
	assert_int_equal(read_whole(fd, &b, &e), -1);
	buf_done(&b);
	(void)close(fd);
}

static void
test_file(void **state)
{
	struct conf_relay r = { .secret = CONF_SECRET_FILE, .secret_from = path };
	static const mode_t open_modes[] = { 0604, 0602, 0601, 0644, 0666 };
	char big[SECRET_MAX + 1];

	assert_string_equal(fetch(&r), "");
	assert_why("can't open the password file");
	write_file(VIEW("geheim\n"), 0600);
	assert_string_equal(fetch(&r), "geheim");
	write_file(VIEW("ge heim\r\n"), 0640);
	assert_string_equal(fetch(&r), "ge heim");
	for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
		assert_int_equal(chmod(path, open_modes[i]), 0);
		assert_string_equal(fetch(&r), "");
		assert_why("is open to every user");
		assert_int_equal(secret_check(&r, &e), -1);
	}
	write_file(VIEW("\n"), 0600);
	assert_string_equal(fetch(&r), "");
	assert_why("the password is empty");
	write_file(VIEW("geheim\nzwei\n"), 0600);
	assert_string_equal(fetch(&r), "");
	assert_why("more than one line");
	assert_null(strstr(e.text, "geheim"));
	write_file(view_of("a\0b", 3), 0600);
	assert_string_equal(fetch(&r), "");
	memset(big, 'x', sizeof(big));
	write_file(view_of(big, sizeof(big)), 0600);
	assert_string_equal(fetch(&r), "");
	assert_why("longer than 65536 bytes");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);	/* must not wait for a writer */
	assert_string_equal(fetch(&r), "");
	assert_why("is not a regular file");
}

static void
test_credential(void **state)
{
	struct conf_relay r = { .secret = CONF_SECRET_CREDENTIAL };
	char name[] = "secret", other[] = "other";

	r.secret_from = name;
	assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	assert_string_equal(fetch(&r), "");
	assert_why("LoadCredential=secret:FILE");
	(void)setenv("CREDENTIALS_DIRECTORY", dir, 1);
	write_file(VIEW("geheim"), 0400);
	assert_string_equal(fetch(&r), "geheim");
	r.secret_from = other;
	assert_string_equal(fetch(&r), "");
	assert_why("can't open the credential other");
}

static void
test_env(void **state)
{
	char name[] = "POSTHOUSE_TEST_SECRET";
	struct conf_relay r = { .secret = CONF_SECRET_ENV, .secret_from = name };

	(void)unsetenv(name);
	assert_string_equal(fetch(&r), "");
	assert_why("has no variable");
	(void)setenv(name, "geheim", 1);
	assert_string_equal(fetch(&r), "geheim");
	(void)unsetenv(name);
}

static const char *
run(const char *script)
{
	char sh[] = "/bin/sh", c[] = "-c", text[400];
	char *argv[] = { sh, c, text, NULL };
	struct conf_relay r = { .secret = CONF_SECRET_COMMAND, .command = argv };

	(void)snprintf(text, sizeof(text), "%s", script);
	return fetch(&r);
}

static void
test_command(void **state)
{
	char nothing[] = "/nonexistent/pass";
	char *argv[] = { nothing, NULL };
	struct conf_relay r = { .secret = CONF_SECRET_COMMAND, .command = argv };

	assert_string_equal(run("echo geheim; echo remark"), "geheim");
	(void)setenv("POSTHOUSE_TEST_LEAK", "x", 1);
	assert_string_equal(run("echo \"[$POSTHOUSE_TEST_LEAK]\""), "[]");
	assert_string_equal(run("cat; echo in"), "in");		/* standard input is empty */
	assert_string_equal(run("[ -e /proc/self/fd/9 ] || echo closed"), "closed");
	assert_string_equal(run("echo geheim; exit 3"), "");
	assert_why("failed (exit status 3)");
	assert_string_equal(run("kill -9 $$"), "");
	assert_why("failed (signal 9)");
	assert_string_equal(run("exit 0"), "");
	assert_why("the password is empty");
	assert_string_equal(run("yes geheim"), "");
	assert_why("printed more than 65536 bytes");
	assert_string_equal(fetch(&r), "");
	assert_why("can't be run");
	assert_int_equal(secret_check(&r, &e), -1);
}

/* The script gets a FIFO to hold open; in the end nobody holds it. */
static void
run_with_fifo(const char *script, const char *secret)
{
	struct pollfd p = { .events = POLLIN };
	char text[300];

	assert_int_equal(mkfifo(path, 0600), 0);
	p.fd = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(p.fd >= 0);
	(void)snprintf(text, sizeof(text), "exec 3> %s; %s & %s", path, script, secret != NULL ? "echo geheim" : "wait");
	assert_string_equal(run(text), secret != NULL ? secret : "");
	assert_int_equal(poll(&p, 1, 60000), 1);
	assert_true((p.revents & POLLHUP) != 0);
	(void)close(p.fd);
	assert_int_equal(unlink(path), 0);
}

/* It is ended with everything it has started. */
static void
test_command_too_slow(void **state)
{
	run_with_fifo("tail -f /dev/null", NULL);
	assert_why("took longer than");
	run_with_fifo("setsid tail -f /dev/null", NULL);
	assert_why("took longer than");
}

/* What it left behind holds the pipe, but not for long. */
static void
test_command_leaves_something(void **state)
{
	run_with_fifo("tail -f /dev/null", "geheim");
	run_with_fifo("setsid tail -f /dev/null", "geheim");
	run_with_fifo("setsid setsid sh -c 'setsid tail -f /dev/null & exec tail -f /dev/null'", "geheim");
}

static void
check_unusable(const char *content, mode_t mode, const char *why)
{
	char *argv[] = { path, NULL };
	struct conf_relay r = { .secret = CONF_SECRET_COMMAND, .command = argv };

	write_file(view_str(content), mode);
	assert_int_equal(secret_check(&r, &e), why == NULL ? 0 : -1);
	if (why != NULL)
		assert_why(why);
	assert_int_equal(unlink(path), 0);
}

static void
test_command_is_unusable(void **state)
{
	char tmp[] = "/tmp", null[] = "/dev/null", missing[] = "/nonexistent/pass";
	char *argv[] = { tmp, NULL };
	struct conf_relay r = { .secret = CONF_SECRET_COMMAND, .command = argv };

	assert_int_equal(secret_check(&r, &e), -1);
	assert_why("password_command /tmp: that is a directory, not a program");
	argv[0] = null;
	assert_int_equal(secret_check(&r, &e), -1);
	assert_why("that is no file, not a program");
	argv[0] = missing;
	assert_int_equal(secret_check(&r, &e), -1);
	assert_why("No such file");
	check_unusable("#!/bin/sh\necho\n", 0700, NULL);
	check_unusable("#! /bin/sh -e\necho\n", 0700, NULL);
	check_unusable("\x7f" "ELF and so on", 0700, NULL);
	check_unusable("#!/bin/sh\necho\n", 0600, "may not run it: chmod +x it");
	check_unusable("#!/nonexistent/php -q\necho\n", 0700, "its first line names /nonexistent/php: No such file");
	check_unusable("#!\necho\n", 0700, "its first line names no program");
	check_unusable("echo\n", 0700, "a script needs a first line like #!/bin/sh");
	check_unusable("", 0700, "a script needs a first line");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test_setup_teardown(test_several, make_dir, remove_dir),
		cmocka_unit_test(test_sealed),
		cmocka_unit_test_setup_teardown(test_file, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_credential, make_dir, remove_dir),
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_command),
		cmocka_unit_test_setup_teardown(test_command_too_slow, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_command_leaves_something, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_command_is_unusable, make_dir, remove_dir),
	};

	/* So that a leak of it into commands would show. */
	(void)dup2(2, 9);
	return cmocka_run_group_tests_name("secrets", tests, NULL, NULL);
}
