/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/ask.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/num.h"
#include "ctl/say.h"

#include "base/banned.h"

static int
connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static bool
is_closed_to_us(int errnum)
{
	return errnum == EACCES || errnum == EPERM;
}

void
ask_connect(struct ask *a, const char *runtime_dir, bool status_will_do)
{
	(void)snprintf(a->path, sizeof(a->path), "%s/control.sock", runtime_dir);
	a->fd = connect_to(a->path);
	if (a->fd < 0 && status_will_do && is_closed_to_us(errno)) {
		(void)snprintf(a->path, sizeof(a->path), "%s/status.sock", runtime_dir);
		a->fd = connect_to(a->path);
	}
	a->errnum = a->fd < 0 ? errno : 0;
}

bool
ask_is_nobody(const struct ask *a)
{
	return a->fd < 0 && (a->errnum == ENOENT || a->errnum == ECONNREFUSED);
}

int
ask_complain(const struct ask *a)
{
	if (is_closed_to_us(a->errnum)) {
		say("%s is for root and the daemon's user; try sudo", a->path);
		return EX_NOPERM;
	}
	say("cannot reach the daemon at %s: %s; is posthouse running? (systemctl status posthouse)", a->path,
	    strerror(a->errnum));
	return EX_UNAVAILABLE;
}

static int
send_all(int fd, struct view v)
{
	while (v.n > 0) {
		ssize_t n = send(fd, v.p, v.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		v = view_from(v, (size_t)n);
	}
	return 0;
}

/* A reload puts another relay in the place of this one: it listens a moment later. */
#define AGAIN_MS	100
#define AGAIN_MAX	100

/* What is known of the answer so far. The first line decides. */
struct answer {
	char		 head[512];
	size_t		 nhead;
	bool		 complete;	/* the first line is */
	bool		 ok, message, broken;
	uint64_t	 want, got;	/* bytes of a message */
};

/* "ok", or "ok SIZE" in front of a message, so that one that ends early is noticed. */
static void
judge_head(struct answer *a)
{
	struct view v = view_of(a->head, a->nhead), word;

	a->ok = view_split(&v, ' ', &word) && view_eq(word, VIEW("ok")) &&
	    (!a->message || num_parse_u64(v, 0, UINT64_MAX, &a->want));
}

static void
take(struct answer *a, struct view v)
{
	while (!a->complete && v.n > 0) {
		uint8_t c = v.p[0];

		v = view_from(v, 1);
		a->complete = c == '\n';
		if (a->complete)
			judge_head(a);
		else if (a->nhead + 1 < sizeof(a->head))
			a->head[a->nhead++] = (char)c;
	}
	if (!a->ok || v.n == 0)
		return;
	a->got += v.n;
	if (!(a->message ? put_message(v) : fwrite(v.p, 1, v.n, stdout) == v.n))
		a->broken = true;
}

static int
conclude(const struct answer *a)
{
	if (fflush(stdout) != 0 || a->broken) {
		say("cannot write: %s", strerror(errno));
		return EX_IOERR;
	}
	if (!a->complete) {
		say("the answer broke off");
		return EX_IOERR;
	}
	if (!a->ok) {
		say("%.*s", (int)a->nhead, strncmp(a->head, "error ", 6) == 0 ? a->head + 6 : a->head);
		return 1;
	}
	if (a->message && a->got != a->want) {
		say("only %llu of %llu bytes came: the rest is damaged (posthousectl check says where), or the "
		    "message has just left",
		    (unsigned long long)a->got, (unsigned long long)a->want);
		return 1;
	}
	return EX_OK;
}

/* True if nothing at all came back, so that asking again can't show anything twice. */
static bool
show_answer(int fd, bool message, int *status)
{
	struct answer a = { .message = message };
	char block[65536];
	ssize_t n;

	while (!a.broken && (n = recv(fd, block, sizeof(block), 0)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (a.nhead == 0 && !a.complete)
				return true;
			say("the answer broke off: %s", strerror(errno));
			*status = EX_IOERR;
			return false;
		}
		take(&a, view_of(block, (size_t)n));
	}
	if (!a.broken && a.nhead == 0 && !a.complete)
		return true;
	*status = conclude(&a);
	return false;
}

/* True if it may be asked again. */
static bool
ask_once(struct ask *a, struct view request, bool message, int *status)
{
	bool again = a->fd < 0 || send_all(a->fd, request) < 0 || send_all(a->fd, VIEW("\n")) < 0 ||
	    show_answer(a->fd, message, status);

	if (a->fd >= 0)
		(void)close(a->fd);	/* nothing is unsaid */
	a->fd = -1;
	return again;
}

int
ask_run(struct ask *a, struct view request, bool message)
{
	int status = EX_UNAVAILABLE;

	for (unsigned n = 0; ask_once(a, request, message, &status); n++) {
		if (n == AGAIN_MAX) {
			say("the daemon closed the connection without an answer");
			return EX_UNAVAILABLE;
		}
		(void)poll(NULL, 0, AGAIN_MS);	/* a pause; shorter when interrupted */
		a->fd = connect_to(a->path);
	}
	return status;
}
