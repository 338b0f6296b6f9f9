/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/quarantine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/date.h"
#include "base/num.h"
#include "spool/scan.h"

#include "base/banned.h"

#define NOTE_MAX	1024u
#define BASE_MAX	40u
#define COMMIT_MAX	(32u << 20)	/* more than any C record of ours */

static const char *
range_base(char text[BASE_MAX], uint32_t number, uint64_t at)
{
	(void)snprintf(text, BASE_MAX, "%016x-%08llx", number, (unsigned long long)at);
	return text;
}

/* The first word is not a number, for numbers in front of names are those of segments. */
static const char *
message_base(char text[BASE_MAX], spool_id id)
{
	(void)snprintf(text, BASE_MAX, "message-%016llx", (unsigned long long)id);
	return text;
}

static int
put_note(struct fs *fs, const char *base, uint32_t number, uint64_t at, uint64_t length,
    const struct quarantine_note *note, struct err *e)
{
	char name[BASE_MAX + 8], date[DATE_MAX], id[17] = "unknown";
	struct buf text;
	int rc;

	if (note->message != 0)
		(void)spool_id_text(id, note->message);
	(void)snprintf(name, sizeof(name), "%s.why", base);
	buf_init(&text, NOTE_MAX);
	if (buf_addf(&text, "why: %s\nfound: %s\nmessage: %s\nsegment: %016x\noffset: %llu\n"
	    "bytes: %llu\n", note->why, date_rfc3339(date, note->found_ms), id, number,
	    (unsigned long long)at, (unsigned long long)length))
		rc = fs_replace(fs, DIR_QUARANTINE, name, buf_view(&text), e);
	else
		rc = err_set(e, ERR_FULL, "out of memory");
	buf_done(&text);
	return rc;
}

static bool
is_there(struct fs *fs, const char *name)
{
	int fd = fs_open(fs, name, FS_READ, NULL);

	if (fd >= 0)
		fs_close(fs, fd);
	return fd >= 0;
}

static bool
count_note(void *arg, const char *name)
{
	*(uint64_t *)arg += view_ends(view_str(name), VIEW(".why"));
	return true;
}

uint64_t
quarantine_notes(struct fs *fs)
{
	uint64_t n = 0;

	/* No such directory: nothing in it. */
	(void)fs_list(fs, DIR_QUARANTINE, count_note, &n, NULL);
	return n;
}

/* --- copies -------------------------------------------------------------------- */

/* A file that has its name only when it is complete. */
struct copy {
	struct fs	*fs;
	char		 name[BASE_MAX + 16], part[BASE_MAX + 24];
	int		 fd;
	uint64_t	 length;
};

/* 1: begun; 0: there is one. The note comes first: a copy always has one. */
static int
copy_begin(struct copy *c, struct fs *fs, const char *base, struct err *e)
{
	*c = (struct copy){ .fs = fs, .fd = -1 };
	(void)snprintf(c->name, sizeof(c->name), "%s/%s.bin", DIR_QUARANTINE, base);
	(void)snprintf(c->part, sizeof(c->part), "%s.part", c->name);
	if (is_there(fs, c->name))
		return 0;
	(void)fs_unlink(fs, c->part, NULL);	/* left by a crash, or absent */
	c->fd = fs_open(fs, c->part, FS_CREATE, e);
	return c->fd >= 0 ? 1 : -1;
}

static int
copy_bytes(struct copy *c, int from, uint64_t at, uint64_t length, struct err *e)
{
	int64_t n = fs_copy(c->fs, from, at, length, c->fd, c->length, e);

	if (n < 0)
		return -1;
	c->length += (uint64_t)n;
	return 0;
}

static int
copy_end(struct copy *c, struct err *e)
{
	if (fs_sync(c->fs, c->fd, e) < 0 || fs_rename(c->fs, c->part, c->name, e) < 0)
		return -1;
	return fs_sync_dir(c->fs, DIR_QUARANTINE, e);
}

int
quarantine_range(struct fs *fs, int from, uint32_t number, uint64_t at, uint64_t length,
    const struct quarantine_note *note, struct err *e)
{
	char base[BASE_MAX];
	struct copy c;
	int rc = copy_begin(&c, fs, range_base(base, number, at), e);

	if (rc <= 0)
		return rc;
	rc = put_note(fs, base, number, at, length, note, e);
	if (rc == 0)
		rc = copy_bytes(&c, from, at, length, e);
	if (rc == 0)
		rc = copy_end(&c, e);
	fs_close(fs, c.fd);
	return rc;
}

