/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/month.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/require.h"
#include "health/health_impl.h"

#include "base/banned.h"

#define OTHER_DOMAIN	"example.org"
#define SETTLE_MS	HOURS(4)	/* the longest wait between two attempts, and then some */

void
month_trace(struct month *m, const void *p, size_t n)
{
	int64_t now = month_now(m);

	m->trace = crc32c(crc32c(m->trace, view_of(&now, sizeof(now))), view_of(p, n));
}

/* --- mail ------------------------------------------------------------------------ */

static void
on_durable(struct world *w, uint64_t number, struct view id)
{
	struct month *m = container_of(w, struct month, w);
	spool_id parsed;

	require(spool_id_parse(id, &parsed));
	judge_durable(m, m->first + (unsigned)number - 1, parsed);
}

static void
give(struct month *m)
{
	unsigned n = m->judge.nmail;
	char from[60], rcpt[60];
	uint64_t number;

	if (n == MAILS_MAX || m->w.intake == NULL)
		return;
	snprintf(from, sizeof(from), MONTH_FROM "+%06u@shop.example.com", n);
	snprintf(rcpt, sizeof(rcpt), MONTH_RCPT "+%06u@%s", n, n % 8 == 0 ? OTHER_DOMAIN : "example.net");
	judge_mail(m, n);
	number = world_give(&m->w, from, rcpt, "It was a dark and stormy night.");
	require(m->first + number - 1 == n);
}

static void
on_mail(void *arg)
{
	struct month *m = arg;
	int64_t ms = m->gap_ms / 8 + (int64_t)rng_below(&m->rng, (uint64_t)m->gap_ms);

	give(m);
	if (m->burst > 0) {
		m->burst--;
		ms = (int64_t)rng_below(&m->rng, 500);
	} else if (rng_below(&m->rng, 20) == 0) {
		m->burst = (unsigned)rng_below(&m->rng, 20);
	}
	while (m->burst == 0 && rng_below(&m->rng, 3) == 0)
		ms += m->gap_ms;
	if (!m->weather.over)
		timer_set(&m->w.loop.loop, &m->mail, ms);
}

void
month_traffic(struct month *m, unsigned n)
{
	if (m->burst < n)
		m->burst = n;
	timer_set(&m->w.loop.loop, &m->mail, 1);
}

/* --- restarts ----------------------------------------------------------------------- */

static void
on_restart(void *arg)
{
	((struct month *)arg)->restart_now = true;	/* not from within relay's loop */
}

void
month_wants_restart(struct month *m, int64_t in_ms)
{
	if (m->judge.ncrash < lengthof(m->judge.crash_ms) && !m->weather.over)
		timer_set(&m->w.loop.loop, &m->restart, in_ms);
}

static void
restart(struct month *m)
{
	static const enum twin_keep kept[] = { TWIN_KEEP_ALL, TWIN_KEEP_SYNCED, TWIN_KEEP_SOME };
	uint64_t how = rng_below(&m->rng, 4);

	m->restart_now = false;
	m->judge.crash_ms[m->judge.ncrash++] = month_now(m);
	if (how < lengthof(kept)) {
		m->first = m->judge.nmail;
		world_crash(&m->w, kept[how]);
	} else {
		world_stop(&m->w);		/* mail comes all the while */
		m->first = m->judge.nmail;
		world_start(&m->w);
	}
	judge_restarted(m);
	month_wants_restart(m, DAYS(m->storm ? 1 : 2) + (int64_t)rng_below(&m->rng, DAYS(10)));
}

/* --- the log ------------------------------------------------------------------------------ */

static void
on_line(struct world *w, const char *line)
{
	struct month *m = container_of(w, struct month, w);

	month_trace(m, line, strlen(line));
	m->last[m->nlast % LAST_LINES].at_ms = month_now(m);
	snprintf(m->last[m->nlast % LAST_LINES].text, sizeof(m->last[0].text), "%s", line);
	m->nlast++;
	judge_line(m, line);
}

static void
print_time(const struct month *m, int64_t at_ms)
{
	long long ms = (long long)(at_ms - m->began_ms);

	printf("day %2lld %02lld:%02lld:%02lld.%03lld", ms / DAYS(1), ms / HOURS(1) % 24,
	    ms / MINUTES(1) % 60, ms / 1000 % 60, ms % 1000);
}

/* What health thinks of each port. */
static void
print_ports(const struct month *m)
{
	for (size_t i = 0; i < RELAYS * PORTS; i++) {
		struct upstream *u = &m->w.relay->up[i / PORTS];
		const struct health *h = u->health;
		struct endpoint_view v;
		struct endpoint_points p;

		health_points(h, i % PORTS, month_now(m), &p);
		health_endpoint(h, i % PORTS, &v);
		printf("%s%s %s%s, score %.0f, availability %.2f, clean for %lld s, hold %lld s\n",
		    watch_endpoint(u, i % PORTS), v.current ? " (current)" : "",
		    endpoint_state_word(v.state), v.suspect ? ", suspect" : "", p.score, p.availability,
		    h->ep[i % PORTS].clean_ms < 0 ? -1 :
		    (long long)(month_now(m) - h->ep[i % PORTS].clean_ms) / 1000,
		    (long long)h->return_hold_ms / 1000);
	}
}

