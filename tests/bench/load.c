/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load - many SMTP clients in one process, to measure how fast mail is accepted.
 *
 *	load -p PORT [-c CLIENTS] [-n MESSAGES] [-s BYTES] [-k] [-t SECONDS]
 *
 * Each client waits for every reply, as common programs do; -k keeps the
 * connection for the next message, otherwise each message has its own, with
 * QUIT and the reply to it. One line of key=value comes out: messages a second,
 * the time from the final dot to its reply (median, 95th, 99th percentile), and the processor
 * time of this program, so that its share can be told.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sample.h"

#define PATIENCE_S	60L

enum step { STEP_GREETING, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_DOT, STEP_QUIT };

struct client {
	int		 fd;
	enum step	 step;
	char		 line[2048];
	size_t		 nline;
	const char	*out;		/* what is still to be written */
	size_t		 nout;
	int64_t		 dot_us;
	bool		 writing;	/* epoll watches for room as well */
};

static struct {
	uint16_t	 port;
	long		 clients, messages, size, seconds;
	bool		 keep;
} opt = { .clients = 1, .messages = 1000, .size = 10240, .seconds = 60 };

static struct {
	char		*body;
	size_t		 nbody;
	long		 begun, done, failed;
	struct samples	 latency;
	int		 epoll;
	char		 why[2048];
} run;

static void
make_body(void)
{
	static const char head[] = "From: <load@example.com>\r\nTo: <sink@example.net>\r\n"
	    "Subject: load\r\nDate: Sun, 22 Nov 2026 07:30:23 +0000\r\n"
	    "Message-ID: <load@example.com>\r\n\r\n";
	static const char line[] = "the quick brown fox jumps over the lazy dog, again and again\r\n";
	size_t size = (size_t)opt.size;

	run.body = malloc(sizeof(head) + size + sizeof(line) + 8);
	if (run.body == NULL)
		die("memory");
	memcpy(run.body, head, sizeof(head) - 1);
	run.nbody = sizeof(head) - 1;
	while (run.nbody < size) {
		memcpy(run.body + run.nbody, line, sizeof(line) - 1);
		run.nbody += sizeof(line) - 1;
	}
	memcpy(run.body + run.nbody, ".\r\n", 3);
	run.nbody += 3;
}

static void
watch(struct client *c, int op, bool writing)
{
	struct epoll_event ev = { .events = EPOLLIN | (writing ? EPOLLOUT : 0u), .data.ptr = c };

	c->writing = writing;
	if (epoll_ctl(run.epoll, op, c->fd, &ev) < 0)
		die("epoll_ctl");
}

static void
connect_client(struct client *c)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(opt.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
		die("connect");
	c->step = STEP_GREETING;
	c->nline = c->nout = 0;
	watch(c, EPOLL_CTL_ADD, false);
}

static void
hang_up(struct client *c)
{
	(void)close(c->fd);
	c->fd = -1;
}

