/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ports: how the endpoints are, the whole reasoning on one of them (--why), and failover: which
 * way the mail took, and why it was changed.
 */
#include <stdio.h>

#include "base/num.h"
#include "control/answer.h"

#include "base/banned.h"

/* A monotonic time of the health model as wall time, for people. */
static int64_t
wall_of(const struct relay *relay, int64_t mono_ms)
{
	struct loop *loop = relay_env(relay)->loop;

	return mono_ms < 0 ? -1 : loop_wall(loop) - (loop_now(loop) - mono_ms);
}

static const char *
tls_word(enum conf_tls tls)
{
	switch (tls) {
	case CONF_TLS_STARTTLS:
		return "starttls";
	case CONF_TLS_IMPLICIT:
		return "implicit";
	case CONF_TLS_NONE:
		return "none";
	}
	return "";
}

/* Why the endpoint is in its state: the model's sentence, and what the peer said. */
static void
report_why(const struct health *health, size_t i, const struct endpoint_view *v, struct report *r)
{
	struct buf why;

	buf_init(&why, 1024);
	if (health_why(health, i, &why) && v->why_class != HEALTH_OK &&
	    v->detail != NULL && v->detail[0] != '\0')
		ignore_result(buf_addf(&why, " (%s)", v->detail));	/* the sentence is enough */
	report_text(r, "why", buf_view(&why));
	buf_done(&why);
}

/* --- ports --------------------------------------------------------------- */

static void
put_history(struct relay *relay, size_t which, size_t i, struct report *r)
{
	enum port_mark mark[PORT_SLOTS];
	const char *word[PORT_SLOTS];

	port_history_read(relay_port_history(relay, which, i), loop_now(relay_env(relay)->loop), mark);
	for (size_t k = 0; k < PORT_SLOTS; k++)
		word[k] = port_mark_word(mark[k]);
	report_words(r, "history", word, PORT_SLOTS);
}

static void
put_line(struct relay *relay, size_t which, size_t i, struct report *r)
{
	const struct conf_relay *conf = &relay_conf(relay)->relay[which];
	enum port_mark mark[PORT_SLOTS];
	char line[PORT_SLOTS];

	port_history_read(relay_port_history(relay, which, i), loop_now(relay_env(relay)->loop), mark);
	for (size_t k = 0; k < PORT_SLOTS; k++)
		line[k] = port_mark_sign(mark[k]);
	report_row(r);
	report_word(r, "relay", conf->name);
	report_num(r, "port", conf->endpoint[i].port);
	report_text(r, "last_24_hours", view_of(line, sizeof(line)));
	report_end(r);
}

/* For people: a line for each port, and what its signs mean. */
static void
put_lines(struct relay *relay, struct report *r)
{
	const struct conf *conf = relay_conf(relay);
	char legend[300];
	size_t n = 0;

	report_blank(r);
	report_list(r, "lines");
	for (size_t k = 0; k < conf->nrelay; k++)
		for (size_t i = 0; i < conf->relay[k].nendpoint; i++)
			put_line(relay, k, i, r);
	report_end(r);
	for (int mark = PORT_MARK_COUNT; mark-- > 0;)
		n += (size_t)snprintf(legend + n, sizeof(legend) - n, "%c %s, ", port_mark_sign((enum port_mark)mark),
		    port_mark_word((enum port_mark)mark));
	(void)snprintf(legend + n, sizeof(legend) - n, "a sign for the worst of 15 minutes, the newest right");
	report_word(r, "signs", legend);
	report_blank(r);
}

static bool
is_down(enum endpoint_state state)
{
	return state == EP_DOWN || state == EP_PROBING || state == EP_BLOCKED;
}

/* People look at one column for the port that mail takes. */
static void
ports_way(struct relay *relay, size_t which, size_t i, const struct endpoint_view *v, struct report *r)
{
	bool current = v->current;
	struct relay_way way;

	relay_way(relay, which, &way);
	if (!r->json && is_down(v->state) && (current || way.endpoint == (int)i))
		report_word(r, "current", "down");
	else if (r->json || way.avoided < 0 || (!current && way.endpoint != (int)i))
		report_bool(r, "current", current);
	else
		report_word(r, "current", current ? "avoided" : "detour");
	report_hide(r);
	report_bool(r, "detour", way.avoided >= 0 && way.endpoint == (int)i);
	report_show(r);
}

