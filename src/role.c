/* SPDX-License-Identifier: BSD-2-Clause */
#include "role.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/num.h"
#include "packet.h"
#include "secrets.h"
#include "sys/seed.h"

#include "base/banned.h"

/* --- set-up ---------------------------------------------------------------- */

static int
load_conf(struct role *r, const struct packet *p)
{
	struct buf text, report;
	char name[256];
	struct err e;
	int rc;

	buf_init(&text, CONF_TEXT_MAX);
	buf_init(&report, 65536);
	(void)snprintf(name, sizeof(name), "%.*s", VIEW_ARG(p->rest));
	rc = read_whole(p->fd, &text, &e);
	if (rc == 0)
		rc = conf_load(&r->conf, buf_view(&text), name, &report);	/* warnings: the supervisor has said them */
	buf_done(&text);
	buf_done(&report);
	return rc;
}

static void
keep(int *slot, struct packet *p)
{
	if (*slot >= 0)
		(void)close(*slot);
	*slot = p->fd;
	p->fd = -1;
}

/* The configuration came before. */
static void
take_listener(struct role *r, struct packet *p)
{
	uint64_t n;

	if (r->conf == NULL || r->nlisten == ROLE_LISTEN_MAX)
		return;
	if (num_parse_u64(p->rest, 0, UINT64_MAX, &n) && n < r->conf->nlistener)
		r->listener[r->nlisten] = &r->conf->listener[n];
	r->listen[r->nlisten++] = p->fd;
	p->fd = -1;
}

static_assert(ROLE_TLS_MAX >= CONF_LISTENERS_MAX && ROLE_TLS_MAX >= CONF_RELAYS_MAX, "a place for each");

static void
take_tls(struct role *r, struct packet *p)
{
	struct view words = p->rest, number;
	uint64_t n, bytes;

	if (!view_split(&words, ' ', &number) || !num_parse_u64(number, 0, lengthof(r->tls) - 1, &n) ||
	    !num_parse_u64(words, 0, UINT32_MAX, &bytes))
		return;
	keep(&r->tls[n].fd, p);
	r->tls[n].certificate_n = (size_t)bytes;
}

/* True when the set-up is complete. */
static bool
take(struct role *r, struct packet *p, bool *debug, bool *bad)
{
	if (view_eq(p->word, VIEW("conf")))
		*bad = *bad || load_conf(r, p) != 0;
	else if (view_eq(p->word, VIEW("debug")))
		*debug = true;
	else if (view_eq(p->word, VIEW("secret")))
		keep(&r->secret, p);
	else if (view_eq(p->word, VIEW("spool")))
		keep(&r->spool, p);
	else if (view_eq(p->word, VIEW("history")))
		keep(&r->history, p);
	else if (view_eq(p->word, VIEW("control")))
		keep(&r->control, p);
	else if (view_eq(p->word, VIEW("status")))
		keep(&r->status, p);
	else if (view_eq(p->word, VIEW("handover")))
		keep(&r->handover, p);
	else if (view_eq(p->word, VIEW("again")))
		r->again = true;
	else if (view_eq(p->word, VIEW("tls")))
		take_tls(r, p);
	else if (view_eq(p->word, VIEW("listen")))
		take_listener(r, p);
	if (p->fd >= 0)
		(void)close(p->fd);
	return view_eq(p->word, VIEW("start"));
}

static int
receive_all(struct role *r, bool *debug)
{
	struct pollfd pfd = { .fd = ROLE_CHANNEL_FD, .events = POLLIN };
	struct packet p;
	bool bad = false;

	for (;;) {
		enum packet_got got = packet_receive(ROLE_CHANNEL_FD, &p);

		if (got == PACKET_CLOSED)
			return -1;	/* not started by a supervisor, or it has gone */
		if (got == PACKET_GOT && take(r, &p, debug, &bad))
			return bad || r->conf == NULL ? -1 : 0;
		if (got == PACKET_NONE && poll(&pfd, 1, -1) < 0 && errno != EINTR)
			return -1;
	}
}

int
role_read_tls(struct role_tls *from, struct buf *text, struct tls_pair *out, struct err *e)
{
	int rc;

	buf_init(text, 2 * TLS_PEM_MAX);
	rc = buf_reserve(text, 2 * TLS_PEM_MAX) != NULL ? read_whole(from->fd, text, e) :
	    err_set(e, ERR_FULL, "no memory");
	(void)close(from->fd);
	from->fd = -1;
	*out = (struct tls_pair){ .certificate = view_first(buf_view(text), from->certificate_n),
		.key = view_from(buf_view(text), from->certificate_n) };
	return rc;
}