static void
flush_client(struct client *c)
{
	while (c->nout > 0) {
		ssize_t n = send(c->fd, c->out, c->nout, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			die("send");
		c->out += n;
		c->nout -= (size_t)n;
	}
	if ((c->nout > 0) != c->writing)
		watch(c, EPOLL_CTL_MOD, c->nout > 0);
}

static void
say(struct client *c, enum step step, const char *text)
{
	c->step = step;
	c->out = text;
	c->nout = strlen(text);
	flush_client(c);
}

/* The next message on this connection, or the end of it. */
static void
next_message(struct client *c)
{
	if (run.begun >= opt.messages) {
		say(c, STEP_QUIT, "QUIT\r\n");
		return;
	}
	run.begun++;
	say(c, STEP_MAIL, "MAIL FROM:<load@example.com>\r\n");
}

static void
on_reply(struct client *c, char class)
{
	static const char want[] = { [STEP_GREETING] = '2', [STEP_EHLO] = '2', [STEP_MAIL] = '2',
		[STEP_RCPT] = '2', [STEP_DATA] = '3', [STEP_DOT] = '2', [STEP_QUIT] = '2' };

	if (class != want[c->step]) {
		run.failed++;
		snprintf(run.why, sizeof(run.why), "step %d: %.200s", c->step, c->line);
		hang_up(c);
		return;
	}
	switch (c->step) {
	case STEP_GREETING:
		say(c, STEP_EHLO, "EHLO load.example.com\r\n");
		break;
	case STEP_EHLO:
		next_message(c);
		break;
	case STEP_MAIL:
		say(c, STEP_RCPT, "RCPT TO:<sink@example.net>\r\n");
		break;
	case STEP_RCPT:
		say(c, STEP_DATA, "DATA\r\n");
		break;
	case STEP_DATA:
		c->step = STEP_DOT;
		c->out = run.body;
		c->nout = run.nbody;
		c->dot_us = now_us();
		flush_client(c);
		break;
	case STEP_DOT:
		run.done++;
		samples_add(&run.latency, now_us() - c->dot_us);
		if (opt.keep)
			next_message(c);
		else
			say(c, STEP_QUIT, "QUIT\r\n");
		break;
	case STEP_QUIT:
		hang_up(c);
		if (run.begun < opt.messages)
			connect_client(c);
		break;
	}
}

static void
on_bytes(struct client *c)
{
	char block[4096];
	ssize_t n = recv(c->fd, block, sizeof(block), 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		run.failed++;
		snprintf(run.why, sizeof(run.why), "connection ended in step %d", c->step);
		hang_up(c);
		return;
	}
	for (ssize_t i = 0; i < n && c->fd >= 0; i++) {
		if (c->nline + 1 < sizeof(c->line))
			c->line[c->nline++] = block[i];
		if (block[i] != '\n')
			continue;
		c->line[c->nline] = '\0';
		c->nline = 0;
		if (strlen(c->line) >= 4 && c->line[3] != '-')
			on_reply(c, c->line[0]);
	}
}

static void
report(int64_t begin_us)
{
	double seconds = (double)(now_us() - begin_us) / 1e6;
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	samples_sort(&run.latency);
	printf("messages=%ld failed=%ld seconds=%.3f rate=%.1f p50_ms=%.3f p95_ms=%.3f p99_ms=%.3f cpu_s=%.3f\n",
	    run.done, run.failed, seconds, (double)run.done / seconds, samples_percentile_ms(&run.latency, 0.5),
	    samples_percentile_ms(&run.latency, 0.95), samples_percentile_ms(&run.latency, 0.99),
	    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
	if (run.failed > 0)
		fprintf(stderr, "load: the last failure: %s\n", run.why);
}

/* On a disk that stands still for a while, until each client was served once, for figures need that. */
static bool
has_time(int64_t begin_us)
{
	int64_t us = now_us() - begin_us;

	return us < opt.seconds * 1000000 || (run.done < opt.clients && us < PATIENCE_S * 1000000);
}

int
main(int argc, char **argv)
{
	struct client *clients;
	int64_t begin_us;
	int option;

	while ((option = getopt(argc, argv, "p:c:n:s:t:k")) != -1) {
		switch (option) {
		case 'p':
			opt.port = (uint16_t)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			opt.clients = strtol(optarg, NULL, 10);
			break;
		case 'n':
			opt.messages = strtol(optarg, NULL, 10);
			break;
		case 's':
			opt.size = strtol(optarg, NULL, 10);
			break;
		case 't':
			opt.seconds = strtol(optarg, NULL, 10);
			break;
		case 'k':
			opt.keep = true;
			break;
		default:
			return 2;
		}
	}
	if (opt.port == 0 || opt.clients < 1 || opt.messages < 1) {
		fprintf(stderr, "usage: load -p PORT [-c CLIENTS] [-n MESSAGES] [-s BYTES] [-k] [-t SECONDS]\n");
		return 2;
	}
	make_body();
	clients = calloc((size_t)opt.clients, sizeof(*clients));
	samples_new(&run.latency, opt.messages);
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (clients == NULL || run.epoll < 0)
		die("set-up");
	begin_us = now_us();
	for (long i = 0; i < opt.clients; i++)
		connect_client(&clients[i]);
	while (run.done + run.failed < opt.messages && run.failed < opt.clients && has_time(begin_us)) {
		struct epoll_event ev[256];
		int n = epoll_wait(run.epoll, ev, 256, 1000);

		for (int i = 0; i < n; i++) {
			struct client *c = ev[i].data.ptr;

			if (c->fd >= 0 && (ev[i].events & EPOLLOUT) != 0)
				flush_client(c);
			if (c->fd >= 0 && (ev[i].events & ~(uint32_t)EPOLLOUT) != 0)
				on_bytes(c);
		}
	}
	report(begin_us);
	free(clients);
	free(run.latency.us);
	free(run.body);
	return run.done == opt.messages ? 0 : 1;
}
