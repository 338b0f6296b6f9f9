/* SPDX-License-Identifier: BSD-2-Clause */
/* Stragglers: what is alive in the oldest segment goes forward, and the segment is released. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "unit/spool/world.h"

#include "base/banned.h"

#define NAME 64

static uint64_t
moved(const struct pair *p)
{
	struct spool_stats st;

	spool_stats(p->w.spool, &st);
	return st.moved;
}

static void
first_name(char out[NAME], const struct pair *p)
{
	(void)snprintf(out, NAME, "%s", twin_fs_name(&p->fs, "log", 0));
}

/* Mail that comes and goes: three a segment. */
static void
pass_through(struct pair *p, unsigned n)
{
	struct commit c;

	for (unsigned i = 0; i < n; i++) {
		world_accept(&p->w, 300000, 1000 + i, &c);
		assert_int_equal(c.e.kind, ERR_NONE);
		world_finish(&p->w, c.id);
		world_run(&p->w, 1200);
	}
}

/* The same until a message is moved, and not an instant longer: c may still be under way. */
static void
pass_until_moved(struct pair *p, struct commit *c)
{
	p->w.worker.delay_ms = 1;
	for (unsigned i = 0; moved(p) == 0; i++) {
		assert_true(i < 30);
		world_commit(&p->w, world_fill(&p->w, 300000, 1000 + i, 1), c);
		for (unsigned ms = 0; ms < 1200 && moved(p) == 0; ms++) {
			if (c->calls != 0 && spool_find(p->w.spool, c->id) != NULL)
				world_finish(&p->w, c->id);
			world_run(&p->w, 1);
		}
	}
}

/* The same until a pass wants to read its first message, and can't. */
static void
pass_until_it_begins(struct pair *p)
{
	p->fs.cold = true;
	p->w.reader.stalled = true;
	pass_through(p, 14);
	assert_true(twin_fs_count(&p->fs, "log") >= 5);
	assert_int_equal(moved(p), 0);
}

static void
let_it_go(struct pair *p)
{
	p->w.reader.stalled = false;
	twin_worker_kick(&p->w.reader);
}

/* --- what is moved ------------------------------------------------------------------ */

static void
test_moved(void **state)
{
	struct commit c[3];
	char first[NAME];
	struct pair p;

	setup(&p);
	first_name(first, &p);
	world_accept(&p.w, 500, 1, &c[0]);
	world_accept(&p.w, 60000, 2, &c[1]);		/* one record, nearly */
	world_accept(&p.w, 150000, 3, &c[2]);
	pass_through(&p, 40);
	assert_false(twin_fs_has(&p.fs, first));
	assert_true(twin_fs_count(&p.fs, "log") <= 6);
	assert_true(moved(&p) >= 3);
	for (unsigned run = 0; run < 2; run++) {
		assert_true(world_has(&p.w, c[0].id, 500, 1));
		assert_true(world_has(&p.w, c[1].id, 60000, 2));
		assert_true(world_has(&p.w, c[2].id, 150000, 3));
		world_reopen(&p.w);
		assert_int_equal(p.w.ntold, 3);
	}
	assert_int_equal(p.w.troubles, 0);
	for (unsigned i = 0; i < 3; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 0);
	teardown(&p);
}

/* Over several segments; never more than a piece of it in memory and under way. */
static void
test_long_message(void **state)
{
	struct spool_stats st;
	struct commit c;
	char first[NAME];
	struct pair p;

	setup(&p);
	first_name(first, &p);
	world_accept(&p.w, 3500000, 1, &c);
	pass_through(&p, 60);
	spool_stats(p.w.spool, &st);
	assert_false(twin_fs_has(&p.fs, first));
	assert_true(st.moved >= 1);
	assert_true(st.log_bytes < 14u << 20);
	assert_true(world_has(&p.w, c.id, 3500000, 1));
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 1);
	assert_true(world_has(&p.w, c.id, 3500000, 1));
	teardown(&p);
}

