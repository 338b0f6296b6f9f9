/* SPDX-License-Identifier: BSD-2-Clause */
#include "secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "command.h"
#include "sys/privilege.h"

#include "base/banned.h"

/* --- files in memory ------------------------------------------------------ */

static int
write_whole(int fd, struct view v, struct err *e)
{
	while (v.n > 0) {
		ssize_t n = write(fd, v.p, v.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "can't write a memory file");
		v = view_from(v, (size_t)n);
	}
	return 0;
}

int
sealed_file(int *out, const char *name, struct view content, struct err *e)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_sys(e, errno, "can't make a memory file");
	if (write_whole(fd, content, e) != 0) {
		(void)close(fd);
		return -1;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
		err_sys(e, errno, "can't seal a memory file");
		(void)close(fd);
		return -1;
	}
	*out = fd;
	return 0;
}

int
err_unreadable(struct err *e, const char *what, const char *path, const char *how, const char *mode)
{
	int errnum = errno;
	char user[40];

	if (errnum != EACCES)
		return err_sys(e, errnum, "can't open %s %s", what, path);
	privilege_name(user, geteuid());
	err_set(e, ERR_DENIED, "can't open %s %.120s: %s runs posthoused and has to read it: \"%s %s\" and "
	    "\"chmod %s\" it", what, path, user, how, user, mode);
	if (e != NULL)
		e->errnum = errnum;
	return -1;
}

/* --- a file --------------------------------------------------------------- */

static int
open_file(const char *what, const char *path, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return err_unreadable(e, what, path, "chown", "0600");
	if (fstat(fd, &st) != 0)
		err_sys(e, errno, "can't look at %s %s", what, path);
	else if (!S_ISREG(st.st_mode))
		err_set(e, ERR_CONFIG, "%s %s is not a regular file", what, path);
	else if ((st.st_mode & S_IRWXO) != 0)
		err_set(e, ERR_DENIED, "%s %s is open to every user: chmod o= %s", what, path, path);
	else
		return fd;
	(void)close(fd);
	return -1;
}

int
secret_file_read(struct buf *out, const char *what, const char *path, struct err *e)
{
	int fd = open_file(what, path, e);
	int rc;

	if (fd < 0)
		return -1;
	rc = read_whole(fd, out, e);
	if (rc != 0)
		err_prefix(e, "%s %s", what, path);
	(void)close(fd);
	return rc;
}

/* systemd keeps it readable for us alone, in a directory of its own. */
static int
from_credential(struct buf *out, const char *name, struct err *e)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	int dirfd, fd, rc;

	if (dir == NULL)
		return err_set(e, ERR_CONFIG, "there are no credentials: the unit needs LoadCredential=%s:FILE", name);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return err_sys(e, errno, "can't open $CREDENTIALS_DIRECTORY");
	fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	(void)close(dirfd);
	if (fd < 0)
		return err_sys(e, errno, "can't open the credential %s", name);
	rc = read_whole(fd, out, e);
	if (rc != 0)
		err_prefix(e, "the credential %s", name);
	(void)close(fd);
	return rc;
}

static int
from_env(struct buf *out, const char *name, struct err *e)
{
	const char *value = getenv(name);

	if (value == NULL)
		return err_set(e, ERR_CONFIG, "the environment has no variable %s", name);
	if (!buf_add_str(out, value))
		return err_set(e, ERR_INPUT, "the variable %s is too long", name);
	return 0;
}

/* --- a command ------------------------------------------------------------ */

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* exists on every Linux */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 0 at the end of its output, -1 when it took too long or said too much. */
static int
read_output(int fd, struct buf *out, const char *name, struct err *e)
{
	int64_t deadline = now_ms() + SECRET_COMMAND_MS;

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - now_ms();
		uint8_t bytes[4096];
		ssize_t n;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return err_set(e, ERR_BUSY, "password_command %s took longer than %d s", name,
			    SECRET_COMMAND_MS / 1000);
		n = read(fd, bytes, sizeof(bytes));
		if (n == 0)
			return 0;
		if (n > 0 && !buf_add(out, view_of(bytes, (size_t)n))) {
			secret_wipe(bytes, sizeof(bytes));
			return err_set(e, ERR_INPUT, "password_command %s printed more than %d bytes", name,
			    SECRET_MAX);
		}
		secret_wipe(bytes, sizeof(bytes));
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return err_sys(e, errno, "can't read from password_command %s", name);
	}
}

