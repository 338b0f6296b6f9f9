/* SPDX-License-Identifier: BSD-2-Clause */
#include "sendmail/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

#include "base/banned.h"

#define IN_MAX 65536

int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* can't fail with this clock */
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void
pause_ms(int ms)
{
	(void)poll(NULL, 0, ms);	/* shorter when interrupted: callers look at the clock */
}

void
link_init(struct link *l)
{
	l->fd = -1;
	buf_init(&l->in, IN_MAX);
	reply_parser_init(&l->parser);
}

void
link_close(struct link *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);	/* a socket: nothing is left to fail */
	buf_done(&l->in);
	link_init(l);
}

static int
connect_tcp(struct link *l, const char *where, struct err *e)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct view port = view_from(view_str(where), strlen("127.0.0.1:"));
	uint64_t number;
	int on = 1;

	if (!num_parse_u64(port, 1, 65535, &number))
		return err_set(e, ERR_INPUT, "%s is no address of the daemon", where);
	sin.sin_port = htons((uint16_t)number);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		return err_sys(e, errno, "%s", where);
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));	/* only faster */
	return 0;
}

static int
connect_unix(struct link *l, const char *path, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if (n >= sizeof(sun.sun_path))
		return err_set(e, ERR_INPUT, "the path of the daemon's socket is too long");
	memcpy(sun.sun_path, path, n + 1);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return err_sys(e, errno, "%s", path);
	return 0;
}

int
link_connect(struct link *l, const char *where, struct err *e)
{
	link_close(l);
	if (view_starts(view_str(where), VIEW("127.0.0.1:")))
		return connect_tcp(l, where, e);
	return connect_unix(l, where, e);
}

/* Until the descriptor is ready; -1 with "timed out" at the deadline. */
static int
wait_for(struct link *l, short events, int64_t deadline_ms, struct err *e)
{
	for (;;) {
		struct pollfd p = { .fd = l->fd, .events = events };
		int64_t left_ms = deadline_ms - now_ms();
		int n;

		if (left_ms <= 0)
			return err_set(e, ERR_NET, "posthouse does not answer in time");
		n = poll(&p, 1, (int)left_ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "poll");
	}
}

int
link_send(struct link *l, struct view v, int timeout_ms, struct err *e)
{
	int64_t deadline_ms = now_ms() + timeout_ms;

	while (v.n > 0) {
		ssize_t n = send(l->fd, v.p, v.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			v = view_from(v, (size_t)n);
		else if (errno == EAGAIN) {
			if (wait_for(l, POLLOUT, deadline_ms, e) < 0)
				return -1;
		} else if (errno != EINTR)
			return err_sys(e, errno, "posthouse closed the connection");
	}
	return 0;
}

int
link_read(struct link *l, int timeout_ms, struct err *e)
{
	int64_t deadline_ms = now_ms() + timeout_ms;
	uint8_t *at = buf_reserve(&l->in, 4096);

	if (at == NULL)
		return err_set(e, ERR_FULL, "the answer is too long");
	for (;;) {
		ssize_t n = recv(l->fd, at, 4096, MSG_DONTWAIT);

		if (n >= 0) {
			buf_grew(&l->in, (size_t)n);
			return n > 0;
		}
		if (errno == EAGAIN) {
			if (wait_for(l, POLLIN, deadline_ms, e) < 0)
				return -1;
		} else if (errno != EINTR) {
			return err_sys(e, errno, "posthouse closed the connection");
		}
	}
}

int
link_reply(struct link *l, int timeout_ms, struct err *e)
{
	int64_t deadline_ms = now_ms() + timeout_ms;

	for (;;) {
		enum reply_progress got = REPLY_MORE;
		size_t used = 0;
		int rc;

		if (buf_len(&l->in) > 0) {
			got = reply_parse(&l->parser, buf_view(&l->in), &used);
			buf_consume(&l->in, used);
		}
		if (got == REPLY_DONE)
			return 0;
		if (got == REPLY_BAD)
			return err_set(e, ERR_NET, "what answers is no mail server");
		if (buf_len(&l->in) > 0)
			continue;
		rc = link_read(l, (int)(deadline_ms - now_ms()), e);
		if (rc == 0)
			return err_set(e, ERR_NET, "posthouse closed the connection");
		if (rc < 0)
			return -1;
	}
}
