/* SPDX-License-Identifier: BSD-2-Clause */
/* Each attempt is made in a child that has applied the sandbox of a role. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/fs.h"
#include "sys/sandbox.h"
#include "sys/worker.h"

#include "base/banned.h"

#define NO_SANDBOX 77		/* exit status of the child: it could not be applied */
#define LANDLOCK_VERSION() syscall(444, NULL, 0, 1)	/* landlock_create_ruleset */

#ifdef WITH_SANITIZERS
#define PARTIAL true		/* system calls: only a few are denied */
#else
#define PARTIAL false
#endif

#ifdef HAVE_SECCOMP
#define FILTERS true
#else
#define FILTERS false
#endif

struct fixture {
	char		 dir[64];
	const char	*dirs[2];
	int		 listener;	/* on loopback */
	struct sockaddr_in address;
};

static struct fixture fx;

static int
setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	socklen_t n = sizeof(fx.address);

	fx = (struct fixture){ .address = { .sin_family = AF_INET } };
	fx.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	(void)snprintf(fx.dir, sizeof(fx.dir), "%.40s/ph-box-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(fx.dir) == NULL)
		return -1;
	fx.dirs[0] = fx.dir;
	fx.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fx.listener, (struct sockaddr *)&fx.address, n) < 0 || listen(fx.listener, 5) < 0)
		return -1;
	return getsockname(fx.listener, (struct sockaddr *)&fx.address, &n);
}

static int
teardown(void **state)
{
	(void)close(fx.listener);
	return rmdir(fx.dir);
}

/* attempt() returns 0 if it succeeded, else errno; it becomes the exit status. */
static int
in_sandbox(enum sandbox_role role, int (*attempt)(void))
{
	struct sandbox_params p = { .role = role, .policy = SANDBOX_REQUIRED };
	char level[64];
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (role == SANDBOX_RELAY) {
			p.read_dirs = sandbox_resolver_dirs;
			p.write_dirs = fx.dirs;
		}
		_exit(sandbox_apply(&p, level, NULL) == 0 ? attempt() : NO_SANDBOX);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == NO_SANDBOX);
	return status;
}

static void
expect_works(enum sandbox_role role, int (*attempt)(void))
{
	assert_int_equal(in_sandbox(role, attempt), 0);
}

static void
expect_denied(enum sandbox_role role, int (*attempt)(void))
{
	int status = in_sandbox(role, attempt);

	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == EPERM || WEXITSTATUS(status) == EACCES);
}

