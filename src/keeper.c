/* SPDX-License-Identifier: BSD-2-Clause */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

#include "base/banned.h"

#define ROUND_MS 10

struct keeper {
	pid_t		 command;
	bool		 ended;
	int		 status;	/* when it has */
	sigset_t	 wanted;
};

void
keeper_begin(pid_t parent)
{
	(void)prctl(PR_SET_NAME, "posthouse-run");
	(void)setpgid(0, 0);		/* what ends the group of the supervisor is told to us by its death */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
}

/* True while there is any child. */
static bool
reap(struct keeper *k)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != k->command)
			continue;
		k->ended = true;
		k->status = status;
	}
	return pid == 0;
}

static bool
wait_signal(const struct keeper *k, int signo, const struct timespec *limit)
{
	return sigtimedwait(&k->wanted, NULL, limit) == signo;
}

/*
 * The list is complete but for what is orphaned while it is read: that comes in the next
 * round. More of them than fit, too.
 */
static void
kill_children(const struct keeper *k)
{
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	char text[4096];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	struct view rest, word;
	uint64_t pid;

	if (fd >= 0)
		(void)close(fd);
	if (n < 0)
		(void)kill(-k->command, SIGKILL);	/* a kernel without such lists: its group */
	while (n > 0 && text[n - 1] != ' ')
		n--;		/* each has a space behind it: a number that was cut off has none */
	rest = view_of(text, n > 0 ? (size_t)n : 0);
	while (view_split(&rest, ' ', &word))
		if (num_parse_u64(word, 2, INT32_MAX, &pid))
			(void)kill((pid_t)pid, SIGKILL);
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* exists on every Linux */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Those of a killed process are ours then, so that it goes down the tree round by round. */
static void
end_all(struct keeper *k)
{
	static const struct timespec round = { .tv_nsec = ROUND_MS * 1000000 };
	int64_t deadline = now_ms() + KEEPER_PATIENCE_MS;

	while (reap(k) && now_ms() < deadline) {
		kill_children(k);
		(void)wait_signal(k, SIGCHLD, &round);
	}
}

static void noreturn_fn
end_as(const struct keeper *k)
{
	struct rlimit none = { 0, 0 };
	int signo = !k->ended ? SIGKILL : WIFSIGNALED(k->status) ? WTERMSIG(k->status) : 0;
	sigset_t set;

	if (signo == 0)
		_exit(WEXITSTATUS(k->status));
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)signal(signo, SIG_DFL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, signo);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)raise(signo);
	_exit(127);
}

/* What the command writes to is not ours to hold open, nor anything of the supervisor's. */
static void
let_go(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2; fd++)
		(void)dup2(null, fd);
	(void)syscall(SYS_close_range, 3u, ~0u, 0);
}

void noreturn_fn
keeper_run(pid_t command)
{
	struct keeper k = { .command = command };

	let_go();
	(void)sigemptyset(&k.wanted);
	(void)sigaddset(&k.wanted, SIGCHLD);
	(void)sigaddset(&k.wanted, SIGTERM);
	while (reap(&k) && !k.ended && !wait_signal(&k, SIGTERM, NULL))
		;
	end_all(&k);
	end_as(&k);
}
