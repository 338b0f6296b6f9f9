/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands, one a line, from standard input or a unix socket; each is answered
 * by one line "ok ..." or "error ...". Events are lines that begin with "* ".
 * Whoever started us over standard input is gone when that ends: so are we.
 */
#include "sink/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/num.h"

struct client {
	struct list	 link;
	struct sink	*sink;
	int		 in, out;
	struct event	 readable;
	struct buf	 line;
};

#define WORDS_MAX 8

struct words {
	struct client	*client;
	struct sink_port *port;		/* named by the first argument */
	struct view	 word[WORDS_MAX];
	size_t		 n;
};

static void
say(struct client *cl, const char *line)
{
	struct view v = view_str(line);

	while (v.n > 0) {
		ssize_t n = write(cl->out, v.p, v.n);

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return;		/* gone; its read side will tell */
		v = view_from(v, (size_t)n);
	}
}

void
control_tell(struct sink *sk, const char *line)
{
	list_foreach(l, &sk->clients)
		say(list_entry(l, struct client, link), line);
}

static bool
find_word(const char *const *words, size_t n, struct view v, unsigned *out)
{
	for (size_t i = 0; i < n; i++) {
		if (words[i] != NULL && view_eq(v, view_str(words[i]))) {
			*out = (unsigned)i;
			return true;
		}
	}
	return false;
}

static const char *
set_listen(struct sink_port *p, struct view v)
{
	static const char *const words[] = { "open", "refuse", "filtered" };
	unsigned i;

	if (!find_word(words, lengthof(words), v, &i))
		return "open, refuse or filtered";
	return port_listen(p, (enum sink_listen)i) == 0 ? NULL : strerror(errno);
}

static const char *
set_tls(struct sink_port *p, struct view v)
{
	static const char *const words[] = { "normal", "swapped" };
	unsigned i;

	if (!find_word(words, lengthof(words), v, &i))
		return "normal or swapped";
	p->swapped = i == 1;
	return NULL;
}

static const char *
set_cert(struct sink_port *p, struct view v)
{
	for (unsigned i = 0; i < CERT_COUNT; i++) {
		if (view_eq(v, view_str(cert_word((enum sink_cert)i)))) {
			p->cert = (enum sink_cert)i;
			return p->sink->tls[i] != NULL ? NULL : "there is no such certificate";
		}
	}
	return "good, expired, self-signed, wrong-name or wrong-use";
}

static const char *
set_starttls(struct sink_port *p, struct view v)
{
	static const char *const words[] = { "normal", "missing", "blanked", "inject" };
	unsigned i;

	if (!find_word(words, lengthof(words), v, &i))
		return "normal, missing, blanked or inject";
	p->starttls = (enum sink_starttls)i;
	return NULL;
}

static const char *
set_delay(struct sink_port *p, struct view v)
{
	uint64_t ms;

	if (!num_parse_u64(v, 0, 3600000, &ms))
		return "milliseconds";
	p->delay_ms = (unsigned)ms;
	return NULL;
}

static const char *
set_trickle(struct sink_port *p, struct view v)
{
	uint64_t ms;

	if (!num_parse_u64(v, 0, 3600000, &ms))
		return "milliseconds";
	p->trickle_ms = (unsigned)ms;
	return NULL;
}

static const char *
set_auth(struct sink_port *p, struct view v)
{
	int n = view_eq(v, VIEW("none")) ? snprintf(p->mechanisms, sizeof(p->mechanisms), "%s", "") :
	    snprintf(p->mechanisms, sizeof(p->mechanisms), "%.*s", VIEW_ARG(v));

	for (char *s = p->mechanisms; *s != '\0'; s++)
		if (*s == ',')
			*s = ' ';
	return n < (int)sizeof(p->mechanisms) ? NULL : "too long";
}

static const char *
set_extensions(struct sink_port *p, struct view v)
{
	int n = snprintf(p->extensions, sizeof(p->extensions), "%.*s", VIEW_ARG(v));

	for (char *s = p->extensions; *s != '\0'; s++)
		if (*s == '_')
			*s = ' ';
	return n < (int)sizeof(p->extensions) ? NULL : "too long";
}

static const struct {
	const char	*key;
	const char	*(*fn)(struct sink_port *, struct view);
} settings[] = {
	{ "listen", set_listen }, { "tls", set_tls }, { "cert", set_cert },
	{ "starttls", set_starttls }, { "delay", set_delay }, { "trickle", set_trickle },
	{ "auth", set_auth }, { "extensions", set_extensions },
};

static const char *
do_set(struct words *w)
{
	for (size_t i = 0; i < lengthof(settings); i++)
		if (w->n == 4 && view_eq(w->word[2], view_str(settings[i].key)))
			return settings[i].fn(w->port, w->word[3]);
	return "set PORT listen|tls|cert|starttls|delay|trickle|auth|extensions VALUE";
}

