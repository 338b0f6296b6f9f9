/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_keep - the file "ports": what people are shown of ports and changes of way outlasts a
 * restart (port_file.h).
 *
 * Written at an orderly end, and within a minute after a change of way; and hourly while mail
 * is delivered, so that an idle host's disk sleeps.
 */
#include <errno.h>
#include <stdio.h>

#include "health/port_file.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

#define PORTS_NAME	"ports"
#define HOUR_MS		3600000

/* --- writing --------------------------------------------------------------------- */

static bool
put_ports(const struct upstream *u, struct buf *b)
{
	enum port_mark mark[PORT_SLOTS];
	bool ok = true;

	for (size_t i = 0; ok && i < u->conf->nendpoint; i++) {
		port_history_read(&u->watch.port[i].history, loop_now(u->r->env.loop), mark);
		ok = port_file_put_port(b, u->conf->name, u->conf->endpoint[i].port, mark);
	}
	return ok;
}

static bool
put_all(const struct relay *r, struct buf *b)
{
	bool ok = port_file_put_head(b, loop_wall(r->env.loop), &r->switches);
	const struct relay_alarm *a;
	size_t pos = 0;

	while (ok && (a = relay_alarm_next(r, &pos)) != NULL)
		ok = port_file_put_alarm(b, a->since_ms, alarm_info(a->kind)->word, a->relay);
	for (size_t i = 0; ok && i < r->nup; i++)
		ok = put_ports(&r->up[i], b);
	for (unsigned i = r->switches.n; ok && i-- > 0;)
		ok = port_file_put_change(b, switch_log_get(&r->switches, i));
	return ok;
}

void
watch_keep(struct relay *r)
{
	struct buf text;

	if (keep_is_busy(&r->ports.keep))
		return;
	buf_init(&text, PORT_FILE_MAX);
	if (put_all(r, &text))
		keep_write(&r->ports.keep, &text);
	buf_done(&text);
	r->ports.kept_ms = loop_now(r->env.loop);
	r->ports.kept_switches = r->switches.total;
	r->ports.kept_delivered = r->stats.delivered;
}

void
watch_keep_sweep(struct relay *r)
{
	bool hour_over = loop_now(r->env.loop) - r->ports.kept_ms >= HOUR_MS;

	if (r->ports.kept_switches != r->switches.total ||
	    (hour_over && r->ports.kept_delivered != r->stats.delivered))
		watch_keep(r);
}

static void
on_kept(void *owner, const struct err *e)
{
	struct relay *r = owner;

	if (e != NULL)
		log_simple(r->env.log, LEVEL_WARNING, "ports-not-kept", "%s", e->text);
}

/* --- and back -------------------------------------------------------------------- */

static void
restore_port(struct relay *r, const struct port_file_line *l, int64_t written_ms)
{
	int64_t age_ms = loop_wall(r->env.loop) - written_ms;

	for (size_t i = 0; i < r->nup; i++) {
		const struct conf_relay *conf = r->up[i].conf;

		for (size_t k = 0; k < conf->nendpoint; k++) {
			struct watch_port *port = &r->up[i].watch.port[k];

			if (!view_eq(l->relay, view_str(conf->name)) || l->port != conf->endpoint[k].port)
				continue;
			port->worked = l->mark[PORT_SLOTS - 1] < PORT_PROBING;
			port_history_restore(&port->history, l->mark, age_ms, loop_now(r->env.loop));
		}
	}
}

/* Where mail went in the end is where it goes on; a detour was none of its ways. */
static void
restore_way(struct relay *r, const struct switch_entry *e)
{
	char port[SWITCH_NAME];

	if (e->failover) {
		failover_resume(r, e->route, e->to);
		return;
	}
	if (switch_is_detour(e))
		return;
	for (size_t i = 0; i < r->nup; i++) {
		const struct conf_relay *conf = r->up[i].conf;

		for (size_t k = 0; k < conf->nendpoint; k++) {
			(void)snprintf(port, sizeof(port), "%u", (unsigned)conf->endpoint[k].port);
			if (strcmp(e->relay, conf->name) == 0 && strcmp(e->to, port) == 0)
				health_resume(r->up[i].health, k, r->up[i].watch.port[k].worked,
				    loop_now(r->env.loop));
		}
	}
}

static void
restore(struct relay *r, struct view text)
{
	struct port_file_line l;
	int64_t written_ms = -1;

	while (port_file_next(&text, &l)) {
		if (l.kind == PORT_FILE_HEAD) {
			written_ms = l.wall_ms;
			r->switches.began_ms = l.began_ms;
			r->switches.total = l.total;
		} else if (written_ms < 0) {
			break;		/* another version's, or none of ours */
		} else if (l.kind == PORT_FILE_PORT) {
			restore_port(r, &l, written_ms);
		} else if (l.kind == PORT_FILE_ALARM) {
			alarms_resume(r, l.alarm, l.relay, l.wall_ms);
		} else {
			*switch_log_add(&r->switches) = l.change;
			restore_way(r, &l.change);
			r->switches.total--;	/* it is counted in the head */
		}
	}
	r->ports.kept_switches = r->switches.total;
}

void
watch_keep_init(struct relay *r)
{
	struct err e;
	struct buf text;

	r->ports.keep = (struct keep){ .fs = r->env.fs, .worker = r->env.reader, .name = PORTS_NAME,
		.on_kept = on_kept, .owner = r };
	r->ports.kept_ms = loop_now(r->env.loop);
	buf_init(&text, PORT_FILE_MAX + 1);
	if (keep_read(&r->ports.keep, &text, PORT_FILE_MAX, &e) == 0)
		restore(r, buf_view(&text));
	else if (e.errnum != ENOENT)
		log_simple(r->env.log, LEVEL_WARNING, "ports-not-kept", "%s", e.text);
	buf_done(&text);
}

void
watch_keep_done(struct relay *r)
{
	keep_done(&r->ports.keep);
}
