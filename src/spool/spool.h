/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spool - every accepted message, on disk, until it is finished.
 *
 * One owner, one append-only log of segments, group commit: what gathers while
 * one write-and-sync runs is the next batch. A commit is reported only after a
 * sync that covers all of the message. See doc/spool-format.md for records,
 * crash cases and what is not guaranteed.
 *
 * Thread: everything here on the loop thread; file operations run on the
 * worker, one batch at a time. Callbacks come from the loop, never from
 * within the call that asked for them.
 */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/rng.h"
#include "mail/envelope.h"
#include "sys/fs.h"
#include "sys/loop.h"
#include "sys/worker.h"

typedef uint64_t spool_id;	/* segment number << 24 | index; never 0, never used twice */

#define SPOOL_CHUNK		65536	/* a message up to this is one record */
#define SPOOL_BOUNCE_MAX	(4u << 20)	/* a bounce always is one */
#define SPOOL_STATUS_MAX	12
#define SPOOL_TEXT_MAX		512	/* reply text kept per recipient */

struct spool;
struct spool_txn;
struct spool_reader;

enum spool_rcpt_state {
	SPOOL_QUEUED,
	SPOOL_DELIVERED,	/* final */
	SPOOL_FAILED,		/* final: 5xx, bounced */
	SPOOL_EXPIRED,		/* final: bounced */
	SPOOL_REMOVED		/* final: by the administrator */
};

/* 8 bytes for each recipient. */
struct spool_rcpt {
	uint8_t		state;		/* enum spool_rcpt_state */
	uint8_t		route;		/* the relay's */
	uint16_t	code;		/* last reply code, 0: none */
	int32_t		due;		/* the relay's */
};

#define SPOOL_HELD	0x01u	/* by the administrator */
#define SPOOL_UNCERTAIN	0x02u	/* the final dot went out, no reply came back (or not yet) */
#define SPOOL_BOUNCE	0x04u	/* our own report */
#define SPOOL_EIGHT_BIT	0x08u
#define SPOOL_DAMAGED	0x10u	/* the stored message fails its check; not recorded, found again */
#define SPOOL_UNTOLD	0x20u	/* for the spool alone: on_message did not tell of it yet */

/*
 * What is in memory of one message: 128 bytes with one recipient, all in all.
 * The spool owns it; "the relay's" members are the relay's to change.
 */
struct spool_message {
	spool_id	 id;
	int64_t		 received_ms;	/* wall */
	uint64_t	 size;
	/* where it is: for the spool alone */
	uint32_t	 segment, offset64, length64;
	uint32_t	 outcome_segment, outcome_offset64;	/* last U; 0, 0: none */
	uint16_t	 attempts;
	uint8_t		 flags;
	uint8_t		 lane;		/* the relay's */
	uint16_t	 nrcpt;
	uint16_t	 user;			/* the relay's */
	uint32_t	 first_segment;		/* where its first byte is: for the spool alone */
	union {
		struct heap_node due;	/* the relay's; key: next attempt, loop ms */
		int64_t	 uid;		/* until on_message tells of it, for the spool alone: whose it is */
	};
	/* the relay's */
	int64_t		 next_ms;	/* wall, as recorded; 0: at once */
	void		*delivery;	/* in flight, or NULL */
	union {
		struct spool_rcpt  one;
		struct spool_rcpt *many;	/* nrcpt of them, when nrcpt > 1 */
	} rcpt;
};

static inline struct spool_rcpt *
spool_rcpts(struct spool_message *m)
{
	return m->nrcpt > 1 ? m->rcpt.many : &m->rcpt.one;
}

struct spool_params {
	uint64_t	segment_size;	/* bytes; default 64 MiB */
	uint64_t	bytes_max;	/* all segments; beyond: refuse with ERR_FULL */
	uint32_t	messages_max;
	uint64_t	free_min;	/* of the file system */
	int64_t		outcome_sync_ms;/* outcomes are synced at the latest after this */
};

