/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segment - one file of the log: its name, its start and its end.
 *
 * The functions that take a struct fs block and touch nothing but their
 * arguments: they run on a worker.
 */
#ifndef SPOOL_SEGMENT_H
#define SPOOL_SEGMENT_H

#include "base/list.h"
#include "spool/lines.h"
#include "spool/record.h"
#include "spool/summary.h"
#include "sys/fs.h"

#define SEGMENT_NAME_MAX	32u
#define SEGMENT_SEAL_ROOM	128u		/* of the Z record */
#define SEGMENT_SIZE_MIN	(1u << 20)

#define DIR_LOG		"log"
#define DIR_SPARE	"spare"
#define DIR_QUARANTINE	"quarantine"

struct segment {
	struct list	 link;		/* in order of number */
	uint32_t	 number;
	uint64_t	 nonce;
	int		 fd;		/* -1: not open */
	unsigned	 users;		/* jobs that use fd now */
	struct list	 lru;		/* among those that are open for reading only */
	uint64_t	 size;		/* of the file */
	uint64_t	 written;	/* end of the records */
	uint64_t	 synced;	/* all before it is durable */
	uint64_t	 epoch;		/* of the records that come next */
	uint32_t	 index;		/* of the record that comes next */
	uint64_t	 records;
	uint32_t	 live;		/* messages that begin here, until their end is synced */
	uint32_t	 pins;		/* open transactions and readers that began here */
	bool		 sealed;	/* never written again */
	bool		 lost_start;	/* its S is damaged */
	bool		 unread;	/* its S or its size could not be read, which is not damage */
	bool		 kept;		/* must not be released before the next start */
	bool		 unfit;		/* its file is not to be used again */
	bool		 gone;		/* its name is no longer in log/, maybe not durably */
	uint64_t	 abandon_from;	/* what stands from here on counts as never written */
	bool		 tail_unproven;	/* later segments don't prove that its end was synced */
	bool		 sync_failed;	/* at this start: no later sync of this file proves anything */
	struct summary	*summary;	/* gathered while it is written; else NULL */
	/* what the next segment says of it, or 0 */
	uint64_t	 summary_at;	/* where T is */
	uint64_t	 least;		/* its file has so many bytes, or more */
	bool		 closed;	/* it ended with Z, synced */
	bool		 named;		/* anything at all */
	uint32_t	 previous;	/* what it says itself: the number of the one before it; 0: none */
};

/* Where a segment was closed. */
struct segment_closed {
	uint64_t	summary;	/* offset of T; 0: none */
	uint64_t	end;		/* behind Z */
};

struct segment *segment_new(uint32_t number, uint64_t nonce) must_use;
void segment_free(struct segment *);		/* the descriptor must be closed */

/* It is never written again. */
void segment_ended(struct segment *);

/* What the start of a later one says of this segment, if it is the one that it names. */
void segment_learn(struct segment *, const struct segment_start *later);
/* It has less than a later one proves. no_end: it was walked, nothing was wrong, and there is no Z. */
bool segment_is_short(const struct segment *, bool no_end) must_use;

const char *segment_name(char text[SEGMENT_NAME_MAX], const char *dir, uint64_t number);
/*
 * "0123456789abcdef.seg" -> number; also finds the number in front of other names ("N-OFFSET"). Only
 * numbers that segments of ours may have: one by a strange file's name must not use up all of them.
 */
bool segment_number(const char *name, bool exact, uint64_t *out) must_use;
#define SEGMENT_NUMBER_MAX	0xefffffffu
#define SEGMENT_NUMBERS_LEFT	0x1000000u	/* so many must be left at a start */

/* A preallocated file in spare/. */
int segment_make_spare(struct fs *, uint64_t number, uint64_t size, struct err *) must_use;
/*
 * Write the start into a spare file (spare 0: into a new one), sync it, move it
 * into log/ and make that durable. *fd is open for writing.
 */
int segment_begin(struct fs *, const struct segment_start *, uint64_t spare, uint64_t size, int *fd,
    struct err *) must_use;
/* Bytes of the S record. */
uint64_t segment_start_room(const struct segment_start *) must_use;
/*
 * Its name leaves log/ for good, into spare/ if it is to be used again. *gone: it has left,
 * durably or not; on failure call again, never with reuse. 0: durable.
 */
int segment_retire(struct fs *, uint32_t number, bool reuse, bool *gone, struct err *);
/* Bytes at its end that are kept for T and Z, if more bytes of a summary are to come. */
uint64_t segment_seal_room(const struct segment *, uint64_t more) must_use;
/* Write T and Z at the end and sync. *out: where. */
int segment_seal(struct fs *, int fd, const struct segment *, struct segment_closed *out,
    struct err *) must_use;
/*
 * How an orderly stop left it: it ends with Z, and all before that was synced. False: nothing says so.
 */
bool segment_find_end(struct fs *, int fd, const struct segment *, struct segment_closed *out) must_use;
/*
 * Find the summary of a closed segment that counts: one that is whole, of a segment that is
 * proven to be synced to its end. False: there is none, walk it. *text points into bytes.
 */
bool segment_read_summary(struct fs *, int fd, const struct segment *, struct buf *bytes, struct view *text,
    uint64_t *end) must_use;
/*
 * Read the S record. ERR_DAMAGED: it is none; ERR_CONFIG: of a later format.
 * *room gets its length.
 */
int segment_read_start(struct fs *, int fd, struct segment_start *out, uint64_t *room, struct err *) must_use;

/*
 * Its sync has failed, so what is read of it may be in the cache alone, and stay so whatever a later sync says.
 * A copy that is synced takes its name. -1: it is as it was. *out gets the copy's descriptor.
 */
int segment_renew(struct fs *, uint32_t number, int from, int *out, struct err *) must_use;

#endif
