/* SPDX-License-Identifier: BSD-2-Clause */
/* Damage done to what is synced, and what has to be in quarantine/ for it. */
#include <stdio.h>

#include "base/require.h"
#include "crash/play.h"
#include "crash/retrieve.h"
#include "spool/record.h"

#include "base/banned.h"

#define COPY_MAX	(16u << 20)

static void
segment_of(const struct sent *x, char name[DISK_NAME])
{
	(void)snprintf(name, DISK_NAME, "log/%016x.seg", x->segment);
}

static struct copy_due *
copy_new(struct play *p, const char *base, const char *suffix, size_t n)
{
	struct copy_due *c = &p->copy[p->ncopies++];

	require(p->ncopies <= PLAY_COPIES);
	(void)snprintf(c->name, sizeof(c->name), "quarantine/%s%s", base, suffix);
	(void)snprintf(c->note, sizeof(c->note), "quarantine/%s.why", base);
	buf_init(&c->bytes, COPY_MAX);
	require(buf_reserve(&c->bytes, n) != NULL);
	return c;
}

void
play_expect_copy(struct play *p, const char *base, const char *suffix)
{
	struct copy_due *c = copy_new(p, base, suffix, 0);
	size_t n = (size_t)disk_size(p->disk, c->name);
	uint8_t *to = buf_reserve(&c->bytes, n);

	require(n > 0 && to != NULL);
	if (strcmp(suffix, ".seg") == 0)
		(void)snprintf(c->was, sizeof(c->was), "log/%s.seg", base);
	buf_grew(&c->bytes, disk_read(p->disk, c->name, to, n, 0));
	p->step(p->arg);
}

/* The record of x that has this type, or a later one of them; or the S in front of it. */
static uint64_t
seek(const struct sent *x, char type, unsigned which, struct record *r)
{
	char name[DISK_NAME];
	uint8_t header[RECORD_HEADER];

	segment_of(x, name);
	for (uint64_t at = 0;; at += record_room(r->length)) {
		require(disk_read(x->play->disk, name, header, sizeof(header), at) == sizeof(header) &&
		    record_get_any(r, header));
		if (r->type == type && (type == RECORD_START || r->id == x->id) && which-- == 0)
			return at;
	}
}

/* All B records of x in its segment. */
static void
keep_chunks(struct sent *x)
{
	char name[DISK_NAME];
	uint8_t header[RECORD_HEADER];
	struct record r;

	segment_of(x, name);
	for (uint64_t at = 0; disk_read(x->play->disk, name, header, sizeof(header), at) == sizeof(header) &&
	    record_get_any(&r, header); at += record_room(r.length)) {
		size_t n = (size_t)record_room(r.length);
		uint8_t *to;

		if (r.type != RECORD_CHUNK || r.id != x->id)
			continue;
		to = buf_reserve(&x->chunks, n);
		require(to != NULL && disk_read(x->play->disk, name, to, n, at) == n);
		buf_grew(&x->chunks, n);
	}
}

/* A digit in the place of the first chunk, so that it is a place still, but another one. */
static size_t
find_place(const struct sent *x, uint64_t at, const struct record *r, uint8_t *bits)
{
	char name[DISK_NAME];
	uint8_t bytes[4096];
	struct view v = view_of(bytes, r->length);
	size_t i;

	require(r->length <= sizeof(bytes));
	segment_of(x, name);
	require(disk_read(x->play->disk, name, bytes, r->length, at + RECORD_HEADER) == r->length);
	i = view_search(v, VIEW("chunk: ")) + strlen("chunk: ");
	i += view_find(view_from(v, i), ' ') + 1;
	i += view_find(view_from(v, i), ' ') - 3;
	require(i < r->length);
	*bits = bytes[i] == 'a' || bytes[i] == 'f' ? 2 : 1;
	return RECORD_HEADER + i;
}

void
play_damage(struct sent *x, char type, size_t byte, uint8_t bits, enum damage_expects expects)
{
	struct disk *d = x->play->disk;
	char name[DISK_NAME], base[DISK_NAME];
	struct copy_due *c;
	struct record r;
	uint64_t at = seek(x, type, 0, &r);
	size_t n;

	segment_of(x, name);
	if (byte == DAMAGE_PLACE)
		byte = find_place(x, at, &r, &bits);
	else if (byte == DAMAGE_END)
		byte = RECORD_HEADER + r.length - 2;	/* the last is a newline */
	disk_damage(d, name, at + byte, bits);
	keep_chunks(x);
	x->hurt |= type != RECORD_START;
	if (expects == DAMAGE_ALONE)
		return;
	n = (size_t)record_room(r.length);
	(void)snprintf(base, sizeof(base), "%016x-%08llx", x->segment, (unsigned long long)at);
	c = copy_new(x->play, base, ".bin", n);
	buf_grew(&c->bytes, disk_read(d, name, c->bytes.data, n, at));
}

void
play_swap(struct sent *x, unsigned i, struct sent *y, unsigned k, char type)
{
	struct disk *d = x->play->disk;
	char of_x[DISK_NAME], of_y[DISK_NAME];
	struct record r, q;
	uint64_t a = seek(x, type, i, &r), b = seek(y, type, k, &q);

	require(r.length == q.length);
	segment_of(x, of_x);
	segment_of(y, of_y);
	for (uint64_t n = record_room(r.length); n-- > 0;) {
		uint8_t one, other;

		require(disk_read(d, of_x, &one, 1, a + n) == 1 && disk_read(d, of_y, &other, 1, b + n) == 1);
		disk_damage(d, of_x, a + n, one ^ other);
		disk_damage(d, of_y, b + n, one ^ other);
	}
	keep_chunks(x);
	x->hurt = y->hurt = true;
}

