/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posthoused-escape: each process of the daemon tries, when it is set up and locked in, what it
 * must not be able to do, as if it had been taken over. What became of it goes to standard error:
 *
 *	escape ROLE ATTEMPT ERRNO	(0: it worked)
 *
 * Then it goes on as usual. What kills it is tried one at a time: the hostname of the
 * configuration names it ("try-execve-intake.example.com").
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "role.h"

#include "base/banned.h"

/* --wrap of the linker: what the program calls comes here. */
void __wrap_role_run(struct role *);
void __real_role_run(struct role *);
void __wrap_loop_run(struct loop *);
void __real_loop_run(struct loop *);

static const struct conf *conf;		/* of a role */
static pid_t victim;			/* its parent */

static int
result(long rc)
{
	return rc < 0 ? errno : 0;
}

static int
open_it(const char *path, int how)
{
	return result(open(path, how | O_CLOEXEC, 0600));
}

static int
open_below(const char *dir, const char *name, int how)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open_it(path, how);
}

static int password(void) { return open_it(conf->relay[0].secret_from, O_RDONLY); }
static int queued_mail(void) { return open_below(conf->state_dir, "spool/log", O_RDONLY | O_DIRECTORY); }
static int state_dir(void) { return open_below(conf->state_dir, "escaped", O_WRONLY | O_CREAT); }
static int passwd(void) { return open_it("/etc/passwd", O_RDONLY); }
static int a_program(void) { return open_it("/usr/bin/env", O_RDONLY); }
static int temporary(void) { return open_it("/tmp/posthouse-escaped", O_WRONLY | O_CREAT); }

static int
memory_file(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)victim);
	return open_it(path, O_RDONLY);
}

static int
connect_out(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(conf->relay[0].endpoint[0].port) };

	return fd < 0 ? errno : result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int
control_socket(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(to.sun_path, sizeof(to.sun_path), "%.80s/control.sock", conf->runtime_dir);
	return fd < 0 ? errno : result(connect(fd, (struct sockaddr *)&to, sizeof(to)));
}

static int
new_listener(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0)
		return errno;
	return result(listen(fd, 1));
}

static int
unbound_listener(void)		/* the kernel chooses the port: no bind() that Landlock could see */
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? errno : result(listen(fd, 1));
}

static int raw_socket(void) { return result(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)); }
static int kill_victim(void) { return result(kill(victim, SIGKILL)); }
static int pidfd(void) { return result(syscall(SYS_pidfd_open, victim, 0)); }
static int dumpable(void) { return result(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)); }
static int memory_as_file(void) { return result(memfd_create("x", MFD_CLOEXEC)); }

static int
other_thread(void)
{
	return result(syscall(SYS_tgkill, victim, victim, SIGKILL));
}

static int
core_limit(void)
{
	struct rlimit l = { 4096, 4096 };

	return result(setrlimit(RLIMIT_NOFILE, &l));
}

static int
writable_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static int
new_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return result(pid);
}

/* What has to work: names by files, the C library's modules. */
static int
look_up(void)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	int rc = getaddrinfo("localhost", "25", &hints, &list);

	if (rc == 0)
		freeaddrinfo(list);
	return rc == 0 ? 0 : rc == EAI_SYSTEM ? errno : ENOENT;
}

/* --- what kills --------------------------------------------------------------------------- */

static int
try_execve(void)
{
	char *argv[] = { (char[]){ "true" }, NULL };

	return result(execve("/bin/true", argv, (char *[]){ NULL }));
}

static int try_ptrace(void) { return result((long)ptrace(PTRACE_ATTACH, victim, NULL, NULL)); }
static int try_setuid(void) { return result(setuid(0)); }
static int try_unshare(void) { return result(unshare(CLONE_NEWUSER)); }
static int try_mount(void) { return result(mount("none", "/nowhere", "tmpfs", 0, NULL)); }

static int
try_vmread(void)
{
	char byte;
	struct iovec mine = { &byte, 1 }, theirs = { (void *)(uintptr_t)&conf, 1 };

	return result(process_vm_readv(victim, &mine, 1, &theirs, 1, 0));
}

/* --- the supervisor's: with the filter EPERM, without it something else ------------------------ */

#define NOBODY	0x7fffffff	/* no process has this number */

static int trace(void) { return result((long)ptrace(PTRACE_PEEKDATA, NOBODY, NULL, NULL)); }
static int namespace(void) { return result(setns(-1, 0)); }

static int
other_memory(void)
{
	char byte;
	struct iovec io = { &byte, 1 };

	return result(process_vm_readv(NOBODY, &io, 1, &io, 1, 0));
}

struct attempt {
	const char	*name;
	int		(*fn)(void);
};
#define TRY(name) { #name, name }

static const struct attempt all[] = {
	TRY(password), TRY(queued_mail), TRY(state_dir), TRY(passwd), TRY(a_program), TRY(temporary),
	TRY(memory_file), TRY(connect_out), TRY(control_socket), TRY(new_listener), TRY(unbound_listener),
	TRY(raw_socket), TRY(kill_victim), TRY(pidfd), TRY(dumpable), TRY(memory_as_file),
	TRY(other_thread), TRY(core_limit), TRY(writable_code), TRY(new_process), TRY(look_up),
};
static const struct attempt deadly[] = {
	TRY(try_execve), TRY(try_ptrace), TRY(try_vmread), TRY(try_setuid), TRY(try_unshare), TRY(try_mount),
};

static const struct attempt supervisor[] = { TRY(trace), TRY(namespace), TRY(other_memory) };

static void
make(const char *role, const struct attempt *a)
{
	char text[128];
	int n;

	errno = 0;
	n = snprintf(text, sizeof(text), "escape %s %s %d\n", role, a->name, a->fn());
	if (n > 0 && write(STDERR_FILENO, text, (size_t)n) != n)
		_exit(99);
}

void
__wrap_role_run(struct role *r)
{
	struct view host, word;

	conf = r->conf;
	victim = getppid();
	host = view_str(conf->hostname);
	for (size_t i = 0; i < lengthof(deadly); i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "try-%s-%s", deadly[i].name + 4, r->name);
		if (view_split(&host, '.', &word) && view_eq(word, view_str(name)))
			make(r->name, &deadly[i]);
		host = view_str(conf->hostname);
	}
	for (size_t i = 0; i < lengthof(all) && !view_starts(host, VIEW("try-")); i++)
		make(r->name, &all[i]);
	__real_role_run(r);
}

void
__wrap_loop_run(struct loop *l)
{
	for (size_t i = 0; i < lengthof(supervisor) && conf == NULL; i++)
		make("supervisor", &supervisor[i]);
	__real_loop_run(l);
}