enum spool_health {
	SPOOL_OK,
	SPOOL_FULL,		/* new mail is refused; why says which limit */
	SPOOL_DEGRADED		/* it can't be written; new mail is refused, delivery goes on */
};

struct spool_events {
	/*
	 * A message is durable, new or found at recovery, and to be delivered: those of recovery
	 * in the order in which they are due, when the last outcome of all is known.
	 */
	void (*on_message)(void *owner, struct spool_message *);
	/* All segments are read, and all their messages told of. */
	void (*on_recovered)(void *owner);
	void (*on_health)(void *owner, enum spool_health, const char *why);
	/* Damage found, a sync failed ...: one line for the log and status. */
	void (*on_trouble)(void *owner, const char *what);
};

struct spool_env {
	struct loop	*loop;
	struct fs	*fs;		/* at the spool directory; not owned */
	struct worker	*worker;	/* the commit thread; not owned */
	struct worker	*reader;	/* cold reads and recovery; not owned */
	struct rng	*rng;
};

struct spool_stats {
	uint64_t	messages, recipients, bytes_queued;
	uint64_t	log_bytes, segments;
	uint64_t	commits, syncs, sync_us_last;
	uint64_t	batches, batch_max;	/* syncs that mail waited for; the most messages in one */
	bool		volatile_fs;	/* the spool is in memory or in a container's own layer */
	uint64_t	accepted, finished;
	uint64_t	quarantined;	/* notes in quarantine/ */
	uint64_t	absent;		/* segments that are missing, or their ends, seen at this start */
	uint64_t	unreadable;	/* segments, at this start */
	uint64_t	spares, reused;	/* files that wait to become segments; segments that became such */
	uint64_t	moved;		/* messages copied forward from an old segment */
	bool		reuse;		/* finished segments become spares: not on copy-on-write file systems */
	bool		recovering;
	uint64_t	found;		/* so far, and not yet in messages; 0 unless recovering */
	enum spool_health health;
	char		why[160];
};

/*
 * Takes the lock, opens a new segment at once (mail can be accepted), then
 * recovers the older ones in the background. -1: not a spool, in use
 * (ERR_BUSY), a newer format, or no room. Only on_trouble may be called within.
 */
int spool_open(struct spool **out, const struct spool_params *, const struct spool_env *,
    const struct spool_events *, void *owner, struct err *) must_use;
/*
 * Stop taking new transactions, write and sync what is pending, seal, then
 * call on_closed; after that the spool is freed. It waits until the caller has
 * committed or aborted its transactions and freed its readers.
 */
void spool_close(struct spool *, void (*on_closed)(void *owner), void *owner);
/*
 * At once, without a word to anybody: the disk stays as after a crash. The workers
 * must be at rest, and no reader be left; transactions are gone, too.
 */
void spool_free(struct spool *);

/* While on_message runs: uid of who handed the message in, -1 if it was not known, or that nobody recorded it. */
#define SPOOL_UID_UNSAID	(-2)	/* by an older posthouse */
int64_t spool_owner(const struct spool *) must_use;

/* --- accepting ----------------------------------------------------------- */

/* ERR_FULL when a limit is reached, ERR_SYSTEM when the disk fails. The envelope is copied. The id is final. */
int spool_begin(struct spool_txn **out, struct spool *, const struct envelope *, spool_id *id, struct err *) must_use;
/*
 * Bytes of the message. 0, or -1 (then abort; e says 4xx or 5xx by kind).
 * Memory is bounded: *pending gets the bytes not yet written to disk; the
 * caller gives no more credit while it is large. on_written (see
 * spool_txn_on_written) tells when it has shrunk.
 */
int spool_append(struct spool_txn *, struct view, size_t *pending, struct err *) must_use;
void spool_txn_on_written(struct spool_txn *, void (*fn)(void *owner, size_t pending), void *owner);
/*
 * Before the commit: the message is held when on_message tells of it. That is not recorded: fn
 * of the commit does it, by spool_update().
 */