static const char *
do_fault(struct words *w)
{
	struct sink_port *p = w->port;
	struct fault f = { .left = UINT64_MAX };
	uint64_t code = 0;
	unsigned step = 0;

	if (p->nfault == SINK_FAULTS_MAX)
		return "too many faults";
	while (step < STEP_COUNT && w->n >= 4 &&
	    !view_eq(w->word[2], view_str(step_word((enum sink_step)step))))
		step++;
	if (w->n < 4 || step == STEP_COUNT)
		return "fault PORT STEP CODE|cut|hang [match=PATTERN] [times=N] [text=TEXT]";
	f.step = (enum sink_step)step;
	if (view_eq(w->word[3], VIEW("cut")))
		f.action = FAULT_CUT;
	else if (view_eq(w->word[3], VIEW("hang")))
		f.action = FAULT_HANG;
	else if (num_parse_u64(w->word[3], 200, 599, &code))
		f.action = FAULT_REPLY;
	else
		return "a code, cut or hang";
	(void)snprintf(f.text, sizeof(f.text), "%u %u.0.0 the sink was told to say so",
	    (unsigned)code, (unsigned)code / 100);
	for (size_t i = 4; i < w->n; i++) {
		struct view v = w->word[i];

		if (view_starts(v, VIEW("match=")))
			(void)snprintf(f.match, sizeof(f.match), "%.*s", VIEW_ARG(view_from(v, 6)));
		else if (view_starts(v, VIEW("text=")))
			(void)snprintf(f.text, sizeof(f.text), "%u %.*s", (unsigned)code,
			    VIEW_ARG(view_from(v, 5)));
		else if (!view_starts(v, VIEW("times=")) ||
		    !num_parse_u64(view_from(v, 6), 1, UINT64_MAX - 1, &f.left))
			return "match=, times= or text=";
	}
	p->fault[p->nfault++] = f;
	return NULL;
}

static const char *
do_reset(struct words *w)
{
	port_reset(w->port);
	return w->port->listening == LISTEN_OPEN || port_listen(w->port, LISTEN_OPEN) == 0 ?
	    NULL : strerror(errno);
}

static const char *
do_cut(struct words *w)
{
	port_cut(w->port);
	return NULL;
}

/* Answers by itself. */
static const char *
do_stats(struct words *w)
{
	const struct counters *n = &w->port->count;
	char line[512];

	(void)snprintf(line, sizeof(line), "ok sessions=%lu tls=%lu resumed=%lu logins=%lu "
	    "logins_refused=%lu received=%lu refused=%lu clear_auth=%lu clear_mail=%lu "
	    "violations=%lu\n", (unsigned long)n->sessions, (unsigned long)n->tls,
	    (unsigned long)n->resumed, (unsigned long)n->logins, (unsigned long)n->logins_refused,
	    (unsigned long)n->received, (unsigned long)n->refused, (unsigned long)n->clear_auth,
	    (unsigned long)n->clear_mail, (unsigned long)n->violations);
	say(w->client, line);
	return "";
}

static const struct {
	const char	*verb;
	const char	*(*fn)(struct words *);	/* NULL: ok; "": was answered; else the mistake */
} commands[] = {
	{ "set", do_set }, { "fault", do_fault }, { "reset", do_reset }, { "cut", do_cut },
	{ "stats", do_stats },
};

static const char *
run(struct client *cl, struct view line)
{
	struct words w = { .client = cl };
	struct sink *sk = cl->sink;

	/* text= takes the rest of the line. */
	while (w.n < WORDS_MAX && line.n > 0) {
		size_t end = view_starts(line, VIEW("text=")) ? line.n : view_find(line, ' ');

		if (end > 0)
			w.word[w.n++] = view_first(line, end);
		line = view_from(line, end + 1);
	}
	if (w.n < 2)
		return "COMMAND PORT ...";
	for (size_t i = 0; i < sk->nport; i++)
		if (view_eq(w.word[1], view_str(sk->port[i].name)))
			w.port = &sk->port[i];
	if (w.port == NULL)
		return "no such port";
	for (size_t i = 0; i < lengthof(commands); i++)
		if (view_eq(w.word[0], view_str(commands[i].verb)))
			return commands[i].fn(&w);
	return "set, fault, reset, cut or stats";
}

static void
client_free(struct client *cl)
{
	bool last = cl->in == STDIN_FILENO;
	struct sink *sk = cl->sink;

	event_del(&cl->readable);
	list_remove(&cl->link);
	buf_done(&cl->line);
	close(cl->in);
	free(cl);
	if (last)
		event_base_loopbreak(sk->base);
}

static void
on_client(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;
	uint8_t *p = buf_reserve(&cl->line, 1024);
	ssize_t n = p != NULL ? read(cl->in, p, 1024) : 0;
	size_t end;

	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			client_free(cl);
		return;
	}
	buf_grew(&cl->line, (size_t)n);
	while ((end = view_find(buf_view(&cl->line), '\n')) < buf_len(&cl->line)) {
		const char *mistake = run(cl, view_first(buf_view(&cl->line), end));
		char line[256];

		buf_consume(&cl->line, end + 1);
		if (mistake != NULL && mistake[0] == '\0')
			continue;
		(void)snprintf(line, sizeof(line), mistake != NULL ? "error %s\n" : "ok\n", mistake);
		say(cl, line);
	}
}

static void
client_new(struct sink *sk, int in, int out)
{
	struct client *cl = xzalloc(sizeof(*cl));

	cl->sink = sk;
	cl->in = in;
	cl->out = out;
	buf_init(&cl->line, 65536);
	list_push(&sk->clients, &cl->link);
	event_assign(&cl->readable, sk->base, in, EV_READ | EV_PERSIST, on_client, cl);
	event_add(&cl->readable, NULL);
}

static void
on_control(evutil_socket_t fd, short what, void *arg)
{
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (s >= 0)
		client_new(arg, s, s);
}

int
control_start(struct sink *sk, const char *where)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	if (strcmp(where, "-") == 0) {
		client_new(sk, STDIN_FILENO, STDOUT_FILENO);
		return 0;
	}
	if ((size_t)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", where) >=
	    sizeof(sun.sun_path))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)unlink(where);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 || listen(fd, 16) != 0)
		return -1;
	event_assign(&sk->control, sk->base, fd, EV_READ | EV_PERSIST, on_control, sk);
	return event_add(&sk->control, NULL);
}