/* Mail on its way through, or all of it alive: nothing is copied. */
static void
test_not_worth_it(void **state)
{
	struct commit c[24], d;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 500, 1, &d);
	pass_through(&p, 8);
	assert_int_equal(moved(&p), 0);
	world_finish(&p.w, d.id);
	world_run(&p.w, 3000);
	accept_many(&p, c, 24, 300000);
	for (unsigned i = 1; i < 24; i += 3)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 5000);
	assert_int_equal(moved(&p), 0);
	for (unsigned i = 2; i < 24; i += 3)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 5000);
	assert_true(moved(&p) > 0);
	for (unsigned i = 0; i < 24; i += 3)
		assert_true(world_has(&p.w, c[i].id, 300000, i));
	teardown(&p);
}

/* The limit is near: then earlier, so that mail is taken again. */
static void
test_limit(void **state)
{
	struct commit c[9], d;
	struct pair p;

	twin_fs_init(&p.fs);
	world_init(&p.w, &p.fs);
	p.w.params.bytes_max = 3u << 20;
	world_open(&p.w);
	world_run(&p.w, 50);
	accept_many(&p, c, 9, 300000);
	for (unsigned i = 1; i < 9; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 5000);
	assert_int_equal(moved(&p), 1);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	world_accept(&p.w, 300000, 10, &d);
	assert_int_equal(d.e.kind, ERR_NONE);
	assert_true(world_has(&p.w, c[0].id, 300000, 0));
	teardown(&p);
}

/* --- how it stands ------------------------------------------------------------------------ */

static void
update(struct pair *p, spool_id id, uint32_t rcpt, enum spool_rcpt_state state, uint16_t code,
    const char *text)
{
	struct spool_result r = { .rcpt = rcpt, .state = state, .code = code, .status = "4.0.0",
		.text = view_str(text) };
	struct spool_update u = { .result = &r, .nresult = 1, .attempts = 7, .next_ms = 5000,
		.flags = SPOOL_HELD, .endpoint = "relay:587" };

	spool_update(p->w.spool, spool_find(p->w.spool, id), &u, NULL, NULL);
}

static void
nothing(void *owner)
{
}

static void
check_state(struct pair *p, spool_id id, uint16_t code)
{
	struct spool_message *m = spool_find(p->w.spool, id);

	assert_int_equal(m->attempts, 7);
	assert_int_equal(m->next_ms, 5000);
	assert_int_equal(m->flags & (SPOOL_HELD | SPOOL_UNCERTAIN), SPOOL_HELD);
	assert_int_equal(spool_rcpts(m)[0].state, SPOOL_DELIVERED);
	assert_int_equal(spool_rcpts(m)[0].code, 250);
	assert_int_equal(spool_rcpts(m)[1].state, SPOOL_QUEUED);
	assert_int_equal(spool_rcpts(m)[1].code, 0);
	assert_int_equal(spool_rcpts(m)[2].state, SPOOL_QUEUED);
	assert_int_equal(spool_rcpts(m)[2].code, code);
}

static void
check_stands(struct pair *p, spool_id id, uint16_t code, const char *text)
{
	const struct spool_result *r;
	struct spool_reader *reader;
	const char *endpoint;
	size_t n;

	check_state(p, id, code);
	reader = spool_reader_new(p->w.spool, spool_find(p->w.spool, id), nothing, NULL);
	while (spool_reader_outcome(reader, &r, &n, &endpoint, NULL) == READER_WAIT)
		world_run(&p->w, 5);
	assert_int_equal(n, 2);
	assert_string_equal(endpoint, "relay:587");
	assert_true(view_eq(r[0].text, VIEW("taken")));
	assert_true(view_eq(r[1].text, view_str(text)));
	spool_reader_free(reader);
}

static void
check_state_moves(size_t size)
{
	struct commit c;
	char first[NAME];
	struct pair p;

	setup(&p);
	first_name(first, &p);
	world_commit(&p.w, world_fill(&p.w, size, 1, 3), &c);
	world_run(&p.w, 20);
	update(&p, c.id, 0, SPOOL_DELIVERED, 250, "taken");
	world_run(&p.w, 20);
	update(&p, c.id, 2, SPOOL_QUEUED, 451, "later");
	world_run(&p.w, 20);
	pass_through(&p, 16);
	assert_int_equal(moved(&p), 1);
	assert_false(twin_fs_has(&p.fs, first));
	check_stands(&p, c.id, 451, "later");
	world_reopen(&p.w);
	check_stands(&p, c.id, 451, "later");
	assert_true(world_has(&p.w, c.id, size, 1));
	teardown(&p);
}