static struct endpoint_points
points_of(struct relay *relay, size_t which, size_t i)
{
	struct endpoint_points p;

	health_points(relay_health(relay, which), i, loop_now(relay_env(relay)->loop), &p);
	return p;
}

static void
report_points(struct report *r, struct relay *relay, size_t which, size_t i)
{
	report_num(r, "score", (int64_t)(points_of(relay, which, i).score + 0.5));
}

static void
ports_row(struct relay *relay, size_t which, size_t i, struct report *r)
{
	const struct conf_relay *conf = &relay_conf(relay)->relay[which];
	struct health *health = relay_health(relay, which);
	struct endpoint_view v;
	struct account_view account;

	health_endpoint(health, i, &v);
	health_account(health, loop_now(relay_env(relay)->loop), &account);
	report_row(r);
	report_word(r, "relay", conf->name);
	report_hide(r);
	report_word(r, "host", conf->host);
	report_show(r);
	report_num(r, "port", conf->endpoint[i].port);
	report_word(r, "tls", tls_word(conf->endpoint[i].tls));
	report_word(r, "state", endpoint_state_word(v.state));
	report_bool(r, "suspect", v.suspect);
	ports_way(relay, which, i, &v, r);
	report_points(r, relay, which, i);
	report_time(r, "since", wall_of(relay, v.since_ms));
	report_time(r, "last_probe", wall_of(relay, v.last_probe_ms));
	report_duration(r, "ready_ms", v.ready_ms);
	report_hide(r);
	report_word(r, "account", account_state_word(account.state));
	report_time(r, "next_probe", wall_of(relay, v.next_probe_ms));
	report_word(r, "advice", health_advice(health, i));
	put_history(relay, which, i, r);
	report_show(r);
	report_word(r, "class", health_class_info(v.why_class)->word);
	report_why(health, i, &v, r);
	report_end(r);
}

/* For people: no port is at fault, and yet no mail leaves. */
static void
ports_account(struct relay *relay, size_t which, struct report *r)
{
	const struct health *health = relay_health(relay, which);
	struct account_view a;
	char key[100], text[800];

	health_account(health, loop_now(relay_env(relay)->loop), &a);
	if (a.state == ACCOUNT_AVAILABLE)
		return;
	(void)snprintf(key, sizeof(key), "%s account", relay_conf(relay)->relay[which].name);
	(void)snprintf(text, sizeof(text), "%s: %s (%s); %s", account_state_word(a.state),
	    health_class_info(a.why_class)->sentence, a.detail, health_account_advice(health));
	report_word(r, key, text);
}

void
answer_ports(struct relay *relay, struct report *r)
{
	const struct conf *conf = relay_conf(relay);

	report_list(r, "ports");
	for (size_t k = 0; k < conf->nrelay; k++)
		for (size_t i = 0; i < conf->relay[k].nendpoint; i++)
			ports_row(relay, k, i, r);
	report_end(r);
	if (!r->json)
		put_lines(relay, r);
	for (size_t k = 0; !r->json && k < conf->nrelay; k++) {
		ports_account(relay, k, r);
		for (size_t i = 0; i < conf->relay[k].nendpoint; i++) {
			const char *advice = health_advice(relay_health(relay, k), i);
			char key[100];

			if (advice[0] == '\0')
				continue;
			(void)snprintf(key, sizeof(key), "%s %u", conf->relay[k].name, conf->relay[k].endpoint[i].port);
			report_word(r, key, advice);
		}
	}
}

/* --- one of them, wholly --------------------------------------------------- */

struct place {
	size_t	relay, endpoint;
};

/* "587", "465/implicit", "main:587", "main:465/implicit". */
static bool
is_meant(const struct conf_relay *conf, size_t i, struct view what)
{
	const struct conf_endpoint *ep = &conf->endpoint[i];
	size_t colon = view_find(what, ':');
	struct view port, tls;
	uint64_t n;

	if (colon < what.n) {
		if (!view_eq(view_first(what, colon), view_str(conf->name)))
			return false;
		what = view_from(what, colon + 1);
	}
	port = view_first(what, view_find(what, '/'));
	tls = view_from(what, port.n);
	return num_parse_u64(port, 1, 65535, &n) && n == ep->port &&
	    (tls.n == 0 || view_eq(view_from(tls, 1), view_str(tls_word(ep->tls))));
}

