/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of this folder against intake's session, with the test as client and as relay. */
#include "unit/intake/session_help.h"

#include <stdio.h>

#include "mail/envelope.h"
#include "table.h"

#include "base/banned.h"

#define CLIENTS_MAX	100		/* of one world */
#define SPLIT_ALL	1500		/* longer dialogues are cut at so many points */
#define PIECE		8192
#define TRIPLES_MIN	300

static struct table table;

/* What relay has of the message that came last. */
static struct {
	unsigned	count;			/* acknowledged */
	struct buf	from, to, text;		/* recipients: ", " between them */
	struct view	refusal;		/* its answer to the next; "" durable */
} kept;
static struct wire *r;				/* NULL: relay is away */

/* --- relay ----------------------------------------------------------------------------- */

static void
keep_envelope(struct view payload)
{
	struct envelope env;

	assert_int_equal(envelope_decode(&env, payload, NULL), 0);
	buf_clear(&kept.from);
	buf_clear(&kept.to);
	buf_clear(&kept.text);
	assert_true(buf_add(&kept.from, env.from));
	for (size_t i = 0; i < env.nrcpt; i++)
		assert_true(buf_addf(&kept.to, "%s%.*s", i > 0 ? ", " : "", VIEW_ARG(env.rcpt[i])));
	envelope_done(&env);
}

static void
serve(void)
{
	struct frame f;

	while (r != NULL && relay_hears(r, &f)) {
		if (f.type == FRAME_OPEN) {
			keep_envelope(f.payload);
		} else if (f.type == FRAME_CHUNK) {
			assert_true(buf_add(&kept.text, f.payload));
			relay_credit(r, f.transaction, (uint32_t)f.payload.n);
		} else if (f.type == FRAME_COMMIT && kept.refusal.n > 0) {
			relay_says(r, FRAME_REFUSED, f.transaction, kept.refusal);
		} else if (f.type == FRAME_COMMIT) {
			kept.count++;
			relay_says(r, FRAME_DURABLE, f.transaction, ID);
		}
	}
}

/* --- client ---------------------------------------------------------------------------- */

static struct wire *c;
static size_t mark;				/* of what it heard, what was looked at before */

static void
hear_all(void)
{
	serve();
	(void)hear(c);
	if (c->tls == WIRE_HANDSHAKE && !c->closed)
		shake_hands(c);
	serve();
	(void)hear(c);
}

static void
feed(struct view v)
{
	for (; v.n > 0 && !c->closed; v = view_from(v, PIECE)) {
		(void)say(c, view_first(v, PIECE));
		hear_all();
	}
}

/* One reply as it stands in a table; whatever it is, its form has to be right (RFC 5321 4.2, 2034). */
static void
add_reply(struct buf *out, struct view line)
{
	bool bare = view_starts(line, VIEW("220 ")) || view_starts(line, VIEW("354 ")) ||
	    view_eq(line, VIEW("250 host.example\r")) || view_eq(line, VIEW("250 HELP\r"));
	struct view code = view_first(line, bare ? 3 : 9);

	assert_true(line.n <= 511 && view_ends(line, VIEW("\r")));
	for (size_t i = 0; i + 1 < line.n; i++)
		assert_true(is_print(line.p[i]));
	if (!bare && (line.n < 11 || line.p[4] != line.p[0] || line.p[5] != '.' || line.p[7] != '.' || line.p[9] != ' '))
		fail_msg("\"%.*s\" has no fitting enhanced code", VIEW_ARG(line));
	assert_true(buf_addf(out, "%s%.*s", buf_len(out) > 0 ? ", " : "", VIEW_ARG(code)));
}

/* The replies since the last time. */
static void
take_replies(struct buf *out)
{
	struct view v = view_from(buf_view(&c->got), mark), line;

	buf_clear(out);
	mark = buf_len(&c->got);
	while (view_split(&v, '\n', &line))
		if (line.n < 4 || line.p[3] != '-')
			add_reply(out, line);
}

/* --- a row ------------------------------------------------------------------------------ */

/* A row in one of its states. */
struct play {
	const struct row *row;
	struct view	 state, after;
	bool		 at_once;
	struct buf	 way, way_replies;	/* what comes before */
	struct buf	 says, replies;
};

static void
expand_says(struct buf *out, struct view column)
{
	if (!table_expand(out, column))
		assert_true(buf_add(out, VIEW("\r\n")));
}

/* Joined to what is there; a comma at the end is what a repetition left. */
static void
expand_replies(struct buf *out, struct view column)
{
	if (column.n > 0 && buf_len(out) > 0)
		assert_true(buf_add(out, VIEW(", ")));
	(void)table_expand(out, column);
	if (view_ends(buf_view(out), VIEW(", ")))
		buf_truncate(out, buf_len(out) - 2);
}