/* Killed; a sanitizer build only denies. */
static void
expect_killed(enum sandbox_role role, int (*attempt)(void))
{
	int status;

	if (PARTIAL) {
		expect_denied(role, attempt);
		return;
	}
	status = in_sandbox(role, attempt);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int
result(int rc)
{
	return rc < 0 ? errno : 0;
}

static int
read_a_file(void)
{
	return result(open("/usr/bin/env", O_RDONLY | O_CLOEXEC));
}

static int
read_etc(void)
{
	return result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int
write_elsewhere(void)
{
	return result(open("/etc/ph-sandbox-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int
make_socket(void)
{
	return result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int
make_packet_socket(void)
{
	return result(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static int prepared;		/* a socket made before the sandbox; each child has its own copy */

static int
connect_out(void)
{
	return result(connect(prepared, (struct sockaddr *)&fx.address, sizeof(fx.address)));
}

static int
connect_new(void)
{
	prepared = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return prepared < 0 ? errno : connect_out();
}

static int
listen_on(void)
{
	return result(listen(prepared, 1));
}

static int
bind_port(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return result(bind(prepared, (struct sockaddr *)&any, sizeof(any)));
}

static int
execute(void)
{
	char *argv[] = { (char[]){ "true" }, NULL };

	return result(execve("/bin/true", argv, (char *[]){ NULL }));
}

static int
make_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int
trace(void)
{
	return result((int)ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int
map_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int
map_code_to_write(void)
{
	void *p = mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int
make_code_writable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? ENOMEM : result(mprotect(p, 4096, PROT_WRITE | PROT_EXEC));
}

static int
raise_limit(void)
{
	struct rlimit l = { 1, 1 };

	return result(setrlimit(RLIMIT_CORE, &l));
}

static void
test_intake_can_not(void **state)
{
	expect_denied(SANDBOX_INTAKE, read_a_file);
	expect_denied(SANDBOX_INTAKE, read_etc);
	expect_denied(SANDBOX_INTAKE, write_elsewhere);
	prepared = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	expect_denied(SANDBOX_INTAKE, connect_out);
	(void)close(prepared);
}

static void
test_relay_files(void **state)
{
	expect_works(SANDBOX_RELAY, read_etc);
	expect_denied(SANDBOX_RELAY, read_a_file);
	expect_denied(SANDBOX_RELAY, write_elsewhere);
}

static void
test_ports_belong_to_the_supervisor(void **state)
{
	if (LANDLOCK_VERSION() < 4) {
		print_message("this kernel's Landlock knows no ports\n");
		skip();
	}
	prepared = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	expect_denied(SANDBOX_INTAKE, bind_port);
	expect_denied(SANDBOX_RELAY, bind_port);
	(void)close(prepared);
}

static void
need_filters(void)
{
	if (!FILTERS) {
		print_message("built without seccomp\n");
		skip();
	}
}

static void
test_calls(void **state)
{
	need_filters();
	expect_denied(SANDBOX_INTAKE, make_socket);
	expect_killed(SANDBOX_INTAKE, execute);
	expect_killed(SANDBOX_RELAY, execute);
	prepared = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	expect_denied(SANDBOX_INTAKE, listen_on);
	expect_denied(SANDBOX_RELAY, listen_on);
	(void)close(prepared);
	if (PARTIAL)
		return;
	expect_killed(SANDBOX_INTAKE, trace);
	expect_killed(SANDBOX_RELAY, trace);
	expect_denied(SANDBOX_INTAKE, make_process);
	expect_denied(SANDBOX_RELAY, make_process);
	expect_denied(SANDBOX_INTAKE, map_code);
	expect_works(SANDBOX_RELAY, map_code);		/* as a library's */
	expect_denied(SANDBOX_RELAY, map_code_to_write);
	expect_denied(SANDBOX_RELAY, make_code_writable);
	expect_denied(SANDBOX_INTAKE, raise_limit);
	expect_denied(SANDBOX_RELAY, make_packet_socket);
}

static void
test_supervisor(void **state)
{
	need_filters();
	expect_works(SANDBOX_SUPERVISOR, execute);
	expect_works(SANDBOX_SUPERVISOR, read_a_file);
	expect_works(SANDBOX_SUPERVISOR, make_process);
	if (!PARTIAL)
		expect_denied(SANDBOX_SUPERVISOR, trace);
}

/* --- what must go on working ------------------------------------------------- */

struct work {
	struct job	 job;
	struct loop	*loop;
	int		 fd;
	bool		 done;
};

static void
accept_one(struct job *j)
{
	struct work *w = container_of(j, struct work, job);

	w->fd = accept4(fx.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void
accepted(struct job *j)
{
	struct work *w = container_of(j, struct work, job);

	w->done = true;
	loop_stop(w->loop);
}

/* A loop, a thread, a connection that comes in, memory, the clock. */
static int
serve(void)
{
	struct work w = { .job = { .run = accept_one, .done = accepted } };
	struct worker *worker;
	char *p = malloc(10u << 20);

	if (p == NULL || loop_new(&w.loop, NULL) < 0 ||
	    worker_new(&worker, w.loop, "test", NULL) < 0)
		return 1;
	memset(p, 1, 10u << 20);
	worker_submit(worker, &w.job);
	loop_run(w.loop);
	worker_free(worker);
	if (!w.done || w.fd < 0 || send(w.fd, p, 100, MSG_NOSIGNAL) != 100)
		return 2;
	free(p);
	loop_free(w.loop);
	return 0;
}

static void
test_roles_can_serve(void **state)
{
	const enum sandbox_role roles[] = { SANDBOX_INTAKE, SANDBOX_RELAY };

	for (size_t i = 0; i < lengthof(roles); i++) {
		prepared = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect_out(), 0);
		expect_works(roles[i], serve);
		(void)close(prepared);
	}
}

static int
use_spool(void)
{
	struct fs *fs;
	struct fs_space space;
	char text[8];
	int fd = open(fx.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	fs = fs_new(fd);
	if (fs_mkdir(fs, "log", NULL) < 0 || fs_replace(fs, "log", "a", VIEW("text"), NULL) < 0 ||
	    fs_space(fs, &space, NULL) < 0)
		return 1;
	fd = fs_open(fs, "log/a", FS_WRITE, NULL);
	if (fd < 0 || fs_allocate(fs, fd, 65536, NULL) < 0 || fs_truncate(fs, fd, 4, NULL) < 0 ||
	    fs_read(fs, fd, text, sizeof(text), 0, NULL) != 4 ||
	    fs_read_cached(fs, fd, text, sizeof(text), 0, NULL) == -1)
		return 2;
	fs_close(fs, fd);
	if (fs_unlink(fs, "log/a", NULL) < 0)
		return 3;
	fs_free(fs);
	return 0;
}

static int
use_spool_and_clean(void)
{
	int rc = use_spool();
	char path[80];

	(void)snprintf(path, sizeof(path), "%s/log", fx.dir);
	return rc != 0 ? rc : result(rmdir(path));
}

static int
look_up(void)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;

	if (getaddrinfo("localhost", "25", &hints, &list) != 0)
		return 1;
	freeaddrinfo(list);
	return 0;
}

static void
test_relay_can(void **state)
{
	expect_works(SANDBOX_RELAY, connect_new);
	expect_works(SANDBOX_RELAY, look_up);
	expect_works(SANDBOX_RELAY, use_spool_and_clean);
}

static int
early_is_complete(void)
{
	struct rlimit core;

	if (sandbox_early(NULL) < 0 || getrlimit(RLIMIT_CORE, &core) < 0)
		return 1;
	if (core.rlim_cur != 0 || core.rlim_max != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	if (!PARTIAL && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 3;
	return 0;
}

static int
off_is_off(void)
{
	struct sandbox_params p = { SANDBOX_INTAKE, SANDBOX_OFF, NULL, NULL };
	char level[64];

	if (sandbox_apply(&p, level, NULL) < 0 || strcmp(level, "none (off)") != 0)
		return 1;
	return read_etc();
}

static int
level_is_said(void)
{
	struct sandbox_params p = { SANDBOX_RELAY, SANDBOX_REQUIRED, NULL, NULL };
	char level[64];

	if (sandbox_apply(&p, level, NULL) < 0)
		return NO_SANDBOX;
	if (strstr(level, "landlock-") == NULL)
		return 1;
	if (!FILTERS)
		return strstr(level, "built without seccomp") != NULL ? 0 : 2;
	return strstr(level, PARTIAL ? "seccomp-partial landlock-" : "seccomp landlock-") == level ? 0 : 2;
}

static int
in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
test_early_and_levels(void **state)
{
	assert_int_equal(in_child(early_is_complete), 0);
	assert_int_equal(in_child(off_is_off), 0);
	assert_int_equal(in_child(level_is_said), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_intake_can_not),
		T(test_relay_files),
		T(test_ports_belong_to_the_supervisor),
		T(test_calls),
		T(test_supervisor),
		T(test_roles_can_serve),
		T(test_relay_can),
		T(test_early_and_levels),
	};

	if (LANDLOCK_VERSION() < 1) {
		(void)printf("SKIP: this kernel has no Landlock\n");
		return 77;		/* to automake: skipped */
	}
	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
