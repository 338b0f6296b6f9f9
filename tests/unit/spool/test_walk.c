/* SPDX-License-Identifier: BSD-2-Clause */
/* A spool seen without the daemon: nothing is changed, nothing is missed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "spool/record.h"
#include "spool/walk.h"
#include "unit/spool/world.h"

#include "base/banned.h"

static bool
put(void *owner, struct view v)
{
	return buf_add(owner, v);
}

static void
check_message(struct walk *w, spool_id id, size_t size, uint64_t seed)
{
	const struct spool_message *m = walk_find(w, id);
	const struct envelope *env = NULL;
	struct buf text, stored;
	struct err e;

	assert_non_null(m);
	assert_int_equal(m->size, size);
	assert_int_equal(walk_envelope(w, m, &env, &e), 0);
	assert_true(view_eq(env->from, VIEW("alice@example.com")));
	assert_int_equal(env->size, size);
	buf_init(&text, 1u << 20);
	buf_init(&stored, 1u << 20);
	world_text(&text, size, seed);
	assert_int_equal(walk_text(w, m, put, &stored, &e), 0);
	assert_true(view_eq(buf_view(&text), buf_view(&stored)));
	buf_done(&text);
	buf_done(&stored);
}

static void
test_walk(void **state)
{
	static const size_t size[] = { 0, 400, 65500, 200000, 300000, 400000, 500000 };
	struct commit c[lengthof(size)];
	struct walk_totals totals;
	struct twin_fs fs;
	struct world w;
	struct walk *walk;
	struct err e;
	uint64_t ops;

	twin_fs_init(&fs);
	world_init(&w, &fs);
	world_open(&w);
	for (unsigned i = 0; i < lengthof(size); i++)
		world_accept(&w, size[i], i, &c[i]);
	world_finish(&w, c[1].id);
	world_run(&w, 2000);
	ops = fs.ops;
	for (unsigned run = 0; run < 2; run++) {	/* beside the daemon; without it */
		assert_int_equal(walk_new(&walk, &fs.fs, &e), 0);
		walk_totals(walk, &totals);
		assert_int_equal(totals.messages, lengthof(size) - 1);
		assert_int_equal(totals.damaged + totals.unreadable, 0);
		assert_int_equal(totals.segments, twin_fs_count(&fs, "log"));
		assert_null(walk_find(walk, c[1].id));
		assert_true(walk_message(walk, 0)->id == c[0].id);
		assert_null(walk_message(walk, lengthof(size) - 1));
		for (unsigned i = 0; i < lengthof(size); i++)
			if (i != 1)
				check_message(walk, c[i].id, size[i], i);
		walk_free(walk);
		assert_int_equal(fs.ops, ops);
		if (run == 0)
			world_close(&w);
		ops = fs.ops;
	}
	twin_fs_damage(&fs, twin_fs_name(&fs, "log", 0), 5000);
	assert_int_equal(walk_new(&walk, &fs.fs, &e), 0);
	walk_totals(walk, &totals);
	assert_int_equal(totals.damaged, 1);
	assert_int_equal(walk_fault(walk, 0)->kind, WALK_RANGE);
	assert_null(walk_fault(walk, 1));
	walk_free(walk);
	world_done(&w);
	assert_int_equal(twin_fs_open_files(&fs), 0);
	twin_fs_done(&fs);
}

static void
test_no_spool(void **state)
{
	struct twin_fs fs;
	struct walk *walk;
	struct err e;

	twin_fs_init(&fs);
	assert_int_equal(walk_new(&walk, &fs.fs, &e), -1);
	assert_int_equal(fs.ops, 0);
	twin_fs_done(&fs);
}

/* --- damage ------------------------------------------------------------------ */

static struct walk *
walk_disk(struct fs *fs, struct walk_totals *totals)
{
	struct walk *walk;
	struct err e;

	if (walk_new(&walk, fs, &e) < 0)
		fail_msg("%s", e.text);
	assert_true(walk_check(walk));
	walk_totals(walk, totals);
	return walk;
}