static void
test_state_moves(void **state)
{
	check_state_moves(500);
	check_state_moves(200000);
}

/* The copy is there, its outcome is torn: the message stands as before. */
static void
test_torn_outcome(void **state)
{
	char last[NAME];
	uint64_t size, at = 0;
	const uint8_t *bytes;
	struct commit c, passing;
	struct pair p, after;

	setup(&p);
	world_commit(&p.w, world_fill(&p.w, 500, 1, 3), &c);
	world_run(&p.w, 20);
	update(&p, c.id, 0, SPOOL_DELIVERED, 250, "taken");
	update(&p, c.id, 2, SPOOL_QUEUED, 451, "later");
	p.w.reader.stalled = true;		/* so that nothing is released */
	pass_until_moved(&p, &passing);
	(void)snprintf(last, NAME, "%s", twin_fs_name(&p.fs, "log", twin_fs_count(&p.fs, "log") - 1));
	bytes = twin_fs_content(&p.fs, last, &size);
	for (uint64_t i = 0; i + 64 <= size; i += 64)
		if (bytes[i] == '@' && bytes[i + 1] == 'U')
			at = i;
	assert_int_not_equal(at, 0);
	twin_fs_crash(&after.fs, &p.fs, TWIN_KEEP_ALL, 1);
	twin_fs_damage(&after.fs, last, at + 70);
	world_start(&after.w, &after.fs);
	assert_int_equal(after.w.troubles, 0);
	assert_int_equal(after.w.ntold, 1);
	check_state(&after, c.id, 451);		/* the texts went with the old segment */
	teardown(&after);
	let_it_go(&p);
	teardown(&p);
}

/* Texts are looked for in older records: not in a segment that is being released. */
static void
test_outcome_behind(void **state)
{
	struct commit c, passing;
	char first[NAME];
	struct pair p;

	setup(&p);
	first_name(first, &p);
	world_commit(&p.w, world_fill(&p.w, 500, 1, 3), &c);
	world_run(&p.w, 20);
	update(&p, c.id, 0, SPOOL_DELIVERED, 250, "taken");
	update(&p, c.id, 2, SPOOL_QUEUED, 451, "later");
	p.w.reader.stalled = true;
	pass_until_moved(&p, &passing);
	assert_true(twin_fs_has(&p.fs, first));
	check_stands(&p, c.id, 451, "later");
	let_it_go(&p);
	world_run(&p.w, 1000);
	assert_false(twin_fs_has(&p.fs, first));
	check_stands(&p, c.id, 451, "later");
	teardown(&p);
}

/* An outcome that comes while the copy is made counts, wherever it stands. */
static void
test_update_meanwhile(void **state)
{
	for (int ms = 0; ms < 80; ms += 2) {
		struct commit c;
		struct pair p;

		setup(&p);
		world_commit(&p.w, world_fill(&p.w, 150000, 1, 3), &c);
		world_run(&p.w, 20);
		update(&p, c.id, 0, SPOOL_DELIVERED, 250, "taken");
		update(&p, c.id, 2, SPOOL_QUEUED, 451, "later");
		pass_until_it_begins(&p);
		p.w.reader.delay_ms = p.w.worker.delay_ms = 5;
		let_it_go(&p);
		world_run(&p.w, ms);
		update(&p, c.id, 2, SPOOL_QUEUED, 452, "even later");
		world_run(&p.w, 3000);
		assert_int_equal(moved(&p), 1);
		check_stands(&p, c.id, 452, "even later");
		world_kill(&p.w);
		world_open(&p.w);
		world_run(&p.w, 1000);
		check_stands(&p, c.id, 452, "even later");
		teardown(&p);
	}
}

/* --- at the same time ------------------------------------------------------------------------ */

