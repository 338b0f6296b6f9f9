/* SPDX-License-Identifier: BSD-2-Clause */
#include "sink/sink.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/num.h"

static const char usage[] =
    "usage: posthouse-sink [--certs DIR] [--dir DIR | --discard] [--user U --password P]\n"
    "           [--port NAME:MODE[:NUMBER]]... [--address A] [--control -|PATH] [--events]\n"
    "MODE is starttls, implicit or plain. Default: 587:starttls 465:implicit 2525:starttls,\n"
    "on numbers that the kernel chooses; \"port NAME NUMBER\" and \"ready\" tell when it is up.\n";

static const char *const modes[] = { "starttls", "implicit", "plain" };
static const char *const certs[CERT_COUNT] = {
	"good", "expired", "self-signed", "wrong-name", "wrong-use",
};

const char *
mode_word(enum sink_mode m)
{
	return modes[m];
}

const char *
cert_word(enum sink_cert c)
{
	return certs[c];
}

void
sink_say(struct sink *sk, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	if (!sk->events)
		return;
	memcpy(line, "* ", 2);
	va_start(ap, fmt);
	n = vsnprintf(line + 2, sizeof(line) - 3, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	n = n > (int)sizeof(line) - 4 ? (int)sizeof(line) - 4 : n;
	line[n + 2] = '\n';
	line[n + 3] = '\0';
	control_tell(sk, line);
}

int64_t
sink_now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* exists on every Linux */
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static SSL_CTX *
tls_context(const char *dir, const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	char cert[512], key[512];

	(void)snprintf(cert, sizeof(cert), "%s/%s.pem", dir, name);
	(void)snprintf(key, sizeof(key), "%s/%s.key", dir, name);
	if (ctx == NULL)
		return NULL;
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* A peer that closes without close_notify is an end like any other here. */
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)name, (unsigned)strlen(name));
	return ctx;
}

int
sink_tls_load(struct sink *sk, const char *dir)
{
	for (unsigned i = 0; i < CERT_COUNT; i++)
		sk->tls[i] = tls_context(dir, certs[i]);
	return sk->tls[CERT_GOOD] != NULL ? 0 : -1;
}

/* NAME:MODE[:NUMBER] */
static int
add_port(struct sink *sk, const char *text)
{
	struct view rest = view_str(text), name, mode;
	uint64_t number = 0;
	char word[32];

	if (!view_split(&rest, ':', &name) || !view_split(&rest, ':', &mode) || name.n == 0 ||
	    (rest.n > 0 && !num_parse_u64(rest, 0, 65535, &number)))
		return -1;
	(void)snprintf(word, sizeof(word), "%.*s", VIEW_ARG(name));
	for (unsigned i = 0; i < lengthof(modes); i++)
		if (view_eq(mode, view_str(modes[i])))
			return port_add(sk, word, (enum sink_mode)i, (uint16_t)number) != NULL ? 0 : -1;
	errno = EINVAL;
	return -1;
}

static int
make_dirs(struct sink *sk)
{
	static const char *const parts[] = { "", "/tmp", "/mail" };
	char path[512];

	for (size_t i = 0; i < lengthof(parts); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", sk->dir, parts[i]);
		if (mkdir(path, 0755) != 0 && errno != EEXIST)
			return -1;
	}
	(void)snprintf(path, sizeof(path), "%s/clear", sk->dir);
	sk->clear = fopen(path, "ab");
	return sk->clear != NULL ? 0 : -1;
}

static void
fail(const char *what)
{
	fprintf(stderr, "posthouse-sink: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct options {
	const char	*certs, *control;
	const char	*port[SINK_PORTS_MAX];
	size_t		 nport;
};

static void
parse_options(int argc, char **argv, struct sink *sk, struct options *o)
{
	static const struct option longs[] = {
		{ "certs", required_argument, NULL, 'c' }, { "dir", required_argument, NULL, 'd' },
		{ "discard", no_argument, NULL, 'D' }, { "user", required_argument, NULL, 'u' },
		{ "password", required_argument, NULL, 'w' }, { "port", required_argument, NULL, 'p' },
		{ "address", required_argument, NULL, 'a' }, { "control", required_argument, NULL, 'k' },
		{ "events", no_argument, NULL, 'e' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'c': o->certs = optarg; break;
		case 'd': sk->dir = optarg; break;
		case 'D': sk->dir = NULL; break;
		case 'u': sk->user = optarg; break;
		case 'w': sk->password = optarg; break;
		case 'a': sk->address = optarg; break;
		case 'k': o->control = optarg; break;
		case 'e': sk->events = true; break;
		case 'p':
			if (o->nport == SINK_PORTS_MAX)
				errx(64, "at most %d ports", SINK_PORTS_MAX);
			o->port[o->nport++] = optarg;
			break;
		default:
			fputs(usage, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 64);
		}
	}
	if (optind < argc || (sk->user == NULL) != (sk->password == NULL)) {
		fputs(usage, stderr);
		exit(64);
	}
}

int
main(int argc, char **argv)
{
	static struct sink sink;
	struct sink *sk = &sink;
	struct options o = { .port = { "587:starttls", "465:implicit", "2525:starttls" } };

	sk->address = "127.0.0.1";
	list_init(&sk->clients);
	parse_options(argc, argv, sk, &o);
	signal(SIGPIPE, SIG_IGN);
	sk->base = event_base_new();
	if (sk->base == NULL)
		fail("event base");
	if (o.certs != NULL && sink_tls_load(sk, o.certs) != 0) {
		fprintf(stderr, "posthouse-sink: no certificate in %s\n", o.certs);
		return 1;
	}
	if (sk->dir != NULL && make_dirs(sk) != 0)
		fail(sk->dir);
	for (size_t i = 0; i < SINK_PORTS_MAX && o.port[i] != NULL; i++) {
		if (o.nport > 0 && i >= o.nport)
			break;
		if (add_port(sk, o.port[i]) != 0)
			fail(o.port[i]);
	}
	for (size_t i = 0; i < sk->nport; i++)
		printf("port %s %u\n", sk->port[i].name, sk->port[i].number);
	printf("ready\n");
	fflush(stdout);
	if (o.control != NULL && control_start(sk, o.control) != 0)
		fail(o.control);
	return event_base_dispatch(sk->base) == 0 ? 0 : 1;
}