static void
find_way(struct play *p, struct view name)
{
	const struct step *s = table_state(&table, name);

	if (!view_eq(s->base, VIEW("-")))
		find_way(p, s->base);
	expand_says(&p->way, s->says);
	expand_replies(&p->way_replies, s->replies);
}

static void
play_init(struct play *p, const struct row *row, struct view state)
{
	*p = (struct play){ .row = row, .at_once = view_ends(state, VIEW("!")) };
	p->state = p->at_once ? view_first(state, state.n - 1) : state;
	p->after = row->after;
	if (view_eq(row->after, VIEW("same")))
		p->after = table_state(&table, p->state)->shown;
	buf_init(&p->way, 1u << 20);
	buf_init(&p->way_replies, 1u << 20);
	buf_init(&p->says, 4u << 20);
	buf_init(&p->replies, 1u << 20);
	find_way(p, p->state);
	expand_says(&p->says, row->says);
	expand_replies(&p->replies, row->replies);
}

static void
play_done(struct play *p)
{
	buf_done(&p->way);
	buf_done(&p->way_replies);
	buf_done(&p->says);
	buf_done(&p->replies);
}

static jmp_buf next_play;
static unsigned failed, played;

/* Said for each play once: the others are tried all the same. */
static _Noreturn void
wrong(const struct play *p, const char *how, struct view got, struct view want)
{
	print_error("%s:%u (%.*s, %s): got \"%.*s\", wanted \"%.*s\"\n", p->row->file, p->row->line,
	    VIEW_ARG(p->state), how, VIEW_ARG(got), VIEW_ARG(want));
	failed++;
	if (!c->closed)
		hang_up(c, STREAM_RESET);
	longjmp(next_play, 1);
}

static void
expect_replies(const struct play *p, const char *how, struct view want)
{
	struct buf got;

	buf_init(&got, 1u << 20);
	take_replies(&got);
	if (!view_eq(buf_view(&got), want))
		wrong(p, how, buf_view(&got), want);
	buf_done(&got);
}

/* Say what a step says; it is answered as the step says. */
static void
do_step(const struct play *p, const char *how, const struct step *s)
{
	struct buf says, replies;

	buf_init(&says, 4096);
	buf_init(&replies, 4096);
	expand_says(&says, s->says);
	expand_replies(&replies, s->replies);
	feed(buf_view(&says));
	expect_replies(p, how, buf_view(&replies));
	buf_done(&says);
	buf_done(&replies);
}

/* --- what is stored ----------------------------------------------------------------------- */

#define HEADER VIEW("Date: x\r\nMessage-ID: <y@example.org>\r\n\r\n")

static void
expect_stored(const struct play *p, const char *how)
{
	struct view column = p->row->stored, kind, got;
	struct buf want;

	buf_init(&want, 1u << 20);
	(void)view_split(&column, ' ', &kind);
	if (view_eq(kind, VIEW("text"))) {
		assert_true(buf_add(&want, HEADER));
		(void)table_expand(&want, column);
		got = buf_view(&kept.text);
	} else {
		bool from = view_eq(kind, VIEW("from"));

		assert_true(from || view_eq(kind, VIEW("to")));
		(void)table_expand(&want, column);
		got = buf_view(from ? &kept.from : &kept.to);
	}
	if (!view_eq(got, buf_view(&want)))
		wrong(p, how, got, buf_view(&want));
	buf_done(&want);
}

/* How often the client was told that its message is safe. */
static unsigned
count_taken(void)
{
	struct view v = buf_view(&c->got), mine = VIEW("\r\n250 2.0.0 Ok: queued as ");
	unsigned n = 0;

	for (size_t at = view_search(v, mine); at < v.n; at = view_search(v, mine)) {
		v = view_from(v, at + mine.n);
		n++;
	}
	return n;
}

/* --- conditions ------------------------------------------------------------------------------ */

static void
renew_world(bool with_relay)
{
	world_done(&w);
	world_init(&w);
	free(w.conf.hostname);
	free(w.conf.default_domain);
	w.conf.hostname = xstrdup("host.example");
	w.conf.default_domain = xstrdup("host.example");
	w.conf.limits.message_size = 65536;
	w.conf.limits.recipients = 100;
	world_renew(&w);
	r = with_relay ? relay(&w) : NULL;
}

/* "only *@example.com may send", "only *@example.net gets mail": the rule. */
static void
set_rules(struct view when)
{
	static char pattern[100];
	static char *list[] = { pattern, NULL };
	struct view only = VIEW("only ");
	size_t end = view_find(view_from(when, only.n), ' ');

	if (!view_starts(when, only))
		return;
	(void)snprintf(pattern, sizeof(pattern), "%.*s", VIEW_ARG(view_first(view_from(when, only.n), end)));
	if (view_ends(when, VIEW(" may send")))
		w.conf.allow_senders = list;
	else
		w.conf.allow_recipients = list;
}