/* Where the message's text stands in the first segment. */
static uint64_t
find_text(const struct twin_fs *fs, size_t size, uint64_t seed, uint64_t skip)
{
	uint64_t room = 0;
	const uint8_t *content = twin_fs_content(fs, twin_fs_name(fs, "log", 0), &room);
	struct buf text;
	size_t at;

	buf_init(&text, 1u << 20);
	world_text(&text, size, seed);
	at = view_search(view_of(content, (size_t)room), view_first(view_from(buf_view(&text), skip), 1000));
	buf_done(&text);
	assert_true(at < room);
	return at;
}

/* Every damaged record is found, where it is, and so is each message that misses one. */
static void
test_check(void **state)
{
	struct pair p;
	struct walk_totals totals;
	const struct walk_fault *f;
	struct commit c[3];
	struct walk *walk;
	uint64_t at;

	setup(&p);
	world_accept(&p.w, 200000, 1, &c[0]);
	world_accept(&p.w, 3000, 2, &c[1]);
	world_accept(&p.w, 3000, 3, &c[2]);
	walk_free(walk_disk(&p.fs.fs, &totals));
	assert_int_equal(totals.damaged + totals.unreadable + totals.incomplete, 0);
	at = find_text(&p.fs, 200000, 1, 100000);
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0), at);
	walk = walk_disk(&p.fs.fs, &totals);
	assert_int_equal(totals.damaged, 1);
	assert_int_equal(totals.incomplete, 1);
	assert_int_equal(totals.messages, 3);
	f = walk_fault(walk, 0);
	assert_int_equal(f->kind, WALK_RANGE);
	assert_true(f->at <= at && at < f->at + f->length && f->message == c[0].id);
	f = walk_fault(walk, 1);
	assert_true(f->kind == WALK_MESSAGE && f->message == c[0].id && f->why[0] != '\0');
	assert_null(walk_fault(walk, 2));
	walk_free(walk);
	/* A whole message in one record: it is not even known to be queued. */
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0), find_text(&p.fs, 3000, 2, 0));
	walk = walk_disk(&p.fs.fs, &totals);
	assert_int_equal(totals.damaged, 2);
	assert_int_equal(totals.messages, 2);
	assert_true(walk_fault(walk, 1)->message == c[1].id);
	walk_free(walk);
	teardown(&p);
}

/* A start that is lost, with and without a later segment that knows the nonce. */
static void
test_lost_start(void **state)
{
	struct pair p;
	struct walk_totals totals;
	struct commit c;

	setup(&p);
	world_accept(&p.w, 3000, 1, &c);
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0), 100);
	walk_free(walk_disk(&p.fs.fs, &totals));
	assert_int_equal(totals.unreadable, 1);
	assert_int_equal(totals.messages, 0);
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0), 100);	/* inverted back */
	world_reopen(&p.w);
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0), 100);
	walk_free(walk_disk(&p.fs.fs, &totals));
	assert_int_equal(totals.unreadable, 0);
	assert_int_equal(totals.damaged, 1);
	assert_int_equal(totals.messages, 1);
	teardown(&p);
}