/* A message that ends while it is copied, at any step: it does not come back. */
static void
check_ends(size_t size, int step_ms, enum twin_keep keep)
{
	for (int ms = 0; ms < 90; ms += step_ms) {
		struct twin_fs image;
		struct commit c;
		struct world w;
		struct pair p;

		setup(&p);
		world_accept(&p.w, size, 1, &c);
		pass_until_it_begins(&p);
		p.w.reader.delay_ms = p.w.worker.delay_ms = 5;
		let_it_go(&p);
		world_run(&p.w, ms);
		world_finish(&p.w, c.id);
		world_run(&p.w, 1500);
		twin_fs_crash(&image, &p.fs, keep, (uint64_t)ms);
		world_start(&w, &image);
		assert_int_equal(w.ntold, 0);
		world_end(&w);
		world_run(&p.w, 3000);
		assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
		world_close(&p.w);
		world_open(&p.w);
		world_run(&p.w, 1000);
		assert_int_equal(p.w.ntold, 0);
		teardown(&p);
	}
}

static void
test_ends_meanwhile(void **state)
{
	check_ends(500, 1, TWIN_KEEP_SYNCED);
	check_ends(200000, 3, TWIN_KEEP_ALL);
}

/* Who reads at the old place goes on there; the segment waits for that. */
static void
test_read_meanwhile(void **state)
{
	struct spool_reader *r;
	char first[NAME];
	struct buf text, want;
	struct commit c;
	struct pair p;
	struct view v;
	enum reader_result rr;

	setup(&p);
	first_name(first, &p);
	world_accept(&p.w, 400000, 1, &c);
	r = spool_reader_new(p.w.spool, spool_find(p.w.spool, c.id), nothing, NULL);
	assert_int_equal(spool_reader_next(r, &v, NULL), READER_DATA);
	buf_init(&text, 1u << 20);
	buf_init(&want, 1u << 20);
	assert_true(buf_add(&text, v));
	pass_through(&p, 16);
	assert_int_equal(moved(&p), 1);
	assert_true(twin_fs_has(&p.fs, first));
	assert_true(world_has(&p.w, c.id, 400000, 1));
	while ((rr = spool_reader_next(r, &v, NULL)) == READER_DATA)
		assert_true(buf_add(&text, v));
	assert_int_equal(rr, READER_END);
	world_text(&want, 400000, 1);
	assert_true(view_eq(buf_view(&text), buf_view(&want)));
	spool_reader_free(r);
	world_run(&p.w, 1000);
	assert_false(twin_fs_has(&p.fs, first));
	assert_true(world_has(&p.w, c.id, 400000, 1));
	buf_done(&text);
	buf_done(&want);
	teardown(&p);
}

/* Many small ones: mail that comes meanwhile waits for a few writes, not for all of them. */
static void
test_in_pieces(void **state)
{
	struct commit c[150], d;
	uint64_t syncs;
	struct pair p;

	setup(&p);
	accept_many(&p, c, 150, 6000);
	pass_until_it_begins(&p);
	p.fs.cold = false;
	p.w.worker.delay_ms = 10;
	syncs = p.fs.count[TWIN_SYNC];
	let_it_go(&p);
	world_run(&p.w, 5);
	world_commit(&p.w, world_fill(&p.w, 500, 200, 1), &d);
	world_run(&p.w, 30);
	assert_int_equal(d.calls, 1);
	assert_true(moved(&p) > 0 && moved(&p) < 150);
	world_run(&p.w, 3000);
	assert_int_equal(moved(&p), 150);
	assert_true(p.fs.count[TWIN_SYNC] - syncs <= 14);	/* and not one for each */
	for (unsigned i = 0; i < 150; i++)
		assert_true(world_has(&p.w, c[i].id, 6000, i));
	world_finish(&p.w, d.id);
	teardown(&p);
}

/* A long one: no more of it waits to be written than a piece. */
static void
test_long_in_pieces(void **state)
{
	struct commit c, d;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 3500000, 1, &c);
	p.fs.cold = true;
	p.w.reader.stalled = true;
	pass_through(&p, 20);
	p.fs.cold = false;
	p.w.worker.delay_ms = 10;
	let_it_go(&p);
	world_run(&p.w, 5);
	world_commit(&p.w, world_fill(&p.w, 500, 200, 1), &d);
	world_run(&p.w, 40);
	assert_int_equal(d.calls, 1);
	assert_int_equal(moved(&p), 0);
	world_run(&p.w, 3000);
	assert_int_equal(moved(&p), 1);
	assert_true(world_has(&p.w, c.id, 3500000, 1));
	teardown(&p);
}

