/* SPDX-License-Identifier: BSD-2-Clause */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/banned.h"

#define ENV_MAX 16

static int
moved(int fd)
{
	return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 10);
}

static void noreturn_fn
become_command(const struct command *c)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *env[ENV_MAX + 2] = { path };
	int null = moved(open("/dev/null", O_RDWR | O_CLOEXEC));
	/* Out of the way first: any of them may sit where another has to be. */
	int in = c->in < 0 ? null : moved(c->in), out = c->out < 0 ? null : moved(c->out);
	int err = moved(c->err);
	sigset_t none;

	for (size_t i = 0; c->env != NULL && c->env[i] != NULL && i < ENV_MAX; i++)
		env[i + 1] = c->env[i];
	if (in < 0 || out < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    (c->err >= 0 && dup2(err, STDERR_FILENO) < 0))
		_exit(127);
	(void)syscall(SYS_close_range, 3u, ~0u, 0);	/* all are close-on-exec besides */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setpgid(0, 0);		/* so that what it starts ends with it */
	(void)execve(c->argv[0], c->argv, env);
	_exit(127);
}

int
command_start(pid_t *out, const struct command *c, struct err *e)
{
	pid_t pid = fork();

	if (pid == 0)
		become_command(c);
	if (pid < 0)
		return err_sys(e, errno, "can't fork");
	*out = pid;
	return 0;
}

void
command_kill_rest(pid_t pid)
{
	(void)kill(-pid, SIGKILL);	/* nobody is left: fine */
}

void
command_kill(pid_t pid)
{
	command_kill_rest(pid);
	(void)kill(pid, SIGKILL);	/* before it could make its own group */
}

int
command_check(int status, const char *what, const char *name, struct err *e)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return err_set(e, ERR_CONFIG, "%s %s failed (%s %d)%s", what, name,
	    WIFEXITED(status) ? "exit status" : "signal",
	    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
	    WIFEXITED(status) && WEXITSTATUS(status) == 127 ? ": can't be run" : "");
}
