/* SPDX-License-Identifier: BSD-2-Clause */
/* The main of relay: build its environment, lock the door behind it, run. */
#include "role.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "control/control.h"
#include "hook.h"
#include "places.h"
#include "relay/relay.h"
#include "secrets.h"
#include "sys/fs.h"
#include "sys/listen.h"
#include "sys/netwatch.h"
#include "sys/worker.h"

#include "base/banned.h"

#define READ_DIRS_MAX (32 + CONF_RELAYS_MAX)

struct relay_main {
	struct role	 role;
	struct net	*net;
	struct fs	*fs, *history_fs, *sink_fs;
	struct worker	*commit, *reader, *resolver, *history;
	struct tls_client *tls[CONF_RELAYS_MAX];
	struct relay	*relay;
	struct control	*control;
	int		 netlink;	/* before it is netwatch's; -1: none is to be had */
	struct netwatch	*netwatch;
};

/* --- events ---------------------------------------------------------------- */

static void
on_ready(void *owner)
{
	struct relay_main *m = owner;

	role_tell(&m->role, "ready", VIEW(""));
}

static void
on_status(void *owner, const char *text)
{
	struct relay_main *m = owner;

	role_tell(&m->role, "status", view_str(text));
}

static void
on_reload_wanted(void *owner)
{
	struct relay_main *m = owner;

	role_tell(&m->role, "reload", VIEW(""));
}

static void
on_alarm(void *owner, const struct relay_alarm *a, bool raised)
{
	struct relay_main *m = owner;
	char words[HOOK_WORDS_MAX];

	hook_words(words, a, raised);
	role_tell(&m->role, "alarm", view_str(words));
}

static const struct relay_events relay_events = { on_ready, on_status, on_reload_wanted, on_alarm };

static void
on_handover(void *owner, int fd)
{
	struct relay_main *m = owner;

	relay_set_intake(m->relay, net_adopt(m->net, fd, &relay_handover_limits, NULL, NULL));
}

static void
on_drained(void *owner)
{
	struct relay_main *m = owner;

	role_finished(&m->role);
}

static void
on_drain(void *owner)
{
	struct relay_main *m = owner;

	relay_drain(m->relay, on_drained, m);
}

static void
on_network(void *owner, enum netwatch_change change)
{
	struct relay_main *m = owner;

	relay_network_changed(m->relay, netwatch_word(change));
}

/* --- the sandbox ----------------------------------------------------------- */

/*
 * What getaddrinfo and OpenSSL read, as directories: files in them are replaced
 * by rename, and a rule for the old file would not cover the new one.
 */
static int
enter_sandbox(struct relay_main *m, struct err *e)
{
	static const char *const usual[] = {
		"/etc", "/usr/share", "/usr/lib", "/usr/lib64", "/usr/local/share", "/lib", "/lib64",
		"/run/systemd/resolve", "/run/resolvconf", "/run/nscd", "/var/run/nscd",
	};
	const struct conf *c = m->role.conf;
	const char *dirs[READ_DIRS_MAX];
	char spool[PATH_MAX], history[PATH_MAX], resolv[PATH_MAX], *ca[CONF_RELAYS_MAX] = { NULL };
	const char *write_dirs[] = { spool, history, c->staging == CONF_STAGING_SINK ? c->sink : NULL, NULL };
	int rc;
	size_t n = 0;

	for (size_t i = 0; i < lengthof(usual); i++)
		dirs[n++] = usual[i];
	for (size_t i = 0; tls_read_dirs[i] != NULL && n < READ_DIRS_MAX - 2 - CONF_RELAYS_MAX; i++)
		dirs[n++] = tls_read_dirs[i];
	if (realpath("/etc/resolv.conf", resolv) != NULL)
		dirs[n++] = dirname(resolv);
	for (size_t i = 0; i < c->nrelay; i++) {
		if (c->relay[i].ca_file != NULL)
			ca[i] = realpath(c->relay[i].ca_file, NULL);
		if (ca[i] != NULL)
			dirs[n++] = dirname(ca[i]);
	}
	dirs[n] = NULL;
	(void)snprintf(spool, sizeof(spool), "%s/spool", c->state_dir);
	(void)snprintf(history, sizeof(history), "%s/history", c->state_dir);
	rc = role_enter_sandbox(&m->role, SANDBOX_RELAY, dirs, write_dirs, e);
	for (size_t i = 0; i < c->nrelay; i++)
		free(ca[i]);
	return rc;
}

/* --- from start to end ----------------------------------------------------- */

static void
warn_disk(struct relay_main *m)
{
	struct fs_space space;

	if (fs_space(m->fs, &space, NULL) != 0)
		return;
	if (space.copy_on_write)
		log_simple(m->role.log, LEVEL_INFO, "spool-no-reuse", "the file system of state_dir %s copies "
		    "on write: finished parts of the spool are removed, not written over; a sync costs more",
		    m->role.conf->state_dir);
	if (space.volatile_fs)
		log_simple(m->role.log, LEVEL_WARNING, "spool-volatile", "state_dir %s is in memory or in a "
		    "container's own layer: queued mail is lost with it; put it on a disk or a volume",
		    m->role.conf->state_dir);
}

static int
start_workers(struct relay_main *m, struct err *e)
{
	struct loop *l = m->role.loop;

	if (worker_new(&m->commit, l, "commit", e) != 0 || worker_new(&m->reader, l, "reader", e) != 0)
		return -1;
	if (m->role.conf->history > 0 && worker_new(&m->history, l, "history", e) != 0)
		return -1;
	return worker_new(&m->resolver, l, "resolver", e);
}

