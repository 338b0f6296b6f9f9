/* SPDX-License-Identifier: BSD-2-Clause */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "packet.h"
#include "role.h"
#include "sys/privilege.h"
#include "sys/sandbox.h"

#include "base/banned.h"

#define ENV_MAX 8
#define BINARY_FD (ROLE_CHANNEL_FD + 1)		/* in the spawner, and between fork and exec */

static void
close_from(unsigned fd)
{
	(void)syscall(SYS_close_range, fd, ~0u, 0);	/* close-on-exec does the same on old kernels */
}

/* Nothing of ours goes into the roles' environment: it may hold a password. */
static void
role_environment(char *env[ENV_MAX])
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	size_t n = 0;

	env[n++] = path;
#ifdef WITH_SANITIZERS
	{
		static const char *const names[] = { "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
			"LSAN_OPTIONS" };
		static char room[lengthof(names)][1024];

		for (size_t i = 0; i < lengthof(names); i++) {
			const char *value = getenv(names[i]);

			if (value == NULL)
				continue;
			(void)snprintf(room[i], sizeof(room[i]), "%s=%s", names[i], value);
			env[n++] = room[i];
		}
	}
#endif
	env[n] = NULL;
}

/*
 * In the child: put the descriptors to their places and go. Both are moved out
 * of the way first, since either may sit where the other has to be.
 */
static void noreturn_fn
become_role(int binary, char *name, int channel, char **env)
{
	char *argv[2] = { name, NULL };
	sigset_t none;
	int null;

	channel = fcntl(channel, F_DUPFD, 10);
	binary = fcntl(binary, F_DUPFD, 10);
	null = open("/dev/null", O_RDWR);
	if (channel < 0 || binary < 0 || null < 0)
		_exit(71);
	if (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(channel, ROLE_CHANNEL_FD) < 0 || dup3(binary, BINARY_FD, O_CLOEXEC) < 0)
		_exit(71);
	close_from(BINARY_FD + 1);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)fexecve(BINARY_FD, argv, env);
	_exit(71);
}

int
spawn_exec(pid_t *out, int binary, const char *name, int channel, struct err *e)
{
	char *env[ENV_MAX];
	char title[40];
	pid_t pid;

	role_environment(env);
	(void)snprintf(title, sizeof(title), "%s", name);
	pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "can't start %s", name);
	if (pid == 0)
		become_role(binary, title, channel, env);
	*out = pid;
	return 0;
}

/* --- the spawner ---------------------------------------------------------- */

struct spawner {
	int		 channel, signals;
	const char	*name;
	pid_t		 child;		/* 0: none */
};

static void
tell(const struct spawner *s, const char *word, long n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%ld", n);
	if (packet_send(s->channel, word, view_str(text), -1, NULL) != 0)
		_exit(0);	/* the supervisor has gone */
}

static void
reap(struct spawner *s)
{
	struct signalfd_siginfo info;
	int status;

	while (read(s->signals, &info, sizeof(info)) > 0)
		;
	if (s->child > 0 && waitpid(s->child, &status, WNOHANG) == s->child) {
		s->child = 0;
		tell(s, "exit", status);
	}
}

static void
obey(struct spawner *s, struct packet *p)
{
	uint64_t signo;

	if (view_eq(p->word, VIEW("spawn")) && p->fd >= 0 && s->child == 0) {
		if (spawn_exec(&s->child, BINARY_FD, s->name, p->fd, NULL) == 0)
			tell(s, "pid", s->child);
		else
			tell(s, "exit", 71 << 8);
	} else if (view_eq(p->word, VIEW("kill")) && num_parse_u64(p->rest, 1, 31, &signo)) {
		if (s->child > 0)
			(void)kill(s->child, (int)signo);	/* if it ended just now: fine */
	}
	if (p->fd >= 0)
		(void)close(p->fd);
}

static void noreturn_fn
spawner_run(const char *name)
{
	struct spawner s = { .channel = ROLE_CHANNEL_FD, .name = name };
	struct pollfd fds[2] = { { .fd = ROLE_CHANNEL_FD, .events = POLLIN }, { .events = POLLIN } };
	struct packet p;
	enum packet_got got;
	sigset_t set;

	(void)prctl(PR_SET_NAME, "posthouse-spawn");
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	/* A key press goes to the whole group; the supervisor decides what it means. */
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s.signals < 0)
		_exit(71);
	fds[1].fd = s.signals;
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			_exit(71);
		reap(&s);
		while ((got = packet_receive(s.channel, &p)) == PACKET_GOT)
			obey(&s, &p);
		if (got == PACKET_CLOSED)
			_exit(0);	/* intake notices by its own channel, and drains */
	}
}

/* The bytes themselves: the copy that was forked may hold password_env. */
static void
wipe_environment(void)
{
#ifndef WITH_SANITIZERS		/* their options are passed on */
	for (char **at = environ; *at != NULL; at++)
		explicit_bzero(*at, strlen(*at));
	environ = NULL;
#endif
}

int
spawner_start(int *channel, int binary, const char *name, const struct identity *user,
    const struct sandbox_params *box, struct err *e)
{
	char level[64];
	int fd[2];
	pid_t pid;

	if (packet_pair(fd, e) != 0)
		return -1;
	pid = fork();
	if (pid < 0) {
		(void)close(fd[0]);
		(void)close(fd[1]);
		return err_sys(e, errno, "can't fork");
	}
	if (pid == 0) {
		fd[1] = fcntl(fd[1], F_DUPFD_CLOEXEC, 10);
		binary = fcntl(binary, F_DUPFD_CLOEXEC, 10);
		if (fd[1] < 0 || binary < 0 || dup3(fd[1], ROLE_CHANNEL_FD, O_CLOEXEC) < 0 ||
		    dup3(binary, BINARY_FD, O_CLOEXEC) < 0)
			_exit(71);
		close_from(BINARY_FD + 1);
		wipe_environment();
		if (privilege_drop(user, NULL) != 0 || sandbox_early(NULL) != 0 ||
		    sandbox_apply(box, level, NULL) != 0)
			_exit(71);
		spawner_run(name);
	}
	(void)close(fd[1]);
	*channel = fd[0];
	return 0;
}
