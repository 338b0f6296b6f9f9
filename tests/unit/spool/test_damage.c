/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages that are damaged where they are stored: what is kept of them, and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "spool/record.h"
#include "unit/spool/world.h"

#include "base/banned.h"

static uint64_t
find_chunk(struct pair *p, spool_id id, unsigned which)
{
	return world_find(&p->fs, twin_fs_name(&p->fs, "log", 0), 'B', id, which);
}

static bool
note_says(struct pair *p, const char *name, const char *words)
{
	uint64_t size;
	const uint8_t *text = twin_fs_content(&p->fs, name, &size);

	return text != NULL && view_search(view_of(text, size), view_str(words)) < size;
}

/* A body that fails its check when it is read: one copy, one note. */
static void
test_damaged_body(void **state)
{
	char name[80], note[80], id[17];
	struct buf text;
	struct commit c, d;
	struct spool_stats st;
	uint32_t nrcpt;
	uint64_t size;
	struct pair p;
	struct err e;

	setup(&p);
	world_accept(&p.w, 200000, 1, &c);
	world_accept(&p.w, 10, 2, &d);
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0), find_chunk(&p, c.id, 1) + 1000);
	buf_init(&text, 1u << 20);
	assert_int_equal(world_read(&p.w, c.id, &text, &nrcpt, &e), READER_BAD);
	assert_int_equal(e.kind, ERR_DAMAGED);
	spool_quarantine(p.w.spool, spool_find(p.w.spool, c.id), &e);
	spool_quarantine(p.w.spool, spool_find(p.w.spool, c.id), &e);
	world_hold(&p.w, c.id);
	(void)snprintf(name, sizeof(name), "quarantine/message-%s.bin", spool_id_text(id, c.id));
	(void)snprintf(note, sizeof(note), "quarantine/message-%s.why", id);
	assert_non_null(twin_fs_content(&p.fs, name, &size));
	assert_true(size > 200000);
	assert_true(note_says(&p, note, e.text));
	assert_true(note_says(&p, note, id));
	spool_stats(p.w.spool, &st);
	assert_int_equal(st.quarantined, 1);
	assert_true(world_has(&p.w, d.id, 10, 2));
	world_reopen(&p.w);
	assert_true(spool_find(p.w.spool, c.id)->flags & SPOOL_HELD);
	spool_stats(p.w.spool, &st);
	assert_int_equal(st.quarantined, 1);
	assert_int_equal(st.messages, 2);
	buf_done(&text);
	teardown(&p);
}

/* Two chunks that changed places: each passes its own check, but not that of the message. */
static void
test_swapped_chunks(void **state)
{
	static uint8_t spare[RECORD_HEADER + SPOOL_CHUNK];
	struct buf text;
	struct commit c;
	uint32_t nrcpt;
	uint64_t size;
	uint8_t *file, *first, *second;
	struct pair p;
	struct err e;

	setup(&p);
	world_accept(&p.w, 200000, 1, &c);
	file = twin_fs_content(&p.fs, twin_fs_name(&p.fs, "log", 0), &size);
	first = file + find_chunk(&p, c.id, 1);
	second = file + find_chunk(&p, c.id, 2);
	memcpy(spare, first, sizeof(spare));
	memcpy(first, second, sizeof(spare));
	memcpy(second, spare, sizeof(spare));
	buf_init(&text, 1u << 20);
	assert_int_equal(world_read(&p.w, c.id, &text, &nrcpt, &e), READER_BAD);
	assert_int_equal(e.kind, ERR_DAMAGED);
	assert_non_null(strstr(e.text, "a chunk of it fails its check"));
	buf_done(&text);
	teardown(&p);
}

