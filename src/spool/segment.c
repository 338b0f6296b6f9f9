/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/num.h"
#include "base/require.h"

#include "base/banned.h"

#define START_MIN	(2 * RECORD_UNIT)	/* of an S record: a header and what it says */

struct segment *
segment_new(uint32_t number, uint64_t nonce)
{
	struct segment *sg = xzalloc(sizeof(*sg));

	sg->number = number;
	sg->nonce = nonce;
	sg->fd = -1;
	sg->abandon_from = UINT64_MAX;
	sg->epoch = 1;
	list_init(&sg->link);
	list_init(&sg->lru);
	return sg;
}

void
segment_free(struct segment *sg)
{
	if (sg == NULL)
		return;
	require(sg->fd < 0 && sg->users == 0);
	list_remove(&sg->link);
	list_remove(&sg->lru);
	summary_free(sg->summary);
	free(sg);
}

void
segment_ended(struct segment *sg)
{
	sg->sealed = true;
	summary_free(sg->summary);
	sg->summary = NULL;
}

void
segment_learn(struct segment *sg, const struct segment_start *later)
{
	bool abandoned = later->abandons == sg->number;

	if (abandoned && later->abandons_tail)
		sg->tail_unproven = true;
	else if (abandoned)
		sg->abandon_from = later->abandons_from;
	if (later->previous != sg->number)
		return;
	sg->named = true;
	if (sg->nonce == 0)
		sg->nonce = later->previous_nonce;
	sg->summary_at = later->summary;
	sg->closed = !abandoned;
	/* All in front of what it abandons was synced, and its own start before it had its name. */
	sg->least = sg->abandon_from != UINT64_MAX ? sg->abandon_from : later->end;
	if (sg->least < START_MIN)
		sg->least = START_MIN;
}

bool
segment_is_short(const struct segment *sg, bool no_end)
{
	return sg->size < sg->least || (sg->closed && no_end);
}

const char *
segment_name(char text[SEGMENT_NAME_MAX], const char *dir, uint64_t number)
{
	(void)snprintf(text, SEGMENT_NAME_MAX, "%s/%016llx.seg", dir, (unsigned long long)number);
	return text;
}

bool
segment_number(const char *name, bool exact, uint64_t *out)
{
	struct view v = view_str(name);

	if (v.n < 16 || !num_parse_hex(view_first(v, 16), out) || *out == 0 || *out > SEGMENT_NUMBER_MAX)
		return false;
	return !exact || view_eq(view_from(v, 16), VIEW(".seg"));
}

int
segment_make_spare(struct fs *fs, uint64_t number, uint64_t size, struct err *e)
{
	char name[SEGMENT_NAME_MAX];
	int fd = fs_open(fs, segment_name(name, DIR_SPARE, number), FS_CREATE, e);
	int rc;

	if (fd < 0)
		return -1;
	rc = fs_allocate(fs, fd, size, e);
	fs_close(fs, fd);
	if (rc == 0)
		return 0;
	(void)fs_unlink(fs, name, NULL);	/* the error that counts is the first */
	return err_prefix(e, "%s", name);
}

/* One record, complete with padding. */
static int
write_record(struct fs *fs, int fd, struct record r, uint64_t nonce, struct view payload, uint64_t at,
    struct err *e)
{
	uint8_t head[RECORD_HEADER], pad[RECORD_UNIT];
	struct iovec iov[3];

	r.length = (uint32_t)payload.n;
	r.crc = crc32c(0, payload);
	record_put(head, &r, nonce);
	memset(pad, '\n', sizeof(pad));
	iov[0] = (struct iovec){ head, sizeof(head) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)payload.p, payload.n };
	iov[2] = (struct iovec){ pad, (size_t)(record_room(payload.n) - RECORD_HEADER - payload.n) };
	return fs_writev(fs, fd, iov, iov[2].iov_len != 0 ? 3 : 2, at, e);
}

uint64_t
segment_start_room(const struct segment_start *start)
{
	struct buf text;
	uint64_t room;

	buf_init(&text, LINES_START_MAX);
	require(lines_put_start(&text, start));
	room = record_room(buf_len(&text));
	buf_done(&text);
	return room;
}

int
segment_begin(struct fs *fs, const struct segment_start *start, uint64_t spare, uint64_t size, int *out,
    struct err *e)
{
	char from[SEGMENT_NAME_MAX], to[SEGMENT_NAME_MAX];
	const char *stray = NULL;
	struct buf text;
	int fd = -1, rc = -1;

