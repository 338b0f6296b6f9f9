/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/leftover.h"

#include "base/banned.h"

#define LEFTOVER_MIN	(64u << 10)	/* less is not worth giving back */

static uint64_t
cut_at(struct fs *fs, const struct segment *sg, uint64_t end)
{
	char name[SEGMENT_NAME_MAX];
	int fd = fs_open(fs, segment_name(name, DIR_LOG, sg->number), FS_WRITE, NULL);
	bool done;

	if (fd < 0)
		return 0;
	done = fs_truncate(fs, fd, end, NULL) == 0;
	fs_close(fs, fd);
	return done ? end : 0;
}

uint64_t
leftover_cut(struct fs *fs, const struct segment *sg, struct scan *sc)
{
	uint64_t end;

	/* One that was closed has little left, and is whole only so. */
	if (sc->sealed || sg->size - sc->at < LEFTOVER_MIN || scan_last_byte(sc, &end) < 0 ||
	    sg->size - end < LEFTOVER_MIN)
		return 0;
	return cut_at(fs, sg, end);
}

uint64_t
leftover_cut_last(struct fs *fs, const struct segment *sg)
{
	char name[SEGMENT_NAME_MAX];
	enum scan_result result;
	struct scan_record x;
	struct scan sc;
	uint64_t size = 0;
	int fd;

	if (sg->nonce == 0)
		return 0;
	fd = fs_open(fs, segment_name(name, DIR_LOG, sg->number), FS_READ, NULL);
	if (fd < 0)
		return 0;
	scan_init(&sc, fs, fd, sg, false);
	while ((result = scan_next(&sc, &x, NULL)) == SCAN_RECORD || result == SCAN_DAMAGE)
		continue;
	if (result == SCAN_END && sc.sealed && sc.at < sg->size)
		size = cut_at(fs, sg, sc.at);
	else if (result == SCAN_END)
		size = leftover_cut(fs, sg, &sc);
	scan_done(&sc);
	fs_close(fs, fd);
	return size;
}