void
play_lose(struct sent *x, bool whole)
{
	struct fs *fs = &x->play->disk->fs;
	char name[DISK_NAME];
	struct record r;
	uint64_t at = seek(x, RECORD_MESSAGE, 0, &r);
	int fd;

	segment_of(x, name);
	x->hurt = true;
	if (whole) {
		require(fs_unlink(fs, name, NULL) == 0 && fs_sync_dir(fs, "log", NULL) == 0);
		at = 0;
	} else {
		fd = fs_open(fs, name, FS_WRITE, NULL);
		require(fd >= 0 && fs_truncate(fs, fd, at, NULL) == 0 && fs_sync(fs, fd, NULL) == 0);
		fs_close(fs, fd);
	}
	(void)snprintf(x->play->lost, sizeof(x->play->lost), at == 0 ? "%016x" : "%016x-%08llx", x->segment,
	    (unsigned long long)at);
}

void
play_expect_tail(struct sent *x)
{
	char base[DISK_NAME];
	struct record r;

	(void)snprintf(base, sizeof(base), "%016x-%08llx", x->segment,
	    (unsigned long long)seek(x, RECORD_MESSAGE, 0, &r));
	play_expect_copy(x->play, base, ".bin");
}

void
play_expect_note(struct play *p)
{
	struct copy_due *c = copy_new(p, p->lost, "", 0);

	c->name[0] = '\0';
	require(disk_size(p->disk, c->note) != 0);
	p->step(p->arg);
}

void
play_damage_abandon(struct sent *x)
{
	char name[DISK_NAME];
	uint8_t bytes[1024];
	struct view v = view_of(bytes, sizeof(bytes));
	size_t at;

	segment_of(x, name);
	require(disk_read(x->play->disk, name, bytes, sizeof(bytes), 0) == sizeof(bytes));
	at = view_search(v, VIEW("from="));
	require(at != v.n);
	for (at += 5; bytes[at] == '0'; at++)
		;
	disk_damage(x->play->disk, name, at, 1);
}

void
play_expect_message(struct sent *x)
{
	struct play *p = x->play;
	char base[DISK_NAME];
	struct buf *bytes = &p->copy[p->ncopies].bytes;

	(void)snprintf(base, sizeof(base), "message-%016llx", (unsigned long long)x->id);
	play_expect_copy(p, base, ".bin");
	require(view_search(buf_view(bytes), buf_view(&x->chunks)) != buf_len(bytes));
}

void
play_read(struct sent *x)
{
	struct play *p = x->play;
	struct spool_message *m = spool_find(p->w.spool, x->id);
	unsigned troubles = p->w.troubles;
	struct err e = { 0 };
	struct buf lines, text;
	bool whole;

	buf_init(&lines, COPY_MAX);
	buf_init(&text, COPY_MAX);
	whole = retrieve(&p->w, m, &lines, &text, &e);
	if (!view_eq(view_first(buf_view(&x->text), buf_len(&text)), buf_view(&text)))
		(void)snprintf(p->wrong, sizeof(p->wrong), "message %016llx was read wrong, %.100s",
		    (unsigned long long)x->id, whole ? "to its end" : e.text);
	else if (whole ? buf_len(&text) < buf_len(&x->text) : !x->hurt)
		(void)snprintf(p->wrong, sizeof(p->wrong), "message %016llx was read in part: %.100s",
		    (unsigned long long)x->id, e.text);
	else if (!whole && (e.kind != ERR_DAMAGED || p->w.troubles == troubles))
		(void)snprintf(p->wrong, sizeof(p->wrong), "message %016llx is damaged, and nobody is told",
		    (unsigned long long)x->id);
	buf_done(&lines);
	buf_done(&text);
	p->step(p->arg);
}

bool
play_has_texts(const struct sent *x, struct world *w, struct spool_message *m)
{
	bool ready = false, good = true;
	struct spool_reader *r = spool_reader_new(w->spool, m, retrieve_ready, &ready);
	const struct spool_result *said = NULL;
	const char *endpoint = NULL;
	char text[PLAY_TEXT];
	enum reader_result rr;
	size_t n = 0;

	while ((rr = spool_reader_outcome(r, &said, &n, &endpoint, NULL)) == READER_WAIT)
		if (!retrieve_wait(w, &ready))
			break;
	good = x->hurt || (rr == READER_DATA && n == m->nrcpt);
	for (size_t i = 0; i < n && good; i++)
		good = view_eq(said[i].text, play_text(text, m->attempts, said[i].rcpt)) ||
		    (x->hurt && said[i].text.n == 0);
	spool_reader_free(r);
	return good;
}

void
play_set_aside(struct sent *x)
{
	struct play *p = x->play;
	struct err why = { 0 };

	(void)err_set(&why, ERR_DAMAGED, "damaged");
	spool_quarantine(p->w.spool, spool_find(p->w.spool, x->id), &why);
	play_run(p, 50);
	play_expect_message(x);
}
