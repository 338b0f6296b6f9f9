/* SPDX-License-Identifier: BSD-2-Clause */
/* -bs, mailq and -q: bytes to and from the daemon's sockets. */
#include "sendmail/submit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "sendmail/open.h"

#include "base/banned.h"

#define ANSWER_MS	60000
#define PAUSE_MS	100

/* --- -bs ------------------------------------------------------------------- */

static int
write_all(int fd, struct view v)
{
	while (v.n > 0) {
		ssize_t n = write(fd, v.p, v.n);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			v = view_from(v, (size_t)n);
	}
	return 0;
}

/* Move what there is. 1: some, 0: the end, -1: failed. */
static int
move(int from, int to)
{
	uint8_t block[16384];
	ssize_t n = read(from, block, sizeof(block));

	if (n < 0)
		return errno == EINTR ? 1 : -1;
	if (n > 0 && write_all(to, view_of(block, (size_t)n)) < 0)
		return -1;
	return n > 0;
}

int
relay_session(void)
{
	struct link l;
	bool more = true;
	int rc;

	link_init(&l);
	rc = open_mail(&l, false);
	if (rc != EX_OK) {
		(void)printf("421 4.3.0 posthouse is not running\r\n");
		(void)fflush(stdout);
	}
	while (rc == EX_OK) {
		struct pollfd p[2] = {
			{ .fd = l.fd, .events = POLLIN },
			{ .fd = more ? 0 : -1, .events = POLLIN },
		};
		int got;

		if (poll(p, 2, -1) < 0 && errno != EINTR) {
			rc = complain(EX_OSERR, "poll failed");
			break;
		}
		/* The daemon's answers first: it ends the session. */
		if (p[0].revents != 0) {
			got = move(l.fd, 1);
			if (got < 0)
				rc = complain(EX_IOERR, "the session broke");
			if (got <= 0)
				break;
		} else if (p[1].revents != 0 && move(0, l.fd) <= 0) {
			more = false;
			(void)shutdown(l.fd, SHUT_WR);	/* it may have ended already */
		}
	}
	link_close(&l);
	return rc;
}

/* --- one question ------------------------------------------------------------ */

/* What is known of an answer so far. */
struct answer {
	bool	print, in_body;
	int	failure;	/* the exit status for it */
};

/* Moves what came of the body; -1: it can't be written. */
static int
take(struct answer *a, struct link *l)
{
	if (!a->in_body) {
		size_t end = view_find(buf_view(&l->in), '\n');

		if (end == buf_len(&l->in) || !view_eq(view_first(buf_view(&l->in), end), VIEW("ok")))
			return 0;
		buf_consume(&l->in, end + 1);
		a->in_body = true;
	}
	if (a->print && write_all(1, buf_view(&l->in)) < 0)
		return -1;
	buf_clear(&l->in);
	return 0;
}

/*
 * Print what follows the line "ok"; the sentence behind "error " is the complaint. -1: nothing
 * came, e says why.
 */
static int
print_answer(struct link *l, struct answer *a, struct err *e)
{
	struct view head;
	char text[300];
	int rc;

	while ((rc = link_read(l, ANSWER_MS, e)) > 0)
		if (take(a, l) < 0)
			return complain(EX_IOERR, "can't write to standard output");
	if (a->in_body)
		return rc < 0 ? complain(a->failure, e->text) : EX_OK;
	head = view_first(buf_view(&l->in), view_find(buf_view(&l->in), '\n'));
	if (head.n == 0)
		return rc < 0 ? -1 : err_set(e, ERR_NET, "it closed the connection without an answer");
	if (view_starts(head, VIEW("error ")))
		head = view_from(head, 6);
	(void)snprintf(text, sizeof(text), "posthouse answers: %.*s", VIEW_ARG(view_first(head, 200)));
	return complain(a->failure, text);
}

/* A reload puts another relay in the place of the one that was asked: it listens a moment later. */
static int
ask(const char *variable, const char *standard, struct view question, bool print, int failure)
{
	const char *named = getenv(variable);
	struct answer a = { .print = print, .failure = failure };
	int64_t deadline_ms = now_ms() + patience_ms();
	struct link l;
	struct err e = { 0 };
	char text[400];
	int rc = -1;
	bool connected = false;

	link_init(&l);
	while (rc < 0) {
		if (link_connect(&l, named != NULL ? named : standard, &e) == 0) {
			connected = true;
			if (link_send(&l, question, ANSWER_MS, &e) == 0)
				rc = print_answer(&l, &a, &e);
		}
		if (rc < 0 && (!connected || now_ms() > deadline_ms)) {
			(void)snprintf(text, sizeof(text), "posthouse can't be asked: %.300s", e.text);
			rc = complain(e.errnum == EACCES || e.errnum == EPERM ? EX_NOPERM : failure, text);
		}
		if (rc < 0)
			pause_ms(PAUSE_MS);
	}
	link_close(&l);
	return rc;
}

int
show_queue(void)
{
	return ask("POSTHOUSE_STATUS", POSTHOUSE_RUNTIMEDIR "/status.sock",
	    VIEW("queue --text\n"), true, EX_UNAVAILABLE);
}

int
ask_flush(bool verbose)
{
	return ask("POSTHOUSE_CONTROL", POSTHOUSE_RUNTIMEDIR "/control.sock",
	    VIEW("flush\n"), verbose, EX_TEMPFAIL);
}