static void
test_last_answer(void **state)
{
	struct spool_result r = { .rcpt = 1, .state = SPOOL_QUEUED, .code = 451, .status = "4.7.1",
		.text = VIEW("come back later") };
	struct spool_update with = { .result = &r, .nresult = 1, .attempts = 1, .endpoint = "h:587" };
	struct spool_update without = { .attempts = 2, .endpoint = "" };
	struct walk_totals totals;
	struct pair p;
	struct commit c;
	struct walk *walk;
	const uint8_t *content;
	uint64_t room = 0;
	char text[100];

	setup(&p);
	world_commit(&p.w, world_fill(&p.w, 100, 1, 3), &c);
	world_run(&p.w, 20);
	walk = walk_disk(&p.fs.fs, &totals);
	walk_last_answer(walk, walk_find(walk, c.id), text, sizeof(text));
	assert_string_equal(text, "");
	walk_free(walk);
	spool_update(p.w.spool, spool_find(p.w.spool, c.id), &with, NULL, NULL);
	world_run(&p.w, 2000);		/* until it is synced */
	spool_update(p.w.spool, spool_find(p.w.spool, c.id), &without, NULL, NULL);
	world_run(&p.w, 20);
	walk = walk_disk(&p.fs.fs, &totals);
	assert_int_equal(walk_find(walk, c.id)->attempts, 2);
	walk_last_answer(walk, walk_find(walk, c.id), text, sizeof(text));
	assert_string_equal(text, "4.7.1 come back later");
	walk_free(walk);
	/* A record that fails its check says nothing. */
	content = twin_fs_content(&p.fs, twin_fs_name(&p.fs, "log", 0), &room);
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0),
	    view_search(view_of(content, (size_t)room), VIEW("come back")));
	walk = walk_disk(&p.fs.fs, &totals);
	assert_int_equal(totals.damaged, 1);
	walk_last_answer(walk, walk_find(walk, c.id), text, sizeof(text));
	assert_string_equal(text, "");
	walk_free(walk);
	teardown(&p);
}

/* --- beside a daemon that is at work ----------------------------------------- */

/* The spool's files, with something that happens in the middle of a walk. */
struct spy {
	struct fs	 fs;
	struct twin_fs	*real;
	unsigned	 reads, lists;
	void		(*on_read)(struct spy *, uint8_t *p, uint64_t at, uint64_t n);
	bool		 hide_after_first;	/* every second listing misses a name */
	uint64_t	 hidden_at;		/* test: a record that is not there yet */
	struct pair	*pair;
	spool_id	 id;
};

static struct fs *
real_of(struct fs *f)
{
	return &container_of(f, struct spy, fs)->real->fs;
}

static int
spy_open(struct fs *f, const char *name, enum fs_mode m, struct err *e)
{
	assert_int_equal(m, FS_READ);
	return fs_open(real_of(f), name, m, e);
}

static void
spy_close(struct fs *f, int fd)
{
	fs_close(real_of(f), fd);
}

static int64_t
spy_read(struct fs *f, int fd, void *p, size_t n, uint64_t at, struct err *e)
{
	struct spy *spy = container_of(f, struct spy, fs);
	int64_t got = fs_read(real_of(f), fd, p, n, at, e);

	spy->reads++;
	if (got > 0 && spy->on_read != NULL)
		spy->on_read(spy, p, at, (uint64_t)got);
	return got;
}

static int64_t
spy_size(struct fs *f, int fd, struct err *e)
{
	return fs_size(real_of(f), fd, e);
}

static bool
stop_at_once(void *arg, const char *name)
{
	return false;
}

static int
spy_list(struct fs *f, const char *dir, bool (*visit)(void *, const char *), void *arg, struct err *e)
{
	struct spy *spy = container_of(f, struct spy, fs);

	if (spy->lists++ % 2 == 1 && spy->hide_after_first)
		return fs_list(real_of(f), dir, stop_at_once, arg, e);
	return fs_list(real_of(f), dir, visit, arg, e);
}

static const struct fs_ops spy_ops = {
	.open = spy_open, .close = spy_close, .read = spy_read, .size = spy_size, .list = spy_list,
};

/* The oldest segment is given back while it is being read. */
static void
release_head(struct spy *spy, uint8_t *at, uint64_t offset, uint64_t n)
{
	size_t before = twin_fs_count(&spy->pair->fs, "log");

	if (spy->reads != 2)
		return;
	world_finish(&spy->pair->w, spy->id);
	world_run(&spy->pair->w, 5000);
	assert_true(twin_fs_count(&spy->pair->fs, "log") < before);
}