int
quarantine_segment(struct fs *fs, uint32_t number, const struct quarantine_note *note, struct err *e)
{
	char from[SEGMENT_NAME_MAX], to[SEGMENT_NAME_MAX], base[BASE_MAX];

	(void)snprintf(base, sizeof(base), "%016x", number);
	if (put_note(fs, base, number, 0, 0, note, e) < 0 ||
	    fs_rename(fs, segment_name(from, DIR_LOG, number), segment_name(to, DIR_QUARANTINE, number),
	    e) < 0 || fs_sync_dir(fs, DIR_QUARANTINE, e) < 0)
		return -1;
	/*
	 * If a crash had left it both names, the rename did nothing. Else it is not there. Not
	 * synced: a name that came back would be taken away again by the next start.
	 */
	(void)fs_unlink(fs, from, NULL);
	return 0;
}

bool
quarantine_has_segment(struct fs *fs, uint32_t number)
{
	char name[SEGMENT_NAME_MAX];

	return is_there(fs, segment_name(name, DIR_QUARANTINE, number));
}

int
quarantine_absence(struct fs *fs, uint32_t number, uint64_t at, uint64_t length,
    const struct quarantine_note *note, struct err *e)
{
	char base[BASE_MAX], name[BASE_MAX + 24];

	if (at == 0)
		(void)snprintf(base, sizeof(base), "%016x", number);
	else
		(void)range_base(base, number, at);
	(void)snprintf(name, sizeof(name), "%s/%s.why", DIR_QUARANTINE, base);
	return is_there(fs, name) ? 0 : put_note(fs, base, number, at, length, note, e);
}

/* SEGMENT.why or SEGMENT-OFFSET.why. */
static bool
note_place(struct view name, uint64_t *at)
{
	struct view v = view_from(name, 16);

	*at = 0;
	if (view_eq(v, VIEW(".why")))
		return true;
	return view_starts(v, VIEW("-")) && view_ends(v, VIEW(".why")) &&
	    num_parse_hex(view_of(v.p + 1, v.n - 5), at);
}

/*
 * What is noted without a copy is an absence from there on, and none if the segment is longer now. (Or
 * a copy was not completed: then the range is still damaged, and noted again.)
 */
static bool
take_back(void *arg, const char *name)
{
	char in_log[SEGMENT_NAME_MAX], base[BASE_MAX], file[BASE_MAX + 24];
	struct fs *fs = arg;
	uint64_t number, at;
	int64_t size;
	int fd;

	if (!segment_number(name, false, &number) || !note_place(view_str(name), &at))
		return true;
	(void)snprintf(file, sizeof(file), "%s/%s.bin", DIR_QUARANTINE, range_base(base, (uint32_t)number, at));
	fd = is_there(fs, file) ? -1 : fs_open(fs, segment_name(in_log, DIR_LOG, number), FS_READ, NULL);
	if (fd < 0)
		return true;
	size = fs_size(fs, fd, NULL);
	fs_close(fs, fd);
	if (size > 0 && (uint64_t)size > at) {
		(void)snprintf(file, sizeof(file), "%s/%s", DIR_QUARANTINE, name);
		(void)fs_unlink(fs, file, NULL);
	}
	return true;
}

void
quarantine_found_again(struct fs *fs)
{
	(void)fs_list(fs, DIR_QUARANTINE, take_back, fs, NULL);
}

/* --- chunks without a commit -------------------------------------------------------- */

struct numbers {
	uint32_t	 first, last;	/* that are wanted */
	uint32_t	*number;
	size_t		 n;
};

static bool
see_segment(void *arg, const char *name)
{
	struct numbers *w = arg;
	uint64_t number;

	if (!segment_number(name, true, &number) || number < w->first || number > w->last)
		return true;
	if ((w->n & (w->n - 1)) == 0)
		w->number = xrealloc(w->number, (w->n != 0 ? w->n * 2 : 1) * sizeof(*w->number));
	w->number[w->n++] = (uint32_t)number;
	return true;
}

static int
compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int
copy_chunks_of(struct copy *c, int fd, const struct segment *sg, spool_id id, struct err *e)
{
	enum scan_result result;
	struct scan_record x;
	struct scan sc;
	int rc = 0;

	/* Whatever can be read, also behind a tear. */
	scan_init(&sc, c->fs, fd, sg, true);
	do {
		result = scan_next(&sc, &x, e);
		if (result == SCAN_RECORD && x.head.type == RECORD_CHUNK && x.head.id == id)
			rc = copy_bytes(c, fd, x.at, x.length, e);
	} while (rc == 0 && (result == SCAN_RECORD || result == SCAN_DAMAGE));
	scan_done(&sc);
	return result == SCAN_FAIL ? -1 : rc;
}