static int
find_place(const struct conf *conf, struct view what, struct place *out, struct err *e)
{
	char known[160] = "";
	size_t found = 0, n = 0;

	for (size_t k = 0; k < conf->nrelay; k++) {
		const struct conf_relay *relay = &conf->relay[k];

		for (size_t i = 0; i < relay->nendpoint; i++) {
			if (n < sizeof(known))
				n += (size_t)snprintf(known + n, sizeof(known) - n, " %s:%u", relay->name,
				    (unsigned)relay->endpoint[i].port);
			if (!is_meant(relay, i, what))
				continue;
			*out = (struct place){ k, i };
			found++;
		}
	}
	if (found == 1)
		return 0;
	if (found > 1)
		return err_set(e, ERR_INPUT, "port %.*s is of several relays: say which one, RELAY:PORT; there are%s",
		    VIEW_ARG(view_first(what, 40)), known);
	return err_set(e, ERR_GONE, "no relay has a port \"%.*s\"; there are%s", VIEW_ARG(view_first(what, 40)),
	    known);
}

static void
why_state(struct relay *relay, const struct place *at, const struct endpoint_view *v, struct report *r)
{
	const struct conf_relay *conf = &relay_conf(relay)->relay[at->relay];
	struct health *health = relay_health(relay, at->relay);
	struct buf choice;

	report_word(r, "relay", conf->name);
	report_bool(r, "in_use", relay_in_use(relay, at->relay));
	report_word(r, "host", conf->host);
	report_num(r, "port", conf->endpoint[at->endpoint].port);
	report_word(r, "tls", tls_word(conf->endpoint[at->endpoint].tls));
	report_word(r, "state", endpoint_state_word(v->state));
	report_bool(r, "suspect", v->suspect);
	report_bool(r, "current", v->current);
	report_time(r, "since", wall_of(relay, v->since_ms));
	report_word(r, "class", health_class_info(v->why_class)->word);
	report_why(health, at->endpoint, v, r);
	report_word(r, "advice", health_advice(health, at->endpoint));
	buf_init(&choice, 1024);
	/* The first sentences are enough, if one does not fit. */
	ignore_result(health_why_chosen(health, at->endpoint, loop_now(relay_env(relay)->loop), &choice));
	report_text(r, "choice", buf_view(&choice));
	buf_done(&choice);
	report_time(r, "last_probe", wall_of(relay, v->last_probe_ms));
	report_time(r, "next_probe", wall_of(relay, v->next_probe_ms));
	report_time(r, "last_success", wall_of(relay, v->last_success_ms));
	report_duration(r, "ready_ms", v->ready_ms);
	report_points(r, relay, at->relay, at->endpoint);
}

/* doc/health.md, "Score" */
static void
why_score(struct relay *relay, const struct place *at, struct report *r)
{
	struct endpoint_points p = points_of(relay, at->relay, at->endpoint);
	const struct {
		const char	*input;
		double		 value;
		int		 weight;
	} part[] = {
		{ "availability", p.availability, 55 }, { "quickness", p.quickness, 15 },
		{ "stability", p.stability, 15 }, { "preference", p.preference, 15 },
	};

	report_blank(r);
	report_list(r, "inputs");
	for (size_t i = 0; i < lengthof(part); i++) {
		report_row(r);
		report_word(r, "input", part[i].input);
		report_num(r, "percent", (int64_t)(100 * part[i].value + 0.5));
		report_num(r, "weight", part[i].weight);
		report_end(r);
	}
	report_end(r);
}

static void
why_others(struct relay *relay, const struct place *at, struct report *r)
{
	const struct conf_relay *conf = &relay_conf(relay)->relay[at->relay];

	report_blank(r);
	report_list(r, "others");
	for (size_t i = 0; i < conf->nendpoint; i++) {
		struct endpoint_view v;

		if (i == at->endpoint)
			continue;
		health_endpoint(relay_health(relay, at->relay), i, &v);
		report_row(r);
		report_num(r, "other", conf->endpoint[i].port);
		report_word(r, "tls", tls_word(conf->endpoint[i].tls));
		report_word(r, "state", endpoint_state_word(v.state));
		report_bool(r, "suspect", v.suspect);
		report_bool(r, "current", v.current);
		report_points(r, relay, at->relay, i);
		report_end(r);
	}
	report_end(r);
}

