/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scan - walk the records of one segment, and judge what is wrong.
 *
 * Blocks; touches nothing but its arguments. A bad record is either the torn
 * tail of an epoch that nobody was told of (then the walk ends there) or damage
 * to synced data (told, and skipped): doc/spool-format.md, "What a start does".
 */
#ifndef SPOOL_SCAN_H
#define SPOOL_SCAN_H

#include "spool/record.h"
#include "spool/segment.h"

struct scan {
	struct fs	*fs;
	int		 fd;
	uint64_t	 nonce;
	uint64_t	 at;		/* of the next record */
	uint64_t	 size;		/* of the file */
	uint64_t	 end;		/* the same, or where it is abandoned */
	bool		 proven;	/* a later segment proves that all up to end was synced */
	bool		 named;		/* one names it */
	uint64_t	 epoch;		/* of the last good record */
	bool		 sealed;	/* Z was seen */
	bool		 torn;		/* something was dropped at the end */
	/* the highest epoch of a valid header behind some place, and where the last such is */
	uint64_t	 ahead_epoch, ahead_at;
	struct buf	 window;
	uint64_t	 window_at;
};

enum scan_result {
	SCAN_RECORD,
	SCAN_DAMAGE,		/* from at, of the given length */
	SCAN_END,
	SCAN_FAIL		/* can't be read: e */
};

struct scan_record {
	struct record	head;
	uint64_t	at, length;	/* of the whole record */
	struct view	payload;	/* valid until the next call */
};

void scan_init(struct scan *sc, struct fs *fs, int fd, const struct segment *sg, bool proven);
void scan_done(struct scan *sc);
enum scan_result scan_next(struct scan *sc, struct scan_record *out, struct err *e);
/* Forget what was read and begin again at a place where scan_next() has been. */
void scan_back(struct scan *sc, uint64_t at);
/*
 * After SCAN_END: the end of what this use of the file wrote behind it, a whole unit; nothing: where it
 * ended. Torn records count up to the last one that has a header, and one more.
 */
int scan_last_byte(struct scan *sc, uint64_t *out);

#endif