int
role_begin(struct role *r, const char *name)
{
	bool debug = false;
	struct err e;
	enum log_level level;

	*r = (struct role){ .name = name, .secret = -1, .spool = -1, .history = -1, .control = -1,
		.status = -1, .handover = -1 };
	for (size_t i = 0; i < lengthof(r->tls); i++)
		r->tls[i].fd = -1;
	(void)signal(SIGPIPE, SIG_IGN);		/* SIG_ERR only for a bad number */
	/* A key press goes to the whole group of processes; the supervisor drains us in order. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);		/* systemctl kill, pkill: they mean the daemon */
	(void)signal(SIGHUP, SIG_IGN);
	if (sandbox_early(&e) != 0 || receive_all(r, &debug) != 0)
		return -1;
	level = debug || r->conf->debug ? LEVEL_DEBUG : LEVEL_INFO;
	r->log = r->conf->syslog ? log_new_syslog(name, level) : log_new_stderr(name, level);
	rng_init(&r->rng, random_seed());
	if (loop_new(&r->loop, &e) == 0)
		return 0;
	log_simple(r->log, LEVEL_CRIT, "start-failed", "%s", e.text);
	return -1;
}

int
role_enter_sandbox(struct role *r, enum sandbox_role role, const char *const *read_dirs,
    const char *const *write_dirs, struct err *e)
{
	struct sandbox_params params = { .role = role, .policy = r->conf->sandbox,
		.read_dirs = read_dirs, .write_dirs = write_dirs,
		.offline = r->conf->staging != CONF_STAGING_OFF };

	if (sandbox_apply(&params, r->sandbox, e) != 0)
		return err_prefix(e, "sandbox = \"best-effort\" would go on without");
	role_tell(r, "sandbox", view_str(r->sandbox));
	return 0;
}

/* --- running --------------------------------------------------------------- */

void
role_tell(struct role *r, const char *word, struct view rest)
{
	struct err e;

	/* It reads at once, or it is gone; then so are we, soon. */
	if (packet_send(ROLE_CHANNEL_FD, word, rest, -1, &e) != 0)
		log_simple(r->log, LEVEL_DEBUG, "supervisor-deaf", "%s", e.text);
}

static void
drain(struct role *r)
{
	if (r->draining)
		return;
	r->draining = true;
	r->on_drain(r->owner);
}

static void
obey(struct role *r, struct packet *p)
{
	char turns[24];

	if (view_eq(p->word, VIEW("ping"))) {
		(void)snprintf(turns, sizeof(turns), "%" PRIu64, r->loop->turns);
		role_tell(r, "pong", view_str(turns));
	} else if (view_eq(p->word, VIEW("handover")) && p->fd >= 0) {
		r->on_handover(r->owner, p->fd);
		return;
	} else if (view_eq(p->word, VIEW("process")) && r->on_process != NULL) {
		r->on_process(r->owner, p->rest);
	} else if (view_eq(p->word, VIEW("drain"))) {
		drain(r);
	}
	if (p->fd >= 0)
		(void)close(p->fd);
}

static void
on_channel(void *arg, unsigned ready)
{
	struct role *r = arg;
	struct packet p;
	enum packet_got got;

	while ((got = packet_receive(ROLE_CHANNEL_FD, &p)) == PACKET_GOT)
		obey(r, &p);
	if (got == PACKET_NONE)
		return;
	/* Without a supervisor nobody would restart us or the other role: finish and go. */
	log_simple(r->log, LEVEL_ERROR, "supervisor-lost", "the supervisor has ended; draining");
	io_want(r->watch, 0);
	drain(r);
}

void
role_run(struct role *r)
{
	r->watch = io_watch_new(r->loop, ROLE_CHANNEL_FD, on_channel, r);
	io_want(r->watch, IO_READ);
	if (r->handover >= 0)
		r->on_handover(r->owner, r->handover);
	r->handover = -1;
	loop_run(r->loop);
}

void
role_finished(struct role *r)
{
	role_tell(r, "drained", VIEW(""));
	loop_stop(r->loop);
}

void
role_end(struct role *r)
{
	io_watch_free(r->watch);
	loop_free(r->loop);
	log_free(r->log);
	conf_free(r->conf);
}
