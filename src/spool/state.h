/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * state - struct spool, for the modules of this folder alone.
 *
 * Life of a record: gather (batch at the end of s->batches) -> commit (the one
 * job on env.worker) -> written, and when the batch was synced at once, done;
 * otherwise kept in s->unsynced until a later sync covers it, because a failed
 * sync means that it has to be written again.
 */
#ifndef SPOOL_STATE_H
#define SPOOL_STATE_H

#include "base/map.h"
#include "spool/batch.h"
#include "spool/index.h"
#include "spool/segment.h"
#include "spool/spool.h"

#define SPARES_MAX		64u
#define SPARES_AHEAD		2u		/* finished segments kept beyond the spares that are needed */
#define UNSYNCED_MAX		(8u << 20)	/* bytes written and not synced, then a sync is due */
#define KEPT_MAX		(16u << 20)	/* bytes in memory that count as written, while degraded */
#define OPEN_MAX		48u		/* segments open for reading */
#define TXN_PENDING_MAX		(24u << 20)	/* of one transaction that ignores its credit */
#define WAITING_MAX		(32u << 20)	/* of one user's new mail, then he begins no more */
#define UPKEEP_MS		1000
#define RETRY_MS		5000		/* between attempts to begin a segment */
#define FAILURES_MS		60000		/* two failures within: degraded */

enum commit_fault {
	FAULT_NONE,
	FAULT_SEAL,		/* the old segment could not be closed */
	FAULT_BEGIN,		/* the new one could not be begun */
	FAULT_SPARE,		/* no room for a spare: new mail is refused, nothing else is wrong */
	FAULT_WRITE		/* write or sync of the batch */
};

/* What the worker does in one go. It owns what is here until done() runs. */
struct commit_job {
	struct job	 job;
	struct spool	*s;
	struct fs	*fs;
	struct batch	*batch;		/* or NULL */
	bool		 sync;
	struct segment	*old;		/* seal it first, or NULL */
	struct segment	*fresh;		/* begin it, or NULL */
	struct segment	*target;	/* write the batch there, or NULL */
	struct segment_start start;
	uint64_t	 spare;		/* for fresh; 0: none */
	uint64_t	 segment_size;
	uint64_t	 new_spare;	/* make one with this number, or 0 */
	bool		 keep_room;	/* at the stop: for the next start, there is no spare */
	/* results */
	enum commit_fault fault;
	struct err	 e;
	struct segment_closed closed;	/* old */
	bool		 cut;		/* what was not synced is cut off the segment that failed */
	bool		 spare_made;
	struct err	 spare_err;
	bool		 space_known;
	struct fs_space	 space;
};

enum txn_state {
	TXN_OPEN,
	TXN_WAITING,		/* committed by the caller; chunks are still being written */
	TXN_COMMITTING,		/* M or C is in a batch */
	TXN_DEAD		/* aborted; freed when no batch knows it */
};

struct spool_txn {
	struct list	 link;		/* in s->txns */
	struct spool	*s;
	uint64_t	 id;
	uint32_t	 begun_in;
	uint32_t	 nrcpt;
	int64_t		 received_ms;
	int64_t		 user;		/* uid of who hands it in; -1: unknown */
	bool		 bounce, eight_bit;
	bool		 held;		/* spool_hold() */
	bool		 chunked;	/* it does not fit one record */
	bool		 copy;		/* of a stored message, under its id: compact.c */
	bool		 stub;		/* stands for a damaged one: its chunks are not there */
	struct copy	*of;		/* a copy's, until it is aborted */
	enum txn_state	 state;
	struct buf	 stream;	/* envelope lines, then text, less what went into chunks */
	uint32_t	 envelope_length;
	uint64_t	 size;		/* of the text */
	struct extent	*extent;
	uint32_t	 nextent, nqueued;	/* written; given to a batch */
	size_t		 pending;	/* bytes in batches that are not written */
	unsigned	 inflight;	/* entries that point here */
	bool		 failed;
	struct err	 why;
	void		(*on_written)(void *owner, size_t pending);
	void		*written_owner;
	void		(*on_committed)(void *owner, spool_id, const struct err *);
	void		*owner;
};

struct recovery;
struct compaction;

struct spool {
	struct spool_params params;
	struct spool_env env;
	struct spool_events events;
	void		*owner;
	int		 lock_fd;

	struct list	 segments;	/* by number; the last is current or was */
	struct map	 by_number;
	uint32_t	 nsegments;
	struct segment	*current;	/* NULL: the next batch begins a segment */
	uint64_t	 highest;	/* number in any file name */
	uint64_t	 spare[SPARES_MAX];
	uint32_t	 nspares;
	uint32_t	 id_segment, id_counter;
	uint64_t	 abandons, abandons_from;	/* for the next S; 0: nothing */
	bool		 abandons_tail;
	struct segment_closed closed;	/* the last one, if nothing of it is abandoned */
	uint64_t	 first_number;	/* of this run's segments */
	uint64_t	 quarantined;
	uint64_t	 absent;	/* segments that are missing, or their ends */
	uint64_t	 nunread;	/* segments that recovery could not read */
	uint64_t	 last_nonce;
	struct list	 open;		/* lru: segments open for reading, the oldest first */
	uint32_t	 nopen;

