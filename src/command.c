/* SPDX-License-Identifier: BSD-2-Clause */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "keeper.h"
#include "sys/privilege.h"

#include "base/banned.h"

#define ENV_MAX 16
#define SEARCHED "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int
moved(int fd)
{
	return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 10);
}

static void noreturn_fn
become_command(const struct command *c)
{
	static char path[] = "PATH=" SEARCHED;
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
	(void)setpgid(0, 0);		/* a key press in the terminal is not for it */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execve(c->argv[0], c->argv, env);
	_exit(127);
}

static void noreturn_fn
become_keeper(const struct command *c, pid_t parent)
{
	pid_t pid;

	keeper_begin(parent);
	pid = fork();
	if (pid == 0)
		become_command(c);
	if (pid < 0)
		_exit(127);
	keeper_run(pid);
}

int
command_start(pid_t *out, const struct command *c, struct err *e)
{
	pid_t self = getpid(), pid;
	sigset_t all, before;
	int errnum;

	/* The keeper shares the handlers' pipe with us: none may run in it. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before);
	pid = fork();
	errnum = errno;
	if (pid == 0)
		become_keeper(c, self);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return err_sys(e, errnum, "can't fork");
	*out = pid;
	return 0;
}

void
command_kill(pid_t pid)
{
	(void)kill(pid, SIGTERM);
	(void)kill(pid, SIGCONT);	/* should the command have stopped it */
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

static bool
is_in_path(struct view program)
{
	struct view dirs = VIEW(SEARCHED), dir;
	char name[512];

	while (view_split(&dirs, ':', &dir)) {
		(void)snprintf(name, sizeof(name), "%.*s/%.*s", VIEW_ARG(dir), VIEW_ARG(program));
		if (access(name, X_OK) == 0)
			return true;
	}
	return false;
}

/* "/usr/bin/env [-S] php -q": env is there, but is what it looks for? Other options of env are not read. */
static int
check_env(struct view line, const char *what, const char *path, struct err *e)
{
	struct view word = VIEW("");

	line = view_trim(line);
	if (view_starts(line, VIEW("-S ")))
		line = view_trim(view_from(line, 3));
	if (!view_split(&line, ' ', &word) || word.n == 0)
		return err_set(e, ERR_CONFIG, "%s %s: its first line names no program", what, path);
	if (word.p[0] == '-' || view_find(word, '=') < word.n || view_find(word, '/') < word.n || is_in_path(word))
		return 0;
	return err_set(e, ERR_CONFIG, "%s %s: its first line names %.*s, which is in none of %s", what, path,
	    VIEW_ARG(word), SEARCHED);
}

/* "#!/usr/bin/php -q": 0 if that is there. */
static int
check_interpreter(struct view line, const char *what, const char *path, struct err *e)
{
	char name[256];
	struct view word;

	line = view_trim(view_from(line, 2));
	if (!view_split(&line, ' ', &word) || word.n == 0 || word.n >= sizeof(name))
		return err_set(e, ERR_CONFIG, "%s %s: its first line names no program", what, path);
	memcpy(name, word.p, word.n);
	name[word.n] = '\0';
	if (access(name, X_OK) != 0)
		return err_sys(e, errno, "%s %s: its first line names %s", what, path, name);
	return view_ends(word, VIEW("/env")) ? check_env(line, what, path, e) : 0;
}

/* What can be run need not be readable; then it is no script. */
static int
check_begin(const char *path, const char *what, struct err *e)
{
	uint8_t bytes[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	ssize_t n = fd < 0 ? 0 : read(fd, bytes, sizeof(bytes));
	struct view begin = view_of(bytes, n > 0 ? (size_t)n : 0);

	if (fd >= 0)
		(void)close(fd);
	begin = view_first(begin, view_find(begin, '\n'));
	if (view_starts(begin, VIEW("#!")))
		return check_interpreter(begin, what, path, e);
	if (fd >= 0 && (begin.n == 0 || is_print(begin.p[0])))
		return err_set(e, ERR_CONFIG, "%s %s: a script needs a first line like #!/bin/sh", what, path);
	return 0;
}

int
command_is_usable(const char *path, const char *what, struct err *e)
{
	char user[40];
	struct stat st;

	if (stat(path, &st) != 0)
		return err_sys(e, errno, "%s %s", what, path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_CONFIG, "%s %s: that is %s, not a program", what, path,
		    S_ISDIR(st.st_mode) ? "a directory" : "no file");
	if (access(path, X_OK) != 0 && errno == EACCES) {
		privilege_name(user, geteuid());
		return err_set(e, ERR_DENIED, "%s %s: %s runs posthoused and may not run it: chmod +x it, and "
		    "look at its directories", what, path, user);
	}
	return check_begin(path, what, e);
}
