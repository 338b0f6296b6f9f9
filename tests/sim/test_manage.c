/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket on a running relay: what is answered, and when. */
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "control/toll.h"
#include "relay/relay_impl.h"
#include "sim/asker.h"
#include "sim/scenario.h"

#include "base/banned.h"

/* The world, its control socket, and one client of it. */
struct scene {
	struct world	*w;
	struct asker	 client;
};

static int
setup(void **state)
{
	struct scene *t = xzalloc(sizeof(*t));

	t->w = scenario_new();
	world_all(t->w, TWIN_REFUSE);		/* what is accepted stays */
	world_start(t->w);
	asker_init(&t->client, t->w);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct scene *t = *state;

	asker_done(&t->client);
	scenario_free(t->w);
	free(t);
	return 0;
}

static void
ask(struct scene *t, const char *command, const char *id)
{
	char line[80];

	(void)snprintf(line, sizeof(line), "%s %s", command, id);
	asker_ask(&t->client, t->w, line);
}

static const char *
said(struct scene *t)
{
	return buf_cstr(&t->client.said);
}

static struct spool_message *
only_message(struct scene *t)
{
	size_t pos = 0;

	return spool_next(relay_spool(t->w->relay), &pos);
}

static void
stall(struct scene *t, bool stalled)
{
	t->w->commit.stalled = stalled;
	if (!stalled)
		twin_worker_kick(&t->w->commit);
}

/* --- what is done is on disk when the answer comes ---------------------------- */

static void
answers_wait_for_the_disk(void **state)
{
	static const char *const command[] = { "hold", "release", "remove" };
	struct scene *t = *state;
	char id[17];

	world_mail(t->w, ALICE, BOB, "one.");
	(void)spool_id_text(id, only_message(t)->id);
	for (size_t i = 0; i < lengthof(command); i++) {
		stall(t, true);
		ask(t, command[i], i % 2 == 0 ? id : "all");
		world_run(t->w, SECONDS(5));
		assert_string_equal(said(t), "");
		stall(t, false);
		world_run(t->w, SECONDS(1));
		assert_true(view_starts(buf_view(&t->client.said), VIEW("ok\ndone: ")));
		assert_true(t->client.closed);
	}
	assert_int_equal(world_queued(t->w), 0);
}

static void
nothing_to_record_is_answered_at_once(void **state)
{
	struct scene *t = *state;
	char id[17];

	world_mail(t->w, ALICE, BOB, "one.");
	(void)spool_id_text(id, only_message(t)->id);
	stall(t, true);
	ask(t, "release", id);
	world_run(t->w, SECONDS(1));
	assert_true(view_starts(buf_view(&t->client.said), VIEW("ok\ndone: ")));
	ask(t, "status", "");
	world_run(t->w, SECONDS(1));
	assert_true(view_starts(buf_view(&t->client.said), VIEW("ok\nversion: ")));
	stall(t, false);
}

/* What was answered outlives SIGKILL; what was not may not. */
static void
an_answered_hold_survives_sigkill(void **state)
{
	struct scene *t = *state;

	world_mail(t->w, ALICE, BOB, "one.");
	ask(t, "hold", "all");
	world_run(t->w, SECONDS(1));
	assert_true(view_starts(buf_view(&t->client.said), VIEW("ok\n")));
	asker_restart(&t->client, t->w, TWIN_KEEP_ALL);
	world_run(t->w, SECONDS(1));
	assert_true((only_message(t)->flags & SPOOL_HELD) != 0);
}

static void
a_disk_that_does_not_answer_is_told(void **state)
{
	struct scene *t = *state;

	world_mail(t->w, ALICE, BOB, "one.");
	stall(t, true);
	ask(t, "hold", "all");
	world_run(t->w, SECONDS(61));
	assert_true(view_starts(buf_view(&t->client.said), VIEW("error ")));
	assert_true(view_search(buf_view(&t->client.said), VIEW("disk")) < buf_len(&t->client.said));
	assert_true(t->client.closed);
	stall(t, false);	/* the late record finds nobody */
	world_run(t->w, SECONDS(1));
}

