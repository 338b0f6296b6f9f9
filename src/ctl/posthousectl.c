/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posthousectl - ask the daemon on its control socket and show the answer.
 *
 * The request is the command line, the answer is text (doc/control.md): what
 * there is to know is known by the daemon alone. status, ports and queue fall
 * back to the status socket, which everybody may use.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "conf/conf.h"

#include "base/banned.h"

#define DEFAULT_CONF	POSTHOUSE_SYSCONFDIR "/posthouse/posthouse.conf"
#define REQUEST_MAX	1024

static const char usage_text[] =
    "usage: posthousectl [-c FILE] [--json] [--limit N] COMMAND [ID]\n"
    "\n"
    "  status            what the daemon does, one look\n"
    "  ports             each port of the smarthost: state, score, why\n"
    "  queue             messages that wait, oldest first\n"
    "  explain ID        one message: where it is and why\n"
    "  cat ID            the message itself\n"
    "  flush [ID]        try now\n"
    "  hold ID|all       keep, do not send\n"
    "  release ID|all    undo hold\n"
    "  remove ID|all     delete without a bounce\n"
    "  probe             look at all ports now\n"
    "  unblock           use a blocked account or port again\n"
    "  reload            read the configuration again\n"
    "\n"
    "  -c FILE           configuration (default " DEFAULT_CONF ")\n"
    "  --json            answer in JSON\n"
    "  --limit N         queue: at most N messages (default 1000)\n";

/* The file's text, or -1 with errno. */
static int
read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd < 0)
		return -1;
	for (;;) {
		uint8_t *at = buf_reserve(out, 4096);

		if (at == NULL) {
			errno = EFBIG;
			n = -1;
			break;
		}
		n = read(fd, at, 4096);
		if (n <= 0)
			break;
		buf_grew(out, (size_t)n);
	}
	(void)close(fd);	/* only read from */
	return n < 0 ? -1 : 0;
}

/*
 * The runtime directory that the configuration names. Who may not read the
 * configuration gets the default, which is right unless it was changed.
 */
static char *
runtime_dir(const char *path, bool must)
{
	struct buf text, report;
	struct conf *conf;
	char *dir = NULL;

	buf_init(&text, CONF_TEXT_MAX);
	buf_init(&report, 1u << 20);
	if (read_file(path, &text) < 0) {
		if (must) {
			fprintf(stderr, "posthousectl: cannot read %s: %s\n", path, strerror(errno));
			exit(EX_CONFIG);
		}
		dir = xstrdup(POSTHOUSE_RUNTIMEDIR);
	} else if (conf_load(&conf, buf_view(&text), path, &report) < 0) {
		fprintf(stderr, "%.*s", VIEW_ARG(buf_view(&report)));
		exit(EX_CONFIG);
	} else {
		dir = xstrdup(conf->runtime_dir);
		conf_free(conf);
	}
	buf_done(&text);
	buf_done(&report);
	return dir;
}

static int
connect_to(const char *dir, const char *name, char path[sizeof(((struct sockaddr_un *)0)->sun_path)])
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", dir, name);
	int fd;

	(void)snprintf(path, sizeof(a.sun_path), "%s", a.sun_path);
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

static int
reach_daemon(const char *dir, bool status_will_do)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd = connect_to(dir, "control.sock", path);

	if (fd < 0 && status_will_do && (errno == EACCES || errno == EPERM))
		fd = connect_to(dir, "status.sock", path);
	if (fd >= 0)
		return fd;
	if (errno == EACCES || errno == EPERM) {
		fprintf(stderr, "posthousectl: %s is for root and the daemon's user; try sudo\n", path);
		exit(EX_NOPERM);
	}
	fprintf(stderr, "posthousectl: cannot reach the daemon at %s: %s; is posthouse running? "
	    "(systemctl status posthouse)\n", path, strerror(errno));
	exit(EX_UNAVAILABLE);
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

/* The first line decides the exit status, the rest goes to standard output. */
static int
show_answer(int fd)
{
	char block[65536], head[512];
	size_t nhead = 0;
	bool ok = false, have_head = false;
	ssize_t n;

	while ((n = recv(fd, block, sizeof(block), 0)) != 0) {
		size_t at = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fprintf(stderr, "posthousectl: the answer broke off: %s\n", strerror(errno));
			return EX_IOERR;
		}
		while (!have_head && at < (size_t)n) {
			char c = block[at++];

			if (c == '\n')
				have_head = true;
			else if (nhead + 1 < sizeof(head))
				head[nhead++] = c;
		}
		head[nhead] = '\0';
		if (!have_head)
			continue;
		ok = strcmp(head, "ok") == 0;
		if (ok && fwrite(block + at, 1, (size_t)n - at, stdout) != (size_t)n - at)
			return EX_IOERR;
	}
	if (fflush(stdout) != 0)
		return EX_IOERR;
	if (ok)
		return EX_OK;
	if (!have_head) {
		fprintf(stderr, "posthousectl: the daemon closed the connection without an answer\n");
		return EX_UNAVAILABLE;
	}
	fprintf(stderr, "posthousectl: %s\n", strncmp(head, "error ", 6) == 0 ? head + 6 : head);
	return 1;
}

static void
add_word(struct buf *request, const char *word)
{
	if (word[0] == '\0' || strpbrk(word, " \r\n\t") != NULL) {
		fprintf(stderr, "posthousectl: \"%s\" is not one word\n", word);
		exit(EX_USAGE);
	}
	if ((buf_len(request) != 0 && !buf_add_byte(request, ' ')) || !buf_add_str(request, word)) {
		fprintf(stderr, "posthousectl: the command line is too long\n");
		exit(EX_USAGE);
	}
}

static bool
is_open_to_all(const char *command)
{
	return strcmp(command, "status") == 0 || strcmp(command, "ports") == 0 ||
	    strcmp(command, "queue") == 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "limit", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 }
	};
	const char *path = NULL, *command = NULL;
	struct buf request;
	int option, fd, status;
	char *dir;

	buf_init(&request, REQUEST_MAX - 1);
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'j':
			add_word(&request, "--json");
			break;
		case 'l':
			add_word(&request, "--limit");
			add_word(&request, optarg);
			break;
		case 'h':
			(void)fputs(usage_text, stdout);
			return EX_OK;
		case 'V':
			printf("posthousectl %s\n", PACKAGE_VERSION);
			return EX_OK;
		default:
			(void)fputs(usage_text, stderr);
			return EX_USAGE;
		}
	}
	if (optind == argc) {
		(void)fputs(usage_text, stderr);
		return EX_USAGE;
	}
	command = argv[optind];
	for (; optind < argc; optind++)
		add_word(&request, argv[optind]);
	dir = runtime_dir(path != NULL ? path : DEFAULT_CONF, path != NULL);
	fd = reach_daemon(dir, is_open_to_all(command));
	free(dir);
	status = EX_IOERR;
	if (send_all(fd, buf_view(&request)) < 0 || send_all(fd, VIEW("\n")) < 0)
		fprintf(stderr, "posthousectl: cannot send the request: %s\n", strerror(errno));
	else
		status = show_answer(fd);
	(void)close(fd);	/* nothing is unsaid */
	buf_done(&request);
	return status;
}