	buf_init(&text, LINES_START_MAX);
	require(lines_put_start(&text, start));
	if (spare == 0) {
		spare = start->number;
		if (segment_make_spare(fs, spare, size, e) < 0)
			goto out;
	}
	stray = segment_name(from, DIR_SPARE, spare);
	segment_name(to, DIR_LOG, start->number);
	fd = fs_open(fs, from, FS_WRITE, e);
	if (fd < 0)
		goto out;
	/*
	 * A file in log/ always has a durable S. And the name in spare/ is gone for good: a file that
	 * had it still when it is a spare again would be begun twice.
	 */
	if (write_record(fs, fd, (struct record){ .type = RECORD_START }, start->nonce, buf_view(&text), 0, e) < 0 ||
	    fs_sync(fs, fd, e) < 0) {
		(void)err_prefix(e, "%s", from);
		goto out;
	}
	if (fs_rename(fs, from, to, e) < 0)
		goto out;
	stray = to;
	if (fs_sync_dir(fs, DIR_SPARE, e) < 0 || fs_sync_dir(fs, DIR_LOG, e) < 0)
		goto out;
	*out = fd;
	fd = -1;
	stray = NULL;
	rc = 0;
out:
	if (fd >= 0)
		fs_close(fs, fd);
	/* Nobody would use it again: failure after failure must not fill the disk. */
	if (stray != NULL)
		(void)fs_unlink(fs, stray, NULL);
	buf_done(&text);
	return rc;
}

int
segment_retire(struct fs *fs, uint32_t number, bool reuse, bool *gone, struct err *e)
{
	char from[SEGMENT_NAME_MAX], to[SEGMENT_NAME_MAX];
	int rc = 0;

	segment_name(from, DIR_LOG, number);
	segment_name(to, DIR_SPARE, number);
	if (!*gone) {
		rc = reuse ? fs_rename(fs, from, to, e) : fs_unlink(fs, from, e);
		*gone = rc == 0 || (e != NULL && e->errnum == ENOENT);
	}
	/* As long as the name may still be there, nothing of the file may be changed. A spare may be lost. */
	if (rc == 0)
		rc = fs_sync_dir(fs, DIR_LOG, e);
	/* The error that counts is the first. */
	if (rc < 0 && reuse && *gone)
		(void)fs_unlink(fs, to, NULL);
	return rc;
}

int
segment_renew(struct fs *fs, uint32_t number, int from, int *out, struct err *e)
{
	char copy[SEGMENT_NAME_MAX], name[SEGMENT_NAME_MAX];
	int64_t size = fs_size(fs, from, e);
	int fd;

	segment_name(copy, DIR_SPARE, number);
	segment_name(name, DIR_LOG, number);
	if (size < 0)
		return -1;
	(void)fs_unlink(fs, copy, NULL);	/* left by a crash; mostly not there */
	fd = fs_open(fs, copy, FS_CREATE, e);
	if (fd < 0)
		return -1;
	if (fs_copy(fs, from, 0, (uint64_t)size, fd, 0, e) >= 0 && fs_sync(fs, fd, e) == 0 &&
	    fs_rename(fs, copy, name, e) == 0 && fs_sync_dir(fs, DIR_LOG, e) == 0) {
		*out = fd;
		return 0;
	}
	(void)fs_unlink(fs, copy, NULL);	/* the error that counts is the first */
	fs_close(fs, fd);
	return -1;
}

/* --- the end --------------------------------------------------------------------- */

uint64_t
segment_seal_room(const struct segment *sg, uint64_t more)
{
	uint64_t bytes = sg->summary != NULL ? summary_bytes(sg->summary) : 0;

	return (bytes != 0 ? record_room(bytes + more) : 0) + SEGMENT_SEAL_ROOM;
}

/* T, if there is one and it fits. Its room, or 0. -1: it can't be written. */
static int
write_summary(struct fs *fs, int fd, const struct segment *sg, uint64_t *room, struct err *e)
{
	struct buf text;
	int rc = 0;

	*room = 0;
	buf_init(&text, SUMMARY_MAX);
	if (sg->summary != NULL && sg->written + segment_seal_room(sg, 0) <= sg->size &&
	    summary_put(&text, sg->summary)) {
		rc = write_record(fs, fd, (struct record){ .type = RECORD_SUMMARY, .epoch = sg->epoch,
		    .index = (uint16_t)sg->index }, sg->nonce, buf_view(&text), sg->written, e);
		*room = record_room(buf_len(&text));
	}
	buf_done(&text);
	return rc;
}

int
segment_seal(struct fs *fs, int fd, const struct segment *sg, struct segment_closed *out, struct err *e)
{
	struct segment_end end = { .records = sg->records, .bytes = sg->written };
	uint64_t room;
	struct buf text;
	int rc = -1;

	buf_init(&text, SEGMENT_SEAL_ROOM - RECORD_HEADER);
	if (write_summary(fs, fd, sg, &room, e) < 0)
		goto out;
	end.summary = room != 0 ? sg->written : 0;
	require(lines_put_end(&text, &end));
	if (write_record(fs, fd, (struct record){ .type = RECORD_SEAL, .epoch = sg->epoch,
	    .index = (uint16_t)(sg->index + (room != 0)) }, sg->nonce, buf_view(&text),
	    sg->written + room, e) < 0 || fs_sync(fs, fd, e) < 0)
		goto out;
	*out = (struct segment_closed){ end.summary, sg->written + room + SEGMENT_SEAL_ROOM };
	rc = 0;
out:
	buf_done(&text);
	return rc;
}