	struct index	*index;
	uint32_t	 nuntold;	/* of its messages */
	int64_t		 owner_uid;	/* of the message that is being told of */
	uint64_t	 recipients, bytes_queued;
	uint64_t	 bytes_live;	/* of the log: what is stored of the messages */
	uint64_t	 reserve;	/* bytes that the final outcomes of all messages take */

	uint64_t	 wish;		/* room for the outcome of the message that asked last */

	struct list	 txns;
	uint32_t	 ntxns, ncopies;	/* all; of them copies */
	struct compaction *compaction;
	struct list	 failed;	/* transactions whose callback is due */
	struct list	 batches;	/* waiting; records are added to the last */
	struct list	 unsynced;	/* batches written, to be written again if the sync fails */
	uint64_t	 unsynced_bytes, gathered_bytes;
	uint64_t	 nbatches, batch_max;	/* syncs that mail waited for */
	struct commit_job job;
	bool		 busy;		/* the job runs */
	bool		 sync_due;
	struct task	 kick;
	struct timer	 sync_timer, upkeep_timer;
	int64_t		 hold_until;	/* loop ms: no attempt to write before */
	int64_t		 job_began_ms;

	struct job	 release_job;
	struct segment	*releasing;
	bool		 release_reuse;	/* it becomes a spare */
	struct err	 release_err;
	int64_t		 release_after;	/* loop ms: not before, after it failed */

	bool		 upkeep_due;
	int64_t		 failed_ms;	/* loop ms of the last failure, or INT64_MIN */
	struct err	 failure;	/* the last one */
	bool		 degraded;
	bool		 spare_failed;
	struct err	 spare_err;	/* why there is none; kind ERR_NONE: it was not tried */
	bool		 space_known;
	struct fs_space	 space;
	bool		 reuse;		/* finished segments become spares */
	enum spool_health health;	/* as told */
	char		 why[160];
	struct task	 health_task;

	struct recovery	*recovery;	/* NULL when it has ended */
	bool		 recovered;	/* all is read: it is known what the segments hold */
	bool		 unreadable;	/* but for what could not be read */
	unsigned	 nreaders;
	bool		 closing, sealing;
	void		(*on_closed)(void *owner);
	void		*closed_owner;

	uint64_t	 commits, syncs, sync_us_last, accepted, finished, reused, moved;
};

/* --- log.c: segments, numbers, ids, open descriptors, release ---------------- */
uint64_t log_next_number(struct spool *s) must_use;
spool_id log_next_id(struct spool *s, uint32_t *begun_in) must_use;	/* 0: used up */
struct segment *log_segment(const struct spool *s, uint32_t number);
void log_add_segment(struct spool *s, struct segment *sg);
void log_drop_segment(struct spool *s, struct segment *sg);	/* its file is gone */
void log_pin(struct spool *s, uint32_t number);
void log_unpin(struct spool *s, uint32_t number);
void log_live(struct spool *s, uint32_t number, int by);
void log_opened(struct spool *s, struct segment *sg, int fd);	/* for reading; may close another */
void log_close_all(struct spool *s);
void log_release(struct spool *s);
uint64_t log_bytes(const struct spool *s) must_use;

/* --- spare.c: files that wait to become segments ------------------------------ */
/* May one more be kept? A finished segment, not a new file. */
bool spare_has_place(const struct spool *s) must_use;
void spare_add(struct spool *s, uint64_t number);
void spare_used(struct spool *s, uint64_t number);
/* At the start: those in spare/ that are whole, and no other name of a segment in log/ (in order). */
void spare_find(struct spool *s, const uint64_t *spare, size_t nspares, const uint64_t *logged, size_t nlogged);
/* How many are needed for the outcomes of all messages, and a little ahead. */
uint64_t spares_needed(const struct spool *s) must_use;
/* Number of the spare to make in the next job, or 0. */
uint64_t spare_to_make(struct spool *s, bool one_is_used) must_use;

/* --- gather.c: which batch a record goes to -------------------------------------- */
/* The batch that takes a record of this size now: of what became of mail, the last one. */
struct batch *commit_gather(struct spool *s, size_t payload) must_use;
/* The last of these, or a new one behind them. */
struct batch *commit_last(const struct spool *s, struct list *batches, size_t payload) must_use;
/* Bytes that one may have. */
uint64_t commit_batch_limit(const struct spool *s);
/* The same for new mail: no user fills a batch so that others wait for the one after the next. */
struct batch *commit_gather_mail(struct spool *s, int64_t user, size_t payload) must_use;
/* The record begun in it is complete. */
void commit_end(struct spool *s, struct batch *b);
void commit_end_mail(struct spool *s, struct batch *b, int64_t user);
/* Bytes of new mail of this user that wait for the disk, the job under way not counted. */
uint64_t commit_waiting(const struct spool *s, int64_t user);
void commit_kick(struct spool *s);
void commit_outcome_gathered(struct spool *s);