/* A stop in the middle of it. */
static void
test_stop_meanwhile(void **state)
{
	for (int ms = 0; ms < 60; ms += 4) {
		struct commit c, d;
		struct pair p;

		setup(&p);
		world_accept(&p.w, 400000, 1, &c);
		world_accept(&p.w, 400, 2, &d);
		pass_until_it_begins(&p);
		p.w.reader.delay_ms = p.w.worker.delay_ms = 5;
		let_it_go(&p);
		world_run(&p.w, ms);
		world_close(&p.w);
		world_open(&p.w);
		world_run(&p.w, 1000);
		assert_int_equal(p.w.ntold, 2);
		assert_true(world_has(&p.w, c.id, 400000, 1));
		assert_true(world_has(&p.w, d.id, 400, 2));
		assert_int_equal(p.w.troubles, 0);
		teardown(&p);
	}
}

/* --- failures ----------------------------------------------------------------------------------- */

/* A sync fails: the copies of that range are nothing, the old place holds, and it is tried again. */
static void
check_sync_fails(size_t size, uint64_t after)
{
	char first[NAME];
	struct commit c;
	struct pair p;

	setup(&p);
	first_name(first, &p);
	world_accept(&p.w, size, 1, &c);
	pass_until_it_begins(&p);
	twin_fs_fail(&p.fs, TWIN_SYNC, after, 1, EIO);
	let_it_go(&p);
	world_run(&p.w, 2000);
	assert_int_equal(p.w.troubles, 1);
	assert_true(world_has(&p.w, c.id, size, 1));
	world_run(&p.w, 30000);
	assert_int_equal(moved(&p), 1);
	assert_false(twin_fs_has(&p.fs, first));
	world_kill(&p.w);
	world_open(&p.w);
	world_run(&p.w, 1000);
	assert_true(world_has(&p.w, c.id, size, 1));
	assert_int_equal(p.w.troubles, 1);
	teardown(&p);
}

static void
test_sync_fails(void **state)
{
	check_sync_fails(500, 0);
	check_sync_fails(400000, 0);
}