void spool_hold(struct spool_txn *);
/* fn gets e NULL once the message is synced; otherwise it was not accepted. Frees the txn before fn. */
void spool_commit(struct spool_txn *, bool eight_bit,
    void (*fn)(void *owner, spool_id, const struct err *e), void *owner);
void spool_abort(struct spool_txn *);

/* --- what became of it --------------------------------------------------- */

struct spool_result {
	uint32_t		 rcpt;		/* index */
	enum spool_rcpt_state	 state;
	uint16_t		 code;
	char			 status[SPOOL_STATUS_MAX];
	struct view		 text;		/* the upstream's words, or ours */
};

struct spool_update {
	const struct spool_result *result;
	size_t			 nresult;
	uint16_t		 attempts;
	uint8_t			 flags;		/* SPOOL_HELD, SPOOL_UNCERTAIN */
	int64_t			 next_ms;	/* wall */
	const char		*endpoint;	/* "smtp.example.net:587", or "" */
};

/*
 * Record the state of a message, cumulative: results given now replace those of
 * the same recipients before. on_written (may be NULL) comes when the record is
 * written (not synced): SIGKILL keeps it. Synced within outcome_sync_ms.
 */
void spool_update(struct spool *, struct spool_message *, const struct spool_update *,
    void (*on_written)(void *owner), void *owner);

/*
 * Every recipient is final: m is gone after this call (with the results of u, for
 * the record). bounce, if given, becomes a new message in the same atomic
 * record; on_message tells of it once it is synced. on_written is that of spool_update.
 */
struct spool_bounce {
	const struct envelope	*envelope;
	struct view		 message;	/* at most SPOOL_BOUNCE_MAX bytes */
};
/* The id of the bounce, or 0. */
spool_id spool_finish(struct spool *, struct spool_message *, const struct spool_update *u,
    const struct spool_bounce *bounce, void (*on_written)(void *owner), void *owner);

/*
 * m was found to be damaged: it is marked so, and copied to quarantine/ with a note of
 * why, once. The caller holds it.
 */
void spool_quarantine(struct spool *, struct spool_message *m, const struct err *why);

/* --- looking ------------------------------------------------------------- */

struct spool_message *spool_find(struct spool *, spool_id);
/* Walk in no order; start with *pos = 0. The queue must not change meanwhile. */
struct spool_message *spool_next(struct spool *, size_t *pos);
void spool_stats(const struct spool *, struct spool_stats *out);
/* Bytes that all messages together can take on this disk, as far as it is known. */
uint64_t spool_room(const struct spool *);

/*
 * Read a message: envelope first, then the bytes as they are to be sent.
 * on_ready comes (once, later) when READER_WAIT can be asked again.
 */
enum reader_result { READER_DATA, READER_WAIT, READER_END, READER_BAD };
struct spool_reader *spool_reader_new(struct spool *, struct spool_message *,
    void (*on_ready)(void *owner), void *owner);
/* *out is valid until the reader is freed. READER_DATA or WAIT or BAD. */
enum reader_result spool_reader_envelope(struct spool_reader *, const struct envelope **out, struct err *);
/* Next bytes; valid until the next call. Checked by CRC before they are given. */
enum reader_result spool_reader_next(struct spool_reader *, struct view *out, struct err *);
/* What the last update said of each recipient; texts borrowed. READER_END: nothing recorded yet. */
enum reader_result spool_reader_outcome(struct spool_reader *, const struct spool_result **out, size_t *n,
    const char **endpoint, struct err *);
void spool_reader_free(struct spool_reader *);

/* 16 hex digits and a NUL. Returns text. */
const char *spool_id_text(char text[17], spool_id);
bool spool_id_parse(struct view, spool_id *out) must_use;

#endif