/* The passwords stay in relay alone, in the copies that relay_new() makes and wipes. */
static int
start_relay(struct relay_main *m, struct err *e)
{
	struct role *r = &m->role;
	struct relay_env env = { .loop = r->loop, .net = m->net, .fs = m->fs, .commit = m->commit,
		.reader = m->reader, .history_fs = m->history_fs, .history = m->history, .rng = &r->rng, .log = r->log, .tls = m->tls,
		.sink_fs = m->sink_fs, .sandbox = r->sandbox, .again = r->again };
	struct buf secret;
	int rc;

	buf_init(&secret, SECRETS_MAX);
	rc = r->secret < 0 ? 0 : buf_reserve(&secret, SECRETS_MAX) == NULL ?
	    err_set(e, ERR_FULL, "no memory") : read_whole(r->secret, &secret, e);
	if (r->secret >= 0)
		(void)close(r->secret);
	if (rc == 0)
		rc = relay_new(&m->relay, &env, r->conf, buf_view(&secret), &relay_events, m, e);
	buf_wipe(&secret);
	return rc;
}

/* Opened before the sandbox. Without it changes are found by probes, later. */
static void
open_netlink(struct relay_main *m)
{
	struct err e;

	m->netlink = netwatch_open(&e);
	if (m->netlink < 0)
		log_simple(m->role.log, LEVEL_WARNING, "network-not-watched", "%s", e.text);
}

static void
start_netwatch(struct relay_main *m)
{
	if (m->netlink < 0)
		return;
	m->netwatch = netwatch_new(m->role.loop, m->netlink, on_network, m);
	m->netlink = -1;
}

/* What remains of the key is OpenSSL's own. */
static int
read_tls(struct tls_client **out, struct role_tls *from, const struct conf_relay *r, struct err *e)
{
	struct tls_params p = { .ca_file = r->ca_file, .verify = !r->insecure };
	struct tls_pair pair;
	struct buf text;
	int rc;

	if (from->fd < 0)
		return tls_client_new(out, &p, e);
	rc = role_read_tls(from, &text, &pair, e);
	pair.certificate_file = r->certificate;
	pair.key_file = r->key;
	p.pair = &pair;
	if (rc == 0)
		rc = tls_client_new(out, &p, e);
	buf_wipe(&text);
	return rc;
}

static int
start_tls(struct relay_main *m, struct err *e)
{
	const struct conf *c = m->role.conf;

	for (size_t i = 0; i < c->nrelay; i++)
		if (read_tls(&m->tls[i], &m->role.tls[i], &c->relay[i], e) != 0)
			return -1;
	return 0;
}

static int
open_sink(struct relay_main *m, struct err *e)
{
	int fd;

	if (places_open_sink(&fd, m->role.conf, e) != 0)
		return -1;
	m->sink_fs = fs_new(fd);
	return 0;
}

static int
start(struct relay_main *m, struct err *e)
{
	struct role *r = &m->role;
	struct control_env env = { .peer_cred = socket_peer_cred, .own_uid = (int64_t)geteuid() };

	if (r->spool < 0 || r->history < 0)
		return err_set(e, ERR_GONE, "no spool was passed, or no place for the history");
	if (r->conf->staging == CONF_STAGING_SINK && open_sink(m, e) != 0)
		return -1;
	open_netlink(m);
	if (start_tls(m, e) != 0 || enter_sandbox(m, e) != 0 ||
	    start_workers(m, e) != 0)
		return -1;
	m->net = net_new(r->loop, m->resolver);
	m->fs = fs_new(r->spool);
	m->history_fs = fs_new(r->history);
	warn_disk(m);
	if (start_relay(m, e) != 0)
		return -1;
	start_netwatch(m);
	m->control = control_new(m->relay, &env);
	control_listen(m->control, r->control, r->status);
	return 0;
}

/* Also after a start that failed half-way. */
static void
stop(struct relay_main *m)
{
	control_free(m->control);
	netwatch_free(m->netwatch);
	if (m->netlink >= 0)
		(void)close(m->netlink);	/* the start failed before it was used */
	relay_free(m->relay);
	loop_turn(m->role.loop);	/* streams and listeners go when their callbacks are over */
	net_free(m->net);
	worker_free(m->commit);
	worker_free(m->reader);
	worker_free(m->history);	/* its last lines are written by then */
	fs_free(m->fs);
	fs_free(m->history_fs);
	fs_free(m->sink_fs);
	for (size_t i = 0; i < CONF_RELAYS_MAX; i++)
		tls_client_free(m->tls[i]);
	role_end(&m->role);
}

int
role_relay_main(void)
{
	struct relay_main m = { .netlink = -1 };
	struct role *r = &m.role;
	int status = EXIT_SUCCESS;
	struct err e;

	if (role_begin(r, "relay") != 0)
		return EXIT_FAILURE;
	r->on_handover = on_handover;
	r->on_drain = on_drain;
	r->owner = &m;
	if (start(&m, &e) == 0) {
		role_run(r);
	} else {
		log_simple(r->log, LEVEL_CRIT, "start-failed", "%s", e.text);
		status = e.kind == ERR_CONFIG ? ROLE_EXIT_REFUSED : EXIT_FAILURE;
	}
	stop(&m);
	return status;
}
