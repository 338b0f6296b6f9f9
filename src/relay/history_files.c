/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/history_files.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/date.h"
#include "base/num.h"
#include "base/require.h"

#include "base/banned.h"

#define FILE_MIN	(64u << 10)
#define FILE_MAX	(16u << 20)
#define FILES_SHARE	16		/* of bytes_max: one file */
#define DISK_SHARE	16		/* of the disk: all files */
#define FREE_SHARE	4		/* of the disk: the most that free_min may be */
#define DAY_MS		INT64_C(86400000)

static uint64_t
smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* --- names ------------------------------------------------------------------------- */

const char *
history_file_name(char name[HISTORY_NAME_MAX], const struct history_file *f)
{
	(void)snprintf(name, HISTORY_NAME_MAX, "%08u-%08u.log", f->number, f->day);
	return name;
}

static bool
parse_name(struct view v, struct history_file *f)
{
	uint64_t number, day;

	if (v.n != 21 || v.p[8] != '-' || !view_ends(v, VIEW(".log")) ||
	    !num_parse_u64(view_first(v, 8), 1, 99999999, &number) ||
	    !num_parse_u64(view_first(view_from(v, 9), 8), 0, 99999999, &day))
		return false;
	*f = (struct history_file){ .number = (uint32_t)number, .day = (uint32_t)day };
	return true;
}

/* The UTC day as a number that reads like the date. */
static uint32_t
day_of(int64_t wall_ms)
{
	char date[DATE_MAX];
	uint32_t day = 0;

	(void)date_rfc3339(date, wall_ms);
	for (size_t i = 0; i < 10; i++)
		if (is_digit((uint8_t)date[i]))
			day = day * 10 + (uint32_t)(date[i] - '0');
	return day;
}

/* When that day began; a name with a day that never was counts as of today. */
static int64_t
begin_of(uint32_t day, int64_t now)
{
	char date[DATE_MAX];
	int64_t ms;

	(void)snprintf(date, sizeof(date), "%04u-%02u-%02uT00:00:00Z", day / 10000, day / 100 % 100,
	    day % 100);
	return date_parse_rfc3339(view_str(date), &ms) ? ms : now;
}

/* --- what is there ------------------------------------------------------------------- */

static void
insert(struct history_files *h, const struct history_file *f)
{
	size_t i = h->n;

	if (h->n == h->cap) {
		h->cap = h->cap == 0 ? 64 : 2 * h->cap;
		h->file = xrealloc(h->file, h->cap * sizeof(*h->file));
	}
	for (; i > 0 && h->file[i - 1].number > f->number; i--)
		h->file[i] = h->file[i - 1];
	h->file[i] = *f;
	h->n++;
	h->bytes += f->size;
}

static bool
visit(void *arg, const char *name)
{
	struct history_files *h = arg;
	struct history_file f;

	if (parse_name(view_str(name), &f))
		insert(h, &f);
	return h->n < 2 * HISTORY_FILES_MAX;
}

static int
learn_size(struct history_files *h, struct history_file *f, struct err *e)
{
	char name[HISTORY_NAME_MAX];
	int fd = fs_open(h->fs, history_file_name(name, f), FS_READ, e);
	int64_t size;

	if (fd < 0)
		return -1;
	size = fs_size(h->fs, fd, e);
	fs_close(h->fs, fd);
	if (size < 0)
		return -1;
	f->size = (uint64_t)size;
	h->bytes += f->size;
	return 0;
}

static void
forget(struct history_files *h)
{
	if (h->fd >= 0)
		fs_close(h->fs, h->fd);
	h->fd = -1;
	h->n = 0;
	h->bytes = 0;
	h->listed = false;
}

int
history_files_list(struct history_files *h, struct err *e)
{
	if (h->listed)
		return 0;
	if (fs_list(h->fs, "", visit, h, e) < 0) {
		forget(h);
		return -1;
	}
	for (size_t i = 0; i < h->n; i++)
		if (learn_size(h, &h->file[i], e) < 0) {
			forget(h);
			return -1;
		}
	h->listed = true;
	return 0;
}

/* --- appending ----------------------------------------------------------------------- */

static struct history_file *
last_of(struct history_files *h)
{
	return h->n > 0 ? &h->file[h->n - 1] : NULL;
}

static uint64_t
file_max(const struct history_files *h)
{
	uint64_t max = h->limits.bytes_max / FILES_SHARE;

	return max < FILE_MIN ? FILE_MIN : smaller(max, FILE_MAX);
}

/* A clock that went back begins nothing: names are to keep the order of writing. */
static bool
is_to_go_on(const struct history_files *h, const struct history_file *f, uint32_t today)
{
	return f != NULL && f->size < file_max(h) && today <= f->day;
}