static void
a_client_that_goes_is_not_awaited(void **state)
{
	struct scene *t = *state;

	world_mail(t->w, ALICE, BOB, "one.");
	stall(t, true);
	ask(t, "hold", "all");
	world_run(t->w, SECONDS(1));
	asker_leave(&t->client);
	world_run(t->w, SECONDS(1));
	stall(t, false);
	world_run(t->w, SECONDS(1));
	assert_true((only_message(t)->flags & SPOOL_HELD) != 0);
}

/* --- while the spool is being read ------------------------------------------- */

static bool
says(struct scene *t, const char *text)
{
	return view_search(buf_view(&t->client.said), view_str(text)) < buf_len(&t->client.said);
}

static void
restart(struct scene *t)
{
	asker_restart(&t->client, t->w, TWIN_KEEP_ALL);
	t->w->reader.stalled = true;
}

/* Until it has found all of them, and they are not in the queue yet. */
static void
read_some(struct scene *t, uint64_t n)
{
	struct spool_stats st;

	t->w->reader.stalled = false;
	t->w->reader.delay_ms = 10;
	twin_worker_kick(&t->w->reader);
	for (unsigned i = 0; i < 1000; i++) {
		world_run(t->w, 1);
		spool_stats(relay_spool(t->w->relay), &st);
		if (st.found == n)
			break;
	}
	assert_true(st.recovering && st.found == n && st.messages == 0);
	t->w->reader.stalled = true;
}

static void
what_is_being_read_is_counted(void **state)
{
	struct scene *t = *state;
	char id[17];

	world_mail(t->w, ALICE, BOB, "one.");
	world_mail(t->w, ALICE, BOB, "two.");
	(void)spool_id_text(id, only_message(t)->id);
	restart(t);
	read_some(t, 2);
	ask(t, "status --json", "");
	world_run(t->w, SECONDS(1));
	assert_true(says(t, "\"messages\":2") && says(t, "\"recovering\":true"));
	ask(t, "queue --json", "");
	world_run(t->w, SECONDS(1));
	assert_true(says(t, "\"shown\":0,\"total\":2,\"recovering\":true"));
	ask(t, "explain", id);
	world_run(t->w, SECONDS(1));
	assert_true(says(t, "error message ") && says(t, "still being read"));
	ask(t, "hold --json", "all");
	world_run(t->w, SECONDS(1));
	assert_true(says(t, "\"messages\":0,\"not_yet_read\":2"));
	t->w->reader.stalled = false;
	twin_worker_kick(&t->w->reader);
	world_run(t->w, SECONDS(5));
	ask(t, "explain", id);
	world_run(t->w, SECONDS(1));
	assert_true(view_starts(buf_view(&t->client.said), VIEW("ok\nid: ")));
	ask(t, "status --json", "");
	world_run(t->w, SECONDS(1));
	assert_true(says(t, "\"messages\":2") && says(t, "\"recovering\":false"));
}

/* --- who may ask little ------------------------------------------------------- */

/* Who connects next; a connection is asked whose it is at once. */
static int64_t connecting_uid;

static bool
peer_cred(int fd, int64_t *uid, int64_t *pid)
{
	*uid = connecting_uid;
	*pid = 1;
	return true;
}

/* Clients of the status socket, of several users. */
struct crowd {
	struct scene	*t;
	struct control	*control;
	struct stream	*end[CONTROL_CONNECTIONS + 8];
	bool		 closed[CONTROL_CONNECTIONS + 8];
	struct buf	 said;		/* to the last one */
	size_t		 n;
};

static void
crowd_hears(void *owner)
{
	struct crowd *c = owner;
	struct stream *s = c->end[c->n - 1];

	assert_true(buf_add(&c->said, stream_input(s)));
	stream_consume(s, stream_input(s).n);
}

static void
crowd_closed(void *owner, const struct stream_end *end)
{
	*(bool *)owner = true;
}

static void
crowd_init(struct crowd *c, struct scene *t)
{
	static const struct control_env env = { .peer_cred = peer_cred, .own_uid = 500 };

	*c = (struct crowd){ .t = t, .control = control_new(t->w->relay, &env) };
	buf_init(&c->said, 1u << 20);
}

static void
crowd_done(struct crowd *c)
{
	for (size_t i = 0; i < c->n; i++)
		stream_close(c->end[i]);
	control_free(c->control);
	buf_done(&c->said);
}

