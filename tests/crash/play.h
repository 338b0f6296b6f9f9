/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * play - a spool at work on a disk, and what it has promised so far.
 *
 * A workload calls the play_ functions; after each of them, and before and after every
 * operation of the disk, step() is called: there a crash may be tried. What must hold
 * of a message then is in struct sent.
 */
#ifndef CRASH_PLAY_H
#define CRASH_PLAY_H

#include "crash/disk.h"
#include "unit/spool/world.h"

#define PLAY_MESSAGES	96
#define PLAY_OUTCOMES	256
#define PLAY_COPIES	4

enum fate {
	FATE_OPEN,		/* not committed, or aborted: never there */
	FATE_ASKED,		/* may be there, whole */
	FATE_ACCEPTED,		/* there until finished */
	FATE_REFUSED,		/* may be there after power loss until the next message is accepted, then not */
	FATE_GONE		/* never there any more */
};

/* What was recorded of a message: none, some, or its end; version counts from 1. */
enum stage { STAGE_GIVEN, STAGE_WRITTEN, STAGE_SYNCED };

struct sent {
	struct play	*play;
	struct spool_txn *txn;
	spool_id	 id;		/* 0: a bounce that is not told of yet */
	struct buf	 text, lines;	/* as they are to be read again */
	size_t		 appended;
	uint32_t	 nrcpt;
	enum fate	 fate;
	uint64_t	 turn;		/* when it was committed, or refused */
	bool		 answered;
	uint32_t	 version, synced_version, written_version;
	bool		 finishing, finish_written, finished;
	uint32_t	 segment;	/* with its first byte, once it is accepted */
	struct buf	 chunks;	/* its B records, once it was damaged */
	bool		 hurt;		/* damaged where it is stored: it may be unreadable, or not there */
	struct sent	*parent;	/* it is the bounce of that one */
	struct sent	*bounce;
};

struct outcome_given {
	struct sent	*sent;
	uint32_t	 version;	/* 0: the end */
	uint64_t	 turn;
	int64_t		 given_ms;
	enum stage	 stage;
};

/* What must stand in quarantine/ after every recovery. */
struct copy_due {
	char		 name[DISK_NAME], note[DISK_NAME];	/* name "": nothing was copied */
	char		 was[DISK_NAME];	/* the name that it had, if it was moved */
	struct buf	 bytes;
};

struct play {
	struct world	 w;
	struct disk	*disk;
	struct sent	 sent[PLAY_MESSAGES];
	size_t		 nsent;
	struct outcome_given outcome[PLAY_OUTCOMES];
	size_t		 noutcome;
	uint64_t	 turn;		/* counts what is asked of the spool */
	uint64_t	 seed;
	struct rng	 rng;		/* for the workload */
	unsigned	 closely;	/* so many times the usual choices are tried here; 0: once */
	bool		 short_of_space;	/* texts of outcomes may be left out */
	bool		 failing;	/* syncs fail: outcomes may be late, and lost with the process */
	const char	*must_trouble;	/* part of the last line that it has to; NULL: of none */
	const char	*may_trouble;	/* part of a line that recovery may report; NULL: none */
	struct copy_due	 copy[PLAY_COPIES];
	size_t		 ncopies;
	char		 wrong[200];	/* what the spool did while it was open, and should not; "": nothing */
	char		 lost[DISK_NAME];	/* what play_lose() took, as its note is named */
	void		(*step)(void *arg);
	void		*arg;
};

void play_init(struct play *, struct disk *, uint64_t seed);
void play_done(struct play *);
void play_open(struct play *);
void play_close(struct play *);			/* in order */
/* The same while x is read: the reader goes at once. */
void play_close_reading(struct play *, const struct sent *x);
/* The process dies; the disk becomes what the choice by chance leaves, or stays (SIGKILL). */
void play_power_loss(struct play *);
void play_kill(struct play *);
/* It dies (SIGKILL), and crashes are tried while the next start reads what is left. */
void play_kill_and_watch(struct play *);
/* Power is lost, and names that were taken away are there again; all else is durable. */
void play_power_loss_with_names(struct play *);
/* It dies and stays so; all that was written is durable. */
void play_die(struct play *);
/* The same, and names that were taken away are there again. */
void play_die_with_names(struct play *);
void play_run(struct play *, int64_t ms);

/* Between from and to bytes, by the seed. */
size_t play_size(struct play *, size_t from, size_t to);
struct sent *play_begin(struct play *, size_t size, uint32_t nrcpt);
/* Its text looks like records of a later epoch, wherever a record could begin. */
void play_disguise(struct sent *);
void play_append(struct sent *, size_t n);
void play_commit(struct sent *);		/* what is left of the text, and commit */
void play_abort(struct sent *);
/* All of it, until the answer is there: it must be accepted. */
struct sent *play_accept(struct play *, size_t size, uint32_t nrcpt);
void play_accepted(struct sent *);
void play_refused(struct sent *);
void play_update(struct sent *);
void play_repeat(struct sent *);		/* the outcome as it was, without texts */
void play_finish(struct sent *);
struct sent *play_bounce(struct sent *, size_t size);

/*
 * Change bits of one byte of the record of x that has this type, or of the S in front of it:
 * byte 0 is the first of its header; or DAMAGE_PLACE, of a C: in the place of its first chunk; or DAMAGE_END:
 * in the last line of the payload.
 */
#define DAMAGE_PLACE SIZE_MAX
#define DAMAGE_END (SIZE_MAX - 1)
enum damage_expects { DAMAGE_ALONE, DAMAGE_COPIED };
void play_damage(struct sent *x, char type, size_t byte, uint8_t bits, enum damage_expects);
/* The i-th record of x and the k-th of y, of one size, change places: each is whole. */
void play_swap(struct sent *x, unsigned i, struct sent *y, unsigned k, char type);
/* The segment of x, or all of it from x on, is taken away. The spool must not be open. */
void play_lose(struct sent *x, bool whole);
/* What stands from the record of x on is in quarantine/ now, and has to stay. */
void play_expect_tail(struct sent *x);
/* The note of that is in quarantine/ now, and has to stay. */
void play_expect_note(struct play *);
/* In the S in front of x, the lowest bit of the first digit of "from=" that is not 0. */
void play_damage_abandon(struct sent *x);
/* All of x is in quarantine/ now, and has to stay. */
void play_expect_message(struct sent *x);
/* As for delivery: what is given of it is as it was sent; if it is damaged, up to there, and that is told. */
void play_read(struct sent *x);
/* Reply texts are those of its outcome; of one that is damaged some may be missing. */
bool play_has_texts(const struct sent *x, struct world *, struct spool_message *m);
/* The spool is told that x is damaged, and copies it. */
void play_set_aside(struct sent *x);
/* A file is in quarantine/ now, with its note: from here on it has to be. */
void play_expect_copy(struct play *, const char *base, const char *suffix);

/* The recipients' states of a version, for the record and for the judge. */
struct spool_rcpt play_state(const struct sent *, uint32_t version, uint32_t rcpt);
uint8_t play_flags(uint32_t version);
#define PLAY_TEXT 48u
struct view play_text(char text[PLAY_TEXT], uint32_t version, uint32_t rcpt);
int64_t play_next_ms(uint32_t version);
int64_t play_received_ms(const struct sent *);
/* Until the workers of the world have nothing to do. */
void play_rest(struct world *);
/* What can be known without the disk: whatever is old enough is synced. */
void play_age(struct play *);
uint64_t play_hash(const struct play *);

#endif