/* --- commit.c: the one writer ------------------------------------------------ */
void commit_init(struct spool *s);

/* --- written.c, failed.c: what comes of what it did ------------------------------- */
/* x stands in this segment; base is the place of its batch. Sync tells of M, C and G, which are never without. */
void commit_written(struct spool *s, struct batch *b, struct entry *x, const struct segment *sg, uint64_t base);
void commit_failed(struct spool *s, const struct commit_job *j);

/* --- compact.c: the live messages of the oldest segment are copied forward ------ */
void compact_init(struct spool *s);
/* Is it time? Starts a pass, which goes on by itself. */
void compact_consider(struct spool *s);
/* The spool is to be closed: what is under way ends. */
void compact_stop(struct spool *s);
void compact_free(struct spool *s);
/* How the message stands, for the record behind its copy; nothing if there is nothing to say. */
void copy_put_outcome(struct copy *c, struct buf *out);

/* --- txn.c ------------------------------------------------------------------- */
/* A transaction that copies m; then as any other. NULL: the envelope can't be written. */
struct spool_txn *txn_begin_copy(struct spool *s, const struct spool_message *m,
    const struct envelope *env, struct copy *of) must_use;
/* One that stands for m, which is damaged; to be committed. */
struct spool_txn *txn_begin_stub(struct spool *s, const struct spool_message *m, struct copy *of) must_use;
void txn_chunk_written(struct spool_txn *t, const struct entry *x, uint32_t segment, uint64_t at);
/* M or C is durable: t is gone, its owner told. */
void txn_committed(struct spool_txn *t);
/* A record of t will not be written. */
void txn_refused(struct spool_txn *t, const struct entry *x, const struct err *why);
/* Chunks from this offset on are lost. */
void txn_lost_range(struct spool *s, uint32_t segment, uint64_t from, const struct err *why);
void txn_tell_failed(struct spool *s);
void txn_free_all(struct spool *s);

/* --- message.c: messages of the index -------------------------------------------- */
uint32_t message_begun_in(const struct spool_message *m);
void message_tell(struct spool *s, struct spool_message *m);	/* from here on it counts, and is the relay's, too */
void message_remove(struct spool *s, struct spool_message *m);
uint64_t message_stored(const struct spool_message *m) must_use;	/* bytes of the log */
/* A synced copy stands here: what was stored before is dead. */
void message_moved(struct spool *s, struct spool_message *m, uint32_t segment, uint64_t at,
    uint32_t length, uint32_t first_segment);
/* Copy m to quarantine/; fn (may be NULL) gets e NULL when it is there, durably. */
void message_set_aside(struct spool *s, const struct spool_message *m, const struct err *why,
    void (*fn)(void *owner, const struct err *e), void *owner);
void message_from_envelope(struct spool_message *m, const struct envelope *env);
/* What the envelope says; what was recorded later stays. */
void message_flags(struct spool_message *m, bool bounce, bool eight_bit);

/* --- space.c: limits and health --------------------------------------------------- */
void space_init(struct spool *s);
/* May a message with so many recipients and bytes be accepted now? */
int space_check(struct spool *s, uint32_t nrcpt, uint64_t bytes, struct err *e) must_use;
int space_check_bytes(struct spool *s, uint64_t more, struct err *e) must_use;
/* May so much of stored messages be copied now? Not into the room that is kept for outcomes. */
int space_check_copy(struct spool *s, uint64_t bytes, struct err *e) must_use;
/* New mail is refused, or will soon be. */
bool space_is_scarce(const struct spool *s) must_use;
/* Spares that outcomes of this many bytes need. */
uint64_t space_spares_for(const struct spool *s, uint64_t bytes) must_use;
void space_learn(struct spool *s, const struct commit_job *j);
void space_note_failure(struct spool *s, const struct err *why);
void space_update(struct spool *s);
bool space_short(const struct spool *s) must_use;
void trouble(struct spool *s, const char *fmt, ...) printf_like(2, 3);

/* --- open.c --------------------------------------------------------------------------- */
int open_segment(struct fs *fs, struct segment *sg, struct segment_start *start, struct err *e) must_use;
void open_apply_start(struct spool *s, struct segment *sg, const struct segment_start *start);

/* --- recover.c ------------------------------------------------------------------------- */
void recover_start(struct spool *s);
void recover_free(struct spool *s);		/* the jobs must be at rest */
uint64_t recover_messages(const struct spool *s) must_use;

/* --- spool.c ------------------------------------------------------------------------------ */
void spool_check_closed(struct spool *s);
void spool_tell_kept(struct spool *s);

#endif