/* "TLS is offered": how a guest is served. */
static const struct tls_condition {
	struct view	words;
	enum conf_listener_tls mode;
	bool		works;
} tls_conditions[] = {
	{ VIEW("TLS is offered"), CONF_LISTENER_TLS_STARTTLS, true },
	{ VIEW("TLS is required"), CONF_LISTENER_TLS_REQUIRED, true },
	{ VIEW("TLS is active"), CONF_LISTENER_TLS_IMPLICIT, true },
	{ VIEW("TLS has no certificate"), CONF_LISTENER_TLS_STARTTLS, false },
};

static const struct tls_condition *
find_tls(struct view when)
{
	for (size_t i = 0; i < lengthof(tls_conditions); i++)
		if (view_eq(when, tls_conditions[i].words))
			return &tls_conditions[i];
	return NULL;
}

static void
begin_condition(struct view when)
{
	static const struct { struct view words; bool new_mail; } refused[] = {
		{ VIEW("new mail is refused with "), true },
		{ VIEW("the message is refused with "), false },
	};
	static char reply[100];

	set_rules(when);
	for (size_t i = 0; i < lengthof(refused); i++) {
		if (!view_starts(when, refused[i].words))
			continue;
		(void)snprintf(reply, sizeof(reply), "%.*s no", VIEW_ARG(view_from(when, refused[i].words.n)));
		if (refused[i].new_mail)
			relay_says(r, FRAME_POLICY, 0, view_str(reply));
		else
			kept.refusal = view_str(reply);
	}
}

static void
end_condition(struct view when)
{
	if (view_starts(when, VIEW("new mail ")))
		relay_says(r, FRAME_POLICY, 0, VIEW(""));
	kept.refusal = VIEW("");
	w.conf.allow_senders = w.conf.allow_recipients = NULL;
}

/* The time that a condition speaks of has passed once all is said. */
static void
pass_time(struct view when)
{
	int64_t ms = 0;

	if (view_eq(when, VIEW("relay is away")))
		ms = 31000;
	else if (view_ends(when, VIEW(" s pass")))
		for (size_t i = 0; is_digit(when.p[i]); i++)
			ms = 10 * ms + 1000 * (when.p[i] - '0');
	if (ms > 0)
		world_run(&w, ms);
	hear_all();
}

/* --- ways to say it --------------------------------------------------------------------------- */

/* In two pieces, the first of so many bytes; step: in pieces of that; joined: with the way before it. */
struct manner {
	size_t	split, step;
	bool	joined;
};

static void
say_it(const struct play *p, const struct manner *m)
{
	struct view v = buf_view(&p->says);
	struct buf all;

	if (m->joined) {
		buf_init(&all, 8u << 20);
		assert_true(buf_add(&all, buf_view(&p->way)) && buf_add(&all, v));
		feed(buf_view(&all));
		buf_done(&all);
		return;
	}
	feed(view_first(v, m->split));
	v = view_from(v, m->split);
	if (m->step == 0)
		feed(v);
	else
		for (; v.n > 0; v = view_from(v, m->step))
			feed(view_first(v, m->step));
}

/* Whatever way it was said: the replies, the state, what is stored. */
static void
look(const struct play *p, const char *how)
{
	struct view stored = p->row->stored;

	if (view_eq(p->after, VIEW("closed"))) {
		if (!c->closed)
			wrong(p, how, VIEW("open"), p->after);
	} else if (c->closed) {
		wrong(p, how, VIEW("closed"), p->after);
	} else if (stored.n == 0 || view_eq(p->after, VIEW("data"))) {
		do_step(p, how, table_shown(&table, p->after));
	} else {
		do_step(p, how, table_finish(&table, p->after));
	}
	if (stored.n > 0)
		expect_stored(p, how);
	assert_int_equal(count_taken(), kept.count);
}