/* A whole record of this type at this place. */
static bool
read_record(struct fs *fs, int fd, const struct segment *sg, uint8_t type, uint64_t at, struct buf *bytes,
    struct record *r, struct view *payload)
{
	uint8_t head[RECORD_HEADER], *p;

	if (fs_read(fs, fd, head, sizeof(head), at, NULL) != sizeof(head) || !record_get(r, head, sg->nonce) ||
	    r->type != type || r->length > SUMMARY_MAX || at + record_room(r->length) > sg->size)
		return false;
	buf_clear(bytes);
	p = buf_reserve(bytes, r->length);
	if (p == NULL || fs_read(fs, fd, p, r->length, at + RECORD_HEADER, NULL) != (int64_t)r->length)
		return false;
	buf_grew(bytes, r->length);
	*payload = buf_view(bytes);
	return crc32c(0, *payload) == r->crc;
}

/* Z at the end of the file, which was cut there when the segment was closed for the stop. */
static bool
read_end(struct fs *fs, int fd, const struct segment *sg, struct buf *bytes, struct record *r,
    struct segment_end *end)
{
	struct view payload;

	return sg->size >= SEGMENT_SEAL_ROOM && read_record(fs, fd, sg, RECORD_SEAL,
	    sg->size - SEGMENT_SEAL_ROOM, bytes, r, &payload) && lines_get_end(end, payload, NULL) == 0;
}

static uint64_t
find_summary(struct fs *fs, int fd, const struct segment *sg, struct buf *bytes)
{
	struct segment_end end;
	struct record r;

	return read_end(fs, fd, sg, bytes, &r, &end) ? end.summary : 0;
}

/* The first record of an epoch was written after the sync of all before it. */
static bool
begins_epoch(const struct record *r)
{
	return r->index == 0;
}

/* Z, and T in front of it if there is one, are all of their epoch. */
static bool
end_is_alone(struct fs *fs, int fd, const struct segment *sg, struct buf *bytes, const struct record *z,
    uint64_t at)
{
	struct view text;
	struct record t;

	if (at == 0)
		return begins_epoch(z);
	return at % RECORD_UNIT == 0 && at < sg->size &&
	    read_record(fs, fd, sg, RECORD_SUMMARY, at, bytes, &t, &text) && begins_epoch(&t);
}

bool
segment_find_end(struct fs *fs, int fd, const struct segment *sg, struct segment_closed *out)
{
	struct segment_end end;
	struct record z;
	struct buf bytes;
	bool found;

	buf_init(&bytes, SUMMARY_MAX);
	found = read_end(fs, fd, sg, &bytes, &z, &end) &&
	    end_is_alone(fs, fd, sg, &bytes, &z, end.summary);
	buf_done(&bytes);
	if (found)
		*out = (struct segment_closed){ end.summary, sg->size };
	return found;
}

bool
segment_read_summary(struct fs *fs, int fd, const struct segment *sg, struct buf *bytes, struct view *text,
    uint64_t *end)
{
	bool proven = sg->summary_at != 0;	/* the next segment was begun after the sync */
	uint64_t at = proven ? sg->summary_at : find_summary(fs, fd, sg, bytes);
	struct record r;

	if (at == 0 || at % RECORD_UNIT != 0 || at > sg->size ||
	    !read_record(fs, fd, sg, RECORD_SUMMARY, at, bytes, &r, text))
		return false;
	if (!proven && !begins_epoch(&r))
		return false;
	*end = at + record_room(r.length) + SEGMENT_SEAL_ROOM;
	return summary_check(*text, at);
}

int
segment_read_start(struct fs *fs, int fd, struct segment_start *out, uint64_t *room, struct err *e)
{
	uint8_t bytes[RECORD_HEADER + LINES_START_MAX * 2];
	struct segment_start start;
	struct record r;
	struct view payload;
	int64_t n = fs_read(fs, fd, bytes, sizeof(bytes), 0, e);

	if (n < 0)
		return -1;
	if (n < RECORD_HEADER || !record_get_any(&r, bytes) || r.type != RECORD_START ||
	    r.length > (uint64_t)n - RECORD_HEADER)
		return err_set(e, ERR_DAMAGED, "the segment has no start record");
	payload = view_of(bytes + RECORD_HEADER, r.length);
	if (crc32c(0, payload) != r.crc)
		return err_set(e, ERR_DAMAGED, "the start of the segment fails its checksum");
	if (lines_get_start(&start, payload, e) < 0)
		return -1;
	if (start.format > SPOOL_FORMAT)
		return err_set(e, ERR_CONFIG, "the spool has format %llu, this program knows %u: a newer "
		    "posthouse wrote it. Install that one again, or set another state_dir; nothing was changed",
		    (unsigned long long)start.format, SPOOL_FORMAT);
	/* Its tag is for the walk: what is used of it is the payload, which holds the nonce itself. */
	*out = start;
	*room = record_room(r.length);
	return 0;
}