static const char *
source_word(enum sample_source source)
{
	return source == SAMPLE_PROBE ? "probe" : "mail";
}

static void
why_events(struct relay *relay, const struct trail *trail, struct report *r)
{
	const struct trail_note *note;

	report_blank(r);
	report_list(r, "events");
	for (unsigned i = 0; (note = trail_get(trail, i)) != NULL; i++) {
		report_row(r);
		report_time(r, "time", wall_of(relay, note->last_ms));
		report_hide(r);
		report_time(r, "first", wall_of(relay, note->first_ms));
		report_show(r);
		report_num(r, "times", note->times);
		report_word(r, "by", source_word(note->source));
		report_word(r, "class", health_class_info(note->class)->word);
		report_word(r, "then", endpoint_state_word(note->state));
		report_bool(r, "suspect", note->suspect);
		report_word(r, "detail", note->detail);
		report_end(r);
	}
	report_end(r);
}

static void
why_counts(const struct trail *trail, struct report *r)
{
	report_blank(r);
	report_list(r, "counts");
	for (int class = 0; class < HEALTH_CLASS_COUNT; class++) {
		const uint32_t *count = trail->count[class];

		if (count[SAMPLE_PROBE] == 0 && count[SAMPLE_DELIVERY] == 0)
			continue;
		report_row(r);
		report_word(r, "class", health_class_info((enum health_class)class)->word);
		report_num(r, "probe", count[SAMPLE_PROBE]);
		report_num(r, "mail", count[SAMPLE_DELIVERY]);
		report_end(r);
	}
	report_end(r);
}

int
answer_ports_why(struct relay *relay, const struct request *q, struct report *r, struct err *e)
{
	struct endpoint_view v;
	struct place at = { 0, 0 };

	if (find_place(relay_conf(relay), q->why, &at, e) < 0)
		return -1;
	health_endpoint(relay_health(relay, at.relay), at.endpoint, &v);
	why_state(relay, &at, &v, r);
	why_score(relay, &at, r);
	why_others(relay, &at, r);
	why_events(relay, relay_trail(relay, at.relay, at.endpoint), r);
	why_counts(relay_trail(relay, at.relay, at.endpoint), r);
	report_hide(r);
	put_history(relay, at.relay, at.endpoint, r);
	report_show(r);
	return 0;
}

/* --- failover ---------------------------------------------------------------- */

static void
failover_row(const struct switch_entry *s, bool several, struct report *r)
{
	struct buf evidence;

	report_row(r);
	report_time(r, "time", s->wall_ms);
	report_word(r, "event", switch_event_word(s));
	report_word(r, "relay", s->relay[0] != '\0' ? s->relay : NULL);
	if (!several)
		report_hide(r);
	report_word(r, "route", s->route[0] != '\0' ? s->route : NULL);
	report_show(r);
	report_word(r, "from", s->from);
	report_word(r, "to", s->to);
	report_word(r, "reason", s->reason);
	report_word(r, "class", s->class != HEALTH_OK ? health_class_info(s->class)->word : NULL);
	report_hide(r);
	report_word(r, "detail", s->detail);
	report_show(r);
	buf_init(&evidence, sizeof(s->evidence) + sizeof(s->detail) + 3);
	if (buf_add_str(&evidence, s->evidence) && !r->json && s->detail[0] != '\0')
		ignore_result(buf_addf(&evidence, " (%s)", s->detail));	/* it has room */
	report_text(r, "evidence", buf_view(&evidence));
	report_end(r);
	buf_done(&evidence);
}

void
answer_failover(struct relay *relay, const struct request *q, struct report *r)
{
	const struct switch_log *log = relay_switches(relay);
	const struct switch_entry *s;

	report_list(r, "changes");
	for (unsigned i = 0; i < q->limit && (s = switch_log_get(log, i)) != NULL; i++)
		failover_row(s, relay_conf(relay)->nroute > 1, r);
	report_end(r);
	report_num(r, "total", (int64_t)log->total);
	report_time(r, "begins", log->began_ms);
}