void
month_print(const struct month *m)
{
	unsigned from = m->nlast > LAST_LINES ? m->nlast - LAST_LINES : 0;

	for (unsigned i = from; i < m->nlast; i++) {
		print_time(m, m->last[i % LAST_LINES].at_ms);
		printf("  %s\n", m->last[i % LAST_LINES].text);
	}
	print_ports(m);
	print_time(m, m->judge.verdict_ms);
	printf("  broken rule: %s\n", m->judge.verdict);
}

/* --- life ------------------------------------------------------------------------------------ */

static void
set_up_relays(struct month *m)
{
	static char name[] = "other", to[] = "*@" OTHER_DOMAIN;
	struct conf *c = &m->w.conf;

	world_use_backup(&m->w);
	c->relay[1].nendpoint = PORTS;
	/* One domain's mail goes the other way round. */
	c->route[1] = c->route[0];
	c->route[0] = (struct conf_route){ .name = name, .to = to, .relay = { 1, 0 }, .nrelay = 2 };
	c->nroute = 2;
	smarthost_init(&m->more[0], &m->w.net, "192.0.2.2:465", true);
	smarthost_init(&m->more[1], &m->w.net, "192.0.2.2:2525", false);
	c->queue.segment_size = 1u << 20;
	if (m->seed % 4 == 3)
		c->queue.expire_ms = HOURS(3);
}

struct month *
month_new(uint64_t seed, bool storm)
{
	struct month *m = xzalloc(sizeof(*m));

	world_init(&m->w);
	m->seed = seed;
	m->storm = storm;
	m->w.log.level = LEVEL_INFO;
	m->w.on_durable = on_durable;
	m->w.on_line = on_line;
	m->w.no_status = true;
	rng_init(&m->w.rng, seed);
	rng_init(&m->rng, seed ^ 0x6d6f6e7468);
	rng_init(&m->weather.rng, seed ^ 0x77656174686572);
	set_up_relays(m);
	timer_init(&m->mail, on_mail, m);
	timer_init(&m->restart, on_restart, m);
	m->gap_ms = MINUTES(storm ? 3 : 15);
	return m;
}

void
month_free(struct month *m)
{
	struct loop *loop = &m->w.loop.loop;

	judge_stop(m);
	timer_cancel(loop, &m->mail);
	timer_cancel(loop, &m->restart);
	for (size_t i = 0; i < lengthof(m->more); i++)
		smarthost_done(&m->more[i]);
	world_done(&m->w);
	if (m->tls_used)
		twin_tls_done(&m->tls);
	free(m);
}

static void
live(struct month *m, int64_t until_ms)
{
	while (m->judge.verdict[0] == '\0' && month_now(m) < until_ms) {
		(void)twin_loop_until(&m->w.loop, judge_turn, m, until_ms - month_now(m));
		if (m->restart_now)
			restart(m);
	}
}

static bool
is_over(void *arg)
{
	struct month *m = arg;

	return judge_turn(m) || world_queued(&m->w) == 0;
}

bool
month_live(struct month *m, unsigned days)
{
	struct loop *loop = &m->w.loop.loop;

	world_start(&m->w);
	m->began_ms = month_now(m);
	judge_start(m);
	weather_start(m);
	timer_set(loop, &m->mail, 1);
	month_wants_restart(m, DAYS(1) + (int64_t)rng_below(&m->rng, DAYS(10)));
	live(m, m->began_ms + DAYS(days));
	if (m->judge.verdict[0] != '\0')
		return false;

	weather_end(m);
	judge_weather(m);
	timer_cancel(loop, &m->restart);
	timer_cancel(loop, &m->mail);
	m->restart_now = false;
	m->judge.urgent_ms = month_now(m);
	for (size_t r = 0; r < RELAYS; r++) {
		m->judge.relay[r].refused_ms = NEVER_MS;
		m->judge.relay[r].trouble_ms = month_now(m);
	}
	require(relay_unblock(m->w.relay, VIEW(""), NULL, NULL) == 0);	/* the passwords are right again */
	live(m, month_now(m) + MINUTES(20));
	if (m->judge.verdict[0] == '\0')
		(void)twin_loop_until(&m->w.loop, is_over, m, SETTLE_MS);
	live(m, month_now(m) + MINUTES(1));	/* a report is on its way, perhaps */
	if (m->judge.verdict[0] == '\0')
		judge_end(m);
	return m->judge.verdict[0] == '\0';
}
