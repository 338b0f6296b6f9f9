/* SPDX-License-Identifier: BSD-2-Clause */
/* The main of intake: build its environment, lock the door behind it, run. */
#include "role.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "intake/intake.h"
#include "base/num.h"
#include "net/tls_server.h"
#include "sys/peer.h"
#include "sys/process.h"
#include "sys/whole.h"

#include "base/banned.h"

struct intake_main {
	struct role	 role;
	struct net	*net;
	struct intake	*intake;
	struct listener	*listener[ROLE_LISTEN_MAX];
	struct peer_finder peers;
};

static void
on_accept(void *owner, struct listener *l, struct stream *s, const struct address *peer)
{
	struct intake_main *m = owner;

	const struct conf_listener *by = NULL;

	for (size_t i = 0; i < m->role.nlisten; i++)
		if (m->listener[i] == l)
			by = m->role.listener[i];
	intake_accept(m->intake, s, peer, by);
}

static const struct listener_events listener_events = { on_accept };

static void
on_handover(void *owner, int fd)
{
	struct intake_main *m = owner;

	intake_set_relay(m->intake, net_adopt(m->net, fd, &intake_relay_limits, NULL, NULL));
}

static void
close_listeners(struct intake_main *m)
{
	for (size_t i = 0; i < m->role.nlisten; i++) {
		listener_free(m->listener[i]);
		m->listener[i] = NULL;
	}
}

static void
on_drained(void *owner)
{
	struct intake_main *m = owner;

	role_finished(&m->role);
}

/* New connections wait in the kernel for the next intake: the supervisor keeps the sockets. */
static void
on_drain(void *owner)
{
	struct intake_main *m = owner;

	close_listeners(m);
	intake_drain(m->intake, on_drained, m);
}

static enum peer_found
find_peer(void *arg, int fd, const struct address *peer, int64_t *uid, int64_t *pid)
{
	return peer_find(arg, fd, (const struct sockaddr *)&peer->ss, uid, pid);
}

static void
ask_process(void *arg, uint64_t number, int64_t pid, int64_t uid)
{
	struct role *r = arg;
	char text[80];

	(void)snprintf(text, sizeof(text), "%" PRIu64 " %" PRId64 " %" PRId64, number, pid, uid);
	role_tell(r, "who", view_str(text));
}

static void
on_process(void *owner, struct view words)
{
	struct intake_main *m = owner;
	char name[PROCESS_NAME_MAX];
	struct view number;
	uint64_t n;

	if (view_split(&words, ' ', &number) && num_parse_u64(number, 1, UINT64_MAX, &n))
		intake_process(m->intake, n, process_name(words, name));
}

/* What remains of the key is OpenSSL's own. */
static int
read_tls(struct tls_server **out, struct role_tls *from, const struct conf_listener *l, struct err *e)
{
	struct tls_pair pair;
	struct buf text;
	int rc = role_read_tls(from, &text, &pair, e);

	pair.certificate_file = l->certificate;
	pair.key_file = l->key;
	if (rc == 0)
		rc = tls_server_new(out, &pair, e);
	buf_wipe(&text);
	return rc;
}

/* The supervisor has looked at them; without, a listener goes on as well as it can. */
static void
load_tls(struct role *r, struct tls_server *out[CONF_LISTENERS_MAX])
{
	for (size_t i = 0; i < r->conf->nlistener; i++) {
		struct err e;

		if (r->tls[i].fd < 0)
			continue;
		if (read_tls(&out[i], &r->tls[i], &r->conf->listener[i], &e) != 0)
			log_simple(r->log, LEVEL_ERROR, "tls-unavailable", "%s", e.text);
	}
}

int
role_intake_main(void)
{
	static const char *const nothing[] = { NULL };
	struct intake_main m = { .net = NULL };
	struct role *r = &m.role;
	struct tls_server *tls[CONF_LISTENERS_MAX] = { NULL };
	struct intake_env env;
	struct err e;

	if (role_begin(r, "intake") != 0)
		return EXIT_FAILURE;
	r->on_handover = on_handover;
	r->on_drain = on_drain;
	r->on_process = on_process;
	r->owner = &m;
	if (peer_finder_init(&m.peers, &e) != 0)
		log_simple(r->log, LEVEL_WARNING, "users-not-known", "%s", e.text);
	load_tls(r, tls);		/* OpenSSL reads its own configuration when it is first used */
	if (role_enter_sandbox(r, SANDBOX_INTAKE, nothing, nothing, &e) != 0) {
		log_simple(r->log, LEVEL_CRIT, "start-failed", "%s", e.text);
		return EXIT_FAILURE;
	}
	m.net = net_new(r->loop, NULL);		/* looks no name up: no resolver */
	env = (struct intake_env){ .loop = r->loop, .net = m.net, .rng = &r->rng, .log = r->log,
		.sandbox = r->sandbox, .find_peer = find_peer, .find_arg = &m.peers,
		.ask_process = ask_process, .ask_arg = r };
	m.intake = intake_new(&env, r->conf);
	for (size_t i = 0; i < r->conf->nlistener; i++)
		intake_set_tls(m.intake, i, tls[i]);
	for (size_t i = 0; i < r->nlisten; i++)
		m.listener[i] = listener_new(m.net, r->listen[i], &intake_stream_limits, &listener_events, &m);
	role_tell(r, "ready", VIEW(""));
	role_run(r);
	close_listeners(&m);
	intake_free(m.intake);
	loop_turn(r->loop);	/* streams and listeners go when their callbacks are over */
	net_free(m.net);
	peer_finder_done(&m.peers);
	role_end(r);
	return EXIT_SUCCESS;
}
