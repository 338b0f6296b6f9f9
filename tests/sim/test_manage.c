/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket on a running relay: what is answered, and when. */
#include <stdio.h>

#include "base/alloc.h"
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

static void
status_clients_keep_nobody_out(void **state)
{
	static const struct stream_limits limits = { 65536, 65536 };
	struct stream *ends[CONTROL_CONNECTIONS + 1][2];
	struct scene *t = *state;

	for (size_t i = 0; i < lengthof(ends); i++) {
		twin_net_pair(&t->w->net, ends[i], &limits);
		control_accept(t->client.control, ends[i][1], true);
	}
	ask(t, "status", "");
	world_run(t->w, SECONDS(1));
	assert_true(view_starts(buf_view(&t->client.said), VIEW("ok\nversion: ")));
	for (size_t i = 0; i < lengthof(ends); i++)
		stream_close(ends[i][0]);
	world_run(t->w, SECONDS(1));
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
		C(status_clients_keep_nobody_out),
	};

	return scenario_run(tests);
}