static void
test_released_meanwhile(void **state)
{
	struct walk_totals totals;
	struct commit c[2];
	struct pair p;
	struct spy spy = { .fs.ops = &spy_ops, .real = &p.fs, .pair = &p, .on_read = release_head };
	struct walk *walk;

	setup(&p);
	world_accept(&p.w, 3000, 1, &c[0]);
	world_reopen(&p.w);
	world_accept(&p.w, 3000, 2, &c[1]);
	world_reopen(&p.w);
	spy.id = c[0].id;
	walk = walk_disk(&spy.fs, &totals);
	assert_null(walk_fault(walk, 0));
	assert_int_equal(totals.messages, 1);
	assert_non_null(walk_find(walk, c[1].id));
	/* It goes later: what can't be read then is no damage either, and the walk knows. */
	assert_false(walk_is_stale(walk));
	world_finish(&p.w, c[1].id);
	world_run(&p.w, 5000);
	assert_true(walk_is_stale(walk));
	walk_free(walk);
	teardown(&p);
}

/* It is given back and written over while a message is read there. */
static void
write_over(struct spy *spy, uint8_t *at, uint64_t offset, uint64_t n)
{
	memset(at, 0, (size_t)n);
	spy->on_read = NULL;
	world_finish(&spy->pair->w, spy->id);
	world_run(&spy->pair->w, 5000);
}

static void
test_used_again_meanwhile(void **state)
{
	struct walk_totals totals;
	struct commit c[2];
	struct pair p;
	struct spy spy = { .fs.ops = &spy_ops, .real = &p.fs, .pair = &p };
	struct walk *walk;

	for (unsigned which = 0; which < 2; which++) {
		setup(&p);
		world_accept(&p.w, 100000, 1, &c[0]);
		world_reopen(&p.w);
		world_accept(&p.w, 3000, 2, &c[1]);
		world_reopen(&p.w);
		spy.id = c[0].id;
		spy.reads = 0;
		/* Once while all is read, once while messages are. */
		spy.on_read = which == 0 ? write_over : NULL;
		walk = walk_disk(&spy.fs, &totals);
		spy.on_read = which == 0 ? NULL : write_over;
		assert_int_equal(walk_check(walk), which == 0);
		assert_null(walk_fault(walk, 0));
		walk_totals(walk, &totals);
		assert_int_equal(totals.damaged + totals.incomplete + totals.unreadable, 0);
		walk_free(walk);
		walk = walk_disk(&spy.fs, &totals);
		assert_int_equal(totals.messages, 1);
		walk_free(walk);
		teardown(&p);
	}
}

static void
test_never_at_rest(void **state)
{
	struct pair p;
	struct spy spy = { .fs.ops = &spy_ops, .real = &p.fs, .hide_after_first = true };
	struct walk *walk;
	struct err e;

	setup(&p);
	assert_int_equal(walk_new(&walk, &spy.fs, &e), -1);
	assert_int_equal(e.kind, ERR_BUSY);
	teardown(&p);
}

/* The first look finds nothing at this place, a later one the record. */
static void
hide_once(struct spy *spy, uint8_t *p, uint64_t at, uint64_t n)
{
	if (spy->hidden_at < at || spy->hidden_at + RECORD_HEADER > at + n)
		return;
	memset(p + (spy->hidden_at - at), 0, RECORD_HEADER);
	spy->on_read = NULL;
}

static void
test_written_meanwhile(void **state)
{
	struct walk_totals totals;
	struct commit c[4];
	struct pair p;
	struct spy spy = { .fs.ops = &spy_ops, .real = &p.fs, .on_read = hide_once };
	const struct spool_message *m;
	struct walk *walk;

	setup(&p);
	accept_many(&p, c, 4, 2000);
	walk = walk_disk(&p.fs.fs, &totals);
	m = walk_find(walk, c[1].id);
	spy.hidden_at = (uint64_t)m->offset64 * RECORD_UNIT;
	walk_free(walk);
	walk = walk_disk(&spy.fs, &totals);
	assert_null(spy.on_read);
	assert_null(walk_fault(walk, 0));
	assert_int_equal(totals.messages, 4);
	walk_free(walk);
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_no_spool),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_lost_start),
		cmocka_unit_test(test_last_answer),
		cmocka_unit_test(test_released_meanwhile),
		cmocka_unit_test(test_used_again_meanwhile),
		cmocka_unit_test(test_never_at_rest),
		cmocka_unit_test(test_written_meanwhile),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