static void
play_once(const struct play *p, const struct manner *m)
{
	const struct tls_condition *tls = find_tls(p->row->when);
	char how[64];
	struct buf want;

	(void)snprintf(how, sizeof(how), "%s at %zu, step %zu", m->joined ? "joined" : "cut", m->split, m->step);
	buf_init(&want, 2u << 20);
	if (w.nwires >= CLIENTS_MAX || p->row->when.n > 0 || r == NULL)
		renew_world(!view_eq(p->row->when, VIEW("relay is away")));
	if (tls != NULL) {
		world_tls(&w, tls->mode, tls->works);
		r = relay(&w);
	}
	played++;
	kept.count = 0;
	c = tls != NULL ? guest(&w) : client(&w);
	hear_all();
	mark = buf_len(&c->got);
	if (!m->joined) {
		feed(buf_view(&p->way));
		expect_replies(p, "on the way", buf_view(&p->way_replies));
	} else if (!buf_add(&want, buf_view(&p->way_replies)) ||
	    !buf_add_str(&want, buf_len(&want) > 0 && buf_len(&p->replies) > 0 ? ", " : "")) {
		fail();
	}
	begin_condition(p->row->when);
	say_it(p, m);
	pass_time(p->row->when);
	end_condition(p->row->when);
	assert_true(buf_add(&want, buf_view(&p->replies)));
	expect_replies(p, how, buf_view(&want));
	look(p, how);
	if (!c->closed)
		hang_up(c, STREAM_RESET);
	buf_done(&want);
}

static void
play_in_every_manner(const struct play *p)
{
	size_t n = buf_len(&p->says);
	size_t step = n <= SPLIT_ALL ? 1 : n / 50;

	play_once(p, &(struct manner){ .split = n });
	if (p->row->when.n == 0 || find_tls(p->row->when) != NULL)
		play_once(p, &(struct manner){ .joined = true });
	if (p->at_once)
		return;
	for (size_t split = 1; split < n; split += step)
		play_once(p, &(struct manner){ .split = split });
	play_once(p, &(struct manner){ .step = 1 });
}

static void
play(const struct play *p)
{
	if (setjmp(next_play) == 0)
		play_in_every_manner(p);
}

/* --- tests ---------------------------------------------------------------------------------------- */

static void
for_each_play(void (*f)(const struct play *))
{
	for (size_t i = 0; i < table.nrows; i++) {
		struct view states = table.row[i].states, state;

		while (view_split(&states, ' ', &state)) {
			struct play p;

			play_init(&p, &table.row[i], state);
			f(&p);
			play_done(&p);
		}
	}
}

static void
test_every_row_in_every_way(void **state)
{
	renew_world(true);
	for_each_play(play);
	print_message("%u sessions\n", played);
	assert_int_equal(failed, 0);
}

/* Of a play: clause, state and outcome, as a text. */
struct triple {
	char			*text;
	const struct row	*row;
};

static struct triple triples[TABLE_ROWS * 4];
static size_t ntriples;

static void
add_triple(const struct play *p)
{
	struct view stored = p->row->stored;
	struct buf b;

	buf_init(&b, 1u << 20);
	assert_true(ntriples < lengthof(triples));
	assert_true(buf_addf(&b, "%.*s|%.*s|%.*s|%.*s|%.*s", VIEW_ARG(p->row->clause), VIEW_ARG(p->state),
	    VIEW_ARG(p->row->replies), VIEW_ARG(p->after), VIEW_ARG(view_first(stored, view_find(stored, ' ')))));
	triples[ntriples++] = (struct triple){ xstrdup(buf_cstr(&b)), p->row };
	buf_done(&b);
}

/* The same triple again only with a note, and another one, on what it adds. */
static void
check_twins(const struct triple *a, const struct triple *b)
{
	if (!view_eq(a->row->note, b->row->note))
		return;
	print_error("%s:%u and %s:%u: the same clause, state and outcome, and no notes that differ\n",
	    a->row->file, a->row->line, b->row->file, b->row->line);
	failed++;
}

static void
test_three_hundred_triples(void **state)
{
	size_t distinct = 0;

	failed = 0;
	for_each_play(add_triple);
	for (size_t i = 0; i < ntriples; i++) {
		bool first = true;

		for (size_t k = 0; k < i; k++) {
			if (strcmp(triples[i].text, triples[k].text) != 0)
				continue;
			first = false;
			check_twins(&triples[i], &triples[k]);
		}
		distinct += first;
	}
	print_message("%zu rows, %zu dialogues, %zu distinct triples of clause, state and outcome\n",
	    table.nrows, ntriples, distinct);
	for (size_t i = 0; i < ntriples; i++)
		free(triples[i].text);
	assert_int_equal(failed, 0);
	assert_true(distinct >= TRIPLES_MIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_every_row_in_every_way),
		cmocka_unit_test(test_three_hundred_triples),
	};
	const char *top = getenv("top_srcdir");
	char folder[4096];
	int rc;

	(void)snprintf(folder, sizeof(folder), "%s/tests/conform", top != NULL ? top : ".");
	table_load(&table, folder);
	buf_init(&kept.from, 4096);
	buf_init(&kept.to, 1u << 20);
	buf_init(&kept.text, 16u << 20);
	rc = cmocka_run_group_tests_name("conform", tests, NULL, NULL);
	buf_done(&kept.from);
	buf_done(&kept.to);
	buf_done(&kept.text);
	table_done(&table);
	return rc;
}