/* One more that is silent; its number. */
static size_t
join(struct crowd *c, int64_t uid)
{
	static const struct stream_limits limits = { 65536, 65536 };
	static const struct stream_events events = { .on_closed = crowd_closed };
	struct stream *ends[2];
	size_t i = c->n++;

	assert_true(i < lengthof(c->end));
	connecting_uid = uid;
	twin_net_pair(&c->t->w->net, ends, &limits);
	c->end[i] = ends[0];
	stream_own(ends[0], &events, &c->closed[i]);
	control_accept(c->control, ends[1], true);
	world_run(c->t->w, 1);
	return i;
}

/* One more that asks; what it hears within a second. */
static const char *
hear(struct crowd *c, int64_t uid, const char *line)
{
	static const struct stream_events events = { .on_input = crowd_hears };
	size_t i = join(c, uid);

	buf_clear(&c->said);
	stream_own(c->end[i], &events, c);
	assert_true(stream_write(c->end[i], view_str(line)));
	world_run(c->t->w, SECONDS(1));
	return buf_cstr(&c->said);
}

static bool
is_answer(const char *said)
{
	return strncmp(said, "ok\n", 3) == 0;
}

/* A user's silent connections give way to his own, and to those of others. */
static void
silent_clients_keep_nobody_out(void **state)
{
	struct scene *t = *state;
	struct crowd c;

	crowd_init(&c, t);
	for (int i = 0; i < 2 * CONTROL_PER_USER; i++)
		(void)join(&c, 1000);
	for (int i = 0; i < CONTROL_PER_USER; i++)
		assert_true(c.closed[i] && !c.closed[i + CONTROL_PER_USER]);
	assert_true(is_answer(hear(&c, 1001, "status\n")));
	assert_true(is_answer(hear(&c, 1000, "status\n")));
	crowd_done(&c);

	crowd_init(&c, t);
	for (int64_t i = 0; i < CONTROL_CONNECTIONS; i++)
		(void)join(&c, 1000 + i);
	assert_false(c.closed[0]);
	assert_true(is_answer(hear(&c, 2000, "status\n")));
	assert_true(c.closed[0] && !c.closed[1]);
	crowd_done(&c);
	ask(t, "status", "");		/* control.sock has room of its own */
	world_run(t->w, SECONDS(1));
	assert_true(view_starts(buf_view(&t->client.said), VIEW("ok\nversion: ")));
}

static void
queue_some(struct scene *t)
{
	for (int i = 0; i < 40; i++)
		world_mail(t->w, ALICE, BOB, "one.");
}

/* Those who have asked are not closed for another; root and the daemon's user are not counted. */
static void
a_user_has_a_few_questions_at_a_time(void **state)
{
	struct scene *t = *state;
	struct crowd c;

	queue_some(t);
	crowd_init(&c, t);
	/* The first is answered, the others wait for their turn. */
	for (int i = 0; i <= CONTROL_PER_USER; i++)
		assert_true(stream_write(c.end[join(&c, 1000)], VIEW("queue\n")));
	world_run(t->w, 1);
	assert_true(c.closed[0] && !c.closed[1]);
	(void)join(&c, 1000);
	assert_true(c.closed[CONTROL_PER_USER + 1]);
	for (int i = 1; i <= CONTROL_PER_USER; i++)
		assert_false(c.closed[i]);
	for (int i = 0; i <= CONTROL_PER_USER; i++) {
		(void)join(&c, 0);
		(void)join(&c, 500);
	}
	for (size_t i = CONTROL_PER_USER + 2; i < c.n; i++)
		assert_false(c.closed[i]);
	assert_true(is_answer(hear(&c, 1001, "status\n")));
	for (int i = 1; i <= CONTROL_PER_USER; i++)
		assert_true(c.closed[i]);
	crowd_done(&c);
}

/* What a user's questions cost is made up for before the next; a command is not lost by it. */
static void
a_user_who_asks_much_waits(void **state)
{
	struct scene *t = *state;
	unsigned waited = 0;
	struct crowd c;

	queue_some(t);
	crowd_init(&c, t);
	for (int i = 0; i < 20; i++) {
		int64_t begin = t->w->loop.mono_ms;
		size_t at = join(&c, 1000);

		assert_true(stream_write(c.end[at], VIEW("queue\n")));
		while (!c.closed[at])
			world_run(t->w, 1);
		waited += (unsigned)(t->w->loop.mono_ms - begin);
	}
	assert_true(waited >= 19 * 60 * 1000 / TOLL_PER_SECOND && waited < 1000);
	crowd_done(&c);
}