/* Found when it is read: in the queue until it is removed; and no number is used up by its name. */
static void
test_damaged_envelope(void **state)
{
	struct commit c, d;
	struct buf text;
	struct pair p;
	struct err e;
	uint32_t nrcpt;
	char note[80], id[17];

	setup(&p);
	buf_init(&text, 1u << 20);
	world_accept(&p.w, 200000, 1, &c);
	world_accept(&p.w, 10, 2, &d);
	twin_fs_damage(&p.fs, twin_fs_name(&p.fs, "log", 0), find_chunk(&p, c.id, 0) + 70);
	world_close(&p.w);
	for (unsigned run = 0; run < 2; run++) {
		world_open(&p.w);
		world_run(&p.w, 100);
		assert_int_equal(p.w.ntold, 2);
		assert_int_equal(world_read(&p.w, c.id, &text, &nrcpt, &e), READER_BAD);
		assert_int_equal(e.kind, ERR_DAMAGED);
		spool_quarantine(p.w.spool, spool_find(p.w.spool, c.id), &e);
		world_close(&p.w);
	}
	(void)snprintf(note, sizeof(note), "quarantine/message-%s.why", spool_id_text(id, c.id));
	assert_true(note_says(&p, note, "check"));
	world_open(&p.w);
	world_run(&p.w, 100);
	world_finish(&p.w, c.id);
	world_finish(&p.w, d.id);
	world_run(&p.w, 3000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	buf_done(&text);
	teardown(&p);
}

/* --- the record that completes a message ------------------------------------------------- */

#define SIZE	250000u		/* four chunks, in one segment */
#define LONG	1200000u		/* in two */

static bool
has_copy(struct pair *p, spool_id id)
{
	char name[80], text[17];

	(void)snprintf(name, sizeof(name), "quarantine/message-%s.bin", spool_id_text(text, id));
	return twin_fs_has(&p->fs, name);
}

/* All of its chunks, one after another, and in them envelope and text. */
static void
check_parts(struct pair *p, spool_id id, size_t length, uint64_t seed)
{
	char name[80], text[17];
	struct record r = { 0 };
	struct buf stored, sent;
	const uint8_t *bytes;
	uint64_t size, at;

	(void)snprintf(name, sizeof(name), "quarantine/message-%s.bin", spool_id_text(text, id));
	bytes = twin_fs_content(&p->fs, name, &size);
	assert_non_null(bytes);
	buf_init(&stored, 2u << 20);
	buf_init(&sent, 2u << 20);
	world_text(&sent, length, seed);
	for (at = 0; at < size; at += record_room(r.length)) {
		assert_true(record_get_any(&r, bytes + at));
		assert_true(r.id == id);
		if (r.type == RECORD_CHUNK)
			assert_true(buf_add(&stored, view_of(bytes + at + RECORD_HEADER, r.length)));
	}
	assert_int_equal(at, size);
	assert_true(view_ends(buf_view(&stored), buf_view(&sent)));
	assert_true(view_starts(buf_view(&stored), VIEW("from: ")));
	buf_done(&sent);
	buf_done(&stored);
	(void)snprintf(name, sizeof(name), "quarantine/message-%s.why", spool_id_text(text, id));
	assert_true(note_says(p, name, "completes the message"));
}

/* In the header, or in the payload. */
static void
damage_commit(struct pair *p, spool_id id, bool header)
{
	uint64_t at;

	for (size_t i = 0; i < twin_fs_count(&p->fs, "log"); i++) {
		const char *name = twin_fs_name(&p->fs, "log", i);

		if (world_seek(&p->fs, name, 'C', id, 0, &at))
			twin_fs_damage(&p->fs, name, at + (header ? 30 : 70));
	}
}

/*
 * Nobody knows of the chunks any more, and their segments are released; what is behind was synced,
 * so it is damage. One more message was only begun.
 */
static void
check_lost_commit(bool header, size_t before, size_t length)
{
	struct commit first, c, d;
	struct pair p;
	spool_id open;

	setup(&p);
	world_accept(&p.w, before, 9, &first);	/* so that the chunks begin where it is wanted */
	ignore_result(world_fill(&p.w, SIZE, 3, 1) == NULL);
	open = p.w.last_id;
	world_accept(&p.w, length, 1, &c);
	world_accept(&p.w, 10, 2, &d);
	world_kill(&p.w);		/* it goes as well */
	damage_commit(&p, c.id, header);
	for (unsigned run = 0; run < 2; run++) {
		world_open(&p.w);
		world_run(&p.w, 100);
		assert_null(spool_find(p.w.spool, c.id));
		check_parts(&p, c.id, length, 1);
		assert_int_equal(has_copy(&p, open), header);	/* it might have been its record */
		assert_false(has_copy(&p, first.id));
		if (run == 0)
			world_kill(&p.w);
	}
	assert_true(world_has(&p.w, d.id, 10, 2));
	world_finish(&p.w, first.id);
	world_finish(&p.w, d.id);
	world_run(&p.w, 5000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 1);
	check_parts(&p, c.id, length, 1);
	teardown(&p);
}

static void
test_lost_commit(void **state)
{
	check_lost_commit(false, 10, SIZE);
	check_lost_commit(true, 200000, SIZE);	/* a whole one, too */
	check_lost_commit(false, 10, LONG);	/* the first segment is read by its summary */
}

/* What can't be copied is kept where it is: the chunks as well, in the segment before. */
static void
test_lost_commit_not_copied(void **state)
{
	struct commit first, c, d;
	struct pair p;

	setup(&p);
	world_accept(&p.w, 10, 9, &first);
	world_accept(&p.w, LONG, 1, &c);
	world_accept(&p.w, 10, 2, &d);
	world_finish(&p.w, first.id);
	world_run(&p.w, 1500);
	world_kill(&p.w);
	damage_commit(&p, c.id, false);
	p.fs.space = twin_fs_used(&p.fs) + 4096;	/* the range, not the chunks */
	world_open(&p.w);
	world_run(&p.w, 100);
	assert_false(has_copy(&p, c.id));
	world_finish(&p.w, d.id);
	world_run(&p.w, 5000);
	assert_int_equal(twin_fs_count(&p.fs, "log"), 3);
	p.fs.space = 0;
	world_reopen(&p.w);
	check_parts(&p, c.id, LONG, 1);
	teardown(&p);
}

/* Found when the message is read, or is to be moved: its chunks are known by their ids. */
static void
test_damaged_commit_read(void **state)
{
	struct buf text;
	struct commit c;
	uint32_t nrcpt;
	struct pair p;
	struct err e;

	setup(&p);
	buf_init(&text, 1u << 20);
	world_accept(&p.w, SIZE, 1, &c);
	damage_commit(&p, c.id, false);
	assert_int_equal(world_read(&p.w, c.id, &text, &nrcpt, &e), READER_BAD);
	(void)err_prefix(&e, "what completes the message");
	spool_quarantine(p.w.spool, spool_find(p.w.spool, c.id), &e);
	world_run(&p.w, 100);
	check_parts(&p, c.id, SIZE, 1);
	buf_done(&text);
	teardown(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged_body),
		cmocka_unit_test(test_swapped_chunks),
		cmocka_unit_test(test_damaged_envelope),
		cmocka_unit_test(test_lost_commit),
		cmocka_unit_test(test_lost_commit_not_copied),
		cmocka_unit_test(test_damaged_commit_read),
	};

	return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