/* It is damaged: it stays in the queue as that, a copy is in quarantine, and the segment goes. */
static void
check_damaged(size_t size, uint64_t at)
{
	struct commit c, good;
	char first[NAME];
	struct err e;
	struct buf text;
	struct pair p;
	uint32_t nrcpt;

	setup(&p);
	first_name(first, &p);
	world_accept(&p.w, size, 1, &c);
	world_accept(&p.w, 700, 2, &good);
	twin_fs_damage(&p.fs, first, at);
	pass_through(&p, 20);
	assert_false(twin_fs_has(&p.fs, first));
	assert_int_equal(moved(&p), 2);
	assert_int_equal(twin_fs_count(&p.fs, "quarantine"), 2);	/* and its note */
	assert_true(spool_find(p.w.spool, c.id)->flags & SPOOL_DAMAGED);
	assert_true(world_has(&p.w, good.id, 700, 2));
	world_reopen(&p.w);
	assert_int_equal(p.w.ntold, 2);
	assert_int_equal(spool_find(p.w.spool, c.id)->size, size);
	buf_init(&text, 1u << 20);
	assert_int_equal(world_read(&p.w, c.id, &text, &nrcpt, &e), READER_BAD);
	assert_int_equal(e.kind, ERR_DAMAGED);
	assert_int_equal(buf_len(&text), 0);
	buf_done(&text);
	/* Once more; then the administrator removes it. */
	pass_through(&p, 20);
	assert_int_equal(twin_fs_count(&p.fs, "quarantine"), 2);
	world_finish(&p.w, c.id);
	world_finish(&p.w, good.id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	teardown(&p);
}

static void
test_damaged(void **state)
{
	check_damaged(500, 700);
	check_damaged(200000, 100000);
	check_damaged(70000, 700);
}

/* The copy in quarantine can't be made: nothing is given up. */
static void
test_damaged_not_copied(void **state)
{
	struct commit c;
	char first[NAME];
	struct pair p;

	setup(&p);
	first_name(first, &p);
	world_accept(&p.w, 200000, 1, &c);
	twin_fs_damage(&p.fs, first, 100000);
	pass_until_it_begins(&p);
	twin_fs_fail(&p.fs, TWIN_CREATE, 0, 2, ENOSPC);
	let_it_go(&p);
	world_run(&p.w, 2000);
	assert_int_equal(moved(&p), 0);
	assert_true(twin_fs_has(&p.fs, first));
	world_run(&p.w, 30000);
	assert_int_equal(moved(&p), 1);
	assert_false(twin_fs_has(&p.fs, first));
	assert_true(twin_fs_count(&p.fs, "quarantine") >= 2);
	teardown(&p);
}

/* It can't be read now: that is no damage, and nothing is guessed. */
static void
test_unreadable(void **state)
{
	struct commit c;
	char first[NAME];
	struct pair p;

	setup(&p);
	first_name(first, &p);
	world_accept(&p.w, 200000, 1, &c);
	pass_until_it_begins(&p);
	twin_fs_fail(&p.fs, TWIN_READ, 0, 3, EIO);
	let_it_go(&p);
	world_run(&p.w, 2000);
	assert_true(twin_fs_has(&p.fs, first));
	assert_int_equal(twin_fs_count(&p.fs, "quarantine"), 0);
	assert_false(spool_find(p.w.spool, c.id)->flags & SPOOL_DAMAGED);
	world_run(&p.w, 60000);
	assert_int_equal(moved(&p), 1);
	assert_true(world_has(&p.w, c.id, 200000, 1));
	teardown(&p);
}

/* --- space ---------------------------------------------------------------------------------------- */

/* The disk is full, and a copy would take the spare that outcomes need: it waits. */
static void
test_reserve(void **state)
{
	struct commit c[40];
	struct pair p;
	unsigned n = 0;

	setup(&p);
	world_accept(&p.w, 400000, 99, &c[39]);
	pass_until_it_begins(&p);
	/* Fill the current segment, and the disk behind the one spare. */
	while (n < 12)
		world_accept(&p.w, 60000, n, &c[n]), n++;
	assert_int_equal(twin_fs_count(&p.fs, "spare"), 1);
	p.fs.space = twin_fs_used(&p.fs);
	p.w.reader.stalled = false;
	twin_worker_kick(&p.w.reader);
	world_run(&p.w, 3000);
	assert_int_equal(moved(&p), 0);
	assert_int_equal(twin_fs_count(&p.fs, "spare"), 1);
	/* Whatever ends finds its room. */
	for (unsigned i = 0; i < n; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 3000);
	assert_true(world_has(&p.w, c[39].id, 400000, 99));
	p.fs.space = 0;
	world_run(&p.w, 30000);
	assert_true(moved(&p) >= 1);
	assert_true(world_has(&p.w, c[39].id, 400000, 99));
	teardown(&p);
}

/* The disk is full, and there is room in the current segment: the old one becomes a spare, mail is taken. */
static void
test_full_disk_heals(void **state)
{
	struct commit c[7], d;
	struct pair p;

	setup(&p);
	p.fs.space = twin_fs_used(&p.fs) + 2 * SEGMENT;
	accept_many(&p, c, 7, 300000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 3);
	for (unsigned i = 1; i < 7; i++)
		world_finish(&p.w, c[i].id);
	world_run(&p.w, 20000);
	assert_int_equal(moved(&p), 1);
	assert_int_equal(p.w.health, SPOOL_OK);
	for (unsigned i = 0; i < 5; i++) {
		world_accept(&p.w, 300000, 10, &d);
		assert_int_equal(d.e.kind, ERR_NONE);
		world_finish(&p.w, d.id);
		world_run(&p.w, 2000);
	}
	assert_true(world_has(&p.w, c[0].id, 300000, 0));
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_long_message),
		cmocka_unit_test(test_not_worth_it),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_state_moves),
		cmocka_unit_test(test_torn_outcome),
		cmocka_unit_test(test_outcome_behind),
		cmocka_unit_test(test_update_meanwhile),
		cmocka_unit_test(test_ends_meanwhile),
		cmocka_unit_test(test_read_meanwhile),
		cmocka_unit_test(test_in_pieces),
		cmocka_unit_test(test_long_in_pieces),
		cmocka_unit_test(test_stop_meanwhile),
		cmocka_unit_test(test_sync_fails),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_damaged_not_copied),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_full_disk_heals),
	};

	return cmocka_run_group_tests_name("compact", tests, NULL, NULL);
}
