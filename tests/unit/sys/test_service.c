/* SPDX-License-Identifier: BSD-2-Clause */
/* What the supervisor needs of the system: sockets, systemd's protocol, users. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/notify.h"
#include "sys/privilege.h"
#include "sys/listen.h"

#include "base/banned.h"

static char dir[64];

static int
make_dir(void **state)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/posthouse-service-XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
remove_dir(void **state)
{
	return rmdir(dir);
}

static struct sockaddr_un
at(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", dir, name);
	return sun;
}

static const struct sockaddr *
sa(const void *p)
{
	return p;
}

static void
test_unix_socket(void **state)
{
	struct sockaddr_un sun = at("s");
	struct stat st;
	struct err e;
	int64_t uid = -1, pid = -1;
	int fd = -1, other = -1, client;

	assert_int_equal(socket_listen(&fd, sa(&sun), sizeof(sun), 0600, &e), 0);
	assert_int_equal(stat(sun.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	/* Somebody lives there. */
	assert_int_equal(socket_listen(&other, sa(&sun), sizeof(sun), 0600, &e), -1);
	assert_int_equal(e.errnum, EADDRINUSE);

	client = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(client, sa(&sun), sizeof(sun)), 0);
	assert_true(socket_peer_cred(client, &uid, &pid));
	assert_int_equal(uid, getuid());
	assert_int_equal(pid, getpid());
	(void)close(client);
	(void)close(fd);
	/* Now it is a left-over, and gives way. */
	assert_int_equal(socket_listen(&fd, sa(&sun), sizeof(sun), 0666, &e), 0);
	assert_int_equal(stat(sun.sun_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	(void)close(fd);
	assert_int_equal(unlink(sun.sun_path), 0);
	/* A file that is no socket does not. */
	fd = open(sun.sun_path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(socket_listen(&other, sa(&sun), sizeof(sun), 0600, &e), -1);
	assert_int_equal(stat(sun.sun_path, &st), 0);
	(void)close(fd);
	assert_int_equal(unlink(sun.sun_path), 0);
}

static void
test_tcp_socket(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t n = sizeof(sin);
	int fd = -1, other = -1, client;
	int64_t uid, pid;
	struct err e;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(socket_listen(&fd, sa(&sin), sizeof(sin), 0, &e), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&sin, &n), 0);
	assert_int_equal(socket_listen(&other, sa(&sin), sizeof(sin), 0, &e), -1);
	assert_int_equal(e.errnum, EADDRINUSE);
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, sa(&sin), sizeof(sin)), 0);
	assert_false(socket_peer_cred(client, &uid, &pid));
	(void)close(client);
	(void)close(fd);
}

static void
test_notify(void **state)
{
	struct sockaddr_un sun = at("n");
	struct notify n;
	char got[2000];
	char big[2000];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, sa(&sun), sizeof(sun)), 0);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	notify_init(&n);
	assert_int_equal(n.fd, -1);
	notify_send(&n, "READY=1");		/* to nobody: fine */
	assert_int_equal(setenv("NOTIFY_SOCKET", sun.sun_path, 1), 0);
	notify_init(&n);
	notify_send(&n, "READY=1\nSTATUS=%s", "up");
	assert_int_equal(recv(fd, got, sizeof(got), 0), 17);
	assert_memory_equal(got, "READY=1\nSTATUS=up", 17);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	notify_send(&n, "STATUS=%s", big);
	assert_int_equal(recv(fd, got, sizeof(got), 0), 1023);
	(void)close(fd);
	notify_send(&n, "READY=1");		/* nobody listens any more: no signal */
	notify_done(&n);
	(void)setenv("NOTIFY_SOCKET", "relative", 1);
	notify_init(&n);
	assert_int_equal(n.fd, -1);
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unlink(sun.sun_path);
}

static void
test_watchdog(void **state)
{
	char pid[20];

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)unsetenv("WATCHDOG_USEC");
	assert_int_equal(notify_watchdog_ms(), 0);
	(void)setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(notify_watchdog_ms(), 30000);
	(void)setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_ms(), 0);
	(void)setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_ms(), 30000);
	(void)setenv("WATCHDOG_USEC", "x", 1);
	assert_int_equal(notify_watchdog_ms(), 0);
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
}

/* In a child, whose descriptors 3 and up are ours to give away. */
static int
activated_child(const char *for_pid)
{
	struct activated a[ACTIVATION_MAX];
	char pid[20];
	int pair[2];

	(void)snprintf(pid, sizeof(pid), "%d", for_pid != NULL ? 1 : (int)getpid());
	(void)setenv("LISTEN_PID", pid, 1);
	(void)setenv("LISTEN_FDS", "18", 1);
	(void)setenv("LISTEN_FDNAMES", "smtp:smtp-unix", 1);
	if (pipe(pair) != 0 || dup2(pair[1], 30) != 30)
		return 1;
	for (int i = 3; i < 21; i++)
		if (dup2(30, i) != i)
			return 1;
	if (for_pid != NULL)
		return notify_sockets(a) == 0 ? 0 : 2;
	if (notify_sockets(a) != ACTIVATION_MAX || a[0].fd != 3 || a[15].fd != 18)
		return 3;
	if (strcmp(a[0].name, "smtp") != 0 || strcmp(a[1].name, "smtp-unix") != 0 ||
	    strcmp(a[2].name, "unknown") != 0)
		return 4;
	if ((fcntl(3, F_GETFL) & O_NONBLOCK) == 0)
		return 6;
	return fcntl(3, F_GETFD) == FD_CLOEXEC && fcntl(20, F_GETFD) == -1 ? 0 : 5;
}

static int
in_child(int (*fn)(const char *), const char *arg)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn(arg));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
test_activation(void **state)
{
	assert_int_equal(in_child(activated_child, NULL), 0);
	assert_int_equal(in_child(activated_child, "other"), 0);
}

static int
drop_child(const char *arg)
{
	struct identity id;
	struct err e;

	if (privilege_find(&id, "nobody", &e) != 0)
		return 1;
	if (privilege_drop(&id, &e) != 0)
		return 2;
	return getuid() == id.uid && getegid() == id.gid && getgroups(0, NULL) == 0 &&
	    open("/etc/shadow", O_RDONLY) < 0 ? 0 : 3;
}

static void
test_privilege(void **state)
{
	struct identity id = { 0, 0 };
	struct err e;

	assert_int_equal(privilege_find(&id, "no-such-user-here", &e), -1);
	assert_string_equal(e.text, "there is no user \"no-such-user-here\"");
	assert_int_equal(privilege_find(&id, "root", &e), 0);
	assert_int_equal(privilege_drop(&id, &e), -1);
	assert_string_equal(e.text, "this user or its group is root itself");
	if (geteuid() == 0)
		assert_int_equal(in_child(drop_child, NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unix_socket, make_dir, remove_dir),
		cmocka_unit_test(test_tcp_socket),
		cmocka_unit_test_setup_teardown(test_notify, make_dir, remove_dir),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_activation),
		cmocka_unit_test(test_privilege),
	};

	return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