static int
open_last(struct history_files *h, struct history_file *f, struct err *e)
{
	char name[HISTORY_NAME_MAX];
	uint8_t end = '\n';
	int fd = fs_open(h->fs, history_file_name(name, f), FS_WRITE, e);

	if (fd < 0)
		return -1;
	if (f->size > 0 && fs_read(h->fs, fd, &end, 1, f->size - 1, e) < 0) {
		fs_close(h->fs, fd);
		return -1;
	}
	h->fd = fd;
	h->torn = end != '\n';
	return 0;
}

static int
begin_file(struct history_files *h, uint32_t today, struct err *e)
{
	const struct history_file *last = last_of(h);
	struct history_file f = { .number = last != NULL ? last->number + 1 : 1, .day = today };
	char name[HISTORY_NAME_MAX];
	int fd = fs_open(h->fs, history_file_name(name, &f), FS_CREATE_SHARED, e);

	if (fd < 0)
		return -1;
	if (h->fd >= 0)
		fs_close(h->fs, h->fd);
	h->fd = fd;
	h->torn = false;
	insert(h, &f);
	return 0;
}

/* What the spool may need comes first. */
static int
check_space(struct history_files *h, struct err *e)
{
	struct fs_space space;
	uint64_t free_min;

	if (fs_space(h->fs, &space, e) < 0)
		return -1;
	free_min = smaller(h->limits.free_min, space.total_bytes / FREE_SHARE);
	if (space.free_bytes >= free_min)
		return 0;
	return err_set(e, ERR_FULL, "%llu MiB are free on the disk, the queue may need %llu",
	    (unsigned long long)(space.free_bytes >> 20), (unsigned long long)(free_min >> 20));
}

static int
append(struct history_files *h, struct view lines, uint32_t today, struct err *e)
{
	struct iovec v[2] = { { (void *)(uintptr_t)"\n", 1 }, { (void *)(uintptr_t)lines.p, lines.n } };
	struct history_file *f;
	uint64_t more;

	if (!is_to_go_on(h, last_of(h), today)) {
		if (begin_file(h, today, e) < 0)
			return -1;
	} else if (h->fd < 0 && open_last(h, last_of(h), e) < 0) {
		return -1;
	}
	f = last_of(h);
	more = lines.n + h->torn;
	if (fs_writev(h->fs, h->fd, h->torn ? v : v + 1, h->torn ? 2 : 1, f->size, e) < 0)
		return -1;
	h->torn = false;
	f->size += more;
	h->bytes += more;
	return 0;
}

int
history_files_append(struct history_files *h, struct view lines, int64_t wall_ms, struct err *e)
{
	if (check_space(h, e) < 0 || history_files_list(h, e) < 0)
		return -1;
	if (append(h, lines, day_of(wall_ms), e) == 0)
		return 0;
	forget(h);		/* what is on the disk is no longer known: see what is there */
	return -1;
}

/* --- removing ------------------------------------------------------------------------ */

static int
remove_file(struct history_files *h, size_t i, struct err *e)
{
	char name[HISTORY_NAME_MAX];

	if (fs_unlink(h->fs, history_file_name(name, &h->file[i]), e) < 0) {
		forget(h);	/* perhaps it is gone already */
		return -1;
	}
	if (i == h->n - 1 && h->fd >= 0) {
		fs_close(h->fs, h->fd);
		h->fd = -1;
	}
	h->bytes -= h->file[i].size;
	h->n--;
	memmove(h->file + i, h->file + i + 1, (h->n - i) * sizeof(*h->file));
	return 0;
}

static uint64_t
bytes_max(struct history_files *h)
{
	struct fs_space space;

	if (fs_space(h->fs, &space, NULL) < 0)
		return h->limits.bytes_max;
	return smaller(h->limits.bytes_max, space.total_bytes / DISK_SHARE);
}

int
history_files_prune(struct history_files *h, int64_t wall_ms, int64_t loop_ms, struct err *e)
{
	uint64_t max = bytes_max(h);
	int64_t keep = (int64_t)h->limits.days * DAY_MS;

	if (history_files_list(h, e) < 0)
		return -1;
	while (h->n > 1 && (h->bytes > max || h->n > HISTORY_FILES_MAX))
		if (remove_file(h, 0, e) < 0)
			return -1;
	if (loop_ms - h->aged_ms < HISTORY_AGE_MS)
		return 0;
	h->aged_ms = loop_ms;
	/* Not the first one alone: a clock that was ahead may have named it. */
	for (size_t i = 0; i < h->n; i++)
		if (wall_ms - begin_of(h->file[i].day, wall_ms) >= keep + DAY_MS)
			return remove_file(h, i, e);
	return 0;
}

/* --- life ---------------------------------------------------------------------------- */

void
history_files_init(struct history_files *h, struct fs *fs, const struct history_limits *limits,
    int64_t loop_ms)
{
	*h = (struct history_files){ .fs = fs, .limits = *limits, .fd = -1, .aged_ms = loop_ms };
}

void
history_files_done(struct history_files *h)
{
	forget(h);
	free(h->file);
}