/* The output is closed or given up; the command itself may linger, so it is not waited for longer. */
static int
end_command(pid_t pid, bool failed, const char *name, struct err *e)
{
	int status = 0;
	int64_t deadline = now_ms() + 1000;
	bool gone = false;

	while (!failed && !gone && now_ms() < deadline) {
		gone = waitpid(pid, &status, WNOHANG) == pid;
		if (!gone)
			(void)poll(NULL, 0, 5);
	}
	if (!gone) {
		command_kill(pid);
		(void)waitpid(pid, &status, 0);
	}
	if (failed)
		return -1;
	return command_check(status, "password_command", name, e);
}

static int
from_command(struct buf *out, char **argv, struct err *e)
{
	int fd[2];
	pid_t pid;
	size_t line;
	int rc;

	if (pipe2(fd, O_CLOEXEC) != 0)
		return err_sys(e, errno, "can't make a pipe");
	rc = command_start(&pid, &(struct command){ .argv = argv, .in = -1, .out = fd[1], .err = -1 }, e);
	(void)close(fd[1]);
	if (rc != 0) {
		(void)close(fd[0]);
		return -1;
	}
	rc = read_output(fd[0], out, argv[0], e);
	(void)close(fd[0]);
	rc = end_command(pid, rc != 0, argv[0], e);
	/* pass(1) and friends print the password in the first line and remarks below. */
	line = view_find(buf_view(out), '\n');
	buf_truncate(out, line);
	return rc;
}

/* --- all of them ---------------------------------------------------------- */

/* Without the newline that editors put at the end. What is left must be one line of text. */
static int
trim(struct buf *b, struct err *e)
{
	struct view v = buf_view(b);

	if (view_ends(v, VIEW("\n")))
		v.n--;
	if (view_ends(v, VIEW("\r")))
		v.n--;
	buf_truncate(b, v.n);
	if (v.n == 0)
		return err_set(e, ERR_CONFIG, "the password is empty");
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x20 || v.p[i] == 0x7f)
			return err_set(e, ERR_CONFIG, "the password has more than one line, or a control character");
	return 0;
}

static int
read_secret(struct buf *b, const struct conf_relay *r, struct err *e)
{
	switch (r->secret) {
	case CONF_SECRET_FILE:
		return secret_file_read(b, "the password file", r->secret_from, e);
	case CONF_SECRET_CREDENTIAL:
		return from_credential(b, r->secret_from, e);
	case CONF_SECRET_COMMAND:
		return from_command(b, r->command, e);
	case CONF_SECRET_ENV:
		return from_env(b, r->secret_from, e);
	case CONF_SECRET_NONE:
		break;
	}
	return err_set(e, ERR_CONFIG, "no password is configured");
}

/* b may take SECRET_MAX. The caller wipes it, whatever comes back. */
static int
read_trimmed(struct buf *b, const struct conf_relay *r, struct err *e)
{
	/* At full size from the start: growing would leave copies behind. */
	if (buf_reserve(b, SECRET_MAX) == NULL)
		return err_set(e, ERR_FULL, "no memory");
	return read_secret(b, r, e) == 0 ? trim(b, e) : -1;
}

/* The line of one relay. */
static int
add_secret(struct buf *lines, const struct conf_relay *r, struct err *e)
{
	struct buf b;
	int rc = 0;

	buf_init(&b, SECRET_MAX);
	if (r->secret != CONF_SECRET_NONE)
		rc = read_trimmed(&b, r, e);
	if (rc == 0 && (!buf_add(lines, buf_view(&b)) || !buf_add_byte(lines, '\n')))
		rc = err_set(e, ERR_FULL, "no memory");
	buf_wipe(&b);
	return rc;
}

int
secrets_fetch(int *out, const struct conf *c, struct err *e)
{
	struct buf lines;
	int rc = 0;

	buf_init(&lines, SECRETS_MAX);
	if (buf_reserve(&lines, SECRETS_MAX) == NULL)
		rc = err_set(e, ERR_FULL, "no memory");
	for (size_t i = 0; rc == 0 && i < c->nrelay; i++) {
		rc = add_secret(&lines, &c->relay[i], e);
		if (rc != 0 && c->nrelay > 1)
			rc = err_prefix(e, "relay %s", c->relay[i].name);
	}
	if (rc == 0)
		rc = sealed_file(out, "posthouse-secret", buf_view(&lines), e);
	buf_wipe(&lines);
	return rc;
}

int
secret_check(const struct conf_relay *r, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, SECRET_MAX);
	if (r->secret == CONF_SECRET_FILE) {
		rc = read_trimmed(&b, r, e);
		buf_wipe(&b);
		return rc;
	}
	if (r->secret == CONF_SECRET_COMMAND)
		return command_is_usable(r->command[0], "password_command", e);
	return 0;
}