static int
search_segment(struct copy *c, uint32_t number, spool_id id, struct err *e)
{
	char name[SEGMENT_NAME_MAX];
	struct segment_start start;
	struct segment sg = { .number = number, .abandon_from = UINT64_MAX, .named = true };
	int fd = fs_open(c->fs, segment_name(name, DIR_LOG, number), FS_READ, e);
	int64_t size;
	uint64_t room;
	int rc = -1;

	if (fd < 0)
		return e->errnum == ENOENT ? 0 : -1;
	size = fs_size(c->fs, fd, e);
	if (size >= 0 && segment_read_start(c->fs, fd, &start, &room, e) == 0) {
		sg.size = (uint64_t)size;
		sg.nonce = start.nonce;
		rc = copy_chunks_of(c, fd, &sg, id, e);
	} else if (e->kind == ERR_DAMAGED) {
		rc = 0;			/* the rest is worth having */
	}
	fs_close(c->fs, fd);
	return rc;
}

/* A message's id names a segment that was current when it began. */
static int
search_chunks(struct copy *c, uint32_t last, spool_id id, struct err *e)
{
	struct numbers w = { .first = (uint32_t)(id >> 24), .last = last };
	struct err why = { 0 };
	int rc = fs_list(c->fs, DIR_LOG, see_segment, &w, &why);

	if (w.n > 1)
		qsort(w.number, w.n, sizeof(*w.number), compare_numbers);
	for (size_t i = 0; i < w.n && rc == 0; i++)
		rc = search_segment(c, w.number[i], id, &why);
	free(w.number);
	if (rc < 0 && e != NULL)
		*e = why;
	return rc;
}

int
quarantine_chunks(struct fs *fs, uint32_t last, const struct quarantine_note *note, struct err *e)
{
	char base[BASE_MAX];
	struct copy c;
	int rc = copy_begin(&c, fs, message_base(base, note->message), e);

	if (rc <= 0)
		return rc;
	rc = put_note(fs, base, last, 0, 0, note, e);
	if (rc == 0)
		rc = search_chunks(&c, last, note->message, e);
	if (rc == 0)
		rc = copy_end(&c, e);
	fs_close(fs, c.fd);
	return rc;
}

/* --- a message -------------------------------------------------------------------- */

/* The extents, if this is the message's C record and nothing of it is damaged. */
static bool
read_commit(struct fs *fs, int fd, const struct quarantine_source *src, spool_id id,
    struct commit_lines *out)
{
	struct record r;
	struct view payload;
	struct buf bytes;
	bool good = false;
	uint8_t *p;

	buf_init(&bytes, COMMIT_MAX);
	p = src->length > RECORD_HEADER ? buf_reserve(&bytes, (size_t)src->length) : NULL;
	if (p != NULL && fs_read(fs, fd, p, (size_t)src->length, src->at, NULL) == (int64_t)src->length &&
	    record_get(&r, p, src->nonce) && r.type == RECORD_COMMIT && r.id == id &&
	    r.length <= src->length - RECORD_HEADER) {
		payload = view_of(p + RECORD_HEADER, r.length);
		good = crc32c(0, payload) == r.crc && lines_get_commit(out, payload, NULL) == 0;
	}
	buf_done(&bytes);
	return good;
}

static int
copy_part(struct copy *c, uint32_t segment, uint64_t at, uint64_t length, struct err *e)
{
	char name[SEGMENT_NAME_MAX];
	int fd = fs_open(c->fs, segment_name(name, DIR_LOG, segment), FS_READ, NULL);
	int rc;

	if (fd < 0)
		return 0;		/* not there: the rest is worth having */
	rc = copy_bytes(c, fd, at, length, e);
	fs_close(c->fs, fd);
	return rc;
}

static int
copy_chunks(struct copy *c, const struct quarantine_source *src, spool_id id, struct err *e)
{
	char name[SEGMENT_NAME_MAX];
	struct commit_lines lines = { 0 };
	int fd = fs_open(c->fs, segment_name(name, DIR_LOG, src->segment), FS_READ, NULL);
	bool known;
	int rc = 0;

	if (fd < 0)
		return 0;
	known = read_commit(c->fs, fd, src, id, &lines);
	fs_close(c->fs, fd);
	if (!known)
		return search_chunks(c, src->segment, id, e);
	for (uint32_t i = 0; i < lines.nextent && rc == 0; i++) {
		const struct extent *x = &lines.extent[i];

		rc = copy_part(c, x->segment, (uint64_t)x->offset64 * RECORD_UNIT, record_room(x->length), e);
	}
	lines_commit_done(&lines);
	return rc;
}

int
quarantine_message(struct fs *fs, const struct quarantine_source *src, const struct quarantine_note *note,
    struct err *e)
{
	char base[BASE_MAX];
	struct copy c;
	int rc = copy_begin(&c, fs, message_base(base, note->message), e);

	if (rc <= 0)
		return rc;
	rc = put_note(fs, base, src->segment, src->at, src->length, note, e);
	if (rc == 0)
		rc = copy_part(&c, src->segment, src->at, src->length, e);
	if (rc == 0)
		rc = copy_chunks(&c, src, note->message, e);
	if (rc == 0)
		rc = copy_end(&c, e);
	fs_close(fs, c.fd);
	return rc;
}