/* --- what can't be read now ---------------------------------------------------- */

/* Once its envelope is read and sent. */
static int
fails_in_the_text(void *arg, enum twin_op op, const char *name)
{
	struct scene *t = arg;
	const struct spool_message *m = op == TWIN_READ ? only_message(t) : NULL;

	return m != NULL && m->delivery != NULL && ((const struct session *)m->delivery)->d.sent ? EIO : 0;
}

static int
fails_always(void *arg, enum twin_op op, const char *name)
{
	return op == TWIN_READ ? EIO : 0;
}

/* It rests, is not called uncertain, and who asks is told why; the pause grows. */
static void
rests(struct scene *t, unsigned tries)
{
	const struct spool_message *m = only_message(t);

	assert_non_null(m);
	assert_null(m->delivery);
	assert_int_equal(m->flags & (SPOOL_UNCERTAIN | SPOOL_HELD), 0);
	assert_int_equal(m->attempts, tries);
	assert_true(m->next_ms > loop_wall(&t->w->loop.loop));
	assert_int_equal(world_logged(t->w, "unreadable", "Input/output error"), tries);
	assert_int_equal(world_logged(t->w, "uncertain", ""), 0);
}

static void
read_fails(struct scene *t, int (*how)(void *, enum twin_op, const char *))
{
	struct world *w = t->w;

	mail_big(w, 3u << 20);
	w->fs->cold = true;
	w->fs->sicken = how;
	w->fs->sicken_arg = t;
	world_all(w, TWIN_ACCEPT);
	for (unsigned i = 0; i < 1200 && world_logged(w, "unreadable", "") == 0; i++)
		world_run(w, SECONDS(1));
	world_run(w, SECONDS(1));
}

static void
an_unreadable_text_is_not_uncertain(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;
	unsigned tries;

	read_fails(t, fails_in_the_text);
	rests(t, 1);
	ask(t, "queue", "");
	world_run(w, SECONDS(1));
	assert_true(says(t, "deferred") && says(t, "can't be read now") && says(t, "see to the disk"));
	assert_false(says(t, "uncertain") || says(t, "may then arrive twice"));
	/* 1, 2, 4, 8, 16 and 32 minutes, and the jitter. */
	world_run(w, MINUTES(75));
	tries = world_logged(w, "unreadable", "");
	assert_in_range(tries, 5, 8);
	rests(t, tries);
	/* Nor is it on the disk. */
	asker_restart(&t->client, w, TWIN_KEEP_ALL);
	world_run(w, SECONDS(5));
	rests(t, tries);
	assert_int_equal(world_taken(w), 0);
	w->fs->sicken = NULL;
	assert_true(world_settle(w, HOURS(3)));
	assert_int_equal(world_taken(w), 1);
}

static void
an_unreadable_envelope_rests_too(void **state)
{
	struct scene *t = *state;
	struct world *w = t->w;

	read_fails(t, fails_always);
	rests(t, 1);
	world_run(w, MINUTES(75));
	assert_in_range(world_logged(w, "unreadable", ""), 5, 8);
	w->fs->sicken = NULL;
	ask(t, "queue", "");
	world_run(w, SECONDS(1));
	assert_true(says(t, "can't be read now"));
	assert_true(world_settle(w, HOURS(3)));
	assert_int_equal(world_taken(w), 1);
}

#define C(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		C(answers_wait_for_the_disk),
		C(nothing_to_record_is_answered_at_once),
		C(an_answered_hold_survives_sigkill),
		C(a_disk_that_does_not_answer_is_told),
		C(a_client_that_goes_is_not_awaited),
		C(what_is_being_read_is_counted),
		C(silent_clients_keep_nobody_out),
		C(a_user_has_a_few_questions_at_a_time),
		C(a_user_who_asks_much_waits),
		C(an_unreadable_text_is_not_uncertain),
		C(an_unreadable_envelope_rests_too),
	};

	return scenario_run(tests);
}
